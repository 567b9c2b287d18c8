/* register.h: the cell that strings, columns and every view of them are made of: the set of dotted values that no
 * accepted write has observed yet (dotted version vectors: Almeida et al., 2014; here with exact dots, since delivery
 * is causal).
 *
 * What of it is shown is a view: register_mv.h shows all, register_lww.h the greatest stamp. A tombstone is a value
 * like any other: it says that the cell was deleted, until that is causally stable.
 *
 * R1  Values are sorted by dot, each dot at most once.
 * R2  VALUE_LEDGERED implies VALUE_HIDDEN; a VALUE_COVERED value is never VALUE_LEDGERED (S13).
 */
#ifndef MERIDIAN_CRDT_REGISTER_H
#define MERIDIAN_CRDT_REGISTER_H

#include "causality/dot.h"

enum value_flag {
    VALUE_TOMBSTONE = 1, /* the cell was deleted by this write */
    VALUE_COVERED = 2,   /* a delete observed it: when it goes from sight it is replaced, not ledgered */
    VALUE_HIDDEN = 4,    /* derived: a delete in effect hides it, or a greater stamp does */
    VALUE_LEDGERED = 8,  /* derived: hidden, and its entry is in the caller's ledger */
    VALUE_FLAGS_KEPT = VALUE_TOMBSTONE | VALUE_COVERED,
};

struct register_value {
    struct dot dot;
    uint64_t stamp;
    uint64_t expire_at_ms; /* of a string written with an expiry; 0: none */
    uint8_t *bytes;        /* owned; NULL when length is 0 */
    uint32_t length;
    uint8_t flags;
    uint8_t tag; /* free for whoever embeds the value */
};

struct reg { /* `register` is a keyword */
    struct register_value *values;
    uint32_t count;
};

static inline struct slice register_value_slice(const struct register_value *v)
{
    return slice_of(v->bytes, v->length);
}

static inline bool register_value_is_shown(const struct register_value *v)
{
    return !(v->flags & VALUE_HIDDEN);
}

/* True when `v` is shown and is something to read, not a tombstone. */
static inline bool register_value_is_readable(const struct register_value *v)
{
    return !(v->flags & (VALUE_HIDDEN | VALUE_TOMBSTONE));
}

/* A value with a copy of the bytes; released by register_value_deinit() or by the register that takes it. */
struct register_value register_value_make(struct dot dot, uint64_t stamp, uint64_t expire_at_ms, struct slice bytes,
                                          uint8_t flags);

void register_value_deinit(struct register_value *v);
/* Replace the contents in place, reusing the memory where the size allows. */
void register_value_assign(struct register_value *v, struct dot dot, uint64_t stamp, uint64_t expire_at_ms,
                           struct slice bytes);

/* Without the derived flags. */
void register_value_write(struct buffer *b, const struct register_value *v);

struct register_value register_value_read(struct reader *r); /* on failure nothing is allocated */

void reg_deinit(struct reg *reg);
struct register_value *reg_find(const struct reg *reg, struct dot dot); /* NULL when absent */
/* Takes the value. The dot must not be there. Returns its index. */
uint32_t reg_add(struct reg *reg, struct register_value owned_value);
void reg_remove(struct reg *reg, uint32_t index); /* and releases the value */

/* A count, then the values by dot. */
void reg_write(struct buffer *b, const struct reg *reg);

/* Fills an empty register. Returns false, with the register empty, when the bytes break R1. */
bool reg_read(struct reader *r, struct reg *reg);

#endif
