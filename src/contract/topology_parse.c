/* topology_parse.c: the cluster file, from YAML to a checked topology, or "NAME:LINE: reason".
 *
 *   version: 1
 *   nodes:
 *     - {id: us-east-1, region: us-east, zone: us-east-a, resp: 127.0.0.1:7101, peer: 127.0.0.1:7201,
 *        http: 127.0.0.1:7301, data: ./us-east-1, peers: {eu-1: 127.0.0.1:9001}, tags: {rack: r1}}
 *   links:
 *     - {between: [us-east, eu], latency_ms: 40, jitter_ms: 2}
 *   rules: {geo: {region: 2, zone: 3}}
 *   default: {engine: ordered, durability: "tags:geo"}
 *   tables: {orders: {engine: ordered}}
 *   faults: true
 *
 * Needed: version, nodes, and of a node id, region, resp, peer, data (a sketch needs only id and region). `zone` is the
 * region unless said. `peers` says by which other address this node reaches a peer (a proxy). Links that are not named
 * have no latency. `tables` are checked here, and judged by `meridian plan`.
 */
#include "contract/contract.h"
#include "contract/topology_internal.h"

enum { LATENCY_MS_MAX = 60 * 1000 };

bool topology__is_name(const char *text)
{
    for (const char *c = text; *c; c++) {
        bool word = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
        if (!word && *c != '-' && *c != '_' && *c != '.') return false;
    }
    return text[0] != '\0' && text[0] != '-';
}

/* A name that commands can carry: letters, digits, '-', '_' and '.'. */
static enum status parse_name(const struct yaml_node *node, char out[TOPOLOGY_NAME_BYTES_MAX], struct buffer *error)
{
    const char *text;
    enum status status = yaml_string(node, TOPOLOGY_NAME_BYTES_MAX - 1, &text, error);
    if (status) return status;
    if (!topology__is_name(text)) {
        return yaml_fail(node, error, "'%s' is no name: letters, digits, '-', '_' and '.' are allowed", text);
    }
    memcpy(out, text, strlen(text) + 1);
    return STATUS_OK;
}

/* "host:port", "[v6]:port". */
static enum status parse_address(const struct yaml_node *node, struct topology_address *out, struct buffer *error)
{
    const char *text;
    enum status status = yaml_string(node, TOPOLOGY_ADDRESS_BYTES_MAX - 1, &text, error);
    if (status) return status;
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (!colon || colon == text || !slice_to_u64(slice_of_string(colon + 1), &port) || port == 0 || port > UINT16_MAX) {
        return yaml_fail(node, error, "'%s' is no address: host:port is wanted", text);
    }
    struct slice host = slice_of(text, (size_t)(colon - text));
    if (host.length > 2 && host.data[0] == '[' && host.data[host.length - 1] == ']') {
        host = slice_of(host.data + 1, host.length - 2);
    }
    memcpy(out->host, host.data, host.length);
    out->host[host.length] = '\0';
    out->port = (uint16_t)port;
    return STATUS_OK;
}

static enum status require_address(const struct yaml_node *mapping, const char *key, struct topology_address *out,
                                   struct buffer *error)
{
    const struct yaml_node *value = yaml_require(mapping, key, YAML_KIND_SCALAR, error);
    return value ? parse_address(value, out, error) : STATUS_MALFORMED;
}

/* The region's index, a new one at its first mention. */
static enum status take_region(const struct yaml_node *value, const char *name, struct topology *t, uint8_t *out_region,
                               struct buffer *error)
{
    int found = topology_region_by_name(t, slice_of_string(name));
    if (found < 0) {
        if (t->regions_count == TOPOLOGY_REGIONS_MAX) {
            return yaml_fail(value, error, "more than %d regions", TOPOLOGY_REGIONS_MAX);
        }
        found = (int)t->regions_count++;
        memcpy(t->regions[found], name, strlen(name) + 1);
    }
    *out_region = (uint8_t)found;
    return STATUS_OK;
}

static enum status parse_node_names(const struct yaml_node *item, struct topology *t, struct topology_node *node,
                                    struct buffer *error)
{
    char region[TOPOLOGY_NAME_BYTES_MAX];
    const struct yaml_node *id = yaml_require(item, "id", YAML_KIND_SCALAR, error);
    if (!id || parse_name(id, node->id, error)) return STATUS_MALFORMED;
    const struct yaml_node *value = yaml_require(item, "region", YAML_KIND_SCALAR, error);
    if (!value || parse_name(value, region, error)) return STATUS_MALFORMED;
    if (take_region(value, region, t, &node->region, error)) return STATUS_MALFORMED;
    const struct yaml_node *zone = yaml_find(item, "zone");
    memcpy(node->zone, region, sizeof region);
    if (zone && parse_name(zone, node->zone, error)) return STATUS_MALFORMED;
    if (topology_node_by_id(t, slice_of_string(node->id)) >= 0) {
        return yaml_fail(id, error, "node '%s' is named twice", node->id);
    }
    node->number = topology_node_number(slice_of_string(node->id));
    int twin = topology_node_by_number(t, node->number);
    if (twin >= 0) {
        return yaml_fail(id, error, "node '%s' has the same number (%u) as '%s': give one of them another id", node->id,
                         (unsigned)node->number, t->nodes[twin].id);
    }
    return STATUS_OK;
}

/* RESP and peer addresses, which only a sketch can do without, and http. */
static enum status parse_addresses(const struct yaml_node *item, bool sketch, struct topology_node *node,
                                   struct buffer *error)
{
    const struct yaml_node *resp = yaml_find(item, "resp"), *peer = yaml_find(item, "peer");
    const struct yaml_node *http = yaml_find(item, "http");
    if ((resp || !sketch) && require_address(item, "resp", &node->resp, error)) return STATUS_MALFORMED;
    if ((peer || !sketch) && require_address(item, "peer", &node->peer, error)) return STATUS_MALFORMED;
    return http ? parse_address(http, &node->http, error) : STATUS_OK;
}

static enum status parse_node(const struct yaml_node *item, bool sketch, struct topology *t, struct buffer *error)
{
    static const char *const keys[] = {"id", "region", "zone", "resp", "peer", "http", "data", "peers", "tags", NULL};
    if (t->nodes_count == TOPOLOGY_NODES_MAX) return yaml_fail(item, error, "more than %d nodes", TOPOLOGY_NODES_MAX);
    if (yaml_only_keys(item, keys, error)) return STATUS_MALFORMED;
    struct topology_node *node = &t->nodes[t->nodes_count];
    if (parse_node_names(item, t, node, error)) return STATUS_MALFORMED;
    if (parse_addresses(item, sketch, node, error)) return STATUS_MALFORMED;
    if (!sketch || yaml_find(item, "data")) {
        const struct yaml_node *data = yaml_require(item, "data", YAML_KIND_SCALAR, error);
        const char *path;
        if (!data || yaml_string(data, TOPOLOGY_PATH_BYTES_MAX - 1, &path, error)) return STATUS_MALFORMED;
        memcpy(node->data, path, strlen(path) + 1);
    }
    t->nodes_count++;
    return STATUS_OK;
}

/* When all nodes are known. */
static enum status parse_overrides(const struct yaml_node *item, struct topology *t, struct topology_node *node,
                                   struct buffer *error)
{
    const struct yaml_node *peers = yaml_find(item, "peers");
    if (!peers) return STATUS_OK;
    if (peers->kind != YAML_KIND_MAPPING) return yaml_fail(peers, error, "peers is a mapping from node to address");
    for (const struct yaml_node *value = peers->first; value; value = value->next) {
        int peer = topology_node_by_id(t, value->key->text);
        if (peer < 0) return yaml_fail(value->key, error, "peers names '%s', which is no node", value->key->text.data);
        node->peer_overrides[node->peer_overrides_count].node = (uint8_t)peer;
        if (parse_address(value, &node->peer_overrides[node->peer_overrides_count].address, error))
            return STATUS_MALFORMED;
        node->peer_overrides_count++;
    }
    return STATUS_OK;
}

static bool same_address(const struct topology_address *a, const struct topology_address *b)
{
    return a->port && a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* Two listeners can't share an address, on one node or two. */
static enum status check_addresses(const struct yaml_node *item, const struct topology *t, uint32_t index,
                                   struct buffer *error)
{
    const struct topology_node *node = &t->nodes[index];
    const struct topology_address *mine[3] = {&node->resp, &node->peer, &node->http};
    for (uint32_t i = 0; i <= index; i++) {
        const struct topology_address *theirs[3] = {&t->nodes[i].resp, &t->nodes[i].peer, &t->nodes[i].http};
        for (int a = 0; a < 3; a++) {
            for (int b = 0; b < (i == index ? a : 3); b++) {
                if (!same_address(mine[a], theirs[b])) continue;
                return yaml_fail(item, error, "address %s:%u is used twice", mine[a]->host, (unsigned)mine[a]->port);
            }
        }
    }
    return STATUS_OK;
}

static enum status parse_nodes(const struct yaml_node *root, bool sketch, struct topology *t, struct buffer *error)
{
    const struct yaml_node *nodes = yaml_require(root, "nodes", YAML_KIND_SEQUENCE, error);
    if (!nodes) return STATUS_MALFORMED;
    if (!nodes->first) return yaml_fail(nodes, error, "nodes is empty");
    for (const struct yaml_node *item = nodes->first; item; item = item->next) {
        if (parse_node(item, sketch, t, error)) return STATUS_MALFORMED;
        if (check_addresses(item, t, t->nodes_count - 1, error)) return STATUS_MALFORMED;
    }
    uint32_t index = 0;
    for (const struct yaml_node *item = nodes->first; item; item = item->next, index++) {
        if (parse_overrides(item, t, &t->nodes[index], error)) return STATUS_MALFORMED;
    }
    return STATUS_OK;
}

static enum status parse_ms(const struct yaml_node *item, const char *key, uint32_t *out_us, struct buffer *error)
{
    const struct yaml_node *value = yaml_find(item, key);
    double ms = 0;
    if (value && yaml_double(value, 0, LATENCY_MS_MAX, &ms, error)) return STATUS_MALFORMED;
    *out_us = (uint32_t)(ms * 1000 + 0.5);
    return STATUS_OK;
}

static enum status parse_link_end(const struct yaml_node *end, const struct topology *t, int *out_region,
                                  struct buffer *error)
{
    char name[TOPOLOGY_NAME_BYTES_MAX];
    if (parse_name(end, name, error)) return STATUS_MALFORMED;
    *out_region = topology_region_by_name(t, slice_of_string(name));
    return *out_region < 0 ? yaml_fail(end, error, "no node is in region '%s'", name) : STATUS_OK;
}

static enum status parse_link(const struct yaml_node *item, struct topology *t,
                              bool seen[TOPOLOGY_REGIONS_MAX][TOPOLOGY_REGIONS_MAX], struct buffer *error)
{
    static const char *const keys[] = {"between", "latency_ms", "jitter_ms", NULL};
    if (yaml_only_keys(item, keys, error)) return STATUS_MALFORMED;
    const struct yaml_node *between = yaml_require(item, "between", YAML_KIND_SEQUENCE, error);
    if (!between) return STATUS_MALFORMED;
    if (between->count != 2) return yaml_fail(between, error, "between names two regions");
    int a, b;
    if (parse_link_end(between->first, t, &a, error) || parse_link_end(between->first->next, t, &b, error)) {
        return STATUS_MALFORMED;
    }
    if (a == b) return yaml_fail(between, error, "a link is between two different regions");
    if (seen[a][b]) return yaml_fail(between, error, "the link %s, %s is given twice", t->regions[a], t->regions[b]);
    seen[a][b] = seen[b][a] = true;
    struct topology_link link;
    if (parse_ms(item, "latency_ms", &link.latency_us, error) || parse_ms(item, "jitter_ms", &link.jitter_us, error)) {
        return STATUS_MALFORMED;
    }
    if (link.jitter_us > link.latency_us) return yaml_fail(item, error, "jitter_ms is at most latency_ms");
    t->links[a][b] = t->links[b][a] = link;
    return STATUS_OK;
}

static enum status parse_links(const struct yaml_node *root, struct topology *t, struct buffer *error)
{
    bool seen[TOPOLOGY_REGIONS_MAX][TOPOLOGY_REGIONS_MAX] = {{false}};
    const struct yaml_node *links = yaml_find(root, "links");
    if (!links) return STATUS_OK;
    if (links->kind != YAML_KIND_SEQUENCE) return yaml_fail(links, error, "links is a list");
    for (const struct yaml_node *item = links->first; item; item = item->next) {
        if (parse_link(item, t, seen, error)) return STATUS_MALFORMED;
    }
    return STATUS_OK;
}

/* The contract of `default` is kept as words, in the canonical form. */
static enum status parse_default(const struct yaml_node *root, struct topology *t, struct buffer *error)
{
    const struct yaml_node *node = yaml_find(root, "default");
    if (!node) return STATUS_OK;
    struct contract c;
    struct buffer words, reason;
    if (contract_parse_yaml(node, t, &c, error)) return STATUS_MALFORMED;
    buffer_init(&words, TOPOLOGY_CONTRACT_BYTES_MAX - 1);
    buffer_init(&reason, 4096);
    contract_format(&c, t, &words);
    enum status status = contract_check_placement(&c, t, TABLE_ID_DEFAULT, &reason);
    buffer_append_byte(&reason, 0);
    if (status != STATUS_OK) /* a file's reader needs no error code */
        status = yaml_fail(node, error, "%s", strchr((const char *)reason.data, ' ') + 1);
    else if (words.overflowed)
        status = yaml_fail(node, error, "a contract has at most %d bytes", TOPOLOGY_CONTRACT_BYTES_MAX - 1);
    else
        memcpy(t->default_contract, words.data, words.length);
    buffer_deinit(&reason);
    buffer_deinit(&words);
    return status;
}

static enum status check_tables(const struct yaml_node *root, const struct topology *t, struct buffer *error)
{
    const struct yaml_node *tables = yaml_find(root, "tables");
    if (!tables) return STATUS_OK;
    if (tables->kind != YAML_KIND_MAPPING) return yaml_fail(tables, error, "tables is a mapping from name to contract");
    for (const struct yaml_node *value = tables->first; value; value = value->next) {
        struct contract c;
        if (!table_name_is_valid(value->key->text)) {
            return yaml_fail(value->key, error, "'%s' is no name of a table", (const char *)value->key->text.data);
        }
        if (contract_parse_yaml(value, t, &c, error)) return STATUS_MALFORMED;
    }
    return STATUS_OK;
}

static enum status parse_root(const struct yaml_node *root, bool sketch, struct topology *t, struct buffer *error)
{
    static const char *const keys[] = {"version", "nodes", "links", "rules", "default", "tables", "faults", NULL};
    if (root->kind != YAML_KIND_MAPPING) {
        return yaml_fail(root, error, "a cluster file is a mapping with version, nodes, links and faults");
    }
    if (yaml_only_keys(root, keys, error)) return STATUS_MALFORMED;
    const struct yaml_node *version = yaml_require(root, "version", YAML_KIND_SCALAR, error);
    uint64_t number;
    if (!version || yaml_u64(version, 1, 1, &number, error)) return STATUS_MALFORMED;
    if (parse_nodes(root, sketch, t, error) || parse_links(root, t, error)) return STATUS_MALFORMED;
    if (topology__parse_labels(root, t, error)) return STATUS_MALFORMED;
    if (parse_default(root, t, error) || check_tables(root, t, error)) return STATUS_MALFORMED;
    const struct yaml_node *faults = yaml_find(root, "faults");
    return faults ? yaml_bool(faults, &t->faults_allowed, error) : STATUS_OK;
}

static enum status parse(const char *name, struct slice yaml, bool sketch, struct topology *out,
                         struct buffer *out_error)
{
    struct yaml_tree tree;
    enum status status = yaml_tree_parse(&tree, name, yaml, out_error);
    if (status == STATUS_OK) {
        memset(out, 0, sizeof *out);
        out->epoch = 1;
        status = parse_root(tree.root, sketch, out, out_error);
    }
    yaml_tree_deinit(&tree);
    return status == STATUS_OK ? STATUS_OK : STATUS_MALFORMED;
}

enum status topology_parse(const char *name, struct slice yaml, struct topology *out, struct buffer *out_error)
{
    return parse(name, yaml, false, out, out_error);
}

enum status topology_parse_sketch(const char *name, struct slice yaml, struct topology *out, struct buffer *out_error)
{
    return parse(name, yaml, true, out, out_error);
}
