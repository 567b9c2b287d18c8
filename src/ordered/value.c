/* value.c: values and their bytes.
 *
 *     value   = format:u8 type:u8 version:varint expire_at:varint content
 *     string  = the rest
 *     hash    = count:varint { name:bytes value:bytes }      in the order of members.h
 *     set     = count:varint { name:bytes }                  likewise
 *     list    = count:varint { element:bytes }
 *     zset    = count:varint { name:bytes score:u64 }        in the order of members.h; the bits of the double
 */
#include "ordered/value.h"

#include "base/memory.h"
#include "wire/varint.h"

enum { VALUE_FORMAT = 1 };

struct value *value_new(enum value_type type)
{
    struct value *v = memory_zalloc(1, sizeof *v);
    v->type = type;
    if (type == VALUE_STRING) {
        v->text.data = v->text.inline_bytes;
        v->text.capacity = VALUE_TEXT_INLINE_BYTES;
    }
    return v;
}

static bool text_is_inline(const struct value *v)
{
    return v->text.data == v->text.inline_bytes;
}

void value_free(struct value *v)
{
    if (!v) return;
    switch (v->type) {
    case VALUE_NONE: break;
    case VALUE_STRING:
        if (!text_is_inline(v)) memory_free(v->text.data);
        break;
    case VALUE_HASH:
    case VALUE_SET: members_deinit(&v->members); break;
    case VALUE_LIST: sequence_deinit(&v->list); break;
    case VALUE_ZSET: scored_deinit(&v->zset); break;
    }
    memory_free(v);
}

/* ---- strings ---- */

uint8_t *value_resize_text(struct value *v, size_t length)
{
    struct value_text *t = &v->text;
    ASSERT(v->type == VALUE_STRING && length <= UINT32_MAX / 2);
    if (length > t->capacity) {
        size_t capacity = length < 2 * (size_t)t->length ? 2 * (size_t)t->length : length; /* APPEND again and again */
        bool was_inline = text_is_inline(v);
        uint8_t *data = memory_realloc(was_inline ? NULL : t->data, capacity);
        if (was_inline && t->length) memcpy(data, t->inline_bytes, t->length);
        t->data = data;
        t->capacity = (uint32_t)capacity;
    }
    if (length > t->length) memset(t->data + t->length, 0, length - t->length);
    t->length = (uint32_t)length;
    return t->data;
}

void value_set_text(struct value *v, struct slice text)
{
    struct value_text *t = &v->text;
    ASSERT(v->type == VALUE_STRING && text.length <= UINT32_MAX / 2);
    bool fits = text.length <= t->capacity && (text_is_inline(v) || text.length >= t->capacity / 4);
    if (!fits) { /* too small, or too large to keep */
        uint8_t *old = text_is_inline(v) ? NULL : t->data;
        bool to_inline = text.length <= VALUE_TEXT_INLINE_BYTES;
        uint8_t *data = to_inline ? t->inline_bytes : memory_alloc(text.length);
        if (text.length) memmove(data, text.data, text.length);
        memory_free(old);
        t->data = data;
        t->capacity = to_inline ? VALUE_TEXT_INLINE_BYTES : (uint32_t)text.length;
    } else if (text.length) {
        memmove(t->data, text.data, text.length);
    }
    t->length = (uint32_t)text.length;
}

/* ---- size ---- */

uint32_t value_count(const struct value *v)
{
    switch (v->type) {
    case VALUE_NONE: return 0;
    case VALUE_STRING: return 1;
    case VALUE_HASH:
    case VALUE_SET: return v->members.count;
    case VALUE_LIST: return v->list.count;
    case VALUE_ZSET: return v->zset.members.count;
    }
    PANIC("no such type of value: %d", (int)v->type);
}

size_t value_bytes(const struct value *v)
{
    size_t bytes = sizeof *v;
    switch (v->type) {
    case VALUE_NONE: return bytes;
    case VALUE_STRING: return bytes + (text_is_inline(v) ? 0 : v->text.capacity);
    case VALUE_HASH:
    case VALUE_SET: return bytes + members_bytes(&v->members);
    case VALUE_LIST: return bytes + sequence_bytes(&v->list);
    case VALUE_ZSET: return bytes + scored_bytes(&v->zset);
    }
    PANIC("no such type of value: %d", (int)v->type);
}

/* ---- bytes ---- */

static void encode_members(const struct members *m, bool values, bool scores, struct buffer *out)
{
    write_varint(out, m->count);
    for (uint32_t i = 0; i < m->count; i++) {
        write_bytes(out, member_name(m->all[i]));
        if (values) write_bytes(out, member_value(m->all[i]));
        if (!scores) continue;
        uint64_t bits;
        memcpy(&bits, &m->all[i]->score, sizeof bits);
        write_u64(out, bits);
    }
}

void value_encode(const struct value *v, struct buffer *out)
{
    write_u8(out, VALUE_FORMAT);
    write_u8(out, (uint8_t)v->type);
    write_varint(out, v->version);
    write_varint(out, v->expire_at_ms);
    switch (v->type) {
    case VALUE_NONE: break;
    case VALUE_STRING: buffer_append_slice(out, value_text(v)); break;
    case VALUE_HASH: encode_members(&v->members, true, false, out); break;
    case VALUE_SET: encode_members(&v->members, false, false, out); break;
    case VALUE_LIST:
        write_varint(out, v->list.count);
        for (uint32_t i = 0; i < v->list.count; i++) write_bytes(out, sequence_at(&v->list, i));
        break;
    case VALUE_ZSET: encode_members(&v->zset.members, false, true, out); break;
    }
}

static bool decode_members(struct reader *r, bool values, struct members *m)
{
    uint64_t count = read_varint(r);
    for (uint64_t i = 0; i < count && !r->failed; i++) {
        struct slice name = read_bytes(r);
        struct slice value = values ? read_bytes(r) : (struct slice){0};
        bool added = false;
        if (!r->failed) members_put(m, name, value, &added);
        if (!added) return false;
    }
    return true;
}

static bool decode_scored(struct reader *r, struct scored *z)
{
    uint64_t count = read_varint(r);
    for (uint64_t i = 0; i < count && !r->failed; i++) {
        struct slice name = read_bytes(r);
        uint64_t bits = read_u64(r);
        double score;
        memcpy(&score, &bits, sizeof score);
        bool added = false;
        if (!r->failed && score == score) scored_put(z, name, score, &added);
        if (!added) return false;
    }
    return true;
}

static bool decode_list(struct reader *r, struct sequence *s)
{
    uint64_t count = read_varint(r);
    for (uint64_t i = 0; i < count && !r->failed; i++) {
        struct slice element = read_bytes(r);
        if (!r->failed) sequence_insert(s, s->count, element);
    }
    return true;
}

static bool decode_content(struct reader *r, struct value *v)
{
    switch (v->type) {
    case VALUE_NONE: return false;
    case VALUE_STRING: value_set_text(v, read_exact(r, reader_left(r))); return true;
    case VALUE_HASH: return decode_members(r, true, &v->members);
    case VALUE_SET: return decode_members(r, false, &v->members);
    case VALUE_LIST: return decode_list(r, &v->list);
    case VALUE_ZSET: return decode_scored(r, &v->zset);
    }
    return false;
}

struct value *value_decode(struct slice bytes)
{
    struct reader r = reader_of(bytes);
    uint8_t format = read_u8(&r), type = read_u8(&r);
    uint64_t version = read_varint(&r), expire_at_ms = read_varint(&r);
    if (r.failed || format != VALUE_FORMAT || type == VALUE_NONE || type > VALUE_ZSET) return NULL;
    struct value *v = value_new((enum value_type)type);
    v->version = version;
    v->expire_at_ms = expire_at_ms;
    if (decode_content(&r, v) && reader_finished(&r) && (type == VALUE_STRING || value_count(v) > 0)) return v;
    value_free(v);
    return NULL;
}

/* ---- names ---- */

static const char *const type_names[] = {[VALUE_NONE] = "none", [VALUE_STRING] = "string", [VALUE_HASH] = "hash",
                                         [VALUE_SET] = "set",   [VALUE_LIST] = "list",     [VALUE_ZSET] = "zset"};

const char *value_type_name(enum value_type type)
{
    return type_names[type];
}

enum value_type value_type_of_name(struct slice name)
{
    for (int type = VALUE_STRING; type <= VALUE_ZSET; type++) {
        if (slice_is_word(name, type_names[type])) return (enum value_type)type;
    }
    return VALUE_NONE;
}
