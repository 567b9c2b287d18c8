/* log_history.c: see log_history.h. Every failure ends the test at hand. */
#include "tests/unit/storage/log_history.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

size_t history_size_of(uint32_t id)
{
    uint64_t x = id * 0x9e3779b97f4a7c15ull;
    return 4 + (x >> 40) % (id % 16 == 0 ? 3000 : 120);
}

void history_fill(uint8_t *out, uint32_t id, size_t length)
{
    memcpy(out, &id, sizeof id);
    for (size_t i = sizeof id; i < length; i++) out[i] = (uint8_t)(id * 31 + i * 7);
}

static bool is_right(struct slice payload, uint32_t *out_id)
{
    uint8_t expected[4096];
    if (payload.length < 4) return false;
    memcpy(out_id, payload.data, 4);
    if (*out_id >= IDS_MAX || payload.length != history_size_of(*out_id)) return false;
    history_fill(expected, *out_id, payload.length);
    return memcmp(expected, payload.data, payload.length) == 0;
}

void history_visit(void *user, const struct log_record *record)
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

struct log_config history_config(void)
{
    return (struct log_config){
        .segment_bytes = SEGMENT_BYTES,
        .bytes_max = 16 * SEGMENT_BYTES,
        .cache_bytes = 20000,
        .folder_id = 0x1234567890abcdefull,
    };
}

enum status history_try_open(struct history *h)
{
    struct log_config config = history_config();
    struct files_port port = memory_files_port(&h->files);
    buffer_clear(&h->error);
    memset(h->seen, 0, sizeof h->seen);
    h->opened_lsn = 0;
    return log_open(&config, &port, history_visit, h, &h->log, &h->error);
}

void history_open(struct history *h)
{
    enum status status = history_try_open(h);
    if (status != STATUS_OK) fail_msg("%s: %.*s", status_name(status), (int)h->error.length, (char *)h->error.data);
}

void history_init(struct history *h, uint64_t seed)
{
    memset(h, 0, sizeof *h);
    memory_files_init(&h->files, seed);
    prng_init(&h->prng, seed + 1);
    buffer_init(&h->error, 4096);
    h->now_ns = 1;
}

void history_deinit(struct history *h)
{
    log_free(h->log);
    memory_files_deinit(&h->files);
    buffer_deinit(&h->error);
}

enum status history_append(struct history *h)
{
    uint32_t id = h->ids;
    assert_true(id < IDS_MAX);
    enum status status;
    size_t length = history_size_of(id);
    struct buffer *bytes =
        log_begin(h->log, id * 3, (uint16_t)id, id & 0x7f, length + prng_below(&h->prng, 20), &status);
    if (!bytes) return status;
    uint8_t payload[4096];
    history_fill(payload, id, length);
    buffer_append(bytes, payload, length);
    h->lsn[id] = log_end(h->log, &h->at[id]);
    h->live[id] = h->taken[id] = true;
    h->ids++;
    return STATUS_OK;
}

void history_complete(struct history *h, int index)
{
    log_on_file_done(h->log, memory_files_complete(&h->files, index));
}

void history_settle(struct history *h)
{
    for (int i = 0; i < 1000; i++) {
        h->now_ns += 60000000;
        log_tick(h->log, h->now_ns);
        log_submit(h->log);
        while (h->files.requests_count) {
            history_complete(h, 0);
            log_submit(h->log);
        }
        if (log_is_idle(h->log) && h->log->sealed) return;
    }
    fail_msg("the log does not come to rest");
}

bool history_is_live(void *user, const struct log_record *record)
{
    struct history *h = user;
    uint32_t id;
    assert_true(is_right(record->payload, &id));
    return h->live[id] && h->lsn[id] == record->lsn && h->at[id].offset == record->at.offset;
}

void history_on_moved(void *user, const struct log_record *record)
{
    struct history *h = user;
    uint32_t id;
    assert_true(is_right(record->payload, &id));
    h->lsn[id] = record->lsn;
    h->at[id] = record->at;
    h->moved++;
}

void history_on_read(void *user, enum status status, struct slice payload)
{
    struct expected_read *read = user;
    uint32_t id;
    assert_int_equal(status, STATUS_OK);
    assert_true(is_right(payload, &id));
    assert_int_equal(id, read->id);
    read->done = true;
}

void history_read_back(struct history *h, uint32_t id)
{
    struct expected_read read = {.h = h, .id = id};
    struct slice payload;
    enum status status = log_read(h->log, h->at[id], &payload, history_on_read, &read);
    if (status == STATUS_OK) {
        history_on_read(&read, STATUS_OK, payload);
    } else {
        assert_int_equal(status, STATUS_BUSY);
        while (!read.done) {
            assert_true(h->files.requests_count > 0);
            history_complete(h, 0);
        }
    }
}

void history_forget_cached(struct history *h)
{
    log__cache_deinit(&h->log->cache);
    log__cache_init(&h->log->cache, 20000);
}

void history_expect_refusal(struct history *h, enum status expected, const char *words)
{
    enum status status = history_try_open(h);
    buffer_append_byte(&h->error, 0);
    if (status != expected || !strstr((char *)h->error.data, words)) {
        fail_msg("%s: %s", status_name(status), (char *)h->error.data);
    }
    h->log = NULL;
}
