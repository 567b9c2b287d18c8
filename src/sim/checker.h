/* checker.h: the properties a run is judged by. Each has a file of its name; each looks at what clients were told, and
 * where it must look inside, says so. */
#ifndef MERIDIAN_SIM_CHECKER_H
#define MERIDIAN_SIM_CHECKER_H

#include "sim/audit.h"

enum { VERDICT_REASON_BYTES = 2400 };

struct verdict {
    const char *property; /* NULL: all is well */
    char reason[VERDICT_REASON_BYTES];
};

/* The first violation stays. */
void verdict_fail(struct verdict *v, const char *property, const char *format, ...) PRINTF_LIKE(3, 4);

/* Liveness: after healing, all replicas of each partition have equal clocks and wait for nothing (inspection). If not,
 * `out_why` says what is waited for. */
enum { CONVERGENCE_WHY_BYTES = 200 };
bool convergence_reached(struct world *w, char out_why[CONVERGENCE_WHY_BYTES]);
/* All regions show the same for each key, with the same ledger; inside, all replicas hold equal states (inspection). */
void check_convergence(struct world *w, const struct audit *audit, struct verdict *v);
/* A write that was acknowledged, or shown by a read, is visible, in the ledger, or may have been observed by a later
 * accepted write to its key. */
void check_no_lost_write(const struct history *h, const struct audit *audit, struct verdict *v);
/* A value that a delete at the same node came after is not visible, unless the table's policy brings rows back. */
void check_no_resurrection(const struct history *h, const struct audit *audit, struct verdict *v);
/* What is visible was not written causally before another acknowledged write to the same key (S5). */
void check_causal_order(const struct history *h, const struct audit *audit, struct verdict *v);
/* A counter is the sum of the acknowledged increments, and at most that plus those of unknown outcome. */
void check_counter_sum(const struct history *h, const struct audit *audit, struct verdict *v);
/* An acknowledged member that nobody tried to remove is there; one that nobody added is not. */
void check_set_adds(const struct history *h, const struct audit *audit, struct verdict *v);
/* Each origin's count of its own dots adds up (S13), and agrees with what the replica holds (inspection). */
void check_account(struct world *w, struct verdict *v);

/* While a run goes on: no delta has left a replica's log that a member still lacks, unless that member is marked (P4,
 * inspection). */
void check_backlog(struct world *w, struct verdict *v);

#endif
