/* gather_keys.c: one command on many keys: MGET, DEL, MSET and their like.
 *
 *             its replica is here: run now, some keys a step --------\
 *     key --<                                                         >-- reply of the key --> sum, OK, array
 *             else, or it is cold: a part of its partition ----------/
 *
 *     part:   FREE --> OPEN --(forward__part)--> SENT --> FREE        (its answer: the replies of its keys, one by one)
 *                \---(cold: a child task)------> COLD --> FREE
 *
 * At the other side of a part the same command runs with a slot: all its keys belong there, and its answer is the list
 * of their replies, of which the last ones may be missing where they would be too long.
 *
 * G1  Of a key that is given twice, the first place is done first: of a partition at most one part is SENT, nothing
 *     runs here while it is, and nothing overtakes its own cold key. Across keys there is no order.
 * G2  When some keys of a write succeeded and others did not, the reply says UNKNOWN, never UNAVAILABLE: something was
 *     done (S8).
 * G3  No step runs more keys than fit into about half a millisecond; the loop goes round between steps (S2 of shard.c).
 */
#include "base/memory.h"
#include "node/shard_internal.h"

enum {
    KEYS_PER_STEP = 256,   /* started per iteration by all commands on many keys together: about half a millisecond */
    KEYS_PER_STEP_MIN = 8, /* by each of them, however many they are */
    STEP_BYTES_MAX = 1024 * 1024, /* words read, or replies put together, in one step */
    PARTS_MAX = 64,               /* of one command at a time */
    PART_KEYS_MAX = 512,
    PART_BYTES_MAX = 1024 * 1024, /* of its words, and of its replies; or a single one */
    ERROR_BYTES_MAX = 64 * 1024,
};

enum part_state { PART_FREE, PART_OPEN, PART_SENT, PART_COLD };

struct part {
    enum part_state state;
    struct partition_slot *slot;
    uint64_t cold_hash; /* COLD: of its one key */
    size_t bytes;       /* of the words of its keys */
    uint32_t count;
    uint32_t *keys; /* PART_KEYS_MAX of them, made when first needed */
};

struct key_reply { /* a stretch of `kept` */
    size_t offset, length;
};

struct keys_work {
    size_t count, started, answered;
    struct part *parts; /* PARTS_MAX of them, made when first needed */
    uint32_t parts_used;
    struct task *spare; /* a child that stands for the key that runs, and waits for it if it is cold */
    struct buffer one;  /* the reply of the key that runs */
    struct slice prefix;
    struct table_slot *prefix_table; /* of the last key with a prefix, under prefix_generation */
    uint64_t prefix_generation;
    int64_t sum;
    size_t failed, failed_first;
    struct buffer error;       /* of failed_first */
    struct key_reply *replies; /* NULL: only sum and errors matter; length 0: not there yet */
    struct buffer kept;        /* what is there, but not yet put together */
    size_t assembled;          /* replies that are in the task's reply */
    bool full;                 /* the next one did not fit */
};

static void keys_work_free(void *work)
{
    struct keys_work *w = work;
    buffer_deinit(&w->one);
    buffer_deinit(&w->error);
    buffer_deinit(&w->kept);
    memory_free(w->replies);
}

/* ---- replies of keys ---- */

static bool is_error(struct slice reply)
{
    return reply.length == 0 || reply.data[0] == '-';
}

/* Of a ":n" reply. */
static int64_t integer_of(struct slice reply)
{
    int64_t n = 0;
    bool is_integer =
        reply.length > 3 && reply.data[0] == ':' && slice_to_i64(slice_of(reply.data + 1, reply.length - 3), &n);
    return is_integer ? n : 0;
}

static void take_reply(struct task *task, size_t i, struct slice reply)
{
    struct keys_work *w = task->work;
    w->answered++;
    if (w->replies) {
        size_t offset = w->kept.length;
        buffer_append_slice(&w->kept, reply);
        if (!w->kept.overflowed) w->replies[i] = (struct key_reply){offset, reply.length};
    }
    if (!is_error(reply)) {
        w->sum += integer_of(reply);
    } else if (w->failed++ == 0 || i < w->failed_first) {
        w->failed_first = i;
        buffer_clear(&w->error);
        buffer_append_slice(&w->error, reply);
    }
}

/* Put together what is there up to the first gap. */
static void assemble(struct task *task)
{
    struct keys_work *w = task->work;
    size_t until = task->reply.length + STEP_BYTES_MAX;
    while (w->assembled < w->count && !w->full && task->reply.length < until) {
        const struct key_reply *reply = &w->replies[w->assembled];
        if (reply->length == 0) break;
        if (task->slot && w->assembled > 0 && task->reply.length + reply->length > PART_BYTES_MAX) {
            w->full = true;
            break;
        }
        buffer_append(&task->reply, w->kept.data + reply->offset, reply->length);
        if (task->reply.overflowed) break;
        w->assembled++;
    }
    w->full |= task->reply.overflowed || w->kept.overflowed;
    if (w->assembled == w->answered && !w->full) buffer_clear(&w->kept);
}

static bool can_assemble(const struct keys_work *w)
{
    return w->replies && !w->full && w->assembled < w->count && w->replies[w->assembled].length > 0;
}

/* ---- the end ---- */

/* Some keys failed: the first error, as it is if nothing was written, else as UNKNOWN. */
static void reply_failure(struct task *task, const struct keys_work *w)
{
    buffer_clear(&task->reply);
    if (w->failed == w->count || !(task->command->flags & COMMAND_WRITES)) {
        buffer_append_slice(&task->reply, buffer_slice(&w->error));
        return;
    }
    struct buffer text;
    buffer_init(&text, ERROR_BYTES_MAX);
    buffer_append_format(&text, "UNKNOWN %zu of %zu keys were done; for the others: ", w->count - w->failed, w->count);
    if (w->error.length > 3) buffer_append(&text, w->error.data + 1, w->error.length - 3);
    buffer_append_byte(&text, 0);
    resp_write_error(&task->reply, (const char *)text.data);
    buffer_deinit(&text);
}

static void reply_too_large(struct task *task)
{
    buffer_clear(&task->reply);
    resp_write_error(&task->reply, "ERR the values are too large for one reply: ask for fewer keys at a time");
}

/* Nothing is under way and nothing is to be started or put together. */
static bool is_complete(const struct keys_work *w)
{
    if (w->parts_used > 0 || w->answered < w->count) return false;
    return !w->replies || w->full || w->assembled == w->count;
}

static void complete(struct task *task)
{
    struct keys_work *w = task->work;
    if (w->spare) w->spare->state = TASK_ENDED;
    task->shard->gathers_count--;
    if (task->slot) {
        if (w->assembled == 0) reply_too_large(task);
    } else if (w->failed) {
        reply_failure(task, w);
    } else if (w->full) {
        reply_too_large(task);
    } else if (task->command->scope == SCOPE_KEYS_SUM) {
        resp_write_integer(&task->reply, w->sum);
    } else if (task->command->scope == SCOPE_KEYS_OK) {
        resp_write_simple(&task->reply, "OK");
    }
    task__finish(task);
}

/* ---- parts ---- */

static struct part *part_find(const struct keys_work *w, const struct partition_slot *slot, enum part_state state)
{
    for (uint32_t i = 0; w->parts_used && i < PARTS_MAX; i++) {
        if (w->parts[i].slot == slot && w->parts[i].state == state) return &w->parts[i];
    }
    return NULL;
}

/* NULL: all are in use. */
static struct part *part_take(struct task *task, struct partition_slot *slot, enum part_state state)
{
    struct keys_work *w = task->work;
    if (w->parts_used == PARTS_MAX) return NULL;
    if (!w->parts) {
        w->parts = arena_alloc(&task->arena, PARTS_MAX * sizeof *w->parts);
        memset(w->parts, 0, PARTS_MAX * sizeof *w->parts);
    }
    struct part *part = w->parts;
    while (part->state != PART_FREE) part++;
    if (!part->keys) part->keys = arena_alloc(&task->arena, PART_KEYS_MAX * sizeof *part->keys);
    part->state = state;
    part->slot = slot;
    part->count = 0;
    part->bytes = 0;
    w->parts_used++;
    return part;
}

static void part_release(struct keys_work *w, struct part *part)
{
    ASSERT(part->state != PART_FREE && w->parts_used > 0);
    part->state = PART_FREE;
    part->slot = NULL;
    w->parts_used--;
}

/* Is something of this key under way, which it must not overtake (G1)? */
static bool must_wait(const struct keys_work *w, const struct partition_slot *slot, uint64_t key_hash)
{
    for (uint32_t i = 0; w->parts_used && i < PARTS_MAX; i++) {
        const struct part *part = &w->parts[i];
        if (part->slot != slot || part->state == PART_FREE) continue;
        if (part->state != PART_COLD || part->cold_hash == key_hash) return true;
    }
    return false;
}

/* Will a part be done without our doing? */
static bool is_under_way(const struct keys_work *w)
{
    for (uint32_t i = 0; w->parts_used && i < PARTS_MAX; i++) {
        if (w->parts[i].state == PART_SENT || w->parts[i].state == PART_COLD) return true;
    }
    return false;
}

/* A request on an ordered table finds its leader by itself, as a task here. */
static struct target target_of(struct task *task, const struct partition_slot *slot)
{
    if (slot->table->table.contract.engine == ENGINE_MERGEABLE) return route__target(task->shard, slot);
    return (struct target){TARGET_HERE, task->shard->config.node, task->shard->config.shard};
}

static const struct slice *words_of(const struct task *task, size_t i)
{
    return &task->args[task->command->key_first + i * task->command->key_step];
}

static size_t bytes_of(const struct task *task, size_t i)
{
    size_t bytes = 0;
    for (uint8_t k = 0; k < task->command->key_step; k++) bytes += words_of(task, i)[k].length;
    return bytes;
}

static void part_send(struct task *task, struct part *part)
{
    struct keys_work *w = task->work;
    struct target target = target_of(task, part->slot);
    part->state = PART_SENT;
    if (target.kind == TARGET_NONE) {
        struct buffer error;
        buffer_init(&error, ERROR_BYTES_MAX);
        route__unavailable(task->shard, part->slot, &error);
        for (uint32_t i = 0; i < part->count; i++) take_reply(task, part->keys[i], buffer_slice(&error));
        buffer_deinit(&error);
        part_release(w, part);
        return;
    }
    size_t step = task->command->key_step;
    struct arena_mark mark = arena_mark(&task->arena);
    struct slice *words = arena_alloc(&task->arena, (1 + part->count * step) * sizeof *words);
    words[0] = task->args[0];
    for (uint32_t i = 0; i < part->count; i++)
        memcpy(&words[1 + i * step], words_of(task, part->keys[i]), step * sizeof *words);
    forward__part(task, (uint32_t)(part - w->parts), part->slot, target, words, 1 + part->count * step);
    arena_rewind(&task->arena, mark);
}

static void send_open(struct task *task)
{
    struct keys_work *w = task->work;
    for (uint32_t i = 0; w->parts_used && i < PARTS_MAX; i++) {
        struct part *part = &w->parts[i];
        if (part->state == PART_OPEN && !part_find(w, part->slot, PART_SENT)) part_send(task, part);
    }
}

/* A group answers for all keys at once: an array without its head is the replies of the keys, and a sum stands for that
 * of the first key, the others add nothing to it. */
static struct slice of_group(struct task *task, const struct part *part, struct slice answer)
{
    static const char nothing[] = ":0\r\n";
    if (answer.length == 0 || is_error(answer)) return answer;
    if (task->command->scope == SCOPE_KEYS_ARRAY) {
        const uint8_t *end = memchr(answer.data, '\n', answer.length);
        return end ? slice_skip(answer, (size_t)(end + 1 - answer.data)) : answer;
    }
    struct buffer *b = &((struct keys_work *)task->work)->one;
    buffer_clear(b);
    buffer_append_slice(b, answer);
    for (uint32_t i = 1; i < part->count; i++) buffer_append_slice(b, slice_of_string(nothing));
    return buffer_slice(b);
}

/* The replies of a part's keys, in order. Returns: how many of them are sound. */
static uint32_t take_replies(struct task *task, const struct part *part, struct slice answer)
{
    if (part->slot->table->table.contract.engine == ENGINE_ORDERED) answer = of_group(task, part, answer);
    struct arena arena;
    struct resp_value value;
    size_t used = 0;
    uint32_t taken = 0;
    arena_init(&arena);
    while (taken < part->count && resp_read(answer, &arena, &value, &used) == STATUS_OK) {
        struct slice reply = slice_of(answer.data, used);
        take_reply(task, part->keys[taken++], reply);
        answer = slice_skip(answer, used);
        if (taken == 1 && answer.length == 0 && is_error(reply)) { /* why the part as a whole was refused */
            while (taken < part->count) take_reply(task, part->keys[taken++], reply);
        }
        arena_reset(&arena);
    }
    arena_deinit(&arena);
    return taken;
}

static void keys_step(struct task *task);

static void part_done(struct task *task, uint32_t index, enum call_outcome outcome, struct slice answer)
{
    struct keys_work *w = task->work;
    struct part *part = &w->parts[index];
    bool reads = !(task->command->flags & COMMAND_WRITES);
    uint32_t taken = outcome == CALL_ANSWERED ? take_replies(task, part, answer) : 0;
    task->step = keys_step;
    if (reads && taken > 0 && taken < part->count) { /* the rest did not fit: ask again */
        part->count -= taken;
        memmove(part->keys, part->keys + taken, part->count * sizeof *part->keys);
        part->state = PART_OPEN;
        return;
    }
    const char *error =
        outcome == CALL_NOT_SENT
            ? "-UNAVAILABLE a node that holds some of the keys can't be reached; nothing was done there\r\n"
            : "-UNKNOWN a node that holds some of the keys did not answer: read before you repeat\r\n";
    while (taken < part->count) take_reply(task, part->keys[taken++], slice_of_string(error));
    part_release(w, part);
}

/* ---- one key ---- */

static struct task *spare_child(struct task *task)
{
    struct keys_work *w = task->work;
    if (!w->spare) {
        w->spare = task__new(task->shard, TASK_OF_TASK);
        w->spare->state = TASK_WORKING;
        w->spare->parent = task;
        w->spare->command = task->command;
        w->spare->resp_version = task->resp_version;
    }
    arena_reset(&w->spare->arena);
    return w->spare;
}

/* The spare child stays with the key that runs, until its item is fetched. */
static void leave_cold(struct task *task, size_t i, struct partition_slot *slot, uint64_t key_hash)
{
    struct keys_work *w = task->work;
    struct part *part = part_take(task, slot, PART_COLD);
    ASSERT(part);
    part->cold_hash = key_hash;
    part->keys[part->count++] = (uint32_t)i;
    w->spare->part = (uint32_t)(part - w->parts);
    w->spare->slot = slot;
    w->spare->state = TASK_COLD;
    w->spare = NULL;
}

/* Run the key on its replica, which is here. Returns false, and nothing is done, when it has to wait. */
static bool run_key(struct task *task, size_t i, struct partition_slot *slot, uint64_t key_hash)
{
    struct keys_work *w = task->work;
    size_t step = task->command->key_step;
    if (w->parts_used == PARTS_MAX || must_wait(w, slot, key_hash)) return false;
    struct task *child = spare_child(task);
    child->args = arena_alloc(&child->arena, (1 + step) * sizeof *child->args);
    child->args_count = 1 + step;
    child->args[0] = task->args[0];
    memcpy(child->args + 1, words_of(task, i), step * sizeof *child->args);
    buffer_clear(&w->one);
    struct request request = {.shard = task->shard,
                              .task = child,
                              .command = task->command,
                              .args = child->args,
                              .args_count = child->args_count,
                              .resp_version = task->resp_version,
                              .arena = &child->arena,
                              .reply = &w->one};
    switch (dispatch__run(&request, slot, child->args[1], key_hash)) {
    case COMMAND_DONE:
        task__wait_for_lsn(task, request.wait_lsn);
        take_reply(task, i, buffer_slice(&w->one));
        return true;
    case COMMAND_PARK_COLD: leave_cold(task, i, slot, key_hash); return true;
    case COMMAND_PARK_BUSY: task->state = TASK_BUSY; return false;
    case COMMAND_ASYNC: break;
    }
    PANIC("%s of one key went asynchronous", task->command->name);
}

/* Put the key into the open part of its partition. Returns false, and nothing is done, when it has to wait. */
static bool hand_on(struct task *task, size_t i, struct partition_slot *slot)
{
    struct keys_work *w = task->work;
    size_t bytes = bytes_of(task, i);
    struct part *part = part_find(w, slot, PART_OPEN);
    if (part && (part->count == PART_KEYS_MAX || part->bytes + bytes > PART_BYTES_MAX)) {
        if (!part_find(w, slot, PART_SENT)) part_send(task, part);
        part = NULL;
    }
    bool waits = part_find(w, slot, PART_COLD) || (!part && part_find(w, slot, PART_OPEN));
    if (!part && !waits) part = part_take(task, slot, PART_OPEN);
    if (!part || waits) return false;
    part->keys[part->count++] = (uint32_t)i;
    part->bytes += bytes;
    return true;
}

static struct table_slot *table_of(struct task *task, struct slice key)
{
    struct shard *s = task->shard;
    struct keys_work *w = task->work;
    size_t n = w->prefix.length;
    if (LIKELY(n > 0 && key.length > n && key.data[n] == ':' && w->prefix_generation == s->catalog_generation &&
               memcmp(key.data, w->prefix.data, n) == 0)) {
        return w->prefix_table;
    }
    struct slice prefix = key_table_name(key);
    struct table_slot *table = route__table(s, key);
    if (prefix.length) {
        w->prefix = prefix;
        w->prefix_table = table;
        w->prefix_generation = s->catalog_generation;
    }
    return table;
}

static bool start_key(struct task *task, size_t i)
{
    struct shard *s = task->shard;
    struct keys_work *w = task->work;
    struct slice key = words_of(task, i)[0];
    uint64_t key_hash = hash_key(key);
    struct partition_slot *slot = task->slot;
    if (!slot) {
        struct table_slot *table = table_of(task, key);
        slot = route__key(table, key_hash);
    }
    if (LIKELY(slot->replica && replica_is_serving(slot->replica))) return run_key(task, i, slot, key_hash);
    bool from_node = task->origin == TASK_OF_CALL && task->call_node != s->config.node; /* R1: no second hop */
    if (from_node || target_of(task, slot).kind == TARGET_NONE) {
        buffer_clear(&w->one);
        route__unavailable(s, slot, &w->one);
        take_reply(task, i, buffer_slice(&w->one));
        return true;
    }
    return hand_on(task, i, slot);
}

/* ---- steps ---- */

static void keys_step(struct task *task)
{
    struct shard *s = task->shard;
    struct keys_work *w = task->work;
    uint32_t left = KEYS_PER_STEP / s->gathers_count;
    size_t bytes = 0;
    bool waits = false;
    if (left < KEYS_PER_STEP_MIN) left = KEYS_PER_STEP_MIN;
    for (; left > 0 && w->started < w->count && bytes < STEP_BYTES_MAX; left--) {
        bytes += bytes_of(task, w->started) + w->one.length;
        waits = !start_key(task, w->started);
        if (waits) break;
        w->started++;
    }
    send_open(task);
    if (w->replies) assemble(task);
    if (w->full) w->count = w->started;
    bool goes_on = (w->started < w->count && !waits) || can_assemble(w) || !is_under_way(w);
    task->step = goes_on ? keys_step : NULL; /* else until a part is done */
    if (is_complete(w)) complete(task);
}

/* Begins, or goes on after back-pressure of the log. */
void gather__keys(struct task *task)
{
    struct keys_work *w = task->work;
    if (!w) {
        ASSERT(task->command->key_first == 1);
        w = task->work = arena_alloc(&task->arena, sizeof *w);
        *w = (struct keys_work){.count = (task->args_count - 1) / task->command->key_step};
        buffer_init(&w->one, CLIENT_REPLY_BYTES_MAX);
        buffer_init(&w->error, ERROR_BYTES_MAX);
        buffer_init(&w->kept, CLIENT_REPLY_BYTES_MAX);
        if (!task->slot && task->command->scope == SCOPE_KEYS_ARRAY) resp_write_array(&task->reply, w->count);
        if (task->slot || task->command->scope == SCOPE_KEYS_ARRAY)
            w->replies = memory_zalloc(w->count, sizeof *w->replies);
        task->work_free = keys_work_free;
        task->part_done = part_done;
        task->shard->gathers_count++;
    }
    keys_step(task);
}
