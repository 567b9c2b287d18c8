/* message.c: the byte forms of message.h, all varints through wire/varint.h. A reader remembers its first failure, so
 * each message is read whole and asked once.
 */
#include "mergeable/message.h"

#include "wire/varint.h"

void clock_message_init(struct clock_message *m)
{
    *m = (struct clock_message){0};
    node_clock_init(&m->clock);
}

void clock_message_deinit(struct clock_message *m)
{
    node_clock_deinit(&m->clock);
}

void clock_message_write(struct buffer *b, const struct clock_message *m)
{
    write_u8(b, m->flags);
    write_u64(b, m->life);
    write_varint(b, m->sequence);
    write_varint(b, m->wall_ms);
    write_varint(b, m->sent_at_us);
    write_varint(b, m->echo_us);
    write_varint(b, m->held_us);
    write_varint(b, m->duplicates);
    node_clock_write(b, &m->clock);
}

enum status clock_message_read(struct slice body, struct clock_message *out)
{
    struct reader r = reader_of(body);
    out->flags = read_u8(&r);
    out->life = read_u64(&r);
    out->sequence = read_varint(&r);
    out->wall_ms = read_varint(&r);
    out->sent_at_us = read_varint(&r);
    out->echo_us = read_varint(&r);
    out->held_us = read_varint(&r);
    out->duplicates = read_varint(&r);
    if (r.failed || (out->flags & ~CLOCK_FLAG_KNOWN)) return STATUS_MALFORMED;
    enum status status = node_clock_read(&r, &out->clock);
    if (status != STATUS_OK) return status;
    return reader_finished(&r) ? STATUS_OK : STATUS_MALFORMED;
}

void copy_offer_write(struct buffer *b, uint64_t copy, const struct vv *snapshot)
{
    write_u64(b, copy);
    vv_write(b, snapshot);
}

enum status copy_offer_read(struct slice body, struct copy_offer *out)
{
    struct reader r = reader_of(body);
    out->copy = read_u64(&r);
    enum status status = vv_read(&r, &out->snapshot);
    if (status != STATUS_OK) return status;
    return reader_finished(&r) ? STATUS_OK : STATUS_MALFORMED;
}

void copy_pull_write(struct buffer *b, const struct copy_pull *m)
{
    write_u64(b, m->copy);
    write_varint(b, m->index);
    write_u64(b, m->first);
    write_u64(b, m->sum);
    write_varint(b, m->items);
    write_u8(b, m->again ? 1 : 0);
}

enum status copy_pull_read(struct slice body, struct copy_pull *out)
{
    struct reader r = reader_of(body);
    struct copy_pull m = {.copy = read_u64(&r)};
    m.index = read_varint(&r);
    m.first = read_u64(&r);
    m.sum = read_u64(&r);
    m.items = read_varint(&r);
    uint8_t again = read_u8(&r);
    if (!reader_finished(&r) || again > 1) return STATUS_MALFORMED;
    m.again = again == 1;
    *out = m;
    return STATUS_OK;
}

void copy_chunk_init(struct copy_chunk *c)
{
    *c = (struct copy_chunk){0};
    vv_init(&c->snapshot);
    vv_init(&c->clock);
}

void copy_chunk_deinit(struct copy_chunk *c)
{
    vv_deinit(&c->snapshot);
    vv_deinit(&c->clock);
}

void copy_chunk_write_head(struct buffer *b, const struct copy_chunk *c)
{
    write_u64(b, c->copy);
    write_varint(b, c->index);
    write_varint(b, c->source);
    vv_write(b, &c->snapshot);
    vv_write(b, &c->clock);
    write_u64(b, c->first);
    write_u64(b, c->last);
    write_u64(b, c->sum);
    write_varint(b, c->items);
}

enum status copy_chunk_read(struct slice body, struct copy_chunk *out)
{
    struct reader r = reader_of(body);
    out->copy = read_u64(&r);
    out->index = read_varint(&r);
    uint64_t source = read_varint(&r);
    if (r.failed || source > UINT16_MAX) return STATUS_MALFORMED;
    out->source = (uint16_t)source;
    enum status status = vv_read(&r, &out->snapshot);
    if (status == STATUS_OK) status = vv_read(&r, &out->clock);
    if (status != STATUS_OK) return status;
    out->first = read_u64(&r);
    out->last = read_u64(&r);
    out->sum = read_u64(&r);
    out->items = read_varint(&r);
    if (r.failed || out->first > out->last) return STATUS_MALFORMED;
    if (!vv_covers_all(&out->clock, &out->snapshot)) return STATUS_MALFORMED;
    out->groups = slice_of(r.at, reader_left(&r));
    return STATUS_OK;
}
