/* raft_quorum.c: the highest value that enough members have reached. Few members: each value is tried. */
#include "ordered/raft_quorum.h"

static void half_init(struct raft_half *half, const struct raft_set *set)
{
    *half = (struct raft_half){.rule = set->rule};
    for (uint32_t i = 0; i < set->members_count; i++) {
        const struct raft_member *m = &set->members[i];
        if (m->kind == RAFT_LEARNER) continue;
        if (m->kind == RAFT_WITNESS) half->witness_mask |= (uint64_t)1 << half->count;
        half->labels[half->count] = m->labels;
        half->node[half->count++] = m->node;
    }
}

void raft_quorum_init(struct raft_quorum *q, const struct raft_configuration *c)
{
    q->halves = c->joint ? 2 : 1;
    half_init(&q->half[0], &c->now);
    if (c->joint) half_init(&q->half[1], &c->old);
}

static uint64_t mask_reaching(const uint64_t *values, uint32_t count, uint64_t value)
{
    uint64_t mask = 0;
    for (uint32_t i = 0; i < count; i++) mask |= (uint64_t)(values[i] >= value) << i;
    return mask;
}

/* The highest of `values` that a set satisfying `rule` has reached; 0 if there is none. Only members in `counted`. */
static uint64_t half_rule(const struct raft_half *half, const struct commit_rule *rule, const uint64_t *values,
                          uint64_t counted)
{
    uint64_t best = 0;
    for (uint32_t i = 0; i < half->count; i++) {
        if (values[i] <= best || !(counted >> i & 1)) continue;
        uint64_t mask = mask_reaching(values, half->count, values[i]) & counted;
        if (commit_rule_holds(rule, half->labels, half->count, mask)) best = values[i];
    }
    return best;
}

static void ask_values(const struct raft_half *half, raft_value_of value_of, const void *user, uint64_t *out_values)
{
    for (uint32_t i = 0; i < half->count; i++) out_values[i] = value_of(user, half->node[i]);
}

uint64_t raft_quorum_other_rule(const struct raft_quorum *q, const struct commit_rule *rule, raft_value_of value_of,
                                const void *user)
{
    uint64_t least = UINT64_MAX, values[RAFT_MEMBERS_MAX];
    for (uint32_t h = 0; h < q->halves; h++) {
        ask_values(&q->half[h], value_of, user, values);
        uint64_t value = half_rule(&q->half[h], rule, values, UINT64_MAX);
        if (value < least) least = value;
    }
    return least;
}

uint64_t raft_quorum_majority(const struct raft_quorum *q, raft_value_of value_of, const void *user)
{
    static const struct commit_rule majority = {0};
    return raft_quorum_other_rule(q, &majority, value_of, user);
}

uint64_t raft_quorum_rule(const struct raft_quorum *q, raft_value_of value_of, const void *user)
{
    uint64_t least = UINT64_MAX, values[RAFT_MEMBERS_MAX];
    for (uint32_t h = 0; h < q->halves; h++) {
        ask_values(&q->half[h], value_of, user, values);
#ifdef PLANTED_BUG_RULE_IGNORED
        uint64_t value = raft_quorum_majority(q, value_of, user);
#else
        uint64_t value = half_rule(&q->half[h], &q->half[h].rule, values, UINT64_MAX);
#endif
        if (value < least) least = value;
    }
    return least;
}

static uint64_t half_full(const struct raft_half *half, const uint64_t *values)
{
    uint64_t every = UINT64_MAX;
    for (uint32_t i = 0; i < half->count; i++) {
        if (!(half->witness_mask >> i & 1) && values[i] < every) every = values[i];
    }
    uint64_t enough = half_rule(half, &half->rule, values, ~half->witness_mask);
    return enough > every ? enough : every;
}

uint64_t raft_quorum_full(const struct raft_quorum *q, raft_value_of value_of, const void *user)
{
    uint64_t least = UINT64_MAX, values[RAFT_MEMBERS_MAX];
    for (uint32_t h = 0; h < q->halves; h++) {
        ask_values(&q->half[h], value_of, user, values);
        uint64_t value = half_full(&q->half[h], values);
        if (value < least) least = value;
    }
    return least;
}
