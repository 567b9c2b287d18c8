/* glob.c: matching with one point of return instead of recursion.
 *
 * Source:  Redis 7, util.c, stringmatchlen(), for the meaning of every corner.
 * Differs: bytes are unsigned, and "*" fits the empty text also when it is the whole pattern. When something after a
 *          star fails, only the latest star needs to take one byte more: an earlier one could only shift what the
 *          latest absorbs anyway. So the work is O(pattern * text), where Redis' recursion is exponential.
 */
#include "base/glob.h"

static uint8_t fold(uint8_t c, bool nocase)
{
    return nocase && c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* Does `c` belong to the class that begins behind the '[' at `*io_at`? Moves *io_at behind the class. A class without
 * its ']' ends with the pattern. */
static bool class_has(struct slice pattern, size_t *io_at, uint8_t c, bool nocase)
{
    size_t at = *io_at + 1;
    bool negated = at < pattern.length && pattern.data[at] == '^';
    if (negated) at++;
    bool found = false;
    c = fold(c, nocase);
    while (at < pattern.length && pattern.data[at] != ']') {
        size_t left = pattern.length - at;
        const uint8_t *p = pattern.data + at;
        if (p[0] == '\\' && left >= 2) {
            found |= fold(p[1], nocase) == c;
            at += 2;
        } else if (left >= 3 && p[1] == '-') {
            uint8_t first = fold(p[0], nocase), last = fold(p[2], nocase);
            found |= first <= last ? c >= first && c <= last : c >= last && c <= first;
            at += 3;
        } else {
            found |= fold(p[0], nocase) == c;
            at++;
        }
    }
    *io_at = at < pattern.length ? at + 1 : at;
    return found != negated;
}

/* Does the single-byte element at `*io_at` fit `c`? Moves *io_at behind the element. */
static bool element_fits(struct slice pattern, size_t *io_at, uint8_t c, bool nocase)
{
    size_t at = *io_at;
    if (pattern.data[at] == '[') return class_has(pattern, io_at, c, nocase);
    if (pattern.data[at] == '?') {
        *io_at = at + 1;
        return true;
    }
    if (pattern.data[at] == '\\' && at + 1 < pattern.length) at++;
    *io_at = at + 1;
    return fold(pattern.data[at], nocase) == fold(c, nocase);
}

static bool match(struct slice pattern, struct slice text, bool nocase)
{
    size_t p = 0, t = 0;
    size_t retry_p = SIZE_MAX, retry_t = 0; /* behind the latest star, and the text byte it has not taken yet */
    while (t < text.length) {
        if (p < pattern.length && pattern.data[p] == '*') {
            retry_p = ++p;
            retry_t = t;
            if (p == pattern.length) return true;
            continue;
        }
        if (p < pattern.length && element_fits(pattern, &p, text.data[t], nocase)) {
            t++;
            continue;
        }
        if (retry_p == SIZE_MAX) return false;
        p = retry_p;
        t = ++retry_t;
    }
    while (p < pattern.length && pattern.data[p] == '*') p++;
    return p == pattern.length;
}

bool glob_match(struct slice pattern, struct slice text)
{
    return match(pattern, text, false);
}

bool glob_match_nocase(struct slice pattern, struct slice text)
{
    return match(pattern, text, true);
}
