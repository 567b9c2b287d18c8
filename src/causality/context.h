/* context.h: the causal context that a client is handed with siblings and gives back to resolve them. Opaque text:
 * base64url of (version, table id, key hash, dots, checksum), so that a context of another key, table or a mangled one
 * is refused instead of silently resolving nothing. */
#ifndef MERIDIAN_CAUSALITY_CONTEXT_H
#define MERIDIAN_CAUSALITY_CONTEXT_H

#include "causality/dot_set.h"

enum { CONTEXT_TEXT_BYTES_MAX = 1024 * 1024 };

struct causal_context {
    uint64_t table;
    uint64_t key_hash;
    struct dot_set dots;
};

void causal_context_init(struct causal_context *c);
void causal_context_deinit(struct causal_context *c);

/* Append the text form. Of more dots than CONTEXT_TEXT_BYTES_MAX can hold it makes a text that decoding refuses. */
void causal_context_encode(const struct causal_context *c, struct buffer *out_text);

/* Returns STATUS_OK, STATUS_MALFORMED (not a context, or damaged), STATUS_VERSION, STATUS_LIMIT. */
MUST_USE enum status causal_context_decode(struct slice text, struct causal_context *out);

#endif
