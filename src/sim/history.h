/* history.h: what clients did and were told: the ground for checkers. */
#ifndef MERIDIAN_SIM_HISTORY_H
#define MERIDIAN_SIM_HISTORY_H

#include "sim/plan.h"

enum operation_kind {
    OP_SET,
    OP_GET,
    OP_DELETE,
    OP_INCREMENT,
    OP_ADD,
    OP_REMOVE,
    OP_COLUMN_SET,
    OP_COLUMN_DELETE,
    OP_ROW_GET,
    OP_EXPIRE,
    OP_RESOLVE,
    OP_SIBLINGS,
    OP_RESTORE,
};
enum operation_outcome { OPERATION_UNKNOWN, OPERATION_DONE, OPERATION_REFUSED };

struct operation {
    enum operation_kind kind;
    enum operation_outcome outcome; /* UNKNOWN also while it runs */
    uint8_t node;
    uint8_t table; /* index in the plan */
    uint32_t key;
    uint32_t column;
    uint64_t value; /* unique number of a written value or member; of the member removed; 0: none */
    uint64_t amount;
    uint64_t invoked_ns, returned_ns; /* returned_ns UINT64_MAX when it never returned */
};

struct history {
    struct operation *operations;
    uint32_t count, capacity;
};

void history_init(struct history *h);
void history_deinit(struct history *h);
uint32_t history_invoke(struct history *h, const struct operation *operation); /* returns its index */

/* Once for each operation. With OPERATION_UNKNOWN it still counts as never returned. */
void history_return(struct history *h, uint32_t index, enum operation_outcome outcome, uint64_t now_ns);

/* Written values and members are texts "v<number>"; 0 when `text` is none. */
uint64_t history_value_of(struct slice text);
void history_value_text(uint64_t value, char out[24]);

/* Did `later` certainly begin after `earlier` had been acknowledged at the same node? Then it is causally after it. */
bool operation_follows(const struct operation *later, const struct operation *earlier);

#endif
