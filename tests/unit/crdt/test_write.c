/* links: causality wire base */
/* test_write.c: records decode to what was encoded, and every rule of write.h is checked on hostile bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crdt/write_body.h"

struct fixture {
    struct write write;
    struct buffer body, bytes;
};

static void fixture_init(struct fixture *f)
{
    write_init(&f->write);
    buffer_init(&f->body, 64 * 1024);
    buffer_init(&f->bytes, 64 * 1024);
    f->write.kind = WRITE_SET;
    f->write.stamp = 77;
    f->write.dot = (struct dot){5, 3};
    f->write.key = SLICE_LITERAL("users:1");
    vv_raise(&f->write.deps, (struct dot){6, 9});
    dot_set_add(&f->write.observed, (struct dot){5, 2});
    dot_set_add(&f->write.observed, (struct dot){6, 9});
    write_body_set(&f->body, SLICE_LITERAL("value"), 5000, NULL, 0);
}

static void fixture_deinit(struct fixture *f)
{
    write_deinit(&f->write);
    buffer_deinit(&f->body);
    buffer_deinit(&f->bytes);
}

static enum status decode(struct fixture *f, struct write *out)
{
    buffer_clear(&f->bytes);
    f->write.body = buffer_slice(&f->body);
    write_encode(&f->write, &f->bytes);
    return write_decode(buffer_slice(&f->bytes), out);
}

static void assert_decodes(struct fixture *f, enum status want)
{
    struct write decoded;
    write_init(&decoded);
    assert_int_equal(decode(f, &decoded), want);
    write_deinit(&decoded);
}

static void test_a_record_returns_whole(void **state)
{
    (void)state;
    struct fixture f;
    struct write w;
    fixture_init(&f);
    write_init(&w);
    assert_int_equal(decode(&f, &w), STATUS_OK);
    assert_int_equal(w.kind, WRITE_SET);
    assert_int_equal(w.stamp, 77);
    assert_true(dot_equal(w.dot, f.write.dot));
    assert_true(vv_equal(&w.deps, &f.write.deps));
    assert_true(dot_set_equal(&w.observed, &f.write.observed));
    assert_true(slice_equal(w.key, f.write.key));
    struct body_set body = body_read_set(w.body);
    assert_true(slice_equal(body.value, SLICE_LITERAL("value")));
    assert_int_equal(body.expire_at_ms, 5000);
    write_deinit(&w);
    fixture_deinit(&f);
}

static void test_no_prefix_is_a_record(void **state)
{
    (void)state;
    struct fixture f;
    struct write w;
    fixture_init(&f);
    write_init(&w);
    assert_int_equal(decode(&f, &w), STATUS_OK);
    for (size_t length = 0; length < f.bytes.length; length++)
        assert_int_not_equal(write_decode(slice_of(f.bytes.data, length), &w), STATUS_OK);
    buffer_append_byte(&f.bytes, 0);
    assert_int_equal(write_decode(buffer_slice(&f.bytes), &w), STATUS_MALFORMED);
    write_deinit(&w);
    fixture_deinit(&f);
}

static void test_the_future_can_not_be_observed(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    dot_set_add(&f.write.observed, (struct dot){6, 10}); /* W3 */
    assert_decodes(&f, STATUS_MALFORMED);
    assert_true(dot_set_remove(&f.write.observed, (struct dot){6, 10}));
    assert_decodes(&f, STATUS_OK);
    dot_set_add(&f.write.observed, f.write.dot);
    assert_decodes(&f, STATUS_MALFORMED);
    fixture_deinit(&f);
}

static void test_flags_belong_to_kinds(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.write.flags = WRITE_FLAG_OVERWRITE;
    assert_decodes(&f, STATUS_OK);
    f.write.flags = WRITE_FLAG_EXPIRY; /* only deletes are made by the clock */
    assert_decodes(&f, STATUS_MALFORMED);
    f.write.flags = 0x80;
    assert_decodes(&f, STATUS_MALFORMED);
    fixture_deinit(&f);
}

static void test_nobody_issues_dots_of_replica_zero(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    dot_set_clear(&f.write.observed);
    f.write.dot.replica = 0;
    assert_decodes(&f, STATUS_MALFORMED);
    fixture_deinit(&f);
}

static void test_births_are_not_in_the_future(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.write.kind = WRITE_INCREMENT;
    buffer_clear(&f.body);
    write_body_increment(&f.body, 3, 10, 0);
    assert_decodes(&f, STATUS_OK);
    buffer_clear(&f.body);
    write_body_increment(&f.body, 4, 10, 0);
    assert_decodes(&f, STATUS_MALFORMED);
    fixture_deinit(&f);
}

static void test_columns_return_in_order(void **state)
{
    (void)state;
    struct fixture f;
    struct write w;
    fixture_init(&f);
    write_init(&w);
    struct counter_base base = {
        .birth = {6, 4}, .positive = 9, .negative = 1, .in_column = true, .column = SLICE_LITERAL("a")};
    struct column_change changes[] = {
        {.op = COLUMN_SET, .column = SLICE_LITERAL("a"), .value = SLICE_LITERAL("1"), .bases = &base, .bases_count = 1},
        {.op = COLUMN_DELETE, .column = SLICE_LITERAL("b")},
        {.op = COLUMN_INCREMENT, .column = SLICE_LITERAL(""), .birth = 3, .positive = 7},
    };
    f.write.kind = WRITE_COLUMNS;
    buffer_clear(&f.body);
    write_body_columns(&f.body, changes, 3);
    assert_int_equal(decode(&f, &w), STATUS_OK);
    struct body_list list = body_read_columns(w.body);
    struct body_column c;
    struct counter_base got;
    assert_true(body_next_column(&list, &c));
    assert_true(slice_equal(c.value, SLICE_LITERAL("1")));
    assert_true(body_next_base(&c.bases, &got));
    assert_int_equal(got.positive, 9);
    assert_true(slice_equal(got.column, SLICE_LITERAL("a")));
    assert_false(body_next_base(&c.bases, &got));
    assert_true(body_next_column(&list, &c));
    assert_int_equal(c.op, COLUMN_DELETE);
    assert_true(body_next_column(&list, &c));
    assert_int_equal(c.increment.positive, 7);
    assert_int_equal(c.column.length, 0);
    assert_false(body_next_column(&list, &c));
    write_deinit(&w);
    fixture_deinit(&f);
}

static void test_lists_are_not_empty(void **state)
{
    (void)state;
    static const enum write_kind kinds[] = {WRITE_COLUMNS, WRITE_MEMBERS_ADD, WRITE_MEMBERS_REMOVE};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct fixture f;
        fixture_init(&f);
        f.write.kind = kinds[i];
        buffer_clear(&f.body);
        write_body_members(&f.body, NULL, 0);
        assert_decodes(&f, STATUS_MALFORMED);
        fixture_deinit(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_record_returns_whole),
        cmocka_unit_test(test_no_prefix_is_a_record),
        cmocka_unit_test(test_the_future_can_not_be_observed),
        cmocka_unit_test(test_flags_belong_to_kinds),
        cmocka_unit_test(test_nobody_issues_dots_of_replica_zero),
        cmocka_unit_test(test_births_are_not_in_the_future),
        cmocka_unit_test(test_columns_return_in_order),
        cmocka_unit_test(test_lists_are_not_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
