/* test_log.c: the shard log against a disk that loses power at every step and fills up. */
#include "tests/unit/storage/log_history.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

/* ---- the plain cases ---- */

static void test_records_survive_in_order(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 1);
    history_open(&h);
    assert_int_equal(log_last_lsn(h.log), 0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(history_append(&h), STATUS_OK);
        if (i % 7 == 0) log_submit(h.log);
        if (i % 11 == 0)
            while (h.files.requests_count) history_complete(&h, 0);
    }
    assert_true(log_durable_lsn(h.log) < 50);
    history_settle(&h);
    assert_int_equal(log_durable_lsn(h.log), 50);
    assert_true(log_is_idle(h.log));
    for (uint32_t id = 0; id < h.ids; id++) history_read_back(&h, id);
    log_free(h.log);
    history_open(&h);
    assert_int_equal(log_last_lsn(h.log), 50);
    assert_int_equal(log_cut_bytes(h.log), 0);
    for (uint32_t id = 0; id < h.ids; id++) {
        assert_true(h.seen[id]);
        history_read_back(&h, id);
    }
    history_deinit(&h);
}

static void test_reads_while_pending_and_cached_and_cold(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 2);
    history_open(&h);
    for (int i = 0; i < 600; i++) {
        while (history_append(&h) != STATUS_OK) history_settle(&h);
        history_read_back(&h, h.ids - 1);
        if (i % 5 == 0) log_submit(h.log);
        if (i % 3 == 0 && h.files.requests_count) history_complete(&h, 0);
        history_read_back(&h, (uint32_t)prng_below(&h.prng, h.ids));
    }
    struct log_location gone = h.at[0];
    gone.segment = 77;
    struct slice payload;
    assert_int_equal(log_read(h.log, gone, &payload, history_on_read, NULL), STATUS_NOT_FOUND);
    history_settle(&h);
    history_deinit(&h);
}

static void test_damage_under_a_read_is_reported(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 3);
    history_open(&h);
    while (log_segment_count(h.log) < 3) {
        if (history_append(&h) != STATUS_OK) history_settle(&h);
        log_submit(h.log);
    }
    history_settle(&h);
    int file = memory_files_find(&h.files, "log-0000000001.seg");
    h.files.files[file].bytes[h.at[0].offset] ^= 1;
    struct slice payload;
    history_forget_cached(&h);
    struct expected_read read = {.h = &h};
    assert_int_equal(log_read(h.log, h.at[0], &payload, history_on_read, &read), STATUS_BUSY);
    struct log_read_request *request = CONTAINER_OF(list_first(&h.log->reads), struct log_read_request, node);
    uint32_t bytes, crc;
    struct file_request *done = memory_files_complete(&h.files, h.files.requests_count - 1);
    struct log_record record;
    assert_ptr_equal(done, &request->request);
    assert_int_equal(log__record_read(slice_of(request->bytes, done->length_done), &record, &bytes, &crc),
                     STATUS_CORRUPT);
    h.files.files[file].bytes[h.at[0].offset] ^= 1;
    request->bytes[LOG_RECORD_HEADER_BYTES] ^= 1;
    log_on_file_done(h.log, done);
    assert_true(read.done);
    history_deinit(&h);
}

/* ---- crashes ---- */

static void note_acknowledged(void *user)
{
    struct history *h = user;
    uint64_t durable = h->log ? log_durable_lsn(h->log) : 0;
    for (uint32_t id = 0; id < h->ids; id++) {
        h->acknowledged[id] = h->acknowledged[id] || (h->taken[id] && h->lsn[id] <= durable);
    }
}

static void random_step(struct history *h)
{
    switch (prng_below(&h->prng, 10)) {
    case 0:
    case 1:
    case 2:
    case 3: {
        uint64_t count = prng_below(&h->prng, 12);
        for (uint64_t i = 0; i < count && h->ids < IDS_MAX; i++) {
            if (history_append(h) != STATUS_OK) break;
        }
        break;
    }
    case 4:
    case 5: log_submit(h->log); break;
    case 6:
    case 7:
        if (h->files.requests_count) history_complete(h, (int)prng_below(&h->prng, (uint64_t)h->files.requests_count));
        break;
    case 8:
        h->now_ns += prng_below(&h->prng, 100000000);
        log_tick(h->log, h->now_ns);
        break;
    case 9: {
        uint32_t oldest = 0;
        for (int i = 0; i < 60 && h->ids; i++) {
            uint32_t id = (uint32_t)prng_below(&h->prng, h->ids);
            if (prng_chance(&h->prng, 7, 8) || h->never_live) h->live[id] = false;
            oldest = id;
        }
        enum status status = log_reclaim(h->log, history_is_live, history_on_moved, h);
        h->freed += status == STATUS_OK;
        MAYBE(oldest);
        break;
    }
    }
}

/* Come back: everything acknowledged and live must be there; what else is there was appended once. */
static void crash_and_check(struct history *h)
{
    memory_files_restart(&h->files);
    log_free(h->log);
    h->log = NULL;
    history_open(h);
    for (uint32_t id = 0; id < h->ids; id++) {
        if (h->acknowledged[id] && h->live[id] && !h->seen[id]) fail_msg("record %u is lost", id);
        h->live[id] = h->live[id] && h->seen[id];
        h->taken[id] = h->seen[id];
    }
    for (int i = 0; i < 10 && h->ids; i++) {
        uint32_t id = (uint32_t)prng_below(&h->prng, h->ids);
        if (h->live[id]) history_read_back(h, id);
    }
}

static void run_history(uint64_t seed, uint64_t crash_step, uint32_t steps, uint64_t *out_steps)
{
    struct history h;
    history_init(&h, seed);
    h.files.power_stays = crash_step % 2 == 1;
    h.files.on_crash = note_acknowledged;
    h.files.user = &h;
    h.files.crash_step = crash_step;
    history_open(&h);
    for (uint32_t i = 0; i < steps && !h.files.image; i++) random_step(&h);
    *out_steps = h.files.steps;
    crash_and_check(&h);
    for (uint32_t life = 0; life < 2; life++) { /* and what was cut must not come back in later lives */
        h.files.crash_step = h.files.steps + 1 + prng_below(&h.prng, 60);
        h.files.power_stays = prng_chance(&h.prng, 1, 2);
        for (uint32_t i = 0; i < steps / 2 && !h.files.image; i++) random_step(&h);
        crash_and_check(&h);
    }
    history_settle(&h);
    history_deinit(&h);
}

static void test_power_fails_at_every_step(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        uint64_t steps, ignored;
        run_history(seed, 0, 250, &steps);
        for (uint64_t step = 1; step <= steps; step++) run_history(seed, step, 250, &ignored);
    }
}

static void test_long_lives_with_crashes(void **state)
{
    (void)state;
    uint64_t freed = 0, moves = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct history h;
        history_init(&h, seed * 1000);
        h.files.on_crash = note_acknowledged;
        h.files.user = &h;
        history_open(&h);
        while (h.ids < IDS_MAX - 100) {
            h.files.crash_step = h.files.steps + 1 + prng_below(&h.prng, prng_chance(&h.prng, 1, 3) ? 20 : 400);
            h.files.power_stays = prng_chance(&h.prng, 1, 2);
            for (uint32_t i = 0; i < 500 && !h.files.image && h.ids < IDS_MAX - 50; i++) random_step(&h);
            crash_and_check(&h);
        }
        history_settle(&h);
        freed += h.log->segments[0].number;
        moves += h.moved;
        history_deinit(&h);
    }
    assert_true(freed > 100);
    assert_true(moves > 1000);
}

static void test_segment_waits_for_its_readers(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 17);
    history_open(&h);
    while (log_segment_count(h.log) < 3) {
        if (history_append(&h) != STATUS_OK) history_settle(&h);
        log_submit(h.log);
    }
    history_settle(&h);
    history_forget_cached(&h);
    struct expected_read read = {.h = &h};
    struct slice payload;
    assert_int_equal(log_read(h.log, h.at[0], &payload, history_on_read, &read), STATUS_BUSY);
    struct file_request *slow = h.files.requests[0];
    memset(h.live, 0, sizeof h.live);
    assert_int_equal(log_reclaim(h.log, history_is_live, history_on_moved, &h), STATUS_OK);
    for (int i = 0; i < 50; i++) {
        h.now_ns += 60000000;
        log_tick(h.log, h.now_ns);
        for (int r = 0; r < h.files.requests_count; r++) {
            if (h.files.requests[r] != slow) history_complete(&h, r--);
        }
    }
    assert_int_equal(h.log->oldest_durable, 2);     /* it could go, */
    assert_int_equal(h.log->segments[0].number, 1); /* and stays */
    history_complete(&h, 0);
    assert_true(read.done);
    assert_int_equal(h.log->segments[0].number, 2);
    history_settle(&h);
    history_deinit(&h);
}

/* ---- room ---- */

static void test_full_disk_refuses_and_recovers(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 11);
    h.never_live = true;
    h.files.bytes_max = 3 * SEGMENT_BYTES + 100;
    history_open(&h);
    enum status status;
    do {
        status = history_append(&h);
        if (status == STATUS_BUSY) history_settle(&h);
    } while (status == STATUS_OK || status == STATUS_BUSY);
    assert_int_equal(status, STATUS_NO_SPACE);
    assert_false(log_has_room(h.log, history_size_of(h.ids), &status));
    assert_int_equal(status, STATUS_NO_SPACE);
    uint8_t mark[4096]; /* what leads out of this may still be written */
    size_t length = history_size_of(h.ids);
    history_fill(mark, h.ids, length);
    status = log_append_reserved(h.log, h.ids * 3, (uint16_t)h.ids, h.ids & 0x7f, slice_of(mark, length), NULL, NULL);
    assert_int_equal(status, STATUS_OK);
    h.ids++;
    history_settle(&h);
    h.files.bytes_max += SEGMENT_BYTES; /* there is room again */
    h.now_ns += 2 * LOG_RETRY_NS;
    history_settle(&h);
    assert_true(log_has_room(h.log, 100, &status));
    for (int i = 0; i < 20; i++) assert_int_equal(history_append(&h), STATUS_OK);
    history_settle(&h);
    history_deinit(&h);
}

static void test_bound_is_left_by_reclaiming(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 12);
    history_open(&h);
    h.log->config.bytes_max = 4 * SEGMENT_BYTES;
    uint32_t refusals = 0;
    while (h.ids < 3000) {
        enum status status = history_append(&h);
        if (status == STATUS_OK) continue;
        history_settle(&h);
        if (status == STATUS_BUSY) continue;
        assert_int_equal(status, STATUS_NO_SPACE);
        assert_true(log__file_bytes(h.log) <= h.log->config.bytes_max);
        refusals++;
        for (uint32_t id = 0; id < h.ids; id++) h.live[id] = h.live[id] && id % 25 == 0 && id + 1000 > h.ids;
        assert_int_equal(log_reclaim(h.log, history_is_live, history_on_moved, &h), STATUS_OK);
        history_settle(&h);
    }
    assert_true(refusals > 5 && h.moved > 0);
    for (uint32_t id = 0; id < h.ids; id++) {
        if (h.live[id]) history_read_back(&h, id);
    }
    history_deinit(&h);
}

static void test_a_full_disk_still_opens(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 13);
    h.files.bytes_max = SEGMENT_BYTES;
    history_open(&h);
    while (history_append(&h) == STATUS_OK || h.files.requests_count) history_settle(&h);
    log_free(h.log);
    history_open(&h);
    enum status status;
    assert_false(log_has_room(h.log, 3000, &status));
    assert_int_equal(status, STATUS_NO_SPACE);
    history_read_back(&h, 3);
    history_deinit(&h);
    history_init(&h, 13);
    h.files.bytes_max = 100;
    history_expect_refusal(&h, STATUS_NO_SPACE, "the first segment of the log cannot be made");
    history_deinit(&h);
}

static void test_limits(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 14);
    history_open(&h);
    enum status status;
    assert_null(log_begin(h.log, 1, 1, 1, SEGMENT_BYTES, &status));
    assert_int_equal(status, STATUS_LIMIT);
    assert_null(log_begin(h.log, 1, 1, 1, (size_t)LOG_RECORD_BYTES_MAX + 1, &status));
    assert_int_equal(status, STATUS_LIMIT);
    history_deinit(&h);
}

/* Segments are used again: the folder does not grow, and nothing of their earlier lives is taken for a record. */
static void test_reuse(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 15);
    history_open(&h);
    for (int life = 0; life < 10; life++) {
        for (int i = 0; i < 200; i++) {
            if (history_append(&h) == STATUS_OK) continue;
            history_settle(&h);
            i--;
        }
        history_settle(&h);
        memset(h.live, 0, sizeof h.live);
        while (log_segment_count(h.log) > 1) {
            assert_int_equal(log_reclaim(h.log, history_is_live, history_on_moved, &h), STATUS_OK);
            history_settle(&h);
        }
        assert_true(memory_files_bytes(&h.files) <= 4 * SEGMENT_BYTES);
        log_free(h.log);
        history_open(&h);
    }
    assert_true(log__active(h.log)->number > 10);
    history_deinit(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_survive_in_order),
        cmocka_unit_test(test_reads_while_pending_and_cached_and_cold),
        cmocka_unit_test(test_damage_under_a_read_is_reported),
        cmocka_unit_test(test_segment_waits_for_its_readers),
        cmocka_unit_test(test_full_disk_refuses_and_recovers),
        cmocka_unit_test(test_bound_is_left_by_reclaiming),
        cmocka_unit_test(test_a_full_disk_still_opens),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_power_fails_at_every_step),
        cmocka_unit_test(test_long_lives_with_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
