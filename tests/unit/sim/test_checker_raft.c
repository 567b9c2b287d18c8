/* test_checker_raft.c: members told by hand, each with one thing wrong. */
#include "sim/checker_raft.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { LOG_MAX = 16, MEMBERS = 3 };

/* Entries 1..last; the payload is one letter. */
struct told_log {
    uint64_t terms[LOG_MAX + 1];
    struct raft_entry entries[LOG_MAX + 1];
};

struct cluster {
    struct raft_watch *watch;
    struct verdict verdict;
    struct raft_configuration configuration;
    struct told_log logs[MEMBERS + 1]; /* by node, from 1 */
    struct raft_sight sights[MEMBERS + 1];
};

static uint64_t told_term(const void *log, uint64_t index)
{
    return ((const struct told_log *)log)->terms[index];
}

static const struct raft_entry *told_entry(const void *log, uint64_t index)
{
    return &((const struct told_log *)log)->entries[index];
}

/* Three voters; nodes 1 and 2 stand in region 1, node 3 in region 2; a majority and two regions. */
static void cluster_init(struct cluster *c)
{
    *c = (struct cluster){.watch = raft_watch_new()};
    struct raft_set *set = &c->configuration.now;
    *set = (struct raft_set){.members_count = MEMBERS, .rule = {.needs_count = 1}};
    set->rule.needs[0].label = COMMIT_LABEL_REGION;
    set->rule.needs[0].distinct = 2;
    for (uint16_t node = 1; node <= MEMBERS; node++) {
        struct raft_member *m = &set->members[node - 1];
        *m = (struct raft_member){.node = node, .kind = RAFT_VOTER};
        m->labels.value[COMMIT_LABEL_REGION] = node == 3 ? 2 : 1;
        struct raft_sight *s = &c->sights[node];
        *s = (struct raft_sight){.table = 7, .node = node, .term = 1, .configuration = &c->configuration};
        s->log = &c->logs[node];
        s->term_at = told_term;
        s->entry_at = told_entry;
    }
}

static void append(struct cluster *c, uint16_t node, uint64_t term, const char *payload)
{
    struct raft_sight *s = &c->sights[node];
    uint64_t index = ++s->last;
    c->logs[node].terms[index] = term;
    c->logs[node].entries[index] =
        (struct raft_entry){.term = term, .index = index, .payload = slice_of_string(payload)};
}

static void see(struct cluster *c, uint16_t node)
{
    raft_watch_see(c->watch, &c->sights[node], &c->verdict);
    c->sights[node].starts = false;
}

static void expect(struct cluster *c, const char *property)
{
    if (property) {
        assert_non_null(c->verdict.property);
        assert_string_equal(c->verdict.property, property);
    } else {
        assert_null(c->verdict.property);
    }
    raft_watch_free(c->watch);
}

/* Nodes 1 and 3 hold entries 1 and 2 of term 1 on disk; 1 leads and has committed both. */
static void cluster_with_two_committed(struct cluster *c)
{
    cluster_init(c);
    static const uint16_t holders[] = {3, 1};
    for (int i = 0; i < 2; i++) {
        append(c, holders[i], 1, "a");
        append(c, holders[i], 1, "b");
        c->sights[holders[i]].durable = 2;
        if (holders[i] == 1) {
            c->sights[1].commit = 2;
            c->sights[1].leads = true;
        }
        see(c, holders[i]);
    }
    assert_null(c->verdict.property);
    assert_int_equal(raft_watch_committed(c->watch, 7, 0), 2);
}

static void a_sound_group_passes(void **state)
{
    (void)state;
    struct cluster c;
    cluster_with_two_committed(&c);
    append(&c, 2, 1, "a");
    append(&c, 2, 1, "b");
    append(&c, 2, 1, "c");
    c.sights[2].commit = 1;
    see(&c, 2);
    c.sights[2].starts = true; /* crashed before anything was durable */
    c.sights[2].last = c.sights[2].commit = 0;
    see(&c, 2);
    c.sights[3].term = 2;
    c.sights[3].leads = true;
    see(&c, 3);
    expect(&c, NULL);
}

static void two_leaders_of_one_term_are_found(void **state)
{
    (void)state;
    struct cluster c;
    cluster_with_two_committed(&c);
    c.sights[3].leads = true;
    see(&c, 3);
    expect(&c, "election safety");
}

static void a_leader_without_a_committed_entry_is_found(void **state)
{
    (void)state;
    struct cluster c;
    cluster_with_two_committed(&c);
    append(&c, 2, 1, "a");
    c.sights[2].term = 2;
    c.sights[2].leads = true;
    see(&c, 2);
    expect(&c, "leader completeness");
}

/* Node 2 was elected in term 2, but its votes reach it when node 3 leads in term 3 and has committed entry 3. */
static void a_leader_that_comes_too_late_passes(void **state)
{
    (void)state;
    struct cluster c;
    cluster_with_two_committed(&c);
    append(&c, 2, 1, "a");
    append(&c, 2, 1, "b");
    append(&c, 1, 3, "c");
    c.sights[1].durable = 3;
    c.sights[1].leads = false;
    see(&c, 1);
    append(&c, 3, 3, "c");
    c.sights[3].term = c.sights[3].durable = c.sights[3].commit = 3;
    c.sights[3].leads = true;
    see(&c, 3);
    c.sights[2].term = 2;
    c.sights[2].leads = true;
    see(&c, 2);
    expect(&c, NULL);
}

static void logs_that_do_not_match_are_found(void **state)
{
    (void)state;
    struct cluster c;
    cluster_with_two_committed(&c);
    append(&c, 2, 1, "a");
    append(&c, 2, 1, "x");
    see(&c, 2);
    expect(&c, "log matching");
}

static void another_entry_in_front_is_found(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c);
    append(&c, 1, 1, "a");
    append(&c, 1, 3, "b");
    see(&c, 1);
    append(&c, 2, 2, "z");
    append(&c, 2, 3, "b");
    see(&c, 2);
    expect(&c, "log matching");
}

static void two_entries_committed_at_one_index_are_found(void **state)
{
    (void)state;
    struct cluster c;
    cluster_with_two_committed(&c);
    append(&c, 2, 1, "a");
    append(&c, 2, 2, "b");
    c.sights[2].commit = 2;
    see(&c, 2);
    expect(&c, "state machine safety");
}

static void a_commit_within_one_region_is_found(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c);
    append(&c, 2, 1, "a");
    c.sights[2].durable = 1;
    see(&c, 2);
    append(&c, 1, 1, "a");
    c.sights[1].durable = c.sights[1].commit = 1;
    see(&c, 1);
    expect(&c, "commit rule held");
}

static void an_earlier_term_committed_by_counting_is_found(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c);
    append(&c, 3, 1, "a");
    c.sights[3].durable = 1;
    see(&c, 3);
    append(&c, 1, 1, "a");
    c.sights[1].term = 2;
    c.sights[1].leads = true;
    c.sights[1].durable = c.sights[1].commit = 1;
    see(&c, 1);
    expect(&c, "own term committed");
}

static void a_commit_before_the_disk_is_found(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c);
    append(&c, 3, 1, "a");
    c.sights[3].durable = 1;
    see(&c, 3);
    append(&c, 1, 1, "a");
    c.sights[1].commit = 1; /* written, not durable */
    see(&c, 1);
    expect(&c, "commit rule held");
}

/* Its disk holds another entry at that index: the copies of a commit are counted by term, not by position. */
static void a_stale_tail_does_not_count(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c);
    append(&c, 3, 1, "old");
    append(&c, 3, 1, "tail");
    c.sights[3].durable = 2;
    see(&c, 3);
    append(&c, 1, 2, "new");
    c.sights[1].durable = c.sights[1].commit = 1;
    see(&c, 1);
    expect(&c, "commit rule held");
}

static void both_halves_of_a_joint_configuration_count(void **state)
{
    (void)state;
    struct cluster c;
    cluster_with_two_committed(&c);
    c.configuration.joint = true;
    c.configuration.old = (struct raft_set){.members_count = 1};
    c.configuration.old.members[0] = (struct raft_member){.node = 2, .kind = RAFT_VOTER};
    append(&c, 3, 1, "c");
    c.sights[3].durable = 3;
    see(&c, 3);
    append(&c, 1, 1, "c");
    c.sights[1].durable = c.sights[1].commit = 3;
    see(&c, 1);
    expect(&c, "commit rule held");
}

static void a_commit_index_that_steps_back_is_found(void **state)
{
    (void)state;
    struct cluster c;
    cluster_with_two_committed(&c);
    c.sights[1].commit = 1;
    see(&c, 1);
    expect(&c, "commit never decreases");
}

static void a_disk_that_forgets_is_found(void **state)
{
    (void)state;
    struct cluster c;
    cluster_with_two_committed(&c);
    c.sights[3].last = c.sights[3].durable = 1;
    c.sights[3].starts = true;
    see(&c, 3);
    expect(&c, "durable means durable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_group_passes),
        cmocka_unit_test(two_leaders_of_one_term_are_found),
        cmocka_unit_test(a_leader_without_a_committed_entry_is_found),
        cmocka_unit_test(a_leader_that_comes_too_late_passes),
        cmocka_unit_test(logs_that_do_not_match_are_found),
        cmocka_unit_test(another_entry_in_front_is_found),
        cmocka_unit_test(two_entries_committed_at_one_index_are_found),
        cmocka_unit_test(a_commit_within_one_region_is_found),
        cmocka_unit_test(an_earlier_term_committed_by_counting_is_found),
        cmocka_unit_test(a_commit_before_the_disk_is_found),
        cmocka_unit_test(a_stale_tail_does_not_count),
        cmocka_unit_test(both_halves_of_a_joint_configuration_count),
        cmocka_unit_test(a_commit_index_that_steps_back_is_found),
        cmocka_unit_test(a_disk_that_forgets_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
