/* hash_map.h: a small map from a key hash to a number. Its users remember by key hash which keys wait for collection,
 * when a key expires, which ledger entries a key has. */
#ifndef MERIDIAN_MERGEABLE_HASH_MAP_H
#define MERIDIAN_MERGEABLE_HASH_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_map_slot;
struct hash_map {
    struct hash_map_slot *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

void hash_map_init(struct hash_map *m);
void hash_map_deinit(struct hash_map *m);

/* False, `out_value` (may be NULL) untouched: absent. */
bool hash_map_get(const struct hash_map *m, uint64_t hash, uint64_t *out_value);

void hash_map_put(struct hash_map *m, uint64_t hash, uint64_t value); /* new, or in place of the old value */
void hash_map_remove(struct hash_map *m, uint64_t hash);              /* absent: nothing happens */
/* In no particular order; `visit` must not change the map. */
void hash_map_visit(const struct hash_map *m, void (*visit)(void *user, uint64_t hash, uint64_t value), void *user);

#endif
