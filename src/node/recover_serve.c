/* recover_serve.c: a survivor's part of TOPOLOGY RECOVER: it answers for the groups of its shards, and does as it is
 * told with them.
 *
 * Payload of CALL_RECOVER: with the node's other shards u8, then the question: op u8, and
 *   CONSULT  nothing
 *   PREPARE  count varint, then (table u64, partition varint, generation u64)
 *   ORDER    count varint, then (table u64, partition varint, order)
 * Answer: nodes in contact u64 (bits by index), then rows to the end: table u64, partition varint, ok u8, position. An
 * empty answer: the question was malformed, or another shard did not answer.
 */
#include "node/recover.h"

static void write_row(struct partition_slot *slot, bool ok, struct buffer *out)
{
    struct recovery_position position;
    group_position(slot->group, &position);
    write_u64(out, slot->table->table.id);
    write_varint(out, slot->partition);
    write_u8(out, ok);
    recovery_position_write(out, &position);
}

bool recover__read_row(struct reader *r, struct recover_row *out)
{
    out->table = read_u64(r);
    uint64_t partition = read_varint(r);
    out->ok = read_u8(r);
    out->partition = (uint16_t)partition;
    return recovery_position_read(r, &out->position) == STATUS_OK && partition < PARTITIONS_MAX;
}

static void consult(struct shard *s, struct buffer *out)
{
    for (uint32_t i = 0; i < s->ordered.slots_count; i++) write_row(s->ordered.slots[i], true, out);
}

/* One group of a PREPARE or ORDER; those that are not here are others' concern. False: malformed. */
static bool perform_one(struct shard *s, enum recover_op op, struct reader *r, struct buffer *out)
{
    uint64_t table = read_u64(r), partition = read_varint(r), generation = 0;
    struct recovery_order order;
    if (op == RECOVER_PREPARE) generation = read_u64(r);
    if (op == RECOVER_ORDER && recovery_order_read(r, &order) != STATUS_OK) return false;
    if (r->failed || partition >= PARTITIONS_MAX) return false;
    struct partition_slot *slot = catalog__slot(s, table, (uint16_t)partition);
    if (!slot || !slot->group) return true;
    struct group_now now = ordered__now(s->now.wall_ms, s->now.mono_ns);
    bool ok = op == RECOVER_PREPARE ? group_prepare_recovery(slot->group, generation, now)
                                    : group_recover(slot->group, &order, now);
    ordered__touched(slot);
    write_row(slot, ok, out);
    return true;
}

bool recover__perform(struct shard *s, struct slice question, struct buffer *out)
{
    struct reader r = reader_of(question);
    uint8_t op = read_u8(&r);
    if (op == RECOVER_CONSULT) {
        consult(s, out);
        return reader_finished(&r);
    }
    if (r.failed || op > RECOVER_ORDER) return false;
    uint64_t count = read_varint(&r);
    for (uint64_t i = 0; i < count; i++) {
        if (!perform_one(s, (enum recover_op)op, &r, out)) return false;
    }
    return reader_finished(&r);
}

/* ---- a question from another node or shard ---- */

struct serve_work {
    uint32_t outstanding;
    bool failed;
};

static void part_done(struct task *task)
{
    struct serve_work *w = task->work;
    if (--w->outstanding > 0) return;
    if (w->failed) buffer_clear(&task->reply);
    task__finish(task);
}

static void part_answered(struct task *task, uint32_t part, enum call_outcome outcome, struct slice answer)
{
    (void)part;
    struct serve_work *w = task->work;
    bool is_whole = outcome == CALL_ANSWERED && answer.length >= sizeof(uint64_t);
    if (is_whole) buffer_append_slice(&task->reply, slice_skip(answer, sizeof(uint64_t)));
    w->failed = w->failed || !is_whole;
    part_done(task);
}

static uint64_t nodes_in_contact(const struct shard *s)
{
    uint64_t mask = 0;
    for (uint32_t i = 0; i < shard__topology(s)->nodes_count; i++) {
        if (s->peers[i].up) mask |= 1ull << i;
    }
    return mask;
}

void recover__serve(struct task *task)
{
    struct shard *s = task->shard;
    struct reader r = reader_of(task->payload);
    bool with_shards = read_u8(&r);
    struct slice question = slice_of(r.at, reader_left(&r));
    struct serve_work *w = arena_alloc(&task->arena, sizeof *w);
    *w = (struct serve_work){.outstanding = 1};
    task->work = w;
    task->state = TASK_WORKING;
    task->part_done = part_answered;
    write_u64(&task->reply, nodes_in_contact(s));
    for (uint8_t i = 0; with_shards && i < s->config.shards; i++) {
        if (i == s->config.shard) continue;
        w->outstanding++;
        struct buffer *payload = call__begin(s, NULL, CALL_RECOVER);
        write_u8(payload, false);
        buffer_append_slice(payload, question);
        call__ask(task, i, (struct target){TARGET_SHARD, s->config.node, i}, false);
    }
    if (r.failed || !recover__perform(s, question, &task->reply)) w->failed = true;
    task__wait_for_lsn(task, log_last_lsn(s->log)); /* what is promised here is on disk before the answer leaves */
    part_done(task);
}
