/* test_raft.c: Raft cores under random faults. First safety, over loss, delay, duplication, cuts, crashes and drifting
 * clocks; then everything heals and must go on. A seed replays a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/memory.h"
#include "tests/unit/ordered/raft_cluster.h"

enum { SEEDS = 500, FAULTY_MS = 6000, HEALED_MS = 3000 };

static void start_all(struct cluster *c)
{
    for (uint16_t i = 1; i <= c->count; i++) cluster_start(c, i);
}

static void require(struct cluster *c, uint64_t seed)
{
    if (!c->failure) return;
    print_error("seed %llu, at %llu ms: violated: %s\n", (unsigned long long)seed,
                (unsigned long long)(c->now_ns / CLUSTER_MS_NS), c->failure);
    fail();
}

static struct commit_rule draw_rule(struct prng *p, uint32_t regions)
{
    struct commit_rule rule = {0};
    if (regions > 1 && prng_chance(p, 1, 2)) {
        rule.needs_count = 1;
        rule.needs[0].label = COMMIT_LABEL_REGION;
        rule.needs[0].distinct = 2;
    }
    return rule;
}

/* What a seed decides: shape, faults, workload. */
struct run {
    struct cluster *c;
    struct prng prng;
    bool changes_members;
    bool wipes;
};

static struct cluster *draw_cluster(struct run *run, uint64_t seed)
{
    struct prng *p = &run->prng;
    prng_init(p, seed);
    struct cluster *c = memory_zalloc(1, sizeof *c);
    uint32_t count = (uint32_t)prng_range(p, 1, 5);
    uint32_t regions = (uint32_t)prng_range(p, 1, 3);
    if (regions > count) regions = count;
    struct raft_configuration first = cluster_configuration(count, regions, draw_rule(p, regions));
    run->changes_members = count >= 3 && prng_chance(p, 1, 3);
    if (count >= 3 && prng_chance(p, 1, 5)) first.now.members[count - 1].kind = RAFT_WITNESS;
    if (count >= 4 && prng_chance(p, 1, 5)) first.now.members[0].kind = RAFT_LEARNER;
    if (prng_chance(p, 1, 4)) first.now.leader_region = 1;
    if (raft_set_check(&first.now) != STATUS_OK) first.now.rule = (struct commit_rule){0};
    cluster_init(c, count, &first, prng_u64(p));
    c->loss_percent = (uint32_t)prng_below(p, 20);
    c->duplicate_percent = (uint32_t)prng_below(p, 10);
    c->delay_ns_max = c->delay_ns_min + prng_below(p, 30) * CLUSTER_MS_NS;
    c->write_ns_max = prng_below(p, 20) * CLUSTER_MS_NS;
    c->cache_bytes = prng_chance(p, 1, 2) ? 64 : 65536;
    c->quiesce_after_ns = prng_chance(p, 1, 2) ? 200 * CLUSTER_MS_NS : 0;
    c->heartbeats = true;
    bool has_witness = first.now.members[count - 1].kind == RAFT_WITNESS; /* can't give anybody the state */
    run->wipes = count >= 2 && !has_witness && prng_chance(p, 1, 3);
    c->check_rule = !run->changes_members && !run->wipes; /* it looks at today's disks */
    for (uint32_t i = 1; i <= count; i++) {
        c->nodes[i].clock_ppm = (int64_t)prng_below(p, 19000) - 9500;
        c->nodes[i].clock_ns = (int64_t)prng_below(p, 1000000) * 1000000;
    }
    return run->c = c;
}

/* A joint change to another subset, which may share nobody with the one before; some are learners. */
static void change_members(struct run *run)
{
    struct cluster *c = run->c;
    uint16_t leader = cluster_leader(c);
    if (!leader) return;
    struct raft_set set = c->first.now;
    set.members_count = 0;
    for (uint32_t i = 0; i < c->first.now.members_count; i++) {
        struct raft_member member = c->first.now.members[i];
        if (prng_chance(&run->prng, 1, 3)) continue;
        if (member.kind != RAFT_WITNESS) member.kind = prng_chance(&run->prng, 3, 4) ? RAFT_VOTER : RAFT_LEARNER;
        set.members[set.members_count++] = member;
    }
    if (raft_set_check(&set) != STATUS_OK) return;
    struct raft_event event = {.type = RAFT_RECONFIGURE, .set = &set};
    cluster_step(c, leader, &event);
}

static bool is_alone(const struct cluster *c, uint16_t node)
{
    uint64_t unused;
    const struct raft_configuration *in_force = raft_configuration(c->nodes[node].raft, &unused);
    uint32_t voters = 0;
    for (uint32_t i = 0; i < in_force->now.members_count; i++) voters += in_force->now.members[i].kind == RAFT_VOTER;
    return in_force->joint || voters < 2;
}

/* A member loses its disk while all others are there and know what they have said: one that joins counts as down. */
static void wipe(struct run *run, uint16_t node)
{
    struct cluster *c = run->c;
    uint64_t last = 0;
    for (uint16_t i = 1; i <= c->count; i++) {
        const struct cluster_node *n = &c->nodes[i];
        if (!n->raft || raft_is_joining(n->raft) || n->durable_count == 0) return;
        if (is_alone(c, i)) return; /* nobody else could give it the state */
        if (raft_last_index(n->raft) > last) last = raft_last_index(n->raft);
    }
    for (uint16_t i = 1; i <= c->count; i++) { /* else two lose the same */
        if (c->nodes[i].was_wiped && raft_durable_index(c->nodes[i].raft) < last) return;
    }
    if (c->first.now.members[node - 1].kind == RAFT_LEARNER) return; /* it may be a voter by now, and not know */
    cluster_crash(c, node);
    cluster_wipe(c, node);
}

static void draw_fault(struct run *run)
{
    struct cluster *c = run->c;
    struct prng *p = &run->prng;
    uint16_t a = (uint16_t)prng_range(p, 1, c->count), b = (uint16_t)prng_range(p, 1, c->count);
    struct cluster_node *n = &c->nodes[a];
    switch (prng_below(p, run->wipes ? 10 : 9)) {
    case 0:
        if (n->raft) cluster_crash(c, a);
        break;
    case 1:
    case 2:
        if (!n->raft) cluster_start(c, a);
        break;
    case 3: c->cut[a][b] = true; break; /* one way */
    case 4: c->cut[a][b] = c->cut[b][a] = false; break;
    case 5: n->disk_stalls = !n->disk_stalls; break;
    case 6: n->paused = !n->paused; break;
    case 7: {
        struct raft_event event = {.type = prng_chance(p, 1, 2) ? RAFT_TRANSFER : RAFT_CAMPAIGN, .node = b};
        cluster_step(c, a, &event);
        break;
    }
    case 8:
        if (run->changes_members) change_members(run);
        break;
    case 9: wipe(run, a); break;
    }
}

static void draw_work(struct run *run)
{
    struct cluster *c = run->c;
    struct prng *p = &run->prng;
    char payload[64];
    uint16_t node = (uint16_t)prng_range(p, 1, c->count);
    if (prng_chance(p, 1, 2) && cluster_leader(c)) node = cluster_leader(c);
    snprintf(payload, sizeof payload, "%llu", (unsigned long long)c->proposals);
    if (c->nodes[node].paused) return;
    if (prng_chance(p, 1, 3))
        cluster_read(c, node);
    else
        cluster_propose(c, node, payload);
    if (prng_chance(p, 1, 20)) cluster_write_back(c, node, prng_chance(p, 1, 2));
}

static void heal(struct cluster *c)
{
    memset(c->cut, 0, sizeof c->cut);
    c->loss_percent = c->duplicate_percent = 0;
    for (uint16_t i = 1; i <= c->count; i++) {
        c->nodes[i].paused = c->nodes[i].disk_stalls = false;
        if (!c->nodes[i].raft) cluster_start(c, i);
    }
}

/* In the midst of it, so that there is something to lose again. */
static void heal_some(struct run *run)
{
    uint32_t loss = run->c->loss_percent, duplicates = run->c->duplicate_percent;
    heal(run->c);
    run->c->loss_percent = loss;
    run->c->duplicate_percent = duplicates;
}

/* After the heal: one leader, new entries commit, and every member holds the same. */
static void require_progress(struct run *run, uint64_t seed)
{
    struct cluster *c = run->c;
    heal(c);
    cluster_run(c, HEALED_MS);
    require(c, seed);
    uint16_t leader = cluster_leader(c);
    if (!leader) print_error("seed %llu: no leader\n", (unsigned long long)seed);
    assert_true(leader != 0);
    uint64_t before = c->applied_max;
    enum raft_proposal_result result = cluster_propose(c, leader, "after the heal");
    if (result != RAFT_PROPOSAL_ACCEPTED)
        print_error("seed %llu: refused: %d\n", (unsigned long long)seed, (int)result);
    assert_int_equal(result, RAFT_PROPOSAL_ACCEPTED);
    cluster_run(c, HEALED_MS);
    require(c, seed);
    if (c->applied_max <= before) print_error("seed %llu: nothing commits\n", (unsigned long long)seed);
    assert_true(c->applied_max > before);
    leader = cluster_leader(c);
    assert_true(leader != 0);
    uint64_t unused;
    for (uint16_t i = 1; i <= c->count; i++) {
        const struct raft_configuration *in_force = raft_configuration(c->nodes[leader].raft, &unused);
        if (!raft_configuration_member(in_force, i)) continue;
        bool same = c->nodes[i].state.index == c->applied_max;
        if (!same) print_error("seed %llu: node %u lags\n", (unsigned long long)seed, i);
        assert_true(same);
    }
}

static struct {
    uint64_t applied, leaderships, snapshots, leases, rounds, rejected, ignored, elections, quiesced, ready, wiped;
} seen;

static void count_seen(const struct cluster *c)
{
    seen.applied += c->applied_max;
    for (uint32_t i = 1; i <= c->count; i++) {
        if (!c->nodes[i].raft) continue;
        const struct raft_counters *counters = raft_counters(c->nodes[i].raft);
        seen.leaderships += counters->leaderships;
        seen.snapshots += counters->snapshots_installed;
        seen.leases += counters->reads_by_lease;
        seen.rounds += counters->reads_by_round;
        seen.rejected += counters->appends_rejected;
        seen.ignored += counters->completions_ignored;
        seen.elections += counters->elections;
        seen.quiesced += raft_is_quiesced(c->nodes[i].raft);
        seen.wiped += c->nodes[i].was_wiped;
    }
    for (uint32_t i = 0; i < c->reads_count && i < CLUSTER_READS_MAX; i++) seen.ready += c->reads[i].result == 0;
}

static void run_seed(uint64_t seed)
{
    struct run run = {0};
    struct cluster *c = draw_cluster(&run, seed);
    start_all(c);
    for (uint32_t ms = 0; ms < FAULTY_MS && !c->failure; ms++) {
        if (prng_chance(&run.prng, 1, 50)) draw_fault(&run);
        if (prng_chance(&run.prng, 1, 400)) heal_some(&run);
        if (prng_chance(&run.prng, 1, 3)) draw_work(&run);
        cluster_run(c, 1);
    }
    require(c, seed);
    require_progress(&run, seed);
    count_seen(c);
    cluster_deinit(c);
    memory_free(c);
}

static void random_faults(void **state)
{
    (void)state;
    const char *one = getenv("RAFT_SEED");
    if (one) {
        run_seed(strtoull(one, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++) run_seed(seed);
    print_message(
        "applied %llu, leaderships %llu, elections %llu, snapshots %llu, reads ready %llu, by lease %llu, by round "
        "%llu, rejected %llu, ignored %llu, asleep %llu, wiped %llu\n",
        (unsigned long long)seen.applied, (unsigned long long)seen.leaderships, (unsigned long long)seen.elections,
        (unsigned long long)seen.snapshots, (unsigned long long)seen.ready, (unsigned long long)seen.leases,
        (unsigned long long)seen.rounds, (unsigned long long)seen.rejected, (unsigned long long)seen.ignored,
        (unsigned long long)seen.quiesced, (unsigned long long)seen.wiped);
    assert_true(seen.applied > 0 && seen.snapshots > 0 && seen.leases > 0 && seen.rounds > 0);
    assert_true(seen.rejected > 0 && seen.ignored > 0 && seen.quiesced > 0 && seen.wiped > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
