/* test_context.c: contexts come back as they were given out, and a mangled one is refused, whatever was changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "causality/context.h"

static void make_text(struct buffer *text)
{
    struct causal_context c;
    causal_context_init(&c);
    c.table = 0x1122334455667788;
    c.key_hash = 0x99aabbccddeeff00;
    dot_set_add(&c.dots, (struct dot){replica_id_of(3, 77), 5});
    dot_set_add(&c.dots, (struct dot){replica_id_of(4, 78), 1000000});
    buffer_init(text, 4096);
    causal_context_encode(&c, text);
    causal_context_deinit(&c);
}

static void comes_back_whole(void **state)
{
    (void)state;
    struct buffer text;
    make_text(&text);
    struct causal_context c;
    causal_context_init(&c);
    assert_int_equal(causal_context_decode(buffer_slice(&text), &c), STATUS_OK);
    assert_true(c.table == 0x1122334455667788 && c.key_hash == 0x99aabbccddeeff00 && c.dots.count == 2);
    assert_true(dot_set_has(&c.dots, (struct dot){replica_id_of(4, 78), 1000000}));
    causal_context_deinit(&c);
    buffer_deinit(&text);
}

static void any_change_is_refused(void **state)
{
    (void)state;
    struct buffer text;
    make_text(&text);
    struct causal_context c;
    causal_context_init(&c);
    for (size_t at = 0; at < text.length; at++) {
        uint8_t keep = text.data[at];
        for (int other = 0; other < 256; other++) {
            if ((uint8_t)other == keep) continue;
            text.data[at] = (uint8_t)other;
            assert_int_not_equal(causal_context_decode(buffer_slice(&text), &c), STATUS_OK);
        }
        text.data[at] = keep;
        assert_int_not_equal(causal_context_decode(slice_of(text.data, at), &c), STATUS_OK);
    }
    assert_int_equal(c.dots.count, 0); /* untouched on failure */
    causal_context_deinit(&c);
    buffer_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(comes_back_whole), cmocka_unit_test(any_change_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
