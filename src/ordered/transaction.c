/* transaction.c: what entries of transactions carry, and what is answered to them, as bytes.
 *
 *     transaction = id:bytes age:varint deadline:varint keep_until:varint flags:u8
 *                   groups:count{ table:varint partition:varint }
 *     answer      = state:u8 reason:u8 reply:bytes holder:bytes, in a RESP bulk: it is the reply to an entry
 */
#include "ordered/machine.h"
#include "wire/resp.h"

void transaction_write(struct buffer *out, const struct transaction *t)
{
    ASSERT(t->id.length > 0 && t->id.length <= MACHINE_ID_BYTES_MAX);
    ASSERT(t->groups_count <= TRANSACTION_GROUPS_MAX);
    ASSERT(t->deadline_ms <= t->keep_until_ms);
    write_bytes(out, t->id);
    write_varint(out, t->age_ms);
    write_varint(out, t->deadline_ms);
    write_varint(out, t->keep_until_ms);
    write_u8(out, t->flags);
    write_varint(out, t->groups_count);
    for (size_t i = 0; i < t->groups_count; i++) {
        write_varint(out, t->groups[i].table);
        write_varint(out, t->groups[i].partition);
    }
}

static void read_groups(struct reader *r, struct arena *arena, struct transaction *out)
{
    uint64_t count = read_varint(r);
    if (count > TRANSACTION_GROUPS_MAX) reader__fail(r);
    out->groups_count = r->failed ? 0 : (size_t)count;
    struct transaction_group *groups = arena_alloc(arena, out->groups_count * sizeof *groups);
    for (size_t i = 0; i < out->groups_count; i++) {
        groups[i].table = read_varint(r);
        uint64_t partition = read_varint(r);
        if (partition > UINT16_MAX) reader__fail(r);
        groups[i].partition = (uint16_t)partition;
    }
    out->groups = groups;
}

void transaction_read(struct reader *r, struct arena *arena, struct transaction *out)
{
    out->id = read_bytes(r);
    out->age_ms = read_varint(r);
    out->deadline_ms = read_varint(r);
    out->keep_until_ms = read_varint(r);
    out->flags = read_u8(r);
    read_groups(r, arena, out);
    bool in_bounds =
        out->id.length > 0 && out->id.length <= MACHINE_ID_BYTES_MAX && out->deadline_ms <= out->keep_until_ms;
    if (!in_bounds) reader__fail(r);
}

void transaction_answer_write(struct buffer *out, const struct transaction_answer *answer)
{
    ASSERT(answer->state >= TRANSACTION_GONE && answer->state <= TRANSACTION_ABORTED);
    struct buffer bytes;
    buffer_init(&bytes, out->bytes_max);
    write_u8(&bytes, (uint8_t)answer->state);
    write_u8(&bytes, (uint8_t)answer->reason);
    write_bytes(&bytes, answer->reply);
    write_bytes(&bytes, answer->holder);
    resp_write_bulk(out, buffer_slice(&bytes));
    buffer_deinit(&bytes);
}

enum status transaction_answer_read(struct slice bytes, struct transaction_answer *out)
{
    struct arena arena;
    arena_init(&arena);
    struct resp_value value;
    size_t used;
    enum status status = resp_read(bytes, &arena, &value, &used);
    arena_deinit(&arena); /* the text lies in `bytes` */
    if (status != STATUS_OK || used != bytes.length || value.type != RESP_BULK) return STATUS_MALFORMED;
    struct reader r = reader_of(value.text);
    struct transaction_answer answer;
    answer.state = (enum transaction_state)read_u8(&r);
    answer.reason = (enum transaction_reason)read_u8(&r);
    answer.reply = read_bytes(&r);
    answer.holder = read_bytes(&r);
    if (!reader_finished(&r)) return STATUS_MALFORMED;
    if (answer.state < TRANSACTION_GONE || answer.state > TRANSACTION_ABORTED) return STATUS_MALFORMED;
    if (answer.reason > TRANSACTION_NO_ROOM) return STATUS_MALFORMED;
    *out = answer;
    return STATUS_OK;
}

bool transaction_is_older(uint64_t a_age_ms, struct slice a_id, uint64_t b_age_ms, struct slice b_id)
{
    if (a_age_ms != b_age_ms) return a_age_ms < b_age_ms;
    return slice_compare(a_id, b_id) < 0;
}
