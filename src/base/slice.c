/* slice.c: comparison and number reading for slices. */
#include "base/slice.h"

int slice_compare(struct slice a, struct slice b)
{
    size_t shared = a.length < b.length ? a.length : b.length;
    int order = shared ? memcmp(a.data, b.data, shared) : 0;
    if (order) return order;
    return (a.length > b.length) - (a.length < b.length);
}

static uint8_t ascii_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool slice_is_word(struct slice s, const char *word)
{
    for (size_t i = 0; i < s.length; i++) {
        /* A NUL in `s` must not match the end of `word`. */
        if (word[i] == '\0' || ascii_lower(s.data[i]) != ascii_lower((uint8_t)word[i])) return false;
    }
    return word[s.length] == '\0';
}

/* Digits without sign; the value has at most 20 digits and fits. */
static bool digits_to_u64(const uint8_t *at, size_t length, uint64_t *out_value)
{
    enum { DIGITS_ALWAYS_FIT = 19, DIGITS_MAX = 20 };

    if (length == 0 || length > DIGITS_MAX) return false;
    if (at[0] == '0' && length > 1) return false;
    uint64_t value = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned digit = (unsigned)at[i] - '0';
        if (digit > 9) return false;
        if (i >= DIGITS_ALWAYS_FIT && value > (UINT64_MAX - digit) / 10) return false;
        value = value * 10 + digit;
    }
    *out_value = value;
    return true;
}

bool slice_to_u64(struct slice s, uint64_t *out_value)
{
    return digits_to_u64(s.data, s.length, out_value);
}

bool slice_to_i64(struct slice s, int64_t *out_value)
{
    uint64_t magnitude;
    if (s.length == 0) return false;
    if (s.data[0] != '-') {
        if (!digits_to_u64(s.data, s.length, &magnitude) || magnitude > INT64_MAX) return false;
        *out_value = (int64_t)magnitude;
        return true;
    }
    if (!digits_to_u64(s.data + 1, s.length - 1, &magnitude)) return false;
    if (magnitude == 0 || magnitude > (uint64_t)INT64_MAX + 1) return false; /* "-0" is no number for Redis either */
    *out_value = (int64_t)(0 - magnitude);
    return true;
}
