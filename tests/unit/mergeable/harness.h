/* harness.h: several replicas of one partition in one process, on virtual time, with real logs and stores over disks in
 * memory, and a network that delays, loses, reorders and cuts, one way or both. */
#ifndef MERIDIAN_TESTS_MERGEABLE_HARNESS_H
#define MERIDIAN_TESTS_MERGEABLE_HARNESS_H

#include "mergeable/replica.h"
#include "tests/unit/storage/memory_files.h"
#include "tests/unit/storage/memory_kv.h"

enum { WORLD_NODES_MAX = 4, WORLD_TABLE = 7, WORLD_PARTITION = 3 };

struct world_message {
    uint64_t at_ms;
    uint64_t sequence;
    uint8_t from, to;
    uint8_t kind;
    uint8_t *body;
    size_t length;
};

struct world_link {
    bool cut;
    uint32_t latency_ms;
    uint32_t jitter_ms;
    uint32_t loss_permille;
};

struct world;

struct world_node {
    struct world *world;
    uint8_t index;
    bool running;
    struct memory_files files;
    struct memory_kv kv;
    struct log *log;
    struct store *store;
    struct replica *replica;
    struct hlc hlc;
    struct prng prng;
    int64_t skew_ms;
    bool stalled; /* the disk completes nothing */
    uint64_t told_durable;
    struct buffer meta;
    uint64_t notices;
    uint64_t sent[8]; /* messages by kind */
    uint64_t memory_bytes_max;
};

struct world {
    struct world_node nodes[WORLD_NODES_MAX];
    uint8_t count;
    enum conflict_policy policy;
    uint64_t backlog_bytes_max;
    uint32_t segment_bytes;
    uint64_t now_ms;
    struct prng prng;
    struct world_link links[WORLD_NODES_MAX][WORLD_NODES_MAX];
    struct world_message *messages;
    size_t messages_count, messages_capacity;
    uint64_t sequence;
    void (*on_send)(struct world *w, uint8_t from, uint8_t to, uint8_t kind,
                    struct slice body); /* a tap; may be NULL */
};

void world_init(struct world *w, uint8_t count, enum conflict_policy policy, uint64_t seed);
void world_start(struct world *w); /* all nodes, on new folders */
void world_deinit(struct world *w);
void world_run(struct world *w, uint64_t ms);
/* Run until all clocks are equal and durable, or `ms` have passed. Returns true on success. */
bool world_settle(struct world *w, uint64_t ms);
/* After world_settle(): states and ledgers are equal on all nodes. */
void world_assert_equal(struct world *w);
/* Each replica knows what became of each of its writes (S13). */
void world_assert_accounts(struct world *w);

void world_cut(struct world *w, uint8_t from, uint8_t to);  /* one way, silently */
void world_cut_both(struct world *w, uint8_t a, uint8_t b); /* both ways; both notice */
void world_heal(struct world *w, uint8_t a, uint8_t b);
void world_crash(struct world *w, uint8_t node);      /* loses what was not synced */
void world_open(struct world *w, uint8_t node);       /* start again on what the disk holds */
void world_wipe(struct world *w, uint8_t node);       /* crash, new empty disk; world_open() starts it */
void world_write_back(struct world *w, uint8_t node); /* write everything back, flushed */
bool world_reclaim(struct world *w, uint8_t node);    /* the oldest segment; false when only one is left */

/* Local writes, as the commands make them. They assert success and return the dot. */
struct dot put(struct world *w, uint8_t node, const char *key, const char *value);
struct dot put_column(struct world *w, uint8_t node, const char *key, const char *column, const char *value);
struct dot add_member(struct world *w, uint8_t node, const char *key, const char *member);
struct dot increment(struct world *w, uint8_t node, const char *key, int64_t delta);
struct dot del(struct world *w, uint8_t node, const char *key);
struct dot expire_at(struct world *w, uint8_t node, const char *key, uint64_t at_ms);
/* A write of `value` that observes what is shown and `also` (a ledger entry): RESTORE. */
struct dot restore(struct world *w, uint8_t node, const char *key, const char *value, struct dot also);

struct object *object_of(struct world *w, uint8_t node, const char *key); /* NULL: absent */
/* The string of the key, "" when absent, "!" in conflict. Borrowed until the next call. */
const char *text_of(struct world *w, uint8_t node, const char *key);
const char *column_of(struct world *w, uint8_t node, const char *key, const char *column);
/* Does the ledger hold an entry of this dot? */
bool is_ledgered(struct world *w, uint8_t node, struct dot dot);

#endif
