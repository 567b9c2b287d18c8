/* gather.c: commands whose answer is put together from the whole keyspace of the region: SCAN, KEYS, DBSIZE, RANDOMKEY.
 *
 * Each place of the keyspace is answered by one replica of this region, one step at a time, so that no loop stalls.
 */
#include "node/shard_internal.h"

/* ---- the keyspace: one step in one place ---- */

/* Payload of CALL_KEYSPACE: kind u8, items, match_all u8, pattern, any_type u8, type u8, value type u8, hash u64 to go
 * on from. Answer: ended u8, hash u64 to go on from, count, keys (the rest). */
static void write_question(struct buffer *b, const struct keyspace_query *query, uint64_t hash)
{
    write_u8(b, (uint8_t)query->kind);
    write_varint(b, query->items_max);
    write_u8(b, query->match_all);
    write_bytes(b, query->pattern);
    write_u8(b, query->any_type);
    write_u8(b, (uint8_t)query->type);
    write_u8(b, (uint8_t)query->value_type);
    write_u64(b, hash);
}

static bool read_question(struct slice payload, struct keyspace_query *query, uint64_t *out_hash)
{
    struct reader r = reader_of(payload);
    uint8_t kind = read_u8(&r);
    uint64_t items = read_varint(&r);
    query->match_all = read_u8(&r);
    query->pattern = read_bytes(&r);
    query->any_type = read_u8(&r);
    uint8_t type = read_u8(&r), value_type = read_u8(&r);
    *out_hash = read_u64(&r);
    if (!reader_finished(&r) || kind > KEYSPACE_RANDOMKEY || type > OBJECT_SET || value_type > VALUE_ZSET) return false;
    if (items == 0 || items > KEYSPACE_STEP_ITEMS_MAX) return false;
    query->kind = (enum keyspace_kind)kind;
    query->items_max = (uint32_t)items;
    query->type = (enum object_type)type;
    query->value_type = (enum value_type)value_type;
    return true;
}

static void scan_place(struct shard *s, const struct partition_slot *slot, const struct keyspace_query *query,
                       uint64_t hash, struct keyspace_answer *answer)
{
    struct keyspace_place place = {slot->replica, slot->group ? group_machine(slot->group) : NULL};
    switch (query->kind) {
    case KEYSPACE_SCAN:
    case KEYSPACE_KEYS: keyspace_scan(place, query, hash, s->now, answer); return;
    case KEYSPACE_DBSIZE: keyspace_count(place, hash, s->now, answer); return;
    case KEYSPACE_RANDOMKEY: keyspace_random(place, &s->prng, s->now, answer); return;
    }
    PANIC("keyspace query of kind %d", (int)query->kind);
}

/* A step stopped in front of a cold item without having found anything. */
static bool waits_for_cold(const struct keyspace_answer *answer)
{
    return answer->cold && answer->count == 0;
}

void gather__serve_keyspace(struct task *task)
{
    struct shard *s = task->shard;
    struct keyspace_query query;
    uint64_t hash;
    struct keyspace_answer answer = {0};
    struct buffer keys;
    if (!task->slot || !(task->slot->replica || ordered__serves(task->slot)) ||
        !read_question(task->payload, &query, &hash)) {
        task__finish(task); /* an empty answer: the asker takes it as none */
        return;
    }
    buffer_init(&keys, FRAME_BODY_BYTES_MAX / 2);
    answer.keys = &keys;
    scan_place(s, task->slot, &query, hash, &answer);
    if (waits_for_cold(&answer)) {
        task->state = TASK_COLD;
        task__fetch(s, NULL, task, answer.cold_space, answer.cold);
    } else {
        task__wait_for_lsn(task, answer.wait_lsn);
        write_u8(&task->reply, answer.ended);
        write_u64(&task->reply, answer.next_hash);
        write_varint(&task->reply, answer.count);
        buffer_append_slice(&task->reply, buffer_slice(&keys));
        task__finish(task);
    }
    buffer_deinit(&keys);
}

/* ---- the keyspace: all places ---- */

struct keyspace_work {
    struct keyspace_query query;
    struct keyspace_cursor at;
    uint32_t places_left; /* RANDOMKEY: how many more to try */
    struct buffer keys;
    uint64_t count;
    bool asking;
};

enum { PLACES_PER_STEP = 256, GATHERED_BYTES_MAX = 256 * 1024 * 1024 };

static void keyspace_work_free(void *work)
{
    struct keyspace_work *w = work;
    buffer_deinit(&w->keys);
}

static void keyspace_end(struct task *task, bool ended)
{
    struct keyspace_work *w = task->work;
    if (w->keys.overflowed) {
        resp_write_error(&task->reply, "ERR too many keys for one reply: use SCAN");
    } else {
        keyspace_reply(&task->reply, task->resp_version, &w->query, buffer_slice(&w->keys), w->count, ended, w->at);
    }
    task__finish(task);
}

/* The next place at or after `at` that this region answers for. */
static struct partition_slot *next_place(struct shard *s, struct keyspace_cursor *at)
{
    uint8_t region = shard__self(s)->region;
    while (at->table_index < s->tables_count) {
        struct table_slot *table = s->tables[at->table_index];
        if (table->state == TABLE_LIVE && table->table.contract.replicas[region] &&
            at->partition < table->table.contract.partitions) {
            return &table->partitions[at->partition];
        }
        *at = (struct keyspace_cursor){.table_index = (uint16_t)(at->table_index + 1)};
    }
    return NULL;
}

static void advance_place(struct keyspace_cursor *at)
{
    at->partition++;
    at->hash = 0;
}

/* A replica of our region that can answer. */
static struct target target_in_region(struct shard *s, const struct partition_slot *slot)
{
    struct target target = route__target(s, slot);
    const struct topology *t = shard__topology(s);
    if (target.kind == TARGET_NODE && t->nodes[target.node].region != shard__self(s)->region) target.kind = TARGET_NONE;
    return target;
}

/* What one place answered. Returns true when the whole question is answered. */
static bool take_answer(struct keyspace_work *w, bool ended, uint64_t next_hash, uint64_t count, struct slice keys)
{
    w->count += count;
    buffer_append_slice(&w->keys, keys);
    if (ended) {
        advance_place(&w->at);
    } else {
        w->at.hash = next_hash;
    }
    if (w->query.kind == KEYSPACE_RANDOMKEY) {
        if (w->at.hash) advance_place(&w->at);
        if (w->places_left) w->places_left--;
        return w->count > 0;
    }
    return w->query.kind == KEYSPACE_SCAN && w->count > 0;
}

static void keyspace_step(struct task *task);

static void place_answered(struct task *task, uint32_t part, enum call_outcome outcome, struct slice answer)
{
    (void)part;
    struct shard *s = task->shard;
    struct keyspace_work *w = task->work;
    struct reader r = reader_of(answer);
    bool ended = read_u8(&r);
    uint64_t next = read_u64(&r), count = read_varint(&r);
    task->step = keyspace_step;
    bool goes_on = ended || next > w->at.hash || w->query.kind == KEYSPACE_RANDOMKEY;
    if (outcome != CALL_ANSWERED || r.failed || !goes_on) {
        struct partition_slot *slot = next_place(s, &w->at);
        resp_write_error_format(&task->reply,
                                "UNAVAILABLE a node of this region that holds a part of %s did not answer; try again",
                                slot ? slot->table->table.name : "the keyspace");
        task__finish(task);
        return;
    }
    if (take_answer(w, ended, next, count, slice_of(r.at, reader_left(&r)))) {
        keyspace_end(task, next_place(s, &w->at) == NULL);
    }
}

static void cold_fetched(void *user, enum status status)
{
    struct task *task = user;
    task->cold_status = status;
    task->step = keyspace_step;
}

/* One step in a place of this shard. Returns true when the step used up its time. */
static bool step_here(struct task *task, struct partition_slot *slot, bool *out_answered)
{
    struct shard *s = task->shard;
    struct keyspace_work *w = task->work;
    struct keyspace_answer answer = {.keys = &s->scratch};
    buffer_clear(&s->scratch);
    scan_place(s, slot, &w->query, w->at.hash, &answer);
    if (waits_for_cold(&answer)) {
        task->step = NULL;
        w->at.hash = answer.ended ? 0 : answer.next_hash;
        store_fetch(answer.cold_space, answer.cold, cold_fetched, task);
        return true;
    }
    task__wait_for_lsn(task, answer.wait_lsn);
    *out_answered = take_answer(w, answer.ended, answer.next_hash, answer.count, buffer_slice(&s->scratch));
    return !answer.ended;
}

static void ask_place(struct task *task, struct partition_slot *slot, struct target target)
{
    struct keyspace_work *w = task->work;
    struct buffer *payload = call__begin(task->shard, slot, CALL_KEYSPACE);
    write_question(payload, &w->query, w->at.hash);
    task->step = NULL;
    call__ask(task, 0, target, false);
}

static void keyspace_step(struct task *task)
{
    struct shard *s = task->shard;
    struct keyspace_work *w = task->work;
    for (uint32_t i = 0; i < PLACES_PER_STEP; i++) {
        struct partition_slot *slot = next_place(s, &w->at);
        if (!slot && w->query.kind == KEYSPACE_RANDOMKEY && w->places_left) {
            w->at = (struct keyspace_cursor){0};
            slot = next_place(s, &w->at);
        }
        if (!slot || (w->query.kind == KEYSPACE_RANDOMKEY && w->places_left == 0)) {
            keyspace_end(task, true);
            return;
        }
        struct target target = target_in_region(s, slot);
        if (target.kind == TARGET_NONE || task->cold_status != STATUS_OK) {
            resp_write_error_format(&task->reply,
                                    "UNAVAILABLE a part of table '%s' can't be read in this region now; try again",
                                    slot->table->table.name);
            task__finish(task);
            return;
        }
        if (target.kind != TARGET_HERE) {
            ask_place(task, slot, target);
            return;
        }
        bool answered = false;
        bool pause = step_here(task, slot, &answered);
        if (answered) {
            keyspace_end(task, next_place(s, &w->at) == NULL);
            return;
        }
        if (pause) return;
    }
}

static uint32_t count_places(struct shard *s)
{
    uint32_t count = 0;
    struct keyspace_cursor at = {0};
    while (next_place(s, &at)) {
        count++;
        advance_place(&at);
    }
    return count;
}

enum command_result gather_keyspace(struct request *request, const struct keyspace_query *query)
{
    struct task *task = request->task;
    struct shard *s = request->shard;
    struct keyspace_work *w = arena_alloc(&task->arena, sizeof *w);
    *w = (struct keyspace_work){.query = *query, .at = query->from};
    buffer_init(&w->keys, GATHERED_BYTES_MAX);
    if (query->kind == KEYSPACE_RANDOMKEY) {
        /* From a random place on, through all of them once. */
        w->places_left = count_places(s);
        for (uint64_t skip = w->places_left ? prng_below(&s->prng, w->places_left) : 0; skip; skip--) {
            (void)next_place(s, &w->at);
            advance_place(&w->at);
        }
    }
    task->work = w;
    task->work_free = keyspace_work_free;
    task->part_done = place_answered;
    task->step = keyspace_step;
    keyspace_step(task);
    return COMMAND_ASYNC;
}
