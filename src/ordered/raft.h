/* raft.h: the Raft core of one group, a value machine: an event goes in, effects come out. It knows entries as
 * (term, index, kind, bytes), members as node numbers, and neither tables nor keys nor files nor sockets.
 *
 * Sources: Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm", ATC 2014; Ongaro, PhD thesis,
 * 2014 (membership ch. 4, transfer 3.10, reads and leases 6.4, pre-vote 9.6). Shape: etcd-io/raft. Quiescence:
 *          CockroachDB and TiKV's hibernated regions. docs/protocols/raft.md tells messages, rules and invariants.
 * Differs: an entry commits when it is durable on a majority *and* its configuration's placement rule holds
 *          (contract/commit_rule.h); a leader's own disk counts like any other; a heartbeat is an append without
 * entries.
 *
 * R1  At most one leader a term; a vote and a term are durable before any message that depends on them leaves.
 * R2  match <= durable: what a member acknowledges it has on disk, and has compared with the leader of this term.
 * R3  commit never decreases, and never exceeds what was verified in this term.
 * R4  Each index is handed out for applying once, in order, and only when committed.
 * R5  The configuration in force is the last one in the log, committed or not; a truncation brings the one before back.
 * R6  Safety rests on none of: clocks (except the lease, by a stated drift bound), liveness events, quiescence.
 * R7  All of this holds within one recovery generation (raft_recover.c). Hosts never hand a message of another
 *     generation to a core.
 * R8  Who may have forgotten what it said neither votes nor acknowledges before it knows (raft_join.c).
 *
 * How a host uses it: make it with raft_new(), hand in what the log holds with raft_restore_entry(), raft_start(). Then
 * one raft_step() per event, and after each step perform the effects: start ONE write of `hard` and `append` (if
 * write.id is set), send `send_now`, keep `send_after_durable` until write number `after_write` is durable, apply
 * `apply`, answer `reads`. When a write is durable, say so with RAFT_DURABLE and the raft_write that came with it;
 * writes complete in the order in which they were started, and a completion speaks for all earlier ones. A failed write
 * must stop the node. What a member sent before it was started again must not arrive after what it sends then. Nobody
 * else writes into a group's log. All calls are cheap; none blocks; none reads a clock.
 */
#ifndef MERIDIAN_ORDERED_RAFT_H
#define MERIDIAN_ORDERED_RAFT_H

#include "base/buffer.h"
#include "base/prng.h"
#include "base/status.h"
#include "contract/commit_rule.h"

enum {
    RAFT_MEMBERS_MAX = 16, /* of one half of a configuration */
    RAFT_CONFIGURATION_BYTES_MAX = 8192,
    RAFT_PEERS_MAX = 2 * RAFT_MEMBERS_MAX,       /* of both halves of a joint one */
    RAFT_PAYLOAD_BYTES_MAX = 32 * 1024 * 1024,   /* of one entry */
    RAFT_MESSAGE_ENTRIES_BYTES_MAX = 256 * 1024, /* of the entries in one message; one larger entry travels alone */
    RAFT_MESSAGE_ENTRIES_MAX = 4096,
    RAFT_CHUNK_BYTES_MAX = 1024 * 1024,            /* of a snapshot's chunk */
    RAFT_MESSAGE_BYTES_MAX = 33 * 1024 * 1024,     /* of any message */
    RAFT_PROPOSALS_MAX = 4096,                     /* in one event */
    RAFT_UNCOMMITTED_BYTES_MAX = 64 * 1024 * 1024, /* a leader's log beyond its commit index; then proposals are busy */
    RAFT_READS_MAX = 65536,                        /* reads waiting for confirmation; then reads are refused as busy */
};

/* ---- membership ---- */

enum raft_member_kind {
    RAFT_VOTER = 1, /* votes, holds the log and the state */
    RAFT_WITNESS,   /* votes and keeps the log's tail, holds no state, leads only to hand over (S18) */
    RAFT_LEARNER,   /* receives everything, counts for nothing */
};

struct raft_member {
    uint16_t node; /* node number, never 0 */
    uint8_t kind;  /* enum raft_member_kind */
    struct commit_labels labels;
};

/* One half of a configuration: who belongs to the group, and which of them must hold an entry. */
struct raft_set {
    struct commit_rule rule; /* over voters and witnesses, in the order of `members` */
    uint16_t leader_region;  /* the label COMMIT_LABEL_REGION of the region preferred for the leader; 0: anywhere */
    uint8_t members_count;
    struct raft_member members[RAFT_MEMBERS_MAX]; /* ascending by node, without duplicates */
};

/* In a joint configuration every decision needs both halves. */
struct raft_configuration {
    bool joint;
    struct raft_set now;
    struct raft_set old; /* meaningful only when joint */
};

/* Sorts members by node. Returns STATUS_MALFORMED for no voter, a duplicate, an unknown kind or a rule that not even
 * all voters and witnesses together satisfy. */
MUST_USE enum status raft_set_check(struct raft_set *set);
void raft_configuration_write(struct buffer *b, const struct raft_configuration *c);
MUST_USE enum status raft_configuration_read(struct slice bytes, struct raft_configuration *out);
/* The member in either half (`now` first), or NULL. */
const struct raft_member *raft_configuration_member(const struct raft_configuration *c, uint16_t node);

/* ---- entries ---- */

enum raft_entry_kind {
    RAFT_ENTRY_NORMAL = 0,        /* the host's bytes */
    RAFT_ENTRY_EMPTY = 1,         /* a new leader's first: nothing to apply but the index */
    RAFT_ENTRY_CONFIGURATION = 2, /* raft_configuration_write()'s bytes: the host keeps them with its applied state */
};

struct raft_entry {
    uint64_t term;
    uint64_t index; /* from 1, without gaps */
    uint8_t kind;   /* enum raft_entry_kind */
    struct slice payload;
};

/* A run of indexes; empty when count is 0. Read the entries with raft_entry(). */
struct raft_span {
    uint64_t first;
    uint64_t count;
};

struct raft_end { /* where a log ends; later terms are further, and within a term higher indexes */
    uint64_t term, index;
};

/* What must survive a crash beside the entries. */
struct raft_hard_state {
    uint64_t term;
    uint16_t vote;         /* 0: none in this term */
    struct raft_end floor; /* no vote for a log that ends before it: set once, by who joined (raft_join.c) */
};

/* Names one write to the log. The host echoes it in RAFT_DURABLE. */
struct raft_write {
    uint64_t id;          /* 1, 2, ... since the start; 0: nothing to write */
    uint64_t term, index; /* of the last entry in the log as of this write */
};

/* ---- making one ---- */

struct raft_config {
    uint16_t node;                  /* this member's number */
    uint64_t incarnation;           /* different at every start of this node: random, or counted durably */
    uint64_t election_timeout_ns;   /* E: silence before an election; each is drawn from [E, 2E); leases end before E */
    uint64_t heartbeat_interval_ns; /* of a busy group; at most E / 3 */
    uint64_t quiesce_after_ns;      /* an idle group goes to sleep after this; 0: never */
    uint32_t clock_drift_ppm_max;   /* any two members' clocks differ in rate by less; 0 turns leases off */
    uint32_t window_entries_bytes;  /* in flight to one peer */
    uint32_t window_messages;       /* in flight to one peer, at most RAFT_WINDOW_MESSAGES_MAX */
    uint64_t cache_bytes;           /* payloads kept in memory that are applied and durable; older are loaded */
    struct raft_hard_state hard;    /* as recovered; zero for a new group */
    uint64_t base_index, base_term; /* the log begins after this entry (compaction, snapshot); 0, 0: at the beginning */
    struct raft_configuration base; /* in force as of base_index; for a new group the first one, the same everywhere */
    uint64_t applied_index;         /* of the host's durable state; >= base_index, or equal to it */
    bool joins; /* it may have been here before and remembers nothing: it asks the others first (raft_join.c) */
    uint64_t floor_term; /* of the newest recovery: only a log that reaches this term may lead; 0: none */
    bool frozen;         /* comes up as RAFT_FREEZE leaves it */
    bool blank;          /* takes nothing but a snapshot, whose state then replaces all that it has */
    struct prng prng;    /* seeds the election timeouts */
};

enum { RAFT_WINDOW_MESSAGES_MAX = 1024 };

/* Sensible values for everything but node, incarnation, hard, base and prng: for links of `round_trip_ns_max`. */
void raft_config_defaults(struct raft_config *config, uint64_t round_trip_ns_max);

struct raft;
struct raft *raft_new(const struct raft_config *config);
void raft_free(struct raft *r); /* accepts NULL */

/* Before raft_start(): the entries of the log, in the order in which they were first written. One at or before the
 * present end truncates it first, as it did when it was written; what turns out to be at or below base_index is dropped
 * at the start. Payloads are copied; only the newest `cache_bytes` of them are kept, the rest is loaded when it is
 * needed. Returns STATUS_CORRUPT for a term that decreases, a gap that no base explains, or an unreadable
 * configuration. */
MUST_USE enum status raft_restore_entry(struct raft *r, const struct raft_entry *entry);
/* At this place in that order, a snapshot as of (index, term) was installed: entries before go, and those behind as
 * well unless the log had this very entry. */
void raft_restore_installed(struct raft *r, uint64_t index, uint64_t term);
/* Hand in a later hard state found while reading the log. */
void raft_restore_hard_state(struct raft *r, struct raft_hard_state hard);
/* From here on raft_step(). The member comes up as a follower; for the first E it grants no vote (a lease it granted
 * before a crash may still run). */
void raft_start(struct raft *r, uint64_t now_ns);

/* ---- events ---- */

enum raft_event_type {
    RAFT_TICK,        /* time passes: call when raft_next_deadline_ns() has come; early or late does no harm */
    RAFT_MESSAGE,     /* bytes from a peer's send_now or send_after_durable */
    RAFT_PROPOSE,     /* append these payloads: the result is in effects.proposal */
    RAFT_DURABLE,     /* a write, and all before it, is on disk */
    RAFT_APPLIED,     /* the host has applied up to here: memory behind it may go, more may come */
    RAFT_READ,        /* a linearizable read wants an index: answered in the reads of this or a later step */
    RAFT_LOADED,      /* the answer to a load */
    RAFT_CHUNK,       /* the answer to a chunk wanted */
    RAFT_INSTALLED,   /* the snapshot whose last chunk came is now the host's durable state */
    RAFT_NODE_HEARD,  /* a node is in contact: the host's node-pair heartbeat says so; say it again freely */
    RAFT_NODE_LOST,   /* it is not */
    RAFT_TRANSFER,    /* hand leadership to `node`; 0: to the best other voter */
    RAFT_RECONFIGURE, /* change to this set: result in effects.proposal */
    RAFT_CAMPAIGN,    /* call an election now (tests, operators); pre-vote as always */
    RAFT_FREEZE,      /* a recovery begins: say nothing, take nothing, until RAFT_RECOVER. Not while installing */
    RAFT_RECOVER,     /* a frozen one goes on, as the operator has decided: raft_recover.c */
};

enum raft_loaded_status {
    RAFT_LOADED_OK,
    RAFT_LOADED_GONE, /* reclaimed: the peer will get a snapshot. Never for the node's own unapplied entries */
};

/* One chunk of a snapshot. `position` is the host's: 0 is the first chunk, and what follows is what `next` said. */
struct raft_chunk {
    uint64_t index, term;       /* the state is as of this entry: names the snapshot */
    struct slice configuration; /* raft_configuration_write()'s bytes in force at `index` */
    uint64_t position, next;    /* next > position */
    bool last;
    struct slice bytes;
};

struct raft_event {
    enum raft_event_type type;
    uint64_t now_ns; /* monotonic. For RAFT_READ it must be sampled after the request had come in (lease) */
    union {
        struct {
            uint16_t from;
            struct slice bytes;
        } message;
        struct {
            const struct slice *payloads; /* copied */
            uint32_t count;               /* 1..RAFT_PROPOSALS_MAX; all are appended or none */
        } propose;
        struct raft_write durable;
        uint64_t applied_index;
        uint64_t read_context; /* the host's name for this read (or batch of reads); unique among those waiting */
        struct {
            uint16_t to; /* as in the load */
            enum raft_loaded_status status;
            const struct raft_entry
                *entries;   /* from load.first on, at least one, without gaps. Those for the node itself */
            uint32_t count; /* must stay readable until RAFT_APPLIED covers them */
        } loaded;
        struct {
            uint16_t to;
            struct raft_chunk chunk; /* bytes are copied */
        } chunk;
        struct {
            uint64_t index, term;
            struct slice configuration;
        } installed;
        uint16_t node;              /* RAFT_NODE_HEARD, RAFT_NODE_LOST, RAFT_TRANSFER */
        const struct raft_set *set; /* RAFT_RECONFIGURE: checked by raft_set_check() */
        struct {
            uint64_t term;  /* higher than any term of any survivor */
            uint16_t start; /* the survivor whose log is the most advanced */
            const struct raft_set *set;
        } recover;
    };
};

/* ---- effects ---- */

enum raft_proposal_result {
    RAFT_PROPOSAL_NONE,           /* nothing was proposed in this step */
    RAFT_PROPOSAL_ACCEPTED,       /* in the log from `first` on in `term`; whether they commit is another matter */
    RAFT_PROPOSAL_NOT_LEADER,     /* never appended: ask raft_leader() */
    RAFT_PROPOSAL_BUSY,           /* never appended: too much is uncommitted, or a configuration change is under way */
    RAFT_PROPOSAL_OUT_OF_CONTACT, /* never appended: those in contact can't satisfy the rule (S8): see raft_contact() */
    RAFT_PROPOSAL_INVALID, /* never appended: a member can't become a witness or cease to be one; give it a new id */
    RAFT_PROPOSAL_HANDING_OVER, /* never appended: leadership is being transferred; soon another leads */
};

enum raft_read_result {
    RAFT_READ_READY,          /* serve it from the state once `index` is applied */
    RAFT_READ_NOT_LEADER,     /* no leader is known, or leadership was lost before the read was confirmed: ask again */
    RAFT_READ_OUT_OF_CONTACT, /* no majority answered in time */
    RAFT_READ_BUSY,           /* RAFT_READS_MAX are waiting */
};

struct raft_read {
    uint64_t context;
    uint64_t index;
    enum raft_read_result result;
};

struct raft_message {
    uint16_t to;
    struct slice bytes; /* borrowed from the effects */
    size_t offset;      /* of `bytes` in them */
};

struct raft_load { /* entries that are no longer in memory: answer with RAFT_LOADED, once */
    uint16_t to;   /* the peer that needs them; the node itself: for applying */
    uint64_t first, last;
    uint32_t bytes_max; /* at least one entry, else stop before this */
};

struct raft_chunk_wanted { /* answer with RAFT_CHUNK, once */
    uint16_t to;
    uint64_t index,
        term; /* of the snapshot begun; 0: choose one, as of the applied index. If it is gone, choose another */
    uint64_t position;
};

/* Filled by one step, and valid until the next step with the same effects. One object may serve all groups of a shard.
 */
struct raft_effects {
    /* 1. To disk: */
    struct raft_write write; /* id 0: nothing to write */
    bool must_persist;       /* hard changed */
    struct raft_hard_state hard;
    uint64_t truncate_from;  /* entries from this index on are replaced by `append`; 0: none. Their proposers learn here
                                that they failed; the log needs no record of it: the next entry says it */
    struct raft_span append; /* in index order */
    /* 2. To peers: */
    struct raft_message *send_now;
    uint32_t send_now_count;
    struct raft_message *send_after_durable;
    uint32_t send_after_durable_count;
    uint64_t after_write; /* the write that send_after_durable waits for; it may be an earlier one than `write` */
    /* 3. To the state machine: */
    struct raft_span apply; /* committed, and on our disk. raft_entry() gives each until RAFT_APPLIED covers it */
    struct raft_read *reads;
    uint32_t reads_count;
    /* 4. To the host: */
    enum raft_proposal_result proposal;
    uint64_t proposal_term, proposal_first;
    struct raft_load *loads;
    uint32_t loads_count;
    struct raft_chunk_wanted *chunks_wanted;
    uint32_t chunks_wanted_count;
    bool has_chunk; /* stage `chunk`; at `last` install it durably as a whole, then RAFT_INSTALLED. A chunk at
                       position 0 begins anew, whatever was staged. A witness gets one chunk without bytes */
    struct raft_chunk chunk;
    bool role_changed;     /* role, term or known leader changed: see raft_role(), raft_leader() */
    bool progress_changed; /* some member's acknowledged index or the own durable index rose (stronger acks) */
    /* Owned memory, reused by every step. */
    struct buffer bytes;
    uint32_t send_now_capacity, send_after_durable_capacity, reads_capacity, loads_capacity, chunks_wanted_capacity;
};

void raft_effects_init(struct raft_effects *e);
void raft_effects_deinit(struct raft_effects *e);

/* One transition. Returns STATUS_OK, or for RAFT_MESSAGE STATUS_MALFORMED: nothing has changed, the bytes were no
 * message that a correct peer sends; counted; the effects are empty. */
MUST_USE enum status raft_step(struct raft *r, const struct raft_event *event, struct raft_effects *out_effects);

/* When the core wants RAFT_TICK; UINT64_MAX: not before something else happens (a sleeping group has no timer). */
uint64_t raft_next_deadline_ns(const struct raft *r);

/* ---- questions; none changes anything ---- */

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

enum raft_role raft_role(const struct raft *r);
bool raft_is_leader(const struct raft *r);                   /* by its own knowledge: another may have a higher term */
uint16_t raft_leader(const struct raft *r);                  /* the known leader of this term; 0: none */
bool raft_is_handing_over(const struct raft *r);             /* a leader whose RAFT_TRANSFER is under way */
uint64_t raft_term(const struct raft *r);                    /* the present one */
uint64_t raft_commit_index(const struct raft *r);            /* known to be committed */
uint64_t raft_applied_index(const struct raft *r);           /* as reported by RAFT_APPLIED */
uint64_t raft_last_index(const struct raft *r);              /* of this member's own log, durable or not */
uint64_t raft_durable_index(const struct raft *r);           /* of this member's own log */
uint64_t raft_base_index(const struct raft *r);              /* what is up to here was compacted into the state */
uint64_t raft_term_at(const struct raft *r, uint64_t index); /* 0: not in the log, or compacted beyond knowledge */
bool raft_is_quiesced(const struct raft *r);                 /* asleep: no timer runs until something happens */
bool raft_is_frozen(const struct raft *r);                   /* as RAFT_FREEZE leaves it, until RAFT_RECOVER */
bool raft_is_installing(const struct raft *r); /* a snapshot was handed to the host and RAFT_INSTALLED has not come */
/* The runs of equal terms at the end of the log, as far back as `capacity` reaches: first[i] begins terms[i]; the log
 * before first[0] is not told. Returns how many. */
uint32_t raft_term_runs(const struct raft *r, uint32_t capacity, uint64_t *first, uint64_t *terms);
bool raft_is_witness(const struct raft *r); /* by the configuration in force */
bool raft_is_joining(const struct raft *r); /* it does not yet know what it may have said in another life */

/* The entry at `index`, or NULL when it is not in memory. Valid as the effects say; else until the next step. */
const struct raft_entry *raft_entry(const struct raft *r, uint64_t index);

/* The configuration in force, and the index of its entry (base_index if it has none in the log). */
const struct raft_configuration *raft_configuration(const struct raft *r, uint64_t *out_index);
/* Is it committed, so that RAFT_RECONFIGURE would be taken? */
bool raft_configuration_is_settled(const struct raft *r);

/* A leader: has an entry of its own term met the rule, so that it may serve reads (S9)? */
bool raft_can_read(const struct raft *r);
/* A leader: do the members in contact, itself included, satisfy the rule? If not, refuse before appending (S8). */
bool raft_can_commit(const struct raft *r, uint64_t now_ns);
/* A leader: do the members that are known to hold (term, index) durably satisfy `rule` (both halves)? For
 * acknowledgements stronger than the table's rule. False as well when another term's entry is there now. */
bool raft_holds_under(const struct raft *r, const struct commit_rule *rule, uint64_t term, uint64_t index);

/* How each member stands, as its leader knows it; elsewhere only `in_contact` is told. For errors, EXPLAIN, RECEIPT. */
struct raft_contact {
    uint16_t node;
    uint8_t kind; /* enum raft_member_kind */
    bool in_contact;
    bool is_snapshotting;
    uint64_t match_index;  /* durable and verified there */
    uint64_t heard_age_ns; /* since its last answer; UINT64_MAX: never in this reign */
};
/* Fills at most RAFT_PEERS_MAX, ascending by node, the own one included; returns how many. */
uint32_t raft_contact(const struct raft *r, uint64_t now_ns, struct raft_contact out[RAFT_PEERS_MAX]);

/* ---- compaction ---- */

/* The highest index that raft_compact() takes now: applied here, and for a witness also held by full replicas (S18). */
uint64_t raft_compact_limit(const struct raft *r);
/* Entries up to `index` leave the log; a peer that needs them will get a snapshot. index <= raft_compact_limit(). The
 * host must be able to make a snapshot as of an index >= this one, and must keep the term and configuration of `index`.
 */
void raft_compact(struct raft *r, uint64_t index);
/* The lowest index that a peer in contact still lacks (last + 1: none): compacting beyond it costs that peer a
 * snapshot.
 */
uint64_t raft_wanted_index(const struct raft *r, uint64_t now_ns);

/* ---- counters since the start, for metrics and tests ---- */
enum raft_refusal {
    RAFT_REFUSED_STALE_TERM,
    RAFT_REFUSED_ROLE,
    RAFT_REFUSED_LEASE,    /* a vote asked for while we hear the leader */
    RAFT_REFUSED_STRANGER, /* from a node that is no member, where only members may speak */
    RAFT_REFUSED_FUTURE,   /* an answer to something that we never sent */
    RAFT_REFUSED_BUSY,     /* no room in memory: what it brought will come again */
    RAFT_REFUSED_CONTEXT,  /* an answer to another incarnation's read */
    RAFT_REFUSED_INSTALLING,
    RAFT_REFUSED_FROZEN,
    RAFT_REFUSED_JOINING, /* before it is known what was said before */
    RAFT_REFUSALS_END,
};
struct raft_counters {
    uint64_t messages_malformed;
    uint64_t messages_refused[RAFT_REFUSALS_END];
    uint64_t elections, leaderships, step_downs;
    uint64_t appends_rejected;    /* by us, as a follower */
    uint64_t completions_ignored; /* of entries replaced meanwhile */
    uint64_t snapshots_sent, snapshots_installed;
    uint64_t reads_by_lease, reads_by_round;
    uint64_t payload_bytes; /* in memory now */
};
const struct raft_counters *raft_counters(const struct raft *r);

#endif
