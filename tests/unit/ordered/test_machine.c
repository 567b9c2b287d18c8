/* links: storage wire base */
/* test_machine.c: what the machine promises beside the commands themselves: outcomes, MULTI, minimum, expiry, locks. */
#include "tests/unit/ordered/machine_world.h"

#include "wire/resp.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

#define EXPECT(w, line, reply) assert_string_equal(world_ask(w, line), reply)

static void open_world(struct machine_world *w)
{
    world_init(w);
    world_open(w);
}

static void test_commands_and_types(void **state)
{
    (void)state;
    struct machine_world w;
    open_world(&w);
    EXPECT(&w, "SET a 1", "+OK\r\n");
    EXPECT(&w, "INCR a", ":2\r\n");
    EXPECT(&w, "LPUSH a x", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    EXPECT(&w, "CAS a 2 3", ":1\r\n");
    EXPECT(&w, "CAS a 2 4", ":0\r\n");
    EXPECT(&w, "CAS b 5", ":1\r\n");
    EXPECT(&w, "CAS b 6", ":0\r\n");
    EXPECT(&w, "GET b", "$1\r\n5\r\n");
    EXPECT(&w, "NOSUCH a", "-ERR unknown command 'NOSUCH' on an ordered table\r\n");
    EXPECT(&w, "GET", "-ERR wrong number of arguments for 'get' command\r\n");
    EXPECT(&w, "RPUSH l 1 2 3", ":3\r\n");
    EXPECT(&w, "LPOP l 3", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n");
    EXPECT(&w, "EXISTS l", ":0\r\n");
    EXPECT(&w, "RENAME a c", "+OK\r\n");
    EXPECT(&w, "MGET a c", "*2\r\n$-1\r\n$1\r\n3\r\n");
    world_deinit(&w);
}

static void test_table_type_and_counters(void **state)
{
    (void)state;
    struct machine_world w;
    world_init(&w);
    w.config.type = VALUE_STRING;
    w.config.integers_only = true;
    world_open(&w);
    EXPECT(&w, "SADD s x", "-WRONGTYPE the table is of TYPE string\r\n");
    EXPECT(&w, "SET a x", "-WRONGTYPE the table holds counters (TYPE counter): the value is no integer\r\n");
    EXPECT(&w, "SET a 5", "+OK\r\n");
    EXPECT(&w, "APPEND a x", "-WRONGTYPE the table holds counters (TYPE counter): the value is no integer\r\n");
    EXPECT(&w, "APPEND a 6", ":2\r\n");
    EXPECT(&w, "INCR a", ":57\r\n");
    world_deinit(&w);
}

static void collect_key(void *user, size_t index)
{
    char *text = user;
    size_t length = strlen(text);
    snprintf(text + length, 50 - length, "%zu ", index);
}

static void expect_keys(struct machine_world *w, const char *line, const char *positions)
{
    struct slice args[WORLD_ARGS_MAX];
    size_t count = world_words(w, line, args);
    char text[50] = "";
    machine_command_keys(machine_command_find(args[0]), args, count, collect_key, text);
    assert_string_equal(text, positions);
}

static void test_keys_of_commands(void **state)
{
    (void)state;
    struct machine_world w;
    open_world(&w);
    expect_keys(&w, "GET a", "1 ");
    expect_keys(&w, "MSET a 1 b 2", "1 3 ");
    expect_keys(&w, "DEL a b c", "1 2 3 ");
    expect_keys(&w, "SMOVE a b m", "1 2 ");
    expect_keys(&w, "ZUNIONSTORE d 2 a b WEIGHTS 1 2", "1 3 4 ");
    expect_keys(&w, "SINTERCARD 2 a b LIMIT 3", "2 3 ");
    expect_keys(&w, "LMPOP 9 a LEFT", "");
    expect_keys(&w, "LMPOP x a LEFT", "");
    assert_null(machine_command_find(SLICE_LITERAL("averyveryverylongwordthatisnocommand")));
    world_deinit(&w);
}

static void test_collections_are_bounded(void **state)
{
    (void)state;
    struct machine_world w;
    open_world(&w);
    static char line[RESP_BULK_BYTES_MAX];
    int reply = 0;
    for (; reply < 6; reply++) {
        memset(line, 'x', sizeof line - 1);
        char head[20];
        int length = snprintf(head, sizeof head, "SADD s %d", reply);
        memcpy(line, head, (size_t)length);
        if (world_ask(&w, line)[0] == '-') break;
    }
    assert_int_equal(reply, 3); /* the fourth, with what it costs, would be too much */
    EXPECT(&w, "SCARD s", ":3\r\n");
    EXPECT(&w, "SADD t x", ":1\r\n");
    EXPECT(&w, "SPOP t", "$1\r\nx\r\n");
    world_deinit(&w);
}

/* ---- outcomes ---- */

static void test_outcomes_are_remembered(void **state)
{
    (void)state;
    struct machine_world w;
    open_world(&w);
    assert_string_equal(world_ask_with(&w, "INCR a", "one", 2), ":1\r\n");
    assert_int_equal(w.answer.outcome, OUTCOME_UNKNOWN);
    assert_string_equal(world_ask_with(&w, "INCR a", "one", 2), ":1\r\n");
    assert_int_equal(w.answer.outcome, OUTCOME_DONE);
    assert_string_equal(world_ask_with(&w, "GETDEL b", "two", 2), "$-1\r\n");
    assert_string_equal(world_ask_with(&w, "GETDEL b", "two", 3), "_\r\n");
    EXPECT(&w, "GET a", "$1\r\n1\r\n");

    buffer_clear(&w.reply);
    assert_int_equal(machine_outcome(w.machine, SLICE_LITERAL("one"), 3, &w.reply, &w.answer), MACHINE_DONE);
    assert_int_equal(w.answer.outcome, OUTCOME_DONE);
    assert_memory_equal(w.reply.data, ":1\r\n", 4);
    assert_int_equal(machine_outcome(w.machine, SLICE_LITERAL("no"), 3, &w.reply, &w.answer), MACHINE_DONE);
    assert_int_equal(w.answer.outcome, OUTCOME_UNKNOWN);

    world_write_back(&w, true);
    world_crash(&w, 0);
    assert_string_equal(world_ask_with(&w, "INCR a", "one", 2), ":1\r\n");
    w.time_ms += 24 * 3600 * UINT64_C(1000); /* kept for at least that long */
    EXPECT(&w, "SET tick 1", "+OK\r\n");
    assert_string_equal(world_ask_with(&w, "INCR a", "one", 2), ":1\r\n");
    w.time_ms += 3600 * 1000 + 1;
    EXPECT(&w, "SET tick 2", "+OK\r\n");
    uint64_t records = store_space_count(machine_record_space(w.machine));
    machine_work(w.machine, machine_applied_index(w.machine));
    assert_true(store_space_count(machine_record_space(w.machine)) < records);
    assert_string_equal(world_ask_with(&w, "INCR a", "one", 2), ":2\r\n");
    world_deinit(&w);
}

static enum outcome_state cancel(struct machine_world *w, const char *id)
{
    struct machine_entry entry = {
        .kind = MACHINE_ENTRY_CANCEL, .time_ms = w->time_ms, .resp_version = 2, .id = slice_of_string(id)};
    assert_int_equal(world_apply(w, &entry), MACHINE_DONE);
    return w->answer.outcome;
}

static void test_first_in_the_log_wins(void **state)
{
    (void)state;
    struct machine_world w;
    open_world(&w);
    assert_string_equal(world_ask_with(&w, "SET a 1", "done", 2), "+OK\r\n");
    assert_int_equal(cancel(&w, "done"), OUTCOME_DONE);
    assert_int_equal(cancel(&w, "gone"), OUTCOME_CANCELLED);
    assert_int_equal(cancel(&w, "gone"), OUTCOME_CANCELLED);
    const char *reply = world_ask_with(&w, "SET a 2", "gone", 2);
    assert_memory_equal(reply, "-UNAVAILABLE cancelled", 22);
    EXPECT(&w, "GET a", "$1\r\n1\r\n");
    world_deinit(&w);
}

/* ---- MULTI ---- */

static void test_multi_and_watch(void **state)
{
    (void)state;
    struct machine_world w;
    open_world(&w);
    assert_string_equal(world_multi(&w, "SET a 1;INCR a;LPUSH a x;GET a", NULL, 0),
                        "*4\r\n+OK\r\n:2\r\n-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
                        "$1\r\n2\r\n");
    struct machine_watch watch = {.key = SLICE_LITERAL("a")};
    assert_int_equal(machine_key_version(w.machine, w.time_ms, watch.key, &watch.version, &w.answer), MACHINE_DONE);
    assert_int_equal(watch.version, 1);
    assert_string_equal(world_multi(&w, "INCR a", &watch, 1), "*1\r\n:3\r\n");
    assert_string_equal(world_multi(&w, "INCR a", &watch, 1), "*-1\r\n");
    watch = (struct machine_watch){.key = SLICE_LITERAL("absent")};
    assert_string_equal(world_multi(&w, "SET absent 1", &watch, 1), "*1\r\n+OK\r\n");
    assert_string_equal(world_multi(&w, "SET absent 2", &watch, 1), "*-1\r\n");
    world_deinit(&w);
}

static void test_minimum(void **state)
{
    (void)state;
    struct machine_world w;
    world_init(&w);
    w.config.has_minimum = true;
    world_open(&w);
    EXPECT(&w, "SET a 10", "+OK\r\n");
    EXPECT(&w, "DECRBY a 11", "-INVARIANT 'a' would be -1, less than the table's minimum 0\r\n");
    EXPECT(&w, "SET b -0.5", "-INVARIANT 'b' would be -0.5, less than the table's minimum 0\r\n");
    EXPECT(&w, "HSET h f -1", "-INVARIANT 'f' would be -1, less than the table's minimum 0\r\n");
    EXPECT(&w, "DECRBY a 10", ":0\r\n");
    EXPECT(&w, "SET a 10", "+OK\r\n");
    EXPECT(&w, "HSET h f 1", ":1\r\n");
    /* Below it in between is no harm, below it at the end undoes everything. */
    assert_string_equal(world_multi(&w, "DECRBY a 15;INCRBY a 6", NULL, 0), "*2\r\n:-5\r\n:1\r\n");
    struct buffer before, after;
    buffer_init(&before, 1 << 20);
    buffer_init(&after, 1 << 20);
    assert_string_equal(world_multi(&w, "DEL h;SET h x;INCRBY c 5;DECRBY a 5;RPUSH l y;EXPIRE h 100;DEL h", NULL, 0),
                        "-INVARIANT 'a' would be less than the table's minimum 0; nothing of the transaction was "
                        "done\r\n");
    EXPECT(&w, "MGET a c", "*2\r\n$1\r\n1\r\n$-1\r\n");
    EXPECT(&w, "HGETALL h", "*2\r\n$1\r\nf\r\n$1\r\n1\r\n");
    EXPECT(&w, "EXISTS l", ":0\r\n");
    world_state(&w, &before);
    world_crash(&w, 0);
    world_state(&w, &after);
    assert_int_equal(before.length, after.length);
    assert_memory_equal(before.data, after.data, after.length);
    buffer_deinit(&before);
    buffer_deinit(&after);
    world_deinit(&w);
}

/* ---- expiry ---- */

/* What the leader would propose now, applied. Returns how many keys went. */
static int64_t expire_now(struct machine_world *w)
{
    struct buffer entry;
    buffer_init(&entry, MACHINE_ENTRY_BYTES_MAX);
    while (machine_expire(w->machine, w->time_ms, &entry, &w->answer) == MACHINE_COLD) world_fetch(w);
    int64_t removed = 0;
    if (entry.length > 0) {
        struct buffer *kept = &w->entries[w->entries_count++];
        buffer_init(kept, MACHINE_ENTRY_BYTES_MAX);
        buffer_append_slice(kept, buffer_slice(&entry));
        assert_int_equal(world_apply_bytes(w, buffer_slice(kept)), MACHINE_DONE);
        assert_true(slice_to_i64(slice_of(w->reply.data + 1, w->reply.length - 3), &removed));
    }
    buffer_deinit(&entry);
    return removed;
}

static void test_expiry(void **state)
{
    (void)state;
    struct machine_world w;
    open_world(&w);
    assert_int_equal(machine_expires_at_ms(w.machine), UINT64_MAX);
    EXPECT(&w, "SET a 1 PX 1000", "+OK\r\n");
    EXPECT(&w, "SET b 1 PX 2000", "+OK\r\n");
    EXPECT(&w, "PEXPIRE b 5000", ":1\r\n");
    EXPECT(&w, "SET c 1 PX 1500", "+OK\r\n");
    EXPECT(&w, "PERSIST c", ":1\r\n");
    assert_int_equal(machine_expires_at_ms(w.machine), w.time_ms + 1000);
    assert_int_equal(expire_now(&w), 0);
    w.time_ms += 2500;
    EXPECT(&w, "EXISTS a b c", ":2\r\n");
    assert_int_equal(machine_key_count(w.machine), 3);
    assert_int_equal(expire_now(&w), 1);
    assert_int_equal(machine_key_count(w.machine), 2);
    assert_int_equal(expire_now(&w), 0);

    world_write_back(&w, true);
    world_crash(&w, 0); /* everything is cold: what expires has to be learned */
    assert_int_equal(machine_expires_at_ms(w.machine), 0);
    w.time_ms += 5000;
    assert_int_equal(expire_now(&w), 0);
    assert_int_equal(expire_now(&w), 1);
    assert_int_equal(machine_key_count(w.machine), 1);
    w.time_ms += 1000; /* what was proposed is looked at once more */
    assert_int_equal(expire_now(&w), 0);
    assert_int_equal(machine_expires_at_ms(w.machine), UINT64_MAX);
    /* A new life does not inherit from an expired one. */
    EXPECT(&w, "HSET h f v", ":1\r\n");
    EXPECT(&w, "PEXPIRE h 10", ":1\r\n");
    w.time_ms += 20;
    EXPECT(&w, "SADD h x", ":1\r\n");
    EXPECT(&w, "TTL h", ":-1\r\n");
    world_deinit(&w);
}

/* ---- locks ---- */

static void test_locks(void **state)
{
    (void)state;
    struct machine_world w;
    open_world(&w);
    struct slice key = SLICE_LITERAL("a"), id = SLICE_LITERAL("t1"), other = SLICE_LITERAL("t2");
    EXPECT(&w, "SET a 1", "+OK\r\n");
    assert_int_equal(machine_lock(w.machine, 1, 1, key, id, &w.answer), MACHINE_DONE);
    assert_int_equal(machine_lock(w.machine, 1, 1, key, other, &w.answer), MACHINE_LOCKED);
    assert_true(slice_equal(w.answer.locked_by, id));
    EXPECT(&w, "GET a", "LOCKED");
    EXPECT(&w, "INCR a", "LOCKED");
    EXPECT(&w, "MGET b a", "LOCKED");
    EXPECT(&w, "GET b", "$-1\r\n");
    assert_string_equal(world_multi(&w, "SET b 1;SET a 5", NULL, 0), "LOCKED");
    EXPECT(&w, "EXISTS b", ":0\r\n");
    struct slice args[2] = {SLICE_LITERAL("GET"), key};
    assert_int_equal(machine_lock_check(w.machine, args, 2, &w.answer), MACHINE_LOCKED);

    assert_int_equal(machine_unlock(w.machine, 4, 4, key, other, &w.answer), MACHINE_LOCKED);
    assert_int_equal(machine_locks_count(w.machine), 1);
    assert_int_equal(machine_unlock(w.machine, 4, 4, key, id, &w.answer), MACHINE_DONE);
    assert_int_equal(machine_locks_count(w.machine), 0);
    EXPECT(&w, "GET a", "$1\r\n1\r\n");

    machine_record_put(w.machine, 5, 5, MACHINE_RECORD_TRANSACTION, id, SLICE_LITERAL("prepared"));
    world_write_back(&w, true);
    world_crash(&w, 0);
    bool found = false;
    struct slice bytes;
    while (machine_record_get(w.machine, MACHINE_RECORD_TRANSACTION, id, &found, &bytes, &w.answer) == MACHINE_COLD) {
        world_fetch(&w);
    }
    assert_true(found && slice_equal(bytes, SLICE_LITERAL("prepared")));
    machine_record_remove(w.machine, 6, 6, MACHINE_RECORD_TRANSACTION, id);
    assert_int_equal(machine_record_get(w.machine, MACHINE_RECORD_TRANSACTION, id, &found, &bytes, &w.answer),
                     MACHINE_DONE);
    assert_false(found);
    world_deinit(&w);
}

static void test_malformed_entries_do_nothing(void **state)
{
    (void)state;
    struct machine_world w;
    open_world(&w);
    EXPECT(&w, "SET a 1", "+OK\r\n");
    struct buffer good = w.entries[0];
    struct prng prng;
    prng_init(&prng, 5);
    uint8_t bytes[200];
    assert_true(good.length < sizeof bytes);
    for (int i = 0; i < 20000; i++) {
        memcpy(bytes, good.data, good.length);
        size_t length = prng_below(&prng, good.length + 1);
        if (length > 0) bytes[prng_below(&prng, length)] = (uint8_t)prng_u64(&prng);
        uint64_t index = machine_applied_index(w.machine);
        assert_int_equal(world_apply_bytes(&w, slice_of(bytes, length)), MACHINE_DONE);
        assert_int_equal(machine_applied_index(w.machine), index + 1);
        assert_true(w.reply.length > 0);
    }
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands_and_types),
        cmocka_unit_test(test_table_type_and_counters),
        cmocka_unit_test(test_keys_of_commands),
        cmocka_unit_test(test_collections_are_bounded),
        cmocka_unit_test(test_outcomes_are_remembered),
        cmocka_unit_test(test_first_in_the_log_wins),
        cmocka_unit_test(test_multi_and_watch),
        cmocka_unit_test(test_minimum),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_locks),
        cmocka_unit_test(test_malformed_entries_do_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
