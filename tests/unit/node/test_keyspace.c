/* The walk over the keyspace, against a naive store: a sorted array whose hashes collide as often as the test likes.
 * The calls of keyspace.c into replicas, store and objects end in the fakes below; nothing of the shard is linked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/memory.h"
#include "node/keyspace.c"

/* ---- the fakes ---- */

enum { ITEMS_MAX = 8192 };

struct object {
    enum object_type type;
    bool present;
};

struct replica {
    struct store_item *items[ITEMS_MAX]; /* sorted by hash */
    uint32_t count;
    uint64_t garbage;
};

struct store_space *replica_data(struct replica *r)
{
    return (struct store_space *)r;
}

uint64_t replica_read_lsn(const struct replica *r, const struct store_item *item)
{
    (void)r;
    return item ? item->lsn : 1;
}

uint64_t replica_garbage_count(const struct replica *r)
{
    return r->garbage;
}

uint64_t store_space_count(const struct store_space *space)
{
    return ((const struct replica *)space)->count;
}

bool store_item_is_cold(const struct store_item *item)
{
    return item->object == NULL;
}

enum object_type object_type(const struct object *o, uint64_t now_ms)
{
    (void)now_ms;
    return o->present ? o->type : OBJECT_NONE;
}

bool store_scan(struct store_space *space, uint64_t *io_cursor, uint32_t count_min,
                void (*visit_item)(void *user, struct store_item *item), void *user)
{
    struct replica *r = (struct replica *)space;
    uint32_t at = 0, visited = 0;
    while (at < r->count && r->items[at]->hash < *io_cursor) at++;
    while (at < r->count) {
        uint64_t hash = r->items[at]->hash;
        for (; at < r->count && r->items[at]->hash == hash; at++, visited++) visit_item(user, r->items[at]);
        if (visited >= count_min && at < r->count) {
            *io_cursor = hash + 1;
            return true;
        }
    }
    return false;
}

const char *scan_options_parse(const struct slice *args, size_t args_count, size_t at, bool type_allowed,
                               struct scan_options *out)
{
    (void)args, (void)args_count, (void)at, (void)type_allowed;
    *out = (struct scan_options){.count = 3};
    return NULL;
}

enum object_type object_type_of_name(struct slice name)
{
    (void)name;
    return OBJECT_NONE;
}

void reply_bulk_u64(struct buffer *reply, uint64_t value)
{
    (void)reply, (void)value;
}

struct store_space *machine_data_space(struct machine *m)
{
    (void)m;
    return NULL;
}

enum value_type machine_item_type(const struct machine *m, const struct store_item *item, uint64_t now_ms)
{
    (void)m, (void)item, (void)now_ms;
    return VALUE_NONE;
}

enum value_type value_type_of_name(struct slice name)
{
    (void)name;
    return VALUE_NONE;
}

/* ---- the world of one test ---- */

static struct replica world;
static struct object live_string = {OBJECT_STRING, true}, live_set = {OBJECT_SET, true}, dead = {OBJECT_STRING, false};
static struct prng prng;
static const struct replica_now now;

static int compare_items(const void *a, const void *b)
{
    const struct store_item *x = *(struct store_item *const *)a, *y = *(struct store_item *const *)b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return slice_compare(store_item_key(x), store_item_key(y));
}

static void put(uint64_t hash, uint32_t name, struct object *object)
{
    struct replica *r = &world;
    assert_true(r->count < ITEMS_MAX);
    struct store_item *item = memory_zalloc(1, sizeof *item + sizeof name);
    item->hash = hash;
    item->object = object;
    item->lsn = 10;
    item->key_bytes = sizeof name;
    memcpy(item->key, &name, sizeof name);
    r->items[r->count++] = item;
    qsort(r->items, r->count, sizeof r->items[0], compare_items);
}

static void take(uint32_t index)
{
    struct replica *r = &world;
    memory_free(r->items[index]);
    memmove(&r->items[index], &r->items[index + 1], (--r->count - index) * sizeof r->items[0]);
}

static int setup(void **state)
{
    (void)state;
    prng_init(&prng, 7);
    memset(&world, 0, sizeof world);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    while (world.count > 0) take(world.count - 1);
    return 0;
}

/* A hash of few different prefixes and few different low halves, the extremes among them. */
static uint64_t narrow_hash(void)
{
    static const uint64_t halves[] = {0, 1, 2, 0x7fffffff, 0xfffffffe, 0xffffffff};
    uint64_t high = halves[prng_below(&prng, 6)], low = halves[prng_below(&prng, 6)];
    return high << 32 | low;
}

static uint32_t name_read(struct reader *reader)
{
    struct slice key = read_bytes(reader);
    uint32_t name;
    assert_int_equal(key.length, sizeof name);
    memcpy(&name, key.data, sizeof name);
    return name;
}

static struct keyspace_query everything(uint32_t items_max)
{
    return (struct keyspace_query){.kind = KEYSPACE_SCAN, .items_max = items_max, .match_all = true, .any_type = true};
}

static const struct keyspace_place place = {.replica = &world};

/* A whole scan through packed cursors; `seen[name]` counts. `between` changes the store between calls. */
static void scan_all(const struct keyspace_query *query, uint32_t *seen, void (*between)(void))
{
    struct keyspace_cursor cursor = {.table_index = 3, .partition = 5};
    struct keyspace_answer answer = {0};
    struct buffer keys;
    buffer_init(&keys, 8 << 20);
    for (int calls = 0;; calls++) {
        assert_true(calls < 4 * ITEMS_MAX);
        buffer_clear(&keys);
        answer.keys = &keys;
        keyspace_scan(place, query, cursor.hash, now, &answer);
        assert_null(answer.cold);
        struct reader reader = reader_of(buffer_slice(&keys));
        for (uint64_t i = 0; i < answer.count; i++) seen[name_read(&reader)]++;
        assert_true(reader_finished(&reader));
        if (answer.ended) break;
        assert_true(answer.next_hash > cursor.hash);
        cursor.hash = answer.next_hash;
        char text[32];
        int length = snprintf(text, sizeof text, "%llu", (unsigned long long)keyspace_cursor_pack(cursor));
        assert_true(keyspace_cursor_parse(slice_of(text, (size_t)length), &cursor));
        assert_int_equal(cursor.table_index, 3);
        assert_int_equal(cursor.partition, 5);
        if (between) between();
    }
    buffer_deinit(&keys);
}

static void test_cursor_text(void **state)
{
    (void)state;
    struct keyspace_cursor c = {.table_index = 1023, .partition = 1023, .hash = 0xffffffffull << 32};
    assert_true(keyspace_cursor_pack(c) == (UINT64_C(1) << 52) - 1);
    struct keyspace_cursor back;
    assert_true(keyspace_cursor_parse(slice_of_string("4503599627370495"), &back));
    assert_memory_equal(&back.hash, &c.hash, sizeof c.hash);
    assert_int_equal(back.table_index, 1023);
    assert_int_equal(back.partition, 1023);
    static const char *const wrong[] = {"", "-1", "4503599627370496", "18446744073709551616", "1x", " 1", "0x1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(keyspace_cursor_parse(slice_of_string(wrong[i]), &back));
    }
}

static void test_each_key_once(void **state)
{
    (void)state;
    for (uint32_t step = 1; step <= 40; step = step * 2 + 1) {
        uint32_t seen[600] = {0};
        teardown(NULL);
        for (uint32_t name = 0; name < 600; name++) {
            uint64_t hash = name % 2 ? narrow_hash() : prng_u64(&prng);
            put(hash, name, name % 3 ? &live_string : &dead);
        }
        struct keyspace_query query = everything(step);
        scan_all(&query, seen, NULL);
        for (uint32_t name = 0; name < 600; name++) assert_int_equal(seen[name], name % 3 ? 1 : 0);
    }
}

/* Names from 300 on come and go. */
static void come_and_go(void)
{
    struct replica *r = &world;
    for (uint32_t i = 0; i < r->count; i++) {
        uint32_t name;
        memcpy(&name, r->items[i]->key, sizeof name);
        if (name >= 300 && prng_chance(&prng, 1, 4)) take(i--);
    }
    for (int i = 0; i < 5 && r->count < 500; i++) {
        put(prng_chance(&prng, 1, 2) ? narrow_hash() : prng_u64(&prng), 300 + (uint32_t)prng_below(&prng, 300),
            &live_string);
    }
}

static void test_what_stays_is_found_once_while_others_move(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        uint32_t seen[600] = {0};
        teardown(NULL);
        for (uint32_t name = 0; name < 300; name++) {
            put(prng_chance(&prng, 1, 2) ? narrow_hash() : prng_u64(&prng), name, &live_string);
        }
        struct keyspace_query query = everything(1 + (uint32_t)prng_below(&prng, 20));
        scan_all(&query, seen, come_and_go);
        for (uint32_t name = 0; name < 300; name++) assert_int_equal(seen[name], 1);
    }
}

static void test_filters(void **state)
{
    (void)state;
    put(1, 0, &live_string);
    put(2, 1, &live_set);
    put(3, 2, &live_set);
    uint32_t seen[3] = {0};
    struct keyspace_query query = everything(10);
    query.any_type = false;
    query.type = OBJECT_SET;
    scan_all(&query, seen, NULL);
    assert_int_equal(seen[0], 0);
    assert_int_equal(seen[1], 1);
    assert_int_equal(seen[2], 1);
    query = everything(10);
    query.match_all = false;
    uint32_t name = 2;
    query.pattern = slice_of(&name, sizeof name);
    scan_all(&query, seen, NULL);
    assert_int_equal(seen[1], 1);
    assert_int_equal(seen[2], 2);
}

static void test_a_cold_item_stops_before_its_prefix(void **state)
{
    (void)state;
    put(5, 0, &live_string);
    put(7ull << 32, 1, &live_string);
    put((7ull << 32) + 1, 2, NULL);
    struct buffer keys;
    buffer_init(&keys, 1 << 20);
    struct keyspace_answer answer = {.keys = &keys};
    struct keyspace_query query = everything(100);
    keyspace_scan(place, &query, 0, now, &answer);
    assert_int_equal(answer.count, 1); /* of the cold one's prefix nothing is told yet */
    assert_false(answer.ended);
    assert_ptr_equal(answer.cold, world.items[2]);
    assert_true(answer.next_hash == 7ull << 32);
    world.items[2]->object = &live_string;
    buffer_clear(&keys);
    keyspace_scan(place, &query, answer.next_hash, now, &answer);
    assert_int_equal(answer.count, 2);
    assert_true(answer.ended);
    assert_int_equal(answer.wait_lsn, 10);
    buffer_deinit(&keys);
}

static void test_long_keys_end_a_call(void **state)
{
    (void)state;
    struct object *live = &live_string;
    for (uint64_t i = 0; i < 64; i++) {
        struct store_item *item = memory_zalloc(1, sizeof *item + 64 * 1024);
        *item = (struct store_item){.object = live, .hash = i << 32, .key_bytes = 64 * 1024};
        world.items[world.count++] = item;
    }
    struct buffer keys;
    buffer_init(&keys, KEYSPACE_STEP_BYTES_MAX + 128 * 1024);
    struct keyspace_answer answer = {.keys = &keys};
    struct keyspace_query query = everything(KEYSPACE_STEP_ITEMS_MAX);
    uint64_t found = 0, calls = 0;
    for (uint64_t hash = 0; calls == 0 || !answer.ended; hash = answer.next_hash, calls++) {
        buffer_clear(&keys);
        keyspace_scan(place, &query, hash, now, &answer);
        assert_false(keys.overflowed);
        found += answer.count;
    }
    assert_int_equal(found, 64);
    assert_int_equal(calls, 4);
    buffer_deinit(&keys);
}

static void test_counting(void **state)
{
    (void)state;
    for (uint32_t name = 0; name < 6000; name++) {
        put(prng_u64(&prng), name, name % 3 ? &live_string : &dead);
    }
    struct keyspace_answer answer = {0};
    keyspace_count(place, 0, now, &answer);
    assert_int_equal(answer.count, 6000); /* without garbage every item is a key */
    world.garbage = 1000;
    uint64_t sum = 0;
    uint64_t at = 0;
    do {
        keyspace_count(place, at, now, &answer);
        sum += answer.count;
        at = answer.next_hash;
    } while (!answer.ended);
    assert_int_equal(sum, 4000);
}

static void test_random_reaches_every_live_key(void **state)
{
    (void)state;
    for (uint32_t name = 0; name < 100; name++) {
        put(prng_u64(&prng), name, name % 4 ? &live_string : &dead);
    }
    uint32_t seen[100] = {0};
    struct buffer keys;
    buffer_init(&keys, 1 << 20);
    for (int i = 0; i < 20000; i++) {
        buffer_clear(&keys);
        struct keyspace_answer answer = {.keys = &keys};
        keyspace_random(place, &prng, now, &answer);
        assert_int_equal(answer.count, 1);
        struct reader reader = reader_of(buffer_slice(&keys));
        seen[name_read(&reader)]++;
        assert_true(reader_finished(&reader));
    }
    for (uint32_t name = 0; name < 100; name++) assert_int_equal(seen[name] > 0, name % 4 != 0);
    buffer_deinit(&keys);
}

/* Few keys, as a partition of a small table has: none may be almost out of reach, wherever their hashes lie. */
static void test_random_is_fair_to_few_keys(void **state)
{
    (void)state;
    static const uint64_t hashes[] = {1ull << 33, 3ull << 33, 5ull << 33, 1ull << 62, ~0ull - 5};
    enum { KEYS = sizeof hashes / sizeof hashes[0], DRAWS = 5000 };
    for (uint32_t name = 0; name < KEYS; name++) put(hashes[name], name, &live_string);
    uint32_t seen[KEYS] = {0};
    struct buffer keys;
    buffer_init(&keys, 1 << 20);
    for (int i = 0; i < DRAWS; i++) {
        buffer_clear(&keys);
        struct keyspace_answer answer = {.keys = &keys};
        keyspace_random(place, &prng, now, &answer);
        struct reader reader = reader_of(buffer_slice(&keys));
        seen[name_read(&reader)]++;
    }
    for (uint32_t name = 0; name < KEYS; name++) assert_true(seen[name] > DRAWS / KEYS / 2);
    buffer_deinit(&keys);
}

static void test_random_of_nothing(void **state)
{
    (void)state;
    put(9, 0, &dead);
    struct buffer keys;
    buffer_init(&keys, 1 << 20);
    struct keyspace_answer answer = {.keys = &keys};
    keyspace_random(place, &prng, now, &answer);
    assert_int_equal(answer.count, 0);
    buffer_deinit(&keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cursor_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_key_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_stays_is_found_once_while_others_move, setup, teardown),
        cmocka_unit_test_setup_teardown(test_filters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_cold_item_stops_before_its_prefix, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_keys_end_a_call, setup, teardown),
        cmocka_unit_test_setup_teardown(test_counting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_reaches_every_live_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_is_fair_to_few_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_of_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
