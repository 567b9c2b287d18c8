/* resp_request.c: reading requests.
 *
 * Source:  Redis protocol specification; Redis 7, networking.c, for the error texts and sds.c, for quoted lines.
 * Differs: a bulk string must really end in CR LF; Redis skips two bytes unread.
 *
 * Q1  Nothing is allocated for words that are not there: an array of words is taken only when the input is long enough
 *     to hold them all.
 * Q2  A request in portions costs time proportional to its bytes: `struct resp_progress` says where to go on.
 * Q3  The verdict on some bytes does not depend on the portions they came in.
 */
#include "wire/resp.h"

#include <stdio.h>

enum { WORD_BYTES_MIN = 6 }; /* "$0\r\n\r\n" */

struct request_reader {
    struct slice input;
    struct arena *arena;
    struct resp_progress progress;
    const char **out_reason;
};

static enum status refuse(struct request_reader *r, enum status status, const char *reason)
{
    *r->out_reason = reason;
    return status;
}

static enum status need(struct request_reader *r, size_t bytes)
{
    if (bytes > RESP_REQUEST_BYTES_MAX) return refuse(r, STATUS_LIMIT, "Protocol error: too big request");
    r->progress.bytes_needed = bytes;
    return STATUS_MORE;
}

struct count_errors {
    const char *too_long;
    const char *invalid;
};

static const struct count_errors multibulk_errors = {
    "Protocol error: too big mbulk count string",
    "Protocol error: invalid multibulk length",
};
static const struct count_errors bulk_errors = {
    "Protocol error: too big bulk count string",
    "Protocol error: invalid bulk length",
};

/* A count that the short way below does not take: negative, long, wrong or incomplete. */
static enum status read_count_slowly(struct request_reader *r, size_t *io_at, const struct count_errors *errors,
                                     int64_t *out_count)
{
    struct slice line = slice_skip(r->input, *io_at);
    size_t searched = line.length < RESP_INLINE_BYTES_MAX ? line.length : RESP_INLINE_BYTES_MAX;
    const uint8_t *cr = searched ? memchr(line.data, '\r', searched) : NULL;
    if (!cr && line.length > searched) return refuse(r, STATUS_LIMIT, errors->too_long);
    if (!cr || cr + 1 == line.data + line.length) return need(r, r->input.length + 1);
    line.length = (size_t)(cr - line.data);
    if (cr[1] != '\n' || !slice_to_i64(line, out_count)) return refuse(r, STATUS_MALFORMED, errors->invalid);
    *io_at += line.length + 2;
    return STATUS_OK;
}

/* Read "<number>\r\n" at *io_at and move behind it. */
static inline enum status read_count(struct request_reader *r, size_t *io_at, const struct count_errors *errors,
                                     int64_t *out_count)
{
    enum { SHORT_DIGITS = 4 };

    const uint8_t *at = r->input.data + *io_at;
    if (LIKELY(r->input.length - *io_at >= SHORT_DIGITS + 2) && at[0] != '0') {
        int64_t count = 0;
        int i = 0;
        for (; i < SHORT_DIGITS && at[i] >= '0' && at[i] <= '9'; i++) count = count * 10 + (at[i] - '0');
        if (LIKELY(i > 0 && at[i] == '\r' && at[i + 1] == '\n')) {
            *out_count = count;
            *io_at += (size_t)i + 2;
            return STATUS_OK;
        }
    }
    return read_count_slowly(r, io_at, errors, out_count);
}

static enum status refuse_sign(struct request_reader *r, uint8_t got)
{
    static const char format[] = "Protocol error: expected '$', got '%c'";
    char *text = arena_alloc(r->arena, sizeof format);
    snprintf(text, sizeof format, format, got);
    return refuse(r, STATUS_MALFORMED, text);
}

/* Read words from where the progress stands to the end of the request, into `args` unless that is NULL. */
static enum status read_words(struct request_reader *r, struct slice *args)
{
    struct resp_progress *p = &r->progress;
    for (; p->words_left; p->words_left--) {
        size_t at = p->offset;
        if (at == r->input.length) return need(r, at + 1);
        if (UNLIKELY(r->input.data[at] != '$')) return refuse_sign(r, r->input.data[at]);
        at++;
        int64_t bytes;
        enum status status = read_count(r, &at, &bulk_errors, &bytes);
        if (UNLIKELY(status != STATUS_OK)) return status;
        if (UNLIKELY(bytes < 0)) return refuse(r, STATUS_MALFORMED, bulk_errors.invalid);
        if (UNLIKELY(bytes > RESP_BULK_BYTES_MAX)) return refuse(r, STATUS_LIMIT, bulk_errors.invalid);

        size_t end = at + (size_t)bytes;
        if (UNLIKELY(end + 2 > RESP_REQUEST_BYTES_MAX || end + 2 > r->input.length)) return need(r, end + 2);
        const uint8_t *data = r->input.data;
        if (UNLIKELY(data[end] != '\r' || data[end + 1] != '\n')) {
            return refuse(r, STATUS_MALFORMED, "Protocol error: expected CRLF after bulk");
        }
        if (args) *args++ = slice_of(data + at, (size_t)bytes);
        p->offset = end + 2;
    }
    return STATUS_OK;
}

/* "*3\r\n" and then the words. */
static enum status read_multibulk(struct request_reader *r, struct resp_request *out_request, size_t *out_used)
{
    struct resp_progress *p = &r->progress;
    if (p->words_left) {
        enum status status = read_words(r, NULL);
        if (status != STATUS_OK) return status;
    }
    size_t at = 1;
    int64_t count;
    enum status status = read_count(r, &at, &multibulk_errors, &count);
    if (UNLIKELY(status != STATUS_OK)) return status;
    if (UNLIKELY(count > RESP_ARGS_MAX)) return refuse(r, STATUS_LIMIT, multibulk_errors.invalid);
    if (UNLIKELY(count <= 0)) {
        *out_request = (struct resp_request){0};
        *out_used = at;
        return STATUS_OK;
    }
    p->offset = at;
    p->words_left = (size_t)count;
    if ((r->input.length - at) / WORD_BYTES_MIN < (size_t)count) {
        status = read_words(r, NULL);
        ASSERT(status != STATUS_OK);
        return status;
    }
    struct arena_mark mark = arena_mark(r->arena);
    struct slice *args = arena_alloc(r->arena, (size_t)count * sizeof *args);
    status = read_words(r, args);
    if (UNLIKELY(status != STATUS_OK)) {
        if (status == STATUS_MORE) arena_rewind(r->arena, mark);
        return status;
    }
    *out_request = (struct resp_request){.args = args, .args_count = (size_t)count};
    *out_used = p->offset;
    return STATUS_OK;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What "\n" and its like mean between double quotes; other bytes mean themselves. */
static uint8_t unescape(uint8_t c)
{
    switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return c;
    }
}

/* Read up to the closing `quote`, from behind the opening one, appending to *io_out. NULL where the quotes are not
 * balanced, else the place behind the closing quote, which must be a space or the end. */
static const uint8_t *read_quoted(const uint8_t *at, const uint8_t *end, uint8_t quote, uint8_t **io_out)
{
    uint8_t *out = *io_out;
    for (; at < end && *at != quote; at++) {
        size_t left = (size_t)(end - at);
        if (quote == '"' && left >= 4 && at[0] == '\\' && at[1] == 'x' && hex_digit(at[2]) >= 0 &&
            hex_digit(at[3]) >= 0) {
            *out++ = (uint8_t)(hex_digit(at[2]) << 4 | hex_digit(at[3]));
            at += 3;
        } else if (quote == '"' && left >= 2 && at[0] == '\\') {
            *out++ = unescape(*++at);
        } else if (quote == '\'' && left >= 2 && at[0] == '\\' && at[1] == '\'') {
            *out++ = *++at;
        } else {
            *out++ = *at;
        }
    }
    *io_out = out;
    if (at == end) return NULL;
    at++;
    return at == end || is_space(*at) ? at : NULL;
}

/* Read one word that begins at `at`; a quote may open in its middle and then ends it. NULL as above. */
static const uint8_t *read_inline_word(const uint8_t *at, const uint8_t *end, uint8_t **io_out)
{
    for (; at < end; at++) {
        switch (*at) {
        case ' ':
        case '\n':
        case '\r':
        case '\t': return at;
        case '"':
        case '\'': return read_quoted(at + 1, end, *at, io_out);
        default: *(*io_out)++ = *at;
        }
    }
    return at;
}

/* A line of words, as typed into telnet. */
static enum status read_inline(struct request_reader *r, struct resp_request *out_request, size_t *out_used)
{
    struct slice input = r->input;
    size_t from = r->progress.offset;
    size_t searched = input.length <= RESP_INLINE_BYTES_MAX ? input.length : RESP_INLINE_BYTES_MAX + 1;
    const uint8_t *newline = searched > from ? memchr(input.data + from, '\n', searched - from) : NULL;
    if (!newline) {
        if (input.length > RESP_INLINE_BYTES_MAX) {
            return refuse(r, STATUS_LIMIT, "Protocol error: too big inline request");
        }
        r->progress.offset = input.length;
        return need(r, input.length + 1);
    }
    size_t length = (size_t)(newline - input.data);
    *out_used = length + 1;
    if (length && input.data[length - 1] == '\r') length--;
    const uint8_t *nul = length ? memchr(input.data, '\0', length) : NULL;
    if (nul) length = (size_t)(nul - input.data); /* a line is a C string for Redis */

    struct slice *args = arena_alloc(r->arena, (length / 2 + 1) * sizeof *args);
    uint8_t *out = arena_alloc(r->arena, length); /* unquoting never lengthens */
    size_t count = 0;
    const uint8_t *at = input.data, *end = at + length;
    for (;;) {
        while (at < end && is_space(*at)) at++;
        if (at == end) break;
        uint8_t *word = out;
        at = read_inline_word(at, end, &out);
        if (!at) return refuse(r, STATUS_MALFORMED, "Protocol error: unbalanced quotes in request");
        args[count++] = slice_of(word, (size_t)(out - word));
    }
    *out_request = (struct resp_request){.args = args, .args_count = count};
    return STATUS_OK;
}

enum status resp_read_request(struct slice input, struct arena *arena, struct resp_progress *io_progress,
                              struct resp_request *out_request, size_t *out_used, const char **out_reason)
{
    if (input.length == 0 || input.length < io_progress->bytes_needed) return STATUS_MORE;
    struct request_reader r = {.input = input, .arena = arena, .progress = *io_progress, .out_reason = out_reason};
    struct resp_request request;
    size_t used;
    enum status status = input.data[0] == '*' ? read_multibulk(&r, &request, &used) : read_inline(&r, &request, &used);
    if (LIKELY(status == STATUS_OK)) {
        *io_progress = (struct resp_progress){0};
        *out_request = request;
        *out_used = used;
    } else if (status == STATUS_MORE) {
        *io_progress = r.progress;
    }
    return status;
}
