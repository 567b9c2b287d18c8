/* operators.h: people who create and drop tables while everything else goes on, and what must be true of it at the end:
 * every node knows the same tables, and each creation and each drop that was answered OK was done once. */
#ifndef MERIDIAN_SIM_OPERATORS_H
#define MERIDIAN_SIM_OPERATORS_H

#include "sim/checker.h"

struct operators;

struct operators *operators_new(struct world *w, const struct plan *plan);
void operators_free(struct operators *o);           /* accepts NULL */
void operators_start(struct operators *o);          /* until the last fault has ended */
bool operators_are_done(const struct operators *o); /* all of them have their last answer */
/* After healing: ask every node for every table. */
void operators_judge(struct operators *o, struct verdict *v);

#endif
