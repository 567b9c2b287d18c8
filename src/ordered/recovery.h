/* recovery.h: what RECOVER compares, decides and orders, of one group (S7). Pure: positions in, a verdict out.
 *
 *            PREPARE g                ORDER g, in its set
 *   MEMBER ------------> PREPARED -------------------------> MEMBER of generation g
 *      |                    |
 *      '---- first contact with a generation that goes on without it ----> FENCED --its tail is kept aside--> BLANK
 *                                                        BLANK --a snapshot of the new generation--> MEMBER
 *
 * G1  A generation is coordinator-unique: (count, number of the coordinating node). Members only go to higher ones,
 *     and there is one order of a generation.
 * G2  A PREPARED or FENCED member neither acknowledges nor votes nor serves reads; a FENCED one never again with the
 *     state that it has.
 * G3  Who is gone counts by the configuration in force at the start: the survivor with the most advanced log.
 */
#ifndef MERIDIAN_ORDERED_RECOVERY_H
#define MERIDIAN_ORDERED_RECOVERY_H

#include "ordered/raft.h"
#include "wire/varint.h"

enum {
    RECOVERY_RUNS_MAX = 64, /* of equal terms, the newest ones of the start's log, told to who was fenced */
    RECOVERY_BYTES_MAX = 16 * 1024,
};

enum recovery_standing {
    RECOVERY_MEMBER,
    RECOVERY_PREPARED, /* frozen by a recovery that goes on, or that another takes over */
    RECOVERY_FENCED,   /* the group went on without it: what it alone held is being handed over */
    RECOVERY_BLANK,    /* the same, and nothing is left to hand over: may join as who is new */
};

struct recovery_runs {
    uint32_t count;
    uint64_t first[RECOVERY_RUNS_MAX], term[RECOVERY_RUNS_MAX];
};

/* How one member stands. */
struct recovery_position {
    uint16_t node;
    enum recovery_standing standing;
    uint64_t generation;
    uint64_t term; /* its current one */
    uint64_t last_index, last_term, commit;
    uint64_t time_ms; /* of the newest entry that is applied there */
    struct recovery_runs runs;
    struct raft_configuration configuration; /* in force there */
};

/* What all members of a generation are told, and everybody who comes back. */
struct recovery_order {
    uint64_t generation;
    uint64_t term;                  /* of the recovery entry */
    uint16_t start;                 /* whose log is kept */
    uint64_t last_index, last_term; /* of that log: what is behind it elsewhere is not the group's any more */
    uint64_t commit;                /* as the start knew it */
    struct recovery_runs runs;
    struct raft_set set;
};

/* Bytes as recovery.c draws them. Reading returns STATUS_OK, or STATUS_MALFORMED with `out` undefined. */
void recovery_position_write(struct buffer *b, const struct recovery_position *position);
MUST_USE enum status recovery_position_read(struct reader *r, struct recovery_position *out);
void recovery_order_write(struct buffer *b, const struct recovery_order *order);
MUST_USE enum status recovery_order_read(struct reader *r, struct recovery_order *out);
bool recovery_order_has(const struct recovery_order *order, uint16_t node); /* is the node in the new set? */
/* The first index at which a log of the generation before, with these runs, end and commit index, parts from the
 * start's; UINT64_MAX: nowhere. */
uint64_t recovery_divergence(const struct recovery_order *order, const struct recovery_runs *runs, uint64_t last_index,
                             uint64_t commit);

enum recovery_need {
    RECOVERY_HEALTHY,    /* those in place satisfy majority and rule: nothing is to be done */
    RECOVERY_NEEDED,     /* and possible */
    RECOVERY_IMPOSSIBLE, /* nobody is left that could go on */
};

struct recovery_verdict {
    enum recovery_need need;
    uint32_t start;          /* its place in `positions` */
    bool may_be_missing;     /* some set that satisfies the rule lies wholly inside the lost */
    bool degraded;           /* the survivors can't keep the rule: the set has majority */
    uint64_t generation_max; /* of all */
    uint64_t term_max;
    uint32_t gone_count; /* members that are no survivors */
    uint16_t gone[RAFT_PEERS_MAX];
    struct raft_set set; /* the new configuration */
};

/* `positions`: of everybody who answered, one each. `weak`: the contract lets leaders acknowledge alone. */
void recovery_judge(const struct recovery_position *positions, uint32_t count, bool weak, struct recovery_verdict *out);
/* A generation higher than `highest`, by the node that coordinates it. */
uint64_t recovery_next_generation(uint64_t highest, uint16_t coordinator);

#endif
