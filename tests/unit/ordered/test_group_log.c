/* The index of a group's entries in the shard log: appended, truncated, compacted, and found again by a replay in which
 * a reclaim has put old entries behind young ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "ordered/group_log.h"

static struct group_log_entry entry_of(uint64_t term, uint32_t offset)
{
    return (struct group_log_entry){.term = term, .lsn = offset, .at = {1, offset, 10}};
}

static void append(struct group_log *log, uint64_t term, uint64_t index)
{
    struct group_log_entry entry = entry_of(term, (uint32_t)index);
    group_log_append(log, index, &entry);
}

static void replay(struct group_log *log, uint64_t term, uint64_t index, uint32_t offset)
{
    struct group_log_entry entry = entry_of(term, offset);
    group_log_replay(log, index, &entry);
}

static void entries_come_and_go_at_both_ends(void **state)
{
    (void)state;
    struct group_log log;
    group_log_init(&log);
    for (uint64_t i = 1; i <= 100; i++) append(&log, 1 + i / 50, i);
    assert_int_equal(group_log_last(&log), 100);
    assert_int_equal(log.bytes, 1000);
    group_log_compact(&log, 60);
    assert_null(group_log_find(&log, 60));
    assert_int_equal(log.base_index, 60);
    assert_int_equal(log.base_term, 2);
    group_log_truncate(&log, 91);
    assert_int_equal(group_log_last(&log), 90);
    append(&log, 9, 91);
    assert_int_equal(group_log_find(&log, 91)->term, 9);
    assert_int_equal(group_log_find(&log, 61)->at.offset, 61);
    assert_int_equal(log.bytes, 310);
    group_log_reset(&log, 500, 10);
    assert_int_equal(group_log_last(&log), 500);
    append(&log, 10, 501);
    group_log_deinit(&log);
}

static void a_copy_behind_younger_ones_takes_nothing_away(void **state)
{
    (void)state;
    struct group_log log;
    group_log_init(&log);
    for (uint32_t i = 11; i <= 20; i++) replay(&log, 3, i, i); /* what stood before was reclaimed */
    for (uint32_t i = 8; i <= 10; i++) replay(&log, 2, i, 100 + i);
    assert_true(group_log_settle(&log, 9, 2));
    assert_int_equal(log.base_index, 7); /* older ones stay */
    assert_int_equal(group_log_last(&log), 20);
    assert_int_equal(group_log_find(&log, 10)->at.offset, 110);
    group_log_deinit(&log);
}

static void only_a_truncation_takes_entries_away(void **state)
{
    (void)state;
    struct group_log log;
    group_log_init(&log);
    for (uint32_t i = 1; i <= 20; i++) replay(&log, 3, i, i);
    group_log_truncate(&log, 15);
    replay(&log, 2, 15, 50); /* an older term may well come back under a new leader */
    assert_true(group_log_settle(&log, 0, 0));
    assert_int_equal(group_log_last(&log), 15);
    assert_int_equal(group_log_find(&log, 15)->term, 2);
    group_log_deinit(&log);
}

static void a_gap_behind_the_applied_entry_is_damage(void **state)
{
    (void)state;
    struct group_log log;
    group_log_init(&log);
    for (uint32_t i = 1; i <= 20; i++) {
        if (i != 12) replay(&log, 3, i, i);
    }
    assert_false(group_log_settle(&log, 11, 3));
    assert_true(group_log_settle(&log, 12, 3));
    assert_int_equal(group_log_find(&log, 13)->at.offset, 13);
    group_log_deinit(&log);
}

/* The state at rest came from a snapshot, and the log still has the tail that the others never had. */
static void a_tail_of_another_history_is_dropped(void **state)
{
    (void)state;
    struct group_log log;
    group_log_init(&log);
    for (uint32_t i = 1; i <= 20; i++) replay(&log, 3, i, i);
    assert_true(group_log_settle(&log, 15, 4));
    assert_int_equal(log.base_index, 15);
    assert_int_equal(log.base_term, 4);
    assert_int_equal(group_log_last(&log), 15);
    group_log_deinit(&log);
}

static void what_lies_before_a_long_gap_is_of_an_earlier_life(void **state)
{
    (void)state;
    struct group_log log;
    group_log_init(&log);
    for (uint32_t i = 1; i <= 20; i++) replay(&log, 3, i, i);
    uint64_t far = 100ull * GROUP_LOG_GAP_MAX;
    for (uint32_t i = 1; i <= 5; i++) replay(&log, 7, far + i, 30 + i);
    replay(&log, 3, 20, 40);
    assert_true(group_log_settle(&log, far, 7));
    assert_int_equal(group_log_last(&log), far + 5);
    assert_true(log.capacity < GROUP_LOG_GAP_MAX);
    group_log_deinit(&log);
}

/* Against a plain array: random appends, truncations, compactions. */
static void random_histories_match_an_array(void **state)
{
    (void)state;
    enum { LAST_MAX = 400 };
    struct prng prng;
    prng_init(&prng, 7);
    for (uint32_t round = 0; round < 200; round++) {
        struct group_log log;
        uint64_t terms[LAST_MAX + 1] = {0}, base = 0, last = 0, term = 1;
        group_log_init(&log);
        for (uint32_t step = 0; step < 300; step++) {
            uint64_t dice = prng_below(&prng, 10);
            if (dice < 7 && last < LAST_MAX) {
                append(&log, term, ++last);
                terms[last] = term;
            } else if (dice < 9 && last > base) {
                uint64_t from = prng_range(&prng, base + 1, last);
                group_log_truncate(&log, from);
                last = from - 1;
                term++;
            } else if (last > base) {
                base = prng_range(&prng, base, last);
                group_log_compact(&log, base);
            }
            assert_int_equal(group_log_last(&log), last);
        }
        for (uint64_t i = 1; i <= LAST_MAX; i++) {
            const struct group_log_entry *entry = group_log_find(&log, i);
            assert_int_equal(entry != NULL, i > base && i <= last);
            if (entry) assert_int_equal(entry->term, terms[i]);
        }
        group_log_deinit(&log);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_and_go_at_both_ends),
        cmocka_unit_test(a_copy_behind_younger_ones_takes_nothing_away),
        cmocka_unit_test(only_a_truncation_takes_entries_away),
        cmocka_unit_test(a_gap_behind_the_applied_entry_is_damage),
        cmocka_unit_test(a_tail_of_another_history_is_dropped),
        cmocka_unit_test(what_lies_before_a_long_gap_is_of_an_earlier_life),
        cmocka_unit_test(random_histories_match_an_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
