/* test_varint.c: one form for each value, and readers that fail for good. */
#include "base/prng.h"
#include "wire/varint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void lengths_grow_every_seven_bits(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits <= 64; bits++) {
        uint64_t value = bits == 0 ? 0 : UINT64_MAX >> (64 - bits);
        uint8_t out[VARINT_BYTES_MAX];
        size_t expected = bits == 0 ? 1 : (bits + 6) / 7;
        assert_int_equal(varint_encode(out, value), expected);
        assert_int_equal(varint_bytes(value), expected);
        struct reader r = reader_of(slice_of(out, expected));
        assert_true(read_varint(&r) == value);
        assert_true(reader_finished(&r));
    }
}

static void everything_reads_back(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 2);
    struct buffer b;
    buffer_init(&b, 4096);
    for (int round = 0; round < 5000; round++) {
        uint64_t u = prng_u64(&p) >> prng_below(&p, 64);
        int64_t i = (int64_t)prng_u64(&p) >> prng_below(&p, 64);
        struct slice s = slice_of("some bytes", prng_below(&p, 11));
        buffer_clear(&b);
        write_varint(&b, u);
        write_zigzag(&b, i);
        write_u8(&b, (uint8_t)u);
        write_u32(&b, (uint32_t)u);
        write_u64(&b, u);
        write_bytes(&b, s);

        struct reader r = reader_of(buffer_slice(&b));
        assert_true(read_varint(&r) == u);
        assert_true(read_zigzag(&r) == i);
        assert_true(read_u8(&r) == (uint8_t)u);
        assert_true(read_u32(&r) == (uint32_t)u);
        assert_true(read_u64(&r) == u);
        assert_true(slice_equal(read_bytes(&r), s));
        assert_true(reader_finished(&r));

        size_t cut = prng_below(&p, b.length);
        r = reader_of(slice_of(b.data, cut));
        (void)read_varint(&r), (void)read_zigzag(&r), (void)read_u8(&r), (void)read_u32(&r), (void)read_u64(&r);
        (void)read_bytes(&r);
        assert_true(r.failed);
    }
    buffer_deinit(&b);
}

static void zigzag_extremes(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        uint64_t code;
    } cases[] = {{0, 0}, {-1, 1}, {1, 2}, {-2, 3}, {INT64_MAX, UINT64_MAX - 1}, {INT64_MIN, UINT64_MAX}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buffer b;
        buffer_init(&b, 64);
        write_zigzag(&b, cases[i].value);
        struct reader r = reader_of(buffer_slice(&b));
        assert_true(read_varint(&r) == cases[i].code);
        r = reader_of(buffer_slice(&b));
        assert_true(read_zigzag(&r) == cases[i].value);
        buffer_deinit(&b);
    }
}

static void little_endian_on_the_wire(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 64);
    write_u32(&b, 0x01020304);
    write_u64(&b, 0x05060708090a0b0c);
    assert_memory_equal(b.data, "\4\3\2\1\xc\xb\xa\x9\x8\7\6\5", 12);
    buffer_deinit(&b);
}

static void refuses_other_forms(void **state)
{
    (void)state;
    const struct slice bad[] = {
        SLICE_LITERAL(""),
        SLICE_LITERAL("\x80"),
        SLICE_LITERAL("\x80\x00"),                                 /* over-long 0 */
        SLICE_LITERAL("\xff\x00"),                                 /* over-long 127 */
        SLICE_LITERAL("\x80\x80\x00"),                             /* over-long 0 */
        SLICE_LITERAL("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), /* 65 bits */
        SLICE_LITERAL("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"),
        SLICE_LITERAL("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct reader r = reader_of(bad[i]);
        assert_true(read_varint(&r) == 0);
        assert_true(r.failed);
    }
}

static void a_failed_reader_stays_failed(void **state)
{
    (void)state;
    struct reader r = reader_of(SLICE_LITERAL("\x7f more bytes"));
    assert_int_equal(read_bytes(&r).length, 0); /* 127 bytes are not there */
    assert_true(r.failed);
    assert_int_equal(reader_left(&r), 0);
    assert_int_equal(read_u8(&r), 0);
    assert_int_equal(read_varint(&r), 0);
    assert_int_equal(read_u32(&r), 0);
    assert_true(read_u64(&r) == 0);
    assert_int_equal(read_exact(&r, 0).length, 0);
    assert_false(reader_finished(&r));
}

static void hostile_lengths(void **state)
{
    (void)state;
    struct reader r = reader_of(SLICE_LITERAL("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01xyz"));
    assert_int_equal(read_bytes(&r).length, 0);
    assert_true(r.failed);
    r = reader_of((struct slice){0});
    assert_true(reader_finished(&r));
    assert_int_equal(read_exact(&r, 0).length, 0);
    assert_true(reader_finished(&r));
    assert_int_equal(read_exact(&r, SIZE_MAX).length, 0);
    assert_true(r.failed);
}

static void bytes_are_written_whole_or_not_at_all(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 8);
    write_bytes(&b, SLICE_LITERAL("12345678"));
    assert_true(b.overflowed);
    assert_int_equal(b.length, 0);
    buffer_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_grow_every_seven_bits),
        cmocka_unit_test(everything_reads_back),
        cmocka_unit_test(zigzag_extremes),
        cmocka_unit_test(little_endian_on_the_wire),
        cmocka_unit_test(refuses_other_forms),
        cmocka_unit_test(a_failed_reader_stays_failed),
        cmocka_unit_test(hostile_lengths),
        cmocka_unit_test(bytes_are_written_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
