/* test_resp_write.c: the bytes of every reply, under both versions. */
#include "wire/resp.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct buffer b;

static void expect(const char *text)
{
    if (!slice_equal(buffer_slice(&b), slice_of_string(text))) {
        fail_msg("'%.*s' instead of '%s'", (int)b.length, (const char *)b.data, text);
    }
    buffer_clear(&b);
}

static void values_of_both_versions(void **state)
{
    (void)state;
    resp_write_simple(&b, "OK");
    expect("+OK\r\n");
    resp_write_error(&b, "ERR no");
    expect("-ERR no\r\n");
    resp_write_error_format(&b, "ERR unknown command '%s'", "a\r\nb");
    expect("-ERR unknown command 'a  b'\r\n");
    resp_write_integer(&b, -9223372036854775807 - 1);
    expect(":-9223372036854775808\r\n");
    resp_write_bulk(&b, SLICE_LITERAL("hello"));
    expect("$5\r\nhello\r\n");
    resp_write_bulk(&b, (struct slice){0});
    expect("$0\r\n\r\n");
    resp_write_array(&b, 0);
    expect("*0\r\n");
    resp_write_array(&b, 1048576);
    expect("*1048576\r\n");
}

static void values_that_differ(void **state)
{
    (void)state;
    for (int version = 2; version <= 3; version++) {
        bool three = version == 3;
        resp_write_null(&b, version);
        expect(three ? "_\r\n" : "$-1\r\n");
        resp_write_null_array(&b, version);
        expect(three ? "_\r\n" : "*-1\r\n");
        resp_write_map(&b, version, 3);
        expect(three ? "%3\r\n" : "*6\r\n");
        resp_write_set(&b, version, 3);
        expect(three ? "~3\r\n" : "*3\r\n");
        resp_write_push(&b, version, 3);
        expect(three ? ">3\r\n" : "*3\r\n");
        resp_write_boolean(&b, version, true);
        expect(three ? "#t\r\n" : ":1\r\n");
        resp_write_boolean(&b, version, false);
        expect(three ? "#f\r\n" : ":0\r\n");
        resp_write_double(&b, version, 0.1);
        expect(three ? ",0.10000000000000001\r\n" : "$19\r\n0.10000000000000001\r\n");
        resp_write_double(&b, version, 3);
        expect(three ? ",3\r\n" : "$1\r\n3\r\n");
        resp_write_double(&b, version, -INFINITY);
        expect(three ? ",-inf\r\n" : "$4\r\n-inf\r\n");
        resp_write_double(&b, version, -(double)NAN);
        expect(three ? ",nan\r\n" : "$3\r\nnan\r\n");
    }
}

static void long_errors_stay_one_line(void **state)
{
    (void)state;
    char text[5000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    resp_write_error_format(&b, "ERR %s", text);
    assert_in_range(b.length, 500, 1100);
    assert_memory_equal(b.data + b.length - 2, "\r\n", 2);
    buffer_clear(&b);
}

static void a_value_is_written_whole_or_not_at_all(void **state)
{
    (void)state;
    for (size_t room = 0; room < 11; room++) {
        struct buffer small;
        buffer_init(&small, room);
        resp_write_bulk(&small, SLICE_LITERAL("hello"));
        assert_true(small.overflowed);
        assert_int_equal(small.length, 0);
        buffer_clear(&small);
        resp_write_error(&small, "ERR 34567");
        assert_int_equal(small.length, 0);
        buffer_deinit(&small);
    }
}

static int set_up(void **state)
{
    (void)state;
    buffer_init(&b, 1 << 16);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buffer_deinit(&b);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_both_versions),
        cmocka_unit_test(values_that_differ),
        cmocka_unit_test(long_errors_stay_one_line),
        cmocka_unit_test(a_value_is_written_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
