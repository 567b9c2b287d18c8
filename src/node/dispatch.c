/* dispatch.c: from the words of a request to its handler, here or elsewhere.
 *
 * D1  What is refused here (unknown, arity, mode, shutting down) has not been routed: it is definitely not done.
 * D2  A command that looks at everything (KEYS, TABLE, FAULT, ...) starts when all earlier replies of its connection
 *     are there, and the connection waits for it; commands on keys overlap, since a key's requests all take one way.
 */
#include "node/shard_internal.h"

void dispatch__unknown(struct buffer *reply, const struct slice *args, size_t args_count)
{
    struct buffer text;
    buffer_init(&text, 1024);
    int word_bytes = args[0].length < 128 ? (int)args[0].length : 128;
    if (args_count > 1 && command_is_container(args[0])) {
        int sub_bytes = args[1].length < 128 ? (int)args[1].length : 128;
        buffer_append_format(&text, "ERR unknown subcommand '%.*s'. Try %.*s HELP.", sub_bytes,
                             (const char *)args[1].data, word_bytes, (const char *)args[0].data);
        for (size_t i = text.length - 6 - (size_t)word_bytes; i < text.length; i++) {
            if (text.data[i] >= 'a' && text.data[i] <= 'z') text.data[i] = (uint8_t)(text.data[i] - 32);
        }
    } else if (command_is_container(args[0])) {
        buffer_append_format(&text, "ERR wrong number of arguments for '%.*s' command", word_bytes,
                             (const char *)args[0].data);
        for (size_t i = 0; i < text.length; i++) { /* the word in lower case, as COMMAND names it */
            if (i > 3 && text.data[i] >= 'A' && text.data[i] <= 'Z') text.data[i] = (uint8_t)(text.data[i] + 32);
        }
    } else {
        buffer_append_format(&text, "ERR unknown command '%.*s', with args beginning with: ", word_bytes,
                             (const char *)args[0].data);
        size_t left = 128;
        for (size_t i = 1; i < args_count && left > 0; i++) {
            size_t bytes = args[i].length < left ? args[i].length : left;
            buffer_append_format(&text, "'%.*s' ", (int)bytes, (const char *)args[i].data);
            left -= bytes + 3 < left ? bytes + 3 : left;
        }
    }
    buffer_append_byte(&text, 0);
    resp_write_error(reply, (const char *)text.data);
    buffer_deinit(&text);
}

void dispatch__arity(struct buffer *reply, const struct command *command)
{
    resp_write_error_format(reply, "ERR wrong number of arguments for '%s' command", command->name);
}

bool dispatch__arity_fits(const struct command *command, size_t args_count)
{
    if (command->arity >= 0 ? args_count != (size_t)command->arity : args_count < (size_t)-command->arity) return false;
    return command->scope != SCOPE_KEYS_OK || (args_count - command->key_first) % command->key_step == 0;
}

bool command_has_many_keys(const struct command *command, size_t args_count)
{
    bool may_have =
        command->scope == SCOPE_KEYS_ARRAY || command->scope == SCOPE_KEYS_SUM || command->scope == SCOPE_KEYS_OK;
    return may_have && args_count > (size_t)command->key_first + command->key_step;
}

/* An error reply that ends the request here. */
static enum dispatched refuse(struct client *c)
{
    c->shard->statistics.errors++;
    client__replied(c, 0);
    return DISPATCHED;
}

enum command_result dispatch__run(struct request *request, struct partition_slot *slot, struct slice key,
                                  uint64_t key_hash)
{
    struct shard *s = request->shard;
    request->now = s->now;
    request->wait_lsn = 0;
    request->write = &s->write;
    request->body = &s->body;
    dot_set_clear(&s->write.observed);
    s->write.flags = 0;
    buffer_clear(&s->body);
    request->table = slot ? &slot->table->table : NULL;
    request->replica = slot ? slot->replica : NULL;
    request->slot = slot;
    request->key = key;
    request->key_hash = key_hash;
    return request->command->handler(request);
}

/* Run here and now, replying straight into the connection's buffer. */
static enum dispatched run_here(struct client *c, const struct command *command, const struct resp_request *words,
                                struct partition_slot *slot, struct slice key, uint64_t key_hash)
{
    struct shard *s = c->shard;
    struct request request;
    request.shard = s;
    request.client = c;
    request.task = NULL;
    request.command = command;
    request.args = words->args;
    request.args_count = words->args_count;
    request.resp_version = c->resp_version;
    request.arena = &c->arena;
    request.reply = &c->out;
    size_t before = c->out.length;
    switch (dispatch__run(&request, slot, key, key_hash)) {
    case COMMAND_DONE: client__replied(c, request.wait_lsn); return DISPATCHED;
    case COMMAND_PARK_COLD:
        ASSERT(c->out.length == before);
        client__block(c, BLOCK_COLD);
        return DISPATCH_PARKED;
    case COMMAND_PARK_BUSY:
        ASSERT(c->out.length == before);
        client__block(c, BLOCK_BUSY);
        return DISPATCH_PARKED;
    case COMMAND_ASYNC: break;
    }
    PANIC("%s went asynchronous without a task", command->name);
}

/* The table of a key, remembering the last answer per connection. */
static struct table_slot *client_table(struct client *c, struct slice key)
{
    struct shard *s = c->shard;
    uint8_t n = c->prefix_bytes;
    if (LIKELY(c->table_cached && key.length > n && key.data[n] == ':' &&
               c->catalog_generation == s->catalog_generation && memcmp(key.data, c->prefix, n) == 0)) {
        return c->table_cached;
    }
    struct slice name = key_table_name(key);
    struct table_slot *table = route__table(s, key);
    if (name.length) {
        memcpy(c->prefix, name.data, name.length);
        c->prefix_bytes = (uint8_t)name.length;
        c->table_cached = table;
        c->catalog_generation = s->catalog_generation;
    }
    return table;
}

static enum dispatched on_ordered(struct client *c, const struct command *command, const struct resp_request *words,
                                  struct partition_slot *slot)
{
    struct ordered_ask ask = {ORDERED_COMMAND, slice_of(NULL, 0), c->resp_version,
                              words->args,     words->args_count, NULL};
    return ordered__on_key(c, command, &ask, slot);
}

static enum dispatched on_key(struct client *c, const struct command *command, const struct resp_request *words)
{
    struct shard *s = c->shard;
    struct slice key = words->args[command->key_first];
    uint64_t key_hash = hash_key(key);
    struct table_slot *table = client_table(c, key);
    struct partition_slot *slot = route__key(table, key_hash);
    if (LIKELY(slot->replica && replica_is_serving(slot->replica)))
        return run_here(c, command, words, slot, key, key_hash);
    if (table->table.contract.engine == ENGINE_ORDERED) {
        return on_ordered(c, command, words, slot);
    }
    struct target target = route__target(s, slot);
    if (target.kind == TARGET_NONE) {
        route__unavailable(s, slot, &c->out);
        return refuse(c);
    }
    forward__client(c, words, slot, target);
    return DISPATCHED;
}

static enum dispatched on_keys(struct client *c, const struct command *command, const struct resp_request *words)
{
    struct partition_slot *slot;
    switch (ordered__keys(c->shard, command, words->args, words->args_count, &slot)) {
    case ORDERED_KEYS_NONE: return dispatch__as_task(c, command, words, NULL);
    case ORDERED_KEYS_ONE_GROUP:
    case ORDERED_KEYS_SEVERAL: return on_ordered(c, command, words, slot);
    }
    PANIC("keys of several kinds");
}

static enum dispatched on_entry(struct client *c, const struct command *command, const struct resp_request *words)
{
    uint64_t table;
    uint16_t partition;
    struct ledger_place place;
    struct partition_slot *slot = NULL;
    if (ledger_id_parse(words->args[command->key_first], &table, &partition, &place)) {
        slot = catalog__slot(c->shard, table, partition);
    }
    if (!slot) {
        resp_write_error(&c->out, "ERR no such conflict");
        return refuse(c);
    }
    struct target target = route__target(c->shard, slot);
    if (target.kind == TARGET_NONE) {
        route__unavailable(c->shard, slot, &c->out);
        return refuse(c);
    }
    if (target.kind == TARGET_HERE) return dispatch__as_task(c, command, words, slot);
    forward__client(c, words, slot, target);
    return DISPATCHED;
}

enum dispatched dispatch__as_task(struct client *c, const struct command *command, const struct resp_request *words,
                                  struct partition_slot *slot)
{
    struct shard *s = c->shard;
    if (s->tasks_count >= TASKS_MAX) {
        resp_write_error(&c->out, "UNAVAILABLE too much is under way on this node; nothing was done, try again");
        return refuse(c);
    }
    struct task *task = task__new(s, TASK_OF_CLIENT);
    task->command = command;
    task->resp_version = c->resp_version;
    task->client = c->id;
    task->slot = slot;
    task__set_args(task, words->args, words->args_count);
    task->mark = client__defer(c);
    client__block(c, BLOCK_TASK);
    task__run(task);
    return DISPATCHED;
}

/* A web page can make a browser on this machine post to our port: the body must not be taken for commands. */
static bool is_http(struct slice word)
{
    return slice_is_word(word, "post") || slice_is_word(word, "host:");
}

/* What is refused before routing. True: the error is replied. */
static bool is_refused(struct client *c, const struct command *command, const struct resp_request *words)
{
    if (UNLIKELY(!command) && is_http(words->args[0])) {
        resp_write_error(&c->out, "ERR Protocol error: this is HTTP, but Redis' protocol is spoken here");
        client__close(c);
        return true;
    }
    if (UNLIKELY(!command)) {
        dispatch__unknown(&c->out, words->args, words->args_count);
        return true;
    }
    if (UNLIKELY(!dispatch__arity_fits(command, words->args_count))) {
        dispatch__arity(&c->out, command);
        return true;
    }
    if (UNLIKELY(c->subscriptions_count && c->resp_version == 2 && !(command->flags & COMMAND_PUBSUB_ALLOWED))) {
        resp_write_error_format(&c->out,
                                "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET "
                                "are allowed in this context",
                                command->name);
        return true;
    }
    if (UNLIKELY(c->shard->stopping)) {
        resp_write_error(&c->out, "UNAVAILABLE this node is shutting down; nothing was done");
        return true;
    }
    if (UNLIKELY(c->cold_status != STATUS_OK)) {
        resp_write_error_format(&c->out, "UNAVAILABLE the stored value can't be read (%s); nothing was done",
                                status_name(c->cold_status));
        c->cold_status = STATUS_OK;
        return true;
    }
    return false;
}

/* What is not queued between MULTI and EXEC. */
static bool runs_inside_multi(const struct command *command)
{
    return command->scope == SCOPE_ORDERED || strcmp(command->name, "reset") == 0 || strcmp(command->name, "quit") == 0;
}

enum dispatched dispatch__request(struct client *c, const struct resp_request *words)
{
    const struct command *command = command_find(words->args, words->args_count);
    if (UNLIKELY(!command) && command_write_help(&c->out, words->args, words->args_count)) {
        client__replied(c, 0);
        return DISPATCHED;
    }
    bool queues = UNLIKELY(c->multi != NULL) && ordered__multi_is_open(c);
    if (is_refused(c, command, words)) {
        if (queues) ordered__multi_abort(c);
        return refuse(c);
    }
    if (queues && !runs_inside_multi(command)) {
        ordered__multi_queue(c, words);
        return DISPATCHED;
    }
    c->last_command = command;
    c->shard->statistics.commands++;
    switch (command->scope) {
    case SCOPE_KEY: return on_key(c, command, words);
    case SCOPE_ORDERED: return ordered__command(c, command, words);
    case SCOPE_KEYS_SUM:
    case SCOPE_KEYS_OK:
        if (!command_has_many_keys(command, words->args_count)) return on_key(c, command, words);
        return on_keys(c, command, words);
    case SCOPE_KEYS_ARRAY: return on_keys(c, command, words);
    case SCOPE_CONNECTION:
        if (!(command->flags & (COMMAND_TASK | COMMAND_SHARD_ZERO))) {
            return run_here(c, command, words, NULL, slice_of(NULL, 0), 0);
        }
        break;
    case SCOPE_KEYSPACE:
    case SCOPE_ENTRY: break;
    }
    if (c->pending_count > 0) { /* D2 */
        client__block(c, BLOCK_ORDER);
        return DISPATCH_PARKED;
    }
    return command->scope == SCOPE_ENTRY ? on_entry(c, command, words) : dispatch__as_task(c, command, words, NULL);
}
