/* links: causality wire base */
/* test_counter_pn.c: entries are raised, reset and merged; what a faulty peer says can't break C1 and C2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crdt/counter_pn.h"

static const struct dot birth = {1, 4};

static void test_an_entry_keeps_its_latest_increment(void **state)
{
    (void)state;
    struct counter_pn c = {.count = 0};
    assert_true(dot_is_none(counter_pn_raise(&c, birth, birth, 10, 5, 0)));
    struct dot superseded = counter_pn_raise(&c, birth, (struct dot){1, 6}, 11, 5, 2);
    assert_true(dot_equal(superseded, birth));
    const struct counter_entry *e = counter_pn_find(&c, birth);
    assert_int_equal(e->positive, 5);
    assert_int_equal(e->negative, 2);
    assert_int_equal(e->last, 6);
    assert_false(counter_entry_is_dead(e));
    counter_pn_deinit(&c);
}

static void test_a_reset_subtracts_what_it_saw(void **state)
{
    (void)state;
    struct counter_pn c = {.count = 0};
    (void)counter_pn_raise(&c, birth, birth, 10, 5, 1);
    struct counter_entry *e = counter_pn_find(&c, birth);
    counter_entry_reset(e, (struct dot){2, 1}, 20, 5, 1);
    assert_true(counter_entry_is_dead(e));
    (void)counter_pn_raise(&c, birth, (struct dot){1, 5}, 15, 6, 1); /* concurrent to the reset */
    e = counter_pn_find(&c, birth);
    assert_false(counter_entry_is_dead(e));
    counter_entry_reset(e, (struct dot){3, 1}, 18, 2, 0); /* an older reset that saw less */
    assert_int_equal(e->base_positive, 5);
    assert_int_equal(e->reset.replica, 2);
    counter_pn_deinit(&c);
}

static void test_a_reset_never_subtracts_more_than_there_is(void **state)
{
    (void)state;
    struct counter_pn c = {.count = 0};
    (void)counter_pn_raise(&c, birth, birth, 10, 5, 1);
    struct counter_entry *e = counter_pn_find(&c, birth);
    counter_entry_reset(e, (struct dot){2, 1}, 20, UINT64_MAX, UINT64_MAX);
    assert_int_equal(e->base_positive, 5);
    assert_int_equal(e->base_negative, 1);
    counter_pn_deinit(&c);
}

static void test_merging_versions_of_an_entry(void **state)
{
    (void)state;
    struct counter_entry a = {.birth = birth, .last = 5, .stamp = 9, .positive = 7};
    struct counter_entry b = {.birth = birth, .last = 4, .stamp = 8, .positive = 3};
    counter_entry_reset(&b, (struct dot){2, 1}, 20, 3, 0);
    struct counter_entry ab = a, ba = b;
    counter_entry_merge(&ab, &b);
    counter_entry_merge(&ba, &a);
    assert_memory_equal(&ab, &ba, sizeof ab);
    assert_int_equal(ab.last, 5);
    assert_int_equal(ab.positive - ab.base_positive, 4);
}

static void test_sums_saturate(void **state)
{
    (void)state;
    assert_true(counter_sum_clamp((counter_sum)INT64_MAX + 1) == INT64_MAX);
    assert_true(counter_sum_clamp((counter_sum)INT64_MIN - 1) == INT64_MIN);
    assert_true(counter_sum_clamp(-3) == -3);
}

static void test_bytes(void **state)
{
    (void)state;
    struct counter_pn c = {.count = 0}, copy = {.count = 0};
    struct buffer b;
    buffer_init(&b, 4096);
    (void)counter_pn_raise(&c, birth, birth, 10, 5, 1);
    (void)counter_pn_raise(&c, (struct dot){1, 9}, (struct dot){1, 12}, 30, 8, 0);
    counter_entry_reset(counter_pn_find(&c, birth), (struct dot){2, 1}, 20, 5, 1);
    counter_pn_write(&b, &c);
    struct reader r = reader_of(buffer_slice(&b));
    assert_true(counter_pn_read(&r, &copy));
    assert_true(reader_finished(&r));
    assert_int_equal(copy.count, 2);
    assert_memory_equal(copy.entries, c.entries, 2 * sizeof *c.entries);
    counter_pn_deinit(&copy);
    for (size_t length = 0; length < b.length; length++) {
        r = reader_of(slice_of(b.data, length));
        assert_false(counter_pn_read(&r, &copy));
        assert_int_equal(copy.count, 0);
    }
    buffer_deinit(&b);
    counter_pn_deinit(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_entry_keeps_its_latest_increment),
        cmocka_unit_test(test_a_reset_subtracts_what_it_saw),
        cmocka_unit_test(test_a_reset_never_subtracts_more_than_there_is),
        cmocka_unit_test(test_merging_versions_of_an_entry),
        cmocka_unit_test(test_sums_saturate),
        cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
