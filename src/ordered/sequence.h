/* sequence.h: a list: elements in a ring of pointers, so that both ends are cheap and every position is found at once.
 *
 * Q1  count <= capacity; capacity is 0 or a power of two.
 */
#ifndef MERIDIAN_ORDERED_SEQUENCE_H
#define MERIDIAN_ORDERED_SEQUENCE_H

#include "base/assert.h"
#include "base/slice.h"

struct sequence_element {
    uint32_t length;
    uint8_t bytes[];
};

struct sequence {
    struct sequence_element **ring;
    uint32_t head; /* where the first one stands */
    uint32_t count;
    uint32_t capacity;
    size_t items_bytes;
};

/* A zeroed struct is an empty one. */
void sequence_deinit(struct sequence *s);
struct slice sequence_at(const struct sequence *s, uint32_t index);           /* index < count */
void sequence_insert(struct sequence *s, uint32_t index, struct slice value); /* before index <= count */
void sequence_set(struct sequence *s, uint32_t index, struct slice value);
void sequence_remove(struct sequence *s, uint32_t first, uint32_t count); /* that many from `first` on */
size_t sequence_bytes(const struct sequence *s);

#endif
