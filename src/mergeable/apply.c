/* apply.c: one write, or the outcome of one merge, into store, ledger, account and notices.
 *
 * The same function runs for a local write, a delivered one and a replayed record, so that a replay ends in the state
 * that was there: nothing in here looks at the clock on the wall or at the peers.
 */
#include "mergeable/replica_internal.h"

#include "base/memory.h"

/* ---- the objects of the data space ---- */

static void encode_object(const void *object, struct buffer *out)
{
    object_encode(object, out);
}

static void *decode_object(struct slice key, struct slice bytes)
{
    (void)key;
    return object_decode(bytes);
}

static void free_object(void *object)
{
    object_free(object);
}

static size_t bytes_of_object(const void *object)
{
    return object_bytes(object);
}

const struct store_object_functions replica__data_functions = {
    .encode = encode_object,
    .decode = decode_object,
    .free = free_object,
    .bytes = bytes_of_object,
};

/* ---- notices ---- */

struct notice {
    struct notice *next;
    uint64_t lsn;
    struct object_event event; /* its slices and `key` point behind this struct */
    struct slice key;
    uint8_t bytes[];
};

static struct slice copy_to(uint8_t **io_at, struct slice s)
{
    struct slice copy = slice_of(*io_at, s.length);
    if (s.length) memcpy(*io_at, s.data, s.length);
    *io_at += s.length;
    return copy;
}

static void add_notice(struct replica *r, struct slice key, const struct object_event *e, uint64_t lsn)
{
    if (!r->started || !r->config.effects.notice) return; /* a replay tells nobody */
    struct notice *n = memory_alloc(sizeof *n + key.length + e->column.length + e->value.length);
    *n = (struct notice){.lsn = lsn, .event = *e};
    uint8_t *at = n->bytes;
    n->key = copy_to(&at, key);
    n->event.column = copy_to(&at, e->column);
    n->event.value = copy_to(&at, e->value);
    if (r->notices_last) {
        r->notices_last->next = n;
    } else {
        r->notices = n;
    }
    r->notices_last = n;
}

void replica__release_notices(struct replica *r, uint64_t durable_lsn)
{
    while (r->notices && r->notices->lsn <= durable_lsn) {
        struct notice *n = r->notices;
        r->notices = n->next;
        if (!r->notices) r->notices_last = NULL;
        r->config.effects.notice(r->config.effects.user, n->key, &n->event);
        memory_free(n);
    }
}

void replica__free_notices(struct replica *r)
{
    while (r->notices) {
        struct notice *n = r->notices;
        r->notices = n->next;
        memory_free(n);
    }
    r->notices_last = NULL;
}

/* ---- events ---- */

void replica__on_events(struct replica *r, struct slice key, uint64_t hash, uint64_t lsn)
{
    for (uint32_t i = 0; i < r->events.count; i++) {
        const struct object_event *e = &r->events.items[i];
        replica__account_event(r, e);
        switch (e->type) {
        case OBJECT_LEDGERED:
#ifndef PLANTED_BUG_LEDGER_DROPPED
            replica__ledger_add(r, key, hash, e, lsn);
#endif
            add_notice(r, key, e, lsn);
            break;
        case OBJECT_WITHDRAWN:
            replica__ledger_withdraw(r, key, hash, e, lsn);
            add_notice(r, key, e, lsn);
            break;
        case OBJECT_CONFLICT_OPEN:
        case OBJECT_CONFLICT_CLOSED: add_notice(r, key, e, lsn); break;
        case OBJECT_REPLACED:
        case OBJECT_EXPIRED: break;
        }
    }
}

/* ---- applying ---- */

void replica__warm_now(struct replica *r, struct store_space *space, struct store_item *item)
{
    ASSERT(!r->started);
    if (!item || !store_item_is_cold(item)) return;
    enum status status = store_fetch_now(space, item);
    if (status != STATUS_OK)
        PANIC("reading a key of table %llx back: %s", (unsigned long long)r->config.table, status_name(status));
}

bool replica__is_ahead(const struct replica *r, uint64_t hash, struct dot dot)
{
    const struct vv *clock = range_clocks_at(&r->ahead, hash);
    return clock && vv_covers(clock, dot);
}

void replica__note_garbage_and_expiry(struct replica *r, const struct store_item *item)
{
    const struct object *o = item->object;
    if (object_has_garbage(o)) replica__queue_garbage(r, item->hash);
    uint64_t at_ms = object_expire_at_ms(o);
    if (at_ms) replica__queue_expiry(r, item->hash, at_ms);
}

void replica__apply(struct replica *r, const struct write *w, uint64_t hash, struct store_item *item, uint64_t lsn)
{
    if (w->stamp > r->stamp_seen) r->stamp_seen = w->stamp;
    if (w->kind == WRITE_RESTORE_MARK) {
        replica__ledger_mark(r, w, hash, lsn);
        store_meta_changed(r->partition, lsn);
        return;
    }
    bool is_new = !item;
    if (is_new) item = store_insert(r->data, w->key, hash);
    ASSERT(!store_item_is_cold(item) || is_new);
    store_will_change(r->data, item, lsn);
    if (is_new) item->object = object_new();

    struct ledger_view keyed = {.replica = r, .hash = hash};
    struct object_ledger_view view = {.user = &keyed, .has = replica__ledger_has};
    object_events_clear(&r->events);
    object_apply(item->object, r->config.policy, w, ledger_count(r) ? &view : NULL, &r->events);
    store_changed(r->data, item);
    replica__note_garbage_and_expiry(r, item);
    if (UNLIKELY(r->events.count > 0)) replica__on_events(r, w->key, hash, lsn);
    if (UNLIKELY(object_is_empty(item->object))) store_remove(r->data, item, lsn);
}
