/* commands_topology.c: TOPOLOGY REGIONS, NODES, LAG, RECOVER: the cluster as this node sees it. */
#include <stdlib.h>

#include "node/lag.h"

static void write_text(struct buffer *b, const char *name, const char *value)
{
    resp_write_bulk(b, slice_of_string(name));
    resp_write_bulk(b, slice_of_string(value));
}

static void write_number(struct buffer *b, const char *name, int64_t value)
{
    resp_write_bulk(b, slice_of_string(name));
    resp_write_integer(b, value);
}

static enum command_result on_regions(struct request *request)
{
    struct shard *s = request->shard;
    const struct topology *t = shard__topology(s);
    uint8_t here = shard__self(s)->region;
    resp_write_array(request->reply, t->regions_count);
    for (uint32_t region = 0; region < t->regions_count; region++) {
        uint32_t nodes = 0, up = 0;
        for (uint32_t i = 0; i < t->nodes_count; i++) {
            if (t->nodes[i].region != region) continue;
            nodes++;
            up += i == s->config.node || s->peers[i].up;
        }
        resp_write_map(request->reply, request->resp_version, 5);
        write_text(request->reply, "region", t->regions[region]);
        write_number(request->reply, "nodes", nodes);
        write_number(request->reply, "reachable", up);
        write_text(request->reply, "here", region == here ? "yes" : "no");
        write_number(request->reply, "latency-ms", (t->links[here][region].latency_us + 500) / 1000);
    }
    return COMMAND_DONE;
}

static void write_address(struct buffer *b, const char *name, const struct topology_address *address)
{
    struct buffer text;
    buffer_init(&text, TOPOLOGY_ADDRESS_BYTES_MAX + 16);
    buffer_append_format(&text, "%s:%u", address->host, (unsigned)address->port);
    resp_write_bulk(b, slice_of_string(name));
    resp_write_bulk(b, buffer_slice(&text));
    buffer_deinit(&text);
}

/* Round trips and clock leads are measured by the first shard: these commands run there. */
static enum command_result on_nodes(struct request *request)
{
    struct shard *s = request->shard;
    const struct topology *t = shard__topology(s);
    struct buffer *b = request->reply;
    resp_write_array(b, t->nodes_count);
    for (uint32_t i = 0; i < t->nodes_count; i++) {
        const struct topology_node *node = &t->nodes[i];
        const struct peer *peer = &s->peers[i];
        bool self = i == s->config.node;
        resp_write_map(b, request->resp_version, 8);
        write_text(b, "node", node->id);
        write_text(b, "region", t->regions[node->region]);
        write_text(b, "zone", node->zone);
        write_address(b, "resp", &node->resp);
        write_address(b, "peer", &node->peer);
        write_text(b, "state", self ? "self" : peer->up ? "up" : "away");
        write_number(b, "round-trip-us", self || !peer->up ? 0 : (int64_t)peer->round_trip_us);
        write_number(b, "our-clock-lead-ms", self || !peer->up || !peer->heard_ns ? 0 : peer->lead_ms);
    }
    return COMMAND_DONE;
}

static enum command_result on_lag(struct request *request)
{
    lag__ask(request->task);
    return COMMAND_ASYNC;
}

/* By table, then by region, whoever answered first. */
static int compare_rows(const void *a, const void *b)
{
    const struct lag_row *x = a, *y = b;
    if (x->table != y->table) return x->table < y->table ? -1 : 1;
    if (x->from != y->from) return x->from < y->from ? -1 : 1;
    return x->to < y->to ? -1 : x->to > y->to;
}

void lag__reply(struct task *task, const struct lag_sum *sum)
{
    struct shard *s = task->shard;
    const struct topology *t = shard__topology(s);
    if (sum->count > 1) qsort(sum->rows, sum->count, sizeof *sum->rows, compare_rows);
    resp_write_array(&task->reply, sum->count);
    for (uint32_t i = 0; i < sum->count; i++) {
        const struct lag_row *row = &sum->rows[i];
        struct table_slot *table = catalog__by_id(s, row->table);
        resp_write_map(&task->reply, task->resp_version, 6);
        write_text(&task->reply, "table", table ? table->table.name : "");
        write_text(&task->reply, "from", t->regions[row->from]);
        write_text(&task->reply, "to", t->regions[row->to]);
        write_number(&task->reply, "unconfirmed-writes", (int64_t)row->writes);
        write_number(&task->reply, "unconfirmed-bytes", (int64_t)row->bytes);
        write_number(&task->reply, "oldest-ms", (int64_t)row->oldest_ms);
    }
}

#define TOPOLOGY(name, flags, summary, handler)                                  \
    {                                                                            \
        name, 2, SCOPE_CONNECTION, flags, 0, 0, "topology", "", summary, handler \
    }

static const struct command commands[] = {
    TOPOLOGY("topology|lag", COMMAND_SHARD_ZERO,
             "Per table and pair of regions: writes that the other has not confirmed.", on_lag),
    TOPOLOGY("topology|nodes", COMMAND_SHARD_ZERO, "All nodes, with what this one knows of them.", on_nodes),
    {"topology|recover", -4, SCOPE_CONNECTION, COMMAND_SHARD_ZERO | COMMAND_ADMIN, 0, 0, "topology",
     "LOST node [node ...] [CONFIRM]",
     "What ordered tables could go on with, without the nodes that are lost; with CONFIRM: go on.", recover__command},
    TOPOLOGY("topology|regions", COMMAND_SHARD_ZERO, "All regions, and how many of their nodes can be reached.",
             on_regions),
};

const struct command_group node_commands_topology = {commands, sizeof commands / sizeof commands[0]};
