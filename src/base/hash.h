/* hash.h: the hashes of the house (xxHash XXH3). hash_key names a key's place in a table and is part of the data
 * format: partition and scan order derive from it, so it never changes without a new format version. */
#ifndef MERIDIAN_BASE_HASH_H
#define MERIDIAN_BASE_HASH_H

#include "base/slice.h"

/* XXH3, 64 bits. */
uint64_t hash_bytes(struct slice s, uint64_t seed);
uint64_t hash_key(
    struct slice key); /* seed 0; the partition is taken from the low bits, the scan order from the whole */

#endif
