/* workload.h: clients that work through a plan's tables and keep the history of what they were told. */
#ifndef MERIDIAN_SIM_WORKLOAD_H
#define MERIDIAN_SIM_WORKLOAD_H

#include "sim/history.h"

struct workload;

struct workload *workload_new(struct world *w, const struct plan *plan, struct history *history);
void workload_free(struct workload *load);
/* Create the plan's tables. Returns false when that did not succeed within some virtual seconds; *out_error says
 * why. */
bool workload_create_tables(struct workload *load, struct buffer *out_error);
void workload_start(struct workload *load);         /* each client begins within its first pause */
bool workload_is_done(const struct workload *load); /* all operations were issued and have returned or timed out */

/* The key's text, e.g. "cnt:7"; table "default" has keys without prefix. */
void workload_key_text(const struct plan_table *table, uint32_t key, char out[32]);

#endif
