/* commit_rule.c: counting members and the places they stand in.
 *
 * Sets of at most COMMIT_MEMBERS_MAX members are bit masks; distinct labels are found by comparing pairs, which for so
 * few is less work than anything that needs memory.
 */
#include "contract/commit_rule.h"

_Static_assert(COMMIT_MEMBERS_MAX < 64, "a set of members is a 64-bit mask");

enum { RULE_FLAG_ALL = 1 };

static uint64_t members_mask(uint32_t n)
{
    return ((uint64_t)1 << n) - 1;
}

/* Does a member of the set that stands before `i` bear the same label? */
static bool is_repeated(const struct commit_labels *members, uint64_t have_mask, uint32_t i, uint8_t label)
{
    for (uint32_t j = 0; j < i; j++) {
        if ((have_mask >> j & 1) && members[j].value[label] == members[i].value[label]) return true;
    }
    return false;
}

uint32_t commit_distinct(const struct commit_labels *members, uint32_t n, uint64_t have_mask, uint8_t label)
{
    ASSERT(n <= COMMIT_MEMBERS_MAX);
    ASSERT(label < COMMIT_LABELS_MAX);
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!(have_mask >> i & 1) || members[i].value[label] == 0) continue;
        if (!is_repeated(members, have_mask, i, label)) count++;
    }
    return count;
}

bool commit_rule_holds(const struct commit_rule *rule, const struct commit_labels *members, uint32_t n,
                       uint64_t have_mask)
{
    ASSERT(n <= COMMIT_MEMBERS_MAX);
    ASSERT(rule->needs_count <= COMMIT_LABELS_MAX);
    have_mask &= members_mask(n);
    uint32_t have = (uint32_t)__builtin_popcountll(have_mask);
    if (have < commit_majority(n)) return false;
    if (rule->all && have < n) return false;
    for (uint32_t i = 0; i < rule->needs_count; i++) {
        if (commit_distinct(members, n, have_mask, rule->needs[i].label) < rule->needs[i].distinct) return false;
    }
    return true;
}

/* How many different values of `label` the rule asks for. */
static uint32_t needed(const struct commit_rule *rule, uint8_t label)
{
    for (uint32_t i = 0; i < rule->needs_count; i++) {
        if (rule->needs[i].label == label) return rule->needs[i].distinct;
    }
    return 0;
}

bool commit_rule_covers(const struct commit_rule *strong, const struct commit_rule *weak)
{
    if (weak->all && !strong->all) return false;
    for (uint32_t i = 0; i < weak->needs_count; i++) {
        uint32_t asked = weak->needs[i].distinct;
        if (needed(strong, weak->needs[i].label) < asked) return false;
    }
    return true;
}

bool commit_rule_equal(const struct commit_rule *a, const struct commit_rule *b)
{
    return commit_rule_covers(a, b) && commit_rule_covers(b, a);
}

void commit_rule_write(struct buffer *b, const struct commit_rule *rule)
{
    write_u8(b, rule->all ? RULE_FLAG_ALL : 0);
    write_u8(b, rule->needs_count);
    for (uint32_t i = 0; i < rule->needs_count; i++) {
        write_u8(b, rule->needs[i].label);
        write_u8(b, rule->needs[i].distinct);
    }
}

enum status commit_rule_read(struct reader *r, struct commit_rule *out)
{
    struct commit_rule rule = {0};
    uint8_t flags = read_u8(r);
    uint8_t count = read_u8(r);
    if (r->failed || flags > RULE_FLAG_ALL || count > COMMIT_LABELS_MAX) return STATUS_MALFORMED;
    rule.all = flags == RULE_FLAG_ALL;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t label = read_u8(r);
        uint8_t distinct = read_u8(r);
        if (r->failed || label >= COMMIT_LABELS_MAX || distinct == 0) return STATUS_MALFORMED;
        if (needed(&rule, label) > 0) return STATUS_MALFORMED;
        rule.needs[i].label = label;
        rule.needs[i].distinct = distinct;
        rule.needs_count = (uint8_t)(i + 1);
    }
    *out = rule;
    return STATUS_OK;
}

void commit_labels_write(struct buffer *b, const struct commit_labels *labels)
{
    for (uint32_t i = 0; i < COMMIT_LABELS_MAX; i++) write_varint(b, labels->value[i]);
}

enum status commit_labels_read(struct reader *r, struct commit_labels *out)
{
    struct commit_labels labels;
    for (uint32_t i = 0; i < COMMIT_LABELS_MAX; i++) {
        uint64_t value = read_varint(r);
        if (r->failed || value > UINT16_MAX) return STATUS_MALFORMED;
        labels.value[i] = (uint16_t)value;
    }
    *out = labels;
    return STATUS_OK;
}
