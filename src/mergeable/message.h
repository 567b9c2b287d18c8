/* message.h: what replicas of one partition say to each other. node/ puts table and partition before a body.
 *
 *   MSG_CLOCK       what the sender has durably applied, and what it buffers; sent to every member
 *   MSG_WRITES      logged payloads, verbatim: (length, bytes) until the end
 *   MSG_COPY_OFFER  source: you lack dots whose deltas are gone; I can send everything as of this clock
 *   MSG_COPY_PULL   receiver: send chunks from this index and hash on; what was before is safe in my log
 *   MSG_COPY_CHUNK  source: one chunk (copy_chunk, logged verbatim by the receiver)
 *
 * Every message may be lost, repeated or late; none needs an answer to be safe.
 */
#ifndef MERIDIAN_MERGEABLE_MESSAGE_H
#define MERIDIAN_MERGEABLE_MESSAGE_H

#include "causality/node_clock.h"

enum replica_message { MSG_CLOCK = 1, MSG_WRITES, MSG_COPY_OFFER, MSG_COPY_PULL, MSG_COPY_CHUNK };

enum {
    MESSAGE_WRITES_BYTES_MAX = 256 * 1024, /* a batch is sent when it reaches this; one larger payload goes alone */
    MESSAGE_EXCEPTIONS_MAX = 8192,         /* dots a report names as buffered; more are simply sent again */
};

enum {
    CLOCK_FLAG_JOINING = 1,    /* the sender may lack what it once held */
    CLOCK_FLAG_WANT_REPLY = 2, /* the sender waits for our clock: say it even if nothing changed */
    CLOCK_FLAG_COPY_DUE = 4,   /* the receiver lacks what only a copy from the sender will bring */
    CLOCK_FLAG_KNOWN = 7,
};

struct clock_message {
    uint64_t life; /* drawn at each start of the sender: within one life `sequence` orders its reports */
    uint64_t sequence;
    uint8_t flags;
    uint64_t wall_ms;
    uint64_t sent_at_us;     /* the sender's monotonic time, echoed back to measure the round trip */
    uint64_t echo_us;        /* sent_at_us of the latest report from us; 0: none */
    uint64_t held_us;        /* how long the sender held that one before this message */
    uint64_t duplicates;     /* writes from us that it already had, since its last report to us */
    struct node_clock clock; /* base: durably applied; exceptions: buffered until their causes come */
};

void clock_message_init(struct clock_message *m);
void clock_message_deinit(struct clock_message *m);
void clock_message_write(struct buffer *b, const struct clock_message *m); /* appends the body */

/* `out` is initialised, and undefined but releasable unless STATUS_OK. STATUS_MALFORMED also for a flag that we don't
 * know; STATUS_LIMIT for a clock of too many replicas or dots. */
MUST_USE enum status clock_message_read(struct slice body, struct clock_message *out);

struct copy_offer {
    uint64_t copy;      /* names the session; drawn by the source */
    struct vv snapshot; /* the source's durable clock when it began (S2) */
};
void copy_offer_write(struct buffer *b, uint64_t copy, const struct vv *snapshot); /* appends the body */
MUST_USE enum status copy_offer_read(struct slice body, struct copy_offer *out);   /* out->snapshot is initialised */

struct copy_pull {
    uint64_t copy;
    uint64_t index; /* of the chunk wanted next; all before are in the receiver's log */
    uint64_t first; /* the hash it begins with */
    uint64_t sum;   /* checksum over the groups of the chunks received, and the number of their items: what the next */
    uint64_t items; /* chunk builds on, so that the source keeps nothing that a restart could lose */
    bool again;     /* what was sent beyond is lost: send it again */
};
void copy_pull_write(struct buffer *b, const struct copy_pull *m);             /* appends the body */
MUST_USE enum status copy_pull_read(struct slice body, struct copy_pull *out); /* STATUS_OK, STATUS_MALFORMED */

/* The head of a chunk; the groups follow it up to the end of the body: for each key hash that holds anything
 *   hash u64, count of keys, (key, state)…, count of ledger entries, (item key, entry)… */
struct copy_chunk {
    uint64_t copy;
    uint64_t index;
    uint16_t source; /* node number */
    struct vv snapshot;
    struct vv clock;      /* the source's applied clock, as of which every state in the chunk is complete */
    uint64_t first, last; /* the hashes it speaks for, both inclusive: absent ones are absent at the source */
    uint64_t sum;         /* over the groups of all chunks so far, this one included */
    uint64_t items;       /* keys and ledger entries in all chunks so far */
    struct slice groups;  /* borrowed */
};
void copy_chunk_init(struct copy_chunk *c);
void copy_chunk_deinit(struct copy_chunk *c);
void copy_chunk_write_head(struct buffer *b, const struct copy_chunk *c);
MUST_USE enum status copy_chunk_read(struct slice body, struct copy_chunk *out);

#endif
