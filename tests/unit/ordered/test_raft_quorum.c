/* test_raft_quorum.c: the highest value that enough members reached, against trying every value and every set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "ordered/raft_quorum.h"

enum { ROUNDS = 2000, VALUES = 6 };

static uint64_t value_of(const void *user, uint16_t node)
{
    const uint64_t *values = user;
    return values[node];
}

static struct raft_set draw_set(struct prng *p)
{
    struct raft_set set = {0};
    do {
        set = (struct raft_set){0};
        for (uint16_t node = 1; node <= 7; node++) {
            if (prng_chance(p, 1, 3)) continue;
            struct raft_member m = {.node = node, .kind = (uint8_t)prng_range(p, RAFT_VOTER, RAFT_LEARNER)};
            m.labels.value[COMMIT_LABEL_REGION] = (uint16_t)prng_range(p, 1, 3);
            set.members[set.members_count++] = m;
        }
        if (prng_chance(p, 1, 2)) {
            set.rule.needs_count = 1;
            set.rule.needs[0].distinct = 2;
        }
    } while (raft_set_check(&set) != STATUS_OK);
    return set;
}

/* Is `value` reached by enough members of this set? `full`: witnesses don't help. */
static bool reached(const struct raft_set *set, const struct commit_rule *rule, const uint64_t *values, uint64_t value,
                    bool full)
{
    struct commit_labels labels[RAFT_MEMBERS_MAX];
    uint64_t have = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < set->members_count; i++) {
        const struct raft_member *m = &set->members[i];
        if (m->kind == RAFT_LEARNER) continue;
        labels[n] = m->labels;
        have |= (uint64_t)(values[m->node] >= value && !(full && m->kind == RAFT_WITNESS)) << n++;
    }
    return commit_rule_holds(rule, labels, n, have);
}

static bool reached_by_all_full(const struct raft_set *set, const uint64_t *values, uint64_t value)
{
    for (uint32_t i = 0; i < set->members_count; i++) {
        if (set->members[i].kind == RAFT_VOTER && values[set->members[i].node] < value) return false;
    }
    return true;
}

static void agrees_with_trying_everything(void **state)
{
    (void)state;
    static const struct commit_rule majority = {0};
    struct prng p;
    prng_init(&p, 4);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct raft_configuration c = {.joint = prng_chance(&p, 1, 2), .now = draw_set(&p), .old = draw_set(&p)};
        uint64_t values[8];
        for (uint32_t i = 0; i < 8; i++) values[i] = prng_below(&p, VALUES);
        uint64_t by_majority = 0, by_rule = 0, by_full = 0;
        for (uint64_t v = 1; v < VALUES; v++) {
            bool m = reached(&c.now, &majority, values, v, false), r = reached(&c.now, &c.now.rule, values, v, false);
            bool f = reached(&c.now, &c.now.rule, values, v, true) || reached_by_all_full(&c.now, values, v);
            if (c.joint) {
                m = m && reached(&c.old, &majority, values, v, false);
                r = r && reached(&c.old, &c.old.rule, values, v, false);
                f = f && (reached(&c.old, &c.old.rule, values, v, true) || reached_by_all_full(&c.old, values, v));
            }
            if (m) by_majority = v;
            if (r) by_rule = v;
            if (f) by_full = v;
        }
        struct raft_quorum q;
        raft_quorum_init(&q, &c);
        assert_int_equal(raft_quorum_majority(&q, value_of, values), by_majority);
        assert_int_equal(raft_quorum_rule(&q, value_of, values), by_rule);
        assert_int_equal(raft_quorum_full(&q, value_of, values), by_full);
        assert_true(by_rule <= by_majority);
    }
}

static void a_configuration_is_read_back(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 6);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct raft_configuration c = {.joint = prng_chance(&p, 1, 2), .now = draw_set(&p)}, back;
        if (c.joint) c.old = draw_set(&p);
        struct buffer a, b;
        buffer_init(&a, 65536);
        buffer_init(&b, 65536);
        raft_configuration_write(&a, &c);
        assert_int_equal(raft_configuration_read(buffer_slice(&a), &back), STATUS_OK);
        raft_configuration_write(&b, &back);
        assert_true(slice_equal(buffer_slice(&a), buffer_slice(&b)));
        for (size_t cut = 0; cut < a.length; cut++) {
            assert_int_equal(raft_configuration_read(slice_of(a.data, cut), &back), STATUS_MALFORMED);
        }
        buffer_deinit(&a);
        buffer_deinit(&b);
    }
}

static void sets_that_cannot_work_are_refused(void **state)
{
    (void)state;
    struct raft_set none = {0};
    assert_int_equal(raft_set_check(&none), STATUS_MALFORMED);
    struct raft_set twice = {.members_count = 2, .members = {{1, RAFT_VOTER, {{1}}}, {1, RAFT_VOTER, {{1}}}}};
    assert_int_equal(raft_set_check(&twice), STATUS_MALFORMED);
    struct raft_set stateless = {.members_count = 1, .members = {{1, RAFT_WITNESS, {{1}}}}};
    assert_int_equal(raft_set_check(&stateless), STATUS_MALFORMED);
    struct raft_set one_region = {.members_count = 2, .members = {{2, RAFT_VOTER, {{1}}}, {1, RAFT_VOTER, {{1}}}}};
    assert_int_equal(raft_set_check(&one_region), STATUS_OK);
    assert_int_equal(one_region.members[0].node, 1); /* sorted */
    one_region.rule = (struct commit_rule){.needs_count = 1, .needs = {{COMMIT_LABEL_REGION, 2}}};
    assert_int_equal(raft_set_check(&one_region), STATUS_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_trying_everything),
        cmocka_unit_test(a_configuration_is_read_back),
        cmocka_unit_test(sets_that_cannot_work_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
