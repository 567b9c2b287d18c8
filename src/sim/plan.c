/* plan.c: draw a run from its seed. */
#include "sim/plan.h"

#include <stdio.h>

enum { MS = 1000000, DRIFT_PPM_MAX = 450, ORDERED_MEMORY_BYTES_MIN = 96 * 1024 };

static const char *const region_names[] = {"us-east", "eu", "apac", "sa"};

static void draw_topology(struct plan *plan, struct prng *p, struct topology *t)
{
    *t = (struct topology){.faults_allowed = true, .epoch = 1};
    t->regions_count = (uint32_t)prng_range(p, 2, 4);
    plan->nodes_per_region = prng_chance(p, 1, 4) ? 2 : 1;
    for (uint32_t r = 0; r < t->regions_count; r++) {
        snprintf(t->regions[r], sizeof t->regions[r], "%s", region_names[r]);
        for (uint32_t k = 0; k < plan->nodes_per_region; k++) {
            struct topology_node *n = &t->nodes[t->nodes_count++];
            snprintf(n->id, sizeof n->id, "%s-%u", region_names[r], k + 1);
            snprintf(n->zone, sizeof n->zone, "%s-a", region_names[r]);
            n->region = (uint8_t)r;
            n->number = topology_node_number(slice_of_string(n->id));
        }
        for (uint32_t other = 0; other < r; other++) {
            struct topology_link link = {(uint32_t)prng_range(p, 1000, 120000), (uint32_t)prng_range(p, 0, 20000)};
            t->links[r][other] = t->links[other][r] = link;
        }
    }
}

static struct plan_table *add_table(struct plan *plan, const char *name, enum plan_kind kind, uint32_t keys)
{
    struct plan_table *table = &plan->tables[plan->tables_count++];
    *table = (struct plan_table){.kind = kind, .keys = keys};
    snprintf(table->name, sizeof table->name, "%s", name);
    return table;
}

static void draw_tables(struct plan *plan, struct prng *p)
{
    uint32_t keys = (uint32_t)prng_range(p, 3, 24);
    uint32_t partitions = (uint32_t)prng_range(p, 1, 4);
    struct plan_table *t = add_table(plan, "default", PLAN_STRING, keys);
    t->deletes = true;
    t = add_table(plan, "sib", PLAN_STRING, keys);
    t->siblings = t->deletes = true;
    snprintf(t->words, sizeof t->words, "CONFLICT siblings PARTITIONS %u", partitions);
    t = add_table(plan, "cnt", PLAN_COUNTER, keys);
    snprintf(t->words, sizeof t->words, "TYPE counter PARTITIONS %u", partitions);
    t = add_table(plan, "set", PLAN_SET, keys);
    snprintf(t->words, sizeof t->words, "TYPE set PARTITIONS %u", partitions);
    t = add_table(plan, "rowl", PLAN_ROW, keys);
    t->deletes = t->whole_rows_return = true;
    snprintf(t->words, sizeof t->words, "CONFLICT lww TYPE row PARTITIONS %u", partitions);
    t = add_table(plan, "rowu", PLAN_ROW, keys);
    t->deletes = t->whole_rows_return = true;
    snprintf(t->words, sizeof t->words, "CONFLICT update-wins TYPE row PARTITIONS %u", partitions);
    t = add_table(plan, "rowd", PLAN_ROW, keys);
    t->deletes = true;
    snprintf(t->words, sizeof t->words, "CONFLICT delete-wins TYPE row PARTITIONS %u", partitions);
    t = add_table(plan, "rows", PLAN_ROW, keys);
    t->siblings = true;
    snprintf(t->words, sizeof t->words, "CONFLICT siblings TYPE row PARTITIONS %u", partitions);
    t = add_table(plan, "exp", PLAN_STRING, keys);
    t->expires = t->deletes = true;
    snprintf(t->words, sizeof t->words, "PARTITIONS %u", partitions);
}

/* ---- ordered tables ---- */

static struct plan_ordered *add_ordered(struct plan *plan, const char *name, enum linear_kind kind, struct prng *p)
{
    struct plan_ordered *t = &plan->ordered[plan->ordered_count++];
    *t = (struct plan_ordered){.kind = kind};
    t->keys_at_once = (uint32_t)prng_range(p, 1, 5);
    t->operations_per_key = (uint32_t)prng_range(p, 8, 40);
    snprintf(t->name, sizeof t->name, "%s", name);
    return t;
}

static void add_words(struct plan_ordered *t, const char *words)
{
    size_t length = strlen(t->words);
    int more = snprintf(t->words + length, sizeof t->words - length, "%s%s", length ? " " : "", words);
    ASSERT(more > 0 && length + (size_t)more < sizeof t->words);
}

/* Where a region has two nodes, now and then two of three replicas stand in it: the same-site majority. */
static void draw_replicas(const struct plan *plan, struct prng *p, struct plan_ordered *t)
{
    const struct topology *topology = &plan->world.topology;
    char text[96];
    size_t length = 0;
    bool doubled = plan->nodes_per_region == 2 && prng_chance(p, 1, 2);
    if (!doubled) return;
    for (uint32_t r = 0; r < topology->regions_count; r++) {
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%s=%u", r ? "," : "REPLICAS ",
                                   topology->regions[r], r == 0 ? 2 : 1);
    }
    add_words(t, text);
}

static void draw_promise(const struct plan *plan, struct prng *p, struct plan_ordered *t, uint32_t partitions)
{
    static const char *const durabilities[] = {"DURABILITY majority", "DURABILITY majority+regions:2",
                                               "DURABILITY majority+zones:2", "DURABILITY all"};
    uint64_t dice = prng_below(p, 10);
    add_words(t, "ENGINE ordered");
    add_words(t, durabilities[dice < 4 ? 0 : dice < 8 ? 1 : dice < 9 ? 2 : 3]);
    draw_replicas(plan, p, t);
    char text[32];
    snprintf(text, sizeof text, "PARTITIONS %u", partitions);
    add_words(t, text);
}

static void draw_ordered_tables(struct plan *plan, struct prng *p)
{
    draw_promise(plan, p, add_ordered(plan, "reg", LINEAR_REGISTER, p), (uint32_t)prng_range(p, 1, 3));
    struct plan_ordered *t = add_ordered(plan, "sum", LINEAR_COUNTER, p);
    draw_promise(plan, p, t, (uint32_t)prng_range(p, 1, 3));
    add_words(t, "TYPE counter");
    t = add_ordered(plan, "lapse", LINEAR_COUNTER, p);
    t->expires = true;
    draw_promise(plan, p, t, 1);
    draw_promise(plan, p, add_ordered(plan, "list", LINEAR_LIST, p), 1);
    if (prng_chance(p, 1, 2)) return;
    t = add_ordered(plan, "bank", LINEAR_BANK, p);
    uint32_t partitions = 1 + (uint32_t)(plan->seed / 3 % 3);
    t->is_spread = partitions > 1; /* transfers are transactions over groups */
    draw_promise(plan, p, t, partitions);
    add_words(t, "INVARIANT min:0");
}

/* Some pauses become long ones of a node that is cut off meanwhile: a leader that does not know of the next one. */
static void draw_standstills(struct plan *plan, struct prng *p)
{
    for (uint32_t i = 0; i < plan->faults_count; i++) {
        struct plan_fault *f = &plan->faults[i];
        if (f->kind != PLAN_PAUSE || prng_chance(p, 1, 3)) continue;
        f->kind = PLAN_STANDSTILL;
        f->end_ns = f->begin_ns + prng_range(p, 3000, 9000) * MS;
        if (f->end_ns > plan->faults_end_ns) plan->faults_end_ns = f->end_ns;
    }
}

static void draw_ordered(struct plan *plan, bool alone)
{
    struct prng p;
    prng_init(&p, plan->seed ^ 0x6f7264657265642aULL);
    draw_ordered_tables(plan, &p);
    draw_standstills(plan, &p);
    for (uint32_t i = 0; i < plan->world.topology.nodes_count; i++) {
        plan->world.drift_ppm[i] = (int32_t)prng_below(&p, 2 * DRIFT_PPM_MAX + 1) - DRIFT_PPM_MAX;
    }
    plan->ordered_clients = (uint32_t)prng_range(&p, 4, alone ? 16 : 10);
    plan->ordered_operations = (uint32_t)prng_range(&p, 800, alone ? 3000 : 1500);
    plan->ordered_think_ns_max =
        2 * (plan->faults_end_ns + 2000 * MS) / (plan->ordered_operations / plan->ordered_clients);
    /* A transaction, a read of several keys, a chunk of a state need all of their items in memory at once. */
    if (plan->world.memory_bytes_max < ORDERED_MEMORY_BYTES_MIN)
        plan->world.memory_bytes_max += ORDERED_MEMORY_BYTES_MIN;
    /* Below it entries are read back from the log, and members that lag get snapshots. */
    if (prng_chance(&p, 1, 3)) plan->world.group_cache_bytes = prng_range(&p, 1, 4000);
    if (prng_chance(&p, 1, 3)) plan->world.group_catch_up_bytes_max = prng_range(&p, 1, 16) * 1024;
    if (alone) plan->operations = plan->tables_count = 0;
}

/* ---- faults ---- */

static void draw_fault(struct plan *plan, struct prng *p, struct plan_fault *f, uint64_t begin_ns)
{
    const struct topology *t = &plan->world.topology;
    f->kind = (enum plan_fault_kind)prng_below(p, PLAN_STANDSTILL);
    if (f->kind == PLAN_RESTART_ALL && prng_chance(p, 2, 3)) f->kind = PLAN_CRASH;
    f->begin_ns = begin_ns;
    f->end_ns = begin_ns + prng_range(p, 20, prng_chance(p, 1, 3) ? 9000 : 1500) * MS;
    bool regions = f->kind == PLAN_CUT_TWO_WAY || f->kind == PLAN_CUT_ONE_WAY;
    uint32_t count = regions ? t->regions_count : t->nodes_count;
    f->a = (uint8_t)prng_below(p, count);
    f->b = (uint8_t)((f->a + 1 + prng_below(p, count - 1)) % count);
    /* Mostly within the bound, so that the node goes on writing (S5). */
    int32_t skew_ms_max = prng_chance(p, 2, 3) ? 490 : 2000;
    f->skew_ms = (int32_t)prng_range(p, 0, 2 * (uint64_t)skew_ms_max) - skew_ms_max;
    f->crash_at_end = prng_chance(p, 1, 2);
}

static void draw_faults(struct plan *plan, struct prng *p)
{
    uint64_t at = prng_range(p, 500, 2500) * MS;
    plan->faults_count = (uint32_t)prng_range(p, PLAN_FAULTS_MIN, PLAN_FAULTS_MIN + 14);
    for (uint32_t i = 0; i < plan->faults_count; i++) {
        draw_fault(plan, p, &plan->faults[i], at);
        if (plan->faults[i].end_ns > plan->faults_end_ns) plan->faults_end_ns = plan->faults[i].end_ns;
        at += prng_range(p, 10, 2500) * MS;
    }
}

static void draw_limits(struct plan *plan, struct prng *p)
{
    struct world_config *w = &plan->world;
    if (prng_chance(p, 1, 3)) {
        w->loss_permille = (uint32_t)prng_range(p, 1, 60);
        w->duplicate_permille = (uint32_t)prng_range(p, 0, 60);
        w->reorder_permille = (uint32_t)prng_range(p, 0, 80);
    }
    if (prng_chance(p, 1, 3)) w->backlog_bytes_max = prng_range(p, 2, 16) * 1024; /* beyond it: full copies */
    if (prng_chance(p, 1, 4)) w->memory_bytes_max = prng_range(p, 16, 64) * 1024; /* below it: cold objects */
    w->log_segment_bytes = (uint32_t)prng_range(p, 1, 8) * 64 * 1024;
    w->write_back_bytes = prng_range(p, 16, 256) * 1024;
    w->start_wall_ms += prng_below(p, 1000000);
    for (uint32_t i = 0; i < w->topology.nodes_count; i++) w->shards[i] = prng_chance(p, 1, 5) ? 2 : 1;
}

void plan_draw(struct plan *plan, uint64_t seed)
{
    struct prng p;
    prng_init(&p, seed ^ 0x6d6572696469616eULL);
    *plan = (struct plan){.seed = seed};
    struct topology topology;
    draw_topology(plan, &p, &topology);
    world_config_init(&plan->world, &topology, prng_u64(&p));
    draw_limits(plan, &p);
    draw_tables(plan, &p);
    draw_faults(plan, &p);
    plan->clients = (uint32_t)prng_range(&p, 6, 16);
    plan->operations = (uint32_t)prng_range(&p, PLAN_OPERATIONS_MIN, PLAN_OPERATIONS_MIN + 1000);
    plan->client_timeout_ns = prng_range(&p, 6000, 9000) * MS;
    /* The workload spans the faults: clients think so long that it ends soon after them. */
    plan->think_ns_max = 2 * (plan->faults_end_ns + 2000 * MS) / (plan->operations / plan->clients);
    if (seed % 3 != 0) draw_ordered(plan, seed % 3 == 1);
}

const char *plan_fault_name(enum plan_fault_kind kind)
{
    static const char *const names[PLAN_FAULT_KINDS] = {"cut",       "one-way cut", "isolate",   "crash",
                                                        "pause",     "wipe",        "skew",      "disk stall",
                                                        "disk full", "restart all", "standstill"};
    return names[kind];
}
