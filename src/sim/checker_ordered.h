/* checker_ordered.h: what clients of ordered tables were promised, judged from what they were told. */
#ifndef MERIDIAN_SIM_CHECKER_ORDERED_H
#define MERIDIAN_SIM_CHECKER_ORDERED_H

#include "sim/checker.h"
#include "sim/ordered_history.h"

/* Each key's history is linearizable; a bank's as a whole, so that its money is conserved and never negative at any
 * read. */
void check_linearizable(const struct plan *plan, const struct ordered_history *h, struct verdict *v);
/* False, and a verdict, when a history can't be decided within the checker's bounds. */
bool check_histories_decided(const struct plan *plan, const struct ordered_history *h, struct verdict *v);
/* The last read of each counter is the sum of the acknowledged additions, plus at most those of unknown outcome: no
 * retry counted twice, none was lost. Needs the audit at the end of the history. */
void check_exactly_once(const struct plan *plan, const struct ordered_history *h, struct verdict *v);

#endif
