/* twin.h: the naive twin of crdt/: it keeps every write ever made and computes from the definitions what a replica that
 * has applied some of them must show, and what must be in its ledger. Quadratic and worse, and nothing to maintain.
 *
 *   replaced:  an accepted write of the same slot observed it;
 *   hidden:    a delete that is in effect observed it, or is concurrent to it and wins;
 *   ledgered:  neither shown nor replaced nor observed by any delete (S13).
 *
 * Both the twin and the object are rendered as text, so that a difference reads well.
 */
#ifndef MERIDIAN_TESTS_CRDT_TWIN_H
#define MERIDIAN_TESTS_CRDT_TWIN_H

#include "base/buffer.h"
#include "base/memory.h"
#include "causality/hlc.h"
#include "crdt/object_internal.h"
#include "crdt/register_mv.h"

enum { TWIN_WRITES_MAX = 96, TWIN_NAMES = 3 };

static const char *const twin_columns[TWIN_NAMES] = {"a", "b", "c"};
static const char *const twin_members[TWIN_NAMES] = {"x", "y", "z"};

struct twin_write {
    struct write write;
    struct buffer body;
};

/* All writes of one history. Which of them a replica has applied is a flag for each. */
struct twin {
    enum conflict_policy policy;
    struct twin_write writes[TWIN_WRITES_MAX];
    uint32_t count;
};

struct twin_seen {
    bool has[TWIN_WRITES_MAX];
};

static inline bool twin_before(const struct write *a, const struct write *b)
{
    return write_covers(b, a->dot);
}

static inline bool twin_concurrent(const struct write *a, const struct write *b)
{
    return !dot_equal(a->dot, b->dot) && !twin_before(a, b) && !twin_before(b, a);
}

static inline bool twin_outranks(const struct write *a, const struct write *b)
{
    return stamp_before(b->stamp, b->dot.replica, a->stamp, a->dot.replica);
}

/* ---- slots: what a write says about one column or member ---- */

static inline bool twin_column_of(const struct write *w, const char *name, struct body_column *out)
{
    if (w->kind != WRITE_COLUMNS) return false;
    struct body_list list = body_read_columns(w->body);
    bool found = false;
    struct body_column column;
    while (body_next_column(&list, &column)) {
        if (!slice_equal(column.column, slice_of_string(name))) continue;
        *out = column;
        found = true;
    }
    return found;
}

static inline bool twin_has_member(const struct write *w, const char *name)
{
    if (w->kind != WRITE_MEMBERS_ADD && w->kind != WRITE_MEMBERS_REMOVE) return false;
    struct body_list list = body_read_members(w->body);
    struct slice member;
    while (body_next_member(&list, &member)) {
        if (slice_equal(member, slice_of_string(name))) return true;
    }
    return false;
}

/* ---- deletes ---- */

static inline bool twin_is_delete(const struct write *w)
{
    return w->kind == WRITE_DELETE || w->flags & WRITE_FLAG_OVERWRITE;
}

static inline enum delete_policy twin_delete_policy(const struct twin *t, const struct write *w)
{
    if (w->kind == WRITE_DELETE) return body_read_delete(w->body).policy;
    if (t->policy == CONFLICT_SIBLINGS) return DELETE_CONTESTED;
    return t->policy == CONFLICT_DELETE_WINS ? DELETE_WINS : DELETE_BY_STAMP;
}

static inline enum object_part twin_part_of(const struct write *w)
{
    switch (w->kind) {
    case WRITE_SET:
    case WRITE_INCREMENT: return PART_STRING;
    case WRITE_COLUMNS: return PART_ROW;
    case WRITE_MEMBERS_ADD:
    case WRITE_MEMBERS_REMOVE: return PART_SET;
    default: return PART_EXPIRY;
    }
}

static inline bool twin_concerns(const struct write *x, enum object_part part)
{
    return x->kind == WRITE_DELETE || (part != twin_part_of(x) && part != PART_EXPIRY);
}

static inline bool twin_is_resolved(const struct twin *t, const struct twin_seen *seen, const struct write *x)
{
    for (uint32_t i = 0; i < t->count && x->kind == WRITE_DELETE; i++) {
        if (seen->has[i] && dot_set_has(&t->writes[i].write.observed, x->dot)) return true;
    }
    return false;
}

static inline bool twin_is_defeated(const struct twin *t, const struct twin_seen *seen, const struct write *x)
{
    for (uint32_t i = 0; i < t->count; i++) {
        const struct write *u = &t->writes[i].write;
        if (!seen->has[i] || u->kind == WRITE_DELETE || !twin_concurrent(u, x)) continue;
        if (!twin_concerns(x, twin_part_of(u))) continue;
        bool is_update = u->kind == WRITE_SET || u->kind == WRITE_COLUMNS;
        switch (twin_delete_policy(t, x)) {
        case DELETE_BY_STAMP:
            if (is_update && twin_outranks(u, x)) return true;
            break;
        case DELETE_LOSES: return true;
        case DELETE_WINS: break;
        case DELETE_CONTESTED:
            if (is_update) return true;
            break;
        }
    }
    return false;
}

static inline bool twin_in_effect(const struct twin *t, const struct twin_seen *seen, const struct write *x)
{
    return !twin_is_resolved(t, seen, x) && !twin_is_defeated(t, seen, x);
}

static inline bool twin_is_contested(const struct twin *t, const struct twin_seen *seen, const struct write *x)
{
    return x->kind == WRITE_DELETE && twin_delete_policy(t, x) == DELETE_CONTESTED && twin_is_defeated(t, seen, x) &&
           !twin_is_resolved(t, seen, x);
}

/* Did any delete at all observe it? */
static inline bool twin_is_covered(const struct twin *t, const struct twin_seen *seen, const struct write *u)
{
    for (uint32_t i = 0; i < t->count; i++) {
        const struct write *x = &t->writes[i].write;
        if (seen->has[i] && twin_is_delete(x) && dot_set_has(&x->observed, u->dot)) return true;
    }
    return false;
}

enum twin_loss { TWIN_OBSERVED_ONLY, TWIN_OBSERVED_OR_LOST, TWIN_EXPIRY };

static inline bool twin_is_hidden(const struct twin *t, const struct twin_seen *seen, const struct write *u,
                                  enum object_part part, enum twin_loss loss)
{
    for (uint32_t i = 0; i < t->count; i++) {
        const struct write *x = &t->writes[i].write;
        if (!seen->has[i] || !twin_is_delete(x) || !twin_concerns(x, part) || !twin_in_effect(t, seen, x)) continue;
        if (dot_set_has(&x->observed, u->dot)) return true;
        if (loss != TWIN_OBSERVED_ONLY && twin_concurrent(u, x)) return true;
        bool hides_past = loss == TWIN_EXPIRY || twin_delete_policy(t, x) == DELETE_WINS;
        if (loss != TWIN_OBSERVED_ONLY && hides_past && twin_before(u, x)) return true;
    }
    return false;
}

/* It lost to a delete that can't be undone, so it does not compete with what was written after that. */
static inline bool twin_is_beaten_for_good(const struct twin *t, const struct twin_seen *seen, const struct write *u,
                                           enum object_part part)
{
    for (uint32_t i = 0; i < t->count; i++) {
        const struct write *x = &t->writes[i].write;
        if (!seen->has[i] || !twin_is_delete(x) || twin_delete_policy(t, x) != DELETE_WINS) continue;
        if (twin_concerns(x, part) && twin_concurrent(u, x)) return true;
    }
    return false;
}

#endif
