/* rocks.c: RocksDB 7.8 behind the key-value port: the only file that knows it.
 *
 * A write-back is not put into a memtable but sorted, written as one table file (SstFileWriter) and ingested. Measured
 * on two cores with 62 500 items of 150 bytes a batch: 0.7 microseconds of processor time an item, compaction included,
 * against 2.6 for a write batch with its flush. More follows from it:
 *
 * K1  A batch is one file and one manifest edit: it is there whole or not at all, and durable when KV_WRITE completes.
 *     KV_FLUSH has nothing left to do, and no memtable can be lost.
 * K2  A full disk fails the making of the file, which leaves the database as it was: no error state to recover from.
 *     (Should a compaction meet it, RocksDB goes on by itself when there is room.)
 * K3  All keys of a batch belong to one partition, or are system records: files of different partitions don't overlap,
 *     so that ingestion places them deep and compaction stays within a partition.
 *
 * One column family and no log of its own (design.md, section 7, tells of the losses with several).
 */
#include "storage/rocks.h"

#include "base/memory.h"

#include <dirent.h>
#include <rocksdb/c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ROCKS_PATH_BYTES_MAX = 4096,
    ROCKS_BLOCK_CACHE_BYTES = 16 * 1024 * 1024, /* cold objects live in our memory once read: a small one will do */
    ROCKS_WRITE_BUFFER_BYTES = 1024 * 1024,     /* unused, see K1 */
    ROCKS_FILE_BYTES = 32 * 1024 * 1024,
    ROCKS_LEVEL_BYTES = 64 * 1024 * 1024,
    ROCKS_OPEN_FILES_MAX = 512,
    ROCKS_BLOOM_BITS = 10,
};

struct rocks {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *table_options;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read_options;
    rocksdb_envoptions_t *env_options;
    rocksdb_ingestexternalfileoptions_t *ingest_options;
    char *incoming;            /* folder of files not yet ingested */
    atomic_uint_fast64_t next; /* number of the next one */
};

/* ---- errors ---- */

/* The one place where RocksDB's error texts become a status. Frees `error`. */
static enum status status_of_error(char *error)
{
    if (!error) return STATUS_OK;
    enum status status = STATUS_IO;
    if (strstr(error, "No space left") || strstr(error, "Disk quota") || strstr(error, "NoSpace")) {
        status = STATUS_NO_SPACE;
    } else if (strncmp(error, "Corruption", strlen("Corruption")) == 0) {
        status = STATUS_CORRUPT;
    }
    rocksdb_free(error);
    return status;
}

static char *text_of_failure(const char *folder, const char *reason)
{
    size_t length = strlen(folder) + strlen(reason) + 8;
    char *text = memory_alloc(length);
    snprintf(text, length, "%s: %s", folder, reason);
    return text;
}

/* ---- opening ---- */

static void configure(struct rocks *rocks)
{
    rocks->options = rocksdb_options_create();
    rocksdb_options_t *o = rocks->options;
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_paranoid_checks(o, 1);
    rocksdb_options_set_write_buffer_size(o, ROCKS_WRITE_BUFFER_BYTES);
    rocksdb_options_set_compression(o, rocksdb_lz4_compression);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(o, 1);
    rocksdb_options_set_target_file_size_base(o, ROCKS_FILE_BYTES);
    rocksdb_options_set_max_bytes_for_level_base(o, ROCKS_LEVEL_BYTES);
    rocksdb_options_set_max_open_files(o, ROCKS_OPEN_FILES_MAX);
    rocksdb_options_set_stats_dump_period_sec(o, 0);
    rocksdb_options_set_stats_persist_period_sec(o, 0);
    rocksdb_options_set_keep_log_file_num(o, 2);
    rocksdb_options_set_max_manifest_file_size(o, ROCKS_FILE_BYTES);
    rocks->cache = rocksdb_cache_create_lru(ROCKS_BLOCK_CACHE_BYTES);
    rocks->table_options = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(rocks->table_options, rocks->cache);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(rocks->table_options, 1);
    rocksdb_block_based_options_set_filter_policy(rocks->table_options,
                                                  rocksdb_filterpolicy_create_bloom_full(ROCKS_BLOOM_BITS));
    rocksdb_options_set_block_based_table_factory(o, rocks->table_options);
    rocks->read_options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(rocks->read_options, 1);
    rocks->env_options = rocksdb_envoptions_create();
    rocks->ingest_options = rocksdb_ingestexternalfileoptions_create();
    rocksdb_ingestexternalfileoptions_set_move_files(rocks->ingest_options, 1);
}

/* What a crash left in the folder of incoming files was never acknowledged. */
static enum status empty_incoming(const struct rocks *rocks)
{
    if (mkdir(rocks->incoming, 0700) == 0) return STATUS_OK;
    DIR *folder = opendir(rocks->incoming);
    if (!folder) return STATUS_IO;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.') continue;
        char path[ROCKS_PATH_BYTES_MAX];
        snprintf(path, sizeof path, "%s/%s", rocks->incoming, entry->d_name);
        unlink(path);
    }
    closedir(folder);
    return STATUS_OK;
}

enum status rocks_open(const char *folder, struct rocks **out_rocks, char **out_error)
{
    struct rocks *rocks = memory_zalloc(1, sizeof *rocks);
    configure(rocks);
    size_t length = strlen(folder) + sizeof "/incoming";
    rocks->incoming = memory_alloc(length);
    snprintf(rocks->incoming, length, "%s/incoming", folder);
    char *error = NULL;
    rocks->db = rocksdb_open(rocks->options, folder, &error);
    if (error) {
        *out_error = text_of_failure(folder, error);
        rocks_close(rocks);
        return status_of_error(error);
    }
    if (empty_incoming(rocks) != STATUS_OK) {
        *out_error = text_of_failure(rocks->incoming, "cannot be made or read");
        rocks_close(rocks);
        return STATUS_IO;
    }
    *out_rocks = rocks;
    return STATUS_OK;
}

void rocks_close(struct rocks *rocks)
{
    if (!rocks) return;
    if (rocks->db) rocksdb_close(rocks->db);
    rocksdb_ingestexternalfileoptions_destroy(rocks->ingest_options);
    rocksdb_envoptions_destroy(rocks->env_options);
    rocksdb_readoptions_destroy(rocks->read_options);
    rocksdb_block_based_options_destroy(rocks->table_options);
    rocksdb_options_destroy(rocks->options);
    rocksdb_cache_destroy(rocks->cache);
    memory_free(rocks->incoming);
    memory_free(rocks);
}

/* ---- writing ---- */

struct entry {
    struct slice key, value; /* of a range: first and end */
    uint32_t order;          /* within the batch: the last one counts */
    enum kv_batch_op op;
};

struct entries {
    struct entry *items;
    size_t count, capacity;
};

static void add_entry(void *user, enum kv_batch_op op, struct slice key, struct slice value)
{
    struct entries *entries = user;
    if (entries->count == entries->capacity) {
        entries->capacity = entries->capacity ? entries->capacity * 2 : 256;
        entries->items = memory_realloc(entries->items, entries->capacity * sizeof *entries->items);
    }
    entries->items[entries->count] =
        (struct entry){.key = key, .value = value, .order = (uint32_t)entries->count, .op = op};
    entries->count++;
}

/* By key; what the batch says later comes first; ranges to the end. */
static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    bool x_is_range = x->op == KV_BATCH_DELETE_RANGE, y_is_range = y->op == KV_BATCH_DELETE_RANGE;
    if (x_is_range != y_is_range) return x_is_range ? 1 : -1;
    int order = slice_compare(x->key, y->key);
    if (order != 0) return order;
    return x->order > y->order ? -1 : x->order < y->order;
}

/* Is the entry deleted by a range that the batch names after it? In a table file both would have one sequence number,
 * and the point would win. */
static bool is_covered(const struct entries *entries, size_t points, const struct entry *entry)
{
    for (size_t i = points; i < entries->count; i++) {
        const struct entry *range = &entries->items[i];
        if (range->order > entry->order && slice_compare(range->key, entry->key) <= 0 &&
            slice_compare(entry->key, range->value) < 0) {
            return true;
        }
    }
    return false;
}

static void write_entry(rocksdb_sstfilewriter_t *writer, const struct entry *entry, char **error)
{
    const char *key = (const char *)entry->key.data, *value = (const char *)entry->value.data;
    switch (entry->op) {
    case KV_BATCH_PUT:
        rocksdb_sstfilewriter_put(writer, key, entry->key.length, value, entry->value.length, error);
        return;
    case KV_BATCH_DELETE: rocksdb_sstfilewriter_delete(writer, key, entry->key.length, error); return;
    case KV_BATCH_DELETE_RANGE:
        rocksdb_sstfilewriter_delete_range(writer, key, entry->key.length, value, entry->value.length, error);
        return;
    }
}

static char *write_entries(rocksdb_sstfilewriter_t *writer, struct entries *entries)
{
    qsort(entries->items, entries->count, sizeof *entries->items, compare_entries);
    size_t points = entries->count;
    while (points > 0 && entries->items[points - 1].op == KV_BATCH_DELETE_RANGE) points--;
    char *error = NULL;
    for (size_t i = 0; i < entries->count && !error; i++) {
        const struct entry *entry = &entries->items[i];
        bool is_point = i < points;
        if (is_point && i > 0 && slice_equal(entry->key, entries->items[i - 1].key)) continue; /* said again later */
        if (is_point && points < entries->count && is_covered(entries, points, entry)) continue;
        write_entry(writer, entry, &error);
    }
    if (!error) rocksdb_sstfilewriter_finish(writer, &error);
    return error;
}

static enum status write_batch(struct rocks *rocks, struct slice batch)
{
    struct entries entries = {0};
    enum status status = kv_batch_visit(batch, add_entry, &entries);
    if (status != STATUS_OK || entries.count == 0) {
        memory_free(entries.items);
        return status == STATUS_OK ? STATUS_OK : STATUS_CORRUPT;
    }
    char path[ROCKS_PATH_BYTES_MAX];
    snprintf(path, sizeof path, "%s/%llu.sst", rocks->incoming, (unsigned long long)atomic_fetch_add(&rocks->next, 1));
    rocksdb_sstfilewriter_t *writer = rocksdb_sstfilewriter_create(rocks->env_options, rocks->options);
    char *error = NULL;
    rocksdb_sstfilewriter_open(writer, path, &error);
    if (!error) error = write_entries(writer, &entries);
    rocksdb_sstfilewriter_destroy(writer);
    memory_free(entries.items);
    if (!error) {
        const char *files[] = {path};
        rocksdb_ingest_external_file(rocks->db, files, 1, rocks->ingest_options, &error);
    }
    unlink(path); /* what was ingested has another name by now */
    return status_of_error(error);
}

/* ---- reading ---- */

static enum status get(struct rocks *rocks, struct kv_request *request)
{
    char *error = NULL;
    rocksdb_pinnableslice_t *pinned = rocksdb_get_pinned(rocks->db, rocks->read_options,
                                                         (const char *)request->key.data, request->key.length, &error);
    if (error) return status_of_error(error);
    if (!pinned) return STATUS_NOT_FOUND;
    size_t length = 0;
    const char *value = rocksdb_pinnableslice_value(pinned, &length);
    buffer_append(&request->value, value, length);
    rocksdb_pinnableslice_destroy(pinned);
    return request->value.overflowed ? STATUS_LIMIT : STATUS_OK;
}

void rocks_execute(struct rocks *rocks, struct kv_request *request)
{
    switch (request->kind) {
    case KV_WRITE: request->status = write_batch(rocks, buffer_slice(&request->batch)); return;
    case KV_FLUSH: request->status = STATUS_OK; return; /* K1 */
    case KV_GET: request->status = get(rocks, request); return;
    }
}

enum status rocks_iterate(struct rocks *rocks, struct slice first,
                          bool (*visit)(void *user, struct slice key, struct slice value), void *user)
{
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(rocks->db, rocks->read_options);
    rocksdb_iter_seek(iterator, first.length ? (const char *)first.data : "", first.length);
    for (bool more = true; more && rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator)) {
        size_t key_length, value_length;
        const char *key = rocksdb_iter_key(iterator, &key_length);
        const char *value = rocksdb_iter_value(iterator, &value_length);
        more = visit(user, slice_of(key, key_length), slice_of(value, value_length));
    }
    char *error = NULL;
    rocksdb_iter_get_error(iterator, &error);
    rocksdb_iter_destroy(iterator);
    return status_of_error(error);
}

uint64_t rocks_memory_bytes(struct rocks *rocks)
{
    uint64_t tables = 0, memtables = 0;
    if (rocksdb_property_int(rocks->db, "rocksdb.estimate-table-readers-mem", &tables) != 0) tables = 0;
    if (rocksdb_property_int(rocks->db, "rocksdb.cur-size-all-mem-tables", &memtables) != 0) memtables = 0;
    return tables + memtables + rocksdb_cache_get_usage(rocks->cache);
}
