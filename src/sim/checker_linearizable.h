/* checker_linearizable.h: can what clients saw of one object be explained by its operations happening one at a time,
 * each at a moment between its invocation and its return (Herlihy and Wing, TOPLAS 1990)?
 *
 * Linearizability is local: a history is linearizable if that of each object is. So each key is judged alone, which
 * keeps the work small; a bank is one object.
 *
 * An operation of unknown outcome may take effect at any moment after its invocation, also long after the client gave
 * up, or never. A refused one must not take effect.
 */
#ifndef MERIDIAN_SIM_CHECKER_LINEARIZABLE_H
#define MERIDIAN_SIM_CHECKER_LINEARIZABLE_H

#include "sim/linear_model.h"

enum linear_verdict {
    LINEAR_YES,
    LINEAR_NO,
    LINEAR_UNDECIDED, /* more work than the bounds allow: the workload must be drawn with shorter histories */
};

enum {
    LINEAR_OPEN_MAX = 64, /* operations of one object that are under way or unknown at one time */
    LINEAR_WORLDS_MAX = 1 << 17,
    LINEAR_STEPS_MAX = 20000000,
    LINEAR_WHY_BYTES = 2048,
};

/* The operations of one object, in any order, none of them refused, and where their items are. */
struct linear_question {
    enum linear_kind kind;
    const struct ordered_operation *operations;
    uint32_t count;
    const int64_t *items;
    const int64_t *balances; /* of a bank at first */
    uint32_t accounts;
};

/* `out_why` is written unless the answer is YES. For NO it tells a story of few lines: the operation that can't be
 * explained, what the object may have held before it, and the last operations that lead there. */
enum linear_verdict linear_judge(const struct linear_question *q, char out_why[LINEAR_WHY_BYTES]);

#endif
