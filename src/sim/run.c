/* run.c: the phases of a run.
 *
 * Source:  the two phases follow TigerBeetle's simulator: first safety while faults go on, then liveness of a healed
 *          core.
 */
#include "sim/run.h"

#include <stdio.h>

#include "mergeable/replica.h"
#include "node/inspect.h"
#include "sim/checker_groups.h"
#include "sim/checker_ordered.h"
#include "sim/operators.h"
#include "sim/ordered_workload.h"
#include "sim/workload.h"

enum { WARM_UP_S = 2, WORK_DEADLINE_S = 900, EXPIRY_S_MAX = 6, CONVERGE_DEADLINE_S = 240 };
static const uint64_t second_ns = 1000000000ULL;

struct run {
    const struct plan *plan;
    struct world *world;
    struct history history;
    struct ordered_history ordered_history;
    struct workload *load;
    struct ordered_workload *ordered_load; /* NULL: the plan has no ordered tables */
    struct operators *operators;
    struct raft_watch *watch;
    struct run_report *report;
    bool lost[TOPOLOGY_NODES_MAX]; /* whose disk was wiped */
    char waits_for[CONVERGENCE_WHY_BYTES];
};

/* ---- faults ---- */

static void cut_regions(struct run *run, const struct plan_fault *f, bool cut)
{
    const struct topology *t = world_topology(run->world);
    for (uint32_t a = 0; a < t->nodes_count; a++) {
        for (uint32_t b = 0; b < t->nodes_count; b++) {
            if (t->nodes[a].region != f->a || t->nodes[b].region != f->b) continue;
            world_cut(run->world, (uint8_t)a, (uint8_t)b, cut);
            if (f->kind == PLAN_CUT_TWO_WAY) world_cut(run->world, (uint8_t)b, (uint8_t)a, cut);
        }
    }
}

static void isolate_node(struct run *run, uint8_t node, bool cut)
{
    for (uint32_t b = 0; b < world_topology(run->world)->nodes_count; b++) {
        if (b == node) continue;
        world_cut(run->world, node, (uint8_t)b, cut);
        world_cut(run->world, (uint8_t)b, node, cut);
    }
}

static void crash(struct run *run, uint8_t node)
{
    if (world_node_is_running(run->world, node)) world_node_crash(run->world, node);
}

static void start(struct run *run, uint8_t node)
{
    if (world_node_is_running(run->world, node)) return;
    struct buffer error;
    buffer_init(&error, 4096);
    bool started = world_node_start(run->world, node, &error);
    bool may_fail = world_node_is_full(run->world, node); /* there is no room for a first segment: later, then */
    if (!started && !may_fail)
        fprintf(stderr, "node %u does not start: %.*s\n", node, (int)error.length, (const char *)error.data);
    ASSERT(started || may_fail); /* else a node must always open what a crash left */
    buffer_deinit(&error);
}

/* A mergeable write acknowledged by one node survives crashes, not the loss of its only disk: wipe only what every
 * other member of each of its partitions has on its disk. */
struct coverage {
    struct run *run;
    uint8_t node;
    struct replica *mine;
    bool covered;
};

static void check_member(void *user, struct replica *theirs)
{
    struct coverage *c = user;
    if (replica_table(theirs) != replica_table(c->mine) || replica_partition(theirs) != replica_partition(c->mine))
        return;
    if (!vv_covers_all(replica_durable_clock(theirs), replica_clock(c->mine)) || !replica_is_serving(theirs))
        c->covered = false;
}

static void visit_others(struct coverage *c, void (*visit)(void *user, struct replica *r))
{
    struct world *w = c->run->world;
    for (uint32_t node = 0; node < world_topology(w)->nodes_count; node++) {
        if (node == c->node) continue;
        if (!world_node_is_running(w, (uint8_t)node)) c->covered = false;
        for (uint8_t k = 0; k < world_node_shards(w, (uint8_t)node); k++) {
            struct shard *shard = world_shard(w, (uint8_t)node, k);
            if (shard) shard_visit_replicas(shard, visit, c);
        }
    }
}

static void check_mine(void *user, struct replica *mine)
{
    struct coverage *c = user;
    c->mine = mine;
    visit_others(c, check_member);
}

static bool is_covered(struct run *run, uint8_t node)
{
    if (!world_node_is_running(run->world, node)) return false;
    if (!groups_can_spare(run->world, node, run->lost)) return false;
    struct coverage c = {.run = run, .node = node, .covered = true};
    for (uint8_t k = 0; k < world_node_shards(run->world, node); k++) {
        shard_visit_replicas(world_shard(run->world, node, k), check_mine, &c);
    }
    return c.covered;
}

static void begin_fault(void *user, uint64_t index)
{
    struct run *run = user;
    const struct plan_fault *f = &run->plan->faults[index];
    world_note(run->world, "fault %s begins: %u %u", plan_fault_name(f->kind), f->a, f->b);
    switch (f->kind) {
    case PLAN_CUT_TWO_WAY:
    case PLAN_CUT_ONE_WAY: cut_regions(run, f, true); return;
    case PLAN_ISOLATE: isolate_node(run, f->a, true); return;
    case PLAN_CRASH: crash(run, f->a); return;
    case PLAN_PAUSE:
        if (world_node_is_running(run->world, f->a)) world_node_pause(run->world, f->a, true);
        return;
    case PLAN_STANDSTILL:
        isolate_node(run, f->a, true);
        if (world_node_is_running(run->world, f->a)) world_node_pause(run->world, f->a, true);
        return;
    case PLAN_WIPE:
        if (!is_covered(run, f->a)) return;
        crash(run, f->a);
        world_node_wipe(run->world, f->a);
        raft_watch_forget(run->watch, world_topology(run->world)->nodes[f->a].number);
        run->lost[f->a] = true;
        return;
    case PLAN_SKEW: world_node_skew(run->world, f->a, f->skew_ms); return;
    case PLAN_STALL:
        /* Beyond the end where the power goes then: what is under way must not be saved at that very moment. */
        world_node_stall_disk(run->world, f->a, world_now_ns(run->world) + (f->end_ns - f->begin_ns) + second_ns);
        return;
    case PLAN_DISK_FULL: world_node_disk_full(run->world, f->a, true); return;
    case PLAN_RESTART_ALL:
        for (uint32_t n = 0; n < world_topology(run->world)->nodes_count; n++) crash(run, (uint8_t)n);
        return;
    case PLAN_FAULT_KINDS: return;
    }
}

static void end_fault(void *user, uint64_t index)
{
    struct run *run = user;
    const struct plan_fault *f = &run->plan->faults[index];
    world_note(run->world, "fault %s ends: %u %u", plan_fault_name(f->kind), f->a, f->b);
    switch (f->kind) {
    case PLAN_CUT_TWO_WAY:
    case PLAN_CUT_ONE_WAY: cut_regions(run, f, false); return;
    case PLAN_ISOLATE: isolate_node(run, f->a, false); return;
    case PLAN_CRASH:
    case PLAN_WIPE: start(run, f->a); return;
    case PLAN_PAUSE: world_node_pause(run->world, f->a, false); return;
    case PLAN_STANDSTILL:
        world_node_pause(run->world, f->a, false);
        isolate_node(run, f->a, false);
        return;
    case PLAN_SKEW: world_node_skew(run->world, f->a, 0); return;
    case PLAN_STALL:
        if (!f->crash_at_end) return;
        crash(run, f->a);
        start(run, f->a);
        return;
    case PLAN_DISK_FULL: world_node_disk_full(run->world, f->a, false); return;
    case PLAN_RESTART_ALL:
        for (uint32_t n = 0; n < world_topology(run->world)->nodes_count; n++) start(run, (uint8_t)n);
        return;
    case PLAN_FAULT_KINDS: return;
    }
}

static void plan_faults(struct run *run)
{
    uint64_t now = world_now_ns(run->world);
    for (uint32_t i = 0; i < run->plan->faults_count; i++) {
        world_at(run->world, now + run->plan->faults[i].begin_ns, begin_fault, run, i);
        world_at(run->world, now + run->plan->faults[i].end_ns, end_fault, run, i);
    }
}

static void heal_all(struct run *run)
{
    world_note(run->world, "healing");
    world_heal(run->world);
    world_calm(run->world);
    for (uint32_t n = 0; n < world_topology(run->world)->nodes_count; n++) {
        world_node_disk_full(run->world, (uint8_t)n, false);
        world_node_skew(run->world, (uint8_t)n, 0);
        world_node_pause(run->world, (uint8_t)n, false);
        start(run, (uint8_t)n);
    }
}

/* ---- phases ---- */

static bool run_until(struct run *run, bool (*reached)(struct run *run), uint64_t seconds)
{
    uint64_t deadline = world_now_ns(run->world) + seconds * second_ns;
    while (!reached(run)) {
        if (world_now_ns(run->world) >= deadline) return false;
        world_run_until(run->world, world_now_ns(run->world) + second_ns / 4);
        check_backlog(run->world, &run->report->verdict);
    }
    return true;
}

static bool work_is_done(struct run *run)
{
    return workload_is_done(run->load) && operators_are_done(run->operators) &&
           (!run->ordered_load || ordered_workload_is_done(run->ordered_load));
}

static bool cluster_is_quiet(struct run *run)
{
    return convergence_reached(run->world, run->waits_for) && groups_are_settled(run->world, run->waits_for);
}

static void count_operation(enum operation_outcome outcome, struct run_report *out)
{
    out->operations++;
    switch (outcome) {
    case OPERATION_DONE: out->acknowledged++; return;
    case OPERATION_UNKNOWN: out->unknown++; return;
    case OPERATION_REFUSED: out->refused++; return;
    }
}

static void count_operations(const struct run *run, struct run_report *out)
{
    static const enum operation_outcome outcomes[] = {
        [ORDERED_UNKNOWN] = OPERATION_UNKNOWN, [ORDERED_DONE] = OPERATION_DONE, [ORDERED_REFUSED] = OPERATION_REFUSED};
    for (uint32_t i = 0; i < run->history.count; i++) count_operation(run->history.operations[i].outcome, out);
    for (uint32_t i = 0; i < run->ordered_history.count; i++) {
        count_operation(outcomes[run->ordered_history.operations[i].outcome], out);
    }
}

/* What was found wrong before weighs more than what does not come any more. */
static void fail_liveness(struct run *run, const char *property, const struct buffer *reason)
{
    run->report->result = run->report->verdict.property ? RUN_SAFETY : RUN_LIVENESS;
    verdict_fail(&run->report->verdict, property, "%.*s", (int)reason->length, (const char *)reason->data);
}

static void judge_mergeable(struct run *run, struct verdict *v)
{
    struct audit *audit = audit_take(run->world, run->plan);
    check_no_lost_write(&run->history, audit, v);
    check_counter_sum(&run->history, audit, v);
    check_set_adds(&run->history, audit, v);
    check_no_resurrection(&run->history, audit, v);
    check_causal_order(&run->history, audit, v);
    check_account(run->world, v);
    check_convergence(run->world, audit, v);
    audit_free(audit);
}

static void judge_ordered(struct run *run, struct verdict *v)
{
    struct buffer error;
    buffer_init(&error, 4096);
    check_states_equal(run->world, v);
    if (!ordered_workload_audit(run->ordered_load, &error)) fail_liveness(run, "every key answers", &error);
    check_exactly_once(run->plan, &run->ordered_history, v);
    check_linearizable(run->plan, &run->ordered_history, v);
    if (!v->property && !check_histories_decided(run->plan, &run->ordered_history, v))
        run->report->result = RUN_UNDECIDED;
    buffer_deinit(&error);
}

static void judge(struct run *run)
{
    struct verdict *v = &run->report->verdict;
    operators_judge(run->operators, v);
    judge_mergeable(run, v);
    if (run->ordered_load) judge_ordered(run, v);
    if (v->property && run->report->result == RUN_OK) run->report->result = RUN_SAFETY;
}

/* Create the tables of both workloads. */
static bool prepare(struct run *run)
{
    struct buffer error;
    buffer_init(&error, 4096);
    bool ready = workload_create_tables(run->load, &error) &&
                 (!run->ordered_load || ordered_workload_prepare(run->ordered_load, &error));
    if (!ready) fail_liveness(run, "tables can be created", &error);
    buffer_deinit(&error);
    return ready;
}

static void work_and_judge(struct run *run)
{
    if (!prepare(run)) return;
    plan_faults(run);
    workload_start(run->load);
    if (run->ordered_load) ordered_workload_start(run->ordered_load);
    operators_start(run->operators);
    bool done = run_until(run, work_is_done, WORK_DEADLINE_S);
    heal_all(run);
    /* What can expire has expired before regions are compared one after the other. */
    world_run_until(run->world, world_now_ns(run->world) + EXPIRY_S_MAX * second_ns);
    done = done && run_until(run, cluster_is_quiet, CONVERGE_DEADLINE_S);
    if (done) {
        judge(run);
        return;
    }
    struct buffer why;
    buffer_init(&why, 4096);
    buffer_append_format(&why, "after %d s of calm: %s", CONVERGE_DEADLINE_S, run->waits_for);
    fail_liveness(run, "convergence in time", &why);
    buffer_deinit(&why);
}

/* ---- life ---- */

static void on_iteration(void *user, uint8_t node, const struct shard *shard, bool starts)
{
    struct run *run = user;
    watch_groups(run->watch, run->world, node, shard, starts, &run->report->verdict);
}

static void run_init(struct run *run, const struct plan *plan, struct run_report *out)
{
    *run = (struct run){.plan = plan, .world = world_new(&plan->world), .watch = raft_watch_new(), .report = out};
    history_init(&run->history);
    ordered_history_init(&run->ordered_history);
    world_watch(run->world, on_iteration, run);
    run->load = workload_new(run->world, plan, &run->history);
    run->operators = operators_new(run->world, plan);
    if (plan->ordered_count)
        run->ordered_load = ordered_workload_new(run->world, plan, &run->ordered_history, &out->verdict);
}

static void run_deinit(struct run *run)
{
    world_run_until(run->world,
                    world_now_ns(run->world) + run->plan->client_timeout_ns); /* late time-outs of clients */
    world_free(run->world);
    workload_free(run->load);
    operators_free(run->operators);
    ordered_workload_free(run->ordered_load);
    history_deinit(&run->history);
    ordered_history_deinit(&run->ordered_history);
    raft_watch_free(run->watch);
}

void run_seed(uint64_t seed, bool trace, struct run_report *out)
{
    *out = (struct run_report){.result = RUN_OK};
    struct plan plan;
    plan_draw(&plan, seed);
    plan.world.trace = trace;
    struct run run;
    run_init(&run, &plan, out);
    out->faults = plan.faults_count;
    for (uint32_t n = 0; n < plan.world.topology.nodes_count; n++) start(&run, (uint8_t)n);
    world_run_until(run.world, WARM_UP_S * second_ns);
    work_and_judge(&run);
    count_operations(&run, out);
    out->hash = world_hash(run.world);
    out->virtual_ns = world_now_ns(run.world);
    run_deinit(&run);
}
