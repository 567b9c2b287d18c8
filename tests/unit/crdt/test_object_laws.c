/* links: causality wire base */
/* test_object_laws.c: random histories of a few replicas, under every policy and mix of types, against the twin:
 * what is shown and what is ledgered is at every moment what the definitions say (O2, O3, S13), whatever the order,
 * whether it came as deltas or as merged states, and whether stable things were collected in between (S1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "world.h"

/* SET, INCR, columns, SADD, SREM, DEL, EXPIRE */
static const uint8_t mixes[][7] = {
    {6, 0, 0, 0, 0, 2, 1}, /* strings */
    {3, 6, 0, 0, 0, 2, 0}, /* counters */
    {0, 0, 6, 0, 0, 2, 1}, /* rows */
    {0, 0, 0, 6, 3, 2, 1}, /* sets */
    {4, 0, 0, 0, 0, 1, 6}, /* expiries */
    {2, 1, 3, 2, 1, 2, 2}, /* everything */
};
enum { MIXES = sizeof mixes / sizeof mixes[0] };

static void print_history(const struct world *world, const struct world_replica *r)
{
    static const char *const names[WRITE_KIND_COUNT] = {"",    "set",    "increment", "columns", "add",
                                                        "rem", "delete", "expire",    "mark"};
    for (uint32_t i = 0; i < world->twin.count; i++) {
        const struct write *w = &world->twin.writes[i].write;
        struct buffer line;
        buffer_init(&line, 4096);
        buffer_append_format(&line, "%c", r->seen.has[i] ? '*' : ' ');
        show_dot(&line, w->dot);
        buffer_append_format(&line, " @%llu %s flags %u after", (unsigned long long)w->stamp, names[w->kind], w->flags);
        for (uint32_t j = 0; j < w->deps.count; j++)
            show_dot(&line, (struct dot){w->deps.entries[j].replica, w->deps.entries[j].counter});
        buffer_append_format(&line, " observed");
        show_dots(&line, &w->observed);
        struct body_column column;
        static const char *const ops[] = {"", "set", "delete", "increment"};
        for (int n = 0; n < TWIN_NAMES; n++) {
            if (twin_column_of(w, twin_columns[n], &column))
                buffer_append_format(&line, ", %s %s", ops[column.op], twin_columns[n]);
            if (twin_has_member(w, twin_members[n])) buffer_append_format(&line, ", %s", twin_members[n]);
        }
        fprintf(stderr, "%.*s\n", (int)line.length, (const char *)line.data);
        buffer_deinit(&line);
    }
}

static void fail_with(const struct world *world, const struct world_replica *r, uint64_t seed,
                      const struct buffer *want, const struct buffer *got)
{
    print_history(world, r);
    fprintf(stderr, "seed %llu, policy %d, replica %d: the twin says\n%.*s--- the object says\n%.*s",
            (unsigned long long)seed, world->twin.policy, (int)r->id, (int)want->length, (const char *)want->data,
            (int)got->length, (const char *)got->data);
    fail();
}

static void check(struct world *world, struct world_replica *r, uint64_t seed)
{
    struct buffer want, got;
    struct ledger_book *book = memory_alloc(sizeof *book);
    buffer_init(&want, 1 << 20);
    buffer_init(&got, 1 << 20);
    twin_show(&world->twin, &r->seen, &want);
    twin_ledger(&world->twin, &r->seen, book);
    ledger_book_show(book, &want);
    object_show(r->object, &got);
    ledger_book_show(&r->ledger, &got);
    if (!world_accounts_balance(r)) buffer_append_format(&got, "the accounts don't balance\n");
    if (!slice_equal(buffer_slice(&want), buffer_slice(&got))) fail_with(world, r, seed, &want, &got);
    memory_free(book);
    buffer_deinit(&want);
    buffer_deinit(&got);
}

/* Encoding is canonical and complete. */
static void check_encoding(const struct object *o)
{
    struct buffer first, second;
    buffer_init(&first, 1 << 20);
    buffer_init(&second, 1 << 20);
    object_encode(o, &first);
    struct object *copy = object_decode(buffer_slice(&first));
    assert_non_null(copy);
    object_encode(copy, &second);
    assert_true(slice_equal(buffer_slice(&first), buffer_slice(&second)));
    assert_true(object_equal(o, copy));
    object_free(copy);
    buffer_deinit(&first);
    buffer_deinit(&second);
}

static void deliver_all(struct world *world, uint64_t seed)
{
    for (uint32_t i = 0; i < world->replicas_count; i++) {
        while (world_deliver(world, &world->replicas[i])) {}
        check(world, &world->replicas[i], seed);
    }
}

static void check_all_equal(const struct world *world)
{
    for (uint32_t i = 1; i < world->replicas_count; i++)
        assert_true(object_equal(world->replicas[0].object, world->replicas[i].object));
}

/* Everything is stable in the end: only unresolved contests may be left of the deletes. */
static void collect_all(struct world *world, uint64_t seed)
{
    for (uint32_t i = 0; i < world->replicas_count; i++) {
        world_collect(world, &world->replicas[i]);
        check(world, &world->replicas[i], seed);
        const struct object *o = world->replicas[i].object;
        if (object__form(o) != FORM_PARTS) continue;
        assert_int_equal(o->parts->touches.count, 0);
        for (uint32_t j = 0; j < o->parts->deletes.count; j++)
            assert_true(delete_is_contested(&o->parts->deletes.records[j]));
    }
    check_all_equal(world);
}

static void play(uint64_t seed, bool collects, bool merges)
{
    struct world *world = memory_alloc(sizeof *world);
    world_init(world, seed, (enum conflict_policy)(seed % 4));
    const uint8_t *mix = mixes[seed / 4 % MIXES];
    uint64_t steps = prng_range(&world->prng, 4, 40);
    for (uint64_t s = 0; s < steps; s++) {
        struct world_replica *r = &world->replicas[prng_below(&world->prng, world->replicas_count)];
        uint64_t dice = prng_below(&world->prng, 10);
        if (dice < 4)
            world_write(world, r, mix);
        else if (dice < 8)
            (void)world_deliver(world, r);
        else if (dice == 8 && collects)
            world_collect(world, r);
        else if (merges)
            world_merge(world, r, &world->replicas[prng_below(&world->prng, world->replicas_count)]);
        check(world, r, seed);
        check_encoding(r->object);
    }
    deliver_all(world, seed);
    if (!collects) check_all_equal(world);
    collect_all(world, seed);
    world_deinit(world);
    memory_free(world);
}

static void test_any_causal_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4000; seed++) play(seed, false, false);
}

static void test_collection_changes_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4000; seed++) play(seed, true, false);
}

static void test_states_merge_like_deltas(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4000; seed++) play(seed, false, true);
}

static void test_collected_states_merge_too(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4000; seed++) play(seed, true, true);
}

/* ---- the laws of the lattice, stated directly ---- */

struct point { /* a state and the clock as of which it is complete */
    struct object *object;
    struct vv clock;
};

static struct point point_of(const struct object *o, const struct vv *clock)
{
    struct point p;
    struct buffer bytes;
    buffer_init(&bytes, 1 << 20);
    object_encode(o, &bytes);
    p.object = object_decode(buffer_slice(&bytes));
    assert_non_null(p.object);
    vv_init(&p.clock);
    vv_copy(&p.clock, clock);
    buffer_deinit(&bytes);
    return p;
}

static void point_deinit(struct point *p)
{
    object_free(p->object);
    vv_deinit(&p->clock);
}

static struct point join(const struct world *world, const struct point *a, const struct point *b)
{
    struct point p = point_of(a->object, &a->clock);
    struct object_events events;
    object_events_init(&events);
    object_merge(p.object, &a->clock, b->object, &b->clock, world->twin.policy, NULL, &events);
    object_events_deinit(&events);
    vv_merge(&p.clock, &b->clock);
    return p;
}

static void check_lattice(const struct world *world)
{
    struct point at[3];
    for (uint32_t i = 0; i < 3; i++) {
        const struct world_replica *r = &world->replicas[i % world->replicas_count];
        at[i] = point_of(r->object, &r->clock);
    }
    struct point ab = join(world, &at[0], &at[1]), ba = join(world, &at[1], &at[0]);
    assert_true(object_equal(ab.object, ba.object)); /* commutative */
    struct point bc = join(world, &at[1], &at[2]), ab_c = join(world, &ab, &at[2]), a_bc = join(world, &at[0], &bc);
    assert_true(object_equal(ab_c.object, a_bc.object)); /* associative */
    struct point aa = join(world, &at[0], &at[0]), ab_b = join(world, &ab, &at[1]);
    assert_true(object_equal(aa.object, at[0].object)); /* idempotent */
    assert_true(object_equal(ab_b.object, ab.object));  /* absorbing */
    struct point *all[] = {&at[0], &at[1], &at[2], &ab, &ba, &bc, &ab_c, &a_bc, &aa, &ab_b};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) point_deinit(all[i]);
}

static void test_merge_is_a_join(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4000; seed++) {
        struct world *world = memory_alloc(sizeof *world);
        world_init(world, seed, (enum conflict_policy)(seed % 4));
        uint64_t steps = prng_range(&world->prng, 4, 24);
        for (uint64_t s = 0; s < steps; s++) {
            struct world_replica *r = &world->replicas[prng_below(&world->prng, world->replicas_count)];
            if (prng_chance(&world->prng, 1, 2))
                world_write(world, r, mixes[seed / 4 % MIXES]);
            else
                (void)world_deliver(world, r);
        }
        check_lattice(world);
        world_deinit(world);
        memory_free(world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_causal_order),         cmocka_unit_test(test_collection_changes_nothing),
        cmocka_unit_test(test_states_merge_like_deltas), cmocka_unit_test(test_collected_states_merge_too),
        cmocka_unit_test(test_merge_is_a_join),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
