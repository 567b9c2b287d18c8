/* run.h: one seed: safety under faults, then a healed cluster must converge. */
#ifndef MERIDIAN_SIM_RUN_H
#define MERIDIAN_SIM_RUN_H

#include "sim/checker.h"

/* UNDECIDED: a history was drawn too long to be judged; the workload is wrong, not the node. */
enum run_result { RUN_OK = 0, RUN_SAFETY = 1, RUN_LIVENESS = 3, RUN_UNDECIDED = 5 };

struct run_report {
    enum run_result result;
    struct verdict verdict;
    uint64_t hash; /* equal for equal runs */
    uint32_t operations, acknowledged, unknown, refused, faults;
    uint64_t virtual_ns;
};

/* Draw the plan of the seed, run it to its end and judge it. All of `out` is written; `trace` prints a line per event.
 */
void run_seed(uint64_t seed, bool trace, struct run_report *out);

#endif
