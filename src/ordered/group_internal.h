/* group_internal.h: what the files of a group share.
 *
 *   group.c           life, events, client work
 *   group_effects.c   performs what one raft_step() asked for
 *   group_apply.c     committed entries to the machine, replies to who waits
 *   group_replay.c    the log's records, after a start and for reclaiming
 *   group_load.c      entries that left memory, read back from the log
 *   group_snapshot.c  the state, sent and received
 *   group_recover.c   generations: who takes part since a majority was lost
 *   group_rejoin.c    back to the members of the contract
 *   group_aside.c     what a fenced member alone held, on its way to the ledger
 */
#ifndef MERIDIAN_ORDERED_GROUP_INTERNAL_H
#define MERIDIAN_ORDERED_GROUP_INTERNAL_H

#include "base/list.h"
#include "base/memory.h"
#include "ordered/group.h"
#include "ordered/group_log.h"
#include "wire/varint.h"

/* A growing ring of equal items; the host of each field knows their type. */
struct group_waiter { /* a proposal: until an entry is applied at its index */
    uint64_t token, term, index;
    struct commit_rule *rule; /* stronger than the table's; NULL: none */
};
struct group_reader { /* a read */
    uint64_t token;
    uint64_t index; /* confirmed: what it must see */
};
struct group_write { /* a write of raft's that the log has not made durable yet */
    struct raft_write write;
    uint64_t lsn;
};
struct group_held { /* a message that waits for a write */
    uint16_t to;
    uint64_t after_write;
    uint8_t *bytes;
    size_t length;
};
struct group_stronger { /* a proposal that is applied and waits for its own rule */
    struct group_waiter waiter;
    struct buffer reply;
};
struct group_ended { /* what done() is still to be told */
    uint64_t token;
    enum group_outcome outcome;
    struct buffer reply;
};

/* Items are kept in order at [head, head + count); the front moves on until the space is used again. */
#define GROUP_QUEUE(type)               \
    struct {                            \
        type *items;                    \
        uint32_t head, count, capacity; \
    }

struct group_fetch { /* cold items asked for on behalf of a group; outlives it if it is dropped */
    struct group *group;
    struct group_sender *sender; /* NULL: for applying */
    uint32_t left;
    bool failed;
};

struct group_load;
struct group_sender;

struct group {
    struct group_config config;
    struct machine *machine;
    struct raft *raft;
    struct raft_effects *effects; /* the shard's */
    struct log *log;              /* NULL until group_start() */
    struct group_log entries;
    struct group_now now;
    struct raft_hard_state hard; /* while replaying */
    bool has_hard;
    struct log_location hard_at;
    struct buffer configuration; /* of the first members, as raft writes it */

    uint64_t generation; /* 0: never recovered */
    enum recovery_standing standing;
    struct recovery_order *order; /* of this generation; NULL: not known, or there was none */
    struct log_location generation_at;
    struct buffer envelope; /* scratch */
    uint64_t rejoined_lsn;  /* the record by which a blank member became one of the group */

    uint64_t rejoin_ns; /* when to look at it again */

    /* Fenced: what is being handed over. */
    uint64_t aside_next, aside_last; /* the first entry that is not kept; the last one of the batch under way, or 0 */
    uint64_t aside_ns;               /* when to send it again */
    uint32_t aside_count;            /* words in the batch */
    bool aside_loading;
    struct buffer aside; /* the batch */

    uint64_t durable_write; /* number of the newest raft write that is on disk */
    GROUP_QUEUE(struct group_write) writes;
    GROUP_QUEUE(struct group_held) held;
    GROUP_QUEUE(struct group_waiter) waiters; /* ascending by index */
    GROUP_QUEUE(struct group_reader) asked;   /* reads that raft has not confirmed; in the order of their arrival */
    GROUP_QUEUE(struct group_reader) readers; /* confirmed, not yet applied so far; ascending by index */
    GROUP_QUEUE(struct group_stronger) stronger;
    GROUP_QUEUE(struct group_ended) ended;
    bool pumping, role_changed;

    uint64_t applied, apply_to; /* applied here; committed and handed out by raft */
    uint64_t apply_lsn;         /* never goes back */
    uint64_t locks_index;       /* of the newest entry that locks keys when it is applied */
    uint64_t time_ms;           /* of the newest entry proposed here */
    struct group_fetch *fetch;  /* applying waits for it */
    uint64_t retry_ns;          /* when to try again what failed; 0: nothing did */

    uint64_t immediate_token; /* of the read that is being asked: answered at once */
    bool immediate_ready;
    uint64_t at_once_count;

    uint64_t write_back_lsn, write_back_index; /* of the newest write-back begun */
    uint64_t flushed_index;                    /* the state at rest includes it */

    struct list loads;
    struct list loaded; /* entries that raft reads while it applies them */
    struct list senders;
    bool installing; /* the last chunk was taken: waits to be durable */
    uint64_t install_index, install_term;
    struct buffer install_configuration;
    uint64_t expiry_ns; /* when to look at expiry again */
    uint64_t ticked_ns; /* the last group_tick() */
};

/* Move a queue's items to the front of a larger block when it is full. */
void *group__queue_room(void *items, size_t item_bytes, uint32_t *io_head, uint32_t count, uint32_t *io_capacity);
#define GROUP_QUEUE_PUSH(queue, item)                                                                              \
    ((queue).items =                                                                                               \
         group__queue_room((queue).items, sizeof *(queue).items, &(queue).head, (queue).count, &(queue).capacity), \
     (queue).items[(queue).head + (queue).count++] = (item))
#define GROUP_QUEUE_AT(queue, place) ((queue).items[(queue).head + (place)])
#define GROUP_QUEUE_POP(queue) ((queue).count--, (queue).head++)

/* group_effects.c */
/* One event into raft, and everything that follows from it at once. Ends must be told by group__pump(). */
MUST_USE enum status group__step(struct group *g, const struct raft_event *event);
void group__event(struct group *g, struct raft_event event); /* one that can't be malformed */
/* group.c */
enum group_outcome group__propose(struct group *g, uint64_t token, struct slice entry, const struct commit_rule *rule,
                                  uint64_t *out_term, uint64_t *out_index);
/* group_effects.c */
void group__release_held(struct group *g);
void group__log_hard_state(struct group *g, const struct raft_hard_state *hard);
/* It stands in the log from now on. */
void group__note_entry(struct group *g, const struct raft_entry *entry);
void group__log_truncation(struct group *g, uint64_t from);

void group__drop_held(struct group *g);
void group__log_hard_state(struct group *g, const struct raft_hard_state *hard);
uint64_t group__log_reserved(struct group *g, enum group_log_kind kind, struct slice payload,
                             struct log_location *out_at);
/* group.c */
void group__lose_all(struct group *g); /* whoever waits */

/* group_recover.c */
enum group_message { GROUP_RAFT = 1, GROUP_PROBE, GROUP_NOTICE, GROUP_ASIDE, GROUP_KEPT, GROUP_BACK };
void group__say(struct group *g, uint16_t node, enum group_message what, struct slice body);
void group__send_letter(struct group *g, uint16_t node, struct slice letter); /* raft's */
MUST_USE enum status group__receive(struct group *g, uint16_t node, struct slice bytes);
MUST_USE bool group__replay_generation(struct group *g, const struct log_record *record);
void group__become(struct group *g, uint64_t generation, enum recovery_standing standing,
                   const struct recovery_order *order);
MUST_USE bool group__rejoin(struct group *g); /* false: not durable yet */

/* group_aside.c */
void group__aside_step(struct group *g);
uint64_t group__aside_deadline_ns(const struct group *g);
void group__aside_loaded(struct group *g, const struct raft_entry *entries, uint32_t count);
MUST_USE enum status group__on_aside(struct group *g, uint16_t node, struct slice body);
MUST_USE enum status group__on_kept(struct group *g, struct slice body);

/* group_rejoin.c */
void group__rejoin_step(struct group *g);
uint64_t group__rejoin_deadline_ns(const struct group *g);
void group__on_ready(struct group *g, uint16_t node);

/* group_replay.c */
void group__restart_raft(struct group *g); /* of a blank member */

/* group_apply.c */
/* Apply what may be applied, tell what has ended. The end of every call from outside. */
void group__pump(struct group *g);
void group__end(struct group *g, uint64_t token, enum group_outcome outcome, struct buffer *reply);
void group__add_waiter(struct group *g, struct group_waiter waiter);
void group__on_read(struct group *g, const struct raft_read *read);
void group__forget_read(struct group *g, uint64_t token); /* nobody waits for it any more */
void group__lose_waiters(struct group *g, uint64_t up_to_index);
/* What is applied from now on has a later lsn than this. */
void group__apply_after(struct group *g, uint64_t lsn);
/* Fetch what is cold; applying waits for it. */
void group__wait_for_cold(struct group *g, const struct machine_answer *answer);

/* group_load.c */
void group__load(struct group *g, const struct raft_load *wanted);
void group__loads_step(struct group *g);
void group__loaded_release(struct group *g); /* entries that are applied */
void group__loads_free(struct group *g, bool log_goes_on);

/* group_snapshot.c */
void group__chunk_wanted(struct group *g, const struct raft_chunk_wanted *wanted);
void group__on_chunk(struct group *g, const struct raft_chunk *chunk);
void group__install_step(struct group *g);
void group__senders_step(struct group *g);
void group__senders_free(struct group *g);
struct group_fetch *group__fetch(struct group *g, struct group_sender *sender, const struct machine_answer *answer);
void group__sender_fetched(struct group_sender *sender);

static inline struct slice group__configuration(const struct group *g)
{
    struct slice kept = machine_configuration(g->machine);
    return kept.length ? kept : buffer_slice(&g->configuration);
}

#endif
