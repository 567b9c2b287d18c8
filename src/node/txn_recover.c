/* txn_recover.c: the groups led here look after the transactions that nobody else ends. */
#include "base/memory.h"
#include "node/shard_internal.h"

static void send(void *user, uint64_t handle, const struct txn *txn, const struct txn_send *send)
{
    struct partition_slot *slot = user;
    struct machine_entry entry = {.kind = send->kind, .resp_version = 2, .transaction = txn->transaction};
    entry.transaction.groups_count = 0;
    struct txn_asker asker = {.is_recovery = true,
                              .table = slot->table->table.id,
                              .partition = slot->partition,
                              .handle = handle,
                              .part = send->part,
                              .request = send->request};
    txn__ask(slot->shard, &asker, txn->parts[send->part].group, &entry);
}

static void make(struct partition_slot *slot)
{
    struct recovery_config config = {.group = {slot->table->table.id, slot->partition},
                                     .doubt_ms = TXN_DOUBT_MS,
                                     .times = txn_times_default(TXN_TELL_MS * 1000000ull),
                                     .prng = &slot->shard->prng,
                                     .user = slot,
                                     .send = send};
    slot->recovery = memory_alloc(sizeof *slot->recovery);
    recovery_init(slot->recovery, &config);
    slot->shard->txns.recoveries_count++;
}

void txn__drop(struct partition_slot *slot)
{
    if (!slot->recovery) return;
    recovery_deinit(slot->recovery);
    memory_free(slot->recovery);
    slot->recovery = NULL;
    slot->shard->txns.recoveries_count--;
}

static void fetched(void *user, enum status status)
{
    (void)user;
    MAYBE(status == STATUS_OK); /* the next look finds out */
}

static void look_at(struct partition_slot *slot)
{
    struct shard *s = slot->shard;
    struct machine *machine = group_machine(slot->group);
    if (!slot->recovery) make(slot);
    struct machine_answer answer;
    uint64_t now_ms = group_time_ms(slot->group, ordered__now(s->now.wall_ms, s->now.mono_ns));
    if (recovery_look(slot->recovery, machine, now_ms, s->now.mono_ns, &answer) != MACHINE_COLD) return;
    for (uint32_t i = 0; i < answer.cold_count; i++) {
        store_fetch(answer.cold[i].space, answer.cold[i].item, fetched, NULL);
    }
}

void txn__look_at_groups(struct shard *s)
{
    for (uint32_t i = 0; i < s->ordered.slots_count; i++) {
        struct partition_slot *slot = s->ordered.slots[i];
        bool has_some = machine_transactions_count(group_machine(slot->group)) > 0;
        if (!has_some || !group_is_leader(slot->group))
            txn__drop(slot);
        else
            look_at(slot);
    }
}

void txn__tick_groups(struct shard *s)
{
    if (s->txns.recoveries_count == 0) return;
    for (uint32_t i = 0; i < s->ordered.slots_count; i++) {
        struct partition_slot *slot = s->ordered.slots[i];
        if (slot->recovery) recovery_tick(slot->recovery, s->now.mono_ns);
    }
}

uint64_t txn__groups_wake(const struct shard *s)
{
    uint64_t wake_ns = UINT64_MAX;
    if (s->txns.recoveries_count == 0) return wake_ns;
    for (uint32_t i = 0; i < s->ordered.slots_count; i++) {
        const struct partition_slot *slot = s->ordered.slots[i];
        if (!slot->recovery) continue;
        uint64_t at_ns = recovery_next_deadline_ns(slot->recovery);
        if (s->txns.look_ns < at_ns) at_ns = s->txns.look_ns;
        if (at_ns < wake_ns) wake_ns = at_ns;
    }
    return wake_ns;
}

void txn__on_recovery_answer(struct shard *s, const struct txn_asker *asker, struct slice reply, bool failed,
                             bool refused)
{
    struct partition_slot *slot = catalog__slot(s, asker->table, asker->partition);
    if (!slot || !slot->recovery) return;
    if (failed)
        recovery_on_failure(slot->recovery, asker->handle, asker->part, asker->request, refused, s->now.mono_ns);
    else
        recovery_on_answer(slot->recovery, asker->handle, asker->part, asker->request, reply, s->now.mono_ns);
}
