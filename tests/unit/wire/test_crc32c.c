/* test_crc32c.c: the published vectors, and both ways of computing against each other. */
#include "base/memory.h"
#include "base/prng.h"
#include "wire/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void check(struct slice s, uint32_t expected)
{
    assert_int_equal(crc32c(0, s), expected);
    assert_int_equal(crc32c_by_table(0, s), expected);
}

/* RFC 3720, B.4, and the customary check value. */
static void published_vectors(void **state)
{
    (void)state;
    uint8_t bytes[32];
    memset(bytes, 0, sizeof bytes);
    check(slice_of(bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    check(slice_of(bytes, 32), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++) bytes[i] = i;
    check(slice_of(bytes, 32), 0x46dd794e);
    for (uint8_t i = 0; i < 32; i++) bytes[i] = (uint8_t)(31 - i);
    check(slice_of(bytes, 32), 0x113fdb5c);
    static const uint8_t iscsi_read[48] = {
        0x01, 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02,
    };
    check(slice_of(iscsi_read, 48), 0xd9963a56);
    check(SLICE_LITERAL("123456789"), 0xe3069283);
    check((struct slice){0}, 0);
}

/* Lengths around the places where one way of computing hands over to the next, at every alignment. */
static void both_ways_agree(void **state)
{
    (void)state;
    enum { BYTES = 3 * 4096 * 2 + 3 * 256 + 64 };
    uint8_t *bytes = memory_alloc(BYTES + 8);
    struct prng p;
    prng_init(&p, 1);
    for (size_t i = 0; i < BYTES + 8; i++) bytes[i] = (uint8_t)prng_u64(&p);
    static const size_t around[] = {0, 8, 256, 768, 1536, 3 * 4096, 3 * 4096 + 768, 6 * 4096, BYTES};
    for (size_t i = 0; i < sizeof around / sizeof around[0]; i++) {
        for (size_t length = around[i] < 9 ? 0 : around[i] - 9; length <= around[i] + 9 && length <= BYTES; length++) {
            for (size_t offset = 0; offset < 8; offset++) {
                struct slice s = slice_of(bytes + offset, length);
                uint32_t seed = (uint32_t)prng_u64(&p);
                assert_int_equal(crc32c(seed, s), crc32c_by_table(seed, s));
            }
        }
    }
    for (int round = 0; round < 500; round++) {
        size_t length = prng_below(&p, BYTES), cut = prng_below(&p, length + 1);
        uint32_t parts = crc32c(crc32c(0, slice_of(bytes, cut)), slice_of(bytes + cut, length - cut));
        assert_int_equal(parts, crc32c_by_table(0, slice_of(bytes, length)));
    }
    memory_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(published_vectors), cmocka_unit_test(both_ways_agree)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
