/* links: sim node */
/* test_hostile.c: bytes that no client and no peer of ours would send: refused, counted, and the node goes on. */
#include "base/prng.h"
#include "node/inspect.h"
#include "node/shard_internal.h"
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

/* ---- ordered tables ---- */

struct targets {
    struct buffer bytes; /* (table u64, partition u32) of each group, the metadata group among them */
    size_t count;
};

static void note_group(void *user, struct group *group)
{
    struct targets *t = user;
    write_u64(&t->bytes, group_table(group));
    write_u32(&t->bytes, group_partition(group));
    t->count++;
}

static void random_bytes(struct prng *prng, struct buffer *b, size_t length_max)
{
    uint64_t below = prng_chance(prng, 3, 4) ? 6 : 256;
    for (uint64_t i = prng_below(prng, length_max); i > 0; i--) write_u8(b, (uint8_t)prng_below(prng, below));
}

static void random_words(struct prng *prng, struct buffer *b)
{
    static const char *const words[] = {"SET",  "GET",    "INCR",  "LPUSH", "ZADD",  "MSET", "RENAME",
                                        "HSET", "SPOP",   "LMOVE", "HOLD",  "a",     "o:a",  "o:b",
                                        "1",    "-1",     "COUNT", "",      "EX",    "100",  "TRANSFER",
                                        "DEL",  "NOSUCH", "PING",  "VOID",  "WATCH", "MGET", "EXISTS"};
    uint64_t count = prng_below(prng, 6);
    write_varint(b, prng_chance(prng, 1, 20) ? prng_u64(prng) : count);
    for (uint64_t i = 0; i < count; i++) {
        if (prng_chance(prng, 1, 10)) {
            write_varint(b, prng_below(prng, 5));
            random_bytes(prng, b, 5);
        } else {
            write_bytes(b, slice_of_string(words[prng_below(prng, sizeof words / sizeof words[0])]));
        }
    }
}

/* What follows the head of a message between members: generation, what it is, a letter's kind and term. */
static void random_letter(struct prng *prng, struct buffer *b)
{
    write_varint(b, prng_chance(prng, 1, 10) ? prng_below(prng, 1 << 18) : 0);
    write_u8(b, (uint8_t)(prng_chance(prng, 1, 4) ? prng_below(prng, 7) : 0));
    write_u8(b, (uint8_t)prng_below(prng, 14));
    write_varint(b, prng_below(prng, prng_chance(prng, 1, 100) ? 1 << 20 : 12));
    random_bytes(prng, b, 40);
}

/* What follows the head of a call: run, id, asker, kind; a command on an ordered table, or a step of a recovery. */
static void random_call(struct prng *prng, uint64_t round, struct buffer *b)
{
    bool is_command = prng_chance(prng, 3, 4);
    write_u64(b, 1);
    write_u64(b, (round + 1) << 16);
    write_u8(b, 0);
    write_u8(b, is_command ? CALL_ORDERED : (uint8_t)(CALL_COMMAND + prng_below(prng, CALL_RECOVER)));
    if (!is_command) {
        random_bytes(prng, b, 60);
        return;
    }
    write_u8(b, prng_chance(prng, 3, 4) ? 0 : (uint8_t)prng_below(prng, 5)); /* flags */
    write_u8(b, (uint8_t)prng_below(prng, 7));                               /* the job */
    write_varint(b, prng_chance(prng, 3, 4) ? 0 : 1);                        /* an id */
    if (b->data[b->length - 1]) write_u8(b, 'i');
    write_u8(b, prng_chance(prng, 1, 10) ? 4 : 2); /* RESP version */
    random_words(prng, b);
}

static void random_ordered_frame(struct prng *prng, const struct targets *t, uint64_t round, uint8_t *out_type,
                                 struct buffer *b)
{
    static const uint8_t types[] = {PEER_GROUP, PEER_GROUP, PEER_CALL, PEER_CALL, PEER_ANSWER, PEER_BEAT};
    *out_type = types[prng_below(prng, sizeof types)];
    buffer_clear(b);
    buffer_append(b, t->bytes.data + 12 * prng_below(prng, t->count), 12);
    write_u32(b, 1);
    if (*out_type == PEER_GROUP) {
        random_letter(prng, b);
    } else if (*out_type == PEER_CALL) {
        random_call(prng, round, b);
    } else {
        random_bytes(prng, b, 40);
    }
    if (prng_chance(prng, 1, 10)) b->data[prng_below(prng, b->length)] ^= (uint8_t)prng_u64(prng);
    if (prng_chance(prng, 1, 20)) b->length = prng_below(prng, b->length);
}

/* What a hostile member says may well stop a group: its promises rest on honest members. The nodes go on. */
static void frames_about_ordered_tables_do_no_harm(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(3, 1, 1);
    struct shard *shard = world_shard(c->world, 0, 0);
    struct prng prng;
    struct buffer body;
    struct targets targets = {.count = 0};
    uint32_t refused = 0;
    buffer_init(&body, 4096);
    buffer_init(&targets.bytes, 4096);
    prng_init(&prng, 9);
    assert_reply(c, 0, "TABLE CREATE o ENGINE ordered PARTITIONS 3", "OK");
    assert_reply(c, 0, "SET o:a 1", "OK");
    shard_visit_groups(shard, note_group, &targets);
    assert_true(targets.count == 4); /* with the metadata group */
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint8_t type;
        random_ordered_frame(&prng, &targets, round, &type, &body);
        if (!shard_on_peer_frame(shard, 1, type, buffer_slice(&body))) refused++;
        if (round % 100 == 0) cluster_wait(c, prng_below(&prng, 50));
        if (round % 1000 == 0) shard_check(shard);
    }
    assert_true(refused > ROUNDS / 10 && refused < ROUNDS);
    cluster_wait(c, 30000);
    for (uint8_t node = 0; node < 3; node++) {
        assert_reply(c, node, "PING", "PONG");
        assert_reply(c, node, "SET b 1", "OK");
        shard_check(world_shard(c->world, node, 0));
    }
    buffer_deinit(&targets.bytes);
    buffer_deinit(&body);
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peer_frames_of_any_shape_do_no_harm),
        cmocka_unit_test(client_bytes_of_any_shape_do_no_harm),
        cmocka_unit_test(frames_about_ordered_tables_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
