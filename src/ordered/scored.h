/* scored.h: a sorted set: members by name, and all of them in order of (score, name).
 *
 * The order is kept in blocks of pointers, each sorted, and the blocks in order. A rank is found by summing the counts
 * of the blocks before: for a million members some four thousand additions, and nothing random is needed, as a skip
 * list's levels would.
 *
 * O1  No block is empty, and none holds more than SCORED_BLOCK_MEMBERS.
 * O2  Scores are never NaN, and -0 is stored as 0.
 */
#ifndef MERIDIAN_ORDERED_SCORED_H
#define MERIDIAN_ORDERED_SCORED_H

#include "ordered/members.h"

enum { SCORED_BLOCK_MEMBERS = 256 };

struct scored_block {
    uint32_t count;
    struct member *members[SCORED_BLOCK_MEMBERS];
};

struct scored {
    struct members members;
    struct scored_block **blocks;
    uint32_t blocks_count, blocks_capacity;
};

/* A zeroed struct is an empty one. */
void scored_deinit(struct scored *z);
/* Give `name` the score; *out_added: it was absent. */
struct member *scored_put(struct scored *z, struct slice name, double score, bool *out_added);
void scored_remove(struct scored *z, struct member *member);
uint32_t scored_rank(const struct scored *z, const struct member *member); /* from 0 */
struct member *scored_at(const struct scored *z, uint32_t rank);           /* rank < count */
/* The `count` members from rank `first` on, in order. */
void scored_copy(const struct scored *z, uint32_t first, uint32_t count, struct member **out);

/* How many members stand before the first one for which `is_before` is false; true for a prefix of the order. */
uint32_t scored_count_before(const struct scored *z, bool (*is_before)(const void *user, const struct member *member),
                             const void *user);
size_t scored_bytes(const struct scored *z);

#endif
