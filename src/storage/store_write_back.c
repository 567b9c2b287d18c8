/* store_write_back.c: bringing state to rest.
 *
 *   NONE --store_write_back()--> ENCODING --all encoded--> READY --log durable, submitted--> WRITING --done--> NONE
 *
 * B1  A partition has at most one batch on its way, and the batch holds it as of one applied position: what changes
 *     after that is encoded before it changes, or belongs to the next round (R1 of store.h, S3).
 * B2  The log comes first: a batch is submitted only when the log is durable up to its applied position. State ahead of
 *     the log would, after a crash, hold writes that no peer can be given.
 * B3  Deletes of a round precede its puts: a key removed and inserted anew in one round is put.
 * B4  A failed write keeps its batch, and nothing later overtakes it. It is tried again once a second (store_tick()),
 * and so is a failed flush.
 */
#include "storage/store_internal.h"

#include "base/memory.h"
#include "wire/varint.h"

/* ---- requests ---- */

struct store_request *store__request_new(enum store_request_kind kind, enum kv_request_kind kv_kind)
{
    struct store_request *request = memory_zalloc(1, sizeof *request);
    request->kind = kind;
    request->kv.kind = kv_kind;
    buffer_init(&request->kv.batch, STORE_BATCH_BYTES_MAX);
    buffer_init(&request->kv.key, STORE_KEY_BYTES_MAX + 64);
    buffer_init(&request->kv.value, STORE_BATCH_BYTES_MAX);
    return request;
}

void store__request_free(struct store_request *request)
{
    if (!request) return;
    buffer_deinit(&request->kv.batch);
    buffer_deinit(&request->kv.key);
    buffer_deinit(&request->kv.value);
    memory_free(request->waiters);
    memory_free(request);
}

void store__submit(struct store *store, struct store_request *request)
{
    request->kv.owner = store;
    if (request->kv.kind == KV_WRITE) request->sequence = ++store->write_sequence;
    if (request->kind == REQUEST_WRITE_BACK) store->batches_under_way++;
    list_push_back(&store->under_way, &request->node);
    store->kv.submit(store->kv.world, &request->kv);
}

void store__submit_system(struct store *store)
{
    if (store->system_under_way || store->system.length == 0) return;
    struct store_request *request = store__request_new(REQUEST_SYSTEM, KV_WRITE);
    buffer_append_slice(&request->kv.batch, buffer_slice(&store->system));
    buffer_clear(&store->system);
    buffer_shrink(&store->system, 0);
    store->system_under_way = true;
    store__submit(store, request);
}

/* ---- beginning ---- */

static bool has_changes(const struct store_partition *partition)
{
    return partition->meta_changed || store_partition_dirty_count(partition) > 0;
}

void store_meta_changed(struct store_partition *partition, uint64_t lsn)
{
    MAYBE(lsn == 0); /* the next write-back is as of a position that covers it */
    partition->meta_changed = true;
}

/* Growing a batch of megabytes by copying it over and over would show as pauses: guess its size from the last one's. */
static void reserve_batch(struct store_partition *partition)
{
    uint64_t guess = partition->item_bytes_guess * (partition->batch_items + partition->batch_items / 8);
    if (guess == 0 || guess > STORE_BATCH_BYTES_MAX / 2) return;
    uint8_t *room = buffer_reserve(&partition->request->kv.batch, (size_t)guess);
    ASSERT(room);
}

static void begin(struct store_partition *partition, uint64_t applied_lsn)
{
    struct store *store = partition->store;
    partition->batch_items = store_partition_dirty_count(partition);
    for (int kind = 0; kind < SPACE_KIND_COUNT; kind++) {
        struct store_space *space = &partition->spaces[kind];
        ASSERT(!space->saving.first && !space->saving_removed.first);
        space->saving = space->dirty;
        space->saving_removed = space->removed;
        space->dirty = space->removed = (struct store_item_list){0};
    }
    partition->round++;
    partition->meta_changed = false;
    partition->applied_lsn = applied_lsn;
    buffer_clear(&partition->meta);
    write_u8(&partition->meta, STORE_VERSION);
    write_varint(&partition->meta, applied_lsn);
    partition->owner.encode_meta(partition->owner.user, &partition->meta);
    ASSERT(!partition->meta.overflowed);
    partition->request = store__request_new(REQUEST_WRITE_BACK, KV_WRITE);
    partition->request->partition = partition;
    reserve_batch(partition);
    partition->state = WRITE_BACK_ENCODING;
    list_push_back(&store->write_backs, &partition->queue_node);
}

bool store_write_back(struct store_partition *partition, uint64_t applied_lsn)
{
    const struct store *store = partition->store;
    if (partition->state != WRITE_BACK_NONE) return false;
    ASSERT(applied_lsn >= partition->written_lsn);
    if (!has_changes(partition)) {
        partition->written_lsn = applied_lsn;
        if (partition->written_sequence <= store->flushed_sequence) partition->flushed_lsn = applied_lsn;
        return false;
    }
    begin(partition, applied_lsn);
    return true;
}

/* ---- encoding ---- */

static void encode_removed(struct store_space *space, struct store_item *item)
{
    struct store_partition *partition = space->partition;
    struct store *store = partition->store;
    store__key(partition, space->kind, item, &store->key);
    kv_batch_delete(&partition->request->kv.batch, buffer_slice(&store->key));
    if (!(item->state & store__saving_mark(partition))) store__free_item(space, item);
}

/* B3: copy-on-write may want to put before all deletes were reached. */
static void encode_all_removed(struct store_partition *partition)
{
    for (int kind = 0; kind < SPACE_KIND_COUNT; kind++) {
        struct store_space *space = &partition->spaces[kind];
        struct store_item *item;
        while ((item = store__list_pop(&space->saving_removed))) encode_removed(space, item);
    }
}

void store__encode_item(struct store_space *space, struct store_item *item)
{
    struct store_partition *partition = space->partition;
    struct store *store = partition->store;
    ASSERT(partition->state == WRITE_BACK_ENCODING);
    ASSERT(item->object && !(item->state & ITEM_CHANGING));
    encode_all_removed(partition);
    store__key(partition, space->kind, item, &store->key);
    buffer_clear(&store->value);
    write_u8(&store->value, STORE_VERSION);
    space->functions.encode(item->object, &store->value);
    kv_batch_put(&partition->request->kv.batch, buffer_slice(&store->key), buffer_slice(&store->value));
    item->state &= ~store__saving_mark(partition);
    item->state |= ITEM_AT_REST;
    store__item_set_round(item, partition->round);
}

/* One step of the oldest unfinished batch. Returns false when there is nothing more to encode. */
static bool encode_next(struct store_partition *partition)
{
    for (int kind = 0; kind < SPACE_KIND_COUNT; kind++) {
        struct store_space *space = &partition->spaces[kind];
        struct store_item *item = store__list_pop(&space->saving_removed);
        if (!item) continue;
        encode_removed(space, item);
        return true;
    }
    for (int kind = 0; kind < SPACE_KIND_COUNT; kind++) {
        struct store_space *space = &partition->spaces[kind];
        struct store_item *item = store__list_pop(&space->saving);
        if (!item) continue;
        uint32_t saving = store__saving_mark(partition);
        if (item->state & saving) {
            if (item->state & ITEM_REMOVED) {
                store__free_item(space, item);
            } else {
                store__encode_item(space, item);
            }
        }
        return true;
    }
    return false;
}

static void finish_batch(struct store_partition *partition)
{
    struct store *store = partition->store;
    struct buffer *batch = &partition->request->kv.batch;
    store__key(partition, SPACE_DATA, NULL, &store->key);
    kv_batch_put(batch, buffer_slice(&store->key), buffer_slice(&partition->meta));
    if (batch->overflowed) {
        PANIC("the write-back of table %llu partition %u exceeds %d bytes: write back more often",
              (unsigned long long)partition->table, partition->number, STORE_BATCH_BYTES_MAX);
    }
    partition->item_bytes_guess = batch->length / (partition->batch_items + 1) + 1;
    partition->state = WRITE_BACK_READY;
}

static bool work_on_batches(struct store *store, uint32_t *io_items)
{
    if (!list_is_empty(&store->failed)) return false; /* B4: they come first */
    if (!store->is_formatted) return false;           /* the format record, just submitted, comes before all else */
    while (!list_is_empty(&store->write_backs) && store->batches_under_way < STORE_BATCHES_UNDER_WAY_MAX) {
        struct store_partition *partition =
            CONTAINER_OF(list_first(&store->write_backs), struct store_partition, queue_node);
        while (partition->state == WRITE_BACK_ENCODING) {
            if (*io_items == 0) return true;
            --*io_items;
            if (!encode_next(partition)) finish_batch(partition);
        }
        if (partition->applied_lsn > store->log_durable_lsn)
            return false; /* B2; the log's completion comes by itself */
        list_remove(&partition->queue_node);
        partition->state = WRITE_BACK_WRITING;
        store__submit(store, partition->request);
    }
    return false;
}

bool store_work(struct store *store, uint32_t items_max)
{
    uint32_t items = items_max;
    store__submit_system(store); /* before any partition: the format record is one of them */
    bool more = work_on_batches(store, &items);
    return store__evict(store, items + 1) || more;
}

/* ---- flushing and trying again ---- */

static void submit_flush(struct store *store)
{
    struct store_request *request = store__request_new(REQUEST_FLUSH, KV_FLUSH);
    request->sequence = store->write_sequence;
    store->flush_under_way = true;
    store->flush_wanted = false;
    store__submit(store, request);
}

/* A flush is only worth its while behind the writes that failed. */
static void flush_if_wanted(struct store *store)
{
    if (store->flush_wanted && !store->flush_under_way && list_is_empty(&store->failed)) submit_flush(store);
}

void store_flush(struct store *store)
{
    store__submit_system(store);
    store->flush_wanted = true;
    if (store->health == STATUS_OK) flush_if_wanted(store);
}

void store_tick(struct store *store, uint64_t now_ns)
{
    if (store->health == STATUS_OK || now_ns < store->retry_at_ns) return;
    store->retry_at_ns = now_ns + STORE_RETRY_NS;
    struct list_node *node;
    while ((node = list_pop_front(&store->failed)))
        store__submit(store, CONTAINER_OF(node, struct store_request, node));
    flush_if_wanted(store);
}

/* ---- completions ---- */

bool store_owns_request(const struct store *store, const struct kv_request *request)
{
    return request->owner == store;
}

static void on_written_back(struct store_request *request)
{
    struct store_partition *partition = request->partition;
    if (!partition) return;
    ASSERT(partition->state == WRITE_BACK_WRITING && partition->request == request);
    partition->state = WRITE_BACK_NONE;
    partition->request = NULL;
    partition->written_lsn = partition->applied_lsn;
    partition->written_sequence = request->sequence;
    partition->written_round = partition->round;
}

static void on_flushed(struct store *store, struct store_request *request)
{
    store->flush_under_way = false;
    if (request->kv.status == STATUS_OK) {
        store->flushed_sequence = request->sequence;
        for (struct list_node *n = store->partitions.head.next; n != &store->partitions.head; n = n->next) {
            struct store_partition *partition = CONTAINER_OF(n, struct store_partition, node);
            if (partition->written_sequence > store->flushed_sequence) continue;
            partition->flushed_lsn = partition->written_lsn;
            partition->flushed_round = partition->written_round;
        }
        store->hand_stopped = false;
    } else {
        store->flush_wanted = true;
    }
}

static void note_health(struct store *store, const struct store_request *request)
{
    if (request->kind == REQUEST_FETCH) return; /* its waiters are told */
    if (request->kv.status == STATUS_OK) {
        if (list_is_empty(&store->failed)) store->health = STATUS_OK;
    } else {
        store->health = request->kv.status;
    }
}

void store_on_kv_done(struct store *store, struct kv_request *kv_request)
{
    struct store_request *request = CONTAINER_OF(kv_request, struct store_request, kv);
    ASSERT(store_owns_request(store, kv_request));
    list_remove(&request->node);
    if (request->kind == REQUEST_WRITE_BACK) store->batches_under_way--;
    note_health(store, request);
    bool is_orphan = request->kind == REQUEST_WRITE_BACK && !request->partition; /* dropped: its range goes anyway */
    if (request->kv.kind == KV_WRITE && request->kv.status != STATUS_OK && !is_orphan) {
        list_push_back(&store->failed, &request->node);
        return;
    }
    switch (request->kind) {
    case REQUEST_WRITE_BACK: on_written_back(request); break;
    case REQUEST_SYSTEM:
        store->system_under_way = false;
        store->is_formatted = true; /* the first one holds that record */
        break;
    case REQUEST_DROP: break;
    case REQUEST_FLUSH: on_flushed(store, request); break;
    case REQUEST_FETCH: store__on_fetched(store, request); break;
    }
    store__request_free(request);
    if (store->health == STATUS_OK) flush_if_wanted(store);
}
