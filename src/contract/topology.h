/* topology.h: the cluster as its configuration file states it: nodes with region and zone, addresses, links, faults.
 * Pure: bytes in, structure or a reason with its line out. */
#ifndef MERIDIAN_CONTRACT_TOPOLOGY_H
#define MERIDIAN_CONTRACT_TOPOLOGY_H

#include "base/buffer.h"
#include "base/status.h"
#include "contract/commit_rule.h"

enum {
    TOPOLOGY_NODES_MAX = 64,
    TOPOLOGY_REGIONS_MAX = 16,
    TOPOLOGY_NAME_BYTES_MAX = 64,
    TOPOLOGY_ADDRESS_BYTES_MAX = 256,
    TOPOLOGY_PATH_BYTES_MAX = 1024,
    TOPOLOGY_TAGS_MAX = COMMIT_LABELS_MAX - 2, /* different tag names; region and zone are labels of every node */
    TOPOLOGY_RULES_MAX = 16,
    TOPOLOGY_CONTRACT_BYTES_MAX = 1024,
};

struct topology_address {
    char host[TOPOLOGY_ADDRESS_BYTES_MAX];
    uint16_t port;
};

struct topology_node {
    char id[TOPOLOGY_NAME_BYTES_MAX];
    char zone[TOPOLOGY_NAME_BYTES_MAX];
    uint16_t number; /* 1..65535, hash of the id; two nodes with one number are refused at load */
    uint8_t region;  /* index into topology.regions */
    struct topology_address resp, peer, http;
    char data[TOPOLOGY_PATH_BYTES_MAX]; /* as written; relative to the configuration file's folder */
    struct {
        uint8_t node;
        struct topology_address address;
    } peer_overrides[TOPOLOGY_NODES_MAX]; /* by node index */
    uint8_t peer_overrides_count;
    char tags[TOPOLOGY_TAGS_MAX][TOPOLOGY_NAME_BYTES_MAX]; /* by index into topology.tags; "": has none */
};

struct topology_rule { /* what DURABILITY tags:NAME asks for, besides a majority */
    char name[TOPOLOGY_NAME_BYTES_MAX];
    struct commit_rule rule; /* its labels are topology_label_index()es */
};

struct topology_link { /* between two regions, one way each direction the same */
    uint32_t latency_us;
    uint32_t jitter_us;
};

struct topology {
    struct topology_node nodes[TOPOLOGY_NODES_MAX]; /* in file order */
    uint32_t nodes_count;
    char regions[TOPOLOGY_REGIONS_MAX][TOPOLOGY_NAME_BYTES_MAX]; /* in order of first mention */
    uint32_t regions_count;
    struct topology_link links[TOPOLOGY_REGIONS_MAX][TOPOLOGY_REGIONS_MAX]; /* [a][b] == [b][a]; 0 within a region */
    char tags[TOPOLOGY_TAGS_MAX][TOPOLOGY_NAME_BYTES_MAX]; /* names of the tags in use, sorted: label 2 + index */
    uint32_t tags_count;
    struct topology_rule rules[TOPOLOGY_RULES_MAX]; /* in file order */
    uint32_t rules_count;
    char default_contract[TOPOLOGY_CONTRACT_BYTES_MAX]; /* words of table `default`, checked; "": none are given */
    bool faults_allowed;
    uint64_t epoch; /* membership epoch; 1 for a configuration file (S6) */
};

/* Returns STATUS_OK or STATUS_MALFORMED with `out_error` = "NAME:LINE: reason". The sketch of a cluster, for planning,
 * needs of each node only id and region. */
MUST_USE enum status topology_parse(const char *name, struct slice yaml, struct topology *out,
                                    struct buffer *out_error);
MUST_USE enum status topology_parse_sketch(const char *name, struct slice yaml, struct topology *out,
                                           struct buffer *out_error);
int topology_node_by_id(const struct topology *t, struct slice id);                             /* index or -1 */
int topology_node_by_number(const struct topology *t, uint16_t number);                         /* index or -1 */
int topology_region_by_name(const struct topology *t, struct slice name);                       /* index or -1 */
const struct topology_rule *topology_rule_by_name(const struct topology *t, struct slice name); /* NULL: none */
uint16_t topology_node_number(struct slice id);                                                 /* the hash, never 0 */
/* The label of that name: "region", "zone" or a tag of this topology; -1: no node has such a tag. */
int topology_label_index(const struct topology *t, struct slice name);
const char *topology_label_name(const struct topology *t, uint8_t label);
/* Where a node stands. The numbers are hashes of the names (a zone's together with its region's), equal in every file
 * that gives the same names; two names with one number are refused at load. */
void topology_labels(const struct topology *t, uint32_t node, struct commit_labels *out);
void topology_write_yaml(const struct topology *t, struct buffer *out); /* what topology_parse reads back */

#endif
