/* number.c: numbers as texts, as Redis reads and writes them. The arithmetic is that of IEEE 754 and, for INCRBYFLOAT,
 * of the x87 format: replicas of one group run on one kind of processor. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ordered/command.h"

struct slice integer_text(int64_t value, uint8_t out[DECIMAL_BYTES_MAX])
{
    return slice_of(out, decimal_i64(out, value));
}

/* As a C string; false for what can't be a number: empty, too long, a space before it. */
static bool number_string(struct slice s, char *out, size_t room)
{
    if (s.length == 0 || s.length >= room) return false;
    char c = (char)s.data[0];
    if (c == ' ' || (c >= '\t' && c <= '\r')) return false;
    memcpy(out, s.data, s.length);
    out[s.length] = 0;
    return true;
}

bool text_to_double(struct slice s, double *out)
{
    enum { TEXT_BYTES = 512 };
    char text[TEXT_BYTES];
    if (!number_string(s, text, sizeof text)) return false;
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (end != text + s.length || isnan(value)) return false;
    if (errno == ERANGE && (value == HUGE_VAL || value == -HUGE_VAL || value == 0)) return false;
    *out = value;
    return true;
}

bool text_to_long_double(struct slice s, long double *out)
{
    char text[NUMBER_TEXT_BYTES];
    if (!number_string(s, text, sizeof text)) return false;
    char *end;
    errno = 0;
    long double value = strtold(text, &end);
    if (end != text + s.length || isnan(value)) return false;
    if (errno == ERANGE && (value == HUGE_VALL || value == -HUGE_VALL || value == 0)) return false;
    *out = value;
    return true;
}

struct slice long_double_text(long double value, char out[NUMBER_TEXT_BYTES])
{
    if (isinf(value)) return slice_of_string(value > 0 ? "inf" : "-inf");
    int written = snprintf(out, NUMBER_TEXT_BYTES, "%.17Lf", value);
    ASSERT(written > 0 && written < NUMBER_TEXT_BYTES);
    size_t length = (size_t)written;
    if (memchr(out, '.', length)) {
        while (out[length - 1] == '0') length--;
        if (out[length - 1] == '.') length--;
    }
    struct slice text = slice_of(out, length);
    return slice_equal(text, SLICE_LITERAL("-0")) ? slice_skip(text, 1) : text;
}
