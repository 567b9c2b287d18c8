/* change.c: building the events of a change. See change.h. */
#include "crdt/change.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/memory.h"

enum { EVENTS_BYTES_MAX = 1024 * 1024 * 1024 }; /* far above the largest object */

void object_events_init(struct object_events *e)
{
    *e = (struct object_events){0};
    buffer_init(&e->bytes, EVENTS_BYTES_MAX);
}

void object_events_deinit(struct object_events *e)
{
    if (!e) return;
    memory_free(e->items);
    buffer_deinit(&e->bytes);
    e->items = NULL;
    e->count = e->capacity = 0;
}

void object_events_clear(struct object_events *e)
{
    e->count = 0;
    buffer_clear(&e->bytes);
}

static void rebase(struct slice *s, const uint8_t *from, const uint8_t *to)
{
    if (s->length > 0) s->data = to + (s->data - from);
}

/* A copy of `s` in the events' own bytes. When they move, the slices of earlier events move along. */
static struct slice keep(struct object_events *e, struct slice s)
{
    if (s.length == 0) return slice_of(s.data ? (const uint8_t *)"" : NULL, 0);
    const uint8_t *before = e->bytes.data;
    size_t offset = e->bytes.length;
    buffer_append_slice(&e->bytes, s);
    ASSERT(!e->bytes.overflowed);
    for (uint32_t i = 0; before && before != e->bytes.data && i < e->count; i++) {
        rebase(&e->items[i].column, before, e->bytes.data);
        rebase(&e->items[i].value, before, e->bytes.data);
    }
    return slice_of(e->bytes.data + offset, s.length);
}

static struct object_event *push(struct change *c, enum object_event_type type)
{
    struct object_events *e = c->events;
    if (e->count == e->capacity) {
        e->capacity = e->capacity ? e->capacity * 2 : 8;
        e->items = memory_realloc(e->items, e->capacity * sizeof *e->items);
    }
    struct object_event *event = &e->items[e->count++];
    *event = (struct object_event){.type = type};
    return event;
}

void change_find_suspects(struct change *c)
{
    if (!c->ledgered || !c->write) return;
    for (uint32_t i = 0; i < c->write->observed.count; i++) {
        struct dot dot = c->write->observed.dots[i];
        if (c->ledgered->has(c->ledgered->user, dot, slice_of(NULL, 0))) dot_set_add(&c->suspects, dot);
    }
}

void change_deinit(struct change *c)
{
    dot_set_deinit(&c->suspects);
}

/* What a person would have to write to restore it. */
static struct slice text_of(const struct place *at, const struct register_value *v, char scratch[24])
{
    if (at->part != PART_EXPIRY) return register_value_slice(v);
    int length = snprintf(scratch, 24, "%" PRIu64, v->expire_at_ms);
    return slice_of(scratch, (size_t)length);
}

static enum ledger_kind kind_at(const struct place *at, const struct register_value *v)
{
    if (v->flags & VALUE_TOMBSTONE) return LEDGER_DELETE;
    return at->part == PART_STRING ? LEDGER_STRING : at->part == PART_ROW ? LEDGER_COLUMN : LEDGER_EXPIRE;
}

void change_ledgered(struct change *c, const struct place *at, const struct register_value *v,
                     enum ledger_reason reason, struct dot winner)
{
    struct object_event *event = push(c, OBJECT_LEDGERED);
    event->reason = reason;
    event->kind = kind_at(at, v);
    event->dot = v->dot;
    event->stamp = v->stamp;
    event->winner = winner;
    event->column = keep(c->events, at->column);
    char scratch[24];
    event->value = keep(c->events, text_of(at, v, scratch));
}

void change_withdrawn(struct change *c, const struct place *at, const struct register_value *v)
{
    struct object_event *event = push(c, OBJECT_WITHDRAWN);
    event->kind = kind_at(at, v);
    event->dot = v->dot;
    event->stamp = v->stamp;
    event->column = keep(c->events, at->column);
}

void change_gone(struct change *c, enum object_event_type type, const struct place *at, struct dot dot)
{
    struct object_event *event = push(c, type);
    event->dot = dot;
    event->column = keep(c->events, at->column);
}

void change_withdraw_observed(struct change *c, struct slice column)
{
    for (uint32_t i = 0; i < c->suspects.count; i++) {
        struct dot dot = c->suspects.dots[i];
        if (!c->ledgered->has(c->ledgered->user, dot, column)) continue;
        struct object_event *event = push(c, OBJECT_WITHDRAWN);
        event->dot = dot;
        event->column = keep(c->events, column);
    }
}

void change_withdraw_all(struct change *c, const struct dot_set *observed)
{
    for (uint32_t i = 0; c->ledgered && i < observed->count; i++) {
        if (!c->ledgered->has(c->ledgered->user, observed->dots[i], slice_of(NULL, 0))) continue;
        struct object_event *event = push(c, OBJECT_WITHDRAWN);
        event->dot = observed->dots[i];
        event->every_column = true;
    }
}

void change_delete_ledgered(struct change *c, const struct delete_record *x, struct dot winner)
{
    struct object_event *event = push(c, OBJECT_LEDGERED);
    event->reason = LEDGER_DELETE_LOST;
    event->kind = LEDGER_DELETE;
    event->dot = x->dot;
    event->stamp = x->stamp;
    event->winner = winner;
}

void change_delete_withdrawn(struct change *c, const struct delete_record *x)
{
    struct object_event *event = push(c, OBJECT_WITHDRAWN);
    event->kind = LEDGER_DELETE;
    event->dot = x->dot;
    event->stamp = x->stamp;
}

void change_conflict(struct change *c, bool before, bool after)
{
    if (before != after) push(c, after ? OBJECT_CONFLICT_OPEN : OBJECT_CONFLICT_CLOSED);
}
