/* test_stability.c: rule S1 played out: replicas exchange writes in causal order and report clocks over slow, separate
 * channels. A dot that is called stable is never followed by the delivery of a write concurrent with it. The same run
 * with "stable as soon as every report covers it" must break that, else this test could not fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/prng.h"
#include "causality/stability.h"

enum { NODES = 3, WRITES_MAX = 60, STEPS = 600 };

struct model_write {
    struct dot dot;
    uint64_t past[NODES]; /* the writer's clock when it wrote */
};

struct model_report {
    uint16_t from;
    struct vv clock;
};

struct node {
    uint64_t clock[NODES];
    struct stability *stability;
    struct vv naive[NODES]; /* latest report of each member, confirmed or not */
    uint64_t reports_read[NODES];
};

struct model {
    struct node nodes[NODES];
    struct model_write writes[NODES][WRITES_MAX];
    uint64_t written[NODES];
    struct model_report *reports[NODES]; /* by reporting node, in order */
    uint64_t reports_count[NODES];
    struct prng prng;
    uint64_t violations, naive_violations;
};

static uint64_t replica_of(uint64_t node)
{
    return replica_id_of((uint16_t)(node + 1), 1);
}

static struct vv vector_of(const struct node *n)
{
    struct vv vv;
    vv_init(&vv);
    for (uint64_t i = 0; i < NODES; i++) vv_raise(&vv, (struct dot){replica_of(i), n->clock[i]});
    return vv;
}

static bool naive_is_stable(const struct node *n, uint64_t self, uint64_t origin, uint64_t counter)
{
    for (uint64_t m = 0; m < NODES; m++) {
        if (m != self && vv_get(&n->naive[m], replica_of(origin)) < counter) return false;
    }
    return n->clock[origin] >= counter;
}

/* Before `w` is applied at `self`: is anything stable there that is concurrent with it? */
static void judge_delivery(struct model *m, uint64_t self, const struct model_write *w)
{
    const struct node *n = &m->nodes[self];
    for (uint64_t origin = 0; origin < NODES; origin++) {
        for (uint64_t counter = w->past[origin] + 1; counter <= n->clock[origin]; counter++) {
            struct dot d = {replica_of(origin), counter}; /* not in w's past, here already: concurrent with w */
            if (stability_is_stable(n->stability, d)) m->violations++;
            if (naive_is_stable(n, self, origin, counter)) m->naive_violations++;
        }
    }
}

static void advance(struct model *m, uint64_t self)
{
    struct vv own = vector_of(&m->nodes[self]);
    stability_on_report(m->nodes[self].stability, (uint16_t)(self + 1), &own, &own);
    stability_on_advance(m->nodes[self].stability, &own);
    vv_deinit(&own);
}

static void write_at(struct model *m, uint64_t self)
{
    if (m->written[self] == WRITES_MAX) return;
    struct node *n = &m->nodes[self];
    struct model_write *w = &m->writes[self][m->written[self]++];
    memcpy(w->past, n->clock, sizeof w->past);
    w->dot = (struct dot){replica_of(self), ++n->clock[self]};
    advance(m, self);
}

static void deliver_one(struct model *m, uint64_t self, uint64_t origin)
{
    struct node *n = &m->nodes[self];
    if (origin == self || n->clock[origin] == m->written[origin]) return;
    const struct model_write *w = &m->writes[origin][n->clock[origin]];
    for (uint64_t i = 0; i < NODES; i++) {
        if (i != origin && n->clock[i] < w->past[i]) return; /* its causes are not here yet */
    }
    judge_delivery(m, self, w);
    n->clock[origin]++;
    advance(m, self);
}

static void report_from(struct model *m, uint64_t self)
{
    m->reports[self] = memory_realloc(m->reports[self], (m->reports_count[self] + 1) * sizeof(struct model_report));
    m->reports[self][m->reports_count[self]++] =
        (struct model_report){(uint16_t)(self + 1), vector_of(&m->nodes[self])};
}

static void read_report(struct model *m, uint64_t self, uint64_t from)
{
    struct node *n = &m->nodes[self];
    if (from == self || n->reports_read[from] == m->reports_count[from]) return;
    const struct model_report *report = &m->reports[from][n->reports_read[from]++];
    struct vv own = vector_of(n);
    stability_on_report(n->stability, report->from, &report->clock, &own);
    stability_on_advance(n->stability, &own);
    vv_copy(&n->naive[from], &report->clock);
    vv_deinit(&own);
}

static void model_init(struct model *m, uint64_t seed)
{
    static const uint16_t members[NODES] = {1, 2, 3};
    *m = (struct model){0};
    prng_init(&m->prng, seed);
    for (int i = 0; i < NODES; i++) m->nodes[i].stability = stability_new(members, NODES);
}

static void model_deinit(struct model *m)
{
    for (uint64_t i = 0; i < NODES; i++) {
        stability_free(m->nodes[i].stability);
        for (uint64_t k = 0; k < NODES; k++) vv_deinit(&m->nodes[i].naive[k]);
        for (uint64_t k = 0; k < m->reports_count[i]; k++) vv_deinit(&m->reports[i][k].clock);
        memory_free(m->reports[i]);
    }
}

static void step(struct model *m)
{
    uint64_t self = prng_below(&m->prng, NODES), other = prng_below(&m->prng, NODES);
    switch (prng_below(&m->prng, 6)) {
    case 0: write_at(m, self); break;
    case 1:
    case 2: deliver_one(m, self, other); break;
    case 3: report_from(m, self); break;
    default: read_report(m, self, other); break; /* reports overtake writes */
    }
}

static void stable_dots_have_no_concurrent_latecomers(void **state)
{
    (void)state;
    uint64_t naive = 0, stable = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct model m;
        model_init(&m, seed);
        for (int i = 0; i < STEPS; i++) step(&m);
        assert_int_equal(m.violations, 0);
        naive += m.naive_violations;
        for (int i = 0; i < NODES; i++) stable += stability_vector(m.nodes[i].stability)->count;
        model_deinit(&m);
    }
    assert_true(stable > 0); /* something did become stable */
    assert_true(naive > 0);  /* and the naive rule would have been wrong */
}

static void becomes_stable_once_all_have_reported(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, 1);
    write_at(&m, 0);
    for (uint64_t i = 1; i < NODES; i++) deliver_one(&m, i, 0);
    for (uint64_t i = 0; i < NODES; i++) report_from(&m, i);
    struct dot d = {replica_of(0), 1};
    read_report(&m, 0, 1);
    assert_false(stability_is_stable(m.nodes[0].stability, d));
    read_report(&m, 0, 2);
    assert_true(stability_is_stable(m.nodes[0].stability, d));
    model_deinit(&m);
}

/* A member that lost its disk: what it had reported is worth nothing until it reports again. */
static void what_a_member_lost_is_not_stable(void **state)
{
    (void)state;
    const uint16_t members[] = {1, 2};
    struct stability *s = stability_new(members, 2);
    struct dot first = {replica_of(0), 1}, second = {replica_of(0), 2};
    struct vv clock;
    vv_init(&clock);
    vv_raise(&clock, first);
    stability_on_report(s, 1, &clock, &clock);
    stability_on_report(s, 2, &clock, &clock);
    assert_true(stability_on_advance(s, &clock));
    assert_true(stability_is_stable(s, first));
    stability_forget(s, 2);
    assert_false(stability_is_stable(s, first));
    vv_raise(&clock, second);
    stability_on_report(s, 1, &clock, &clock);
    assert_false(stability_on_advance(s, &clock));
    assert_false(stability_is_stable(s, first));
    stability_on_report(s, 2, &clock, &clock);
    assert_true(stability_on_advance(s, &clock));
    assert_true(stability_is_stable(s, second));
    vv_deinit(&clock);
    stability_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stable_dots_have_no_concurrent_latecomers),
        cmocka_unit_test(becomes_stable_once_all_have_reported),
        cmocka_unit_test(what_a_member_lost_is_not_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
