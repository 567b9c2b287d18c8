/* machine_record.c: locks and other named bytes beside the values, for transactions (S10).
 *
 *     name = kind:u8 name      record of a lock = the transaction's id
 */
#include "base/hash.h"
#include "ordered/machine_internal.h"

struct slice machine__record_name(struct machine *m, char kind, struct slice name)
{
    ASSERT(name.length <= MACHINE_KEY_BYTES_MAX);
    buffer_clear(&m->scratch);
    buffer_append_byte(&m->scratch, (uint8_t)kind);
    buffer_append_slice(&m->scratch, name);
    return buffer_slice(&m->scratch);
}

static struct store_item *find_record(struct machine *m, char kind, struct slice name)
{
    struct slice full = machine__record_name(m, kind, name);
    return store_find(m->records, full, hash_key(full));
}

enum machine_result machine_record_get(struct machine *m, enum machine_record_kind kind, struct slice name,
                                       bool *out_found, struct slice *out_bytes, struct machine_answer *answer)
{
    struct store_item *item = find_record(m, (char)kind, name);
    if (item && store_item_is_cold(item)) {
        machine__note_cold(answer, m->records, item);
        return MACHINE_COLD;
    }
    *out_found = item != NULL;
    *out_bytes = item ? record_bytes(item->object) : (struct slice){0};
    return MACHINE_DONE;
}

void machine_record_put(struct machine *m, uint64_t lsn, uint64_t index, enum machine_record_kind kind,
                        struct slice name, struct slice bytes)
{
    struct store_item *item = find_record(m, (char)kind, name);
    ASSERT(!item || !store_item_is_cold(item));
    if (kind == MACHINE_RECORD_LOCK && !item) m->state.locks_count++;
    if (kind == MACHINE_RECORD_HOLD && !item) m->state.holds_count++;
    if (kind == MACHINE_RECORD_LEDGER && !item) m->state.ledger_count++;
    machine__put_record(m, machine__record_name(m, (char)kind, name), bytes, lsn, index);
}

void machine_record_remove(struct machine *m, uint64_t lsn, uint64_t index, enum machine_record_kind kind,
                           struct slice name)
{
    struct store_item *item = find_record(m, (char)kind, name);
    if (!item) return;
    ASSERT(!store_item_is_cold(item));
    ASSERT(((const struct record *)item->object)->version <= index);
    if (kind == MACHINE_RECORD_LOCK) m->state.locks_count--;
    if (kind == MACHINE_RECORD_HOLD) m->state.holds_count--;
    if (kind == MACHINE_RECORD_LEDGER) m->state.ledger_count--;
    machine__remove_record(m, item, lsn);
}

struct visit {
    char kind;
    void (*visit)(void *user, struct slice name, bool is_cold, struct slice bytes);
    void *user;
};

static void visit_record(void *user, struct store_item *item)
{
    const struct visit *visit = user;
    struct slice name = store_item_key(item);
    if (name.data[0] != (uint8_t)visit->kind) return;
    bool is_cold = store_item_is_cold(item);
    visit->visit(visit->user, slice_skip(name, 1), is_cold, is_cold ? (struct slice){0} : record_bytes(item->object));
}

void machine_record_visit(struct machine *m, enum machine_record_kind kind,
                          void (*visit)(void *user, struct slice name, bool is_cold, struct slice bytes), void *user)
{
    struct visit all = {(char)kind, visit, user};
    uint64_t cursor = 0;
    while (store_scan(m->records, &cursor, UINT32_MAX, visit_record, &all)) {}
}

/* ---- locks ---- */

uint64_t machine_locks_count(const struct machine *m)
{
    return m->state.locks_count;
}

uint64_t machine_ledger_count(const struct machine *m)
{
    return m->state.ledger_count;
}

enum machine_result machine__lock_meets(struct machine *m, struct slice key, struct machine_answer *answer)
{
    bool found;
    struct slice id;
    if (machine_record_get(m, MACHINE_RECORD_LOCK, key, &found, &id, answer) == MACHINE_COLD) return MACHINE_COLD;
    if (!found) return MACHINE_DONE;
    answer->locked_by = id;
    return MACHINE_LOCKED;
}

enum machine_result machine_lock(struct machine *m, uint64_t lsn, uint64_t index, struct slice key, struct slice id,
                                 struct machine_answer *answer)
{
    ASSERT(id.length > 0 && id.length <= MACHINE_ID_BYTES_MAX);
    *answer = (struct machine_answer){0};
    enum machine_result result = machine__lock_meets(m, key, answer);
    if (result != MACHINE_DONE) return result;
    machine_record_put(m, lsn, index, MACHINE_RECORD_LOCK, key, id);
    return MACHINE_DONE;
}

enum machine_result machine_unlock(struct machine *m, uint64_t lsn, uint64_t index, struct slice key, struct slice id,
                                   struct machine_answer *answer)
{
    *answer = (struct machine_answer){0};
    enum machine_result result = machine__lock_meets(m, key, answer);
    if (result != MACHINE_LOCKED) return result;
    if (!slice_equal(answer->locked_by, id)) return MACHINE_LOCKED;
    machine_record_remove(m, lsn, index, MACHINE_RECORD_LOCK, key);
    return MACHINE_DONE;
}
