/* virtual.h: the simulator as a world to play on: one run per strategy, the same seed for all. */
#ifndef MERIDIAN_LAB_VIRTUAL_H
#define MERIDIAN_LAB_VIRTUAL_H

#include "lab/play.h"

/* Play one strategy on a fresh virtual cluster of the scenario's topology. */
void virtual_play(const struct scenario *s, uint32_t strategy, uint64_t seed, struct play_result *out);

#endif
