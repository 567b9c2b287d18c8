/* write.h: one write (a delta): what is logged, sent to peers verbatim, and applied to the object of its key.
 *
 * Layout (varints unless said): kind u8, flags u8, stamp, dot, deps (vv without the writer's own entry: it is
 * counter - 1), observed (dot set), key bytes, body (the rest; by kind).
 *
 * W1  The stamp exceeds every stamp in the write's causal past.
 * W2  A delta is never changed under its dot.
 * W3  Everything observed is in the causal past: covered by deps, or an earlier dot of the same replica.
 */
#ifndef MERIDIAN_CRDT_WRITE_H
#define MERIDIAN_CRDT_WRITE_H

#include "causality/dot_set.h"
#include "causality/vv.h"

enum write_kind {
    WRITE_SET = 1,        /* string: body = value bytes, expire_at_ms, counter bases observed */
    WRITE_INCREMENT,      /* string/counter: body = birth counter, positive total, negative total */
    WRITE_COLUMNS,        /* row: body = count >= 1, then (op, column, value or increment) */
    WRITE_MEMBERS_ADD,    /* set: body = count >= 1, members */
    WRITE_MEMBERS_REMOVE, /* set: body = count >= 1, members; removes the adds named by `observed` */
    WRITE_DELETE,         /* whole object; body = delete policy u8, counter bases observed */
    WRITE_EXPIRE,       /* body = expire_at_ms, 0 to persist; observed: the expiry dot it replaces and the live dots */
    WRITE_RESTORE_MARK, /* ledger: body = dot, new state u8: an entry was restored or dismissed */
    WRITE_KIND_COUNT,
};

enum column_op { COLUMN_SET = 1, COLUMN_DELETE, COLUMN_INCREMENT };

/* What a concurrent update means to a delete (S11, S16). Fixed by the table's CONFLICT when the delete is issued. */
enum delete_policy {
    DELETE_BY_STAMP = 1, /* the greater stamp wins */
    DELETE_LOSES,        /* update-wins, and every removal by expiry */
    DELETE_WINS,
    DELETE_CONTESTED, /* siblings: both outcomes stay, the row is in conflict */
};

struct write {
    enum write_kind kind;
    uint8_t flags;
    uint64_t stamp;
    struct dot dot;
    struct vv deps;          /* owned; without dot.replica */
    struct dot_set observed; /* owned */
    struct slice key;        /* borrowed */
    struct slice body;       /* borrowed; its form is checked by write_decode */
};

enum write_flag {
    WRITE_FLAG_EXPIRY = 1,    /* a WRITE_DELETE made by the clock, not by a client */
    WRITE_FLAG_OVERWRITE = 2, /* a SET, COLUMNS or MEMBERS_ADD that also deletes the key's parts of other types, as far
                                 as it observed them. Set by object_prepare(). */
};

/* True when a replica could have issued this dot: neither node number 0 nor counter 0 is ever used. */
static inline bool dot_is_issuable(struct dot d)
{
    return d.replica != 0 && d.counter != 0;
}

void write_init(struct write *w);
void write_deinit(struct write *w);

/* True when `d` is in the write's causal past. */
static inline bool write_covers(const struct write *w, struct dot d)
{
    return d.replica == w->dot.replica ? d.counter < w->dot.counter : vv_covers(&w->deps, d);
}

/* Append the write. Asserts what could not be sent: no kind, no dot. */
void write_encode(const struct write *w, struct buffer *out);

/* Decode and check everything, body included: what passes can be applied without further checks. Reuses w's memory. */
MUST_USE enum status write_decode(struct slice bytes, struct write *w);

/* Bodies. Writers for the node's commands; readers, for checked bodies, are in write_body.h. */
struct counter_base { /* observed totals of one counter entry (S16) */
    struct dot birth;
    uint64_t positive, negative;
    bool in_column; /* an entry of that column; else the string's. Births are unique within one of these */
    struct slice column;
};
struct column_change {
    enum column_op op;
    struct slice column;
    struct slice value;               /* COLUMN_SET */
    uint64_t birth;                   /* COLUMN_INCREMENT: counter of the birth dot of the writer's entry */
    uint64_t positive, negative;      /* COLUMN_INCREMENT: the entry's new totals */
    const struct counter_base *bases; /* COLUMN_SET, COLUMN_DELETE: observed counter totals of this column */
    uint32_t bases_count;
};

/* Append the body of one kind, in the layout listed at enum write_kind. Counts, births and totals are the caller's to
 * get right: write_decode() refuses what is not. Everything given is copied into `b`. */
void write_body_set(struct buffer *b, struct slice value, uint64_t expire_at_ms, const struct counter_base *bases,
                    uint32_t bases_count);
void write_body_increment(struct buffer *b, uint64_t birth, uint64_t positive, uint64_t negative);
void write_body_columns(struct buffer *b, const struct column_change *changes, uint32_t count);
void write_body_members(struct buffer *b, const struct slice *members, uint32_t count);
void write_body_delete(struct buffer *b, enum delete_policy policy, const struct counter_base *bases,
                       uint32_t bases_count);
void write_body_expire(struct buffer *b, uint64_t expire_at_ms);
void write_body_restore_mark(struct buffer *b, struct dot entry, uint8_t state);

#endif
