/* links: crdt causality wire base */
/* fuzz_write.c: hostile write records and hostile object encodings: what passes the check can be applied, encodes to
 * the same bytes again, and never reads outside of its input. The first byte chooses which of the two the rest is. */
#include "base/buffer.h"
#include "crdt/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ENCODED_BYTES_MAX = 64 * 1024 * 1024 };

static void check_reencodes(const struct object *o)
{
    struct buffer again;
    buffer_init(&again, ENCODED_BYTES_MAX);
    object_encode(o, &again);
    struct object *copy = object_decode(buffer_slice(&again));
    ASSERT(copy && object_equal(copy, o));
    object_free(copy);
    buffer_deinit(&again);
}

static void read_everything(const struct object *o)
{
    struct arena arena;
    arena_init(&arena);
    struct dot_set dots;
    dot_set_init(&dots);
    struct object_sibling *siblings;
    (void)object_siblings(o, 0, &arena, &siblings, &dots);
    struct counter_base *bases;
    (void)object_all_counter_bases(o, &arena, &bases);
    (void)object_expire_at_ms(o);
    (void)object_stamp_max(o);
    (void)object_bytes(o);
    dot_set_deinit(&dots);
    arena_deinit(&arena);
}

/* A write, applied to nothing under each policy. */
static void try_write(struct slice bytes)
{
    struct write w;
    write_init(&w);
    if (write_decode(bytes, &w) == STATUS_OK) {
        struct buffer again;
        buffer_init(&again, ENCODED_BYTES_MAX);
        write_encode(&w, &again);
        ASSERT(slice_equal(buffer_slice(&again), bytes));
        buffer_deinit(&again);
        for (int policy = CONFLICT_LWW; w.kind != WRITE_RESTORE_MARK && policy <= CONFLICT_DELETE_WINS; policy++) {
            struct object *o = object_new();
            struct object_events events;
            object_events_init(&events);
            object_apply(o, (enum conflict_policy)policy, &w, NULL, &events);
            check_reencodes(o);
            read_everything(o);
            object_events_deinit(&events);
            object_free(o);
        }
    }
    write_deinit(&w);
}

static void try_object(struct slice bytes)
{
    struct object *o = object_decode(bytes);
    if (!o) return;
    check_reencodes(o);
    read_everything(o);
    object_free(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    struct slice rest = slice_of(data + 1, size - 1);
    if (data[0] & 1)
        try_object(rest);
    else
        try_write(rest);
    return 0;
}
