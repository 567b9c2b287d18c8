/* ordered_history.c: arrays of operations, in order of invocation, and of the items that some returned. */
#include "sim/ordered_history.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/memory.h"

enum { OPERATIONS_FIRST = 1024, ITEMS_FIRST = 4096, TEXT_ITEMS_MAX = 8 };

void ordered_history_init(struct ordered_history *h)
{
    *h = (struct ordered_history){0};
}

void ordered_history_deinit(struct ordered_history *h)
{
    if (!h) return;
    memory_free(h->operations);
    memory_free(h->items);
    *h = (struct ordered_history){0};
}

uint32_t ordered_history_invoke(struct ordered_history *h, const struct ordered_operation *operation)
{
    if (h->count == h->capacity) {
        h->capacity = h->capacity ? 2 * h->capacity : OPERATIONS_FIRST;
        h->operations = memory_realloc(h->operations, h->capacity * sizeof *h->operations);
    }
    struct ordered_operation *op = &h->operations[h->count];
    *op = *operation;
    op->outcome = ORDERED_UNKNOWN;
    op->returned_ns = UINT64_MAX;
    return h->count++;
}

void ordered_history_return(struct ordered_history *h, uint32_t index, enum ordered_outcome outcome, int64_t result,
                            uint64_t now_ns)
{
    ASSERT(index < h->count);
    struct ordered_operation *op = &h->operations[index];
    ASSERT(op->outcome == ORDERED_UNKNOWN && now_ns >= op->invoked_ns);
    op->outcome = outcome;
    op->result = result;
    if (outcome != ORDERED_UNKNOWN) op->returned_ns = now_ns;
}

void ordered_history_add_item(struct ordered_history *h, uint32_t index, int64_t item)
{
    ASSERT(index < h->count);
    struct ordered_operation *op = &h->operations[index];
    if (op->items_count == 0) op->items_at = h->items_count;
    ASSERT(op->items_at + op->items_count == h->items_count);
    if (h->items_count == h->items_capacity) {
        h->items_capacity = h->items_capacity ? 2 * h->items_capacity : ITEMS_FIRST;
        h->items = memory_realloc(h->items, h->items_capacity * sizeof *h->items);
    }
    h->items[h->items_count++] = item;
    op->items_count++;
}

/* ---- text ---- */

struct text {
    char *out;
    size_t length;
};

PRINTF_LIKE(2, 3) static void put(struct text *t, const char *format, ...)
{
    size_t room = ORDERED_TEXT_BYTES - t->length;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(t->out + t->length, room, format, arguments);
    va_end(arguments);
    t->length += (size_t)length < room ? (size_t)length : room - 1;
}

static void put_what(struct text *t, const struct ordered_operation *op)
{
    unsigned long long value = op->value, expected = op->expected;
    switch (op->kind) {
    case ORDERED_SET: put(t, "SET v%llu", value); return;
    case ORDERED_GET: put(t, "GET"); return;
    case ORDERED_CAS: put(t, "CAS v%llu v%llu", expected, value); return;
    case ORDERED_DELETE: put(t, "DEL"); return;
    case ORDERED_ADD: put(t, "INCRBY %llu", value); return;
    case ORDERED_PUSH: put(t, "LPUSH v%llu", value); return;
    case ORDERED_POP: put(t, "LPOP"); return;
    case ORDERED_RANGE: put(t, "LRANGE"); return;
    case ORDERED_TRANSFER: put(t, "TRANSFER %u %u %llu", op->from, op->to, value); return;
    case ORDERED_BALANCES: put(t, "balances"); return;
    case ORDERED_EXPIRE: put(t, "PEXPIRE %llu", value); return;
    case ORDERED_KINDS: return;
    }
}

static void put_items(struct text *t, const struct ordered_operation *op, const int64_t *items)
{
    put(t, " -> [");
    for (uint32_t i = 0; i < op->items_count && i < TEXT_ITEMS_MAX; i++) {
        put(t, "%s%lld", i ? " " : "", (long long)items[op->items_at + i]);
    }
    put(t, op->items_count > TEXT_ITEMS_MAX ? " ...]" : "]");
}

void ordered_operation_text(const struct ordered_operation *op, const int64_t *items, char out[ORDERED_TEXT_BYTES])
{
    struct text t = {.out = out};
    put_what(&t, op);
    bool has_items = op->kind == ORDERED_RANGE || op->kind == ORDERED_BALANCES;
    if (op->outcome != ORDERED_DONE)
        put(&t, op->outcome == ORDERED_UNKNOWN ? " -> unknown" : " -> refused");
    else if (has_items)
        put_items(&t, op, items);
    else if (op->kind != ORDERED_SET)
        put(&t, " -> %lld", (long long)op->result);
    put(&t, " by client %u at node %u, %.6f s to ", op->client, op->node, (double)op->invoked_ns / 1e9);
    if (op->returned_ns == UINT64_MAX)
        put(&t, "?");
    else
        put(&t, "%.6f s", (double)op->returned_ns / 1e9);
}
