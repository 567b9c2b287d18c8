/* group_world.h: one member of a group over a log and a key-value store in memory. The other members are the test: it
 * writes their messages, and looks at what the member answers. */
#ifndef MERIDIAN_TESTS_GROUP_WORLD_H
#define MERIDIAN_TESTS_GROUP_WORLD_H

#include "ordered/group_internal.h"
#include "ordered/raft_message.h"
#include "tests/unit/storage/memory_files.h"
#include "tests/unit/storage/memory_kv.h"

enum { GROUP_WORLD_SELF = 1, GROUP_WORLD_MEMBERS = 3, GROUP_WORLD_SENT_MAX = 1024 };

struct group_world {
    struct memory_files files;
    struct memory_kv kv;
    struct store *store;
    struct log *log;
    struct group *group;
    struct raft_effects scratch;
    struct prng prng;
    uint64_t now_ms, starts;
    uint64_t match; /* the highest that it acknowledged since group_world_open() */
    uint32_t done_count;
    enum group_outcome outcome;       /* of the last done() */
    uint64_t generation;              /* of its last message */
    uint8_t said;                     /* what that was: enum group_message */
    uint64_t hear_as;                 /* the generation of the others' messages */
    uint64_t aside_last, aside_count; /* of the last ASIDE */
    uint32_t sent_count;
    struct raft_letter sent[GROUP_WORLD_SENT_MAX]; /* without what they point to; the oldest are dropped */
    struct buffer metas[2];
};

void group_world_init(struct group_world *w);
void group_world_deinit(struct group_world *w);
void group_world_open(struct group_world *w);  /* what a node does at its start */
void group_world_crash(struct group_world *w); /* power fails; what is durable stays. Then open it again */

/* Everything that is under way in log and store completes. */
void group_world_run(struct group_world *w);
void group_world_pass_ms(struct group_world *w, uint64_t ms); /* with ticks when they are due */
/* The whole state to rest, and flushed. */
void group_world_write_back(struct group_world *w);

/* A message from `node`; its stamp is of now. */
void group_world_hear(struct group_world *w, uint16_t node, struct raft_letter *letter);
/* Anything else around raft's letters. */
void group_world_say(struct group_world *w, uint16_t node, enum group_message what, struct slice body);
/* The order of a recovery: a NOTICE from `node`. */
void group_world_notice(struct group_world *w, uint16_t node, const struct recovery_order *order);
/* An APPEND of `count` SET commands in `term` after (index, previous_term), and a commit index. */
void group_world_append(struct group_world *w, uint16_t leader, uint64_t term, uint64_t index, uint64_t previous_term,
                        uint32_t count, uint64_t commit);
/* A whole snapshot in one chunk: an empty state as of (index, term). */
void group_world_snapshot(struct group_world *w, uint16_t leader, uint64_t term, uint64_t index, uint64_t entry_term);

#endif
