/* catalog.c: the tables, as a map from id to table in which `dropped` only ever becomes true, and the partitions that
 * each brings to this shard. What is in it was decided by the metadata group (docs/decisions/0009).
 *
 * Merging maps of two nodes is their union; it commutes, so gossip in any order ends in one catalog. Every shard of a
 * process keeps its own copy: in its log, ahead of the records of the table's partitions, and as a system record of
 * its store. The log's record of a table is kept (moved forward) for good; the system record makes sure that the table
 * is known before the log is replayed, whichever order reclaiming left behind.
 *
 * G1  An id is never reused: dropped tables keep their entry (S17).
 * G2  One live table has a name. Who hears of a new one before it hears that the old one was dropped shows the
 *     smaller id meanwhile, and the other as superseded.
 * G3  Slots live as long as the shard: requests under way may point to a dropped table's.
 */
#include "base/memory.h"
#include "node/shard_internal.h"

enum { CATALOG_BYTES_MAX = 4 * 1024 * 1024 };
static const char system_key[] = "catalog", default_key[] = "default", founding_key[] = "founding";

/* ---- finding ---- */

struct table_slot *catalog__by_name(struct shard *s, struct slice name)
{
    for (uint32_t i = 0; i < s->tables_count; i++) {
        struct table_slot *table = s->tables[i];
        if (table->state == TABLE_LIVE && slice_equal(slice_of_string(table->table.name), name)) return table;
    }
    return NULL;
}

struct table_slot *catalog__by_id(struct shard *s, uint64_t id)
{
    for (uint32_t i = 0; i < s->tables_count; i++) {
        if (s->tables[i]->table.id == id) return s->tables[i];
    }
    return NULL;
}

struct partition_slot *catalog__slot(struct shard *s, uint64_t table, uint16_t partition)
{
    struct table_slot *slot = catalog__by_id(s, table);
    if (!slot || !slot->partitions || slot->state == TABLE_DROPPED) return NULL;
    return partition < slot->table.contract.partitions ? &slot->partitions[partition] : NULL;
}

/* ---- partitions ---- */

/* How gladly we ask a node: less is better. */
static uint64_t distance(const struct shard *s, uint8_t node)
{
    const struct topology *t = shard__topology(s);
    uint8_t here = shard__self(s)->region, there = t->nodes[node].region;
    if (node == s->config.node) return 0;
    return here == there ? 1 : 2 + (uint64_t)t->links[here][there].latency_us;
}

static void sort_by_distance(const struct shard *s, uint8_t *nodes, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        uint8_t node = nodes[i];
        uint32_t at = i;
        for (; at > 0 && distance(s, nodes[at - 1]) > distance(s, node); at--) nodes[at] = nodes[at - 1];
        nodes[at] = node;
    }
}

uint8_t shard__of_partition(uint64_t table, uint16_t partition, uint8_t shards)
{
    if (shards <= 1 || table == TABLE_ID_META) return 0;
    uint64_t words[2] = {table, partition};
    return (uint8_t)(hash_bytes(slice_of(words, sizeof words), 0) % shards);
}

struct slice catalog__rest_meta(const struct shard *s, uint64_t table, uint16_t partition)
{
    for (uint32_t i = 0; i < s->rest_count; i++) {
        if (s->rest[i].table == table && s->rest[i].partition == partition) return buffer_slice(&s->rest[i].bytes);
    }
    return slice_of(NULL, 0);
}

static enum conflict_policy policy_of(const struct contract *c)
{
    switch (c->conflict) {
    case CONTRACT_LWW: return CONFLICT_LWW;
    case CONTRACT_SIBLINGS: return CONFLICT_SIBLINGS;
    case CONTRACT_UPDATE_WINS: return CONFLICT_UPDATE_WINS;
    case CONTRACT_DELETE_WINS: return CONFLICT_DELETE_WINS;
    }
    PANIC("conflict %d", (int)c->conflict);
}

static enum status open_replica(struct shard *s, struct partition_slot *slot, const uint8_t *nodes, uint32_t count,
                                bool joins)
{
    const struct topology *t = shard__topology(s);
    struct replica_config config = {.table = slot->table->table.id,
                                    .partition = slot->partition,
                                    .policy = policy_of(&slot->table->table.contract),
                                    .self = shard__self(s)->number,
                                    .members_count = count,
                                    .backlog_bytes_max = s->config.backlog_bytes_max,
                                    .hlc = &s->hlc,
                                    .prng = &s->prng,
                                    .store = s->store,
                                    .effects = {slot, peer__send_replica, peer__send_room, pubsub__notice}};
    for (uint32_t i = 0; i < count; i++) config.members[i].node = t->nodes[nodes[i]].number;
    struct slice meta = catalog__rest_meta(s, config.table, config.partition);
    enum status status = replica_open(&config, meta, joins, &slot->replica);
    if (status != STATUS_OK) {
        slot->replica = NULL;
        return status;
    }
    if (s->opening) return STATUS_OK;
    replica_start(slot->replica, s->log, s->now);
    shard__touch(slot);
    for (uint32_t i = 0; i < count; i++) {
        if (s->peers[nodes[i]].up) replica_on_peer_up(slot->replica, t->nodes[nodes[i]].number, s->now);
    }
    return STATUS_OK;
}

static enum status open_partitions(struct shard *s, struct table_slot *table, bool joins)
{
    const struct contract *contract = &table->table.contract;
    table->partitions = memory_zalloc(contract->partitions, sizeof *table->partitions);
    for (uint16_t p = 0; p < contract->partitions; p++) {
        struct partition_slot *slot = &table->partitions[p];
        uint8_t nodes[TOPOLOGY_NODES_MAX];
        uint32_t count = placement_nodes(shard__topology(s), contract, table->table.id, p, nodes);
        slot->shard = s;
        slot->table = table;
        slot->partition = p;
        slot->owner_shard = shard__of_partition(table->table.id, p, s->config.shards);
        slot->nodes = memory_alloc(count);
        slot->nodes_count = (uint8_t)count;
        sort_by_distance(s, nodes, count);
        memcpy(slot->nodes, nodes, count);
        slot->leader_node = NODE_NONE;
        bool is_here = nodes[0] == s->config.node && slot->owner_shard == s->config.shard;
        if (!is_here || table->state == TABLE_HIDDEN) continue;
        bool is_ordered = contract->engine == ENGINE_ORDERED;
        enum status status = is_ordered ? ordered__open(slot, joins) : open_replica(s, slot, nodes, count, joins);
        if (status != STATUS_OK) {
            shard__log(s, 'E', "partition-unreadable", "table=%s partition=%u status=\"%s\"", table->table.name,
                       (unsigned)p, status_name(status));
            return status;
        }
    }
    return STATUS_OK;
}

static void drop_partitions(struct shard *s, struct table_slot *table)
{
    for (uint16_t p = 0; table->partitions && p < table->table.contract.partitions; p++) {
        struct partition_slot *slot = &table->partitions[p];
        if (slot->group) ordered__drop(slot);
        if (!slot->replica) continue;
        if (list_node_is_linked(&slot->active)) list_remove(&slot->active);
        replica_drop(slot->replica);
        slot->replica = NULL;
    }
    s->catalog_generation++;
}

/* ---- merging ---- */

/* Equal for equal catalogs, in whatever order they became known. */
static void digest(struct shard *s)
{
    s->catalog_digest = 0;
    for (uint32_t i = TABLES_FIXED; i < s->tables_count; i++) {
        uint64_t words[2] = {s->tables[i]->table.id, s->tables[i]->table.dropped};
        s->catalog_digest += hash_bytes(slice_of(words, sizeof words), 0);
    }
}

/* G2 */
static void settle_names(struct shard *s)
{
    for (uint32_t i = TABLES_FIXED; i < s->tables_count; i++) {
        struct table_slot *table = s->tables[i];
        enum table_state state = table->table.dropped ? TABLE_DROPPED : TABLE_LIVE;
        for (uint32_t j = TABLES_FIXED; j < s->tables_count && state == TABLE_LIVE; j++) {
            const struct table *other = &s->tables[j]->table;
            if (!other->dropped && other->id < table->table.id && strcmp(other->name, table->table.name) == 0) {
                state = TABLE_SUPERSEDED;
            }
        }
        table->state = state;
    }
    s->catalog_generation++;
    digest(s);
}

static enum status log_table(struct shard *s, const struct table *table, uint64_t *out_lsn)
{
    struct buffer bytes;
    struct log_location at;
    buffer_init(&bytes, 64 * 1024);
    table_write(&bytes, table, shard__topology(s));
    enum status status = log_append_reserved(s->log, 0, 0, LOG_CATALOG, buffer_slice(&bytes), out_lsn, &at);
    buffer_deinit(&bytes);
    return status;
}

/* The other shards of the process learn it from the first. */
static void mirror(struct shard *s, const struct table *table, bool joins)
{
    if (s->config.shard != 0 || s->opening) return;
    buffer_clear(&s->frame);
    write_u8(&s->frame, joins);
    table_write(&s->frame, table, shard__topology(s));
    for (uint8_t i = 1; i < s->config.shards; i++) {
        if (!s->ports.shard_send(s->ports.world, i, SHARD_CATALOG, buffer_slice(&s->frame))) s->mirror_again = true;
    }
}

void catalog__mirror_all(struct shard *s)
{
    s->mirror_again = false;
    for (uint32_t i = TABLES_FIXED; i < s->tables_count; i++) mirror(s, &s->tables[i]->table, true);
}

bool catalog__on_mirror(struct shard *s, struct slice body)
{
    struct reader r = reader_of(body);
    struct table table;
    uint64_t lsn;
    bool joins = read_u8(&r);
    if (r.failed || table_read(slice_of(r.at, reader_left(&r)), shard__topology(s), &table) != STATUS_OK) return false;
    if (catalog__merge(s, &table, joins, &lsn) != STATUS_OK)
        shard__log(s, 'W', "table-not-taken", "name=%s", table.name);
    return true;
}

static struct table_slot *add_table(struct shard *s, const struct table *table)
{
    struct table_slot *slot = memory_zalloc(1, sizeof *slot);
    slot->table = *table;
    slot->state = table->dropped ? TABLE_DROPPED : TABLE_LIVE;
    s->tables[s->tables_count++] = slot;
    if (table->id >> 16 > s->catalog_last_ms) s->catalog_last_ms = table->id >> 16;
    return slot;
}

enum status catalog__merge(struct shard *s, const struct table *table, bool joins, uint64_t *out_lsn)
{
    struct table_slot *slot = catalog__by_id(s, table->id);
    *out_lsn = slot ? slot->record_lsn : 0;
    if (table->id <= TABLE_ID_META || (slot && (slot->table.dropped || !table->dropped))) return STATUS_OK;
    if (!slot && s->tables_count == TABLES_MAX) return STATUS_LIMIT;
    if (!s->opening) {
        enum status status = log_table(s, table, out_lsn);
        if (status != STATUS_OK) return status;
    }
    if (slot) {
        slot->table.dropped = true;
        drop_partitions(s, slot);
    } else {
        slot = add_table(s, table);
        enum status status = table->dropped ? STATUS_OK : open_partitions(s, slot, joins);
        if (status != STATUS_OK && !s->opening) PANIC("table %s can't be opened: %s", table->name, status_name(status));
        if (status != STATUS_OK) return status;
    }
    slot->record_lsn = *out_lsn;
    settle_names(s);
    if (!s->opening) {
        shard__log(s, 'I', table->dropped ? "table-dropped" : "table-created", "name=%s id=%llx", table->name,
                   (unsigned long long)table->id);
        catalog__save(s);
        mirror(s, table, joins);
    }
    return STATUS_OK;
}

/* ---- table `default`: its contract is the configuration's, and must stay what its data was written under ---- */

struct default_record {
    struct shard *shard;
    bool is_there, is_readable;
    struct table table;
};

static void on_default_record(void *user, struct slice key, struct slice value)
{
    struct default_record *record = user;
    if (!slice_equal(key, slice_of_string(default_key))) return;
    record->is_there = true;
    record->is_readable = table_read(value, shard__topology(record->shard), &record->table) == STATUS_OK;
}

static void keep_default(struct shard *s, const struct table *table)
{
    struct buffer bytes;
    buffer_init(&bytes, 64 * 1024);
    table_write(&bytes, table, shard__topology(s));
    store_put_system(s->store, slice_of_string(default_key), buffer_slice(&bytes));
    buffer_deinit(&bytes);
}

/* Another number of partitions would look for every key elsewhere; another engine or rule would break the promise. */
static bool default_fits(const struct contract *now, const struct contract *then)
{
    bool same = now->engine == then->engine && now->partitions == then->partitions;
    return same &&
           (now->engine == ENGINE_MERGEABLE || commit_rule_equal(&now->durability.rule, &then->durability.rule));
}

enum status catalog__open(struct shard *s, struct buffer *error)
{
    struct table table = {.id = TABLE_ID_DEFAULT, .name = "default"};
    struct default_record record = {.shard = s};
    contract_default(shard__topology(s), &table.contract);
    store_visit_system(s->store, on_default_record, &record);
    if (record.is_readable && !default_fits(&table.contract, &record.table.contract)) {
        buffer_append_format(error,
                             "the configuration gives table 'default' another contract than this folder's data was "
                             "written under; that was: ");
        contract_format(&record.table.contract, shard__topology(s), error);
        return STATUS_VERSION;
    }
    if (!record.is_there) keep_default(s, &table);
    struct table_slot *slot = add_table(s, &table);
    s->open_status = open_partitions(s, slot, true);
    metadata__open(s);
    settle_names(s);
    return STATUS_OK;
}

struct table_slot *catalog__add_hidden(struct shard *s, const struct table *table)
{
    struct table_slot *slot = add_table(s, table);
    slot->state = TABLE_HIDDEN;
    if (open_partitions(s, slot, true) != STATUS_OK) PANIC("table %s opens nothing and fails", table->name);
    return slot;
}

/* ---- as bytes: the system record, and gossip ---- */

void catalog__encode(struct shard *s, struct buffer *out)
{
    struct buffer one;
    buffer_init(&one, 64 * 1024);
    write_varint(out, s->tables_count - TABLES_FIXED);
    for (uint32_t i = TABLES_FIXED; i < s->tables_count; i++) { /* everybody has the others */
        buffer_clear(&one);
        table_write(&one, &s->tables[i]->table, shard__topology(s));
        write_bytes(out, buffer_slice(&one));
    }
    buffer_deinit(&one);
}

bool catalog__merge_encoded(struct shard *s, struct slice bytes, bool joins)
{
    struct reader r = reader_of(bytes);
    uint64_t count = read_varint(&r);
    if (r.failed || count > TABLES_MAX) return false;
    for (uint64_t i = 0; i < count; i++) {
        struct table table;
        uint64_t lsn;
        struct slice one = read_bytes(&r);
        enum status status = r.failed ? STATUS_MALFORMED : table_read(one, shard__topology(s), &table);
        if (status == STATUS_MALFORMED || status == STATUS_VERSION) return false;
        if (status == STATUS_OK) status = catalog__merge(s, &table, joins, &lsn);
        if (status != STATUS_OK) shard__log(s, 'W', "table-not-taken", "status=\"%s\"", status_name(status));
        if (status != STATUS_OK && s->opening) s->open_status = status;
    }
    return reader_finished(&r);
}

void catalog__save(struct shard *s)
{
    struct buffer bytes;
    buffer_init(&bytes, CATALOG_BYTES_MAX);
    catalog__encode(s, &bytes);
    store_put_system(s->store, slice_of_string(system_key), buffer_slice(&bytes));
    store_flush(s->store);
    s->catalog_unsaved = true;
    buffer_deinit(&bytes);
}

void catalog__save_founding(struct shard *s, struct slice founders)
{
    store_put_system(s->store, slice_of_string(founding_key), founders);
    store_flush(s->store);
    s->catalog_unsaved = true;
}

void catalog__on_system_record(void *user, struct slice key, struct slice value)
{
    struct shard *s = user;
    if (slice_equal(key, slice_of_string(founding_key))) metadata__on_system_record(s, value);
    if (!slice_equal(key, slice_of_string(system_key))) return;
    if (!catalog__merge_encoded(s, value, true)) s->open_status = STATUS_CORRUPT;
}

/* ---- the log's records of tables ---- */

void catalog__replay(struct shard *s, const struct log_record *record)
{
    struct table table;
    uint64_t lsn;
    if (record->kind == LOG_FOUNDING) {
        metadata__replay(s, record);
        return;
    }
    enum status status = table_read(record->payload, shard__topology(s), &table);
    if (status == STATUS_OK) status = catalog__merge(s, &table, true, &lsn);
    if (status != STATUS_OK) {
        s->open_status = status;
        return;
    }
    catalog__by_id(s, table.id)->record_lsn = record->lsn;
}

bool catalog__record_is_live(struct shard *s, const struct log_record *record)
{
    struct table table;
    if (record->kind == LOG_FOUNDING) return metadata__record_is_live(s, record);
    if (record->kind != LOG_CATALOG || table_read(record->payload, shard__topology(s), &table) != STATUS_OK)
        return false;
    struct table_slot *slot = catalog__by_id(s, table.id);
    return slot && slot->record_lsn == record->lsn;
}

void catalog__record_moved(struct shard *s, const struct log_record *record)
{
    struct table table;
    if (record->kind == LOG_FOUNDING) metadata__record_moved(s, record);
    if (record->kind != LOG_CATALOG || table_read(record->payload, shard__topology(s), &table) != STATUS_OK) return;
    struct table_slot *slot = catalog__by_id(s, table.id);
    if (slot) slot->record_lsn = record->lsn;
}

/* ---- while opening: what is at rest ---- */

void catalog__keep_rest(void *user, uint64_t table, uint16_t partition, struct slice meta)
{
    struct shard *s = user;
    s->rest = memory_realloc(s->rest, (s->rest_count + 1) * sizeof *s->rest);
    struct rest_meta *rest = &s->rest[s->rest_count++];
    *rest = (struct rest_meta){.table = table, .partition = partition};
    buffer_init(&rest->bytes, FRAME_BODY_BYTES_MAX);
    buffer_append_slice(&rest->bytes, meta);
}

void catalog__forget_rest(struct shard *s)
{
    for (uint32_t i = 0; i < s->rest_count; i++) buffer_deinit(&s->rest[i].bytes);
    memory_free(s->rest);
    s->rest = NULL;
    s->rest_count = 0;
}

void catalog__free(struct shard *s)
{
    for (uint32_t i = 0; i < s->tables_count; i++) {
        struct table_slot *table = s->tables[i];
        for (uint16_t p = 0; table->partitions && p < table->table.contract.partitions; p++) {
            replica_free(table->partitions[p].replica);
            group_free(table->partitions[p].group);
            memory_free(table->partitions[p].nodes);
        }
        memory_free(table->partitions);
        memory_free(table);
    }
    catalog__forget_rest(s);
}
