/* history.c: an array of operations in order of invocation. */
#include "sim/history.h"

#include <stdio.h>

#include "base/memory.h"

void history_init(struct history *h)
{
    *h = (struct history){0};
}

void history_deinit(struct history *h)
{
    if (h) memory_free(h->operations);
}

uint32_t history_invoke(struct history *h, const struct operation *operation)
{
    if (h->count == h->capacity) {
        h->capacity = h->capacity ? 2 * h->capacity : 4096;
        h->operations = memory_realloc(h->operations, h->capacity * sizeof *h->operations);
    }
    h->operations[h->count] = *operation;
    h->operations[h->count].outcome = OPERATION_UNKNOWN;
    h->operations[h->count].returned_ns = UINT64_MAX;
    return h->count++;
}

void history_return(struct history *h, uint32_t index, enum operation_outcome outcome, uint64_t now_ns)
{
    h->operations[index].outcome = outcome;
    if (outcome != OPERATION_UNKNOWN) h->operations[index].returned_ns = now_ns;
}

uint64_t history_value_of(struct slice text)
{
    uint64_t value;
    if (text.length < 2 || text.data[0] != 'v' || !slice_to_u64(slice_skip(text, 1), &value)) return 0;
    return value;
}

void history_value_text(uint64_t value, char out[24])
{
    snprintf(out, 24, "v%llu", (unsigned long long)value);
}

bool operation_follows(const struct operation *later, const struct operation *earlier)
{
    return later->node == earlier->node && earlier->outcome == OPERATION_DONE &&
           later->invoked_ns > earlier->returned_ns;
}
