/* delta_log.h: where the deltas of one origin lie in the shard log: an array over its gapless counters. The shard log
 * holds the bytes; this is only the index by which a peer's backlog is found and sent (P4).
 *
 * D1  Entry i is the dot (replica, first + i). Entries before `first` were trimmed, or came by a full copy and never
 *     were deltas here.
 * D2  bytes_end - bytes_before is the sum of the entries' payload bytes.
 */
#ifndef MERIDIAN_MERGEABLE_DELTA_LOG_H
#define MERIDIAN_MERGEABLE_DELTA_LOG_H

#include "storage/log.h"

struct delta_entry {
    struct log_location at; /* bytes == 0: a hole, only while replaying */
    uint32_t stamp_ms;      /* low 32 bits of the write's stamp in milliseconds: the age of a backlog */
};

struct delta_log {
    uint64_t first; /* counter of the first entry; 0 while nothing was ever added */
    struct delta_entry *entries;
    uint32_t head, count, capacity; /* used: entries[head .. head + count) */
    uint64_t bytes_before;          /* payload bytes ever added before `first` */
    uint64_t bytes_end;             /* payload bytes ever added */
};

void delta_log_deinit(struct delta_log *d);
uint64_t delta_log_last(const struct delta_log *d); /* counter of the newest entry; first - 1 when empty */

/* Add the next dot. A jump (after a full copy) drops what was there: it could not be sent without gaps. */
void delta_log_append(struct delta_log *d, uint64_t counter, struct log_location at, uint64_t stamp);
/* While replaying: records that a reclaim copied forward come late; the place between is a hole until it is filled. */
void delta_log_restore(struct delta_log *d, uint64_t counter, struct log_location at, uint64_t stamp);
/* The end of a replay: keep the gapless run that ends at `applied`; everything before it can't be sent. */
void delta_log_settle(struct delta_log *d, uint64_t applied);

struct delta_entry *delta_log_find(const struct delta_log *d, uint64_t counter); /* NULL when not held */
/* Payload bytes of the held dots in (after, through]. Linear in their number. */
uint64_t delta_log_bytes(const struct delta_log *d, uint64_t after, uint64_t through);
/* Forget everything up to and including `through`. */
void delta_log_trim(struct delta_log *d, uint64_t through);

#endif
