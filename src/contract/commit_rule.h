/* commit_rule.h: which sets of replicas make a write committed: a majority, and the placement that the contract asks
 * for. Pure; the ordered engine counts by it and the planner reasons by it, so that neither can mean something else.
 *
 * C1  Adding a member to a set never makes a rule fail that held before (the rule is monotone).
 * C2  Two sets that satisfy the same rule over the same members share a member, for both contain a majority.
 */
#ifndef MERIDIAN_CONTRACT_COMMIT_RULE_H
#define MERIDIAN_CONTRACT_COMMIT_RULE_H

#include "wire/varint.h"

#include "base/status.h"

enum {
    COMMIT_LABELS_MAX = 8,
    COMMIT_MEMBERS_MAX = 32,
    COMMIT_LABEL_REGION = 0,
    COMMIT_LABEL_ZONE = 1,
};

/* Where a member stands: [0] its region, [1] its zone, then the named tags. Equal numbers mean the same place; 0 means
 * that the member has no such label, and it then counts for no need of it. */
struct commit_labels {
    uint16_t value[COMMIT_LABELS_MAX];
};

/* A majority of the members, and for each need, members with `distinct` different values of `label`; with `all`, every
 * member. `majority` has no needs; `majority+regions:2` has the one need {COMMIT_LABEL_REGION, 2}. */
struct commit_rule {
    bool all;
    uint8_t needs_count;
    struct {
        uint8_t label;    /* < COMMIT_LABELS_MAX */
        uint8_t distinct; /* > 0 */
    } needs[COMMIT_LABELS_MAX];
};

/* More than half of `n`. */
static inline uint32_t commit_majority(uint32_t n)
{
    return n / 2 + 1;
}

/* How many different values of `label` the members in `have_mask` bear. */
uint32_t commit_distinct(const struct commit_labels *members, uint32_t n, uint64_t have_mask, uint8_t label);

/* Is a write committed that the members in `have_mask` hold? Bit i of the mask is members[i]; bits from n on are
 * ignored; n <= COMMIT_MEMBERS_MAX. Without members no set satisfies a rule. */
bool commit_rule_holds(const struct commit_rule *rule, const struct commit_labels *members, uint32_t n,
                       uint64_t have_mask);

/* True when every set that satisfies `strong` satisfies `weak`, whatever the members are. */
bool commit_rule_covers(const struct commit_rule *strong, const struct commit_rule *weak);
bool commit_rule_equal(const struct commit_rule *a, const struct commit_rule *b);

/* Bytes: flags, count, (label, distinct)... Reading refuses unknown flags, labels out of range, a need of nothing and
 * two needs of one label. */
void commit_rule_write(struct buffer *b, const struct commit_rule *rule);
MUST_USE enum status commit_rule_read(struct reader *r, struct commit_rule *out);

/* Bytes: one varint a label. */
void commit_labels_write(struct buffer *b, const struct commit_labels *labels);
MUST_USE enum status commit_labels_read(struct reader *r, struct commit_labels *out);

#endif
