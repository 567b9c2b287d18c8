/* dot.h: a dot names one write: the replica that issued it and that replica's gapless count (Almeida et al., 2014).
 *
 * A replica id is (node number << 32) | incarnation: a wiped or rolled-back replica takes a new incarnation, so that no
 * dot is ever issued twice (S4). Counters start at 1; counter 0 means "none".
 */
#ifndef MERIDIAN_CAUSALITY_DOT_H
#define MERIDIAN_CAUSALITY_DOT_H

#include "base/slice.h"
#include "wire/varint.h"

struct dot {
    uint64_t replica;
    uint64_t counter;
};

static inline uint64_t replica_id_of(uint16_t node_number, uint32_t incarnation)
{
    return ((uint64_t)node_number << 32) | incarnation;
}

static inline uint16_t replica_id_node(uint64_t replica)
{
    return (uint16_t)(replica >> 32);
}

static inline bool dot_is_none(struct dot d)
{
    return d.counter == 0;
}

static inline bool dot_equal(struct dot a, struct dot b)
{
    return a.replica == b.replica && a.counter == b.counter;
}

int dot_compare(struct dot a, struct dot b);    /* by replica, then counter */
void dot_write(struct buffer *b, struct dot d); /* two varints: replica, counter */
struct dot dot_read(struct reader *r); /* not checked: any two numbers; see dot_is_issuable() in crdt/write.h */

enum { DOT_TEXT_BYTES = 40 };
/* "<replica in hex>:<counter>", the form in SIBLINGS and conflict ids. */
void dot_format(struct dot d, char out[DOT_TEXT_BYTES]);

#endif
