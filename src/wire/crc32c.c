/* crc32c.c: CRC32C by the SSE4.2 instruction, three streams at a time, or by eight tables.
 *
 * Source: RFC 3720, B.4, for the polynomial (0x1EDC6F41, reflected 0x82F63B78); Intel, "Fast CRC computation for iSCSI
 *         polynomial using CRC32 instruction", 2011, for the interleaving; Kounavis and Berry, 2005, for the tables.
 *
 * The instruction takes 3 cycles but a new one may begin in each: three independent streams keep it busy. Their
 * remainders are joined by shifting the earlier ones over the length of the later, which is linear over GF(2), so that
 * a table lookup per byte of the remainder does it.
 */
#include "wire/crc32c.h"

enum {
    STREAM_BYTES_LONG = 4096,
    STREAM_BYTES_SHORT = 256,
};

#define POLYNOMIAL_REFLECTED 0x82f63b78u

typedef uint32_t crc_function(uint32_t crc, const uint8_t *at, size_t length);

static uint32_t by_table[8][256];   /* by_table[k][b]: the byte b, followed by k zero bytes */
static uint32_t shift_long[4][256]; /* shift_x[k][b]: remainder byte k of value b, moved over STREAM_BYTES_x zeros */
static uint32_t shift_short[4][256];
static crc_function *update;

static uint64_t load_u64(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static uint32_t update_by_table(uint32_t crc, const uint8_t *at, size_t length)
{
    for (; length >= 8; at += 8, length -= 8) {
        uint64_t word = load_u64(at) ^ crc;
        crc = by_table[7][word & 0xff] ^ by_table[6][word >> 8 & 0xff] ^ by_table[5][word >> 16 & 0xff] ^
              by_table[4][word >> 24 & 0xff] ^ by_table[3][word >> 32 & 0xff] ^ by_table[2][word >> 40 & 0xff] ^
              by_table[1][word >> 48 & 0xff] ^ by_table[0][word >> 56];
    }
    for (; length; at++, length--) crc = by_table[0][(crc ^ *at) & 0xff] ^ crc >> 8;
    return crc;
}

static uint32_t shift(uint32_t table[4][256], uint32_t crc)
{
    return table[0][crc & 0xff] ^ table[1][crc >> 8 & 0xff] ^ table[2][crc >> 16 & 0xff] ^ table[3][crc >> 24];
}

#if defined(__x86_64__)

#include <nmmintrin.h>

#define SSE42 __attribute__((target("sse4.2")))

/* As many triples of `stream_bytes` as there are, and moves *io_at and *io_length behind them. */
SSE42 static inline uint32_t update_streams(uint32_t crc, const uint8_t **io_at, size_t *io_length, size_t stream_bytes,
                                            uint32_t table[4][256])
{
    const uint8_t *at = *io_at;
    size_t length = *io_length;
    for (; length >= 3 * stream_bytes; at += 3 * stream_bytes, length -= 3 * stream_bytes) {
        uint64_t a = crc, b = 0, c = 0;
        for (size_t i = 0; i < stream_bytes; i += 8) {
            a = _mm_crc32_u64(a, load_u64(at + i));
            b = _mm_crc32_u64(b, load_u64(at + stream_bytes + i));
            c = _mm_crc32_u64(c, load_u64(at + 2 * stream_bytes + i));
        }
        crc = shift(table, (uint32_t)a) ^ (uint32_t)b;
        crc = shift(table, crc) ^ (uint32_t)c;
    }
    *io_at = at;
    *io_length = length;
    return crc;
}

SSE42 static uint32_t update_by_instruction(uint32_t crc, const uint8_t *at, size_t length)
{
    crc = update_streams(crc, &at, &length, STREAM_BYTES_LONG, shift_long);
    crc = update_streams(crc, &at, &length, STREAM_BYTES_SHORT, shift_short);
    uint64_t wide = crc;
    for (; length >= 8; at += 8, length -= 8) wide = _mm_crc32_u64(wide, load_u64(at));
    crc = (uint32_t)wide;
    for (; length; at++, length--) crc = _mm_crc32_u8(crc, *at);
    return crc;
}

static crc_function *best_update(void)
{
    return __builtin_cpu_supports("sse4.2") ? update_by_instruction : update_by_table;
}

#else

static crc_function *best_update(void)
{
    return update_by_table;
}

#endif

/* The remainder of `crc` followed by `count` zero bytes. */
static uint32_t over_zeros(uint32_t crc, size_t count)
{
    for (size_t i = 0; i < count; i++) crc = by_table[0][crc & 0xff] ^ crc >> 8;
    return crc;
}

static void fill_shift(uint32_t table[4][256], size_t stream_bytes)
{
    uint32_t bit[32]; /* the shift is linear: the images of the single bits give all others */
    for (int i = 0; i < 32; i++) bit[i] = over_zeros((uint32_t)1 << i, stream_bytes);
    for (int k = 0; k < 4; k++) {
        for (int b = 0; b < 256; b++) {
            uint32_t image = 0;
            for (int i = 0; i < 8; i++) {
                if (b >> i & 1) image ^= bit[8 * k + i];
            }
            table[k][b] = image;
        }
    }
}

/* Before main(), so that threads and cores find everything in place and constant. */
__attribute__((constructor)) static void fill_tables(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (int i = 0; i < 8; i++) crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL_REFLECTED : crc >> 1;
        by_table[0][b] = crc;
    }
    for (uint32_t b = 0; b < 256; b++) {
        for (int k = 1; k < 8; k++) by_table[k][b] = over_zeros(by_table[k - 1][b], 1);
    }
    fill_shift(shift_long, STREAM_BYTES_LONG);
    fill_shift(shift_short, STREAM_BYTES_SHORT);
    update = best_update();
}

uint32_t crc32c(uint32_t seed, struct slice s)
{
    return ~update(~seed, s.data, s.length);
}

uint32_t crc32c_by_table(uint32_t seed, struct slice s)
{
    return ~update_by_table(~seed, s.data, s.length);
}
