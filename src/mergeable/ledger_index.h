/* ledger_index.h: which ledger entries a key has. Entries are spread over their space by a hash of their own, so that a
 * key with a hundred thousand of them costs no more than any other; this finds them by key, for restore marks and
 * copies. In memory only, made anew from the item keys at each start.
 */
#ifndef MERIDIAN_MERGEABLE_LEDGER_INDEX_H
#define MERIDIAN_MERGEABLE_LEDGER_INDEX_H

#include "mergeable/hash_map.h"
#include "mergeable/replica.h"

struct ledger_index {
    struct hash_map keys; /* key hash -> struct ledger_of_key */
};

void ledger_index_init(struct ledger_index *x);
void ledger_index_deinit(struct ledger_index *x);
void ledger_index_add(struct ledger_index *x, const struct ledger_place *place); /* absent before */

/* It must be there, found by its dot and column. Another place of the key may take its position. */
void ledger_index_remove(struct ledger_index *x, const struct ledger_place *place);

/* The places of one key, borrowed until the next change; *out_count 0 when there are none. */
const struct ledger_place *ledger_index_of_key(const struct ledger_index *x, uint64_t key_hash, uint32_t *out_count);
/* Call `visit` for each key hash in [first, last], in no particular order. */
void ledger_index_visit(const struct ledger_index *x, uint64_t first, uint64_t last,
                        void (*visit)(void *user, uint64_t key_hash), void *user);

#endif
