/* object_internal.h: the two forms of an object, for the object_*.c files and white-box tests.
 *
 * A plain string, one value and nothing else, is the object itself: 48 bytes and the value's own block. Everything else
 * lives in `struct parts`. Every change goes through parts and ends with object__compact(), except SET over SET.
 *
 * F1  The form is the least that holds the contents: equal contents have equal forms, so equal encodings.
 * F2  `touches` are updates that the parts show no trace of (LWW losers, removals of members) and that may not be
 *     stable: a delete that loses against any concurrent update must still learn of them (S16). More than needed
 *     never changes a decision, so they are no part of equality.
 */
#ifndef MERIDIAN_CRDT_OBJECT_INTERNAL_H
#define MERIDIAN_CRDT_OBJECT_INTERNAL_H

#include "crdt/change.h"
#include "crdt/expiry.h"
#include "crdt/row.h"
#include "crdt/set_aw.h"

enum object_form { FORM_EMPTY, FORM_VALUE, FORM_PARTS };

struct parts {
    struct cell string;
    struct cell expiry;
    struct row *row;    /* NULL without columns */
    struct set_aw *set; /* NULL without members */
    struct deletes deletes;
    struct vv touches;
};

struct object {
    union {
        struct register_value value; /* its tag is the form */
        struct {
            struct parts *parts;
        };
    };
};
_Static_assert(offsetof(struct object, value.tag) >= sizeof(struct parts *), "the form must not be overlaid");

static const struct place string_place = {.part = PART_STRING};

static inline enum object_form object__form(const struct object *o)
{
    return (enum object_form)o->value.tag;
}

/* Turn the object into parts, whatever it holds. */
struct parts *object__expand(struct object *o);
/* Turn it back into the least form (F1). */
void object__compact(struct object *o);

/* The parts of any object, without changing it: `storage` and `*value` lend what a compact one lacks. */
const struct parts *object__view(const struct object *o, struct parts *storage, struct register_value *value);

struct row *parts__row(struct parts *p); /* made if need be */
struct set_aw *parts__set(struct parts *p);

/* Settle every cell after the deletes changed. Parts that turn out empty are released. */
void parts__settle_all(struct change *c, struct parts *p);
/* Ledger events of the deletes themselves. `winner`: of a delete that was just defeated, if known. */
void parts__settle_deletes(struct change *c, struct parts *p, struct dot winner);
/* Remove for good what the delete hides. Unsettled. */
void parts__carry_out(struct change *c, struct parts *p, const struct delete_record *x);
void parts__release_empty(struct parts *p);

bool parts__string_is_shown(const struct parts *p);
bool parts__in_conflict(const struct parts *p);
bool parts__anything_is_shown(const struct parts *p);

#endif
