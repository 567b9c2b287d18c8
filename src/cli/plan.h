/* plan.h: how `meridian plan` shows a verdict: as a table for people, as JSON for programs. */
#ifndef MERIDIAN_CLI_PLAN_H
#define MERIDIAN_CLI_PLAN_H

#include "contract/plan.h"

enum { PLAN_TEXT_BYTES_MAX = 4 * 1024 * 1024 };

struct plan_style {
    bool colour;
    uint32_t columns;
};

/* Append one table of verdicts, headed by `name`; `what` says more in a dim tone and may be NULL. */
void plan_print(const char *name, const char *what, const struct plan *p, const struct plan_style *style,
                struct buffer *out);

void plan_print_legend(const struct plan_style *style, struct buffer *out); /* what the words of the rows mean; once */

struct plan_json; /* a list of verdicts that grows */
struct plan_json *plan_json_new(void);

/* Add a verdict under its name, of a table (else of a group of tables). `p` is only read. */
void plan_json_add(struct plan_json *json, const char *name, bool is_table, const struct plan *p);

void plan_json_finish(struct plan_json *json, struct buffer *out); /* appends the text and frees the list */

#endif
