/* replica.h: one replica of one partition of a mergeable table: local writes named by dots, causal delivery of the
 * others', catch-up by clocks, full copies, stability, ledger.
 *
 * Source:  Goncalves, Almeida, Baquero, Fonte, "DottedDB", SRDS 2017 (server-wide clocks); Almeida, Shoker, Baquero,
 *          "Delta state replicated data types", JPDC 2018.
 * Differs: deltas are delivered in causal order (docs/decisions/0001), so the applied clock has no gaps.
 *
 * P1  A dot is issued once: its counter is recovered from log and meta; a replica whose peers know more of its dots
 * than it does takes a new incarnation before it writes again (S4). P2  Peers are told (writes, clocks) only what is
 * durable here (S4). P3  The clock is joined with a peer's only at the verified end of a full copy (S2), in the same
 * log record. P4  A delta leaves the log only when every member covers it or that member is durably marked "needs
 * repair".
 *
 * The replica calls its log and store directly (both are sans-IO); everything else leaves through replica_effects.
 */
#ifndef MERIDIAN_MERGEABLE_REPLICA_H
#define MERIDIAN_MERGEABLE_REPLICA_H

#include "base/prng.h"
#include "causality/hlc.h"
#include "crdt/object.h"
#include "storage/log.h"
#include "storage/store.h"

enum {
    REPLICA_MEMBERS_MAX = 64,
    REPLICA_BACKLOG_BYTES_MAX = 64 * 1024 * 1024, /* deltas kept for a lagging peer, per partition */
    REPLICA_WAITING_BYTES_MAX = 8 * 1024 * 1024,  /* deltas whose causes are not here yet, per partition */
    REPLICA_WINDOW_BYTES_MAX = 4 * 1024 * 1024,   /* sent to one peer and not yet covered by its report */
    REPLICA_COPY_CHUNK_BYTES = 256 * 1024,
};

struct replica;

struct replica_member {
    uint16_t node; /* number */
};

/* Log record kinds of a partition. */
enum replica_log_kind { LOG_WRITE = 1, LOG_CLOCK_JOIN, LOG_INCARNATION, LOG_REPAIR_MARK, LOG_COPY_OBJECT };

struct replica_now {
    uint64_t wall_ms; /* may be skewed */
    uint64_t mono_ns;
};

/* What leaves a replica. All are called synchronously from replica_* calls. */
struct replica_effects {
    void *user;
    /* Send one message to a member; lost silently if the peer is away (the protocol recovers by clocks). `body` is
     * borrowed. */
    void (*send)(void *user, uint16_t node, uint8_t message, struct slice body);
    /* How many bytes may be sent to `node` now without overfilling its queue (0: wait for replica_on_peer_writable). */
    size_t (*send_room)(void *user, uint16_t node);
    /* A conflict was found or resolved on `key`, durable by now; for subscribers of __conflicts__:table. */
    void (*notice)(void *user, struct slice key, const struct object_event *event);
};

struct replica_config {
    uint64_t table;
    uint16_t partition;
    enum conflict_policy policy;
    uint16_t self;                                      /* our node number */
    struct replica_member members[REPLICA_MEMBERS_MAX]; /* all replicas, self included */
    uint32_t members_count;
    uint64_t backlog_bytes_max; /* REPLICA_BACKLOG_BYTES_MAX unless a scenario says less */
    struct hlc *hlc;            /* the shard's */
    struct prng *prng;          /* the shard's */
    struct log *log;            /* NULL until replica_attach_log() while opening */
    struct store *store;
    struct replica_effects effects;
};

/* ---- life ---- */
/* `meta`: what store_open() found for this partition, or empty. `joins`: unless `meta` or the log says
 * otherwise the replica joins, that is, it asks its peers first (replica_is_serving): its disk may be a new one. Only a
 * replica of a table that is being created need not. */
MUST_USE enum status replica_open(const struct replica_config *config, struct slice meta, bool joins,
                                  struct replica **out);
void replica_free(struct replica *r);
/* The table is gone: forget everything of this partition, here and at rest, and free the replica. */
void replica_drop(struct replica *r);
/* Every record of this partition, in log order, before replica_start(); idempotent on what meta already covers. */
void replica_replay(struct replica *r, const struct log_record *record);
void replica_start(struct replica *r, struct log *log, struct replica_now now);

/* ---- events ---- */
void replica_tick(struct replica *r,
                  struct replica_now now);      /* every ~10 ms while replica_has_work(), else every ~1 s */
bool replica_has_work(const struct replica *r); /* something moves when time passes: sends, copies, joining, retries */
void replica_on_durable(struct replica *r, uint64_t durable_lsn, struct replica_now now);
void replica_on_peer_up(struct replica *r, uint16_t node, struct replica_now now);
void replica_on_peer_down(struct replica *r, uint16_t node, struct replica_now now);
void replica_on_peer_writable(struct replica *r, uint16_t node, struct replica_now now);
/* Hostile or damaged bodies are refused with STATUS_MALFORMED: drop the connection. Whole writes that stood before the
 * damage in the same message are taken; they passed every check by themselves. */
MUST_USE enum status replica_on_message(struct replica *r, uint16_t node, uint8_t message, struct slice body,
                                        struct replica_now now);

/* ---- local operations ---- */
/* Joining or copying replicas, and those that are due a copy, don't serve: the node forwards to another replica. */
bool replica_is_serving(const struct replica *r);
/* It serves, and each connected peer has said, since it connected, whether a copy is due. */
bool replica_is_settled(const struct replica *r);
struct store_space *replica_data(struct replica *r);
struct store_space *replica_ledger(struct replica *r);
enum conflict_policy replica_policy(const struct replica *r);
uint64_t replica_id(const struct replica *r); /* the id under which it writes now */
uint64_t replica_next_counter(const struct replica *r);
uint64_t replica_table(const struct replica *r);
uint16_t replica_partition(const struct replica *r);

enum write_outcome {
    WRITE_DONE = 0,
    WRITE_REFUSED_SPACE, /* disk full or log bound: -UNAVAILABLE, nothing happened */
    WRITE_REFUSED_BUSY,  /* log back-pressure: park the request and try after the next sync */
    WRITE_REFUSED_LIMIT, /* the record is too large */
    WRITE_REFUSED_COLD,  /* the item must be fetched first: store_fetch, then try again */
};
/* Issue a local write. The caller fills kind, flags, key, observed, body; the replica gives dot, stamp and deps, logs
 * it and applies it. `item`: store_find's answer for the key (NULL: absent), not cold.
 * *out_lsn: the reply may leave when this is durable. `w` keeps its memory, its dot and stamp are set. */
enum write_outcome replica_write(struct replica *r, struct write *w, uint64_t key_hash, struct store_item *item,
                                 struct replica_now now, uint64_t *out_lsn);

/* The position that a reply showing `item` (or its absence, NULL) must wait for (S4). */
uint64_t replica_read_lsn(const struct replica *r, const struct store_item *item);

/* ---- ledger (S13) ---- */
enum ledger_state { LEDGER_OPEN = 1, LEDGER_RESTORED };
struct ledger_entry {
    struct dot dot;
    uint64_t stamp;
    enum ledger_reason reason;
    enum ledger_kind kind;
    enum ledger_state state;
    struct dot winner;
    struct slice key, column, value;
};
enum { LEDGER_ID_BYTES_MAX = 96 };
/* Where an entry is kept: its item's key is made of these. */
struct ledger_place {
    struct dot dot;
    uint64_t key_hash;
    uint64_t column_hash; /* 0 without a column */
};
/* The id is made of table, partition and place: equal in every region. */
void ledger_id_format(const struct replica *r, const struct ledger_entry *e, char out[LEDGER_ID_BYTES_MAX]);
bool ledger_id_parse(struct slice text, uint64_t *out_table, uint16_t *out_partition, struct ledger_place *out_place);
/* For the items of replica_ledger(), found by store_scan(). Cold ones are fetched by the caller like any item. The
 * slices of *out borrow from the object. Returns STATUS_OK or STATUS_CORRUPT. */
MUST_USE enum status ledger_decode(struct slice item_key, const void *object, struct ledger_entry *out);
struct store_item *ledger_find(struct replica *r, const struct ledger_place *place); /* NULL: none; may be cold */
uint64_t ledger_count(const struct replica *r);                                      /* open entries */

/* ---- facts for TOPOLOGY, INFO, checkers ---- */
const struct vv *replica_clock(const struct replica *r);         /* applied */
const struct vv *replica_durable_clock(const struct replica *r); /* what of it a crash leaves */
/* Own writes, counted by their origin at each transition (S13); a write of n columns or members counts n times. The sum
 * of the others is `accepted`. Looks through the whole state. */
struct replica_account {
    uint64_t accepted, visible, hidden, replaced, ledgered, expired;
};
void replica_account(const struct replica *r, struct replica_account *out);
struct replica_peer_status {
    uint16_t node;
    bool connected, needs_repair, copying;
    uint64_t backlog_items, backlog_bytes;
    uint64_t lag_ms; /* age of the oldest write the peer has not confirmed */
};
uint32_t replica_peers(const struct replica *r, struct replica_now now,
                       struct replica_peer_status out[REPLICA_MEMBERS_MAX]);
/* For checkers (P4): own dots up to this counter can't be sent to `node` any more, and neither a mark nor a copy will
 * bring them: it must have them. 0: none. */
uint64_t replica_forgotten_through(const struct replica *r, uint16_t node);
/* Peers marked as needing repair: deltas no longer suffice, they are due a full copy. */
uint32_t replica_peers_marked(const struct replica *r);
/* Garbage still waiting for stability: tombstones, hidden values. */
uint64_t replica_garbage_count(const struct replica *r);

/* ---- upkeep by the shard ---- */
uint64_t replica_flushed_lsn(const struct replica *r); /* written back and synced up to here (S3) */
/* For log_reclaim. Only segments wholly at or below replica_flushed_lsn() may be asked about: copied forward, an older
 * record would be replayed after its successors. */
bool replica_record_is_live(struct replica *r, const struct log_record *record);
void replica_record_moved(struct replica *r, const struct log_record *record);
bool replica_write_back(struct replica *r);  /* begin one, as of the applied position */
void replica_check(const struct replica *r); /* asserts P1..P4 and structure */

#endif
