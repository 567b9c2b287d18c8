/* scenario.c: read a scenario; every mistake gets its line. */
#include "lab/scenario.h"

#include <stdio.h>

static const uint64_t scenario_ns_max = 24ULL * 3600 * 1000000000;

static const struct yaml_node *child(const struct yaml_node *n, size_t index)
{
    const struct yaml_node *c = n->first;
    while (c && index--) c = c->next;
    return c;
}

static enum status read_region(const struct scenario *s, const struct yaml_node *n, uint8_t *out, struct buffer *error)
{
    const char *name;
    if (yaml_string(n, TOPOLOGY_NAME_BYTES_MAX - 1, &name, error) != STATUS_OK) return STATUS_MALFORMED;
    int index = topology_region_by_name(&s->topology, slice_of_string(name));
    if (index < 0) return yaml_fail(n, error, "no region '%s'", name);
    *out = (uint8_t)index;
    return STATUS_OK;
}

static enum status read_words(const struct yaml_node *n, struct scenario_words *out, struct buffer *error)
{
    if (n->kind != YAML_KIND_SEQUENCE || n->count == 0 || n->count > SCENARIO_WORDS_MAX) {
        return yaml_fail(n, error, "the words of a command: a list of 1 to %d", SCENARIO_WORDS_MAX);
    }
    for (const struct yaml_node *w = n->first; w; w = w->next) {
        if (w->kind != YAML_KIND_SCALAR) return yaml_fail(w, error, "a word of a command is a text");
        out->words[out->count++] = w->text;
    }
    return STATUS_OK;
}

static int find_strategy(const struct scenario *s, struct slice name)
{
    for (uint32_t i = 0; i < s->strategies_count; i++) {
        if (slice_equal(slice_of_string(s->strategies[i].name), name)) return (int)i;
    }
    return -1;
}

static enum status read_only(const struct scenario *s, const struct yaml_node *only, struct scenario_step *step,
                             struct buffer *error)
{
    if (!only) return STATUS_OK;
    if (only->kind != YAML_KIND_SEQUENCE) return yaml_fail(only, error, "`only` is a list of strategies");
    for (uint32_t i = 0; i < s->strategies_count; i++) step->skipped[i] = true;
    for (const struct yaml_node *n = only->first; n; n = n->next) {
        int index = n->kind == YAML_KIND_SCALAR ? find_strategy(s, n->text) : -1;
        if (index < 0) return yaml_fail(n, error, "no such strategy");
        step->skipped[index] = false;
    }
    return STATUS_OK;
}

static enum status read_instead(const struct scenario *s, const struct yaml_node *instead, struct scenario_step *step,
                                struct buffer *error)
{
    if (!instead) return STATUS_OK;
    if (instead->kind != YAML_KIND_MAPPING) return yaml_fail(instead, error, "`instead` maps strategies to words");
    for (const struct yaml_node *n = instead->first; n; n = n->next) {
        int index = find_strategy(s, n->key->text);
        if (index < 0)
            return yaml_fail(n->key, error, "no strategy '%.*s'", (int)n->key->text.length, n->key->text.data);
        if (read_words(n, &step->instead[index], error) != STATUS_OK) return STATUS_MALFORMED;
    }
    return STATUS_OK;
}

static enum status read_command(const struct scenario *s, const struct yaml_node *n, const struct yaml_node *words,
                                struct scenario_step *step, struct buffer *error)
{
    const struct yaml_node *region = yaml_require(n, "in", YAML_KIND_SCALAR, error);
    if (!region || read_region(s, region, &step->region, error) != STATUS_OK) return STATUS_MALFORMED;
    if (read_words(words, &step->words, error) != STATUS_OK) return STATUS_MALFORMED;
    const struct yaml_node *write = yaml_find(n, "write"), *save = yaml_find(n, "save"), *human = yaml_find(n, "human");
    if (write) step->write = write->text;
    if (save) step->save = save->text;
    return human ? yaml_bool(human, &step->human, error) : STATUS_OK;
}

static enum status read_cut(const struct scenario *s, const struct yaml_node *cut, struct scenario_step *step,
                            struct buffer *error)
{
    if (cut->kind != YAML_KIND_SEQUENCE || cut->count != 2) return yaml_fail(cut, error, "`cut` names two regions");
    step->kind = STEP_CUT;
    if (read_region(s, child(cut, 0), &step->cut_a, error) != STATUS_OK) return STATUS_MALFORMED;
    return read_region(s, child(cut, 1), &step->cut_b, error);
}

static enum status read_step(const struct scenario *s, const struct yaml_node *n, struct scenario_step *step,
                             struct buffer *error)
{
    static const char *const keys[] = {"at",    "in",   "words", "read", "cut",     "heal",
                                       "write", "save", "human", "only", "instead", NULL};
    *step = (struct scenario_step){.line = n->line};
    if (yaml_only_keys(n, keys, error) != STATUS_OK) return STATUS_MALFORMED;
    const struct yaml_node *at = yaml_require(n, "at", YAML_KIND_SCALAR, error);
    if (!at || yaml_duration_ns(at, scenario_ns_max, &step->at_ns, error) != STATUS_OK) return STATUS_MALFORMED;
    const struct yaml_node *words = yaml_find(n, "words"), *read = yaml_find(n, "read"), *cut = yaml_find(n, "cut");
    int kinds = (words != NULL) + (read != NULL) + (cut != NULL) + (yaml_find(n, "heal") != NULL);
    if (kinds != 1) return yaml_fail(n, error, "a step has one of `words`, `read`, `cut` and `heal`");
    if (read_only(s, yaml_find(n, "only"), step, error) != STATUS_OK) return STATUS_MALFORMED;
    if (read_instead(s, yaml_find(n, "instead"), step, error) != STATUS_OK) return STATUS_MALFORMED;
    step->kind = words ? STEP_WRITE : read ? STEP_READ : STEP_HEAL;
    if (cut) return read_cut(s, cut, step, error);
    return step->kind == STEP_HEAL ? STATUS_OK : read_command(s, n, words ? words : read, step, error);
}

static enum status read_steps(struct scenario *s, struct buffer *error)
{
    const struct yaml_node *steps = yaml_require(s->tree.root, "steps", YAML_KIND_SEQUENCE, error);
    if (!steps) return STATUS_MALFORMED;
    if (steps->count > SCENARIO_STEPS_MAX) return yaml_fail(steps, error, "more than %d steps", SCENARIO_STEPS_MAX);
    uint64_t before = 0;
    for (const struct yaml_node *n = steps->first; n; n = n->next) {
        struct scenario_step *step = &s->steps[s->steps_count];
        if (read_step(s, n, step, error) != STATUS_OK) return STATUS_MALFORMED;
        if (step->at_ns < before) return yaml_fail(n, error, "steps stand in order of time");
        before = step->at_ns;
        s->steps_count++;
    }
    return STATUS_OK;
}

static enum status read_final(struct scenario *s, struct buffer *error)
{
    static const char *const keys[] = {"at", "words", "instead", NULL};
    const struct yaml_node *n = yaml_require(s->tree.root, "final", YAML_KIND_MAPPING, error);
    if (!n || yaml_only_keys(n, keys, error) != STATUS_OK) return STATUS_MALFORMED;
    const struct yaml_node *at = yaml_require(n, "at", YAML_KIND_SCALAR, error);
    const struct yaml_node *words = yaml_require(n, "words", YAML_KIND_SEQUENCE, error);
    if (!at || !words) return STATUS_MALFORMED;
    s->final = (struct scenario_step){.kind = STEP_READ, .line = n->line};
    if (yaml_duration_ns(at, scenario_ns_max, &s->final.at_ns, error) != STATUS_OK) return STATUS_MALFORMED;
    if (read_words(words, &s->final.words, error) != STATUS_OK) return STATUS_MALFORMED;
    return read_instead(s, yaml_find(n, "instead"), &s->final, error);
}

static enum status read_topology(struct scenario *s, struct buffer *error)
{
    const struct yaml_node *regions = yaml_require(s->tree.root, "regions", YAML_KIND_SEQUENCE, error);
    if (!regions) return STATUS_MALFORMED;
    if (regions->count < 1 || regions->count > TOPOLOGY_REGIONS_MAX)
        return yaml_fail(regions, error, "1 to %d regions", TOPOLOGY_REGIONS_MAX);
    struct topology *t = &s->topology;
    *t = (struct topology){.faults_allowed = true, .epoch = 1};
    for (const struct yaml_node *n = regions->first; n; n = n->next) {
        const char *name;
        if (yaml_string(n, TOPOLOGY_NAME_BYTES_MAX - 8, &name, error) != STATUS_OK) return STATUS_MALFORMED;
        if (topology_region_by_name(t, slice_of_string(name)) >= 0)
            return yaml_fail(n, error, "region '%s' twice", name);
        struct topology_node *node = &t->nodes[t->nodes_count++];
        node->region = (uint8_t)t->regions_count;
        snprintf(t->regions[t->regions_count++], TOPOLOGY_NAME_BYTES_MAX, "%s", name);
        snprintf(node->id, sizeof node->id, "%.*s-1", TOPOLOGY_NAME_BYTES_MAX - 8, name);
        snprintf(node->zone, sizeof node->zone, "%.*s-a", TOPOLOGY_NAME_BYTES_MAX - 8, name);
        node->number = topology_node_number(slice_of_string(node->id));
    }
    return STATUS_OK;
}

static enum status read_links(struct scenario *s, struct buffer *error)
{
    static const char *const keys[] = {"between", "latency", "jitter", NULL};
    const struct yaml_node *links = yaml_find(s->tree.root, "links");
    for (const struct yaml_node *n = links ? links->first : NULL; n; n = n->next) {
        struct scenario_step ends;
        uint64_t latency_ns, jitter_ns = 0;
        if (yaml_only_keys(n, keys, error) != STATUS_OK) return STATUS_MALFORMED;
        const struct yaml_node *between = yaml_require(n, "between", YAML_KIND_SEQUENCE, error);
        const struct yaml_node *latency = yaml_require(n, "latency", YAML_KIND_SCALAR, error),
                               *jitter = yaml_find(n, "jitter");
        if (!between || !latency || read_cut(s, between, &ends, error) != STATUS_OK) return STATUS_MALFORMED;
        if (yaml_duration_ns(latency, 60000000000ULL, &latency_ns, error) != STATUS_OK) return STATUS_MALFORMED;
        if (jitter && yaml_duration_ns(jitter, 60000000000ULL, &jitter_ns, error) != STATUS_OK) return STATUS_MALFORMED;
        struct topology_link link = {(uint32_t)(latency_ns / 1000), (uint32_t)(jitter_ns / 1000)};
        s->topology.links[ends.cut_a][ends.cut_b] = s->topology.links[ends.cut_b][ends.cut_a] = link;
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
        if (read_region(s, n->key, &region, error) != STATUS_OK) return STATUS_MALFORMED;
        bool has_unit = text.length > 2 && memcmp(text.data + text.length - 2, "ms", 2) == 0;
        if (!has_unit || !slice_to_i64(slice_of(text.data, text.length - 2), &ms) || ms < -3600000 || ms > 3600000) {
            return yaml_fail(n, error, "a skew is a whole number of milliseconds, as -10ms");
        }
        out->skew_ms[region] = (int32_t)ms;
        out->has_skew = true;
    }
    return STATUS_OK;
}

static enum status read_strategy(struct scenario *s, const struct yaml_node *n, struct buffer *error)
{
    static const char *const keys[] = {"name", "title", "table", "skew", "price", "expect", NULL};
    static const char *const expect_keys[] = {"visible", "ledger", "replaced", "conflict", NULL};
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
    if (find_strategy(s, slice_of_string(text)) >= 0) return yaml_fail(name, error, "strategy '%s' twice", text);
    snprintf(out->name, sizeof out->name, "%s", text);
    if (yaml_string(title, 80, &out->title, error) != STATUS_OK ||
        yaml_string(table, 200, &out->table, error) != STATUS_OK ||
        yaml_string(price, 200, &out->price, error) != STATUS_OK)
        return STATUS_MALFORMED;
    if (yaml_only_keys(expect, expect_keys, error) != STATUS_OK) return STATUS_MALFORMED;
    if (read_values(expect, "visible", &out->visible, error) != STATUS_OK ||
        read_values(expect, "ledger", &out->ledger, error) != STATUS_OK ||
        read_values(expect, "replaced", &out->replaced, error) != STATUS_OK)
        return STATUS_MALFORMED;
    const struct yaml_node *conflict = yaml_find(expect, "conflict");
    if (conflict && yaml_bool(conflict, &out->conflict, error) != STATUS_OK) return STATUS_MALFORMED;
    s->strategies_count++;
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
                                       "steps", "final", "strategies", NULL};
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
    if (status == STATUS_OK) status = read_steps(out, out_error);
    if (status == STATUS_OK) status = read_final(out, out_error);
    return status;
}

void scenario_deinit(struct scenario *s)
{
    if (s) yaml_tree_deinit(&s->tree);
}

const struct scenario_words *scenario_step_words(const struct scenario_step *step, uint32_t strategy)
{
    return step->instead[strategy].count ? &step->instead[strategy] : &step->words;
}
