/* linear_model.c: registers, counters, lists and banks, one operation at a time.
 *
 * A list's content is its head and the number of the content behind it; a bank's is its balances. Contents are interned
 * in a hash table of open addressing, which is never more than half full.
 */
#include "sim/linear_model.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/hash.h"
#include "base/memory.h"

enum { SLOTS = 2 * LINEAR_STATES_MAX, NO_STATE = 0 };

struct content {
    int64_t words[LINEAR_ACCOUNTS_MAX]; /* list: the head, the rest's number, the length; bank: balances */
};

enum list_word { LIST_HEAD, LIST_REST, LIST_LENGTH };

struct linear_model {
    enum linear_kind kind;
    uint32_t accounts;
    uint64_t first;
    struct content *contents; /* by number; 0 is the empty list, and no bank's */
    uint32_t count;
    uint32_t *slots; /* numbers; NO_STATE is a free slot */
};

/* The number of this content, or NO_STATE when there is no room for another. */
static uint64_t intern(struct linear_model *m, const struct content *content)
{
    uint64_t slot = hash_bytes(slice_of(content, sizeof *content), 0) % SLOTS;
    while (m->slots[slot] != NO_STATE) {
        if (memcmp(&m->contents[m->slots[slot]], content, sizeof *content) == 0) return m->slots[slot];
        slot = (slot + 1) % SLOTS;
    }
    if (m->count == LINEAR_STATES_MAX) return NO_STATE;
    m->contents[m->count] = *content;
    m->slots[slot] = m->count;
    return m->count++;
}

struct linear_model *linear_model_new(enum linear_kind kind, const int64_t *balances, uint32_t accounts)
{
    ASSERT(accounts <= LINEAR_ACCOUNTS_MAX);
    struct linear_model *m = memory_zalloc(1, sizeof *m);
    *m = (struct linear_model){.kind = kind, .accounts = accounts, .count = 1};
    if (kind != LINEAR_LIST && kind != LINEAR_BANK) return m;
    m->contents = memory_zalloc(LINEAR_STATES_MAX, sizeof *m->contents);
    m->slots = memory_zalloc(SLOTS, sizeof *m->slots);
    if (kind == LINEAR_LIST) return m;
    struct content content = {0};
    memcpy(content.words, balances, accounts * sizeof *balances);
    m->first = intern(m, &content);
    return m;
}

void linear_model_free(struct linear_model *m)
{
    if (!m) return;
    memory_free(m->contents);
    memory_free(m->slots);
    memory_free(m);
}

uint64_t linear_model_first(const struct linear_model *m)
{
    return m->first;
}

bool linear_model_takes(enum linear_kind kind, enum ordered_kind operation)
{
    switch (operation) {
    case ORDERED_SET:
    case ORDERED_CAS:
    case ORDERED_DELETE: return kind == LINEAR_REGISTER;
    case ORDERED_GET: return kind == LINEAR_REGISTER || kind == LINEAR_COUNTER;
    case ORDERED_ADD: return kind == LINEAR_COUNTER;
    case ORDERED_PUSH:
    case ORDERED_POP:
    case ORDERED_RANGE: return kind == LINEAR_LIST;
    case ORDERED_TRANSFER:
    case ORDERED_BALANCES: return kind == LINEAR_BANK;
    case ORDERED_EXPIRE:
    case ORDERED_KINDS: break;
    }
    return false;
}

/* ---- steps ---- */

/* After it the state is `next`, if `shown` is what it returned, or nobody knows what it returned. */
static enum linear_step step_to(const struct ordered_operation *op, int64_t shown, uint64_t state, uint64_t next,
                                uint64_t *out_state)
{
    bool known = op->outcome == ORDERED_DONE;
    if (known ? op->result != shown : next == state) return LINEAR_NO_STEP;
    *out_state = next;
    return LINEAR_STEP;
}

static enum linear_step step_list(struct linear_model *m, uint64_t state, const struct ordered_operation *op,
                                  uint64_t *out_state)
{
    const int64_t *list = m->contents[state].words;
    if (op->kind == ORDERED_POP) return step_to(op, list[LIST_HEAD], state, (uint64_t)list[LIST_REST], out_state);
    struct content longer = {0};
    longer.words[LIST_HEAD] = (int64_t)op->value;
    longer.words[LIST_REST] = (int64_t)state;
    longer.words[LIST_LENGTH] = list[LIST_LENGTH] + 1;
    uint64_t next = intern(m, &longer);
    if (next == NO_STATE) return LINEAR_FULL;
    return step_to(op, longer.words[LIST_LENGTH], state, next, out_state);
}

static bool list_equals(const struct linear_model *m, uint64_t state, const int64_t *items, uint32_t count)
{
    if (m->contents[state].words[LIST_LENGTH] != (int64_t)count) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (m->contents[state].words[LIST_HEAD] != items[i]) return false;
        state = (uint64_t)m->contents[state].words[LIST_REST];
    }
    return true;
}

static enum linear_step step_transfer(struct linear_model *m, uint64_t state, const struct ordered_operation *op,
                                      uint64_t *out_state)
{
    ASSERT(op->from < m->accounts && op->to < m->accounts);
    int64_t amount = (int64_t)op->value;
    if (m->contents[state].words[op->from] < amount) return step_to(op, 0, state, state, out_state);
    struct content moved = m->contents[state];
    moved.words[op->from] -= amount;
    moved.words[op->to] += amount;
    uint64_t next = intern(m, &moved);
    if (next == NO_STATE) return LINEAR_FULL;
    return step_to(op, 1, state, next, out_state);
}

/* An operation that returns items and changes nothing: is that what it returned? */
static enum linear_step step_items(bool equal, uint64_t state, uint64_t *out_state)
{
    if (!equal) return LINEAR_NO_STEP;
    *out_state = state;
    return LINEAR_STEP;
}

static bool balances_equal(const struct linear_model *m, uint64_t state, const int64_t *items, uint32_t count)
{
    return count && count == m->accounts && memcmp(m->contents[state].words, items, count * sizeof *items) == 0;
}

/* A SET returns nothing that could contradict. */
static enum linear_step step_set(const struct ordered_operation *op, uint64_t *out_state)
{
    *out_state = op->value;
    return LINEAR_STEP;
}

enum linear_step linear_model_step(struct linear_model *m, uint64_t state, const struct ordered_operation *op,
                                   const int64_t *items, uint64_t *out_state)
{
    ASSERT(linear_model_takes(m->kind, op->kind) && op->outcome != ORDERED_REFUSED);
    const int64_t *seen = op->items_count ? items + op->items_at : NULL;
    bool swaps;
    switch (op->kind) {
    case ORDERED_SET: return step_set(op, out_state);
    case ORDERED_GET: return step_to(op, (int64_t)state, state, state, out_state);
    case ORDERED_CAS:
        swaps = state == op->expected;
        return step_to(op, swaps, state, swaps ? op->value : state, out_state);
    case ORDERED_DELETE: return step_to(op, state != 0, state, 0, out_state);
    case ORDERED_ADD: return step_to(op, (int64_t)(state + op->value), state, state + op->value, out_state);
    case ORDERED_PUSH:
    case ORDERED_POP: return step_list(m, state, op, out_state);
    case ORDERED_RANGE:
        if (op->outcome != ORDERED_DONE) return LINEAR_NO_STEP;
        return step_items(list_equals(m, state, seen, op->items_count), state, out_state);
    case ORDERED_TRANSFER: return step_transfer(m, state, op, out_state);
    case ORDERED_BALANCES:
        if (op->outcome != ORDERED_DONE) return LINEAR_NO_STEP;
        return step_items(balances_equal(m, state, seen, op->items_count), state, out_state);
    case ORDERED_EXPIRE:
    case ORDERED_KINDS: break;
    }
    return LINEAR_NO_STEP;
}

/* ---- text ---- */

static void content_text(const struct linear_model *m, uint64_t state, char out[LINEAR_STATE_TEXT_BYTES])
{
    size_t length = (size_t)snprintf(out, LINEAR_STATE_TEXT_BYTES, "[");
    bool is_list = m->kind == LINEAR_LIST;
    uint32_t count = is_list ? (uint32_t)m->contents[state].words[LIST_LENGTH] : m->accounts;
    for (uint32_t i = 0; i < count; i++) {
        if (length + DECIMAL_BYTES_MAX + 8 > LINEAR_STATE_TEXT_BYTES) {
            length += (size_t)snprintf(out + length, LINEAR_STATE_TEXT_BYTES - length, " ...");
            break;
        }
        int64_t word = m->contents[state].words[is_list ? LIST_HEAD : i];
        if (is_list) state = (uint64_t)m->contents[state].words[LIST_REST];
        length +=
            (size_t)snprintf(out + length, LINEAR_STATE_TEXT_BYTES - length, "%s%lld", i ? " " : "", (long long)word);
    }
    snprintf(out + length, LINEAR_STATE_TEXT_BYTES - length, "]");
}

void linear_model_state_text(const struct linear_model *m, uint64_t state, char out[LINEAR_STATE_TEXT_BYTES])
{
    switch (m->kind) {
    case LINEAR_REGISTER:
    case LINEAR_COUNTER: snprintf(out, LINEAR_STATE_TEXT_BYTES, "%llu", (unsigned long long)state); return;
    case LINEAR_LIST:
    case LINEAR_BANK: content_text(m, state, out); return;
    }
}
