/* store_item.c: changes of items.
 *
 * A partition's changes gather in rounds. An item is marked with the parity of the round in whose list it stands, so
 * that beginning a write-back turns all dirty items into saving ones by counting the round up. A saving item that is
 * about to change is encoded first (copy-on-write): the batch then holds it as of the moment the write-back began.
 *
 * A removed item leaves the table at once. Its memory goes when the last list that holds it has been worked off:
 * the list of removals, or that of changes if it is marked as standing there.
 */
#include "storage/store_internal.h"

#include "base/memory.h"

/* ---- lists ---- */

void store__list_push(struct store_item_list *list, struct store_item *item)
{
    if (!list->last || list->last->count == STORE_CHUNK_ITEMS) {
        struct store_chunk *chunk = memory_alloc(sizeof *chunk);
        chunk->next = NULL;
        chunk->count = chunk->done = 0;
        if (list->last) {
            list->last->next = chunk;
        } else {
            list->first = chunk;
        }
        list->last = chunk;
    }
    list->last->items[list->last->count++] = item;
    list->count++;
}

struct store_item *store__list_pop(struct store_item_list *list)
{
    struct store_chunk *chunk = list->first;
    if (!chunk) return NULL;
    struct store_item *item = chunk->items[chunk->done++];
    list->count--;
    if (chunk->done == chunk->count) {
        list->first = chunk->next;
        if (!list->first) list->last = NULL;
        memory_free(chunk);
    } else if (chunk->done + 8 < chunk->count) {
        __builtin_prefetch(chunk->items[chunk->done + 8]); /* items lie scattered: have the next ones ready */
    }
    return item;
}

/* ---- items ---- */

static void account_object(struct store_space *space, const struct store_item *item, bool came)
{
    if (!item->object) return;
    uint64_t bytes = space->functions.bytes(item->object);
    struct store *store = space->partition->store;
    ASSERT(came || store->memory_bytes >= bytes);
    store->memory_bytes += came ? bytes : 0 - bytes;
}

void store__account_object(struct store_space *space, struct store_item *item)
{
    account_object(space, item, true);
}

void store__free_item(struct store_space *space, struct store_item *item)
{
    if (item->object) {
        if (!(item->state & ITEM_CHANGING)) account_object(space, item, false);
        space->functions.free(item->object);
    }
    space->partition->store->memory_bytes -= store__item_bytes(item);
    memory_free(item);
}

struct store_item *store_find(struct store_space *space, struct slice key, uint64_t hash)
{
    struct store_item *item = store__table_find(&space->table, key, hash);
    if (item && !(item->state & ITEM_REFERENCED)) item->state |= ITEM_REFERENCED;
    return item;
}

struct store_item *store_insert(struct store_space *space, struct slice key, uint64_t hash)
{
    ASSERT(key.length <= STORE_KEY_BYTES_MAX);
    struct store_item *item = memory_alloc(sizeof *item + key.length);
    *item = (struct store_item){.hash = hash, .key_bytes = (uint32_t)key.length, .state = ITEM_REFERENCED};
    if (key.length) memcpy(item->key, key.data, key.length);
    space->partition->store->memory_bytes += store__item_bytes(item);
    store__table_insert(space, item);
    return item;
}

bool store_item_is_cold(const struct store_item *item)
{
    return item->state & ITEM_COLD;
}

static void save_before_change(struct store_space *space, struct store_item *item)
{
    if (UNLIKELY(item->state & store__saving_mark(space->partition))) store__encode_item(space, item);
}

void store_will_change(struct store_space *space, struct store_item *item, uint64_t lsn)
{
    ASSERT(!(item->state & ITEM_REMOVED));
    save_before_change(space, item);
    uint32_t dirty = store__dirty_mark(space->partition);
    if (!(item->state & dirty)) {
        item->state |= dirty;
        store__list_push(&space->dirty, item);
    }
    if (!(item->state & ITEM_CHANGING)) {
        account_object(space, item, false);
        item->state |= ITEM_CHANGING;
    }
    item->state &= ~(uint32_t)ITEM_COLD; /* the owner sets a whole new object */
    if (item->lsn < lsn) item->lsn = lsn;
}

void store_changed(struct store_space *space, struct store_item *item)
{
    ASSERT(item->object && (item->state & store__dirty_mark(space->partition)));
    if (!(item->state & ITEM_CHANGING)) return;
    item->state &= ~(uint32_t)ITEM_CHANGING;
    account_object(space, item, true);
}

void store_remove(struct store_space *space, struct store_item *item, uint64_t lsn)
{
    struct store_partition *partition = space->partition;
    ASSERT(!(item->state & ITEM_REMOVED));
    save_before_change(space, item);
    store__table_remove(space, item);
    if (space->removed_lsn < lsn) space->removed_lsn = lsn;
    if (item->object) {
        if (!(item->state & ITEM_CHANGING)) account_object(space, item, false);
        space->functions.free(item->object);
        item->object = NULL;
    }
    item->state |= ITEM_REMOVED;
    if (item->state & ITEM_AT_REST) {
        store__list_push(&space->removed, item);
    } else if (!(item->state & store__dirty_mark(partition))) {
        store__free_item(space, item);
    }
}

uint64_t store_space_removed_lsn(const struct store_space *space)
{
    return space->removed_lsn;
}

uint64_t store_space_count(const struct store_space *space)
{
    return space->table.count;
}
