/* resp_reply.c: reading replies of both protocol versions.
 *
 * Source: RESP3 specification (antirez, 2018), which contains RESP2.
 *
 * P1  Every value takes at least VALUE_BYTES_MIN bytes. The bytes that the open aggregates still owe their remaining
 *     items are `owed`; an aggregate whose items can't all be present is answered with STATUS_MORE before any memory is
 *     taken. So the items allocated are at most a third of the bytes present, whatever the nesting.
 */
#include "wire/resp.h"

enum { VALUE_BYTES_MIN = 3 }; /* "_\r\n" */

struct reply_reader {
    const uint8_t *at;
    const uint8_t *end;
    struct arena *arena;
    size_t owed;
    int depth;
};

static enum status read_value(struct reply_reader *r, struct resp_value *out_value);

static enum status read_line(struct reply_reader *r, struct slice *out_line)
{
    size_t left = (size_t)(r->end - r->at);
    size_t searched = left < RESP_INLINE_BYTES_MAX ? left : RESP_INLINE_BYTES_MAX;
    const uint8_t *cr = searched ? memchr(r->at, '\r', searched) : NULL;
    if (!cr) return left > searched ? STATUS_LIMIT : STATUS_MORE;
    if (cr + 1 == r->end) return STATUS_MORE;
    if (cr[1] != '\n') return STATUS_MALFORMED;
    *out_line = slice_of(r->at, (size_t)(cr - r->at));
    r->at = cr + 2;
    return STATUS_OK;
}

static enum status read_number(struct reply_reader *r, int64_t *out_number)
{
    struct slice line;
    enum status status = read_line(r, &line);
    if (status != STATUS_OK) return status;
    return slice_to_i64(line, out_number) ? STATUS_OK : STATUS_MALFORMED;
}

static enum status read_blob(struct reply_reader *r, enum resp_type type, struct resp_value *out_value)
{
    int64_t length;
    enum status status = read_number(r, &length);
    if (status != STATUS_OK) return status;
    if (length == -1 && type == RESP_BULK) {
        *out_value = (struct resp_value){.type = RESP_NULL};
        return STATUS_OK;
    }
    if (length < 0) return STATUS_MALFORMED;
    if (length > RESP_BULK_BYTES_MAX) return STATUS_LIMIT;
    if (r->end - r->at < length + 2) return STATUS_MORE;

    struct slice text = slice_of(r->at, (size_t)length);
    if (text.data[length] != '\r' || text.data[length + 1] != '\n') return STATUS_MALFORMED;
    r->at += length + 2;
    if (type == RESP_VERBATIM) { /* "txt:" or another kind stands before the text */
        if (length < 4 || text.data[3] != ':') return STATUS_MALFORMED;
        text = slice_skip(text, 4);
    }
    *out_value = (struct resp_value){.type = type, .text = text};
    return STATUS_OK;
}

static enum status read_items(struct reply_reader *r, enum resp_type type, struct resp_value *out_value)
{
    int64_t count;
    enum status status = read_number(r, &count);
    if (status != STATUS_OK) return status;
    if (count == -1 && type == RESP_ARRAY) {
        *out_value = (struct resp_value){.type = RESP_NULL};
        return STATUS_OK;
    }
    if (count < 0) return STATUS_MALFORMED;
    if (count > RESP_ITEMS_MAX || r->depth == RESP_DEPTH_MAX) return STATUS_LIMIT;

    size_t items_count = type == RESP_MAP ? 2 * (size_t)count : (size_t)count;
    size_t owed_before = r->owed;
    r->owed += items_count * VALUE_BYTES_MIN;
    if (r->owed > (size_t)(r->end - r->at)) return STATUS_MORE;

    struct resp_value *items = arena_alloc(r->arena, items_count * sizeof *items);
    r->depth++;
    for (size_t i = 0; i < items_count; i++) {
        r->owed -= VALUE_BYTES_MIN;
        status = read_value(r, &items[i]);
        if (status != STATUS_OK) return status;
    }
    r->depth--;
    ASSERT(r->owed == owed_before);
    *out_value = (struct resp_value){.type = type, .items = items, .count = (size_t)count};
    return STATUS_OK;
}

static bool is_double(struct slice s)
{
    if (slice_is_word(s, "inf") || slice_is_word(s, "-inf") || slice_is_word(s, "nan")) return true;
    bool digit_seen = false;
    for (size_t i = 0; i < s.length; i++) {
        uint8_t c = s.data[i];
        if (c >= '0' && c <= '9') {
            digit_seen = true;
        } else if (!memchr("+-.eE", c, 5)) {
            return false;
        }
    }
    return digit_seen;
}

static bool is_big_number(struct slice s)
{
    if (s.length && (s.data[0] == '-' || s.data[0] == '+')) s = slice_skip(s, 1);
    for (size_t i = 0; i < s.length; i++) {
        if (s.data[i] < '0' || s.data[i] > '9') return false;
    }
    return s.length > 0;
}

/* The types that are one line: what follows their sign. */
static enum status read_scalar(struct reply_reader *r, uint8_t sign, struct resp_value *out_value)
{
    struct slice line;
    enum status status = read_line(r, &line);
    if (status != STATUS_OK) return status;

    struct resp_value value = {.text = line};
    bool valid = true;
    switch (sign) {
    case '+': value.type = RESP_SIMPLE; break;
    case '-': value.type = RESP_ERROR; break;
    case ':':
        value = (struct resp_value){.type = RESP_INTEGER};
        valid = slice_to_i64(line, &value.integer);
        break;
    case '_':
        value = (struct resp_value){.type = RESP_NULL};
        valid = line.length == 0;
        break;
    case '#':
        valid = line.length == 1 && (line.data[0] == 't' || line.data[0] == 'f');
        value = (struct resp_value){.type = RESP_BOOLEAN, .integer = valid && line.data[0] == 't'};
        break;
    case ',':
        value.type = RESP_DOUBLE;
        valid = is_double(line);
        break;
    case '(':
        value.type = RESP_BIG_NUMBER;
        valid = is_big_number(line);
        break;
    default: return STATUS_MALFORMED;
    }
    if (!valid) return STATUS_MALFORMED;
    *out_value = value;
    return STATUS_OK;
}

static enum status read_value(struct reply_reader *r, struct resp_value *out_value)
{
    for (;;) {
        if (r->at == r->end) return STATUS_MORE;
        uint8_t sign = *r->at++;
        switch (sign) {
        case '$': return read_blob(r, RESP_BULK, out_value);
        case '!': return read_blob(r, RESP_ERROR, out_value);
        case '=': return read_blob(r, RESP_VERBATIM, out_value);
        case '*': return read_items(r, RESP_ARRAY, out_value);
        case '%': return read_items(r, RESP_MAP, out_value);
        case '~': return read_items(r, RESP_SET, out_value);
        case '>': return read_items(r, RESP_PUSH, out_value);
        case '+':
        case '-':
        case ':':
        case '_':
        case '#':
        case ',':
        case '(': return read_scalar(r, sign, out_value);
        case '|': break; /* an attribute: read it, forget it, and read the value it describes */
        default: return STATUS_MALFORMED;
        }
        struct resp_value attribute;
        enum status status = read_items(r, RESP_MAP, &attribute);
        if (status != STATUS_OK) return status;
    }
}

enum status resp_read(struct slice input, struct arena *arena, struct resp_value *out_value, size_t *out_used)
{
    if (input.length == 0) return STATUS_MORE;
    struct reply_reader r = {.at = input.data, .end = input.data + input.length, .arena = arena};
    struct arena_mark mark = arena_mark(arena);
    struct resp_value value;
    enum status status = read_value(&r, &value);
    if (status != STATUS_OK) {
        arena_rewind(arena, mark);
        return status;
    }
    *out_value = value;
    *out_used = (size_t)(r.at - input.data);
    return STATUS_OK;
}
