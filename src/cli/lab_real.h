/* lab_real.h: real server processes as a world to play a scenario on. */
#ifndef MERIDIAN_CLI_LAB_REAL_H
#define MERIDIAN_CLI_LAB_REAL_H

#include "lab/play.h"

struct lab_real;

/* Start one server per region of the scenario, in a temporary folder on free loopback ports, and wait until they see
 * each other. NULL: *out_error says why. */
struct lab_real *lab_real_start(const struct scenario *s, struct buffer *out_error);
/* Play one strategy. Gaps between steps longer than a few seconds are shortened (lab_real_shortens()). */
void lab_real_play(struct lab_real *real, uint32_t strategy, struct play_result *out);
void lab_real_stop(struct lab_real *real); /* ends the processes, removes the folder */
uint64_t lab_real_gap_seconds_max(void);

#endif
