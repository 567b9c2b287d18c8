/* test_store.c: the store against a naive twin, with crashes between any two steps, full disks and little memory. */
#include "storage/store_internal.h"

#include "base/memory.h"
#include "base/prng.h"
#include "tests/unit/storage/memory_kv.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

enum { PARTITIONS = 3, KEYS = 300, OPS_MAX = 20000 };

/* ---- objects: a version number and bytes that follow from it ---- */

struct blob {
    uint32_t id, version;
    uint32_t length;
    uint8_t bytes[];
};

static struct blob *blob_new(uint32_t id, uint32_t version)
{
    uint32_t length = (id * 7 + version * 13) % 90;
    struct blob *blob = memory_alloc(sizeof *blob + length);
    *blob = (struct blob){id, version, length};
    memset(blob->bytes, (int)(id ^ version), length);
    return blob;
}

static void blob_encode(const void *object, struct buffer *out)
{
    const struct blob *blob = object;
    buffer_append(out, blob, sizeof *blob + blob->length);
}

static void *blob_decode(struct slice key, struct slice bytes)
{
    if (bytes.length < sizeof(struct blob) || key.length == 0) return NULL;
    struct blob head;
    memcpy(&head, bytes.data, sizeof head);
    struct blob *blob = blob_new(head.id, head.version);
    if (bytes.length == sizeof *blob + blob->length && memcmp(blob, bytes.data, bytes.length) == 0) return blob;
    memory_free(blob);
    return NULL;
}

static size_t blob_bytes(const void *object)
{
    return sizeof(struct blob) + ((const struct blob *)object)->length;
}

static const struct store_object_functions blob_functions = {blob_encode, blob_decode, memory_free, blob_bytes};

/* ---- the twin ---- */

struct op {
    uint32_t partition, kind, id;
    uint32_t version; /* 0: removed */
};

struct model {
    struct memory_kv kv;
    struct store *store;
    struct store_partition *partitions[PARTITIONS];
    uint64_t applied_at_rest[PARTITIONS]; /* found by store_open(); UINT64_MAX: not found */
    struct op ops[OPS_MAX];               /* op i has lsn i + 1 */
    uint64_t lsn, durable_lsn;
    uint32_t version[PARTITIONS][SPACE_KIND_COUNT][KEYS]; /* as of lsn; 0: absent */
    uint64_t memory_bytes_max, now_ns;
    struct prng prng;
    struct buffer error;
    uint64_t fetches, crashes;
};

static struct slice key_of(uint32_t id, char out[32])
{
    return slice_of(out, (size_t)snprintf(out, 32, "key-%u", id));
}

static uint64_t hash_of(uint32_t id)
{
    uint64_t group = id % 5 == 0 ? id - id % 10 : id; /* some share their whole hash */
    return (group + 1) * 0x9e3779b97f4a7c15ull;
}

static void encode_meta(void *user, struct buffer *out)
{
    const struct model *m = user;
    buffer_append(out, &m->lsn, sizeof m->lsn);
}

static void on_partition(void *user, uint64_t table, uint16_t partition, struct slice meta)
{
    struct model *m = user;
    assert_int_equal(table, 1000 + partition);
    assert_true(partition < PARTITIONS && meta.length == 8);
    memcpy(&m->applied_at_rest[partition], meta.data, 8);
}

static void open_store(struct model *m)
{
    struct store_config config = {.memory_bytes_max = m->memory_bytes_max};
    struct kv_port port = memory_kv_port(&m->kv);
    m->store = store_new(&config, &port);
    for (int p = 0; p < PARTITIONS; p++) m->applied_at_rest[p] = UINT64_MAX;
    assert_int_equal(store_open(m->store, on_partition, m, &m->error), STATUS_OK);
    for (uint16_t p = 0; p < PARTITIONS; p++) {
        struct store_partition_owner owner = {.user = m, .encode_meta = encode_meta};
        for (int kind = 0; kind < SPACE_KIND_COUNT; kind++) owner.functions[kind] = blob_functions;
        assert_int_equal(store_partition_open(m->store, 1000 + p, p, &owner, &m->partitions[p]), STATUS_OK);
    }
    store_on_log_durable(m->store, m->durable_lsn);
}

static void model_init(struct model *m, uint64_t seed, uint64_t memory_bytes_max)
{
    memset(m, 0, sizeof *m);
    memory_kv_init(&m->kv);
    prng_init(&m->prng, seed);
    buffer_init(&m->error, 4096);
    m->memory_bytes_max = memory_bytes_max;
    open_store(m);
}

static void model_deinit(struct model *m)
{
    store_free(m->store);
    memory_kv_deinit(&m->kv);
    buffer_deinit(&m->error);
}

static void apply(struct model *m, const struct op *op, uint64_t lsn)
{
    char text[32];
    struct slice key = key_of(op->id, text);
    struct store_space *space = store_partition_space(m->partitions[op->partition], (enum store_space_kind)op->kind);
    struct store_item *item = store_find(space, key, hash_of(op->id));
    if (op->version == 0) {
        if (item) store_remove(space, item, lsn);
        return;
    }
    if (!item) item = store_insert(space, key, hash_of(op->id));
    store_will_change(space, item, lsn);
    memory_free(item->object);
    item->object = blob_new(op->id, op->version);
    store_changed(space, item);
}

static void check_item(const struct model *m, uint32_t p, uint32_t kind, uint32_t id, const struct store_item *item)
{
    const struct blob *blob = item->object;
    assert_int_equal(blob->id, id);
    assert_int_equal(blob->version, m->version[p][kind][id]);
}

/* Everything in the store is as the twin's state says; cold items are read at once if nothing is under way. */
static void check_all(struct model *m)
{
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        for (uint32_t kind = 0; kind < SPACE_KIND_COUNT; kind++) {
            struct store_space *space = store_partition_space(m->partitions[p], (enum store_space_kind)kind);
            uint64_t count = 0;
            for (uint32_t id = 0; id < KEYS; id++) {
                char text[32];
                struct store_item *item = store_find(space, key_of(id, text), hash_of(id));
                assert_int_equal(item != NULL, m->version[p][kind][id] != 0);
                count += item != NULL;
                if (!item) continue;
                if (store_item_is_cold(item)) {
                    if (!list_is_empty(&m->store->under_way)) continue;
                    assert_int_equal(store_fetch_now(space, item), STATUS_OK);
                }
                check_item(m, p, kind, id, item);
            }
            assert_int_equal(store_space_count(space), count);
        }
    }
}

static void state_as_of(struct model *m, uint32_t p, uint64_t lsn)
{
    memset(m->version[p], 0, sizeof m->version[p]);
    for (uint64_t i = 0; i < lsn; i++) {
        const struct op *op = &m->ops[i];
        if (op->partition == p) m->version[p][op->kind][op->id] = op->version;
    }
}

static void crash(struct model *m)
{
    uint64_t flushed[PARTITIONS];
    for (int p = 0; p < PARTITIONS; p++) flushed[p] = store_partition_flushed_lsn(m->partitions[p]);
    memory_kv_crash(&m->kv, (size_t)prng_below(&m->prng, m->kv.batches_count + 1));
    store_free(m->store);
    m->lsn = m->durable_lsn; /* what was not synced is forgotten */
    open_store(m);
    m->crashes++;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        uint64_t applied = m->applied_at_rest[p] == UINT64_MAX ? 0 : m->applied_at_rest[p];
        assert_true(applied <= m->durable_lsn); /* the log came first */
        assert_true(flushed[p] <= m->durable_lsn || flushed[p] == 0);
        for (uint64_t i = applied; i < flushed[p]; i++) assert_int_not_equal(m->ops[i].partition, p);
        state_as_of(m, p, applied);
    }
    check_all(m); /* each partition as of its own applied position, exactly */
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        uint64_t applied = m->applied_at_rest[p] == UINT64_MAX ? 0 : m->applied_at_rest[p];
        for (uint64_t i = applied; i < m->lsn; i++) {
            if (m->ops[i].partition == p) apply(m, &m->ops[i], i + 1);
        }
        state_as_of(m, p, m->lsn);
    }
    check_all(m);
}

struct fetch {
    struct model *m;
    uint32_t p, kind, id;
};

static void on_fetched(void *user, enum status status)
{
    struct fetch *fetch = user;
    struct model *m = fetch->m;
    assert_int_equal(status, STATUS_OK);
    char text[32];
    struct store_space *space = store_partition_space(m->partitions[fetch->p], (enum store_space_kind)fetch->kind);
    struct store_item *item = store_find(space, key_of(fetch->id, text), hash_of(fetch->id));
    assert_int_equal(item != NULL, m->version[fetch->p][fetch->kind][fetch->id] != 0);
    if (item && !store_item_is_cold(item)) check_item(m, fetch->p, fetch->kind, fetch->id, item);
    m->fetches++;
    memory_free(fetch);
}

static void read_one(struct model *m)
{
    uint32_t p = (uint32_t)prng_below(&m->prng, PARTITIONS), id = (uint32_t)prng_below(&m->prng, KEYS);
    uint32_t kind = (uint32_t)prng_below(&m->prng, SPACE_KIND_COUNT);
    struct store_space *space = store_partition_space(m->partitions[p], (enum store_space_kind)kind);
    char text[32];
    struct store_item *item = store_find(space, key_of(id, text), hash_of(id));
    assert_int_equal(item != NULL, m->version[p][kind][id] != 0);
    if (!item) return;
    if (store_item_is_cold(item)) {
        struct fetch *fetch = memory_alloc(sizeof *fetch);
        *fetch = (struct fetch){m, p, kind, id};
        store_fetch(space, item, on_fetched, fetch);
    } else {
        check_item(m, p, kind, id, item);
    }
}

static void change_one(struct model *m)
{
    if (m->lsn == OPS_MAX) return;
    struct op *op = &m->ops[m->lsn++];
    op->partition = (uint32_t)prng_below(&m->prng, PARTITIONS);
    op->kind = prng_chance(&m->prng, 1, 4);
    op->id = (uint32_t)prng_below(&m->prng, prng_chance(&m->prng, 1, 2) ? KEYS : 20);
    bool is_there = m->version[op->partition][op->kind][op->id] != 0;
    op->version = is_there && prng_chance(&m->prng, 1, 4) ? 0 : (uint32_t)m->lsn;
    apply(m, op, m->lsn);
    m->version[op->partition][op->kind][op->id] = op->version;
}

static bool complete_one(struct model *m)
{
    struct kv_request *request = memory_kv_complete(&m->kv);
    if (request) store_on_kv_done(m->store, request);
    return request != NULL;
}

static bool has_fetches(const struct model *m)
{
    for (int i = 0; i < m->kv.requests_count; i++) {
        if (m->kv.requests[i]->kind == KV_GET) return true;
    }
    return false;
}

static void random_step(struct model *m)
{
    switch (prng_below(&m->prng, 12)) {
    case 0:
    case 1:
    case 2:
    case 3: change_one(m); break;
    case 4: read_one(m); break;
    case 5: store_work(m->store, (uint32_t)prng_below(&m->prng, 30)); break;
    case 6: complete_one(m); break;
    case 7:
        if (prng_chance(&m->prng, 1, 4)) {
            uint32_t p = (uint32_t)prng_below(&m->prng, PARTITIONS);
            if (m->lsn) store_write_back(m->partitions[p], m->lsn);
        }
        break;
    case 8:
        m->durable_lsn += prng_below(&m->prng, m->lsn - m->durable_lsn + 1);
        store_on_log_durable(m->store, m->durable_lsn);
        break;
    case 9:
        if (prng_chance(&m->prng, 1, 8)) store_flush(m->store);
        m->now_ns += prng_below(&m->prng, STORE_RETRY_NS);
        store_tick(m->store, m->now_ns);
        break;
    case 10:
        if (prng_chance(&m->prng, 1, 100)) m->kv.full = !m->kv.full;
        break;
    case 11:
        if (prng_chance(&m->prng, 1, 60)) {
            while (has_fetches(m)) complete_one(m); /* their waiters live in this test */
            crash(m);
        }
        break;
    }
}

/* Bring everything to rest; afterwards nothing is dirty and all is flushed. */
static void settle(struct model *m)
{
    m->kv.full = false;
    m->durable_lsn = m->lsn;
    store_on_log_durable(m->store, m->durable_lsn);
    for (int round = 0; round < 4; round++) {
        m->now_ns += 2 * STORE_RETRY_NS;
        store_tick(m->store, m->now_ns);
        for (int p = 0; p < PARTITIONS; p++) store_write_back(m->partitions[p], m->lsn);
        do {
            while (store_work(m->store, 50)) {}
        } while (complete_one(m));
        store_flush(m->store);
        while (complete_one(m)) {}
    }
    assert_true(store_is_idle(m->store));
    assert_int_equal(store_health(m->store), STATUS_OK);
    for (int p = 0; p < PARTITIONS; p++) {
        assert_int_equal(store_partition_flushed_lsn(m->partitions[p]), m->lsn);
        assert_int_equal(store_partition_dirty_count(m->partitions[p]), 0);
    }
}

static void run_history(uint64_t seed, uint64_t memory_bytes_max, uint32_t steps)
{
    struct model *m = memory_alloc(sizeof *m);
    model_init(m, seed, memory_bytes_max);
    for (uint32_t i = 0; i < steps; i++) random_step(m);
    settle(m);
    check_all(m);
    while (store_work(m->store, 50)) {}
    assert_true(store_memory_bytes(m->store) <= memory_bytes_max || memory_bytes_max < 100000);
    m->durable_lsn = m->lsn;
    crash(m);
    assert_true(m->crashes > 0);
    if (memory_bytes_max < 100000 && steps > 5000) assert_true(m->fetches > 0);
    model_deinit(m);
    memory_free(m);
}

static void test_random_histories(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) run_history(seed, UINT64_MAX, 4000);
}

static void test_random_histories_in_little_memory(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed <= 160; seed++) run_history(seed, 20000, 6000);
}

/* ---- scans and growth ---- */

struct scanned {
    uint64_t last_hash;
    uint64_t count;
    uint8_t *seen;
};

static void scan_visit(void *user, struct store_item *item)
{
    struct scanned *scanned = user;
    uint32_t id;
    memcpy(&id, item->key, sizeof id);
    assert_true(item->hash >= scanned->last_hash);
    scanned->last_hash = item->hash;
    assert_int_equal(scanned->seen[id], 0);
    scanned->seen[id] = 1;
    scanned->count++;
}

static void insert_plain(struct store_space *space, uint32_t id, uint64_t hash, uint64_t lsn)
{
    struct store_item *item = store_insert(space, slice_of(&id, sizeof id), hash);
    store_will_change(space, item, lsn);
    item->object = blob_new(id, 1);
    store_changed(space, item);
}

static void test_scan_is_stable_while_the_table_grows(void **state)
{
    (void)state;
    enum { ITEMS = 60000 };
    struct model *m = memory_alloc(sizeof *m);
    model_init(m, 5, UINT64_MAX);
    struct store_space *space = store_partition_space(m->partitions[0], SPACE_DATA);
    struct scanned scanned = {.seen = memory_zalloc(ITEMS, 1)};
    uint32_t inserted = 0;
    for (; inserted < 1000; inserted++) insert_plain(space, inserted, inserted * 0x9e3779b97f4a7c15ull, 1);
    uint64_t cursor = 0;
    bool more = true;
    while (more) {
        more = store_scan(space, &cursor, 20, scan_visit, &scanned);
        for (int i = 0; i < 300 && inserted < ITEMS; i++, inserted++) {
            insert_plain(space, inserted, inserted * 0x9e3779b97f4a7c15ull, 1);
        }
    }
    for (uint32_t id = 0; id < 1000; id++) assert_int_equal(scanned.seen[id], 1); /* what was there is seen once */
    for (uint32_t id = 0; id < inserted; id++) {
        assert_non_null(store_find(space, slice_of(&id, sizeof id), id * 0x9e3779b97f4a7c15ull));
    }
    memset(scanned.seen, 0, ITEMS);
    scanned.count = scanned.last_hash = cursor = 0;
    while (store_scan(space, &cursor, 100, scan_visit, &scanned)) {}
    assert_int_equal(scanned.count, inserted);
    for (uint32_t id = 0; id < inserted; id += 2) {
        store_remove(space, store_find(space, slice_of(&id, sizeof id), id * 0x9e3779b97f4a7c15ull), 2);
    }
    assert_int_equal(store_space_count(space), inserted / 2);
    assert_int_equal(store_space_removed_lsn(space), 2);
    memory_free(scanned.seen);
    model_deinit(m);
    memory_free(m);
}

/* Keys made to share a bucket, or a whole hash, are slower but right. */
static void test_crowded_buckets(void **state)
{
    (void)state;
    struct model *m = memory_alloc(sizeof *m);
    model_init(m, 6, UINT64_MAX);
    struct store_space *space = store_partition_space(m->partitions[0], SPACE_DATA);
    for (uint32_t id = 0; id < 500; id++) insert_plain(space, id, id < 250 ? UINT64_MAX : id, 1);
    struct scanned scanned = {.seen = memory_zalloc(500, 1)};
    uint64_t cursor = 0;
    while (store_scan(space, &cursor, 7, scan_visit, &scanned)) {}
    assert_int_equal(scanned.count, 500);
    for (uint32_t id = 0; id < 500; id++) {
        struct store_item *item = store_find(space, slice_of(&id, sizeof id), id < 250 ? UINT64_MAX : id);
        assert_non_null(item);
        store_remove(space, item, 2);
    }
    assert_int_equal(store_space_count(space), 0);
    memory_free(scanned.seen);
    model_deinit(m);
    memory_free(m);
}

static void test_memory_account_returns_to_where_it_was(void **state)
{
    (void)state;
    struct model *m = memory_alloc(sizeof *m);
    model_init(m, 7, UINT64_MAX);
    struct store_space *space = store_partition_space(m->partitions[0], SPACE_DATA);
    uint32_t id = 0;
    insert_plain(space, id, 0, 1);
    store_remove(space, store_find(space, slice_of(&id, 4), 0), 1);
    settle(m);
    uint64_t before = store_memory_bytes(m->store);
    for (id = 0; id < 15; id++) insert_plain(space, id, id * 0x9e3779b97f4a7c15ull, 1);
    settle(m);
    assert_true(store_memory_bytes(m->store) > before);
    for (id = 0; id < 15; id++) {
        store_remove(space, store_find(space, slice_of(&id, 4), id * 0x9e3779b97f4a7c15ull), 2);
    }
    m->lsn = 2;
    settle(m);
    assert_int_equal(store_memory_bytes(m->store), before);
    model_deinit(m);
    memory_free(m);
}

static void test_account_of_a_dropped_partition_is_zero(void **state)
{
    (void)state;
    struct model *m = memory_alloc(sizeof *m);
    model_init(m, 14, 30000);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        struct store_space *space = store_partition_space(m->partitions[p], SPACE_DATA);
        for (uint32_t id = 0; id < 3000; id++) insert_plain(space, id, prng_u64(&m->prng), 1); /* buckets overflow */
    }
    m->lsn = 1;
    settle(m);
    while (store_work(m->store, 50)) {} /* the clock hand stands somewhere */
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        store_partition_drop(m->partitions[p]);
        while (store_work(m->store, 50)) {}
    }
    assert_int_equal(store_memory_bytes(m->store), 0);
    model_deinit(m);
    memory_free(m);
}

/* ---- single facts ---- */

static void test_written_is_not_flushed(void **state)
{
    (void)state;
    struct model *m = memory_alloc(sizeof *m);
    model_init(m, 15, UINT64_MAX);
    settle(m);
    store_flush(m->store);
    m->ops[0] = (struct op){0, SPACE_DATA, 3, 1};
    m->lsn = m->durable_lsn = 1;
    apply(m, &m->ops[0], 1);
    store_on_log_durable(m->store, 1);
    assert_true(store_write_back(m->partitions[0], 1));
    store_work(m->store, 100);
    while (complete_one(m)) {}
    m->lsn = m->durable_lsn = 2;
    assert_false(store_write_back(m->partitions[0], 2)); /* nothing to write, but what was written is not flushed */
    assert_int_equal(store_partition_flushed_lsn(m->partitions[0]), 0);
    assert_false(store_write_back(m->partitions[1], 2)); /* here there is nothing to flush */
    assert_int_equal(store_partition_flushed_lsn(m->partitions[1]), 2);
    store_flush(m->store);
    while (complete_one(m)) {}
    assert_int_equal(store_partition_flushed_lsn(m->partitions[0]), 2);
    model_deinit(m);
    memory_free(m);
}

static void list_record(void *user, struct slice key, struct slice value)
{
    buffer_append_slice(user, key);
    buffer_append_byte(user, '=');
    buffer_append_slice(user, value);
    buffer_append_byte(user, ' ');
}

static void test_system_records(void **state)
{
    (void)state;
    struct model *m = memory_alloc(sizeof *m);
    model_init(m, 8, UINT64_MAX);
    store_put_system(m->store, SLICE_LITERAL("a"), SLICE_LITERAL("1"));
    store_put_system(m->store, SLICE_LITERAL("b"), SLICE_LITERAL("2"));
    store_put_system(m->store, SLICE_LITERAL("a"), SLICE_LITERAL("3"));
    settle(m);
    crash(m);
    struct buffer text;
    buffer_init(&text, 100);
    store_visit_system(m->store, list_record, &text);
    assert_true(slice_equal(buffer_slice(&text), SLICE_LITERAL("a=3 b=2 ")));
    buffer_deinit(&text);
    model_deinit(m);
    memory_free(m);
}

static void test_a_foreign_or_newer_store_is_refused(void **state)
{
    (void)state;
    struct memory_kv kv;
    memory_kv_init(&kv);
    struct kv_port port = memory_kv_port(&kv);
    struct store_config config = {.memory_bytes_max = UINT64_MAX};
    struct buffer batch, error;
    buffer_init(&batch, 1000);
    buffer_init(&error, 1000);
    kv_batch_put(&batch, SLICE_LITERAL("something"), SLICE_LITERAL("else"));
    struct kv_request request = {.kind = KV_WRITE, .batch = batch};
    port.submit(port.world, &request);
    memory_kv_complete(&kv);
    struct store *store = store_new(&config, &port);
    assert_int_equal(store_open(store, on_partition, NULL, &error), STATUS_VERSION);
    store_free(store);
    buffer_clear(&request.batch);
    kv_batch_put(&request.batch, SLICE_LITERAL("\0format"), SLICE_LITERAL("\x0emeridian store\x02"));
    port.submit(port.world, &request);
    memory_kv_complete(&kv);
    store = store_new(&config, &port);
    assert_int_equal(store_open(store, on_partition, NULL, &error), STATUS_VERSION);
    store_free(store);
    buffer_deinit(&request.batch);
    buffer_deinit(&error);
    memory_kv_deinit(&kv);
}

static void test_dropped_partition_is_gone(void **state)
{
    (void)state;
    struct model *m = memory_alloc(sizeof *m);
    model_init(m, 9, UINT64_MAX);
    for (int i = 0; i < 500; i++) change_one(m);
    settle(m);
    for (int i = 0; i < 100; i++) change_one(m);
    m->durable_lsn = m->lsn;
    store_on_log_durable(m->store, m->durable_lsn);
    store_write_back(m->partitions[1], m->lsn);
    store_write_back(m->partitions[0], m->lsn);
    store_work(m->store, 10);
    store_partition_drop(m->partitions[1]); /* while a batch of it is being made */
    while (complete_one(m) || store_work(m->store, 100)) {}
    store_flush(m->store);
    while (complete_one(m)) {}
    memory_kv_crash(&m->kv, 0);
    store_free(m->store);
    open_store(m);
    assert_true(m->applied_at_rest[1] == UINT64_MAX && m->applied_at_rest[0] == m->lsn);
    assert_int_equal(store_space_count(store_partition_space(m->partitions[1], SPACE_DATA)), 0);
    model_deinit(m);
    memory_free(m);
}

static uint32_t answers;
static enum status answer;

static void count_answer(void *user, enum status status)
{
    (void)user;
    answers++;
    answer = status;
}

static void test_waiters_share_a_read_and_hear_of_failure(void **state)
{
    (void)state;
    struct model *m = memory_alloc(sizeof *m);
    model_init(m, 10, 1);
    m->lsn = 1;
    m->ops[0] = (struct op){0, SPACE_DATA, 3, 1};
    apply(m, &m->ops[0], 1);
    settle(m);
    while (store_work(m->store, 100)) {}
    char text[32];
    struct store_space *space = store_partition_space(m->partitions[0], SPACE_DATA);
    struct store_item *item = store_find(space, key_of(3, text), hash_of(3));
    assert_true(store_item_is_cold(item));
    answers = 0;
    m->kv.get_status = STATUS_IO;
    store_fetch(space, item, count_answer, NULL);
    store_fetch(space, item, count_answer, NULL);
    assert_int_equal(m->kv.requests_count, 1);
    complete_one(m);
    assert_int_equal(answers, 2);
    assert_int_equal(answer, STATUS_IO);
    assert_true(store_item_is_cold(item));
    m->kv.get_status = STATUS_OK;
    store_fetch(space, item, count_answer, NULL);
    complete_one(m);
    assert_int_equal(answer, STATUS_OK);
    assert_false(store_item_is_cold(item));
    while (store_work(m->store, 100)) {}
    assert_true(store_item_is_cold(item));
    struct buffer *value = memory_kv_value(&m->kv, buffer_slice(&m->kv.live.pairs[m->kv.live.count - 1].key));
    store_fetch(space, item, count_answer, NULL);
    store__key(m->partitions[0], SPACE_DATA, item, &m->error);
    value = memory_kv_value(&m->kv, buffer_slice(&m->error));
    value->data[3] ^= 0xff;
    complete_one(m);
    assert_int_equal(answer, STATUS_CORRUPT);
    store_fetch(space, item, count_answer, NULL);
    store_remove(space, item, 2); /* while it is read */
    complete_one(m);
    assert_int_equal(answers, 5);
    model_deinit(m);
    memory_free(m);
}

/* A change that is not logged keeps the item's position, which was flushed long ago: its old value rests there. */
static void test_unlogged_change_is_not_evicted_before_it_rests(void **state)
{
    (void)state;
    struct model *m = memory_alloc(sizeof *m);
    model_init(m, 16, 1);
    m->lsn = 1;
    m->ops[0] = (struct op){0, SPACE_DATA, 3, 1};
    apply(m, &m->ops[0], 1);
    settle(m);
    while (store_work(m->store, 100)) {}
    char text[32];
    struct store_space *space = store_partition_space(m->partitions[0], SPACE_DATA);
    struct store_item *item = store_find(space, key_of(3, text), hash_of(3));
    store_fetch(space, item, count_answer, NULL);
    complete_one(m);
    store_will_change(space, item, item->lsn);
    store_changed(space, item);
    m->kv.full = true;
    assert_true(store_write_back(m->partitions[0], m->lsn));
    for (int i = 0; i < 5; i++) {
        while (store_work(m->store, 100)) {}
        while (complete_one(m)) {}
    }
    assert_false(store_item_is_cold(item));
    m->kv.full = false;
    m->now_ns += 2 * STORE_RETRY_NS;
    store_tick(m->store, m->now_ns);
    while (complete_one(m)) {}
    while (store_work(m->store, 100)) {}
    assert_false(store_item_is_cold(item)); /* written, not flushed */
    store_flush(m->store);
    while (complete_one(m)) {}
    for (int i = 0; i < 5; i++) (void)store_work(m->store, 100);
    assert_true(store_item_is_cold(item));
    model_deinit(m);
    memory_free(m);
}

static void test_nothing_is_submitted_ahead_of_the_log(void **state)
{
    (void)state;
    struct model *m = memory_alloc(sizeof *m);
    model_init(m, 11, UINT64_MAX);
    change_one(m);
    settle(m);
    while (m->lsn < 20) change_one(m);
    uint32_t p = m->ops[m->lsn - 1].partition;
    assert_true(store_write_back(m->partitions[p], m->lsn));
    assert_false(store_work(m->store, 1000));
    assert_int_equal(m->kv.requests_count, 0);
    store_on_log_durable(m->store, m->lsn - 1);
    assert_false(store_work(m->store, 1000));
    assert_int_equal(m->kv.requests_count, 0);
    store_on_log_durable(m->store, m->lsn);
    store_work(m->store, 1000);
    assert_int_equal(m->kv.requests_count, 1);
    model_deinit(m);
    memory_free(m);
}

static void test_meta_alone_is_written_back(void **state)
{
    (void)state;
    struct model *m = memory_alloc(sizeof *m);
    model_init(m, 12, UINT64_MAX);
    change_one(m);
    settle(m);
    assert_false(store_write_back(m->partitions[2], m->lsn));
    store_meta_changed(m->partitions[2], m->lsn);
    assert_true(store_write_back(m->partitions[2], m->lsn));
    assert_false(store_write_back(m->partitions[2], m->lsn)); /* one at a time */
    settle(m);
    model_deinit(m);
    memory_free(m);
}

static void test_full_key_value_store_recovers_by_itself(void **state)
{
    (void)state;
    struct model *m = memory_alloc(sizeof *m);
    model_init(m, 13, UINT64_MAX);
    for (int i = 0; i < 50; i++) change_one(m);
    m->durable_lsn = m->lsn;
    store_on_log_durable(m->store, m->lsn);
    m->kv.full = true;
    for (int p = 0; p < PARTITIONS; p++) store_write_back(m->partitions[p], m->lsn);
    store_flush(m->store);
    for (int i = 0; i < 5; i++) {
        m->now_ns += 2 * STORE_RETRY_NS;
        store_tick(m->store, m->now_ns);
        while (store_work(m->store, 50)) {}
        while (complete_one(m)) {}
        assert_int_equal(store_health(m->store), STATUS_NO_SPACE);
        assert_false(store_is_idle(m->store));
    }
    assert_int_equal(m->kv.live.count, 0); /* nothing overtook the format record */
    m->kv.full = false;
    store_tick(m->store, m->now_ns); /* not yet */
    assert_int_equal(m->kv.requests_count, 0);
    for (int i = 0; i < 5; i++) {
        m->now_ns += 2 * STORE_RETRY_NS;
        store_tick(m->store, m->now_ns);
        while (store_work(m->store, 50)) {}
        while (complete_one(m)) {}
    }
    assert_int_equal(store_health(m->store), STATUS_OK);
    assert_true(store_is_idle(m->store));
    store_flush(m->store);
    while (complete_one(m)) {}
    for (int p = 0; p < PARTITIONS; p++) assert_int_equal(store_partition_flushed_lsn(m->partitions[p]), m->lsn);
    model_deinit(m);
    memory_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_key_value_store_recovers_by_itself),
        cmocka_unit_test(test_scan_is_stable_while_the_table_grows),
        cmocka_unit_test(test_crowded_buckets),
        cmocka_unit_test(test_memory_account_returns_to_where_it_was),
        cmocka_unit_test(test_account_of_a_dropped_partition_is_zero),
        cmocka_unit_test(test_written_is_not_flushed),
        cmocka_unit_test(test_unlogged_change_is_not_evicted_before_it_rests),
        cmocka_unit_test(test_system_records),
        cmocka_unit_test(test_a_foreign_or_newer_store_is_refused),
        cmocka_unit_test(test_dropped_partition_is_gone),
        cmocka_unit_test(test_waiters_share_a_read_and_hear_of_failure),
        cmocka_unit_test(test_nothing_is_submitted_ahead_of_the_log),
        cmocka_unit_test(test_meta_alone_is_written_back),
        cmocka_unit_test(test_random_histories),
        cmocka_unit_test(test_random_histories_in_little_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
