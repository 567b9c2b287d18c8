/* change.h: what one apply, merge or collection carries along while it changes the parts of an object, and how it tells
 * the ledger what became of writes.
 *
 * Deltas and merges use the same few steps, so that they cannot disagree: remove what was observed, settle the cell
 * (LWW drops losers), refresh what deletes hide. The events are the differences that the steps find.
 */
#ifndef MERIDIAN_CRDT_CHANGE_H
#define MERIDIAN_CRDT_CHANGE_H

#include "crdt/deletes.h"
#include "crdt/object.h"
#include "crdt/register.h"

struct change {
    enum conflict_policy policy;
    struct deletes *deletes;
    struct vv *touches;        /* updates that left no trace, see object_internal.h */
    const struct write *write; /* the write at hand; NULL in merges and collections */
    struct dot_set suspects;   /* those of them that have ledger entries */
    const struct object_ledger_view *ledgered;
    struct object_events *events;
};

/* Where in the object something happens. `column` has data only for PART_ROW. */
struct place {
    enum object_part part;
    struct slice column;
};

static inline const struct slice *place_column(const struct place *at)
{
    return at->part == PART_ROW ? &at->column : NULL;
}

/* Find the ledger entries among the dots that the write observed. */
void change_find_suspects(struct change *c);
void change_deinit(struct change *c);

/* One event for the ledger. `v` goes out of sight without having been observed, or comes back, or is covered after
 * all; `winner` is what it lost to, none if unknown. `change_gone` tells the accounting alone: REPLACED or EXPIRED. */
void change_ledgered(struct change *c, const struct place *at, const struct register_value *v,
                     enum ledger_reason reason, struct dot winner);
void change_withdrawn(struct change *c, const struct place *at, const struct register_value *v);
void change_gone(struct change *c, enum object_event_type type, const struct place *at, struct dot dot);

/* Withdraw the ledger entries of this column (no data: of none) that the write observed; and all entries of all dots
 * that a delete observed. To be called once all is settled: entries of what the object itself holds are withdrawn with
 * the events of their values, and what is withdrawn twice counts the first time. */
void change_withdraw_observed(struct change *c, struct slice column);
void change_withdraw_all(struct change *c, const struct dot_set *observed);

/* The same for a delete as a whole: it was defeated by `winner` (none if unknown), or is resolved after all. */
void change_delete_ledgered(struct change *c, const struct delete_record *x, struct dot winner);
void change_delete_withdrawn(struct change *c, const struct delete_record *x);

/* Tells if the key's being in conflict differs before and after. */
void change_conflict(struct change *c, bool before, bool after);

#endif
