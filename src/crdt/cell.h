/* cell.h: what a string and a column of a row have in common: a register and the increments made beside it.
 *
 * What is shown is the register's value, plus the sum of the increments when that value is an integer or absent. A text
 * beside live increments is a conflict of types: both are alternatives.
 */
#ifndef MERIDIAN_CRDT_CELL_H
#define MERIDIAN_CRDT_CELL_H

#include "crdt/change.h"
#include "crdt/counter_pn.h"

struct cell {
    struct reg values;
    struct counter_pn counters;
};

void cell_deinit(struct cell *cell);
static inline bool cell_is_empty(const struct cell *cell)
{
    return cell->values.count == 0 && cell->counters.count == 0;
}

/* ---- changing ---- */

/* Remove what the write at hand observed. */
void cell_observe(struct change *c, const struct place *at, struct cell *cell);
/* Subtract the totals that a reset observed. */
void cell_reset(struct cell *cell, const struct counter_base *base, struct dot reset, uint64_t reset_stamp);
/* Add the write's own value; a second one of the same write takes the first one's place. */
void cell_put(struct cell *cell, struct register_value owned_value);

/* Raise the entry that the increment names to its new totals; the increment before it counts as replaced. */
void cell_increment(struct change *c, const struct place *at, struct cell *cell, struct dot dot, uint64_t stamp,
                    const struct body_increment *increment);

/* After any change of the values, or of the deletes: drop LWW losers, refresh what is hidden and ledgered. */
void cell_settle(struct change *c, const struct place *at, struct cell *cell);

/* A new delete observed these dots: they are covered. Its rivals among the others meet it. `past`: of the delete. */
bool cell_meet_delete(const struct place *at, struct cell *cell, struct delete_record *x, const struct vv *past);
/* Values and increments that `known` does not cover meet the delete. */
bool cell_meet_unknown(const struct place *at, const struct cell *cell, struct delete_record *x,
                       const struct vv *known);

/* Let go of values that lost to a delete for good. */
void cell_drop_beaten(struct change *c, const struct place *at, struct cell *cell);

/* `theirs` may be NULL: they have nothing here. */
void cell_merge(struct change *c, const struct place *at, struct cell *cell, const struct vv *ours,
                const struct cell *theirs_cell, const struct vv *theirs);

/* Remove what a stable delete in effect hides. */
bool cell_remove_deleted(struct change *c, const struct place *at, struct cell *cell, const struct delete_record *x);
/* Drop stable tombstones and dead counter entries. */
bool cell_collect(struct change *c, const struct place *at, struct cell *cell, const struct object_stable_view *stable);
bool cell_has_garbage(const struct cell *cell);

/* ---- reading ---- */

struct cell_view {
    uint32_t readable;  /* shown values that are no tombstones */
    bool has_tombstone; /* shown */
    bool has_sum;       /* live increments */
    bool sum_is_apart;  /* and no integer to add them to, but a text */
    bool in_conflict;
    counter_sum sum;
};

/* What a reader sees of the cell now, once the deletes in effect have hidden their part. All of `out` is written. */
void cell_look(const struct deletes *deletes, const struct place *at, const struct cell *cell, struct cell_view *out);

static inline bool cell_view_is_present(const struct cell_view *view)
{
    return view->readable > 0 || view->has_sum;
}

/* The text of one value with the increments added, in `scratch` if it had to be made. */
struct slice cell_text(const struct cell_view *view, const struct register_value *v, char scratch[32]);
/* The sum alone. */
struct slice cell_sum_text(const struct cell_view *view, char scratch[32]);
enum read_outcome cell_read(const struct deletes *deletes, const struct place *at, const struct cell *cell,
                            char scratch[32], struct slice *out);

/* The dots shown here: values, tombstones, live increments. Tombstones that lost to a delete too: whoever writes here
 * later has no use for them in the ledger. */
void cell_observe_shown(const struct deletes *deletes, const struct place *at, const struct cell *cell,
                        struct dot_set *out);
/* Live totals, appended to out[0..]. Returns how many; `out` NULL only counts. */
uint32_t cell_bases(const struct deletes *deletes, const struct place *at, const struct cell *cell,
                    struct counter_base *out);

/* The values, then the counter entries. Reading fills an empty cell; false, with the cell empty again, when the bytes
 * break an invariant of either. */
void cell_write(struct buffer *b, const struct cell *cell);
bool cell_read_encoded(struct reader *r, struct cell *cell);
size_t cell_bytes(const struct cell *cell);       /* heap bytes */
uint64_t cell_stamp_max(const struct cell *cell); /* the greatest stamp of a value or an entry; 0 when empty */

#endif
