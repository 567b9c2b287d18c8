/* wan.h: the wide area network as one node meets it: when bytes for another node may leave, and whether they may at
 * all. Pure: links from the topology, faults as FAULT states them, time and randomness as inputs.
 *
 * A cut looks like silence, as a real one does: bytes wait, as TCP would keep trying, until the cut heals or the
 * connection is given up. A lost frame is one that TCP sends again: it and all behind it are late by a retransmission
 * timeout.
 */
#ifndef MERIDIAN_RUNTIME_WAN_H
#define MERIDIAN_RUNTIME_WAN_H

#include "base/prng.h"
#include "node/shard.h"

enum { WAN_RETRANSMIT_US_MIN = 200 * 1000 };

struct wan {
    const struct topology *topology; /* borrowed */
    uint8_t node;                    /* ours */
    bool emulated;                   /* false: links have no latency, faults still do */
    struct fault *faults;
    uint32_t faults_count;
    struct prng prng;
    uint64_t last_release_ns[TOPOLOGY_NODES_MAX]; /* order is kept: what was sent later never leaves earlier */
};

void wan_init(struct wan *wan, const struct topology *topology, uint8_t node, bool emulated, uint64_t seed);
void wan_deinit(struct wan *wan);
void wan_set_faults(struct wan *wan, const struct fault *faults, uint32_t count); /* replaces the whole list */

/* When a frame handed over now may leave for `to`. */
uint64_t wan_release_ns(struct wan *wan, uint8_t to, uint64_t now_ns);
void wan_forget(struct wan *wan, uint8_t to);               /* a new connection begins without the old one's delay */
uint32_t wan_latency_us(const struct wan *wan, uint8_t to); /* the greatest one-way delay without loss */
bool wan_is_cut(const struct wan *wan, uint8_t from, uint8_t to);
bool wan_is_paused(const struct wan *wan);  /* our own node */
int32_t wan_skew_ms(const struct wan *wan); /* our own clock */

#endif
