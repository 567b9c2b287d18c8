/* test_dot_set.c: sets of dots: exact, canonical, and hostile bytes are refused before memory is taken for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/prng.h"
#include "causality/dot_set.h"

static void fill(struct prng *p, struct dot_set *s, uint64_t count)
{
    dot_set_clear(s);
    for (uint64_t i = 0; i < count; i++) dot_set_add(s, (struct dot){1 + prng_below(p, 4), 1 + prng_below(p, 50)});
}

static void round_trips_and_is_canonical(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 3);
    struct dot_set a, b;
    dot_set_init(&a);
    dot_set_init(&b);
    struct buffer bytes;
    buffer_init(&bytes, 65536);
    for (int round = 0; round < 2000; round++) {
        fill(&p, &a, prng_below(&p, 80));
        buffer_clear(&bytes);
        dot_set_write(&bytes, &a);
        struct reader r = reader_of(buffer_slice(&bytes));
        assert_int_equal(dot_set_read(&r, &b), STATUS_OK);
        assert_true(reader_finished(&r) && dot_set_equal(&a, &b));
        struct buffer again;
        buffer_init(&again, 65536);
        dot_set_write(&again, &b);
        assert_true(slice_equal(buffer_slice(&bytes), buffer_slice(&again)));
        buffer_deinit(&again);
    }
    buffer_deinit(&bytes);
    dot_set_deinit(&a);
    dot_set_deinit(&b);
}

static void damaged_bytes_never_give_another_encoding(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 4);
    struct dot_set a, b;
    dot_set_init(&a);
    dot_set_init(&b);
    struct buffer bytes, again;
    buffer_init(&bytes, 65536);
    buffer_init(&again, 1 << 26);
    for (int round = 0; round < 500; round++) {
        fill(&p, &a, 20);
        buffer_clear(&bytes);
        dot_set_write(&bytes, &a);
        bytes.data[prng_below(&p, bytes.length)] ^= (uint8_t)(1 + prng_below(&p, 255));
        struct reader r = reader_of(buffer_slice(&bytes));
        if (dot_set_read(&r, &b) != STATUS_OK) continue;
        buffer_clear(&again); /* what is accepted was the encoding of something */
        dot_set_write(&again, &b);
        assert_true(slice_equal(slice_of(bytes.data, bytes.length - reader_left(&r)), buffer_slice(&again)));
    }
    buffer_deinit(&bytes);
    buffer_deinit(&again);
    dot_set_deinit(&a);
    dot_set_deinit(&b);
}

static void a_run_too_long_is_refused(void **state)
{
    (void)state;
    static const uint8_t long_run[] = {1, 1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};
    struct dot_set s;
    dot_set_init(&s);
    struct reader r = reader_of(slice_of(long_run, sizeof long_run));
    assert_int_equal(dot_set_read(&r, &s), STATUS_LIMIT);
    dot_set_deinit(&s);
}

static void removes_and_unites(void **state)
{
    (void)state;
    struct dot_set a, b;
    dot_set_init(&a);
    dot_set_init(&b);
    dot_set_add(&a, (struct dot){1, 1});
    dot_set_add(&a, (struct dot){1, 1});
    assert_int_equal(a.count, 1);
    dot_set_add(&b, (struct dot){1, 2});
    dot_set_union(&a, &b);
    assert_true(dot_set_remove(&a, (struct dot){1, 1}));
    assert_false(dot_set_remove(&a, (struct dot){1, 1}));
    assert_true(dot_set_equal(&a, &b));
    dot_set_deinit(&a);
    dot_set_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips_and_is_canonical),
        cmocka_unit_test(damaged_bytes_never_give_another_encoding),
        cmocka_unit_test(a_run_too_long_is_refused),
        cmocka_unit_test(removes_and_unites),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
