/* test_resp_request.c: requests in whole and in portions, lines with quotes, and Redis' own words for what is wrong. */
#include "base/memory.h"
#include "base/prng.h"
#include "wire/resp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

struct verdict {
    enum status status;
    struct resp_request request;
    size_t used;
    const char *reason;
};

static struct arena arena;

static struct verdict read_with(struct slice input, struct resp_progress *progress)
{
    struct verdict v = {.used = 4711};
    v.status = resp_read_request(input, &arena, progress, &v.request, &v.used, &v.reason);
    return v;
}

static struct verdict read_whole(struct slice input)
{
    struct resp_progress progress = {0};
    return read_with(input, &progress);
}

/* Give one byte more at each call, each time in a fresh place of exact size. */
static struct verdict read_bytewise(struct slice input)
{
    struct resp_progress progress = {0};
    struct verdict v = {.status = STATUS_MORE};
    for (size_t length = 0; length <= input.length && v.status == STATUS_MORE; length++) {
        uint8_t *copy = arena_alloc(&arena, length);
        if (length) memcpy(copy, input.data, length);
        v = read_with(slice_of(copy, length), &progress);
    }
    return v;
}

static void check_words(struct verdict v, const struct slice *words, size_t count, size_t used)
{
    assert_int_equal(v.status, STATUS_OK);
    assert_int_equal(v.used, used);
    assert_int_equal(v.request.args_count, count);
    for (size_t i = 0; i < count; i++) {
        if (slice_equal(v.request.args[i], words[i])) continue;
        fail_msg("word %zu is '%.*s'", i, (int)v.request.args[i].length, (const char *)v.request.args[i].data);
    }
}

static void arrays_of_words(void **state)
{
    (void)state;
    const struct slice input = SLICE_LITERAL("*3\r\n$3\r\nSET\r\n$0\r\n\r\n$11\r\nbin\r\n\0$1\r\nx\r\n*1\r\n");
    const struct slice words[] = {SLICE_LITERAL("SET"), SLICE_LITERAL(""), SLICE_LITERAL("bin\r\n\0$1\r\nx")};
    size_t used = input.length - 4;
    check_words(read_whole(input), words, 3, used);
    check_words(read_bytewise(input), words, 3, used);
    /* Every split into two portions. */
    for (size_t cut = 0; cut < used; cut++) {
        struct resp_progress progress = {0};
        struct verdict v = read_with(slice_of(input.data, cut), &progress);
        assert_int_equal(v.status, STATUS_MORE);
        assert_true(progress.bytes_needed <= used);
        check_words(read_with(input, &progress), words, 3, used);
        assert_int_equal(progress.bytes_needed + progress.offset + progress.words_left, 0);
    }
}

static void requests_that_are_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"*0\r\n", "*-1\r\n", "*-10\r\n", "\r\n",
                                        "\n",     "   \r\n", "\t\v\f\n", "*-1000000000000\r\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct slice input = slice_of_string(texts[i]);
        check_words(read_whole(input), NULL, 0, input.length);
        check_words(read_bytewise(input), NULL, 0, input.length);
    }
}

static void lines_of_words(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *words[4];
    } cases[] = {
        {"PING\r\n", {"PING"}},
        {"PING\n", {"PING"}},
        {"  SET   key \t value  \r\n", {"SET", "key", "value"}},
        {"set \"a b\" 'c d'\n", {"set", "a b", "c d"}},
        {"\"\\x41\\x7a\\n\\r\\t\\b\\a\\\\\\\"\\q\"\n", {"Az\n\r\t\b\a\\\"q"}},
        {"\"\\xzz\\x4\"\n", {"xzzx4"}},
        {"'it\\'s \\n'\n", {"it's \\n"}},
        {"foo\"bar baz\" x\n", {"foobar baz", "x"}},
        {"\"\" ''\n", {"", ""}},
        {"$1 *1\n", {"$1", "*1"}},
        {"a\vb\n", {"a\vb"}},
        {"GET key\r\r\n", {"GET", "key"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct slice words[4];
        size_t count = 0;
        for (; count < 4 && cases[i].words[count]; count++) words[count] = slice_of_string(cases[i].words[count]);
        struct slice input = slice_of_string(cases[i].line);
        check_words(read_whole(input), words, count, input.length);
        check_words(read_bytewise(input), words, count, input.length);
    }
    const struct slice ping[] = {SLICE_LITERAL("PING")};
    check_words(read_whole(SLICE_LITERAL("PING\0rest\r\n")), ping, 1, 11);
}

static void wrong_requests_in_the_words_of_redis(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum status status;
        const char *reason;
    } cases[] = {
        {"*3000000000\r\n", STATUS_LIMIT, "Protocol error: invalid multibulk length"},
        {"*1048577\r\n", STATUS_LIMIT, "Protocol error: invalid multibulk length"},
        {"*99999999999999999999\r\n", STATUS_MALFORMED, "Protocol error: invalid multibulk length"},
        {"*abc\r\n", STATUS_MALFORMED, "Protocol error: invalid multibulk length"},
        {"*\r\n", STATUS_MALFORMED, "Protocol error: invalid multibulk length"},
        {"*01\r\n", STATUS_MALFORMED, "Protocol error: invalid multibulk length"},
        {"*1 \r\n", STATUS_MALFORMED, "Protocol error: invalid multibulk length"},
        {"*1\rx", STATUS_MALFORMED, "Protocol error: invalid multibulk length"},
        {"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", STATUS_MALFORMED, "Protocol error: expected '$', got 'f'"},
        {"*1\r\nfoo\r\n", STATUS_MALFORMED, "Protocol error: expected '$', got 'f'"},
        {"*1\r\nx", STATUS_MALFORMED, "Protocol error: expected '$', got 'x'"},
        {"*1048576\r\nx", STATUS_MALFORMED, "Protocol error: expected '$', got 'x'"},
        {"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$-10\r\n", STATUS_MALFORMED, "Protocol error: invalid bulk length"},
        {"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$2000000000\r\n", STATUS_LIMIT, "Protocol error: invalid bulk length"},
        {"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$blabla\r\n", STATUS_MALFORMED, "Protocol error: invalid bulk length"},
        {"*1\r\n$33554433\r\n", STATUS_LIMIT, "Protocol error: invalid bulk length"},
        {"*1\r\n$-1\r\n", STATUS_MALFORMED, "Protocol error: invalid bulk length"},
        {"*1\r\n$04\r\nPING\r\n", STATUS_MALFORMED, "Protocol error: invalid bulk length"},
        {"*1\r\n$4\r\nPINGxx", STATUS_MALFORMED, "Protocol error: expected CRLF after bulk"},
        {"*1\r\n$4\r\nPING\rx", STATUS_MALFORMED, "Protocol error: expected CRLF after bulk"},
        {"set \"\"\"test-key\"\"\" test-value\r\n", STATUS_MALFORMED, "Protocol error: unbalanced quotes in request"},
        {"set \"open\r\n", STATUS_MALFORMED, "Protocol error: unbalanced quotes in request"},
        {"set 'open\r\n", STATUS_MALFORMED, "Protocol error: unbalanced quotes in request"},
        {"set 'a'b\r\n", STATUS_MALFORMED, "Protocol error: unbalanced quotes in request"},
        {"set \"a\\\r\n", STATUS_MALFORMED, "Protocol error: unbalanced quotes in request"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct slice input = slice_of_string(cases[i].text);
        struct verdict whole = read_whole(input), bytewise = read_bytewise(input);
        assert_int_equal(whole.status, cases[i].status);
        assert_string_equal(whole.reason, cases[i].reason);
        assert_int_equal(whole.used, 4711);
        assert_int_equal(bytewise.status, cases[i].status);
        assert_string_equal(bytewise.reason, cases[i].reason);
    }
}

/* `head` and then `count` times 'A': what a client that has lost its place might send. */
static void check_endless(const char *head, const char *reason)
{
    enum { COUNT = RESP_INLINE_BYTES_MAX + 64 };
    struct buffer b;
    buffer_init(&b, 2 * COUNT);
    buffer_append_slice(&b, slice_of_string(head));
    struct resp_progress progress = {0};
    for (int i = 0; i < COUNT; i++) {
        struct verdict v = read_with(buffer_slice(&b), &progress);
        if (v.status == STATUS_MORE) {
            buffer_append_byte(&b, 'A');
            continue;
        }
        assert_int_equal(v.status, STATUS_LIMIT);
        assert_string_equal(v.reason, reason);
        struct verdict whole = read_whole(buffer_slice(&b));
        assert_int_equal(whole.status, STATUS_LIMIT);
        assert_string_equal(whole.reason, reason);
        buffer_deinit(&b);
        return;
    }
    fail_msg("no end of '%s'", head);
}

static void lines_without_end(void **state)
{
    (void)state;
    check_endless("A", "Protocol error: too big inline request");
    check_endless("*", "Protocol error: too big mbulk count string");
    check_endless("*1\r\n$", "Protocol error: too big bulk count string");
}

static void largest_line(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 2 * RESP_INLINE_BYTES_MAX);
    while (b.length < RESP_INLINE_BYTES_MAX) buffer_append_byte(&b, b.length % 2 ? ' ' : 'a');
    buffer_append_byte(&b, '\n');
    struct verdict v = read_whole(buffer_slice(&b));
    assert_int_equal(v.status, STATUS_OK);
    assert_int_equal(v.request.args_count, RESP_INLINE_BYTES_MAX / 2);
    b.data[RESP_INLINE_BYTES_MAX] = 'a';
    buffer_append_byte(&b, '\n');
    assert_int_equal(read_whole(buffer_slice(&b)).status, STATUS_LIMIT);
    buffer_deinit(&b);
}

static void promises_take_no_memory(void **state)
{
    (void)state;
    struct arena fresh;
    arena_init(&fresh);
    struct resp_progress progress = {0};
    struct resp_request request;
    size_t used;
    const char *reason;
    assert_int_equal(
        resp_read_request(SLICE_LITERAL("*1048576\r\n$3\r\nSET\r\n"), &fresh, &progress, &request, &used, &reason),
        STATUS_MORE);
    assert_int_equal(fresh.held_bytes, 0);
    assert_int_equal(progress.words_left, 1048575);
    arena_deinit(&fresh);
}

static void too_much_in_one_request(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, RESP_REQUEST_BYTES_MAX);
    buffer_append_format(&b, "*3\r\n");
    for (int i = 0; i < 2; i++) {
        buffer_append_format(&b, "$%d\r\n", RESP_BULK_BYTES_MAX - 1000);
        uint8_t *word = buffer_reserve(&b, RESP_BULK_BYTES_MAX - 1000);
        memset(word, 'x', RESP_BULK_BYTES_MAX - 1000);
        buffer_commit(&b, RESP_BULK_BYTES_MAX - 1000);
        buffer_append_format(&b, "\r\n");
    }
    buffer_append_format(&b, "$3000\r\n");
    struct verdict v = read_whole(buffer_slice(&b));
    assert_int_equal(v.status, STATUS_LIMIT);
    assert_string_equal(v.reason, "Protocol error: too big request");
    buffer_deinit(&b);
}

/* The largest count of words, 4 KiB at a time: linear, or this test does not end. */
static void many_words_in_small_portions(void **state)
{
    (void)state;
    enum { PORTION = 4096 };
    struct buffer b;
    buffer_init(&b, RESP_REQUEST_BYTES_MAX);
    buffer_append_format(&b, "*%d\r\n", RESP_ARGS_MAX);
    for (int i = 0; i < RESP_ARGS_MAX; i++) resp_write_bulk(&b, SLICE_LITERAL("some word of a list"));
    struct resp_progress progress = {0};
    struct verdict v = {.status = STATUS_MORE};
    for (size_t seen = PORTION; v.status == STATUS_MORE; seen += PORTION) {
        v = read_with(slice_of(b.data, seen < b.length ? seen : b.length), &progress);
    }
    assert_int_equal(v.status, STATUS_OK);
    assert_int_equal(v.request.args_count, RESP_ARGS_MAX);
    assert_int_equal(v.used, b.length);
    assert_true(slice_equal(v.request.args[RESP_ARGS_MAX - 1], SLICE_LITERAL("some word of a list")));
    buffer_deinit(&b);
    arena_reset(&arena);
}

static void random_words_in_random_portions(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 4);
    struct buffer b;
    buffer_init(&b, 1 << 20);
    uint8_t noise[70000];
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (uint8_t)prng_u64(&p);
    for (int round = 0; round < 300; round++) {
        struct slice words[8];
        size_t count = prng_range(&p, 1, 8);
        buffer_clear(&b);
        resp_write_array(&b, count);
        for (size_t i = 0; i < count; i++) {
            words[i] = slice_of(noise, prng_below(&p, prng_chance(&p, 1, 10) ? sizeof noise : 30));
            resp_write_bulk(&b, words[i]);
        }
        struct resp_progress progress = {0};
        struct verdict v = {.status = STATUS_MORE};
        for (size_t seen = 0; v.status == STATUS_MORE;) {
            seen += prng_range(&p, 1, prng_chance(&p, 1, 2) ? 3 : 20000);
            v = read_with(slice_of(b.data, seen < b.length ? seen : b.length), &progress);
        }
        check_words(v, words, count, b.length);
        arena_reset(&arena);
    }
    buffer_deinit(&b);
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_of_words),
        cmocka_unit_test(requests_that_are_nothing),
        cmocka_unit_test(lines_of_words),
        cmocka_unit_test(wrong_requests_in_the_words_of_redis),
        cmocka_unit_test(lines_without_end),
        cmocka_unit_test(largest_line),
        cmocka_unit_test(promises_take_no_memory),
        cmocka_unit_test(too_much_in_one_request),
        cmocka_unit_test(many_words_in_small_portions),
        cmocka_unit_test(random_words_in_random_portions),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
