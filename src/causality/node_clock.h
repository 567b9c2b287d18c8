/* node_clock.h: which dots a replica has: a base version vector plus exceptions, dots above the base with a gap before
 * them (Goncalves, Almeida, Baquero, Fonte: "DottedDB", SRDS 2017).
 *
 * N1  No exception is covered by the base; when the gap below an exception fills, it is absorbed into the base.
 */
#ifndef MERIDIAN_CAUSALITY_NODE_CLOCK_H
#define MERIDIAN_CAUSALITY_NODE_CLOCK_H

#include "causality/dot_set.h"
#include "causality/vv.h"

struct node_clock {
    struct vv base;
    struct dot_set exceptions;
};

void node_clock_init(struct node_clock *c);
void node_clock_deinit(struct node_clock *c);

/* `to` is initialised; what it held is gone. */
void node_clock_copy(struct node_clock *to, const struct node_clock *from);

/* The replica has `d`: into the base where it follows, else beside it as an exception. Adding it again changes
 * nothing. */
void node_clock_add(struct node_clock *c, struct dot d);

bool node_clock_covers(const struct node_clock *c, struct dot d); /* by the base or as an exception */
/* The base is at least `vv` from now on. Exceptions that it then reaches are dropped, not absorbed: what is in a base
 * may be known to be durable, what is an exception only to have come. */
void node_clock_raise(struct node_clock *c, const struct vv *vv);

/* Only the base stays: what a peer held beyond a gap may be gone after its restart. */
void node_clock_forget_exceptions(struct node_clock *c);

void node_clock_write(struct buffer *b, const struct node_clock *c); /* the base, then the exceptions */

/* Read into `out`, which is initialised and undefined but releasable after a failure. Returns: STATUS_OK;
 * STATUS_MALFORMED (either part, or N1 is broken); STATUS_LIMIT. */
MUST_USE enum status node_clock_read(struct reader *r, struct node_clock *out);

void node_clock_check(const struct node_clock *c); /* asserts N1 and sortedness */

#endif
