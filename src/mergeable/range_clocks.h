/* range_clocks.h: while a full copy comes in, parts of the key space are ahead of the partition's clock. This holds,
 * for ranges of key hashes, the clock of the states that were merged there (copy_receive.c tells why).
 *
 * G1  Ranges are sorted by their last hash, without gaps, and end at UINT64_MAX; an empty list means "nothing is
 * ahead".
 */
#ifndef MERIDIAN_MERGEABLE_RANGE_CLOCKS_H
#define MERIDIAN_MERGEABLE_RANGE_CLOCKS_H

#include "causality/vv.h"

struct range_clock {
    uint64_t last; /* inclusive */
    struct vv clock;
};

struct range_clocks {
    struct range_clock *items;
    uint32_t count;
    uint32_t capacity;
};

void range_clocks_init(struct range_clocks *c);
void range_clocks_deinit(struct range_clocks *c);
bool range_clocks_is_empty(const struct range_clocks *c); /* nothing is ahead */
/* The clock of the range that holds `hash`; NULL when nothing is ahead. */
const struct vv *range_clocks_at(const struct range_clocks *c, uint64_t hash);
/* The last hash of the range that holds `hash`: up to there the clock is the same. */
uint64_t range_clocks_end(const struct range_clocks *c, uint64_t hash);
/* States as of `clock` were merged for every hash in [first, last]. */
void range_clocks_join(struct range_clocks *c, uint64_t first, uint64_t last, const struct vv *clock);
/* Is the whole key space as far as `clock`, given that all of it is as far as `applied`? The condition of S2. */
bool range_clocks_reach(const struct range_clocks *c, const struct vv *clock, const struct vv *applied);
/* Once `applied` covers every range's clock the list has nothing to say: drop it. True if it is empty afterwards. */
bool range_clocks_forget(struct range_clocks *c, const struct vv *applied);

/* A count, then for each range its last hash and its clock. */
void range_clocks_write(struct buffer *b, const struct range_clocks *c);

/* STATUS_MALFORMED when short or when G1 is broken. What `out` held is released on STATUS_OK only. */
MUST_USE enum status range_clocks_read(struct reader *r, struct range_clocks *out);

#endif
