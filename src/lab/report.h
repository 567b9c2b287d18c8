/* report.h: what a play came to, as a comparison in the terminal and as JSON. */
#ifndef MERIDIAN_LAB_REPORT_H
#define MERIDIAN_LAB_REPORT_H

#include "lab/play.h"

struct report_style {
    bool colour;
    uint32_t columns; /* width of the terminal; text is wrapped to it */
};

/* The comparison: a block a strategy, the price beside the outcome. */
void report_table(const struct scenario *s, const struct play_result *results, const struct report_style *style,
                  struct buffer *out);

/* The same as JSON (docs/lab.md). */
void report_json(const struct scenario *s, const struct play_result *results, bool real, struct buffer *out);

#endif
