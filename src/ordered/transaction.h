/* transaction.h: a transaction's part in one group: how entries of the log prepare it, end it and ask about it. What
 * they do with the group's state is machine_transaction.c; who sends them is txn/.
 *
 * There is no coordinator's record: a transaction is committed once every participant's group holds its PREPARED
 * record, each under its own commit rule (S10), and aborted once one of them holds an ABORTED one. Both are final:
 *
 *     (none) ──PREPARE, all went well──▶ PREPARED ──COMMIT──▶ COMMITTED ──FORGET──▶ COMMITTED, forgotten
 *        └──PREPARE refused, RESOLVE, ABORT──▶ ABORTED ◀──ABORT──┘
 *
 * T1  A COMMIT is sent only by who saw PREPARED or COMMITTED of every participant; an ABORT only by who saw ABORTED of
 *     one, or knows that one never got a PREPARE and never will.
 * T2  No PREPARE is taken after the deadline, and ABORTED stays on record until after it: a late duplicate of a PREPARE
 *     can't undo a refusal.
 * T3  COMMITTED stays on record until every participant is known to have committed (FORGET): whoever is in doubt
 *     learns it.
 * T4  From PREPARED on the keys are locked, so that COMMIT finds what PREPARE found and gives what it promised.
 *
 * Sources: two-phase commit, Gray, "Notes on Data Base Operating Systems", 1978; the commit point in the participants'
 * records as in CockroachDB's parallel commits (Taft et al., SIGMOD 2020); wait-die, Rosenkrantz et al., TODS 1978.
 */
#ifndef MERIDIAN_ORDERED_TRANSACTION_H
#define MERIDIAN_ORDERED_TRANSACTION_H

#include "base/arena.h"
#include "base/status.h"
#include "wire/varint.h"

enum {
    TRANSACTION_GROUPS_MAX = 256,
    TRANSACTION_LIFE_MS_MAX = 10 * 60 * 1000,                  /* a deadline further away is refused */
    TRANSACTION_KEEP_MS_MAX = 25 * 60 * 60 * 1000,             /* the same for keep_until_ms */
    TRANSACTION_COUNT_MAX = 256 * 1024,                        /* of one group, finished ones that are kept included */
    TRANSACTION_REPLY_BYTES_MAX = 16 << 20,                    /* of one part; longer is refused */
    TRANSACTION_BYTES_MAX = 128 << 20,                         /* of their records */
    TRANSACTION_ABORTED_COUNT_MAX = 2 * TRANSACTION_COUNT_MAX, /* refusals have this room beyond the others' */
};

struct transaction_group {
    uint64_t table;
    uint16_t partition;
};

enum transaction_flags {
    TRANSACTION_ERRORS_REFUSE = 1, /* a command that answers an error refuses; else its error is part of the replies */
    TRANSACTION_ZERO_REFUSES = 2,  /* one that answers 0 or null refuses, and that is the reply of the whole */
};

/* What every entry of a transaction carries. */
struct transaction {
    struct slice id;                        /* another one for each try; at most MACHINE_ID_BYTES_MAX */
    uint64_t age_ms;                        /* when its first try began: the smaller is the older; ties by id */
    uint64_t deadline_ms;                   /* T2 */
    uint64_t keep_until_ms;                 /* its end stays on record until then; >= deadline_ms */
    uint8_t flags;                          /* enum transaction_flags */
    const struct transaction_group *groups; /* PREPARE: every participant; others: none */
    size_t groups_count;
};

/* Append it. Asserts what transaction_read() would refuse. */
void transaction_write(struct buffer *out, const struct transaction *t);

/* The id borrows from the reader, the groups from the arena. What is out of bounds fails the reader. */
void transaction_read(struct reader *r, struct arena *arena, struct transaction *out);

/* What a group has on record, as the answer to every entry of a transaction. */
enum transaction_state {
    TRANSACTION_GONE = 1, /* nothing, and nothing will come: never prepared here, or ended, forgotten and old */
    TRANSACTION_WAIT,     /* nothing yet: ask again later (a younger one holds a key, or there is no room) */
    TRANSACTION_PREPARED,
    TRANSACTION_COMMITTED,
    TRANSACTION_ABORTED,
};

enum transaction_reason {
    TRANSACTION_NO_REASON,
    TRANSACTION_REFUSED, /* ABORTED: the commands can't be done; `reply` says why */
    TRANSACTION_DIED,    /* ABORTED: an older transaction holds a key: try again under the old age */
    TRANSACTION_ENDED,   /* ABORTED: by RESOLVE or ABORT */
    TRANSACTION_LOCKED,  /* WAIT: for `holder` */
    TRANSACTION_NO_ROOM, /* WAIT */
};

struct transaction_answer {
    enum transaction_state state;
    enum transaction_reason reason;
    struct slice reply;  /* PREPARED, COMMITTED: one RESP reply a command; REFUSED: the reply of the whole */
    struct slice holder; /* LOCKED: a transaction's id */
};

/* As a RESP bulk string, so that it travels as every other reply of a group does. */
void transaction_answer_write(struct buffer *out, const struct transaction_answer *answer);

/* Borrows. Returns STATUS_OK, MALFORMED. */
MUST_USE enum status transaction_answer_read(struct slice bytes, struct transaction_answer *out);

/* True: a is older than b; of two with the same age the one with the smaller id. */
bool transaction_is_older(uint64_t a_age_ms, struct slice a_id, uint64_t b_age_ms, struct slice b_id);

#endif
