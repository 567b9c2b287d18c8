/* metadata.c: founding the metadata group, and taking into the catalog what it has decided. See metadata.h.
 *
 * Whoever coordinates a creation or a drop tells all nodes that it can reach (table_protocol.c), and nodes tell each
 * other when they meet. If the coordinator is gone before it did, the group's members find the table in the state that
 * they have applied, at the second look after it came.
 */
#include "node/metadata.h"

#include "base/memory.h"
#include "node/shard_internal.h"

enum { SCAN_ITEMS = 256 };

static const char table_prefix[] = "table:";

void metadata__open(struct shard *s)
{
    struct table table = {.id = TABLE_ID_META, .name = "metadata"};
    table.contract = (struct contract){.engine = ENGINE_ORDERED,
                                       .partitions = 1,
                                       .durability = {.kind = DURABILITY_MAJORITY},
                                       .read = CONTRACT_READ_LINEARIZABLE};
    s->metadata.table = catalog__add_hidden(s, &table);
}

struct partition_slot *metadata__slot(const struct shard *s)
{
    return &s->metadata.table->partitions[0];
}

bool metadata__is_meta(const struct partition_slot *slot)
{
    return slot->table->table.id == TABLE_ID_META;
}

static bool is_member(const struct shard *s)
{
    return metadata__slot(s)->nodes[0] == s->config.node && s->config.shard == 0;
}

bool metadata__waits(const struct shard *s)
{
    return is_member(s) && s->metadata.founders_count == 0;
}

/* ---- founders as bytes ---- */

static void write_founders(struct buffer *out, const struct founder *founders, uint32_t count)
{
    write_u8(out, (uint8_t)count);
    for (uint32_t i = 0; i < count; i++) {
        write_u32(out, founders[i].number);
        write_u64(out, founders[i].folder_id);
    }
}

static bool read_founders(struct reader *r, struct founder out[PLAN_META_VOTERS_MAX], uint8_t *out_count)
{
    uint8_t count = read_u8(r);
    if (r->failed || count > PLAN_META_VOTERS_MAX) return false;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = read_u32(r);
        out[i].folder_id = read_u64(r);
        if (r->failed || number == 0 || number > UINT16_MAX) return false;
        out[i].number = (uint16_t)number;
    }
    *out_count = count;
    return true;
}

/* ---- founding ---- */

static bool is_founder(const struct shard *s)
{
    const struct metadata *m = &s->metadata;
    for (uint32_t i = 0; i < m->founders_count; i++) {
        const struct founder *f = &m->founders[i];
        if (f->number == shard__self(s)->number && f->folder_id == s->config.folder_id) return true;
    }
    return false;
}

/* The group is here from now on; F2. While opening it is started later, with all others. */
static void take_part(struct shard *s)
{
    enum status status = ordered__open(metadata__slot(s), !is_founder(s));
    if (status != STATUS_OK && !s->opening) PANIC("the metadata group can't be opened: %s", status_name(status));
    if (status != STATUS_OK) s->open_status = status;
}

/* F1: the record goes ahead of the group's own in the log. Without room for it we stay blank and try again. */
static void found(struct shard *s, const struct founder *founders, uint8_t count)
{
    struct metadata *m = &s->metadata;
    struct log_location at;
    struct buffer bytes;
    buffer_init(&bytes, FRAME_BODY_BYTES_MAX);
    write_founders(&bytes, founders, count);
    if (log_append_reserved(s->log, 0, 0, LOG_FOUNDING, buffer_slice(&bytes), &m->record_lsn, &at) == STATUS_OK) {
        memcpy(m->founders, founders, count * sizeof *founders);
        m->founders_count = count;
        catalog__save_founding(s, buffer_slice(&bytes));
        take_part(s);
        shard__log(s, 'I', "metadata-founded", "members=%u joins=%d", (unsigned)count, !is_founder(s));
    }
    buffer_deinit(&bytes);
}

/* When every other member has said, over a connection that lasts, that it is blank. */
static void try_to_found(struct shard *s)
{
    const struct partition_slot *slot = metadata__slot(s);
    struct founder founders[PLAN_META_VOTERS_MAX];
    for (uint32_t i = 0; i < slot->nodes_count; i++) {
        uint8_t node = slot->nodes[i];
        bool is_self = node == s->config.node;
        const struct peer *peer = &s->peers[node];
        if (!is_self && (!peer->up || !peer->said_hello || !peer->is_blank)) return;
        founders[i].number = shard__topology(s)->nodes[node].number;
        founders[i].folder_id = is_self ? s->config.folder_id : peer->folder_id;
    }
    found(s, founders, slot->nodes_count);
    for (uint32_t i = 0; i < slot->nodes_count; i++) {
        if (s->peers[slot->nodes[i]].up) peer__say_hello(s, slot->nodes[i]);
    }
}

void metadata__write_greeting(const struct shard *s, struct buffer *out)
{
    write_founders(out, s->metadata.founders, s->metadata.founders_count);
}

bool metadata__on_greeting(struct shard *s, uint8_t node, struct reader *r)
{
    struct founder founders[PLAN_META_VOTERS_MAX];
    uint8_t count;
    uint64_t folder_id = read_u64(r);
    if (!read_founders(r, founders, &count)) return false;
    s->peers[node].folder_id = folder_id;
    s->peers[node].is_blank = count == 0;
    if (!metadata__waits(s)) return true;
    if (count) {
        found(s, founders, count);
    } else {
        try_to_found(s);
    }
    return true;
}

/* ---- at rest and in the log ---- */

static bool restore(struct shard *s, struct slice bytes)
{
    struct metadata *m = &s->metadata;
    struct reader r = reader_of(bytes);
    bool was_founded = m->founders_count > 0;
    if (!read_founders(&r, m->founders, &m->founders_count) || !reader_finished(&r)) return false;
    if (!was_founded && m->founders_count && is_member(s)) take_part(s);
    return true;
}

void metadata__on_system_record(struct shard *s, struct slice value)
{
    if (!restore(s, value)) s->open_status = STATUS_CORRUPT;
}

void metadata__replay(struct shard *s, const struct log_record *record)
{
    if (!restore(s, record->payload)) s->open_status = STATUS_CORRUPT;
    s->metadata.record_lsn = record->lsn;
}

bool metadata__record_is_live(const struct shard *s, const struct log_record *record)
{
    return s->metadata.record_lsn == record->lsn;
}

void metadata__record_moved(struct shard *s, const struct log_record *record)
{
    s->metadata.record_lsn = record->lsn;
}

/* ---- what was decided ---- */

struct taking {
    struct arena arena;
    struct slice keys[2 * TABLES_MAX]; /* of tables whose present state may be unknown to the catalog */
    uint32_t count;
};

static bool is_table_key(struct slice key)
{
    size_t prefix = sizeof table_prefix - 1;
    return key.length > prefix && memcmp(key.data, table_prefix, prefix) == 0;
}

static void note_table(void *user, struct store_item *item)
{
    struct taking *taking = user;
    struct slice key = store_item_key(item);
    if (!is_table_key(key) || taking->count == sizeof taking->keys / sizeof taking->keys[0]) return;
    taking->keys[taking->count++] = arena_copy(&taking->arena, key);
}

/* The answer of GET. */
static void take_table(struct shard *s, struct slice reply, struct arena *arena)
{
    struct resp_value value;
    struct table table;
    size_t used;
    uint64_t lsn;
    enum status status = resp_read(reply, arena, &value, &used);
    if (status == STATUS_OK) status = table_read(value.text, shard__topology(s), &table);
    if (status == STATUS_OK) status = catalog__merge(s, &table, true, &lsn);
    if (status != STATUS_OK) shard__log(s, 'W', "table-not-taken", "status=\"%s\"", status_name(status));
}

static void fetched(void *user, enum status status)
{
    struct shard *s = user;
    s->metadata.fetching = false;
    if (status != STATUS_OK) shard__log(s, 'E', "fetch-failed", "status=\"%s\"", status_name(status));
}

/* False: it is cold, and on its way. */
static bool take_key(struct shard *s, struct machine *machine, struct slice key, struct arena *arena)
{
    struct slice args[] = {SLICE_LITERAL("get"), key};
    struct machine_answer answer = {0};
    struct buffer reply;
    buffer_init(&reply, FRAME_BODY_BYTES_MAX);
    enum machine_result result = machine_read(machine, 0, 2, args, 2, arena, &reply, &answer);
    if (result == MACHINE_DONE) {
        take_table(s, buffer_slice(&reply), arena);
    } else if (result == MACHINE_COLD) {
        s->metadata.fetching = true;
        store_fetch(answer.cold[0].space, answer.cold[0].item, fetched, s);
    }
    buffer_deinit(&reply);
    return result == MACHINE_DONE;
}

static bool take_tables(struct shard *s)
{
    struct machine *machine = group_machine(metadata__slot(s)->group);
    struct taking *taking = memory_zalloc(1, sizeof *taking);
    uint64_t cursor = 0;
    bool taken = true;
    arena_init(&taking->arena);
    while (store_scan(machine_data_space(machine), &cursor, SCAN_ITEMS, note_table, taking)) continue;
    for (uint32_t i = 0; i < taking->count && taken; i++) taken = take_key(s, machine, taking->keys[i], &taking->arena);
    arena_deinit(&taking->arena);
    memory_free(taking);
    return taken;
}

/* At the second look: until then the coordinator may be telling everybody itself. */
static void look_at_decisions(struct shard *s)
{
    struct metadata *m = &s->metadata;
    uint64_t applied = machine_applied_index(group_machine(metadata__slot(s)->group)), seen = m->seen_index;
    m->seen_index = applied;
    if (m->fetching || applied == m->taken_index || applied != seen) return;
    if (take_tables(s)) m->taken_index = applied;
}

void metadata__tick(struct shard *s)
{
    if (metadata__waits(s)) try_to_found(s);
    if (metadata__slot(s)->group) look_at_decisions(s);
}
