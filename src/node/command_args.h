/* command_args.h: what the key commands share: parsing of their common options, replies in Redis' words, and the
 * beginning and end of a write.
 */
#ifndef MERIDIAN_NODE_COMMAND_ARGS_H
#define MERIDIAN_NODE_COMMAND_ARGS_H

#include "base/prng.h"
#include "node/command.h"

enum {
    KEY_BYTES_MAX = 64 * 1024,              /* a key, a column's name */
    STRING_BYTES_MAX = RESP_BULK_BYTES_MAX, /* a string that APPEND or SETRANGE makes */
    RANDOM_PICKS_MAX = 1024 * 1024,         /* SRANDMEMBER, HRANDFIELD with a negative count */
};

/* ---- replies ---- */

enum { INTEGER_TEXT_BYTES = 24 };
struct slice request_integer_text(int64_t value, char out[INTEGER_TEXT_BYTES]); /* decimal; borrows `out` */
void reply_bulk_u64(struct buffer *reply, uint64_t value);                      /* a cursor */

/* The error for a time that overflows or must not be past; it names the command. */
void request_refuse_expire(struct request *request);

/* Drop what was replied since `mark` (reply->length then): the error found half way takes its place. */
void reply_rewind(struct request *request, size_t mark);
/* The error for a read that is neither READ_OK nor READ_ABSENT. */
void reply_read_refused(struct request *request, enum read_outcome outcome);
/* What was read, nil (or 0) where there is nothing, or why it can't be read: false, and that stands in place of
 * everything that was replied since `mark`. */
bool reply_read_value(struct request *request, size_t mark, enum read_outcome outcome, struct slice value);
bool reply_read_number(struct request *request, size_t mark, enum read_outcome outcome, int64_t number);

/* "none", "string", "hash", "set", as TYPE says it; OBJECT_NONE for a name that is no type of ours. */
const char *object_type_name(enum object_type type);
enum object_type object_type_of_name(struct slice name);

/* ---- arguments ---- */

/* An integer argument. False: "-ERR value is not an integer or out of range" is replied. */
MUST_USE bool request_integer(struct request *request, size_t index, int64_t *out_value);

/* `value` units of `unit_ms` milliseconds after `base_ms`. False: that overflows. */
MUST_USE bool expire_time(int64_t value, int64_t unit_ms, uint64_t base_ms, int64_t *out_ms);

/* The options behind SCAN, HSCAN and SSCAN. */
struct scan_options {
    bool has_pattern;
    struct slice pattern;
    bool has_type;
    struct slice type;
    uint64_t count;
};
/* From args[at] on. Returns NULL, or the error without '-'. */
MUST_USE const char *scan_options_parse(const struct slice *args, size_t args_count, size_t at, bool type_allowed,
                                        struct scan_options *out);

/* Sort the slices by their bytes and drop the repeated ones; returns how many are left. */
uint32_t slices_make_distinct(struct slice *slices, uint32_t count);

/* ---- SCAN inside one key: HSCAN, SSCAN ---- */

/* Elements are scanned in windows over a 32-bit hash of their names; the cursor is where the next window begins. So an
 * element that stays is returned exactly once, whatever else comes and goes. Each call looks at every element once;
 * therefore a window is at least as wide as to hold one in ELEMENT_SCAN_CALLS_MAX of them, however small COUNT is, and
 * a small key comes whole. */
enum { ELEMENT_SCAN_CALLS_MAX = 64 };
struct element {
    struct slice name, value;
};
struct element_scan {
    uint64_t from, to; /* the window; `to` beyond 32 bits: the last one */
    struct arena *arena;
    const struct scan_options *options;
    struct element *elements;
    size_t count, capacity;
};
/* The cursor argument. False: "-ERR invalid cursor" is replied. */
MUST_USE bool arg_element_cursor(struct request *request, size_t index, uint32_t *out_cursor);
void element_scan_begin(struct element_scan *scan, struct arena *arena, uint32_t cursor,
                        const struct scan_options *options, uint64_t total);
/* Each element of the key. A value that is wanted is copied: a counter's stands only in the visitor's scratch. */
void element_scan_add(struct element_scan *scan, struct slice name, struct slice value);
/* Reply [cursor, elements], with or without their values. */
void element_scan_reply(struct request *request, const struct element_scan *scan, bool with_values);

/* ---- random picks: SRANDMEMBER, SPOP, HRANDFIELD ---- */

/* More than RANDOM_PICKS_MAX repeated ones are not. False: the error is replied. */
MUST_USE bool request_picks_allowed(struct request *request, int64_t wanted);

/* Drawn first by index, then filled by one visit over the elements. Results stand in the order of drawing. */
struct random_pick {
    uint64_t index;
    uint64_t slot;
};
struct random_picks {
    struct random_pick *picks; /* by index */
    struct element *results;
    uint64_t count;
    uint64_t filled;
    uint64_t visited;
};
/* `count` of `total` elements: distinct ones (count <= total), or each drawn anew (total > 0). Memory is the request's
 * arena. */
void random_picks_draw(struct request *request, uint64_t total, uint64_t count, bool repeated,
                       struct random_picks *out);
bool random_picks_wants(const struct random_picks *picks); /* the element that is visited next */
bool random_picks_visit(struct random_picks *picks, struct slice name, struct slice value); /* false: all are filled */

/* ---- writes ---- */

/* As request_load, for a handler that is going to write: what has expired is removed first by a delete of its own
 * (S16), so that nothing of its former life is carried into the next. On false return *out_result. */
MUST_USE bool request_load_to_write(struct request *request, struct store_item **out_item, struct object **out_object,
                                    enum command_result *out_result);

/* Complete request->write (observed and body are there), check its sizes and issue it. On false return *out_result: an
 * error was replied, or the request parks. */
MUST_USE bool request_issue(struct request *request, enum write_kind kind, struct store_item *item,
                            enum command_result *out_result);

/* Write `value` as the key's string in place of everything that `object` shows, of any type, and of its expiry, for
 * which `expire_at_ms` stands (0: never). */
MUST_USE bool request_issue_set(struct request *request, struct store_item *item, const struct object *object,
                                struct slice value, uint64_t expire_at_ms, enum command_result *out_result);

/* Delete what `object` shows, under the policy of the table's CONFLICT. */
MUST_USE bool request_issue_delete(struct request *request, struct store_item *item, const struct object *object,
                                   enum command_result *out_result);

/* Set the expiry; 0 removes it. */
MUST_USE bool request_issue_expire(struct request *request, struct store_item *item, const struct object *object,
                                   uint64_t expire_at_ms, enum command_result *out_result);

/* True when a write to the part `type` must not happen: over siblings or into another type. The error is replied. */
MUST_USE bool refuse_write(struct request *request, const struct object *object, enum object_type type);

/* This replica's counter entry raised by `delta`: of the string (column NULL) or of a column. `object` may be NULL.
 * False: a total would overflow. */
struct increment {
    uint64_t birth, positive, negative;
};
MUST_USE bool increment_prepare(const struct request *request, const struct object *object, const struct slice *column,
                                int64_t delta, struct increment *out);

/* When what is alive expires, for a write that keeps it; 0: never. `object` may be NULL. */
static inline uint64_t expiry_to_keep(const struct object *object)
{
    return object ? object_expire_at_ms(object) : 0;
}

/* Alive, that is: neither absent, deleted nor expired. `object` may be NULL. */
static inline bool object_is_alive(const struct object *object, struct replica_now now)
{
    return object && object_type(object, now.wall_ms) != OBJECT_NONE;
}

#endif
