/* kv_rocks.h: the key-value port over RocksDB: writes and flushes on one thread, in order, reads on another. */
#ifndef MERIDIAN_RUNTIME_KV_ROCKS_H
#define MERIDIAN_RUNTIME_KV_ROCKS_H

#include <uv.h>

#include "storage/kv.h"
#include "storage/rocks.h"

struct kv_rocks;

/* Opens the database in `folder`; on failure NULL and *out_error (memory_free). `done` is called on the loop. */
struct kv_rocks *kv_rocks_open(uv_loop_t *loop, const char *folder,
                               void (*done)(void *user, struct kv_request *request), void *user, char **out_error);
struct kv_port kv_rocks_port(struct kv_rocks *k);
void kv_rocks_close(struct kv_rocks *k);

#endif
