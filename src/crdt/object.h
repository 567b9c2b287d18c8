/* object.h: the state of one key: up to three parts (string, row, set) written concurrently as different types, an
 * expiry, and the deletes that are not yet causally stable.
 *
 * The part modules hold the algebra: register.h (a cell: the multi-value register; its LWW view keeps the greatest
 * stamp and hands the others to the ledger), counter_pn.h, set_aw.h, row.h (columns, each a cell), expiry.h,
 * deletes.h (S1, S11, S16). This module applies whole writes, merges whole states and answers reads.
 *
 * O1  Apply is causal, and once: every write in deps and the writer's previous dot were applied before, this one not
 *     (mergeable/ sees to it by its clock).
 * O2  For each dot ever applied exactly one holds, in each column by itself: visible, hidden by a delete, ledgered
 *     (handed out and kept by the caller), or replaced (S13).
 * O3  The state after a set of writes does not depend on their order (among causal orders), nor on whether they came as
 *     deltas or as merged states, nor on what was collected meanwhile (S1).
 */
#ifndef MERIDIAN_CRDT_OBJECT_H
#define MERIDIAN_CRDT_OBJECT_H

#include "base/arena.h"
#include "crdt/write.h"

enum conflict_policy { CONFLICT_LWW, CONFLICT_SIBLINGS, CONFLICT_UPDATE_WINS, CONFLICT_DELETE_WINS };

struct object;

struct object *object_new(void);
void object_free(struct object *o);          /* accepts NULL */
size_t object_bytes(const struct object *o); /* heap bytes, for the store's budget */

/* Append the state; equal objects have equal bytes (object.c). Losers of deletes that something has replaced since are
 * forgotten on the way, which no reader can notice. */
void object_encode(const struct object *o, struct buffer *out);

/* Returns NULL when the bytes are damaged. */
struct object *object_decode(struct slice bytes);

/* ---- what became of writes: the ledger's input (S13) ---- */

enum object_event_type {
    OBJECT_LEDGERED = 1,  /* `dot` is no longer visible and was not replaced: keep it */
    OBJECT_WITHDRAWN,     /* a ledgered dot was covered after all, or is visible or hidden again: drop the entry. With a
                             kind, its value is in the object, or another event tells that it was replaced */
    OBJECT_REPLACED,      /* `dot` was observed by an accepted write: for the accounting only */
    OBJECT_EXPIRED,       /* `dot` was removed by expiry: for the accounting only */
    OBJECT_CONFLICT_OPEN, /* the key went from no conflict to siblings */
    OBJECT_CONFLICT_CLOSED,
};

enum ledger_reason {
    LEDGER_LWW_LOSER = 1,
    LEDGER_LOST_TO_DELETE,
    LEDGER_DELETE_LOST,
    LEDGER_LATE,
    LEDGER_REASON_COUNT
};
enum ledger_kind { LEDGER_STRING = 1, LEDGER_COLUMN, LEDGER_DELETE, LEDGER_EXPIRE };

struct object_event {
    enum object_event_type type;
    enum ledger_reason reason;
    enum ledger_kind kind;
    struct dot dot;
    uint64_t stamp;
    struct dot winner;   /* the write or delete it lost to; none if unknown */
    struct slice column; /* LEDGER_COLUMN; a write of n columns may lose in each column by itself */
    struct slice value;
    bool every_column; /* OBJECT_WITHDRAWN: all entries of this dot, whatever their column: a delete observed it */
};

/* Filled by one apply or merge; slices live in `bytes`. */
struct object_events {
    struct object_event *items;
    uint32_t count;
    uint32_t capacity;
    struct buffer bytes;
};

void object_events_init(struct object_events *e);
void object_events_deinit(struct object_events *e);
void object_events_clear(struct object_events *e);

/* Before a local write is given its dot: set the flags that follow from what the key holds besides the part written. */
void object_prepare(const struct object *o, struct write *w);

/* Apply one write under the table's policy. `ledgered` tells which (dot, column) pairs of this key are in the ledger
 * now, so that a write that observed one withdraws it; may be NULL. A `column` without data asks for any entry of the
 * dot. After: object_is_empty(o) may hold; then the caller may drop the object once it is durable. */
struct object_ledger_view {
    void *user;
    bool (*has)(void *user, struct dot dot, struct slice column);
};
void object_apply(struct object *o, enum conflict_policy policy, const struct write *w,
                  const struct object_ledger_view *ledgered, struct object_events *out_events);

/* Merge a peer's whole state of the same key into ours (full copy, read repair). `ours` and `theirs` are the clocks as
 * of which the states are complete: a dot that one clock covers and its state lacks was removed there (S2).
 * `theirs_state` may be an empty object: the peer has nothing for this key.
 *
 * The ledgers are merged before the states, by the same reasoning: an entry of ours stays if theirs has it too, or
 * their clock does not cover its dot, or object_holds(theirs_state, it); an entry of theirs is taken over unless
 * object_holds(theirs_state, it), if our clock does not cover its dot or object_holds(ours, it). An entry of ours that
 * goes was replaced there; if object_holds(ours, it), the merge of the states says so by an event. */
void object_merge(struct object *o, const struct vv *ours, const struct object *theirs_state, const struct vv *theirs,
                  enum conflict_policy policy, const struct object_ledger_view *ledgered,
                  struct object_events *out_events);

/* True when the dot's value in this column (no data: string, expiry or delete) is here, shown or hidden, and no delete
 * has observed it: its entry in a peer's ledger still stands. */
bool object_holds(const struct object *o, struct dot dot, struct slice column);
/* True when it is here and shown: no entry of a ledger stands for it. */
bool object_shows(const struct object *o, struct dot dot, struct slice column);

/* Drop what is causally stable: effective deletes with all they hide, defeated deletes, dead counter entries. Returns
 * true if anything changed. */
struct object_stable_view {
    const void *user;
    bool (*is_stable)(const void *user, struct dot dot);
};
bool object_collect(struct object *o, const struct object_stable_view *stable, struct object_events *out_events);
bool object_is_empty(const struct object *o);    /* nothing left at all: no value, no tombstone */
bool object_has_garbage(const struct object *o); /* something waits for stability */

/* Call `visit` for every dot whose write is visible or hidden here (not ledgered, not replaced), for checkers. */
void object_visit_dots(const struct object *o, void (*visit)(void *user, struct dot dot, bool visible), void *user);
bool object_equal(const struct object *a, const struct object *b);

/* ---- reads; `now_ms` decides expiry, which hides ---- */

enum object_type { OBJECT_NONE, OBJECT_STRING, OBJECT_ROW, OBJECT_SET };
enum read_outcome { READ_OK, READ_ABSENT, READ_CONFLICT, READ_WRONG_TYPE };

/* OBJECT_NONE when absent, expired or deleted. With several visible parts: the first of string, row, set, and
 * object_in_conflict() holds. */
enum object_type object_type(const struct object *o, uint64_t now_ms);
bool object_in_conflict(const struct object *o, uint64_t now_ms);
uint64_t object_expire_at_ms(const struct object *o); /* 0: never */
uint64_t object_stamp_max(const struct object *o);    /* greatest stamp in it: a new write's stamp exceeds it (S5) */

/* The string; with counter entries the sum, formatted into `scratch` (>= 24 bytes). *out borrows from o or scratch.
 * READ_CONFLICT under CONFLICT_SIBLINGS with several siblings. */
enum read_outcome object_read_string(const struct object *o, uint64_t now_ms, char scratch[32], struct slice *out);
/* As an integer. *out_is_integer false: a string that is no integer. */
enum read_outcome object_read_integer(const struct object *o, uint64_t now_ms, int64_t *out, bool *out_is_integer);

enum read_outcome object_read_column(const struct object *o, uint64_t now_ms, struct slice column, char scratch[32],
                                     struct slice *out);
enum read_outcome object_row_count(const struct object *o, uint64_t now_ms, uint64_t *out_count);
/* Columns in name order (memcmp). Stops when visit returns false. */
enum read_outcome object_row_visit(const struct object *o, uint64_t now_ms,
                                   bool (*visit)(void *user, struct slice column, struct slice value), void *user);

enum read_outcome object_set_count(const struct object *o, uint64_t now_ms, uint64_t *out_count);
enum read_outcome object_set_has(const struct object *o, uint64_t now_ms, struct slice member);
/* Members in memcmp order. */
enum read_outcome object_set_visit(const struct object *o, uint64_t now_ms,
                                   bool (*visit)(void *user, struct slice member), void *user);

/* ---- siblings (SIBLINGS, RESOLVE) ---- */

struct object_sibling {
    struct dot dot; /* the newest dot of this alternative */
    uint64_t stamp;
    enum object_type type; /* OBJECT_NONE: the alternative is "deleted" */
    struct slice value;    /* string; rows and sets have `fields` */
    struct slice *fields;  /* row: column, value, …; set: members */
    uint32_t fields_count;
};

/* All alternatives, one when there is no conflict, none when absent; greatest stamp first. Everything is allocated in
 * `arena`. *out_dots gets every dot shown: the context of a later RESOLVE. */
uint32_t object_siblings(const struct object *o, uint64_t now_ms, struct arena *arena, struct object_sibling **out_list,
                         struct dot_set *out_dots);

/* ---- preparing local writes: what the writer observes ---- */

/* Add the dots that a write to this part replaces, as this replica shows it. */
void object_observe_string(const struct object *o, uint64_t now_ms, struct dot_set *out);
void object_observe_column(const struct object *o, uint64_t now_ms, struct slice column, struct dot_set *out);
void object_observe_member(const struct object *o, uint64_t now_ms, struct slice member, struct dot_set *out);
void object_observe_expiry(const struct object *o, struct dot_set *out);
void object_observe_all(const struct object *o, struct dot_set *out); /* for a delete: everything live, any part */

/* Counter totals that a SET or DEL has to subtract later (S16), as flat list. column NULL: the string's; else that
 * column's; object_observe_all_bases: everything's. The arrays are in `arena`. */
uint32_t object_counter_bases(const struct object *o, const struct slice *column, struct arena *arena,
                              struct counter_base **out);
uint32_t object_all_counter_bases(const struct object *o, struct arena *arena, struct counter_base **out);

/* The entry that `replica` would raise by `delta`: its birth counter (own_next_counter for a new entry) and new totals.
 * Returns STATUS_LIMIT if a total would overflow. */
MUST_USE enum status object_increment_prepare(const struct object *o, const struct slice *column, uint64_t replica,
                                              uint64_t own_next_counter, int64_t delta, uint64_t *out_birth,
                                              uint64_t *out_positive, uint64_t *out_negative);

#endif
