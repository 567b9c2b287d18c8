/* log.h: the shard log: one append-only, segmented, checksummed file set, all partitions interleaved, one group commit.
 *
 * Model: TiKV's raft-engine; Differs: segments are preallocated and reused in place, so that a sync writes no metadata.
 *
 *   segment  header (4 KiB): magic, version, data folder id, segment number, crc; then batches, then zeros or the
 *            remains of the segment's earlier life (they carry an older segment number and never match)
 *   batch    magic, segment number, batch sequence, byte length, first lsn, last synced (segment, offset), oldest
 * segment still needed, crc; records record   crc, length, kind, partition, table, payload (docs/protocols/storage.md,
 * byte by byte)
 *
 * L1  A record's lsn is its number since the folder was made; lsns have no gaps within a segment.
 * L2  Everything with lsn <= log_durable_lsn() survives any crash.
 * L3  Damage below a recorded "last synced" position is corruption and stops the node; above it is a torn tail and cut
 *     (S18). An idle log writes one empty marker batch to seal its last batch.
 * L4  Space for a record is reserved before it is taken: a taken record can't fail for lack of room.
 * L5  A segment is removed only when the owner has declared each of its records dead or they were copied forward.
 */
#ifndef MERIDIAN_STORAGE_LOG_H
#define MERIDIAN_STORAGE_LOG_H

#include "base/buffer.h"
#include "storage/files.h"

enum {
    LOG_SEGMENT_BYTES_DEFAULT = 64 * 1024 * 1024,
    LOG_RECORD_BYTES_MAX = 48 * 1024 * 1024,
    LOG_PENDING_BYTES_MAX = 64 * 1024 * 1024,   /* appended, not yet submitted: beyond this log_begin says BUSY */
    LOG_CACHE_BYTES_DEFAULT = 32 * 1024 * 1024, /* newest batches kept in memory for peers that follow closely */
};

struct log;

struct log_location {
    uint32_t segment;
    uint32_t offset; /* of the payload */
    uint32_t bytes;  /* of the payload */
};

struct log_record {
    uint64_t lsn;
    uint64_t table;
    uint16_t partition;
    uint8_t kind; /* the owner's */
    struct slice payload;
    struct log_location at;
};

struct log_config {
    uint32_t segment_bytes; /* >= LOG_RECORD_BYTES_MAX + overhead, except in the simulator, which limits its records */
    uint64_t bytes_max;     /* of all segments; beyond it STATUS_NO_SPACE */
    uint32_t cache_bytes;
    uint64_t folder_id; /* random, drawn when the folder is made; foreign segments are refused */
};

/* Open the folder behind `files`, read every record in order into `visit` (payloads are borrowed for the call), cut a
 * torn tail. Returns: STATUS_OK; STATUS_CORRUPT / STATUS_VERSION / STATUS_IO / STATUS_NO_SPACE with `out_error` naming
 * file and offset. */
MUST_USE enum status log_open(const struct log_config *config, const struct files_port *files,
                              void (*visit)(void *user, const struct log_record *record), void *user,
                              struct log **out_log, struct buffer *out_error);
void log_free(struct log *log);                /* closes files; the world completes nothing of this log any more */
uint64_t log_cut_bytes(const struct log *log); /* how much of a torn batch log_open() cut off; 0: the tail was whole */

/* Take one record: log_begin() gives the buffer to append the payload to; log_end() seals it. Nothing else may be
 * called on the log in between. `payload_bytes_max` is an upper bound of what will be appended.
 * Returns NULL with *out_status STATUS_BUSY (back-pressure: try after the next sync), STATUS_NO_SPACE or STATUS_LIMIT.
 */
struct buffer *log_begin(struct log *log, uint64_t table, uint16_t partition, uint8_t kind, size_t payload_bytes_max,
                         enum status *out_status);
uint64_t log_end(struct log *log, struct log_location *out_location); /* the record's lsn */
/* The usual way: one payload that exists already. */
MUST_USE enum status log_append(struct log *log, uint64_t table, uint16_t partition, uint8_t kind, struct slice payload,
                                uint64_t *out_lsn, struct log_location *out_location);
/* For the few small records without which a full log could not become less full (repair marks, clock joins, drops):
 * they may use the reserve that ordinary records leave. */
MUST_USE enum status log_append_reserved(struct log *log, uint64_t table, uint16_t partition, uint8_t kind,
                                         struct slice payload, uint64_t *out_lsn, struct log_location *out_location);
bool log_has_room(const struct log *log, size_t payload_bytes,
                  enum status *out_status); /* would log_begin() take it? */

/* Start writing what was appended if no write is under way. Call once at the end of each loop iteration. */
void log_submit(struct log *log);
/* A request of ours completed. A failed write stops the process: what is on disk is no longer known. */
void log_on_file_done(struct log *log, struct file_request *request);
bool log_owns_request(const struct log *log, const struct file_request *request);
void log_tick(struct log *log, uint64_t now_ns); /* retries preallocation, writes the idle marker */

uint64_t log_durable_lsn(const struct log *log); /* all records up to it are on disk */
uint64_t log_last_lsn(const struct log *log);    /* the newest taken; 0 for none */
bool log_is_idle(const struct log *log);         /* nothing pending, nothing under way */

/* Read a payload back. Returns STATUS_OK with *out_payload borrowed until the next call on the log (it was cached);
 * STATUS_BUSY: the read is under way and `done` will be called once, from log_on_file_done(), with OK, IO or CORRUPT;
 * STATUS_NOT_FOUND: the segment was reclaimed. */
typedef void (*log_read_done)(void *user, enum status status, struct slice payload);
MUST_USE enum status log_read(struct log *log, struct log_location at, struct slice *out_payload, log_read_done done,
                              void *user);

/* ---- reclaiming ---- */
struct log_segment_info {
    uint32_t number;
    uint64_t first_lsn, last_lsn;
    uint64_t bytes;
};
uint64_t log_bytes(const struct log *log); /* of all segments in use */
uint32_t log_segment_count(const struct log *log);
bool log_oldest(const struct log *log, struct log_segment_info *out); /* false: only the active segment is left */

/* Reclaim the oldest segment: read it in pieces, ask `is_live` for each record; live ones are appended again (same
 * payload, a new lsn and location, reported by `moved`), and once the copies are durable the file is set free for
 * reuse. When there is no room for a copy it gives up, and the segment stays: what was moved is dead there at the next
 * attempt. Neither function may append to the log. Returns STATUS_BUSY while one is under way, STATUS_NOT_FOUND when
 * only the active segment is left. */
MUST_USE enum status log_reclaim(struct log *log, bool (*is_live)(void *user, const struct log_record *record),
                                 void (*moved)(void *user, const struct log_record *record), void *user);

#endif
