/* command_args.c: replies and arguments that the commands share, in the words of Redis 7.0. */
#include "ordered/command.h"

void reply_error(struct call *call, const char *text)
{
    resp_write_error(call->reply, text);
}

void reply_syntax(struct call *call)
{
    reply_error(call, "ERR syntax error");
}

void reply_wrong_type(struct call *call)
{
    reply_error(call, "WRONGTYPE Operation against a key holding the wrong kind of value");
}

void reply_not_integer(struct call *call)
{
    reply_error(call, "ERR value is not an integer or out of range");
}

void reply_ok(struct call *call)
{
    resp_write_simple(call->reply, "OK");
}

void reply_null(struct call *call)
{
    resp_write_null(call->reply, call->resp_version);
}

void reply_integer(struct call *call, int64_t value)
{
    resp_write_integer(call->reply, value);
}

void reply_bulk(struct call *call, struct slice s)
{
    resp_write_bulk(call->reply, s);
}

static void reply_invalid_expire(struct call *call)
{
    resp_write_error_format(call->reply, "ERR invalid expire time in '%s' command", call->command->name);
}

bool arg_integer(struct call *call, size_t index, int64_t *out_value)
{
    if (slice_to_i64(call->args[index], out_value)) return true;
    reply_not_integer(call);
    return false;
}

bool arg_double(struct call *call, size_t index, const char *error, double *out_value)
{
    if (text_to_double(call->args[index], out_value)) return true;
    reply_error(call, error);
    return false;
}

bool arg_keys_count(struct call *call, size_t index, const char *not_positive, size_t *out_count)
{
    int64_t count;
    if (!slice_to_i64(call->args[index], &count) || count < 1) {
        reply_error(call, not_positive);
        return false;
    }
    if ((uint64_t)count > call->args_count - index - 1) {
        reply_syntax(call);
        return false;
    }
    *out_count = (size_t)count;
    return true;
}

bool arg_is(const struct call *call, size_t index, const char *word)
{
    return index < call->args_count && slice_is_word(call->args[index], word);
}

bool arg_count_option(struct call *call, size_t at, int64_t *out_count)
{
    if (at == call->args_count) return true;
    if (!arg_is(call, at, "count") || at + 1 == call->args_count) {
        reply_syntax(call);
        return false;
    }
    if (!slice_to_i64(call->args[at + 1], out_count) || *out_count < 1) {
        reply_error(call, "ERR count should be greater than 0");
        return false;
    }
    if (at + 2 == call->args_count) return true;
    reply_syntax(call);
    return false;
}

void range_resolve(int64_t first, int64_t last, uint64_t total, uint64_t *out_first, uint64_t *out_count)
{
    int64_t count = (int64_t)total;
    if (first < 0) first = first < -count ? 0 : first + count;
    if (last < 0) last = last < -count ? -1 : last + count;
    if (last >= count) last = count - 1;
    bool is_empty = first > last || first >= count;
    *out_first = is_empty ? 0 : (uint64_t)first;
    *out_count = is_empty ? 0 : (uint64_t)(last - first + 1);
}

bool arg_expiry(struct call *call, size_t index, enum expire_unit unit, bool must_be_positive, uint64_t *out_at_ms)
{
    int64_t value;
    if (!arg_integer(call, index, &value)) return false;
    bool is_absolute = unit == EXPIRE_EXAT || unit == EXPIRE_PXAT;
    bool in_seconds = unit == EXPIRE_EX || unit == EXPIRE_EXAT;
    bool fits = !must_be_positive || value > 0;
    if (fits && in_seconds) fits = !__builtin_mul_overflow(value, 1000, &value);
    if (fits && !is_absolute) fits = !__builtin_add_overflow(value, (int64_t)call->now_ms, &value);
    if (!fits) {
        reply_invalid_expire(call);
        return false;
    }
    *out_at_ms = value < 1 ? 1 : (uint64_t)value;
    return true;
}
