/* test_glob.c: Redis' patterns, every corner by example, the rest against a naive twin; and bounded work. */
#include "base/glob.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void examples(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"*", "", true},
        {"*", "anything", true},
        {"", "", true},
        {"", "a", false},
        {"a*", "a", true},
        {"*a", "ba", true},
        {"a*b*c", "aXbYc", true},
        {"a*b*c", "aXbY", false},
        {"h?llo", "hello", true},
        {"h?llo", "hllo", false},
        {"h[ae]llo", "hallo", true},
        {"h[ae]llo", "hillo", false},
        {"h[^e]llo", "hallo", true},
        {"h[^e]llo", "hello", false},
        {"h[a-c]llo", "hbllo", true},
        {"h[a-c]llo", "hdllo", false},
        {"[c-a]", "b", true},
        {"[a-]", "-", false},
        {"[a-]", "_", true},
        {"[-a]", "-", true},
        {"[]a]", "a", false},
        {"[\\]a]", "]", true},
        {"[\\]a]", "a", true},
        {"[^\\]]", "]", false},
        {"[abc", "c", true},
        {"[abc", "d", false},
        {"[", "[", false},
        {"[^", "x", true},
        {"[a-", "-", true},
        {"\\*", "*", true},
        {"\\*", "x", false},
        {"\\", "\\", true},
        {"a\\", "a\\", true},
        {"**", "", true},
        {"**a**", "xay", true},
        {"?*", "", false},
        {"?*", "a", true},
        {"*?", "abc", true},
        {"users:*:name", "users:7:name", true},
        {"users:*:name", "users:7:names", false},
        {"*[0-9]", "key9", true},
        {"*[0-9]", "9key", false},
        {"a", "A", false},
        {"[A-Z]", "b", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool got = glob_match(slice_of_string(cases[i].pattern), slice_of_string(cases[i].text));
        if (got != cases[i].matches) fail_msg("'%s' on '%s'", cases[i].pattern, cases[i].text);
    }
}

static void ignores_case_on_request(void **state)
{
    (void)state;
    assert_true(glob_match_nocase(SLICE_LITERAL("MaxMem*"), SLICE_LITERAL("maxmemory-policy")));
    assert_true(glob_match_nocase(SLICE_LITERAL("[A-C]x"), SLICE_LITERAL("bX")));
    assert_true(glob_match_nocase(SLICE_LITERAL("[a]"), SLICE_LITERAL("A")));
    assert_false(glob_match_nocase(SLICE_LITERAL("@"), SLICE_LITERAL("`")));
}

static void matches_bytes_not_characters(void **state)
{
    (void)state;
    assert_true(glob_match(SLICE_LITERAL("?\xff*"), SLICE_LITERAL("\0\xff\0")));
    assert_true(glob_match(SLICE_LITERAL("[\x80-\xff]"), SLICE_LITERAL("\xc3")));
    assert_false(glob_match(SLICE_LITERAL("a"), SLICE_LITERAL("a\0")));
}

/* Stars and plain letters only, by the definition. */
static bool naive(const uint8_t *p, size_t plen, const uint8_t *t, size_t tlen)
{
    if (plen == 0) return tlen == 0;
    if (*p == '*') return naive(p + 1, plen - 1, t, tlen) || (tlen && naive(p, plen, t + 1, tlen - 1));
    return tlen && (*p == '?' || *p == *t) && naive(p + 1, plen - 1, t + 1, tlen - 1);
}

static void equals_its_twin(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 9);
    for (int round = 0; round < 200000; round++) {
        uint8_t pattern[8], text[10];
        size_t plen = prng_below(&p, sizeof pattern), tlen = prng_below(&p, sizeof text);
        for (size_t i = 0; i < plen; i++) pattern[i] = (uint8_t) "ab*?"[prng_below(&p, 4)];
        for (size_t i = 0; i < tlen; i++) text[i] = (uint8_t) "ab"[prng_below(&p, 2)];
        assert_int_equal(glob_match(slice_of(pattern, plen), slice_of(text, tlen)), naive(pattern, plen, text, tlen));
    }
}

/* Redis before 6.2.13 needs longer than the age of the universe for this one (CVE-2022-36021). */
static void hostile_patterns_are_cheap(void **state)
{
    (void)state;
    enum { STARS = 500, LETTERS = 20000 };
    static uint8_t pattern[2 * STARS + 1], text[LETTERS];
    for (size_t i = 0; i < STARS; i++) {
        pattern[2 * i] = '*';
        pattern[2 * i + 1] = 'a';
    }
    pattern[2 * STARS] = 'b';
    memset(text, 'a', sizeof text);
    assert_false(glob_match(slice_of(pattern, sizeof pattern), slice_of(text, sizeof text)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples),
        cmocka_unit_test(ignores_case_on_request),
        cmocka_unit_test(matches_bytes_not_characters),
        cmocka_unit_test(equals_its_twin),
        cmocka_unit_test(hostile_patterns_are_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
