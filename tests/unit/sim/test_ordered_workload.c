/* links: contract storage node wire base */
/* test_ordered_workload.c: the clients and the judges of strict promises, tried on tables that can't keep them. A
 * mergeable table on one node is linearizable by accident; on three nodes it is not, and the judges must see that. */
#include "sim/ordered_workload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "sim/checker_ordered.h"

static const uint64_t second_ns = 1000000000;

static void draw_plan(struct plan *plan, uint32_t nodes)
{
    *plan = (struct plan){.seed = 3, .ordered_count = 2, .ordered_clients = 6, .ordered_operations = 600};
    plan->ordered_think_ns_max = second_ns / 10;
    plan->client_timeout_ns = 5 * second_ns;
    struct topology t = {.regions_count = nodes, .nodes_count = nodes, .faults_allowed = true, .epoch = 1};
    for (uint32_t i = 0; i < nodes; i++) {
        snprintf(t.regions[i], sizeof t.regions[i], "r%u", i);
        snprintf(t.nodes[i].id, sizeof t.nodes[i].id, "r%u-1", i);
        snprintf(t.nodes[i].zone, sizeof t.nodes[i].zone, "r%u-a", i);
        t.nodes[i].region = (uint8_t)i;
        t.nodes[i].number = topology_node_number(slice_of_string(t.nodes[i].id));
        for (uint32_t k = 0; k < i; k++) t.links[i][k] = t.links[k][i] = (struct topology_link){50000, 1000};
    }
    world_config_init(&plan->world, &t, 5);
    plan->ordered[0] = (struct plan_ordered){.kind = LINEAR_REGISTER, .keys_at_once = 3, .operations_per_key = 25};
    plan->ordered[1] = (struct plan_ordered){.kind = LINEAR_COUNTER, .keys_at_once = 3, .operations_per_key = 25};
    snprintf(plan->ordered[0].name, sizeof plan->ordered[0].name, "reg");
    snprintf(plan->ordered[1].name, sizeof plan->ordered[1].name, "sum");
}

static void play(const struct plan *plan, struct verdict *v)
{
    struct buffer error;
    buffer_init(&error, 4096);
    struct world *w = world_new(&plan->world);
    for (uint32_t n = 0; n < plan->world.topology.nodes_count; n++) {
        assert_true(world_node_start(w, (uint8_t)n, &error));
    }
    world_run_until(w, 2 * second_ns);
    struct ordered_history h;
    ordered_history_init(&h);
    struct ordered_workload *load = ordered_workload_new(w, plan, &h, v);
    assert_true(ordered_workload_prepare(load, &error));
    ordered_workload_start(load);
    for (int i = 0; i < 400 && !ordered_workload_is_done(load); i++) {
        world_run_until(w, world_now_ns(w) + second_ns / 4);
    }
    assert_true(ordered_workload_is_done(load));
    assert_true(ordered_workload_audit(load, &error));
    assert_true(h.count > plan->ordered_operations);
    check_linearizable(plan, &h, v);
    check_exactly_once(plan, &h, v);
    world_run_until(w, world_now_ns(w) + plan->client_timeout_ns);
    world_free(w);
    ordered_workload_free(load);
    ordered_history_deinit(&h);
    buffer_deinit(&error);
}

static void one_node_is_linearizable(void **state)
{
    (void)state;
    struct plan plan;
    struct verdict v = {0};
    draw_plan(&plan, 1);
    play(&plan, &v);
    if (v.property) print_message("%s: %s\n", v.property, v.reason);
    assert_null(v.property);
}

static void three_mergeable_nodes_are_not(void **state)
{
    (void)state;
    struct plan plan;
    struct verdict v = {0};
    draw_plan(&plan, 3);
    play(&plan, &v);
    print_message("%s: %s\n", v.property ? v.property : "-", v.reason);
    assert_non_null(v.property);
    assert_string_equal(v.property, "linearizability");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_node_is_linearizable),
        cmocka_unit_test(three_mergeable_nodes_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
