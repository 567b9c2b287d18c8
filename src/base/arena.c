/* arena.c: chunks in a list, filled front to back. */
#include "base/arena.h"

#include "base/memory.h"

enum { ARENA_CHUNK_BYTES_MIN = 4 * 1024, ARENA_CHUNK_BYTES_MAX = 64 * 1024 };

void arena_init(struct arena *arena)
{
    *arena = (struct arena){0};
}

void arena_deinit(struct arena *arena)
{
    if (!arena) return;
    for (struct arena_chunk *chunk = arena->first, *next; chunk; chunk = next) {
        next = chunk->next;
        memory_free(chunk);
    }
    arena_init(arena);
}

/* A new chunk, linked behind the current one. Each is as large as all before together, within bounds. */
static struct arena_chunk *chunk_add(struct arena *arena, size_t bytes)
{
    size_t capacity = arena->held_bytes;
    if (capacity < ARENA_CHUNK_BYTES_MIN) capacity = ARENA_CHUNK_BYTES_MIN;
    if (capacity > ARENA_CHUNK_BYTES_MAX) capacity = ARENA_CHUNK_BYTES_MAX;
    if (capacity < bytes) capacity = bytes;

    struct arena_chunk *chunk = memory_alloc(sizeof *chunk + capacity);
    struct arena_chunk **link = arena->current ? &arena->current->next : &arena->first;
    *chunk = (struct arena_chunk){.next = *link, .capacity = capacity};
    *link = chunk;
    arena->held_bytes += capacity;
    return chunk;
}

void *arena__alloc_slow(struct arena *arena, size_t bytes)
{
    ASSERT(bytes <= SIZE_MAX / 2);
    size_t rounded = (bytes + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
    struct arena_chunk *chunk = arena->current ? arena->current->next : arena->first;
    /* A kept chunk that is too small waits for its turn: the new one goes before it. */
    if (!chunk || rounded > chunk->capacity) chunk = chunk_add(arena, rounded);
    ASSERT(chunk->used == 0);
    arena->current = chunk;
    chunk->used = rounded;
    return chunk->bytes;
}

void arena_reset(struct arena *arena)
{
    if (!arena->current) return;
    for (struct arena_chunk *chunk = arena->first; chunk != arena->current->next; chunk = chunk->next) chunk->used = 0;
    arena->current = arena->first;
    if (arena->held_bytes <= ARENA_KEEP_BYTES) return;

    size_t kept = 0;
    for (struct arena_chunk **link = &arena->first; *link;) {
        struct arena_chunk *chunk = *link;
        if (kept + chunk->capacity <= ARENA_KEEP_BYTES) {
            kept += chunk->capacity;
            link = &chunk->next;
        } else {
            *link = chunk->next;
            memory_free(chunk);
        }
    }
    arena->held_bytes = kept;
    arena->current = arena->first;
}

struct slice arena_copy(struct arena *arena, struct slice s)
{
    if (s.length == 0) return (struct slice){0};
    void *copy = arena_alloc(arena, s.length);
    memcpy(copy, s.data, s.length);
    return slice_of(copy, s.length);
}

struct arena_mark arena_mark(const struct arena *arena)
{
    return (struct arena_mark){.chunk = arena->current, .used = arena->current ? arena->current->used : 0};
}

void arena_rewind(struct arena *arena, struct arena_mark mark)
{
    if (!arena->current) return;
    struct arena_chunk *chunk = mark.chunk ? mark.chunk->next : arena->first;
    if (mark.chunk != arena->current) {
        for (; chunk != arena->current->next; chunk = chunk->next) chunk->used = 0;
    }
    arena->current = mark.chunk ? mark.chunk : arena->first;
    arena->current->used = mark.used;
}
