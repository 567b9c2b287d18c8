/* test_rocks.c: the key-value port on real RocksDB, in a temporary folder, with processes killed in the middle. */
#include "storage/rocks.h"

#include "base/memory.h"
#include "base/prng.h"

#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

enum { GROUP_KEYS = 50 };

static char folder[64];

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) {
        unlink(path);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        char below[512];
        snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        remove_tree(below);
    }
    closedir(dir);
    rmdir(path);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/meridian-rocks-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int drop_folder(void **state)
{
    (void)state;
    remove_tree(folder);
    return 0;
}

static struct rocks *open_rocks(void)
{
    struct rocks *rocks = NULL;
    char *error = NULL;
    enum status status = rocks_open(folder, &rocks, &error);
    if (status != STATUS_OK) fail_msg("%s: %s", status_name(status), error);
    return rocks;
}

static struct kv_request request_of(enum kv_request_kind kind)
{
    struct kv_request request = {.kind = kind};
    buffer_init(&request.batch, SIZE_MAX / 2);
    buffer_init(&request.key, 1000);
    buffer_init(&request.value, 1 << 24);
    return request;
}

static void request_deinit(struct kv_request *request)
{
    buffer_deinit(&request->batch);
    buffer_deinit(&request->key);
    buffer_deinit(&request->value);
}

static enum status get(struct rocks *rocks, const char *key, char *out, size_t out_bytes)
{
    struct kv_request request = request_of(KV_GET);
    buffer_append(&request.key, key, strlen(key));
    rocks_execute(rocks, &request);
    if (request.status == STATUS_OK) {
        snprintf(out, out_bytes, "%.*s", (int)request.value.length,
                 request.value.length ? (const char *)request.value.data : "");
    }
    request_deinit(&request);
    return request.status;
}

static void expect(struct rocks *rocks, const char *key, const char *value)
{
    char text[200];
    assert_int_equal(get(rocks, key, text, sizeof text), STATUS_OK);
    assert_string_equal(text, value);
}

static void expect_absent(struct rocks *rocks, const char *key)
{
    char text[200];
    assert_int_equal(get(rocks, key, text, sizeof text), STATUS_NOT_FOUND);
}

static bool list_pair(void *user, struct slice key, struct slice value)
{
    buffer_append_format(user, "%.*s=%.*s ", (int)key.length, (const char *)key.data, (int)value.length,
                         value.length ? (const char *)value.data : "");
    return slice_compare(key, SLICE_LITERAL("y")) < 0;
}

static void expect_pairs(struct rocks *rocks, const char *first, const char *expected)
{
    struct buffer text;
    buffer_init(&text, 10000);
    assert_int_equal(rocks_iterate(rocks, slice_of_string(first), list_pair, &text), STATUS_OK);
    buffer_append_byte(&text, 0);
    assert_string_equal((char *)text.data, expected);
    buffer_deinit(&text);
}

static void test_batches_read_back_and_last_word_counts(void **state)
{
    (void)state;
    struct rocks *rocks = open_rocks();
    struct kv_request batch = request_of(KV_WRITE), flush = request_of(KV_FLUSH);
    rocks_execute(rocks, &batch); /* an empty batch is nothing */
    assert_int_equal(batch.status, STATUS_OK);
    kv_batch_put(&batch.batch, SLICE_LITERAL("b"), SLICE_LITERAL("1")); /* not sorted, said twice, taken back */
    kv_batch_put(&batch.batch, SLICE_LITERAL("a"), SLICE_LITERAL("1"));
    kv_batch_put(&batch.batch, SLICE_LITERAL("c"), SLICE_LITERAL("1"));
    kv_batch_put(&batch.batch, SLICE_LITERAL("a"), SLICE_LITERAL("2"));
    kv_batch_put(&batch.batch, SLICE_LITERAL("d"), SLICE_LITERAL(""));
    kv_batch_delete(&batch.batch, SLICE_LITERAL("c"));
    kv_batch_delete(&batch.batch, SLICE_LITERAL("x"));
    kv_batch_delete(&batch.batch, SLICE_LITERAL("e"));
    kv_batch_put(&batch.batch, SLICE_LITERAL("e"), SLICE_LITERAL("1"));
    rocks_execute(rocks, &batch);
    assert_int_equal(batch.status, STATUS_OK);
    expect_pairs(rocks, "", "a=2 b=1 d= e=1 ");
    expect_pairs(rocks, "b0", "d= e=1 ");
    expect(rocks, "a", "2");
    expect_absent(rocks, "c");
    rocks_execute(rocks, &flush);
    assert_int_equal(flush.status, STATUS_OK);
    rocks_close(rocks);
    rocks = open_rocks();
    expect_pairs(rocks, "", "a=2 b=1 d= e=1 ");
    assert_true(rocks_memory_bytes(rocks) < 64u << 20);
    rocks_close(rocks);
    request_deinit(&batch);
}

static void test_ranges_cover_what_came_before_them(void **state)
{
    (void)state;
    struct rocks *rocks = open_rocks();
    struct kv_request batch = request_of(KV_WRITE);
    for (char c = 'a'; c <= 'h'; c++) kv_batch_put(&batch.batch, slice_of(&c, 1), SLICE_LITERAL("1"));
    rocks_execute(rocks, &batch);
    buffer_clear(&batch.batch);
    kv_batch_put(&batch.batch, SLICE_LITERAL("c"), SLICE_LITERAL("before"));
    kv_batch_delete_range(&batch.batch, SLICE_LITERAL("b"), SLICE_LITERAL("g"));
    kv_batch_put(&batch.batch, SLICE_LITERAL("d"), SLICE_LITERAL("after"));
    rocks_execute(rocks, &batch);
    assert_int_equal(batch.status, STATUS_OK);
    expect_pairs(rocks, "", "a=1 d=after g=1 h=1 ");
    buffer_clear(&batch.batch);
    kv_batch_delete_range(&batch.batch, SLICE_LITERAL(""), SLICE_LITERAL("h"));
    rocks_execute(rocks, &batch);
    assert_int_equal(batch.status, STATUS_OK);
    rocks_close(rocks);
    rocks = open_rocks();
    expect_pairs(rocks, "", "h=1 ");
    rocks_close(rocks);
    request_deinit(&batch);
}

static void test_errors_have_words(void **state)
{
    (void)state;
    struct rocks *rocks = open_rocks(), *second = NULL;
    char *error = NULL;
    assert_int_equal(rocks_open(folder, &second, &error), STATUS_IO); /* locked */
    assert_non_null(strstr(error, folder));
    memory_free(error);
    struct kv_request batch = request_of(KV_WRITE);
    buffer_append(&batch.batch, "\x01\x09xx", 4);
    rocks_execute(rocks, &batch);
    assert_int_equal(batch.status, STATUS_CORRUPT);
    request_deinit(&batch);
    rocks_close(rocks);
    assert_int_equal(rocks_open("/proc/no/such/place", &rocks, &error), STATUS_IO);
    memory_free(error);
}

/* A batch that finds no room leaves nothing behind, and the next one goes through. */
static void test_no_room_and_room_again(void **state)
{
    (void)state;
    struct rocks *rocks = open_rocks();
    struct kv_request batch = request_of(KV_WRITE);
    struct prng prng;
    prng_init(&prng, 3);
    uint8_t noise[1000];
    for (uint32_t i = 0; i < 300; i++) {
        for (size_t j = 0; j < sizeof noise; j++) noise[j] = (uint8_t)prng_u64(&prng);
        kv_batch_put(&batch.batch, slice_of(&i, sizeof i), slice_of(noise, sizeof noise));
    }
    struct rlimit old, low;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_IGN); /* the nearest thing to a full disk that needs no privilege */
    low = old;
    low.rlim_cur = 100 * 1000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    rocks_execute(rocks, &batch);
    assert_true(batch.status == STATUS_IO || batch.status == STATUS_NO_SPACE);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    expect_pairs(rocks, "", "");
    rocks_execute(rocks, &batch);
    assert_int_equal(batch.status, STATUS_OK);
    request_deinit(&batch);
    rocks_close(rocks);
}

/* ---- killed ---- */

/* Groups of keys are always written together: round n puts n into all keys of a group, or deletes them for every fifth
 * n. */
static void fill_round(struct buffer *batch, uint32_t group, uint32_t round)
{
    buffer_clear(batch);
    for (uint32_t i = 0; i < GROUP_KEYS; i++) {
        char key[32], value[100];
        int key_length = snprintf(key, sizeof key, "g%u-%03u", group, i * 7 % GROUP_KEYS);
        int value_length = snprintf(value, sizeof value, "%u", round);
        if (round % 5 == 0) {
            kv_batch_delete(batch, slice_of(key, (size_t)key_length));
        } else {
            kv_batch_put(batch, slice_of(key, (size_t)key_length), slice_of(value, (size_t)value_length));
        }
    }
    char meta[32];
    int length = snprintf(meta, sizeof meta, "m%u", group);
    char value[16];
    int value_length = snprintf(value, sizeof value, "%u", round);
    kv_batch_put(batch, slice_of(meta, (size_t)length), slice_of(value, (size_t)value_length));
}

NORETURN static void child(int report, uint32_t first_round)
{
    struct rocks *rocks = NULL;
    char *error = NULL;
    if (rocks_open(folder, &rocks, &error) != STATUS_OK) _exit(3);
    struct kv_request batch = request_of(KV_WRITE), flush = request_of(KV_FLUSH);
    for (uint32_t round = first_round; round < first_round + 60; round++) {
        for (uint32_t group = 0; group < 3; group++) {
            fill_round(&batch.batch, group, round);
            rocks_execute(rocks, &batch);
            if (batch.status != STATUS_OK) _exit(4);
        }
        rocks_execute(rocks, &flush);
        if (flush.status != STATUS_OK || write(report, &round, sizeof round) != (ssize_t)sizeof round) _exit(5);
    }
    _exit(0); /* without closing: as a crash would */
}

/* Each group is whole: all its keys carry the round that its meta record names, which is not older than what was
 * flushed. */
static uint32_t check_groups(uint32_t flushed_round)
{
    struct rocks *rocks = open_rocks();
    uint32_t newest = 0;
    for (uint32_t group = 0; group < 3; group++) {
        char key[32], text[100] = "0";
        snprintf(key, sizeof key, "m%u", group);
        enum status status = get(rocks, key, text, sizeof text);
        if (flushed_round) assert_int_equal(status, STATUS_OK);
        uint32_t round = (uint32_t)strtoul(text, NULL, 10);
        assert_true(round >= flushed_round);
        if (round > newest) newest = round;
        for (uint32_t i = 0; i < GROUP_KEYS && round; i++) {
            snprintf(key, sizeof key, "g%u-%03u", group, i);
            char value[100];
            status = get(rocks, key, value, sizeof value);
            assert_int_equal(status, round % 5 == 0 ? STATUS_NOT_FOUND : STATUS_OK);
            if (status == STATUS_OK) assert_string_equal(value, text);
        }
    }
    rocks_close(rocks);
    return newest;
}

static void test_killed_processes_leave_whole_batches(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 5);
    uint32_t round = 0;
    for (int life = 0; life < 8; life++) {
        int pipe_ends[2];
        assert_int_equal(pipe(pipe_ends), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(pipe_ends[0]);
            child(pipe_ends[1], round + 1);
        }
        close(pipe_ends[1]);
        uint32_t flushed = round, reported;
        uint64_t reports = 0, kill_after = life == 0 ? UINT64_MAX : prng_range(&prng, 1, 15);
        while (read(pipe_ends[0], &reported, sizeof reported) == (ssize_t)sizeof reported) {
            flushed = reported;
            if (++reports < kill_after) continue;
            struct timespec moment = {0, (long)prng_below(&prng, 4000000)};
            nanosleep(&moment, NULL);
            kill(pid, SIGKILL);
            kill_after = UINT64_MAX;
        }
        close(pipe_ends[0]);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
        round = check_groups(flushed);
    }
    char path[128];
    snprintf(path, sizeof path, "%s/incoming", folder);
    DIR *incoming = opendir(path);
    assert_non_null(incoming);
    for (struct dirent *entry; (entry = readdir(incoming));) assert_int_equal(entry->d_name[0], '.');
    closedir(incoming);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_killed_processes_leave_whole_batches, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(test_batches_read_back_and_last_word_counts, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(test_ranges_cover_what_came_before_them, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(test_errors_have_words, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(test_no_room_and_room_again, make_folder, drop_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
