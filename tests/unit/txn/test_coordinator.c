/* links: ordered storage wire base */
/* test_coordinator.c: what a coordinator asks and tells, event by event. */
#include "txn/coordinator.h"

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>

#include <cmocka.h>

static const uint64_t MS = 1000 * 1000, WALL_MS = 5000000;

static const struct transaction_group groups[] = {{7, 0}, {7, 1}};

struct fixture {
    struct txn *txn;
    struct prng prng;
    struct txn_effects effects;
    uint64_t now_ns;
    uint32_t requests[2]; /* the last one to each part */
};

static void note(struct fixture *f)
{
    for (uint32_t i = 0; i < f->effects.sends_count; i++) {
        f->requests[f->effects.sends[i].part] = f->effects.sends[i].request;
    }
}

static void begin(struct fixture *f)
{
    *f = (struct fixture){.now_ns = 1000 * MS};
    prng_init(&f->prng, 3);
    struct txn_config config = {.id = SLICE_LITERAL("t"),
                                .age_ms = WALL_MS,
                                .groups = groups,
                                .groups_count = 2,
                                .times = txn_times_default(4000 * MS),
                                .prng = &f->prng};
    f->txn = txn_new(&config, f->now_ns, WALL_MS, &f->effects);
    note(f);
}

static void answer(struct fixture *f, uint32_t part, enum transaction_state state, enum transaction_reason reason)
{
    struct buffer bytes;
    buffer_init(&bytes, 1000);
    struct transaction_answer a = {.state = state, .reason = reason, .reply = SLICE_LITERAL("+OK\r\n")};
    transaction_answer_write(&bytes, &a);
    txn_on_answer(f->txn, part, f->requests[part], buffer_slice(&bytes), f->now_ns, &f->effects);
    buffer_deinit(&bytes);
    note(f);
}

static void lose(struct fixture *f, uint32_t part, bool refused)
{
    txn_on_failure(f->txn, part, f->requests[part], refused, f->now_ns, &f->effects);
    note(f);
}

static void pass(struct fixture *f, uint64_t ms)
{
    f->now_ns += ms * MS;
    txn_tick(f->txn, f->now_ns, &f->effects);
    note(f);
}

static void expect_sends(const struct fixture *f, enum machine_entry_kind kind, uint32_t parts_mask)
{
    uint32_t mask = 0;
    for (uint32_t i = 0; i < f->effects.sends_count; i++) {
        assert_int_equal(f->effects.sends[i].kind, kind);
        mask |= 1u << f->effects.sends[i].part;
    }
    assert_int_equal(mask, parts_mask);
}

static void test_commit(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    expect_sends(&f, MACHINE_ENTRY_PREPARE, 3);
    assert_memory_equal(f.txn->transaction.id.data, "t.1", 3);
    assert_true(f.txn->transaction.deadline_ms > WALL_MS);
    answer(&f, 0, TRANSACTION_PREPARED, TRANSACTION_NO_REASON);
    assert_false(f.effects.tell);
    expect_sends(&f, MACHINE_ENTRY_PREPARE, 0);
    answer(&f, 1, TRANSACTION_PREPARED, TRANSACTION_NO_REASON);
    assert_true(f.effects.tell);
    assert_int_equal(f.txn->outcome, TXN_COMMITTED);
    assert_int_equal(f.txn->parts[1].reply.length, 5);
    expect_sends(&f, MACHINE_ENTRY_COMMIT, 3);
    lose(&f, 0, false);
    expect_sends(&f, MACHINE_ENTRY_COMMIT, 0);
    answer(&f, 1, TRANSACTION_COMMITTED, TRANSACTION_NO_REASON);
    pass(&f, 250);
    expect_sends(&f, MACHINE_ENTRY_COMMIT, 1);
    answer(&f, 0, TRANSACTION_COMMITTED, TRANSACTION_NO_REASON);
    assert_false(f.effects.tell);
    expect_sends(&f, MACHINE_ENTRY_FORGET, 3);
    answer(&f, 0, TRANSACTION_COMMITTED, TRANSACTION_NO_REASON);
    answer(&f, 1, TRANSACTION_GONE, TRANSACTION_NO_REASON);
    assert_int_equal(f.txn->phase, TXN_ENDED);
    txn_free(f.txn);
}

static void test_refusal_aborts_the_others(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    answer(&f, 0, TRANSACTION_ABORTED, TRANSACTION_REFUSED);
    assert_true(f.effects.tell);
    assert_int_equal(f.txn->outcome, TXN_ABORTED);
    assert_int_equal(f.txn->culprit, 0);
    expect_sends(&f, MACHINE_ENTRY_ABORT, 2); /* a PREPARE is still on its way there */
    answer(&f, 1, TRANSACTION_ABORTED, TRANSACTION_ENDED);
    assert_int_equal(f.txn->phase, TXN_ENDED);
    txn_free(f.txn);
}

static void test_one_that_was_always_refused_can_never_be_prepared(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    answer(&f, 0, TRANSACTION_PREPARED, TRANSACTION_NO_REASON);
    while (f.txn->phase == TXN_PREPARING) {
        if (f.txn->parts[1].under_way) lose(&f, 1, true);
        pass(&f, 50);
    }
    assert_int_equal(f.txn->outcome, TXN_ABORTED);
    assert_int_equal(f.txn->culprit, 1);
    expect_sends(&f, MACHINE_ENTRY_ABORT, 1);
    txn_free(f.txn);
}

/* One PREPARE of unknown fate, refused ever after: it may be prepared all the same. */
static void test_what_may_be_prepared_is_asked(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        struct fixture f;
        begin(&f);
        answer(&f, 0, TRANSACTION_PREPARED, TRANSACTION_NO_REASON);
        if (way == 0) lose(&f, 1, false);
        if (way == 1) answer(&f, 1, TRANSACTION_WAIT, TRANSACTION_LOCKED);
        if (way == 2) pass(&f, 1500); /* no answer at all: sent again */
        while (f.txn->phase == TXN_PREPARING) {
            if (f.txn->parts[1].under_way) lose(&f, 1, true);
            pass(&f, 50);
        }
        assert_int_equal(f.txn->phase, TXN_RESOLVING);
        assert_false(f.effects.tell);
        expect_sends(&f, MACHINE_ENTRY_RESOLVE, 2);
        answer(&f, 1, way == 1 ? TRANSACTION_ABORTED : TRANSACTION_PREPARED, TRANSACTION_NO_REASON);
        assert_true(f.effects.tell);
        assert_int_equal(f.txn->outcome, way == 1 ? TXN_ABORTED : TXN_COMMITTED);
        txn_free(f.txn);
    }
}

static void test_unknown_when_it_cannot_be_learned_in_time(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    answer(&f, 0, TRANSACTION_PREPARED, TRANSACTION_NO_REASON);
    pass(&f, 2000);
    assert_int_equal(f.txn->phase, TXN_RESOLVING);
    pass(&f, 1999);
    assert_false(f.effects.tell);
    pass(&f, 1);
    assert_true(f.effects.tell);
    assert_int_equal(f.txn->outcome, TXN_UNKNOWN);
    assert_int_equal(f.txn->culprit, 1);
    assert_int_equal(f.txn->phase, TXN_RESOLVING); /* and goes on, so that no lock stays */
    answer(&f, 1, TRANSACTION_ABORTED, TRANSACTION_ENDED);
    assert_false(f.effects.tell);
    expect_sends(&f, MACHINE_ENTRY_ABORT, 1);
    pass(&f, 20000);
    assert_int_equal(f.txn->phase, TXN_ENDED);
    txn_free(f.txn);
}

static void test_died_tries_again_under_its_old_age(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    uint64_t age_ms = f.txn->transaction.age_ms;
    answer(&f, 0, TRANSACTION_PREPARED, TRANSACTION_NO_REASON);
    answer(&f, 1, TRANSACTION_ABORTED, TRANSACTION_DIED);
    assert_false(f.effects.tell);
    expect_sends(&f, MACHINE_ENTRY_ABORT, 1);
    answer(&f, 0, TRANSACTION_ABORTED, TRANSACTION_ENDED);
    assert_int_equal(f.txn->phase, TXN_RESTING);
    f.now_ns = txn_next_deadline_ns(f.txn);
    pass(&f, 0);
    expect_sends(&f, MACHINE_ENTRY_PREPARE, 3);
    assert_memory_equal(f.txn->transaction.id.data, "t.2", 3);
    assert_int_equal(f.txn->transaction.age_ms, age_ms);
    pass(&f, 1990); /* too late for a third try */
    answer(&f, 0, TRANSACTION_ABORTED, TRANSACTION_DIED);
    assert_true(f.effects.tell);
    assert_int_equal(f.txn->outcome, TXN_ABORTED);
    txn_free(f.txn);
}

static void test_late_answers_are_dropped(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    uint32_t old = f.requests[0];
    lose(&f, 0, true);
    pass(&f, 250);
    assert_true(f.requests[0] != old);
    f.requests[0] = old;
    answer(&f, 0, TRANSACTION_ABORTED, TRANSACTION_REFUSED);
    assert_int_equal(f.txn->phase, TXN_PREPARING);
    txn_on_answer(f.txn, 1, f.requests[1], SLICE_LITERAL("nonsense"), f.now_ns, &f.effects);
    assert_int_equal(f.txn->phase, TXN_PREPARING);
    txn_free(f.txn);
}

static void test_recovery(void **state)
{
    (void)state;
    struct transaction found = {.id = SLICE_LITERAL("t.1"),
                                .deadline_ms = WALL_MS,
                                .keep_until_ms = WALL_MS + 1,
                                .groups = groups,
                                .groups_count = 2};
    struct txn_times times = txn_times_default(4000 * MS);
    const enum transaction_state others[] = {TRANSACTION_PREPARED, TRANSACTION_COMMITTED, TRANSACTION_ABORTED,
                                             TRANSACTION_GONE};
    for (uint32_t i = 0; i < 4; i++) {
        struct fixture f = {0};
        prng_init(&f.prng, 1);
        f.txn = txn_recover(&found, 1, TRANSACTION_PREPARED, &times, f.now_ns, &f.prng, &f.effects);
        note(&f);
        expect_sends(&f, MACHINE_ENTRY_RESOLVE, 1);
        answer(&f, 0, others[i], TRANSACTION_NO_REASON);
        assert_false(f.effects.tell);
        bool commits = others[i] == TRANSACTION_PREPARED || others[i] == TRANSACTION_COMMITTED;
        uint32_t mask = others[i] == TRANSACTION_PREPARED ? 3 : 2;
        expect_sends(&f, commits ? MACHINE_ENTRY_COMMIT : MACHINE_ENTRY_ABORT, mask);
        txn_free(f.txn);
    }
    struct fixture f = {0};
    prng_init(&f.prng, 1);
    f.txn = txn_recover(&found, 0, TRANSACTION_COMMITTED, &times, f.now_ns, &f.prng, &f.effects);
    expect_sends(&f, MACHINE_ENTRY_COMMIT, 2);
    txn_free(f.txn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commit),
        cmocka_unit_test(test_refusal_aborts_the_others),
        cmocka_unit_test(test_one_that_was_always_refused_can_never_be_prepared),
        cmocka_unit_test(test_what_may_be_prepared_is_asked),
        cmocka_unit_test(test_unknown_when_it_cannot_be_learned_in_time),
        cmocka_unit_test(test_died_tries_again_under_its_old_age),
        cmocka_unit_test(test_late_answers_are_dropped),
        cmocka_unit_test(test_recovery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
