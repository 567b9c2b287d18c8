/* test_slice.c: comparison, words and numbers. */
#include "base/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define S(text) SLICE_LITERAL(text)

static int sign(int x)
{
    return (x > 0) - (x < 0);
}

static void compares_as_bytes(void **state)
{
    (void)state;
    assert_int_equal(sign(slice_compare(S("a"), S("b"))), -1);
    assert_int_equal(sign(slice_compare(S("ab"), S("a"))), 1);
    assert_int_equal(sign(slice_compare(S("a"), S("ab"))), -1);
    assert_int_equal(slice_compare(S("ab"), S("ab")), 0);
    assert_int_equal(slice_compare(S(""), (struct slice){0}), 0);
    assert_int_equal(sign(slice_compare(S("\xff"), S("\x7f"))), 1);
    assert_int_equal(sign(slice_compare(S("a\0b"), S("a\0c"))), -1);
    assert_true(slice_equal((struct slice){0}, S("")));
    assert_false(slice_equal(S("a"), S("")));
    assert_true(slice_equal(slice_skip(S("abc"), 1), S("bc")));
    assert_int_equal(slice_skip((struct slice){0}, 0).length, 0);
}

static void knows_words_in_any_case(void **state)
{
    (void)state;
    assert_true(slice_is_word(S("GeT"), "get"));
    assert_true(slice_is_word(S("get"), "GET"));
    assert_false(slice_is_word(S("ge"), "get"));
    assert_false(slice_is_word(S("gett"), "get"));
    assert_false(slice_is_word(S("get\0"), "get"));
    assert_false(slice_is_word(S("@"), "`")); /* 0x40 and 0x60 differ in the case bit but are no letters */
    assert_true(slice_is_word(S(""), ""));
}

static void reads_signed_numbers(void **state)
{
    (void)state;
    const struct {
        struct slice text;
        int64_t value;
    } good[] = {
        {S("0"), 0},
        {S("7"), 7},
        {S("-1"), -1},
        {S("1234567890"), 1234567890},
        {S("9223372036854775807"), INT64_MAX},
        {S("-9223372036854775808"), INT64_MIN},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t value = 42;
        assert_true(slice_to_i64(good[i].text, &value));
        assert_true(value == good[i].value);
    }
    const struct slice bad[] = {
        S(""),
        S("-"),
        S("+1"),
        S("-0"),
        S("00"),
        S("01"),
        S("-01"),
        S(" 1"),
        S("1 "),
        S("1\0"),
        S("1a"),
        S("0x1"),
        S("--1"),
        S("1.0"),
        S("9223372036854775808"),
        S("-9223372036854775809"),
        S("18446744073709551615"),
        S("99999999999999999999"),
        S("123456789012345678901"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t value = 42;
        assert_false(slice_to_i64(bad[i], &value));
        assert_int_equal(value, 42);
    }
}

static void reads_unsigned_numbers(void **state)
{
    (void)state;
    uint64_t value = 42;
    assert_true(slice_to_u64(S("18446744073709551615"), &value));
    assert_true(value == UINT64_MAX);
    assert_true(slice_to_u64(S("0"), &value));
    assert_true(value == 0);
    value = 42;
    assert_false(slice_to_u64(S("18446744073709551616"), &value));
    assert_false(slice_to_u64(S("20000000000000000000"), &value));
    assert_false(slice_to_u64(S("-1"), &value));
    assert_false(slice_to_u64(S(""), &value));
    assert_false(slice_to_u64((struct slice){0}, &value));
    assert_true(value == 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares_as_bytes),
        cmocka_unit_test(knows_words_in_any_case),
        cmocka_unit_test(reads_signed_numbers),
        cmocka_unit_test(reads_unsigned_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
