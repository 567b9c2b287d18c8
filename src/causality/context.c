/* context.c: the text form of a causal context.
 *
 * Bytes before base64url (RFC 4648, section 5, no padding): version u8, table u64, key hash u64, dots, CRC32C over
 * all of that.
 */
#include "causality/context.h"

#include "base/memory.h"
#include "wire/crc32c.h"

enum { CONTEXT_VERSION = 1, CONTEXT_CHECKSUM_BYTES = 4 };

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void causal_context_init(struct causal_context *c)
{
    c->table = 0;
    c->key_hash = 0;
    dot_set_init(&c->dots);
}

void causal_context_deinit(struct causal_context *c)
{
    if (c) dot_set_deinit(&c->dots);
}

static void base64_append(struct buffer *out, struct slice s)
{
    for (size_t i = 0; i < s.length; i += 3) {
        size_t count = s.length - i < 3 ? s.length - i : 3;
        uint32_t group = (uint32_t)s.data[i] << 16;
        if (count > 1) group |= (uint32_t)s.data[i + 1] << 8;
        if (count > 2) group |= s.data[i + 2];
        for (size_t digit = 0; digit <= count; digit++) {
            buffer_append_byte(out, (uint8_t)alphabet[group >> (18 - 6 * digit) & 63]);
        }
    }
}

static int base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '-') return 62;
    return c == '_' ? 63 : -1;
}

/* Strict: unused bits must be zero, so that one context has one text. */
static bool base64_decode(struct slice text, struct buffer *out)
{
    uint32_t bits = 0;
    uint32_t count = 0;
    for (size_t i = 0; i < text.length; i++) {
        int digit = base64_digit(text.data[i]);
        if (digit < 0) return false;
        bits = bits << 6 | (uint32_t)digit;
        count += 6;
        if (count >= 8) {
            count -= 8;
            buffer_append_byte(out, (uint8_t)(bits >> count));
            bits &= (1U << count) - 1;
        }
    }
    return count < 6 && bits == 0 && !out->overflowed;
}

void causal_context_encode(const struct causal_context *c, struct buffer *out_text)
{
    struct buffer raw;
    buffer_init(&raw, CONTEXT_TEXT_BYTES_MAX);
    write_u8(&raw, CONTEXT_VERSION);
    write_u64(&raw, c->table);
    write_u64(&raw, c->key_hash);
    dot_set_write(&raw, &c->dots);
    write_u32(&raw, crc32c(0, buffer_slice(&raw)));
    base64_append(out_text, buffer_slice(&raw));
    buffer_deinit(&raw);
}

static enum status decode_raw(struct slice raw, struct causal_context *out)
{
    if (raw.length < 1 + 16 + 1 + CONTEXT_CHECKSUM_BYTES) return STATUS_MALFORMED;
    if (raw.data[0] != CONTEXT_VERSION) return STATUS_VERSION;
    struct slice body = slice_of(raw.data, raw.length - CONTEXT_CHECKSUM_BYTES);
    struct reader tail = reader_of(slice_skip(raw, body.length));
    if (read_u32(&tail) != crc32c(0, body)) return STATUS_MALFORMED;
    struct reader r = reader_of(slice_skip(body, 1));
    uint64_t table = read_u64(&r);
    uint64_t key_hash = read_u64(&r);
    struct dot_set dots;
    dot_set_init(&dots);
    enum status status = dot_set_read(&r, &dots);
    if (status == STATUS_OK && !reader_finished(&r)) status = STATUS_MALFORMED;
    if (status != STATUS_OK) {
        dot_set_deinit(&dots);
        return status;
    }
    dot_set_deinit(&out->dots);
    *out = (struct causal_context){table, key_hash, dots};
    return STATUS_OK;
}

enum status causal_context_decode(struct slice text, struct causal_context *out)
{
    if (text.length > CONTEXT_TEXT_BYTES_MAX) return STATUS_LIMIT;
    struct buffer raw;
    buffer_init(&raw, CONTEXT_TEXT_BYTES_MAX);
    enum status status = base64_decode(text, &raw) ? decode_raw(buffer_slice(&raw), out) : STATUS_MALFORMED;
    buffer_deinit(&raw);
    return status;
}
