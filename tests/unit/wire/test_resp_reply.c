/* test_resp_reply.c: replies of both versions, cut anywhere, nested, damaged, and boasting. */
#include "base/memory.h"
#include "wire/resp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct arena arena;

static enum status read_text(const char *text, struct resp_value *out)
{
    size_t used;
    return resp_read(slice_of_string(text), &arena, out, &used);
}

static void scalars(void **state)
{
    (void)state;
    static const struct {
        const char *reply;
        enum resp_type type;
        const char *text;
        int64_t integer;
    } cases[] = {
        {"+OK\r\n", RESP_SIMPLE, "OK", 0},
        {"+\r\n", RESP_SIMPLE, "", 0},
        {"-ERR no\r\n", RESP_ERROR, "ERR no", 0},
        {"!6\r\nERR\r\nx\r\n", RESP_ERROR, "ERR\r\nx", 0},
        {":-42\r\n", RESP_INTEGER, "", -42},
        {":9223372036854775807\r\n", RESP_INTEGER, "", INT64_MAX},
        {"$5\r\nhello\r\n", RESP_BULK, "hello", 0},
        {"$0\r\n\r\n", RESP_BULK, "", 0},
        {"$-1\r\n", RESP_NULL, "", 0},
        {"*-1\r\n", RESP_NULL, "", 0},
        {"_\r\n", RESP_NULL, "", 0},
        {"#t\r\n", RESP_BOOLEAN, "", 1},
        {"#f\r\n", RESP_BOOLEAN, "", 0},
        {",3.25e-1\r\n", RESP_DOUBLE, "3.25e-1", 0},
        {",-inf\r\n", RESP_DOUBLE, "-inf", 0},
        {",nan\r\n", RESP_DOUBLE, "nan", 0},
        {"(-123456789012345678901\r\n", RESP_BIG_NUMBER, "-123456789012345678901", 0},
        {"=7\r\ntxt:abc\r\n", RESP_VERBATIM, "abc", 0},
        {"|1\r\n+ttl\r\n:3\r\n|0\r\n$1\r\nx\r\n", RESP_BULK, "x", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct slice input = slice_of_string(cases[i].reply);
        struct resp_value v;
        size_t used;
        for (size_t cut = 0; cut < input.length; cut++) {
            assert_int_equal(resp_read(slice_of(input.data, cut), &arena, &v, &used), STATUS_MORE);
        }
        assert_int_equal(resp_read(input, &arena, &v, &used), STATUS_OK);
        assert_int_equal(used, input.length);
        assert_int_equal(v.type, cases[i].type);
        assert_true(slice_equal(v.text, slice_of_string(cases[i].text)));
        assert_true(v.integer == cases[i].integer);
    }
}

static void aggregates(void **state)
{
    (void)state;
    struct slice input =
        SLICE_LITERAL("*4\r\n%2\r\n+a\r\n:1\r\n+b\r\n*0\r\n~1\r\n#t\r\n>1\r\n$1\r\nx\r\n*1\r\n_\r\n+next\r\n");
    size_t whole = input.length - 7, used;
    struct resp_value v;
    for (size_t cut = 0; cut < whole; cut++) {
        assert_int_equal(resp_read(slice_of(input.data, cut), &arena, &v, &used), STATUS_MORE);
    }
    assert_int_equal(resp_read(input, &arena, &v, &used), STATUS_OK);
    assert_int_equal(used, whole);
    assert_int_equal(v.type, RESP_ARRAY);
    assert_int_equal(v.count, 4);
    const struct resp_value *map = &v.items[0];
    assert_int_equal(map->type, RESP_MAP);
    assert_int_equal(map->count, 2);
    assert_true(slice_equal(map->items[2].text, SLICE_LITERAL("b")));
    assert_int_equal(map->items[3].type, RESP_ARRAY);
    assert_int_equal(map->items[3].count, 0);
    assert_int_equal(v.items[1].type, RESP_SET);
    assert_int_equal(v.items[2].type, RESP_PUSH);
    assert_int_equal(v.items[3].items[0].type, RESP_NULL);
}

static void wrong_replies(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "x\r\n",   ":1a\r\n",  ":\r\n",   "+a\rb",       "$abc\r\n",      "$-2\r\n",        "$3\r\nabcxx",
        "*-2\r\n", "%-1\r\n",  "~-1\r\n", "#x\r\n",      "#\r\n",         "_x\r\n",         ",\r\n",
        ",1x\r\n", "(12x\r\n", "(\r\n",   "(-\r\n",      "=3\r\nabc\r\n", "=4\r\nabcd\r\n", "$?\r\n",
        "*?\r\n",  "=-1\r\n",  "!-1\r\n", "*1\r\nx\r\n", "\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct resp_value v;
        if (read_text(texts[i], &v) != STATUS_MALFORMED) fail_msg("'%s' was not refused", texts[i]);
    }
}

static void limits_hold(void **state)
{
    (void)state;
    struct resp_value v;
    assert_int_equal(read_text("$33554433\r\n", &v), STATUS_LIMIT);
    assert_int_equal(read_text("*16777217\r\n", &v), STATUS_LIMIT);
    struct buffer b;
    buffer_init(&b, 1 << 20);
    for (int i = 0; i < RESP_DEPTH_MAX; i++) resp_write_array(&b, 1);
    struct slice deep = buffer_slice(&b);
    size_t used;
    assert_int_equal(resp_read(deep, &arena, &v, &used), STATUS_MORE);
    resp_write_integer(&b, 1);
    assert_int_equal(resp_read(buffer_slice(&b), &arena, &v, &used), STATUS_OK);
    buffer_consume(&b, b.length);
    for (int i = 0; i <= RESP_DEPTH_MAX; i++) resp_write_array(&b, 1);
    resp_write_integer(&b, 1);
    assert_int_equal(resp_read(buffer_slice(&b), &arena, &v, &used), STATUS_LIMIT);
    buffer_clear(&b);
    buffer_append_byte(&b, '+');
    while (b.length < RESP_INLINE_BYTES_MAX + 10) buffer_append_byte(&b, 'x');
    assert_int_equal(resp_read(buffer_slice(&b), &arena, &v, &used), STATUS_LIMIT);
    buffer_deinit(&b);
}

/* Each level promises as many items as could be there at all; together they must not claim the same bytes twice. */
static void promises_take_no_memory(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    struct buffer b;
    buffer_init(&b, 2 * BYTES);
    for (int i = 0; i < RESP_DEPTH_MAX; i++) resp_write_array(&b, BYTES / 4);
    while (b.length < BYTES) buffer_append(&b, "_\r\n", 3);
    struct arena fresh;
    arena_init(&fresh);
    struct resp_value v;
    size_t used;
    assert_int_equal(resp_read(buffer_slice(&b), &fresh, &v, &used), STATUS_MORE);
    assert_true(fresh.held_bytes <= BYTES / 3 * sizeof(struct resp_value) + 4096);
    assert_int_equal(fresh.current->used, 0);
    arena_deinit(&fresh);
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
        cmocka_unit_test(scalars),
        cmocka_unit_test(aggregates),
        cmocka_unit_test(wrong_replies),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(promises_take_no_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
