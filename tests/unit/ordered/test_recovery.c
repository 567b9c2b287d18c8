/* Recovery without a majority (S7): who goes on, what may be missing, and that a fenced member never speaks again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ordered/ledger.h"
#include "tests/unit/ordered/group_world.h"

enum { US = 1, EU = 2 };

/* ---- the verdict ---- */

static struct raft_set set_of(uint32_t count, bool two_regions)
{
    struct raft_set set = {.members_count = (uint8_t)count};
    for (uint32_t i = 0; i < count; i++) { /* the last one stands in eu */
        set.members[i] = (struct raft_member){.node = (uint16_t)(i + 1), .kind = RAFT_VOTER};
        set.members[i].labels.value[COMMIT_LABEL_REGION] = i + 1 == count ? EU : US;
    }
    if (two_regions) {
        set.rule.needs_count = 1;
        set.rule.needs[0].label = COMMIT_LABEL_REGION;
        set.rule.needs[0].distinct = 2;
    }
    return set;
}

static struct recovery_position position_of(uint16_t node, uint64_t last_term, uint64_t last_index, bool two_regions)
{
    return (struct recovery_position){.node = node,
                                      .term = last_term,
                                      .last_term = last_term,
                                      .last_index = last_index,
                                      .configuration = {.now = set_of(3, two_regions)}};
}

static void same_site_majority(void **state)
{
    (void)state;
    struct recovery_verdict v;
    struct recovery_position eu = position_of(3, 2, 10, false);
    recovery_judge(&eu, 1, false, &v);
    assert_int_equal(RECOVERY_NEEDED, v.need);
    assert_true(v.may_be_missing);
    assert_false(v.degraded);
    assert_int_equal(2, v.gone_count);
    assert_int_equal(1, v.set.members_count);
    eu = position_of(3, 2, 10, true);
    recovery_judge(&eu, 1, false, &v);
    assert_false(v.may_be_missing); /* nothing is acknowledged without eu */
    assert_true(v.degraded);
    recovery_judge(&eu, 1, true, &v);
    assert_true(v.may_be_missing); /* unless leaders acknowledge alone */
}

static void the_most_advanced_starts(void **state)
{
    (void)state;
    struct recovery_verdict v;
    struct recovery_position left[2] = {position_of(1, 2, 90, false), position_of(2, 3, 7, false)};
    for (uint32_t i = 0; i < 2; i++) left[i].configuration.now = set_of(5, false);
    recovery_judge(left, 2, false, &v);
    assert_int_equal(1, v.start); /* the later term, not the longer log */
    assert_int_equal(3, v.term_max);
    left[1].last_term = 2;
    recovery_judge(left, 2, false, &v);
    assert_int_equal(0, v.start);
    assert_int_equal(2, v.set.members_count);
}

static void who_stands_is_left_alone_and_who_stands_still_is_taken_over(void **state)
{
    (void)state;
    struct recovery_verdict v;
    struct recovery_position left[2] = {position_of(1, 2, 9, false), position_of(3, 2, 8, false)};
    recovery_judge(left, 2, false, &v);
    assert_int_equal(RECOVERY_HEALTHY, v.need);
    left[0].standing = left[1].standing = RECOVERY_PREPARED;
    left[0].generation = left[1].generation = recovery_next_generation(0, 3);
    recovery_judge(left, 2, false, &v);
    assert_int_equal(RECOVERY_NEEDED, v.need);
    assert_true(recovery_next_generation(v.generation_max, 1) > v.generation_max);
    left[0].standing = RECOVERY_MEMBER; /* it has the order: the other one will hear of it */
    recovery_judge(left, 2, false, &v);
    assert_int_equal(RECOVERY_HEALTHY, v.need);
    left[0].standing = left[1].standing = RECOVERY_BLANK;
    recovery_judge(left, 2, false, &v);
    assert_int_equal(RECOVERY_IMPOSSIBLE, v.need);
}

static void logs_part_where_terms_do(void **state)
{
    (void)state;
    struct recovery_order order = {.last_index = 10, .last_term = 3, .commit = 4};
    order.runs = (struct recovery_runs){.count = 2, .first = {1, 8}, .term = {1, 3}};
    struct recovery_runs same = order.runs, other = {.count = 2, .first = {1, 6}, .term = {1, 2}};
    assert_true(recovery_divergence(&order, &same, 9, 9) == UINT64_MAX);
    assert_int_equal(11, recovery_divergence(&order, &same, 15, 15));
    assert_int_equal(6, recovery_divergence(&order, &other, 12, 3));
    assert_int_equal(6, recovery_divergence(&order, &other, 7, 7));
    struct recovery_runs untold = {.count = 1, .first = {9}, .term = {2}};
    assert_int_equal(5, recovery_divergence(&order, &untold, 12, 12));
}

/* ---- a member ---- */

static void open_with_tail(struct group_world *w)
{
    group_world_init(w);
    group_world_open(w);
    group_world_append(w, 2, 1, 0, 0, 5, 3);
    group_world_run(w);
    assert_int_equal(5, w->match);
}

static struct recovery_order order_of(uint16_t start, uint16_t only, uint64_t last_index)
{
    struct raft_set all = set_of(3, false), set = {.members_count = 1};
    set.members[0] = all.members[only - 1];
    struct recovery_order order = {.generation = recovery_next_generation(0, start),
                                   .term = 7,
                                   .start = start,
                                   .last_index = last_index,
                                   .last_term = 1,
                                   .commit = 3,
                                   .set = set};
    order.runs = (struct recovery_runs){.count = 1, .first = {1}, .term = {1}};
    return order;
}

static struct group_now now_of(const struct group_world *w)
{
    return (struct group_now){w->now_ms, w->now_ms * 1000 * 1000};
}

static void prepared_stands_still_also_after_a_crash(void **state)
{
    (void)state;
    struct group_world w;
    open_with_tail(&w);
    uint64_t generation = recovery_next_generation(0, 3);
    assert_true(group_prepare_recovery(w.group, generation, now_of(&w)));
    assert_true(group_prepare_recovery(w.group, generation, now_of(&w))); /* told again */
    assert_false(group_prepare_recovery(w.group, recovery_next_generation(0, 2), now_of(&w)));
    group_world_run(&w);
    group_world_crash(&w);
    group_world_open(&w);
    w.hear_as = generation;
    w.sent_count = 0;
    group_world_append(&w, 2, 1, 5, 1, 1, 5);
    group_world_pass_ms(&w, 60 * 1000);
    assert_int_equal(0, w.sent_count);
    assert_int_equal(GROUP_PROBE, w.said); /* it only asks for the order */
    assert_int_equal(RECOVERY_PREPARED, group_standing(w.group));
    assert_true(group_prepare_recovery(w.group, recovery_next_generation(generation, 2), now_of(&w))); /* taken over */
    group_world_deinit(&w);
}

static void the_start_leads_alone_and_keeps_its_tail(void **state)
{
    (void)state;
    struct group_world w;
    open_with_tail(&w);
    struct recovery_order order = order_of(1, 1, 5);
    assert_false(group_recover(w.group, &order, now_of(&w))); /* not prepared */
    assert_true(group_prepare_recovery(w.group, order.generation, now_of(&w)));
    group_world_run(&w);
    struct recovery_order stale = order;
    stale.last_index = 4; /* compared when its log was another one */
    assert_false(group_recover(w.group, &stale, now_of(&w)));
    assert_true(group_recover(w.group, &order, now_of(&w)));
    assert_true(group_recover(w.group, &order, now_of(&w))); /* told again */
    group_world_run(&w);
    group_world_pass_ms(&w, 10 * 1000);
    assert_true(group_is_leader(w.group));
    assert_true(raft_commit_index(group_raft(w.group)) >= 6);
    group_world_crash(&w);
    group_world_open(&w);
    group_world_pass_ms(&w, 10 * 1000);
    assert_true(group_is_leader(w.group));
    assert_true(raft_term(group_raft(w.group)) > order.term);
    group_world_deinit(&w);
}

static void of_two_recoveries_the_higher_one_wins(void **state)
{
    (void)state;
    struct group_world w;
    open_with_tail(&w);
    struct recovery_order first = order_of(1, 1, 5), second = first;
    second.generation = recovery_next_generation(0, 3);
    assert_true(second.generation > first.generation);
    assert_true(group_prepare_recovery(w.group, first.generation, now_of(&w)));
    assert_true(group_prepare_recovery(w.group, second.generation, now_of(&w)));
    assert_false(group_recover(w.group, &first, now_of(&w))); /* whose coordinator knows nothing of the other */
    assert_false(group_prepare_recovery(w.group, first.generation, now_of(&w)));
    assert_int_equal(RECOVERY_PREPARED, group_standing(w.group));
    assert_true(group_recover(w.group, &second, now_of(&w)));
    group_world_notice(&w, 2, &first); /* late: of an older generation */
    assert_int_equal(RECOVERY_MEMBER, group_standing(w.group));
    group_world_run(&w);
    group_world_deinit(&w);
}

static void a_fenced_member_is_silent_for_ever(void **state)
{
    (void)state;
    struct group_world w;
    open_with_tail(&w);
    struct recovery_order order = order_of(3, 3, 4);
    group_world_notice(&w, 3, &order);
    assert_int_equal(RECOVERY_FENCED, group_standing(w.group));
    group_world_run(&w);
    for (uint32_t life = 0; life < 2; life++) {
        w.sent_count = 0;
        w.hear_as = 0;
        group_world_append(&w, 2, 9, 5, 1, 1, 5); /* of its old friends */
        assert_int_equal(GROUP_NOTICE, w.said);   /* who hear from it why */
        w.hear_as = order.generation;
        group_world_append(&w, 2, 9, 5, 1, 1, 5);
        struct raft_letter vote = {.kind = KIND_VOTE, .term = 9, .vote = {.last_index = 9, .last_term = 8}};
        group_world_hear(&w, 2, &vote);
        group_world_pass_ms(&w, 60 * 1000);
        assert_int_equal(0, w.sent_count);
        assert_false(group_read_at_once(w.group, now_of(&w)));
        assert_false(group_prepare_recovery(w.group, recovery_next_generation(order.generation, 2), now_of(&w)));
        group_world_crash(&w);
        group_world_open(&w);
        assert_int_equal(RECOVERY_FENCED, group_standing(w.group));
    }
    group_world_deinit(&w);
}

static void say_number(struct group_world *w, enum group_message what, uint64_t number)
{
    struct buffer body;
    buffer_init(&body, VARINT_BYTES_MAX);
    write_varint(&body, number);
    group_world_say(w, 3, what, buffer_slice(&body));
    buffer_deinit(&body);
}

/* Five entries, all applied, at rest and the member started again; the start of the recovery had two of them. */
static struct recovery_order fence_at_rest(struct group_world *w)
{
    open_with_tail(w);
    group_world_append(w, 2, 1, 5, 1, 0, 5);
    group_world_run(w);
    group_world_write_back(w);
    group_world_crash(w);
    group_world_open(w);
    assert_int_equal(5, machine_applied_index(group_machine(w->group)));
    struct recovery_order order = order_of(3, 3, 2);
    order.commit = 2;
    group_world_notice(w, 3, &order);
    w->hear_as = order.generation;
    group_world_run(w);
    group_world_pass_ms(w, 1000);
    return order;
}

static void a_tail_is_handed_over_also_from_rest(void **state)
{
    (void)state;
    struct group_world w;
    (void)fence_at_rest(&w);
    assert_int_equal(GROUP_ASIDE, w.said);
    assert_int_equal(5, w.aside_last);
    assert_int_equal(3, w.aside_count);
    say_number(&w, GROUP_KEPT, 4); /* of another batch: nothing is kept so far */
    group_world_pass_ms(&w, 1000);
    assert_int_equal(RECOVERY_FENCED, group_standing(w.group));
    say_number(&w, GROUP_KEPT, 5);
    group_world_pass_ms(&w, 1000);
    assert_int_equal(RECOVERY_BLANK, group_standing(w.group));
    group_world_deinit(&w);
}

static void a_blank_member_joins_again_by_a_snapshot(void **state)
{
    (void)state;
    struct group_world w;
    (void)fence_at_rest(&w);
    say_number(&w, GROUP_KEPT, 5);
    group_world_pass_ms(&w, 1000);
    group_world_run(&w);
    group_world_crash(&w);
    group_world_open(&w);
    assert_int_equal(RECOVERY_BLANK, group_standing(w.group));
    group_world_append(&w, 3, 8, 0, 0, 1, 0); /* entries are of no use to it */
    group_world_run(&w);
    assert_int_equal(0, w.match);
    group_world_snapshot(&w, 3, 8, 4, 8);
    for (uint32_t i = 0; i < 4; i++) {
        group_world_run(&w);
        group_world_pass_ms(&w, 100);
    }
    assert_int_equal(RECOVERY_MEMBER, group_standing(w.group));
    assert_int_equal(4, w.match);
    group_world_crash(&w);
    group_world_open(&w);
    assert_int_equal(RECOVERY_MEMBER, group_standing(w.group));
    assert_int_equal(4, machine_applied_index(group_machine(w.group)));
    group_world_deinit(&w);
}

static void write_aside(struct buffer *body)
{
    struct arena arena;
    struct group_ledger_entry entry = {
        .reason = GROUP_LEDGER_FENCED, .node = 3, .term = 1, .index = 6, .payload = SLICE_LITERAL("an entry")};
    arena_init(&arena);
    struct machine_args words = group_ledger_words(&entry, &arena);
    write_varint(body, 6);
    write_varint(body, 1);
    write_bytes(body, words.args[0]);
    write_bytes(body, words.args[1]);
    arena_deinit(&arena);
}

static void the_leader_keeps_a_tail_once(void **state)
{
    (void)state;
    struct group_world w;
    open_with_tail(&w);
    struct recovery_order order = order_of(1, 1, 5);
    assert_true(group_prepare_recovery(w.group, order.generation, now_of(&w)));
    group_world_run(&w);
    assert_true(group_recover(w.group, &order, now_of(&w)));
    group_world_run(&w);
    group_world_pass_ms(&w, 10 * 1000);
    struct buffer body;
    buffer_init(&body, 1024);
    write_aside(&body);
    w.hear_as = order.generation;
    for (uint32_t i = 0; i < 3; i++) {
        group_world_say(&w, 3, GROUP_ASIDE, buffer_slice(&body));
        group_world_run(&w);
    }
    assert_int_equal(GROUP_KEPT, w.said);
    assert_int_equal(1, machine_ledger_count(group_machine(w.group)));
    buffer_deinit(&body);
    group_world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_site_majority),
        cmocka_unit_test(the_most_advanced_starts),
        cmocka_unit_test(who_stands_is_left_alone_and_who_stands_still_is_taken_over),
        cmocka_unit_test(logs_part_where_terms_do),
        cmocka_unit_test(prepared_stands_still_also_after_a_crash),
        cmocka_unit_test(the_start_leads_alone_and_keeps_its_tail),
        cmocka_unit_test(of_two_recoveries_the_higher_one_wins),
        cmocka_unit_test(a_fenced_member_is_silent_for_ever),
        cmocka_unit_test(a_tail_is_handed_over_also_from_rest),
        cmocka_unit_test(a_blank_member_joins_again_by_a_snapshot),
        cmocka_unit_test(the_leader_keeps_a_tail_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
