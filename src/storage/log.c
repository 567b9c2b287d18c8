/* log.c: taking records, writing batches, completions.
 *
 * Records are appended to the open batch, whose place in the active segment is known from its start, so that a record's
 * location is final when it is taken. One write is under way at a time; what comes meanwhile gathers in the next batch:
 * the slower the disk, the larger the groups (group commit). Since a batch is written only when all before it are
 * durable, an intact batch proves that everything before it once was (L3).
 *
 * W1  The batches of `queue` stand in the order of their positions, each beginning where the one before ends, or at the
 *     start of the next segment.
 * W2  Only the last batch of the queue may be open, and it lies in the active segment.
 */
#include "storage/log_internal.h"

#include "base/memory.h"
#include "wire/crc32c.h"

/* ---- batches ---- */

static struct log_batch *take_kept_batch(struct log *log)
{
    struct list_node *node = list_pop_front(&log->kept);
    if (node) {
        log->kept_count--;
        return CONTAINER_OF(node, struct log_batch, node);
    }
    struct log_batch *batch = memory_zalloc(1, sizeof *batch);
    buffer_init(&batch->bytes, log->config.segment_bytes);
    return batch;
}

static void free_batch(struct log_batch *batch)
{
    buffer_deinit(&batch->bytes);
    memory_free(batch);
}

static void keep_batch(struct log *log, struct log_batch *batch)
{
    if (log->kept_count >= LOG_BATCHES_KEPT_MAX) {
        free_batch(batch);
        return;
    }
    buffer_clear(&batch->bytes);
    buffer_shrink(&batch->bytes, 2 * LOG_BATCH_BYTES_SEAL);
    list_push_back(&log->kept, &batch->node);
    log->kept_count++;
}

static void open_batch(struct log *log)
{
    struct log_segment *active = log__active(log);
    struct log_batch *batch = take_kept_batch(log);
    batch->at = (struct log_position){active->number, active->end};
    batch->sequence = log->next_sequence++;
    batch->first_lsn = log->last_lsn + 1;
    batch->record_count = 0;
    batch->records_crc = 0;
    uint8_t *header = buffer_reserve(&batch->bytes, LOG_BATCH_HEADER_BYTES);
    ASSERT(header);
    buffer_commit(&batch->bytes, LOG_BATCH_HEADER_BYTES);
    list_push_back(&log->queue, &batch->node);
    log->open = batch;
    log->pending_bytes += LOG_BATCH_HEADER_BYTES;
}

static void close_batch(struct log *log)
{
    static const uint8_t zeros[LOG_ALIGN_BYTES];
    struct log_batch *batch = log->open;
    struct log_segment *active = log__active(log);
    ASSERT(batch->at.segment == active->number);
    batch->body_bytes = (uint32_t)batch->bytes.length - LOG_BATCH_HEADER_BYTES;
    batch->oldest =
        log->oldest; /* not when it is written: later batches may hold copies that this one must not vouch for */
    uint32_t padded = log__padded((uint32_t)batch->bytes.length);
    log->pending_bytes += padded - batch->bytes.length;
    buffer_append(&batch->bytes, zeros, padded - batch->bytes.length);
    active->end = batch->at.offset + padded;
    ASSERT(!batch->bytes.overflowed && active->end <= active->capacity);
    log->open = NULL;
}

/* Go on in the next segment, which is ready. */
static void roll(struct log *log)
{
    ASSERT(log->has_next);
    if (log->open) close_batch(log);
    ASSERT(log->next.number == log__active(log)->number + 1);
    log->has_next = false;
    log__push_segment(log, log->next);
    log__prepare_next(log);
}

/* ---- taking records ---- */

struct buffer *log__begin(struct log *log, size_t payload_bytes_max, enum log_claim claim, enum status *out_status)
{
    ASSERT(!log->record_at);
    if (log->pending_bytes && log->pending_bytes + payload_bytes_max > LOG_PENDING_BYTES_MAX) {
        *out_status = STATUS_BUSY;
        return NULL;
    }
    bool must_roll;
    *out_status = log__room(log, payload_bytes_max, claim, &must_roll);
    if (UNLIKELY(*out_status != STATUS_OK)) return NULL;
    if (UNLIKELY(must_roll)) roll(log);
    if (!log->open) open_batch(log);
    struct buffer *bytes = &log->open->bytes;
    uint8_t *record = buffer_reserve(bytes, LOG_RECORD_HEADER_BYTES + payload_bytes_max);
    ASSERT(record);
    log->record_at = bytes->length;
    log->record_bytes_max = payload_bytes_max;
    buffer_commit(bytes, LOG_RECORD_HEADER_BYTES);
    return bytes;
}

uint64_t log__end(struct log *log, uint64_t table, uint16_t partition, uint8_t kind, struct log_location *out_location)
{
    struct log_batch *batch = log->open;
    ASSERT(log->record_at && batch && !batch->bytes.overflowed);
    size_t payload_at = log->record_at + LOG_RECORD_HEADER_BYTES;
    size_t payload_bytes = batch->bytes.length - payload_at;
    ASSERT(payload_bytes <= log->record_bytes_max);
    uint8_t *record = batch->bytes.data + log->record_at;
    (void)log__record_seal(record, table, partition, kind, (uint32_t)payload_bytes);
    /* The record's first bytes are its own checksum, which stands for the rest. */
    batch->records_crc = crc32c(batch->records_crc, slice_of(record, sizeof(uint32_t)));
    batch->record_count++;
    log->pending_bytes += LOG_RECORD_HEADER_BYTES + payload_bytes;
    log->record_at = 0;
    log->last_lsn++;
    struct log_segment *active = log__active(log);
    if (!active->first_lsn) active->first_lsn = log->last_lsn;
    active->last_lsn = log->last_lsn;
    if (out_location) {
        *out_location = (struct log_location){
            .segment = batch->at.segment,
            .offset = batch->at.offset + (uint32_t)payload_at,
            .bytes = (uint32_t)payload_bytes,
        };
    }
    if (batch->bytes.length >= LOG_BATCH_BYTES_SEAL) close_batch(log);
    return log->last_lsn;
}

struct buffer *log_begin(struct log *log, uint64_t table, uint16_t partition, uint8_t kind, size_t payload_bytes_max,
                         enum status *out_status)
{
    struct buffer *bytes = log__begin(log, payload_bytes_max, LOG_CLAIM_ORDINARY, out_status);
    log->record_table = table;
    log->record_partition = partition;
    log->record_kind = kind;
    return bytes;
}

uint64_t log_end(struct log *log, struct log_location *out_location)
{
    return log__end(log, log->record_table, log->record_partition, log->record_kind, out_location);
}

static enum status append(struct log *log, enum log_claim claim, const struct log_record *record, uint64_t *out_lsn,
                          struct log_location *out_location)
{
    enum status status;
    struct buffer *bytes = log__begin(log, record->payload.length, claim, &status);
    if (!bytes) return status;
    buffer_append_slice(bytes, record->payload);
    uint64_t lsn = log__end(log, record->table, record->partition, record->kind, out_location);
    if (out_lsn) *out_lsn = lsn;
    return STATUS_OK;
}

enum status log_append(struct log *log, uint64_t table, uint16_t partition, uint8_t kind, struct slice payload,
                       uint64_t *out_lsn, struct log_location *out_location)
{
    struct log_record record = {.table = table, .partition = partition, .kind = kind, .payload = payload};
    return append(log, LOG_CLAIM_ORDINARY, &record, out_lsn, out_location);
}

enum status log_append_reserved(struct log *log, uint64_t table, uint16_t partition, uint8_t kind, struct slice payload,
                                uint64_t *out_lsn, struct log_location *out_location)
{
    struct log_record record = {.table = table, .partition = partition, .kind = kind, .payload = payload};
    return append(log, LOG_CLAIM_RESERVED, &record, out_lsn, out_location);
}

bool log_has_room(const struct log *log, size_t payload_bytes, enum status *out_status)
{
    bool must_roll;
    *out_status = log__room(log, payload_bytes, LOG_CLAIM_ORDINARY, &must_roll);
    if (*out_status == STATUS_OK && log->pending_bytes && log->pending_bytes + payload_bytes > LOG_PENDING_BYTES_MAX) {
        *out_status = STATUS_BUSY;
    }
    return *out_status == STATUS_OK;
}

/* ---- writing ---- */

void log_submit(struct log *log)
{
    ASSERT(!log->record_at);
    if (log->writing || list_is_empty(&log->queue)) return;
    struct log_batch *batch = CONTAINER_OF(list_first(&log->queue), struct log_batch, node);
    if (batch == log->open) close_batch(log);
    list_remove(&batch->node);
    struct log_segment *segment = log__segment(log, batch->at.segment);
    ASSERT(segment);
    struct log_batch_header header = {
        .segment = batch->at.segment,
        .body_bytes = batch->body_bytes,
        .sequence = batch->sequence,
        .first_lsn = batch->first_lsn,
        .synced = log->synced,
        .oldest = batch->oldest,
        .record_count = batch->record_count,
        .records_crc = batch->records_crc,
    };
    log__batch_header_write(batch->bytes.data, &header, log->config.folder_id);
    log->pending_bytes -= batch->bytes.length;
    log->writing = batch;
    log->write_request = (struct file_request){
        .kind = FILE_WRITE_SYNC,
        .file = segment->file,
        .offset = batch->at.offset,
        .bytes = buffer_slice(&batch->bytes),
        .owner = log,
    };
    log->files.submit(log->files.world, &log->write_request);
}

static void on_write_done(struct log *log)
{
    struct log_batch *batch = log->writing;
    if (log->write_request.status != STATUS_OK) {
        char name[FILE_NAME_BYTES_MAX];
        log__segment_name(batch->at.segment, name);
        PANIC("%s: offset %u: writing and syncing %zu bytes failed (%s): what is on disk is not known any more", name,
              batch->at.offset, batch->bytes.length, status_name(log->write_request.status));
    }
    log->writing = NULL;
    if (batch->record_count) log->durable_lsn = batch->first_lsn + batch->record_count - 1;
    log->sealed = batch->record_count == 0;
    log->synced = (struct log_position){batch->at.segment, batch->at.offset + (uint32_t)batch->bytes.length};
    log->oldest_durable = batch->oldest;
    log->quiet_since_ns = 0;
    log__cache_add(&log->cache, batch->at, buffer_slice(&batch->bytes));
    keep_batch(log, batch);
    log__free_segments(log);
    log__reclaim_go_on(log);
}

bool log_owns_request(const struct log *log, const struct file_request *request)
{
    return request->owner == log;
}

void log_on_file_done(struct log *log, struct file_request *request)
{
    ASSERT(log_owns_request(log, request));
    if (request == &log->write_request) {
        on_write_done(log);
    } else if (request == &log->upkeep_request) {
        log__on_upkeep_done(log);
    } else if (request == &log->reclaim.request) {
        log__on_piece_done(log);
    } else {
        log__on_read_done(log, CONTAINER_OF(request, struct log_read_request, request));
    }
}

bool log__has_unwritten(const struct log *log, uint32_t segment)
{
    if (log->writing) return log->writing->at.segment <= segment;
    const struct list_node *first = list_first(&log->queue);
    return first && CONTAINER_OF(first, struct log_batch, node)->at.segment <= segment;
}

/* ---- markers and time ---- */

bool log__append_marker(struct log *log, uint32_t keep_bytes)
{
    if (log->open) return true;
    if (!list_is_empty(&log->queue)) {
        struct log_batch *last = CONTAINER_OF(log->queue.head.previous, struct log_batch, node);
        if (last->oldest == log->oldest) return true;
    }
    struct log_segment *active = log__active(log);
    if (active->capacity - active->end < LOG_BATCH_HEADER_BYTES + keep_bytes) {
        if (!log->has_next) return false;
        roll(log);
    }
    open_batch(log);
    return true;
}

void log_tick(struct log *log, uint64_t now_ns)
{
    log__retry_next(log, now_ns);
    log__free_segments(log);
    log__reclaim_go_on(log);
    if (log->writing || !list_is_empty(&log->queue) || log->sealed) {
        log->quiet_since_ns = 0;
    } else if (log->quiet_since_ns == 0) {
        log->quiet_since_ns = now_ns ? now_ns : 1;
    } else if (now_ns - log->quiet_since_ns >= LOG_QUIET_NS) {
        log__append_marker(log, log->has_next ? 0 : LOG_MARKERS_KEPT_BYTES);
        log->quiet_since_ns = 0;
    }
    log_submit(log);
}

/* ---- questions ---- */

uint64_t log_durable_lsn(const struct log *log)
{
    return log->durable_lsn;
}

uint64_t log_last_lsn(const struct log *log)
{
    return log->last_lsn;
}

bool log_is_idle(const struct log *log)
{
    return !log->writing && list_is_empty(&log->queue) && log->upkeep == LOG_UPKEEP_NONE &&
           list_is_empty(&log->reads) && !log->reclaim.reading;
}

uint64_t log_cut_bytes(const struct log *log)
{
    return log->cut_bytes;
}

uint64_t log_bytes(const struct log *log)
{
    uint64_t bytes = log->open ? log->open->bytes.length : 0;
    for (uint32_t i = 0; i < log->segments_count; i++) bytes += log->segments[i].end;
    return bytes;
}

uint32_t log_segment_count(const struct log *log)
{
    return log->segments_count;
}

bool log_oldest(const struct log *log, struct log_segment_info *out)
{
    if (log->segments_count < 2) return false;
    const struct log_segment *oldest = &log->segments[0];
    *out = (struct log_segment_info){
        .number = oldest->number,
        .first_lsn = oldest->first_lsn,
        .last_lsn = oldest->last_lsn,
        .bytes = oldest->end - LOG_HEADER_BYTES,
    };
    return true;
}

void log_free(struct log *log)
{
    if (!log) return;
    struct list_node *node;
    if (log->writing) free_batch(log->writing);
    while ((node = list_pop_front(&log->queue))) free_batch(CONTAINER_OF(node, struct log_batch, node));
    while ((node = list_pop_front(&log->kept))) free_batch(CONTAINER_OF(node, struct log_batch, node));
    while ((node = list_pop_front(&log->reads))) {
        struct log_read_request *read = CONTAINER_OF(node, struct log_read_request, node);
        memory_free(read->bytes);
        memory_free(read);
    }
    for (uint32_t i = 0; i < log->segments_count; i++) log->files.close(log->files.world, log->segments[i].file);
    for (uint32_t i = 0; i < log->spares_count; i++) log->files.close(log->files.world, log->spares[i].file);
    if (log->has_next) log->files.close(log->files.world, log->next.file);
    if (log->upkeep == LOG_UPKEEP_HEADER) log->files.close(log->files.world, log->upkeep_spare.file);
    log__cache_deinit(&log->cache);
    buffer_deinit(&log->scratch);
    buffer_deinit(&log->upkeep_bytes);
    buffer_deinit(&log->reclaim.bytes);
    memory_free(log->segments);
    memory_free(log);
}
