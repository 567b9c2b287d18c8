/* ordered_workload.h: clients that work through a plan's ordered tables and keep the history of what they were told. */
#ifndef MERIDIAN_SIM_ORDERED_WORKLOAD_H
#define MERIDIAN_SIM_ORDERED_WORKLOAD_H

#include "sim/checker.h"
#include "sim/ordered_history.h"

struct ordered_workload;

/* `history` is that of the whole run; its operations name tables by their place in plan->ordered. A reply that
 * contradicts an earlier one to the same idempotency id fails `verdict`. */
struct ordered_workload *ordered_workload_new(struct world *w, const struct plan *plan, struct ordered_history *history,
                                              struct verdict *verdict);
void ordered_workload_free(struct ordered_workload *load);
/* Create the tables and fill the bank. False when that did not succeed within some virtual seconds. */
bool ordered_workload_prepare(struct ordered_workload *load, struct buffer *out_error);
void ordered_workload_start(struct ordered_workload *load);
bool ordered_workload_is_done(const struct ordered_workload *load);

/* After healing: read every key that was used, at every node in turn, into the same history. False when a key is not
 * answered in time; *out_error says which. */
bool ordered_workload_audit(struct ordered_workload *load, struct buffer *out_error);

#endif
