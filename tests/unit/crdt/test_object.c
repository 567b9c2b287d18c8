/* links: causality wire base */
/* test_object.c: the rules of the design as small stories of two regions, read through the public interface. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "world.h"

enum { US, EU, REGIONS };

static struct world *new_world(enum conflict_policy policy)
{
    struct world *world = memory_alloc(sizeof *world);
    world_init(world, 1, policy);
    while (world->replicas_count > REGIONS) {
        struct world_replica *r = &world->replicas[--world->replicas_count];
        object_free(r->object);
        vv_deinit(&r->clock);
    }
    for (int i = 0; i < REGIONS; i++) world->replicas[i].skew = 0;
    return world;
}

static void end(struct world *world)
{
    world_deinit(world);
    memory_free(world);
}

static void exchange(struct world *world)
{
    for (int i = 0; i < REGIONS; i++) {
        while (world_deliver(world, &world->replicas[i])) {}
    }
    assert_true(object_equal(world->replicas[US].object, world->replicas[EU].object));
}

static struct object *at(struct world *world, int region)
{
    return world->replicas[region].object;
}

/* ---- writes; `world->time` moves, so that a later line has the greater stamp ---- */

static struct twin_write *begin(struct world *world, int region, enum write_kind kind)
{
    world->time += 10;
    return world_begin(world, &world->replicas[region], kind);
}

static void commit(struct world *world, int region, struct twin_write *t)
{
    world_commit(world, &world->replicas[region], t);
}

static void set(struct world *world, int region, const char *value, uint64_t expire_at_ms)
{
    struct twin_write *t = begin(world, region, WRITE_SET);
    struct counter_base *bases;
    uint32_t count = object_all_counter_bases(at(world, region), &world->arena, &bases);
    object_observe_all(at(world, region), &t->write.observed);
    write_body_set(&t->body, slice_of_string(value), expire_at_ms, bases, count);
    commit(world, region, t);
}

static void increment(struct world *world, int region, int64_t delta)
{
    struct twin_write *t = begin(world, region, WRITE_INCREMENT);
    uint64_t birth, positive, negative;
    assert_int_equal(object_increment_prepare(at(world, region), NULL, t->write.dot.replica, t->write.dot.counter,
                                              delta, &birth, &positive, &negative),
                     STATUS_OK);
    write_body_increment(&t->body, birth, positive, negative);
    commit(world, region, t);
}

static void set_column(struct world *world, int region, const char *column, const char *value)
{
    struct twin_write *t = begin(world, region, WRITE_COLUMNS);
    struct column_change change = {
        .op = COLUMN_SET, .column = slice_of_string(column), .value = slice_of_string(value)};
    object_observe_column(at(world, region), 0, change.column, &t->write.observed);
    write_body_columns(&t->body, &change, 1);
    commit(world, region, t);
}

static void add_member(struct world *world, int region, const char *member)
{
    struct twin_write *t = begin(world, region, WRITE_MEMBERS_ADD);
    struct slice name = slice_of_string(member);
    object_observe_member(at(world, region), 0, name, &t->write.observed);
    write_body_members(&t->body, &name, 1);
    commit(world, region, t);
}

static void delete_key(struct world *world, int region, enum delete_policy policy, uint8_t flags)
{
    struct twin_write *t = begin(world, region, WRITE_DELETE);
    struct counter_base *bases;
    uint32_t count = object_all_counter_bases(at(world, region), &world->arena, &bases);
    object_observe_all(at(world, region), &t->write.observed);
    t->write.flags = flags;
    write_body_delete(&t->body, policy, bases, count);
    commit(world, region, t);
}

static void expire(struct world *world, int region, uint64_t at_ms)
{
    struct twin_write *t = begin(world, region, WRITE_EXPIRE);
    object_observe_expiry(at(world, region), &t->write.observed);
    write_body_expire(&t->body, at_ms);
    commit(world, region, t);
}

/* ---- claims ---- */

static void assert_string(struct world *world, const char *want)
{
    for (int region = 0; region < REGIONS; region++) {
        char scratch[32];
        struct slice got;
        assert_int_equal(object_read_string(at(world, region), 0, scratch, &got), READ_OK);
        assert_true(slice_equal(got, slice_of_string(want)));
    }
}

static void assert_column(struct world *world, const char *column, const char *want)
{
    for (int region = 0; region < REGIONS; region++) {
        char scratch[32];
        struct slice got;
        enum read_outcome outcome = object_read_column(at(world, region), 0, slice_of_string(column), scratch, &got);
        assert_int_equal(outcome, want ? READ_OK : READ_ABSENT);
        if (want) assert_true(slice_equal(got, slice_of_string(want)));
    }
}

static void assert_absent(struct world *world, uint64_t now_ms)
{
    for (int region = 0; region < REGIONS; region++)
        assert_int_equal(object_type(at(world, region), now_ms), OBJECT_NONE);
}

static uint32_t ledger_count_of(struct world *world)
{
    assert_int_equal(world->replicas[US].ledger.count, world->replicas[EU].ledger.count);
    return world->replicas[US].ledger.count;
}

static uint32_t siblings_of(struct world *world, int region, struct object_sibling **out, struct dot_set *dots)
{
    dot_set_clear(dots);
    return object_siblings(at(world, region), 0, &world->arena, out, dots);
}

/* ---- last writer wins ---- */

static void test_lww_keeps_the_loser_in_the_ledger(void **state)
{
    (void)state;
    struct world *world = new_world(CONFLICT_LWW);
    set_column(world, EU, "name", "Alice");
    set_column(world, US, "name", "Bob");
    exchange(world);
    assert_column(world, "name", "Bob");
    assert_int_equal(ledger_count_of(world), 1);
    set_column(world, EU, "name", "Carol"); /* observed Bob only: Alice's entry stays */
    exchange(world);
    assert_column(world, "name", "Carol");
    assert_int_equal(ledger_count_of(world), 1);
    end(world);
}

static void test_columns_do_not_conflict(void **state)
{
    (void)state;
    struct world *world = new_world(CONFLICT_LWW);
    set_column(world, EU, "name", "Alice");
    set_column(world, US, "mail", "a@b.c");
    exchange(world);
    assert_column(world, "name", "Alice");
    assert_column(world, "mail", "a@b.c");
    assert_int_equal(ledger_count_of(world), 0);
    end(world);
}

/* ---- S11: whole rows ---- */

static struct world *row_deleted_in_us_and_updated_in_eu(enum conflict_policy table, enum delete_policy policy,
                                                         bool update_is_later)
{
    struct world *world = new_world(table);
    set_column(world, US, "name", "Alice");
    set_column(world, US, "mail", "a@b.c");
    exchange(world);
    if (!update_is_later) set_column(world, EU, "name", "Bob");
    delete_key(world, US, policy, 0);
    if (update_is_later) set_column(world, EU, "name", "Bob");
    exchange(world);
    return world;
}

static void test_later_update_brings_the_whole_row_back(void **state)
{
    (void)state;
    struct world *world = row_deleted_in_us_and_updated_in_eu(CONFLICT_LWW, DELETE_BY_STAMP, true);
    assert_column(world, "name", "Bob");
    assert_column(world, "mail", "a@b.c");
    assert_int_equal(ledger_count_of(world), 1); /* the delete */
    end(world);
}

static void test_earlier_update_is_lost_to_a_later_delete(void **state)
{
    (void)state;
    struct world *world = row_deleted_in_us_and_updated_in_eu(CONFLICT_LWW, DELETE_BY_STAMP, false);
    assert_absent(world, 0);
    assert_int_equal(ledger_count_of(world), 1); /* Bob */
    end(world);
}

static void test_update_wins_whatever_the_stamps(void **state)
{
    (void)state;
    struct world *world = row_deleted_in_us_and_updated_in_eu(CONFLICT_UPDATE_WINS, DELETE_LOSES, false);
    assert_column(world, "name", "Bob");
    assert_column(world, "mail", "a@b.c");
    end(world);
}

static void test_delete_wins_whatever_the_stamps(void **state)
{
    (void)state;
    struct world *world = row_deleted_in_us_and_updated_in_eu(CONFLICT_DELETE_WINS, DELETE_WINS, true);
    assert_absent(world, 0);
    assert_int_equal(ledger_count_of(world), 1);
    set_column(world, EU, "name", "Carol"); /* a new row */
    exchange(world);
    assert_column(world, "name", "Carol");
    assert_column(world, "mail", NULL);
    end(world);
}

static void test_contested_delete_is_a_sibling(void **state)
{
    (void)state;
    struct world *world = row_deleted_in_us_and_updated_in_eu(CONFLICT_SIBLINGS, DELETE_CONTESTED, true);
    struct object_sibling *list;
    struct dot_set dots;
    dot_set_init(&dots);
    assert_true(object_in_conflict(at(world, US), 0));
    assert_int_equal(siblings_of(world, US, &list, &dots), 2);
    assert_int_equal(list[0].type, OBJECT_ROW);
    assert_int_equal(list[0].fields_count, 4);
    assert_int_equal(list[1].type, OBJECT_NONE);

    struct twin_write *t = begin(world, US, WRITE_DELETE); /* RESOLVE to the delete */
    dot_set_union(&t->write.observed, &dots);
    write_body_delete(&t->body, DELETE_CONTESTED, NULL, 0);
    commit(world, US, t);
    exchange(world);
    assert_absent(world, 0);
    assert_false(object_in_conflict(at(world, EU), 0));
    dot_set_deinit(&dots);
    end(world);
}

/* ---- siblings ---- */

static void test_siblings_are_resolved_once(void **state)
{
    (void)state;
    struct world *world = new_world(CONFLICT_SIBLINGS);
    struct object_sibling *list;
    struct dot_set dots;
    dot_set_init(&dots);
    set(world, EU, "Alice", 0);
    set(world, US, "Bob", 0);
    exchange(world);
    char scratch[32];
    struct slice got;
    assert_int_equal(object_read_string(at(world, EU), 0, scratch, &got), READ_CONFLICT);
    assert_int_equal(siblings_of(world, EU, &list, &dots), 2);
    assert_true(slice_equal(list[0].value, SLICE_LITERAL("Bob"))); /* the greater stamp first */
    assert_true(slice_equal(list[1].value, SLICE_LITERAL("Alice")));
    assert_int_equal(dots.count, 2);
    struct twin_write *t = begin(world, EU, WRITE_SET);
    dot_set_union(&t->write.observed, &dots);
    write_body_set(&t->body, SLICE_LITERAL("both"), 0, NULL, 0);
    commit(world, EU, t);
    exchange(world);
    assert_string(world, "both");
    assert_int_equal(ledger_count_of(world), 0);
    dot_set_deinit(&dots);
    end(world);
}

static void test_row_siblings_repeat_the_other_columns(void **state)
{
    (void)state;
    struct world *world = new_world(CONFLICT_SIBLINGS);
    struct object_sibling *list;
    struct dot_set dots;
    dot_set_init(&dots);
    set_column(world, US, "mail", "a@b.c");
    exchange(world);
    set_column(world, EU, "name", "Alice");
    set_column(world, US, "name", "Bob");
    exchange(world);
    assert_int_equal(siblings_of(world, US, &list, &dots), 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(list[i].fields_count, 4);
        assert_true(slice_equal(list[i].fields[0], SLICE_LITERAL("mail")));
        assert_true(slice_equal(list[i].fields[1], SLICE_LITERAL("a@b.c")));
        assert_true(slice_equal(list[i].fields[3], i == 0 ? SLICE_LITERAL("Bob") : SLICE_LITERAL("Alice")));
    }
    assert_column(world, "mail", "a@b.c"); /* this column can be read */
    dot_set_deinit(&dots);
    end(world);
}

static void test_types_written_concurrently_are_siblings(void **state)
{
    (void)state;
    struct world *world = new_world(CONFLICT_LWW);
    struct object_sibling *list;
    struct dot_set dots;
    dot_set_init(&dots);
    set(world, EU, "text", 0);
    add_member(world, US, "x");
    exchange(world);
    assert_true(object_in_conflict(at(world, US), 0));
    assert_int_equal(siblings_of(world, US, &list, &dots), 2);
    assert_int_equal(list[0].type, OBJECT_SET);
    assert_int_equal(list[1].type, OBJECT_STRING);
    set(world, US, "one", 0); /* a SET that saw both replaces both */
    exchange(world);
    assert_string(world, "one");
    assert_int_equal(siblings_of(world, EU, &list, &dots), 1);
    dot_set_deinit(&dots);
    end(world);
}

/* ---- S16: counters ---- */

static void test_increments_add_up(void **state)
{
    (void)state;
    struct world *world = new_world(CONFLICT_LWW);
    set(world, US, "99", 0);
    exchange(world);
    increment(world, US, 1);
    increment(world, EU, 1);
    exchange(world);
    assert_string(world, "101");
    end(world);
}

static void test_increment_beside_a_reset_leaves_itself(void **state)
{
    (void)state;
    struct world *world = new_world(CONFLICT_LWW);
    increment(world, US, 5);
    exchange(world);
    increment(world, EU, 1);
    delete_key(world, US, DELETE_BY_STAMP, 0);
    exchange(world);
    assert_string(world, "1");
    set(world, US, "10", 0);
    increment(world, EU, 7);
    exchange(world);
    assert_string(world, "17");
    end(world);
}

static void test_text_beside_increments_is_a_conflict(void **state)
{
    (void)state;
    struct world *world = new_world(CONFLICT_LWW);
    struct object_sibling *list;
    struct dot_set dots;
    dot_set_init(&dots);
    increment(world, US, 5);
    set(world, EU, "five", 0);
    exchange(world);
    assert_int_equal(siblings_of(world, US, &list, &dots), 2);
    assert_true(slice_equal(list[0].value, SLICE_LITERAL("five")));
    assert_true(slice_equal(list[1].value, SLICE_LITERAL("5")));
    set(world, US, "6", 0);
    exchange(world);
    assert_string(world, "6");
    dot_set_deinit(&dots);
    end(world);
}

static void test_totals_do_not_overflow(void **state)
{
    (void)state;
    struct world *world = new_world(CONFLICT_LWW);
    increment(world, US, INT64_MAX);
    increment(world, US, INT64_MAX);
    uint64_t birth, positive, negative;
    assert_int_equal(object_increment_prepare(at(world, US), NULL, 1, 99, 2, &birth, &positive, &negative),
                     STATUS_LIMIT);
    exchange(world);
    assert_string(world, "9223372036854775807"); /* shown saturated */
    end(world);
}

/* ---- expiry ---- */

static void test_expiry_hides_and_its_removal_loses_to_a_touch(void **state)
{
    (void)state;
    struct world *world = new_world(CONFLICT_LWW);
    set(world, US, "v", 5000);
    exchange(world);
    assert_int_equal(object_expire_at_ms(at(world, EU)), 5000);
    assert_int_equal(object_type(at(world, EU), 4999), OBJECT_STRING);
    assert_absent(world, 5000);
    delete_key(world, US, DELETE_LOSES, WRITE_FLAG_EXPIRY);
    expire(world, EU, 9000); /* at the same time eu prolongs it */
    exchange(world);
    assert_int_equal(object_type(at(world, US), 8999), OBJECT_STRING);
    assert_absent(world, 9000);
    assert_int_equal(ledger_count_of(world), 0); /* the clock's removal is nobody's write */
    end(world);
}

static void test_expiry_of_a_losing_value_falls_with_it(void **state)
{
    (void)state;
    struct world *world = new_world(CONFLICT_LWW);
    set(world, US, "brief", 5000);
    set(world, EU, "lasting", 0);
    exchange(world);
    assert_string(world, "lasting");
    assert_int_equal(object_expire_at_ms(at(world, US)), 0);
    end(world);
}

static void test_write_beside_an_expire_keeps_both(void **state)
{
    (void)state;
    struct world *world = new_world(CONFLICT_LWW);
    set(world, US, "old", 0);
    exchange(world);
    expire(world, US, 5000);
    set(world, EU, "new", 0);
    exchange(world);
    assert_string(world, "new");
    assert_int_equal(object_expire_at_ms(at(world, US)), 5000);
    set(world, US, "plain", 0); /* having seen it, a SET clears it */
    exchange(world);
    assert_int_equal(object_expire_at_ms(at(world, EU)), 0);
    end(world);
}

static void test_siblings_live_as_long_as_one_of_them(void **state)
{
    (void)state;
    struct world *world = new_world(CONFLICT_SIBLINGS);
    set(world, US, "brief", 5000);
    set(world, EU, "longer", 7000);
    exchange(world);
    assert_int_equal(object_expire_at_ms(at(world, US)), 7000);
    end(world);
}

static void test_persist_keeps_a_values_own_expiry_down(void **state)
{
    (void)state;
    struct world *world = new_world(CONFLICT_LWW);
    set(world, US, "v", 5000);
    expire(world, US, 0);
    exchange(world);
    for (int i = 0; i < REGIONS; i++) world_collect(world, &world->replicas[i]);
    assert_int_equal(object_expire_at_ms(at(world, EU)), 0);
    end(world);
}

static void test_a_collected_loser_does_not_come_back(void **state)
{
    (void)state;
    struct world *world = new_world(CONFLICT_LWW);
    set(world, US, "old", 0);
    exchange(world);
    expire(world, EU, 5000);
    expire(world, US, 7000);
    exchange(world);
    world_collect(world, &world->replicas[US]); /* 5000 is gone there, and still a loser in eu */
    set(world, US, "new", 0);
    exchange(world);
    assert_int_equal(object_expire_at_ms(at(world, EU)), 0);
    end(world);
}

/* ---- forms ---- */

static void test_a_plain_string_is_small_again(void **state)
{
    (void)state;
    struct world *world = new_world(CONFLICT_LWW);
    set(world, US, "a", 0);
    set(world, EU, "b", 0);
    exchange(world);
    assert_true(object_has_garbage(at(world, US)));
    exchange(world);
    for (int i = 0; i < REGIONS; i++) {
        world_collect(world, &world->replicas[i]);
        assert_int_equal(object_bytes(at(world, i)), sizeof(struct object) + 1);
        assert_false(object_has_garbage(at(world, i)));
    }
    delete_key(world, EU, DELETE_BY_STAMP, 0);
    exchange(world);
    assert_false(object_is_empty(at(world, US)));
    for (int i = 0; i < REGIONS; i++) {
        world_collect(world, &world->replicas[i]);
        assert_true(object_is_empty(at(world, i)));
    }
    assert_true(sizeof(struct object) <= 48);
    end(world);
}

static void test_a_set_replaces_a_row_whole(void **state)
{
    (void)state;
    struct world *world = new_world(CONFLICT_LWW);
    set_column(world, US, "name", "Alice");
    exchange(world);
    set_column(world, EU, "mail", "a@b.c"); /* before the SET, so it loses */
    set(world, US, "text", 0);
    exchange(world);
    assert_string(world, "text");
    assert_false(object_in_conflict(at(world, US), 0));
    assert_int_equal(ledger_count_of(world), 1);
    end(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lww_keeps_the_loser_in_the_ledger),
        cmocka_unit_test(test_columns_do_not_conflict),
        cmocka_unit_test(test_later_update_brings_the_whole_row_back),
        cmocka_unit_test(test_earlier_update_is_lost_to_a_later_delete),
        cmocka_unit_test(test_update_wins_whatever_the_stamps),
        cmocka_unit_test(test_delete_wins_whatever_the_stamps),
        cmocka_unit_test(test_contested_delete_is_a_sibling),
        cmocka_unit_test(test_siblings_are_resolved_once),
        cmocka_unit_test(test_row_siblings_repeat_the_other_columns),
        cmocka_unit_test(test_types_written_concurrently_are_siblings),
        cmocka_unit_test(test_increments_add_up),
        cmocka_unit_test(test_increment_beside_a_reset_leaves_itself),
        cmocka_unit_test(test_text_beside_increments_is_a_conflict),
        cmocka_unit_test(test_totals_do_not_overflow),
        cmocka_unit_test(test_expiry_hides_and_its_removal_loses_to_a_touch),
        cmocka_unit_test(test_expiry_of_a_losing_value_falls_with_it),
        cmocka_unit_test(test_write_beside_an_expire_keeps_both),
        cmocka_unit_test(test_siblings_live_as_long_as_one_of_them),
        cmocka_unit_test(test_persist_keeps_a_values_own_expiry_down),
        cmocka_unit_test(test_a_collected_loser_does_not_come_back),
        cmocka_unit_test(test_a_plain_string_is_small_again),
        cmocka_unit_test(test_a_set_replaces_a_row_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
