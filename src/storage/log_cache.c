/* log_cache.c: reading payloads back: the newest bytes from memory, older ones from their file.
 *
 * The cache is one ring of bytes. What it holds is described by runs: stretches of a segment without a gap. Peers that
 * follow closely are served from here, the others read the disk, asynchronously and with the checksum verified.
 */
#include "storage/log_internal.h"

#include "base/memory.h"

/* ---- the ring ---- */

void log__cache_init(struct log_cache *cache, uint32_t capacity)
{
    *cache = (struct log_cache){.capacity = capacity};
    if (capacity) cache->ring = memory_alloc(capacity);
}

void log__cache_deinit(struct log_cache *cache)
{
    memory_free(cache->ring);
    memory_free(cache->runs);
    *cache = (struct log_cache){0};
}

static struct log_cached_run *run_at(const struct log_cache *cache, uint32_t index)
{
    return &cache->runs[(cache->runs_first + index) & (cache->runs_capacity - 1)];
}

/* Forget the oldest `bytes` bytes. */
static void forget(struct log_cache *cache, uint32_t bytes)
{
    cache->used -= bytes;
    while (bytes) {
        struct log_cached_run *oldest = run_at(cache, 0);
        uint32_t length = oldest->to - oldest->from;
        if (bytes < length) {
            oldest->from += bytes;
            oldest->place = (uint32_t)(((uint64_t)oldest->place + bytes) % cache->capacity);
            return;
        }
        cache->runs_first = (cache->runs_first + 1) & (cache->runs_capacity - 1);
        cache->runs_count--;
        bytes -= length;
    }
}

static void push_run(struct log_cache *cache, struct log_cached_run run)
{
    if (cache->runs_count == cache->runs_capacity) {
        uint32_t capacity = cache->runs_capacity ? cache->runs_capacity * 2 : 8;
        struct log_cached_run *runs = memory_alloc(capacity * sizeof *runs);
        for (uint32_t i = 0; i < cache->runs_count; i++) runs[i] = *run_at(cache, i);
        memory_free(cache->runs);
        cache->runs = runs;
        cache->runs_first = 0;
        cache->runs_capacity = capacity;
    }
    *run_at(cache, cache->runs_count) = run;
    cache->runs_count++;
}

static void copy_in(struct log_cache *cache, struct slice bytes)
{
    uint32_t to_end = cache->capacity - cache->head;
    uint32_t first = bytes.length < to_end ? (uint32_t)bytes.length : to_end;
    memcpy(cache->ring + cache->head, bytes.data, first);
    if (first < bytes.length) memcpy(cache->ring, bytes.data + first, bytes.length - first);
    cache->head = (uint32_t)(((uint64_t)cache->head + bytes.length) % cache->capacity);
    cache->used += (uint32_t)bytes.length;
}

void log__cache_add(struct log_cache *cache, struct log_position at, struct slice bytes)
{
    if (bytes.length > cache->capacity) return;
    uint32_t length = (uint32_t)bytes.length;
    if (cache->used > cache->capacity - length) forget(cache, cache->used - (cache->capacity - length));
    struct log_cached_run *last = cache->runs_count ? run_at(cache, cache->runs_count - 1) : NULL;
    if (last && last->segment == at.segment && last->to == at.offset) {
        last->to += length;
    } else {
        push_run(cache, (struct log_cached_run){at.segment, at.offset, at.offset + length, cache->head});
    }
    copy_in(cache, bytes);
}

/* The run that holds [from, to) of `segment`, or NULL. */
static const struct log_cached_run *find_run(const struct log_cache *cache, uint32_t segment, uint32_t from,
                                             uint32_t to)
{
    uint32_t low = 0,
             high = cache->runs_count; /* the first run that begins behind (segment, from) lies in [low, high] */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct log_cached_run *run = run_at(cache, middle);
        if (run->segment < segment || (run->segment == segment && run->from <= from)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0) return NULL;
    const struct log_cached_run *run = run_at(cache, low - 1);
    return run->segment == segment && to <= run->to ? run : NULL;
}

static bool read_cached(struct log *log, struct log_location at, struct slice *out_payload)
{
    const struct log_cache *cache = &log->cache;
    const struct log_cached_run *run = find_run(cache, at.segment, at.offset, at.offset + at.bytes);
    if (!run) return false;
    uint32_t place = (uint32_t)(((uint64_t)run->place + (at.offset - run->from)) % cache->capacity);
    uint32_t to_end = cache->capacity - place;
    if (at.bytes <= to_end) {
        *out_payload = slice_of(cache->ring + place, at.bytes);
        return true;
    }
    buffer_clear(&log->scratch);
    buffer_append(&log->scratch, cache->ring + place, to_end);
    buffer_append(&log->scratch, cache->ring, at.bytes - to_end);
    *out_payload = buffer_slice(&log->scratch);
    return true;
}

/* ---- batches not written yet ---- */

static bool read_from_batch(const struct log_batch *batch, struct log_location at, struct slice *out_payload)
{
    if (!batch || batch->at.segment != at.segment || at.offset < batch->at.offset) return false;
    size_t offset = at.offset - batch->at.offset;
    if (offset + at.bytes > batch->bytes.length) return false;
    *out_payload = slice_of(batch->bytes.data + offset, at.bytes);
    return true;
}

static bool read_pending(const struct log *log, struct log_location at, struct slice *out_payload)
{
    if (read_from_batch(log->writing, at, out_payload)) return true;
    for (struct list_node *n = log->queue.head.next; n != &log->queue.head; n = n->next) {
        if (read_from_batch(CONTAINER_OF(n, struct log_batch, node), at, out_payload)) return true;
    }
    return false;
}

/* ---- the file ---- */

enum status log_read(struct log *log, struct log_location at, struct slice *out_payload, log_read_done done, void *user)
{
    ASSERT(!log->record_at && at.offset >= LOG_HEADER_BYTES + LOG_BATCH_HEADER_BYTES + LOG_RECORD_HEADER_BYTES);
    struct log_segment *segment = log__segment(log, at.segment);
    if (!segment) return STATUS_NOT_FOUND;
    if (read_pending(log, at, out_payload) || read_cached(log, at, out_payload)) return STATUS_OK;
    struct log_read_request *read = memory_zalloc(1, sizeof *read);
    read->at = at;
    read->done = done;
    read->user = user;
    size_t length = LOG_RECORD_HEADER_BYTES + (size_t)at.bytes;
    read->bytes = memory_alloc(length);
    read->request = (struct file_request){
        .kind = FILE_READ,
        .file = segment->file,
        .offset = at.offset - LOG_RECORD_HEADER_BYTES,
        .into = read->bytes,
        .length = length,
        .owner = log,
    };
    segment->reads++;
    list_push_back(&log->reads, &read->node);
    log->files.submit(log->files.world, &read->request);
    return STATUS_BUSY;
}

void log__on_read_done(struct log *log, struct log_read_request *read)
{
    struct log_segment *segment = log__segment(log, read->at.segment);
    ASSERT(segment && segment->reads);
    segment->reads--;
    list_remove(&read->node);
    enum status status = read->request.status;
    struct log_record record = {.payload = {0}};
    if (status == STATUS_OK) {
        uint32_t bytes, crc;
        status = log__record_read(slice_of(read->bytes, read->request.length_done), &record, &bytes, &crc);
        if (status != STATUS_OK || record.payload.length != read->at.bytes) status = STATUS_CORRUPT;
    }
    read->done(read->user, status, status == STATUS_OK ? record.payload : slice_of(NULL, 0));
    memory_free(read->bytes);
    memory_free(read);
    log__free_segments(log);
}
