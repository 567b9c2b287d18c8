/* raft_log.h: one group's log as the core sees it: the term of every index, and the newest entries' bytes.
 *
 * L1  Indexes base_index + 1 .. last_index have no gap; cached_first .. last_index are in memory, in a ring.
 * L2  Terms never decrease along the log; `runs` holds the first index of each term.
 * L3  A payload lies in one block; a block is freed when its last entry goes.
 */
#ifndef MERIDIAN_ORDERED_RAFT_LOG_H
#define MERIDIAN_ORDERED_RAFT_LOG_H

#include "ordered/raft.h"

enum {
    RAFT_LOG_BLOCK_BYTES_MIN = 1024,
    RAFT_LOG_BLOCK_BYTES_MAX = 64 * 1024, /* a larger payload gets a block of its own */
    RAFT_LOG_RING_MIN = 16,
};

struct raft_log_block {
    uint32_t capacity, used;
    uint32_t live; /* entries whose payload lies here */
    uint8_t bytes[];
};

struct raft_log_slot {
    struct raft_entry entry;
    struct raft_log_block *block; /* NULL for an empty payload */
};

struct raft_term_run {
    uint64_t first, term; /* all entries from `first` to the next run's first */
};

struct raft_log {
    uint64_t base_index, base_term;
    uint64_t last_index;
    struct raft_term_run *runs;
    uint32_t runs_count, runs_capacity;
    struct raft_log_slot *ring; /* index i is in slot i mod capacity */
    uint64_t ring_capacity;     /* a power of two, or 0 */
    uint64_t cached_first;      /* last_index + 1 when nothing is in memory */
    struct raft_log_block *tail;
    uint64_t payload_bytes; /* of the entries in memory */
};

void raft_log_init(struct raft_log *log, uint64_t base_index, uint64_t base_term);
void raft_log_deinit(struct raft_log *log);
/* Copy one entry to the end. `term` is at least the last one's. */
void raft_log_append(struct raft_log *log, uint64_t term, uint8_t kind, struct slice payload);
/* Drop the entries from index `from` on; from > base_index. */
void raft_log_truncate(struct raft_log *log, uint64_t from);
/* Forget the bytes of the oldest entries in memory up to `index`, while more than `bytes_kept` are there. */
void raft_log_evict(struct raft_log *log, uint64_t index, uint64_t bytes_kept);
/* The log begins after `index`, which it holds. */
void raft_log_compact(struct raft_log *log, uint64_t index);
/* Forget everything: the log is empty and begins after (index, term). */
void raft_log_reset(struct raft_log *log, uint64_t index, uint64_t term);
/* The term of an entry or of the base; 0: unknown. */
uint64_t raft_log_term(const struct raft_log *log, uint64_t index);
/* The entry if it is in memory, else NULL. */
const struct raft_entry *raft_log_entry(const struct raft_log *log, uint64_t index);
/* The highest index <= `index` whose term is <= `term`: where a log that ended in `term` may agree with this one. */
uint64_t raft_log_floor(const struct raft_log *log, uint64_t index, uint64_t term);

#endif
