/* register.c: the sorted list of dotted values. See register.h. */
#include "crdt/register.h"

#include "base/memory.h"
#include "crdt/write.h"

struct register_value register_value_make(struct dot dot, uint64_t stamp, uint64_t expire_at_ms, struct slice bytes,
                                          uint8_t flags)
{
    ASSERT(bytes.length <= UINT32_MAX);
    struct register_value v = {.dot = dot, .stamp = stamp, .expire_at_ms = expire_at_ms, .flags = flags};
    v.length = (uint32_t)bytes.length;
    if (v.length == 0) return v;
    v.bytes = memory_alloc(v.length);
    memcpy(v.bytes, bytes.data, v.length);
    return v;
}

void register_value_deinit(struct register_value *v)
{
    memory_free(v->bytes);
    v->bytes = NULL;
    v->length = 0;
}

void register_value_assign(struct register_value *v, struct dot dot, uint64_t stamp, uint64_t expire_at_ms,
                           struct slice bytes)
{
    ASSERT(bytes.length <= UINT32_MAX);
    v->dot = dot;
    v->stamp = stamp;
    v->expire_at_ms = expire_at_ms;
    v->flags = 0;
    if (v->length != bytes.length) {
        memory_free(v->bytes);
        v->bytes = bytes.length > 0 ? memory_alloc(bytes.length) : NULL;
        v->length = (uint32_t)bytes.length;
    }
    if (v->length > 0) memcpy(v->bytes, bytes.data, v->length);
}

void register_value_write(struct buffer *b, const struct register_value *v)
{
    dot_write(b, v->dot);
    write_varint(b, v->stamp);
    write_u8(b, v->flags & VALUE_FLAGS_KEPT);
    write_varint(b, v->expire_at_ms);
    write_bytes(b, register_value_slice(v));
}

struct register_value register_value_read(struct reader *r)
{
    struct dot dot = dot_read(r);
    uint64_t stamp = read_varint(r);
    uint8_t flags = read_u8(r);
    uint64_t expire_at_ms = read_varint(r);
    struct slice bytes = read_bytes(r);
    bool tombstone = flags & VALUE_TOMBSTONE;
    if (!dot_is_issuable(dot) || flags & ~VALUE_FLAGS_KEPT || bytes.length > UINT32_MAX) r->failed = true;
    if (tombstone && (bytes.length > 0 || expire_at_ms > 0)) r->failed = true;
    if (r->failed) return (struct register_value){.flags = 0};
    return register_value_make(dot, stamp, expire_at_ms, bytes, flags);
}

void reg_deinit(struct reg *reg)
{
    for (uint32_t i = 0; i < reg->count; i++) register_value_deinit(&reg->values[i]);
    memory_free(reg->values);
    reg->values = NULL;
    reg->count = 0;
}

struct register_value *reg_find(const struct reg *reg, struct dot dot)
{
    for (uint32_t i = 0; i < reg->count; i++) {
        if (dot_equal(reg->values[i].dot, dot)) return &reg->values[i];
    }
    return NULL;
}

uint32_t reg_add(struct reg *reg, struct register_value owned_value)
{
    uint32_t at = 0;
    while (at < reg->count && dot_compare(reg->values[at].dot, owned_value.dot) < 0) at++;
    if (at < reg->count) ASSERT(!dot_equal(reg->values[at].dot, owned_value.dot));
    reg->values = memory_realloc(reg->values, (reg->count + 1) * sizeof *reg->values);
    memmove(reg->values + at + 1, reg->values + at, (reg->count - at) * sizeof *reg->values);
    reg->values[at] = owned_value;
    reg->count++;
    return at;
}

void reg_remove(struct reg *reg, uint32_t index)
{
    ASSERT(index < reg->count);
    register_value_deinit(&reg->values[index]);
    reg->count--;
    memmove(reg->values + index, reg->values + index + 1, (reg->count - index) * sizeof *reg->values);
    if (reg->count > 0) return;
    memory_free(reg->values);
    reg->values = NULL;
}

void reg_write(struct buffer *b, const struct reg *reg)
{
    write_varint(b, reg->count);
    for (uint32_t i = 0; i < reg->count; i++) register_value_write(b, &reg->values[i]);
}

bool reg_read(struct reader *r, struct reg *reg)
{
    ASSERT(reg->count == 0);
    uint64_t count = read_varint(r);
    struct dot last = {0, 0};
    for (uint64_t i = 0; i < count && !r->failed; i++) {
        struct register_value v = register_value_read(r);
        if (r->failed) break;
        if (i > 0 && dot_compare(last, v.dot) >= 0) r->failed = true;
        last = v.dot;
        if (r->failed)
            register_value_deinit(&v);
        else
            reg_add(reg, v);
    }
    if (r->failed) reg_deinit(reg);
    return !r->failed;
}
