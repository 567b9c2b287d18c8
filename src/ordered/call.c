/* call.c: how a command finds and changes values. */
#include "base/hash.h"
#include "ordered/command.h"

struct store_item *call_item(struct call *call, struct slice key)
{
    if (LIKELY(call->found_key == key.data && call->found_bytes == key.length && key.data)) return call->found_item;
    call->found_key = key.data;
    call->found_bytes = key.length;
    call->found_hash = hash_key(key);
    call->found_item = store_find(call->machine->data, key, call->found_hash);
    return call->found_item;
}

struct value *call_value(struct call *call, struct slice key)
{
    struct store_item *item = call_item(call, key);
    if (!item) return NULL;
    struct value *v = item->object;
    return value_is_expired(v, call->now_ms) ? NULL : v;
}

bool call_typed(struct call *call, struct slice key, enum value_type type, struct value **out_value)
{
    struct value *v = call_value(call, key);
    if (v && v->type != type) {
        reply_wrong_type(call);
        return false;
    }
    *out_value = v;
    return true;
}

/* ---- changes ---- */

/* The cache holds one key; the same key may stand in another argument, so a change of what is there empties it. */
static void found_changed(struct call *call, struct slice key, struct store_item *item)
{
    ASSERT(call->found_key == key.data && call->found_bytes == key.length);
    call->found_item = item;
}

static struct store_item *put(struct call *call, struct slice key, struct store_item *item, struct value *owned_value)
{
    struct machine *m = call->machine;
    uint64_t before_ms = 0;
    owned_value->version = call->index;
    if (item) {
        machine__will_change(m, item, call->lsn, call->index);
        struct value *old = item->object;
        before_ms = old->expire_at_ms;
        owned_value->queued_at_ms = old->queued_at_ms;
    }
    item = machine__put_value(m, key, call->found_hash, item, owned_value, call->lsn);
    machine__expiry_changed(m, call->found_hash, owned_value, before_ms);
    found_changed(call, key, item);
    return item;
}

struct value *call_edit(struct call *call, struct slice key, enum value_type type)
{
    ASSERT(call->index > 0);
    struct store_item *item = call_item(call, key);
    struct value *v = item ? item->object : NULL;
    if (!v || value_is_expired(v, call->now_ms)) return put(call, key, item, value_new(type))->object;
    ASSERT(v->type == type);
    machine__will_change(call->machine, item, call->lsn, call->index);
    return v;
}

void call_edited(struct call *call, struct slice key)
{
    struct store_item *item = call_item(call, key);
    ASSERT(item);
    if (value_count(item->object) > 0) {
        store_changed(call->machine->data, item);
        return;
    }
    store_changed(call->machine->data, item);
    machine__remove_value(call->machine, item, call->lsn, call->index);
    found_changed(call, key, NULL);
}

void call_replace(struct call *call, struct slice key, struct value *owned_value)
{
    ASSERT(call->index > 0);
    put(call, key, call_item(call, key), owned_value);
    call_edited(call, key);
}

bool call_remove(struct call *call, struct slice key)
{
    ASSERT(call->index > 0);
    struct store_item *item = call_item(call, key);
    if (!item) return false;
    bool was_alive = call_value(call, key) != NULL;
    machine__remove_value(call->machine, item, call->lsn, call->index);
    found_changed(call, key, NULL);
    return was_alive;
}

void call_expire(struct call *call, struct slice key, struct value *v, uint64_t expire_at_ms)
{
    const struct store_item *item = call_item(call, key);
    ASSERT(item && item->object == v && v->version == call->index);
    uint64_t before_ms = v->expire_at_ms;
    v->expire_at_ms = expire_at_ms;
    machine__expiry_changed(call->machine, item->hash, v, before_ms);
}

/* ---- what is forbidden ---- */

bool call_bytes_allowed(struct call *call, size_t bytes)
{
    if (LIKELY(bytes <= VALUE_BYTES_MAX)) return true;
    resp_write_error_format(call->reply, "ERR the value would be larger than %d bytes", VALUE_BYTES_MAX);
    return false;
}

bool text_is_below(struct slice text, int64_t minimum)
{
    int64_t integer;
    if (slice_to_i64(text, &integer)) return integer < minimum;
    long double number;
    return text_to_long_double(text, &number) && number < (long double)minimum;
}

static bool minimum_is_kept(struct call *call, struct slice key, struct slice text)
{
    const struct machine_config *config = &call->machine->config;
    if (LIKELY(!config->has_minimum) || call->defers_minimum || !text_is_below(text, config->minimum)) return true;
    int shown = key.length < 64 ? (int)key.length : 64;
    int digits = text.length < 32 ? (int)text.length : 32;
    resp_write_error_format(call->reply, "INVARIANT '%.*s' would be %.*s, less than the table's minimum %lld", shown,
                            (const char *)key.data, digits, (const char *)text.data, (long long)config->minimum);
    return false;
}

bool call_text_allowed(struct call *call, struct slice key, struct slice text)
{
    int64_t number;
    if (UNLIKELY(call->machine->config.integers_only) && !slice_to_i64(text, &number)) {
        reply_error(call, "WRONGTYPE the table holds counters (TYPE counter): the value is no integer");
        return false;
    }
    return minimum_is_kept(call, key, text);
}

bool call_field_allowed(struct call *call, struct slice key, struct slice text)
{
    return minimum_is_kept(call, key, text);
}
