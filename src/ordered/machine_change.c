/* machine_change.c: every change of an item. Before it, what stands there goes to the snapshots that have not passed it
 * and, within a MULTI that may be undone, to the undo list; afterwards the store's account and the expiries are right.
 */
#include "ordered/machine_internal.h"

#include "base/hash.h"
#include "base/memory.h"

/* ---- undo ---- */

static struct undo *add_undo(struct machine *m, struct undo undo)
{
    if (m->undos_count == m->undos_capacity) {
        m->undos_capacity = m->undos_capacity ? 2 * m->undos_capacity : 16;
        m->undos = memory_realloc(m->undos, m->undos_capacity * sizeof *m->undos);
    }
    m->undos[m->undos_count] = undo;
    return &m->undos[m->undos_count++];
}

static void keep_undo(struct machine *m, struct slice key, uint64_t hash, const struct value *before)
{
    struct undo *undo = add_undo(m, (struct undo){.key = arena_copy(&m->arena, key), .hash = hash});
    if (!before) return;
    buffer_clear(&m->scratch);
    value_encode(before, &m->scratch);
    ASSERT(!m->scratch.overflowed);
    undo->before = arena_copy(&m->arena, buffer_slice(&m->scratch));
}

static void keep_record_undo(struct machine *m, struct slice name, const struct record *before)
{
    struct slice bytes = before ? arena_copy(&m->arena, record_bytes(before)) : (struct slice){0};
    add_undo(m, (struct undo){.is_record = true, .key = arena_copy(&m->arena, name), .before = bytes});
}

static void undo_record(struct machine *m, const struct undo *undo, uint64_t lsn, uint64_t index)
{
    enum machine_record_kind kind = (enum machine_record_kind)undo->key.data[0];
    struct slice name = slice_skip(undo->key, 1);
    if (undo->before.length > 0)
        machine_record_put(m, lsn, index, kind, name, undo->before);
    else
        machine_record_remove(m, lsn, index, kind, name);
}

/* Backwards, so that the oldest of several for one key is what stays. */
void machine__undo(struct machine *m, uint64_t lsn, uint64_t index)
{
    m->keeps_undo = false;
    while (m->undos_count > 0) {
        const struct undo *undo = &m->undos[--m->undos_count];
        if (undo->is_record) {
            undo_record(m, undo, lsn, index);
            continue;
        }
        struct store_item *item = store_find(m->data, undo->key, undo->hash);
        if (item) machine__remove_value(m, item, lsn, index);
        if (undo->before.length == 0) continue;
        struct value *before = value_decode(undo->before);
        ASSERT(before);
        item = machine__put_value(m, undo->key, undo->hash, NULL, before, lsn);
        store_changed(m->data, item);
        machine__expiry_changed(m, undo->hash, before, 0);
    }
}

/* ---- values ---- */

void machine__will_change(struct machine *m, struct store_item *item, uint64_t lsn, uint64_t index)
{
    struct value *v = item->object;
    ASSERT(v && v->version <= index);
    machine__snapshots_keep(m, m->data, item, v->version);
    if (m->keeps_undo && v->version < index) keep_undo(m, store_item_key(item), item->hash, v);
    store_will_change(m->data, item, lsn);
    v->version = index;
}

struct store_item *machine__put_value(struct machine *m, struct slice key, uint64_t hash, struct store_item *item,
                                      struct value *owned_value, uint64_t lsn)
{
    if (item) {
        value_free(item->object);
    } else {
        if (m->keeps_undo) keep_undo(m, key, hash, NULL);
        item = store_insert(m->data, key, hash);
        store_will_change(m->data, item, lsn);
    }
    item->object = owned_value;
    return item;
}

void machine__remove_value(struct machine *m, struct store_item *item, uint64_t lsn, uint64_t index)
{
    struct value *v = item->object;
    ASSERT(v);
    machine__snapshots_keep(m, m->data, item, v->version);
    if (m->keeps_undo && v->version < index) keep_undo(m, store_item_key(item), item->hash, v);
    uint64_t before_ms = v->expire_at_ms;
    v->expire_at_ms = 0;
    machine__expiry_changed(m, item->hash, v, before_ms);
    v->expire_at_ms = before_ms; /* a write-back may still encode it */
    store_remove(m->data, item, lsn);
}

/* ---- records ---- */

void machine__put_record(struct machine *m, struct slice name, struct slice bytes, uint64_t lsn, uint64_t index)
{
    ASSERT(bytes.length <= UINT32_MAX);
    struct record *fresh = memory_alloc(sizeof *fresh + bytes.length);
    *fresh = (struct record){.version = index, .length = (uint32_t)bytes.length};
    if (bytes.length) memcpy(fresh->bytes, bytes.data, bytes.length);

    uint64_t hash = hash_key(name);
    struct store_item *item = store_find(m->records, name, hash);
    struct record *old = item ? item->object : NULL;
    if (m->keeps_undo) keep_record_undo(m, name, old);
    if (old) machine__snapshots_keep(m, m->records, item, old->version);
    if (!item) item = store_insert(m->records, name, hash);
    store_will_change(m->records, item, lsn);
    memory_free(old);
    item->object = fresh;
    store_changed(m->records, item);
}

void machine__remove_record(struct machine *m, struct store_item *item, uint64_t lsn)
{
    const struct record *old = item->object;
    if (m->keeps_undo) keep_record_undo(m, store_item_key(item), old);
    if (old) machine__snapshots_keep(m, m->records, item, old->version);
    store_remove(m->records, item, lsn);
}

void machine__note_cold(struct machine_answer *answer, struct store_space *space, struct store_item *item)
{
    for (uint32_t i = 0; i < answer->cold_count; i++) {
        if (answer->cold[i].item == item) return;
    }
    if (answer->cold_count < MACHINE_COLD_MAX) answer->cold[answer->cold_count++] = (struct machine_cold){space, item};
}
