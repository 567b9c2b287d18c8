/* store.c: the life of the store and its partitions, and the keys at rest (docs/protocols/storage.md).
 *
 *   00 "format"                                          magic and version of all that follows
 *   01 key                                               a system record
 *   02 table(8) partition(2) 00                          a partition's meta record: applied lsn, owner's bytes
 *   02 table(8) partition(2) 01+kind hash(8) key         an item
 *
 * Numbers in keys are big endian, so that a partition is one run of keys and its items follow in scan order.
 */
#include "storage/store_internal.h"

#include "base/memory.h"
#include "wire/varint.h"

enum { KEY_FORMAT = 0, KEY_SYSTEM = 1, KEY_PARTITION = 2, SECTION_META = 0, SECTION_ITEMS = 1, SECTION_END = 0xff };
enum { PARTITION_PREFIX_BYTES = 11 };

static const uint8_t format_key[] = {KEY_FORMAT, 'f', 'o', 'r', 'm', 'a', 't'};
static const char format_magic[] = "meridian store";

/* ---- keys ---- */

static void put_big_endian(struct buffer *out, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--) buffer_append_byte(out, (uint8_t)(value >> (8 * i)));
}

static uint64_t get_big_endian(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value = value << 8 | at[i];
    return value;
}

static void put_prefix(struct buffer *out, const struct store_partition *partition, uint8_t section)
{
    buffer_clear(out);
    buffer_append_byte(out, KEY_PARTITION);
    put_big_endian(out, partition->table, 8);
    put_big_endian(out, partition->number, 2);
    buffer_append_byte(out, section);
}

void store__key(const struct store_partition *partition, enum store_space_kind kind, const struct store_item *item,
                struct buffer *out)
{
    put_prefix(out, partition, item ? (uint8_t)(SECTION_ITEMS + kind) : SECTION_META);
    if (!item) return;
    put_big_endian(out, item->hash, 8);
    buffer_append_slice(out, store_item_key(item));
}

void store__partition_range(const struct store_partition *partition, struct buffer *out_first, struct buffer *out_end)
{
    put_prefix(out_first, partition, SECTION_META);
    put_prefix(out_end, partition, SECTION_END);
}

/* ---- life ---- */

struct store *store_new(const struct store_config *config, const struct kv_port *kv)
{
    struct store *store = memory_zalloc(1, sizeof *store);
    store->config = *config;
    store->kv = *kv;
    store->log_durable_lsn = UINT64_MAX;
    list_init(&store->partitions);
    list_init(&store->write_backs);
    list_init(&store->under_way);
    list_init(&store->failed);
    buffer_init(&store->system, STORE_SYSTEM_BYTES_MAX);
    buffer_init(&store->system_found, STORE_SYSTEM_BYTES_MAX);
    buffer_init(&store->key, STORE_ITEM_PREFIX_BYTES + STORE_KEY_BYTES_MAX);
    buffer_init(&store->value, STORE_BATCH_BYTES_MAX);
    return store;
}

/* A removed item is freed by the list of changes if it is marked as standing there, else by the list of removals. */
static void free_lists(struct store_space *space, struct store_item_list *removals, struct store_item_list *changes,
                       uint32_t mark)
{
    struct store_item *item;
    while ((item = store__list_pop(removals))) {
        if (!(item->state & mark)) store__free_item(space, item);
    }
    while ((item = store__list_pop(changes))) {
        if ((item->state & ITEM_REMOVED) && (item->state & mark)) store__free_item(space, item);
    }
}

static void free_space(struct store_space *space)
{
    const struct store_partition *partition = space->partition;
    free_lists(space, &space->saving_removed, &space->saving, store__saving_mark(partition));
    free_lists(space, &space->removed, &space->dirty, store__dirty_mark(partition));
    store__table_free(space, store__free_item);
}

static void free_partition(struct store_partition *partition)
{
    for (int kind = 0; kind < SPACE_KIND_COUNT; kind++) free_space(&partition->spaces[kind]);
    buffer_deinit(&partition->meta);
    memory_free(partition);
}

static void free_requests(struct list *list)
{
    struct list_node *node;
    while ((node = list_pop_front(list))) store__request_free(CONTAINER_OF(node, struct store_request, node));
}

void store_free(struct store *store)
{
    if (!store) return;
    struct list_node *node;
    while ((node = list_pop_front(&store->partitions))) {
        struct store_partition *partition = CONTAINER_OF(node, struct store_partition, node);
        bool request_is_listed = partition->state == WRITE_BACK_NONE || partition->state == WRITE_BACK_WRITING;
        if (!request_is_listed) store__request_free(partition->request);
        free_partition(partition);
    }
    free_requests(&store->under_way);
    free_requests(&store->failed);
    buffer_deinit(&store->system);
    buffer_deinit(&store->system_found);
    buffer_deinit(&store->key);
    buffer_deinit(&store->value);
    memory_free(store->found);
    memory_free(store);
}

/* ---- opening ---- */

struct opening {
    struct store *store;
    enum status status;
    struct buffer *out_error;
    void (*on_partition)(void *user, uint64_t table, uint16_t partition, struct slice meta);
    void *user;
    bool found;
    struct buffer next; /* where the next partition may begin */
};

static bool refuse(struct opening *opening, enum status status, const char *what)
{
    opening->status = status;
    buffer_append_format(opening->out_error, "the key-value store: %s", what);
    return false;
}

static bool visit_format(void *user, struct slice key, struct slice value)
{
    struct opening *opening = user;
    if (!slice_equal(key, slice_of(format_key, sizeof format_key))) {
        return refuse(opening, STATUS_VERSION, "holds something else than a Meridian store");
    }
    struct reader reader = reader_of(value);
    struct slice magic = read_bytes(&reader);
    uint64_t version = read_varint(&reader);
    if (!reader_finished(&reader) || !slice_equal(magic, slice_of_string(format_magic))) {
        return refuse(opening, STATUS_CORRUPT, "its format record is damaged");
    }
    if (version != STORE_VERSION) return refuse(opening, STATUS_VERSION, "written in another version of its format");
    opening->store->is_formatted = true;
    return false;
}

static bool visit_system(void *user, struct slice key, struct slice value)
{
    struct opening *opening = user;
    if (key.length == 0 || key.data[0] != KEY_SYSTEM) return false;
    kv_batch_put(&opening->store->system_found, slice_skip(key, 1), value);
    return true;
}

static bool visit_partition(void *user, struct slice key, struct slice value)
{
    struct opening *opening = user;
    struct store *store = opening->store;
    if (key.length < PARTITION_PREFIX_BYTES + 1 || key.data[0] != KEY_PARTITION) {
        return refuse(opening, STATUS_CORRUPT, "holds a key of no known kind");
    }
    struct reader reader = reader_of(value);
    uint8_t version = read_u8(&reader);
    uint64_t applied_lsn = read_varint(&reader);
    if (key.length != PARTITION_PREFIX_BYTES + 1 || key.data[PARTITION_PREFIX_BYTES] != SECTION_META || reader.failed ||
        version != STORE_VERSION) {
        return refuse(opening, STATUS_CORRUPT, "a partition has no whole meta record");
    }
    uint64_t table = get_big_endian(key.data + 1, 8);
    uint16_t number = (uint16_t)get_big_endian(key.data + 9, 2);
    if (store->found_count == store->found_capacity) {
        store->found_capacity = store->found_capacity ? store->found_capacity * 2 : 64;
        store->found = memory_realloc(store->found, store->found_capacity * sizeof *store->found);
    }
    store->found[store->found_count++] = (struct store_found){table, number, applied_lsn};
    buffer_clear(&opening->next);
    buffer_append(&opening->next, key.data, PARTITION_PREFIX_BYTES);
    buffer_append_byte(&opening->next, SECTION_END);
    opening->found = true;
    opening->on_partition(opening->user, table, number, slice_of(reader.at, reader_left(&reader)));
    return false; /* skip its items */
}

static enum status open_all(struct opening *opening)
{
    struct store *store = opening->store;
    static const uint8_t system[] = {KEY_SYSTEM}, partitions[] = {KEY_PARTITION};
    enum status status = store->kv.iterate(store->kv.world, slice_of(NULL, 0), visit_format, opening);
    if (status != STATUS_OK || opening->status != STATUS_OK) return status;
    status = store->kv.iterate(store->kv.world, slice_of(system, 1), visit_system, opening);
    if (status != STATUS_OK) return status;
    if (store->system_found.overflowed) {
        refuse(opening, STATUS_LIMIT, "holds more system records than this version keeps");
        return STATUS_OK;
    }
    buffer_append(&opening->next, partitions, 1);
    do {
        opening->found = false;
        status = store->kv.iterate(store->kv.world, buffer_slice(&opening->next), visit_partition, opening);
    } while (status == STATUS_OK && opening->status == STATUS_OK && opening->found);
    return status;
}

enum status store_open(struct store *store,
                       void (*on_partition)(void *user, uint64_t table, uint16_t partition, struct slice meta),
                       void *user, struct buffer *out_error)
{
    struct opening opening = {.store = store, .out_error = out_error, .on_partition = on_partition, .user = user};
    buffer_init(&opening.next, PARTITION_PREFIX_BYTES + 1);
    enum status status = open_all(&opening);
    buffer_deinit(&opening.next);
    if (status != STATUS_OK) {
        buffer_append_format(out_error, "the key-value store cannot be read: %s", status_name(status));
        return status;
    }
    if (opening.status == STATUS_OK && !store->is_formatted) {
        struct buffer value;
        buffer_init(&value, 64);
        write_bytes(&value, slice_of_string(format_magic));
        write_varint(&value, STORE_VERSION);
        kv_batch_put(&store->system, slice_of(format_key, sizeof format_key), buffer_slice(&value));
        buffer_deinit(&value);
    }
    return opening.status;
}

void store_put_system(struct store *store, struct slice key, struct slice value)
{
    buffer_clear(&store->key);
    buffer_append_byte(&store->key, KEY_SYSTEM);
    buffer_append_slice(&store->key, key);
    kv_batch_put(&store->system, buffer_slice(&store->key), value);
    ASSERT(!store->key.overflowed && !store->system.overflowed);
}

struct system_visitor {
    void (*visit)(void *user, struct slice key, struct slice value);
    void *user;
};

static void visit_system_put(void *user, enum kv_batch_op op, struct slice key, struct slice value)
{
    struct system_visitor *visitor = user;
    ASSERT(op == KV_BATCH_PUT);
    visitor->visit(visitor->user, key, value);
}

void store_visit_system(struct store *store, void (*visit)(void *user, struct slice key, struct slice value),
                        void *user)
{
    struct system_visitor visitor = {visit, user};
    enum status status = kv_batch_visit(buffer_slice(&store->system_found), visit_system_put, &visitor);
    ASSERT(status == STATUS_OK);
}

/* ---- partitions ---- */

struct loading {
    struct store_partition *partition;
    enum status status;
    uint64_t items;
};

static bool load_item(void *user, struct slice key, struct slice value)
{
    struct loading *loading = user;
    struct store_partition *partition = loading->partition;
    struct store *store = partition->store;
    if (key.length < PARTITION_PREFIX_BYTES + 1 ||
        memcmp(key.data, store->key.data, PARTITION_PREFIX_BYTES) != 0) { /* the prefix put there by the caller */
        return false;
    }
    uint8_t section = key.data[PARTITION_PREFIX_BYTES];
    if (key.length < STORE_ITEM_PREFIX_BYTES || section < SECTION_ITEMS ||
        section >= SECTION_ITEMS + SPACE_KIND_COUNT) {
        loading->status = STATUS_CORRUPT;
        return false;
    }
    struct store_space *space = &partition->spaces[section - SECTION_ITEMS];
    uint64_t hash = get_big_endian(key.data + PARTITION_PREFIX_BYTES + 1, 8);
    struct store_item *item = store_insert(space, slice_skip(key, STORE_ITEM_PREFIX_BYTES), hash);
    item->state = ITEM_AT_REST;
    if (store->memory_bytes >= store->config.memory_bytes_max) {
        item->state |= ITEM_COLD;
    } else if (!store__decode(space, item, value)) {
        loading->status = STATUS_CORRUPT;
    }
    return loading->status == STATUS_OK;
}

static enum status load_items(struct store_partition *partition)
{
    struct store *store = partition->store;
    struct loading loading = {.partition = partition};
    put_prefix(&store->key, partition, SECTION_ITEMS);
    enum status status = store->kv.iterate(store->kv.world, buffer_slice(&store->key), load_item, &loading);
    return status != STATUS_OK ? status : loading.status;
}

enum status store_partition_open(struct store *store, uint64_t table, uint16_t partition,
                                 const struct store_partition_owner *owner, struct store_partition **out)
{
    struct store_partition *p = memory_zalloc(1, sizeof *p);
    p->store = store;
    p->table = table;
    p->number = partition;
    p->owner = *owner;
    buffer_init(&p->meta, STORE_BATCH_BYTES_MAX);
    for (int kind = 0; kind < SPACE_KIND_COUNT; kind++) {
        p->spaces[kind].partition = p;
        p->spaces[kind].kind = (enum store_space_kind)kind;
        p->spaces[kind].functions = owner->functions[kind];
    }
    p->item_bytes_guess = STORE_ITEM_BYTES_GUESS;
    p->meta_changed = true; /* a new partition has none at rest */
    for (uint32_t i = 0; i < store->found_count; i++) {
        if (store->found[i].table != table || store->found[i].partition != partition) continue;
        p->meta_changed = false;
        p->written_lsn = p->flushed_lsn = store->found[i].applied_lsn;
        enum status status = load_items(p);
        if (status != STATUS_OK) {
            free_partition(p);
            return status;
        }
        break;
    }
    list_push_back(&store->partitions, &p->node);
    *out = p;
    return STATUS_OK;
}

/* Requests under way outlive their partition; what failed must not be written behind the drop. */
static void orphan_requests(struct store *store, const struct store_partition *partition)
{
    for (struct list_node *n = store->under_way.head.next; n != &store->under_way.head; n = n->next) {
        struct store_request *request = CONTAINER_OF(n, struct store_request, node);
        if (request->partition == partition) request->partition = NULL;
        if (request->space && request->space->partition == partition) request->space = NULL;
    }
    for (struct list_node *n = store->failed.head.next, *next; n != &store->failed.head; n = next) {
        next = n->next;
        struct store_request *request = CONTAINER_OF(n, struct store_request, node);
        if (request->partition != partition) continue;
        list_remove(n);
        store__request_free(request);
    }
}

/* One that is opened under the same number later is a new one. */
static void forget_found(struct store *store, const struct store_partition *partition)
{
    for (uint32_t i = 0; i < store->found_count; i++) {
        const struct store_found *found = &store->found[i];
        if (found->table != partition->table || found->partition != partition->number) continue;
        store->found[i] = store->found[--store->found_count];
        return;
    }
}

void store_partition_drop(struct store_partition *partition)
{
    struct store *store = partition->store;
    forget_found(store, partition);
    if (partition->state == WRITE_BACK_ENCODING || partition->state == WRITE_BACK_READY) {
        list_remove(&partition->queue_node);
        store__request_free(partition->request);
    }
    orphan_requests(store, partition);
    struct store_request *request = store__request_new(REQUEST_DROP, KV_WRITE);
    struct buffer first, end;
    buffer_init(&first, PARTITION_PREFIX_BYTES + 1);
    buffer_init(&end, PARTITION_PREFIX_BYTES + 1);
    store__partition_range(partition, &first, &end);
    kv_batch_delete_range(&request->kv.batch, buffer_slice(&first), buffer_slice(&end));
    buffer_deinit(&first);
    buffer_deinit(&end);
    if (store->hand_partition == partition) store->hand_partition = NULL;
    list_remove(&partition->node);
    free_partition(partition);
    store__submit(store, request);
}

struct store_space *store_partition_space(struct store_partition *partition, enum store_space_kind kind)
{
    return &partition->spaces[kind];
}

/* ---- questions ---- */

uint64_t store_memory_bytes(const struct store *store)
{
    return store->memory_bytes;
}

uint64_t store_partition_flushed_lsn(const struct store_partition *partition)
{
    return partition->flushed_lsn;
}

uint64_t store_partition_dirty_count(const struct store_partition *partition)
{
    uint64_t count = 0;
    for (int kind = 0; kind < SPACE_KIND_COUNT; kind++) {
        count += partition->spaces[kind].dirty.count + partition->spaces[kind].removed.count;
    }
    return count;
}

bool store_is_idle(const struct store *store)
{
    return list_is_empty(&store->under_way) && list_is_empty(&store->failed) && list_is_empty(&store->write_backs) &&
           store->system.length == 0 && !store->flush_wanted;
}

enum status store_health(const struct store *store)
{
    return store->health;
}

void store_on_log_durable(struct store *store, uint64_t durable_lsn)
{
    store->log_durable_lsn = durable_lsn;
}
