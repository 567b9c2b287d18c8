/* test_frame.c: what is written is read; what was damaged, cut or is too large is not. */
#include "base/memory.h"
#include "wire/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void frames_follow_each_other(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 1024);
    assert_int_equal(frame_write(&b, 1, 2, SLICE_LITERAL("hello")), STATUS_OK);
    assert_int_equal(frame_write(&b, 255, 128, (struct slice){0}), STATUS_OK);
    struct frame frame;
    size_t used, first;
    assert_int_equal(frame_read(buffer_slice(&b), &frame, &first), STATUS_OK);
    assert_int_equal(frame.type, 1);
    assert_int_equal(frame.flags, 2);
    assert_true(slice_equal(frame.body, SLICE_LITERAL("hello")));
    assert_int_equal(first, FRAME_HEADER_BYTES + 5);
    assert_int_equal(frame_read(slice_skip(buffer_slice(&b), first), &frame, &used), STATUS_OK);
    assert_int_equal(frame.type, 255);
    assert_int_equal(frame.flags, 128);
    assert_int_equal(frame.body.length, 0);
    assert_int_equal(first + used, b.length);
    buffer_deinit(&b);
}

static void every_cut_asks_for_more(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 1024);
    assert_int_equal(frame_write(&b, 7, 0, SLICE_LITERAL("some body")), STATUS_OK);
    for (size_t length = 0; length < b.length; length++) {
        struct frame frame = {.type = 42};
        size_t used = 42;
        assert_int_equal(frame_read(slice_of(b.data, length), &frame, &used), STATUS_MORE);
        assert_int_equal(frame.type, 42);
        assert_int_equal(used, 42);
    }
    buffer_deinit(&b);
}

/* More bytes follow, so that a length that has grown can't hide behind STATUS_MORE. */
static void every_damaged_byte_is_found(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 128 * 1024);
    assert_int_equal(frame_write(&b, 7, 1, SLICE_LITERAL("a body of some length")), STATUS_OK);
    size_t frame_bytes = b.length;
    while (b.length < 100 * 1024) buffer_append(&b, "what follows ", 13);
    for (size_t at = 0; at < frame_bytes; at++) {
        for (unsigned flip = 1; flip < 256; flip++) {
            struct frame frame;
            size_t used;
            b.data[at] ^= (uint8_t)flip;
            enum status status = frame_read(buffer_slice(&b), &frame, &used);
            if (at == 2 || at == 3) { /* the length in millions: too large, or not all here */
                assert_true(status == STATUS_LIMIT || status == STATUS_MORE || status == STATUS_MALFORMED);
            } else {
                assert_int_equal(status, STATUS_MALFORMED);
            }
            b.data[at] ^= (uint8_t)flip;
        }
    }
    buffer_deinit(&b);
}

static void limits_hold(void **state)
{
    (void)state;
    uint8_t header[FRAME_HEADER_BYTES] = {0};
    uint32_t length = FRAME_BODY_BYTES_MAX + 1;
    memcpy(header, &length, 4);
    struct frame frame;
    size_t used;
    assert_int_equal(frame_read(slice_of(header, sizeof header), &frame, &used), STATUS_LIMIT);
    length = FRAME_BODY_BYTES_MAX;
    memcpy(header, &length, 4);
    assert_int_equal(frame_read(slice_of(header, sizeof header), &frame, &used), STATUS_MORE);

    struct buffer b;
    buffer_init(&b, (size_t)FRAME_BODY_BYTES_MAX * 2);
    uint8_t *body = memory_zalloc(1, FRAME_BODY_BYTES_MAX + 1);
    assert_int_equal(frame_write(&b, 0, 0, slice_of(body, FRAME_BODY_BYTES_MAX + 1)), STATUS_LIMIT);
    assert_int_equal(frame_write(&b, 0, 0, slice_of(body, FRAME_BODY_BYTES_MAX)), STATUS_OK);
    assert_int_equal(frame_read(buffer_slice(&b), &frame, &used), STATUS_OK);
    assert_int_equal(frame.body.length, FRAME_BODY_BYTES_MAX);
    memory_free(body);
    buffer_deinit(&b);
}

/* A full send queue is an answer, not damage: what is queued stays, and there is room again once it is sent. */
static void a_full_buffer_refuses_and_stays_usable(void **state)
{
    (void)state;
    struct buffer b;
    buffer_init(&b, 40);
    assert_int_equal(frame_write(&b, 1, 0, SLICE_LITERAL("0123456789")), STATUS_OK);
    assert_int_equal(frame_write(&b, 2, 0, SLICE_LITERAL("0123456789")), STATUS_LIMIT);
    assert_false(b.overflowed);
    assert_int_equal(b.length, FRAME_HEADER_BYTES + 10);
    buffer_consume(&b, b.length);
    assert_int_equal(frame_write(&b, 2, 0, SLICE_LITERAL("0123456789")), STATUS_OK);
    buffer_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_follow_each_other),
        cmocka_unit_test(every_cut_asks_for_more),
        cmocka_unit_test(every_damaged_byte_is_found),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(a_full_buffer_refuses_and_stays_usable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
