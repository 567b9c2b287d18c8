/* hlc.h: the hybrid logical clock (Kulkarni et al., OPODIS 2014). A stamp is 48 bits of milliseconds since 1970 and 16
 * bits of logical count; two stamps of different replicas may be equal, then the replica id decides.
 *
 * H1  Stamps handed out by one clock strictly increase, also across restarts (the last one is recovered from the log,
 *     S5).
 * H2  A stamp exceeds every stamp observed before it.
 */
#ifndef MERIDIAN_CAUSALITY_HLC_H
#define MERIDIAN_CAUSALITY_HLC_H

#include <stdbool.h>
#include <stdint.h>

enum { HLC_LEAD_MS_MAX = 500 }; /* S5: beyond this lead over its peers a node refuses local writes */

struct hlc {
    uint64_t last; /* greatest stamp handed out or observed */
};

static inline uint64_t stamp_ms(uint64_t stamp)
{
    return stamp >> 16;
}

static inline uint64_t stamp_of_ms(uint64_t ms)
{
    return ms << 16;
}

void hlc_init(struct hlc *h, uint64_t last);
uint64_t hlc_next(struct hlc *h, uint64_t wall_ms); /* > last; logical overflow carries into the milliseconds */
void hlc_observe(struct hlc *h, uint64_t stamp);    /* later stamps exceed `stamp` (H2) */

/* How far the stamps run ahead of `wall_ms`, in milliseconds; 0 when they don't. */
uint64_t hlc_lead_ms(const struct hlc *h, uint64_t wall_ms);

/* LWW order: by stamp, then by replica. */
static inline bool stamp_before(uint64_t a_stamp, uint64_t a_replica, uint64_t b_stamp, uint64_t b_replica)
{
    return a_stamp != b_stamp ? a_stamp < b_stamp : a_replica < b_replica;
}

#endif
