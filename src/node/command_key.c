/* command_key.c: what handlers of commands on keys use: find the object, issue a write, and the standard errors.
 *
 * Y1  Whatever a reply shows was read through request_load(), which makes the reply wait for it to be durable (S4).
 * Y2  A write that is refused here has not been issued: its error is UNAVAILABLE, never UNKNOWN (S8).
 */
#include "node/shard_internal.h"

static void wait_for(struct request *request, uint64_t lsn)
{
    if (lsn > request->wait_lsn) request->wait_lsn = lsn;
}

bool request_load(struct request *request, struct store_item **out_item, struct object **out_object)
{
    struct store_space *data = replica_data(request->replica);
    struct store_item *item = store_find(data, request->key, request->key_hash);
    if (UNLIKELY(item && store_item_is_cold(item))) {
        task__fetch(request->shard, request->client, request->task, data, item);
        return false;
    }
    wait_for(request, replica_read_lsn(request->replica, item));
    *out_item = item;
    *out_object = item ? item->object : NULL;
    return true;
}

/* The table's TYPE against the kind of the write. */
static bool type_allows(enum contract_type type, enum write_kind kind)
{
    switch (kind) {
    case WRITE_SET:
    case WRITE_INCREMENT: return type == TYPE_ANY || type == TYPE_STRING || type == TYPE_COUNTER;
    case WRITE_COLUMNS: return type == TYPE_ANY || type == TYPE_ROW;
    case WRITE_MEMBERS_ADD:
    case WRITE_MEMBERS_REMOVE: return type == TYPE_ANY || type == TYPE_SET;
    case WRITE_DELETE:
    case WRITE_EXPIRE:
    case WRITE_RESTORE_MARK: return true;
    case WRITE_KIND_COUNT: break;
    }
    PANIC("write of kind %d", (int)kind);
}

/* What forbids any write here now. True: the error is replied. */
static bool write_is_refused(struct request *request)
{
    struct shard *s = request->shard;
    if (UNLIKELY(s->clock_leads) && peer__clock_refuses(s, request->reply)) return true;
    if (UNLIKELY(!type_allows(request->table->contract.type, request->write->kind))) {
        resp_write_error_format(request->reply, "WRONGTYPE table '%s' is of TYPE %s", request->table->name,
                                contract_type_name(request->table->contract.type));
        return true;
    }
    return false;
}

enum command_result request_write(struct request *request, struct store_item *item, bool *out_written)
{
    *out_written = false;
    if (write_is_refused(request)) return COMMAND_DONE;
    struct write *w = request->write;
    uint64_t lsn = 0;
    w->key = request->key;
    w->body = buffer_slice(request->body);
    switch (replica_write(request->replica, w, request->key_hash, item, request->now, &lsn)) {
    case WRITE_DONE:
        wait_for(request, lsn);
        shard__touch(request->slot);
        *out_written = true;
        return COMMAND_DONE;
    case WRITE_REFUSED_SPACE:
        shard__on_space_refused(request->shard);
        resp_write_error(request->reply,
                         "UNAVAILABLE no space is left on this node's disk; nothing was done. Make room, or "
                         "write at another node");
        return COMMAND_DONE;
    case WRITE_REFUSED_LIMIT: resp_write_error(request->reply, "ERR the write is too large"); return COMMAND_DONE;
    case WRITE_REFUSED_BUSY: return COMMAND_PARK_BUSY;
    case WRITE_REFUSED_COLD:
        ASSERT(item);
        task__fetch(request->shard, request->client, request->task, replica_data(request->replica), item);
        return COMMAND_PARK_COLD;
    }
    PANIC("unknown outcome of a write");
}

void request_refuse_type(struct request *request)
{
    resp_write_error(request->reply, "WRONGTYPE Operation against a key holding the wrong kind of value");
}

void reply_conflict(struct request *request)
{
    struct store_item *item = store_find(replica_data(request->replica), request->key, request->key_hash);
    struct object_sibling *list;
    struct dot_set dots;
    dot_set_init(&dots);
    uint32_t count =
        item && item->object ? object_siblings(item->object, request->now.wall_ms, request->arena, &list, &dots) : 0;
    dot_set_deinit(&dots);
    resp_write_error_format(
        request->reply,
        "CONFLICT the key has %u siblings: SIBLINGS key shows them and a context, RESOLVE key context "
        "value chooses",
        count);
}

void request_refuse_syntax(struct request *request)
{
    resp_write_error(request->reply, "ERR syntax error");
}

void request_refuse_integer(struct request *request)
{
    resp_write_error(request->reply, "ERR value is not an integer or out of range");
}

void reply_contract(struct request *request, const char *instead)
{
    resp_write_error_format(request->reply, "CONTRACT %s", instead);
}
