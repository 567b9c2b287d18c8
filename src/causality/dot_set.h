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
void dot_set_add(struct dot_set *s, struct dot d);
bool dot_set_remove(struct dot_set *s, struct dot d);
bool dot_set_has(const struct dot_set *s, struct dot d);
void dot_set_union(struct dot_set *s, const struct dot_set *other);
bool dot_set_equal(const struct dot_set *a, const struct dot_set *b);
void dot_set_write(struct buffer *b, const struct dot_set *s);
MUST_USE enum status dot_set_read(struct reader *r, struct dot_set *out);

#endif
