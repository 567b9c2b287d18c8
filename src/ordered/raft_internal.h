/* raft_internal.h: the whole of one core, and what its files ask of each other.
 *
 *   raft.c            life, the table of what is legal, one step
 *   raft_election.c   roles: who may lead
 *   raft_follow.c     following: appends, completions of writes, what may be applied
 *   raft_lead.c       leading: proposals, sending, answers, committing
 *   raft_read.c       linearizable reads: rounds and leases
 *   raft_snapshot.c   peers that the log no longer reaches, on both ends
 *   raft_membership.c configurations in force, joint changes, transfers of leadership
 *   raft_sleep.c      who is in contact, heartbeats, quiescence
 *   raft_recover.c    going on without a majority that is gone for good
 *   raft_effects.c    what a step puts out
 *   raft_join.c       a member that may have forgotten what it said
 *   raft_questions.c  what a host may ask
 */
#ifndef MERIDIAN_ORDERED_RAFT_INTERNAL_H
#define MERIDIAN_ORDERED_RAFT_INTERNAL_H

#include "ordered/raft_lease.h"
#include "ordered/raft_log.h"
#include "ordered/raft_message.h"
#include "ordered/raft_progress.h"
#include "ordered/raft_quorum.h"

enum {
    RAFT_STEP_BYTES_MAX = 256 * 1024 * 1024, /* of all messages of one step */
    RAFT_STEP_BYTES_FULL = 64 * 1024 * 1024, /* no further entries are put out in this step; answers will ask again */
    RAFT_UNAPPLIED_BYTES_MAX = 128 * 1024 * 1024, /* beyond it a follower takes no entries until it has applied some */
    RAFT_PLACEMENT_WAIT_TIMEOUTS = 8, /* election timeouts between two attempts to hand over by preference */
};

struct raft_peer { /* another member, of either half */
    uint16_t node;
    bool is_lost;                  /* the host's word, until it or a message says otherwise */
    bool is_heard;                 /* the host's word: its node-pair heartbeat stands for our leader's */
    bool has_voted, has_granted;   /* in the election under way */
    bool has_told, is_joining;     /* where it stands, to us who join; it joins as well */
    struct raft_progress progress; /* meaningful on a leader */
};

struct raft_configured {
    uint64_t index; /* of its entry; the first one's is at most base_index */
    struct raft_configuration configuration;
};

struct raft_waiting_read {
    uint16_t from;                      /* the member that asks; 0: our own host */
    uint64_t context;                   /* own */
    struct raft_read_question question; /* a member's; or ours, sent to the leader */
    uint64_t index;                     /* the commit index when it came; 0: none yet in this term */
    uint64_t round;                     /* confirmed once a majority answered this round */
    uint64_t asked_ns;
};

struct raft {
    struct raft_config config; /* floor_term, frozen and blank as they are now */
    struct prng prng;
    uint64_t now_ns;

    /* Who leads. term and vote are on disk once write number hard_write is. */
    enum raft_role role;
    uint64_t term;
    uint16_t vote, leader;
    uint64_t promised_ns; /* when we last heard a leader: E from there on we neither vote nor ask for votes */
    bool has_promised;
    uint64_t election_deadline_ns;
    struct raft_end floor; /* no vote for a log that ends before it; on disk with term and vote */
    bool joining;          /* floor and term are what others have told so far */
    uint64_t join_configuration_index;

    /* The log. handed >= applied; both <= min(commit, durable_index). */
    struct raft_log log;
    uint64_t commit, handed, applied;
    uint64_t verified;      /* agrees with the leader of this term up to here; >= commit (a follower's) */
    uint64_t durable_index; /* ours on disk, as the entries are now */
    uint64_t write_count, write_durable, hard_write;
    uint64_t full_index; /* a witness: what full replicas hold */

    /* Configurations in the log, oldest first; the last is in force (R5). */
    struct raft_configured *configurations;
    uint32_t configurations_count, configurations_capacity;
    struct raft_quorum quorum; /* of the one in force */
    struct raft_peer peers[RAFT_PEERS_MAX];
    uint32_t peers_count;

    /* Following. */
    struct raft_stamp leader_stamp; /* the newest of this term's leader: answers carry it */
    bool quiesced;                  /* nothing to do until something happens; no timer */
    struct {
        uint64_t index, term, next;
    } stage;         /* the snapshot that is coming in; index 0: none */
    bool installing; /* its last chunk was handed out */
    bool loading_own;
    const struct raft_entry *loaded; /* the host's, for applying */
    uint64_t loaded_first;
    uint32_t loaded_count;

    /* Leading. */
    uint64_t reign_index; /* our first entry: reads are served once it is committed (S9) */
    uint64_t round;       /* of heartbeats; answers carry it */
    uint64_t heartbeat_deadline_ns, check_deadline_ns;
    uint64_t busy_ns; /* when something last happened: quiescence counts from here */
    uint64_t uncommitted_bytes;
    bool lease_void;      /* TIMEOUT_NOW was sent in this term */
    uint16_t transfer_to; /* 0: none under way */
    bool transfer_sent;
    uint64_t transfer_deadline_ns, placement_after_ns;

    struct raft_waiting_read *reads; /* in order of arrival */
    uint32_t reads_count, reads_capacity;
    uint64_t read_sequence, read_retry_ns;

    /* The step under way. */
    struct raft_effects *fx;
    bool hard_changed;
    uint64_t append_first, truncated_from; /* 0: none */
    struct raft_counters counters;
};

/* ---- raft_effects.c ---- */
void raft__begin_step(struct raft *r, struct raft_effects *fx);
void raft__end_step(struct raft *r);
/* Put a message out at once, or once our term and vote are on disk. */
void raft__send(struct raft *r, uint16_t to, const struct raft_letter *letter);
void raft__send_after_durable(struct raft *r, uint16_t to, const struct raft_letter *letter);
/* A message whose end the caller writes itself, into fx->bytes, between the two. */
void raft__send_begin(struct raft *r, uint16_t to, const struct raft_letter *letter);
void raft__send_end(struct raft *r);
void raft__put_read(struct raft *r, uint64_t context, enum raft_read_result result, uint64_t index);
void raft__put_load(struct raft *r, struct raft_load load);
void raft__put_chunk_wanted(struct raft *r, struct raft_chunk_wanted wanted);

/* ---- raft_election.c ---- */
void raft__become_follower(struct raft *r, uint64_t term, uint16_t leader);
void raft__lost_leader(struct raft *r);                /* the host says that its node is gone */
void raft__start_election(struct raft *r);             /* pre-vote first */
void raft__start_transferred_election(struct raft *r); /* the leader asked us to */
void raft__reset_election_deadline(struct raft *r);
void raft__on_election_deadline(struct raft *r);
void raft__count_own_vote(struct raft *r);                /* when it is durable */
void raft__heard_leader(struct raft *r, uint16_t leader); /* promise it E */
void raft__on_vote(struct raft *r, uint16_t from, const struct raft_letter *m);
void raft__on_vote_reply(struct raft *r, uint16_t from, const struct raft_letter *m);
bool raft__may_lead(const struct raft *r); /* a voter or witness of the configuration in force, not installing */
bool raft__vote_is_promised(const struct raft *r, uint16_t from, const struct raft_letter *m);

/* ---- raft_join.c ---- */
void raft__start_joining(struct raft *r);
void raft__tick_join(struct raft *r);
void raft__on_node_while_joining(struct raft *r);
void raft__on_join(struct raft *r, uint16_t from, const struct raft_join *question);
void raft__on_join_reply(struct raft *r, uint16_t from, uint64_t term, const struct raft_join_reply *m);
bool raft__end_is_before(struct raft_end a, struct raft_end b);
struct raft_end raft__end_at(const struct raft *r, uint64_t index); /* of our log up to there; at least the floor */

/* ---- raft_follow.c ---- */
void raft__append(struct raft *r, uint64_t term, uint8_t kind, struct slice payload);
void raft__on_append(struct raft *r, uint16_t from, const struct raft_append *m);
void raft__on_durable(struct raft *r, const struct raft_write *write);
void raft__on_applied(struct raft *r, uint64_t index);
void raft__reply_to_leader(struct raft *r);
void raft__hand_out(struct raft *r);
void raft__evict(struct raft *r);

/* ---- raft_lead.c ---- */
void raft__on_propose(struct raft *r, const struct slice *payloads, uint32_t count);
void raft__on_append_reply(struct raft *r, struct raft_peer *peer, const struct raft_append_reply *m);
void raft__on_loaded(struct raft *r, const struct raft_event *event);
void raft__advance_commit(struct raft *r);
void raft__send_entries(struct raft *r, struct raft_peer *peer);
void raft__send_entries_to_all(struct raft *r);
void raft__send_heartbeat(struct raft *r, struct raft_peer *peer);
void raft__heartbeat_all(struct raft *r);
struct raft_stamp raft__stamp(const struct raft *r);
/* A peer answered something: it is in contact. False: it answers what was never sent, and is not heard. */
bool raft__note_answer(struct raft *r, struct raft_peer *peer, struct raft_stamp stamp);

/* ---- raft_read.c ---- */
void raft__on_read(struct raft *r, uint64_t context);
void raft__on_read_question(struct raft *r, uint16_t from, const struct raft_read_question *question);
void raft__on_read_reply(struct raft *r, const struct raft_read_reply *m);
void raft__confirm_reads(struct raft *r); /* a round was answered, or the reign's first entry was committed */
void raft__fail_reads(struct raft *r, enum raft_read_result result);
void raft__tick_reads(struct raft *r);
uint64_t raft__lease_until_ns(const struct raft *r); /* 0: none */

/* ---- raft_snapshot.c ---- */
void raft__start_snapshot(struct raft *r, struct raft_peer *peer);
void raft__pump_snapshot(struct raft *r, struct raft_peer *peer);
void raft__retry_snapshot(struct raft *r, struct raft_peer *peer);
void raft__on_chunk_made(struct raft *r, const struct raft_event *event);
void raft__on_chunk(struct raft *r, uint16_t from, const struct raft_chunk_message *m);
void raft__on_chunk_reply(struct raft *r, struct raft_peer *peer, const struct raft_chunk_reply *m);
void raft__on_installed(struct raft *r, const struct raft_event *event);

/* ---- raft_membership.c ---- */
const struct raft_configured *raft__configured(const struct raft *r); /* in force */
void raft__push_configuration(struct raft *r, uint64_t index, const struct raft_configuration *c);
void raft__roll_back_configurations(struct raft *r, uint64_t from);
void raft__compact_configurations(struct raft *r, uint64_t index); /* keep one at or below `index` as the first */
void raft__reset_configurations(struct raft *r, uint64_t index, const struct raft_configuration *c);
void raft__configuration_changed(struct raft *r); /* quorum and peers follow it */
void raft__on_reconfigure(struct raft *r, const struct raft_set *set);
void raft__leave_joint(struct raft *r);                      /* a leader: once the joint configuration is committed */
struct raft_peer *raft__peer(struct raft *r, uint16_t node); /* NULL: no other member has this number */
uint8_t raft__kind_in(const struct raft_configuration *c, uint16_t node);
uint8_t raft__kind_of(const struct raft *r, uint16_t node); /* enum raft_member_kind; 0: no member */
void raft__on_transfer(struct raft *r, uint16_t to);
void raft__pump_transfer(struct raft *r);
void raft__tick_transfer(struct raft *r);
uint16_t raft__better_leader(const struct raft *r);

/* ---- raft_recover.c ---- */
void raft__on_freeze(struct raft *r);
void raft__on_recover(struct raft *r, const struct raft_event *event);
bool raft__reaches_floor(const struct raft *r, uint64_t last_term); /* may a log that ends in this term lead? */

/* ---- raft_sleep.c ---- */
void raft__wake(struct raft *r);
void raft__tick_leader(struct raft *r);
void raft__on_quiesce(struct raft *r, uint16_t from, uint64_t index);
void raft__on_node(struct raft *r, uint16_t node, bool is_heard);
bool raft__is_in_contact(const struct raft *r, const struct raft_peer *peer, uint64_t now_ns);
bool raft__leader_is_alive(const struct raft *r); /* asleep, and the host hears our leader's node */

#endif
