/* memory.c: the C heap (jemalloc where the program links it), never NULL. */
#include "base/memory.h"

#include "base/assert.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

void *memory_alloc(size_t bytes)
{
    void *block = malloc(bytes ? bytes : 1);
    if (UNLIKELY(!block)) PANIC("out of memory: %zu bytes wanted", bytes);
    return block;
}

void *memory_zalloc(size_t count, size_t item_bytes)
{
    if (count == 0 || item_bytes == 0) count = item_bytes = 1;
    size_t bytes;
    bool wraps = __builtin_mul_overflow(count, item_bytes, &bytes);
    void *block = wraps ? NULL : calloc(1, bytes);
    if (UNLIKELY(!block)) PANIC("out of memory: %zu items of %zu bytes wanted", count, item_bytes);
    return block;
}

void *memory_realloc(void *block, size_t bytes)
{
    void *moved = realloc(block, bytes ? bytes : 1);
    if (UNLIKELY(!moved)) PANIC("out of memory: %zu bytes wanted", bytes);
    return moved;
}

void memory_free(void *block)
{
    free(block);
}

size_t memory_usable_bytes(const void *block)
{
    /* malloc_usable_size() only reads, but was declared before const was fashionable. */
    return block ? malloc_usable_size((void *)(uintptr_t)block) : 0;
}
