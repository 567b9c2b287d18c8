/* ordered_open.c: the groups of this shard: made from the table's contract and the placement of its replicas, opened
 * from what is at rest, started on the log.
 */
#include "base/memory.h"
#include "node/shard_internal.h"

enum { NS_PER_US = 1000 };

void ordered__init(struct shard *s)
{
    struct ordered *o = &s->ordered;
    raft_effects_init(&o->effects);
    list_init(&o->waiters);
    list_init(&o->parked);
    buffer_init(&o->entry, MACHINE_ENTRY_BYTES_MAX);
    buffer_init(&o->frame, FRAME_BODY_BYTES_MAX);
    o->waiters_all = memory_zalloc(ORDERED_WAITERS_MAX, sizeof *o->waiters_all);
    o->waiters_free = memory_zalloc(ORDERED_WAITERS_MAX, sizeof *o->waiters_free);
    o->wake_ns = UINT64_MAX;
}

void ordered__free(struct shard *s)
{
    struct ordered *o = &s->ordered;
    raft_effects_deinit(&o->effects);
    buffer_deinit(&o->entry);
    buffer_deinit(&o->frame);
    memory_free(o->slots);
    memory_free(o->waiters_all);
    memory_free(o->waiters_free);
}

static enum value_type value_type_of(enum contract_type type)
{
    switch (type) {
    case TYPE_ANY: return VALUE_NONE;
    case TYPE_STRING:
    case TYPE_COUNTER: return VALUE_STRING;
    case TYPE_SET: return VALUE_SET;
    case TYPE_ROW: return VALUE_HASH;
    case TYPE_LIST: return VALUE_LIST;
    case TYPE_ZSET: return VALUE_ZSET;
    }
    PANIC("table of type %d", (int)type);
}

static struct machine_config machine_config_of(const struct partition_slot *slot)
{
    const struct contract *contract = &slot->table->table.contract;
    return (struct machine_config){.store = slot->shard->store,
                                   .table = slot->table->table.id,
                                   .partition = slot->partition,
                                   .type = value_type_of(contract->type),
                                   .integers_only = contract->type == TYPE_COUNTER,
                                   .has_minimum = contract->has_minimum,
                                   .minimum = contract->minimum,
                                   .prng = &slot->shard->prng};
}

_Static_assert((int)GROUP_REPLICAS_MAX <= (int)RAFT_MEMBERS_MAX, "a contract's replicas fit into one configuration");

/* Where the leader should be: in the region with the most replicas, so that a majority is near; 0: several have as
 * many.
 */
static uint16_t leader_region_of(const struct raft_set *set)
{
    uint32_t most = 0;
    uint16_t region = 0;
    for (uint32_t i = 0; i < set->members_count; i++) {
        uint16_t label = set->members[i].labels.value[COMMIT_LABEL_REGION];
        uint32_t count = 0;
        for (uint32_t k = 0; k < set->members_count; k++) {
            const struct raft_member *m = &set->members[k];
            count += m->kind == RAFT_VOTER && m->labels.value[COMMIT_LABEL_REGION] == label;
        }
        if (count > most) region = label;
        if (count == most && label != region) region = 0;
        if (count > most) most = count;
    }
    return region;
}

/* The group's first members, the same at every replica; and the longest round trip between two of them. */
static enum status members_of(const struct partition_slot *slot, struct raft_set *out, uint64_t *out_round_trip_ns)
{
    const struct topology *t = shard__topology(slot->shard);
    struct placement placement;
    placement_members(t, &slot->table->table.contract, slot->table->table.id, slot->partition, &placement);
    uint32_t count = placement.count < RAFT_MEMBERS_MAX ? placement.count : RAFT_MEMBERS_MAX;
    *out = (struct raft_set){.rule = placement.rule, .members_count = (uint8_t)count};
    *out_round_trip_ns = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct topology_node *node = &t->nodes[placement.nodes[i]];
        bool is_witness = placement.witness_mask >> i & 1;
        out->members[i] = (struct raft_member){
            .node = node->number, .kind = is_witness ? RAFT_WITNESS : RAFT_VOTER, .labels = placement.labels[i]};
        for (uint32_t k = 0; k < i; k++) {
            const struct topology_link *link = &t->links[node->region][t->nodes[placement.nodes[k]].region];
            uint64_t round_trip_ns = 2ull * (link->latency_us + link->jitter_us) * NS_PER_US;
            if (round_trip_ns > *out_round_trip_ns) *out_round_trip_ns = round_trip_ns;
        }
    }
    if (raft_set_check(out) == STATUS_OK) return STATUS_OK;
    shard__log(
        slot->shard, 'E', "contract-unsatisfiable",
        "table=%s: the nodes of the cluster file can't satisfy its DURABILITY; start with the regions, zones and "
        "tags that it was created with",
        slot->table->table.name);
    return STATUS_LIMIT;
}

static void role_changed(void *user)
{
    struct partition_slot *slot = user;
    slot->shard->ordered.parked_dirty = true;
}

enum status ordered__open(struct partition_slot *slot, bool joins)
{
    struct shard *s = slot->shard;
    struct group_config config = {.machine = machine_config_of(slot),
                                  .self = shard__self(s)->number,
                                  .incarnation = s->config.seed,
                                  .joins = joins,
                                  .cache_bytes = s->config.group_cache_bytes,
                                  .catch_up_bytes_max = s->config.group_catch_up_bytes_max,
                                  .prng = &s->prng,
                                  .scratch = &s->ordered.effects,
                                  .effects = {slot, ordered__send, ordered__done, role_changed}};
    uint64_t table = config.machine.table;
    enum status status = members_of(slot, &config.members, &config.round_trip_ns_max);
    if (status != STATUS_OK) return status;
    config.members.leader_region = leader_region_of(&config.members);
    struct slice metas[2] = {catalog__rest_meta(s, table, slot->partition),
                             catalog__rest_meta(s, table, slot->partition | MACHINE_HOME_BIT)};
    status = group_open(&config, metas, &slot->group);
    if (status != STATUS_OK) {
        slot->group = NULL;
        return status;
    }
    struct ordered *o = &s->ordered;
    if (o->slots_count == o->slots_capacity) {
        o->slots_capacity = o->slots_capacity ? o->slots_capacity * 2 : 64;
        o->slots = memory_realloc(o->slots, o->slots_capacity * sizeof(struct partition_slot *));
    }
    o->slots[o->slots_count++] = slot;
    return s->opening ? STATUS_OK : ordered__start(slot);
}

enum status ordered__start(struct partition_slot *slot)
{
    struct shard *s = slot->shard;
    const struct topology *t = shard__topology(s);
    struct group_now now = ordered__now(s->now.wall_ms, s->now.mono_ns);
    enum status status = group_start(slot->group, s->log, now);
    if (status != STATUS_OK) return status;
    for (uint32_t i = 0; i < slot->nodes_count; i++) { /* beats tell of changes only */
        uint8_t node = slot->nodes[i];
        if (s->ordered.heard >> node & 1) group_on_node_heard(slot->group, t->nodes[node].number, now);
    }
    s->ordered.wake_ns = 0;
    return STATUS_OK;
}

void ordered__drop(struct partition_slot *slot)
{
    struct ordered *o = &slot->shard->ordered;
    for (uint32_t i = 0; i < o->slots_count; i++) {
        if (o->slots[i] != slot) continue;
        memmove(&o->slots[i], &o->slots[i + 1], (o->slots_count - i - 1) * sizeof(struct partition_slot *));
        o->slots_count--;
        break;
    }
    struct group *group = slot->group;
    txn__drop(slot);
    group_drop(group);
    slot->group = NULL;
    o->parked_dirty = true; /* who waits for it is told */
}
