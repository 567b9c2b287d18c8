/* linear_model.h: what one object does when operations meet it one at a time: the specification that a linearizable
 * history must be explained by.
 *
 * States are numbers. A register's or counter's is its value; a list's or bank's is the number of an interned content,
 * so that equal states are equal numbers.
 */
#ifndef MERIDIAN_SIM_LINEAR_MODEL_H
#define MERIDIAN_SIM_LINEAR_MODEL_H

#include "sim/ordered_history.h"

/* The kinds of object, and what each takes. */
enum linear_kind {
    LINEAR_REGISTER, /* SET GET CAS DELETE; 0 is absent */
    LINEAR_COUNTER,  /* ADD GET; 0 at first */
    LINEAR_LIST,     /* PUSH POP RANGE; empty at first */
    LINEAR_BANK,     /* TRANSFER BALANCES */
};

enum { LINEAR_ACCOUNTS_MAX = 8, LINEAR_STATES_MAX = 1 << 18 };

struct linear_model;

/* `balances`: what a bank's accounts hold at first; else NULL and 0. */
struct linear_model *linear_model_new(enum linear_kind kind, const int64_t *balances, uint32_t accounts);
void linear_model_free(struct linear_model *m);
uint64_t linear_model_first(const struct linear_model *m);
/* Does this kind of object take that operation? */
bool linear_model_takes(enum linear_kind kind, enum ordered_kind operation);

enum linear_step {
    LINEAR_STEP,    /* *out_state is the state after it */
    LINEAR_NO_STEP, /* what it returned is not what it returns here; or its outcome is unknown, and here it does nothing
                       at all, which is the same as not happening */
    LINEAR_FULL,    /* more than LINEAR_STATES_MAX contents */
};
/* Let `op` meet the object in `state`. `items`: those of the history. */
enum linear_step linear_model_step(struct linear_model *m, uint64_t state, const struct ordered_operation *op,
                                   const int64_t *items, uint64_t *out_state);

enum { LINEAR_STATE_TEXT_BYTES = 80 };

/* The object's content for a person, cut where it is too long. */
void linear_model_state_text(const struct linear_model *m, uint64_t state, char out[LINEAR_STATE_TEXT_BYTES]);

#endif
