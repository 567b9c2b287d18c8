/* recovery.h: the leader of a group ends the transactions that nobody else ends: those that stay PREPARED, whose
 * coordinator has crashed or given up, and those that stay COMMITTED, whose other participants may not know it yet. It
 * asks the participants and does what their records say (coordinator.h).
 *
 * V1  Any number of recoveries of one transaction may run, at every participant's leader and beside its coordinator:
 *     each acts on records that are final.
 * V2  What was dropped on the way, because the leader changed or a group could not be reached, comes up again after
 *     `doubt_ms`: no transaction stays in doubt for longer than its participants' groups stay away.
 */
#ifndef MERIDIAN_TXN_RECOVERY_H
#define MERIDIAN_TXN_RECOVERY_H

#include "txn/coordinator.h"

enum { RECOVERY_COUNT_MAX = 64 }; /* under way at one time in one group; the others wait for the next look */

/* One that is under way. */
struct recovery_slot {
    struct txn *txn; /* NULL: free */
    uint32_t uses;   /* tells answers to the one before apart */
};

struct recovery_config {
    struct transaction_group group; /* ours */
    uint64_t doubt_ms;              /* how long a transaction may stay as it is before we look after it */
    struct txn_times times;         /* of one recovery */
    struct prng *prng;
    void *user;
    /* Put an entry of `txn->transaction` into the log of `txn->parts[send->part].group`. What becomes of it is told by
     * recovery_on_answer() or recovery_on_failure(), later, with this handle and send->request. */
    void (*send)(void *user, uint64_t handle, const struct txn *txn, const struct txn_send *send);
};

struct recovery {
    struct recovery_config config;
    struct recovery_slot slots[RECOVERY_COUNT_MAX];
    uint64_t now_ns;
};

void recovery_init(struct recovery *r, const struct recovery_config *config);
void recovery_deinit(struct recovery *r); /* also when the group is led by another: nothing is under way any more */

/* While we lead, every now and then: take up what is in doubt. MACHINE_COLD: fetch answer->cold and call again. */
MUST_USE enum machine_result recovery_look(struct recovery *r, struct machine *machine, uint64_t wall_ms,
                                           uint64_t now_ns, struct machine_answer *answer);
void recovery_on_answer(struct recovery *r, uint64_t handle, uint32_t part, uint32_t request, struct slice bytes,
                        uint64_t now_ns);
void recovery_on_failure(struct recovery *r, uint64_t handle, uint32_t part, uint32_t request, bool refused,
                         uint64_t now_ns);
void recovery_tick(struct recovery *r, uint64_t now_ns);
uint64_t recovery_next_deadline_ns(const struct recovery *r); /* UINT64_MAX: nothing is under way */

#endif
