/* group.h: one group of a shard: a partition of an ordered table. Raft decides, the shard log keeps, the machine
 * executes, and who asked gets told.
 *
 *   propose ──▶ raft ──append──▶ shard log ──durable──▶ raft ──commit──▶ machine ──reply──▶ done()
 *                 └──messages──▶ send() to the other members
 *
 * O1  What a message or an answer depends on is durable before it leaves: raft's order of effects is kept.
 * O2  A completion of the log is told to raft with the (term, index) it was written for (S4).
 * O3  A proposal ends in exactly one done(): DONE once it is applied, REPLACED once another term's entry was committed
 * at its index, LOST when neither can be known here any more (S8). Whoever doesn't want to wait that long forgets it.
 * O4  An entry's record leaves the shard log only when the machine's state at rest includes it.
 *
 * The group calls its log and store directly (both are sans-IO); everything else leaves through group_effects.
 */
#ifndef MERIDIAN_ORDERED_GROUP_H
#define MERIDIAN_ORDERED_GROUP_H

#include "ordered/machine.h"
#include "ordered/raft.h"
#include "ordered/recovery.h"
#include "storage/log.h"

enum {
    GROUP_CATCH_UP_BYTES_MAX =
        32 * 1024 * 1024,                      /* of entries kept for members that lag; beyond it they get a snapshot */
    GROUP_LACKED_BYTES_MAX = 16 * 1024 * 1024, /* of entries at rest that some member lacks, as its leader knows */
    GROUP_TAIL_BYTES_MAX = 16 * 1024,          /* of other entries at rest */
    GROUP_ENTRY_OVERHEAD_BYTES = 32,           /* of an entry's record, beside its payload */
    GROUP_MESSAGE_BYTES_MAX = RAFT_MESSAGE_BYTES_MAX + 16,
};

/* Log record kinds of a group; those of mergeable partitions and of the catalog are other numbers. */
enum group_log_kind {
    LOG_GROUP_ENTRY = 0x20, /* term, index, kind, payload */
    LOG_GROUP_TRUNCATE,     /* index: it and all behind it are gone */
    LOG_GROUP_HARD_STATE,   /* term, vote, floor; the first one says that the group began here, or was joined */
    LOG_GROUP_GENERATION,   /* generation, standing, order: group_recover.c */
};

struct group;

struct group_now {
    uint64_t wall_ms; /* may be skewed */
    uint64_t mono_ns;
};

enum group_outcome {
    GROUP_DONE,         /* applied; the reply is what the machine said */
    GROUP_LOCKED,       /* applied and did nothing: a transaction holds a key. Propose it again later */
    GROUP_READY,        /* a read: the machine shows what it must show */
    GROUP_NOT_LEADER,   /* never appended; a read: not confirmed. Ask group_leader() */
    GROUP_BUSY,         /* never appended: too much is under way */
    GROUP_TOO_LARGE,    /* never appended: no log takes an entry of this length */
    GROUP_NO_SPACE,     /* never appended: the disk is full */
    GROUP_NO_CONTACT,   /* never appended: the members in contact can't satisfy the rule */
    GROUP_HANDING_OVER, /* never appended: another member is about to lead */
    GROUP_REPLACED,     /* appended, and another term's entry was committed in its place: it never takes effect */
    GROUP_LOST,         /* appended, and a snapshot came over it: it may have taken effect */
    GROUP_WEAKER,       /* applied; whether the stronger rule that was asked for holds is not known */
};

/* What leaves a group. All are called synchronously from group_* calls. */
struct group_effects {
    void *user;
    /* One message to a member; lost silently if it is away. `bytes` is borrowed. */
    void (*send)(void *user, uint16_t node, struct slice bytes);
    /* The end of a proposal or of a read that was taken with this token. The reply's content may be taken over. */
    void (*done)(void *user, uint64_t token, enum group_outcome outcome, struct buffer *reply);
    /* Role, term or leader changed. */
    void (*role_changed)(void *user);
};

struct group_config {
    struct machine_config machine; /* store, table, partition, type, invariant */
    uint16_t self;                 /* our node number */
    uint64_t incarnation;          /* another one for each run */
    uint64_t round_trip_ns_max;    /* between members: sets the timeouts */
    bool joins;                    /* unless something is at rest or in the log: others may know us (raft_join.c) */
    uint64_t cache_bytes;          /* of applied entries kept in memory; 0: raft's default */
    uint64_t catch_up_bytes_max;   /* 0: GROUP_CATCH_UP_BYTES_MAX */
    struct raft_set members;       /* of a new group; checked by raft_set_check() */
    struct prng *prng;             /* the shard's */
    struct raft_effects *scratch;  /* the shard's; its groups take turns */
    struct group_effects effects;
};

/* ---- life ---- */
/* `metas` as for machine_open(). */
MUST_USE enum status group_open(const struct group_config *config, const struct slice metas[2], struct group **out);
void group_free(struct group *g);
/* The table is gone: forget everything of this partition, here and at rest, and free the group. Waiters end as LOST. */
void group_drop(struct group *g);
/* Every record of this partition, in log order, before group_start(). */
void group_replay(struct group *g, const struct log_record *record);
/* STATUS_CORRUPT: what the log holds is not what this group's state needs. */
MUST_USE enum status group_start(struct group *g, struct log *log, struct group_now now);

/* ---- events ---- */
void group_tick(struct group *g, struct group_now now);
uint64_t group_next_deadline_ns(const struct group *g); /* when it wants a tick; UINT64_MAX: only on events */
void group_on_durable(struct group *g, uint64_t durable_lsn, struct group_now now);
/* Hostile or damaged bytes are refused with STATUS_MALFORMED: drop the connection. */
MUST_USE enum status group_on_message(struct group *g, uint16_t node, struct slice bytes, struct group_now now);
void group_on_node_heard(struct group *g, uint16_t node, struct group_now now);
void group_on_node_lost(struct group *g, uint16_t node, struct group_now now);
/* A leader: let the best other voter lead. False: it does not lead, or nobody in contact could take over. */
bool group_hand_over(struct group *g, struct group_now now);

/* ---- client work ---- */
/* Put an entry (machine_entry_write()) into the log. With `rule` (copied; NULL: none) done() waits until the members
 * that hold it satisfy that as well, and says WEAKER when this member can't know it any more. GROUP_DONE: taken, and
 * done() follows with this token, possibly before the call returns; *out_term and *out_index name it. Anything else:
 * refused, and nothing was done. */
enum group_outcome group_propose(struct group *g, uint64_t token, struct slice entry, const struct commit_rule *rule,
                                 struct group_now now, uint64_t *out_term, uint64_t *out_index);
/* May a read be served that came in before `now`? GROUP_READY: at once, by machine_read(); GROUP_DONE: later, done()
 * follows with READY or a refusal. */
enum group_outcome group_read(struct group *g, uint64_t token, struct group_now now);
/* Can a read be served by the leader's lease, without asking anybody? Then group_machine() shows what it must show. */
bool group_read_at_once(struct group *g, struct group_now now);
/* ---- facts ---- */
/* May an entry that is proposed now find a key locked when it is applied? */
bool group_may_meet_lock(const struct group *g);
enum group_fate {
    GROUP_FATE_DONE,     /* applied */
    GROUP_FATE_REPLACED, /* it is not in the log, and never will be */
    GROUP_FATE_UNKNOWN,  /* it is not committed so far, or had left the log */
};
/* What became of a proposal, as a leader sees it whose read was just confirmed. */
enum group_fate group_fate_of(const struct group *g, uint64_t term, uint64_t index);
bool group_is_leader(const struct group *g);
uint16_t group_leader(const struct group *g); /* node number; 0: none known. Fenced: who may know */
const struct raft *group_raft(const struct group *g);
struct machine *group_machine(struct group *g);
uint64_t group_table(const struct group *g);
uint16_t group_partition(const struct group *g);
uint64_t group_round_trip_ns_max(const struct group *g);             /* between members, as its configuration said */
uint64_t group_time_ms(const struct group *g, struct group_now now); /* for the next entry: never goes back */

/* ---- recovery without a majority (S7): by the operator's word alone ---- */
void group_position(const struct group *g, struct recovery_position *out);
enum recovery_standing group_standing(const struct group *g);
/* It was recovered, and does not run with the members and the rule of its contract so far. */
bool group_is_degraded(const struct group *g);
/* Stand still for this generation: no vote, no acknowledgement, no read until the order comes. What waits ends as LOST
 * or NOT_LEADER. False: not one that could take part (a newer generation is known, it is fenced, or a snapshot is being
 * installed). Its position counts once the log is durable up to its last lsn. */
bool group_prepare_recovery(struct group *g, uint64_t generation, struct group_now now);
/* Go on as ordered. False: it is not prepared for this order. Told twice, it is true twice. */
bool group_recover(struct group *g, const struct recovery_order *order, struct group_now now);

/* ---- upkeep by the shard ---- */
uint64_t group_flushed_lsn(const struct group *g);
bool group_record_is_live(struct group *g, const struct log_record *record);
void group_record_moved(struct group *g, const struct log_record *record);
bool group_write_back(struct group *g); /* begin one, as of the applied position */
void group_check(const struct group *g);

#endif
