/* test_expiry.c: what has expired is removed, by one replica. */
#include "base/hash.h"
#include "mergeable/replica_internal.h"
#include "tests/unit/mergeable/harness.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

static void test_expiry_is_removed_once(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3, CONFLICT_LWW, 17);
    world_start(&w);
    put(&w, 0, "k", "v");
    put(&w, 0, "touched", "v");
    world_run(&w, 100);
    uint64_t at = 1700000000000u + w.now_ms + 1000;
    expire_at(&w, 0, "k", at);
    expire_at(&w, 0, "touched", at);
    world_run(&w, 500);
    assert_string_equal(text_of(&w, 2, "k"), "v");
    expire_at(&w, 2, "touched", at + 60000);
    world_run(&w, 520);
    for (uint8_t i = 0; i < 3; i++) assert_string_equal(text_of(&w, i, "k"), ""); /* hidden at once */
    world_run(&w, 12000);
    uint64_t writes = 0;
    for (uint8_t i = 0; i < 3; i++) {
        assert_null(object_of(&w, i, "k"));
        assert_string_equal(text_of(&w, i, "touched"), "v");
        writes += replica_next_counter(w.nodes[i].replica) - 1;
    }
    assert_int_equal(writes, 2 + 2 + 1 + 1); /* puts, expiries, the touch, one removal */
    world_assert_equal(&w);
    world_deinit(&w);
}

/* The first by rank removes it even where nothing stays in memory for longer than it takes to read it back. */
static void test_cold_key_is_removed_in_time(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 2, CONFLICT_LWW, 19);
    w.nodes[0].memory_bytes_max = 1;
    world_start(&w);
    put(&w, 1, "k", "v");
    expire_at(&w, 1, "k", 1700000000000u + w.now_ms + 1000);
    assert_true(world_settle(&w, 500));
    world_write_back(&w, 0);
    world_run(&w, 100);
    struct slice key = slice_of_string("k");
    assert_true(store_item_is_cold(store_find(replica_data(w.nodes[0].replica), key, hash_key(key))));
    world_run(&w, 1500);
    assert_int_equal(replica_next_counter(w.nodes[0].replica), 2);
    assert_int_equal(replica_next_counter(w.nodes[1].replica), 3);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expiry_is_removed_once),
        cmocka_unit_test(test_cold_key_is_removed_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
