/* rocks.h: RocksDB behind the kv port's operations, blocking; runtime/ calls these from its storage thread. The only
 * file that knows RocksDB is rocks.c. One column family, no WAL of its own, explicit flushes (design.md, section 7). */
#ifndef MERIDIAN_STORAGE_ROCKS_H
#define MERIDIAN_STORAGE_ROCKS_H

#include "storage/kv.h"

struct rocks;

/* Open or create the database in `folder`. On failure *out_error is a heap text (memory_free) naming the folder. */
MUST_USE enum status rocks_open(const char *folder, struct rocks **out_rocks, char **out_error);
void rocks_close(struct rocks *rocks);
void rocks_execute(struct rocks *rocks, struct kv_request *request); /* any kind; sets request->status; thread safe */
MUST_USE enum status rocks_iterate(struct rocks *rocks, struct slice first,
                                   bool (*visit)(void *user, struct slice key, struct slice value), void *user);
uint64_t rocks_memory_bytes(struct rocks *rocks);

#endif
