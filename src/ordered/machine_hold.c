/* machine_hold.c: money set aside: what a HOLD took from its account until it is settled, voided, or expires.
 *
 *     name = 'h' id      record = account:bytes amount:varint expires:varint
 *     id   = "h-" table "-" partition "-" index "-" count      (of the entry that was first answered with it)
 *
 * H1  The amount of a hold is in no account; sum(accounts + holds) changes by SETTLE alone.
 * H2  Whatever changes a hold touches its account too, so the account's lock guards both.
 */
#include "ordered/command.h"

#include "base/hash.h"
#include "wire/varint.h"

static enum status hold_read(struct slice record, struct hold *out)
{
    struct reader r = reader_of(record);
    out->account = read_bytes(&r);
    out->amount = (int64_t)read_varint(&r);
    out->expires_at_ms = read_varint(&r);
    return reader_finished(&r) ? STATUS_OK : STATUS_CORRUPT;
}

uint64_t machine__hold_expires_ms(struct slice record)
{
    struct hold hold;
    enum status status = hold_read(record, &hold);
    ASSERT(status == STATUS_OK); /* we wrote it */
    return hold.expires_at_ms;
}

enum machine_result machine__hold_find(struct machine *m, struct slice id, bool *out_found, struct hold *out,
                                       struct machine_answer *answer)
{
    struct slice bytes;
    *out_found = false;
    if (id.length == 0 || id.length > MACHINE_ID_BYTES_MAX) return MACHINE_DONE;
    enum machine_result result = machine_record_get(m, MACHINE_RECORD_HOLD, id, out_found, &bytes, answer);
    if (result != MACHINE_DONE || !*out_found) return result;
    enum status status = hold_read(bytes, out);
    ASSERT(status == STATUS_OK); /* we wrote it */
    return MACHINE_DONE;
}

enum machine_result machine__hold_gather(struct machine *m, const struct hold *hold, struct machine_answer *answer)
{
    struct store_item *item = store_find(m->data, hold->account, hash_key(hold->account));
    if (item && store_item_is_cold(item)) {
        machine__note_cold(answer, m->data, item);
        return MACHINE_COLD;
    }
    return m->state.locks_count > 0 ? machine__lock_meets(m, hold->account, answer) : MACHINE_DONE;
}

void machine__hold_put(struct call *call, struct slice id, const struct hold *hold)
{
    struct machine *m = call->machine;
    struct buffer bytes;
    buffer_init(&bytes, 2 * (size_t)MACHINE_KEY_BYTES_MAX);
    write_bytes(&bytes, hold->account);
    write_varint(&bytes, (uint64_t)hold->amount);
    write_varint(&bytes, hold->expires_at_ms);
    ASSERT(!bytes.overflowed);
    machine_record_put(m, call->lsn, call->index, MACHINE_RECORD_HOLD, id, buffer_slice(&bytes));
    buffer_deinit(&bytes);
    machine__queue_hold(m, id, hold->expires_at_ms);
}

bool machine__hold_expire(struct applying *a, struct slice id)
{
    struct machine *m = a->machine;
    struct hold hold;
    bool found;
    enum machine_result result = machine__hold_find(m, id, &found, &hold, a->answer);
    ASSERT(result == MACHINE_DONE && found); /* gathered, and the caller saw it */
    if (machine__hold_gather(m, &hold, a->answer) != MACHINE_DONE) return false;
    hold.account = arena_copy(&m->arena, hold.account);
    size_t mark = a->reply->length;
    struct call call = {.machine = m,
                        .now_ms = a->now_ms,
                        .lsn = a->lsn,
                        .index = a->index,
                        .arena = &m->arena,
                        .reply = a->reply,
                        .resp_version = a->entry->resp_version};
    bool done = machine__account_add(&call, hold.account, hold.amount);
    a->reply->length = mark; /* the error of an account that is no number: it stays held */
    if (done) machine_record_remove(m, a->lsn, a->index, MACHINE_RECORD_HOLD, id);
    return done;
}

/* ---- ids ---- */

void machine__hold_id(const struct call *call, uint64_t count, struct buffer *out)
{
    const struct machine_config *config = &call->machine->config;
    buffer_append_format(out, "h-%llu-%u-%llu-%llu", (unsigned long long)config->table, config->partition,
                         (unsigned long long)call->draws_as, (unsigned long long)count);
}

/* The number before the next dash, which is taken too. */
static bool take_number(struct slice *rest, uint64_t *out)
{
    const uint8_t *dash = rest->length > 0 ? memchr(rest->data, '-', rest->length) : NULL;
    size_t bytes = dash ? (size_t)(dash - rest->data) : rest->length;
    if (!slice_to_u64(slice_of(rest->data, bytes), out)) return false;
    *rest = slice_skip(*rest, dash ? bytes + 1 : bytes);
    return true;
}

bool machine_hold_id_read(struct slice id, uint64_t *out_table, uint16_t *out_partition)
{
    struct slice rest = id;
    uint64_t table, partition, index, count;
    if (id.length < 2 || id.length > MACHINE_ID_BYTES_MAX || memcmp(id.data, "h-", 2) != 0) return false;
    rest = slice_skip(rest, 2);
    bool is_ours = take_number(&rest, &table) && take_number(&rest, &partition) && take_number(&rest, &index) &&
                   take_number(&rest, &count) && rest.length == 0;
    if (!is_ours || partition >= MACHINE_HOME_BIT) return false;
    *out_table = table;
    *out_partition = (uint16_t)partition;
    return true;
}
