/* test_buffer.c: the buffer against a naive twin that knows only an array and a maximum. */
#include "base/buffer.h"
#include "base/prng.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { TWIN_BYTES_MAX = 3000 };

struct twin {
    uint8_t bytes[TWIN_BYTES_MAX];
    size_t length;
    bool overflowed;
};

static void twin_append(struct twin *t, const void *data, size_t length)
{
    if (length == 0) return;
    if (t->overflowed || length > TWIN_BYTES_MAX - t->length) {
        t->overflowed = true;
        return;
    }
    memcpy(t->bytes + t->length, data, length);
    t->length += length;
}

static void check_equal(const struct buffer *b, const struct twin *t)
{
    assert_int_equal(b->length, t->length);
    assert_int_equal(b->overflowed, t->overflowed);
    assert_true(b->length <= b->capacity || b->length == 0);
    assert_true(b->capacity <= b->bytes_max);
    if (b->length) assert_memory_equal(b->data, t->bytes, t->length);
}

static void one_step(struct buffer *b, struct twin *t, struct prng *p)
{
    uint8_t noise[400];
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (uint8_t)prng_u64(p);
    size_t length = prng_below(p, prng_chance(p, 1, 8) ? sizeof noise : 20);
    char text[64];
    switch (prng_below(p, 9)) {
    case 0:
    case 1:
        buffer_append(b, noise, length);
        twin_append(t, noise, length);
        break;
    case 2:
        buffer_append_byte(b, noise[0]);
        twin_append(t, noise, 1);
        break;
    case 3: {
        int64_t value = (int64_t)prng_u64(p) >> prng_below(p, 64);
        buffer_append_i64(b, value);
        twin_append(t, text, (size_t)snprintf(text, sizeof text, "%" PRId64, value));
        break;
    }
    case 4: {
        uint64_t value = prng_u64(p) >> prng_below(p, 64);
        buffer_append_u64(b, value);
        twin_append(t, text, (size_t)snprintf(text, sizeof text, "%" PRIu64, value));
        break;
    }
    case 5:
        buffer_append_format(b, "%zu %s", length, "words");
        twin_append(t, text, (size_t)snprintf(text, sizeof text, "%zu %s", length, "words"));
        break;
    case 6: {
        uint8_t *end = buffer_reserve(b, length + 10);
        bool fits = !t->overflowed && length + 10 <= TWIN_BYTES_MAX - t->length;
        assert_int_equal(end != NULL, fits);
        if (!fits) {
            t->overflowed = true;
            break;
        }
        memcpy(end, noise, length);
        buffer_commit(b, length); /* less than was reserved */
        twin_append(t, noise, length);
        break;
    }
    case 7: {
        size_t count = prng_below(p, b->length + 1);
        buffer_consume(b, count);
        memmove(t->bytes, t->bytes + count, t->length - count);
        t->length -= count;
        break;
    }
    default:
        if (!prng_chance(p, 1, 20)) break;
        buffer_clear(b);
        buffer_shrink(b, prng_below(p, 2 * TWIN_BYTES_MAX));
        t->length = 0;
        t->overflowed = false;
        break;
    }
}

static void equals_its_twin(void **state)
{
    (void)state;
    static struct twin t;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct prng p;
        prng_init(&p, seed);
        struct buffer b;
        buffer_init(&b, TWIN_BYTES_MAX);
        t.length = 0;
        t.overflowed = false;
        for (int i = 0; i < 2000; i++) {
            one_step(&b, &t, &p);
            check_equal(&b, &t);
        }
        buffer_deinit(&b);
    }
}

static void overflow_drops_whole_appends_until_cleared(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 8);
    buffer_append(&b, "12345", 5);
    buffer_append(&b, "6789", 4);
    assert_true(b.overflowed);
    buffer_append_byte(&b, '6'); /* would fit, but would leave a hole before it */
    buffer_append_format(&b, "%d", 6);
    assert_null(buffer_reserve(&b, 1));
    assert_true(slice_equal(buffer_slice(&b), SLICE_LITERAL("12345")));
    buffer_clear(&b);
    buffer_append(&b, "12345678", 8);
    assert_false(b.overflowed);
    assert_int_equal(b.length, 8);
    buffer_deinit(&b);
    buffer_deinit(NULL);
    assert_null(b.data);
}

static void huge_lengths_do_not_wrap(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, SIZE_MAX);
    buffer_append(&b, "x", 1);
    assert_null(buffer_reserve(&b, SIZE_MAX));
    assert_true(b.overflowed);
    buffer_deinit(&b);
}

static void format_of_any_length(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 1 << 20);
    for (int width = 1; width < 3000; width += 7) {
        buffer_clear(&b);
        buffer_append_format(&b, "%*d", width, 5);
        assert_int_equal(b.length, width);
        assert_int_equal(b.data[width - 1], '5');
    }
    buffer_deinit(&b);
}

static void decimal_extremes(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 256);
    buffer_append_i64(&b, INT64_MIN);
    buffer_append_byte(&b, ' ');
    buffer_append_i64(&b, INT64_MAX);
    buffer_append_byte(&b, ' ');
    buffer_append_u64(&b, UINT64_MAX);
    buffer_append_byte(&b, ' ');
    buffer_append_i64(&b, 0);
    assert_true(slice_equal(buffer_slice(&b), SLICE_LITERAL("-9223372036854775808 9223372036854775807 "
                                                            "18446744073709551615 0")));
    buffer_deinit(&b);
}

static void shrinks_only_when_empty(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 1 << 20);
    assert_non_null(buffer_reserve(&b, 10000));
    buffer_append_byte(&b, 'x');
    buffer_shrink(&b, 100);
    assert_int_equal(b.length, 1);
    buffer_consume(&b, 1);
    buffer_shrink(&b, 20000);
    assert_non_null(b.data);
    buffer_shrink(&b, 100);
    assert_null(b.data);
    buffer_append_byte(&b, 'y');
    assert_int_equal(b.data[0], 'y');
    buffer_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_its_twin),          cmocka_unit_test(overflow_drops_whole_appends_until_cleared),
        cmocka_unit_test(huge_lengths_do_not_wrap), cmocka_unit_test(format_of_any_length),
        cmocka_unit_test(decimal_extremes),         cmocka_unit_test(shrinks_only_when_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
