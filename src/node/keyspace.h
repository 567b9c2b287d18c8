/* keyspace.h: SCAN, KEYS, DBSIZE and RANDOMKEY over the keyspace as this region holds it: the steps that one replica
 * answers. gather.c asks one replica of each partition in turn, wherever it is, and joins their answers.
 *
 * The keyspace is an ordered list of *places*: (table index, partition). The table index is the table's position in the
 * catalog (dropped tables keep theirs), so a place keeps its number while the catalog grows. Within a place keys are in
 * the order of their hash. Each place is answered by one replica of the region.
 *
 * A cursor is a decimal number below 2^52, so that clients which keep it in a double lose nothing:
 *
 *     bits 51..42  table index   (TABLES_MAX is 2^10)
 *     bits 41..32  partition     (PARTITIONS_MAX is 2^10)
 *     bits 31..0   first 32 bits of the key hash to go on from
 *
 * K1  A cursor points between two hash prefixes: keys with one prefix are visited in one call. So 0 is only the
 *     beginning (and, in a reply, the end), and going on from a cursor neither skips nor repeats a key that stays.
 * K2  A key present from the first call to the last is returned at least once, whatever is written meanwhile: nothing
 *     is remembered between calls, and a key's place and hash never change.
 */
#ifndef MERIDIAN_NODE_KEYSPACE_H
#define MERIDIAN_NODE_KEYSPACE_H

#include "base/prng.h"
#include "node/command.h"
#include "ordered/machine.h"

enum {
    KEYSPACE_STEP_ITEMS_MAX = 4096,        /* visited by one call, whatever COUNT says: about a millisecond */
    KEYSPACE_STEP_BYTES_MAX = 1024 * 1024, /* of keys found by one call, and the rest of a prefix */
};

struct keyspace_cursor {
    uint16_t table_index;
    uint16_t partition;
    uint64_t hash; /* the low 32 bits are zero (K1) */
};

/* The number that a client gets: 10 bits of table, 10 of partition, the high 32 of the hash. 0 is the beginning. */
uint64_t keyspace_cursor_pack(struct keyspace_cursor cursor);

/* Returns false for what is no cursor of ours: "ERR invalid cursor". */
MUST_USE bool keyspace_cursor_parse(struct slice text, struct keyspace_cursor *out_cursor);

/* What the client asked for; made from the arguments alone, so a node that gets them forwarded makes the same. */
enum keyspace_kind { KEYSPACE_SCAN, KEYSPACE_KEYS, KEYSPACE_DBSIZE, KEYSPACE_RANDOMKEY };
struct keyspace_query {
    enum keyspace_kind kind;
    struct keyspace_cursor from; /* SCAN; else the beginning */
    uint32_t items_max;          /* to visit in one call */
    bool match_all;              /* no pattern, or "*" */
    struct slice pattern;        /* borrows from the arguments */
    bool any_type;
    enum object_type type;      /* OBJECT_NONE: a type that no key has */
    enum value_type value_type; /* the same in ordered tables */
};

/* The error that Redis would give, without '-', in *out_error on false. */
MUST_USE bool keyspace_query_parse(enum keyspace_kind kind, const struct slice *args, size_t args_count,
                                   struct keyspace_query *out_query, const char **out_error);

/* ---- one replica's part; `hash` is where to begin ---- */

/* One of the two: a replica of a mergeable table, or the state of a group's member as far as it has applied. */
struct keyspace_place {
    struct replica *replica;
    struct machine *machine;
};

struct keyspace_answer {
    bool ended;          /* the replica is done; else go on from `next_hash` */
    uint64_t next_hash;  /* its low 32 bits are zero (K1) */
    uint64_t count;      /* keys found: all of them are in `keys`, except for DBSIZE, which only counts */
    struct buffer *keys; /* each as varint length and bytes (write_bytes) */
    uint64_t wait_lsn;   /* the answer may leave when this is durable (S4) */
    struct store_space *cold_space;
    struct store_item *cold; /* not NULL: `next_hash` stands before this item, which must be fetched to go on */
};

/* Visit up to items_max items. `keys` is appended to; everything else in *out is set. When nothing was found before a
 * cold item, fetch it and call again; else the client may have what is there. */
void keyspace_scan(struct keyspace_place place, const struct keyspace_query *query, uint64_t hash,
                   struct replica_now now, struct keyspace_answer *out);

/* DBSIZE. Exact and at once for a replica without garbage; else its items are visited, in steps as above. A cold item
 * counts as a key. As in Redis, what has expired counts until it is removed or, in a visit, seen to be expired. */
void keyspace_count(struct keyspace_place place, uint64_t hash, struct replica_now now, struct keyspace_answer *out);

/* One live key, any of them with a fair chance (gaps between hashes differ, runs of many gaps hardly), in `keys`; count
 * 0 when no key was found within the step's bound or none is there. */
void keyspace_random(struct keyspace_place place, struct prng *prng, struct replica_now now,
                     struct keyspace_answer *out);

/* ---- the client's side; gather.c implements it ---- */

/* Ask all places of the region and reply: SCAN goes on from query->from until some keys are found or the end; KEYS and
 * DBSIZE go through all. Returns COMMAND_ASYNC, or COMMAND_DONE when the reply could be given at once. */
enum command_result gather_keyspace(struct request *request, const struct keyspace_query *query);

/* The reply for what was gathered: `keys` as above. `next` is ignored unless `ended` is false (SCAN only). */
void keyspace_reply(struct buffer *reply, int resp_version, const struct keyspace_query *query, struct slice keys,
                    uint64_t count, bool ended, struct keyspace_cursor next);

#endif
