/* register_lww.h: last writer wins, as a view of a register: the greatest stamp is kept, the replica id breaks ties,
 * and every other value is a loser for the conflict ledger (docs/decisions/0002-lww-is-a-view.md).
 *
 * L1  A loser can go from the register at once. What replaces the winner observed it, so its stamp is greater still
 *     (W1); what deletes the winner hides it until no write that competes with it can arrive any more (S1).
 */
#ifndef MERIDIAN_CRDT_REGISTER_LWW_H
#define MERIDIAN_CRDT_REGISTER_LWW_H

#include "causality/hlc.h"
#include "crdt/register.h"

/* Index of the winner. The register must not be empty. */
static inline uint32_t register_lww_winner(const struct reg *reg)
{
    ASSERT(reg->count > 0);
    uint32_t best = 0;
    for (uint32_t i = 1; i < reg->count; i++) {
        const struct register_value *a = &reg->values[best], *b = &reg->values[i];
        if (stamp_before(a->stamp, a->dot.replica, b->stamp, b->dot.replica)) best = i;
    }
    return best;
}

#endif
