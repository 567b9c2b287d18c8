/* raft_message.h: what the members of a group say to each other, and its bytes.
 *
 *   kind            from        who takes it           its term
 *   APPEND          leader      everyone               followed; a stale one is answered with ours
 *   APPEND_REPLY    member      the leader             followed
 *   VOTE            candidate   everyone               followed, unless we promised to hear our leader
 *   VOTE_REPLY      member      the candidate          followed
 *   PRE_VOTE        anyone      everyone               a question: never followed
 *   PRE_VOTE_REPLY  member      the pre-candidate      followed when it refuses
 *   TIMEOUT_NOW     leader      a follower             followed
 *   QUIESCE         leader      a follower             followed
 *   READ            follower    the leader             must be ours
 *   READ_REPLY      leader      the follower           must be ours
 *   CHUNK           leader      everyone               followed; a stale one is answered with ours
 *   CHUNK_REPLY     member      the leader             followed
 *   JOIN            who joins   everyone               none
 *   JOIN_REPLY      member      who joins              taken as one in which it has voted
 *
 * Any message may be lost, repeated, late or out of order.
 */
#ifndef MERIDIAN_ORDERED_RAFT_MESSAGE_H
#define MERIDIAN_ORDERED_RAFT_MESSAGE_H

#include "ordered/raft.h"
#include "wire/varint.h"

enum raft_kind {
    KIND_APPEND = 1,
    KIND_APPEND_REPLY,
    KIND_VOTE,
    KIND_VOTE_REPLY,
    KIND_PRE_VOTE,
    KIND_PRE_VOTE_REPLY,
    KIND_TIMEOUT_NOW,
    KIND_QUIESCE,
    KIND_READ,
    KIND_READ_REPLY,
    KIND_CHUNK,
    KIND_CHUNK_REPLY,
    KIND_JOIN,
    KIND_JOIN_REPLY,
    KINDS_END,
};

/* How a leader's messages are answered: the round confirms reads, the leader's own clock bounds its lease. */
struct raft_stamp {
    uint64_t round;
    uint64_t sent_ns;
};

struct raft_append {
    struct raft_stamp stamp;
    uint64_t previous_index, previous_term;
    uint64_t commit;
    uint64_t full_index; /* witnesses may forget entries up to here (S18) */
    uint32_t count;
    struct slice entries; /* (term, kind, payload)..., read with raft_append_next() */
};

struct raft_append_reply {
    struct raft_stamp stamp; /* as in the message answered */
    bool refused;
    uint64_t match;    /* durable and verified in this term */
    uint64_t verified; /* agrees with the leader up to here */
    uint64_t commit;
    uint64_t previous_index;        /* of the message refused */
    bool wants_state;               /* refused: nothing but a snapshot will do */
    uint64_t hint_index, hint_term; /* refused: where our log may agree with the leader's */
};

struct raft_vote {
    bool transfer; /* the leader asked for it */
    uint64_t last_index, last_term;
};

struct raft_read_question {
    uint64_t incarnation; /* of who asks: a context means nothing after a restart */
    uint64_t sequence;
};

struct raft_read_reply {
    struct raft_read_question question;
    bool ready;
    uint64_t index;
};

struct raft_chunk_message {
    struct raft_stamp stamp;
    struct raft_chunk chunk;
};

struct raft_chunk_reply {
    struct raft_stamp stamp;
    uint64_t index, term; /* of the snapshot */
    uint64_t position;    /* wanted next */
};

struct raft_join {
    uint64_t incarnation; /* of who asks */
};

struct raft_join_reply {
    struct raft_join question;
    bool joining;        /* who answers joins as well */
    struct raft_end end; /* of what it has on disk */
    uint64_t configuration_index;
    struct slice configuration; /* raft_configuration_write()'s bytes, in force there */
};

struct raft_letter { /* one decoded message */
    enum raft_kind kind;
    uint64_t term;
    union {
        struct raft_append append;
        struct raft_append_reply append_reply;
        struct raft_vote vote;  /* VOTE and PRE_VOTE */
        bool granted;           /* VOTE_REPLY and PRE_VOTE_REPLY */
        uint64_t quiesce_index; /* the leader's last and commit index */
        struct raft_read_question read;
        struct raft_read_reply read_reply;
        struct raft_chunk_message chunk;
        struct raft_chunk_reply chunk_reply;
        struct raft_join join;
        struct raft_join_reply join_reply;
    };
};

/* `letter->append.entries` is written as it stands: made by raft_append_entry_write(). */
void raft_letter_write(struct buffer *b, const struct raft_letter *letter);
/* Slices borrow from `bytes`. The entries of an APPEND are checked whole: raft_append_next() can't fail then. */
MUST_USE enum status raft_letter_read(struct slice bytes, struct raft_letter *out);

/* Append one entry of an APPEND's `entries`: term, kind, payload. */
void raft_append_entry_write(struct buffer *b, uint64_t term, uint8_t kind, struct slice payload);

/* Take the next of append.entries; the caller counts, and knows the index. */
struct raft_entry raft_append_next(struct reader *entries);

#endif
