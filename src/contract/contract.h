/* contract.h: what a table promises, from the words of TABLE CREATE; validated against engine and topology. Pure. */
#ifndef MERIDIAN_CONTRACT_CONTRACT_H
#define MERIDIAN_CONTRACT_CONTRACT_H

#include "contract/topology.h"

enum {
    TABLE_NAME_BYTES_MAX = 64,
    TABLES_MAX = 1024,
    PARTITIONS_DEFAULT = 16,
    PARTITIONS_MAX = 1024,
    TABLE_ID_DEFAULT = 1, /* the table of undeclared prefixes; every other id is drawn and never reused (S17) */
};

enum contract_engine { ENGINE_MERGEABLE, ENGINE_ORDERED };
enum contract_conflict { CONTRACT_LWW, CONTRACT_SIBLINGS, CONTRACT_UPDATE_WINS, CONTRACT_DELETE_WINS };
enum contract_type { TYPE_ANY, TYPE_STRING, TYPE_COUNTER, TYPE_SET, TYPE_ROW };

struct contract {
    enum contract_engine engine;
    enum contract_conflict conflict;
    enum contract_type type;
    uint8_t replicas[TOPOLOGY_REGIONS_MAX]; /* per region index; unmentioned regions get none; no REPLICAS: one each */
    uint16_t partitions;
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
void contract_default(const struct topology *topology, struct contract *out);
/* The words that contract_parse reads back, e.g. "ENGINE mergeable CONFLICT siblings REPLICAS us-east=1,eu=1 …". */
void contract_format(const struct contract *c, const struct topology *topology, struct buffer *out);
void contract_format_replicas(const struct contract *c, const struct topology *topology, struct buffer *out);
const char *contract_engine_name(enum contract_engine engine);
const char *contract_conflict_name(enum contract_conflict conflict);
const char *contract_type_name(enum contract_type type);
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
 * nodes (Thaler and Ravishankar, 1998). Fills node indexes, returns their count. */
uint32_t placement_nodes(const struct topology *topology, const struct contract *c, uint64_t table, uint16_t partition,
                         uint8_t out_nodes[TOPOLOGY_NODES_MAX]);

#endif
