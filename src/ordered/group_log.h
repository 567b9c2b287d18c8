/* group_log.h: where the entries of one group lie in the shard log: index -> term, lsn, location. In memory only; made
 * again from the log's records at every start.
 *
 *   base            base+1 ............ last
 *   index and term  every entry, without gaps
 *   known only
 *
 * X1  Without gaps once group_log_settle() has run. While records are replayed it may have gaps: a reclaim copies old
 *     entries behind younger ones.
 * X2  Only an explicit truncation removes an entry that may still be replaced; two records of one index are copies of
 *     the same entry, or stand on both sides of a truncation.
 */
#ifndef MERIDIAN_ORDERED_GROUP_LOG_H
#define MERIDIAN_ORDERED_GROUP_LOG_H

#include "storage/log.h"

enum { GROUP_LOG_GAP_MAX = 4 * 1024 * 1024 }; /* entries; beyond it the older side can't be what is kept */

struct group_log_entry {
    uint64_t term; /* 0: a gap, while replaying */
    uint64_t lsn;
    struct log_location at;
    uint8_t kind;
    uint8_t *replayed; /* a copy of the payload (at.bytes of the record less its head), between replay and start */
    uint32_t replayed_bytes;
};

struct group_log {
    uint64_t base_index, base_term;
    struct group_log_entry *ring;
    uint32_t capacity, head, count; /* capacity is 0 or a power of two */
    uint64_t bytes;                 /* of the payloads */
};

void group_log_init(struct group_log *log);
void group_log_deinit(struct group_log *log);

uint64_t group_log_last(const struct group_log *log); /* the base's when empty */
/* NULL: compacted, or not there. */
struct group_log_entry *group_log_find(const struct group_log *log, uint64_t index);

/* The entry after the last one. */
void group_log_append(struct group_log *log, uint64_t index, const struct group_log_entry *entry);
void group_log_truncate(struct group_log *log, uint64_t from);                        /* `from` and all behind it */
void group_log_compact(struct group_log *log, uint64_t to);                           /* `to` and all before it */
void group_log_reset(struct group_log *log, uint64_t base_index, uint64_t base_term); /* empty after this base */

/* While replaying: an entry at any index; takes over entry->replayed. */
void group_log_replay(struct group_log *log, uint64_t index, const struct group_log_entry *entry);
/* All records were replayed and the state includes everything up to (applied_index, applied_term): keep what stands
 * behind that, and before it without a gap. False: an entry behind the applied one is missing. */
MUST_USE bool group_log_settle(struct group_log *log, uint64_t applied_index, uint64_t applied_term);

#endif
