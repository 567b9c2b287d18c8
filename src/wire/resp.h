/* resp.h: the Redis protocol, both versions: read requests, read replies, write replies.
 *
 * Source: Redis protocol specification, RESP2 and RESP3.
 */
#ifndef MERIDIAN_WIRE_RESP_H
#define MERIDIAN_WIRE_RESP_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"

enum {
    RESP_ARGS_MAX = 1024 * 1024,            /* words in one request, as Redis */
    RESP_BULK_BYTES_MAX = 32 * 1024 * 1024, /* one key or value */
    RESP_REQUEST_BYTES_MAX = 64 * 1024 * 1024,
    RESP_INLINE_BYTES_MAX = 64 * 1024,
    RESP_DEPTH_MAX = 32,               /* of nested replies */
    RESP_ITEMS_MAX = 16 * 1024 * 1024, /* of one aggregate in a reply */
};

struct resp_request {
    struct slice *args; /* in the arena; the slices borrow from the input */
    size_t args_count;  /* 0 for an empty line or empty array: ignore it */
};

/* How far an incomplete request is known. Zeroed for a new request; what it holds is for resp_read_request() alone. */
struct resp_progress {
    size_t bytes_needed; /* a call with fewer bytes can only give STATUS_MORE */
    size_t offset;       /* where the first word begins that was not whole; of a line: what was searched for its end */
    size_t words_left;   /* from that word on; 0: the head is not read yet */
};

/* Read one request (an array of bulk strings, or an inline line with Redis' quoting) from the front of `input`.
 * Lifetime: *out_request borrows from `input` and `arena`.
 * Returns:  STATUS_OK; STATUS_MORE; STATUS_MALFORMED (reply, close); STATUS_LIMIT (reply, close).
 *           On the last two *out_reason is a text such as "Protocol error: invalid bulk length", in Redis' words,
 *           static or in the arena.
 * Cost:     after STATUS_MORE call again with the same bytes (they may have moved) and more behind them, and the same
 *           progress: every word is looked at no more than twice, however small the portions are. STATUS_MORE takes no
 *           memory from the arena. *io_progress is zeroed again on STATUS_OK. */
MUST_USE enum status resp_read_request(struct slice input, struct arena *arena, struct resp_progress *io_progress,
                                       struct resp_request *out_request, size_t *out_used, const char **out_reason);

enum resp_type {
    RESP_SIMPLE,
    RESP_ERROR, /* '-' and the bulk errors '!' of version 3 */
    RESP_INTEGER,
    RESP_BULK,
    RESP_NULL,
    RESP_ARRAY,
    RESP_MAP,
    RESP_SET,
    RESP_PUSH,
    RESP_DOUBLE,
    RESP_BOOLEAN,
    RESP_VERBATIM,
    RESP_BIG_NUMBER,
};

struct resp_value {
    enum resp_type type;
    struct slice text;        /* borrowed from the input: SIMPLE, ERROR, BULK, VERBATIM, BIG_NUMBER, DOUBLE */
    int64_t integer;          /* INTEGER, BOOLEAN */
    struct resp_value *items; /* ARRAY, SET, PUSH: count; MAP: 2 * count, key then value */
    size_t count;
};

/* Read one reply value of either version, for forwarding coordinators, the lab and tests. Attributes are skipped, a
 * verbatim text loses its three-letter kind, streamed aggregates are refused.
 * Returns: STATUS_OK; STATUS_MORE (call again with more bytes); STATUS_MALFORMED; STATUS_LIMIT (nested or counted
 *          beyond the limits above). The arena gives memory for bytes that are present, not for promised counts. */
MUST_USE enum status resp_read(struct slice input, struct arena *arena, struct resp_value *out_value, size_t *out_used);

/* Writers append to `b`. `version` is 2 or 3 and decides the shape of null, map, set, boolean, double and push. */
void resp_write_simple(struct buffer *b, const char *text);
void resp_write_error(struct buffer *b, const char *text); /* "CODE text" without '-'; CR and LF become spaces */
PRINTF_LIKE(2, 3) void resp_write_error_format(struct buffer *b, const char *format, ...);
void resp_write_integer(struct buffer *b, int64_t value);
void resp_write_bulk(struct buffer *b, struct slice s);
void resp_write_null(struct buffer *b, int version);
void resp_write_null_array(struct buffer *b, int version);
void resp_write_array(struct buffer *b, size_t count);            /* then count values */
void resp_write_map(struct buffer *b, int version, size_t pairs); /* flat array of 2 * pairs under version 2 */
void resp_write_set(struct buffer *b, int version, size_t count);
void resp_write_push(struct buffer *b, int version, size_t count);
void resp_write_boolean(struct buffer *b, int version, bool value); /* 0 / 1 under version 2 */
void resp_write_double(struct buffer *b, int version, double value);

#endif
