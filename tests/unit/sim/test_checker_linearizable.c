/* test_checker_linearizable.c: histories told by hand, and random tiny ones against a judge that tries every order. */
#include "sim/checker_linearizable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/prng.h"

enum { OPERATIONS_MAX = 64, ITEMS_MAX = 64 };

struct told {
    struct ordered_operation operations[OPERATIONS_MAX];
    int64_t items[ITEMS_MAX];
    uint32_t count, items_count;
};

static struct ordered_operation *tell(struct told *h, enum ordered_kind kind, uint64_t from, uint64_t to,
                                      uint64_t value, int64_t result)
{
    struct ordered_operation *op = &h->operations[h->count];
    *op = (struct ordered_operation){.kind = kind, .outcome = ORDERED_DONE, .client = (uint8_t)h->count};
    op->value = value;
    op->result = result;
    op->invoked_ns = from;
    op->returned_ns = to;
    h->count++;
    return op;
}

static struct ordered_operation *unknown(struct told *h, enum ordered_kind kind, uint64_t from, uint64_t value)
{
    struct ordered_operation *op = tell(h, kind, from, UINT64_MAX, value, 0);
    op->outcome = ORDERED_UNKNOWN;
    return op;
}

static struct ordered_operation *compare_and_set(struct told *h, uint64_t from, uint64_t to, uint64_t expected,
                                                 uint64_t value, int64_t result)
{
    struct ordered_operation *op = tell(h, ORDERED_CAS, from, to, value, result);
    op->expected = expected;
    return op;
}

static void tell_items(struct told *h, enum ordered_kind kind, uint64_t from, uint64_t to, const int64_t *items,
                       uint32_t count)
{
    struct ordered_operation *op = tell(h, kind, from, to, 0, 0);
    op->items_at = h->items_count;
    op->items_count = count;
    for (uint32_t i = 0; i < count; i++) h->items[h->items_count++] = items[i];
}

static struct ordered_operation *transfer(struct told *h, uint64_t from_ns, uint64_t to_ns, uint8_t from, uint8_t to,
                                          uint64_t amount, int64_t result)
{
    struct ordered_operation *op = tell(h, ORDERED_TRANSFER, from_ns, to_ns, amount, result);
    op->from = from;
    op->to = to;
    return op;
}

static char why[LINEAR_WHY_BYTES];

static enum linear_verdict judge(const struct told *h, enum linear_kind kind)
{
    static const int64_t balances[] = {100, 0, 0};
    struct linear_question q = {.kind = kind, .operations = h->operations, .count = h->count, .items = h->items};
    if (kind == LINEAR_BANK) {
        q.balances = balances;
        q.accounts = 3;
    }
    return linear_judge(&q, why);
}

/* ---- registers ---- */

static void nothing_and_reads_of_nothing_are_fine(void **state)
{
    (void)state;
    struct told h = {0};
    assert_int_equal(judge(&h, LINEAR_REGISTER), LINEAR_YES);
    tell(&h, ORDERED_GET, 1, 2, 0, 0);
    assert_int_equal(judge(&h, LINEAR_REGISTER), LINEAR_YES);
}

static void overlapping_reads_may_see_either(void **state)
{
    (void)state;
    struct told h = {0};
    tell(&h, ORDERED_SET, 10, 20, 1, 0);
    tell(&h, ORDERED_SET, 30, 60, 2, 0);
    tell(&h, ORDERED_GET, 35, 40, 0, 2); /* early */
    tell(&h, ORDERED_GET, 32, 45, 0, 1); /* overlaps the write and the read that saw it */
    assert_int_equal(judge(&h, LINEAR_REGISTER), LINEAR_YES);
    tell(&h, ORDERED_GET, 41, 44, 0, 1); /* began after a read of 2 had returned */
    assert_int_equal(judge(&h, LINEAR_REGISTER), LINEAR_NO);
}

static void a_stale_read_is_told_with_its_story(void **state)
{
    (void)state;
    struct told h = {0};
    tell(&h, ORDERED_SET, 1000000, 2000000, 1, 0);
    tell(&h, ORDERED_GET, 2100000, 2200000, 0, 1); /* the failure does not need it: not told */
    tell(&h, ORDERED_SET, 3000000, 4000000, 2, 0);
    tell(&h, ORDERED_GET, 5000000, 6000000, 0, 1);
    assert_int_equal(judge(&h, LINEAR_REGISTER), LINEAR_NO);
    assert_string_equal(why, "GET -> 1 by client 3 at node 0, 0.005000 s to 0.006000 s fits no order of events; "
                             "before it the object holds 2\n"
                             "  SET v1 by client 0 at node 0, 0.001000 s to 0.002000 s\n"
                             "  SET v2 by client 2 at node 0, 0.003000 s to 0.004000 s\n"
                             "  GET -> 1 by client 3 at node 0, 0.005000 s to 0.006000 s");
}

static void an_acknowledged_write_is_not_lost(void **state)
{
    (void)state;
    struct told h = {0};
    tell(&h, ORDERED_SET, 10, 20, 1, 0);
    tell(&h, ORDERED_GET, 30, 40, 0, 0);
    assert_int_equal(judge(&h, LINEAR_REGISTER), LINEAR_NO);
}

static void a_read_from_the_future_is_refused(void **state)
{
    (void)state;
    struct told h = {0};
    tell(&h, ORDERED_GET, 10, 20, 0, 1);
    tell(&h, ORDERED_SET, 30, 40, 1, 0);
    assert_int_equal(judge(&h, LINEAR_REGISTER), LINEAR_NO);
}

static void an_unknown_write_may_surface_late_or_never(void **state)
{
    (void)state;
    struct told h = {0};
    tell(&h, ORDERED_SET, 10, 20, 1, 0);
    unknown(&h, ORDERED_SET, 30, 2);
    tell(&h, ORDERED_GET, 40, 50, 0, 1);
    tell(&h, ORDERED_SET, 60, 70, 3, 0);
    tell(&h, ORDERED_GET, 80, 90, 0, 3);
    assert_int_equal(judge(&h, LINEAR_REGISTER), LINEAR_YES); /* never */
    tell(&h, ORDERED_GET, 1000, 1010, 0, 2);
    assert_int_equal(judge(&h, LINEAR_REGISTER), LINEAR_YES); /* late */
    tell(&h, ORDERED_GET, 2000, 2010, 0, 3);
    assert_int_equal(judge(&h, LINEAR_REGISTER), LINEAR_NO); /* but once, and then it stays */
}

static void an_unknown_write_does_not_surface_before_it_was_asked_for(void **state)
{
    (void)state;
    struct told h = {0};
    tell(&h, ORDERED_GET, 10, 20, 0, 2);
    unknown(&h, ORDERED_SET, 30, 2);
    assert_int_equal(judge(&h, LINEAR_REGISTER), LINEAR_NO);
}

static void of_two_swaps_from_one_value_one_wins(void **state)
{
    (void)state;
    struct told h = {0};
    tell(&h, ORDERED_SET, 10, 20, 1, 0);
    compare_and_set(&h, 30, 60, 1, 2, 1);
    compare_and_set(&h, 31, 61, 1, 3, 0);
    assert_int_equal(judge(&h, LINEAR_REGISTER), LINEAR_YES);
    h.operations[2].result = 1;
    assert_int_equal(judge(&h, LINEAR_REGISTER), LINEAR_NO);
    h.operations[2] = (struct ordered_operation){.kind = ORDERED_DELETE, .outcome = ORDERED_DONE};
    h.operations[2].invoked_ns = 31;
    h.operations[2].returned_ns = 61;
    assert_int_equal(judge(&h, LINEAR_REGISTER), LINEAR_NO); /* there was always something to delete */
    h.operations[2].result = 1;
    assert_int_equal(judge(&h, LINEAR_REGISTER), LINEAR_YES);
}

/* ---- counters, lists, banks ---- */

static void a_retry_applied_twice_shows_in_a_counter(void **state)
{
    (void)state;
    struct told h = {0};
    tell(&h, ORDERED_ADD, 10, 20, 5, 5);
    unknown(&h, ORDERED_ADD, 30, 7);
    tell(&h, ORDERED_ADD, 40, 50, 1, 13);
    assert_int_equal(judge(&h, LINEAR_COUNTER), LINEAR_YES);
    tell(&h, ORDERED_GET, 60, 70, 0, 20);
    assert_int_equal(judge(&h, LINEAR_COUNTER), LINEAR_NO);
}

static void a_lost_increment_shows_in_a_counter(void **state)
{
    (void)state;
    struct told h = {0};
    tell(&h, ORDERED_ADD, 10, 50, 1, 1);
    tell(&h, ORDERED_ADD, 10, 50, 1, 1);
    assert_int_equal(judge(&h, LINEAR_COUNTER), LINEAR_NO);
    h.operations[1].result = 2;
    assert_int_equal(judge(&h, LINEAR_COUNTER), LINEAR_YES);
}

static void a_list_keeps_the_order_of_pushes(void **state)
{
    (void)state;
    struct told h = {0};
    static const int64_t both[] = {2, 1}, other[] = {1, 2};
    tell(&h, ORDERED_PUSH, 10, 50, 1, 1);
    tell(&h, ORDERED_PUSH, 20, 60, 2, 2);
    tell_items(&h, ORDERED_RANGE, 70, 80, both, 2);
    assert_int_equal(judge(&h, LINEAR_LIST), LINEAR_YES);
    unknown(&h, ORDERED_POP, 85, 0);
    tell(&h, ORDERED_POP, 90, 100, 0, 1);
    tell(&h, ORDERED_POP, 110, 120, 0, 0);
    assert_int_equal(judge(&h, LINEAR_LIST), LINEAR_YES);
    tell_items(&h, ORDERED_RANGE, 130, 140, other, 2);
    assert_int_equal(judge(&h, LINEAR_LIST), LINEAR_NO);
}

static void money_is_conserved_at_each_read(void **state)
{
    (void)state;
    struct told h = {0};
    static const int64_t after[] = {60, 40, 0}, torn[] = {60, 0, 0}, negative[] = {-10, 40, 70};
    transfer(&h, 10, 50, 0, 1, 40, 1);
    transfer(&h, 10, 50, 0, 2, 70, 0);
    tell_items(&h, ORDERED_BALANCES, 60, 70, after, 3);
    assert_int_equal(judge(&h, LINEAR_BANK), LINEAR_YES);
    struct told half = h;
    tell_items(&half, ORDERED_BALANCES, 80, 90, torn, 3);
    assert_int_equal(judge(&half, LINEAR_BANK), LINEAR_NO);
    struct told spent = h;
    spent.operations[1].result = 1;
    tell_items(&spent, ORDERED_BALANCES, 80, 90, negative, 3);
    assert_int_equal(judge(&spent, LINEAR_BANK), LINEAR_NO);
}

static void a_double_spend_is_found_without_any_read(void **state)
{
    (void)state;
    struct told h = {0};
    transfer(&h, 10, 50, 0, 1, 60, 1);
    transfer(&h, 20, 60, 0, 2, 60, 1);
    assert_int_equal(judge(&h, LINEAR_BANK), LINEAR_NO);
    assert_non_null(strstr(why, "before it the object holds [40 60 0]"));
}

/* ---- bounds ---- */

static void too_much_at_one_time_is_undecided(void **state)
{
    (void)state;
    static struct ordered_operation operations[LINEAR_OPEN_MAX + 1];
    for (uint32_t i = 0; i <= LINEAR_OPEN_MAX; i++) {
        operations[i] = (struct ordered_operation){.kind = ORDERED_SET, .value = i + 1, .returned_ns = UINT64_MAX};
    }
    struct linear_question q = {.kind = LINEAR_REGISTER, .operations = operations, .count = LINEAR_OPEN_MAX};
    assert_int_equal(linear_judge(&q, why), LINEAR_YES);
    q.count++;
    assert_int_equal(linear_judge(&q, why), LINEAR_UNDECIDED);
    assert_non_null(strstr(why, "draw more keys"));
}

/* Many unknown writes, as after a long cut, cost little: worlds that only did more of them are dominated. */
static void many_unknown_writes_stay_cheap(void **state)
{
    (void)state;
    static struct ordered_operation operations[600];
    uint32_t count = 0;
    for (uint64_t i = 0; i < 60; i++) {
        operations[count++] = (struct ordered_operation){
            .kind = ORDERED_SET, .value = i + 1, .invoked_ns = 10 * i, .returned_ns = UINT64_MAX};
    }
    for (uint64_t i = 0; i < 500; i++) {
        struct ordered_operation *op = &operations[count++];
        *op = (struct ordered_operation){.kind = i % 3 ? ORDERED_GET : ORDERED_SET, .outcome = ORDERED_DONE};
        op->value = 1000 + i;
        op->result = (int64_t)(1000 + i - i % 3);
        op->invoked_ns = 1000 + 10 * i;
        op->returned_ns = op->invoked_ns + 15;
    }
    struct linear_question q = {.kind = LINEAR_REGISTER, .operations = operations, .count = count};
    assert_int_equal(linear_judge(&q, why), LINEAR_YES);
}

/* ---- against every order ---- */

struct twin {
    const struct told *h;
    struct linear_model *model;
    uint32_t placed; /* bits */
};

static bool may_be_next(const struct twin *t, uint32_t index)
{
    for (uint32_t i = 0; i < t->h->count; i++) {
        if (i == index || (t->placed >> i & 1) || t->h->operations[i].outcome != ORDERED_DONE) continue;
        if (t->h->operations[i].returned_ns < t->h->operations[index].invoked_ns) return false;
    }
    return true;
}

static bool all_done_are_placed(const struct twin *t)
{
    for (uint32_t i = 0; i < t->h->count; i++) {
        if (t->h->operations[i].outcome == ORDERED_DONE && !(t->placed >> i & 1)) return false;
    }
    return true;
}

static bool some_order_fits(struct twin *t, uint64_t state)
{
    if (all_done_are_placed(t)) return true;
    for (uint32_t i = 0; i < t->h->count; i++) {
        uint64_t next;
        if ((t->placed >> i & 1) || !may_be_next(t, i)) continue;
        if (linear_model_step(t->model, state, &t->h->operations[i], t->h->items, &next) != LINEAR_STEP) continue;
        t->placed |= 1U << i;
        if (some_order_fits(t, next)) return true;
        t->placed &= ~(1U << i);
    }
    return false;
}

static void draw_result(struct prng *p, enum linear_kind kind, struct told *h, struct ordered_operation *op)
{
    op->result = (int64_t)prng_below(p, kind == LINEAR_REGISTER && op->kind != ORDERED_GET ? 2 : 4);
    if (op->kind != ORDERED_RANGE && op->kind != ORDERED_BALANCES) return;
    op->items_at = h->items_count;
    op->items_count = op->kind == ORDERED_BALANCES ? 3 : (uint32_t)prng_below(p, 3);
    static const int64_t splits[][3] = {{100, 0, 0}, {99, 1, 0}, {98, 1, 1}, {98, 2, 0}};
    const int64_t *split = splits[prng_below(p, 4)];
    for (uint32_t i = 0; i < op->items_count; i++) {
        h->items[h->items_count++] = op->kind == ORDERED_BALANCES ? split[i] : (int64_t)prng_range(p, 1, 3);
    }
}

static void draw_history(struct prng *p, enum linear_kind kind, struct told *h)
{
    *h = (struct told){0};
    uint32_t count = (uint32_t)prng_range(p, 1, 6);
    for (uint32_t i = 0; i < count; i++) {
        enum ordered_kind drawn;
        do drawn = (enum ordered_kind)prng_below(p, ORDERED_KINDS);
        while (!linear_model_takes(kind, drawn));
        uint64_t begin = prng_below(p, 20);
        struct ordered_operation *op = tell(h, drawn, begin, begin + prng_below(p, 12), prng_range(p, 1, 2), 0);
        op->expected = prng_below(p, 3);
        op->from = (uint8_t)prng_below(p, 3);
        op->to = (uint8_t)prng_below(p, 3);
        draw_result(p, kind, h, op);
        if (!prng_chance(p, 1, 4)) continue;
        op->outcome = ORDERED_UNKNOWN;
        op->returned_ns = UINT64_MAX;
    }
}

/* Each judgement takes fresh memory, which is dear under AddressSanitizer. */
#if defined(__clang__)
#if __has_feature(address_sanitizer)
#define TWIN_ROUNDS 400
#endif
#endif
#ifndef TWIN_ROUNDS
#define TWIN_ROUNDS 4000
#endif

/* Random results are mostly wrong, so many are drawn; the test insists on having met both answers often. */
static void agrees_with_trying_every_order(void **state)
{
    (void)state;
    static const int64_t balances[] = {100, 0, 0};
    struct prng p;
    prng_init(&p, 17);
    for (int kind = LINEAR_REGISTER; kind <= LINEAR_BANK; kind++) {
        uint32_t fine = 0, wrong = 0;
        for (int round = 0; round < TWIN_ROUNDS; round++) {
            struct told h;
            draw_history(&p, (enum linear_kind)kind, &h);
            struct twin twin = {.h = &h};
            twin.model = linear_model_new((enum linear_kind)kind, balances, kind == LINEAR_BANK ? 3 : 0);
            bool expected = some_order_fits(&twin, linear_model_first(twin.model));
            linear_model_free(twin.model);
            assert_int_equal(judge(&h, (enum linear_kind)kind), expected ? LINEAR_YES : LINEAR_NO);
            if (expected)
                fine++;
            else
                wrong++;
        }
        assert_true(fine > TWIN_ROUNDS / 20 && wrong > TWIN_ROUNDS / 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_and_reads_of_nothing_are_fine),
        cmocka_unit_test(overlapping_reads_may_see_either),
        cmocka_unit_test(a_stale_read_is_told_with_its_story),
        cmocka_unit_test(an_acknowledged_write_is_not_lost),
        cmocka_unit_test(a_read_from_the_future_is_refused),
        cmocka_unit_test(an_unknown_write_may_surface_late_or_never),
        cmocka_unit_test(an_unknown_write_does_not_surface_before_it_was_asked_for),
        cmocka_unit_test(of_two_swaps_from_one_value_one_wins),
        cmocka_unit_test(a_retry_applied_twice_shows_in_a_counter),
        cmocka_unit_test(a_lost_increment_shows_in_a_counter),
        cmocka_unit_test(a_list_keeps_the_order_of_pushes),
        cmocka_unit_test(money_is_conserved_at_each_read),
        cmocka_unit_test(a_double_spend_is_found_without_any_read),
        cmocka_unit_test(too_much_at_one_time_is_undecided),
        cmocka_unit_test(many_unknown_writes_stay_cheap),
        cmocka_unit_test(agrees_with_trying_every_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
