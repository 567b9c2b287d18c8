/* coordinator.h: one transaction over several groups, from its start to its end, or one that somebody else left behind:
 * a value machine. It says which entry to send to which group; its owner makes the entry (ordered/transaction.h), puts
 * it into that group's log, wherever its leader is, and hands the answer back.
 *
 *   PREPARING ──all prepared──▶ COMMITTING ──all committed──▶ FORGETTING ──▶ ENDED
 *     │   ▲  └─too long─▶ RESOLVING ─┴─one aborted, or never to be prepared─▶ ABORTING ──▶ ENDED
 *     │   └──── RESTING ◀───────died: a younger one yields to an older────────┘
 *     └──one aborted──▶ ABORTING
 *
 * C1  It tells COMMITTED only when every group has answered PREPARED, and ABORTED only when one has answered ABORTED or
 *     can never be prepared, since each PREPARE sent to it was refused before it got into a log. Else it tells UNKNOWN.
 * C2  It never asks for both: after the first COMMIT no ABORT is sent, and the other way round.
 * C3  An answer that did not come is not guessed: entries are idempotent, and are sent again.
 * C4  It may stop anywhere. What it leaves behind is found by the groups' leaders (recovery.h).
 */
#ifndef MERIDIAN_TXN_COORDINATOR_H
#define MERIDIAN_TXN_COORDINATOR_H

#include "base/prng.h"
#include "ordered/machine.h"

enum {
    TXN_TRIES_MAX = 64,
    TXN_ID_BYTES_MAX = MACHINE_ID_BYTES_MAX - 4, /* the number of the try follows: ".63" */
};

/* In ns where not said otherwise; all from the start. */
struct txn_times {
    uint64_t resolve_after; /* no more waiting for locks and votes: find out */
    uint64_t tell_after;    /* the client is told UNKNOWN; > resolve_after */
    uint64_t end_after;     /* the rest is left to recovery; > tell_after */
    uint64_t resend_after;  /* an answer that did not come, or a refusal */
    uint64_t wait_for_lock; /* before a PREPARE is tried again that met a younger transaction's lock */
    uint64_t rest_max;      /* of a younger one, before its next try */
    uint64_t life_ms;       /* of one try: beyond it no PREPARE is taken; > end_after */
    uint64_t keep_ms;       /* its end stays on record so much longer */
};
struct txn_times txn_times_default(uint64_t tell_after_ns);

enum txn_phase {
    TXN_PREPARING,
    TXN_RESOLVING,
    TXN_COMMITTING,
    TXN_FORGETTING,
    TXN_ABORTING,
    TXN_RESTING,
    TXN_ENDED, /* nothing more to do; free it */
};

enum txn_outcome { TXN_UNTOLD, TXN_COMMITTED, TXN_ABORTED, TXN_UNKNOWN };

/* One participant, as it is known here. */
struct txn_part {
    struct transaction_group group;
    enum transaction_state state;   /* WAIT: nothing is known */
    enum transaction_reason reason; /* of the last answer */
    bool may_be_prepared;           /* a PREPARE was sent whose fate is not known */
    bool acknowledged;              /* it has answered to the entry of the present phase */
    bool under_way;                 /* a request */
    uint32_t request;               /* its number; answers to others are late, and dropped */
    uint64_t send_at_ns;            /* when it is sent again, or first */
    struct buffer reply;            /* of its answer; of LOCKED: the holder */
};

struct txn {
    enum txn_phase phase;
    enum txn_outcome outcome; /* as told */
    struct txn_times times;
    uint64_t start_ns, start_wall_ms, now_ns;
    uint64_t rest_until_ns;
    struct transaction transaction; /* of the present try; borrows `id`, `groups` */
    uint8_t id[MACHINE_ID_BYTES_MAX];
    size_t base_bytes; /* of the id without the number of the try */
    uint32_t tries;
    bool is_recovery;
    uint32_t requests; /* so far */
    uint32_t culprit;  /* ABORTED: the part that refused; UNKNOWN: the first that did not answer */
    struct prng *prng;
    uint32_t parts_count;
    struct txn_part *parts;
    struct transaction_group *groups;
};

struct txn_send {
    uint32_t part;
    uint32_t request;
    enum machine_entry_kind kind; /* PREPARE, RESOLVE, COMMIT, ABORT, FORGET, with txn->transaction */
};

struct txn_effects {
    uint32_t sends_count;
    struct txn_send sends[TRANSACTION_GROUPS_MAX];
    bool tell; /* now, and only once: txn->outcome is known, and the parts' replies */
};

struct txn_config {
    struct slice id;                        /* unique, at most TXN_ID_BYTES_MAX */
    uint64_t age_ms;                        /* when the client's command came: older ones go first */
    uint8_t flags;                          /* enum transaction_flags */
    const struct transaction_group *groups; /* different ones, 2 .. TRANSACTION_GROUPS_MAX */
    uint32_t groups_count;
    struct txn_times times;
    struct prng *prng; /* the shard's; outlives the transaction */
};

/* Begin one. */
struct txn *txn_new(const struct txn_config *config, uint64_t now_ns, uint64_t wall_ms, struct txn_effects *out);
/* Go on with one that is on record in group number `self` of its groups as PREPARED or COMMITTED; nobody is told. */
struct txn *txn_recover(const struct transaction *found, uint32_t self, enum transaction_state state,
                        const struct txn_times *times, uint64_t now_ns, struct prng *prng, struct txn_effects *out);
void txn_free(struct txn *t); /* accepts NULL */

/* What a group answered (transaction_answer_write()). Malformed bytes count as no answer. */
void txn_on_answer(struct txn *t, uint32_t part, uint32_t request, struct slice bytes, uint64_t now_ns,
                   struct txn_effects *out);
/* No answer will come. `refused`: the entry is in no log and never will be. */
void txn_on_failure(struct txn *t, uint32_t part, uint32_t request, bool refused, uint64_t now_ns,
                    struct txn_effects *out);
void txn_tick(struct txn *t, uint64_t now_ns, struct txn_effects *out);
uint64_t txn_next_deadline_ns(const struct txn *t);

#endif
