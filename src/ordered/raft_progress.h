/* raft_progress.h: what a leader knows of one peer, and what it may send to it next.
 *
 *               first answer that agrees                the log no longer reaches
 *      PROBE ----------------------------> REPLICATE      back to `next` (either state)
 *        ^ <------- something was lost ------- |                  |
 *        |                                                        v
 *        '------- the peer has the snapshot's index --------- SNAPSHOT
 *
 * Model:  etcd-io/raft, tracker. PROBE has one message out; REPLICATE a window of them; SNAPSHOT a window of chunks.
 *
 * P1  match < next. match never decreases within a reign, unless the peer has lost what it had.
 * P2  The window holds at most its count and bytes, except that one message is always allowed.
 */
#ifndef MERIDIAN_ORDERED_RAFT_PROGRESS_H
#define MERIDIAN_ORDERED_RAFT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"

enum raft_progress_state { PROGRESS_PROBE, PROGRESS_REPLICATE, PROGRESS_SNAPSHOT, PROGRESS_STATES };

enum { RAFT_CHUNKS_IN_FLIGHT_MAX = 4 };

struct raft_flight {
    uint64_t last; /* the last index in the message */
    uint32_t bytes;
};

struct raft_window { /* messages sent and not yet acknowledged, oldest first */
    struct raft_flight *ring;
    uint32_t capacity; /* grows by doubling up to messages_max */
    uint32_t first, count;
    uint64_t bytes;
    uint32_t messages_max;
    uint64_t bytes_max;
};

struct raft_snapshot_progress {
    uint64_t index, term; /* 0: the host has not chosen yet */
    uint64_t acked, next; /* positions */
    uint64_t sent;        /* the highest `next` ever */
    uint64_t end;         /* `next` of the last chunk; 0: not known yet */
    uint32_t in_flight;
    bool wanted;       /* the host was asked for a chunk */
    uint64_t moved_ns; /* when something last went forward */
};

struct raft_progress {
    enum raft_progress_state state;
    uint64_t match, next;
    bool probe_sent;           /* PROBE: wait for the answer */
    bool loading;              /* the host was asked for entries */
    uint64_t commit_known;     /* the peer's commit index as it said */
    uint64_t round_answered;   /* the highest round that it answered */
    uint64_t sent_answered_ns; /* our clock when we sent the newest message that it answered */
    uint64_t heard_ns;         /* our clock at its last answer */
    bool has_answered;         /* in this reign */
    struct raft_window window;
    struct raft_snapshot_progress snapshot;
};

void raft_progress_init(struct raft_progress *p, uint64_t last_index, uint32_t messages_max, uint64_t bytes_max,
                        uint64_t now_ns);
/* The peer has forgotten what it had acknowledged; when it was heard stays. */
void raft_progress_restart(struct raft_progress *p, uint64_t last_index);
void raft_progress_deinit(struct raft_progress *p);

/* The arrows of the drawing above. Each empties the window. `next`: the index to be sent next; a snapshot begins with
 * nothing chosen. */
void raft_progress_become_probe(struct raft_progress *p, uint64_t next);
void raft_progress_become_replicate(struct raft_progress *p, uint64_t next);
void raft_progress_become_snapshot(struct raft_progress *p, uint64_t now_ns);

/* May another message with entries go out now? */
bool raft_progress_may_send(const struct raft_progress *p);
/* Entries up to `last` went out. */
void raft_progress_sent(struct raft_progress *p, uint64_t last, uint32_t bytes);
/* The peer holds everything up to `match` durably, and agrees up to `verified`. Returns true when match rose. */
bool raft_progress_agreed(struct raft_progress *p, uint64_t match, uint64_t verified);
/* The peer refused a message that followed `previous`; it may agree at `hint`. Returns false for a stale answer. */
bool raft_progress_refused(struct raft_progress *p, uint64_t previous, uint64_t hint);

#endif
