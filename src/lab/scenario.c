/* scenario.c: read a scenario; every mistake gets its line. */
#include "lab/scenario_internal.h"

#include <stdio.h>

enum status scenario__read_region(const struct scenario *s, const struct yaml_node *n, uint8_t *out,
                                  struct buffer *error)
{
    const char *name;
    if (yaml_string(n, TOPOLOGY_NAME_BYTES_MAX - 1, &name, error) != STATUS_OK) return STATUS_MALFORMED;
    int index = topology_region_by_name(&s->topology, slice_of_string(name));
    if (index < 0) return yaml_fail(n, error, "no region '%s'", name);
    *out = (uint8_t)index;
    return STATUS_OK;
}

enum status scenario__read_ends(const struct scenario *s, const struct yaml_node *n, const char *key,
                                struct scenario__ends *out, struct buffer *error)
{
    if (n->kind != YAML_KIND_SEQUENCE || n->count != 2) return yaml_fail(n, error, "`%s` names two regions", key);
    if (scenario__read_region(s, n->first, &out->a, error) != STATUS_OK) return STATUS_MALFORMED;
    return scenario__read_region(s, n->first->next, &out->b, error);
}

int scenario__find_strategy(const struct scenario *s, struct slice name)
{
    for (uint32_t i = 0; i < s->strategies_count; i++) {
        if (slice_equal(slice_of_string(s->strategies[i].name), name)) return (int)i;
    }
    return -1;
}

static enum status add_region(struct topology *t, const struct yaml_node *n, uint64_t nodes, struct buffer *error)
{
    const char *name;
    if (yaml_string(n, TOPOLOGY_NAME_BYTES_MAX - 8, &name, error) != STATUS_OK) return STATUS_MALFORMED;
    if (topology_region_by_name(t, slice_of_string(name)) >= 0) return yaml_fail(n, error, "region '%s' twice", name);
    if (t->nodes_count + nodes > SCENARIO_NODES_MAX)
        return yaml_fail(n, error, "more than %d nodes", SCENARIO_NODES_MAX);
    for (uint64_t i = 1; i <= nodes; i++) {
        struct topology_node *node = &t->nodes[t->nodes_count++];
        node->region = (uint8_t)t->regions_count;
        snprintf(node->id, sizeof node->id, "%.*s-%u", TOPOLOGY_NAME_BYTES_MAX - 8, name, (unsigned)i);
        snprintf(node->zone, sizeof node->zone, "%.*s-a", TOPOLOGY_NAME_BYTES_MAX - 8, name);
        node->number = topology_node_number(slice_of_string(node->id));
    }
    snprintf(t->regions[t->regions_count++], TOPOLOGY_NAME_BYTES_MAX, "%s", name);
    return STATUS_OK;
}

/* A list of regions, one node each, or a map from region to how many nodes it has. */
static enum status read_topology(struct scenario *s, struct buffer *error)
{
    const struct yaml_node *regions = yaml_find(s->tree.root, "regions");
    if (!regions) return yaml_fail(s->tree.root, error, "`regions` is missing");
    if (regions->kind == YAML_KIND_SCALAR || regions->count < 1 || regions->count > TOPOLOGY_REGIONS_MAX)
        return yaml_fail(regions, error, "1 to %d regions", TOPOLOGY_REGIONS_MAX);
    s->topology = (struct topology){.faults_allowed = true, .epoch = 1};
    for (const struct yaml_node *n = regions->first; n; n = n->next) {
        uint64_t nodes = 1;
        bool counted = regions->kind == YAML_KIND_MAPPING;
        if (counted && yaml_u64(n, 1, SCENARIO_NODES_MAX, &nodes, error) != STATUS_OK) return STATUS_MALFORMED;
        if (add_region(&s->topology, counted ? n->key : n, nodes, error) != STATUS_OK) return STATUS_MALFORMED;
    }
    return STATUS_OK;
}

static enum status read_links(struct scenario *s, struct buffer *error)
{
    static const char *const keys[] = {"between", "latency", "jitter", NULL};
    const struct yaml_node *links = yaml_find(s->tree.root, "links");
    for (const struct yaml_node *n = links ? links->first : NULL; n; n = n->next) {
        struct scenario__ends ends;
        uint64_t latency_ns, jitter_ns = 0;
        if (yaml_only_keys(n, keys, error) != STATUS_OK) return STATUS_MALFORMED;
        const struct yaml_node *between = yaml_require(n, "between", YAML_KIND_SEQUENCE, error);
        const struct yaml_node *latency = yaml_require(n, "latency", YAML_KIND_SCALAR, error),
                               *jitter = yaml_find(n, "jitter");
        if (!between || !latency || scenario__read_ends(s, between, "between", &ends, error) != STATUS_OK)
            return STATUS_MALFORMED;
        if (yaml_duration_ns(latency, 60000000000ULL, &latency_ns, error) != STATUS_OK) return STATUS_MALFORMED;
        if (jitter && yaml_duration_ns(jitter, 60000000000ULL, &jitter_ns, error) != STATUS_OK) return STATUS_MALFORMED;
        struct topology_link link = {(uint32_t)(latency_ns / 1000), (uint32_t)(jitter_ns / 1000)};
        s->topology.links[ends.a][ends.b] = s->topology.links[ends.b][ends.a] = link;
    }
    return STATUS_OK;
}

static enum status read_values(const struct yaml_node *expect, const char *key, struct scenario_values *out,
                               struct buffer *error)
{
    const struct yaml_node *list = yaml_find(expect, key);
    if (!list) return STATUS_OK;
    if (list->kind != YAML_KIND_SEQUENCE || list->count > SCENARIO_VALUES_MAX)
        return yaml_fail(list, error, "`%s` is a list of values", key);
    for (const struct yaml_node *n = list->first; n; n = n->next) out->values[out->count++] = n->text;
    return STATUS_OK;
}

static enum status read_skew(const struct scenario *s, const struct yaml_node *skew, struct scenario_strategy *out,
                             struct buffer *error)
{
    for (const struct yaml_node *n = skew ? skew->first : NULL; n; n = n->next) {
        uint8_t region;
        int64_t ms;
        struct slice text = n->text;
        if (scenario__read_region(s, n->key, &region, error) != STATUS_OK) return STATUS_MALFORMED;
        bool has_unit = text.length > 2 && memcmp(text.data + text.length - 2, "ms", 2) == 0;
        if (!has_unit || !slice_to_i64(slice_of(text.data, text.length - 2), &ms) || ms < -3600000 || ms > 3600000) {
            return yaml_fail(n, error, "a skew is a whole number of milliseconds, as -10ms");
        }
        out->skew_ms[region] = (int32_t)ms;
        out->has_skew = true;
    }
    return STATUS_OK;
}

static enum status read_expect(struct scenario_strategy *out, const struct yaml_node *expect, struct buffer *error)
{
    static const char *const keys[] = {"visible", "ledger", "replaced", "lost", "conflict", "approved", "ends", NULL};
    if (yaml_only_keys(expect, keys, error) != STATUS_OK) return STATUS_MALFORMED;
    if (read_values(expect, "visible", &out->visible, error) != STATUS_OK ||
        read_values(expect, "ledger", &out->ledger, error) != STATUS_OK ||
        read_values(expect, "replaced", &out->replaced, error) != STATUS_OK ||
        read_values(expect, "lost", &out->lost, error) != STATUS_OK)
        return STATUS_MALFORMED;
    const struct yaml_node *conflict = yaml_find(expect, "conflict"), *approved = yaml_find(expect, "approved"),
                           *ends = yaml_find(expect, "ends");
    if (conflict && yaml_bool(conflict, &out->conflict, error) != STATUS_OK) return STATUS_MALFORMED;
    out->counts_claims = approved != NULL;
    if (approved && yaml_u64(approved, 0, SCENARIO_STEPS_MAX, &out->approved, error) != STATUS_OK)
        return STATUS_MALFORMED;
    if (ends && ends->kind != YAML_KIND_SCALAR) return yaml_fail(ends, error, "`ends` is a text");
    if (ends) out->ends = ends->text;
    return STATUS_OK;
}

static enum status read_also(struct scenario_strategy *out, const struct yaml_node *also, struct buffer *error)
{
    if (!also) return STATUS_OK;
    if (also->kind != YAML_KIND_MAPPING || also->count > SCENARIO_TABLES_MAX)
        return yaml_fail(also, error, "`also` maps up to %d table suffixes to contracts", SCENARIO_TABLES_MAX);
    for (const struct yaml_node *n = also->first; n; n = n->next) {
        struct scenario_table *table = &out->also[out->also_count++];
        table->suffix = n->key->text;
        if (yaml_string(n, 200, &table->contract, error) != STATUS_OK) return STATUS_MALFORMED;
    }
    return STATUS_OK;
}

static enum status read_strategy(struct scenario *s, const struct yaml_node *n, struct buffer *error)
{
    static const char *const keys[] = {"name", "title", "table", "also", "skew", "price", "expect", NULL};
    struct scenario_strategy *out = &s->strategies[s->strategies_count];
    if (yaml_only_keys(n, keys, error) != STATUS_OK) return STATUS_MALFORMED;
    const struct yaml_node *name = yaml_require(n, "name", YAML_KIND_SCALAR, error);
    const struct yaml_node *title = yaml_require(n, "title", YAML_KIND_SCALAR, error);
    const struct yaml_node *table = yaml_require(n, "table", YAML_KIND_SCALAR, error);
    const struct yaml_node *price = yaml_require(n, "price", YAML_KIND_SCALAR, error);
    const struct yaml_node *expect = yaml_require(n, "expect", YAML_KIND_MAPPING, error);
    const char *text;
    if (!name || !title || !table || !price || !expect) return STATUS_MALFORMED;
    if (yaml_string(name, sizeof out->name - 1, &text, error) != STATUS_OK) return STATUS_MALFORMED;
    if (scenario__find_strategy(s, slice_of_string(text)) >= 0)
        return yaml_fail(name, error, "strategy '%s' twice", text);
    snprintf(out->name, sizeof out->name, "%s", text);
    if (yaml_string(title, 80, &out->title, error) != STATUS_OK ||
        yaml_string(table, 200, &out->table, error) != STATUS_OK ||
        yaml_string(price, 200, &out->price, error) != STATUS_OK)
        return STATUS_MALFORMED;
    s->strategies_count++;
    if (read_expect(out, expect, error) != STATUS_OK) return STATUS_MALFORMED;
    if (read_also(out, yaml_find(n, "also"), error) != STATUS_OK) return STATUS_MALFORMED;
    return read_skew(s, yaml_find(n, "skew"), out, error);
}

static enum status read_strategies(struct scenario *s, struct buffer *error)
{
    const struct yaml_node *list = yaml_require(s->tree.root, "strategies", YAML_KIND_SEQUENCE, error);
    if (!list) return STATUS_MALFORMED;
    if (list->count < 1 || list->count > SCENARIO_STRATEGIES_MAX)
        return yaml_fail(list, error, "1 to %d strategies", SCENARIO_STRATEGIES_MAX);
    for (const struct yaml_node *n = list->first; n; n = n->next) {
        if (read_strategy(s, n, error) != STATUS_OK) return STATUS_MALFORMED;
    }
    return STATUS_OK;
}

enum status scenario_parse(struct scenario *out, const char *file, struct slice text, struct buffer *out_error)
{
    static const char *const keys[] = {"name",  "title", "story",      "regions", "links",
                                       "steps", "final", "strategies", "floor",   NULL};
    *out = (struct scenario){0};
    if (yaml_tree_parse(&out->tree, file, text, out_error) != STATUS_OK) return STATUS_MALFORMED;
    const struct yaml_node *root = out->tree.root;
    if (yaml_only_keys(root, keys, out_error) != STATUS_OK) return STATUS_MALFORMED;
    const struct yaml_node *name = yaml_require(root, "name", YAML_KIND_SCALAR, out_error);
    const struct yaml_node *title = yaml_require(root, "title", YAML_KIND_SCALAR, out_error);
    const struct yaml_node *story = yaml_require(root, "story", YAML_KIND_SCALAR, out_error);
    if (!name || !title || !story) return STATUS_MALFORMED;
    if (yaml_string(name, 40, &out->name, out_error) != STATUS_OK ||
        yaml_string(title, 80, &out->title, out_error) != STATUS_OK ||
        yaml_string(story, 2000, &out->story, out_error) != STATUS_OK)
        return STATUS_MALFORMED;
    enum status status = read_topology(out, out_error);
    if (status == STATUS_OK) status = read_links(out, out_error);
    if (status == STATUS_OK) status = read_strategies(out, out_error);
    const struct yaml_node *floor = yaml_find(root, "floor");
    out->has_floor = floor != NULL;
    if (status == STATUS_OK && floor) status = yaml_i64(floor, INT64_MIN, INT64_MAX, &out->floor, out_error);
    if (status == STATUS_OK) status = scenario__read_steps(out, out_error);
    if (status == STATUS_OK) status = scenario__read_final(out, out_error);
    return status;
}

void scenario_deinit(struct scenario *s)
{
    if (s) yaml_tree_deinit(&s->tree);
}
