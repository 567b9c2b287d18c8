/* ordered_history.h: what clients of ordered tables did and were told, each operation with the virtual times of its
 * invocation and its return: the ground for the checkers of strict promises.
 *
 * A retried operation (IDEMPOTENT id ...) is one operation: invoked by its first try, returned by the first try that
 * says what became of it.
 */
#ifndef MERIDIAN_SIM_ORDERED_HISTORY_H
#define MERIDIAN_SIM_ORDERED_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

enum ordered_kind {
    ORDERED_SET,      /* value */
    ORDERED_GET,      /* result: the value shown, 0 for none; of a counter: the sum */
    ORDERED_CAS,      /* value, expected (0: absent); result: 1 swapped, 0 not */
    ORDERED_DELETE,   /* result: 1 removed, 0 nothing there */
    ORDERED_ADD,      /* value: the amount; result: the new sum */
    ORDERED_PUSH,     /* value, at the head; result: the new length */
    ORDERED_POP,      /* result: what was the head, 0 for none */
    ORDERED_RANGE,    /* items: the whole list, head first */
    ORDERED_TRANSFER, /* value: the amount; from, to; result: 1 moved, 0 too little there */
    ORDERED_BALANCES, /* items: one per account */
    ORDERED_EXPIRE,   /* value: ms. No model judges it */
    ORDERED_KINDS,
};

/* UNKNOWN also while it runs. REFUSED: it has not taken effect and never will. */
enum ordered_outcome { ORDERED_UNKNOWN, ORDERED_DONE, ORDERED_REFUSED };

struct ordered_operation {
    enum ordered_kind kind;
    enum ordered_outcome outcome;
    uint8_t table; /* index in the plan */
    uint8_t node;  /* asked first */
    uint8_t client;
    uint8_t from, to;  /* accounts */
    uint32_t key;      /* of the table; 0 for a bank, which is one object */
    uint64_t value;    /* values written are numbers used once, never 0 */
    uint64_t expected; /* a value, or 0: absent */
    int64_t result;
    uint32_t items_at, items_count; /* in the history's items */
    uint64_t invoked_ns;
    uint64_t returned_ns; /* UINT64_MAX until the outcome is known */
};

struct ordered_history {
    struct ordered_operation *operations; /* in order of invocation */
    uint32_t count, capacity;
    int64_t *items;
    uint32_t items_count, items_capacity;
};

void ordered_history_init(struct ordered_history *h);
void ordered_history_deinit(struct ordered_history *h);
/* Returns the operation's index; its outcome is UNKNOWN. */
uint32_t ordered_history_invoke(struct ordered_history *h, const struct ordered_operation *operation);

/* Once for each operation. With ORDERED_UNKNOWN it still counts as never returned. */
void ordered_history_return(struct ordered_history *h, uint32_t index, enum ordered_outcome outcome, int64_t result,
                            uint64_t now_ns);

/* One more item of the operation that is about to return; items of one operation come without others between. */
void ordered_history_add_item(struct ordered_history *h, uint32_t index, int64_t item);

enum { ORDERED_TEXT_BYTES = 160 };
/* "GET -> v7 by client 3 at node 1, 2.001 s to 2.150 s". */
void ordered_operation_text(const struct ordered_operation *op, const int64_t *items, char out[ORDERED_TEXT_BYTES]);

#endif
