/* txn.h: commands whose keys are in several groups of ordered tables, done as a whole (txn/coordinator.h), and the
 * groups led here ending what others left behind (txn/recovery.h).
 *
 *   client ──▶ txn__on_keys ──plan──▶ coordinator ──entry──▶ task ──▶ ordered__run ──▶ the group, wherever it is led
 *                                        ▲                                   │
 *                                        └──────── txn__answered ◀───────────┘
 *
 * X1  Everything is checked that needs no state before the first PREPARE leaves: an error then means nothing was done.
 * X2  An error beginning with UNAVAILABLE means that the entry is in no log and never will be; every other error, that
 *     nobody knows (S8).
 */
#ifndef MERIDIAN_NODE_TXN_H
#define MERIDIAN_NODE_TXN_H

#include "txn/recovery.h"

struct client;
struct ordered_ask;
struct partition_slot;
struct shard;
struct task;

enum {
    TXN_UNDER_WAY_MAX = 4096, /* per shard, of clients */
    TXN_TELL_MS = 5000,       /* a client is told by then */
    TXN_DOUBT_MS = 6000,      /* then the group's leader looks after it */
    TXN_LOOK_MS = 500,        /* between two such looks */
};

/* ---- plans (txn_plan.c) ---- */

/* How the client's reply comes from those of the commands. */
enum txn_shape {
    TXN_SHAPE_OK,    /* OK */
    TXN_SHAPE_SUM,   /* of integers */
    TXN_SHAPE_FIRST, /* the first command's */
    TXN_SHAPE_ARRAY, /* all, in order */
};

struct txn_plan_part {
    struct partition_slot *slot;
    uint8_t flags; /* enum transaction_flags */
    struct machine_args *commands;
    size_t *places; /* of each among the replies */
    size_t count, capacity;
    const struct machine_watch *watches;
    size_t watches_count;
};

struct txn_plan {
    enum txn_shape shape;
    size_t places_count;
    uint32_t parts_count;
    struct txn_plan_part *parts;
};

enum txn_planned {
    TXN_PLANNED,
    TXN_REFUSED,     /* the error is replied */
    TXN_NOT_PLANNED, /* this command can't be done over several groups */
};
/* Everything of the plan is in the arena; the words are borrowed. */
enum txn_planned txn__plan(struct shard *s, const struct slice *args, size_t args_count, struct arena *arena,
                           struct txn_plan *out, struct buffer *reply);
/* The same of a MULTI, whose commands are fine; one group is a plan too. */
enum txn_planned txn__plan_multi(struct shard *s, const struct ordered_ask *ask, struct arena *arena,
                                 struct txn_plan *out, struct buffer *reply);

/* ---- coordinators (txn_client.c) ---- */

bool txn__is_id(struct slice id); /* it has the form of a transaction's, as UNKNOWN names it */

struct node_txn {
    uint64_t handle; /* 0: free */
    struct txn *txn;
    struct task *task; /* whose client waits for it; NULL once it is told */
    struct txn_plan plan;
};

struct txns {             /* a shard's part */
    struct node_txn *all; /* TXN_UNDER_WAY_MAX of them, by the low bits of their handles */
    uint32_t *free;       /* indexes */
    uint32_t made, count; /* of `all`: used at some time; now */
    uint64_t sequence;
    uint64_t wake_ns;          /* may be too early */
    uint64_t look_ns;          /* at the groups */
    uint32_t recoveries_count; /* groups with a recovery */
    struct buffer entry;       /* scratch */
};

void txn__init(struct shard *s);
void txn__free(struct shard *s);
/* A client's command over several groups: true when it was taken, or refused with an error. False: not one of those
 * that can be done so. */
bool txn__on_keys(struct client *c, const struct slice *args, size_t args_count);
/* A MULTI that txn__plan_multi() has planned, over several groups. */
void txn__on_multi(struct client *c, const struct ordered_ask *ask);

/* Once an iteration: what is due of the coordinators, then of the groups' recoveries. */
void txn__tick(struct shard *s);

uint64_t txn__next_wake(const struct shard *s); /* when it has something to do; may be too early */
bool txn__is_quiet(const struct shard *s);      /* no client's transaction is under way */

/* ---- entries to groups (txn_ask.c) ---- */

/* Who wants to know what came of an entry. */
struct txn_asker {
    bool is_recovery;
    uint64_t table; /* of the recovering group */
    uint16_t partition;
    uint64_t handle;
    uint32_t part, request;
};

/* Propose the entry to a group, wherever its leader is. The asker hears once: what the group answered, that it failed,
 * or that it was refused, so that nothing was done and nothing will be. */
void txn__ask(struct shard *s, const struct txn_asker *asker, struct transaction_group to,
              const struct machine_entry *entry);
void txn__answered(struct task *task); /* one that txn__ask() made has its reply */

/* To the client's coordinator, if it is still there. `reply` counts unless `failed`; `refused` implies that. */
void txn__on_answer(struct shard *s, const struct txn_asker *asker, struct slice reply, bool failed, bool refused);

/* ---- recovery (txn_recover.c) ---- */

/* Every TXN_LOOK_MS: groups led from here look for transactions in doubt; others drop their recovery. */
void txn__look_at_groups(struct shard *s);

void txn__tick_groups(struct shard *s);           /* what is due of the recoveries under way */
uint64_t txn__groups_wake(const struct shard *s); /* UINT64_MAX: none is under way */

/* As txn__on_answer(), to the recovery of the asking group. */
void txn__on_recovery_answer(struct shard *s, const struct txn_asker *asker, struct slice reply, bool failed,
                             bool refused);

void txn__drop(struct partition_slot *slot); /* the group is going, or led elsewhere */

#endif
