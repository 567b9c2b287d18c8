/* table_protocol.c: creating and dropping tables (docs/decisions/0004).
 *
 *   TABLE CREATE at the coordinator         at every node that is up, itself included
 *   reserve(token, name)  ------------>     name free here, and no keys of `default` with that prefix? hold it
 *   all hold it, every region answered      (writes to such keys are refused while it is held)
 *   install(token, table) ------------>     catalog, log; answer once durable
 *   every region confirmed -> OK
 *   any refusal -> release(token), and the refusal is the reply
 *
 * A node that was away gets the table when it meets another one (peer.c, hello).
 *
 * T1  A held name is let go by install, by release, or RESERVATION_MS after it was taken.
 *     A node creates a name once at a time; so its newer request takes over a hold that an older one of its own left.
 * T2  The reply says UNKNOWN from the moment the first install was sent until each region has confirmed one (S8).
 */
#include "node/shard_internal.h"

enum { RESERVATION_MS = 30 * 1000, REFUSAL_BYTES_MAX = 1024 };

/* ---- holding names ---- */

static void remove_reservation(struct shard *s, uint32_t index)
{
    s->reservations[index] = s->reservations[--s->reservations_count];
}

static void release_token(struct shard *s, uint64_t token)
{
    for (uint32_t i = s->reservations_count; i-- > 0;) {
        if (s->reservations[i].token == token) remove_reservation(s, i);
    }
}

void table_protocol__expire(struct shard *s)
{
    for (uint32_t i = s->reservations_count; i-- > 0;) {
        if (s->reservations[i].until_ns <= s->now.mono_ns) remove_reservation(s, i);
    }
}

void table_protocol__installed(struct shard *s, const char *name)
{
    for (uint32_t i = s->reservations_count; i-- > 0;) {
        if (strcmp(s->reservations[i].name, name) == 0) remove_reservation(s, i);
    }
}

/* ---- serving: reserve ---- */

struct reserve_work {
    char name[TABLE_NAME_BYTES_MAX + 1];
    uint64_t token;
    uint32_t outstanding; /* the walk, and the other shards */
};

static bool walk_wants(void *user, struct partition_slot *slot, enum store_space_kind space)
{
    (void)user;
    return slot->table->table.id == TABLE_ID_DEFAULT && space == SPACE_DATA;
}

static void refuse_for_key(struct task *task, struct slice key)
{
    if (task->reply.length) return;
    buffer_append_format(
        &task->reply,
        "CONTRACT keys of this prefix exist in table 'default', such as '%.*s': move or delete them first",
        (int)(key.length < 64 ? key.length : 64), (const char *)key.data);
}

/* A deleted key is none; a cold one is, since only what lives is evicted. */
static bool walk_visit(void *user, struct partition_slot *slot, enum store_space_kind space, struct store_item *item)
{
    (void)slot, (void)space;
    struct task *task = user;
    struct reserve_work *w = task->work;
    struct slice key = store_item_key(item);
    if (!slice_equal(key_table_name(key), slice_of_string(w->name))) return true;
    if (item->object && object_type(item->object, task->shard->now.wall_ms) == OBJECT_NONE) return true;
    refuse_for_key(task, key);
    return false;
}

static void reserve_part_done(struct task *task)
{
    struct reserve_work *w = task->work;
    if (--w->outstanding > 0) return;
    if (task->reply.length) release_token(task->shard, w->token);
    task__finish(task);
}

static void walk_done(void *user)
{
    reserve_part_done(user);
}

static void shard_reserved(struct task *task, uint32_t part, enum call_outcome outcome, struct slice answer)
{
    (void)part;
    if (task->reply.length == 0) {
        if (outcome != CALL_ANSWERED) answer = SLICE_LITERAL("UNAVAILABLE a shard of a node did not answer");
        buffer_append_slice(&task->reply, answer);
    }
    reserve_part_done(task);
}

static void take_over(struct shard *s, const char *name, uint8_t node)
{
    for (uint32_t i = s->reservations_count; i-- > 0;) {
        if (s->reservations[i].node == node && strcmp(s->reservations[i].name, name) == 0) remove_reservation(s, i);
    }
}

/* Why the name can't be held, or NULL. */
static const char *reserve_refusal(struct shard *s, const struct reserve_work *w)
{
    if (catalog__by_name(s, slice_of_string(w->name))) return "ERR the table exists already";
    if (s->tables_count >= TABLES_MAX) return "CONTRACT there are too many tables, dropped ones included";
    if (catalog__name_is_reserved(s, slice_of_string(w->name)))
        return "UNAVAILABLE the table is being created by another request";
    if (s->reservations_count == RESERVATIONS_MAX) return "UNAVAILABLE too many tables are being created at once";
    return NULL;
}

static void hold(struct shard *s, const struct reserve_work *w, uint8_t node)
{
    struct reservation *r = &s->reservations[s->reservations_count++];
    memcpy(r->name, w->name, sizeof r->name);
    r->token = w->token;
    r->node = node;
    r->until_ns = s->now.mono_ns + RESERVATION_MS * 1000000ull;
}

static void serve_reserve(struct task *task)
{
    struct shard *s = task->shard;
    struct reader r = reader_of(task->payload);
    struct reserve_work *w = arena_alloc(&task->arena, sizeof *w);
    memset(w, 0, sizeof *w);
    w->token = read_u64(&r);
    struct slice name = read_bytes(&r);
    if (!reader_finished(&r) || !table_name_is_valid(name)) {
        buffer_append_format(&task->reply, "ERR malformed reservation");
        task__finish(task);
        return;
    }
    memcpy(w->name, name.data, name.length);
    uint8_t coordinator = task->origin == TASK_OF_CALL ? task->call_node : s->config.node;
    take_over(s, w->name, coordinator);
    const char *refusal = reserve_refusal(s, w);
    if (refusal) {
        buffer_append_format(&task->reply, "%s", refusal);
        task__finish(task);
        return;
    }
    hold(s, w, coordinator);
    task->work = w;
    task->state = TASK_WORKING;
    task->part_done = shard_reserved;
    w->outstanding = 1;
    for (uint8_t i = 1; s->config.shard == 0 && i < s->config.shards; i++) {
        w->outstanding++;
        struct buffer *payload = call__begin(s, NULL, CALL_TABLE_RESERVE);
        buffer_append_slice(payload, task->payload);
        call__ask(task, i, (struct target){TARGET_SHARD, s->config.node, i}, false);
    }
    walk__start(s, &(struct walk_visitor){
                       .user = task, .wants = walk_wants, .visit = walk_visit, .done = walk_done, .keys_only = true});
}

/* ---- serving: release, install ---- */

static void ignore_answer(struct shard *s, const struct call *call, enum call_outcome outcome, struct slice answer)
{
    (void)s, (void)call, (void)outcome, (void)answer; /* a hold that is not released expires */
}

static void serve_release(struct task *task)
{
    struct shard *s = task->shard;
    struct reader r = reader_of(task->payload);
    uint64_t token = read_u64(&r);
    if (reader_finished(&r)) release_token(s, token);
    for (uint8_t i = 1; s->config.shard == 0 && i < s->config.shards; i++) {
        struct buffer *payload = call__begin(s, NULL, CALL_TABLE_RELEASE);
        buffer_append_slice(payload, task->payload);
        call__send(s, (struct target){TARGET_SHARD, s->config.node, i}, false, ignore_answer, NULL, 0, 0);
    }
    task__finish(task);
}

/* Answer: empty once the table is durable here, else why not. */
static void serve_install(struct task *task)
{
    struct table table;
    uint64_t lsn = 0;
    enum status status = table_read(task->payload, shard__topology(task->shard), &table);
    if (status == STATUS_OK) status = catalog__merge(task->shard, &table, false, &lsn);
    if (status != STATUS_OK)
        buffer_append_format(&task->reply, "UNAVAILABLE a node can't take the table: %s", status_name(status));
    task__wait_for_lsn(task, lsn);
    task__finish(task);
}

void table_protocol__serve(struct task *task)
{
    if (task->kind == CALL_TABLE_RESERVE) {
        serve_reserve(task);
    } else if (task->kind == CALL_TABLE_INSTALL) {
        serve_install(task);
    } else {
        serve_release(task);
    }
}

/* ---- the coordinator ---- */

struct create_work {
    struct table table;
    uint64_t token;
    uint32_t outstanding;
    bool yes[TOPOLOGY_NODES_MAX]; /* answered, and agreed */
    struct buffer refusal;
    void (*complete)(struct task *task);
};

static void create_work_free(void *work)
{
    buffer_deinit(&((struct create_work *)work)->refusal);
}

static void node_answered(struct task *task, uint32_t part, enum call_outcome outcome, struct slice answer)
{
    struct create_work *w = task->work;
    w->yes[part] = outcome == CALL_ANSWERED && answer.length == 0;
    if (outcome == CALL_ANSWERED && answer.length && w->refusal.length == 0) {
        buffer_append_slice(&w->refusal, answer);
        buffer_append_format(&w->refusal, " (node %s)", shard__topology(task->shard)->nodes[part].id);
    }
    if (--w->outstanding == 0) w->complete(task);
}

/* Ask one kind of question to each node in `to`; ourselves as a child task. */
static void ask_nodes(struct task *task, enum call_kind kind, struct slice payload, const bool to[TOPOLOGY_NODES_MAX],
                      void (*complete)(struct task *task))
{
    struct shard *s = task->shard;
    struct create_work *w = task->work;
    bool ask[TOPOLOGY_NODES_MAX];
    memcpy(ask, to, sizeof ask);
    memset(w->yes, 0, sizeof w->yes);
    task->part_done = node_answered;
    w->complete = complete;
    w->outstanding = 1;
    for (uint32_t i = 0; i < shard__topology(s)->nodes_count; i++) {
        if (!ask[i]) continue;
        w->outstanding++;
        if (i == s->config.node) {
            struct task *child = task__new(s, TASK_OF_TASK);
            child->parent = task;
            child->part = i;
            child->kind = kind;
            child->payload = arena_copy(&child->arena, payload);
            task__run(child);
        } else {
            buffer_append_slice(call__begin(s, NULL, kind), payload);
            call__ask(task, i, (struct target){TARGET_NODE, (uint8_t)i, 0}, false);
        }
    }
    if (--w->outstanding == 0) w->complete(task);
}

static void nodes_up(const struct shard *s, bool out[TOPOLOGY_NODES_MAX])
{
    for (uint32_t i = 0; i < TOPOLOGY_NODES_MAX; i++) out[i] = i == s->config.node || s->peers[i].up;
}

/* The first region of which no node is in `nodes`, or -1. */
static int region_missing(const struct topology *t, const bool nodes[TOPOLOGY_NODES_MAX])
{
    for (uint32_t region = 0; region < t->regions_count; region++) {
        bool there = false;
        for (uint32_t i = 0; i < t->nodes_count; i++) there = there || (nodes[i] && t->nodes[i].region == region);
        if (!there) return (int)region;
    }
    return -1;
}

static void fail(struct task *task, const char *error)
{
    resp_write_error(&task->reply, error);
    task__finish(task);
}

static void on_installed(struct task *task)
{
    struct create_work *w = task->work;
    const struct topology *t = shard__topology(task->shard);
    int missing = region_missing(t, w->yes);
    if (missing >= 0) {
        resp_write_error_format(
            &task->reply,
            "UNKNOWN region %s has not confirmed the table; nodes that have it pass it on, TABLE SHOW %s tells",
            t->regions[missing], w->table.name);
    } else {
        resp_write_simple(&task->reply, "OK");
    }
    task__finish(task);
}

static void release_everywhere(struct task *task)
{
    struct shard *s = task->shard;
    struct create_work *w = task->work;
    release_token(s, w->token);
    for (uint32_t i = 0; i < shard__topology(s)->nodes_count; i++) {
        if (i == s->config.node || !s->peers[i].up) continue;
        write_u64(call__begin(s, NULL, CALL_TABLE_RELEASE), w->token);
        call__send(s, (struct target){TARGET_NODE, (uint8_t)i, 0}, false, ignore_answer, NULL, 0, 0);
    }
}

static void install(struct task *task, const bool to[TOPOLOGY_NODES_MAX], void (*complete)(struct task *task))
{
    struct create_work *w = task->work;
    struct buffer payload;
    buffer_init(&payload, 64 * 1024);
    table_write(&payload, &w->table, shard__topology(task->shard));
    ask_nodes(task, CALL_TABLE_INSTALL, buffer_slice(&payload), to, complete);
    buffer_deinit(&payload);
}

static void on_reserved(struct task *task)
{
    struct create_work *w = task->work;
    const struct topology *t = shard__topology(task->shard);
    int missing = region_missing(t, w->yes);
    if (w->refusal.length || missing >= 0) {
        release_everywhere(task);
        if (w->refusal.length == 0) {
            buffer_append_format(&w->refusal, "UNAVAILABLE no node of region %s answered; the table was not created",
                                 t->regions[missing]);
        }
        buffer_append_byte(&w->refusal, 0);
        fail(task, (const char *)w->refusal.data);
        return;
    }
    struct shard *s = task->shard;
    uint64_t ms = s->now.wall_ms > s->catalog_last_ms ? s->now.wall_ms : s->catalog_last_ms + 1;
    s->catalog_last_ms = ms;
    w->table.id = ms << 16 | shard__self(s)->number;
    w->table.created_stamp = stamp_of_ms(ms);
    if (contract_check_placement(&w->table.contract, t, w->table.id, &w->refusal) != STATUS_OK) {
        release_everywhere(task);
        buffer_append_byte(&w->refusal, 0);
        fail(task, (const char *)w->refusal.data);
        return;
    }
    install(task, w->yes, on_installed);
}

static struct create_work *create_work_new(struct task *task)
{
    struct create_work *w = arena_alloc(&task->arena, sizeof *w);
    memset(w, 0, sizeof *w);
    buffer_init(&w->refusal, REFUSAL_BYTES_MAX * 4);
    task->work = w;
    task->work_free = create_work_free;
    return w;
}

/* args: TABLE CREATE name words… */
void table_protocol__create(struct task *task)
{
    struct shard *s = task->shard;
    const struct topology *t = shard__topology(s);
    struct create_work *w = create_work_new(task);
    struct slice name = task->args[2];
    bool up[TOPOLOGY_NODES_MAX];
    if (!table_name_is_valid(name)) {
        resp_write_error_format(
            &task->reply, "ERR a table's name has 1 to %d letters, digits, '_', '.', '-' and does not begin with '__'",
            TABLE_NAME_BYTES_MAX);
        task__finish(task);
        return;
    }
    if (catalog__by_name(s, name)) {
        fail(task, "ERR the table exists already");
        return;
    }
    for (uint32_t i = 0; i < s->reservations_count; i++) {
        if (!slice_equal(slice_of_string(s->reservations[i].name), name)) continue;
        fail(task, "UNAVAILABLE the table is being created by another request; try again");
        return;
    }
    if (contract_parse(task->args + 3, task->args_count - 3, t, &w->table.contract, &w->refusal) != STATUS_OK) {
        buffer_append_byte(&w->refusal, 0);
        fail(task, (const char *)w->refusal.data);
        return;
    }
    nodes_up(s, up);
    int missing = region_missing(t, up);
    if (missing >= 0) {
        resp_write_error_format(
            &task->reply,
            "UNAVAILABLE a table needs a node of each region to be created, and none of %s can be reached; "
            "nothing was done",
            t->regions[missing]);
        task__finish(task);
        return;
    }
    memcpy(w->table.name, name.data, name.length);
    w->token = prng_u64(&s->prng);
    struct buffer payload;
    buffer_init(&payload, 256);
    write_u64(&payload, w->token);
    write_bytes(&payload, name);
    ask_nodes(task, CALL_TABLE_RESERVE, buffer_slice(&payload), up, on_reserved);
    buffer_deinit(&payload);
}

/* What is durable here spreads by itself: nodes that are away learn of it when they meet a node that knows. */
static void on_dropped(struct task *task)
{
    struct create_work *w = task->work;
    if (!w->yes[task->shard->config.node]) {
        buffer_append_byte(&w->refusal, 0);
        fail(task, (const char *)w->refusal.data);
        return;
    }
    resp_write_simple(&task->reply, "OK");
    task__finish(task);
}

void table_protocol__drop(struct task *task)
{
    struct shard *s = task->shard;
    struct table_slot *slot = catalog__by_name(s, task->args[2]);
    bool up[TOPOLOGY_NODES_MAX];
    if (!slot || slot->table.id == TABLE_ID_DEFAULT) {
        fail(task, slot ? "ERR table 'default' can't be dropped" : "ERR no such table");
        return;
    }
    struct create_work *w = create_work_new(task);
    w->table = slot->table;
    w->table.dropped = true;
    nodes_up(s, up);
    install(task, up, on_dropped);
}
