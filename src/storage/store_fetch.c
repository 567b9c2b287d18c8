/* store_fetch.c: objects that leave memory under the byte budget, and come back when they are wanted.
 *
 * Eviction is the CLOCK algorithm (Corbato, 1968) over the buckets of all spaces. Only what rests durably may go (R2):
 * an item whose last change is not newer than its partition's flushed position, which is in no list, and whose newest
 * value is in no batch that is not flushed.
 */
#include "storage/store_internal.h"

#include "base/memory.h"

/* ---- going ---- */

struct sweep {
    struct store_space *space;
    bool gained; /* something went, or lost its mark and goes next time */
};

static void sweep_item(void *user, struct store_item *item)
{
    struct sweep *sweep = user;
    struct store_space *space = sweep->space;
    uint32_t busy = ITEM_DIRTY_EVEN | ITEM_DIRTY_ODD | ITEM_FETCHING | ITEM_CHANGING | ITEM_COLD;
    if (!item->object || (item->state & busy) || !(item->state & ITEM_AT_REST)) return;
    if (item->lsn > space->partition->flushed_lsn || store__item_is_unflushed(space->partition, item)) return;
    sweep->gained = true;
    if (item->state & ITEM_REFERENCED) {
        item->state &= ~(uint32_t)ITEM_REFERENCED;
        return;
    }
    space->partition->store->memory_bytes -= space->functions.bytes(item->object);
    space->functions.free(item->object);
    item->object = NULL;
    item->state |= ITEM_COLD;
}

/* Move the hand to the next space, in the order of the partitions. */
static void next_space(struct store *store)
{
    store->hand_bucket = 0;
    if (store->hand_partition && ++store->hand_kind < SPACE_KIND_COUNT) return;
    store->hand_kind = 0;
    struct list_node *next = store->hand_partition ? store->hand_partition->node.next : NULL;
    if (!next || next == &store->partitions.head) next = list_first(&store->partitions);
    store->hand_partition = next ? CONTAINER_OF(next, struct store_partition, node) : NULL;
}

static uint32_t spaces_count(const struct store *store)
{
    uint32_t count = 0;
    for (struct list_node *n = store->partitions.head.next; n != &store->partitions.head; n = n->next) {
        count += SPACE_KIND_COUNT;
    }
    return count;
}

static void stop_if_idle(struct store *store)
{
    if (store->hand_idle_spaces <= spaces_count(store)) return;
    store->hand_idle_spaces = 0;
    store->hand_stopped = true;
}

bool store__evict(struct store *store, uint32_t buckets_max)
{
    while (store->memory_bytes > store->config.memory_bytes_max && !store->hand_stopped) {
        if (buckets_max-- == 0) return true;
        if (!store->hand_partition) next_space(store);
        if (!store->hand_partition) return false;
        struct store_space *space = &store->hand_partition->spaces[store->hand_kind];
        if (store->hand_bucket >= store__table_positions(&space->table)) {
            store->hand_idle_spaces++;
            next_space(store);
            stop_if_idle(store);
            continue;
        }
        struct sweep sweep = {.space = space};
        store__table_visit(&space->table, store->hand_bucket++, sweep_item, &sweep);
        if (sweep.gained) store->hand_idle_spaces = 0;
    }
    return false;
}

/* ---- coming back ---- */

bool store__decode(struct store_space *space, struct store_item *item, struct slice value)
{
    if (value.length == 0 || value.data[0] != STORE_VERSION) return false;
    item->object = space->functions.decode(store_item_key(item), slice_skip(value, 1));
    if (!item->object) return false;
    item->state &= ~(uint32_t)ITEM_COLD;
    store__account_object(space, item);
    return true;
}

static void add_waiter(struct store_request *request, void (*done)(void *user, enum status status), void *user)
{
    request->waiters = memory_realloc(request->waiters, (request->waiters_count + 1) * sizeof *request->waiters);
    request->waiters[request->waiters_count++] = (struct store_waiter){done, user};
}

static struct store_request *find_fetch(struct store *store, const struct store_space *space, struct slice key,
                                        uint64_t hash)
{
    for (struct list_node *n = store->under_way.head.next; n != &store->under_way.head; n = n->next) {
        struct store_request *request = CONTAINER_OF(n, struct store_request, node);
        if (request->kind != REQUEST_FETCH || request->space != space || request->hash != hash) continue;
        if (slice_equal(buffer_slice(&request->kv.key), key)) return request;
    }
    return NULL;
}

void store_fetch(struct store_space *space, struct store_item *item, void (*done)(void *user, enum status status),
                 void *user)
{
    struct store *store = space->partition->store;
    ASSERT(item->state & ITEM_COLD);
    store__key(space->partition, space->kind, item, &store->key);
    struct store_request *request = NULL;
    if (item->state & ITEM_FETCHING) request = find_fetch(store, space, buffer_slice(&store->key), item->hash);
    if (request) {
        add_waiter(request, done, user);
        return;
    }
    request = store__request_new(REQUEST_FETCH, KV_GET);
    request->space = space;
    request->hash = item->hash;
    buffer_append_slice(&request->kv.key, buffer_slice(&store->key));
    add_waiter(request, done, user);
    item->state |= ITEM_FETCHING;
    store__submit(store, request);
}

/* The item of a fetch, if it still waits for it: it may have been removed, replaced or given a new object meanwhile. */
static struct store_item *fetched_item(struct store_request *request)
{
    struct store_space *space = request->space;
    if (!space) return NULL;
    struct slice key = slice_skip(buffer_slice(&request->kv.key), STORE_ITEM_PREFIX_BYTES);
    struct store_item *item = store__table_find(&space->table, key, request->hash);
    if (!item || !(item->state & ITEM_FETCHING)) return NULL;
    item->state &= ~(uint32_t)ITEM_FETCHING;
    return item->state & ITEM_COLD ? item : NULL;
}

void store__on_fetched(struct store *store, struct store_request *request)
{
    enum status status = request->kv.status;
    struct store_item *item = fetched_item(request);
    if (item) {
        if (status == STATUS_NOT_FOUND) status = STATUS_CORRUPT; /* it was written and flushed */
        if (status == STATUS_OK && !store__decode(request->space, item, buffer_slice(&request->kv.value))) {
            status = STATUS_CORRUPT;
        }
        if (status == STATUS_OK) item->state |= ITEM_REFERENCED;
        store->hand_stopped = false;
    } else if (status == STATUS_NOT_FOUND) {
        status = STATUS_OK; /* it is gone from the table too, or newer there: the waiter finds out */
    }
    for (uint32_t i = 0; i < request->waiters_count; i++) request->waiters[i].done(request->waiters[i].user, status);
}

struct fetch_now {
    struct store_space *space;
    struct store_item *item;
    enum status status;
};

static bool take_value(void *user, struct slice key, struct slice value)
{
    struct fetch_now *fetch = user;
    const struct store *store = fetch->space->partition->store;
    if (slice_equal(key, buffer_slice(&store->key))) {
        fetch->status = store__decode(fetch->space, fetch->item, value) ? STATUS_OK : STATUS_CORRUPT;
    }
    return false;
}

/* A partition that was dropped while another was opened is no matter of this one. */
static bool only_drops_are_under_way(const struct store *store)
{
    for (const struct list_node *n = store->under_way.head.next; n != &store->under_way.head; n = n->next) {
        if (CONTAINER_OF(n, struct store_request, node)->kind != REQUEST_DROP) return false;
    }
    return true;
}

enum status store_fetch_now(struct store_space *space, struct store_item *item)
{
    struct store *store = space->partition->store;
    ASSERT((item->state & ITEM_COLD) && only_drops_are_under_way(store));
    struct fetch_now fetch = {.space = space, .item = item, .status = STATUS_CORRUPT};
    store__key(space->partition, space->kind, item, &store->key);
    enum status status = store->kv.iterate(store->kv.world, buffer_slice(&store->key), take_value, &fetch);
    return status != STATUS_OK ? status : fetch.status;
}
