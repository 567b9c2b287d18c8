/* counter_pn.h: the PN-counter: per replica and incarnation of the key, how much was added and how much was taken away.
 *
 * Source:  Shapiro, Preguica, Baquero, Zawirski, "A comprehensive study of CRDTs", 2011, specification 7.
 * Differs: a reset (SET, DEL) stores the totals that it observed, subtracted on read (rule S16), so that an increment
 *          concurrent to a reset counts whole and alone. An entry is named by its birth dot, the first increment of its
 *          replica since the last reset that the replica saw: a reset entry is raised no more, and can be dropped.
 *
 * C1  Totals only grow; of two versions of an entry the one with the later increment holds both its totals.
 * C2  The base never exceeds the totals: it was observed.
 * C3  An entry is dead when it was reset and its base equals its totals.
 */
#ifndef MERIDIAN_CRDT_COUNTER_PN_H
#define MERIDIAN_CRDT_COUNTER_PN_H

#include "causality/dot.h"

struct counter_entry {
    struct dot birth;
    uint64_t last;  /* counter of its replica's latest increment */
    uint64_t stamp; /* of that increment */
    uint64_t positive, negative;
    uint64_t base_positive, base_negative;
    struct dot reset; /* the reset with the greatest stamp; none: never reset */
    uint64_t reset_stamp;
};

struct counter_pn {
    struct counter_entry *entries; /* sorted by birth */
    uint32_t count;
};

__extension__ typedef __int128 counter_sum; /* the sum of many 64-bit totals */

static inline struct dot counter_entry_last_dot(const struct counter_entry *e)
{
    return (struct dot){e->birth.replica, e->last};
}

static inline bool counter_entry_is_dead(const struct counter_entry *e)
{
    return !dot_is_none(e->reset) && e->base_positive == e->positive && e->base_negative == e->negative;
}

void counter_pn_deinit(struct counter_pn *c);
struct counter_entry *counter_pn_find(const struct counter_pn *c, struct dot birth); /* NULL when absent */

/* An increment with its absolute totals. Returns the dot of the increment that it supersedes, or none. */
struct dot counter_pn_raise(struct counter_pn *c, struct dot birth, struct dot dot, uint64_t stamp, uint64_t positive,
                            uint64_t negative);
/* A reset that observed these totals. */
void counter_entry_reset(struct counter_entry *e, struct dot reset, uint64_t reset_stamp, uint64_t positive,
                         uint64_t negative);
/* The join of two versions of one entry. */
void counter_entry_merge(struct counter_entry *e, const struct counter_entry *other);
void counter_pn_insert(struct counter_pn *c, const struct counter_entry *e); /* its birth must not be there */
void counter_pn_remove(struct counter_pn *c, uint32_t index);

/* To what a reader may be shown: sums beyond 64 bits saturate. */
int64_t counter_sum_clamp(counter_sum sum);

/* The entries in the order of their births; reading fills an empty counter. */
void counter_pn_write(struct buffer *b, const struct counter_pn *c);
bool counter_pn_read(struct reader *r, struct counter_pn *c); /* false, empty, when C1..C3 or the order are broken */

#endif
