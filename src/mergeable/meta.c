/* meta.c: the partition's record beside its items, written back in one batch with them (S3): identity, clock, marks,
 * the state of a copy, the account. With the items it is the partition as of last_lsn; the log is replayed from there.
 */
#include "mergeable/replica_internal.h"

enum { META_VERSION = 2 };

static void write_marks(const struct replica *r, struct buffer *out)
{
    uint32_t marked = 0;
    for (uint32_t i = 0; i < r->peers_count; i++) marked += r->peers[i].marked;
    write_varint(out, r->mark_sequence);
    write_varint(out, marked);
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (r->peers[i].marked) write_varint(out, r->peers[i].node);
    }
}

static void write_account(const struct replica_account *a, struct buffer *out)
{
    write_varint(out, a->accepted);
    write_varint(out, a->replaced);
    write_varint(out, a->ledgered);
    write_varint(out, a->expired);
}

void replica__meta_encode(void *user, struct buffer *out)
{
    const struct replica *r = user;
    write_u8(out, META_VERSION);
    write_varint(out, r->last_lsn);
    write_u64(out, r->id);
    write_u8(out, (uint8_t)r->join);
    write_varint(out, r->config.hlc->last);
    vv_write(out, &r->applied);
    vv_write(out, &r->collected);
    write_marks(r, out);
    write_account(&r->account, out);
    range_clocks_write(out, &r->ahead);
    replica__copy_in_write(out, &r->copy);
}

static void read_account(struct reader *reader, struct replica_account *a)
{
    a->accepted = read_varint(reader);
    a->replaced = read_varint(reader);
    a->ledgered = read_varint(reader);
    a->expired = read_varint(reader);
}

static void read_marks(struct replica *r, struct reader *reader)
{
    r->mark_sequence = read_varint(reader);
    uint64_t marked = read_varint(reader);
    for (uint64_t i = 0; i < marked && !reader->failed; i++) {
        uint64_t node = read_varint(reader);
        struct peer *p = node <= UINT16_MAX ? replica__peer(r, (uint16_t)node) : NULL;
        if (p) p->marked = true; /* a member that is gone takes its mark with it */
    }
}

enum status replica__meta_decode(struct replica *r, struct slice meta)
{
    struct reader reader = reader_of(meta);
    if (read_u8(&reader) != META_VERSION) return STATUS_VERSION;
    r->meta_lsn = r->last_lsn = read_varint(&reader);
    r->id = read_u64(&reader);
    uint8_t join = read_u8(&reader);
    if (join > JOIN_PARTLY) return STATUS_CORRUPT;
    r->join = (enum join_state)join;
    hlc_observe(r->config.hlc, read_varint(&reader));
    if (reader.failed || vv_read(&reader, &r->applied) != STATUS_OK) return STATUS_CORRUPT;
    if (vv_read(&reader, &r->collected) != STATUS_OK) return STATUS_CORRUPT;
    read_marks(r, &reader);
    read_account(&reader, &r->account);
    if (reader.failed || range_clocks_read(&reader, &r->ahead) != STATUS_OK) return STATUS_CORRUPT;
    if (replica__copy_in_read(&reader, &r->copy) != STATUS_OK || !reader_finished(&reader)) return STATUS_CORRUPT;

    r->counter = vv_get(&r->applied, r->id);
    for (uint32_t i = 0; i < r->applied.count; i++) {
        struct dot dot = {r->applied.entries[i].replica, r->applied.entries[i].counter};
        if (dot.replica != r->id) vv_raise(&r->deps, dot);
        replica__origin(r, dot.replica);
    }
    return STATUS_OK;
}
