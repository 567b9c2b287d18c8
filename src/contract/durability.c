/* durability.c: DURABILITY's words, read, written again, and as bytes of a table's record.
 *
 * The rule is resolved when the words are read: a later change of the configuration's `rules` never changes what an
 * existing table has promised.
 */
#include "contract/durability.h"

static const char *const plain_words[] = {
    [DURABILITY_LEADER] = "leader",
    [DURABILITY_MAJORITY] = "majority",
    [DURABILITY_REGIONS] = "majority+regions:",
    [DURABILITY_ZONES] = "majority+zones:",
    [DURABILITY_TAGS] = "tags:",
    [DURABILITY_ALL] = "all",
};
enum { KIND_COUNT = 6, FLAG_ALL = 1 };

#define TEXT(s) (int)((s).length < 128 ? (s).length : 128), (const char *)(s).data

static bool takes_value(enum durability_kind kind)
{
    return kind == DURABILITY_REGIONS || kind == DURABILITY_ZONES || kind == DURABILITY_TAGS;
}

/* The kind of a word, and what follows its colon. -1: none. */
static int find_kind(struct slice word, struct slice *out_value)
{
    for (int i = 0; i < KIND_COUNT; i++) {
        size_t length = strlen(plain_words[i]);
        bool whole = takes_value((enum durability_kind)i) ? word.length >= length : word.length == length;
        if (!whole || !slice_is_word(slice_of(word.data, length), plain_words[i])) continue;
        *out_value = slice_skip(word, length);
        return i;
    }
    return -1;
}

static enum status parse_count(struct slice word, struct slice value, uint8_t label, struct durability *d,
                               struct buffer *error)
{
    uint64_t count;
    if (!slice_to_u64(value, &count) || count == 0 || count > COMMIT_MEMBERS_MAX) {
        buffer_append_format(error, "ERR DURABILITY '%.*s': how many? 1 to %d", TEXT(word), COMMIT_MEMBERS_MAX);
        return STATUS_MALFORMED;
    }
    d->rule.needs_count = 1;
    d->rule.needs[0].label = label;
    d->rule.needs[0].distinct = (uint8_t)count;
    return STATUS_OK;
}

static enum status parse_tags(struct slice value, const struct topology *topology, struct durability *d,
                              struct buffer *error)
{
    const struct topology_rule *rule = topology_rule_by_name(topology, value);
    if (!rule) {
        buffer_append_format(error, "CONTRACT the configuration has no rule '%.*s'; its rules are:", TEXT(value));
        for (uint32_t i = 0; i < topology->rules_count; i++)
            buffer_append_format(error, " %s", topology->rules[i].name);
        if (topology->rules_count == 0) buffer_append_format(error, " none");
        return STATUS_LIMIT;
    }
    memcpy(d->name, rule->name, sizeof d->name);
    d->rule = rule->rule;
    return STATUS_OK;
}

enum status durability_parse(struct slice word, const struct topology *topology, struct durability *out,
                             struct buffer *out_error)
{
    struct slice value;
    struct durability d = {0};
    int kind = find_kind(word, &value);
    enum status status = STATUS_OK;
    if (kind < 0 && word.length > 4 && slice_is_word(slice_of(word.data, 4), "isr:")) {
        buffer_append_format(out_error, "CONTRACT DURABILITY %.*s is for streams, which are not in this version",
                             TEXT(word));
        return STATUS_LIMIT;
    }
    if (kind < 0) {
        buffer_append_format(out_error,
                             "ERR DURABILITY '%.*s' is unknown: say leader, majority, majority+regions:K, "
                             "majority+zones:K, tags:NAME or all",
                             TEXT(word));
        return STATUS_MALFORMED;
    }
    d.kind = (enum durability_kind)kind;
    if (d.kind == DURABILITY_ALL) d.rule.all = true;
    if (d.kind == DURABILITY_REGIONS) status = parse_count(word, value, COMMIT_LABEL_REGION, &d, out_error);
    if (d.kind == DURABILITY_ZONES) status = parse_count(word, value, COMMIT_LABEL_ZONE, &d, out_error);
    if (d.kind == DURABILITY_TAGS) status = parse_tags(value, topology, &d, out_error);
    if (status == STATUS_OK) *out = d;
    return status;
}

void durability_format(const struct durability *d, struct buffer *out)
{
    buffer_append_format(out, "%s", plain_words[d->kind]);
    if (d->kind == DURABILITY_TAGS) buffer_append_format(out, "%s", d->name);
    if (d->kind == DURABILITY_REGIONS || d->kind == DURABILITY_ZONES)
        buffer_append_format(out, "%u", (unsigned)d->rule.needs[0].distinct);
}

void durability_write(struct buffer *b, const struct durability *d, const struct topology *topology)
{
    write_u8(b, (uint8_t)d->kind);
    write_bytes(b, slice_of_string(d->name));
    write_u8(b, d->rule.all ? FLAG_ALL : 0);
    write_u8(b, d->rule.needs_count);
    for (uint32_t i = 0; i < d->rule.needs_count; i++) {
        write_bytes(b, slice_of_string(topology_label_name(topology, d->rule.needs[i].label)));
        write_u8(b, d->rule.needs[i].distinct);
    }
}

static enum status read_needs(struct reader *r, const struct topology *topology, struct commit_rule *rule)
{
    uint8_t count = read_u8(r);
    if (r->failed || count > COMMIT_LABELS_MAX) return STATUS_MALFORMED;
    for (uint8_t i = 0; i < count; i++) {
        struct slice name = read_bytes(r);
        uint8_t distinct = read_u8(r);
        if (r->failed || distinct == 0) return STATUS_MALFORMED;
        int label = topology_label_index(topology, name);
        if (label < 0) return STATUS_NOT_FOUND;
        for (uint8_t k = 0; k < i; k++) {
            if (rule->needs[k].label == label) return STATUS_MALFORMED;
        }
        rule->needs[i].label = (uint8_t)label;
        rule->needs[i].distinct = distinct;
        rule->needs_count = (uint8_t)(i + 1);
    }
    return STATUS_OK;
}

/* Do kind, name and rule fit each other? */
static bool is_sound(const struct durability *d)
{
    if ((d->kind == DURABILITY_TAGS) != (d->name[0] != '\0')) return false;
    if ((d->kind == DURABILITY_ALL) != d->rule.all) return false;
    if (d->kind == DURABILITY_REGIONS || d->kind == DURABILITY_ZONES) {
        uint8_t label = d->kind == DURABILITY_REGIONS ? COMMIT_LABEL_REGION : COMMIT_LABEL_ZONE;
        return d->rule.needs_count == 1 && d->rule.needs[0].label == label;
    }
    return d->kind == DURABILITY_TAGS || d->rule.needs_count == 0;
}

enum status durability_read(struct reader *r, const struct topology *topology, struct durability *out)
{
    struct durability d = {0};
    uint8_t kind = read_u8(r);
    struct slice name = read_bytes(r);
    uint8_t flags = read_u8(r);
    if (r->failed || kind >= KIND_COUNT || name.length >= sizeof d.name || flags > FLAG_ALL) return STATUS_MALFORMED;
    d.kind = (enum durability_kind)kind;
    if (name.length) memcpy(d.name, name.data, name.length);
    d.rule.all = flags == FLAG_ALL;
    enum status status = read_needs(r, topology, &d.rule);
    if (status) return status;
    if (!is_sound(&d)) return STATUS_MALFORMED;
    *out = d;
    return STATUS_OK;
}
