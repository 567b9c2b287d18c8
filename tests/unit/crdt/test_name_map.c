/* links: causality wire base */
/* test_name_map.c: random insertions and removals against a plain array of flags. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/prng.h"
#include "crdt/name_map.h"

enum { NAMES = 300 };

struct item {
    struct named named;
    uint32_t number;
};

static struct slice name_number(uint32_t number, char text[16])
{
    return slice_of(text, (size_t)snprintf(text, 16, "%u", number));
}

static void check(struct name_map *m, const bool present[NAMES])
{
    char text[16];
    uint32_t count = 0;
    for (uint32_t n = 0; n < NAMES; n++) {
        const struct item *item = (struct item *)name_map_find(m, name_number(n, text));
        assert_int_equal(item != NULL, present[n]);
        if (item) assert_int_equal(item->number, n);
        count += present[n];
    }
    assert_int_equal(m->count, count);
    struct named **sorted = name_map_sorted(m);
    for (uint32_t i = 1; i < count; i++)
        assert_true(slice_compare(name_of(m, sorted[i - 1]), name_of(m, sorted[i])) < 0);
}

static void test_against_flags(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct prng prng;
        struct name_map m;
        bool present[NAMES] = {false};
        prng_init(&prng, seed);
        name_map_init(&m, sizeof(struct item));
        for (int step = 0; step < 2000; step++) {
            char text[16];
            uint32_t n = (uint32_t)prng_below(&prng, NAMES);
            struct slice name = name_number(n, text);
            if (present[n])
                name_map_remove(&m, name_map_find(&m, name));
            else
                ((struct item *)name_map_add(&m, name))->number = n;
            present[n] = !present[n];
            if (step % 100 == 0) check(&m, present);
        }
        check(&m, present);
        name_map_deinit(&m);
    }
}

static void test_removing_while_visiting_misses_nothing(void **state)
{
    (void)state;
    for (uint32_t kept = 0; kept < 7; kept++) {
        struct name_map m;
        char text[16];
        name_map_init(&m, sizeof(struct item));
        for (uint32_t n = 0; n < NAMES; n++) ((struct item *)name_map_add(&m, name_number(n, text)))->number = n;
        uint32_t cursor = 0;
        for (struct item *item = (struct item *)name_map_next(&m, &cursor); item;
             item = (struct item *)name_map_next(&m, &cursor)) {
            if (item->number % 7 == kept) continue;
            name_map_remove(&m, &item->named);
            cursor--;
        }
        for (uint32_t n = 0; n < NAMES; n++)
            assert_int_equal(name_map_find(&m, name_number(n, text)) != NULL, n % 7 == kept);
        name_map_deinit(&m);
    }
}

static void test_empty_names_are_names(void **state)
{
    (void)state;
    struct name_map m;
    name_map_init(&m, sizeof(struct item));
    assert_null(name_map_find(&m, SLICE_LITERAL("")));
    struct named *item = name_map_add(&m, SLICE_LITERAL(""));
    assert_ptr_equal(name_map_find(&m, SLICE_LITERAL("")), item);
    assert_int_equal(m.items_bytes, sizeof(struct item));
    name_map_remove(&m, item);
    assert_int_equal(m.items_bytes, 0);
    name_map_deinit(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_flags),
        cmocka_unit_test(test_removing_while_visiting_misses_nothing),
        cmocka_unit_test(test_empty_names_are_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
