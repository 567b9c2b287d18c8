/* ordered_multi.c: MULTI, EXEC, DISCARD, WATCH, UNWATCH: several commands as one entry of one group.
 *
 * As one job a MULTI is a list of words:  "multi" count (words-of-command word ...)... (key version)...
 *
 * WATCH notes the version of each key, the index of its last change; the entry carries them, and where one has changed
 * before it, nothing is done and the reply is null. Where the keys are in several groups it is a transaction (txn.h).
 */
#include <stdio.h>

#include "base/memory.h"
#include "node/shard_internal.h"

enum { MULTI_BYTES_MAX = 16 * 1024 * 1024, WATCHES_MAX = 1024, NUMBER_TEXT_BYTES = 24 };

struct watched {
    struct slice key; /* owned */
    uint64_t version;
};

struct client_multi {
    bool open, aborted;
    struct arena arena; /* of the words */
    struct slice *words;
    size_t words_count, words_capacity, bytes;
    size_t commands;
    struct watched *watches;
    size_t watches_count;
};

/* ---- the job's words ---- */

struct words {
    const struct slice *at;
    size_t left;
};

static bool take_number(struct words *w, uint64_t *out)
{
    if (w->left == 0 || !slice_to_u64(w->at[0], out)) return false;
    w->at++;
    w->left--;
    return true;
}

bool ordered__multi_entry(const struct ordered_ask *ask, struct arena *arena, struct machine_entry *out)
{
    struct words w = {ask->args + 1, ask->args_count - 1};
    uint64_t count, words;
    if (!take_number(&w, &count) || count == 0 || count > MACHINE_MULTI_COMMANDS_MAX || count > w.left) return false;
    struct machine_args *commands = arena_alloc(arena, count * sizeof *commands);
    for (uint64_t i = 0; i < count; i++) {
        if (!take_number(&w, &words) || words == 0 || words > w.left) return false;
        commands[i] = (struct machine_args){w.at, words};
        w.at += words;
        w.left -= words;
    }
    size_t watches_count = w.left / 2;
    struct machine_watch *watches = arena_alloc(arena, (watches_count + 1) * sizeof *watches);
    for (size_t i = 0; i < watches_count; i++) {
        watches[i].key = w.at[2 * i];
        if (!slice_to_u64(w.at[2 * i + 1], &watches[i].version)) return false;
    }
    out->kind = MACHINE_ENTRY_MULTI;
    out->commands = commands;
    out->commands_count = count;
    out->watches = watches;
    out->watches_count = watches_count;
    return w.left % 2 == 0;
}

/* ---- the client's part ---- */

static void forget_watches(struct client_multi *m)
{
    for (size_t i = 0; i < m->watches_count; i++) memory_free((void *)(uintptr_t)m->watches[i].key.data);
    m->watches_count = 0;
}

static void forget_commands(struct client_multi *m)
{
    m->open = m->aborted = false;
    m->words_count = m->bytes = m->commands = 0;
    arena_reset(&m->arena);
}

void ordered__multi_free(struct client *c)
{
    struct client_multi *m = c->multi;
    if (!m) return;
    forget_watches(m);
    memory_free(m->watches);
    memory_free(m->words);
    arena_deinit(&m->arena);
    memory_free(m);
    c->multi = NULL;
}

static struct client_multi *multi_of(struct client *c)
{
    if (!c->multi) {
        c->multi = memory_zalloc(1, sizeof *c->multi);
        arena_init(&c->multi->arena);
    }
    return c->multi;
}

bool ordered__multi_is_open(const struct client *c)
{
    return c->multi && c->multi->open;
}

void ordered__multi_abort(struct client *c)
{
    c->multi->aborted = true;
}

static void add_word(struct client_multi *m, struct slice word)
{
    if (m->words_count == m->words_capacity) {
        m->words_capacity = m->words_capacity ? m->words_capacity * 2 : 32;
        m->words = memory_realloc(m->words, m->words_capacity * sizeof *m->words);
    }
    m->words[m->words_count++] = arena_copy(&m->arena, word);
    m->bytes += word.length + sizeof word;
}

static void add_number(struct client_multi *m, uint64_t number)
{
    uint8_t text[DECIMAL_BYTES_MAX];
    add_word(m, slice_of(text, decimal_u64(text, number)));
}

void ordered__multi_queue(struct client *c, const struct resp_request *words)
{
    struct client_multi *m = c->multi;
    size_t bytes = 0;
    for (size_t i = 0; i < words->args_count; i++) bytes += words->args[i].length + sizeof words->args[i];
    if (m->bytes + bytes > MULTI_BYTES_MAX || m->commands == MACHINE_MULTI_COMMANDS_MAX) {
        m->aborted = true;
        resp_write_error(&c->out, "ERR the transaction is too large");
        client__replied(c, 0);
        return;
    }
    add_number(m, words->args_count);
    for (size_t i = 0; i < words->args_count; i++) add_word(m, words->args[i]);
    m->commands++;
    resp_write_simple(&c->out, "QUEUED");
    client__replied(c, 0);
}

/* ---- EXEC ---- */

static enum dispatched reply_error(struct client *c, const char *text)
{
    resp_write_error(&c->out, text);
    c->shard->statistics.errors++;
    client__replied(c, 0);
    return DISPATCHED;
}

static enum dispatched reply_ok(struct client *c)
{
    resp_write_simple(&c->out, "OK");
    client__replied(c, 0);
    return DISPATCHED;
}

/* All words of the job, in the client's arena. */
static struct ordered_ask ask_of(struct client *c)
{
    struct client_multi *m = c->multi;
    size_t count = 2 + m->words_count + 2 * m->watches_count, n = 0;
    struct slice *args = arena_alloc(&c->arena, count * sizeof *args);
    uint8_t text[DECIMAL_BYTES_MAX];
    args[n++] = SLICE_LITERAL("multi");
    args[n++] = arena_copy(&c->arena, slice_of(text, decimal_u64(text, m->commands)));
    for (size_t i = 0; i < m->words_count; i++) args[n++] = arena_copy(&c->arena, m->words[i]);
    for (size_t i = 0; i < m->watches_count; i++) {
        args[n++] = arena_copy(&c->arena, m->watches[i].key);
        args[n++] = arena_copy(&c->arena, slice_of(text, decimal_u64(text, m->watches[i].version)));
    }
    return (struct ordered_ask){ORDERED_MULTI, slice_of(NULL, 0), c->resp_version, args, count, NULL};
}

/* False: some command can't be in a transaction, and the error is replied. */
static bool commands_are_fine(struct client *c, const struct ordered_ask *ask)
{
    struct machine_entry entry = {0};
    if (!ordered__multi_entry(ask, &c->arena, &entry)) PANIC("a MULTI of ours can't be read");
    for (size_t i = 0; i < entry.commands_count; i++) {
        const struct machine_args *args = &entry.commands[i];
        const struct machine_command *command = machine_command_find(args->args[0]);
        if (!command) {
            resp_write_error_format(&c->out,
                                    "CONTRACT '%.*s' can't be in a transaction: those are commands on keys of ordered "
                                    "tables; nothing was done",
                                    args->args[0].length < 64 ? (int)args->args[0].length : 64,
                                    (const char *)args->args[0].data);
            return false;
        }
        if (!machine_command_check(command, args->args, args->count, &c->out)) return false;
    }
    return true;
}

static enum dispatched on_exec(struct client *c, const struct command *command)
{
    struct client_multi *m = c->multi;
    if (!ordered__multi_is_open(c)) return reply_error(c, "ERR EXEC without MULTI");
    bool aborted = m->aborted, empty = m->commands == 0;
    struct ordered_ask ask = ask_of(c);
    struct txn_plan plan = {0};
    bool goes = !aborted && !empty && commands_are_fine(c, &ask) &&
                txn__plan_multi(c->shard, &ask, &c->arena, &plan, &c->out) == TXN_PLANNED;
    bool several = plan.parts_count > 1;
    if (goes && (several ? c->pending_count : c->ordered_reads) > 0) { /* asked again when its replies are there */
        client__block(c, BLOCK_ORDER);
        return DISPATCH_PARKED;
    }
    forget_commands(m);
    forget_watches(m);
    if (aborted) return reply_error(c, "EXECABORT Transaction discarded because of previous errors.");
    if (empty) resp_write_array(&c->out, 0);
    if (!goes) {
        client__replied(c, 0);
        return DISPATCHED;
    }
    if (!several) return ordered__on_ask(c, command, &ask, plan.parts[0].slot, true);
    txn__on_multi(c, &ask);
    return DISPATCHED;
}

/* ---- WATCH ---- */

struct watch_work {
    uint64_t *versions;
    size_t left;
    struct buffer error;
};

static void watch_work_free(void *work)
{
    buffer_deinit(&((struct watch_work *)work)->error);
}

static void watch_complete(struct task *task)
{
    struct watch_work *w = task->work;
    struct client *c = client__find(task->shard, task->client);
    if (w->error.length) {
        buffer_append_slice(&task->reply, buffer_slice(&w->error));
        task__finish(task);
        return;
    }
    if (c) {
        struct client_multi *m = multi_of(c);
        m->watches = memory_realloc(m->watches, (m->watches_count + task->args_count) * sizeof *m->watches);
        for (size_t i = 1; i < task->args_count; i++) {
            uint8_t *key = memory_alloc(task->args[i].length + 1);
            memcpy(key, task->args[i].data, task->args[i].length);
            m->watches[m->watches_count++] = (struct watched){slice_of(key, task->args[i].length), w->versions[i]};
        }
    }
    resp_write_simple(&task->reply, "OK");
    task__finish(task);
}

static void watch_answered(struct task *task, uint32_t part, enum call_outcome outcome, struct slice answer)
{
    struct watch_work *w = task->work;
    int64_t version = -1;
    bool is_number = outcome == CALL_ANSWERED && answer.length > 3 && answer.data[0] == ':' &&
                     slice_to_i64(slice_of(answer.data + 1, answer.length - 3), &version);
    if (is_number) {
        w->versions[part] = (uint64_t)version;
    } else if (w->error.length == 0) {
        buffer_append_slice(&w->error, answer);
    }
    if (--w->left == 0) watch_complete(task);
}

static void watch_key(struct task *task, size_t i)
{
    struct task *child = task__new(task->shard, TASK_OF_TASK);
    child->parent = task;
    child->part = (uint32_t)i;
    child->command = task->command;
    child->resp_version = 2;
    child->slot = route__key(route__table(task->shard, task->args[i]), hash_key(task->args[i]));
    child->ordered.job = ORDERED_VERSION;
    task__set_args(child, &task->args[i], 1);
    ordered__run(child);
}

enum command_result ordered__watch(struct request *request)
{
    struct task *task = request->task;
    struct watch_work *w = arena_alloc(&task->arena, sizeof *w);
    w->versions = arena_alloc(&task->arena, task->args_count * sizeof *w->versions);
    w->left = task->args_count;
    buffer_init(&w->error, FRAME_BODY_BYTES_MAX);
    task->work = w;
    task->work_free = watch_work_free;
    task->part_done = watch_answered;
    for (size_t i = 1; i < task->args_count; i++) watch_key(task, i);
    if (--w->left == 0) watch_complete(task);
    return COMMAND_ASYNC;
}

static enum dispatched on_watch(struct client *c, const struct command *command, const struct resp_request *words)
{
    if (ordered__multi_is_open(c)) return reply_error(c, "ERR WATCH inside MULTI is not allowed");
    if (multi_of(c)->watches_count + words->args_count > WATCHES_MAX)
        return reply_error(c, "ERR too many watched keys");
    for (size_t i = 1; i < words->args_count; i++) {
        if (route__table(c->shard, words->args[i])->table.contract.engine == ENGINE_ORDERED) continue;
        return reply_error(c,
                           "CONTRACT WATCH is for keys of ordered tables: there every change has its place in a log");
    }
    if (c->pending_count > 0) {
        client__block(c, BLOCK_ORDER);
        return DISPATCH_PARKED;
    }
    return dispatch__as_task(c, command, words, NULL);
}

enum dispatched ordered__multi_command(struct client *c, const struct command *command,
                                       const struct resp_request *words)
{
    if (strcmp(command->name, "exec") == 0) return on_exec(c, command);
    if (strcmp(command->name, "watch") == 0) return on_watch(c, command, words);
    if (strcmp(command->name, "multi") == 0) {
        if (ordered__multi_is_open(c)) return reply_error(c, "ERR MULTI calls can not be nested");
        multi_of(c)->open = true;
        return reply_ok(c);
    }
    if (strcmp(command->name, "discard") == 0 && !ordered__multi_is_open(c)) {
        return reply_error(c, "ERR DISCARD without MULTI");
    }
    if (c->multi && strcmp(command->name, "discard") == 0) forget_commands(c->multi);
    if (c->multi) forget_watches(c->multi); /* DISCARD, UNWATCH */
    return reply_ok(c);
}
