/* links: storage wire base */
/* test_machine_transaction.c: a transaction's part in one group: every entry in every state, and what COMMIT promises.
 */
#include "tests/unit/ordered/machine_world.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

#define EXPECT(w, line, reply) assert_string_equal(world_ask(w, line), reply)

enum { LIFE_MS = 10000, KEEP_MS = 20000, AGE_MS = 500 };

struct part {
    enum machine_entry_kind kind;
    const char *id;
    const char *lines; /* commands apart by ';' */
    uint64_t age_ms;   /* 0: AGE_MS */
    uint8_t flags;
    uint64_t start_ms; /* 0: now */
};

static void open_world(struct machine_world *w)
{
    world_init(w);
    world_open(w);
}

/* Apply an entry of a transaction; the answer borrows from w->reply. */
static struct transaction_answer send(struct machine_world *w, struct part part)
{
    static const struct transaction_group groups[] = {{7, 3}, {7, 4}};
    arena_reset(&w->arena);
    struct machine_args commands[8];
    size_t count = 0;
    char text[2000];
    snprintf(text, sizeof text, "%s", part.lines ? part.lines : "");
    char *rest = text;
    for (char *line; part.lines && (line = strsep(&rest, ";"));) {
        struct slice *args = arena_alloc(&w->arena, WORLD_ARGS_MAX * sizeof *args);
        commands[count++] = (struct machine_args){args, world_words(w, line, args)};
    }
    uint64_t start_ms = part.start_ms ? part.start_ms : w->time_ms;
    struct machine_entry entry = {.kind = part.kind,
                                  .time_ms = w->time_ms,
                                  .resp_version = 2,
                                  .commands = commands,
                                  .commands_count = count,
                                  .transaction = {.id = slice_of_string(part.id),
                                                  .age_ms = part.age_ms ? part.age_ms : AGE_MS,
                                                  .deadline_ms = start_ms + LIFE_MS,
                                                  .keep_until_ms = start_ms + KEEP_MS,
                                                  .flags = part.flags,
                                                  .groups = groups,
                                                  .groups_count = part.kind == MACHINE_ENTRY_PREPARE ? 2 : 0}};
    enum machine_result result = world_apply(w, &entry);
    assert_int_equal(result, MACHINE_DONE);
    struct transaction_answer answer;
    assert_int_equal(transaction_answer_read(buffer_slice(&w->reply), &answer), STATUS_OK);
    return answer;
}

static struct transaction_answer prepare(struct machine_world *w, const char *id, const char *lines)
{
    return send(w, (struct part){.kind = MACHINE_ENTRY_PREPARE, .id = id, .lines = lines});
}

static enum transaction_state end(struct machine_world *w, enum machine_entry_kind kind, const char *id)
{
    return send(w, (struct part){.kind = kind, .id = id}).state;
}

static void assert_reply(struct slice reply, const char *text)
{
    assert_int_equal(reply.length, strlen(text));
    assert_memory_equal(reply.data, text, reply.length);
}

static void test_prepare_commit(void **state)
{
    (void)state;
    struct machine_world w;
    open_world(&w);
    EXPECT(&w, "SET a 10", "+OK\r\n");
    struct transaction_answer answer = prepare(&w, "t", "DECRBY a 3;LPUSH l x y;GET nothing");
    assert_int_equal(answer.state, TRANSACTION_PREPARED);
    assert_reply(answer.reply, ":7\r\n:2\r\n$-1\r\n");
    assert_int_equal(machine_locks_count(w.machine), 3);
    EXPECT(&w, "GET a", "LOCKED");
    EXPECT(&w, "INCR a", "LOCKED");
    EXPECT(&w, "EXISTS l", "LOCKED");
    EXPECT(&w, "GET b", "$-1\r\n");
    answer = prepare(&w, "t", "DECRBY a 4"); /* again: what is on record */
    assert_reply(answer.reply, ":7\r\n:2\r\n$-1\r\n");

    assert_int_equal(end(&w, MACHINE_ENTRY_RESOLVE, "t"), TRANSACTION_PREPARED);
    assert_int_equal(end(&w, MACHINE_ENTRY_COMMIT, "t"), TRANSACTION_COMMITTED);
    assert_int_equal(machine_locks_count(w.machine), 0);
    EXPECT(&w, "GET a", "$1\r\n7\r\n");
    EXPECT(&w, "LRANGE l 0 -1", "*2\r\n$1\r\ny\r\n$1\r\nx\r\n");
    assert_int_equal(end(&w, MACHINE_ENTRY_COMMIT, "t"), TRANSACTION_COMMITTED);
    assert_int_equal(end(&w, MACHINE_ENTRY_ABORT, "t"), TRANSACTION_COMMITTED);
    assert_int_equal(end(&w, MACHINE_ENTRY_RESOLVE, "t"), TRANSACTION_COMMITTED);
    answer = prepare(&w, "t", "DECRBY a 3");
    assert_int_equal(answer.state, TRANSACTION_COMMITTED);
    assert_reply(answer.reply, ":7\r\n:2\r\n$-1\r\n");
    EXPECT(&w, "GET a", "$1\r\n7\r\n");
    world_deinit(&w);
}

static void test_abort_and_resolve_win_when_first(void **state)
{
    (void)state;
    struct machine_world w;
    open_world(&w);
    EXPECT(&w, "SET a 10", "+OK\r\n");
    assert_int_equal(prepare(&w, "t", "INCR a;SADD s x").state, TRANSACTION_PREPARED);
    assert_int_equal(end(&w, MACHINE_ENTRY_ABORT, "t"), TRANSACTION_ABORTED);
    EXPECT(&w, "GET a", "$2\r\n10\r\n");
    EXPECT(&w, "EXISTS s", ":0\r\n");
    assert_int_equal(end(&w, MACHINE_ENTRY_COMMIT, "t"), TRANSACTION_ABORTED);
    assert_int_equal(prepare(&w, "t", "INCR a").state, TRANSACTION_ABORTED);
    EXPECT(&w, "GET a", "$2\r\n10\r\n");

    assert_int_equal(end(&w, MACHINE_ENTRY_RESOLVE, "u"), TRANSACTION_ABORTED);
    assert_int_equal(prepare(&w, "u", "INCR a").state, TRANSACTION_ABORTED);
    assert_int_equal(end(&w, MACHINE_ENTRY_ABORT, "v"), TRANSACTION_ABORTED);
    assert_int_equal(prepare(&w, "v", "INCR a").state, TRANSACTION_ABORTED);
    assert_int_equal(end(&w, MACHINE_ENTRY_COMMIT, "never"), TRANSACTION_GONE);
    assert_int_equal(machine_locks_count(w.machine), 0);
    world_deinit(&w);
}

static void test_refusals(void **state)
{
    (void)state;
    struct machine_world w;
    world_init(&w);
    w.config.has_minimum = true;
    world_open(&w);
    EXPECT(&w, "SET a 10", "+OK\r\n");
    EXPECT(&w, "LPUSH l x", ":1\r\n");
    struct transaction_answer answer = prepare(&w, "t", "INCRBY b 5;DECRBY a 11");
    assert_int_equal(answer.state, TRANSACTION_ABORTED);
    assert_int_equal(answer.reason, TRANSACTION_REFUSED);
    assert_memory_equal(answer.reply.data, "-INVARIANT 'a'", 14);
    EXPECT(&w, "GET a", "$2\r\n10\r\n");
    EXPECT(&w, "EXISTS b", ":0\r\n");

    answer = prepare(&w, "u", "INCR a;INCR l"); /* as in a MULTI: the error is one of the replies */
    assert_int_equal(answer.state, TRANSACTION_PREPARED);
    assert_int_equal(end(&w, MACHINE_ENTRY_ABORT, "u"), TRANSACTION_ABORTED);
    struct part strict = {.kind = MACHINE_ENTRY_PREPARE, .id = "v", .lines = "INCR a;INCR l"};
    strict.flags = TRANSACTION_ERRORS_REFUSE;
    answer = send(&w, strict);
    assert_int_equal(answer.state, TRANSACTION_ABORTED);
    assert_reply(answer.reply, "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");

    strict = (struct part){.kind = MACHINE_ENTRY_PREPARE, .id = "w", .lines = "MSETNX a 1 c 2"};
    strict.flags = TRANSACTION_ZERO_REFUSES;
    answer = send(&w, strict);
    assert_int_equal(answer.state, TRANSACTION_ABORTED);
    assert_reply(answer.reply, ":0\r\n");
    EXPECT(&w, "GET a", "$2\r\n10\r\n");
    assert_int_equal(machine_locks_count(w.machine), 0);
    world_deinit(&w);
}

static void test_younger_dies_older_waits(void **state)
{
    (void)state;
    struct machine_world w;
    open_world(&w);
    assert_int_equal(prepare(&w, "t", "INCR a").state, TRANSACTION_PREPARED);
    struct part younger = {
        .kind = MACHINE_ENTRY_PREPARE, .id = "young", .lines = "INCR b;INCR a", .age_ms = AGE_MS + 1};
    struct transaction_answer answer = send(&w, younger);
    assert_int_equal(answer.state, TRANSACTION_ABORTED);
    assert_int_equal(answer.reason, TRANSACTION_DIED);
    struct part older = {.kind = MACHINE_ENTRY_PREPARE, .id = "old", .lines = "INCR b;INCR a", .age_ms = AGE_MS - 1};
    answer = send(&w, older);
    assert_int_equal(answer.state, TRANSACTION_WAIT);
    assert_int_equal(answer.reason, TRANSACTION_LOCKED);
    assert_reply(answer.holder, "t");
    assert_int_equal(machine_locks_count(w.machine), 1);
    assert_int_equal(end(&w, MACHINE_ENTRY_COMMIT, "t"), TRANSACTION_COMMITTED);
    answer = send(&w, older);
    assert_int_equal(answer.state, TRANSACTION_PREPARED);
    assert_reply(answer.reply, ":1\r\n:2\r\n");
    world_deinit(&w);
}

static void test_time_at_commit_is_that_of_prepare(void **state)
{
    (void)state;
    struct machine_world w;
    open_world(&w);
    EXPECT(&w, "SET a 10 PX 1000", "+OK\r\n");
    EXPECT(&w, "SADD s 1 2 3 4 5 6 7 8 9", ":9\r\n");
    struct transaction_answer answer = prepare(&w, "t", "INCR a;SPOP s;SET b x PX 500;HOLD m 5 9000");
    assert_int_equal(answer.state, TRANSACTION_PREPARED);
    struct slice replies = arena_copy(&w.arena, answer.reply);
    char text[200];
    snprintf(text, sizeof text, "%.*s", (int)replies.length, (const char *)replies.data);

    w.time_ms += 2000; /* `a` has expired meanwhile: but not for the transaction, which locked it */
    struct buffer expire;
    buffer_init(&expire, 1 << 20);
    assert_int_equal(machine_expire(w.machine, w.time_ms, &expire, &w.answer), MACHINE_DONE);
    assert_int_equal(world_apply_bytes(&w, buffer_slice(&expire)), MACHINE_DONE);
    assert_memory_equal(w.reply.data, ":0\r\n", 4);
    buffer_init(&w.entries[w.entries_count], 1 << 20);
    buffer_append_slice(&w.entries[w.entries_count++], buffer_slice(&expire));
    buffer_deinit(&expire);

    assert_int_equal(end(&w, MACHINE_ENTRY_COMMIT, "t"), TRANSACTION_COMMITTED);
    EXPECT(&w, "EXISTS a b", ":0\r\n"); /* it has expired now, and so has what was set for half a second */
    char popped = *(strstr(text, ":11\r\n$1\r\n") + 9);
    char line[20];
    snprintf(line, sizeof line, "SISMEMBER s %c", popped);
    EXPECT(&w, line, ":0\r\n");
    EXPECT(&w, "SCARD s", ":8\r\n");
    char *id = strstr(text, "h-7-3-");
    assert_non_null(id);
    *strchr(id, '\r') = 0;
    snprintf(line, sizeof line, "SETTLE %s", id);
    EXPECT(&w, line, ":5\r\n");
    world_deinit(&w);
}

static void test_late_entries(void **state)
{
    (void)state;
    struct machine_world w;
    open_world(&w);
    uint64_t start_ms = w.time_ms;
    w.time_ms += LIFE_MS;
    struct part late = {.kind = MACHINE_ENTRY_PREPARE, .id = "t", .lines = "INCR a", .start_ms = start_ms};
    assert_int_equal(send(&w, late).state, TRANSACTION_GONE);
    late.kind = MACHINE_ENTRY_RESOLVE;
    late.lines = NULL;
    assert_int_equal(send(&w, late).state, TRANSACTION_GONE);
    assert_int_equal(machine_transactions_count(w.machine), 0);
    world_deinit(&w);
}

/* What machine_expire() proposes. */
static void expire(struct machine_world *w)
{
    struct buffer *bytes = &w->entries[w->entries_count];
    buffer_init(bytes, 1 << 20);
    while (machine_expire(w->machine, w->time_ms, bytes, &w->answer) == MACHINE_COLD) world_fetch(w);
    if (bytes->length == 0) return;
    w->entries_count++;
    assert_int_equal(world_apply_bytes(w, buffer_slice(bytes)), MACHINE_DONE);
}

static void test_records_leave(void **state)
{
    (void)state;
    struct machine_world w;
    open_world(&w);
    prepare(&w, "committed", "INCR a");
    end(&w, MACHINE_ENTRY_COMMIT, "committed");
    prepare(&w, "aborted", "INCR a");
    end(&w, MACHINE_ENTRY_ABORT, "aborted");
    prepare(&w, "prepared", "INCR a");
    expire(&w);
    assert_int_equal(machine_transactions_count(w.machine), 3);
    w.time_ms += KEEP_MS + 1;
    expire(&w);
    assert_int_equal(machine_transactions_count(w.machine), 2); /* the aborted one has left */
    assert_int_equal(end(&w, MACHINE_ENTRY_COMMIT, "prepared"), TRANSACTION_COMMITTED);
    end(&w, MACHINE_ENTRY_FORGET, "committed");
    end(&w, MACHINE_ENTRY_FORGET, "prepared");
    end(&w, MACHINE_ENTRY_FORGET, "prepared");
    w.time_ms += 1;
    expire(&w);
    assert_int_equal(machine_transactions_count(w.machine), 0);
    assert_int_equal(end(&w, MACHINE_ENTRY_COMMIT, "prepared"), TRANSACTION_GONE);
    EXPECT(&w, "GET a", "$1\r\n2\r\n");
    world_deinit(&w);
}

static void count_doubt(void *user, const struct transaction *transaction, enum transaction_state state)
{
    assert_int_equal(transaction->groups_count, 2);
    assert_int_equal(transaction->groups[1].partition, 4);
    ((uint32_t *)user)[state]++;
}

static void assert_doubts(struct machine_world *w, uint32_t prepared, uint32_t committed)
{
    uint32_t counts[TRANSACTION_ABORTED + 1] = {0};
    while (machine_transactions_in_doubt(w->machine, w->time_ms, 1000, count_doubt, counts, &w->answer) ==
           MACHINE_COLD) {
        world_fetch(w);
    }
    assert_int_equal(counts[TRANSACTION_PREPARED], prepared);
    assert_int_equal(counts[TRANSACTION_COMMITTED], committed);
    assert_int_equal(counts[TRANSACTION_ABORTED], 0);
}

static void test_doubts(void **state)
{
    (void)state;
    struct machine_world w;
    open_world(&w);
    prepare(&w, "p", "INCR a");
    prepare(&w, "c", "INCR b");
    end(&w, MACHINE_ENTRY_COMMIT, "c");
    end(&w, MACHINE_ENTRY_RESOLVE, "r");
    assert_doubts(&w, 0, 0);
    w.time_ms += 1000;
    assert_doubts(&w, 1, 1);
    assert_doubts(&w, 0, 0);
    w.time_ms += 1000;
    assert_doubts(&w, 1, 1);
    end(&w, MACHINE_ENTRY_FORGET, "c");
    w.time_ms += 1000;
    assert_doubts(&w, 1, 0);

    world_write_back(&w, true); /* a new process learns them from the store */
    world_crash(&w, 0);
    assert_doubts(&w, 0, 0); /* a step that learns */
    assert_doubts(&w, 1, 0);
    end(&w, MACHINE_ENTRY_ABORT, "p");
    w.time_ms += 5000;
    assert_doubts(&w, 0, 0);
    world_deinit(&w);
}

static void test_state_survives_and_is_the_same(void **state)
{
    (void)state;
    struct buffer before, after;
    buffer_init(&before, 1 << 20);
    buffer_init(&after, 1 << 20);
    for (int flush = 0; flush < 2; flush++) {
        struct machine_world w;
        open_world(&w);
        EXPECT(&w, "SET a 10", "+OK\r\n");
        prepare(&w, "t", "INCR a;RPUSH l 1 2 3");
        prepare(&w, "u", "INCR b");
        end(&w, MACHINE_ENTRY_ABORT, "u");
        world_write_back(&w, flush);
        EXPECT(&w, "SET c 1", "+OK\r\n");
        world_state(&w, &before);
        world_crash(&w, 0);
        world_state(&w, &after);
        assert_true(slice_equal(buffer_slice(&before), buffer_slice(&after)));
        EXPECT(&w, "GET a", "LOCKED");
        assert_int_equal(end(&w, MACHINE_ENTRY_COMMIT, "t"), TRANSACTION_COMMITTED);
        EXPECT(&w, "GET a", "$2\r\n11\r\n");
        EXPECT(&w, "LLEN l", ":3\r\n");
        world_deinit(&w);
    }
    buffer_deinit(&before);
    buffer_deinit(&after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prepare_commit),
        cmocka_unit_test(test_abort_and_resolve_win_when_first),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_younger_dies_older_waits),
        cmocka_unit_test(test_time_at_commit_is_that_of_prepare),
        cmocka_unit_test(test_late_entries),
        cmocka_unit_test(test_records_leave),
        cmocka_unit_test(test_doubts),
        cmocka_unit_test(test_state_survives_and_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
