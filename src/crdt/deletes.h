/* deletes.h: the deletes of a key that are not causally stable yet (rules S1, S11, S16).
 *
 * A delete removes nothing at once: it hides what it observed, and what is concurrent to it and loses against it. It
 * stays *in effect* until it is defeated by a concurrent update (its policy says by which) or resolved by a write that
 * observed its dot. Once stable no further write can be concurrent to it, so its fate is final and it can go.
 *
 * Source:  the design's rules S1, S11, S16; "causal stability": Baquero, Almeida, Shoker, "Pure operation-based
 *          replicated data types", 2017.
 *
 * DELETE_WINS can't be defeated: what it hides never returns, so it is carried out at once, on all values of its past,
 * and what is concurrent to it is not kept: neither may compete with what is written after it. Its record stays.
 *
 * D1  DEFEATED and RESOLVED are never taken back: merging two copies of a record is the union of their facts.
 * D2  `lost` holds dots that the delete hides without having observed them, and only while it is in effect.
 */
#ifndef MERIDIAN_CRDT_DELETES_H
#define MERIDIAN_CRDT_DELETES_H

#include "crdt/write_body.h"

enum object_part { PART_STRING = 1, PART_ROW, PART_SET, PART_EXPIRY };

enum delete_flag {
    DELETE_DEFEATED = 1, /* CONTESTED: a concurrent update exists, so both outcomes stay */
    DELETE_RESOLVED = 2,
    DELETE_EXPIRY = 4,
    DELETE_OVERWRITE = 8, /* made by a write of another type, which is still there itself */
    DELETE_LEDGERED = 16, /* derived: defeated and in the caller's ledger */
    DELETE_FLAGS_KEPT = DELETE_DEFEATED | DELETE_RESOLVED | DELETE_EXPIRY | DELETE_OVERWRITE,
};

struct delete_base { /* observed totals of a counter entry */
    struct dot birth;
    uint64_t positive, negative;
    bool in_column;
    struct slice column; /* owned */
};

struct delete_record {
    struct dot dot;
    uint64_t stamp;
    uint8_t policy; /* enum delete_policy */
    uint8_t flags;
    uint8_t spared; /* of an overwrite: the part that was written. 0: none */
    struct dot_set observed;
    struct dot_set lost;
    struct delete_base *bases;
    uint32_t bases_count;
};

struct deletes {
    struct delete_record *records; /* sorted by dot */
    uint32_t count;
};

static inline bool delete_is_in_effect(const struct delete_record *x)
{
    return !(x->flags & (DELETE_DEFEATED | DELETE_RESOLVED));
}

/* An unresolved contested delete is shown as the alternative "deleted". */
static inline bool delete_is_contested(const struct delete_record *x)
{
    return x->policy == DELETE_CONTESTED && x->flags & DELETE_DEFEATED &&
           !(x->flags & (DELETE_RESOLVED | DELETE_OVERWRITE));
}

/* An overwrite leaves the part that it wrote, and the expiry, to the write itself. */
static inline bool delete_concerns(const struct delete_record *x, enum object_part part)
{
    return x->spared == 0 || (part != x->spared && part != PART_EXPIRY);
}

void deletes_deinit(struct deletes *d);
struct delete_record *deletes_find(const struct deletes *d, struct dot dot); /* NULL when absent */
/* Adds an empty record, which must not be there yet. Moves the others. */
struct delete_record *deletes_add(struct deletes *d, struct dot dot);
void deletes_remove(struct deletes *d, uint32_t index); /* and releases what it holds */

/* One more observed total of a counter entry; a column's name is copied. */
void delete_record_add_base(struct delete_record *x, const struct counter_base *base);

/* A write concurrent to `x`. */
struct delete_rival {
    enum object_part part;
    bool is_update; /* SET or COLUMNS: what the policies by stamp and CONTESTED look at; else only DELETE_LOSES cares */
    bool can_lose;  /* it has a value that the delete may hide: increments and members survive alone (S16) */
    struct dot dot;
    uint64_t stamp;
};

/* What the rival means to a delete. Returns true if the delete changed. */
bool delete_meet(struct delete_record *x, const struct delete_rival *rival);

/* Does a delete in effect hide this dot of this part? */
bool deletes_hide(const struct deletes *d, enum object_part part, struct dot dot);
/* As above, but only by having observed it: set members are never lost. */
bool deletes_observed(const struct deletes *d, enum object_part part, struct dot dot);
/* A delete in effect that has this dot among its losers, or NULL. */
const struct delete_record *deletes_winner_over(const struct deletes *d, struct dot dot);

/* Did this dot lose to a delete that is final? */
bool deletes_beat_for_good(const struct deletes *d, enum object_part part, struct dot dot);

/* The totals that deletes in effect subtract from this entry. False: none names it. `column` NULL: the string's. */
bool deletes_base(const struct deletes *d, const struct slice *column, struct dot birth, uint64_t *out_positive,
                  uint64_t *out_negative);
/* True when any record names the entry, whatever its fate. */
bool deletes_name_entry(const struct deletes *d, const struct slice *column, struct dot birth);

/* The union of the facts of two copies of one record (D1). */
void delete_record_merge(struct delete_record *x, const struct delete_record *other);

/* The records without what is derived, in the order of their dots. Reading fills an empty list; false, with the list
 * empty, when the bytes are out of order or contradict themselves (D2). */
void deletes_write(struct buffer *b, const struct deletes *d);
bool deletes_read(struct reader *r, struct deletes *d);

#endif
