/* recovery.c: see recovery.h. */
#include "txn/recovery.h"

void recovery_init(struct recovery *r, const struct recovery_config *config)
{
    *r = (struct recovery){.config = *config};
}

static void end_slot(struct recovery_slot *slot)
{
    txn_free(slot->txn);
    slot->txn = NULL;
}

void recovery_deinit(struct recovery *r)
{
    for (uint32_t i = 0; i < RECOVERY_COUNT_MAX; i++) end_slot(&r->slots[i]);
}

/* ---- effects ---- */

static uint64_t handle_of(const struct recovery *r, const struct recovery_slot *slot)
{
    return (uint64_t)slot->uses << 32 | (uint32_t)(slot - r->slots);
}

static struct recovery_slot *slot_of(struct recovery *r, uint64_t handle)
{
    uint32_t number = (uint32_t)handle;
    ASSERT(number < RECOVERY_COUNT_MAX);
    struct recovery_slot *slot = &r->slots[number];
    return slot->txn && slot->uses == handle >> 32 ? slot : NULL;
}

/* `send` may answer at once only by a later call, so that the effects stay as they are. */
static void perform(struct recovery *r, struct recovery_slot *slot, const struct txn_effects *effects)
{
    ASSERT(!effects->tell);
    for (uint32_t i = 0; i < effects->sends_count; i++) {
        r->config.send(r->config.user, handle_of(r, slot), slot->txn, &effects->sends[i]);
    }
    if (slot->txn->phase == TXN_ENDED) end_slot(slot);
}

/* ---- taking up ---- */

static bool is_under_way(const struct recovery *r, struct slice id)
{
    for (uint32_t i = 0; i < RECOVERY_COUNT_MAX; i++) {
        const struct txn *t = r->slots[i].txn;
        if (t && slice_equal(t->transaction.id, id)) return true;
    }
    return false;
}

static struct recovery_slot *free_slot(struct recovery *r)
{
    for (uint32_t i = 0; i < RECOVERY_COUNT_MAX; i++) {
        if (!r->slots[i].txn) return &r->slots[i];
    }
    return NULL;
}

static uint32_t own_part(const struct recovery *r, const struct transaction *found)
{
    for (uint32_t i = 0; i < found->groups_count; i++) {
        const struct transaction_group *group = &found->groups[i];
        if (group->table == r->config.group.table && group->partition == r->config.group.partition) return i;
    }
    return UINT32_MAX;
}

static void take_up(void *user, const struct transaction *found, enum transaction_state state)
{
    struct recovery *r = user;
    uint32_t self = own_part(r, found);
    struct recovery_slot *slot = free_slot(r);
    if (!slot || self == UINT32_MAX || found->groups_count < 2 || is_under_way(r, found->id)) return;
    struct txn_effects effects;
    slot->uses++;
    slot->txn = txn_recover(found, self, state, &r->config.times, r->now_ns, r->config.prng, &effects);
    perform(r, slot, &effects);
}

enum machine_result recovery_look(struct recovery *r, struct machine *machine, uint64_t wall_ms, uint64_t now_ns,
                                  struct machine_answer *answer)
{
    r->now_ns = now_ns;
    return machine_transactions_in_doubt(machine, wall_ms, r->config.doubt_ms, take_up, r, answer);
}

/* ---- events ---- */

void recovery_on_answer(struct recovery *r, uint64_t handle, uint32_t part, uint32_t request, struct slice bytes,
                        uint64_t now_ns)
{
    struct recovery_slot *slot = slot_of(r, handle);
    if (!slot) return;
    struct txn_effects effects;
    txn_on_answer(slot->txn, part, request, bytes, now_ns, &effects);
    perform(r, slot, &effects);
}

void recovery_on_failure(struct recovery *r, uint64_t handle, uint32_t part, uint32_t request, bool refused,
                         uint64_t now_ns)
{
    struct recovery_slot *slot = slot_of(r, handle);
    if (!slot) return;
    struct txn_effects effects;
    txn_on_failure(slot->txn, part, request, refused, now_ns, &effects);
    perform(r, slot, &effects);
}

void recovery_tick(struct recovery *r, uint64_t now_ns)
{
    for (uint32_t i = 0; i < RECOVERY_COUNT_MAX; i++) {
        struct recovery_slot *slot = &r->slots[i];
        if (!slot->txn || txn_next_deadline_ns(slot->txn) > now_ns) continue;
        struct txn_effects effects;
        txn_tick(slot->txn, now_ns, &effects);
        perform(r, slot, &effects);
    }
}

uint64_t recovery_next_deadline_ns(const struct recovery *r)
{
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; i < RECOVERY_COUNT_MAX; i++) {
        if (!r->slots[i].txn) continue;
        uint64_t at = txn_next_deadline_ns(r->slots[i].txn);
        if (at < first) first = at;
    }
    return first;
}
