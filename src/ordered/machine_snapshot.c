/* machine_snapshot.c: sending the state as of one position while the machine goes on.
 *
 *     stream = magic:u32 version:u8 state:bytes { space:u8 key:bytes object:bytes }* end:u8 records:varint
 *
 * N1  Every item that stood at the snapshot's position is sent as it stood then: by the walk if its version is not
 * newer, else it was appended to the pending bytes before its first change. One that a MULTI changed and put back may
 * be sent twice, with the same bytes.
 */
#include "base/memory.h"
#include "ordered/machine_internal.h"
#include "ordered/machine_stream.h"
#include "wire/varint.h"

enum { SNAPSHOT_PENDING_BYTES_MAX = 256 << 20, SNAPSHOT_STEP_ITEMS = 16 };

struct machine_snapshot {
    struct machine *machine;
    uint64_t index, term;
    enum store_space_kind kind; /* SPACE_KIND_COUNT: everything was walked */
    uint64_t cursor;
    struct buffer pending; /* of the stream, not yet given out */
    size_t given;          /* of `pending` */
    uint64_t records;
    bool is_lost;
    bool has_ended; /* the end record is in `pending` */
};

static struct store_space *space_of(struct machine *m, enum store_space_kind kind)
{
    return kind == SPACE_DATA ? m->data : m->records;
}

struct machine_snapshot *machine_snapshot_begin(struct machine *m)
{
    uint32_t place = 0;
    while (place < MACHINE_SNAPSHOTS_MAX && m->snapshots[place]) place++;
    if (place == MACHINE_SNAPSHOTS_MAX) return NULL;
    struct machine_snapshot *s = memory_zalloc(1, sizeof *s);
    s->machine = m;
    s->index = m->state.applied_index;
    s->term = m->state.applied_term;
    buffer_init(&s->pending, SNAPSHOT_PENDING_BYTES_MAX);
    buffer_clear(&m->scratch);
    machine__encode_state(&m->state, true, &m->scratch);
    write_u32(&s->pending, STREAM_MAGIC);
    write_u8(&s->pending, STREAM_VERSION);
    write_bytes(&s->pending, buffer_slice(&m->scratch));
    m->snapshots[place] = s;
    return s;
}

void machine_snapshot_end(struct machine_snapshot *s)
{
    if (!s) return;
    for (uint32_t i = 0; i < MACHINE_SNAPSHOTS_MAX; i++) {
        if (s->machine->snapshots[i] == s) s->machine->snapshots[i] = NULL;
    }
    buffer_deinit(&s->pending);
    memory_free(s);
}

uint64_t machine_snapshot_index(const struct machine_snapshot *s)
{
    return s->index;
}

uint64_t machine_snapshot_term(const struct machine_snapshot *s)
{
    return s->term;
}

void machine__snapshots_lose(struct machine *m)
{
    for (uint32_t i = 0; i < MACHINE_SNAPSHOTS_MAX; i++) {
        if (m->snapshots[i]) m->snapshots[i]->is_lost = true;
    }
}

static void append_item(struct machine_snapshot *s, const struct store_space *space, const struct store_item *item)
{
    struct machine *m = s->machine;
    bool is_value = space == m->data;
    write_u8(&s->pending, is_value ? SPACE_DATA : SPACE_LEDGER);
    write_bytes(&s->pending, store_item_key(item));
    buffer_clear(&m->scratch);
    machine__functions(is_value ? SPACE_DATA : SPACE_LEDGER)->encode(item->object, &m->scratch);
    ASSERT(!m->scratch.overflowed);
    write_bytes(&s->pending, buffer_slice(&m->scratch));
    s->records++;
    if (s->pending.overflowed) s->is_lost = true;
}

void machine__snapshots_keep(struct machine *m, struct store_space *space, const struct store_item *item,
                             uint64_t version)
{
    enum store_space_kind kind = space == m->data ? SPACE_DATA : SPACE_LEDGER;
    for (uint32_t i = 0; i < MACHINE_SNAPSHOTS_MAX; i++) {
        struct machine_snapshot *s = m->snapshots[i];
        if (LIKELY(!s) || s->is_lost || version > s->index) continue;
        bool is_passed = kind < s->kind || (kind == s->kind && item->hash < s->cursor);
        if (!is_passed) append_item(s, space, item);
    }
}

/* ---- the walk ---- */

struct walk {
    struct machine_snapshot *snapshot;
    struct machine_answer *answer;
    struct store_space *space;
};

static void look_for_cold(void *user, struct store_item *item)
{
    const struct walk *walk = user;
    if (store_item_is_cold(item)) machine__note_cold(walk->answer, walk->space, item);
}

static void send_item(void *user, struct store_item *item)
{
    const struct walk *walk = user;
    struct machine_snapshot *s = walk->snapshot;
    const struct machine *m = s->machine;
    uint64_t version = walk->space == m->data ? ((const struct value *)item->object)->version
                                              : ((const struct record *)item->object)->version;
#ifdef PLANTED_BUG_SNAPSHOT_WITHOUT_OUTCOMES
    if (walk->space != m->data) return;
#endif
    if (version <= s->index) append_item(s, walk->space, item);
}

static void end_stream(struct machine_snapshot *s)
{
    write_u8(&s->pending, STREAM_END);
    write_varint(&s->pending, s->records);
    s->has_ended = true;
    if (s->pending.overflowed) s->is_lost = true;
}

static bool meets_cold(struct walk *walk, uint32_t items)
{
    uint64_t cursor = walk->snapshot->cursor;
    walk->answer->cold_count = 0;
    store_scan(walk->space, &cursor, items, look_for_cold, walk);
    return walk->answer->cold_count > 0;
}

/* One step. False: something is cold. Then only the next item is asked for: where memory is short, the first of many
 * would be cold again before the last is there. */
static bool walk_on(struct machine_snapshot *s, struct machine_answer *answer)
{
    struct walk walk = {s, answer, space_of(s->machine, s->kind)};
    uint32_t items = meets_cold(&walk, SNAPSHOT_STEP_ITEMS) ? 1 : SNAPSHOT_STEP_ITEMS;
    if (items == 1 && meets_cold(&walk, items)) return false;
    if (store_scan(walk.space, &s->cursor, items, send_item, &walk)) return true;
    s->cursor = 0;
    s->kind++;
    if (s->kind == SPACE_KIND_COUNT) end_stream(s);
    return true;
}

enum machine_snapshot_result machine_snapshot_next(struct machine_snapshot *s, size_t bytes_max, struct buffer *out,
                                                   struct machine_answer *answer)
{
    ASSERT(bytes_max > 0);
    *answer = (struct machine_answer){0};
    bool is_hot = true;
    while (!s->is_lost && !s->has_ended && is_hot && s->pending.length - s->given < bytes_max) {
        is_hot = walk_on(s, answer);
    }
    if (s->is_lost) return SNAPSHOT_LOST;
    size_t bytes = s->pending.length - s->given;
    if (bytes == 0 && !is_hot) return SNAPSHOT_COLD;
    if (bytes > bytes_max) bytes = bytes_max;
    buffer_append(out, s->pending.data + s->given, bytes);
    s->given += bytes;
    if (s->given == s->pending.length || s->given > s->pending.length / 2) {
        buffer_consume(&s->pending, s->given);
        s->given = 0;
    }
    return s->has_ended && s->pending.length == s->given ? SNAPSHOT_LAST : SNAPSHOT_CHUNK;
}
