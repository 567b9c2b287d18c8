/* raft_cluster.h: several Raft cores in one process, on a virtual clock, network and disk, with every rule checked that
 * all of them together must keep. The random test lets it run by itself; the traces move each piece by hand. */
#ifndef MERIDIAN_TESTS_RAFT_CLUSTER_H
#define MERIDIAN_TESTS_RAFT_CLUSTER_H

#include "ordered/raft.h"

enum {
    CLUSTER_NODES_MAX = 8,
    CLUSTER_INDEX_MAX = 65536,
    CLUSTER_TERMS_MAX = 4096,
    CLUSTER_READS_MAX = 4096,
    CLUSTER_CHUNKS = 3, /* of every snapshot */
    CLUSTER_E_MS = 100, /* the election timeout, unless said; a fifth of it is the heartbeat interval */
};
#define CLUSTER_MS_NS 1000000ull

struct cluster_letter { /* on its way */
    uint16_t from, to;
    uint64_t at_ns, sequence;
    size_t length;
    uint8_t *bytes;
};

struct cluster_record { /* what one write put on disk */
    uint64_t write_term, write_index, id;
    bool has_hard;
    struct raft_hard_state hard;
    bool is_install; /* a snapshot as of (install_index, install_term) */
    uint64_t install_index, install_term;
    struct raft_entry *entries; /* owned copies */
    uint32_t count;
    uint64_t durable_at_ns;
    uint32_t held_first, held_count; /* messages that wait for it are in node.held */
};

struct cluster_state { /* the state machine: a hash over everything applied */
    uint64_t index, term, hash;
    struct raft_configuration configuration;
    uint64_t configuration_index;
};

struct cluster_held {
    uint16_t to;
    uint64_t after_write;
    size_t length;
    uint8_t *bytes;
};

struct cluster_node {
    uint16_t id;
    struct raft *raft; /* NULL: down */
    struct raft_effects fx;
    struct cluster_record *disk; /* in order; the first `durable_count` survive a crash */
    uint32_t disk_count, disk_capacity, durable_count;
    struct cluster_held *held;
    uint32_t held_count, held_capacity;
    struct cluster_state state, kept; /* in memory; written back */
    uint64_t kept_base_term;
    uint64_t incarnation;
    int64_t clock_ppm; /* how much faster than the world */
    int64_t clock_ns;  /* its own clock now */
    bool disk_stalls;  /* writes are not completed */
    bool paused;       /* nothing is delivered or ticked */
    struct raft_chunk staged;
    uint64_t staged_hash, staged_position;
    struct buffer staged_configuration;
    uint64_t install_at_ns; /* 0: none */
    bool is_applying_slowly;
    bool was_wiped; /* it joins when it is started */
};

struct cluster_read {
    uint16_t node;
    uint64_t floor; /* the highest index committed anywhere when it was asked */
    uint64_t index;
    int result; /* -1: waiting; enum raft_read_result */
};

struct cluster {
    struct cluster_node nodes[CLUSTER_NODES_MAX + 1]; /* [0] unused: node n is nodes[n] */
    uint32_t count;
    uint64_t now_ns, sequence;
    struct prng prng;
    struct raft_configuration first;
    struct cluster_letter *letters;
    uint32_t letters_count, letters_capacity;
    bool by_hand; /* letters and writes move only when told */
    uint32_t loss_percent, duplicate_percent;
    uint64_t delay_ns_min, delay_ns_max, write_ns_max;
    bool cut[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1];
    uint64_t last_heard_ns[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1]; /* the host's node-pair heartbeats */
    bool heartbeats;                                                      /* the host makes them */
    uint64_t cache_bytes, quiesce_after_ns, election_ms;
    uint32_t drift_ppm_max, window_messages;
    bool check_rule;
    /* What all members together must agree on. */
    uint16_t leader_of[CLUSTER_TERMS_MAX];
    struct {
        uint64_t term, hash;
        uint64_t known_in; /* the term of who applied it first: it was committed in this one or before */
    } applied[CLUSTER_INDEX_MAX];
    uint64_t applied_max, commit_max, proposals;
    struct cluster_read reads[CLUSTER_READS_MAX];
    uint32_t reads_count;
    enum raft_proposal_result last_proposal;
    /* Called for whatever happens, by the traces; NULL: nobody listens. */
    void (*note)(void *user, const char *line);
    void *user;
    const char *failure; /* the property that was violated; the test stops there */
};

void cluster_init(struct cluster *c, uint32_t count, const struct raft_configuration *first, uint64_t seed);
void cluster_deinit(struct cluster *c);
void cluster_start(struct cluster *c, uint16_t node); /* from what is on its disk */
void cluster_crash(struct cluster *c, uint16_t node); /* what is not on disk is gone */
void cluster_wipe(struct cluster *c, uint16_t node);  /* it is down: its disk is lost, and what it has sent */
void cluster_run(struct cluster *c, uint64_t ms);     /* virtual time goes on, one millisecond a step */
void cluster_step(struct cluster *c, uint16_t node, struct raft_event *event);
uint16_t cluster_leader(const struct cluster *c); /* of the highest term, among those that are up; 0: none */
enum raft_proposal_result cluster_propose(struct cluster *c, uint16_t node, const char *payload);
void cluster_read(struct cluster *c, uint16_t node);
void cluster_deliver(struct cluster *c, uint32_t letter); /* and forget it */
void cluster_drop(struct cluster *c, uint32_t letter);
void cluster_complete_write(struct cluster *c, uint16_t node); /* the oldest that is under way */
void cluster_write_back(struct cluster *c, uint16_t node, bool compact);
uint64_t cluster_clock(const struct cluster *c, uint16_t node);
/* A configuration of voters 1..count, node n in region (n - 1) % regions + 1. */
struct raft_configuration cluster_configuration(uint32_t count, uint32_t regions, struct commit_rule rule);

/* ---- what must hold over all (raft_cluster_check.c); a property that does not is c->failure ---- */

void cluster_fail(struct cluster *c, const char *property); /* the first one stays */
void cluster_note(struct cluster *c, const char *format, ...) PRINTF_LIKE(2, 3);
void cluster_check_leader(struct cluster *c, const struct cluster_node *n);
/* Two logs that have the same term at an index are the same before it: checked where both have it. */
void cluster_check_log_matching(struct cluster *c, const struct cluster_node *n);
/* Apply the entry to the node's state, which must agree with everybody's. */
void cluster_check_apply(struct cluster *c, struct cluster_node *n, const struct raft_entry *entry);
/* Take the answers of the last step's reads. */
void cluster_check_reads(struct cluster *c, struct cluster_node *n);

#endif
