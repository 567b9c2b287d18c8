/* commands_table.c: TABLE CREATE, DROP, LIST, SHOW. TABLE PLAN is in commands_plan.c. */
#include "node/commands_server.h"
#include "node/shard_internal.h"

static enum command_result on_create(struct request *request)
{
    table_protocol__create(request->task);
    return COMMAND_ASYNC;
}

static enum command_result on_drop(struct request *request)
{
    table_protocol__drop(request->task);
    return COMMAND_ASYNC;
}

static void write_pair(struct buffer *b, const char *name, const char *value)
{
    resp_write_bulk(b, slice_of_string(name));
    resp_write_bulk(b, slice_of_string(value));
}

/* As far as this shard's groups know: one was recovered, and does not run as the contract says so far. */
static bool is_degraded(const struct table_slot *table)
{
    if (table->state != TABLE_LIVE) return false;
    for (uint16_t p = 0; p < table->table.contract.partitions; p++) {
        const struct group *group = table->partitions[p].group;
        if (group && group_is_degraded(group)) return true;
    }
    return false;
}

static void write_table(struct request *request, const struct table_slot *table)
{
    static const char *const states[] = {
        [TABLE_LIVE] = "live", [TABLE_SUPERSEDED] = "superseded", [TABLE_DROPPED] = "dropped"};
    const struct contract *c = &table->table.contract;
    struct buffer *b = request->reply;
    struct buffer text;
    buffer_init(&text, 4096);
    bool ordered = c->engine == ENGINE_ORDERED;
    resp_write_map(b, request->resp_version, (ordered ? 9 : 8) + (c->has_minimum ? 1 : 0));
    write_pair(b, "name", table->table.name);
    buffer_append_format(&text, "%llx", (unsigned long long)table->table.id);
    resp_write_bulk(b, SLICE_LITERAL("id"));
    resp_write_bulk(b, buffer_slice(&text));
    write_pair(b, "engine", contract_engine_name(c->engine));
    if (!ordered) write_pair(b, "conflict", contract_conflict_name(c->conflict));
    buffer_clear(&text);
    if (ordered) {
        durability_format(&c->durability, &text);
        resp_write_bulk(b, SLICE_LITERAL("durability"));
        resp_write_bulk(b, buffer_slice(&text));
        write_pair(b, "read", contract_read_name(c->read));
        buffer_clear(&text);
    }
    write_pair(b, "type", contract_type_name(c->type));
    if (c->has_minimum) {
        buffer_append_format(&text, "min:%lld", (long long)c->minimum);
        resp_write_bulk(b, SLICE_LITERAL("invariant"));
        resp_write_bulk(b, buffer_slice(&text));
        buffer_clear(&text);
    }
    contract_format_replicas(c, shard__topology(request->shard), &text);
    resp_write_bulk(b, SLICE_LITERAL("replicas"));
    resp_write_bulk(b, buffer_slice(&text));
    resp_write_bulk(b, SLICE_LITERAL("partitions"));
    resp_write_integer(b, c->partitions);
    write_pair(b, "state", is_degraded(table) ? "degraded" : states[table->state]);
    buffer_deinit(&text);
}

static bool is_listed(const struct table_slot *table)
{
    return table->state == TABLE_LIVE || table->state == TABLE_SUPERSEDED;
}

static enum command_result on_list(struct request *request)
{
    struct shard *s = request->shard;
    size_t count = 0;
    for (uint32_t i = 0; i < s->tables_count; i++) count += is_listed(s->tables[i]);
    resp_write_array(request->reply, count);
    for (uint32_t i = 0; i < s->tables_count; i++) {
        if (is_listed(s->tables[i])) write_table(request, s->tables[i]);
    }
    return COMMAND_DONE;
}

static enum command_result on_show(struct request *request)
{
    struct table_slot *table = catalog__by_name(request->shard, request->args[2]);
    if (table) {
        write_table(request, table);
    } else {
        resp_write_error(request->reply, "ERR no such table");
    }
    return COMMAND_DONE;
}

#define TABLE(name, arity, flags, syntax, summary, handler)                           \
    {                                                                                 \
        name, arity, SCOPE_CONNECTION, flags, 0, 0, "table", syntax, summary, handler \
    }

static const struct command commands[] = {
    TABLE(
        "table|create", -3, COMMAND_ADMIN | COMMAND_SHARD_ZERO,
        "name [ENGINE mergeable | ordered] [CONFLICT lww | siblings | update-wins | delete-wins] "
        "[REPLICAS region=count,…] [DURABILITY leader | majority | majority+regions:K | majority+zones:K | tags:NAME | "
        "all] [READ linearizable | local | one] [TYPE any | string | counter | set | row | list | zset] "
        "[INVARIANT min:N] [PARTITIONS n]",
        "Creates a table: keys that begin with its name and a colon live in it, under this contract.", on_create),
    TABLE("table|drop", 3, COMMAND_ADMIN | COMMAND_SHARD_ZERO, "name",
          "Drops a table and all its data, in every region.", on_drop),
    TABLE("table|list", 2, 0, "", "All tables, one record each.", on_list),
    TABLE("table|plan", -3, 0, "name [contract words as in TABLE CREATE]",
          "What each loss of a node, zone, region or link would cost the table, and what its writes wait for.",
          plan_on_plan),
    TABLE("table|show", 3, 0, "name", "The contract of one table.", on_show),
};

const struct command_group node_commands_table = {commands, sizeof commands / sizeof commands[0]};
