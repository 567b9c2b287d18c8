/* test_log.c: the shard log against a disk that loses power at every step, tears, fills up and rots. */
#include "storage/log_internal.h"

#include "base/memory.h"
#include "tests/unit/storage/memory_files.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

enum { IDS_MAX = 4096, SEGMENT_BYTES = 32 * 1024 };

/* What a history knows of its records: each carries its id, and bytes that follow from the id. */
struct history {
    struct memory_files files;
    struct log *log;
    struct buffer error;
    uint64_t now_ns;
    uint32_t ids;
    bool live[IDS_MAX];
    uint64_t lsn[IDS_MAX]; /* of the newest copy */
    struct log_location at[IDS_MAX];
    bool taken[IDS_MAX];        /* appended in this life or found by the last opening */
    bool acknowledged[IDS_MAX]; /* durable at the moment of the crash */
    uint64_t opened_lsn;        /* of the last record visited */
    bool seen[IDS_MAX];
    struct prng prng;
    uint64_t moved, freed, rolls;
    bool never_live;
};

static size_t size_of_id(uint32_t id)
{
    uint64_t x = id * 0x9e3779b97f4a7c15ull;
    return 4 + (x >> 40) % (id % 16 == 0 ? 3000 : 120);
}

static void fill(uint8_t *out, uint32_t id, size_t length)
{
    memcpy(out, &id, sizeof id);
    for (size_t i = sizeof id; i < length; i++) out[i] = (uint8_t)(id * 31 + i * 7);
}

static bool is_right(struct slice payload, uint32_t *out_id)
{
    uint8_t expected[4096];
    if (payload.length < 4) return false;
    memcpy(out_id, payload.data, 4);
    if (*out_id >= IDS_MAX || payload.length != size_of_id(*out_id)) return false;
    fill(expected, *out_id, payload.length);
    return memcmp(expected, payload.data, payload.length) == 0;
}

static void visit(void *user, const struct log_record *record)
{
    struct history *h = user;
    uint32_t id;
    assert_true(is_right(record->payload, &id));
    assert_true(id < h->ids);
    assert_int_equal(record->table, id * 3);
    assert_int_equal(record->partition, id & 0xffff);
    assert_int_equal(record->kind, id & 0x7f);
    if (h->opened_lsn) assert_int_equal(record->lsn, h->opened_lsn + 1);
    h->opened_lsn = record->lsn;
    h->seen[id] = true;
    h->lsn[id] = record->lsn;
    h->at[id] = record->at;
}

static struct log_config config_of_test(void)
{
    return (struct log_config){
        .segment_bytes = SEGMENT_BYTES,
        .bytes_max = 16 * SEGMENT_BYTES,
        .cache_bytes = 20000,
        .folder_id = 0x1234567890abcdefull,
    };
}

static enum status try_open(struct history *h)
{
    struct log_config config = config_of_test();
    struct files_port port = memory_files_port(&h->files);
    buffer_clear(&h->error);
    memset(h->seen, 0, sizeof h->seen);
    h->opened_lsn = 0;
    return log_open(&config, &port, visit, h, &h->log, &h->error);
}

static void open_log(struct history *h)
{
    enum status status = try_open(h);
    if (status != STATUS_OK) fail_msg("%s: %.*s", status_name(status), (int)h->error.length, (char *)h->error.data);
}

static void history_init(struct history *h, uint64_t seed)
{
    memset(h, 0, sizeof *h);
    memory_files_init(&h->files, seed);
    prng_init(&h->prng, seed + 1);
    buffer_init(&h->error, 4096);
    h->now_ns = 1;
}

static void history_deinit(struct history *h)
{
    log_free(h->log);
    memory_files_deinit(&h->files);
    buffer_deinit(&h->error);
}

static enum status append(struct history *h)
{
    uint32_t id = h->ids;
    assert_true(id < IDS_MAX);
    enum status status;
    size_t length = size_of_id(id);
    struct buffer *bytes =
        log_begin(h->log, id * 3, (uint16_t)id, id & 0x7f, length + prng_below(&h->prng, 20), &status);
    if (!bytes) return status;
    uint8_t payload[4096];
    fill(payload, id, length);
    buffer_append(bytes, payload, length);
    h->lsn[id] = log_end(h->log, &h->at[id]);
    h->live[id] = h->taken[id] = true;
    h->ids++;
    return STATUS_OK;
}

static void complete(struct history *h, int index)
{
    log_on_file_done(h->log, memory_files_complete(&h->files, index));
}

static void settle(struct history *h)
{
    for (int i = 0; i < 1000; i++) {
        h->now_ns += 60000000;
        log_tick(h->log, h->now_ns);
        log_submit(h->log);
        while (h->files.requests_count) {
            complete(h, 0);
            log_submit(h->log);
        }
        if (log_is_idle(h->log) && h->log->sealed) return;
    }
    fail_msg("the log does not come to rest");
}

static bool is_live(void *user, const struct log_record *record)
{
    struct history *h = user;
    uint32_t id;
    assert_true(is_right(record->payload, &id));
    return h->live[id] && h->lsn[id] == record->lsn && h->at[id].offset == record->at.offset;
}

static void moved(void *user, const struct log_record *record)
{
    struct history *h = user;
    uint32_t id;
    assert_true(is_right(record->payload, &id));
    h->lsn[id] = record->lsn;
    h->at[id] = record->at;
    h->moved++;
}

struct expected_read {
    struct history *h;
    uint32_t id;
    bool done;
};

static void on_read(void *user, enum status status, struct slice payload)
{
    struct expected_read *read = user;
    uint32_t id;
    assert_int_equal(status, STATUS_OK);
    assert_true(is_right(payload, &id));
    assert_int_equal(id, read->id);
    read->done = true;
}

static void read_back(struct history *h, uint32_t id)
{
    struct expected_read read = {.h = h, .id = id};
    struct slice payload;
    enum status status = log_read(h->log, h->at[id], &payload, on_read, &read);
    if (status == STATUS_OK) {
        on_read(&read, STATUS_OK, payload);
    } else {
        assert_int_equal(status, STATUS_BUSY);
        while (!read.done) {
            assert_true(h->files.requests_count > 0);
            complete(h, 0);
        }
    }
}

static void forget_cached(struct history *h)
{
    log__cache_deinit(&h->log->cache);
    log__cache_init(&h->log->cache, 20000);
}

/* ---- the plain cases ---- */

static void test_records_survive_in_order(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 1);
    open_log(&h);
    assert_int_equal(log_last_lsn(h.log), 0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(append(&h), STATUS_OK);
        if (i % 7 == 0) log_submit(h.log);
        if (i % 11 == 0)
            while (h.files.requests_count) complete(&h, 0);
    }
    assert_true(log_durable_lsn(h.log) < 50);
    settle(&h);
    assert_int_equal(log_durable_lsn(h.log), 50);
    assert_true(log_is_idle(h.log));
    for (uint32_t id = 0; id < h.ids; id++) read_back(&h, id);
    log_free(h.log);
    open_log(&h);
    assert_int_equal(log_last_lsn(h.log), 50);
    assert_int_equal(log_cut_bytes(h.log), 0);
    for (uint32_t id = 0; id < h.ids; id++) {
        assert_true(h.seen[id]);
        read_back(&h, id);
    }
    history_deinit(&h);
}

static void test_reads_while_pending_and_cached_and_cold(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 2);
    open_log(&h);
    for (int i = 0; i < 600; i++) {
        while (append(&h) != STATUS_OK) settle(&h);
        read_back(&h, h.ids - 1);
        if (i % 5 == 0) log_submit(h.log);
        if (i % 3 == 0 && h.files.requests_count) complete(&h, 0);
        read_back(&h, (uint32_t)prng_below(&h.prng, h.ids));
    }
    struct log_location gone = h.at[0];
    gone.segment = 77;
    struct slice payload;
    assert_int_equal(log_read(h.log, gone, &payload, on_read, NULL), STATUS_NOT_FOUND);
    settle(&h);
    history_deinit(&h);
}

static void test_damage_under_a_read_is_reported(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 3);
    open_log(&h);
    while (log_segment_count(h.log) < 3) {
        if (append(&h) != STATUS_OK) settle(&h);
        log_submit(h.log);
    }
    settle(&h);
    int file = memory_files_find(&h.files, "log-0000000001.seg");
    h.files.files[file].bytes[h.at[0].offset] ^= 1;
    struct slice payload;
    forget_cached(&h);
    struct expected_read read = {.h = &h};
    assert_int_equal(log_read(h.log, h.at[0], &payload, on_read, &read), STATUS_BUSY);
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
            if (append(h) != STATUS_OK) break;
        }
        break;
    }
    case 4:
    case 5: log_submit(h->log); break;
    case 6:
    case 7:
        if (h->files.requests_count) complete(h, (int)prng_below(&h->prng, (uint64_t)h->files.requests_count));
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
        enum status status = log_reclaim(h->log, is_live, moved, h);
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
    open_log(h);
    for (uint32_t id = 0; id < h->ids; id++) {
        if (h->acknowledged[id] && h->live[id] && !h->seen[id]) fail_msg("record %u is lost", id);
        h->live[id] = h->live[id] && h->seen[id];
        h->taken[id] = h->seen[id];
    }
    for (int i = 0; i < 10 && h->ids; i++) {
        uint32_t id = (uint32_t)prng_below(&h->prng, h->ids);
        if (h->live[id]) read_back(h, id);
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
    open_log(&h);
    for (uint32_t i = 0; i < steps && !h.files.image; i++) random_step(&h);
    *out_steps = h.files.steps;
    crash_and_check(&h);
    for (uint32_t life = 0; life < 2; life++) { /* and what was cut must not come back in later lives */
        h.files.crash_step = h.files.steps + 1 + prng_below(&h.prng, 60);
        h.files.power_stays = prng_chance(&h.prng, 1, 2);
        for (uint32_t i = 0; i < steps / 2 && !h.files.image; i++) random_step(&h);
        crash_and_check(&h);
    }
    settle(&h);
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
        open_log(&h);
        while (h.ids < IDS_MAX - 100) {
            h.files.crash_step = h.files.steps + 1 + prng_below(&h.prng, prng_chance(&h.prng, 1, 3) ? 20 : 400);
            h.files.power_stays = prng_chance(&h.prng, 1, 2);
            for (uint32_t i = 0; i < 500 && !h.files.image && h.ids < IDS_MAX - 50; i++) random_step(&h);
            crash_and_check(&h);
        }
        settle(&h);
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
    open_log(&h);
    while (log_segment_count(h.log) < 3) {
        if (append(&h) != STATUS_OK) settle(&h);
        log_submit(h.log);
    }
    settle(&h);
    forget_cached(&h);
    struct expected_read read = {.h = &h};
    struct slice payload;
    assert_int_equal(log_read(h.log, h.at[0], &payload, on_read, &read), STATUS_BUSY);
    struct file_request *slow = h.files.requests[0];
    memset(h.live, 0, sizeof h.live);
    assert_int_equal(log_reclaim(h.log, is_live, moved, &h), STATUS_OK);
    for (int i = 0; i < 50; i++) {
        h.now_ns += 60000000;
        log_tick(h.log, h.now_ns);
        for (int r = 0; r < h.files.requests_count; r++) {
            if (h.files.requests[r] != slow) complete(&h, r--);
        }
    }
    assert_int_equal(h.log->oldest_durable, 2);     /* it could go, */
    assert_int_equal(h.log->segments[0].number, 1); /* and stays */
    complete(&h, 0);
    assert_true(read.done);
    assert_int_equal(h.log->segments[0].number, 2);
    settle(&h);
    history_deinit(&h);
}

/* ---- torn or damaged ---- */

static void count_record(void *user, const struct log_record *record)
{
    uint64_t *count = user;
    *count += record->lsn > 0;
}

/* Flip a byte at each place: the log opens as it was (the byte means nothing), cuts its last, unsealed batch, or
 * refuses with a message. What opens holds nothing but whole records in order. */
static void flip_everywhere(bool sealed)
{
    struct history h;
    history_init(&h, 7);
    open_log(&h);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(append(&h), STATUS_OK);
        log_submit(h.log);
        while (h.files.requests_count) complete(&h, 0);
    }
    uint64_t last = log_last_lsn(h.log);
    if (sealed) settle(&h);
    uint32_t end = log__active(h.log)->end;
    uint32_t last_batch = (uint32_t)h.at[h.ids - 1].offset - LOG_RECORD_HEADER_BYTES - LOG_BATCH_HEADER_BYTES;
    log_free(h.log);
    h.log = NULL;
    struct memory_files whole;
    memory_files_init(&whole, 1);
    memory_files_copy(&whole, &h.files);
    int file = memory_files_find(&whole, "log-0000000001.seg");
    uint32_t refused = 0, cut = 0, ignored = 0;
    for (uint32_t offset = 0; offset < end; offset++) {
        memory_files_copy(&h.files, &whole);
        h.files.files[file].bytes[offset] ^= 0x40;
        enum status status = try_open(&h);
        if (status == STATUS_OK && log_last_lsn(h.log) == last) {
            bool in_marker = sealed && offset >= last_batch + 56;
            bool in_header_rest = offset >= 36 && offset < LOG_HEADER_BYTES;
            ignored++;
            if (!in_header_rest && !in_marker) { /* padding of a batch, at most seven bytes of zeros */
                assert_int_equal(whole.files[file].bytes[offset], 0);
            }
        } else if (status == STATUS_OK) {
            assert_false(sealed);
            assert_true(offset >= last_batch);
            assert_int_equal(log_last_lsn(h.log), last - 1);
            cut++;
        } else {
            assert_true(status == STATUS_CORRUPT || status == STATUS_VERSION);
            buffer_append_byte(&h.error, 0);
            assert_non_null(strstr((char *)h.error.data, "log-0000000001.seg: offset "));
            refused++;
        }
        log_free(h.log);
        h.log = NULL;
    }
    assert_true(refused > 0 && ignored > 0);
    assert_true(sealed ? cut == 0 : cut > 0);
    memory_files_deinit(&whole);
    history_deinit(&h);
}

static void test_damage_at_every_byte_of_a_sealed_log(void **state)
{
    (void)state;
    flip_everywhere(true);
}

static void test_damage_at_every_byte_of_an_unsealed_log(void **state)
{
    (void)state;
    flip_everywhere(false);
}

static void test_torn_tail_is_cut_and_reported(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 8);
    open_log(&h);
    for (int i = 0; i < 5; i++) assert_int_equal(append(&h), STATUS_OK);
    settle(&h);
    for (int i = 0; i < 20; i++) assert_int_equal(append(&h), STATUS_OK);
    log_submit(h.log);
    struct file_request *write = &h.log->write_request;
    int file = memory_files_find(&h.files, "log-0000000001.seg");
    memcpy(h.files.files[file].bytes + write->offset, write->bytes.data, write->bytes.length - 10);
    uint64_t bytes = write->bytes.length;
    h.files.requests_count = 0;
    log_free(h.log);
    h.ids = 25;
    open_log(&h);
    assert_int_equal(log_last_lsn(h.log), 5);
    assert_int_equal(log_cut_bytes(h.log), bytes);
    assert_int_equal(append(&h), STATUS_OK);
    settle(&h);
    log_free(h.log);
    open_log(&h);
    assert_int_equal(log_last_lsn(h.log), 6);
    assert_int_equal(log_cut_bytes(h.log), 0);
    history_deinit(&h);
}

static void expect_refusal(struct history *h, enum status expected, const char *words)
{
    enum status status = try_open(h);
    buffer_append_byte(&h->error, 0);
    if (status != expected || !strstr((char *)h->error.data, words)) {
        fail_msg("%s: %s", status_name(status), (char *)h->error.data);
    }
    h->log = NULL;
}

static void test_missing_and_foreign_segments(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 9);
    open_log(&h);
    while (log_segment_count(h.log) < 4) {
        if (append(&h) != STATUS_OK) settle(&h);
        log_submit(h.log);
    }
    settle(&h);
    log_free(h.log);
    struct memory_files whole;
    memory_files_init(&whole, 1);
    memory_files_copy(&whole, &h.files);
    const char *names[] = {"log-0000000001.seg", "log-0000000003.seg", "log-0000000004.seg"};
    for (int i = 0; i < 3; i++) { /* the first, one in the middle, the active one (a next one follows it) */
        memory_files_copy(&h.files, &whole);
        h.files.files[memory_files_find(&h.files, names[i])].exists = false;
        char words[64];
        snprintf(words, sizeof words, "%s: offset 0: this segment of the log is missing", names[i]);
        expect_refusal(&h, STATUS_CORRUPT, words);
    }
    memory_files_copy(&h.files, &whole);
    struct memory_file *second = &h.files.files[memory_files_find(&h.files, names[1])];
    struct memory_file *first = &h.files.files[memory_files_find(&h.files, names[0])];
    uint8_t *bytes = first->bytes;
    first->bytes = second->bytes;
    second->bytes = bytes;
    expect_refusal(&h, STATUS_CORRUPT, "another segment number than its name");
    memory_files_copy(&h.files, &whole);
    h.files.files[memory_files_find(&h.files, names[1])].bytes[8] = 9;
    expect_refusal(&h, STATUS_VERSION, "log-0000000003.seg: offset 0: written in another version");
    memory_files_copy(&h.files, &whole);
    h.files.files[memory_files_find(&h.files, names[1])].length = 100;
    expect_refusal(&h, STATUS_CORRUPT, "log-0000000003.seg: offset 100: the file has not the size");
    memory_files_copy(&h.files, &whole);
    struct log_config config = config_of_test();
    struct files_port port = memory_files_port(&h.files);
    config.folder_id++;
    buffer_clear(&h.error);
    assert_int_equal(log_open(&config, &port, visit, &h, &h.log, &h.error), STATUS_CORRUPT);
    buffer_append_byte(&h.error, 0);
    assert_non_null(strstr((char *)h.error.data, "belongs to another data folder"));
    h.log = NULL;
    memory_files_deinit(&whole);
    history_deinit(&h);
}

/* A whole batch in the middle overwritten with zeros, header and all. */
static void test_hole_in_the_middle(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 10);
    open_log(&h);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(append(&h), STATUS_OK);
        log_submit(h.log);
        while (h.files.requests_count) complete(&h, 0);
    }
    log_free(h.log);
    int file = memory_files_find(&h.files, "log-0000000001.seg");
    uint32_t from = h.at[3].offset - 76;
    memset(h.files.files[file].bytes + from, 0, h.at[4].offset - 76 - from);
    char words[100];
    snprintf(words, sizeof words, "log-0000000001.seg: offset %u: damaged", from);
    expect_refusal(&h, STATUS_CORRUPT, words);
    history_deinit(&h);
}

/* After a torn write a sector may hold a record of an earlier life: intact by itself, as long, at the same place. */
static void test_intact_record_of_another_batch_is_no_record(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 16);
    open_log(&h);
    struct log_location at[4];
    for (int batch = 0; batch < 2; batch++) {
        for (int i = 0; i < 2; i++) {
            uint8_t payload[40];
            memset(payload, batch * 2 + i, sizeof payload);
            struct slice bytes = slice_of(payload, sizeof payload);
            assert_int_equal(log_append(h.log, 1, 2, 3, bytes, NULL, &at[batch * 2 + i]), STATUS_OK);
        }
        log_submit(h.log);
        while (h.files.requests_count) complete(&h, 0);
    }
    log_free(h.log);
    uint8_t *bytes = h.files.files[memory_files_find(&h.files, "log-0000000001.seg")].bytes;
    memcpy(bytes + at[3].offset - LOG_RECORD_HEADER_BYTES, bytes + at[0].offset - LOG_RECORD_HEADER_BYTES, 60);
    struct log_config config = config_of_test();
    struct files_port port = memory_files_port(&h.files);
    uint64_t count = 0;
    assert_int_equal(log_open(&config, &port, count_record, &count, &h.log, &h.error), STATUS_OK);
    assert_int_equal(count, 2); /* the last batch is cut whole */
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
    open_log(&h);
    enum status status;
    do {
        status = append(&h);
        if (status == STATUS_BUSY) settle(&h);
    } while (status == STATUS_OK || status == STATUS_BUSY);
    assert_int_equal(status, STATUS_NO_SPACE);
    assert_false(log_has_room(h.log, size_of_id(h.ids), &status));
    assert_int_equal(status, STATUS_NO_SPACE);
    uint8_t mark[4096]; /* what leads out of this may still be written */
    size_t length = size_of_id(h.ids);
    fill(mark, h.ids, length);
    status = log_append_reserved(h.log, h.ids * 3, (uint16_t)h.ids, h.ids & 0x7f, slice_of(mark, length), NULL, NULL);
    assert_int_equal(status, STATUS_OK);
    h.ids++;
    settle(&h);
    h.files.bytes_max += SEGMENT_BYTES; /* there is room again */
    h.now_ns += 2 * LOG_RETRY_NS;
    settle(&h);
    assert_true(log_has_room(h.log, 100, &status));
    for (int i = 0; i < 20; i++) assert_int_equal(append(&h), STATUS_OK);
    settle(&h);
    history_deinit(&h);
}

static void test_bound_is_left_by_reclaiming(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 12);
    open_log(&h);
    h.log->config.bytes_max = 4 * SEGMENT_BYTES;
    uint32_t refusals = 0;
    while (h.ids < 3000) {
        enum status status = append(&h);
        if (status == STATUS_OK) continue;
        settle(&h);
        if (status == STATUS_BUSY) continue;
        assert_int_equal(status, STATUS_NO_SPACE);
        assert_true(log__file_bytes(h.log) <= h.log->config.bytes_max);
        refusals++;
        for (uint32_t id = 0; id < h.ids; id++) h.live[id] = h.live[id] && id % 25 == 0 && id + 1000 > h.ids;
        assert_int_equal(log_reclaim(h.log, is_live, moved, &h), STATUS_OK);
        settle(&h);
    }
    assert_true(refusals > 5 && h.moved > 0);
    for (uint32_t id = 0; id < h.ids; id++) {
        if (h.live[id]) read_back(&h, id);
    }
    history_deinit(&h);
}

static void test_a_full_disk_still_opens(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 13);
    h.files.bytes_max = SEGMENT_BYTES;
    open_log(&h);
    while (append(&h) == STATUS_OK || h.files.requests_count) settle(&h);
    log_free(h.log);
    open_log(&h);
    enum status status;
    assert_false(log_has_room(h.log, 3000, &status));
    assert_int_equal(status, STATUS_NO_SPACE);
    read_back(&h, 3);
    history_deinit(&h);
    history_init(&h, 13);
    h.files.bytes_max = 100;
    expect_refusal(&h, STATUS_NO_SPACE, "the first segment of the log cannot be made");
    history_deinit(&h);
}

static void test_limits(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 14);
    open_log(&h);
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
    open_log(&h);
    for (int life = 0; life < 10; life++) {
        for (int i = 0; i < 200; i++) {
            if (append(&h) == STATUS_OK) continue;
            settle(&h);
            i--;
        }
        settle(&h);
        memset(h.live, 0, sizeof h.live);
        while (log_segment_count(h.log) > 1) {
            assert_int_equal(log_reclaim(h.log, is_live, moved, &h), STATUS_OK);
            settle(&h);
        }
        assert_true(memory_files_bytes(&h.files) <= 4 * SEGMENT_BYTES);
        log_free(h.log);
        open_log(&h);
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
        cmocka_unit_test(test_damage_at_every_byte_of_a_sealed_log),
        cmocka_unit_test(test_damage_at_every_byte_of_an_unsealed_log),
        cmocka_unit_test(test_torn_tail_is_cut_and_reported),
        cmocka_unit_test(test_missing_and_foreign_segments),
        cmocka_unit_test(test_hole_in_the_middle),
        cmocka_unit_test(test_intact_record_of_another_batch_is_no_record),
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
