/* prng.h: a small deterministic random generator (xoshiro256**, Blackman and Vigna, 2018; seeded by splitmix64).
 * Cores get one as an input; nothing draws randomness from the environment. */
#ifndef MERIDIAN_BASE_PRNG_H
#define MERIDIAN_BASE_PRNG_H

#include <stdbool.h>
#include <stdint.h>

struct prng {
    uint64_t state[4];
};

void prng_init(struct prng *p, uint64_t seed);
uint64_t prng_u64(struct prng *p);                                /* the next 64 bits */
uint64_t prng_below(struct prng *p, uint64_t bound);              /* uniform in [0, bound); bound > 0 */
uint64_t prng_range(struct prng *p, uint64_t low, uint64_t high); /* uniform in [low, high] */

/* True with probability numerator / denominator. */
bool prng_chance(struct prng *p, uint32_t numerator, uint32_t denominator);

#endif
