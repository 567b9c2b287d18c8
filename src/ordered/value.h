/* value.h: what a key of an ordered table holds: one of five types, a version, an expiry. */
#ifndef MERIDIAN_ORDERED_VALUE_H
#define MERIDIAN_ORDERED_VALUE_H

#include "base/buffer.h"
#include "ordered/scored.h"
#include "ordered/sequence.h"

enum value_type { VALUE_NONE, VALUE_STRING, VALUE_HASH, VALUE_SET, VALUE_LIST, VALUE_ZSET };

enum {
    VALUE_TEXT_INLINE_BYTES = 48,
    VALUE_BYTES_MAX = 128 << 20, /* of a collection in memory: it is written back, and sent, as one piece */
};

/* A string. Short ones stand in the value itself. */
struct value_text {
    uint8_t *data; /* `inline_bytes`, or the heap's */
    uint32_t length, capacity;
    uint8_t inline_bytes[VALUE_TEXT_INLINE_BYTES];
};

struct value {
    uint64_t version;      /* index of the entry that changed it last */
    uint64_t expire_at_ms; /* 0: never */
    uint64_t queued_at_ms; /* the machine's own: when its expiry is looked at next; 0: not queued. Not encoded */
    enum value_type type;
    union {
        struct value_text text;
        struct members members; /* VALUE_HASH, VALUE_SET */
        struct sequence list;
        struct scored zset;
    };
};

struct value *value_new(enum value_type type); /* empty */
void value_free(struct value *v);              /* accepts NULL */

static inline struct slice value_text(const struct value *v)
{
    return slice_of(v->text.data, v->text.length);
}

void value_set_text(struct value *v, struct slice text); /* may borrow from itself */
/* Make the string `length` bytes long, new ones zeroed; returns its bytes. */
uint8_t *value_resize_text(struct value *v, size_t length);

uint32_t value_count(const struct value *v); /* elements; 1 for a string */
size_t value_bytes(const struct value *v);   /* heap bytes; constant time */

/* Deterministic: the same history gives the same bytes (M1). */
void value_encode(const struct value *v, struct buffer *out);
struct value *value_decode(struct slice bytes); /* NULL: damaged */

const char *value_type_name(enum value_type type); /* "none", "string", "hash", "set", "list", "zset" */
enum value_type value_type_of_name(struct slice name);

#endif
