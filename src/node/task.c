/* task.c: a request detached from its connection: forwarded ones, parts of commands on many keys, and whatever gathers
 * from elsewhere.
 *
 *            run             done
 *     NEW ---------> (handler) -------> finish -> its client, its parent task, or DURABLE -> the node that asked
 *      ^                |  parks
 *      |   fetched      v                      parts answered / walk done
 *      +----------- COLD, BUSY       WORKING ------------------------------> finish
 *
 * K1  A task ends in exactly one task__finish(), then it belongs to nobody.
 * K2  An answer leaves this shard only once what it shows is durable: another node or shard can't wait for our log.
 */
#include "base/memory.h"
#include "node/shard_internal.h"

enum { REPLY_BYTES_MAX = 512 * 1024 * 1024 };

struct task *task__new(struct shard *s, enum task_origin origin)
{
    struct task *task = memory_zalloc(1, sizeof *task);
    task->shard = s;
    task->origin = origin;
    task->kind = CALL_COMMAND;
    task->resp_version = 2;
    arena_init(&task->arena);
    buffer_init(&task->reply, REPLY_BYTES_MAX);
    list_push_back(&s->tasks, &task->node);
    s->tasks_count++;
    return task;
}

static void task_free(struct task *task)
{
    if (task->work_free) task->work_free(task->work);
    if (list_node_is_linked(&task->ordered.node)) list_remove(&task->ordered.node);
    list_remove(&task->node);
    task->shard->tasks_count--;
    buffer_deinit(&task->reply);
    arena_deinit(&task->arena);
    memory_free(task);
}

void task__free_all(struct shard *s)
{
    struct list_node *n;
    while ((n = list_first(&s->tasks))) task_free(CONTAINER_OF(n, struct task, node));
}

void task__set_args(struct task *task, const struct slice *args, size_t args_count)
{
    task->args = arena_alloc(&task->arena, args_count * sizeof *args);
    task->args_count = args_count;
    for (size_t i = 0; i < args_count; i++) task->args[i] = arena_copy(&task->arena, args[i]);
}

void task__wait_for_lsn(struct task *task, uint64_t lsn)
{
    if (lsn > task->wait_lsn) task->wait_lsn = lsn;
}

/* ---- running ---- */

static void run_handler(struct task *task)
{
    struct request request = {.shard = task->shard,
                              .task = task,
                              .command = task->command,
                              .args = task->args,
                              .args_count = task->args_count,
                              .resp_version = task->resp_version,
                              .arena = &task->arena,
                              .reply = &task->reply};
    struct slice key = {NULL, 0};
    uint64_t key_hash = 0;
    if (task->slot && task->command->scope != SCOPE_ENTRY) {
        key = task->args[task->command->key_first];
        key_hash = hash_key(key);
    }
    task->state = TASK_WORKING; /* a handler that finishes later may do so before it returns */
    switch (dispatch__run(&request, task->slot, key, key_hash)) {
    case COMMAND_DONE:
        task__wait_for_lsn(task, request.wait_lsn);
        task__finish(task);
        return;
    case COMMAND_PARK_COLD:
        ASSERT(task->reply.length == 0);
        task->state = TASK_COLD;
        return;
    case COMMAND_PARK_BUSY:
        ASSERT(task->reply.length == 0);
        task->state = TASK_BUSY;
        return;
    case COMMAND_ASYNC: return;
    }
}

static void copy_answer(struct task *task, uint32_t part, enum call_outcome outcome, struct slice answer)
{
    (void)part;
    if (outcome == CALL_ANSWERED) {
        buffer_append_slice(&task->reply, answer);
    } else {
        struct target target = {TARGET_SHARD, task->shard->config.node, 0};
        call__describe(task->shard, target, outcome, true, &task->reply);
    }
    task__finish(task);
}

/* A command that belongs to the first shard: ask it, and pass its reply on. */
static void run_on_shard_zero(struct task *task)
{
    task->state = TASK_WORKING;
    task->part_done = copy_answer;
    struct target target = {TARGET_SHARD, task->shard->config.node, 0};
    forward__part(task, 0, NULL, target, task->args, task->args_count);
}

static void run_at_slot(struct task *task)
{
    struct shard *s = task->shard;
    bool is_ordered = task->slot->table->table.contract.engine == ENGINE_ORDERED;
    if (is_ordered && task->command->scope != SCOPE_ENTRY) {
        ordered__run(task);
        return;
    }
    if (ordered__serves(task->slot) || (task->slot->replica && replica_is_serving(task->slot->replica))) {
        run_handler(task);
        return;
    }
    struct target target = route__target(s, task->slot);
    bool from_node = task->origin == TASK_OF_CALL && task->call_node != s->config.node;
    if (from_node || target.kind == TARGET_NONE || target.kind == TARGET_HERE) { /* R1: no second hop */
        route__unavailable(s, task->slot, &task->reply);
        task__finish(task);
        return;
    }
    task->state = TASK_WORKING;
    task->part_done = copy_answer;
    forward__part(task, 0, task->slot, target, task->args, task->args_count);
}

static void run_command(struct task *task)
{
    const struct command *command = task->command;
    bool many = command_has_many_keys(command, task->args_count);
    bool is_ordered = task->slot && task->slot->table->table.contract.engine == ENGINE_ORDERED;
    if (task->slot && (!many || is_ordered)) {
        run_at_slot(task);
    } else if ((command->flags & COMMAND_SHARD_ZERO) && task->shard->config.shard != 0) {
        run_on_shard_zero(task);
    } else if (many || command->scope == SCOPE_KEYS_ARRAY) {
        task->state = TASK_WORKING;
        gather__keys(task);
    } else {
        run_handler(task);
    }
}

void task__run(struct task *task)
{
    if (task->cold_status != STATUS_OK) {
        resp_write_error_format(&task->reply, "UNAVAILABLE the stored value can't be read (%s); nothing was done",
                                status_name(task->cold_status));
        task__finish(task);
        return;
    }
    switch (task->kind) {
    case CALL_COMMAND: run_command(task); return;
    case CALL_KEYSPACE: gather__serve_keyspace(task); return;
    case CALL_TABLE_CHECK:
    case CALL_TABLE_INSTALL: table_protocol__serve(task); return;
    case CALL_CONFLICTS: conflicts__serve(task); return;
    case CALL_LAG: lag__serve(task); return;
    case CALL_FAULT: fault_list__serve(task); return;
    case CALL_ORDERED: ordered__serve(task); return;
    case CALL_RECOVER: recover__serve(task); return;
    }
    PANIC("task of kind %d", (int)task->kind);
}

void task__finish(struct task *task)
{
    struct shard *s = task->shard;
    switch (task->origin) {
    case TASK_OF_CLIENT: {
        client__finish(s, task->client, task->mark, &task->reply, task->wait_lsn);
        struct client *c = client__find(s, task->client);
        if (c && c->block == BLOCK_TASK) client__unblock(c);
        if (c && task->ordered.is_counted) c->ordered_reads--;
        task->state = TASK_ENDED;
        return;
    }
    case TASK_OF_TASK: {
        struct task *parent = task->parent;
        task->state = TASK_ENDED;
        task__wait_for_lsn(parent, task->wait_lsn);
        parent->part_done(parent, task->part, CALL_ANSWERED, buffer_slice(&task->reply));
        return;
    }
    case TASK_OF_CALL: task->state = TASK_DURABLE; return;
    case TASK_OF_TXN: txn__answered(task); return;
    }
}

/* ---- cold items ---- */

struct waiter {
    struct shard *shard;
    uint64_t client; /* when task is NULL */
    struct task *task;
};

static void fetched(void *user, enum status status)
{
    struct waiter *waiter = user;
    struct shard *s = waiter->shard;
    if (status != STATUS_OK) shard__log(s, 'E', "fetch-failed", "status=\"%s\"", status_name(status));
    if (waiter->task) {
        waiter->task->cold_status = status;
        waiter->task->state = TASK_NEW; /* runs in task__step_all() */
    } else {
        struct client *c = client__find(s, waiter->client);
        if (c && c->block == BLOCK_COLD) {
            c->cold_status = status;
            client__unblock(c);
        }
    }
    memory_free(waiter);
}

void task__fetch(struct shard *s, struct client *c, struct task *task, struct store_space *space,
                 struct store_item *item)
{
    struct waiter *waiter = memory_alloc(sizeof *waiter);
    *waiter = (struct waiter){.shard = s, .client = c ? c->id : 0, .task = task};
    store_fetch(space, item, fetched, waiter);
}

/* ---- once per iteration ---- */

static bool is_runnable(const struct task *task)
{
    const struct shard *s = task->shard;
    if (task->state == TASK_BUSY) return s->durable_advanced || s->retry_due;
    return task->state == TASK_NEW;
}

void task__step_all(struct shard *s)
{
    for (struct list_node *n = s->tasks.head.next; n != &s->tasks.head; n = n->next) {
        struct task *task = CONTAINER_OF(n, struct task, node);
        if (is_runnable(task)) {
            task->state = TASK_NEW;
            task__run(task);
        } else if (task->state == TASK_WORKING && task->step) {
            task->step(task);
        }
    }
}

bool task__any_step(const struct shard *s)
{
    for (const struct list_node *n = s->tasks.head.next; n != &s->tasks.head; n = n->next) {
        const struct task *task = CONTAINER_OF(n, struct task, node);
        if (task->state == TASK_NEW || (task->state == TASK_WORKING && task->step)) return true;
    }
    return false;
}

void task__release_all(struct shard *s)
{
    struct list_node *next;
    for (struct list_node *n = list_first(&s->tasks); n; n = next) {
        next = n->next == &s->tasks.head ? NULL : n->next;
        struct task *task = CONTAINER_OF(n, struct task, node);
        if (task->state == TASK_DURABLE && task->wait_lsn <= s->durable_lsn && call__answer(task))
            task->state = TASK_ENDED;
        if (task->state == TASK_ENDED) task_free(task);
    }
}
