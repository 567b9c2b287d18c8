/* test_log_damage.c: the shard log on a disk that tears and rots: what is damaged is cut or refused, never believed. */
#include "tests/unit/storage/log_history.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

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
    history_open(&h);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(history_append(&h), STATUS_OK);
        log_submit(h.log);
        while (h.files.requests_count) history_complete(&h, 0);
    }
    uint64_t last = log_last_lsn(h.log);
    if (sealed) history_settle(&h);
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
        enum status status = history_try_open(&h);
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
    history_open(&h);
    for (int i = 0; i < 5; i++) assert_int_equal(history_append(&h), STATUS_OK);
    history_settle(&h);
    for (int i = 0; i < 20; i++) assert_int_equal(history_append(&h), STATUS_OK);
    log_submit(h.log);
    struct file_request *write = &h.log->write_request;
    int file = memory_files_find(&h.files, "log-0000000001.seg");
    memcpy(h.files.files[file].bytes + write->offset, write->bytes.data, write->bytes.length - 10);
    uint64_t bytes = write->bytes.length;
    h.files.requests_count = 0;
    log_free(h.log);
    h.ids = 25;
    history_open(&h);
    assert_int_equal(log_last_lsn(h.log), 5);
    assert_int_equal(log_cut_bytes(h.log), bytes);
    assert_int_equal(history_append(&h), STATUS_OK);
    history_settle(&h);
    log_free(h.log);
    history_open(&h);
    assert_int_equal(log_last_lsn(h.log), 6);
    assert_int_equal(log_cut_bytes(h.log), 0);
    history_deinit(&h);
}

static void test_missing_and_foreign_segments(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 9);
    history_open(&h);
    while (log_segment_count(h.log) < 4) {
        if (history_append(&h) != STATUS_OK) history_settle(&h);
        log_submit(h.log);
    }
    history_settle(&h);
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
        history_expect_refusal(&h, STATUS_CORRUPT, words);
    }
    memory_files_copy(&h.files, &whole);
    struct memory_file *second = &h.files.files[memory_files_find(&h.files, names[1])];
    struct memory_file *first = &h.files.files[memory_files_find(&h.files, names[0])];
    uint8_t *bytes = first->bytes;
    first->bytes = second->bytes;
    second->bytes = bytes;
    history_expect_refusal(&h, STATUS_CORRUPT, "another segment number than its name");
    memory_files_copy(&h.files, &whole);
    h.files.files[memory_files_find(&h.files, names[1])].bytes[8] = 9;
    history_expect_refusal(&h, STATUS_VERSION, "log-0000000003.seg: offset 0: written in another version");
    memory_files_copy(&h.files, &whole);
    h.files.files[memory_files_find(&h.files, names[1])].length = 100;
    history_expect_refusal(&h, STATUS_CORRUPT, "log-0000000003.seg: offset 100: the file has not the size");
    memory_files_copy(&h.files, &whole);
    struct log_config config = history_config();
    struct files_port port = memory_files_port(&h.files);
    config.folder_id++;
    buffer_clear(&h.error);
    assert_int_equal(log_open(&config, &port, history_visit, &h, &h.log, &h.error), STATUS_CORRUPT);
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
    history_open(&h);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(history_append(&h), STATUS_OK);
        log_submit(h.log);
        while (h.files.requests_count) history_complete(&h, 0);
    }
    log_free(h.log);
    int file = memory_files_find(&h.files, "log-0000000001.seg");
    uint32_t from = h.at[3].offset - 76;
    memset(h.files.files[file].bytes + from, 0, h.at[4].offset - 76 - from);
    char words[100];
    snprintf(words, sizeof words, "log-0000000001.seg: offset %u: damaged", from);
    history_expect_refusal(&h, STATUS_CORRUPT, words);
    history_deinit(&h);
}

/* After a torn write a sector may hold a record of an earlier life: intact by itself, as long, at the same place. */
static void test_intact_record_of_another_batch_is_no_record(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 16);
    history_open(&h);
    struct log_location at[4];
    for (int batch = 0; batch < 2; batch++) {
        for (int i = 0; i < 2; i++) {
            uint8_t payload[40];
            memset(payload, batch * 2 + i, sizeof payload);
            struct slice bytes = slice_of(payload, sizeof payload);
            assert_int_equal(log_append(h.log, 1, 2, 3, bytes, NULL, &at[batch * 2 + i]), STATUS_OK);
        }
        log_submit(h.log);
        while (h.files.requests_count) history_complete(&h, 0);
    }
    log_free(h.log);
    uint8_t *bytes = h.files.files[memory_files_find(&h.files, "log-0000000001.seg")].bytes;
    memcpy(bytes + at[3].offset - LOG_RECORD_HEADER_BYTES, bytes + at[0].offset - LOG_RECORD_HEADER_BYTES, 60);
    struct log_config config = history_config();
    struct files_port port = memory_files_port(&h.files);
    uint64_t count = 0;
    assert_int_equal(log_open(&config, &port, count_record, &count, &h.log, &h.error), STATUS_OK);
    assert_int_equal(count, 2); /* the last batch is cut whole */
    history_deinit(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damage_at_every_byte_of_a_sealed_log),
        cmocka_unit_test(test_damage_at_every_byte_of_an_unsealed_log),
        cmocka_unit_test(test_torn_tail_is_cut_and_reported),
        cmocka_unit_test(test_missing_and_foreign_segments),
        cmocka_unit_test(test_hole_in_the_middle),
        cmocka_unit_test(test_intact_record_of_another_batch_is_no_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
