/* write.c: the record of one write. See write.h. */
#include "crdt/write.h"

#include "crdt/write_body.h"

void write_init(struct write *w)
{
    *w = (struct write){0};
    vv_init(&w->deps);
    dot_set_init(&w->observed);
}

void write_deinit(struct write *w)
{
    if (!w) return;
    vv_deinit(&w->deps);
    dot_set_deinit(&w->observed);
}

void write_encode(const struct write *w, struct buffer *out)
{
    ASSERT(w->kind > 0 && w->kind < WRITE_KIND_COUNT);
    ASSERT(!dot_is_none(w->dot));
    write_u8(out, (uint8_t)w->kind);
    write_u8(out, w->flags);
    write_varint(out, w->stamp);
    dot_write(out, w->dot);
    vv_write_except(out, &w->deps, w->dot.replica);
    dot_set_write(out, &w->observed);
    write_bytes(out, w->key);
    buffer_append_slice(out, w->body);
}

static bool flags_fit(enum write_kind kind, uint8_t flags)
{
    switch (kind) {
    case WRITE_DELETE: return (flags & ~WRITE_FLAG_EXPIRY) == 0;
    case WRITE_SET:
    case WRITE_COLUMNS:
    case WRITE_MEMBERS_ADD: return (flags & ~WRITE_FLAG_OVERWRITE) == 0;
    case WRITE_INCREMENT:
    case WRITE_MEMBERS_REMOVE:
    case WRITE_EXPIRE:
    case WRITE_RESTORE_MARK: return flags == 0;
    case WRITE_KIND_COUNT: break;
    }
    return false;
}

/* W3. */
static bool observed_is_past(const struct write *w)
{
    for (uint32_t i = 0; i < w->observed.count; i++) {
        if (!write_covers(w, w->observed.dots[i])) return false;
    }
    return true;
}

enum status write_decode(struct slice bytes, struct write *w)
{
    struct reader r = reader_of(bytes);
    w->kind = (enum write_kind)read_u8(&r);
    w->flags = read_u8(&r);
    w->stamp = read_varint(&r);
    w->dot = dot_read(&r);
    if (r.failed || !flags_fit(w->kind, w->flags) || !dot_is_issuable(w->dot)) return STATUS_MALFORMED;
    enum status status = vv_read(&r, &w->deps);
    if (status != STATUS_OK) return status;
    status = dot_set_read(&r, &w->observed);
    if (status != STATUS_OK) return status;
    w->key = read_bytes(&r);
    if (r.failed) return STATUS_MALFORMED;
    if (vv_get(&w->deps, w->dot.replica) != 0 || !observed_is_past(w)) return STATUS_MALFORMED;
    w->body = read_exact(&r, reader_left(&r));
    return body_is_valid(w->kind, w->body, w->dot.counter) ? STATUS_OK : STATUS_MALFORMED;
}
