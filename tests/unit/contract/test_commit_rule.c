/* test_commit_rule.c: which sets commit, against a plain restatement of the rule, and the rule as bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "contract/commit_rule.h"

enum { ROUNDS = 200 };

static const struct commit_rule majority = {0};
static const struct commit_rule all = {.all = true};
static const struct commit_rule two_regions = {.needs_count = 1, .needs = {{COMMIT_LABEL_REGION, 2}}};

static void a_majority_is_more_than_half(void **state)
{
    (void)state;
    struct commit_labels members[4] = {0};
    assert_false(commit_rule_holds(&majority, members, 0, 0));
    assert_true(commit_rule_holds(&majority, members, 1, 1));
    assert_false(commit_rule_holds(&majority, members, 4, 3));
    assert_true(commit_rule_holds(&majority, members, 4, 7));
    assert_false(commit_rule_holds(&majority, members, 3, 0x38)); /* bits beyond the members are nobody */
}

/* The same-site majority: three of five stand in one region, so a majority alone does not leave it. */
static void a_majority_of_one_region_is_not_two_regions(void **state)
{
    (void)state;
    struct commit_labels members[5] = {{{1}}, {{1}}, {{1}}, {{2}}, {{3}}};
    assert_true(commit_rule_holds(&majority, members, 5, 7));
    assert_false(commit_rule_holds(&two_regions, members, 5, 7));
    assert_true(commit_rule_holds(&two_regions, members, 5, 0xb));
    assert_false(commit_rule_holds(&two_regions, members, 5, 0x18)); /* two regions, but no majority */
    assert_false(commit_rule_holds(&all, members, 5, 0x1e));
    assert_true(commit_rule_holds(&all, members, 5, 0x1f));
}

static void a_member_without_the_label_counts_for_no_need(void **state)
{
    (void)state;
    struct commit_labels members[3] = {{{1}}, {{0}}, {{2}}};
    assert_false(commit_rule_holds(&two_regions, members, 3, 3));
    assert_true(commit_rule_holds(&two_regions, members, 3, 5));
    assert_int_equal(commit_distinct(members, 3, 7, COMMIT_LABEL_REGION), 2);
}

static struct commit_rule draw_rule(struct prng *p)
{
    struct commit_rule rule = {.all = prng_chance(p, 1, 8)};
    for (uint8_t label = 0; label < 3; label++) {
        if (!prng_chance(p, 1, 2)) continue;
        rule.needs[rule.needs_count].label = label;
        rule.needs[rule.needs_count++].distinct = (uint8_t)prng_range(p, 1, 3);
    }
    return rule;
}

/* The rule told plainly: mark each value that is seen, count the marks. */
static bool twin_holds(const struct commit_rule *rule, const struct commit_labels *members, uint32_t n, uint64_t mask)
{
    uint32_t have = 0;
    for (uint32_t i = 0; i < n; i++) have += mask >> i & 1;
    if (2 * have <= n || (rule->all && have != n)) return false;
    for (uint32_t k = 0; k < rule->needs_count; k++) {
        bool seen[8] = {false};
        uint32_t distinct = 0;
        for (uint32_t i = 0; i < n; i++) {
            uint16_t value = members[i].value[rule->needs[k].label];
            if (!(mask >> i & 1) || value == 0 || seen[value]) continue;
            seen[value] = true;
            distinct++;
        }
        if (distinct < rule->needs[k].distinct) return false;
    }
    return true;
}

static void random_rules_agree_with_the_twin_and_are_monotone(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 11);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct commit_labels members[7] = {0};
        uint32_t n = (uint32_t)prng_range(&p, 1, 7);
        for (uint32_t i = 0; i < n; i++) {
            for (uint32_t l = 0; l < 3; l++) members[i].value[l] = (uint16_t)prng_below(&p, 5);
        }
        struct commit_rule rule = draw_rule(&p);
        for (uint64_t mask = 0; mask < (uint64_t)1 << n; mask++) {
            bool holds = commit_rule_holds(&rule, members, n, mask);
            assert_int_equal(holds, twin_holds(&rule, members, n, mask));
            uint64_t more = mask | (uint64_t)1 << prng_below(&p, n);
            if (holds) assert_true(commit_rule_holds(&rule, members, n, more));
        }
    }
}

static void a_stronger_rule_covers_a_weaker_one(void **state)
{
    (void)state;
    struct commit_rule three = {.needs_count = 1, .needs = {{COMMIT_LABEL_REGION, 3}}};
    assert_true(commit_rule_covers(&two_regions, &majority));
    assert_true(commit_rule_covers(&three, &two_regions));
    assert_false(commit_rule_covers(&two_regions, &three));
    assert_true(commit_rule_covers(&all, &majority));
    assert_false(commit_rule_covers(&all, &two_regions)); /* all members may stand in one region */
    assert_true(commit_rule_equal(&three, &three));
    assert_false(commit_rule_equal(&three, &two_regions));
}

static void bytes_are_read_back_and_bad_ones_refused(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 12);
    struct buffer b;
    buffer_init(&b, 4096);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct commit_rule rule = draw_rule(&p), back;
        struct commit_labels labels = {{1, 2, UINT16_MAX}}, labels_back;
        buffer_clear(&b);
        commit_rule_write(&b, &rule);
        commit_labels_write(&b, &labels);
        struct reader r = reader_of(buffer_slice(&b));
        assert_int_equal(commit_rule_read(&r, &back), STATUS_OK);
        assert_int_equal(commit_labels_read(&r, &labels_back), STATUS_OK);
        assert_true(reader_finished(&r));
        assert_true(commit_rule_equal(&rule, &back));
        assert_memory_equal(&labels, &labels_back, sizeof labels);
    }
    static const uint8_t bad[][6] = {{2, 0}, {0, 9}, {0, 1, 8, 1}, {0, 1, 0, 0}, {0, 2, 1, 1, 1, 2}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct commit_rule back;
        struct reader r = reader_of(slice_of(bad[i], sizeof bad[i]));
        assert_int_equal(commit_rule_read(&r, &back), STATUS_MALFORMED);
    }
    buffer_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_majority_is_more_than_half),
        cmocka_unit_test(a_majority_of_one_region_is_not_two_regions),
        cmocka_unit_test(a_member_without_the_label_counts_for_no_need),
        cmocka_unit_test(random_rules_agree_with_the_twin_and_are_monotone),
        cmocka_unit_test(a_stronger_rule_covers_a_weaker_one),
        cmocka_unit_test(bytes_are_read_back_and_bad_ones_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
