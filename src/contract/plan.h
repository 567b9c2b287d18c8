/* plan.h: what each single loss would cost a table, from topology and contract alone, before it happens. Pure.
 *
 * Judged are the loss of each node, zone and region, a cut of each link between two regions, and each region cut off
 * from all others; with the leader wherever it may stand, for the replicas of every partition.
 * docs/protocols/planner.md says what is derived how.
 */
#ifndef MERIDIAN_CONTRACT_PLAN_H
#define MERIDIAN_CONTRACT_PLAN_H

#include "contract/contract.h"

enum {
    PLAN_LINKS_MAX = TOPOLOGY_REGIONS_MAX * (TOPOLOGY_REGIONS_MAX - 1) / 2,
    PLAN_LOSSES_MAX = 2 * TOPOLOGY_NODES_MAX + 2 * TOPOLOGY_REGIONS_MAX + PLAN_LINKS_MAX,
    PLAN_FINDINGS_MAX = TOPOLOGY_NODES_MAX + COMMIT_LABELS_MAX + 16,
    PLAN_META_VOTERS_MAX = 7,
    PLAN_FAILOVER_SECONDS = 3, /* an election at WAN defaults is over by then */
};
#define PLAN_NEVER UINT32_MAX /* a latency of what can't be done */

enum plan_loss_kind {
    PLAN_NODE,
    PLAN_ZONE,
    PLAN_REGION,
    PLAN_LINK,   /* regions a and b don't hear each other; all others hear both */
    PLAN_CUT_OFF /* region a hears no other */
};

/* What becomes of writes, or of reads; from best to worst. */
enum plan_course {
    PLAN_GO_ON,
    PLAN_PAUSE,  /* if the leader was there: until another is elected, by itself */
    PLAN_DEPEND, /* they stall with the leader in some regions, and are as above with it elsewhere */
    PLAN_STALL,  /* until it returns or heals */
};

/* Which acknowledged writes may be missing afterwards; from best to worst. */
enum plan_harm {
    PLAN_HARM_NONE,
    PLAN_HARM_CONFLICT,    /* mergeable: none is lost, but both sides write and may conflict */
    PLAN_HARM_ROLLED_BACK, /* DURABILITY leader: what only the old leader had; kept in the ledger where its disk returns
                            */
    PLAN_HARM_NODE_TAIL,   /* mergeable: what no other replica had yet, and only if the disks don't return */
    PLAN_HARM_RULE,        /* what satisfied the rule inside the lost replicas; only if they don't return */
    PLAN_HARM_EVERYTHING,  /* no full replica is left; only if they don't return */
};

struct plan_loss {
    enum plan_loss_kind kind;
    uint8_t a, b;       /* LINK: regions; CUT_OFF, REGION: region a; NODE, ZONE: the region a that they are in */
    uint64_t nodes;     /* what is lost, as bits of node indexes; NODE, ZONE: several have the same verdict */
    uint32_t instances; /* how many nodes or zones this verdict speaks of, each lost alone */
    enum plan_course writes, reads;
    enum plan_harm harm;
    uint16_t writes_stall_leaders, reads_stall_leaders; /* bits of regions; where they DEPEND */
    uint16_t refused_regions;                           /* bits: clients of these regions are refused while it lasts */
    uint32_t commit_us;                                 /* at the leader, while it lasts; PLAN_NEVER: writes stall */
    uint32_t partitions;                                /* with a replica there, or split by the cut */
};

enum plan_finding_kind {
    PLAN_MAJORITY_IN_REGION, /* region */
    PLAN_MAJORITY_IN_ZONE,   /* node: one of the zone */
    PLAN_ONE_REGION,         /* region: all replicas are there */
    PLAN_ONE_REPLICA,
    PLAN_TWO_REPLICAS,
    PLAN_EVEN_REPLICAS,     /* amount: how many */
    PLAN_RULE_NEEDS_ALL,    /* the rule fails with any one region (or zone, tag): amount: label */
    PLAN_EVERY_REPLICA,     /* DURABILITY all */
    PLAN_SLOWER_AFTER_LOSS, /* region: of the node lost; amount: the commit latency then, us */
    PLAN_LEADER_ALONE,      /* amount: the longest link from the preferred leader, us */
    PLAN_NEW_LEADER_READS,  /* amount: the commit latency that a new leader's first read waits for, us */
    PLAN_CONCURRENT_WRITES, /* mergeable; amount: the longest link between replicas, us */
};

struct plan_finding {
    enum plan_finding_kind kind;
    bool loses;  /* MAJORITY_IN_*, ONE_*: acknowledged writes may be lost as well */
    bool severe; /* to be shown as a warning; the rest are facts worth knowing */
    uint8_t region, node;
    uint32_t amount;
};

struct plan_leader {                          /* with the leader in a region; mergeable: unused */
    bool possible;                            /* a full replica stands there */
    uint32_t commit_us;                       /* round trip to the nearest set that satisfies the rule; without fsync */
    uint32_t client_us[TOPOLOGY_REGIONS_MAX]; /* what a client of each region waits for a write, without fsync */
};

struct plan {
    const struct topology *topology; /* borrowed */
    struct contract contract;
    bool is_meta;                 /* of the metadata group: `contract` stands for what it does */
    uint32_t partitions, layouts; /* layouts: different sets of nodes that hold partitions */
    uint32_t replicas;
    uint64_t region_nodes[TOPOLOGY_REGIONS_MAX]; /* bits of node indexes */
    struct plan_leader leaders[TOPOLOGY_REGIONS_MAX];
    uint8_t best_leader;                      /* the region from which all clients together wait least */
    uint32_t client_us[TOPOLOGY_REGIONS_MAX]; /* a write, with the leader there; mergeable: to the nearest replica */
    struct plan_loss losses[PLAN_LOSSES_MAX];
    uint32_t losses_count;
    struct plan_finding findings[PLAN_FINDINGS_MAX];
    uint32_t findings_count;
};

/* Judge a table. `table` is its id, which decides the placement; 0 for one that does not exist yet. */
void plan_table(const struct topology *topology, const struct contract *contract, uint64_t table, struct plan *out);

/* The metadata group (topology, tables, placement): a plain majority of one voter a node, up to PLAN_META_VOTERS_MAX,
 * taken from the regions in turn and there from the zones in turn. Names decide the order, so all nodes agree. */
void meta_members(const struct topology *topology, struct placement *out);
void plan_meta(const struct topology *topology, struct plan *out);

/* ---- as words, for people; each appends one phrase or sentence without an end mark ---- */
void plan_write_loss(const struct plan *p, const struct plan_loss *l, struct buffer *out); /* "node us-1" */
void plan_write_writes(const struct plan *p, const struct plan_loss *l, struct buffer *out);
void plan_write_reads(const struct plan *p, const struct plan_loss *l, struct buffer *out);
void plan_write_harm(const struct plan_loss *l, struct buffer *out);
void plan_write_return(const struct plan *p, const struct plan_loss *l, struct buffer *out); /* how it comes back */
void plan_write_finding(const struct plan *p, const struct plan_finding *f, struct buffer *out);
void plan_write_ms(uint32_t us, struct buffer *out); /* "0", "80", "40.5"; "-" for PLAN_NEVER */
const char *plan_course_name(enum plan_course course);
const char *plan_harm_name(enum plan_harm harm);

#endif
