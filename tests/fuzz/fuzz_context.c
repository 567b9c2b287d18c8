/* links: causality wire base */
/* fuzz_context.c: a client's context: whatever the bytes, no crash; what is accepted encodes to the same text. */
#include "causality/context.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct causal_context c;
    causal_context_init(&c);
    if (causal_context_decode(slice_of(data, size), &c) == STATUS_OK) {
        struct buffer text;
        buffer_init(&text, 2 * CONTEXT_TEXT_BYTES_MAX);
        causal_context_encode(&c, &text);
        ASSERT(slice_equal(buffer_slice(&text), slice_of(data, size)));
        buffer_deinit(&text);
    }
    causal_context_deinit(&c);
    return 0;
}
