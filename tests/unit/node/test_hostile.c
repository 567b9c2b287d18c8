/* links: sim node */
/* test_hostile.c: bytes that no client and no peer of ours would send: refused, counted, and the node goes on. */
#include "base/prng.h"
#include "node/inspect.h"
#include "tests/unit/node/cluster.h"
#include "wire/varint.h"

enum { BODY_BYTES_MAX = 160, ROUNDS = 40000 };

static void random_body(struct prng *prng, struct buffer *b)
{
    buffer_clear(b);
    if (prng_chance(prng, 3, 4)) { /* a sound beginning, so that what follows is reached */
        write_u64(b, prng_chance(prng, 1, 3) ? 0 : 1);
        write_u32(b, (uint32_t)prng_below(prng, 18));
        write_u32(b, prng_chance(prng, 1, 10) ? 2 : 1);
    }
    if (prng_chance(prng, 1, 2)) {
        write_u64(b, prng_below(prng, 4));
        write_u64(b, prng_below(prng, 1 << 20));
        write_u8(b, (uint8_t)prng_below(prng, 3));
        write_u8(b, (uint8_t)prng_below(prng, 12));
    }
    size_t tail = prng_below(prng, BODY_BYTES_MAX);
    bool small = prng_chance(prng, 1, 2);
    for (size_t i = 0; i < tail; i++) write_u8(b, (uint8_t)prng_below(prng, small ? 8 : 256));
}

static void peer_frames_of_any_shape_do_no_harm(void **state)
{
    (void)state;
    static const uint8_t types[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 0x40, 0xBF, 0xC0, 0xC1, 0xFF};
    struct cluster *c = cluster_new(2, 1, 1);
    struct shard *shard = world_shard(c->world, 0, 0);
    struct prng prng;
    struct buffer body;
    uint32_t refused = 0;
    buffer_init(&body, 4096);
    prng_init(&prng, 3);
    assert_reply(c, 0, "SET a 1", "OK");
    for (int i = 0; i < ROUNDS; i++) {
        uint8_t type = types[prng_below(&prng, sizeof types)];
        random_body(&prng, &body);
        assert_int_equal(shard_of_frame(type, buffer_slice(&body), 1), 0);
        assert_true(shard_of_frame(type, buffer_slice(&body), 4) < 4);
        if (!shard_on_peer_frame(shard, 1, type, buffer_slice(&body))) refused++;
        if (i % 1000 == 0) cluster_wait(c, 1);
    }
    assert_true(refused > ROUNDS / 2);
    cluster_wait(c, 30000);
    assert_reply(c, 0, "FAULT HEAL", "OK"); /* a hostile peer may well have asked for faults */
    cluster_wait(c, 10000);
    assert_reply(c, 0, "GET a", "\"1\"");
    assert_reply(c, 1, "SET a 2", "OK");
    cluster_wait(c, 1000);
    assert_reply(c, 0, "GET a", "\"2\"");
    shard_check(shard);
    buffer_deinit(&body);
    cluster_free(c);
}

/* Requests of random words, cut at random places, among them every command with random arguments. */
static void client_bytes_of_any_shape_do_no_harm(void **state)
{
    (void)state;
    static const char *const words[] = {"GET",      "SET",       "MGET",        "MSET",       "DEL",
                                        "HSET",     "SADD",      "INCR",        "SCAN",       "KEYS",
                                        "TABLE",    "CREATE",    "SHOW",        "LIST",       "DROP",
                                        "SIBLINGS", "RESOLVE",   "CONFLICTS",   "COUNT",      "RESTORE",
                                        "FAULT",    "CUT",       "HEAL",        "TOPOLOGY",   "NODES",
                                        "LAG",      "SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "CLIENT",
                                        "CONFIG",   "COMMAND",   "DOCS",        "INFO",       "HELLO",
                                        "3",        "2",         "RESET",       "ECHO",       "a",
                                        "b:1",      "*",         "-1",          "0",          "99999999999999999999",
                                        "",         "EX",        "1.1.1.1.1.1", "1",          "r0",
                                        "r1-0",     "default",   "PING",        "AUTH",       "SELECT"};
    struct cluster *c = cluster_new(2, 1, 1);
    struct shard *shard = world_shard(c->world, 0, 0);
    struct prng prng;
    struct buffer bytes;
    buffer_init(&bytes, 1 << 16);
    prng_init(&prng, 5);
    for (uint64_t round = 0; round < 4000; round++) {
        buffer_clear(&bytes);
        for (uint64_t n = prng_below(&prng, 6); n > 0; n--) {
            uint64_t count = 1 + prng_below(&prng, 6);
            buffer_append_format(&bytes, "*%llu\r\n", (unsigned long long)count);
            for (uint64_t i = 0; i < count; i++) {
                const char *word = words[prng_below(&prng, sizeof words / sizeof words[0])];
                buffer_append_format(&bytes, "$%zu\r\n%s\r\n", strlen(word), word);
            }
        }
        for (uint64_t n = prng_chance(&prng, 1, 4) ? prng_below(&prng, 4) : 0; n > 0 && bytes.length; n--) {
            bytes.data[prng_below(&prng, bytes.length)] = (uint8_t)prng_u64(&prng);
        }
        uint64_t client = cluster_connect(c, 0);
        size_t cut = prng_below(&prng, bytes.length + 1);
        world_client_send_bytes(c->world, client, slice_of(bytes.data, cut));
        if (prng_chance(&prng, 1, 2)) cluster_wait(c, 1);
        world_client_send_bytes(c->world, client, slice_of(bytes.data + cut, bytes.length - cut));
        cluster_wait(c, prng_below(&prng, 3));
        buffer_clear(&c->reply);
        if (round % 64 == 0) shard_check(shard);
        world_client_close(c->world, client);
    }
    cluster_wait(c, 60000);
    assert_reply(c, 0, "FAULT HEAL", "OK");
    assert_reply(c, 0, "PING", "PONG");
    shard_check(shard);
    buffer_deinit(&bytes);
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peer_frames_of_any_shape_do_no_harm),
        cmocka_unit_test(client_bytes_of_any_shape_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
