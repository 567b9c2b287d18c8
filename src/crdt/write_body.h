/* write_body.h: reading the bodies of writes that write_decode() has checked (or that a writer below just made). */
#ifndef MERIDIAN_CRDT_WRITE_BODY_H
#define MERIDIAN_CRDT_WRITE_BODY_H

#include "crdt/write.h"

/* A walk over a counted list inside a body. */
struct body_list {
    struct reader at;
    uint64_t left;
};

bool body_next_base(struct body_list *list, struct counter_base *out); /* false at the end */

struct body_set {
    struct slice value;
    uint64_t expire_at_ms;
    struct body_list bases;
};

/* The body of a WRITE_SET. This and what the readers below give borrow from `body`. */
struct body_set body_read_set(struct slice body);

struct body_increment {
    uint64_t birth, positive, negative;
};
struct body_increment body_read_increment(struct slice body); /* WRITE_INCREMENT */

struct body_column {
    enum column_op op;
    struct slice column;
    struct slice value;
    struct body_increment increment;
    struct body_list bases;
};

/* WRITE_COLUMNS: the list, and its changes one by one in the writer's order. False at the end. */
struct body_list body_read_columns(struct slice body);
bool body_next_column(struct body_list *list, struct body_column *out);

/* The same for WRITE_MEMBERS_ADD and WRITE_MEMBERS_REMOVE. */
struct body_list body_read_members(struct slice body);
bool body_next_member(struct body_list *list, struct slice *out);

struct body_delete {
    enum delete_policy policy;
    struct body_list bases;
};
struct body_delete body_read_delete(struct slice body); /* WRITE_DELETE */

uint64_t body_read_expire(struct slice body); /* WRITE_EXPIRE: milliseconds since 1970; 0: PERSIST */

/* True when `body` has exactly the form that `kind` asks for. `counter` is the write's own: no birth may exceed it. */
bool body_is_valid(enum write_kind kind, struct slice body, uint64_t counter);

#endif
