/* metadata.h: the metadata group as a shard sees it: one hidden ordered table of one partition, whose log decides which
 * tables exist. Its members are meta_members(); it lives on the first shard of their processes.
 *
 *   name:<name>    -> the id of the live table with that name, in hexadecimal digits
 *   table:<id>     -> the table as table_write() has it; dropped ones stay (S17)
 *
 * Before it can decide, it is founded: once, when each of its members has told every other one that it is new.
 *
 *   blank ── all other members are blank ──▶ founded ◀── a founder says that this very folder is one ── blank
 *   blank ── a founder knows another folder under our name ──▶ founded, and joins
 *
 * F1  Who was founded remembers it with the folder ids of all founders, ahead of the group's first record in the log.
 * F2  Whose disk was lost, or folder, has forgotten its votes and entries: it is in no founder's place, and takes no
 *     part before the others have told it where they stand (ordered/raft_join.c).
 */
#ifndef MERIDIAN_NODE_METADATA_H
#define MERIDIAN_NODE_METADATA_H

#include "contract/plan.h"
#include "wire/varint.h"

struct shard;
struct table_slot;
struct partition_slot;
struct log_record;

struct founder {
    uint16_t number; /* of the node */
    uint64_t folder_id;
};

struct metadata {
    struct table_slot *table; /* of this shard's catalog */
    struct founder founders[PLAN_META_VOTERS_MAX];
    uint8_t founders_count; /* 0: not founded, as far as this node knows */
    uint64_t record_lsn;    /* the newest founding record in the log */
    uint64_t seen_index;    /* the applied index at the last look */
    uint64_t taken_index;   /* the catalog includes what was applied up to here */
    bool fetching;          /* a cold item is on its way */
};

enum { LOG_FOUNDING = 0x81 }; /* log record kind, table 0: the founders */

/* Put the hidden table into the catalog: once, while the shard opens. */
void metadata__open(struct shard *s);

struct partition_slot *metadata__slot(const struct shard *s); /* its one partition; on every shard */
bool metadata__is_meta(const struct partition_slot *slot);    /* is it that one? */
bool metadata__waits(const struct shard *s);                  /* a member that is blank */

/* What a greeting says about it, and what a peer said. False: malformed. */
void metadata__write_greeting(const struct shard *s, struct buffer *out);
MUST_USE bool metadata__on_greeting(struct shard *s, uint8_t node, struct reader *r);
void metadata__tick(struct shard *s); /* once a second */

/* While opening: what the store keeps of the founding, and a founding record of the log. Bytes that make no sense leave
 * STATUS_CORRUPT in open_status. */
void metadata__on_system_record(struct shard *s, struct slice value);
void metadata__replay(struct shard *s, const struct log_record *record);

/* Is it the newest founding record? A reclaim copies that one forward and tells where it is now. */
bool metadata__record_is_live(const struct shard *s, const struct log_record *record);
void metadata__record_moved(struct shard *s, const struct log_record *record);

#endif
