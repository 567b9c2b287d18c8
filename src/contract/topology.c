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

const struct topology_rule *topology_rule_by_name(const struct topology *t, struct slice name)
{
    for (uint32_t i = 0; i < t->rules_count; i++) {
        if (slice_equal(slice_of_string(t->rules[i].name), name)) return &t->rules[i];
    }
    return NULL;
}

/* ---- labels ---- */

int topology_label_index(const struct topology *t, struct slice name)
{
    if (slice_equal(name, SLICE_LITERAL("region"))) return COMMIT_LABEL_REGION;
    if (slice_equal(name, SLICE_LITERAL("zone"))) return COMMIT_LABEL_ZONE;
    for (uint32_t i = 0; i < t->tags_count; i++) {
        if (slice_equal(slice_of_string(t->tags[i]), name)) return (int)i + 2;
    }
    return -1;
}

const char *topology_label_name(const struct topology *t, uint8_t label)
{
    if (label == COMMIT_LABEL_REGION) return "region";
    if (label == COMMIT_LABEL_ZONE) return "zone";
    ASSERT(label < t->tags_count + 2);
    return t->tags[label - 2];
}

/* A zone's name means something only inside its region. */
static uint16_t zone_number(const char *region, const char *zone)
{
    char both[2 * TOPOLOGY_NAME_BYTES_MAX];
    size_t first = strlen(region), second = strlen(zone);
    memcpy(both, region, first);
    both[first] = '/';
    memcpy(both + first + 1, zone, second);
    return topology_node_number(slice_of(both, first + 1 + second));
}

void topology_labels(const struct topology *t, uint32_t node, struct commit_labels *out)
{
    const struct topology_node *n = &t->nodes[node];
    const char *region = t->regions[n->region];
    memset(out, 0, sizeof *out);
    out->value[COMMIT_LABEL_REGION] = topology_node_number(slice_of_string(region));
    out->value[COMMIT_LABEL_ZONE] = zone_number(region, n->zone);
    for (uint32_t i = 0; i < t->tags_count; i++) {
        if (n->tags[i][0]) out->value[2 + i] = topology_node_number(slice_of_string(n->tags[i]));
    }
}

/* ---- writing ---- */

static void write_address(struct buffer *out, const char *key, const struct topology_address *address)
{
    buffer_append_format(out, ", %s: \"%s:%u\"", key, address->host, (unsigned)address->port);
}

static void write_node(struct buffer *out, const struct topology *t, const struct topology_node *node)
{
    buffer_append_format(out, "  - {id: %s, region: %s, zone: %s", node->id, t->regions[node->region], node->zone);
    if (node->resp.port) write_address(out, "resp", &node->resp);
    if (node->peer.port) write_address(out, "peer", &node->peer);
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
    if (node->peer_overrides_count) buffer_append_byte(out, '}');
    bool headed = false;
    for (uint32_t i = 0; i < t->tags_count; i++) {
        if (!node->tags[i][0]) continue;
        buffer_append_format(out, "%s%s: %s", headed ? ", " : ", tags: {", t->tags[i], node->tags[i]);
        headed = true;
    }
    buffer_append_format(out, "%s}\n", headed ? "}" : "");
}

/* Milliseconds with as many decimals as the microseconds need. */
static void write_ms(struct buffer *out, uint32_t us)
{
    buffer_append_format(out, "%u", us / 1000);
    if (us % 1000) buffer_append_format(out, ".%03u", us % 1000);
}

static void write_rule(struct buffer *out, const struct topology *t, const struct topology_rule *rule)
{
    buffer_append_format(out, "  %s: {", rule->name);
    for (uint32_t i = 0; i < rule->rule.needs_count; i++) {
        buffer_append_format(out, "%s%s: %u", i ? ", " : "", topology_label_name(t, rule->rule.needs[i].label),
                             (unsigned)rule->rule.needs[i].distinct);
    }
    buffer_append_format(out, "}\n");
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
    if (t->rules_count) buffer_append_format(out, "rules:\n");
    for (uint32_t i = 0; i < t->rules_count; i++) write_rule(out, t, &t->rules[i]);
    if (t->default_contract[0]) buffer_append_format(out, "default: \"%s\"\n", t->default_contract);
    buffer_append_format(out, "faults: %s\n", t->faults_allowed ? "true" : "false");
}
