/* machine_expire.c: what expires when. Expiry hides at once by the group's time; the leader proposes the removal.
 *
 * H1  Once learned, every value that expires is in the heap at a time not later than its expiry. One whose expiry moved
 *     on is queued again when its old time comes.
 * H2  The heap is bounded by what really expires: beyond that it is thrown away and learned again from the store, which
 *     reads cold values back one step after another. The same after a start, and after a snapshot was installed.
 */
#include "base/memory.h"
#include "ordered/machine_internal.h"

enum { LEARN_ITEMS = 64, HEAP_SPARE = 4096, HEAP_FACTOR = 4, STALE_MAX = 1024 };

/* ---- a binary heap by time ---- */

void machine__heap_push(struct expiry_heap *h, struct expiry entry)
{
    if (h->count == h->capacity) {
        h->capacity = h->capacity ? 2 * h->capacity : 64;
        h->all = memory_realloc(h->all, h->capacity * sizeof *h->all);
    }
    uint32_t at = h->count++;
    while (at > 0 && h->all[(at - 1) / 2].at_ms > entry.at_ms) {
        h->all[at] = h->all[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    h->all[at] = entry;
}

struct expiry machine__heap_pop(struct expiry_heap *h)
{
    struct expiry first = h->all[0], last = h->all[--h->count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= h->count) break;
        if (child + 1 < h->count && h->all[child + 1].at_ms < h->all[child].at_ms) child++;
        if (h->all[child].at_ms >= last.at_ms) break;
        h->all[at] = h->all[child];
        at = child;
    }
    h->all[at] = last;
    return first;
}

static void queue(struct machine *m, uint64_t hash, struct value *v)
{
    if (v->expire_at_ms == 0 || (v->queued_at_ms != 0 && v->queued_at_ms <= v->expire_at_ms)) return;
    v->queued_at_ms = v->expire_at_ms;
    machine__heap_push(&m->expiries, (struct expiry){.at_ms = v->expire_at_ms, .hash = hash});
}

void machine__expiry_changed(struct machine *m, uint64_t hash, struct value *v, uint64_t before_ms)
{
    m->state.expiring_count += (v->expire_at_ms != 0) - (uint64_t)(before_ms != 0);
    queue(m, hash, v);
    struct expiry_heap *h = &m->expiries;
    if (h->count <= HEAP_FACTOR * m->state.expiring_count + HEAP_SPARE) return;
    h->count = 0; /* H2 */
    h->is_learned = m->state.expiring_count == 0;
    h->learn_cursor = 0;
}

uint64_t machine_expires_at_ms(const struct machine *m)
{
    if (!m->expiries.is_learned) return 0;
    uint64_t key_ms = m->expiries.count > 0 ? m->expiries.all[0].at_ms : UINT64_MAX;
    uint64_t record_ms = machine__due_sweep_ms(m);
    return key_ms < record_ms ? key_ms : record_ms;
}

/* ---- learning ---- */

struct learning {
    struct machine *machine;
    struct machine_answer *answer;
};

static void learn_item(void *user, struct store_item *item)
{
    const struct learning *learning = user;
    if (store_item_is_cold(item)) {
        machine__note_cold(learning->answer, learning->machine->data, item);
        return;
    }
    struct value *v = item->object;
    v->queued_at_ms = 0;
    queue(learning->machine, item->hash, v);
}

/* One step over the store. COLD: the same step again once that is fetched; it may queue some twice, which is only dear.
 */
static enum machine_result learn(struct machine *m, struct machine_answer *answer)
{
    struct learning learning = {m, answer};
    uint64_t cursor = m->expiries.learn_cursor;
    bool more = store_scan(m->data, &cursor, LEARN_ITEMS, learn_item, &learning);
    if (answer->cold_count > 0) return MACHINE_COLD;
    m->expiries.learn_cursor = cursor;
    m->expiries.is_learned = !more;
    return MACHINE_DONE;
}

/* ---- what is due ---- */

struct due {
    struct machine *machine;
    struct machine_answer *answer;
    uint64_t hash, now_ms;
    struct slice *keys;
    size_t count;
};

static void look_at(void *user, struct store_item *item)
{
    struct due *due = user;
    if (item->hash != due->hash) return;
    if (store_item_is_cold(item)) {
        machine__note_cold(due->answer, due->machine->data, item);
        return;
    }
    struct value *v = item->object;
    if (v->expire_at_ms != 0 && v->expire_at_ms <= due->now_ms) {
        if (due->count < MACHINE_EXPIRE_KEYS_MAX) due->keys[due->count++] = store_item_key(item);
    } else {
        v->queued_at_ms = 0;
        queue(due->machine, item->hash, v);
    }
}

/* Until the entry is applied the keys stay in the heap, a little later, so that one that is lost is proposed again. */
static void queue_again(struct machine *m, const struct due *due, uint64_t now_ms)
{
    enum { EXPIRE_RETRY_MS = 1000 };
    for (size_t i = 0; i < due->count; i++) {
        const struct store_item *item = CONTAINER_OF(due->keys[i].data, struct store_item, key);
        struct value *v = item->object;
        v->queued_at_ms = now_ms + EXPIRE_RETRY_MS;
        machine__heap_push(&m->expiries, (struct expiry){.at_ms = v->queued_at_ms, .hash = item->hash});
    }
}

static enum machine_result find_due(struct machine *m, struct due *due)
{
    for (uint32_t i = 0; i < STALE_MAX && due->count < MACHINE_EXPIRE_KEYS_MAX; i++) {
        if (m->expiries.count == 0 || m->expiries.all[0].at_ms > due->now_ms) break;
        struct expiry first = machine__heap_pop(&m->expiries);
        due->hash = first.hash;
        uint64_t cursor = first.hash;
        store_scan(m->data, &cursor, 1, look_at, due);
        if (due->answer->cold_count == 0) continue;
        machine__heap_push(&m->expiries, first);
        if (due->count > 0) break; /* what is found is of use without it */
        return MACHINE_COLD;
    }
    due->answer->cold_count = 0;
    return MACHINE_DONE;
}

enum machine_result machine_expire(struct machine *m, uint64_t now_ms, struct buffer *out_entry,
                                   struct machine_answer *answer)
{
    *answer = (struct machine_answer){0};
    if (!m->expiries.is_learned) return learn(m, answer);
    if (!m->due.is_learned) return machine__due_learn(m, answer);
    struct slice keys[MACHINE_EXPIRE_KEYS_MAX], records[MACHINE_EXPIRE_KEYS_MAX];
    struct due due = {.machine = m, .answer = answer, .now_ms = now_ms, .keys = keys};
    if (find_due(m, &due) == MACHINE_COLD) return MACHINE_COLD;
    size_t records_count;
    enum machine_result result =
        machine__due_sweep(m, now_ms, records, MACHINE_EXPIRE_KEYS_MAX, &records_count, answer);
    if (due.count == 0 && records_count == 0) return result;
    answer->cold_count = 0;
    struct machine_args commands[] = {{keys, due.count}, {records, records_count}};
    struct machine_entry entry = {
        .kind = MACHINE_ENTRY_EXPIRE, .time_ms = now_ms, .resp_version = 2, .commands = commands, .commands_count = 2};
    machine_entry_write(out_entry, &entry);
    queue_again(m, &due, now_ms);
    return MACHINE_DONE;
}
