/* checker_raft.h: what Raft promises inside, watched while a run goes on: every member of every group is shown to the
 * watch after each iteration of its node, so that no reign is too short to be seen.
 *
 * Source: Ongaro and Ousterhout, ATC 2014, figure 3 (election safety, leader append-only, log matching, leader
 *         completeness, state machine safety), and the house's own: nothing is committed before its rule holds on
 * disks.
 */
#ifndef MERIDIAN_SIM_CHECKER_RAFT_H
#define MERIDIAN_SIM_CHECKER_RAFT_H

#include "ordered/raft.h"
#include "sim/checker.h"

enum { RAFT_WATCH_GROUPS_MAX = 1024, RAFT_WATCH_ENTRIES_MAX = 1 << 22 };

/* One member as it stands. `log` answers for indexes in (base, last]. */
struct raft_sight {
    uint64_t table;
    uint16_t partition;
    uint16_t node;
    bool starts; /* it was just opened from its disk: nothing has been received yet */
    bool leads;
    uint64_t term;
    uint64_t base, last, durable, commit;
    const struct raft_configuration *configuration;
    const void *log;
    uint64_t (*term_at)(const void *log, uint64_t index);                  /* of `base` too; 0: unknown */
    const struct raft_entry *(*entry_at)(const void *log, uint64_t index); /* NULL: not in memory */
};

struct raft_watch;

struct raft_watch *raft_watch_new(void);
void raft_watch_free(struct raft_watch *w);

/* Look at one member. The properties that may fail:
 *   election safety        two nodes lead in one term;
 *   leader completeness    a leader lacks a committed entry;
 *   log matching           two logs agree in term at an index, and differ in the entry or in what stands before it;
 *   state machine safety   two different entries are committed at one index;
 *   own term committed     a leader commits an entry of an earlier term by counting its copies (5.4.2);
 *   commit rule held       what is newly committed is not on disks that satisfy the rule;
 *   commit never decreases
 *   durable means durable  after a crash, an entry that was reported durable is gone. */
void raft_watch_see(struct raft_watch *w, const struct raft_sight *sight, struct verdict *v);
/* This node's disk is lost: what it had counts until it takes part again. */
void raft_watch_forget(struct raft_watch *w, uint16_t node);
/* A member that joins says nothing yet; it starts when it is seen next: it was told of its group after a restart, with
 * nothing on its disk. */
void raft_watch_joining(struct raft_watch *w, uint64_t table, uint16_t partition, uint16_t node);
/* The highest index seen committed in this group; 0: none, or never seen. */
uint64_t raft_watch_committed(const struct raft_watch *w, uint64_t table, uint16_t partition);

#endif
