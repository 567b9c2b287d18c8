/* raft_quorum.h: decisions by one half of a configuration, and by both. Pure: values and sets in, verdicts out.
 *
 * Q1  A decision of a joint configuration holds in both halves (thesis, 4.3).
 * Q2  Elections, reads and leases need a majority; committing needs the rule, which contains a majority.
 */
#ifndef MERIDIAN_ORDERED_RAFT_QUORUM_H
#define MERIDIAN_ORDERED_RAFT_QUORUM_H

#include "ordered/raft.h"

/* The members of one half that count, taken out of a raft_set. */
struct raft_half {
    struct commit_rule rule;
    uint32_t count;
    uint16_t node[RAFT_MEMBERS_MAX]; /* ascending */
    struct commit_labels labels[RAFT_MEMBERS_MAX];
    uint64_t witness_mask;
};

struct raft_quorum {
    struct raft_half half[2];
    uint32_t halves; /* 1, or 2 in a joint configuration */
};

void raft_quorum_init(struct raft_quorum *q, const struct raft_configuration *c);

/* Something known of every node, asked by number. */
typedef uint64_t (*raft_value_of)(const void *user, uint16_t node);

/* The highest value that a majority of each half has reached. */
uint64_t raft_quorum_majority(const struct raft_quorum *q, raft_value_of value_of, const void *user);
/* The highest value that members satisfying the rule of each half have reached. */
uint64_t raft_quorum_rule(const struct raft_quorum *q, raft_value_of value_of, const void *user);
/* The same for another rule, counting in the same members. */
uint64_t raft_quorum_other_rule(const struct raft_quorum *q, const struct commit_rule *rule, raft_value_of value_of,
                                const void *user);
/* The highest value that full replicas alone satisfy the rule for, or that every full replica has reached: what a
 * witness need not keep any longer (S18). */
uint64_t raft_quorum_full(const struct raft_quorum *q, raft_value_of value_of, const void *user);

#endif
