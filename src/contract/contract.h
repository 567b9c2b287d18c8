/* contract.h: what a table promises, from the words of TABLE CREATE; validated against engine and topology. Pure. */
#ifndef MERIDIAN_CONTRACT_CONTRACT_H
#define MERIDIAN_CONTRACT_CONTRACT_H

#include "base/yaml.h"
#include "contract/durability.h"

enum {
    TABLE_NAME_BYTES_MAX = 64,
    TABLES_MAX = 1024,
    PARTITIONS_DEFAULT = 16,
    PARTITIONS_MAX = 1024,
    GROUP_REPLICAS_MAX = 16, /* of an ordered table's partition */
    TABLE_ID_DEFAULT = 1,    /* the table of undeclared prefixes; ids from 3 on are drawn and never reused (S17) */
    TABLE_ID_META = 2,       /* the metadata group: one partition, placed by meta_members(), never listed */
};

enum contract_engine { ENGINE_MERGEABLE, ENGINE_ORDERED };
enum contract_conflict { CONTRACT_LWW, CONTRACT_SIBLINGS, CONTRACT_UPDATE_WINS, CONTRACT_DELETE_WINS };
enum contract_type { TYPE_ANY, TYPE_STRING, TYPE_COUNTER, TYPE_SET, TYPE_ROW, TYPE_LIST, TYPE_ZSET };
enum contract_read {
    CONTRACT_READ_LOCAL,        /* what the replica nearest to the client shows; all that mergeable tables have */
    CONTRACT_READ_ONE,          /* what any one replica shows */
    CONTRACT_READ_LINEARIZABLE, /* ordered tables, unless said otherwise */
};

struct contract {
    enum contract_engine engine;
    enum contract_conflict conflict;
    enum contract_type type;
    uint8_t replicas[TOPOLOGY_REGIONS_MAX]; /* per region index; unmentioned regions get none; no REPLICAS: one each */
    uint16_t partitions;
    uint16_t witness_regions; /* ordered; bit of a region index: its replicas vote and hold the log's tail, no state */

    /* Ordered tables only; zero on mergeable ones. */
    struct durability durability;
    enum contract_read read;
    bool has_minimum; /* INVARIANT min:N: no number below */
    int64_t minimum;
};

struct table {
    uint64_t id;
    char name[TABLE_NAME_BYTES_MAX + 1];
    struct contract contract;
    uint64_t created_stamp;
    bool dropped;
};

/* Parse `words` (after TABLE CREATE name). Returns STATUS_OK, or STATUS_MALFORMED (syntax: out_error "ERR …") or
 * STATUS_LIMIT (a contract that engine, topology or this version can't keep: out_error "CONTRACT reason"). */
MUST_USE enum status contract_parse(const struct slice *words, size_t count, const struct topology *topology,
                                    struct contract *out, struct buffer *out_error);
/* Can the replicas of every partition of that table satisfy the contract's rule together? contract_parse() has asked
 * for table 0; the placement of another id may differ where a tag's values are uneven. STATUS_OK, or STATUS_LIMIT as
 * above.
 */
MUST_USE enum status contract_check_placement(const struct contract *c, const struct topology *topology, uint64_t table,
                                              struct buffer *out_error);
/* The same from a file: the words as one string, or a mapping {engine: ordered, replicas: {us: 2, eu: 1}}. Every
 * refusal is STATUS_MALFORMED with "FILE:LINE: reason". */
MUST_USE enum status contract_parse_yaml(const struct yaml_node *node, const struct topology *topology,
                                         struct contract *out, struct buffer *out_error);
/* The contract of the table `default`: as the configuration states it, else mergeable with a replica in each region. */
void contract_default(const struct topology *topology, struct contract *out);
/* The words that contract_parse reads back, e.g. "ENGINE mergeable CONFLICT siblings REPLICAS us-east=1,eu=1 …". */
void contract_format(const struct contract *c, const struct topology *topology, struct buffer *out);
void contract_format_replicas(const struct contract *c, const struct topology *topology, struct buffer *out);
const char *contract_engine_name(enum contract_engine engine);
const char *contract_conflict_name(enum contract_conflict conflict);
const char *contract_type_name(enum contract_type type);
const char *contract_read_name(enum contract_read read);
bool table_name_is_valid(struct slice name); /* [A-Za-z0-9_.-]+, at most TABLE_NAME_BYTES_MAX, not starting with "__" */
void table_write(struct buffer *b, const struct table *t, const struct topology *topology); /* regions by name */
/* STATUS_OK; STATUS_MALFORMED; STATUS_VERSION; STATUS_NOT_FOUND: it names a region that our topology lacks. */
MUST_USE enum status table_read(struct slice bytes, const struct topology *topology, struct table *out);

/* The table name of a key: the part before the first ':' when there is one and it is a valid name; else empty. */
struct slice key_table_name(struct slice key);
static inline uint16_t key_partition(uint64_t key_hash, uint16_t partitions)
{
    return (uint16_t)(key_hash % partitions);
}

/* The nodes holding (table, partition): per region the `replicas` highest by rendezvous hashing over the region's
 * nodes (Thaler and Ravishankar, 1998); on ordered tables first those of zones and tags not yet taken. Fills node
 * indexes, returns their count. */
uint32_t placement_nodes(const struct topology *topology, const struct contract *c, uint64_t table, uint16_t partition,
                         uint8_t out_nodes[TOPOLOGY_NODES_MAX]);

/* The group of one partition of an ordered table: what its Raft core is started with. Arrays run in parallel, in the
 * order of placement_nodes(). A contract read from words or bytes has at most GROUP_REPLICAS_MAX replicas; if the
 * topology has fewer nodes by now, so has the group. */
struct placement {
    uint32_t count;
    uint8_t nodes[COMMIT_MEMBERS_MAX]; /* indexes of topology nodes */
    struct commit_labels labels[COMMIT_MEMBERS_MAX];
    uint64_t witness_mask; /* bit i: member i is a witness; never all of them */
    struct commit_rule rule;
};
void placement_members(const struct topology *topology, const struct contract *c, uint64_t table, uint16_t partition,
                       struct placement *out);

#endif
