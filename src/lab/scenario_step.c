/* scenario_step.c: the steps of a scenario: commands, cuts, crashes, and what their answers must begin with. */
#include "lab/scenario_internal.h"

static const uint64_t scenario_ns_max = 24ULL * 3600 * 1000000000;

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

/* ---- what differs by strategy ---- */

static enum status read_only(const struct scenario *s, const struct yaml_node *only, struct scenario_step *step,
                             struct buffer *error)
{
    if (!only) return STATUS_OK;
    if (only->kind != YAML_KIND_SEQUENCE) return yaml_fail(only, error, "`only` is a list of strategies");
    for (uint32_t i = 0; i < s->strategies_count; i++) step->skipped[i] = true;
    for (const struct yaml_node *n = only->first; n; n = n->next) {
        int index = n->kind == YAML_KIND_SCALAR ? scenario__find_strategy(s, n->text) : -1;
        if (index < 0) return yaml_fail(n, error, "no such strategy");
        step->skipped[index] = false;
    }
    return STATUS_OK;
}

static enum status strategy_of(const struct scenario *s, const struct yaml_node *n, uint32_t *out, struct buffer *error)
{
    int index = scenario__find_strategy(s, n->key->text);
    if (index < 0) return yaml_fail(n->key, error, "no strategy '%.*s'", (int)n->key->text.length, n->key->text.data);
    *out = (uint32_t)index;
    return STATUS_OK;
}

static enum status read_instead(const struct scenario *s, const struct yaml_node *instead, struct scenario_step *step,
                                struct buffer *error)
{
    if (!instead) return STATUS_OK;
    if (instead->kind != YAML_KIND_MAPPING) return yaml_fail(instead, error, "`instead` maps strategies to words");
    for (const struct yaml_node *n = instead->first; n; n = n->next) {
        uint32_t index = 0;
        if (strategy_of(s, n, &index, error) != STATUS_OK) return STATUS_MALFORMED;
        if (read_words(n, &step->instead[index], error) != STATUS_OK) return STATUS_MALFORMED;
    }
    return STATUS_OK;
}

static enum status read_expect(const struct scenario *s, const struct yaml_node *expect, struct scenario_step *step,
                               struct buffer *error)
{
    if (!expect) return STATUS_OK;
    if (expect->kind == YAML_KIND_SCALAR) {
        for (uint32_t i = 0; i < s->strategies_count; i++) step->expect[i] = expect->text;
        return STATUS_OK;
    }
    if (expect->kind != YAML_KIND_MAPPING)
        return yaml_fail(expect, error, "`expect` is how the answer begins, or maps strategies to that");
    for (const struct yaml_node *n = expect->first; n; n = n->next) {
        uint32_t index = 0;
        if (strategy_of(s, n, &index, error) != STATUS_OK) return STATUS_MALFORMED;
        if (n->kind != YAML_KIND_SCALAR) return yaml_fail(n, error, "how the answer begins: a text");
        step->expect[index] = n->text;
    }
    return STATUS_OK;
}

/* "<20ms" or ">140ms", by strategy. */
static enum status read_latency(const struct scenario *s, const struct yaml_node *latency, struct scenario_step *step,
                                struct buffer *error)
{
    if (!latency) return STATUS_OK;
    if (latency->kind != YAML_KIND_MAPPING) return yaml_fail(latency, error, "`latency` maps strategies to a bound");
    for (const struct yaml_node *n = latency->first; n; n = n->next) {
        uint32_t index = 0;
        uint64_t bound_ns;
        if (strategy_of(s, n, &index, error) != STATUS_OK) return STATUS_MALFORMED;
        bool below = n->kind == YAML_KIND_SCALAR && n->text.length > 1 && n->text.data[0] == '<';
        bool above = n->kind == YAML_KIND_SCALAR && n->text.length > 1 && n->text.data[0] == '>';
        if (!below && !above) return yaml_fail(n, error, "a bound of a latency is written as <20ms or >140ms");
        struct yaml_node duration = *n;
        duration.text = slice_of(n->text.data + 1, n->text.length - 1);
        duration.quoted = false; /* ">140ms" must be quoted for its first character */
        if (yaml_duration_ns(&duration, scenario_ns_max, &bound_ns, error) != STATUS_OK) return STATUS_MALFORMED;
        step->latency[index].min_ns = above ? bound_ns : 0;
        step->latency[index].max_ns = below ? bound_ns : 0;
    }
    return STATUS_OK;
}

/* ---- kinds of steps ---- */

static int find_node(const struct scenario *s, const struct yaml_node *n)
{
    return n->kind == YAML_KIND_SCALAR ? topology_node_by_id(&s->topology, n->text) : -1;
}

/* `in` names a region or a node. */
static enum status read_place(const struct scenario *s, const struct yaml_node *n, struct scenario_step *step,
                              struct buffer *error)
{
    int node = find_node(s, n);
    if (node < 0) return scenario__read_region(s, n, &step->region, error);
    step->node = (uint8_t)node;
    step->region = s->topology.nodes[node].region;
    return STATUS_OK;
}

static enum status read_nodes(const struct scenario *s, const struct yaml_node *list, struct scenario_step *step,
                              struct buffer *error)
{
    if (list->kind != YAML_KIND_SEQUENCE) return yaml_fail(list, error, "a list of nodes");
    for (const struct yaml_node *n = list->first; n; n = n->next) {
        int node = find_node(s, n);
        if (node < 0) return yaml_fail(n, error, "no such node; they are named REGION-1, REGION-2, ...");
        step->nodes |= 1ULL << node;
    }
    return STATUS_OK;
}

static enum status read_command(const struct scenario *s, const struct yaml_node *n, const struct yaml_node *words,
                                struct scenario_step *step, struct buffer *error)
{
    const struct yaml_node *place = yaml_require(n, "in", YAML_KIND_SCALAR, error);
    if (!place || read_place(s, place, step, error) != STATUS_OK) return STATUS_MALFORMED;
    if (read_words(words, &step->words, error) != STATUS_OK) return STATUS_MALFORMED;
    if (read_expect(s, yaml_find(n, "expect"), step, error) != STATUS_OK) return STATUS_MALFORMED;
    if (read_latency(s, yaml_find(n, "latency"), step, error) != STATUS_OK) return STATUS_MALFORMED;
    const struct yaml_node *write = yaml_find(n, "write"), *save = yaml_find(n, "save"), *human = yaml_find(n, "human"),
                           *claim = yaml_find(n, "claim");
    if (write && claim) return yaml_fail(claim, error, "a step is a `write` or a `claim`");
    if (write) step->write = write->text;
    if (claim) step->write = claim->text;
    step->claim = claim != NULL;
    if (save) step->save = save->text;
    return human ? yaml_bool(human, &step->human, error) : STATUS_OK;
}

static enum status read_kind(const struct scenario *s, const struct yaml_node *n, struct scenario_step *step,
                             struct buffer *error)
{
    static const struct {
        const char *key;
        enum step_kind kind;
    } kinds[] = {{"words", STEP_WRITE}, {"read", STEP_READ},   {"cut", STEP_CUT},
                 {"heal", STEP_HEAL},   {"crash", STEP_CRASH}, {"restart", STEP_RESTART}};
    const struct yaml_node *what = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const struct yaml_node *found = yaml_find(n, kinds[i].key);
        if (!found) continue;
        if (what) return yaml_fail(found, error, "a step does one thing");
        what = found;
        step->kind = kinds[i].kind;
    }
    if (!what) return yaml_fail(n, error, "a step has one of `words`, `read`, `cut`, `heal`, `crash` and `restart`");
    switch (step->kind) {
    case STEP_WRITE:
    case STEP_READ: return read_command(s, n, what, step, error);
    case STEP_CRASH:
    case STEP_RESTART: return read_nodes(s, what, step, error);
    case STEP_HEAL: return STATUS_OK;
    case STEP_CUT: break;
    }
    struct scenario__ends ends;
    if (scenario__read_ends(s, what, "cut", &ends, error) != STATUS_OK) return STATUS_MALFORMED;
    step->cut_a = ends.a;
    step->cut_b = ends.b;
    return STATUS_OK;
}

static enum status read_step(const struct scenario *s, const struct yaml_node *n, struct scenario_step *step,
                             struct buffer *error)
{
    static const char *const keys[] = {"at",     "in",      "words", "read",    "cut",   "heal",
                                       "crash",  "restart", "save",  "write",   "claim", "instead",
                                       "expect", "human",   "only",  "latency", NULL};
    *step = (struct scenario_step){.line = n->line, .node = STEP_ANY_NODE};
    if (yaml_only_keys(n, keys, error) != STATUS_OK) return STATUS_MALFORMED;
    const struct yaml_node *at = yaml_require(n, "at", YAML_KIND_SCALAR, error);
    if (!at || yaml_duration_ns(at, scenario_ns_max, &step->at_ns, error) != STATUS_OK) return STATUS_MALFORMED;
    if (read_only(s, yaml_find(n, "only"), step, error) != STATUS_OK) return STATUS_MALFORMED;
    if (read_instead(s, yaml_find(n, "instead"), step, error) != STATUS_OK) return STATUS_MALFORMED;
    return read_kind(s, n, step, error);
}

enum status scenario__read_steps(struct scenario *s, struct buffer *error)
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

static enum status read_final_regions(struct scenario *s, const struct yaml_node *list, struct buffer *error)
{
    s->final_regions = (1U << s->topology.regions_count) - 1;
    if (!list) return STATUS_OK;
    if (list->kind != YAML_KIND_SEQUENCE || list->count == 0) return yaml_fail(list, error, "a list of regions");
    s->final_regions = 0;
    for (const struct yaml_node *n = list->first; n; n = n->next) {
        uint8_t region;
        if (scenario__read_region(s, n, &region, error) != STATUS_OK) return STATUS_MALFORMED;
        s->final_regions |= 1U << region;
    }
    return STATUS_OK;
}

enum status scenario__read_final(struct scenario *s, struct buffer *error)
{
    static const char *const keys[] = {"at", "in", "words", "instead", NULL};
    const struct yaml_node *n = yaml_require(s->tree.root, "final", YAML_KIND_MAPPING, error);
    if (!n || yaml_only_keys(n, keys, error) != STATUS_OK) return STATUS_MALFORMED;
    const struct yaml_node *at = yaml_require(n, "at", YAML_KIND_SCALAR, error);
    const struct yaml_node *words = yaml_require(n, "words", YAML_KIND_SEQUENCE, error);
    if (!at || !words) return STATUS_MALFORMED;
    s->final = (struct scenario_step){.kind = STEP_READ, .line = n->line, .node = STEP_ANY_NODE};
    if (yaml_duration_ns(at, scenario_ns_max, &s->final.at_ns, error) != STATUS_OK) return STATUS_MALFORMED;
    if (read_words(words, &s->final.words, error) != STATUS_OK) return STATUS_MALFORMED;
    if (read_final_regions(s, yaml_find(n, "in"), error) != STATUS_OK) return STATUS_MALFORMED;
    return read_instead(s, yaml_find(n, "instead"), &s->final, error);
}

const struct scenario_words *scenario_step_words(const struct scenario_step *step, uint32_t strategy)
{
    return step->instead[strategy].count ? &step->instead[strategy] : &step->words;
}
