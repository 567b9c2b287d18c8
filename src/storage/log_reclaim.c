/* log_reclaim.c: freeing the oldest segment by copying its few live records forward.
 *
 * The segment is read in pieces, a piece per completion, so that the loop never waits. Copies are ordinary records in
 * the active segment. When the last one is taken, every later batch records that the old segment is not needed; since
 * batches become durable in order, such a batch proves the copies durable too, and the file may go (G2).
 */
#include "storage/log_internal.h"

#include "base/memory.h"

static void finish(struct log *log)
{
    struct log_reclaim_work *work = &log->reclaim;
    work->state = LOG_RECLAIM_NONE;
    buffer_clear(&work->bytes);
    buffer_shrink(&work->bytes, 0);
}

static void read_piece(struct log *log)
{
    struct log_reclaim_work *work = &log->reclaim;
    struct log_segment *segment = &log->segments[0];
    uint32_t left = segment->end - work->piece_at;
    uint32_t length = left < LOG_PIECE_BYTES ? left : LOG_PIECE_BYTES;
    ASSERT(length > 0 && !work->reading);
    work->request = (struct file_request){
        .kind = FILE_READ,
        .file = segment->file,
        .offset = work->piece_at,
        .into = buffer_reserve(&work->bytes, length),
        .length = length,
        .owner = log,
    };
    ASSERT(work->request.into);
    work->reading = true;
    work->state = LOG_RECLAIM_READING;
    log->files.submit(log->files.world, &work->request);
}

NORETURN static void stop_at_damage(const struct log *log, uint32_t offset)
{
    char name[FILE_NAME_BYTES_MAX];
    log__segment_name(log->segments[0].number, name);
    PANIC("%s: offset %u: damaged since it was written (found while reclaiming)", name, offset);
}

/* Copy one live record forward. Returns what log__begin() said. */
static enum status copy_record(struct log *log, struct log_record *record)
{
    struct log_reclaim_work *work = &log->reclaim;
    if (log->pending_bytes > LOG_COPIES_PENDING_BYTES_MAX) return STATUS_BUSY;
    enum status status;
    struct buffer *bytes = log__begin(log, record->payload.length, LOG_CLAIM_COPY, &status);
    if (!bytes) return status;
    buffer_append_slice(bytes, record->payload);
    record->lsn = log__end(log, record->table, record->partition, record->kind, &record->at);
    work->moved(work->user, record);
    return STATUS_OK;
}

/* Everything is copied: a batch has to say so. */
static void record_oldest(struct log *log)
{
    bool written = log->oldest_durable >= log->oldest || (log->writing && log->writing->oldest == log->oldest);
    if (written) return;
    bool coming = log__append_marker(log, 0);
    MAYBE(!coming); /* no room even for that: tried again at the next tick */
}

static void conclude(struct log *log)
{
    log->reclaim.state = LOG_RECLAIM_COPIED;
    log->oldest = log->segments[0].number + 1;
    record_oldest(log);
}

enum walk { WALK_GO_ON, WALK_MORE, WALK_WAIT, WALK_GIVE_UP };

static enum walk walk_batch_header(struct log *log, struct slice bytes, uint32_t at, size_t *out_used)
{
    struct log_reclaim_work *work = &log->reclaim;
    if (bytes.length < LOG_BATCH_HEADER_BYTES) return WALK_MORE;
    struct log_batch_header header;
    if (!log__batch_header_read(bytes, log->config.folder_id, &header) || header.segment != log->segments[0].number) {
        stop_at_damage(log, at);
    }
    work->records_left = header.record_count;
    work->lsn = header.first_lsn;
    work->batch_end = at + log__padded(LOG_BATCH_HEADER_BYTES + header.body_bytes);
    *out_used = header.record_count ? LOG_BATCH_HEADER_BYTES : work->batch_end - at;
    return WALK_GO_ON;
}

static enum walk walk_record(struct log *log, struct slice bytes, uint32_t at, size_t *out_used)
{
    struct log_reclaim_work *work = &log->reclaim;
    struct log_record record;
    uint32_t length, crc;
    enum status status = log__record_read(bytes, &record, &length, &crc);
    if (status == STATUS_MORE) return WALK_MORE;
    if (status != STATUS_OK) stop_at_damage(log, at);
    record.lsn = work->lsn;
    record.at = (struct log_location){
        .segment = log->segments[0].number,
        .offset = at + LOG_RECORD_HEADER_BYTES,
        .bytes = (uint32_t)record.payload.length,
    };
    if (work->is_live(work->user, &record)) {
        status = copy_record(log, &record);
        if (status == STATUS_BUSY) return WALK_WAIT;
        if (status != STATUS_OK) return WALK_GIVE_UP;
    }
    work->lsn++;
    work->records_left--;
    *out_used = work->records_left ? length : work->batch_end - at;
    return WALK_GO_ON;
}

/* Go through what was read, as far as it reaches and there is room for copies. */
static void walk(struct log *log)
{
    struct log_reclaim_work *work = &log->reclaim;
    uint32_t end = log->segments[0].end;
    size_t done = 0;
    enum walk outcome = WALK_GO_ON;
    while (outcome == WALK_GO_ON && work->at + done < end) {
        size_t left = done < work->bytes.length ? work->bytes.length - done : 0; /* the last step may end in padding */
        struct slice bytes = slice_of(work->bytes.data + (left ? done : 0), left);
        uint32_t at = work->at + (uint32_t)done;
        size_t used = 0;
        outcome = work->records_left ? walk_record(log, bytes, at, &used) : walk_batch_header(log, bytes, at, &used);
        done += used;
    }
    if (outcome == WALK_MORE && work->piece_at == end) stop_at_damage(log, work->at + (uint32_t)done);
    work->at += (uint32_t)done;
    if (work->piece_at < work->at) work->piece_at = work->at;
    buffer_consume(&work->bytes, done < work->bytes.length ? done : work->bytes.length);
    switch (outcome) {
    case WALK_GO_ON: conclude(log); return;
    case WALK_MORE: read_piece(log); return;
    case WALK_WAIT: work->state = LOG_RECLAIM_PAUSED; return;
    case WALK_GIVE_UP: finish(log); return;
    }
}

void log__on_piece_done(struct log *log)
{
    struct log_reclaim_work *work = &log->reclaim;
    ASSERT(work->reading);
    work->reading = false;
    if (work->request.status != STATUS_OK || work->request.length_done != work->request.length) {
        stop_at_damage(log, work->piece_at);
    }
    buffer_commit(&work->bytes, work->request.length);
    work->piece_at += (uint32_t)work->request.length;
    walk(log);
}

void log__reclaim_go_on(struct log *log)
{
    struct log_reclaim_work *work = &log->reclaim;
    if (work->state == LOG_RECLAIM_PAUSED) walk(log);
    if (work->state != LOG_RECLAIM_COPIED) return;
    if (log->segments[0].number >= log->oldest) {
        finish(log);
    } else {
        record_oldest(log);
    }
}

enum status log_reclaim(struct log *log, bool (*is_live)(void *user, const struct log_record *record),
                        void (*moved)(void *user, const struct log_record *record), void *user)
{
    struct log_reclaim_work *work = &log->reclaim;
    if (work->state != LOG_RECLAIM_NONE) return STATUS_BUSY;
    if (log->segments_count < 2) return STATUS_NOT_FOUND;
    const struct log_segment *oldest = &log->segments[0];
    if (oldest->number < log->oldest) return STATUS_BUSY; /* about to be freed */
    if (log__has_unwritten(log, oldest->number)) return STATUS_BUSY;
    work->is_live = is_live;
    work->moved = moved;
    work->user = user;
    work->records_left = 0;
    work->at = work->piece_at = LOG_HEADER_BYTES;
    buffer_init(&work->bytes, LOG_PIECE_BYTES + LOG_RECORD_BYTES_MAX + LOG_RECORD_HEADER_BYTES);
    if (oldest->end == LOG_HEADER_BYTES) {
        conclude(log);
    } else {
        read_piece(log);
    }
    return STATUS_OK;
}
