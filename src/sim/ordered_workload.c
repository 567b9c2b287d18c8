/* ordered_workload.c: closed-loop clients of ordered tables.
 *
 * Half of the writes carry an idempotency id. They are tried again, at any node, until somebody knows what became of
 * them; and some are sent once more after that, when the answer must be the same (exactly once). All others are sent
 * once: after an unknown outcome nobody knows, and the connection is given up.
 */
#include "sim/ordered_workload.h"

#include <stdio.h>

#include "base/memory.h"
#include "sim/command_text.h"
#include "sim/create_tables.h"
#include "sim/history.h"

enum {
    DOUBTFUL_MAX = 12, /* transfers of a run that may happen at any time: each doubles the worlds to look at */
    TRIES_MAX = 40,
    BATCH_MAX = PLAN_ACCOUNTS + 2,
    KNOWN_LOOKS = 40,
    TRANSFER_MAX = 80,
    EXPIRE_MS_MAX = 3000,
    BANK_OPERATIONS_MAX = 150,
    SPREAD_BANK_OPERATIONS_MAX = 90, /* more of them end as unknown, which is what costs */
    AUDIT_TRIES = 60
};
static const uint64_t retry_ns = 200000000, look_ns = 10000000, setup_tries = 300;
static const int64_t nonsense = INT64_MIN; /* the result of a reply that no sound server gives */

struct ordered_client {
    struct ordered_workload *load;
    uint8_t index, node;
    uint64_t connection; /* 0: none */
    uint64_t ticket;     /* of the try under way: tells its time-out from a later one's */
    bool waits;
    uint32_t replies_missing; /* of the batch under way; the last one counts */
    uint32_t operation;       /* in the history */
    uint32_t tries;           /* of this operation; 0: draw the next one */
    bool idempotent;
    bool was_unknown; /* some try may have taken effect */
    bool again;       /* done, and sent once more */
    char id[32];
    struct command_text batch[BATCH_MAX]; /* MULTI, the commands, EXEC; or one command */
    uint32_t batch_count;
};

struct ordered_workload {
    struct world *world;
    const struct plan *plan;
    struct ordered_history *history;
    struct verdict *verdict;
    struct prng prng;
    struct ordered_client *clients;
    uint64_t next_value;
    uint32_t issued;
    uint32_t issued_to[PLAN_ORDERED_MAX];
    uint32_t doubtful; /* transfers that are under way or unknown */
    uint32_t active;
};

/* ---- what to do next ---- */

static void key_text(const struct plan_ordered *t, uint32_t key, char out[32])
{
    snprintf(out, 32, "%s:%u", t->name, key);
}

static uint32_t keys_used(const struct ordered_workload *load, uint32_t table)
{
    const struct plan_ordered *t = &load->plan->ordered[table];
    if (t->kind == LINEAR_BANK) return 1;
    return load->issued_to[table] / t->operations_per_key + t->keys_at_once;
}

/* One of the present keys; now and then one that was left long ago, where a late write may show. */
static uint32_t draw_key(struct ordered_workload *load, uint32_t table)
{
    uint32_t used = keys_used(load, table), present = load->plan->ordered[table].keys_at_once;
    if (used <= present || prng_chance(&load->prng, 1, 12)) return (uint32_t)prng_below(&load->prng, used);
    return used - 1 - (uint32_t)prng_below(&load->prng, present);
}

/* What the key may hold: from the newest operation on it that says so. */
static uint64_t known_value(const struct ordered_history *h, uint32_t table, uint32_t key)
{
    for (uint32_t i = h->count, looks = 0; i-- > 0 && looks < KNOWN_LOOKS; looks++) {
        const struct ordered_operation *op = &h->operations[i];
        if (op->table != table || op->key != key || op->outcome != ORDERED_DONE) continue;
        if (op->kind == ORDERED_GET) return (uint64_t)op->result;
        if (op->kind == ORDERED_SET || (op->kind == ORDERED_CAS && op->result == 1)) return op->value;
        if (op->kind == ORDERED_DELETE) return 0;
    }
    return 0;
}

static enum ordered_kind draw_kind(struct prng *p, const struct plan_ordered *t)
{
    uint64_t dice = prng_below(p, 100);
    if (t->expires && dice >= 75) return ORDERED_EXPIRE;
    switch (t->kind) {
    case LINEAR_REGISTER:
        return dice < 40 ? ORDERED_GET : dice < 65 ? ORDERED_SET : dice < 92 ? ORDERED_CAS : ORDERED_DELETE;
    case LINEAR_COUNTER: return dice < 35 ? ORDERED_GET : ORDERED_ADD;
    case LINEAR_LIST: return dice < 35 ? ORDERED_RANGE : dice < 80 ? ORDERED_PUSH : ORDERED_POP;
    case LINEAR_BANK: return dice < 40 ? ORDERED_BALANCES : ORDERED_TRANSFER;
    }
    return ORDERED_GET;
}

static void fill_operation(struct ordered_workload *load, struct ordered_operation *op)
{
    switch (op->kind) {
    case ORDERED_SET:
    case ORDERED_PUSH: op->value = load->next_value++; break;
    case ORDERED_CAS:
        op->value = load->next_value++;
        op->expected = known_value(load->history, op->table, op->key);
        break;
    case ORDERED_ADD: op->value = prng_range(&load->prng, 1, 1000); break;
    case ORDERED_EXPIRE: op->value = prng_range(&load->prng, 1, EXPIRE_MS_MAX); break;
    case ORDERED_TRANSFER:
        op->value = prng_range(&load->prng, 1, TRANSFER_MAX);
        op->from = (uint8_t)prng_below(&load->prng, PLAN_ACCOUNTS);
        op->to = (uint8_t)((op->from + 1 + prng_below(&load->prng, PLAN_ACCOUNTS - 1)) % PLAN_ACCOUNTS);
        break;
    case ORDERED_GET:
    case ORDERED_DELETE:
    case ORDERED_POP:
    case ORDERED_RANGE:
    case ORDERED_BALANCES:
    case ORDERED_KINDS: break;
    }
}

static bool is_write(enum ordered_kind kind)
{
    return kind != ORDERED_GET && kind != ORDERED_RANGE && kind != ORDERED_BALANCES;
}

/* ---- commands ---- */

static struct command_text *next_command(struct ordered_client *client)
{
    ASSERT(client->batch_count < BATCH_MAX);
    struct command_text *c = &client->batch[client->batch_count++];
    c->count = 0;
    return c;
}

/* Inside one MULTI: the table's INVARIANT undoes both halves when the first would go below zero. */
static void write_transfer(struct ordered_client *client, const struct plan_ordered *t,
                           const struct ordered_operation *op)
{
    char key[32];
    command_add(next_command(client), "MULTI");
    for (int half = 0; half < 2; half++) {
        struct command_text *c = next_command(client);
        key_text(t, half ? op->to : op->from, key);
        command_add(c, half ? "INCRBY" : "DECRBY");
        command_add(c, key);
        command_add_number(c, op->value);
    }
    command_add(next_command(client), "EXEC");
}

/* An MGET over several groups is no snapshot: there it is a transaction that reads. */
static void write_balances(struct ordered_client *client, const struct plan_ordered *t)
{
    char key[32];
    if (!t->is_spread) {
        struct command_text *c = next_command(client);
        command_add(c, "MGET");
        for (uint32_t account = 0; account < PLAN_ACCOUNTS; account++) {
            key_text(t, account, key);
            command_add(c, key);
        }
        return;
    }
    command_add(next_command(client), "MULTI");
    for (uint32_t account = 0; account < PLAN_ACCOUNTS; account++) {
        struct command_text *c = next_command(client);
        key_text(t, account, key);
        command_add(c, "GET");
        command_add(c, key);
    }
    command_add(next_command(client), "EXEC");
}

static void write_command(struct ordered_client *client, const struct ordered_operation *op)
{
    static const char *const words[ORDERED_KINDS] = {
        [ORDERED_SET] = "SET",    [ORDERED_GET] = "GET",      [ORDERED_CAS] = "CAS",
        [ORDERED_DELETE] = "DEL", [ORDERED_ADD] = "INCRBY",   [ORDERED_PUSH] = "LPUSH",
        [ORDERED_POP] = "LPOP",   [ORDERED_RANGE] = "LRANGE", [ORDERED_EXPIRE] = "PEXPIRE"};
    const struct plan_ordered *t = &client->load->plan->ordered[op->table];
    client->batch_count = 0;
    if (op->kind == ORDERED_TRANSFER) {
        write_transfer(client, t, op);
        return;
    }
    if (op->kind == ORDERED_BALANCES) {
        write_balances(client, t);
        return;
    }
    char key[32];
    key_text(t, op->key, key);
    struct command_text *c = next_command(client);
    if (client->idempotent) {
        command_add(c, "IDEMPOTENT");
        command_add(c, client->id);
    }
    command_add(c, words[op->kind]);
    command_add(c, key);
    if (op->kind == ORDERED_CAS && op->expected) command_add_value(c, op->expected); /* none: where nothing is */
    if (op->kind == ORDERED_SET || op->kind == ORDERED_CAS || op->kind == ORDERED_PUSH) command_add_value(c, op->value);
    if (op->kind == ORDERED_ADD || op->kind == ORDERED_EXPIRE) command_add_number(c, op->value);
    if (op->kind == ORDERED_RANGE) command_add_all(c, "0 -1");
}

/* All of a bank is one history, and must stay short as well. */
static uint8_t draw_table(struct ordered_workload *load)
{
    uint8_t table = (uint8_t)prng_below(&load->prng, load->plan->ordered_count);
    const struct plan_ordered *t = &load->plan->ordered[table];
    uint32_t most = t->is_spread ? SPREAD_BANK_OPERATIONS_MAX : BANK_OPERATIONS_MAX;
    bool is_used_up = t->kind == LINEAR_BANK && load->issued_to[table] >= most;
    return is_used_up ? 0 : table;
}

static void draw_operation(struct ordered_client *client)
{
    struct ordered_workload *load = client->load;
    struct ordered_operation op = {.node = client->node, .client = client->index};
    op.table = draw_table(load);
    const struct plan_ordered *t = &load->plan->ordered[op.table];
    op.key = t->kind == LINEAR_BANK ? 0 : draw_key(load, op.table);
    op.kind = draw_kind(&load->prng, t);
    if (op.kind == ORDERED_TRANSFER && load->doubtful == DOUBTFUL_MAX) op.kind = ORDERED_BALANCES;
    load->doubtful += op.kind == ORDERED_TRANSFER;
    fill_operation(load, &op);
    op.invoked_ns = world_now_ns(load->world);
    load->issued_to[op.table]++;
    client->idempotent = is_write(op.kind) && op.kind != ORDERED_TRANSFER && prng_chance(&load->prng, 1, 2);
    snprintf(client->id, sizeof client->id, "c%u-%u", client->index, load->issued);
    client->operation = ordered_history_invoke(load->history, &op);
    client->was_unknown = client->again = false;
    load->issued++;
    write_command(client, &op);
}

/* ---- replies ---- */

static bool starts_with(struct slice text, const char *prefix)
{
    size_t length = strlen(prefix);
    return text.length >= length && memcmp(text.data, prefix, length) == 0;
}

static bool is_nothing(const struct resp_value *v)
{
    return v->type == RESP_NULL;
}

/* A number, a value "v<number>", or nothing: 0. */
static int64_t number_of(const struct resp_value *v)
{
    int64_t number;
    if (is_nothing(v)) return 0;
    if (v->type == RESP_INTEGER) return v->integer;
    if (v->type != RESP_BULK) return nonsense;
    if (history_value_of(v->text)) return (int64_t)history_value_of(v->text);
    return slice_to_i64(v->text, &number) ? number : nonsense;
}

static int64_t result_of(const struct ordered_operation *op, const struct resp_value *reply)
{
    if (op->kind == ORDERED_SET) return 0;
    if (op->kind == ORDERED_RANGE || op->kind == ORDERED_BALANCES) return reply->type == RESP_ARRAY ? 0 : nonsense;
    if (op->kind != ORDERED_TRANSFER) return number_of(reply);
    if (reply->type != RESP_ARRAY) return nonsense;
    return reply->count == 2 && reply->items[0].type == RESP_INTEGER && reply->items[1].type == RESP_INTEGER;
}

static enum ordered_outcome outcome_of(const struct ordered_operation *op, const struct resp_value *reply)
{
    if (reply->type != RESP_ERROR) return ORDERED_DONE;
    if (op->kind == ORDERED_TRANSFER && starts_with(reply->text, "INVARIANT")) return ORDERED_DONE;
    bool unknown = starts_with(reply->text, "UNKNOWN") || starts_with(reply->text, "TIMEOUT");
    return unknown ? ORDERED_UNKNOWN : ORDERED_REFUSED;
}

static void return_operation(struct ordered_client *client, enum ordered_outcome outcome,
                             const struct resp_value *reply)
{
    struct ordered_workload *load = client->load;
    const struct ordered_operation *op = &load->history->operations[client->operation];
    int64_t result = 0;
    if (outcome == ORDERED_DONE && reply->type != RESP_ERROR) {
        bool has_items = !is_write(op->kind) && op->kind != ORDERED_GET;
        for (size_t i = 0; has_items && i < reply->count; i++) {
            ordered_history_add_item(load->history, client->operation, number_of(&reply->items[i]));
        }
        result = result_of(op, reply);
    }
    if (op->kind == ORDERED_TRANSFER && outcome != ORDERED_UNKNOWN) load->doubtful--;
    ordered_history_return(load->history, client->operation, outcome, result, world_now_ns(load->world));
}

/* ---- the loop of a client ---- */

static void step_client(void *user, uint64_t argument);

static void plan_step(struct ordered_client *client, uint64_t delay_ns)
{
    world_at(client->load->world, world_now_ns(client->load->world) + delay_ns, step_client, client, 0);
}

static void next_operation(struct ordered_client *client)
{
    client->tries = 0;
    plan_step(client, prng_below(&client->load->prng, client->load->plan->ordered_think_ns_max));
}

/* The answer to an operation that was done before must be the one that it got then. */
static void check_again(struct ordered_client *client, const struct resp_value *reply)
{
    struct ordered_workload *load = client->load;
    const struct ordered_operation *op = &load->history->operations[client->operation];
    if (reply && outcome_of(op, reply) == ORDERED_DONE && result_of(op, reply) != op->result) {
        char text[ORDERED_TEXT_BYTES];
        ordered_operation_text(op, load->history->items, text);
        verdict_fail(load->verdict, "exactly once", "%s key %u: %s; sent again with its id %s it answers %lld",
                     load->plan->ordered[op->table].name, op->key, text, client->id, (long long)result_of(op, reply));
    }
    next_operation(client);
}

/* One try has ended; `reply` is NULL when nothing came. */
static void end_try(struct ordered_client *client, const struct resp_value *reply)
{
    struct ordered_workload *load = client->load;
    client->waits = false;
    client->ticket++;
    if (client->again) {
        check_again(client, reply);
        return;
    }
    const struct ordered_operation *op = &load->history->operations[client->operation];
    enum ordered_outcome outcome = reply ? outcome_of(op, reply) : ORDERED_UNKNOWN;
    if (outcome == ORDERED_UNKNOWN) client->was_unknown = true;
    bool settled = outcome == ORDERED_DONE || (outcome == ORDERED_REFUSED && !client->was_unknown);
    if (!settled && client->idempotent && client->tries < TRIES_MAX) {
        plan_step(client, retry_ns);
        return;
    }
    return_operation(client, settled ? outcome : ORDERED_UNKNOWN, reply);
    client->again = client->idempotent && outcome == ORDERED_DONE && prng_chance(&load->prng, 1, 4);
    if (client->again)
        plan_step(client, prng_below(&load->prng, load->plan->ordered_think_ns_max));
    else
        next_operation(client);
}

static void give_up_connection(struct ordered_client *client)
{
    if (client->connection) world_client_close(client->load->world, client->connection);
    client->connection = 0;
}

static void on_reply(void *user, uint64_t connection, const struct resp_value *reply)
{
    struct ordered_client *client = user;
    if (connection != client->connection) return; /* of a connection we gave up */
    if (!reply) {
        client->connection = 0;
        if (client->waits) end_try(client, NULL);
        return;
    }
    ASSERT(client->waits);
    if (--client->replies_missing > 0) return;
    const struct ordered_operation *op = &client->load->history->operations[client->operation];
    bool unknown = outcome_of(op, reply) == ORDERED_UNKNOWN;
    end_try(client, reply);
    if (unknown) give_up_connection(client);
}

static void on_timeout(void *user, uint64_t ticket)
{
    struct ordered_client *client = user;
    if (!client->waits || client->ticket != ticket) return;
    give_up_connection(client);
    end_try(client, NULL);
}

static bool connect_client(struct ordered_client *client)
{
    struct ordered_workload *load = client->load;
    if (client->connection) return true;
    uint32_t nodes = world_topology(load->world)->nodes_count;
    bool at_home = prng_chance(&load->prng, 1, 2);
    client->node = (uint8_t)(at_home ? client->index % nodes : prng_below(&load->prng, nodes));
    client->connection = world_client_open(load->world, client->node, on_reply, client);
    return client->connection != 0;
}

static void send_try(struct ordered_client *client)
{
    struct ordered_workload *load = client->load;
    client->tries++;
    client->waits = true;
    client->replies_missing = client->batch_count;
    for (uint32_t i = 0; i < client->batch_count; i++) {
        world_client_send(load->world, client->connection, client->batch[i].words, client->batch[i].count);
    }
    world_at(load->world, world_now_ns(load->world) + load->plan->client_timeout_ns, on_timeout, client,
             client->ticket);
}

static void step_client(void *user, uint64_t argument)
{
    struct ordered_client *client = user;
    struct ordered_workload *load = client->load;
    MAYBE(argument == 0);
    if (client->tries == 0 && load->issued >= load->plan->ordered_operations) {
        load->active--;
        return;
    }
    if (prng_chance(&load->prng, 1, client->tries > 0 ? 2 : 6)) give_up_connection(client); /* ask another node */
    if (!connect_client(client)) {
        plan_step(client, retry_ns);
        return;
    }
    if (client->tries == 0) draw_operation(client);
    send_try(client);
}

/* ---- life ---- */

struct ordered_workload *ordered_workload_new(struct world *w, const struct plan *plan, struct ordered_history *history,
                                              struct verdict *verdict)
{
    struct ordered_workload *load = memory_zalloc(1, sizeof *load);
    *load = (struct ordered_workload){.world = w, .plan = plan, .history = history, .verdict = verdict};
    load->next_value = 1;
    prng_init(&load->prng, plan->seed ^ 0x6f72646572656421ULL);
    load->clients = memory_zalloc(plan->ordered_clients + 1, sizeof *load->clients); /* the last one audits */
    for (uint32_t i = 0; i <= plan->ordered_clients; i++) {
        load->clients[i].load = load;
        load->clients[i].index = (uint8_t)i;
    }
    return load;
}

void ordered_workload_free(struct ordered_workload *load)
{
    if (!load) return;
    memory_free(load->clients);
    memory_free(load);
}

void ordered_workload_start(struct ordered_workload *load)
{
    load->active = load->plan->ordered_clients;
    for (uint32_t i = 0; i < load->plan->ordered_clients; i++) next_operation(&load->clients[i]);
}

bool ordered_workload_is_done(const struct ordered_workload *load)
{
    return load->active == 0;
}

/* ---- setup and audit: one client, one operation at a time, while nothing else goes on ---- */

struct answer {
    bool came;
    bool done;                /* and it was no error */
    uint32_t replies_missing; /* the last one counts */
    struct ordered_workload *load;
    uint32_t operation; /* UINT32_MAX: not in the history */
};

static void on_answer(void *user, uint64_t connection, const struct resp_value *reply)
{
    struct answer *answer = user;
    MAYBE(connection == 0);
    if (answer->came || (reply && --answer->replies_missing > 0)) return;
    answer->came = true;
    answer->done = reply && reply->type != RESP_ERROR;
    if (!answer->done || answer->operation == UINT32_MAX) return;
    struct ordered_client *auditor = &answer->load->clients[answer->load->plan->ordered_clients];
    auditor->operation = answer->operation;
    return_operation(auditor, ORDERED_DONE, reply);
}

/* Ask `node`, and wait for the answer to the last command. */
static bool ask(struct ordered_workload *load, uint8_t node, const struct command_text *commands, uint32_t count,
                uint32_t operation)
{
    struct answer answer = {.load = load, .operation = operation, .replies_missing = count};
    uint64_t connection = world_client_open(load->world, node, on_answer, &answer);
    if (!connection) return false;
    for (uint32_t i = 0; i < count; i++) {
        world_client_send(load->world, connection, commands[i].words, commands[i].count);
    }
    uint64_t deadline_ns = world_now_ns(load->world) + load->plan->client_timeout_ns;
    while (!answer.came && world_now_ns(load->world) < deadline_ns) {
        world_run_until(load->world, world_now_ns(load->world) + look_ns);
    }
    answer.came = true;
    world_client_close(load->world, connection);
    world_run_until(load->world, world_now_ns(load->world) + 1000000); /* nothing refers to `answer` after this */
    return answer.done;
}

static bool fill_bank(struct ordered_workload *load, const struct plan_ordered *t)
{
    for (uint32_t account = 0; account < PLAN_ACCOUNTS; account++) {
        char key[32];
        struct command_text c = {0};
        key_text(t, account, key);
        command_add(&c, "SET");
        command_add(&c, key);
        command_add_number(&c, PLAN_ACCOUNT_BALANCE);
        bool filled = false;
        for (uint64_t tries = 0; tries < setup_tries && !filled; tries++) filled = ask(load, 0, &c, 1, UINT32_MAX);
        if (!filled) return false;
    }
    return true;
}

bool ordered_workload_prepare(struct ordered_workload *load, struct buffer *out_error)
{
    const struct plan *plan = load->plan;
    for (uint32_t i = 0; i < plan->ordered_count; i++) {
        const struct plan_ordered *t = &plan->ordered[i];
        if (!create_table(load->world, t->name, t->words, out_error)) return false;
    }
    if (!tables_are_known(load->world, plan->tables_count + plan->ordered_count, out_error)) return false;
    for (uint32_t i = 0; i < plan->ordered_count; i++) {
        if (plan->ordered[i].kind != LINEAR_BANK || fill_bank(load, &plan->ordered[i])) continue;
        buffer_append_format(out_error, "the accounts of %s can't be filled", plan->ordered[i].name);
        return false;
    }
    return true;
}

static enum ordered_kind audit_kind(enum linear_kind kind)
{
    switch (kind) {
    case LINEAR_REGISTER:
    case LINEAR_COUNTER: return ORDERED_GET;
    case LINEAR_LIST: return ORDERED_RANGE;
    case LINEAR_BANK: return ORDERED_BALANCES;
    }
    return ORDERED_GET;
}

static bool audit_key(struct ordered_workload *load, uint32_t table, uint32_t key)
{
    struct ordered_client *auditor = &load->clients[load->plan->ordered_clients];
    uint32_t nodes = world_topology(load->world)->nodes_count;
    for (uint32_t tries = 0; tries < AUDIT_TRIES; tries++) {
        struct ordered_operation op = {.kind = audit_kind(load->plan->ordered[table].kind), .client = auditor->index};
        op.table = (uint8_t)table;
        op.key = key;
        op.node = (uint8_t)((key + tries) % nodes);
        op.invoked_ns = world_now_ns(load->world);
        write_command(auditor, &op);
        uint32_t operation = ordered_history_invoke(load->history, &op);
        if (ask(load, op.node, auditor->batch, auditor->batch_count, operation)) return true;
    }
    return false;
}

bool ordered_workload_audit(struct ordered_workload *load, struct buffer *out_error)
{
    for (uint32_t table = 0; table < load->plan->ordered_count; table++) {
        for (uint32_t key = 0; key < keys_used(load, table); key++) {
            if (audit_key(load, table, key)) continue;
            buffer_append_format(out_error, "%s key %u is not answered", load->plan->ordered[table].name, key);
            return false;
        }
    }
    return true;
}
