/* conflicts.c: the conflict inbox: ledger entries and unresolved siblings, listed and counted over a region.
 *
 * A row stands for one entry of the ledger, one key with unresolved siblings, or one late key: a key of `default` whose
 * prefix became a table of its own in the meantime (S17). The last two are derived from the data when asked for, so
 * they are the same wherever the data is the same.
 *
 * Payload of CALL_CONFLICTS: want u8 (0 list, 1 count), table (0: all), rows wanted, whether the node's shards are
 * included u8. Answer to list: count, then rows; to count: count, then (table, partition, how many).
 *
 * C1  Rows leave a shard once what they show is durable (S4).
 * C2  Ids are equal everywhere; a row that several replicas report is listed once.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "node/conflicts.h"

enum { ROWS_MAX = 10000, ROW_VALUE_BYTES_MAX = 4096, ANSWER_BYTES_MAX = FRAME_BODY_BYTES_MAX - 1024 };

/* Several writes may have beaten the one in the entry, and which of them met it first differs between replicas. The
 * words must be equal everywhere, so they tell what the table's contract makes of it. */
const char *conflicts__reason(enum ledger_reason reason, enum conflict_policy policy)
{
    switch (reason) {
    case LEDGER_LWW_LOSER:
    case LEDGER_LOST_TO_DELETE:
        return policy == CONFLICT_DELETE_WINS ? "delete-wins: a concurrent delete or a later stamp won"
                                              : "lww: later stamp won";
    case LEDGER_DELETE_LOST: return "delete: a concurrent update won";
    case LEDGER_LATE: return "late: its prefix became a table of its own";
    case LEDGER_REASON_COUNT: break;
    }
    return "unknown";
}

const char *conflicts__kind(enum ledger_kind kind)
{
    switch (kind) {
    case LEDGER_STRING: return "string";
    case LEDGER_COLUMN: return "column";
    case LEDGER_DELETE: return "delete";
    case LEDGER_EXPIRE: return "expire";
    }
    return "unknown";
}

const struct topology_node *conflicts__node_of(const struct shard *s, struct dot dot)
{
    int node = topology_node_by_number(shard__topology(s), replica_id_node(dot.replica));
    return node < 0 ? NULL : &shard__topology(s)->nodes[node];
}

/* ---- the id of an unresolved conflict ---- */

static bool is_older(const struct object_sibling *a, const struct object_sibling *b)
{
    return stamp_before(a->stamp, a->dot.replica, b->stamp, b->dot.replica);
}

bool conflicts__oldest(const struct object *object, struct replica_now now, struct arena *arena,
                       struct object_sibling *out)
{
    struct object_sibling *list;
    struct dot_set dots;
    dot_set_init(&dots);
    uint32_t count = object_siblings(object, now.wall_ms, arena, &list, &dots);
    dot_set_deinit(&dots);
    if (count == 0) return false;
    *out = list[0];
    for (uint32_t i = 1; i < count; i++) {
        if (is_older(&list[i], out)) *out = list[i];
    }
    return true;
}

bool conflicts__sibling_id(struct replica *r, struct slice key, const struct object *object, struct replica_now now,
                           char out[LEDGER_ID_BYTES_MAX])
{
    struct arena arena;
    struct object_sibling oldest;
    arena_init(&arena);
    bool found = conflicts__oldest(object, now, &arena, &oldest);
    if (found) {
        struct ledger_entry entry = {.dot = oldest.dot, .key = key};
        ledger_id_format(r, &entry, out);
    }
    arena_deinit(&arena);
    return found;
}

/* ---- rows ---- */

static void write_row(struct buffer *b, const struct conflict_row *row)
{
    write_bytes(b, row->id);
    write_bytes(b, row->table);
    write_bytes(b, row->key);
    write_bytes(b, row->kind);
    write_bytes(b, row->reason);
    write_bytes(b, row->column);
    write_bytes(b, row->value);
    write_u64(b, row->dot.replica);
    write_u64(b, row->dot.counter);
    write_u64(b, row->stamp);
    write_u8(b, row->restored);
}

static bool read_row(struct reader *r, struct conflict_row *row)
{
    row->id = read_bytes(r);
    row->table = read_bytes(r);
    row->key = read_bytes(r);
    row->kind = read_bytes(r);
    row->reason = read_bytes(r);
    row->column = read_bytes(r);
    row->value = read_bytes(r);
    row->dot.replica = read_u64(r);
    row->dot.counter = read_u64(r);
    row->stamp = read_u64(r);
    row->restored = read_u8(r);
    return !r->failed;
}

static struct conflict_row copy_row(struct arena *arena, const struct conflict_row *row)
{
    struct conflict_row copy = *row;
    if (copy.value.length > ROW_VALUE_BYTES_MAX) copy.value.length = ROW_VALUE_BYTES_MAX;
    copy.id = arena_copy(arena, copy.id);
    copy.key = arena_copy(arena, copy.key);
    copy.column = arena_copy(arena, copy.column);
    copy.value = arena_copy(arena, copy.value);
    copy.table = arena_copy(arena, copy.table);
    copy.kind = arena_copy(arena, copy.kind);
    copy.reason = arena_copy(arena, copy.reason);
    return copy;
}

/* Newest first; then by id, so that doubles are neighbours. */
static int compare_rows(const void *a, const void *b)
{
    const struct conflict_row *x = a, *y = b;
    if (x->stamp != y->stamp) return x->stamp > y->stamp ? -1 : 1;
    return slice_compare(x->id, y->id);
}

/* Newest first, each once, at most `wanted`. */
static void sort_rows(struct conflict_list *list)
{
    if (list->count) qsort(list->rows, list->count, sizeof *list->rows, compare_rows);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        if (kept && slice_equal(list->rows[kept - 1].id, list->rows[i].id)) continue;
        list->rows[kept++] = list->rows[i];
    }
    list->count = kept < list->wanted ? kept : list->wanted;
}

/* Twice as many as wanted are kept, then the older half goes. */
static void add_row(struct conflict_list *list, struct arena *arena, const struct conflict_row *row)
{
    if (!list->rows) list->rows = arena_alloc(arena, 2 * (size_t)list->wanted * sizeof *list->rows);
    if (list->count == 2 * list->wanted) sort_rows(list);
    list->rows[list->count++] = copy_row(arena, row);
}

/* ---- one shard's part ---- */

struct partition_count {
    uint64_t table;
    uint16_t partition;
    uint64_t count;
};

struct serve_work {
    bool counting;
    uint64_t table;
    uint32_t outstanding;
    bool failed;
    struct conflict_list list;
    struct partition_count *counts;
    uint32_t counts_used, counts_capacity;
};

static void add_count(struct serve_work *w, struct arena *arena, uint64_t table, uint16_t partition, uint64_t count)
{
    for (uint32_t i = w->counts_used; i-- > 0;) {
        struct partition_count *c = &w->counts[i];
        if (c->table != table || c->partition != partition) continue;
        c->count += count;
        return;
    }
    if (w->counts_used == w->counts_capacity) {
        uint32_t capacity = w->counts_capacity ? w->counts_capacity * 2 : 64;
        struct partition_count *grown = arena_alloc(arena, capacity * sizeof *grown);
        if (w->counts_used) memcpy(grown, w->counts, w->counts_used * sizeof *grown);
        w->counts = grown;
        w->counts_capacity = capacity;
    }
    w->counts[w->counts_used++] = (struct partition_count){table, partition, count};
}

static bool walk_wants(void *user, struct partition_slot *slot, enum store_space_kind space)
{
    (void)space;
    struct task *task = user;
    struct serve_work *w = task->work;
    return w->table == 0 || w->table == slot->table->table.id;
}

static void take_row(struct task *task, struct partition_slot *slot, const struct conflict_row *row)
{
    struct serve_work *w = task->work;
    if (w->counting) {
        if (!row->restored) add_count(w, &task->arena, slot->table->table.id, slot->partition, 1);
    } else {
        add_row(&w->list, &task->arena, row);
    }
}

static void visit_ledger(struct task *task, struct partition_slot *slot, struct store_item *item)
{
    struct ledger_entry entry;
    char id[LEDGER_ID_BYTES_MAX];
    if (ledger_decode(store_item_key(item), item->object, &entry) != STATUS_OK) return;
    ledger_id_format(slot->replica, &entry, id);
    struct conflict_row row = conflicts__row_of_entry(slot, &entry, id);
    take_row(task, slot, &row);
}

/* The kind is the command; it was written where it was held. */
struct conflict_row conflicts__row_of_group(const struct partition_slot *slot, const struct group_ledger_row *row,
                                            char id[LEDGER_ID_BYTES_MAX])
{
    bool is_gap = row->reason == GROUP_LEDGER_GAP;
    (void)snprintf(id, LEDGER_ID_BYTES_MAX, "%llx.%x.%llx.%llx.%llx.0", (unsigned long long)slot->table->table.id,
                   (unsigned)slot->partition, (unsigned long long)row->term, (unsigned long long)row->index,
                   (unsigned long long)row->hash);
    return (struct conflict_row){.id = slice_of_string(id),
                                 .table = slice_of_string(slot->table->table.name),
                                 .key = row->key,
                                 .kind = row->command,
                                 .reason = is_gap ? SLICE_LITERAL("fenced: its log no longer held these entries")
                                                  : SLICE_LITERAL("fenced: the group was recovered without it"),
                                 .value = row->value,
                                 .dot = {replica_id_of(row->node, 0), row->index},
                                 .stamp = stamp_of_ms(row->time_ms)};
}

static void visit_group_ledger(struct task *task, struct partition_slot *slot, struct store_item *item)
{
    struct arena arena;
    struct group_ledger_row found;
    char id[LEDGER_ID_BYTES_MAX];
    arena_init(&arena);
    if (group_ledger_row(item, &arena, &found)) {
        struct conflict_row row = conflicts__row_of_group(slot, &found, id);
        take_row(task, slot, &row);
    }
    arena_deinit(&arena);
}

struct conflict_row conflicts__row_of_entry(const struct partition_slot *slot, const struct ledger_entry *entry,
                                            const char *id)
{
    return (struct conflict_row){.id = slice_of_string(id),
                                 .table = slice_of_string(slot->table->table.name),
                                 .key = entry->key,
                                 .kind = slice_of_string(conflicts__kind(entry->kind)),
                                 .reason =
                                     slice_of_string(conflicts__reason(entry->reason, replica_policy(slot->replica))),
                                 .column = entry->column,
                                 .value = entry->value,
                                 .dot = entry->dot,
                                 .stamp = entry->stamp,
                                 .restored = entry->state == LEDGER_RESTORED};
}

/* A key of `default` that commands no longer reach, since its prefix is a table now. */
static bool is_late(struct shard *s, const struct partition_slot *slot, struct slice key)
{
    if (slot->table->table.id != TABLE_ID_DEFAULT || s->tables_count == TABLES_FIXED) return false;
    struct slice name = key_table_name(key);
    struct table_slot *table = name.length ? catalog__by_name(s, name) : NULL;
    return table && table != slot->table;
}

/* A string as it is; the fields of a row, or the members of a set, with spaces between them, for a person to read. */
static struct slice readable_value(const struct object_sibling *sibling, struct arena *arena)
{
    if (sibling->type == OBJECT_STRING) return sibling->value;
    struct buffer text;
    buffer_init(&text, ROW_VALUE_BYTES_MAX);
    for (uint32_t i = 0; i < sibling->fields_count && !text.overflowed; i++) {
        if (i > 0) buffer_append_byte(&text, ' ');
        buffer_append_slice(&text, sibling->fields[i]);
    }
    struct slice copy = arena_copy(arena, buffer_slice(&text));
    buffer_deinit(&text);
    return copy;
}

bool conflicts__row_of_object(struct shard *s, struct partition_slot *slot, struct store_item *item,
                              struct arena *arena, char id[LEDGER_ID_BYTES_MAX], struct conflict_row *out)
{
    struct slice key = store_item_key(item);
    bool conflict = object_in_conflict(item->object, s->now.wall_ms);
    bool late = is_late(s, slot, key) && object_type(item->object, s->now.wall_ms) != OBJECT_NONE;
    struct object_sibling oldest;
    if ((!conflict && !late) || !conflicts__oldest(item->object, s->now, arena, &oldest)) return false;
    struct ledger_entry entry = {.dot = oldest.dot, .key = key};
    ledger_id_format(slot->replica, &entry, id);
    *out = (struct conflict_row){
        .id = slice_of_string(id),
        .table = slice_of_string(slot->table->table.name),
        .key = key,
        .kind = conflict ? SLICE_LITERAL("siblings") : SLICE_LITERAL("late"),
        .reason = conflict ? SLICE_LITERAL("siblings: concurrent writes, unresolved")
                           : slice_of_string(conflicts__reason(LEDGER_LATE, replica_policy(slot->replica))),
        .value = readable_value(&oldest, arena),
        .dot = oldest.dot,
        .stamp = oldest.stamp};
    return true;
}

static void visit_data(struct task *task, struct partition_slot *slot, struct store_item *item)
{
    struct arena arena;
    char id[LEDGER_ID_BYTES_MAX];
    struct conflict_row row;
    arena_init(&arena);
    if (conflicts__row_of_object(task->shard, slot, item, &arena, id, &row)) take_row(task, slot, &row);
    arena_deinit(&arena);
}

static bool walk_visit(void *user, struct partition_slot *slot, enum store_space_kind space, struct store_item *item)
{
    struct task *task = user;
    if (!item->object) return true;
    task__wait_for_lsn(task, item->lsn); /* C1 */
    if (slot->group) {
        visit_group_ledger(task, slot, item);
    } else if (space == SPACE_LEDGER) {
        visit_ledger(task, slot, item);
    } else {
        visit_data(task, slot, item);
    }
    return true;
}

static void serve_part_done(struct task *task)
{
    struct serve_work *w = task->work;
    if (--w->outstanding > 0) return;
    struct buffer *b = &task->reply;
    if (w->failed) {
        task__finish(task); /* an empty answer: the asker sees that it is none */
        return;
    }
    if (w->counting) {
        write_varint(b, w->counts_used);
        for (uint32_t i = 0; i < w->counts_used; i++) {
            write_u64(b, w->counts[i].table);
            write_u32(b, w->counts[i].partition);
            write_varint(b, w->counts[i].count);
        }
        task__finish(task);
        return;
    }
    sort_rows(&w->list);
    write_varint(b, w->list.count);
    for (uint32_t i = 0; i < w->list.count && b->length < ANSWER_BYTES_MAX; i++) write_row(b, &w->list.rows[i]);
    task__finish(task);
}

static void walk_done(void *user)
{
    serve_part_done(user);
}

static bool take_list(struct conflict_list *list, struct arena *arena, struct slice answer)
{
    struct reader r = reader_of(answer);
    uint64_t count = read_varint(&r);
    if (r.failed || count > ROWS_MAX) return false;
    for (uint64_t i = 0; i < count; i++) {
        struct conflict_row row;
        if (!read_row(&r, &row)) return false;
        add_row(list, arena, &row);
    }
    return reader_finished(&r);
}

static bool take_counts(struct serve_work *w, struct arena *arena, struct slice answer)
{
    struct reader r = reader_of(answer);
    uint64_t count = read_varint(&r);
    if (r.failed || count > reader_left(&r)) return false;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t table = read_u64(&r);
        uint32_t partition = read_u32(&r);
        uint64_t n = read_varint(&r);
        if (r.failed || partition >= PARTITIONS_MAX) return false;
        uint32_t before = w->counts_used;
        add_count(w, arena, table, (uint16_t)partition, 0);
        MAYBE(before == w->counts_used);
        for (uint32_t k = 0; k < w->counts_used; k++) { /* C2: of several replicas, the one that has most */
            struct partition_count *c = &w->counts[k];
            if (c->table == table && c->partition == partition && n > c->count) c->count = n;
        }
    }
    return reader_finished(&r);
}

static void part_answered(struct task *task, uint32_t part, enum call_outcome outcome, struct slice answer)
{
    (void)part;
    struct serve_work *w = task->work;
    bool taken = outcome == CALL_ANSWERED &&
                 (w->counting ? take_counts(w, &task->arena, answer) : take_list(&w->list, &task->arena, answer));
    if (!taken) w->failed = true;
    serve_part_done(task);
}

static void write_question(struct buffer *b, bool counting, uint64_t table, uint32_t wanted, bool with_shards)
{
    write_u8(b, counting);
    write_varint(b, table);
    write_varint(b, wanted);
    write_u8(b, with_shards);
}

/* The walk over this shard, and, asked by another node, the other shards of this process. */
static void serve(struct task *task, bool counting, uint64_t table, uint32_t wanted, bool with_shards)
{
    struct shard *s = task->shard;
    struct serve_work *w = arena_alloc(&task->arena, sizeof *w);
    *w = (struct serve_work){.counting = counting, .table = table, .outstanding = 1, .list = {.wanted = wanted}};
    task->work = w;
    task->state = TASK_WORKING;
    task->part_done = part_answered;
    for (uint8_t i = 0; with_shards && i < s->config.shards; i++) {
        if (i == s->config.shard) continue;
        w->outstanding++;
        write_question(call__begin(s, NULL, CALL_CONFLICTS), counting, table, wanted, false);
        call__ask(task, i, (struct target){TARGET_SHARD, s->config.node, i}, false);
    }
    walk__start(s, &(struct walk_visitor){.user = task, .wants = walk_wants, .visit = walk_visit, .done = walk_done});
}

void conflicts__serve(struct task *task)
{
    struct reader r = reader_of(task->payload);
    bool counting = read_u8(&r);
    uint64_t table = read_varint(&r), wanted = read_varint(&r);
    bool with_shards = read_u8(&r);
    if (!reader_finished(&r) || wanted == 0 || wanted > ROWS_MAX) {
        task__finish(task);
        return;
    }
    serve(task, counting, table, (uint32_t)wanted, with_shards);
}

/* ---- the asker's side ---- */

struct ask_work {
    struct serve_work sum;
    uint32_t outstanding;
    int silent; /* a node that did not answer, or -1 */
    void (*write)(struct task *task, const struct conflict_list *list, uint64_t count);
};

static void ask_complete(struct task *task)
{
    struct ask_work *w = task->work;
    const struct topology *t = shard__topology(task->shard);
    uint64_t count = 0;
    if (w->silent >= 0) {
        resp_write_error_format(&task->reply,
                                "UNAVAILABLE node %s of this region did not answer: the list would not be whole",
                                t->nodes[w->silent].id);
        task__finish(task);
        return;
    }
    sort_rows(&w->sum.list);
    for (uint32_t i = 0; i < w->sum.counts_used; i++) count += w->sum.counts[i].count;
    w->write(task, &w->sum.list, count);
    task__finish(task);
}

static void ask_answered(struct task *task, uint32_t part, enum call_outcome outcome, struct slice answer)
{
    struct ask_work *w = task->work;
    bool taken = outcome == CALL_ANSWERED && (w->sum.counting ? take_counts(&w->sum, &task->arena, answer)
                                                              : take_list(&w->sum.list, &task->arena, answer));
    if (!taken) w->silent = (int)part;
    if (--w->outstanding == 0) ask_complete(task);
}

/* A node of our region that is away and alone holds something that was asked for, or -1. */
static int missing_holder(struct shard *s, uint64_t table)
{
    const struct topology *t = shard__topology(s);
    uint8_t region = shard__self(s)->region;
    for (uint32_t i = 0; i < s->tables_count; i++) {
        struct table_slot *slot = s->tables[i];
        if (!slot->partitions || slot->state == TABLE_DROPPED || slot->state == TABLE_HIDDEN ||
            (table && slot->table.id != table))
            continue;
        for (uint16_t p = 0; p < slot->table.contract.partitions; p++) {
            int away = -1;
            bool there = false;
            for (uint32_t k = 0; k < slot->partitions[p].nodes_count; k++) {
                uint8_t node = slot->partitions[p].nodes[k];
                if (t->nodes[node].region != region) continue;
                if (node == s->config.node || s->peers[node].up)
                    there = true;
                else
                    away = node;
            }
            if (!there && away >= 0) return away;
        }
    }
    return -1;
}

void conflicts__ask(struct task *task, bool counting, uint64_t table, uint32_t wanted,
                    void (*write)(struct task *task, const struct conflict_list *list, uint64_t count))
{
    struct shard *s = task->shard;
    const struct topology *t = shard__topology(s);
    struct ask_work *w = arena_alloc(&task->arena, sizeof *w);
    if (wanted > ROWS_MAX) wanted = ROWS_MAX;
    *w = (struct ask_work){.sum = {.counting = counting, .list = {.wanted = wanted}}, .outstanding = 1, .write = write};
    w->silent = missing_holder(s, table);
    task->work = w;
    task->part_done = ask_answered;
    for (uint32_t i = 0; i < t->nodes_count && w->silent < 0; i++) {
        if (i == s->config.node || t->nodes[i].region != shard__self(s)->region || !s->peers[i].up) continue;
        w->outstanding++;
        write_question(call__begin(s, NULL, CALL_CONFLICTS), counting, table, wanted, true);
        call__ask(task, i, (struct target){TARGET_NODE, (uint8_t)i, 0}, false);
    }
    if (w->silent < 0) {
        w->outstanding++;
        struct task *child = task__new(s, TASK_OF_TASK);
        child->parent = task;
        child->part = s->config.node;
        child->kind = CALL_CONFLICTS;
        serve(child, counting, table, wanted, true);
    }
    if (--w->outstanding == 0) ask_complete(task);
}
