/* links: storage wire base */
/* test_commands_money.c: transfers and holds: nothing is created, nothing is lost, nothing goes below the minimum. */
#include "tests/unit/ordered/machine_world.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

#define EXPECT(w, line, reply) assert_string_equal(world_ask(w, line), reply)

#define NO_SUCH_HOLD "-ERR no such hold: it was settled or voided, or has expired and is voided\r\n"

static void open_bank(struct machine_world *w)
{
    world_init(w);
    w->config.has_minimum = true;
    world_open(w);
}

/* HOLD, and its id. */
static void hold(struct machine_world *w, const char *line, char id[64])
{
    const char *reply = world_ask(w, line);
    assert_int_equal(reply[0], '$');
    const char *from = strchr(reply, '\n') + 1;
    snprintf(id, 64, "%.*s", (int)(strchr(from, '\r') - from), from);
}

static const char *ask_id(struct machine_world *w, const char *word, const char *id, const char *rest)
{
    char line[200];
    snprintf(line, sizeof line, "%s %s %s", word, id, rest);
    return world_ask(w, line);
}

static void expire(struct machine_world *w)
{
    struct buffer *bytes = &w->entries[w->entries_count];
    buffer_init(bytes, 1 << 20);
    while (machine_expire(w->machine, w->time_ms, bytes, &w->answer) == MACHINE_COLD) world_fetch(w);
    if (bytes->length == 0) return;
    w->entries_count++;
    assert_int_equal(world_apply_bytes(w, buffer_slice(bytes)), MACHINE_DONE);
}

static void test_transfer(void **state)
{
    (void)state;
    struct machine_world w;
    open_bank(&w);
    EXPECT(&w, "SET a 100", "+OK\r\n");
    EXPECT(&w, "TRANSFER a b 30", "+OK\r\n");
    EXPECT(&w, "MGET a b", "*2\r\n$2\r\n70\r\n$2\r\n30\r\n");
    EXPECT(&w, "TRANSFER a b 71", "-INVARIANT 'a' would be -1, less than the table's minimum 0\r\n");
    EXPECT(&w, "TRANSFER a b 0", "-ERR the amount must be positive: an integer in minor units\r\n");
    EXPECT(&w, "TRANSFER a b -5", "-ERR the amount must be positive: an integer in minor units\r\n");
    EXPECT(&w, "TRANSFER a b x", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&w, "TRANSFER a a 70", "+OK\r\n");
    EXPECT(&w, "TRANSFER a a 71", "-INVARIANT 'a' would be -1, less than the table's minimum 0\r\n");
    EXPECT(&w, "SET rich 9223372036854775807", "+OK\r\n");
    EXPECT(&w, "TRANSFER a rich 1", "-ERR the account's balance would overflow\r\n");
    EXPECT(&w, "SADD s x", ":1\r\n");
    EXPECT(&w, "TRANSFER a s 1", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&w, "SET text x", "+OK\r\n");
    EXPECT(&w, "TRANSFER a text 1", "-ERR value is not an integer or out of range\r\n");
    EXPECT(&w, "MGET a b", "*2\r\n$2\r\n70\r\n$2\r\n30\r\n");
    world_deinit(&w);
}

static void test_hold_settle_void(void **state)
{
    (void)state;
    struct machine_world w;
    open_bank(&w);
    char id[64];
    EXPECT(&w, "SET a 100", "+OK\r\n");
    hold(&w, "HOLD a 60 5000", id);
    uint64_t table;
    uint16_t partition;
    assert_true(machine_hold_id_read(slice_of_string(id), &table, &partition));
    assert_int_equal(table, 7);
    assert_int_equal(partition, 3);
    EXPECT(&w, "GET a", "$2\r\n40\r\n");
    EXPECT(&w, "HOLD a 41 5000", "-INVARIANT 'a' would be -1, less than the table's minimum 0\r\n");
    assert_string_equal(ask_id(&w, "SETTLE", id, "61"), "-ERR the hold is of 60 only\r\n");
    assert_string_equal(ask_id(&w, "SETTLE", id, "50"), ":50\r\n");
    EXPECT(&w, "GET a", "$2\r\n50\r\n");
    assert_string_equal(ask_id(&w, "SETTLE", id, ""), NO_SUCH_HOLD);
    assert_string_equal(ask_id(&w, "VOID", id, ""), NO_SUCH_HOLD);

    hold(&w, "HOLD a 50 5000", id);
    EXPECT(&w, "GET a", "$1\r\n0\r\n");
    assert_string_equal(ask_id(&w, "VOID", id, ""), ":50\r\n");
    hold(&w, "HOLD a 10 5000", id);
    assert_string_equal(ask_id(&w, "SETTLE", id, ""), ":10\r\n");
    EXPECT(&w, "GET a", "$2\r\n40\r\n");
    EXPECT(&w, "HOLD a 10 0", "-ERR the hold's time must be between 1 ms and 366 days\r\n");
    EXPECT(&w, "VOID h-7-3-1-999", NO_SUCH_HOLD);
    EXPECT(&w, "VOID nonsense", NO_SUCH_HOLD);
    world_deinit(&w);
}

static void test_expiry_gives_back(void **state)
{
    (void)state;
    struct machine_world w;
    open_bank(&w);
    char id[64], other[64];
    EXPECT(&w, "SET a 100", "+OK\r\n");
    hold(&w, "HOLD a 60 5000", id);
    hold(&w, "HOLD a 5 50000", other);
    w.time_ms += 5000;
    assert_string_equal(ask_id(&w, "SETTLE", id, ""), NO_SUCH_HOLD); /* as good as void already */
    EXPECT(&w, "GET a", "$2\r\n35\r\n");
    world_write_back(&w, true); /* a new leader learns from the store when it is due */
    world_crash(&w, 0);
    while (machine_expires_at_ms(w.machine) == 0) expire(&w);
    expire(&w);
    EXPECT(&w, "GET a", "$2\r\n95\r\n");
    assert_string_equal(ask_id(&w, "VOID", other, ""), ":5\r\n");
    world_deinit(&w);
}

static void test_in_multi_and_undone(void **state)
{
    (void)state;
    struct machine_world w;
    open_bank(&w);
    char id[64], line[200];
    EXPECT(&w, "SET a 100", "+OK\r\n");
    hold(&w, "HOLD a 60 5000", id);
    snprintf(line, sizeof line, "VOID %s;HOLD b 5 1000", id);
    const char *reply = world_multi(&w, line, NULL, 0);
    assert_memory_equal(reply, "-INVARIANT 'b'", 14);
    EXPECT(&w, "GET a", "$2\r\n40\r\n");
    snprintf(line, sizeof line, "VOID %s;HOLD a 70 1000;HOLD a 30 1000", id);
    reply = world_multi(&w, line, NULL, 0);
    assert_memory_equal(reply, "*3\r\n:60\r\n$", 10);
    EXPECT(&w, "GET a", "$1\r\n0\r\n");
    w.time_ms += 2000;
    expire(&w);
    EXPECT(&w, "GET a", "$3\r\n100\r\n");
    world_deinit(&w);
}

static void count_hold(void *user, struct slice name, bool is_cold, struct slice bytes)
{
    (void)name;
    assert_false(is_cold);
    assert_true(bytes.length > 0);
    ++*(int *)user;
}

/* Random transfers, holds, settlements and expiry; the books must balance at the end. */
static void test_conservation(void **state)
{
    (void)state;
    struct machine_world w;
    open_bank(&w);
    struct prng prng;
    prng_init(&prng, 42);
    enum { ACCOUNTS = 5, STEPS = 3000, OPEN = 20 };
    static char ids[OPEN][64];
    char line[200];
    for (int i = 0; i < ACCOUNTS; i++) {
        snprintf(line, sizeof line, "SET a%d 1000", i);
        world_ask(&w, line);
    }
    int64_t settled = 0;
    for (int step = 0; step < STEPS; step++) {
        unsigned a = (unsigned)prng_below(&prng, ACCOUNTS), b = (unsigned)prng_below(&prng, ACCOUNTS);
        unsigned amount = 1 + (unsigned)prng_below(&prng, 300);
        char *id = ids[prng_below(&prng, OPEN)];
        const char *reply;
        w.time_ms += prng_below(&prng, 50);
        switch (prng_below(&prng, 5)) {
        case 0: snprintf(line, sizeof line, "TRANSFER a%u a%u %u", a, b, amount); break;
        case 1: snprintf(line, sizeof line, "HOLD a%u %u 1000", a, amount); break;
        case 2: snprintf(line, sizeof line, "SETTLE %s 1", *id ? id : "none"); break;
        case 3: snprintf(line, sizeof line, "VOID %s", *id ? id : "none"); break;
        default: expire(&w); continue;
        }
        reply = world_ask(&w, line);
        if (line[0] == 'H' && reply[0] == '$') {
            const char *from = strchr(reply, '\n') + 1;
            snprintf(id, 64, "%.*s", (int)(strchr(from, '\r') - from), from);
        }
        if (line[0] == 'S' && reply[0] == ':') settled++;
    }
    w.time_ms += 5000;
    int holds = 0;
    for (int i = 0; i < 20; i++) expire(&w);
    machine_record_visit(w.machine, MACHINE_RECORD_HOLD, count_hold, &holds);
    assert_int_equal(holds, 0);
    int64_t sum = 0;
    for (int i = 0; i < ACCOUNTS; i++) {
        snprintf(line, sizeof line, "GET a%d", i);
        long long balance;
        assert_int_equal(sscanf(strchr(world_ask(&w, line), '\n'), "%lld", &balance), 1);
        assert_true(balance >= 0);
        sum += balance;
    }
    assert_true(settled > 0);
    assert_int_equal(sum + settled, ACCOUNTS * 1000);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transfer),          cmocka_unit_test(test_hold_settle_void),
        cmocka_unit_test(test_expiry_gives_back), cmocka_unit_test(test_in_multi_and_undone),
        cmocka_unit_test(test_conservation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
