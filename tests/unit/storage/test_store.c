/* test_store.c: scans, accounts and single facts of the store. */
#include "tests/unit/storage/store_model.h"

#include "base/memory.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

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
    model_settle(m);
    uint64_t before = store_memory_bytes(m->store);
    for (id = 0; id < 15; id++) insert_plain(space, id, id * 0x9e3779b97f4a7c15ull, 1);
    model_settle(m);
    assert_true(store_memory_bytes(m->store) > before);
    for (id = 0; id < 15; id++) {
        store_remove(space, store_find(space, slice_of(&id, 4), id * 0x9e3779b97f4a7c15ull), 2);
    }
    m->lsn = 2;
    model_settle(m);
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
    model_settle(m);
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
    model_settle(m);
    store_flush(m->store);
    m->ops[0] = (struct op){0, SPACE_DATA, 3, 1};
    m->lsn = m->durable_lsn = 1;
    model_apply(m, &m->ops[0], 1);
    store_on_log_durable(m->store, 1);
    assert_true(store_write_back(m->partitions[0], 1));
    store_work(m->store, 100);
    while (model_complete_one(m)) {}
    m->lsn = m->durable_lsn = 2;
    assert_false(store_write_back(m->partitions[0], 2)); /* nothing to write, but what was written is not flushed */
    assert_int_equal(store_partition_flushed_lsn(m->partitions[0]), 0);
    assert_false(store_write_back(m->partitions[1], 2)); /* here there is nothing to flush */
    assert_int_equal(store_partition_flushed_lsn(m->partitions[1]), 2);
    store_flush(m->store);
    while (model_complete_one(m)) {}
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
    model_settle(m);
    model_crash(m);
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
    assert_int_equal(store_open(store, model_on_partition, NULL, &error), STATUS_VERSION);
    store_free(store);
    buffer_clear(&request.batch);
    kv_batch_put(&request.batch, SLICE_LITERAL("\0format"), SLICE_LITERAL("\x0emeridian store\x02"));
    port.submit(port.world, &request);
    memory_kv_complete(&kv);
    store = store_new(&config, &port);
    assert_int_equal(store_open(store, model_on_partition, NULL, &error), STATUS_VERSION);
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
    for (int i = 0; i < 500; i++) model_change_one(m);
    model_settle(m);
    for (int i = 0; i < 100; i++) model_change_one(m);
    m->durable_lsn = m->lsn;
    store_on_log_durable(m->store, m->durable_lsn);
    store_write_back(m->partitions[1], m->lsn);
    store_write_back(m->partitions[0], m->lsn);
    store_work(m->store, 10);
    store_partition_drop(m->partitions[1]); /* while a batch of it is being made */
    while (model_complete_one(m) || store_work(m->store, 100)) {}
    store_flush(m->store);
    while (model_complete_one(m)) {}
    memory_kv_crash(&m->kv, 0);
    store_free(m->store);
    model_open(m);
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
    model_apply(m, &m->ops[0], 1);
    model_settle(m);
    while (store_work(m->store, 100)) {}
    char text[32];
    struct store_space *space = store_partition_space(m->partitions[0], SPACE_DATA);
    struct store_item *item = store_find(space, model_key(3, text), model_hash(3));
    assert_true(store_item_is_cold(item));
    answers = 0;
    m->kv.get_status = STATUS_IO;
    store_fetch(space, item, count_answer, NULL);
    store_fetch(space, item, count_answer, NULL);
    assert_int_equal(m->kv.requests_count, 1);
    model_complete_one(m);
    assert_int_equal(answers, 2);
    assert_int_equal(answer, STATUS_IO);
    assert_true(store_item_is_cold(item));
    m->kv.get_status = STATUS_OK;
    store_fetch(space, item, count_answer, NULL);
    model_complete_one(m);
    assert_int_equal(answer, STATUS_OK);
    assert_false(store_item_is_cold(item));
    while (store_work(m->store, 100)) {}
    assert_true(store_item_is_cold(item));
    struct buffer *value = memory_kv_value(&m->kv, buffer_slice(&m->kv.live.pairs[m->kv.live.count - 1].key));
    store_fetch(space, item, count_answer, NULL);
    store__key(m->partitions[0], SPACE_DATA, item, &m->error);
    value = memory_kv_value(&m->kv, buffer_slice(&m->error));
    value->data[3] ^= 0xff;
    model_complete_one(m);
    assert_int_equal(answer, STATUS_CORRUPT);
    store_fetch(space, item, count_answer, NULL);
    store_remove(space, item, 2); /* while it is read */
    model_complete_one(m);
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
    model_apply(m, &m->ops[0], 1);
    model_settle(m);
    while (store_work(m->store, 100)) {}
    char text[32];
    struct store_space *space = store_partition_space(m->partitions[0], SPACE_DATA);
    struct store_item *item = store_find(space, model_key(3, text), model_hash(3));
    store_fetch(space, item, count_answer, NULL);
    model_complete_one(m);
    store_will_change(space, item, item->lsn);
    store_changed(space, item);
    m->kv.full = true;
    assert_true(store_write_back(m->partitions[0], m->lsn));
    for (int i = 0; i < 5; i++) {
        while (store_work(m->store, 100)) {}
        while (model_complete_one(m)) {}
    }
    assert_false(store_item_is_cold(item));
    m->kv.full = false;
    m->now_ns += 2 * STORE_RETRY_NS;
    store_tick(m->store, m->now_ns);
    while (model_complete_one(m)) {}
    while (store_work(m->store, 100)) {}
    assert_false(store_item_is_cold(item)); /* written, not flushed */
    store_flush(m->store);
    while (model_complete_one(m)) {}
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
    model_change_one(m);
    model_settle(m);
    while (m->lsn < 20) model_change_one(m);
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
    model_change_one(m);
    model_settle(m);
    assert_false(store_write_back(m->partitions[2], m->lsn));
    store_meta_changed(m->partitions[2], m->lsn);
    assert_true(store_write_back(m->partitions[2], m->lsn));
    assert_false(store_write_back(m->partitions[2], m->lsn)); /* one at a time */
    model_settle(m);
    model_deinit(m);
    memory_free(m);
}

static void test_full_key_value_store_recovers_by_itself(void **state)
{
    (void)state;
    struct model *m = memory_alloc(sizeof *m);
    model_init(m, 13, UINT64_MAX);
    for (int i = 0; i < 50; i++) model_change_one(m);
    m->durable_lsn = m->lsn;
    store_on_log_durable(m->store, m->lsn);
    m->kv.full = true;
    for (int p = 0; p < PARTITIONS; p++) store_write_back(m->partitions[p], m->lsn);
    store_flush(m->store);
    for (int i = 0; i < 5; i++) {
        m->now_ns += 2 * STORE_RETRY_NS;
        store_tick(m->store, m->now_ns);
        while (store_work(m->store, 50)) {}
        while (model_complete_one(m)) {}
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
        while (model_complete_one(m)) {}
    }
    assert_int_equal(store_health(m->store), STATUS_OK);
    assert_true(store_is_idle(m->store));
    store_flush(m->store);
    while (model_complete_one(m)) {}
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
