/* log_internal.h: what the files of the log share: its byte format, its parts, and the calls between them.
 *
 *   log.c          taking records, writing batches, completions
 *   log_segment.c  the byte format: names, headers, batches, records
 *   log_open.c     recovery: reading everything in order, telling a torn tail from damage
 *   log_space.c    segments ahead of need: preallocation, reuse, the bounds
 *   log_cache.c    reading back: the newest bytes in memory, older ones from the file
 *   log_reclaim.c  copying the live records of the oldest segment forward and freeing it
 */
#ifndef MERIDIAN_STORAGE_LOG_INTERNAL_H
#define MERIDIAN_STORAGE_LOG_INTERNAL_H

#include "base/list.h"
#include "storage/log.h"

enum {
    LOG_VERSION = 1,
    LOG_HEADER_BYTES = 4096,
    LOG_BATCH_HEADER_BYTES = 56,
    LOG_RECORD_HEADER_BYTES = 20,
    LOG_ALIGN_BYTES = 8,                    /* of batches */
    LOG_BATCH_BYTES_SEAL = 4 * 1024 * 1024, /* a batch this long takes no further record: bounds one write */
    LOG_BATCHES_KEPT_MAX = 3,               /* empty ones, with their memory */
    LOG_SPARES_MAX = 2,                     /* freed files kept for reuse; further ones are removed */
    LOG_PIECE_BYTES = 256 * 1024,           /* one read of reclaiming */
    LOG_RESERVE_SHARE = 8,                  /* see enum log_claim */
    LOG_COPY_RESERVE_SHARE = 32,
    LOG_MARKERS_KEPT_BYTES = 1024,                  /* at the end of the last segment: for batches that free others */
    LOG_COPIES_PENDING_BYTES_MAX = 8 * 1024 * 1024, /* reclaiming waits for a sync beyond this */
};

#define LOG_RETRY_NS 1000000000ull /* between attempts to make a segment */
#define LOG_QUIET_NS 50000000ull   /* without a write: time for the idle marker */

struct log_position { /* where in the log: everything before it, or what begins there */
    uint32_t segment;
    uint32_t offset;
};

static inline bool log_position_before(struct log_position a, struct log_position b)
{
    return a.segment != b.segment ? a.segment < b.segment : a.offset < b.offset;
}

struct log_segment {
    uint32_t number;
    uint32_t capacity;  /* bytes of the file */
    uint32_t end;       /* where the next batch goes; later ones begin there or in the next segment */
    uint32_t reads;     /* reads under way: the file is not reused before they end */
    uint64_t first_lsn; /* 0 while empty */
    uint64_t last_lsn;
    file_handle file;
};

struct log_spare {
    file_handle file;
    char name[FILE_NAME_BYTES_MAX];
};

struct log_batch_header {
    uint32_t segment;
    uint32_t body_bytes; /* of the records, without header and padding */
    uint64_t sequence;   /* one more than the batch before */
    uint64_t first_lsn;
    struct log_position synced; /* all before it was durable when this batch was written */
    uint32_t oldest;            /* segments before this one are not needed any more */
    uint32_t record_count;
    uint32_t records_crc; /* over the checksums of the records, so that no older record can stand in for one */
};

struct log_batch {
    struct list_node node;
    struct log_position at;
    uint64_t sequence;
    uint64_t first_lsn;
    uint32_t record_count;
    uint32_t records_crc;
    uint32_t body_bytes; /* these two are set when it is closed */
    uint32_t oldest;     /* segments before this one are not needed once this batch is durable */
    struct buffer bytes; /* header, records; padded when it is written */
};

/* Who asks for room. Ordinary records leave a reserve of 1/8 of a segment, without which a full log could never become
 * less full: copies of reclaiming may use all but 1/32, the records that allow reclaiming may use it all. */
enum log_claim { LOG_CLAIM_ORDINARY, LOG_CLAIM_COPY, LOG_CLAIM_RESERVED };

enum log_upkeep { LOG_UPKEEP_NONE, LOG_UPKEEP_PREALLOCATE, LOG_UPKEEP_HEADER };

struct log_cached_run { /* bytes [from, to) of a segment, at `place` of the ring */
    uint32_t segment, from, to, place;
};

struct log_cache {
    uint8_t *ring;
    uint32_t capacity;
    uint32_t head, used;         /* where the next bytes go; how many there are before it */
    struct log_cached_run *runs; /* a ring too, oldest first */
    uint32_t runs_first, runs_count, runs_capacity;
};

struct log_read_request {
    struct list_node node;
    struct file_request request;
    struct log_location at;
    log_read_done done;
    void *user;
    uint8_t *bytes;
};

enum log_reclaim_state { LOG_RECLAIM_NONE, LOG_RECLAIM_READING, LOG_RECLAIM_PAUSED, LOG_RECLAIM_COPIED };

struct log_reclaim_work {
    enum log_reclaim_state state;
    bool reading;          /* `request` is under way */
    uint32_t piece_at;     /* file offset behind what `bytes` holds */
    uint32_t at;           /* file offset of bytes.data[0] */
    uint32_t records_left; /* of the batch being read */
    uint32_t batch_end;
    uint64_t lsn; /* of the next record */
    struct buffer bytes;
    struct file_request request;
    bool (*is_live)(void *user, const struct log_record *record);
    void (*moved)(void *user, const struct log_record *record);
    void *user;
};

struct log {
    struct log_config config;
    struct files_port files;

    struct log_segment *segments; /* oldest first; the last one takes appends */
    uint32_t segments_count, segments_capacity;
    uint32_t oldest;         /* what batches written from now on record */
    uint32_t oldest_durable; /* what a durable batch records: older segments may be freed */

    bool has_next; /* `next` has its header and its name, durably */
    struct log_segment next;
    struct log_spare spares[LOG_SPARES_MAX];
    uint32_t spares_count;
    uint32_t spare_number; /* of the newest spare's name */
    enum log_upkeep upkeep;
    struct file_request upkeep_request;
    struct buffer upkeep_bytes;
    struct log_spare upkeep_spare;
    enum status room_status; /* OK, or why the last attempt to make a segment failed */
    uint64_t retry_at_ns;    /* 0: at once */

    struct list queue;         /* of log_batch, in the order of their positions; the last one may be `open` */
    struct log_batch *open;    /* takes records */
    struct log_batch *writing; /* under way, no longer in `queue` */
    struct list kept;          /* empty batches with their memory */
    uint32_t kept_count;
    struct file_request write_request;
    uint64_t pending_bytes; /* in `queue` */
    uint64_t next_sequence;
    uint64_t last_lsn, durable_lsn;
    struct log_position synced; /* what came before is durable */
    bool sealed;                /* the last batch written has no record: nothing is left to seal */
    uint64_t quiet_since_ns;    /* 0: not quiet, or not known yet */

    size_t record_at; /* of the record between log_begin() and log_end(); 0: none */
    size_t record_bytes_max;
    uint64_t record_table;
    uint16_t record_partition;
    uint8_t record_kind;

    struct log_cache cache;
    struct list reads;
    struct buffer scratch; /* a cached payload that wraps around the end of the ring */
    struct log_reclaim_work reclaim;
    uint64_t cut_bytes;
};

/* ---- log_segment.c ---- */
void log__segment_name(uint32_t number, char out[FILE_NAME_BYTES_MAX]);
void log__spare_name(uint32_t number, char out[FILE_NAME_BYTES_MAX]);
enum log_file_kind { LOG_FILE_OTHER, LOG_FILE_SEGMENT, LOG_FILE_SPARE };
enum log_file_kind log__parse_name(const char *name, uint32_t *out_number);

void log__header_write(struct buffer *out, uint32_t number, uint32_t capacity, uint64_t folder_id);
/* Returns NULL when the header is right, else what is wrong with it (*out_status: CORRUPT or VERSION). */
const char *log__header_check(struct slice bytes, uint32_t number, uint64_t folder_id, enum status *out_status);

void log__batch_header_write(uint8_t out[LOG_BATCH_HEADER_BYTES], const struct log_batch_header *header,
                             uint64_t folder_id);
/* False unless magic and checksum are right. */
bool log__batch_header_read(struct slice bytes, uint64_t folder_id, struct log_batch_header *out);
static inline uint32_t log__padded(uint32_t bytes)
{
    return (bytes + (LOG_ALIGN_BYTES - 1)) & ~(uint32_t)(LOG_ALIGN_BYTES - 1);
}

uint32_t log__record_seal(uint8_t *record, uint64_t table, uint16_t partition, uint8_t kind, uint32_t payload_bytes);
/* Read the record at the front of `bytes` into table, partition, kind and payload of *out.
 * Returns STATUS_MORE when `bytes` ends before it does, then *out_bytes is what is needed to go on; STATUS_CORRUPT. */
enum status log__record_read(struct slice bytes, struct log_record *out, uint32_t *out_bytes, uint32_t *out_crc);
/* True if the records of the batch fill its body exactly and match their checksums. */
bool log__batch_body_check(const struct log_batch_header *header, struct slice body);

/* ---- log_space.c ---- */
struct log_segment *log__push_segment(struct log *log, struct log_segment segment);
void log__prepare_next(struct log *log); /* begin whatever brings the next segment nearer */
void log__on_upkeep_done(struct log *log);
void log__free_segments(struct log *log); /* those before oldest_durable that nobody reads */
void log__add_spare(struct log *log, struct log_spare spare);
uint64_t log__file_bytes(const struct log *log);
/* Would a record of `payload_bytes` be taken; must it begin the next segment? */
enum status log__room(const struct log *log, size_t payload_bytes, enum log_claim claim, bool *out_roll);
struct log_segment *log__segment(struct log *log, uint32_t number); /* NULL: not in use */
void log__retry_next(struct log *log, uint64_t now_ns);
enum status log__make_next_now(struct log *log); /* while opening */

static inline struct log_segment *log__active(const struct log *log)
{
    return &log->segments[log->segments_count - 1];
}

/* ---- log.c ---- */
struct buffer *log__begin(struct log *log, size_t payload_bytes_max, enum log_claim claim, enum status *out_status);
uint64_t log__end(struct log *log, uint64_t table, uint16_t partition, uint8_t kind, struct log_location *out_location);

/* Make sure that a batch comes that records log->oldest, an empty one if need be, leaving `keep_bytes` in the segment.
 */
bool log__append_marker(struct log *log, uint32_t keep_bytes);
bool log__has_unwritten(const struct log *log, uint32_t segment); /* batches pending or under way in that segment */

/* ---- log_cache.c ---- */
void log__cache_init(struct log_cache *cache, uint32_t capacity);
void log__cache_deinit(struct log_cache *cache);
void log__cache_add(struct log_cache *cache, struct log_position at, struct slice bytes);
void log__on_read_done(struct log *log, struct log_read_request *read);

/* ---- log_reclaim.c ---- */
void log__reclaim_go_on(struct log *log); /* after a sync: paused copies, or the end */
void log__on_piece_done(struct log *log);

#endif
