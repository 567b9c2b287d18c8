/* dot_set.h: an exact set of dots, sorted, encoded in runs (replica, first counter, run length): what a write
 * observed. */
#ifndef MERIDIAN_CAUSALITY_DOT_SET_H
#define MERIDIAN_CAUSALITY_DOT_SET_H

#include "base/status.h"
#include "causality/dot.h"

enum { DOT_SET_DOTS_MAX = 4 * 1024 * 1024 };

struct dot_set {
    struct dot *dots;
    uint32_t count;
    uint32_t capacity;
};

void dot_set_init(struct dot_set *s);
void dot_set_deinit(struct dot_set *s);
void dot_set_clear(struct dot_set *s);

/* Add `d`, once. A dot behind the last is appended; any other moves those behind it. At most DOT_SET_DOTS_MAX,
 * asserted: sets of peers are bounded by dot_set_read(), our own by what one key can hold. */
void dot_set_add(struct dot_set *s, struct dot d);

bool dot_set_remove(struct dot_set *s, struct dot d);                 /* false if it was not there */
bool dot_set_has(const struct dot_set *s, struct dot d);              /* O(log n) */
void dot_set_union(struct dot_set *s, const struct dot_set *other);   /* `s` becomes the union */
bool dot_set_equal(const struct dot_set *a, const struct dot_set *b); /* the same dots */
void dot_set_write(struct buffer *b, const struct dot_set *s); /* the canonical encoding: equal sets, equal bytes */

/* Read into `out`, which is initialised and loses what it held, on failure too. Returns: STATUS_OK; STATUS_MALFORMED
 * (short, or not the canonical form); STATUS_LIMIT (over DOT_SET_DOTS_MAX). */
MUST_USE enum status dot_set_read(struct reader *r, struct dot_set *out);

#endif
