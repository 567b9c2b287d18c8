/* links: sim node */
/* test_gather_keys.c: commands on more keys than one step or one part takes, here and elsewhere, hot and cold. */
#include "tests/unit/node/cluster.h"

enum { KEYS = 3000, VALUE_BYTES = 200 * 1024 };

struct words {
    struct arena arena;
    struct slice *list;
    size_t count;
};

static void words_begin(struct words *w, const char *command)
{
    arena_init(&w->arena);
    w->list = arena_alloc(&w->arena, (1 + 2 * KEYS) * sizeof *w->list);
    w->list[0] = slice_of_string(command);
    w->count = 1;
}

PRINTF_LIKE(2, 3) static void words_add(struct words *w, const char *format, ...)
{
    char text[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    assert_true(w->count < 1 + 2 * KEYS);
    w->list[w->count++] = arena_copy(&w->arena, slice_of_string(text));
}

static void words_ask(struct cluster *c, uint64_t client, struct words *w)
{
    buffer_clear(&c->reply);
    c->answered = false;
    world_client_send(c->world, client, w->list, w->count);
    for (int ms = 0; ms < CLUSTER_WAIT_MS && !c->answered; ms++) cluster_wait(c, 1);
    assert_true(c->answered);
    buffer_append_byte(&c->reply, 0);
    c->reply.length--;
    arena_deinit(&w->arena);
}

static void assert_words(struct cluster *c, uint64_t client, struct words *w, const char *expected)
{
    words_ask(c, client, w);
    assert_string_equal((const char *)c->reply.data, expected);
}

/* Set every key twice in one command: the second value is shown. Then read and delete them all, in an order that walks
 * over all partitions. */
static void set_read_delete(struct cluster *c, uint8_t node, const char *prefix)
{
    uint64_t client = cluster_connect(c, node);
    struct words w;
    words_begin(&w, "MSET");
    for (int i = 0; i < KEYS; i++) {
        words_add(&w, "%s%d", prefix, i % (KEYS / 2));
        words_add(&w, "v%d", i);
    }
    assert_words(c, client, &w, "OK");

    struct buffer expected;
    buffer_init(&expected, CLUSTER_REPLY_BYTES);
    words_begin(&w, "MGET");
    for (int i = 0; i < KEYS; i++) {
        words_add(&w, "%s%d", prefix, KEYS - 1 - i);
        bool is_there = KEYS - 1 - i < KEYS / 2;
        buffer_append_format(&expected, "%s", i ? ", " : "[");
        buffer_append_format(&expected, is_there ? "\"v%d\"" : "(nil)", KEYS - 1 - i + KEYS / 2);
    }
    buffer_append_format(&expected, "]%c", '\0');
    assert_words(c, client, &w, (const char *)expected.data);
    buffer_deinit(&expected);

    static const char *const sums[][2] = {{"EXISTS", "3000"}, {"TOUCH", "3000"}, {"DEL", "1500"}, {"UNLINK", "0"}};
    for (size_t s = 0; s < sizeof sums / sizeof sums[0]; s++) {
        words_begin(&w, sums[s][0]);
        for (int i = 0; i < KEYS; i++) words_add(&w, "%s%d", prefix, i / 2);
        assert_words(c, client, &w, sums[s][1]);
    }
    world_client_close(c->world, client);
}

static void many_keys_here(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(1, 1, 1);
    set_read_delete(c, 0, "k");
    cluster_free(c);
}

static void many_keys_elsewhere(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(2, 2, 2);
    assert_reply(c, 0, "TABLE CREATE far REPLICAS r1=1", "OK");
    set_read_delete(c, 0, "k");
    set_read_delete(c, 0, "far:");
    cluster_free(c);
}

static void deliver_twice(struct world_config *config)
{
    config->duplicate_permille = 1000;
    config->reorder_permille = 200;
}

static void a_part_is_served_once(void **state)
{
    (void)state;
    struct cluster *c = cluster_new_over(2, 1, 2, deliver_twice);
    assert_reply(c, 0, "TABLE CREATE far REPLICAS r1=1", "OK");
    set_read_delete(c, 0, "far:");
    cluster_free(c);
}

/* Each command meets keys at rest, its own repetitions among them. */
static void keep_little_in_memory(struct world_config *config)
{
    config->memory_bytes_max = 256 * 1024;
    config->write_back_bytes = 64 * 1024;
}

static void many_cold_keys(void **state)
{
    (void)state;
    struct cluster *c = cluster_new_over(1, 2, 2, keep_little_in_memory);
    uint64_t client = cluster_connect(c, 0);
    struct words w;
    for (int round = 0; round < 3; round++) {
        words_begin(&w, "MSET");
        for (int i = 0; i < KEYS / 2; i++) {
            words_add(&w, "k%d", i);
            words_add(&w, "%0200d", i);
        }
        assert_words(c, client, &w, "OK");
        cluster_wait(c, 2000);
    }
    set_read_delete(c, 1, "k");
    cluster_free(c);
}

/* Keys at rest come again and again among others while they are being fetched: the last value stays (G1). */
static void a_cold_key_is_not_overtaken(void **state)
{
    (void)state;
    enum { COLD = 50 };
    struct cluster *c = cluster_new_over(1, 1, 1, keep_little_in_memory);
    uint64_t client = cluster_connect(c, 0);
    struct words w;
    for (int round = 0; round < 4; round++) {
        words_begin(&w, "MSET");
        for (int i = 0; i < KEYS; i++) {
            words_add(&w, i < COLD && round == 0 ? "cold%d" : "other%d", i);
            words_add(&w, "%0200d", round);
        }
        assert_words(c, client, &w, "OK");
        cluster_wait(c, 2000);
    }
    words_begin(&w, "MSET");
    for (int i = 0; i < KEYS; i++) {
        if (i % 20 == 0)
            words_add(&w, "cold%d", i / 20 % COLD);
        else
            words_add(&w, "hot%d", i % 20);
        words_add(&w, "v%d", i);
    }
    assert_words(c, client, &w, "OK");
    for (int i = 0; i < COLD; i++) {
        char line[64], expected[64];
        snprintf(line, sizeof line, "GET cold%d", i);
        snprintf(expected, sizeof expected, "\"v%d\"", KEYS - 20 * (COLD - i));
        assert_string_equal(cluster_ask(c, client, line), expected);
    }
    cluster_free(c);
}

/* Some keys can't be reached: a read says that nothing was done, a write how much was. */
static void some_keys_are_out_of_reach(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(2, 1, 2);
    struct words w;
    assert_reply(c, 0, "TABLE CREATE far REPLICAS r1=1", "OK");
    world_node_crash(c->world, 1);
    cluster_wait(c, 8000);
    uint64_t client = cluster_connect(c, 0);
    for (int kind = 0; kind < 2; kind++) {
        words_begin(&w, kind ? "MGET" : "MSET");
        for (int i = 0; i < KEYS; i++) {
            words_add(&w, "%s%d", i % 3 ? "k" : "far:", i);
            if (!kind) words_add(&w, "v");
        }
        words_ask(c, client, &w);
        assert_true(cluster_reply_has(c, kind ? "-UNAVAILABLE no replica" : "-UNKNOWN 2000 of 3000 keys were done"));
    }
    words_begin(&w, "DEL");
    for (int i = 0; i < KEYS; i++) words_add(&w, "far:%d", i);
    words_ask(c, client, &w);
    assert_true(cluster_reply_has(c, "-UNAVAILABLE no replica"));
    assert_reply(c, 0, "DBSIZE", "2000");
    cluster_free(c);
}

/* The node that has them is lost while the parts are under way. */
static void some_keys_are_lost_on_the_way(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(2, 1, 2);
    struct words w;
    assert_reply(c, 0, "TABLE CREATE far REPLICAS r1=1", "OK");
    uint64_t client = cluster_connect(c, 0);
    cluster_wait(c, 10);
    world_cut(c->world, 0, 1, true);
    words_begin(&w, "MSET");
    for (int i = 0; i < 1000; i++) {
        words_add(&w, "%s%d", i % 2 ? "k" : "far:", i);
        words_add(&w, "v");
    }
    words_ask(c, client, &w);
    assert_true(cluster_reply_has(c, "-UNKNOWN 500 of 1000 keys were done; for the others: UNKNOWN a node"));
    cluster_free(c);
}

static void count_bytes(void *user, uint64_t client, const struct resp_value *reply)
{
    (void)client;
    size_t *bytes = user;
    *bytes = 0;
    for (size_t i = 0; reply && i < reply->count; i++) *bytes += reply->items[i].text.length;
}

/* The values of one part together are more than its answer takes: the rest is asked for again. */
static void values_beyond_one_answer(void **state)
{
    (void)state;
    enum { VALUES = 20 };
    struct cluster *c = cluster_new(2, 1, 1);
    assert_reply(c, 0, "TABLE CREATE far REPLICAS r1=1 PARTITIONS 1", "OK");
    uint64_t client = cluster_connect(c, 1);
    uint8_t *value = memory_zalloc(1, VALUE_BYTES);
    struct words w;
    for (int i = 0; i < VALUES; i++) {
        words_begin(&w, "SET");
        words_add(&w, "far:%d", i);
        w.list[w.count++] = slice_of(value, VALUE_BYTES);
        assert_words(c, client, &w, "OK");
    }
    size_t bytes = 0;
    uint64_t reader = world_client_open(c->world, 0, count_bytes, &bytes);
    words_begin(&w, "MGET");
    for (int i = 0; i < VALUES; i++) words_add(&w, "far:%d", i);
    world_client_send(c->world, reader, w.list, w.count);
    cluster_wait(c, 10000);
    assert_int_equal(bytes, (size_t)VALUES * VALUE_BYTES);
    arena_deinit(&w.arena);
    memory_free(value);
    cluster_free(c);
}

/* Another connection is served between the steps. */
static void others_are_served_meanwhile(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(1, 1, 1);
    uint64_t many = cluster_connect(c, 0), other = cluster_connect(c, 0);
    struct words w;
    cluster_wait(c, 10);
    buffer_clear(&c->reply);
    words_begin(&w, "MSET");
    for (int i = 0; i < KEYS; i++) {
        words_add(&w, "k%d", i);
        words_add(&w, "v");
    }
    world_client_send(c->world, many, w.list, w.count);
    cluster_send(c, other, "PING");
    cluster_wait(c, 1000);
    buffer_append_byte(&c->reply, 0);
    assert_string_equal((const char *)c->reply.data, "PONG | OK");
    arena_deinit(&w.arena);
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_keys_here),
        cmocka_unit_test(many_keys_elsewhere),
        cmocka_unit_test(a_part_is_served_once),
        cmocka_unit_test(many_cold_keys),
        cmocka_unit_test(a_cold_key_is_not_overtaken),
        cmocka_unit_test(some_keys_are_out_of_reach),
        cmocka_unit_test(some_keys_are_lost_on_the_way),
        cmocka_unit_test(values_beyond_one_answer),
        cmocka_unit_test(others_are_served_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
