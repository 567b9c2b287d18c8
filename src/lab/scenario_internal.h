/* scenario_internal.h: the reader of scenarios in two files: scenario.c (topology, tables, expectations) and
 * scenario_step.c (what happens when). Each function returns STATUS_OK, or STATUS_MALFORMED with a line and a reason.
 */
#ifndef MERIDIAN_LAB_SCENARIO_INTERNAL_H
#define MERIDIAN_LAB_SCENARIO_INTERNAL_H

#include "lab/scenario.h"

/* Two regions: of a cut, or of a link. */
struct scenario__ends {
    uint8_t a, b;
};

int scenario__find_strategy(const struct scenario *s, struct slice name); /* index, or -1 */
MUST_USE enum status scenario__read_region(const struct scenario *s, const struct yaml_node *n, uint8_t *out,
                                           struct buffer *error);
MUST_USE enum status scenario__read_ends(const struct scenario *s, const struct yaml_node *n, const char *key,
                                         struct scenario__ends *out, struct buffer *error);
/* After topology and strategies. */
MUST_USE enum status scenario__read_steps(struct scenario *s, struct buffer *error);
MUST_USE enum status scenario__read_final(struct scenario *s, struct buffer *error);

#endif
