/* call.c: a question to another node or to another shard of this process, and its answer.
 *
 *   PEER_CALL     table u64, partition u32, epoch u32, run u64, call id u64, shard of the asker u8, kind u8, payload
 *   PEER_ANSWER   shard of the asker u8, run u64, call id u64, payload
 *
 * Table and partition come first, so that the world finds the shard that holds them (shard_of_frame); table 0 is a
 * question to the node. Calls of the control channel have the same form under their own frame types.
 *
 * L1  Each call ends in one `done`: answered, not sent, or lost (timeout, connection gone). Nothing is sent twice (S8).
 * L2  Run and id name one call: a late answer finds nobody, also where it answers the asker's former self. The id is a
 *     sequence number and, in its low 16 bits, an index of the table of calls under way.
 * L3  A call is served once, even if the network delivers it twice: of each asker the newest sequence numbers are
 *     remembered, and what is older than that is taken for a duplicate. `run` tells a restarted asker from its former
 *     self.
 */
#include "base/memory.h"
#include "node/shard_internal.h"

enum {
    CALL_ID_OFFSET = 24,
    CALL_KIND_OFFSET = CALL_ID_OFFSET + 8 + 1, /* behind the id and the asker's shard */
    CALL_INDEX_BITS = 16,
    CALL_FRAME_BYTES_MAX = FRAME_BODY_BYTES_MAX,
    CALL_ANSWER_HEAD_BYTES = 17, /* shard, run, id */
};

struct buffer *call__begin(struct shard *s, const struct partition_slot *slot, enum call_kind kind)
{
    struct buffer *b = &s->frame;
    buffer_clear(b);
    write_u64(b, slot ? slot->table->table.id : 0);
    write_u32(b, slot ? slot->partition : 0);
    write_u32(b, (uint32_t)shard__topology(s)->epoch);
    write_u64(b, s->config.seed); /* another one for each run of a shard */
    write_u64(b, 0);
    write_u8(b, s->config.shard);
    write_u8(b, (uint8_t)kind);
    return b;
}

/* ---- the table of calls under way ---- */

static struct list *list_of_target(struct shard *s, struct target target)
{
    return target.kind == TARGET_NODE ? &s->calls_to_node[target.node] : &s->calls_to_shard[target.shard];
}

static struct call *call_take(struct shard *s)
{
    if (s->calls_count >= CALLS_MAX) return NULL;
    if (s->calls_free_count == 0) {
        struct call *call = memory_zalloc(1, sizeof *call);
        if (s->calls_made == s->calls_capacity) {
            s->calls_capacity = s->calls_capacity ? s->calls_capacity * 2 : 64;
            s->calls = memory_realloc(s->calls, s->calls_capacity * sizeof(struct call *));
            s->calls_free = memory_realloc(s->calls_free, s->calls_capacity * sizeof *s->calls_free);
        }
        call->index = s->calls_made;
        s->calls[s->calls_made++] = call;
        s->calls_free[s->calls_free_count++] = call->index;
    }
    struct call *call = s->calls[s->calls_free[--s->calls_free_count]];
    s->calls_count++;
    call->id = ++s->calls_sequence << CALL_INDEX_BITS | call->index;
    return call;
}

static struct call *call_find(struct shard *s, uint64_t id)
{
    uint32_t index = id & ((1u << CALL_INDEX_BITS) - 1);
    if (index >= s->calls_made) return NULL;
    struct call *call = s->calls[index];
    return call->id == id && list_node_is_linked(&call->node) ? call : NULL;
}

static void call_end(struct shard *s, struct call *call, enum call_outcome outcome, struct slice answer)
{
    struct call ended = *call;
    if (list_node_is_linked(&call->node)) list_remove(&call->node);
    call->id = 0;
    s->calls_free[s->calls_free_count++] = call->index;
    s->calls_count--;
    if (outcome == CALL_LOST) s->statistics.forwarded_unknown++;
    ended.done(s, &ended, outcome, answer);
}

static uint64_t timeout_ns(const struct shard *s, struct target target)
{
    const struct topology *t = shard__topology(s);
    uint64_t latency_us = 0;
    if (target.kind == TARGET_NODE) {
        const struct topology_link *link = &t->links[shard__self(s)->region][t->nodes[target.node].region];
        latency_us = link->latency_us + link->jitter_us;
    }
    return CALL_TIMEOUT_MS * 1000000ull + 2 * latency_us * 1000;
}

static bool frame_leaves(struct shard *s, struct target target, bool control)
{
    struct slice body = buffer_slice(&s->frame);
    if (s->frame.overflowed) return false;
    if (target.kind == TARGET_SHARD) return s->ports.shard_send(s->ports.world, target.shard, PEER_CALL, body);
    return peer__send(s, target.node, control ? PEER_CONTROL_CALL : PEER_CALL, body);
}

void call__send(struct shard *s, struct target target, bool control, call_done done, void *user, uint64_t a, uint64_t b)
{
    struct call *call = call_take(s);
    if (!call) {
        struct call refused = {.target = target, .done = done, .user = user, .a = a, .b = b};
        done(s, &refused, CALL_NOT_SENT, slice_of(NULL, 0));
        return;
    }
    call->target = target;
    call->kind = (enum call_kind)s->frame.data[CALL_KIND_OFFSET];
    call->done = done;
    call->user = user;
    call->a = a;
    call->b = b;
    call->deadline_ns = s->now.mono_ns + timeout_ns(s, target);
    for (int i = 0; i < 8; i++) s->frame.data[CALL_ID_OFFSET + i] = (uint8_t)(call->id >> (8 * i));
    if (!frame_leaves(s, target, control)) {
        call_end(s, call, CALL_NOT_SENT, slice_of(NULL, 0));
        return;
    }
    s->statistics.forwarded++;
    list_push_back(list_of_target(s, target), &call->node);
}

static void ask_done(struct shard *s, const struct call *call, enum call_outcome outcome, struct slice answer)
{
    (void)s;
    struct task *task = call->user;
    task->part_done(task, (uint32_t)call->a, outcome, answer);
}

void call__ask(struct task *task, uint32_t part, struct target target, bool control)
{
    call__send(task->shard, target, control, ask_done, task, part, 0);
}

/* ---- ends ---- */

static void fail_list(struct shard *s, struct list *list)
{
    struct list_node *n;
    while ((n = list_first(list))) call_end(s, CONTAINER_OF(n, struct call, node), CALL_LOST, slice_of(NULL, 0));
}

void call__on_node_down(struct shard *s, uint8_t node)
{
    fail_list(s, &s->calls_to_node[node]);
}

void call__on_node_silent(struct shard *s, uint8_t node)
{
    struct list *list = &s->calls_to_node[node];
    struct list_node *next, *last = list->head.previous; /* who is told may ask again */
    for (struct list_node *n = list_first(list); n; n = next) {
        next = n == last ? NULL : n->next;
        struct call *call = CONTAINER_OF(n, struct call, node);
        if (call->kind == CALL_ORDERED) call_end(s, call, CALL_LOST, slice_of(NULL, 0));
    }
}

static void check_list(struct shard *s, struct list *list)
{
    struct list_node *n;
    while ((n = list_first(list))) {
        struct call *call = CONTAINER_OF(n, struct call, node);
        if (call->deadline_ns > s->now.mono_ns) return;
        call_end(s, call, CALL_LOST, slice_of(NULL, 0));
    }
}

void call__check_deadlines(struct shard *s)
{
    for (uint32_t i = 0; i < shard__topology(s)->nodes_count; i++) check_list(s, &s->calls_to_node[i]);
    for (uint32_t i = 0; i < s->config.shards; i++) check_list(s, &s->calls_to_shard[i]);
}

void call__free_all(struct shard *s)
{
    for (uint32_t node = 0; node < TOPOLOGY_NODES_MAX; node++) {
        for (uint32_t shard = 0; shard < SHARDS_MAX; shard++) memory_free(s->windows[node][shard]);
    }
    for (uint32_t i = 0; i < s->calls_made; i++) memory_free(s->calls[i]);
    memory_free(s->calls);
    memory_free(s->calls_free);
}

bool call__on_answer(struct shard *s, uint8_t node, struct slice body)
{
    struct reader r = reader_of(body);
    (void)read_u8(&r);
    uint64_t run = read_u64(&r), id = read_u64(&r);
    if (r.failed) return false;
    struct call *call = run == s->config.seed ? call_find(s, id) : NULL;
    if (!call) return true; /* late: it ended as lost */
    if (call->target.node != node) return false;
    call_end(s, call, CALL_ANSWERED, slice_of(r.at, reader_left(&r)));
    return true;
}

void call__describe(struct shard *s, struct target target, enum call_outcome outcome, bool writes, struct buffer *reply)
{
    const struct topology *t = shard__topology(s);
    const struct topology_node *node = &t->nodes[target.node];
    const char *region = t->regions[node->region];
    if (outcome == CALL_NOT_SENT) {
        resp_write_error_format(reply,
                                "UNAVAILABLE node %s (region %s) can't be reached now; nothing was done, try again",
                                node->id, region);
    } else if (!writes) {
        resp_write_error_format(reply, "UNAVAILABLE node %s (region %s) did not answer; nothing was changed, try again",
                                node->id, region);
    } else {
        resp_write_error_format(
            reply,
            "UNKNOWN node %s (region %s) did not answer: the command may or may not have been done; "
            "read before you repeat it",
            node->id, region);
    }
}

/* ---- the other side ---- */

/* The words of a forwarded command, checked as if they came from a client. */
static bool serve_command(struct task *task, struct reader *r)
{
    struct shard *s = task->shard;
    uint8_t version = read_u8(r);
    uint64_t count = read_varint(r);
    if (r->failed || (version != 2 && version != 3) || count == 0 || count > reader_left(r)) return false;
    struct slice *args = arena_alloc(&task->arena, count * sizeof *args);
    for (uint64_t i = 0; i < count; i++) args[i] = arena_copy(&task->arena, read_bytes(r));
    if (!reader_finished(r)) return false;
    task->args = args;
    task->args_count = count;
    task->resp_version = version;
    task->command = command_find(args, count);
    if (!task->command || !dispatch__arity_fits(task->command, count)) return false;
    const struct command *command = task->command;
    if (!task->slot) return (command->flags & COMMAND_SHARD_ZERO) && s->config.shard == 0;
    bool is_ordered = task->slot->table->table.contract.engine == ENGINE_ORDERED;
    if (is_ordered && task->command->scope != SCOPE_ENTRY) return false;
    if (command->scope == SCOPE_ENTRY) return true;
    if (command->scope == SCOPE_CONNECTION || command->scope == SCOPE_KEYSPACE || command->key_first == 0) return false;
    size_t step = command->scope == SCOPE_KEY ? count : command->key_step;
    for (size_t i = command->key_first; i < count; i += step) {
        if (route__key(task->slot->table, hash_key(args[i])) != task->slot) return false;
    }
    return true;
}

/* Do we and the asker mean the same table by the key? One of us may not have heard of its creation yet. */
static bool is_of_its_table(const struct task *task)
{
    if (!task->slot || task->command->scope == SCOPE_ENTRY) return true;
    return route__table(task->shard, task->args[task->command->key_first]) == task->slot->table;
}

/* L3. Windows are made when an asker is first heard. */
static bool is_duplicate(struct shard *s, uint8_t node, uint8_t shard, uint64_t run, uint64_t id)
{
    struct call_window **place = &s->windows[node][shard];
    if (!*place) *place = memory_zalloc(1, sizeof **place);
    struct call_window *w = *place;
    if (w->run != run) *w = (struct call_window){.run = run};
    uint64_t sequence = id >> CALL_INDEX_BITS;
    if (sequence > w->newest) {
        uint64_t steps = sequence - w->newest;
        for (uint64_t i = 1; i <= steps && i <= CALL_WINDOW; i++) {
            uint64_t bit = (w->newest + i) % CALL_WINDOW;
            w->seen[bit / 64] &= ~(1ull << bit % 64);
        }
        w->newest = sequence;
    } else if (w->newest - sequence >= CALL_WINDOW) {
        return true;
    }
    uint64_t bit = sequence % CALL_WINDOW, mask = 1ull << bit % 64;
    bool seen = w->seen[bit / 64] & mask;
    w->seen[bit / 64] |= mask;
#ifdef PLANTED_BUG_COUNTER_DOUBLE
    seen = false;
#endif
    return seen;
}

bool call__on_call(struct shard *s, uint8_t node, uint8_t shard, bool control, struct slice body)
{
    struct reader r = reader_of(body);
    uint64_t table = read_u64(&r);
    uint32_t partition = read_u32(&r);
    uint32_t epoch = read_u32(&r);
    uint64_t run = read_u64(&r);
    uint64_t id = read_u64(&r);
    uint8_t asker = read_u8(&r);
    uint8_t kind = read_u8(&r);
    if (r.failed || epoch != (uint32_t)shard__topology(s)->epoch || (node == s->config.node && asker != shard))
        return false;
    if (kind < CALL_COMMAND || kind > CALL_RECOVER || control != (kind == CALL_FAULT && node != s->config.node))
        return false;
    if (asker >= SHARDS_MAX) return false;
    if (is_duplicate(s, node, asker, run, id)) return true;
    struct task *task = task__new(s, TASK_OF_CALL);
    task->kind = (enum call_kind)kind;
    task->call_node = node;
    task->call_shard = asker;
    task->call_control = control;
    task->call_run = run;
    task->call_id = id;
    s->statistics.served++;
    if (table) task->slot = partition <= UINT16_MAX ? catalog__slot(s, table, (uint16_t)partition) : NULL;
    if (table && !task->slot) {
        resp_write_error(&task->reply,
                         "UNAVAILABLE the table is not known at the node that holds it; nothing was done");
        task__finish(task);
        return true;
    }
    if (s->stopping && kind == CALL_ORDERED && task->slot) { /* whoever leads now does it */
        ordered__redirect(task);
        return true;
    }
    if (s->stopping || s->tasks_count > TASKS_MAX) {
        resp_write_error(&task->reply, s->stopping ? "UNAVAILABLE the node is shutting down; nothing was done"
                                                   : "UNAVAILABLE the node is overloaded; nothing was done");
        task__finish(task);
        return true;
    }
    if (kind == CALL_COMMAND && !serve_command(task, &r)) {
        resp_write_error(&task->reply, "ERR malformed forwarded command");
        task__finish(task);
        return false;
    }
    if (kind == CALL_COMMAND && !is_of_its_table(task)) {
        resp_write_error(&task->reply,
                         "UNAVAILABLE the nodes do not agree yet which table the key belongs to, as one has just been "
                         "created or this node has just come back; nothing was done, try again");
        task__finish(task);
        return true;
    }
    if (kind != CALL_COMMAND) task->payload = arena_copy(&task->arena, slice_of(r.at, reader_left(&r)));
    task__run(task);
    return true;
}

bool call__answer(struct task *task)
{
    struct shard *s = task->shard;
    if (task->reply.length > CALL_FRAME_BYTES_MAX - CALL_ANSWER_HEAD_BYTES) {
        buffer_clear(&task->reply);
        resp_write_error(&task->reply, "ERR the reply is too large to be forwarded: ask the node that holds the key");
    }
    buffer_clear(&s->frame);
    write_u8(&s->frame, task->call_shard);
    write_u64(&s->frame, task->call_run);
    write_u64(&s->frame, task->call_id);
    buffer_append_slice(&s->frame, buffer_slice(&task->reply));
    if (task->call_node == s->config.node) {
        return s->ports.shard_send(s->ports.world, task->call_shard, PEER_ANSWER, buffer_slice(&s->frame));
    }
    uint8_t type = task->call_control ? PEER_CONTROL_ANSWER : PEER_ANSWER;
    bool sent = peer__send(s, task->call_node, type, buffer_slice(&s->frame));
    /* Who is away will have given up: its call is lost, and ours with it. */
    return sent || !peer__is_up(s, task->call_node);
}
