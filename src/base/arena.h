/* arena.h: memory for one request, given back all at once.
 *
 * Chunks are kept over arena_reset() up to ARENA_KEEP_BYTES, so that a busy connection allocates nothing.
 */
#ifndef MERIDIAN_BASE_ARENA_H
#define MERIDIAN_BASE_ARENA_H

#include "base/slice.h"

enum { ARENA_KEEP_BYTES = 256 * 1024 };

struct arena_chunk;
struct arena {
    struct arena_chunk *first;
    struct arena_chunk *current;
};

void arena_init(struct arena *arena);
void arena_deinit(struct arena *arena);
void arena_reset(struct arena *arena);
void *arena_alloc(struct arena *arena, size_t bytes); /* 16-byte aligned, uninitialised, never NULL */
struct slice arena_copy(struct arena *arena, struct slice s);

#endif
