/* vv.h: a version vector: for each replica, the highest counter seen without gaps (Parker et al., 1983).
 * Entries are sorted by replica, without duplicates and without zero counters. */
#ifndef MERIDIAN_CAUSALITY_VV_H
#define MERIDIAN_CAUSALITY_VV_H

#include "base/status.h"
#include "causality/dot.h"

enum { VV_REPLICAS_MAX = 4096 };

struct vv_entry {
    uint64_t replica;
    uint64_t counter;
};

struct vv {
    struct vv_entry *entries;
    uint32_t count;
    uint32_t capacity;
};

void vv_init(struct vv *vv);
void vv_deinit(struct vv *vv);
void vv_clear(struct vv *vv);
void vv_copy(struct vv *to, const struct vv *from);              /* `to` is initialised; what it held is gone */
uint64_t vv_get(const struct vv *vv, uint64_t replica);          /* 0 when absent */
void vv_raise(struct vv *vv, struct dot d);                      /* entry = max(entry, counter) */
bool vv_covers(const struct vv *vv, struct dot d);               /* a dot with counter 0 always is */
bool vv_covers_all(const struct vv *vv, const struct vv *other); /* `vv` >= `other` pointwise */
bool vv_equal(const struct vv *a, const struct vv *b);           /* the same entries */
void vv_merge(struct vv *vv, const struct vv *other);            /* pointwise maximum */
void vv_meet(struct vv *vv, const struct vv *other);             /* pointwise minimum */
void vv_write(struct buffer *b, const struct vv *vv);            /* a count, then pairs of varints, by replica */
/* As vv_write without `skip_replica`'s entry: a write's own entry is implied by its dot. */
void vv_write_except(struct buffer *b, const struct vv *vv, uint64_t skip_replica);
/* Returns STATUS_OK, STATUS_MALFORMED (unsorted, zero counter, short) or STATUS_LIMIT. `out` must be initialised. */
MUST_USE enum status vv_read(struct reader *r, struct vv *out);

#endif
