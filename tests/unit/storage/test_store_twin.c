/* test_store_twin.c: the store against its naive twin, with crashes between any two steps, full disks and little
 * memory. */
#include "tests/unit/storage/store_model.h"

#include "base/memory.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

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
    struct store_item *item = store_find(space, model_key(fetch->id, text), model_hash(fetch->id));
    assert_int_equal(item != NULL, m->version[fetch->p][fetch->kind][fetch->id] != 0);
    if (item && !store_item_is_cold(item)) model_check_item(m, fetch->p, fetch->kind, fetch->id, item);
    m->fetches++;
    memory_free(fetch);
}

static void read_one(struct model *m)
{
    uint32_t p = (uint32_t)prng_below(&m->prng, PARTITIONS), id = (uint32_t)prng_below(&m->prng, KEYS);
    uint32_t kind = (uint32_t)prng_below(&m->prng, SPACE_KIND_COUNT);
    struct store_space *space = store_partition_space(m->partitions[p], (enum store_space_kind)kind);
    char text[32];
    struct store_item *item = store_find(space, model_key(id, text), model_hash(id));
    assert_int_equal(item != NULL, m->version[p][kind][id] != 0);
    if (!item) return;
    if (store_item_is_cold(item)) {
        struct fetch *fetch = memory_alloc(sizeof *fetch);
        *fetch = (struct fetch){m, p, kind, id};
        store_fetch(space, item, on_fetched, fetch);
    } else {
        model_check_item(m, p, kind, id, item);
    }
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
    case 3: model_change_one(m); break;
    case 4: read_one(m); break;
    case 5: store_work(m->store, (uint32_t)prng_below(&m->prng, 30)); break;
    case 6: model_complete_one(m); break;
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
            while (has_fetches(m)) model_complete_one(m); /* their waiters live in this test */
            model_crash(m);
        }
        break;
    }
}

static void run_history(uint64_t seed, uint64_t memory_bytes_max, uint32_t steps)
{
    struct model *m = memory_alloc(sizeof *m);
    model_init(m, seed, memory_bytes_max);
    for (uint32_t i = 0; i < steps; i++) random_step(m);
    model_settle(m);
    model_check_all(m);
    while (store_work(m->store, 50)) {}
    assert_true(store_memory_bytes(m->store) <= memory_bytes_max || memory_bytes_max < 100000);
    m->durable_lsn = m->lsn;
    model_crash(m);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_histories),
        cmocka_unit_test(test_random_histories_in_little_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
