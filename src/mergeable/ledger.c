/* ledger.c: the conflict ledger of a partition (S13): what was acknowledged, is not visible, and nobody replaced.
 *
 * An entry lives in its own space of the store, written back in the same batch as the data (S3), so that it is as
 * durable as the winner. Entries come and go by the events of object_apply() and object_merge() alone, in log order: a
 * replay makes the same ledger.
 *
 * K1  Item key: key hash, dot, column hash, 32 bytes, big endian; the store hash is a hash of all of it. Every entry is
 * in the index by key (ledger_index.h) and every place in the index is an entry. K2  Which entries there are is a
 * function of the set of applied writes. The winner an entry names is not: it is the one that was met here first.
 */
#include "mergeable/replica_internal.h"

#include "base/hash.h"
#include "base/memory.h"

#include <stdio.h>

enum { ENTRY_VERSION = 1, ENTRY_BYTES_MAX = LOG_RECORD_BYTES_MAX };

/* What the store holds: the encoded entry, decoded on demand. */
struct entry_object {
    uint32_t length;
    uint8_t bytes[];
};

static struct slice entry_slice(const void *object)
{
    const struct entry_object *e = object;
    return slice_of(e->bytes, e->length);
}

static struct entry_object *entry_new(struct slice bytes)
{
    struct entry_object *e = memory_alloc(sizeof *e + bytes.length);
    e->length = (uint32_t)bytes.length;
    memcpy(e->bytes, bytes.data, bytes.length);
    return e;
}

static void encode_entry(const void *object, struct buffer *out)
{
    buffer_append_slice(out, entry_slice(object));
}

/* ---- keys ---- */

static void put_u64(uint8_t *out, uint64_t value)
{
    for (int i = 0; i < 8; i++) out[i] = (uint8_t)(value >> (56 - 8 * i));
}

static uint64_t get_u64(const uint8_t *in)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) value = value << 8 | in[i];
    return value;
}

static void make_item_key(const struct ledger_place *place, uint8_t out[LEDGER_KEY_BYTES])
{
    put_u64(out, place->key_hash);
    put_u64(out + 8, place->dot.replica);
    put_u64(out + 16, place->dot.counter);
    put_u64(out + 24, place->column_hash);
}

bool replica__ledger_key_read(struct slice item_key, struct ledger_place *out)
{
    if (item_key.length != LEDGER_KEY_BYTES) return false;
    out->key_hash = get_u64(item_key.data);
    out->dot = (struct dot){get_u64(item_key.data + 8), get_u64(item_key.data + 16)};
    out->column_hash = get_u64(item_key.data + 24);
    return !dot_is_none(out->dot);
}

uint64_t replica__column_hash(struct slice column)
{
    return column.length ? hash_bytes(column, 0) : 0;
}

struct store_item *ledger_find(struct replica *r, const struct ledger_place *place)
{
    uint8_t key[LEDGER_KEY_BYTES];
    make_item_key(place, key);
    struct slice k = slice_of(key, sizeof key);
    return store_find(r->ledger, k, hash_bytes(k, 0));
}

uint64_t ledger_count(const struct replica *r)
{
    return store_space_count(r->ledger);
}

/* ---- entries ---- */

static void entry_write(struct buffer *b, const struct ledger_entry *e)
{
    write_u8(b, ENTRY_VERSION);
    write_u8(b, (uint8_t)e->state);
    write_u8(b, (uint8_t)e->reason);
    write_u8(b, (uint8_t)e->kind);
    write_varint(b, e->stamp);
    dot_write(b, e->winner);
    write_bytes(b, e->key);
    write_bytes(b, e->column);
    write_bytes(b, e->value);
}

/* Everything but the dot, which is in the item's key. */
static bool entry_read(struct slice bytes, struct ledger_entry *out)
{
    struct reader r = reader_of(bytes);
    uint8_t version = read_u8(&r), state = read_u8(&r), reason = read_u8(&r), kind = read_u8(&r);
    struct ledger_entry e = {
        .state = (enum ledger_state)state, .reason = (enum ledger_reason)reason, .kind = (enum ledger_kind)kind};
    e.stamp = read_varint(&r);
    e.winner = dot_read(&r);
    e.key = read_bytes(&r);
    e.column = read_bytes(&r);
    e.value = read_bytes(&r);
    if (!reader_finished(&r) || version != ENTRY_VERSION) return false;
    if (state < LEDGER_OPEN || state > LEDGER_RESTORED || reason == 0 || reason >= LEDGER_REASON_COUNT) return false;
    if (kind < LEDGER_STRING || kind > LEDGER_EXPIRE) return false;
    *out = e;
    return true;
}

static void *decode_entry(struct slice key, struct slice bytes)
{
    struct ledger_place place;
    struct ledger_entry e;
    if (!replica__ledger_key_read(key, &place) || !entry_read(bytes, &e)) return NULL;
    return entry_new(bytes);
}

static size_t bytes_of_entry(const void *object)
{
    return memory_usable_bytes(object);
}

const struct store_object_functions replica__ledger_functions = {
    .encode = encode_entry,
    .decode = decode_entry,
    .free = memory_free,
    .bytes = bytes_of_entry,
};

enum status ledger_decode(struct slice item_key, const void *object, struct ledger_entry *out)
{
    struct ledger_place place;
    struct ledger_entry e;
    if (!replica__ledger_key_read(item_key, &place) || !entry_read(entry_slice(object), &e)) return STATUS_CORRUPT;
    e.dot = place.dot;
    *out = e;
    return STATUS_OK;
}

/* ---- changes ---- */

static void put_entry(struct replica *r, struct store_item *item, struct slice bytes, uint64_t lsn)
{
    store_will_change(r->ledger, item, lsn);
    memory_free(item->object);
    item->object = entry_new(bytes);
    store_changed(r->ledger, item);
}

static struct store_item *insert_entry(struct replica *r, const struct ledger_place *place)
{
    uint8_t key[LEDGER_KEY_BYTES];
    make_item_key(place, key);
    struct slice k = slice_of(key, sizeof key);
    ledger_index_add(&r->ledger_keys, place);
    replica__account_ledger(r, place->dot, 1);
    return store_insert(r->ledger, k, hash_bytes(k, 0));
}

void replica__ledger_add(struct replica *r, struct slice key, uint64_t hash, const struct object_event *e, uint64_t lsn)
{
    struct ledger_place place = {.dot = e->dot, .key_hash = hash, .column_hash = replica__column_hash(e->column)};
    if (ledger_find(r, &place)) return;
    struct ledger_entry entry = {
        .dot = e->dot,
        .stamp = e->stamp,
        .reason = e->reason,
        .kind = e->kind,
        .state = LEDGER_OPEN,
        .winner = e->winner,
        .key = key,
        .column = e->column,
        .value = e->value,
    };
    buffer_clear(&r->scratch);
    entry_write(&r->scratch, &entry);
    put_entry(r, insert_entry(r, &place), buffer_slice(&r->scratch), lsn);
}

void replica__ledger_remove_item(struct replica *r, struct store_item *item, uint64_t lsn)
{
    struct ledger_place place;
    bool ok = replica__ledger_key_read(store_item_key(item), &place);
    ASSERT(ok);
    ledger_index_remove(&r->ledger_keys, &place);
    replica__account_ledger(r, place.dot, -1);
    store_remove(r->ledger, item, lsn);
}

/* Any entry of the dot: its place, or false. */
static bool find_any(const struct ledger_index *x, uint64_t hash, struct dot dot, struct ledger_place *out)
{
    uint32_t count;
    const struct ledger_place *places = ledger_index_of_key(x, hash, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (!dot_equal(places[i].dot, dot)) continue;
        *out = places[i];
        return true;
    }
    return false;
}

static void withdraw_place(struct replica *r, struct slice key, const struct ledger_place *place,
                           const struct object_event *e, uint64_t lsn)
{
    struct store_item *item = ledger_find(r, place);
    if (!item) return;
    replica__ledger_remove_item(r, item, lsn);
    /* Without a kind the event says that a write observed the entry; with one, that its value is in the object again,
     * and what becomes of it there is another event. */
    if (e->kind == 0) replica__account_withdrawn(r, key, place->key_hash, place->dot);
}

void replica__ledger_withdraw(struct replica *r, struct slice key, uint64_t hash, const struct object_event *e,
                              uint64_t lsn)
{
    struct ledger_place place = {.dot = e->dot, .key_hash = hash, .column_hash = replica__column_hash(e->column)};
    if (!e->every_column) {
        withdraw_place(r, key, &place, e, lsn);
    } else {
        while (find_any(&r->ledger_keys, hash, e->dot, &place)) withdraw_place(r, key, &place, e, lsn);
    }
}

bool replica__ledger_take(struct replica *r, struct slice item_key, struct slice bytes, uint64_t lsn)
{
    struct ledger_place place;
    struct ledger_entry theirs, ours;
    if (!replica__ledger_key_read(item_key, &place) || !entry_read(bytes, &theirs)) return false;
    struct store_item *item = ledger_find(r, &place);
    if (!item) {
        put_entry(r, insert_entry(r, &place), bytes, lsn);
    } else if (ledger_decode(item_key, item->object, &ours) == STATUS_OK && theirs.state > ours.state) {
        put_entry(r, item, bytes, lsn);
    }
    return true;
}

/* ---- all entries of one key ---- */

void replica__ledger_visit(struct replica *r, uint64_t hash, void (*visit)(void *user, struct store_item *item),
                           void *user)
{
    uint32_t count;
    const struct ledger_place *places = ledger_index_of_key(&r->ledger_keys, hash, &count);
    for (uint32_t i = 0; i < count; i++) {
        struct store_item *item = ledger_find(r, &places[i]);
        ASSERT(item); /* K1 */
        visit(user, item);
    }
}

static void index_item(void *user, struct store_item *item)
{
    struct replica *r = user;
    struct ledger_place place;
    if (replica__ledger_key_read(store_item_key(item), &place)) ledger_index_add(&r->ledger_keys, &place);
}

void replica__ledger_open(struct replica *r)
{
    uint64_t cursor = 0;
    while (store_scan(r->ledger, &cursor, 1024, index_item, r)) continue;
}

bool replica__ledger_has(void *user, struct dot dot, struct slice column)
{
    const struct ledger_view *view = user;
    uint32_t count;
    if (!ledger_index_of_key(&view->replica->ledger_keys, view->hash, &count)) return false;
    struct ledger_place any;
    if (!column.data) return find_any(&view->replica->ledger_keys, view->hash, dot, &any);
    struct ledger_place place = {.dot = dot, .key_hash = view->hash, .column_hash = replica__column_hash(column)};
    return ledger_find(view->replica, &place) != NULL;
}

/* ---- WRITE_RESTORE_MARK ---- */

struct marking {
    struct replica *replica;
    struct dot dot;
    enum ledger_state state;
    uint64_t lsn;
};

static void mark_entry(void *user, struct store_item *item)
{
    const struct marking *m = user;
    struct ledger_entry e;
    if (ledger_decode(store_item_key(item), item->object, &e) != STATUS_OK) return;
    if (!dot_equal(e.dot, m->dot) || e.state >= m->state) return;
    e.state = m->state;
    struct buffer bytes;
    buffer_init(&bytes, ENTRY_BYTES_MAX);
    entry_write(&bytes, &e);
    put_entry(m->replica, item, buffer_slice(&bytes), m->lsn);
    buffer_deinit(&bytes);
}

void replica__ledger_mark(struct replica *r, const struct write *w, uint64_t hash, uint64_t lsn)
{
    struct reader reader = reader_of(w->body);
    struct marking m = {.replica = r, .dot = dot_read(&reader), .lsn = lsn};
    uint8_t state = read_u8(&reader);
    if (!reader_finished(&reader) || state < LEDGER_OPEN || state > LEDGER_RESTORED) return;
    m.state = (enum ledger_state)state;
    replica__ledger_visit(r, hash, mark_entry, &m);
}

static void note_cold(void *user, struct store_item *item)
{
    struct store_item **cold = user;
    if (store_item_is_cold(item)) *cold = item;
}

static void on_warm(struct replica *r, const struct wait *w, enum status status, struct slice payload)
{
    (void)w;
    (void)payload;
    MAYBE(status == STATUS_OK);
    replica__deliver_waiting(r);
}

bool replica__ledger_mark_is_cold(struct replica *r, const struct write *w, uint64_t hash)
{
    if (w->kind != WRITE_RESTORE_MARK) return false;
    struct store_item *cold = NULL;
    replica__ledger_visit(r, hash, note_cold, &cold);
    if (!cold) return false;
    struct wait *wait = replica__wait_new(r, 0);
    wait->done = on_warm;
    store_fetch(r->ledger, cold, replica__wait_fetch_done, wait);
    return true;
}

/* ---- ids ---- */

void ledger_id_format(const struct replica *r, const struct ledger_entry *e, char out[LEDGER_ID_BYTES_MAX])
{
    (void)snprintf(out, LEDGER_ID_BYTES_MAX, "%llx.%x.%llx.%llx.%llx.%llx", (unsigned long long)r->config.table,
                   (unsigned)r->config.partition, (unsigned long long)e->dot.replica,
                   (unsigned long long)e->dot.counter, (unsigned long long)hash_key(e->key),
                   (unsigned long long)replica__column_hash(e->column));
}

enum { ID_FIELDS = 6 };

/* One lower-case hexadecimal field up to the next dot or the end, without superfluous zeros. */
static bool read_field(struct slice *io_text, uint64_t *out)
{
    uint64_t value = 0;
    size_t used = 0;
    while (used < io_text->length && io_text->data[used] != '.') {
        uint8_t c = io_text->data[used++];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0 || used > 16) return false;
        value = value << 4 | (uint64_t)digit;
    }
    if (used == 0 || (used > 1 && io_text->data[0] == '0')) return false;
    *io_text = slice_skip(*io_text, used);
    *out = value;
    return true;
}

bool ledger_id_parse(struct slice text, uint64_t *out_table, uint16_t *out_partition, struct ledger_place *out_place)
{
    uint64_t fields[ID_FIELDS];
    for (int i = 0; i < ID_FIELDS; i++) {
        if (i > 0) {
            if (text.length == 0) return false;
            text = slice_skip(text, 1);
        }
        if (!read_field(&text, &fields[i])) return false;
    }
    if (text.length > 0 || fields[1] > UINT16_MAX || fields[3] == 0) return false;
    *out_table = fields[0];
    *out_partition = (uint16_t)fields[1];
    *out_place = (struct ledger_place){.dot = {fields[2], fields[3]}, .key_hash = fields[4], .column_hash = fields[5]};
    return true;
}
