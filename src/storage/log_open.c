/* log_open.c: recovery (S18). Every record is read in order; where that ends, a torn tail is told from damage.
 *
 * The order ends at the first place P that holds no intact batch with the expected sequence. A batch is written only
 * when all before it are durable, and it records that position. So:
 *
 *   an intact later batch anywhere, recorded as written when P was already synced:  P is damaged, the node stops;
 *   the next segment begins with the expected batch:                              P is where its segment ended;
 *   neither:                                                                     P is the tail. What is there was never
 *                                                                                acknowledged and is overwritten.
 *
 * The last intact batch may have been read from memory that never reached the disk (killed between write and sync, or
 * the sync failed and the process was started again). It is written and synced once more before anything relies on it.
 */
#include "storage/log_internal.h"

#include "base/memory.h"

#include <stdlib.h>

struct named_file {
    uint32_t number;
    uint64_t bytes;
};

struct scan {
    struct log *log;
    void (*visit)(void *user, const struct log_record *record);
    void *user;
    struct buffer *out_error;
    struct named_file *segments, *spares;
    uint32_t segments_count, spares_count, segments_capacity, spares_capacity;
    uint8_t *bytes; /* of segment `loaded` */
    size_t bytes_capacity;
    uint32_t loaded;            /* index + 1; 0: none */
    uint64_t expected_sequence; /* 0: whatever comes first */
    struct log_position last_batch;
    uint32_t last_batch_bytes; /* 0: there is none */
    uint32_t last_batch_records;
    uint32_t recorded_oldest;
};

static enum status fail(struct scan *scan, enum status status, uint32_t number, uint64_t offset, const char *what)
{
    char name[FILE_NAME_BYTES_MAX];
    log__segment_name(number, name);
    buffer_append_format(scan->out_error, "%s: offset %llu: %s", name, (unsigned long long)offset, what);
    return status;
}

/* ---- the folder ---- */

static void note_file(void *user, const char *name, uint64_t bytes)
{
    struct scan *scan = user;
    uint32_t number;
    enum log_file_kind kind = log__parse_name(name, &number);
    if (kind == LOG_FILE_OTHER) return;
    bool is_segment = kind == LOG_FILE_SEGMENT;
    struct named_file **files = is_segment ? &scan->segments : &scan->spares;
    uint32_t *count = is_segment ? &scan->segments_count : &scan->spares_count;
    uint32_t *capacity = is_segment ? &scan->segments_capacity : &scan->spares_capacity;
    if (*count == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 16;
        *files = memory_realloc(*files, *capacity * sizeof **files);
    }
    (*files)[(*count)++] = (struct named_file){number, bytes};
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = ((const struct named_file *)a)->number, y = ((const struct named_file *)b)->number;
    return x < y ? -1 : x > y;
}

static void adopt_spares(struct scan *scan)
{
    struct log *log = scan->log;
    if (scan->spares_count) qsort(scan->spares, scan->spares_count, sizeof *scan->spares, by_number);
    for (uint32_t i = 0; i < scan->spares_count; i++) {
        struct log_spare spare;
        log__spare_name(scan->spares[i].number, spare.name);
        log->spare_number = scan->spares[i].number;
        bool fits = scan->spares[i].bytes == log->config.segment_bytes;
        if (fits && log->files.open(log->files.world, spare.name, &spare.file) == STATUS_OK) {
            log__add_spare(log, spare);
        } else {
            enum status status = log->files.remove(log->files.world, spare.name);
            MAYBE(status != STATUS_OK); /* nothing in it counts: the next opening finds it again */
        }
    }
}

static enum status adopt_segments(struct scan *scan)
{
    struct log *log = scan->log;
    if (scan->segments_count) qsort(scan->segments, scan->segments_count, sizeof *scan->segments, by_number);
    for (uint32_t i = 0; i < scan->segments_count; i++) {
        uint32_t number = scan->segments[i].number;
        uint64_t bytes = scan->segments[i].bytes;
        if (i > 0 && number != scan->segments[i - 1].number + 1) {
            return fail(scan, STATUS_CORRUPT, scan->segments[i - 1].number + 1, 0,
                        "this segment of the log is missing");
        }
        if (bytes < LOG_HEADER_BYTES || bytes > UINT32_MAX / 2) {
            return fail(scan, STATUS_CORRUPT, number, bytes, "the file has not the size of a segment");
        }
        char name[FILE_NAME_BYTES_MAX];
        log__segment_name(number, name);
        struct log_segment segment = {.number = number, .capacity = (uint32_t)bytes, .end = LOG_HEADER_BYTES};
        enum status status = log->files.open(log->files.world, name, &segment.file);
        if (status != STATUS_OK) return fail(scan, status, number, 0, "cannot be opened");
        log__push_segment(log, segment);
    }
    return STATUS_OK;
}

static enum status list_folder(struct scan *scan)
{
    struct log *log = scan->log;
    enum status status = log->files.sync_folder(log->files.world); /* the names we act on must be durable */
    if (status == STATUS_OK) status = log->files.list(log->files.world, note_file, scan);
    if (status != STATUS_OK) {
        buffer_append_format(scan->out_error, "the folder of the log cannot be read: %s", status_name(status));
        return status;
    }
    adopt_spares(scan);
    return adopt_segments(scan);
}

/* ---- segments ---- */

/* Have the whole segment in scan->bytes, its header checked. */
static enum status load(struct scan *scan, uint32_t index)
{
    if (scan->loaded == index + 1) return STATUS_OK;
    struct log *log = scan->log;
    const struct log_segment *segment = &log->segments[index];
    scan->loaded = 0;
    if (scan->bytes_capacity < segment->capacity) {
        memory_free(scan->bytes);
        scan->bytes = memory_alloc(segment->capacity);
        scan->bytes_capacity = segment->capacity;
    }
    size_t length = 0;
    enum status status = log->files.read(log->files.world, segment->file, 0, scan->bytes, segment->capacity, &length);
    if (status != STATUS_OK) return fail(scan, status, segment->number, 0, "cannot be read");
    if (length != segment->capacity) return fail(scan, STATUS_IO, segment->number, length, "the file ends early");
    const char *wrong =
        log__header_check(slice_of(scan->bytes, segment->capacity), segment->number, log->config.folder_id, &status);
    if (wrong) return fail(scan, status, segment->number, 0, wrong);
    scan->loaded = index + 1;
    return STATUS_OK;
}

static bool header_at(const struct scan *scan, const struct log_segment *segment, uint32_t offset,
                      struct log_batch_header *out)
{
    if (offset > segment->capacity || segment->capacity - offset < LOG_BATCH_HEADER_BYTES) return false;
    struct slice rest = slice_of(scan->bytes + offset, segment->capacity - offset);
    return log__batch_header_read(rest, scan->log->config.folder_id, out) && out->segment == segment->number;
}

/* Is there, at `offset`, the intact batch that must come now? */
static bool batch_at(const struct scan *scan, const struct log_segment *segment, uint32_t offset,
                     struct log_batch_header *out, struct slice *out_body)
{
    if (!header_at(scan, segment, offset, out)) return false;
    if (scan->expected_sequence && out->sequence != scan->expected_sequence) return false;
    uint32_t room = segment->capacity - offset - LOG_BATCH_HEADER_BYTES;
    if (out->body_bytes > room) return false;
    *out_body = slice_of(scan->bytes + offset + LOG_BATCH_HEADER_BYTES, out->body_bytes);
    return log__batch_body_check(out, *out_body);
}

static void visit_batch(struct scan *scan, struct log_segment *segment, uint32_t offset,
                        const struct log_batch_header *header, struct slice body)
{
    uint32_t at = offset + LOG_BATCH_HEADER_BYTES;
    for (uint32_t i = 0; i < header->record_count; i++) {
        struct log_record record = {.lsn = header->first_lsn + i};
        uint32_t length, crc;
        enum status status = log__record_read(body, &record, &length, &crc);
        ASSERT(status == STATUS_OK); /* batch_at() has seen it */
        record.at = (struct log_location){
            .segment = segment->number,
            .offset = at + LOG_RECORD_HEADER_BYTES,
            .bytes = (uint32_t)record.payload.length,
        };
        scan->visit(scan->user, &record);
        body = slice_skip(body, length);
        at += length;
    }
    if (!header->record_count) return;
    if (!segment->first_lsn) segment->first_lsn = header->first_lsn;
    segment->last_lsn = header->first_lsn + header->record_count - 1;
}

/* Take the batches of one loaded segment; its `end` is then the first place without one. */
static enum status scan_segment(struct scan *scan, struct log_segment *segment)
{
    struct log *log = scan->log;
    struct log_batch_header header;
    struct slice body;
    while (batch_at(scan, segment, segment->end, &header, &body)) {
        if (!scan->last_batch_bytes) log->last_lsn = header.first_lsn - 1;
        if (header.first_lsn != log->last_lsn + 1) {
            return fail(scan, STATUS_CORRUPT, segment->number, segment->end, "the batch repeats or skips records");
        }
        visit_batch(scan, segment, segment->end, &header, body);
        log->last_lsn += header.record_count;
        scan->expected_sequence = header.sequence + 1;
        if (header.oldest > scan->recorded_oldest) scan->recorded_oldest = header.oldest;
        scan->last_batch = (struct log_position){segment->number, segment->end};
        scan->last_batch_bytes = log__padded(LOG_BATCH_HEADER_BYTES + header.body_bytes);
        scan->last_batch_records = header.record_count;
        segment->end += scan->last_batch_bytes;
    }
    return STATUS_OK;
}

/* ---- the end of the order ---- */

/* An intact batch behind `from` in the loaded segment that was written when all up to `place` had been synced? */
static bool find_later(const struct scan *scan, const struct log_segment *segment, uint32_t from,
                       struct log_position place, uint32_t *out_offset)
{
    struct log_batch_header header;
    for (uint32_t at = from; at + LOG_BATCH_HEADER_BYTES <= segment->capacity; at += LOG_ALIGN_BYTES) {
        if (!header_at(scan, segment, at, &header)) continue;
        if (header.sequence > scan->expected_sequence && log_position_before(place, header.synced)) {
            *out_offset = at;
            return true;
        }
    }
    return false;
}

static enum status damaged(struct scan *scan, struct log_position place, uint32_t later_segment, uint32_t later_offset)
{
    char name[FILE_NAME_BYTES_MAX], what[192];
    log__segment_name(later_segment, name);
    struct buffer text;
    buffer_init(&text, sizeof what);
    buffer_append_format(&text, "damaged: this was synced before the batch at %s offset %u was written", name,
                         later_offset);
    ASSERT(text.length < sizeof what);
    memcpy(what, text.data, text.length);
    what[text.length] = 0;
    buffer_deinit(&text);
    return fail(scan, STATUS_CORRUPT, place.segment, place.offset, what);
}

/* How far the damage at the end of the order reaches, if its header tells: the search goes on behind it. */
static uint32_t torn_bytes(const struct scan *scan, const struct log_segment *segment)
{
    struct log_batch_header header;
    if (!header_at(scan, segment, segment->end, &header)) return 0;
    if (scan->expected_sequence && header.sequence != scan->expected_sequence) return 0;
    uint32_t room = segment->capacity - segment->end;
    uint32_t bytes = log__padded(LOG_BATCH_HEADER_BYTES + header.body_bytes);
    return header.body_bytes < room && bytes <= room ? bytes : room;
}

/* The order ends in the loaded segment `index`. STATUS_OK: it goes on at the start of the next one. STATUS_NOT_FOUND:
 * this is the tail. STATUS_CORRUPT: it is damage. */
static enum status judge_end(struct scan *scan, uint32_t index)
{
    struct log *log = scan->log;
    struct log_segment *segment = &log->segments[index];
    struct log_position place = {segment->number, segment->end};
    uint32_t torn = torn_bytes(scan, segment);
    uint32_t offset;
    uint32_t from = segment->end + (torn ? torn : LOG_ALIGN_BYTES);
    if (find_later(scan, segment, from, place, &offset)) return damaged(scan, place, segment->number, offset);
    for (uint32_t later = index + 1; later < log->segments_count; later++) {
        enum status status = load(scan, later);
        if (status != STATUS_OK) return status;
        const struct log_segment *next = &log->segments[later];
        struct log_batch_header header;
        if (later == index + 1 && header_at(scan, next, LOG_HEADER_BYTES, &header) &&
            header.sequence == scan->expected_sequence) {
            return STATUS_OK;
        }
        if (find_later(scan, next, LOG_HEADER_BYTES, place, &offset)) return damaged(scan, place, next->number, offset);
    }
    log->cut_bytes = torn;
    return STATUS_NOT_FOUND;
}

/* Segments behind the tail hold nothing: the first stays the next one, further ones become spares, the last first (G1).
 */
static enum status trim(struct scan *scan, uint32_t tail)
{
    struct log *log = scan->log;
    while (log->segments_count > tail + 2 ||
           (log->segments_count == tail + 2 && log__active(log)->capacity != log->config.segment_bytes)) {
        struct log_segment *last = log__active(log);
        char name[FILE_NAME_BYTES_MAX];
        struct log_spare spare = {.file = last->file};
        log__segment_name(last->number, name);
        log__spare_name(++log->spare_number, spare.name);
        enum status status = log->files.rename(log->files.world, name, spare.name);
        if (status == STATUS_OK) status = log->files.sync_folder(log->files.world);
        if (status != STATUS_OK) return fail(scan, status, last->number, 0, "cannot be renamed");
        log->segments_count--;
        if (last->capacity == log->config.segment_bytes) {
            log__add_spare(log, spare);
        } else {
            log->files.close(log->files.world, spare.file);
        }
    }
    if (log->segments_count == tail + 2) {
        log->next = *log__active(log);
        log->has_next = true;
        log->segments_count--;
    }
    return STATUS_OK;
}

static enum status scan_segments(struct scan *scan)
{
    struct log *log = scan->log;
    uint32_t index = 0;
    enum status status;
    if (log->segments[0].number == 1) scan->expected_sequence = 1;
    for (;;) {
        status = load(scan, index);
        if (status != STATUS_OK) return status;
        status = scan_segment(scan, &log->segments[index]);
        if (status != STATUS_OK) return status;
        status = judge_end(scan, index);
        if (status == STATUS_NOT_FOUND) break;
        if (status != STATUS_OK) return status;
        index++;
    }
    uint32_t first = log->segments[0].number;
    if (!scan->last_batch_bytes && first != 1) {
        return fail(scan, STATUS_CORRUPT, first, LOG_HEADER_BYTES, "damaged: a log that was used before has no batch");
    }
    if (scan->last_batch_bytes && first > scan->recorded_oldest) {
        return fail(scan, STATUS_CORRUPT, first - 1, 0, "this segment of the log is missing");
    }
    return trim(scan, index);
}

/* ---- making it durable ---- */

static enum status rewrite_last_batch(struct scan *scan)
{
    if (!scan->last_batch_bytes) return STATUS_OK;
    struct log *log = scan->log;
    struct log_segment *segment = log__segment(log, scan->last_batch.segment);
    ASSERT(segment && scan->last_batch_bytes <= segment->capacity);
    size_t length = 0;
    enum status status = log->files.read(log->files.world, segment->file, scan->last_batch.offset, scan->bytes,
                                         scan->last_batch_bytes, &length);
    if (status == STATUS_OK && length != scan->last_batch_bytes) status = STATUS_IO;
    if (status == STATUS_OK) {
        status = log->files.write_sync(log->files.world, segment->file, scan->last_batch.offset,
                                       slice_of(scan->bytes, length));
    }
    if (status != STATUS_OK) {
        return fail(scan, status, segment->number, scan->last_batch.offset, "the last batch cannot be synced");
    }
    return STATUS_OK;
}

static void settle(struct scan *scan)
{
    struct log *log = scan->log;
    struct log_segment *active = log__active(log);
    log->next_sequence = scan->expected_sequence;
    log->durable_lsn = log->last_lsn;
    log->synced = (struct log_position){active->number, active->end};
    log->sealed = scan->last_batch_records == 0;
    log->oldest_durable = scan->recorded_oldest;
    log->oldest = log->segments[0].number > scan->recorded_oldest ? log->segments[0].number : scan->recorded_oldest;
}

/* There is a segment to append to, and another one if the active one is nearly full: the owner appends at once. */
static void ensure_room(struct scan *scan)
{
    struct log *log = scan->log;
    const struct log_segment *active = log__active(log);
    if (!log->has_next && active->end > active->capacity / 2) {
        log->room_status =
            log__make_next_now(log); /* a full disk is no reason not to open: reads and reclaiming go on */
    }
    log__free_segments(log);
    if (!log->has_next && log->room_status == STATUS_OK) log__prepare_next(log);
}

static enum status make_first(struct scan *scan)
{
    struct log *log = scan->log;
    enum status status = log__make_next_now(log);
    if (status != STATUS_OK) return fail(scan, status, 1, 0, "the first segment of the log cannot be made");
    log->has_next = false;
    log__push_segment(log, log->next);
    scan->expected_sequence = 1;
    return STATUS_OK;
}

static enum status recover(struct scan *scan)
{
    enum status status = list_folder(scan);
    if (status != STATUS_OK) return status;
    if (!scan->log->segments_count) {
        status = make_first(scan);
    } else {
        status = scan_segments(scan);
        if (status == STATUS_OK) status = rewrite_last_batch(scan);
    }
    if (status != STATUS_OK) return status;
    settle(scan);
    ensure_room(scan);
    return STATUS_OK;
}

enum status log_open(const struct log_config *config, const struct files_port *files,
                     void (*visit)(void *user, const struct log_record *record), void *user, struct log **out_log,
                     struct buffer *out_error)
{
    ASSERT(config->segment_bytes >= 4 * LOG_HEADER_BYTES && config->segment_bytes % LOG_ALIGN_BYTES == 0);
    ASSERT(config->segment_bytes <= UINT32_MAX / 2 && config->bytes_max >= config->segment_bytes);
    struct log *log = memory_zalloc(1, sizeof *log);
    log->config = *config;
    log->files = *files;
    list_init(&log->queue);
    list_init(&log->kept);
    list_init(&log->reads);
    log__cache_init(&log->cache, config->cache_bytes);
    buffer_init(&log->scratch, LOG_RECORD_BYTES_MAX);
    buffer_init(&log->upkeep_bytes, LOG_HEADER_BYTES);
    struct scan scan = {.log = log, .visit = visit, .user = user, .out_error = out_error};
    enum status status = recover(&scan);
    memory_free(scan.bytes);
    memory_free(scan.segments);
    memory_free(scan.spares);
    if (status != STATUS_OK) {
        log_free(log);
        return status;
    }
    *out_log = log;
    return STATUS_OK;
}
