/* sequence.c: see sequence.h. Insertion and removal in the middle move the shorter side. */
#include "ordered/sequence.h"

#include "base/memory.h"

enum { CAPACITY_MIN = 4 };

static struct sequence_element **place(const struct sequence *s, uint32_t index)
{
    return &s->ring[(s->head + index) & (s->capacity - 1)];
}

static struct sequence_element *element_new(struct sequence *s, struct slice value)
{
    ASSERT(value.length <= UINT32_MAX);
    struct sequence_element *e = memory_alloc(sizeof *e + value.length);
    e->length = (uint32_t)value.length;
    if (value.length) memcpy(e->bytes, value.data, value.length);
    s->items_bytes += sizeof *e + value.length;
    return e;
}

static void element_free(struct sequence *s, struct sequence_element *e)
{
    s->items_bytes -= sizeof *e + e->length;
    memory_free(e);
}

void sequence_deinit(struct sequence *s)
{
    for (uint32_t i = 0; i < s->count; i++) memory_free(*place(s, i));
    memory_free(s->ring);
    *s = (struct sequence){0};
}

struct slice sequence_at(const struct sequence *s, uint32_t index)
{
    ASSERT(index < s->count);
    const struct sequence_element *e = *place(s, index);
    return slice_of(e->bytes, e->length);
}

static void grow(struct sequence *s)
{
    uint32_t capacity = s->capacity ? 2 * s->capacity : CAPACITY_MIN;
    struct sequence_element **ring = memory_alloc(capacity * sizeof(struct sequence_element *));
    for (uint32_t i = 0; i < s->count; i++) ring[i] = *place(s, i);
    memory_free(s->ring);
    s->ring = ring;
    s->capacity = capacity;
    s->head = 0;
}

void sequence_insert(struct sequence *s, uint32_t index, struct slice value)
{
    ASSERT(index <= s->count);
    struct sequence_element *fresh = element_new(s, value); /* first: `value` may borrow from the list */
    if (s->count == s->capacity) grow(s);
    s->count++;
    if (index < s->count / 2) {
        s->head = (s->head - 1) & (s->capacity - 1);
        for (uint32_t i = 0; i < index; i++) *place(s, i) = *place(s, i + 1);
    } else {
        for (uint32_t i = s->count - 1; i > index; i--) *place(s, i) = *place(s, i - 1);
    }
    *place(s, index) = fresh;
}

void sequence_set(struct sequence *s, uint32_t index, struct slice value)
{
    ASSERT(index < s->count);
    struct sequence_element *fresh = element_new(s, value);
    element_free(s, *place(s, index));
    *place(s, index) = fresh;
}

void sequence_remove(struct sequence *s, uint32_t first, uint32_t count)
{
    ASSERT(first <= s->count && count <= s->count - first);
    for (uint32_t i = first; i < first + count; i++) element_free(s, *place(s, i));
    uint32_t behind = s->count - first - count;
    if (first < behind) {
        for (uint32_t i = first; i > 0; i--) *place(s, i - 1 + count) = *place(s, i - 1);
        s->head = (s->head + count) & (s->capacity - 1);
    } else {
        for (uint32_t i = first; i < first + behind; i++) *place(s, i) = *place(s, i + count);
    }
    s->count -= count;
}

size_t sequence_bytes(const struct sequence *s)
{
    return s->items_bytes + s->capacity * sizeof(struct sequence_element *);
}
