/* create_tables.h: bring a run's tables into being before its workload begins. */
#ifndef MERIDIAN_SIM_CREATE_TABLES_H
#define MERIDIAN_SIM_CREATE_TABLES_H

#include "base/buffer.h"
#include "sim/world.h"

/* TABLE CREATE name words, repeated until it succeeds. False when it did not within some virtual seconds; *out_error
 * gets the last refusal. */
bool create_table(struct world *w, const char *name, const char *words, struct buffer *out_error);
/* Wait until every node lists at least `count` tables: a node that does not know a table yet takes its keys into
 * `default` (S17). False when one does not learn in time. */
bool tables_are_known(struct world *w, size_t count, struct buffer *out_error);

#endif
