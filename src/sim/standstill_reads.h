/* standstill_reads.h: clients that wait at a node which stands still, cut off, and read what was written elsewhere
 * meanwhile, just before it goes on.
 *
 * A node that led a group knows nothing of the next leader then, and finds those reads before it looks at a clock. Only
 * the end of its lease, or a round that nobody confirms, keeps it from showing what is long replaced. Clients that
 * merely work on send their one request early, and so hardly ever ask at the right time.
 */
#ifndef MERIDIAN_SIM_STANDSTILL_READS_H
#define MERIDIAN_SIM_STANDSTILL_READS_H

#include "sim/ordered_history.h"
#include "sim/plan.h"

struct standstill_reads;

/* `history` is that of the ordered workload: the reads join it. */
struct standstill_reads *standstill_reads_new(struct world *w, const struct plan *plan,
                                              struct ordered_history *history);
void standstill_reads_free(struct standstill_reads *reads); /* after its world; accepts NULL */
/* Schedule them all: the plan's faults count from now. */
void standstill_reads_start(struct standstill_reads *reads);

#endif
