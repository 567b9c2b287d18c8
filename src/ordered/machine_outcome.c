/* machine_outcome.c: what became of which idempotency id (M5).
 *
 *     name  = 'o' hour:u32 (big endian) id          record = state:u8 resp_version:u8 reply
 *
 * The hour is the group's time when it came, in hours. To find an id, each hour that holds anything is asked: at most
 * OUTCOME_KEEP_HOURS + 1 look-ups. An hour is forgotten as a whole when all in it are old enough, at once by the counts
 * here; the records leave the store bit by bit (machine_work), which nobody can see.
 */
#include "base/hash.h"
#include "ordered/machine_internal.h"
#include "wire/resp.h"
#include "wire/varint.h"

enum { HOUR_MS = 3600 * 1000, HOUR_BYTES = 4, SWEEP_ITEMS = 32 };

static uint64_t hour_of(uint64_t time_ms)
{
    return time_ms / HOUR_MS;
}

static bool is_kept(uint64_t hour, uint64_t time_ms)
{
    return hour + OUTCOME_KEEP_HOURS >= hour_of(time_ms);
}

void machine__forget_hours(struct machine_state *state)
{
    for (uint32_t i = 0; i < OUTCOME_HOURS; i++) {
        struct outcome_hour *hour = &state->hours[i];
        if (hour->count > 0 && !is_kept(hour->hour, state->time_ms)) *hour = (struct outcome_hour){0};
    }
}

static struct slice outcome_name(struct machine *m, uint64_t hour, struct slice id)
{
    uint8_t head[1 + HOUR_BYTES] = {RECORD_OUTCOME, (uint8_t)(hour >> 24), (uint8_t)(hour >> 16), (uint8_t)(hour >> 8),
                                    (uint8_t)hour};
    buffer_clear(&m->scratch);
    buffer_append(&m->scratch, head, sizeof head);
    buffer_append_slice(&m->scratch, id);
    return buffer_slice(&m->scratch);
}

bool machine__outcome_is_kept(const struct machine *m, struct slice name)
{
    ASSERT(name.length >= 1 + HOUR_BYTES && name.data[0] == RECORD_OUTCOME);
    const uint8_t *b = name.data + 1;
    uint32_t hour = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    return is_kept(hour, m->state.time_ms);
}

enum machine_result machine__outcome_find(struct machine *m, struct slice id, struct record **out_record,
                                          struct machine_answer *answer)
{
    *out_record = NULL;
    for (uint32_t i = 0; i < OUTCOME_HOURS; i++) {
        const struct outcome_hour *hour = &m->state.hours[i];
        if (hour->count == 0 || !is_kept(hour->hour, m->state.time_ms)) continue;
        struct slice name = outcome_name(m, hour->hour, id);
        struct store_item *item = store_find(m->records, name, hash_key(name));
        if (!item) continue;
        if (store_item_is_cold(item)) {
            machine__note_cold(answer, m->records, item);
            return MACHINE_COLD;
        }
        if (answer->lsn < item->lsn) answer->lsn = item->lsn;
        *out_record = item->object;
        return MACHINE_DONE;
    }
    return MACHINE_DONE;
}

bool machine__outcomes_are_full(const struct machine *m)
{
    uint64_t count = 0, bytes = 0;
    for (uint32_t i = 0; i < OUTCOME_HOURS; i++) {
        count += m->state.hours[i].count;
        bytes += m->state.hours[i].count ? m->state.hours[i].bytes : 0;
    }
    return count >= OUTCOME_COUNT_MAX || bytes >= OUTCOME_BYTES_MAX;
}

void machine__outcome_put(struct machine *m, uint64_t lsn, uint64_t index, struct slice id, enum outcome_state state,
                          int resp_version, struct slice reply)
{
    uint64_t now = hour_of(m->state.time_ms);
    struct outcome_hour *hour = &m->state.hours[now % OUTCOME_HOURS];
    if (hour->count == 0) *hour = (struct outcome_hour){.hour = now};
    ASSERT(hour->hour == now); /* what stood there was forgotten when time came so far */
    hour->count++;
    hour->bytes += reply.length;

    struct slice name = arena_copy(&m->arena, outcome_name(m, now, id));
    buffer_clear(&m->scratch);
    write_u8(&m->scratch, (uint8_t)state);
    write_u8(&m->scratch, (uint8_t)resp_version);
    buffer_append_slice(&m->scratch, reply);
    machine__put_record(m, name, buffer_slice(&m->scratch), lsn, index);
}

/* ---- the reply, in the version that is asked for now ---- */

static void write_value(struct buffer *b, int version, const struct resp_value *v)
{
    switch (v->type) {
    case RESP_SIMPLE:
    case RESP_ERROR:
        buffer_append_byte(b, v->type == RESP_SIMPLE ? '+' : '-');
        buffer_append_slice(b, v->text);
        buffer_append(b, "\r\n", 2);
        return;
    case RESP_INTEGER: resp_write_integer(b, v->integer); return;
    case RESP_BULK:
    case RESP_VERBATIM:
    case RESP_BIG_NUMBER: resp_write_bulk(b, v->text); return;
    case RESP_NULL: resp_write_null(b, version); return;
    case RESP_BOOLEAN: resp_write_boolean(b, version, v->integer != 0); return;
    case RESP_DOUBLE:
        if (version < 3) {
            resp_write_bulk(b, v->text);
            return;
        }
        buffer_append_byte(b, ',');
        buffer_append_slice(b, v->text);
        buffer_append(b, "\r\n", 2);
        return;
    case RESP_ARRAY:
    case RESP_PUSH: resp_write_array(b, v->count); break;
    case RESP_SET: resp_write_set(b, version, v->count); break;
    case RESP_MAP: resp_write_map(b, version, v->count); break;
    }
    size_t items = v->type == RESP_MAP ? 2 * v->count : v->count;
    for (size_t i = 0; i < items; i++) write_value(b, version, &v->items[i]);
}

enum outcome_state machine__outcome_reply(const struct record *record, int resp_version, struct buffer *reply)
{
    struct slice bytes = record_bytes(record);
    ASSERT(bytes.length >= 2);
    struct slice kept = slice_skip(bytes, 2);
    if (bytes.data[1] == resp_version) {
        buffer_append_slice(reply, kept);
        return (enum outcome_state)bytes.data[0];
    }
    struct arena arena;
    arena_init(&arena);
    struct resp_value value;
    size_t used;
    enum status status = resp_read(kept, &arena, &value, &used);
    ASSERT(status == STATUS_OK); /* we wrote it */
    write_value(reply, resp_version, &value);
    arena_deinit(&arena);
    return (enum outcome_state)bytes.data[0];
}

enum machine_result machine_outcome(struct machine *m, struct slice id, int resp_version, struct buffer *reply,
                                    struct machine_answer *answer)
{
    *answer = (struct machine_answer){0};
    struct record *record;
    if (machine__outcome_find(m, id, &record, answer) == MACHINE_COLD) return MACHINE_COLD;
    answer->outcome = record ? machine__outcome_reply(record, resp_version, reply) : OUTCOME_UNKNOWN;
    return MACHINE_DONE;
}

/* ---- leaving the store ---- */

struct sweep {
    struct machine *machine;
    uint64_t lsn;
};

static void sweep_record(void *user, struct store_item *item)
{
    const struct sweep *sweep = user;
    struct slice name = store_item_key(item);
    if (name.data[0] != RECORD_OUTCOME || machine__outcome_is_kept(sweep->machine, name)) return;
    store_remove(sweep->machine->records, item, sweep->lsn);
}

/* Not while a snapshot is under way: what it sends is as of an earlier time. */
void machine_work(struct machine *m, uint64_t lsn)
{
    for (uint32_t i = 0; i < MACHINE_SNAPSHOTS_MAX; i++) {
        if (m->snapshots[i]) return;
    }
    if (store_space_count(m->records) == 0) return;
    struct sweep sweep = {m, lsn};
    if (!store_scan(m->records, &m->sweep_cursor, SWEEP_ITEMS, sweep_record, &sweep)) m->sweep_cursor = 0;
}
