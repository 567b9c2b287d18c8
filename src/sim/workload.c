/* workload.c: closed-loop clients: one command, its reply, a pause, the next.
 *
 * Every written value and every added member is a number used once, so that a value names its write.
 */
#include "sim/workload.h"

#include <stdio.h>

#include "base/memory.h"
#include "sim/command_text.h"
#include "sim/create_tables.h"

enum { CLIENT_RETRY_NS = 50000000, ROW_COLUMNS = 4 };

/* What a client does when its present command is answered. */
enum follow_up { FOLLOW_NONE, FOLLOW_SIBLINGS, FOLLOW_RESOLVE, FOLLOW_RESTORE };

struct load_client {
    struct workload *load;
    uint32_t index;
    uint8_t node;
    uint64_t connection; /* 0: none */
    bool waits;
    uint32_t operation; /* index in the history */
    uint64_t ticket;    /* of the command under way: tells its time-out from a later one's */
    enum follow_up follow;
    uint8_t table;
    uint32_t key;
    struct buffer carried; /* context or ledger id for the follow-up */
};

struct workload {
    struct world *world;
    const struct plan *plan;
    struct history *history;
    struct prng prng;
    struct load_client *clients;
    uint64_t next_value;
    uint32_t issued;
    uint32_t active;
};

void workload_key_text(const struct plan_table *table, uint32_t key, char out[32])
{
    bool plain = strcmp(table->name, "default") == 0;
    snprintf(out, 32, "%s%s%u", plain ? "key" : table->name, plain ? "" : ":", key);
}

/* ---- what to do next ---- */

static void draw_string(struct workload *load, const struct plan_table *t, struct operation *op, struct command_text *c,
                        const char *key)
{
    uint64_t dice = prng_below(&load->prng, 100);
    if (dice < 40) {
        op->kind = OP_GET;
        command_add(c, "GET");
        command_add(c, key);
    } else if (dice < 50 && t->deletes) {
        op->kind = OP_DELETE;
        command_add(c, "DEL");
        command_add(c, key);
    } else if (dice < 60 && t->expires) {
        op->kind = OP_EXPIRE;
        command_add(c, "PEXPIRE");
        command_add(c, key);
        command_add_number(c, prng_range(&load->prng, 1, 5000));
    } else {
        op->kind = OP_SET;
        op->value = load->next_value++;
        command_add(c, "SET");
        command_add(c, key);
        command_add_value(c, op->value);
    }
}

static void draw_counter(struct workload *load, struct operation *op, struct command_text *c, const char *key)
{
    if (prng_chance(&load->prng, 1, 4)) {
        op->kind = OP_GET;
        command_add(c, "GET");
        command_add(c, key);
        return;
    }
    op->kind = OP_INCREMENT;
    op->amount = prng_range(&load->prng, 1, 1000);
    command_add(c, "INCRBY");
    command_add(c, key);
    command_add_number(c, op->amount);
}

/* A member that this or another client added before, to be removed; 0 if none. */
static uint64_t draw_member(struct workload *load, uint8_t table, uint32_t key)
{
    for (uint32_t tries = 0; tries < 30 && load->history->count; tries++) {
        const struct operation *op = &load->history->operations[prng_below(&load->prng, load->history->count)];
        if (op->table == table && op->key == key && op->kind == OP_ADD) return op->value;
    }
    return 0;
}

static void draw_set(struct workload *load, struct operation *op, struct command_text *c, const char *key)
{
    uint64_t dice = prng_below(&load->prng, 100);
    uint64_t member = dice < 25 ? draw_member(load, op->table, op->key) : 0;
    op->kind = member ? OP_REMOVE : dice < 80 ? OP_ADD : OP_GET;
    command_add(c, op->kind == OP_REMOVE ? "SREM" : op->kind == OP_ADD ? "SADD" : "SMEMBERS");
    command_add(c, key);
    if (op->kind == OP_GET) return;
    op->value = member ? member : load->next_value++;
    command_add_value(c, op->value);
}

static void draw_row(struct workload *load, const struct plan_table *t, struct operation *op, struct command_text *c,
                     const char *key)
{
    char column[8];
    op->column = (uint32_t)prng_below(&load->prng, ROW_COLUMNS);
    snprintf(column, sizeof column, "c%u", op->column);
    uint64_t dice = prng_below(&load->prng, 100);
    if (dice < 30)
        op->kind = OP_ROW_GET;
    else if (dice < 38 && t->deletes)
        op->kind = OP_DELETE;
    else if (dice < 46)
        op->kind = OP_COLUMN_DELETE;
    else
        op->kind = OP_COLUMN_SET;
    static const char *const words[] = {
        [OP_ROW_GET] = "HGETALL", [OP_DELETE] = "DEL", [OP_COLUMN_DELETE] = "HDEL", [OP_COLUMN_SET] = "HSET"};
    command_add(c, words[op->kind]);
    command_add(c, key);
    if (op->kind == OP_COLUMN_DELETE || op->kind == OP_COLUMN_SET) command_add(c, column);
    if (op->kind == OP_COLUMN_SET) {
        op->value = load->next_value++;
        command_add_value(c, op->value);
    }
}

static void draw_operation(struct load_client *client, struct operation *op, struct command_text *c)
{
    struct workload *load = client->load;
    op->table = (uint8_t)prng_below(&load->prng, load->plan->tables_count);
    const struct plan_table *t = &load->plan->tables[op->table];
    op->key = (uint32_t)prng_below(&load->prng, prng_chance(&load->prng, 1, 2) ? (t->keys + 2) / 3 : t->keys);
    char key[32];
    workload_key_text(t, op->key, key);
    switch (t->kind) {
    case PLAN_STRING: draw_string(load, t, op, c, key); break;
    case PLAN_COUNTER: draw_counter(load, op, c, key); break;
    case PLAN_SET: draw_set(load, op, c, key); break;
    case PLAN_ROW: draw_row(load, t, op, c, key); break;
    }
    client->table = op->table;
    client->key = op->key;
    bool looks_at_ledger = t->expires && prng_chance(&load->prng, 1, 20);
    if (looks_at_ledger) {
        *c = (struct command_text){0};
        op->kind = OP_SIBLINGS;
        op->value = 0;
        command_add(c, "CONFLICTS");
        command_add(c, "LIST");
        command_add(c, t->name);
        client->follow = FOLLOW_RESTORE;
    }
}

/* The second half of a resolution: the context came with SIBLINGS, the id with CONFLICTS LIST. */
static void follow_operation(struct load_client *client, struct operation *op, struct slice *words, size_t *out_count,
                             struct command_text *c)
{
    struct workload *load = client->load;
    const struct plan_table *t = &load->plan->tables[client->table];
    char key[32], column[8];
    workload_key_text(t, client->key, key);
    op->table = client->table;
    op->key = client->key;
    if (client->follow == FOLLOW_SIBLINGS) {
        op->kind = OP_SIBLINGS;
        command_add(c, "SIBLINGS");
        command_add(c, key);
    } else if (client->follow == FOLLOW_RESTORE) {
        op->kind = OP_RESTORE;
        command_add(c, "CONFLICTS");
        command_add(c, "RESTORE");
    } else {
        op->kind = OP_RESOLVE;
        op->value = load->next_value++;
        command_add(c, "RESOLVE");
        command_add(c, key);
    }
    memcpy(words, c->words, c->count * sizeof *words);
    *out_count = c->count;
    if (client->follow == FOLLOW_SIBLINGS) return;
    words[(*out_count)++] = buffer_slice(&client->carried);
    if (client->follow == FOLLOW_RESTORE) return;
    if (t->kind == PLAN_ROW) {
        op->column = (uint32_t)prng_below(&load->prng, ROW_COLUMNS);
        snprintf(column, sizeof column, "c%u", op->column);
        command_add(c, column);
        words[(*out_count)++] = c->words[c->count - 1];
    }
    command_add_value(c, op->value);
    words[(*out_count)++] = c->words[c->count - 1];
}

/* ---- the loop of a client ---- */

static void step_client(void *user, uint64_t argument);

static void plan_step(struct load_client *client, uint64_t delay_ns)
{
    world_at(client->load->world, world_now_ns(client->load->world) + delay_ns, step_client, client, 0);
}

static bool starts_with(struct slice text, const char *prefix)
{
    size_t length = strlen(prefix);
    return text.length >= length && memcmp(text.data, prefix, length) == 0;
}

static enum operation_outcome outcome_of(const struct resp_value *reply)
{
    if (reply->type != RESP_ERROR) return OPERATION_DONE;
    return starts_with(reply->text, "UNKNOWN") ? OPERATION_UNKNOWN : OPERATION_REFUSED;
}

/* The first item after `name` in a flat record. */
static const struct resp_value *field_of(const struct resp_value *record, const char *name)
{
    size_t items = record->type == RESP_MAP ? 2 * record->count : record->count;
    for (size_t i = 0; i + 1 < items; i += 2) {
        if (slice_equal(record->items[i].text, slice_of_string(name))) return &record->items[i + 1];
    }
    return NULL;
}

static void choose_follow_up(struct load_client *client, const struct operation *op, const struct resp_value *reply)
{
    enum follow_up before = client->follow;
    client->follow = FOLLOW_NONE;
    if (reply->type == RESP_ERROR && starts_with(reply->text, "CONFLICT")) client->follow = FOLLOW_SIBLINGS;
    if (op->kind != OP_SIBLINGS || reply->type == RESP_ERROR) return;
    const struct resp_value *field = NULL;
    if (before == FOLLOW_SIBLINGS)
        field = field_of(reply, "context");
    else if (reply->count)
        field = field_of(&reply->items[prng_below(&client->load->prng, reply->count)], "id");
    if (!field) return;
    buffer_clear(&client->carried);
    buffer_append_slice(&client->carried, field->text);
    client->follow = before == FOLLOW_SIBLINGS ? FOLLOW_RESOLVE : FOLLOW_RESTORE;
}

static void finish_operation(struct load_client *client, enum operation_outcome outcome)
{
    struct workload *load = client->load;
    client->waits = false;
    client->ticket++;
    history_return(load->history, client->operation, outcome, world_now_ns(load->world));
    plan_step(client, prng_below(&load->prng, load->plan->think_ns_max));
}

static void on_reply(void *user, uint64_t connection, const struct resp_value *reply)
{
    struct load_client *client = user;
    if (connection != client->connection) return; /* of a connection we gave up */
    if (!reply) {
        client->connection = 0;
        client->follow = FOLLOW_NONE;
        if (client->waits) finish_operation(client, OPERATION_UNKNOWN);
        return;
    }
    ASSERT(client->waits);
    struct operation *op = &client->load->history->operations[client->operation];
    enum operation_outcome outcome = outcome_of(reply);
    choose_follow_up(client, op, reply);
    if (op->kind == OP_GET && reply->type == RESP_BULK) op->value = history_value_of(reply->text);
    finish_operation(client, outcome);
}

static void on_timeout(void *user, uint64_t ticket)
{
    struct load_client *client = user;
    if (!client->waits || client->ticket != ticket) return;
    world_client_close(client->load->world, client->connection);
    client->connection = 0;
    client->follow = FOLLOW_NONE;
    finish_operation(client, OPERATION_UNKNOWN);
}

static void step_client(void *user, uint64_t argument)
{
    struct load_client *client = user;
    struct workload *load = client->load;
    MAYBE(argument == 0);
    if (load->issued >= load->plan->operations) {
        load->active--;
        return;
    }
    if (!client->connection) {
        uint32_t nodes = world_topology(load->world)->nodes_count;
        client->node =
            (uint8_t)(prng_chance(&load->prng, 3, 4) ? client->index % nodes : prng_below(&load->prng, nodes));
        client->connection = world_client_open(load->world, client->node, on_reply, client);
        if (!client->connection) {
            plan_step(client, CLIENT_RETRY_NS);
            return;
        }
    }
    struct command_text command = {0};
    struct slice words[COMMAND_WORDS_MAX];
    size_t count;
    struct operation op = {.node = client->node, .invoked_ns = world_now_ns(load->world)};
    if (client->follow == FOLLOW_NONE) {
        draw_operation(client, &op, &command);
        memcpy(words, command.words, command.count * sizeof *words);
        count = command.count;
    } else {
        follow_operation(client, &op, words, &count, &command);
    }
    client->operation = history_invoke(load->history, &op);
    client->waits = true;
    load->issued++;
    world_client_send(load->world, client->connection, words, count);
    world_at(load->world, world_now_ns(load->world) + load->plan->client_timeout_ns, on_timeout, client,
             client->ticket);
}

/* ---- life ---- */

struct workload *workload_new(struct world *w, const struct plan *plan, struct history *history)
{
    struct workload *load = memory_zalloc(1, sizeof *load);
    *load = (struct workload){.world = w, .plan = plan, .history = history, .next_value = 1};
    prng_init(&load->prng, plan->seed ^ 0x776f726b6c6f6164ULL);
    load->clients = memory_zalloc(plan->clients, sizeof *load->clients);
    for (uint32_t i = 0; i < plan->clients; i++) {
        load->clients[i].load = load;
        load->clients[i].index = i;
        buffer_init(&load->clients[i].carried, 1024 * 1024);
    }
    return load;
}

void workload_free(struct workload *load)
{
    if (!load) return;
    for (uint32_t i = 0; i < load->plan->clients; i++) buffer_deinit(&load->clients[i].carried);
    memory_free(load->clients);
    memory_free(load);
}

bool workload_create_tables(struct workload *load, struct buffer *out_error)
{
    struct buffer refusal;
    buffer_init(&refusal, 4096);
    bool created = true;
    for (uint32_t i = 0; i < load->plan->tables_count && created; i++) {
        const struct plan_table *t = &load->plan->tables[i];
        created = strcmp(t->name, "default") == 0 || create_table(load->world, t->name, t->words, &refusal);
        if (created) continue;
        buffer_append_format(out_error, "table %s: %.*s", t->name, (int)refusal.length, (const char *)refusal.data);
    }
    buffer_deinit(&refusal);
    return created && tables_are_known(load->world, load->plan->tables_count, out_error);
}

void workload_start(struct workload *load)
{
    load->active = load->plan->clients;
    for (uint32_t i = 0; i < load->plan->clients; i++) {
        plan_step(&load->clients[i], prng_below(&load->prng, load->plan->think_ns_max));
    }
}

bool workload_is_done(const struct workload *load)
{
    return load->active == 0;
}
