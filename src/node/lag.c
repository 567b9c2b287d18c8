/* lag.c: what each region has not confirmed yet, per table: what would be lost or late if a region were gone now (RPO).
 *
 * Each node knows what its own replicas hold beyond what their peers have confirmed. The asker adds that up over all
 * nodes that it reaches: writes and bytes as sums over partitions, the age as the greatest.
 *
 * Payload of CALL_LAG: whether the node's other shards are included u8.
 * Answer: count, then (table u64, region asked about u8, writes, bytes, oldest ms).
 */
#include "node/lag.h"

enum { ROWS_PER_TABLE = TOPOLOGY_REGIONS_MAX };

static struct lag_row *row_of(struct lag_sum *sum, struct arena *arena, uint64_t table, uint8_t from, uint8_t to)
{
    for (uint32_t i = 0; i < sum->count; i++) {
        struct lag_row *row = &sum->rows[i];
        if (row->table == table && row->from == from && row->to == to) return row;
    }
    if (sum->count == sum->capacity) {
        uint32_t capacity = sum->capacity ? sum->capacity * 2 : 64;
        struct lag_row *rows = arena_alloc(arena, capacity * sizeof *rows);
        if (sum->count) memcpy(rows, sum->rows, sum->count * sizeof *rows);
        sum->rows = rows;
        sum->capacity = capacity;
    }
    struct lag_row *row = &sum->rows[sum->count++];
    *row = (struct lag_row){.table = table, .from = from, .to = to};
    return row;
}

static void add(struct lag_row *row, uint64_t writes, uint64_t bytes, uint64_t oldest_ms)
{
    row->writes += writes;
    row->bytes += bytes;
    if (oldest_ms > row->oldest_ms) row->oldest_ms = oldest_ms;
}

static void add_replica(struct shard *s, struct lag_sum *sum, struct arena *arena, const struct partition_slot *slot)
{
    const struct topology *t = shard__topology(s);
    struct replica_peer_status peers[REPLICA_MEMBERS_MAX];
    uint32_t count = replica_peers(slot->replica, s->now, peers);
    for (uint32_t i = 0; i < count; i++) {
        int node = topology_node_by_number(t, peers[i].node);
        if (node < 0 || node == s->config.node || t->nodes[node].region == shard__self(s)->region) continue;
        struct lag_row *row = row_of(sum, arena, slot->table->table.id, shard__self(s)->region, t->nodes[node].region);
        add(row, peers[i].backlog_items, peers[i].backlog_bytes, peers[i].lag_ms);
    }
}

static void add_shard(struct shard *s, struct lag_sum *sum, struct arena *arena)
{
    for (uint32_t i = 0; i < s->tables_count; i++) {
        struct table_slot *table = s->tables[i];
        for (uint16_t p = 0; table->partitions && p < table->table.contract.partitions; p++) {
            if (table->partitions[p].replica) add_replica(s, sum, arena, &table->partitions[p]);
        }
    }
}

/* ---- asking, in two levels: nodes, and the shards of a node ---- */

struct lag_work {
    struct lag_sum sum;
    uint32_t outstanding;
    void (*complete)(struct task *task);
};

static bool take(struct task *task, uint8_t from, struct slice answer)
{
    struct lag_work *w = task->work;
    const struct topology *t = shard__topology(task->shard);
    struct reader r = reader_of(answer);
    uint64_t count = read_varint(&r);
    if (r.failed || count > TABLES_MAX * ROWS_PER_TABLE) return false;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t table = read_u64(&r);
        uint8_t to = read_u8(&r);
        uint64_t writes = read_varint(&r), bytes = read_varint(&r), oldest = read_varint(&r);
        if (r.failed || to >= t->regions_count) return false;
        add(row_of(&w->sum, &task->arena, table, from, to), writes, bytes, oldest);
    }
    return reader_finished(&r);
}

/* A node that does not answer has no rows: what it alone holds can't be known from here. */
static void part_answered(struct task *task, uint32_t node, enum call_outcome outcome, struct slice answer)
{
    struct lag_work *w = task->work;
    uint8_t region = shard__topology(task->shard)->nodes[node].region;
    if (outcome == CALL_ANSWERED && !take(task, region, answer))
        shard__log(task->shard, 'W', "bad-answer", "about=lag");
    if (--w->outstanding == 0) w->complete(task);
}

static void begin(struct task *task, void (*complete)(struct task *task))
{
    struct lag_work *w = arena_alloc(&task->arena, sizeof *w);
    *w = (struct lag_work){.outstanding = 1, .complete = complete};
    task->work = w;
    task->state = TASK_WORKING;
    task->part_done = part_answered;
    add_shard(task->shard, &w->sum, &task->arena);
}

static void ask_shards(struct task *task)
{
    struct shard *s = task->shard;
    struct lag_work *w = task->work;
    for (uint8_t i = 0; i < s->config.shards; i++) {
        if (i == s->config.shard) continue;
        w->outstanding++;
        write_u8(call__begin(s, NULL, CALL_LAG), false);
        call__ask(task, s->config.node, (struct target){TARGET_SHARD, s->config.node, i}, false);
    }
}

static void end(struct task *task)
{
    struct lag_work *w = task->work;
    if (--w->outstanding == 0) w->complete(task);
}

static void write_answer(struct task *task)
{
    struct lag_work *w = task->work;
    struct buffer *b = &task->reply;
    write_varint(b, w->sum.count);
    for (uint32_t i = 0; i < w->sum.count; i++) {
        const struct lag_row *row = &w->sum.rows[i];
        write_u64(b, row->table);
        write_u8(b, row->to);
        write_varint(b, row->writes);
        write_varint(b, row->bytes);
        write_varint(b, row->oldest_ms);
    }
    task__finish(task);
}

void lag__serve(struct task *task)
{
    struct reader r = reader_of(task->payload);
    bool with_shards = read_u8(&r);
    begin(task, write_answer);
    if (with_shards) ask_shards(task);
    end(task);
}

static void reply_rows(struct task *task)
{
    struct lag_work *w = task->work;
    lag__reply(task, &w->sum);
    task__finish(task);
}

void lag__ask(struct task *task)
{
    struct shard *s = task->shard;
    begin(task, reply_rows);
    struct lag_work *w = task->work;
    ask_shards(task);
    for (uint32_t i = 0; i < shard__topology(s)->nodes_count; i++) {
        if (i == s->config.node || !s->peers[i].up) continue;
        w->outstanding++;
        write_u8(call__begin(s, NULL, CALL_LAG), true);
        call__ask(task, i, (struct target){TARGET_NODE, (uint8_t)i, 0}, false);
    }
    end(task);
}
