/* topology.c: questions to a topology, and writing it down again. Reading is topology_parse.c.
 *
 * T1  A node's number is a hash of its id, so that adding a node to the file renumbers nobody (dots carry it).
 */
#include "contract/topology.h"

#include "base/hash.h"

int topology_node_by_id(const struct topology *t, struct slice id)
{
    for (uint32_t i = 0; i < t->nodes_count; i++) {
        if (slice_equal(slice_of_string(t->nodes[i].id), id)) return (int)i;
    }
    return -1;
}

int topology_node_by_number(const struct topology *t, uint16_t number)
{
    for (uint32_t i = 0; i < t->nodes_count; i++) {
        if (t->nodes[i].number == number) return (int)i;
    }
    return -1;
}

int topology_region_by_name(const struct topology *t, struct slice name)
{
    for (uint32_t i = 0; i < t->regions_count; i++) {
        if (slice_equal(slice_of_string(t->regions[i]), name)) return (int)i;
    }
    return -1;
}

uint16_t topology_node_number(struct slice id)
{
    uint64_t hash = hash_bytes(id, 0);
    return (uint16_t)(1 + hash % UINT16_MAX);
}

static void write_address(struct buffer *out, const char *key, const struct topology_address *address)
{
    buffer_append_format(out, ", %s: \"%s:%u\"", key, address->host, (unsigned)address->port);
}

static void write_node(struct buffer *out, const struct topology *t, const struct topology_node *node)
{
    buffer_append_format(out, "  - {id: %s, region: %s, zone: %s", node->id, t->regions[node->region], node->zone);
    write_address(out, "resp", &node->resp);
    write_address(out, "peer", &node->peer);
    if (node->http.port) write_address(out, "http", &node->http);
    buffer_append_format(out, ", data: \"");
    for (const char *c = node->data; *c; c++) {
        if (*c == '"' || *c == '\\') buffer_append_byte(out, '\\');
        buffer_append_byte(out, (uint8_t)*c);
    }
    buffer_append_byte(out, '"');
    for (uint8_t i = 0; i < node->peer_overrides_count; i++) {
        const struct topology_address *address = &node->peer_overrides[i].address;
        buffer_append_format(out, "%s%s: \"%s:%u\"", i ? ", " : ", peers: {", t->nodes[node->peer_overrides[i].node].id,
                             address->host, (unsigned)address->port);
    }
    buffer_append_format(out, "%s}\n", node->peer_overrides_count ? "}" : "");
}

/* Milliseconds with as many decimals as the microseconds need. */
static void write_ms(struct buffer *out, uint32_t us)
{
    buffer_append_format(out, "%u", us / 1000);
    if (us % 1000) buffer_append_format(out, ".%03u", us % 1000);
}

void topology_write_yaml(const struct topology *t, struct buffer *out)
{
    buffer_append_format(out, "version: 1\nnodes:\n");
    for (uint32_t i = 0; i < t->nodes_count; i++) write_node(out, t, &t->nodes[i]);
    bool headed = false;
    for (uint32_t a = 0; a < t->regions_count; a++) {
        for (uint32_t b = a + 1; b < t->regions_count; b++) {
            const struct topology_link *link = &t->links[a][b];
            if (link->latency_us == 0 && link->jitter_us == 0) continue;
            if (!headed) buffer_append_format(out, "links:\n");
            headed = true;
            buffer_append_format(out, "  - {between: [%s, %s], latency_ms: ", t->regions[a], t->regions[b]);
            write_ms(out, link->latency_us);
            buffer_append_format(out, ", jitter_ms: ");
            write_ms(out, link->jitter_us);
            buffer_append_format(out, "}\n");
        }
    }
    buffer_append_format(out, "faults: %s\n", t->faults_allowed ? "true" : "false");
}
