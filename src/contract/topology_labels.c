/* topology_labels.c: the nodes' tags and the named rules of a cluster file.
 *
 *   nodes: [{id: us-1, …, tags: {rack: r1, power: a}}]
 *   rules: {geo: {region: 2, zone: 3}, racks: {rack: 2}}
 *
 * Tag names are sorted, so that a label's index is the same in every file that uses the same names.
 */
#include "contract/topology_internal.h"

static enum status take_name(const struct yaml_node *at, struct slice text, char out[TOPOLOGY_NAME_BYTES_MAX],
                             struct buffer *error)
{
    bool fits = text.length > 0 && text.length < TOPOLOGY_NAME_BYTES_MAX;
    if (fits) memcpy(out, text.data, text.length);
    if (fits) out[text.length] = '\0';
    if (fits && strlen(out) == text.length && topology__is_name(out)) return STATUS_OK;
    return yaml_fail(at, error, "'%.*s' is no name: up to %d letters, digits, '-', '_' and '.' are allowed",
                     (int)(text.length < 128 ? text.length : 128), (const char *)text.data,
                     TOPOLOGY_NAME_BYTES_MAX - 1);
}

/* Insert a tag's name where it belongs, unless it is there. */
static enum status add_tag_name(const struct yaml_node *key, struct topology *t, struct buffer *error)
{
    char name[TOPOLOGY_NAME_BYTES_MAX];
    if (take_name(key, key->text, name, error)) return STATUS_MALFORMED;
    if (strcmp(name, "region") == 0 || strcmp(name, "zone") == 0) {
        return yaml_fail(key, error, "'%s' is a tag that every node has: state it beside id, not in tags", name);
    }
    if (topology_label_index(t, slice_of_string(name)) >= 0) return STATUS_OK;
    if (t->tags_count == TOPOLOGY_TAGS_MAX) {
        return yaml_fail(key, error, "more than %d different tags", TOPOLOGY_TAGS_MAX);
    }
    uint32_t at = t->tags_count++;
    for (; at > 0 && strcmp(t->tags[at - 1], name) > 0; at--) memcpy(t->tags[at], t->tags[at - 1], sizeof t->tags[at]);
    memcpy(t->tags[at], name, sizeof name);
    return STATUS_OK;
}

static enum status collect_tag_names(const struct yaml_node *nodes, struct topology *t, struct buffer *error)
{
    for (const struct yaml_node *item = nodes->first; item; item = item->next) {
        const struct yaml_node *tags = yaml_find(item, "tags");
        if (!tags) continue;
        if (tags->kind != YAML_KIND_MAPPING) return yaml_fail(tags, error, "tags is a mapping from name to value");
        for (const struct yaml_node *value = tags->first; value; value = value->next) {
            if (add_tag_name(value->key, t, error)) return STATUS_MALFORMED;
        }
    }
    return STATUS_OK;
}

static enum status take_tags(const struct yaml_node *item, struct topology *t, struct topology_node *node,
                             struct buffer *error)
{
    const struct yaml_node *tags = yaml_find(item, "tags");
    for (const struct yaml_node *value = tags ? tags->first : NULL; value; value = value->next) {
        const char *text;
        uint32_t tag = (uint32_t)topology_label_index(t, value->key->text) - 2;
        if (yaml_string(value, TOPOLOGY_NAME_BYTES_MAX - 1, &text, error)) return STATUS_MALFORMED;
        if (take_name(value, slice_of_string(text), node->tags[tag], error)) return STATUS_MALFORMED;
    }
    return STATUS_OK;
}

/* What a label says of a node; a zone means something only within its region. */
static bool same_place(const struct topology *t, uint32_t a, uint32_t b, uint32_t label)
{
    const struct topology_node *x = &t->nodes[a], *y = &t->nodes[b];
    if (label == COMMIT_LABEL_REGION) return x->region == y->region;
    if (label == COMMIT_LABEL_ZONE) return x->region == y->region && strcmp(x->zone, y->zone) == 0;
    return strcmp(x->tags[label - 2], y->tags[label - 2]) == 0;
}

/* Two places with one number would count as one. */
static enum status check_numbers(const struct yaml_node *item, const struct topology *t, uint32_t node,
                                 struct buffer *error)
{
    struct commit_labels mine, other;
    topology_labels(t, node, &mine);
    for (uint32_t i = 0; i < node; i++) {
        topology_labels(t, i, &other);
        for (uint32_t label = 0; label < t->tags_count + 2; label++) {
            if (!mine.value[label] || mine.value[label] != other.value[label] || same_place(t, node, i, label))
                continue;
            return yaml_fail(item, error, "the %s of '%s' has the same number as that of '%s': give one another name",
                             topology_label_name(t, (uint8_t)label), t->nodes[node].id, t->nodes[i].id);
        }
    }
    return STATUS_OK;
}

static enum status parse_needs(const struct yaml_node *value, struct topology *t, struct commit_rule *rule,
                               struct buffer *error)
{
    if (value->kind != YAML_KIND_MAPPING || !value->first) {
        return yaml_fail(value, error, "a rule is a mapping from tag to how many different ones, as {region: 2}");
    }
    for (const struct yaml_node *need = value->first; need; need = need->next) {
        int label = topology_label_index(t, need->key->text);
        uint64_t distinct;
        if (label < 0) {
            return yaml_fail(need->key, error, "no node has a tag '%s'", (const char *)need->key->text.data);
        }
        if (yaml_u64(need, 1, COMMIT_MEMBERS_MAX, &distinct, error)) return STATUS_MALFORMED;
        rule->needs[rule->needs_count].label = (uint8_t)label;
        rule->needs[rule->needs_count++].distinct = (uint8_t)distinct;
    }
    return STATUS_OK;
}

static enum status parse_rules(const struct yaml_node *root, struct topology *t, struct buffer *error)
{
    const struct yaml_node *rules = yaml_find(root, "rules");
    if (!rules) return STATUS_OK;
    if (rules->kind != YAML_KIND_MAPPING) return yaml_fail(rules, error, "rules is a mapping from name to rule");
    for (const struct yaml_node *value = rules->first; value; value = value->next) {
        if (t->rules_count == TOPOLOGY_RULES_MAX) {
            return yaml_fail(value->key, error, "more than %d rules", TOPOLOGY_RULES_MAX);
        }
        struct topology_rule *rule = &t->rules[t->rules_count++];
        if (take_name(value->key, value->key->text, rule->name, error)) return STATUS_MALFORMED;
        if (parse_needs(value, t, &rule->rule, error)) return STATUS_MALFORMED;
    }
    return STATUS_OK;
}

enum status topology__parse_labels(const struct yaml_node *root, struct topology *t, struct buffer *error)
{
    const struct yaml_node *nodes = yaml_find(root, "nodes");
    if (collect_tag_names(nodes, t, error)) return STATUS_MALFORMED;
    uint32_t index = 0;
    for (const struct yaml_node *item = nodes->first; item; item = item->next, index++) {
        if (take_tags(item, t, &t->nodes[index], error)) return STATUS_MALFORMED;
        if (check_numbers(item, t, index, error)) return STATUS_MALFORMED;
    }
    return parse_rules(root, t, error);
}
