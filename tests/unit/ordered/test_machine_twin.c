/* links: storage wire base */
/* test_machine_twin.c: machines that saw the same entries are the same, byte for byte, whatever else happened to them:
 * little memory, write-backs, crashes, a snapshot in place of the entries. */
#include "tests/unit/ordered/machine_world.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

enum { KEYS = 40, NAMES = 30, LINE_BYTES = 300 };

/* %k a key, %n a name or element, %i a small integer, %t a time in ms */
static const char *const lines[] = {"SET %k %n",
                                    "SET %k %i PX %t",
                                    "GET %k",
                                    "INCRBY %k %i",
                                    "APPEND %k %n",
                                    "GETSET %k %n",
                                    "SETRANGE %k 70 %n",
                                    "MSET %k %n %k %i",
                                    "MGET %k %k %k",
                                    "DEL %k",
                                    "DEL %k %k %k",
                                    "RENAME %k %k",
                                    "COPY %k %k REPLACE",
                                    "HSET %k %n %n %n %i",
                                    "HSET %k %n %i",
                                    "HDEL %k %n %n",
                                    "HGETALL %k",
                                    "HINCRBY %k %n %i",
                                    "HSCAN %k 0",
                                    "SADD %k %n %n %n",
                                    "SREM %k %n",
                                    "SPOP %k",
                                    "SPOP %k 2",
                                    "SMEMBERS %k",
                                    "SMOVE %k %k %n",
                                    "SUNIONSTORE %k %k %k",
                                    "RPUSH %k %n %n",
                                    "LPUSH %k %n",
                                    "LRANGE %k 0 -1",
                                    "LREM %k 0 %n",
                                    "LINSERT %k BEFORE %n %n",
                                    "LTRIM %k 1 -2",
                                    "LMOVE %k %k LEFT RIGHT",
                                    "ZADD %k %i %n %i %n",
                                    "ZADD %k %i %n",
                                    "ZINCRBY %k %i %n",
                                    "ZREM %k %n",
                                    "ZRANGE %k 0 -1 WITHSCORES",
                                    "ZPOPMIN %k",
                                    "ZUNIONSTORE %k 2 %k %k",
                                    "PEXPIRE %k %t",
                                    "PERSIST %k",
                                    "PTTL %k",
                                    "TYPE %k",
                                    "EXISTS %k %k"};

static void draw_line(struct prng *prng, char out[LINE_BYTES])
{
    const char *line = lines[prng_below(prng, sizeof lines / sizeof lines[0])];
    size_t length = 0;
    for (; *line; line++) {
        char word[20] = {*line, 0};
        if (*line == '%') {
            line++;
            switch (*line) {
            case 'k': snprintf(word, sizeof word, "k%d", (int)prng_below(prng, KEYS)); break;
            case 'n': snprintf(word, sizeof word, "name%d", (int)prng_below(prng, NAMES)); break;
            case 'i': snprintf(word, sizeof word, "%d", (int)prng_below(prng, 20) - 10); break;
            default: snprintf(word, sizeof word, "%d", 1 + (int)prng_below(prng, 3000)); break;
            }
        }
        length += (size_t)snprintf(out + length, LINE_BYTES - length, "%s", word);
    }
}

static void expect_equal(struct machine_world *a, struct machine_world *b)
{
    struct buffer left, right;
    buffer_init(&left, 1 << 28);
    buffer_init(&right, 1 << 28);
    world_state(a, &left);
    world_state(b, &right);
    assert_int_equal(left.length, right.length);
    assert_memory_equal(left.data, right.data, left.length);
    buffer_deinit(&left);
    buffer_deinit(&right);
}

/* One drawn command, to both; their replies are the same. */
static void ask_both(struct prng *prng, struct machine_world *a, struct machine_world *b)
{
    char line[LINE_BYTES], id[20] = "";
    draw_line(prng, line);
    if (prng_chance(prng, 1, 10)) snprintf(id, sizeof id, "id%d", (int)prng_below(prng, 50));
    int version = prng_chance(prng, 1, 2) ? 2 : 3;
    a->time_ms = b->time_ms += prng_below(prng, 100);
    if (prng_chance(prng, 1, 2000)) a->time_ms = b->time_ms += 26 * 3600 * UINT64_C(1000);
    if (prng_chance(prng, 1, 20)) {
        char second[LINE_BYTES], both[2 * LINE_BYTES];
        draw_line(prng, second);
        snprintf(both, sizeof both, "%s;%s", line, second);
        const char *reply = world_multi(a, both, NULL, 0);
        assert_string_equal(reply, world_multi(b, both, NULL, 0));
        return;
    }
    const char *reply = world_ask_with(a, line, *id ? id : NULL, version);
    assert_string_equal(reply, world_ask_with(b, line, *id ? id : NULL, version));
}

static void disturb(struct prng *prng, struct machine_world *w)
{
    switch (prng_below(prng, 6)) {
    case 0: world_write_back(w, false); return;
    case 1:
    case 2: world_write_back(w, true); return;
    case 3: /* begun, and not finished before more is changed */
        store_on_log_durable(w->store, UINT64_MAX);
        machine_write_back(w->machine, machine_applied_index(w->machine));
        store_work(w->store, (uint32_t)prng_below(prng, 10));
        return;
    case 4: machine_work(w->machine, machine_applied_index(w->machine)); return;
    default: world_crash(w, prng_below(prng, 5)); return;
    }
}

static void run_twins(uint64_t seed, bool has_minimum)
{
    struct machine_world plain, troubled;
    struct prng prng;
    prng_init(&prng, seed);
    world_init(&plain);
    world_init(&troubled);
    troubled.memory_bytes_max = 20000;
    plain.config.has_minimum = troubled.config.has_minimum = has_minimum;
    plain.config.minimum = troubled.config.minimum = -5;
    world_open(&plain);
    world_open(&troubled);
    for (int i = 0; i < 6000; i++) {
        ask_both(&prng, &plain, &troubled);
        if (prng_chance(&prng, 1, 50)) disturb(&prng, &troubled);
        if (prng_chance(&prng, 1, 300)) expect_equal(&plain, &troubled);
    }
    expect_equal(&plain, &troubled);
    world_deinit(&plain);
    world_deinit(&troubled);
}

static void test_twins(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 24; seed++) run_twins(seed, seed % 2 == 0);
}

/* ---- snapshots ---- */

/* Send all that is left in pieces, while `source` goes on; false: it was lost. */
static bool send_some(struct prng *prng, struct machine_world *source, struct machine_snapshot *s,
                      struct machine_world *target, bool *out_ended)
{
    struct buffer chunk;
    buffer_init(&chunk, 1 << 20);
    size_t bytes_max = 1 + prng_below(prng, 700);
    enum machine_snapshot_result result = machine_snapshot_next(s, bytes_max, &chunk, &source->answer);
    if (result == SNAPSHOT_COLD) {
        assert_int_equal(chunk.length, 0);
        world_fetch(source);
    } else if (result != SNAPSHOT_LOST) {
        assert_true(chunk.length <= bytes_max);
        assert_int_equal(machine_install_bytes(target->machine, buffer_slice(&chunk)), STATUS_OK);
    }
    *out_ended = result == SNAPSHOT_LAST;
    buffer_deinit(&chunk);
    return result != SNAPSHOT_LOST;
}

/* The target knows the entries of the source, so that it can be brought up from any position. */
static void copy_entries(struct machine_world *to, const struct machine_world *from)
{
    for (uint64_t i = to->entries_count; i < from->entries_count; i++) {
        buffer_init(&to->entries[i], MACHINE_ENTRY_BYTES_MAX);
        buffer_append_slice(&to->entries[i], buffer_slice(&from->entries[i]));
    }
    to->entries_count = from->entries_count;
    to->time_ms = from->time_ms;
}

static void catch_up(struct machine_world *w)
{
    for (uint64_t i = machine_applied_index(w->machine); i < w->entries_count; i++) {
        enum machine_result result = world_apply_bytes(w, buffer_slice(&w->entries[i]));
        assert_int_equal(result, MACHINE_DONE);
    }
}

static void run_snapshot(uint64_t seed)
{
    struct machine_world plain, source, target;
    struct prng prng;
    prng_init(&prng, seed);
    world_init(&plain);
    world_init(&source);
    world_init(&target);
    source.memory_bytes_max = target.memory_bytes_max = 20000;
    plain.config.has_minimum = source.config.has_minimum = target.config.has_minimum = seed % 2 == 0;
    world_open(&plain);
    world_open(&source);
    world_open(&target);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 500; i++) ask_both(&prng, &plain, &source);
        world_write_back(&source, true);
        struct machine_snapshot *s = machine_snapshot_begin(source.machine);
        assert_non_null(s);
        uint64_t index = machine_snapshot_index(s), old = machine_applied_index(target.machine);
        assert_int_equal(machine_install_begin(target.machine), STATUS_OK);
        for (bool ended = false; !ended;) {
            assert_true(send_some(&prng, &source, s, &target, &ended));
            ask_both(&prng, &plain, &source);
            if (prng_chance(&prng, 1, 20)) world_write_back(&source, prng_chance(&prng, 1, 2));
            if (prng_chance(&prng, 1, 20)) world_write_back(&target, prng_chance(&prng, 1, 2));
        }
        machine_snapshot_end(s);
        if (round == 2) { /* a crash before it is in use: the old state is there as before */
            world_crash(&target, prng_below(&prng, 3));
            assert_int_equal(machine_applied_index(target.machine), old);
            copy_entries(&target, &source);
            catch_up(&target);
            expect_equal(&source, &target);
            continue;
        }
        assert_int_equal(machine_install_finish(target.machine, index), STATUS_OK);
        assert_int_equal(machine_applied_index(target.machine), index);
        assert_false(machine_install_is_durable(target.machine));
        assert_int_equal(machine_install_begin(target.machine), STATUS_BUSY);
        copy_entries(&target, &source);
        if (round == 1) { /* a crash before it is durable: likewise, or the new one if it came so far */
            machine_write_back(target.machine, index);
            world_pump(&target);
            world_crash(&target, prng_below(&prng, 2));
        } else {
            world_write_back(&target, true);
            assert_true(machine_install_is_durable(target.machine));
            catch_up(&target);
        }
        expect_equal(&source, &target);
        expect_equal(&source, &plain);
        if (prng_chance(&prng, 1, 2)) world_write_back(&target, true);
        if (prng_chance(&prng, 1, 2)) world_crash(&target, 0);
        expect_equal(&source, &target);
    }
    world_deinit(&plain);
    world_deinit(&source);
    world_deinit(&target);
}

static void test_snapshots(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) run_snapshot(seed);
}

static void test_damaged_streams_leave_the_old_state(void **state)
{
    (void)state;
    struct machine_world source, target;
    world_init(&source);
    world_init(&target);
    world_open(&source);
    world_open(&target);
    world_ask(&source, "SET a 1");
    world_ask(&source, "RPUSH l 1 2 3");
    world_ask(&target, "SET old 1");
    struct buffer stream;
    buffer_init(&stream, 1 << 20);
    struct machine_snapshot *s = machine_snapshot_begin(source.machine);
    assert_int_equal(machine_snapshot_next(s, 1 << 20, &stream, &source.answer), SNAPSHOT_LAST);
    machine_snapshot_end(s);
    struct prng prng;
    prng_init(&prng, 3);
    for (int i = 0; i < 3000; i++) {
        size_t length = prng_below(&prng, stream.length); /* cut short: never whole */
        assert_int_equal(machine_install_begin(target.machine), STATUS_OK);
        enum status status = machine_install_bytes(target.machine, slice_of(stream.data, length));
        assert_int_equal(status, STATUS_OK);
        size_t at = prng_below(&prng, stream.length);
        uint8_t kept = stream.data[at];
        stream.data[at] ^= (uint8_t)(1 + prng_below(&prng, 255));
        assert_int_equal(machine_install_begin(target.machine), STATUS_OK);
        status = machine_install_bytes(target.machine, buffer_slice(&stream));
        assert_true(status == STATUS_OK || status == STATUS_CORRUPT);
        stream.data[at] = kept;
        machine_install_abort(target.machine);
        assert_int_equal(machine_install_finish(target.machine, 1), STATUS_CORRUPT);
        world_pump(&target);
    }
    assert_string_equal(world_ask(&target, "GET old"), "$1\r\n1\r\n");
    buffer_deinit(&stream);
    world_deinit(&source);
    world_deinit(&target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twins),
        cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_damaged_streams_leave_the_old_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
