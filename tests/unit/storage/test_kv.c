/* test_kv.c: batches walk back to what was put in; damaged ones are refused. */
#include "storage/kv.h"

#include "base/prng.h"

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>

#include <cmocka.h>

static void describe(void *user, enum kv_batch_op op, struct slice key, struct slice value)
{
    struct buffer *out = user;
    buffer_append_format(out, "%d:%.*s=%.*s;", (int)op, (int)key.length, key.length ? (const char *)key.data : "",
                         (int)value.length, value.length ? (const char *)value.data : "");
}

static void test_round_trip(void **state)
{
    (void)state;
    struct buffer batch, text;
    buffer_init(&batch, 1000);
    buffer_init(&text, 1000);
    kv_batch_put(&batch, SLICE_LITERAL("a"), SLICE_LITERAL("1"));
    kv_batch_delete(&batch, SLICE_LITERAL("b"));
    kv_batch_delete_range(&batch, SLICE_LITERAL("c"), SLICE_LITERAL("d"));
    kv_batch_put(&batch, SLICE_LITERAL(""), SLICE_LITERAL(""));
    assert_int_equal(kv_batch_visit(buffer_slice(&batch), describe, &text), STATUS_OK);
    assert_true(slice_equal(buffer_slice(&text), SLICE_LITERAL("1:a=1;2:b=;3:c=d;1:=;")));
    buffer_deinit(&batch);
    buffer_deinit(&text);
}

static void ignore(void *user, enum kv_batch_op op, struct slice key, struct slice value)
{
    size_t *bytes = user;
    *bytes += (size_t)op + key.length + value.length;
}

static void test_damaged_batches_are_refused_or_walked(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 1);
    uint8_t bytes[40];
    size_t sum = 0, refused = 0;
    for (int i = 0; i < 20000; i++) {
        size_t length = (size_t)prng_below(&prng, sizeof bytes);
        for (size_t j = 0; j < length; j++) bytes[j] = (uint8_t)prng_below(&prng, j % 3 ? 256 : 6);
        enum status status = kv_batch_visit(slice_of(bytes, length), ignore, &sum);
        assert_true(status == STATUS_OK || status == STATUS_MALFORMED);
        refused += status == STATUS_MALFORMED;
    }
    assert_true(refused > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_damaged_batches_are_refused_or_walked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
