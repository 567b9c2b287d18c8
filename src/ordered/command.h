/* command.h: what a command of the machine runs on. Shared inside this room only.
 *
 * A handler reads its arguments, then the values, then changes them. It appends exactly one reply, and has changed
 * nothing when that is an error. Everything it names as a key is hot and not locked when it is called.
 */
#ifndef MERIDIAN_ORDERED_COMMAND_H
#define MERIDIAN_ORDERED_COMMAND_H

#include "ordered/machine_internal.h"
#include "wire/resp.h"

enum {
    TEXT_BYTES_MAX = RESP_BULK_BYTES_MAX, /* a string that APPEND or SETRANGE makes */
    RANDOM_PICKS_MAX = 1024 * 1024,       /* with repetition */
};

struct call {
    struct machine *machine;
    const struct machine_command *command;
    const struct slice *args; /* args[0] is the command's word */
    size_t args_count;
    int resp_version;
    bool defers_minimum; /* in a MULTI: checked at its end */
    uint64_t now_ms;
    uint64_t lsn, index; /* of the entry; 0 in machine_read() */
    uint64_t draws_as;   /* index of the entry that was first answered: seeds what is drawn, names holds */
    struct arena *arena;
    struct buffer *reply;
    struct prng *prng;
    /* The key looked up last. */
    const uint8_t *found_key;
    size_t found_bytes;
    uint64_t found_hash;
    struct store_item *found_item;
};

struct command_group {
    const struct machine_command *commands;
    size_t count;
};
extern const struct command_group commands_string, commands_counter, commands_hash, commands_set, commands_set_algebra,
    commands_list, commands_list_move, commands_zset, commands_zset_range, commands_zset_algebra, commands_key,
    commands_key_move, commands_money;

/* ---- entries while they are applied (machine_apply.c) ---- */

struct applying {
    struct machine *machine;
    const struct machine_entry *entry;
    struct slice bytes; /* the entry's */
    uint64_t lsn, index, now_ms;
    uint64_t draws_as; /* `index`, or a transaction's PREPARE */
    struct buffer *reply;
    struct machine_answer *answer;
    struct prng prng;
    struct call single; /* of a COMMAND entry: looked up when it was gathered */
};

/* Everything hot that the entry's commands and watches touch? `locks`: LOCKED when a key is locked. */
MUST_USE enum machine_result machine__gather_commands(struct applying *a, bool locks);
void machine__run_command(struct applying *a, const struct machine_args *command, bool defers_minimum);
MUST_USE bool machine__watches_hold(const struct applying *a);
/* True: what was run since keeps_undo leaves a key below the minimum, and the error is replied. */
MUST_USE bool machine__reply_broken_minimum(struct applying *a);
/* Every key of the entry's commands and watches, some perhaps twice; accounts of holds too, as far as they are hot. */
void machine__visit_entry_keys(struct applying *a, const struct machine_entry *entry,
                               void (*visit)(void *user, struct slice key), void *user);

/* machine_transaction.c: PREPARE and later kinds. Both answer and change as machine_apply() does. */
MUST_USE enum machine_result machine__gather_transaction(struct applying *a);
void machine__run_transaction(struct applying *a);
bool machine__transaction_remove(struct applying *a, struct slice id); /* one that is over */

/* ---- holds (machine_hold.c) ---- */

struct hold {
    struct slice account; /* key */
    int64_t amount;
    uint64_t expires_at_ms;
};

/* DONE: *out_found, and the hold, which borrows from the record. */
MUST_USE enum machine_result machine__hold_find(struct machine *m, struct slice id, bool *out_found, struct hold *out,
                                                struct machine_answer *answer);
void machine__hold_id(const struct call *call, uint64_t count, struct buffer *out); /* appended */
void machine__hold_put(struct call *call, struct slice id, const struct hold *hold);
/* Add to an account, which may be below 0 (commands_money.c). False: the error is replied, nothing is done. */
MUST_USE bool machine__account_add(struct call *call, struct slice key, int64_t delta);
/* The account's item of a hold that is to be swept, and its lock: DONE, COLD, LOCKED. */
enum machine_result machine__hold_gather(struct machine *m, const struct hold *hold, struct machine_answer *answer);
/* Give back what has expired: false where the account can't take it (it is no number, or too great a one). */
MUST_USE bool machine__hold_expire(struct applying *a, struct slice id);

/* ---- values (call.c) ---- */

/* The item of a key, whatever it holds; NULL: none. */
struct store_item *call_item(struct call *call, struct slice key);
/* What is alive under the key; NULL: nothing. */
struct value *call_value(struct call *call, struct slice key);
/* The same, of this type or nothing. False: -WRONGTYPE is replied. */
MUST_USE bool call_typed(struct call *call, struct slice key, enum value_type type, struct value **out_value);

/* The key's value, to be changed; a new empty one of `type` if nothing is alive there. What is there is of that type.
 * Finish by call_edited() before the next call that changes anything. */
struct value *call_edit(struct call *call, struct slice key, enum value_type type);
/* A collection that became empty is removed. */
void call_edited(struct call *call, struct slice key);
/* `owned_value` in place of all that is there. Its version is set. An empty collection removes the key. */
void call_replace(struct call *call, struct slice key, struct value *owned_value);
/* True when it was alive. */
bool call_remove(struct call *call, struct slice key);
/* Of a value that call_edit() gave; 0: never. */
void call_expire(struct call *call, struct slice key, struct value *v, uint64_t expire_at_ms);

/* A collection of so many bytes in memory? False: the error is replied. */
MUST_USE bool call_bytes_allowed(struct call *call, size_t bytes);
/* May this be a string here, a field of a hash? False: the error is replied. */
MUST_USE bool call_text_allowed(struct call *call, struct slice key, struct slice text);
MUST_USE bool call_field_allowed(struct call *call, struct slice key, struct slice text);
/* The number that a text stands for is below the minimum. */
bool text_is_below(struct slice text, int64_t minimum);

/* ---- replies and arguments (command_args.c), in the words of Redis 7.0 ---- */

/* Each appends one reply. The text of an error comes without "-"; null is that of the call's RESP version. */
void reply_error(struct call *call, const char *text);
void reply_syntax(struct call *call);
void reply_wrong_type(struct call *call);
void reply_not_integer(struct call *call);
void reply_ok(struct call *call);
void reply_null(struct call *call);
void reply_integer(struct call *call, int64_t value);
void reply_bulk(struct call *call, struct slice s);

/* False: the error is replied. */
MUST_USE bool arg_integer(struct call *call, size_t index, int64_t *out_value);
MUST_USE bool arg_double(struct call *call, size_t index, const char *error, double *out_value);
/* A count of keys at `index`, that many follow. */
MUST_USE bool arg_keys_count(struct call *call, size_t index, const char *not_positive, size_t *out_count);
/* From `at` on: nothing, or COUNT and a number. False: the error is replied. */
MUST_USE bool arg_count_option(struct call *call, size_t at, int64_t *out_count);
bool arg_is(const struct call *call, size_t index, const char *word); /* false too behind the last one */

/* Redis' indexes, negative ones from the end, into [*out_first, *out_first + *out_count). */
void range_resolve(int64_t first, int64_t last, uint64_t total, uint64_t *out_first, uint64_t *out_count);

/* An expiry in any of Redis' units (EX PX EXAT PXAT), in ms since 1970. False: the error is replied. A time that has
 * come already is *out_at_ms <= call->now_ms, at least 1. */
enum expire_unit { EXPIRE_EX, EXPIRE_PX, EXPIRE_EXAT, EXPIRE_PXAT };
MUST_USE bool arg_expiry(struct call *call, size_t index, enum expire_unit unit, bool must_be_positive,
                         uint64_t *out_at_ms);

/* ---- numbers (number.c) ---- */

enum { NUMBER_TEXT_BYTES = 5120 };                                        /* the longest long double in decimal */
struct slice integer_text(int64_t value, uint8_t out[DECIMAL_BYTES_MAX]); /* decimal; borrows `out` */

/* As Redis reads them: the whole text, no leading space, no NaN, nothing that overflows or underflows to 0. False: it
 * is none, `out` is untouched. */
bool text_to_double(struct slice s, double *out);
bool text_to_long_double(struct slice s, long double *out);
/* "%.17Lf" without trailing zeros. */
struct slice long_double_text(long double value, char out[NUMBER_TEXT_BYTES]);

/* ---- sorted sets (commands_zset.c) ---- */

/* The `count` members from rank `first` on, in the arena; backwards if reversed. */
struct member **ranked_members(struct call *call, const struct value *v, uint32_t first, uint32_t count, bool reversed);
/* Names, with their scores if wanted: pairs under RESP3 if `nested`, else flat. */
void reply_ranked(struct call *call, struct member *const *members, uint32_t count, bool with_scores, bool nested);

/* ---- elements: scans and random picks (command_elements.c) ---- */

struct scan_options {
    bool has_pattern;
    struct slice pattern;
    uint64_t count;
};
enum scan_with { SCAN_NAMES, SCAN_VALUES, SCAN_SCORES };

/* HSCAN, SSCAN, ZSCAN over members: the cursor is args[2]. A window over the hashes of the names, so that what stays
 * is returned exactly once, whatever else comes and goes. */
void scan_members(struct call *call, enum value_type type, enum scan_with with);

/* Positions drawn below `total`: `count` different ones in random order (count <= total), or each drawn anew. */
uint32_t *draw_positions(struct call *call, uint32_t total, uint32_t count, bool repeated);
MUST_USE bool picks_are_allowed(struct call *call, int64_t wanted);

#endif
