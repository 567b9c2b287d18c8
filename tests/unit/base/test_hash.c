/* test_hash.c: the hash is part of the data format, so its values are pinned here. */
#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <xxhash.h>

#include <cmocka.h>

static void keys_keep_their_hash(void **state)
{
    (void)state;
    assert_true(hash_key(SLICE_LITERAL("")) == 0x2d06800538d394c2u); /* XXH3's published value for no bytes */
    assert_true(hash_key((struct slice){0}) == 0x2d06800538d394c2u);
}

/* The library of the machine is another build of the same function: they must agree for every length class. */
static void agrees_with_the_shared_library(void **state)
{
    (void)state;
    uint8_t bytes[600];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 31);
    for (size_t length = 0; length <= sizeof bytes; length++) {
        struct slice s = slice_of(bytes, length);
        assert_true(hash_key(s) == XXH3_64bits(bytes, length));
        assert_true(hash_bytes(s, 77) == XXH3_64bits_withSeed(bytes, length, 77));
        assert_true(hash_bytes(s, 0) == hash_key(s));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_keep_their_hash),
        cmocka_unit_test(agrees_with_the_shared_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
