/* ordered.h: ordered tables as a shard sees them: their groups, the requests that wait for them, and what leads where.
 *
 *   client ──▶ ordered__on_key ──▶ group_propose / group_read ──▶ done ──▶ reply          the leader is here
 *                   └──▶ task ──▶ ordered__run ──▶ call to the leader's node ──▶ reply    it is elsewhere
 *                                      └──▶ waits for a leader, bounded                   nobody knows it
 *
 * Q1  A request is in one place: proposed (a waiter holds it), asked of another node (a call), or waiting here. It ends
 * in exactly one reply. Q2  Only what is known to be not done is asked again (S8). What was sent or appended and not
 * answered ends as UNKNOWN. Q3  Requests of one connection to one partition take effect in the order in which they
 * came: while one waits here, later ones queue behind it, and nobody is asked again before all that were asked have
 * answered.
 */
#ifndef MERIDIAN_NODE_ORDERED_H
#define MERIDIAN_NODE_ORDERED_H

#include "contract/topology.h"
#include "ordered/group.h"

struct client;
struct partition_slot;
struct resp_request;
struct command;
struct shard;
struct task;
struct reader;

enum {
    ORDERED_WAITERS_MAX = 65536,   /* per shard: proposed entries and reads under way */
    ORDERED_LEADER_WAIT_MS = 3000, /* for a leader to be known */
    ORDERED_COMMIT_WAIT_MS = 4000, /* for an answer of the group; then it is UNKNOWN. Below CALL_TIMEOUT_MS */
    ORDERED_RETRY_MS = 20,         /* between two looks at who leads */
    ORDERED_BEAT_MS = 200,         /* between nodes that share groups */
    ORDERED_SILENT_MS = 1000,      /* without a beat a node counts as lost */
    ORDERED_LINGER_MS = 100,       /* and three round trips: others may not know yet that a group was handed over */
    ORDERED_LEAVE_MS = 2000,       /* for handing groups over, and for answers under way, before a node stops */
};

enum ordered_job {
    ORDERED_COMMAND,
    ORDERED_OUTCOME, /* of `id`; args: a key of its group */
    ORDERED_CANCEL,  /* the same, after an entry that cancels it */
    ORDERED_VERSION, /* of the key in args */
    ORDERED_MULTI,   /* args as ordered_multi.c says */
    ORDERED_ENTRY,   /* args: an entry of a transaction (txn_ask.c); it keeps no order with others */
    ORDERED_FATE,    /* of the write whose position the id in args names */
    ORDERED_JOBS_END,
};

struct ordered_ask { /* what is asked of a group; borrowed */
    enum ordered_job job;
    struct slice id; /* idempotency id; empty: none */
    int resp_version;
    const struct slice *args;
    size_t args_count;
    const struct commit_rule *rule; /* a stronger one than the table's; NULL: none */
};

struct ordered_task {      /* what a task on an ordered table keeps */
    struct list_node node; /* in ordered.parked */
    uint64_t arrival;      /* its place among all of the shard; 0: not looked at yet */
    uint64_t deadline_ns;  /* for finding a leader */
    enum ordered_job job;
    struct slice id;            /* in the task's arena */
    enum group_outcome refusal; /* why it is parked; GROUP_NOT_LEADER: for want of a leader */
    struct commit_rule *rule;   /* in the task's arena; NULL: none */
    bool is_ready;              /* a read that was confirmed, and met a cold item: it goes on from the state here */
    bool writes;
    bool through_log; /* a read whose connection has requests under way: an entry keeps its place among them */
    bool is_counted;  /* in client.ordered_reads */
    uint8_t asked_node;
};

struct ordered_waiter {    /* an entry or a read that a group has taken */
    struct list_node node; /* in ordered.waiters, by deadline */
    uint64_t token;        /* 0: free */
    struct partition_slot *slot;
    uint64_t deadline_ns;
    uint64_t term, index; /* of the entry; 0: a read */
    bool may_meet_lock;   /* then being applied does not mean being done */
    struct task *task;    /* NULL: a client's own */
    uint64_t client, mark;
};

struct ordered {                   /* a shard's part */
    struct partition_slot **slots; /* those with a group here */
    uint32_t slots_count, slots_capacity;
    uint64_t wake_ns; /* the earliest deadline of all groups; may be too early */
    struct raft_effects effects;
    struct ordered_waiter *waiters_all; /* a table, by the low bits of the token */
    uint32_t waiters_made, waiters_count;
    uint32_t *waiters_free;
    uint64_t tokens;
    struct list waiters;     /* struct ordered_waiter, by deadline */
    struct list parked;      /* struct task, in the order in which they came: no leader, or not their turn */
    uint64_t parked_look_ns; /* when to look at them again */
    bool parked_dirty;       /* something changed that may let one go */
    uint64_t arrivals, passes;
    uint64_t beat_ns;    /* when to send beats next */
    uint64_t companions; /* bit of each node that shares a group with us, as of companions_generation */
    uint64_t companions_generation;
    uint64_t beat_heard_ns[TOPOLOGY_NODES_MAX]; /* by node, on the first shard; 0: silent */
    uint64_t heard;                             /* bit of each node that the groups here were told to be alive */
    uint64_t silent; /* bit of each node that is connected, and has sent no beat for ORDERED_SILENT_MS */
    uint64_t leave_deadline_ns, linger_until_ns; /* while leaving */
    bool recovering;                             /* a TOPOLOGY RECOVER … CONFIRM of this node is under way */
    struct buffer entry;                         /* scratch */
    struct buffer frame;                         /* scratch */
};

/* ordered_open.c: the groups of this shard */
void ordered__init(struct shard *s);
void ordered__free(struct shard *s);
/* `joins`: others may have data of it already, and may know us; not so for a table that is being created. */
MUST_USE enum status ordered__open(struct partition_slot *slot, bool joins);
MUST_USE enum status ordered__start(struct partition_slot *slot);
void ordered__drop(struct partition_slot *slot);

/* ordered_client.c */
/* A replica here takes part in its group; one that was fenced shows nothing (S7). */
bool ordered__serves(const struct partition_slot *slot);
struct store_space *ordered__ledger(const struct partition_slot *slot); /* NULL: nothing is in it */

/* ordered_request.c */
void ordered__run(struct task *task);      /* its slot is of an ordered table */
void ordered__serve(struct task *task);    /* CALL_ORDERED */
void ordered__redirect(struct task *task); /* the node that asked is told who leads: nothing was done */
/* Into the log of the group here. GROUP_DONE: the task, or else the client's mark, gets the reply. */
enum group_outcome ordered__propose(struct partition_slot *slot, struct task *task, uint64_t client, uint64_t mark,
                                    const struct ordered_ask *ask);
/* From the state here, when the group has said READY. */
MUST_USE enum machine_result ordered__read(struct partition_slot *slot, const struct ordered_ask *ask,
                                           struct arena *arena, struct buffer *reply, struct machine_answer *answer);
void ordered__done(void *user, uint64_t token, enum group_outcome outcome, struct buffer *reply);
void ordered__look_at_parked(struct shard *s);
void ordered__check_deadlines(struct shard *s);

/* ordered_keys.c: several keys */
enum ordered_keys {
    ORDERED_KEYS_NONE,      /* key by key */
    ORDERED_KEYS_ONE_GROUP, /* as a whole, at *out_slot */
    ORDERED_KEYS_SEVERAL,   /* it writes to several groups, as a whole too */
};
enum ordered_keys ordered__keys(struct shard *s, const struct command *command, const struct slice *args,
                                size_t args_count, struct partition_slot **out_slot);
bool ordered__is_one_group(struct shard *s, const struct ordered_ask *ask, const struct partition_slot *slot);
void ordered__reply_several_groups(const char *name, struct buffer *reply);

/* ordered_error.c */
/* What came of it if it can't be done; `slot` may have no group here. */
void ordered__reply_failure(struct partition_slot *slot, enum group_outcome outcome, struct buffer *reply);
void ordered__reply_not_for_ordered(struct partition_slot *slot, const struct command *command, struct buffer *reply);
void ordered__reply_no_leader(struct partition_slot *slot, struct buffer *reply);
void ordered__reply_unknown(const struct ordered_waiter *waiter, struct buffer *reply);
void ordered__reply_read_timeout(struct partition_slot *slot, struct buffer *reply);

/* ordered_position.c: the id by which an -UNKNOWN names its write: g:<table>:<partition>:<term>:<index> */
struct ordered_position {
    uint64_t table, term, index;
    uint16_t partition;
};
enum { ORDERED_POSITION_BYTES_MAX = 96 };
void ordered__position_write(const struct ordered_position *position, char out[ORDERED_POSITION_BYTES_MAX]);
bool ordered__position_read(struct slice id, struct ordered_position *out); /* false: it is none */

/* ordered_peer.c: frames, beats, ticks */
void ordered__send(void *user, uint16_t node, struct slice bytes);
MUST_USE bool ordered__on_frame(struct shard *s, uint8_t node, struct slice body);
MUST_USE bool ordered__on_beat(struct shard *s, uint8_t node, struct slice body);
void ordered__on_shard_beat(struct shard *s, struct slice body);
void ordered__on_node_down(struct shard *s, uint8_t node);
void ordered__tick(struct shard *s);
uint64_t ordered__next_wake(const struct shard *s);
/* A group was called: it may have logged something, and want another tick. */
void ordered__touched(struct partition_slot *slot);

/* ordered_leave.c: a node that stops in order hands over what it leads, while it goes on serving (S8) */
void ordered__leave(struct shard *s);         /* begin, once */
bool ordered__has_left(struct shard *s);      /* nobody waits for our leadership any more, or its time is over */
bool ordered__is_idle(const struct shard *s); /* no request is under way here, or its time is over */

/* READ local, one: the state of whatever member is here will do. */
bool ordered__reads_any(const struct partition_slot *slot);

static inline struct group_now ordered__now(uint64_t wall_ms, uint64_t mono_ns)
{
    return (struct group_now){wall_ms, mono_ns};
}

#endif
