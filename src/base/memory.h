/* memory.h: the heap. All growing things have named bounds, so an exhausted heap is a mistake in sizing that no caller
 * can repair: these calls stop the process instead of returning NULL (docs/decisions/0003-memory.md).
 */
#ifndef MERIDIAN_BASE_MEMORY_H
#define MERIDIAN_BASE_MEMORY_H

#include <stddef.h>

void *memory_alloc(size_t bytes);                     /* uninitialised; bytes may be 0 */
void *memory_zalloc(size_t count, size_t item_bytes); /* zeroed; the product is checked for overflow */
void *memory_realloc(void *block, size_t bytes);      /* moves if it must; NULL is an empty block */
void memory_free(void *block);                        /* accepts NULL */
size_t memory_usable_bytes(const void *block);        /* what the allocator really gave; 0 for NULL */

#endif
