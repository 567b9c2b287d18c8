/* stability.h: which writes every member replica has seen, so that tombstones can go (rule S1).
 *
 * A member's clock report is *confirmed* once we hold, without gaps, every dot that the member itself had issued when
 * it made the report. A dot is causally stable when every member's confirmed report covers it: then whatever a member
 * issued before covering it is already here, and whatever it issues later has it in its causal past.
 *
 * T1  confirmed[m] covers only what member m had durably applied; it never shrinks, but is forgotten when m may have
 * lost some. T2  At most one unconfirmed report per member is pending; a newer one does not displace it (else under
 * steady load none would ever be confirmed).
 */
#ifndef MERIDIAN_CAUSALITY_STABILITY_H
#define MERIDIAN_CAUSALITY_STABILITY_H

#include "causality/vv.h"

enum { STABILITY_MEMBERS_MAX = 256 };

struct stability;

/* `members`: node numbers of all replicas of the partition, this one included (its own report is made by itself). */
struct stability *stability_new(const uint16_t *members, uint32_t count);
void stability_free(struct stability *s);

/* Member `node` reports its durable clock. `own` is our applied clock: decides whether the report is confirmed now. */
void stability_on_report(struct stability *s, uint16_t node, const struct vv *report, const struct vv *own);

/* Member `node` may lack what it once reported: until it reports again nothing more becomes stable. */
void stability_forget(struct stability *s, uint16_t node);

/* Our own clock advanced: promote pending reports that are now confirmed. Returns true if the stable vector grew. */
bool stability_on_advance(struct stability *s, const struct vv *own);

/* True when every member is known to have `d`: nothing that is still to come can be concurrent to it. */
bool stability_is_stable(const struct stability *s, struct dot d);

const struct vv *stability_vector(const struct stability *s); /* pointwise minimum of the confirmed reports */

#endif
