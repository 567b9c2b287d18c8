/* store_model.c: see store_model.h. Every failure ends the test at hand. */
#include "tests/unit/storage/store_model.h"

#include "base/memory.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

struct blob *blob_new(uint32_t id, uint32_t version)
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

struct slice model_key(uint32_t id, char out[32])
{
    return slice_of(out, (size_t)snprintf(out, 32, "key-%u", id));
}

uint64_t model_hash(uint32_t id)
{
    uint64_t group = id % 5 == 0 ? id - id % 10 : id; /* some share their whole hash */
    return (group + 1) * 0x9e3779b97f4a7c15ull;
}

static void encode_meta(void *user, struct buffer *out)
{
    const struct model *m = user;
    buffer_append(out, &m->lsn, sizeof m->lsn);
}

void model_on_partition(void *user, uint64_t table, uint16_t partition, struct slice meta)
{
    struct model *m = user;
    assert_int_equal(table, 1000 + partition);
    assert_true(partition < PARTITIONS && meta.length == 8);
    memcpy(&m->applied_at_rest[partition], meta.data, 8);
}

void model_open(struct model *m)
{
    struct store_config config = {.memory_bytes_max = m->memory_bytes_max};
    struct kv_port port = memory_kv_port(&m->kv);
    m->store = store_new(&config, &port);
    for (int p = 0; p < PARTITIONS; p++) m->applied_at_rest[p] = UINT64_MAX;
    assert_int_equal(store_open(m->store, model_on_partition, m, &m->error), STATUS_OK);
    for (uint16_t p = 0; p < PARTITIONS; p++) {
        struct store_partition_owner owner = {.user = m, .encode_meta = encode_meta};
        for (int kind = 0; kind < SPACE_KIND_COUNT; kind++) owner.functions[kind] = blob_functions;
        assert_int_equal(store_partition_open(m->store, 1000 + p, p, &owner, &m->partitions[p]), STATUS_OK);
    }
    store_on_log_durable(m->store, m->durable_lsn);
}

void model_init(struct model *m, uint64_t seed, uint64_t memory_bytes_max)
{
    memset(m, 0, sizeof *m);
    memory_kv_init(&m->kv);
    prng_init(&m->prng, seed);
    buffer_init(&m->error, 4096);
    m->memory_bytes_max = memory_bytes_max;
    model_open(m);
}

void model_deinit(struct model *m)
{
    store_free(m->store);
    memory_kv_deinit(&m->kv);
    buffer_deinit(&m->error);
}

void model_apply(struct model *m, const struct op *op, uint64_t lsn)
{
    char text[32];
    struct slice key = model_key(op->id, text);
    struct store_space *space = store_partition_space(m->partitions[op->partition], (enum store_space_kind)op->kind);
    struct store_item *item = store_find(space, key, model_hash(op->id));
    if (op->version == 0) {
        if (item) store_remove(space, item, lsn);
        return;
    }
    if (!item) item = store_insert(space, key, model_hash(op->id));
    store_will_change(space, item, lsn);
    memory_free(item->object);
    item->object = blob_new(op->id, op->version);
    store_changed(space, item);
}

void model_check_item(const struct model *m, uint32_t p, uint32_t kind, uint32_t id, const struct store_item *item)
{
    const struct blob *blob = item->object;
    assert_int_equal(blob->id, id);
    assert_int_equal(blob->version, m->version[p][kind][id]);
}

void model_check_all(struct model *m)
{
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        for (uint32_t kind = 0; kind < SPACE_KIND_COUNT; kind++) {
            struct store_space *space = store_partition_space(m->partitions[p], (enum store_space_kind)kind);
            uint64_t count = 0;
            for (uint32_t id = 0; id < KEYS; id++) {
                char text[32];
                struct store_item *item = store_find(space, model_key(id, text), model_hash(id));
                assert_int_equal(item != NULL, m->version[p][kind][id] != 0);
                count += item != NULL;
                if (!item) continue;
                if (store_item_is_cold(item)) {
                    if (!list_is_empty(&m->store->under_way)) continue;
                    assert_int_equal(store_fetch_now(space, item), STATUS_OK);
                }
                model_check_item(m, p, kind, id, item);
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

void model_crash(struct model *m)
{
    uint64_t flushed[PARTITIONS];
    for (int p = 0; p < PARTITIONS; p++) flushed[p] = store_partition_flushed_lsn(m->partitions[p]);
    memory_kv_crash(&m->kv, (size_t)prng_below(&m->prng, m->kv.batches_count + 1));
    store_free(m->store);
    m->lsn = m->durable_lsn; /* what was not synced is forgotten */
    model_open(m);
    m->crashes++;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        uint64_t applied = m->applied_at_rest[p] == UINT64_MAX ? 0 : m->applied_at_rest[p];
        assert_true(applied <= m->durable_lsn); /* the log came first */
        assert_true(flushed[p] <= m->durable_lsn || flushed[p] == 0);
        for (uint64_t i = applied; i < flushed[p]; i++) assert_int_not_equal(m->ops[i].partition, p);
        state_as_of(m, p, applied);
    }
    model_check_all(m); /* each partition as of its own applied position, exactly */
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        uint64_t applied = m->applied_at_rest[p] == UINT64_MAX ? 0 : m->applied_at_rest[p];
        for (uint64_t i = applied; i < m->lsn; i++) {
            if (m->ops[i].partition == p) model_apply(m, &m->ops[i], i + 1);
        }
        state_as_of(m, p, m->lsn);
    }
    model_check_all(m);
}

void model_change_one(struct model *m)
{
    if (m->lsn == OPS_MAX) return;
    struct op *op = &m->ops[m->lsn++];
    op->partition = (uint32_t)prng_below(&m->prng, PARTITIONS);
    op->kind = prng_chance(&m->prng, 1, 4);
    op->id = (uint32_t)prng_below(&m->prng, prng_chance(&m->prng, 1, 2) ? KEYS : 20);
    bool is_there = m->version[op->partition][op->kind][op->id] != 0;
    op->version = is_there && prng_chance(&m->prng, 1, 4) ? 0 : (uint32_t)m->lsn;
    model_apply(m, op, m->lsn);
    m->version[op->partition][op->kind][op->id] = op->version;
}

bool model_complete_one(struct model *m)
{
    struct kv_request *request = memory_kv_complete(&m->kv);
    if (request) store_on_kv_done(m->store, request);
    return request != NULL;
}

void model_settle(struct model *m)
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
        } while (model_complete_one(m));
        store_flush(m->store);
        while (model_complete_one(m)) {}
    }
    assert_true(store_is_idle(m->store));
    assert_int_equal(store_health(m->store), STATUS_OK);
    for (int p = 0; p < PARTITIONS; p++) {
        assert_int_equal(store_partition_flushed_lsn(m->partitions[p]), m->lsn);
        assert_int_equal(store_partition_dirty_count(m->partitions[p]), 0);
    }
}
