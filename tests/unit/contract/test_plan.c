/* test_plan.c: the planner on layouts whose answers are known, and against a twin that tries every set of replicas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/prng.h"
#include "contract/plan.h"

struct bench {
    struct topology topology;
    struct plan plan;
};

static const char same_site[] = "version: 1\n"
                                "nodes:\n"
                                "  - {id: us-1, region: us}\n"
                                "  - {id: us-2, region: us}\n"
                                "  - {id: eu-1, region: eu}\n"
                                "links: [{between: [us, eu], latency_ms: 40}]\n"
                                "tables:\n  t: %s\n";

static const char five[] = "version: 1\n"
                           "nodes:\n"
                           "  - {id: us-1, region: us, zone: a}\n"
                           "  - {id: us-2, region: us, zone: b}\n"
                           "  - {id: us-3, region: us, zone: c}\n"
                           "  - {id: eu-1, region: eu, zone: a}\n"
                           "  - {id: eu-2, region: eu, zone: b}\n"
                           "  - {id: ca-1, region: ca}\n"
                           "links:\n"
                           "  - {between: [us, eu], latency_ms: 75}\n"
                           "  - {between: [us, ca], latency_ms: 20}\n"
                           "  - {between: [eu, ca], latency_ms: 70}\n"
                           "rules: {geo: {region: 2, zone: 3}}\n"
                           "tables:\n  t: %s\n";

static struct bench *judge(const char *form, const char *contract)
{
    char text[4096];
    struct bench *b = memory_zalloc(1, sizeof *b);
    struct buffer error;
    struct yaml_tree tree;
    struct contract c;
    snprintf(text, sizeof text, form, contract);
    buffer_init(&error, 4096);
    if (topology_parse_sketch("t", slice_of_string(text), &b->topology, &error) != STATUS_OK)
        fail_msg("%.*s", (int)error.length, (const char *)error.data);
    assert_int_equal(yaml_tree_parse(&tree, "t", slice_of_string(text), &error), STATUS_OK);
    const struct yaml_node *t = yaml_find(yaml_find(tree.root, "tables"), "t");
    assert_int_equal(contract_parse_yaml(t, &b->topology, &c, &error), STATUS_OK);
    plan_table(&b->topology, &c, 0, &b->plan);
    yaml_tree_deinit(&tree);
    buffer_deinit(&error);
    return b;
}

static const struct plan_loss *loss_named(const struct plan *p, const char *name)
{
    struct buffer text;
    buffer_init(&text, 4096);
    const struct plan_loss *found = NULL;
    for (uint32_t i = 0; i < p->losses_count && !found; i++) {
        buffer_clear(&text);
        plan_write_loss(p, &p->losses[i], &text);
        if (slice_equal(buffer_slice(&text), slice_of_string(name))) found = &p->losses[i];
    }
    buffer_deinit(&text);
    if (!found) fail_msg("no verdict on '%s'", name);
    return found;
}

static void expect(const struct plan *p, const char *name, enum plan_course writes, enum plan_course reads,
                   enum plan_harm harm)
{
    const struct plan_loss *l = loss_named(p, name);
    if (l->writes != writes || l->reads != reads || l->harm != harm) {
        fail_msg("%s: writes %s, reads %s, missing %s", name, plan_course_name(l->writes), plan_course_name(l->reads),
                 plan_harm_name(l->harm));
    }
}

static void expect_finding(const struct plan *p, const char *beginning)
{
    struct buffer text;
    buffer_init(&text, 4096);
    bool found = false;
    for (uint32_t i = 0; i < p->findings_count && !found; i++) {
        buffer_clear(&text);
        plan_write_finding(p, &p->findings[i], &text);
        found = text.length >= strlen(beginning) && memcmp(text.data, beginning, strlen(beginning)) == 0;
    }
    buffer_deinit(&text);
    if (!found) fail_msg("not found: %s", beginning);
}

static bool has_finding(const struct plan *p, enum plan_finding_kind kind)
{
    for (uint32_t i = 0; i < p->findings_count; i++) {
        if (p->findings[i].kind == kind) return true;
    }
    return false;
}

static void a_majority_in_one_site_is_found_before_it_dies(void **state)
{
    (void)state;
    struct bench *b = judge(same_site, "ENGINE ordered REPLICAS us=2,eu=1 DURABILITY majority");
    expect_finding(&b->plan, "a majority of this group sits in us: losing us loses availability, and under `majority` "
                             "also acknowledged writes");
    expect(&b->plan, "any node of us", PLAN_PAUSE, PLAN_PAUSE, PLAN_HARM_NONE);
    expect(&b->plan, "region us", PLAN_STALL, PLAN_STALL, PLAN_HARM_RULE);
    expect(&b->plan, "region eu", PLAN_PAUSE, PLAN_PAUSE, PLAN_HARM_NONE);
    expect(&b->plan, "link us, eu", PLAN_PAUSE, PLAN_PAUSE, PLAN_HARM_NONE);
    assert_int_equal(loss_named(&b->plan, "link us, eu")->refused_regions, 1 << 1);
    assert_int_equal(loss_named(&b->plan, "any node of us")->commit_us, 80000);
    memory_free(b);
}

static void two_regions_lose_nothing_and_wait_for_both(void **state)
{
    (void)state;
    struct bench *b = judge(same_site, "ENGINE ordered REPLICAS us=2,eu=1 DURABILITY majority+regions:2");
    expect_finding(&b->plan, "a majority of this group sits in us: losing us loses availability, but no acknowledged");
    expect_finding(&b->plan, "`majority+regions:2` needs every region that has a replica: writes stall while any one");
    expect(&b->plan, "any node of us", PLAN_PAUSE, PLAN_PAUSE, PLAN_HARM_NONE);
    expect(&b->plan, "region us", PLAN_STALL, PLAN_STALL, PLAN_HARM_NONE);
    expect(&b->plan, "region eu", PLAN_STALL, PLAN_DEPEND, PLAN_HARM_NONE);
    expect(&b->plan, "link us, eu", PLAN_STALL, PLAN_DEPEND, PLAN_HARM_NONE);
    assert_int_equal(loss_named(&b->plan, "link us, eu")->reads_stall_leaders, 1 << 1);
    assert_int_equal(b->plan.leaders[0].commit_us, 80000);
    memory_free(b);
}

static void the_leader_alone_may_be_rolled_back(void **state)
{
    (void)state;
    struct bench *b = judge(same_site, "ENGINE ordered REPLICAS us=2,eu=1 DURABILITY leader");
    expect(&b->plan, "any node of us", PLAN_PAUSE, PLAN_PAUSE, PLAN_HARM_ROLLED_BACK);
    expect(&b->plan, "link us, eu", PLAN_PAUSE, PLAN_PAUSE, PLAN_HARM_ROLLED_BACK);
    assert_int_equal(b->plan.leaders[0].commit_us, 0);
    expect_finding(&b->plan, "acknowledged by the leader alone: a fail-over rolls back what it had not sent (about the "
                             "last 40 ms");
    expect_finding(&b->plan, "a new leader answers reads once an entry of its own term meets the rule: after an "
                             "election they wait up to 80 ms more");
    memory_free(b);
}

static void three_and_two_slow_down_with_the_first_node(void **state)
{
    (void)state;
    struct bench *b = judge(five, "ENGINE ordered REPLICAS us=3,eu=2");
    assert_int_equal(b->plan.leaders[0].commit_us, 0);
    assert_int_equal(b->plan.leaders[1].commit_us, 150000);
    assert_int_equal(b->plan.leaders[1].client_us[0], 300000);
    assert_false(b->plan.leaders[2].possible);
    assert_int_equal(b->plan.best_leader, 0);
    expect_finding(&b->plan, "with one node of us lost, commits take 150 ms instead of 0");
    expect(&b->plan, "region us", PLAN_STALL, PLAN_STALL, PLAN_HARM_RULE);
    memory_free(b);
    b = judge(five, "ENGINE ordered REPLICAS us=3,eu=2 DURABILITY majority+regions:2");
    assert_int_equal(b->plan.leaders[0].commit_us, 150000);
    assert_int_equal(loss_named(&b->plan, "any node of us")->commit_us, 150000);
    assert_false(has_finding(&b->plan, PLAN_SLOWER_AFTER_LOSS));
    expect(&b->plan, "region us", PLAN_STALL, PLAN_STALL, PLAN_HARM_NONE);
    memory_free(b);
}

static void a_witness_keeps_a_named_rule_going(void **state)
{
    (void)state;
    struct bench *b = judge(five, "ENGINE ordered REPLICAS us=2,eu=2,ca=1w DURABILITY tags:geo");
    expect(&b->plan, "region us", PLAN_PAUSE, PLAN_PAUSE, PLAN_HARM_NONE);
    expect(&b->plan, "region eu", PLAN_PAUSE, PLAN_PAUSE, PLAN_HARM_NONE);
    expect(&b->plan, "region ca", PLAN_GO_ON, PLAN_GO_ON, PLAN_HARM_NONE);
    expect(&b->plan, "ca cut off", PLAN_GO_ON, PLAN_GO_ON, PLAN_HARM_NONE);
    assert_int_equal(b->plan.leaders[0].commit_us, 40000);
    memory_free(b);
    b = judge(five, "ENGINE ordered REPLICAS us=1,ca=1w,eu=1w");
    expect(&b->plan, "region us", PLAN_STALL, PLAN_STALL, PLAN_HARM_EVERYTHING);
    memory_free(b);
}

static void two_replicas_and_one_are_told(void **state)
{
    (void)state;
    struct bench *b = judge(same_site, "ENGINE ordered REPLICAS us=1,eu=1");
    assert_true(has_finding(&b->plan, PLAN_TWO_REPLICAS));
    expect(&b->plan, "region eu", PLAN_STALL, PLAN_STALL, PLAN_HARM_NONE);
    expect(&b->plan, "link us, eu", PLAN_STALL, PLAN_STALL, PLAN_HARM_NONE);
    memory_free(b);
    b = judge(same_site, "ENGINE ordered REPLICAS eu=1");
    assert_true(has_finding(&b->plan, PLAN_ONE_REPLICA));
    expect(&b->plan, "node eu-1", PLAN_STALL, PLAN_STALL, PLAN_HARM_EVERYTHING);
    memory_free(b);
    b = judge(same_site, "ENGINE ordered REPLICAS us=2");
    expect_finding(&b->plan, "all 2 replicas sit in us");
    memory_free(b);
}

static void mergeable_tables_never_stall_while_a_replica_lives(void **state)
{
    (void)state;
    struct bench *b = judge(five, "ENGINE mergeable REPLICAS us=1,eu=1");
    expect(&b->plan, "region us", PLAN_GO_ON, PLAN_GO_ON, PLAN_HARM_NODE_TAIL);
    expect(&b->plan, "link us, eu", PLAN_GO_ON, PLAN_GO_ON, PLAN_HARM_CONFLICT);
    expect(&b->plan, "ca cut off", PLAN_GO_ON, PLAN_GO_ON, PLAN_HARM_NONE);
    assert_int_equal(loss_named(&b->plan, "ca cut off")->refused_regions, 1 << 2);
    assert_int_equal(b->plan.client_us[2], 40000);
    expect_finding(&b->plan,
                   "every region accepts writes and nothing waits for another: writes to one key within 75 ms");
    memory_free(b);
    b = judge(five, "ENGINE mergeable REPLICAS us=1");
    expect(&b->plan, "region us", PLAN_STALL, PLAN_STALL, PLAN_HARM_EVERYTHING);
    memory_free(b);
}

static void local_reads_go_on_where_linearizable_ones_stall(void **state)
{
    (void)state;
    struct bench *b = judge(same_site, "ENGINE ordered REPLICAS us=2,eu=1 READ local");
    expect(&b->plan, "region us", PLAN_STALL, PLAN_GO_ON, PLAN_HARM_RULE);
    memory_free(b);
}

static void the_metadata_group_is_spread_and_judged(void **state)
{
    (void)state;
    struct bench *b = judge(five, "ENGINE ordered");
    struct placement g;
    meta_members(&b->topology, &g);
    assert_int_equal(g.count, 6);
    for (uint32_t i = 0; i < 3; i++) { /* ca, eu, us in turn */
        assert_string_equal(b->topology.regions[b->topology.nodes[g.nodes[i]].region], i == 0   ? "ca"
                                                                                       : i == 1 ? "eu"
                                                                                                : "us");
    }
    plan_meta(&b->topology, &b->plan);
    assert_true(has_finding(&b->plan, PLAN_EVEN_REPLICAS));
    expect(&b->plan, "region us", PLAN_STALL, PLAN_STALL, PLAN_HARM_NONE);
    expect(&b->plan, "region eu", PLAN_PAUSE, PLAN_PAUSE, PLAN_HARM_NONE);
    memory_free(b);
}

/* ---- the twin: every subset of replicas is tried, by names ---- */

struct twin {
    const struct topology *t;
    const struct placement *g;
    enum durability_kind kind;
    uint32_t distinct;
};

static uint32_t count_places(const struct twin *w, uint32_t set, bool zones)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->g->count; i++) {
        bool fresh = set >> i & 1;
        const struct topology_node *n = &w->t->nodes[w->g->nodes[i]];
        for (uint32_t k = 0; k < i && fresh; k++) {
            const struct topology_node *m = &w->t->nodes[w->g->nodes[k]];
            bool same = m->region == n->region && (!zones || strcmp(m->zone, n->zone) == 0);
            fresh = !((set >> k & 1) && same);
        }
        count += fresh;
    }
    return count;
}

static bool twin_holds(const struct twin *w, uint32_t set)
{
    uint32_t members = 0;
    for (uint32_t i = 0; i < w->g->count; i++) members += set >> i & 1;
    if (2 * members <= w->g->count) return false;
    if (w->kind == DURABILITY_ALL) return members == w->g->count;
    if (w->kind == DURABILITY_REGIONS) return count_places(w, set, false) >= w->distinct;
    if (w->kind == DURABILITY_ZONES) return count_places(w, set, true) >= w->distinct;
    return true;
}

/* Some set within `mask` satisfies the rule. */
static bool twin_possible(const struct twin *w, uint32_t mask)
{
    for (uint32_t set = 0; set <= mask; set++) {
        if ((set & ~mask) == 0 && twin_holds(w, set)) return true;
    }
    return false;
}

static bool twin_majority(const struct twin *w, uint32_t mask)
{
    uint32_t members = 0;
    for (uint32_t i = 0; i < w->g->count; i++) members += mask >> i & 1;
    return 2 * members > w->g->count;
}

static uint32_t members_in(const struct twin *w, uint64_t nodes)
{
    uint32_t mask = 0;
    for (uint32_t i = 0; i < w->g->count; i++) mask |= (uint32_t)(nodes >> w->g->nodes[i] & 1) << i;
    return mask;
}

/* The worst over all partitions. */
struct expected {
    enum plan_course writes, reads;
    bool loses;
};

static enum plan_course worse(enum plan_course a, enum plan_course b)
{
    return a > b ? a : b;
}

static void expect_replica_loss(const struct twin *w, uint64_t nodes, struct expected *e)
{
    uint32_t all = (UINT32_C(1) << w->g->count) - 1, lost = members_in(w, nodes), alive = all & ~lost;
    if (!lost) return;
    bool writable = twin_possible(w, alive);
    e->writes = worse(e->writes, writable ? PLAN_PAUSE : PLAN_STALL);
    e->reads = worse(e->reads, !twin_majority(w, alive) ? PLAN_STALL : writable ? PLAN_PAUSE : PLAN_DEPEND);
    e->loses = e->loses || lost == all || twin_possible(w, lost);
}

static uint32_t heard_by(const struct twin *w, const struct plan_loss *l, uint32_t region)
{
    uint32_t mask = 0;
    for (uint32_t i = 0; i < w->g->count; i++) {
        uint32_t other = w->t->nodes[w->g->nodes[i]].region;
        bool link = l->kind == PLAN_LINK && (region == l->a ? other == l->b : region == l->b && other == l->a);
        bool off = l->kind == PLAN_CUT_OFF && region != other && (region == l->a || other == l->a);
        if (!link && !off) mask |= UINT32_C(1) << i;
    }
    return mask;
}

/* Writes stall everywhere, or nowhere, exactly if the twin finds a leader that can go on nowhere, or everywhere. */
static void expect_cut(const struct twin *w, const struct plan_loss *l, struct expected *e)
{
    uint32_t places = 0, writable = 0, stuck = 0;
    for (uint32_t region = 0; region < w->t->regions_count; region++) {
        bool home = false;
        for (uint32_t i = 0; i < w->g->count; i++) home = home || w->t->nodes[w->g->nodes[i]].region == region;
        if (!home) continue;
        bool possible = twin_possible(w, heard_by(w, l, region));
        places++;
        writable += possible;
        stuck += !possible && twin_majority(w, heard_by(w, l, region));
    }
    enum plan_course mixed = stuck ? PLAN_DEPEND : PLAN_PAUSE;
    e->writes = worse(e->writes, writable == 0 ? PLAN_STALL : writable == places ? PLAN_GO_ON : mixed);
}

/* Judge one loss of one verdict anew, over all partitions; `nodes`: what is lost of the verdict's. */
static void check_loss(const struct bench *b, const struct contract *c, const struct plan_loss *l, uint64_t nodes)
{
    struct expected e = {PLAN_GO_ON, PLAN_GO_ON, false};
    bool is_cut = l->kind == PLAN_LINK || l->kind == PLAN_CUT_OFF;
    for (uint16_t partition = 0; partition < c->partitions; partition++) {
        struct placement g;
        placement_members(&b->topology, c, 0, partition, &g);
        struct twin w = {&b->topology, &g, c->durability.kind, c->durability.rule.needs[0].distinct};
        if (is_cut)
            expect_cut(&w, l, &e);
        else
            expect_replica_loss(&w, nodes, &e);
    }
    assert_int_equal(l->writes, e.writes);
    if (!is_cut) assert_int_equal(l->reads, e.reads);
    assert_int_equal(l->harm >= PLAN_HARM_RULE, e.loses);
}

static void random_topology(struct prng *prng, struct topology *t)
{
    memset(t, 0, sizeof *t);
    t->regions_count = 1 + (uint32_t)prng_below(prng, 4);
    for (uint32_t r = 0; r < t->regions_count; r++) {
        snprintf(t->regions[r], sizeof t->regions[r], "r%u", r);
        uint32_t nodes = 1 + (uint32_t)prng_below(prng, 3);
        for (uint32_t n = 0; n < nodes; n++) {
            struct topology_node *node = &t->nodes[t->nodes_count++];
            snprintf(node->id, sizeof node->id, "r%u-%u", r, n);
            snprintf(node->zone, sizeof node->zone, "z%u", (unsigned)prng_below(prng, 2));
            node->region = (uint8_t)r;
            node->number = topology_node_number(slice_of_string(node->id));
        }
    }
}

static bool random_contract(struct prng *prng, const struct topology *t, struct contract *c)
{
    static const enum durability_kind kinds[] = {DURABILITY_MAJORITY, DURABILITY_REGIONS, DURABILITY_ZONES,
                                                 DURABILITY_ALL};
    memset(c, 0, sizeof *c);
    c->engine = ENGINE_ORDERED;
    c->partitions = (uint16_t)(1 + prng_below(prng, 6));
    c->read = CONTRACT_READ_LINEARIZABLE;
    c->durability.kind = kinds[prng_below(prng, 4)];
    c->durability.rule.all = c->durability.kind == DURABILITY_ALL;
    bool needs = c->durability.kind == DURABILITY_REGIONS || c->durability.kind == DURABILITY_ZONES;
    c->durability.rule.needs_count = needs;
    c->durability.rule.needs[0].label = c->durability.kind == DURABILITY_ZONES;
    c->durability.rule.needs[0].distinct = (uint8_t)(1 + prng_below(prng, 3));
    for (uint32_t i = 0; i < t->nodes_count; i++) c->replicas[t->nodes[i].region] += prng_below(prng, 4) > 0;
    for (uint16_t partition = 0; partition < c->partitions; partition++) {
        struct placement g;
        placement_members(t, c, 0, partition, &g);
        if (!commit_rule_holds(&g.rule, g.labels, g.count, (UINT64_C(1) << g.count) - 1)) return false;
    }
    return true;
}

static void every_set_of_replicas_says_the_same(void **state)
{
    (void)state;
    struct bench *b = memory_zalloc(1, sizeof *b);
    struct prng prng;
    prng_init(&prng, 7);
    for (int round = 0; round < 1500; round++) {
        struct contract c;
        random_topology(&prng, &b->topology);
        if (!random_contract(&prng, &b->topology, &c)) continue;
        plan_table(&b->topology, &c, 0, &b->plan);
        for (uint32_t i = 0; i < b->plan.losses_count; i++) {
            const struct plan_loss *l = &b->plan.losses[i];
            if (l->kind == PLAN_ZONE && l->instances > 1) continue;
            if (l->kind != PLAN_NODE) check_loss(b, &c, l, l->nodes);
            for (uint64_t left = l->kind == PLAN_NODE ? l->nodes : 0; left; left &= left - 1)
                check_loss(b, &c, l, left & ~(left - 1));
        }
    }
    memory_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_majority_in_one_site_is_found_before_it_dies),
        cmocka_unit_test(two_regions_lose_nothing_and_wait_for_both),
        cmocka_unit_test(the_leader_alone_may_be_rolled_back),
        cmocka_unit_test(three_and_two_slow_down_with_the_first_node),
        cmocka_unit_test(a_witness_keeps_a_named_rule_going),
        cmocka_unit_test(two_replicas_and_one_are_told),
        cmocka_unit_test(mergeable_tables_never_stall_while_a_replica_lives),
        cmocka_unit_test(local_reads_go_on_where_linearizable_ones_stall),
        cmocka_unit_test(the_metadata_group_is_spread_and_judged),
        cmocka_unit_test(every_set_of_replicas_says_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
