/* log_space.c: segments ahead of need, and what becomes of freed ones.
 *
 *   spare-N.seg  a whole file of zeros, or of an earlier life. Its name says that nothing in it counts.
 *   log-N.seg    a segment: renamed from a spare only after its new header was durable, so a bad header is damage.
 *
 *   spare --header written, renamed, folder synced--> next --the active one is full--> active --all dead or copied,
 *   and a durable batch says so--> renamed to spare again, folder synced
 *
 * G1  The numbers of the log-N files have no gap: each rename is synced before the next one.
 * G2  A segment's file is renamed away only when a durable batch records that it is not needed (oldest_durable), so the
 *     first segment present is never newer than the last recorded one, or a file was lost.
 * G3  While nobody knows whether another segment can be had, ordinary records leave a reserve in the last one.
 */
#include "storage/log_internal.h"

#include "base/memory.h"

struct log_segment *log__push_segment(struct log *log, struct log_segment segment)
{
    if (log->segments_count == log->segments_capacity) {
        log->segments_capacity = log->segments_capacity ? log->segments_capacity * 2 : 8;
        log->segments = memory_realloc(log->segments, log->segments_capacity * sizeof *log->segments);
    }
    log->segments[log->segments_count] = segment;
    return &log->segments[log->segments_count++];
}

struct log_segment *log__segment(struct log *log, uint32_t number)
{
    uint32_t first = log->segments[0].number;
    if (number < first || number - first >= log->segments_count) return NULL;
    return &log->segments[number - first];
}

uint64_t log__file_bytes(const struct log *log)
{
    uint64_t files = log->has_next + log->spares_count + (log->upkeep != LOG_UPKEEP_NONE);
    uint64_t bytes = files * log->config.segment_bytes;
    for (uint32_t i = 0; i < log->segments_count; i++) bytes += log->segments[i].capacity;
    return bytes;
}

/* ---- room ---- */

static uint64_t reserve_bytes(const struct log *log, enum log_claim claim)
{
    switch (claim) {
    case LOG_CLAIM_ORDINARY: return log->config.segment_bytes / LOG_RESERVE_SHARE + LOG_MARKERS_KEPT_BYTES;
    case LOG_CLAIM_COPY: return log->config.segment_bytes / LOG_COPY_RESERVE_SHARE + LOG_MARKERS_KEPT_BYTES;
    case LOG_CLAIM_RESERVED: return LOG_MARKERS_KEPT_BYTES;
    }
    ASSERT(false);
    return 0;
}

enum status log__room(const struct log *log, size_t payload_bytes, enum log_claim claim, bool *out_roll)
{
    *out_roll = false;
    const struct log_segment *active = log__active(log);
    uint64_t need = LOG_RECORD_HEADER_BYTES + (uint64_t)payload_bytes + LOG_ALIGN_BYTES;
    uint64_t used = log->open ? log->open->at.offset + log->open->bytes.length : active->end + LOG_BATCH_HEADER_BYTES;
    uint64_t left = log->has_next ? 0 : reserve_bytes(log, claim);
    if (LIKELY(payload_bytes <= LOG_RECORD_BYTES_MAX && used + need + left <= active->capacity)) return STATUS_OK;
    uint64_t empty_bytes = log->config.segment_bytes - LOG_HEADER_BYTES - LOG_BATCH_HEADER_BYTES;
    if (payload_bytes > LOG_RECORD_BYTES_MAX || need + reserve_bytes(log, LOG_CLAIM_ORDINARY) > empty_bytes) {
        return STATUS_LIMIT;
    }
    if (log->has_next) {
        *out_roll = true;
        return STATUS_OK;
    }
    return log->upkeep == LOG_UPKEEP_NONE && log->room_status != STATUS_OK ? STATUS_NO_SPACE : STATUS_BUSY;
}

/* ---- the next segment ---- */

static uint32_t next_number(const struct log *log)
{
    return log->segments_count ? log__active(log)->number + 1 : 1;
}

static void submit_header(struct log *log)
{
    log->upkeep_spare = log->spares[--log->spares_count];
    buffer_clear(&log->upkeep_bytes);
    log__header_write(&log->upkeep_bytes, next_number(log), log->config.segment_bytes, log->config.folder_id);
    log->upkeep = LOG_UPKEEP_HEADER;
    log->upkeep_request = (struct file_request){
        .kind = FILE_WRITE_SYNC,
        .file = log->upkeep_spare.file,
        .bytes = buffer_slice(&log->upkeep_bytes),
        .owner = log,
    };
    log->files.submit(log->files.world, &log->upkeep_request);
}

static void submit_preallocate(struct log *log)
{
    if (log__file_bytes(log) + log->config.segment_bytes > log->config.bytes_max) {
        log->room_status = STATUS_NO_SPACE; /* until a segment is freed */
        return;
    }
    log->upkeep = LOG_UPKEEP_PREALLOCATE;
    log->upkeep_request = (struct file_request){
        .kind = FILE_PREALLOCATE,
        .length = log->config.segment_bytes,
        .owner = log,
    };
    log__spare_name(++log->spare_number, log->upkeep_request.name);
    log->files.submit(log->files.world, &log->upkeep_request);
}

void log__prepare_next(struct log *log)
{
    if (log->has_next || log->upkeep != LOG_UPKEEP_NONE) return;
    if (log->spares_count) {
        submit_header(log);
    } else {
        submit_preallocate(log);
    }
}

void log__retry_next(struct log *log, uint64_t now_ns)
{
    if (log->room_status == STATUS_OK || now_ns < log->retry_at_ns) return;
    log->retry_at_ns = now_ns + LOG_RETRY_NS;
    log__prepare_next(log);
}

/* `spare` has a durable header for the segment after the active one: give it its name. */
static enum status adopt_next(struct log *log, const struct log_spare *spare)
{
    uint32_t number = next_number(log);
    char name[FILE_NAME_BYTES_MAX];
    log__segment_name(number, name);
    enum status status = log->files.rename(log->files.world, spare->name, name);
    if (status != STATUS_OK) return status;
    status = log->files.sync_folder(log->files.world);
    if (status != STATUS_OK) PANIC("%s: syncing the log's folder failed (%s)", name, status_name(status));
    log->next = (struct log_segment){
        .number = number,
        .file = spare->file,
        .capacity = log->config.segment_bytes,
        .end = LOG_HEADER_BYTES,
    };
    log->has_next = true;
    log->room_status = STATUS_OK;
    return STATUS_OK;
}

static void on_preallocated(struct log *log)
{
    const struct file_request *request = &log->upkeep_request;
    if (request->status != STATUS_OK) {
        log->room_status = request->status;
        return;
    }
    struct log_spare spare = {.file = request->file};
    memcpy(spare.name, request->name, sizeof spare.name);
    log__add_spare(log, spare);
}

static void on_header_written(struct log *log)
{
    if (log->upkeep_request.status != STATUS_OK) {
        PANIC("%s: offset 0: writing and syncing the segment header failed (%s)", log->upkeep_spare.name,
              status_name(log->upkeep_request.status));
    }
    enum status status = adopt_next(log, &log->upkeep_spare);
    if (status != STATUS_OK) {
        log->room_status = status;
        log__add_spare(log, log->upkeep_spare);
    }
}

void log__on_upkeep_done(struct log *log)
{
    enum log_upkeep done = log->upkeep;
    ASSERT(done != LOG_UPKEEP_NONE);
    log->upkeep = LOG_UPKEEP_NONE;
    if (done == LOG_UPKEEP_PREALLOCATE) {
        on_preallocated(log);
        if (log->spares_count) log__prepare_next(log);
    } else {
        on_header_written(log);
    }
}

enum status log__make_next_now(struct log *log)
{
    struct log_spare spare;
    enum status status = STATUS_OK;
    if (log->spares_count) {
        spare = log->spares[--log->spares_count];
    } else {
        if (log__file_bytes(log) + log->config.segment_bytes > log->config.bytes_max) return STATUS_NO_SPACE;
        log__spare_name(++log->spare_number, spare.name);
        status = log->files.create(log->files.world, spare.name, log->config.segment_bytes, &spare.file);
        if (status != STATUS_OK) return status;
    }
    buffer_clear(&log->upkeep_bytes);
    log__header_write(&log->upkeep_bytes, next_number(log), log->config.segment_bytes, log->config.folder_id);
    status = log->files.write_sync(log->files.world, spare.file, 0, buffer_slice(&log->upkeep_bytes));
    if (status == STATUS_OK) status = adopt_next(log, &spare);
    if (status != STATUS_OK) log__add_spare(log, spare);
    return status;
}

/* ---- freeing ---- */

void log__add_spare(struct log *log, struct log_spare spare)
{
    if (log->spares_count < LOG_SPARES_MAX) {
        log->spares[log->spares_count++] = spare;
        return;
    }
    log->files.close(log->files.world, spare.file);
    enum status status = log->files.remove(log->files.world, spare.name);
    MAYBE(status != STATUS_OK); /* its name says that nothing in it counts: the next opening finds it again */
}

/* False when the file system refuses: then it is tried again at the next tick. */
static bool free_oldest(struct log *log)
{
    struct log_segment oldest = log->segments[0];
    struct log_spare spare = {.file = oldest.file};
    char name[FILE_NAME_BYTES_MAX];
    log__segment_name(oldest.number, name);
    log__spare_name(log->spare_number + 1, spare.name);
    if (log->files.rename(log->files.world, name, spare.name) != STATUS_OK) return false;
    enum status status = log->files.sync_folder(log->files.world);
    if (status != STATUS_OK) PANIC("%s: syncing the log's folder failed (%s)", name, status_name(status));
    log->spare_number++;
    log->segments_count--;
    memmove(log->segments, log->segments + 1, log->segments_count * sizeof *log->segments);
    if (oldest.capacity == log->config.segment_bytes) {
        log__add_spare(log, spare);
    } else {
        log->files.close(log->files.world, spare.file);
        status = log->files.remove(log->files.world, spare.name);
        MAYBE(status != STATUS_OK);
    }
    return true;
}

void log__free_segments(struct log *log)
{
    bool freed = false;
    while (log->segments_count > 1 && log->segments[0].number < log->oldest_durable && !log->segments[0].reads) {
        if (!free_oldest(log)) break;
        freed = true;
    }
    if (freed) log__prepare_next(log);
}
