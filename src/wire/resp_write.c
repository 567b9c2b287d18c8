/* resp_write.c: writing replies (and requests, which are arrays of bulk strings).
 *
 * Each writer reserves once and appends its value whole or not at all.
 */
#include "wire/resp.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

/* "<sign><number>\r\n" */
static void write_head(struct buffer *b, char sign, int64_t number)
{
    uint8_t head[1 + DECIMAL_BYTES_MAX + 2];
    head[0] = (uint8_t)sign;
    size_t length = 1 + decimal_i64(head + 1, number);
    head[length++] = '\r';
    head[length++] = '\n';
    buffer_append(b, head, length);
}

static void write_literal(struct buffer *b, const char *text)
{
    buffer_append(b, text, strlen(text));
}

/* One line of `text`, which must not end the line early. */
static void write_line(struct buffer *b, char sign, struct slice text)
{
    uint8_t *out = buffer_reserve(b, 1 + text.length + 2);
    if (!out) return;
    *out++ = (uint8_t)sign;
    for (size_t i = 0; i < text.length; i++) {
        uint8_t c = text.data[i];
        *out++ = c == '\r' || c == '\n' ? ' ' : c;
    }
    out[0] = '\r';
    out[1] = '\n';
    buffer_commit(b, 1 + text.length + 2);
}

void resp_write_simple(struct buffer *b, const char *text)
{
    write_line(b, '+', slice_of_string(text));
}

void resp_write_error(struct buffer *b, const char *text)
{
    write_line(b, '-', slice_of_string(text));
}

void resp_write_error_format(struct buffer *b, const char *format, ...)
{
    enum { ERROR_BYTES_MAX = 1024 }; /* a message is cut there: it may quote what a client sent */

    char text[ERROR_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    resp_write_error(b, text);
}

void resp_write_integer(struct buffer *b, int64_t value)
{
    write_head(b, ':', value);
}

void resp_write_bulk(struct buffer *b, struct slice s)
{
    uint8_t digits[DECIMAL_BYTES_MAX];
    size_t digits_bytes = decimal_u64(digits, s.length);
    size_t bytes = 1 + digits_bytes + 2 + s.length + 2;
    uint8_t *out = buffer_reserve(b, bytes);
    if (UNLIKELY(!out)) return;
    *out++ = '$';
    memcpy(out, digits, digits_bytes);
    out += digits_bytes;
    *out++ = '\r';
    *out++ = '\n';
    if (s.length) memcpy(out, s.data, s.length);
    out[s.length] = '\r';
    out[s.length + 1] = '\n';
    buffer_commit(b, bytes);
}

void resp_write_null(struct buffer *b, int version)
{
    write_literal(b, version >= 3 ? "_\r\n" : "$-1\r\n");
}

void resp_write_null_array(struct buffer *b, int version)
{
    write_literal(b, version >= 3 ? "_\r\n" : "*-1\r\n");
}

void resp_write_array(struct buffer *b, size_t count)
{
    write_head(b, '*', (int64_t)count);
}

void resp_write_map(struct buffer *b, int version, size_t pairs)
{
    if (version >= 3) {
        write_head(b, '%', (int64_t)pairs);
    } else {
        write_head(b, '*', 2 * (int64_t)pairs);
    }
}

void resp_write_set(struct buffer *b, int version, size_t count)
{
    write_head(b, version >= 3 ? '~' : '*', (int64_t)count);
}

void resp_write_push(struct buffer *b, int version, size_t count)
{
    write_head(b, version >= 3 ? '>' : '*', (int64_t)count);
}

void resp_write_boolean(struct buffer *b, int version, bool value)
{
    if (version >= 3) {
        write_literal(b, value ? "#t\r\n" : "#f\r\n");
    } else {
        write_head(b, ':', value);
    }
}

void resp_write_double(struct buffer *b, int version, double value)
{
    char text[32];
    if (isnan(value)) {
        snprintf(text, sizeof text, "nan"); /* printf() may put a sign before it */
    } else {
        snprintf(text, sizeof text, "%.17g", value);
    }
    if (version >= 3) {
        write_line(b, ',', slice_of_string(text));
    } else {
        resp_write_bulk(b, slice_of_string(text));
    }
}
