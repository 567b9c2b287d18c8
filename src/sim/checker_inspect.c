/* checker_inspect.c: properties that need a look inside: equal clocks and states, the account of dots. */
#include <stdio.h>

#include "base/hash.h"
#include "mergeable/replica.h"
#include "node/inspect.h"
#include "sim/checker.h"

enum { REPLICAS_SEEN_MAX = 8192 };

struct seen_replica {
    struct replica *replica;
    uint8_t node;
};

struct seen {
    struct seen_replica *items;
    uint32_t count;
    uint8_t node;
};

static struct seen_replica seen_items[REPLICAS_SEEN_MAX];

static void see(void *user, struct replica *replica)
{
    struct seen *s = user;
    ASSERT(s->count < REPLICAS_SEEN_MAX);
    s->items[s->count++] = (struct seen_replica){replica, s->node};
}

static struct seen all_replicas(struct world *w)
{
    struct seen s = {.items = seen_items};
    for (uint32_t node = 0; node < world_topology(w)->nodes_count; node++) {
        s.node = (uint8_t)node;
        for (uint8_t k = 0; k < world_node_shards(w, (uint8_t)node); k++) {
            struct shard *shard = world_shard(w, (uint8_t)node, k);
            if (shard) shard_visit_replicas(shard, see, &s);
        }
    }
    return s;
}

static bool same_partition(const struct replica *a, const struct replica *b)
{
    return replica_table(a) == replica_table(b) && replica_partition(a) == replica_partition(b);
}

static bool shards_are_quiet(struct world *w, char *out_why)
{
    for (uint32_t node = 0; node < world_topology(w)->nodes_count; node++) {
        for (uint8_t k = 0; k < world_node_shards(w, (uint8_t)node); k++) {
            struct shard *shard = world_shard(w, (uint8_t)node, k);
            if (shard && shard_is_quiet(shard)) continue;
            snprintf(out_why, CONVERGENCE_WHY_BYTES, "node %u shard %u is %s", node, k, shard ? "not quiet" : "down");
            return false;
        }
    }
    return true;
}

static bool clocks_are_equal(const struct seen *s, uint32_t i, char *out_why)
{
    struct replica *a = s->items[i].replica;
    for (uint32_t k = 0; k < i; k++) {
        struct replica *b = s->items[k].replica;
        if (!same_partition(a, b) || vv_equal(replica_clock(a), replica_clock(b))) continue;
        snprintf(out_why, CONVERGENCE_WHY_BYTES, "table %llx partition %u: nodes %u and %u have different clocks",
                 (unsigned long long)replica_table(a), replica_partition(a), s->items[k].node, s->items[i].node);
        return false;
    }
    return true;
}

bool convergence_reached(struct world *w, char out_why[CONVERGENCE_WHY_BYTES])
{
    if (!shards_are_quiet(w, out_why)) return false;
    struct seen s = all_replicas(w);
    for (uint32_t i = 0; i < s.count; i++) {
        struct replica *a = s.items[i].replica;
        if (replica_is_serving(a) && replica_garbage_count(a) == 0) {
            if (!clocks_are_equal(&s, i, out_why)) return false;
            continue;
        }
        snprintf(out_why, CONVERGENCE_WHY_BYTES, "table %llx partition %u at node %u %s (%llu objects hold garbage)",
                 (unsigned long long)replica_table(a), replica_partition(a), s.items[i].node,
                 replica_is_serving(a) ? "serves" : "does not serve", (unsigned long long)replica_garbage_count(a));
        return false;
    }
    return s.count > 0;
}

/* ---- equal states ---- */

struct state_sum {
    enum store_space_kind kind;
    uint64_t sum;
    uint32_t cold;
    struct buffer scratch;
};

static void add_item(void *user, struct store_item *item)
{
    struct state_sum *s = user;
    if (store_item_is_cold(item)) {
        s->cold++;
        return;
    }
    buffer_clear(&s->scratch);
    if (s->kind == SPACE_DATA) {
        object_encode(item->object, &s->scratch);
    } else {
        struct ledger_entry e;
        if (ledger_decode(store_item_key(item), item->object, &e) != STATUS_OK) return;
        buffer_append(&s->scratch, &e.stamp, sizeof e.stamp);
        buffer_append_slice(&s->scratch, e.value);
    }
    s->sum += hash_bytes(buffer_slice(&s->scratch), hash_bytes(store_item_key(item), 1)); /* any order */
}

static struct state_sum sum_of(struct replica *r, enum store_space_kind kind)
{
    struct state_sum s = {.kind = kind};
    buffer_init(&s.scratch, 64 * 1024 * 1024);
    uint64_t cursor = 0;
    while (store_scan(kind == SPACE_DATA ? replica_data(r) : replica_ledger(r), &cursor, 1000, add_item, &s)) {}
    buffer_deinit(&s.scratch);
    return s;
}

static void compare_replicas(struct replica *a, uint8_t a_node, struct replica *b, uint8_t b_node, struct verdict *v)
{
    for (int kind = 0; kind < SPACE_KIND_COUNT; kind++) {
        struct state_sum x = sum_of(a, (enum store_space_kind)kind), y = sum_of(b, (enum store_space_kind)kind);
        if (x.cold || y.cold || x.sum == y.sum) continue; /* cold ones are compared through RESP */
        verdict_fail(v, "convergence", "table %llu partition %u: the %s of nodes %u and %u differ inside",
                     (unsigned long long)replica_table(a), replica_partition(a),
                     kind == SPACE_DATA ? "states" : "ledgers", a_node, b_node);
    }
}

static void compare_regions(const struct audit *audit, uint32_t region, uint32_t table, struct verdict *v)
{
    const struct plan_table *t = &audit->plan->tables[table];
    const struct audit_table *first = &audit->tables[0][table], *other = &audit->tables[region][table];
    for (uint32_t key = 0; key < t->keys; key++) {
        if (!other->keys[key].answered) {
            verdict_fail(v, "convergence", "%s key %u: region %u does not answer", t->name, key, region);
        } else if (first->keys[key].fingerprint != other->keys[key].fingerprint) {
            verdict_fail(v, "convergence", "%s key %u: regions 0 and %u show different values", t->name, key, region);
        }
    }
    if (!other->ledger_answered)
        verdict_fail(v, "convergence", "%s: region %u does not list its ledger", t->name, region);
    if (first->ledger_fingerprint != other->ledger_fingerprint) {
        verdict_fail(v, "convergence", "%s: regions 0 and %u list different ledgers (%u and %u values)", t->name,
                     region, first->ledger_count, other->ledger_count);
    }
}

void check_convergence(struct world *w, const struct audit *audit, struct verdict *v)
{
    for (uint32_t region = 0; region < audit->regions; region++) {
        for (uint32_t table = 0; table < audit->plan->tables_count; table++) compare_regions(audit, region, table, v);
    }
    struct seen s = all_replicas(w);
    for (uint32_t i = 0; i < s.count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (!same_partition(s.items[i].replica, s.items[k].replica)) continue;
            compare_replicas(s.items[k].replica, s.items[k].node, s.items[i].replica, s.items[i].node, v);
            break; /* equal to one is equal to all */
        }
    }
}

void check_account(struct world *w, struct verdict *v)
{
    struct seen s = all_replicas(w);
    for (uint32_t i = 0; i < s.count; i++) {
        struct replica_account a;
        replica_account(s.items[i].replica, &a);
        uint64_t sum = a.visible + a.hidden + a.replaced + a.ledgered + a.expired;
        if (a.accepted == sum) continue;
        verdict_fail(v, "ledger accounting",
                     "table %llu partition %u at node %u: accepted %llu, but visible %llu + hidden %llu + "
                     "replaced %llu + ledgered %llu + expired %llu = %llu",
                     (unsigned long long)replica_table(s.items[i].replica), replica_partition(s.items[i].replica),
                     s.items[i].node, (unsigned long long)a.accepted, (unsigned long long)a.visible,
                     (unsigned long long)a.hidden, (unsigned long long)a.replaced, (unsigned long long)a.ledgered,
                     (unsigned long long)a.expired, (unsigned long long)sum);
    }
}

void check_backlog(struct world *w, struct verdict *v)
{
    struct seen s = all_replicas(w);
    for (uint32_t i = 0; i < s.count; i++) {
        for (uint32_t k = 0; k < s.count; k++) {
            struct replica *from = s.items[i].replica, *to = s.items[k].replica;
            if (i == k || !same_partition(from, to) || !replica_is_serving(to)) continue;
            uint16_t node = world_topology(w)->nodes[s.items[k].node].number;
            uint64_t forgotten = replica_forgotten_through(from, node);
            uint64_t has = vv_get(replica_clock(to), replica_id(from));
            if (has >= forgotten) continue;
            verdict_fail(v, "bounded backlog",
                         "table %llu partition %u: node %u dropped its deltas up to %llu, and node %u has only %llu",
                         (unsigned long long)replica_table(from), replica_partition(from), s.items[i].node,
                         (unsigned long long)forgotten, s.items[k].node, (unsigned long long)has);
        }
    }
}
