/* commands_conflict.c: SIBLINGS and RESOLVE, CONFLICTS LIST, COUNT, SHOW and RESTORE.
 *
 * RESOLVE is a write whose context is what the client was shown. A context that is older than what is there now
 * resolves what it covers and leaves the rest; one that names writes which this replica has not seen is refused, since
 * this replica could not tell them from writes that never were.
 */
#include "causality/context.h"
#include "node/conflicts.h"

enum { LIST_DEFAULT = 100 };

/* ---- SIBLINGS ---- */

static void write_name(struct buffer *b, const char *name)
{
    resp_write_bulk(b, slice_of_string(name));
}

static void write_origin(struct request *request, struct dot dot, uint64_t stamp)
{
    struct buffer *b = request->reply;
    const struct topology *t = shard__topology(request->shard);
    const struct topology_node *node = conflicts__node_of(request->shard, dot);
    write_name(b, "region");
    write_name(b, node ? t->regions[node->region] : "");
    write_name(b, "node");
    write_name(b, node ? node->id : "");
    write_name(b, "time-ms");
    resp_write_integer(b, (int64_t)stamp_ms(stamp));
}

static void write_sibling_value(struct request *request, const struct object_sibling *sibling)
{
    struct buffer *b = request->reply;
    switch (sibling->type) {
    case OBJECT_NONE: resp_write_null(b, request->resp_version); return;
    case OBJECT_STRING: resp_write_bulk(b, sibling->value); return;
    case OBJECT_ROW:
    case OBJECT_SET:
        resp_write_array(b, sibling->fields_count);
        for (uint32_t i = 0; i < sibling->fields_count; i++) resp_write_bulk(b, sibling->fields[i]);
        return;
    }
}

static void write_sibling(struct request *request, const struct object_sibling *sibling)
{
    char dot[DOT_TEXT_BYTES];
    dot_format(sibling->dot, dot);
    resp_write_map(request->reply, request->resp_version, 5);
    write_name(request->reply, "value");
    write_sibling_value(request, sibling);
    write_origin(request, sibling->dot, sibling->stamp);
    write_name(request->reply, "dot");
    write_name(request->reply, dot);
}

static enum command_result on_siblings(struct request *request)
{
    struct store_item *item;
    struct object *object;
    struct object_sibling *list = NULL;
    struct causal_context context;
    struct buffer text;
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    causal_context_init(&context);
    buffer_init(&text, CONTEXT_TEXT_BYTES_MAX);
    context.table = request->table->id;
    context.key_hash = request->key_hash;
    uint32_t count = object ? object_siblings(object, request->now.wall_ms, request->arena, &list, &context.dots) : 0;
    causal_context_encode(&context, &text);
    resp_write_map(request->reply, request->resp_version, 2);
    write_name(request->reply, "context");
    resp_write_bulk(request->reply, buffer_slice(&text));
    write_name(request->reply, "siblings");
    resp_write_array(request->reply, count);
    for (uint32_t i = 0; i < count; i++) write_sibling(request, &list[i]);
    buffer_deinit(&text);
    causal_context_deinit(&context);
    return COMMAND_DONE;
}

/* ---- RESOLVE ---- */

/* Take the client's context as what this write observed. False: the error is replied. */
static bool take_context(struct request *request, struct slice text)
{
    struct causal_context context;
    const char *error = NULL;
    causal_context_init(&context);
    enum status status = causal_context_decode(text, &context);
    if (status != STATUS_OK) {
        error = "ERR that is no context: take it from SIBLINGS, whole";
    } else if (context.table != request->table->id || context.key_hash != request->key_hash) {
        error = "ERR the context belongs to another key";
    }
    for (uint32_t i = 0; !error && i < context.dots.count; i++) {
        if (!vv_covers(replica_clock(request->replica), context.dots.dots[i])) {
            error =
                "STALE the context names writes that have not reached this replica yet: try again, or where you got it";
        }
    }
    if (error) {
        resp_write_error(request->reply, error);
    } else {
        dot_set_union(&request->write->observed, &context.dots);
    }
    causal_context_deinit(&context);
    return error == NULL;
}

static void prepare_value(struct request *request, const struct object *object, struct slice value)
{
    struct counter_base *bases = NULL;
    uint32_t count = object ? object_counter_bases(object, NULL, request->arena, &bases) : 0;
    request->write->kind = WRITE_SET;
    write_body_set(request->body, value, object ? object_expire_at_ms(object) : 0, bases, count);
}

static void prepare_columns(struct request *request, const struct object *object, const struct slice *fields,
                            uint32_t count)
{
    struct column_change *changes = arena_alloc(request->arena, count * sizeof *changes);
    for (uint32_t i = 0; i < count; i++) {
        struct counter_base *bases = NULL;
        uint32_t bases_count = object ? object_counter_bases(object, &fields[2 * i], request->arena, &bases) : 0;
        changes[i] = (struct column_change){.op = COLUMN_SET,
                                            .column = fields[2 * i],
                                            .value = fields[2 * i + 1],
                                            .bases = bases,
                                            .bases_count = bases_count};
    }
    request->write->kind = WRITE_COLUMNS;
    write_body_columns(request->body, changes, count);
}

static enum delete_policy delete_policy_of(const struct table *table)
{
    switch (table->contract.conflict) {
    case CONTRACT_LWW: return DELETE_BY_STAMP;
    case CONTRACT_SIBLINGS: return DELETE_CONTESTED;
    case CONTRACT_UPDATE_WINS: return DELETE_LOSES;
    case CONTRACT_DELETE_WINS: return DELETE_WINS;
    }
    PANIC("conflict %d", (int)table->contract.conflict);
}

static void prepare_delete(struct request *request, const struct object *object)
{
    struct counter_base *bases = NULL;
    uint32_t count = object ? object_all_counter_bases(object, request->arena, &bases) : 0;
    request->write->kind = WRITE_DELETE;
    write_body_delete(request->body, delete_policy_of(request->table), bases, count);
}

/* Whether some alternative is a row, or none is anything else. */
static bool shows_type(struct request *request, const struct object *object, enum object_type type)
{
    struct object_sibling *list;
    struct dot_set dots;
    dot_set_init(&dots);
    uint32_t count = object ? object_siblings(object, request->now.wall_ms, request->arena, &list, &dots) : 0;
    dot_set_deinit(&dots);
    bool other = false;
    for (uint32_t i = 0; i < count; i++) {
        if (list[i].type == type) return true;
        other = other || list[i].type != OBJECT_NONE;
    }
    return !other;
}

static enum command_result on_resolve(struct request *request)
{
    struct store_item *item;
    struct object *object;
    size_t given = request->args_count - 3;
    bool written;
    if (given > 1 && given % 2 != 0) {
        dispatch__arity(request->reply, request->command);
        return COMMAND_DONE;
    }
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    if (given > 0 && !shows_type(request, object, given == 1 ? OBJECT_STRING : OBJECT_ROW)) {
        resp_write_error(request->reply,
                         given == 1 ? "WRONGTYPE no alternative is a string: RESOLVE key context column value …"
                                    : "WRONGTYPE no alternative is a row: RESOLVE key context value");
        return COMMAND_DONE;
    }
    if (!take_context(request, request->args[2])) return COMMAND_DONE;
    if (given == 0) {
        prepare_delete(request, object);
    } else if (given == 1) {
        prepare_value(request, object, request->args[3]);
    } else {
        prepare_columns(request, object, request->args + 3, (uint32_t)(given / 2));
    }
    enum command_result result = request_write(request, item, &written);
    if (written) resp_write_simple(request->reply, "OK");
    return result;
}

/* ---- CONFLICTS LIST, COUNT ---- */

static void write_row(struct request *request, const struct conflict_row *row)
{
    struct buffer *b = request->reply;
    resp_write_map(b, request->resp_version, 11);
    write_name(b, "id");
    resp_write_bulk(b, row->id);
    write_name(b, "table");
    resp_write_bulk(b, row->table);
    write_name(b, "key");
    resp_write_bulk(b, row->key);
    write_name(b, "kind");
    resp_write_bulk(b, row->kind);
    write_name(b, "reason");
    resp_write_bulk(b, row->reason);
    write_name(b, "column");
    resp_write_bulk(b, row->column);
    write_name(b, "value");
    resp_write_bulk(b, row->value);
    write_origin(request, row->dot, row->stamp);
    write_name(b, "state");
    write_name(b, row->restored ? "restored" : "open");
}

static struct request request_of(struct task *task)
{
    return (struct request){
        .shard = task->shard, .task = task, .resp_version = task->resp_version, .reply = &task->reply};
}

static void reply_list(struct task *task, const struct conflict_list *list, uint64_t count)
{
    (void)count;
    struct request request = request_of(task);
    resp_write_array(&task->reply, list->count);
    for (uint32_t i = 0; i < list->count; i++) write_row(&request, &list->rows[i]);
}

static void reply_count(struct task *task, const struct conflict_list *list, uint64_t count)
{
    (void)list;
    resp_write_integer(&task->reply, (int64_t)count);
}

/* The table at args[index]; 0 in *out_id when there is none. False: the error is replied. */
static bool take_table(struct request *request, size_t index, uint64_t *out_id)
{
    *out_id = 0;
    if (index >= request->args_count) return true;
    struct table_slot *table = catalog__by_name(request->shard, request->args[index]);
    if (!table) {
        resp_write_error(request->reply, "ERR no such table");
        return false;
    }
    *out_id = table->table.id;
    return true;
}

/* CONFLICTS LIST [table] [COUNT n] */
static enum command_result on_list(struct request *request)
{
    size_t end = request->args_count;
    uint64_t wanted = LIST_DEFAULT, table;
    if (end >= 4 && slice_is_word(request->args[end - 2], "COUNT")) {
        if (!slice_to_u64(request->args[end - 1], &wanted) || wanted == 0) {
            request_refuse_integer(request);
            return COMMAND_DONE;
        }
        end -= 2;
    }
    if (end > 3) {
        request_refuse_syntax(request);
        return COMMAND_DONE;
    }
    if (!take_table(request, end == 3 ? 2 : request->args_count, &table)) return COMMAND_DONE;
    conflicts__ask(request->task, false, table, wanted > UINT32_MAX ? UINT32_MAX : (uint32_t)wanted, reply_list);
    return COMMAND_ASYNC;
}

static enum command_result on_count(struct request *request)
{
    uint64_t table;
    if (request->args_count > 3) {
        dispatch__arity(request->reply, request->command);
        return COMMAND_DONE;
    }
    if (!take_table(request, 2, &table)) return COMMAND_DONE;
    conflicts__ask(request->task, true, table, 1, reply_count);
    return COMMAND_ASYNC;
}

/* ---- CONFLICTS SHOW, RESTORE: at the replica that the id names ---- */

struct sought {
    struct request *request;
    struct slice id;
    uint64_t key_hash;
    struct store_item *found, *cold;
};

static void seek(void *user, struct store_item *item)
{
    struct sought *sought = user;
    if (item->hash != sought->key_hash || sought->found) return;
    if (store_item_is_cold(item)) {
        sought->cold = item;
        return;
    }
    char id[LEDGER_ID_BYTES_MAX];
    struct conflict_row row;
    struct request *request = sought->request;
    if (conflicts__row_of_object(request->shard, request->slot, item, request->arena, id, &row) &&
        slice_equal(row.id, sought->id)) {
        sought->found = item;
    }
}

/* The key whose unresolved siblings, or whose lateness, the id names. */
static struct sought seek_key(struct request *request, uint64_t key_hash)
{
    struct sought sought = {.request = request, .id = request->args[2], .key_hash = key_hash};
    uint64_t cursor = key_hash;
    (void)store_scan(replica_data(request->replica), &cursor, 1, seek, &sought);
    return sought;
}

static void reply_unknown(struct request *request)
{
    resp_write_error(request->reply, "ERR no such conflict: it may have been resolved, restored or withdrawn");
}

static enum command_result show_object(struct request *request, uint64_t key_hash)
{
    struct sought sought = seek_key(request, key_hash);
    if (!sought.found && sought.cold) {
        task__fetch(request->shard, request->client, request->task, replica_data(request->replica), sought.cold);
        return COMMAND_PARK_COLD;
    }
    if (!sought.found) {
        reply_unknown(request);
        return COMMAND_DONE;
    }
    char id[LEDGER_ID_BYTES_MAX];
    struct conflict_row row;
    if (conflicts__row_of_object(request->shard, request->slot, sought.found, request->arena, id, &row)) {
        request->wait_lsn = replica_read_lsn(request->replica, sought.found);
        write_row(request, &row);
    }
    return COMMAND_DONE;
}

/* The ledger's item for an id; false: park, or (with *out_item NULL) there is none. */
static bool load_entry(struct request *request, const struct ledger_place *place, struct store_item **out_item)
{
    *out_item = ledger_find(request->replica, place);
    if (!*out_item || !store_item_is_cold(*out_item)) return true;
    task__fetch(request->shard, request->client, request->task, replica_ledger(request->replica), *out_item);
    return false;
}

/* What the id in args[2] names: a place, and the ledger's entry there, if there is one (else *out_item is NULL: then it
 * may be an object). On false return *out_result: the error is replied, or the entry is being fetched. */
static bool find_entry(struct request *request, struct ledger_place *out_place, struct store_item **out_item,
                       struct ledger_entry *out_entry, enum command_result *out_result)
{
    uint64_t table;
    uint16_t partition;
    *out_result = COMMAND_DONE;
    if (!ledger_id_parse(request->args[2], &table, &partition, out_place)) {
        reply_unknown(request);
        return false;
    }
    if (!load_entry(request, out_place, out_item)) {
        *out_result = COMMAND_PARK_COLD;
        return false;
    }
    struct store_item *item = *out_item;
    if (item && ledger_decode(store_item_key(item), item->object, out_entry) != STATUS_OK) {
        reply_unknown(request);
        return false;
    }
    return true;
}

/* An entry that a group does not have: its id is made of the entry's position and hash. */
static enum command_result show_group(struct request *request)
{
    uint64_t table;
    uint16_t partition;
    struct ledger_place place;
    struct store_item *item = NULL;
    struct group_ledger_row found;
    char id[LEDGER_ID_BYTES_MAX];
    struct machine *m = group_machine(request->slot->group);
    if (ledger_id_parse(request->args[2], &table, &partition, &place)) {
        item = group_ledger_find(m, place.dot.replica, place.dot.counter, place.key_hash);
    }
    if (item && store_item_is_cold(item)) {
        task__fetch(request->shard, request->client, request->task, machine_record_space(m), item);
        return COMMAND_PARK_COLD;
    }
    if (!item || !group_ledger_row(item, request->arena, &found)) {
        reply_unknown(request);
        return COMMAND_DONE;
    }
    struct conflict_row row = conflicts__row_of_group(request->slot, &found, id);
    request->wait_lsn = item->lsn;
    write_row(request, &row);
    return COMMAND_DONE;
}

static enum command_result on_show(struct request *request)
{
    if (request->slot->group) return show_group(request);
    struct ledger_place place;
    struct store_item *item;
    struct ledger_entry entry;
    enum command_result result;
    if (!find_entry(request, &place, &item, &entry, &result)) return result;
    if (!item) return show_object(request, place.key_hash);
    struct slice id = request->args[2];
    struct conflict_row row = conflicts__row_of_entry(request->slot, &entry, "");
    row.id = id;
    request->wait_lsn = item->lsn;
    write_row(request, &row);
    return COMMAND_DONE;
}

/* The ledgered value as a new write over what is shown, observing also the entry, which is withdrawn by that. */
static void prepare_restore(struct request *request, const struct object *object, const struct ledger_entry *entry)
{
    struct dot_set *observed = &request->write->observed;
    struct slice fields[2] = {entry->column, entry->value};
    switch (entry->kind) {
    case LEDGER_STRING:
        if (object) object_observe_string(object, request->now.wall_ms, observed);
        prepare_value(request, object, entry->value);
        break;
    case LEDGER_COLUMN:
        if (object) object_observe_column(object, request->now.wall_ms, entry->column, observed);
        prepare_columns(request, object, fields, 1);
        break;
    case LEDGER_DELETE:
    case LEDGER_EXPIRE:
        if (object) object_observe_all(object, observed);
        prepare_delete(request, object);
        break;
    }
    dot_set_add(observed, entry->dot);
}

static enum command_result restore_entry(struct request *request, const struct ledger_entry *entry)
{
    struct store_item *item;
    struct object *object;
    bool written;
    request->key = entry->key;
    request->key_hash = hash_key(entry->key);
    if (!request_load(request, &item, &object)) return COMMAND_PARK_COLD;
    if (object && object_in_conflict(object, request->now.wall_ms)) {
        reply_conflict(request);
        return COMMAND_DONE;
    }
    prepare_restore(request, object, entry);
    enum command_result result = request_write(request, item, &written);
    if (written) resp_write_simple(request->reply, "OK");
    return result;
}

/* The id names a key of which nothing is in the ledger: a late one is restored, siblings want a decision. */
static enum command_result restore_object(struct request *request, uint64_t key_hash)
{
    struct sought sought = seek_key(request, key_hash);
    if (!sought.found && sought.cold) {
        task__fetch(request->shard, request->client, request->task, replica_data(request->replica), sought.cold);
        return COMMAND_PARK_COLD;
    }
    if (!sought.found) {
        reply_unknown(request);
        return COMMAND_DONE;
    }
    if (object_in_conflict(sought.found->object, request->now.wall_ms)) {
        reply_contract(request, "siblings are not restored but settled: SIBLINGS key, then RESOLVE key context value");
        return COMMAND_DONE;
    }
    return conflicts__restore_late(request, sought.found);
}

/* It counts as changed, as it soon will be: where memory is short it would go cold again while the key is fetched, and
 * the key while the entry is. */
static void keep_warm(struct store_space *space, struct store_item *item)
{
    store_will_change(space, item, item->lsn);
    store_changed(space, item);
}

static enum command_result on_restore(struct request *request)
{
    if (request->slot->group) {
        reply_contract(request, "an entry of an ordered table is not restored by itself: CONFLICTS SHOW has its words, "
                                "write again what should hold");
        return COMMAND_DONE;
    }
    struct ledger_place place;
    struct store_item *item;
    struct ledger_entry entry;
    enum command_result result;
    if (!find_entry(request, &place, &item, &entry, &result)) return result;
    if (!item) return restore_object(request, place.key_hash);
    if (entry.state == LEDGER_RESTORED) {
        resp_write_error(request->reply, "ERR it was restored before");
        return COMMAND_DONE;
    }
    /* The write may remove the ledger's item: take what it lends us. */
    entry.key = arena_copy(request->arena, entry.key);
    entry.column = arena_copy(request->arena, entry.column);
    entry.value = arena_copy(request->arena, entry.value);
    result = restore_entry(request, &entry);
    if (result == COMMAND_PARK_COLD) keep_warm(replica_ledger(request->replica), item);
    return result;
}

static const struct command commands[] = {
    {"conflicts|count", -2, SCOPE_CONNECTION, COMMAND_TASK, 0, 0, "conflict", "[table]",
     "How many open conflicts this region holds.", on_count},
    {"conflicts|list", -2, SCOPE_CONNECTION, COMMAND_TASK, 0, 0, "conflict", "[table] [COUNT n]",
     "The newest conflicts that this region holds: ledger entries and unresolved siblings.", on_list},
    {"conflicts|restore", 3, SCOPE_ENTRY, COMMAND_WRITES, 2, 0, "conflict", "id",
     "Writes a ledgered value back, as a new write over what is shown.", on_restore},
    {"conflicts|show", 3, SCOPE_ENTRY, 0, 2, 0, "conflict", "id", "One conflict with its whole value.", on_show},
    {"resolve", -3, SCOPE_KEY, COMMAND_WRITES, 1, 0, "conflict", "key context [value | column value …]",
     "Replaces what the context covers: by a value, by columns of a row, or, with nothing, by a delete.", on_resolve},
    {"siblings", 2, SCOPE_KEY, 0, 1, 0, "conflict", "key",
     "All concurrent values of a key, with a context for RESOLVE.", on_siblings},
};

const struct command_group node_commands_conflict = {commands, sizeof commands / sizeof commands[0]};
