/* hlc.c: the hybrid logical clock. Milliseconds and logical count share one integer, so that "one more" carries by
 * itself and order is the order of integers. */
#include "causality/hlc.h"

#include "base/assert.h"

void hlc_init(struct hlc *h, uint64_t last)
{
    h->last = last;
}

uint64_t hlc_next(struct hlc *h, uint64_t wall_ms)
{
    ASSERT(wall_ms < (1ULL << 48));
    ASSERT(h->last < UINT64_MAX);
    uint64_t wall = stamp_of_ms(wall_ms);
    h->last = wall > h->last ? wall : h->last + 1;
    return h->last;
}

void hlc_observe(struct hlc *h, uint64_t stamp)
{
    if (stamp > h->last) h->last = stamp;
}

uint64_t hlc_lead_ms(const struct hlc *h, uint64_t wall_ms)
{
    uint64_t ms = stamp_ms(h->last);
    return ms > wall_ms ? ms - wall_ms : 0;
}
