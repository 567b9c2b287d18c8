/* arena.h: memory for one request, given back all at once.
 *
 * Chunks are kept over arena_reset() up to ARENA_KEEP_BYTES, so that a busy connection allocates nothing.
 *
 * A1  Chunks behind `current` are empty; chunks before it are not used again until the reset.
 * A2  held_bytes is the sum of the capacities of all chunks.
 */
#ifndef MERIDIAN_BASE_ARENA_H
#define MERIDIAN_BASE_ARENA_H

#include "base/assert.h"
#include "base/slice.h"

enum { ARENA_KEEP_BYTES = 256 * 1024, ARENA_ALIGNMENT = 16 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t capacity; /* a multiple of ARENA_ALIGNMENT, and so is `used` */
    size_t used;
    _Alignas(ARENA_ALIGNMENT) uint8_t bytes[];
};

struct arena {
    struct arena_chunk *first;
    struct arena_chunk *current;
    size_t held_bytes;
};

/* A place to go back to. It lives until the arena is reset, or rewound to an earlier mark. */
struct arena_mark {
    struct arena_chunk *chunk;
    size_t used;
};

void arena_init(struct arena *arena);   /* allocates nothing */
void arena_deinit(struct arena *arena); /* accepts NULL and a zeroed struct */

/* Everything allocated so far is dead; chunks beyond ARENA_KEEP_BYTES go back to the heap. */
void arena_reset(struct arena *arena);

struct slice arena_copy(struct arena *arena, struct slice s); /* the same bytes, living as long as the arena's */

struct arena_mark arena_mark(const struct arena *arena);        /* how much is allocated now */
void arena_rewind(struct arena *arena, struct arena_mark mark); /* gives back what was allocated since the mark */

/* Where the current chunk has no room: for arena_alloc() only. */
void *arena__alloc_slow(struct arena *arena, size_t bytes);

/* 16-byte aligned, uninitialised, never NULL. */
static inline void *arena_alloc(struct arena *arena, size_t bytes)
{
    struct arena_chunk *chunk = arena->current;
    if (UNLIKELY(!chunk || bytes > chunk->capacity - chunk->used)) return arena__alloc_slow(arena, bytes);
    void *block = chunk->bytes + chunk->used;
    chunk->used += (bytes + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
    return block;
}

#endif
