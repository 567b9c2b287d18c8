/* replica_internal.h: the parts of one replica, shared by the files of this room only.
 *
 *   replica.c       life, local write, durability, the tick           replay.c        the log again, after a start
 *   clock.c         applied, durable, and the name to write under     drop.c          the end of a dropped table
 *   apply.c         a write or merged state -> store, ledger          meta.c          what rests beside the items
 *   delivery.c      remote writes, causal buffer                      report.c        clocks said and heard
 *   peers.c         sending: windows, resends, relay, backlog marks
 *   copy_source.c   full copy, sending side                           copy_receive.c  full copy, receiving side (S2)
 *                                                                     copy_merge.c    its chunks into our state
 *   collect.c       stability-driven collection (S1)                  expiry.c        removal of what expired (S16)
 *   ledger.c        the conflict ledger (S13)                         account.c       each origin counts its own dots
 */
#ifndef MERIDIAN_MERGEABLE_REPLICA_INTERNAL_H
#define MERIDIAN_MERGEABLE_REPLICA_INTERNAL_H

#include "base/arena.h"
#include "causality/stability.h"
#include "mergeable/delta_log.h"
#include "mergeable/hash_map.h"
#include "mergeable/ledger_index.h"
#include "mergeable/message.h"
#include "mergeable/range_clocks.h"
#include "mergeable/replica.h"

#define MILLISECONDS(n) ((uint64_t)(n)*1000000u)

/* A write that can't be applied yet: a cause is missing, its item is cold, or the log is full. */
struct waiting_write {
    uint64_t counter;
    uint8_t *payload; /* owned */
    uint32_t bytes;
};

/* All we hold of one replica id: the index of its deltas, and its writes that wait, sorted by counter. */
struct origin {
    uint64_t replica;
    struct delta_log deltas;
    struct waiting_write *waiting;
    uint32_t waiting_count, waiting_capacity;
};

/* How far a peer is with one origin. `walked` <= acked is how far acked_bytes was summed up along the delta log. */
struct position {
    uint64_t acked; /* last report */
    uint64_t walked;
    uint64_t acked_bytes;
    uint64_t sent; /* sent, hoped for */
    uint64_t sent_bytes;
    bool relaying;   /* a third party's dots: it got stuck without us (peers.c) */
    uint64_t sample; /* third party: what we held at sample_ns; 0: nothing is watched */
    uint64_t sample_ns;
};

/* A place within a full copy: the chunk `index` begins at hash `first`, after chunks with `items` and checksum `sum`.
 */
struct copy_place {
    uint64_t index, first, sum, items;
};

struct copy_out {
    bool active;
    uint64_t copy;
    struct vv snapshot;
    struct copy_place next;
    uint64_t acked_index;
    bool finished;       /* the last chunk was built */
    struct buffer chunk; /* built, waits until held_lsn is durable (P2) */
    uint64_t held_lsn;
    bool pulled;            /* the receiver took the offer */
    uint64_t touched_ns;    /* last offer or pull */
    uint32_t fetching;      /* cold items on their way */
    uint64_t not_before_ns; /* no new offer before that */
    uint32_t blocked;       /* attempts to build the next chunk that met only cold items */
};

struct copy_in {
    bool active;
    uint16_t source;
    uint64_t copy;
    struct vv snapshot;
    struct copy_place next;
    bool complete;        /* every chunk is here and verified; the join is still to be logged */
    uint64_t touched_ns;  /* last pull */
    uint64_t progress_ns; /* last chunk, or the beginning */
    uint32_t fetching;
};

/* A replica whose disk may be new, or an older one. */
enum join_state {
    JOIN_DONE,   /* it holds all that the other members held when they first told */
    JOIN_ASKING, /* it does not serve */
    JOIN_PARTLY, /* it serves, but does not know yet what some member holds: nothing is stable to it, or because of it
                  */
};

struct peer {
    uint16_t node;
    bool connected;
    bool reported;           /* a report came since it connected */
    bool told;               /* and one that knew ours */
    bool owes_copy;          /* it said that we lack what only a copy will bring */
    bool said_copy_due;      /* we said so to it */
    uint64_t life, sequence; /* of its newest report */
    struct node_clock clock; /* its newest report */
    uint64_t clock_came_ns;
    struct position *positions; /* by origin index; r->origins_capacity of them */
    uint64_t progress_ns;       /* when its clock last grew, or sending began */
    uint64_t resend_wait_ns;
    uint64_t round_trip_ns; /* smoothed; 0: not measured */
    uint64_t echo_us;       /* its sent_at_us, and when that came */
    uint64_t echo_came_ns;
    uint64_t duplicates; /* writes from it that we had, since our last report to it */
    bool report_due;
    bool reply_due;        /* it waits for our report */
    uint64_t report_ns;    /* our last report to it */
    uint64_t unsettled_ns; /* since when something is unconfirmed between us; 0: nothing is */
    bool reading;          /* a delta is being read back from the log for it */
    bool marked;           /* needs repair; durable once mark_lsn is */
    uint64_t mark_lsn;
    struct copy_out copy;
};

/* A dot (or a joined clock) that is applied; part of the durable clock once `lsn` is durable. */
struct pending_dot {
    uint64_t lsn;
    struct dot dot;
    struct vv *join; /* owned */
};

struct pending_ring {
    struct pending_dot *items;
    uint32_t head, count, capacity; /* capacity is a power of two */
};

struct notice;

/* A callback under way in log or store. The replica may be gone when it comes. */
struct wait {
    struct list_node node; /* in replica->waits */
    struct replica *replica;
    uint16_t peer; /* whom it is for; 0: delivery */
    uint64_t origin, counter;
    void (*done)(struct replica *r, const struct wait *w, enum status status, struct slice payload);
};

struct expiry_entry {
    uint64_t at_ms;
    uint64_t hash;
};

struct replica {
    struct replica_config config;
    struct store_partition *partition;
    struct store_space *data, *ledger;
    struct log *log;
    struct replica_now now;
    bool started;
    uint64_t life;

    /* identity and clocks */
    uint64_t id;
    uint64_t counter;    /* of the newest own dot */
    uint64_t stamp_seen; /* the greatest stamp applied since the start: every write of ours exceeds it (S5) */
    bool rejoining;      /* P1: a new incarnation has to be logged before the next local write */
    struct vv applied;
    struct vv deps; /* applied without the own entry: what a local write carries */
    struct vv durable;
    struct pending_ring pending;
    bool durable_grew_remotely; /* a report is due */
    uint64_t last_lsn;          /* of the newest record of this partition that state includes */
    uint64_t meta_lsn;          /* last_lsn as found at rest: older records are skipped in a replay */

    /* origins and peers */
    struct origin *origins;
    uint32_t origins_count, origins_capacity;
    size_t waiting_bytes;
    bool stalled; /* the log was full: retry */
    struct peer peers[REPLICA_MEMBERS_MAX];
    uint32_t peers_count;
    uint32_t rank; /* of ours among the members by number */
    uint64_t mark_sequence;
    uint64_t report_sequence;
    uint64_t next_check_ns; /* relay samples, resends, backlog: every PEER_CHECK_NS */

    /* joining and copying */
    enum join_state join;
    uint64_t started_ns;
    struct vv join_target;
    struct range_clocks ahead;
    struct copy_in copy;
    uint32_t copies_owed; /* peers that owe us one */

    /* upkeep */
    struct stability *stability;
    uint64_t *garbage; /* ring of key hashes; capacity is a power of two */
    uint32_t garbage_head, garbage_count, garbage_capacity;
    struct hash_map garbage_keys; /* those in the ring */
    uint32_t garbage_due;         /* the first so many belong to the epoch */
    struct vv epoch;              /* once stable, everything the epoch's keys waited for is */
    bool epoch_stable;
    struct vv collected; /* what was stable whenever something was collected; at rest with what was collected */
    uint64_t epoch_next_ns;
    struct expiry_entry *expiry;
    uint32_t expiry_count, expiry_capacity;
    struct hash_map expiry_keys;
    bool sweeping; /* looking through what was there at start for garbage and expiry */
    uint64_t sweep_cursor;
    uint32_t sweep_fetching;

    struct notice *notices; /* in lsn order, oldest first */
    struct notice *notices_last;
    struct replica_account account;
    struct ledger_index ledger_keys;

    /* scratch, reused */
    struct write incoming;
    struct write expiring;
    struct object_events events;
    struct buffer out;
    struct buffer scratch;
    struct clock_message said, heard;
    struct arena arena;

    struct list waits;
};

/* replica.c */
struct peer *replica__peer(struct replica *r, uint16_t node);           /* NULL: no member, or ourselves */
struct origin *replica__origin(struct replica *r, uint64_t replica_id); /* created when new */
struct origin *replica__find_origin(const struct replica *r, uint64_t replica_id);
uint32_t replica__origin_index(const struct replica *r, const struct origin *o);
bool replica__is_own_node(const struct replica *r, uint64_t replica_id);
struct wait *replica__wait_new(struct replica *r, uint16_t peer);
void replica__wait_read_done(void *user, enum status status, struct slice payload);
void replica__wait_fetch_done(void *user, enum status status);

/* clock.c */
void replica__count_applied(struct replica *r, struct dot dot, uint64_t lsn);
void replica__adopt_clock(struct replica *r, const struct vv *clock, uint64_t lsn); /* the join of P3 */
/* Fold what is durable by now into the durable clock. Returns true if it grew. */
bool replica__settle_pending(struct replica *r, uint64_t durable_lsn);
void replica__draw_incarnation(struct replica *r);
void replica__join_move(struct replica *r, enum join_state to);        /* logs it; unless the log pushes back */
void replica__take_incarnation(struct replica *r, uint64_t id);        /* it was logged */
void replica__rejoin_as_new(struct replica *r, uint64_t counter_seen); /* P1 */

/* apply.c */
void replica__apply(struct replica *r, const struct write *w, uint64_t hash, struct store_item *item, uint64_t lsn);
void replica__on_events(struct replica *r, struct slice key, uint64_t hash, uint64_t lsn);
void replica__note_garbage_and_expiry(struct replica *r, const struct store_item *item);
bool replica__is_ahead(const struct replica *r, uint64_t hash, struct dot dot);
void replica__release_notices(struct replica *r, uint64_t durable_lsn);
void replica__free_notices(struct replica *r);
void replica__warm_now(struct replica *r, struct store_space *space, struct store_item *item); /* while replaying */
extern const struct store_object_functions replica__data_functions;

/* delivery.c */
enum status replica__on_writes(struct replica *r, struct peer *from, struct slice body);
void replica__deliver_waiting(struct replica *r);
void replica__free_waiting(struct origin *o);
bool replica__has_waiting(const struct replica *r);

/* peers.c */
void replica__settle(struct replica *r, struct peer *p, uint32_t origin_index);
void replica__pump(struct replica *r, struct peer *p);
void replica__trim(struct replica *r);
void replica__check_peers(struct replica *r); /* resend, relay, backlog bound, copies */
bool replica__lacks_trimmed(struct replica *r, struct peer *p, bool own_only);
bool replica__apply_mark(struct replica *r, struct slice payload, uint64_t lsn);
void replica__peer_deinit(struct peer *p);

/* report.c */
enum status replica__on_clock(struct replica *r, struct peer *p, struct slice body);
void replica__send_report(struct replica *r, struct peer *p, bool want_reply);
void replica__send_due_reports(struct replica *r);
void replica__check_joining(struct replica *r);
void replica__note_owed(struct replica *r, struct peer *p, bool owes_copy);

/* copy_source.c */
bool replica__copy_is_due(struct replica *r, struct peer *p); /* the peer lacks what only a copy of ours will bring */
void replica__copy_offer(struct replica *r, struct peer *p);
void replica__copy_send(struct replica *r, struct peer *p);
enum status replica__on_copy_pull(struct replica *r, struct peer *p, struct slice body);
void replica__copy_check(struct replica *r, struct peer *p);
void replica__copy_end(struct peer *p);

/* copy_receive.c */
enum status replica__on_copy_offer(struct replica *r, struct peer *p, struct slice body);
enum status replica__on_copy_chunk(struct replica *r, struct peer *p, struct slice body);
void replica__copy_in_check(struct replica *r);
void replica__copy_in_finish(struct replica *r, const struct vv *snapshot, uint64_t lsn); /* the join, logged at lsn */
void replica__copy_in_write(struct buffer *b, const struct copy_in *c);
enum status replica__copy_in_read(struct reader *reader, struct copy_in *out);

/* copy_merge.c */
/* Is everything in the chunk well-formed, sorted and within its range? Counts the items. */
bool replica__check_groups(const struct copy_chunk *c, uint64_t *out_items);
/* False, with nothing changed: the chunk's groups are damaged. What is ours in its range is warm. */
bool replica__merge_chunk(struct replica *r, const struct copy_chunk *c, uint64_t lsn);
enum { COPY_FETCH_MAX = 256 };
struct own_range {
    struct replica *replica;
    uint64_t last;
    uint64_t *hashes;
    uint32_t count, capacity;
    struct store_item *cold[COPY_FETCH_MAX]; /* not to be fetched within a scan */
    struct store_space *cold_space[COPY_FETCH_MAX];
    uint64_t cold_hash[COPY_FETCH_MAX]; /* of the key it belongs to */
    uint32_t cold_count;
};
/* Every hash of ours in [first, last], sorted, each once, in `hashes` for the caller to free; and what of it is cold,
 * as far as there is room. While replaying it is warmed at once. */
void replica__own_range_gather(struct own_range *o, struct replica *r, uint64_t first, uint64_t last);

/* collect.c */
/* The items whose key hash is `hash`, at most GROUP_MAX; several only when hashes collide. */
enum { GROUP_MAX = 16 };
uint32_t replica__group(struct store_space *space, uint64_t hash, struct store_item *out[GROUP_MAX]);
void replica__queue_garbage(struct replica *r, uint64_t hash);
void replica__collect(struct replica *r);
void replica__sweep(struct replica *r);
bool replica__collect_is_ready(const struct replica *r);

/* expiry.c */
void replica__queue_expiry(struct replica *r, uint64_t hash, uint64_t at_ms);
void replica__expire(struct replica *r);

/* ledger.c */
extern const struct store_object_functions replica__ledger_functions;
enum { LEDGER_KEY_BYTES = 32 };
bool replica__ledger_key_read(struct slice item_key, struct ledger_place *out);
/* Begin fetching the cold entries that a restore mark names. True when one is on its way: apply the mark later. */
bool replica__ledger_mark_is_cold(struct replica *r, const struct write *w, uint64_t hash);
uint64_t replica__column_hash(struct slice column);
void replica__ledger_add(struct replica *r, struct slice key, uint64_t hash, const struct object_event *e,
                         uint64_t lsn);
/* By an event OBJECT_WITHDRAWN: the entry of its dot and column, or all entries of the dot. */
void replica__ledger_withdraw(struct replica *r, struct slice key, uint64_t hash, const struct object_event *e,
                              uint64_t lsn);
void replica__ledger_remove_item(struct replica *r, struct store_item *item, uint64_t lsn);
/* Take a peer's entry as it is; false when the bytes are damaged. An entry we have keeps the further state. */
bool replica__ledger_take(struct replica *r, struct slice item_key, struct slice bytes, uint64_t lsn);
void replica__ledger_mark(struct replica *r, const struct write *w, uint64_t hash, uint64_t lsn);
struct ledger_view { /* what object_apply() asks about one key */
    struct replica *replica;
    uint64_t hash;
};
bool replica__ledger_has(void *user, struct dot dot, struct slice column);
void replica__ledger_open(struct replica *r); /* make the index of what was found at rest */
/* Every entry of the key hash, cold ones too; `visit` adds and removes none. */
void replica__ledger_visit(struct replica *r, uint64_t hash, void (*visit)(void *user, struct store_item *item),
                           void *user);

/* account.c */
void replica__account_accept(struct replica *r, const struct write *w);
void replica__account_event(struct replica *r, const struct object_event *e);
void replica__account_ledger(struct replica *r, struct dot dot, int change); /* an entry came (1) or went (-1) */
void replica__account_replaced(struct replica *r, struct dot dot);
/* An entry that a write observed: replaced, unless the events at hand or the object's state count it already. */
void replica__account_withdrawn(struct replica *r, struct slice key, uint64_t hash, struct dot dot);

/* meta.c */
void replica__meta_encode(void *user, struct buffer *out);
enum status replica__meta_decode(struct replica *r, struct slice meta);

#endif
