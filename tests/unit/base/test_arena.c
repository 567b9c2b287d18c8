/* test_arena.c: allocations never overlap, survive what comes after them, and go back at marks and resets. */
#include "base/arena.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { BLOCKS = 300 };

struct block {
    uint8_t *data;
    size_t bytes;
    uint8_t fill;
};

static void check_chunks(const struct arena *a)
{
    size_t held = 0;
    bool behind = a->current == NULL;
    for (const struct arena_chunk *c = a->first; c; c = c->next) {
        held += c->capacity;
        assert_true(c->used <= c->capacity);
        if (behind) assert_int_equal(c->used, 0);
        if (c == a->current) behind = true;
    }
    assert_true(behind);
    assert_int_equal(held, a->held_bytes);
}

static void check_blocks(const struct block *blocks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < blocks[i].bytes; k++) assert_int_equal(blocks[i].data[k], blocks[i].fill);
    }
}

static void blocks_keep_their_bytes(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    struct prng p;
    prng_init(&p, 1);
    static struct block blocks[BLOCKS];
    for (int round = 0; round < 40; round++) {
        size_t marked_at = prng_below(&p, BLOCKS);
        struct arena_mark mark = {0};
        for (size_t i = 0; i < BLOCKS; i++) {
            if (i == marked_at) mark = arena_mark(&a);
            size_t bytes = prng_below(&p, prng_chance(&p, 1, 30) ? 90000 : 200);
            blocks[i] = (struct block){arena_alloc(&a, bytes), bytes, (uint8_t)prng_u64(&p)};
            assert_int_equal((uintptr_t)blocks[i].data % ARENA_ALIGNMENT, 0);
            if (bytes) memset(blocks[i].data, blocks[i].fill, bytes);
        }
        check_blocks(blocks, BLOCKS);
        check_chunks(&a);
        arena_rewind(&a, mark);
        check_chunks(&a);
        for (int i = 0; i < 20; i++) memset(arena_alloc(&a, 5000), 0x5a, 5000);
        check_blocks(blocks, marked_at);
        arena_reset(&a);
        check_chunks(&a);
        assert_true(a.held_bytes <= ARENA_KEEP_BYTES);
    }
    arena_deinit(&a);
}

static void busy_arena_allocates_nothing(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    assert_null(a.first);
    (void)arena_alloc(&a, 100);
    arena_reset(&a);
    struct arena_chunk *chunk = a.first;
    for (int i = 0; i < 100; i++) {
        assert_ptr_equal(arena_alloc(&a, 100), chunk->bytes);
        arena_reset(&a);
        assert_ptr_equal(a.first, chunk);
        assert_null(chunk->next);
    }
    arena_deinit(&a);
}

static void a_giant_is_given_back(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    arena_reset(&a);
    memset(arena_alloc(&a, 10 * ARENA_KEEP_BYTES), 1, 10 * ARENA_KEEP_BYTES);
    arena_reset(&a);
    assert_int_equal(a.held_bytes, 0);
    check_chunks(&a);
    assert_non_null(arena_alloc(&a, 0));
    arena_deinit(&a);
    arena_deinit(NULL);
}

static void rewinds_to_nothing(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    struct arena_mark mark = arena_mark(&a);
    arena_rewind(&a, mark);
    for (int i = 0; i < 10; i++) (void)arena_alloc(&a, 10000);
    arena_rewind(&a, mark);
    check_chunks(&a);
    assert_int_equal(a.first->used, 0);
    assert_ptr_equal(a.current, a.first);
    arena_deinit(&a);
}

static void copies_slices(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    struct slice copy = arena_copy(&a, SLICE_LITERAL("abc"));
    assert_true(slice_equal(copy, SLICE_LITERAL("abc")));
    assert_int_equal(arena_copy(&a, (struct slice){0}).length, 0);
    arena_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_keep_their_bytes), cmocka_unit_test(busy_arena_allocates_nothing),
        cmocka_unit_test(a_giant_is_given_back),   cmocka_unit_test(rewinds_to_nothing),
        cmocka_unit_test(copies_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
