/* raft_message.c: messages as bytes: kind u8, term varint, then per kind what raft_message.h lists, as varints. */
#include "ordered/raft_message.h"

static void write_flag(struct buffer *b, bool flag)
{
    write_u8(b, flag ? 1 : 0);
}

static bool read_flag(struct reader *r)
{
    uint8_t byte = read_u8(r);
    if (byte > 1) reader__fail(r);
    return byte == 1;
}

static void stamp_write(struct buffer *b, struct raft_stamp stamp)
{
    write_varint(b, stamp.round);
    write_varint(b, stamp.sent_ns);
}

static struct raft_stamp stamp_read(struct reader *r)
{
    struct raft_stamp stamp = {.round = read_varint(r)};
    stamp.sent_ns = read_varint(r);
    return stamp;
}

void raft_append_entry_write(struct buffer *b, uint64_t term, uint8_t kind, struct slice payload)
{
    write_varint(b, term);
    write_u8(b, kind);
    write_bytes(b, payload);
}

struct raft_entry raft_append_next(struct reader *entries)
{
    struct raft_entry entry = {.term = read_varint(entries)};
    entry.kind = read_u8(entries);
    entry.payload = read_bytes(entries);
    return entry;
}

static void append_write(struct buffer *b, const struct raft_append *m)
{
    stamp_write(b, m->stamp);
    write_varint(b, m->previous_index);
    write_varint(b, m->previous_term);
    write_varint(b, m->commit);
    write_varint(b, m->full_index);
    write_varint(b, m->count);
    buffer_append_slice(b, m->entries);
}

/* An entry's kind is known, its configuration readable, and terms neither decrease nor exceed the message's. */
static bool entries_are_sound(struct slice bytes, const struct raft_append *m, uint64_t term)
{
    struct reader r = reader_of(bytes);
    uint64_t before = m->previous_term;
    for (uint32_t i = 0; i < m->count; i++) {
        struct raft_entry entry = raft_append_next(&r);
        if (r.failed || entry.term < before || entry.term > term || entry.term == 0) return false;
        if (entry.kind > RAFT_ENTRY_CONFIGURATION || entry.payload.length > RAFT_PAYLOAD_BYTES_MAX) return false;
        struct raft_configuration c;
        if (entry.kind == RAFT_ENTRY_CONFIGURATION && raft_configuration_read(entry.payload, &c) != STATUS_OK) {
            return false;
        }
        before = entry.term;
    }
    return reader_finished(&r);
}

static bool append_read(struct reader *r, uint64_t term, struct raft_append *out)
{
    struct raft_append m = {.stamp = stamp_read(r)};
    m.previous_index = read_varint(r);
    m.previous_term = read_varint(r);
    m.commit = read_varint(r);
    m.full_index = read_varint(r);
    uint64_t count = read_varint(r);
    if (r->failed || count > RAFT_MESSAGE_ENTRIES_MAX) return false;
    if (m.previous_term > term || (m.previous_index == 0) != (m.previous_term == 0)) return false;
    if (m.previous_index > UINT64_MAX - RAFT_MESSAGE_ENTRIES_MAX - 1) return false;
    m.count = (uint32_t)count;
    m.entries = read_exact(r, reader_left(r));
    if (!entries_are_sound(m.entries, &m, term)) return false;
    *out = m;
    return true;
}

static void append_reply_write(struct buffer *b, const struct raft_append_reply *m)
{
    stamp_write(b, m->stamp);
    write_flag(b, m->refused);
    write_varint(b, m->match);
    write_varint(b, m->verified);
    write_varint(b, m->commit);
    if (!m->refused) return;
    write_varint(b, m->previous_index);
    write_flag(b, m->wants_state);
    write_varint(b, m->hint_index);
    write_varint(b, m->hint_term);
}

static bool append_reply_read(struct reader *r, struct raft_append_reply *out)
{
    struct raft_append_reply m = {.stamp = stamp_read(r)};
    m.refused = read_flag(r);
    m.match = read_varint(r);
    m.verified = read_varint(r);
    m.commit = read_varint(r);
    if (m.refused) {
        m.previous_index = read_varint(r);
        m.wants_state = read_flag(r);
        m.hint_index = read_varint(r);
        m.hint_term = read_varint(r);
    }
    *out = m;
    if (m.refused && m.hint_index > m.previous_index) return false;
    return m.match <= m.verified && m.commit <= m.verified;
}

static void chunk_write(struct buffer *b, const struct raft_chunk_message *m)
{
    stamp_write(b, m->stamp);
    write_varint(b, m->chunk.index);
    write_varint(b, m->chunk.term);
    write_varint(b, m->chunk.position);
    write_varint(b, m->chunk.next);
    write_flag(b, m->chunk.last);
    write_bytes(b, m->chunk.configuration);
    write_bytes(b, m->chunk.bytes);
}

static bool chunk_read(struct reader *r, uint64_t term, struct raft_chunk_message *out)
{
    struct raft_chunk_message m = {.stamp = stamp_read(r)};
    m.chunk.index = read_varint(r);
    m.chunk.term = read_varint(r);
    m.chunk.position = read_varint(r);
    m.chunk.next = read_varint(r);
    m.chunk.last = read_flag(r);
    m.chunk.configuration = read_bytes(r);
    m.chunk.bytes = read_bytes(r);
    *out = m;
    struct raft_configuration c;
    if (r->failed || raft_configuration_read(m.chunk.configuration, &c) != STATUS_OK) return false;
    return m.chunk.index > 0 && m.chunk.term > 0 && m.chunk.term <= term && m.chunk.next > m.chunk.position &&
           m.chunk.bytes.length <= RAFT_CHUNK_BYTES_MAX;
}

static void join_reply_write(struct buffer *b, const struct raft_join_reply *m)
{
    write_u64(b, m->question.incarnation);
    write_flag(b, m->joining);
    write_varint(b, m->end.term);
    write_varint(b, m->end.index);
    write_varint(b, m->configuration_index);
    write_bytes(b, m->configuration);
}

static bool join_reply_read(struct reader *r, uint64_t term, struct raft_join_reply *out)
{
    struct raft_join_reply m = {.question.incarnation = read_u64(r)};
    m.joining = read_flag(r);
    m.end.term = read_varint(r);
    m.end.index = read_varint(r);
    m.configuration_index = read_varint(r);
    m.configuration = read_bytes(r);
    *out = m;
    struct raft_configuration c;
    if (r->failed || raft_configuration_read(m.configuration, &c) != STATUS_OK) return false;
    return m.end.term <= term && (m.end.term == 0) == (m.end.index == 0);
}

void raft_letter_write(struct buffer *b, const struct raft_letter *letter) /* flat: one case a kind */
{
    write_u8(b, (uint8_t)letter->kind);
    write_varint(b, letter->term);
    switch (letter->kind) {
    case KIND_APPEND: append_write(b, &letter->append); break;
    case KIND_APPEND_REPLY: append_reply_write(b, &letter->append_reply); break;
    case KIND_VOTE:
    case KIND_PRE_VOTE:
        write_flag(b, letter->vote.transfer);
        write_varint(b, letter->vote.last_index);
        write_varint(b, letter->vote.last_term);
        break;
    case KIND_VOTE_REPLY:
    case KIND_PRE_VOTE_REPLY: write_flag(b, letter->granted); break;
    case KIND_TIMEOUT_NOW: break;
    case KIND_QUIESCE: write_varint(b, letter->quiesce_index); break;
    case KIND_READ:
        write_u64(b, letter->read.incarnation);
        write_varint(b, letter->read.sequence);
        break;
    case KIND_READ_REPLY:
        write_u64(b, letter->read_reply.question.incarnation);
        write_varint(b, letter->read_reply.question.sequence);
        write_flag(b, letter->read_reply.ready);
        write_varint(b, letter->read_reply.index);
        break;
    case KIND_CHUNK: chunk_write(b, &letter->chunk); break;
    case KIND_CHUNK_REPLY:
        stamp_write(b, letter->chunk_reply.stamp);
        write_varint(b, letter->chunk_reply.index);
        write_varint(b, letter->chunk_reply.term);
        write_varint(b, letter->chunk_reply.position);
        break;
    case KIND_JOIN: write_u64(b, letter->join.incarnation); break;
    case KIND_JOIN_REPLY: join_reply_write(b, &letter->join_reply); break;
    case KINDS_END: break;
    }
}

static struct raft_read_question question_read(struct reader *r)
{
    struct raft_read_question question = {.incarnation = read_u64(r)};
    question.sequence = read_varint(r);
    return question;
}

static bool body_read(struct reader *r, struct raft_letter *m) /* flat: one case a kind */
{
    switch (m->kind) {
    case KIND_APPEND: return append_read(r, m->term, &m->append);
    case KIND_APPEND_REPLY: return append_reply_read(r, &m->append_reply);
    case KIND_VOTE:
    case KIND_PRE_VOTE:
        m->vote.transfer = read_flag(r);
        m->vote.last_index = read_varint(r);
        m->vote.last_term = read_varint(r);
        return m->vote.last_term < m->term;
    case KIND_VOTE_REPLY:
    case KIND_PRE_VOTE_REPLY: m->granted = read_flag(r); return true;
    case KIND_TIMEOUT_NOW: return true;
    case KIND_QUIESCE: m->quiesce_index = read_varint(r); return true;
    case KIND_READ: m->read = question_read(r); return true;
    case KIND_READ_REPLY:
        m->read_reply.question = question_read(r);
        m->read_reply.ready = read_flag(r);
        m->read_reply.index = read_varint(r);
        return true;
    case KIND_CHUNK: return chunk_read(r, m->term, &m->chunk);
    case KIND_CHUNK_REPLY:
        m->chunk_reply.stamp = stamp_read(r);
        m->chunk_reply.index = read_varint(r);
        m->chunk_reply.term = read_varint(r);
        m->chunk_reply.position = read_varint(r);
        return true;
    case KIND_JOIN: m->join.incarnation = read_u64(r); return true;
    case KIND_JOIN_REPLY: return join_reply_read(r, m->term, &m->join_reply);
    case KINDS_END: break;
    }
    return false;
}

/* Letters that a member sends before it knows a term. */
static const uint32_t may_be_new = 1u << KIND_PRE_VOTE_REPLY | 1u << KIND_VOTE_REPLY | 1u << KIND_APPEND_REPLY |
                                   1u << KIND_JOIN | 1u << KIND_JOIN_REPLY;

enum status raft_letter_read(struct slice bytes, struct raft_letter *out)
{
    if (bytes.length > RAFT_MESSAGE_BYTES_MAX) return STATUS_MALFORMED;
    struct reader r = reader_of(bytes);
    uint8_t kind = read_u8(&r);
    struct raft_letter m = {.kind = (enum raft_kind)kind, .term = read_varint(&r)};
    if (r.failed || kind == 0 || kind >= KINDS_END) return STATUS_MALFORMED;
    if (m.term == 0 && !(may_be_new >> kind & 1)) return STATUS_MALFORMED;
    if (!body_read(&r, &m) || !reader_finished(&r)) return STATUS_MALFORMED;
    *out = m;
    return STATUS_OK;
}
