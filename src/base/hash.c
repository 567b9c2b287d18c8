/* hash.c: XXH3, compiled in whole so that short keys take the inlined short path. */
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash_bytes(struct slice s, uint64_t seed)
{
    return XXH3_64bits_withSeed(s.data, s.length, seed);
}

uint64_t hash_key(struct slice key)
{
    return XXH3_64bits(key.data, key.length);
}
