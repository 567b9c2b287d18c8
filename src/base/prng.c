/* prng.c: xoshiro256** 1.0 with splitmix64 seeding.
 *
 * Source: Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2018; Lemire, "Fast random integer
 *         generation in an interval", 2019, for the bound without bias.
 * The sequence of a seed is part of every recorded simulator run: it must not change.
 */
#include "base/prng.h"

#include "base/assert.h"

__extension__ typedef unsigned __int128 u128;

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

void prng_init(struct prng *p, uint64_t seed)
{
    for (int i = 0; i < 4; i++) p->state[i] = splitmix64(&seed);
}

uint64_t prng_u64(struct prng *p)
{
    uint64_t *s = p->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t prng_below(struct prng *p, uint64_t bound)
{
    ASSERT(bound > 0);
    u128 product = (u128)prng_u64(p) * bound;
    if ((uint64_t)product < bound) {
        uint64_t threshold = (0 - bound) % bound; /* 2^64 mod bound: draws below it would favour the low numbers */
        while ((uint64_t)product < threshold) product = (u128)prng_u64(p) * bound;
    }
    return (uint64_t)(product >> 64);
}

uint64_t prng_range(struct prng *p, uint64_t low, uint64_t high)
{
    ASSERT(low <= high);
    uint64_t span = high - low;
    return span == UINT64_MAX ? prng_u64(p) : low + prng_below(p, span + 1);
}

bool prng_chance(struct prng *p, uint32_t numerator, uint32_t denominator)
{
    return prng_below(p, denominator) < numerator;
}
