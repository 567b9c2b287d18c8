/* node_clock.c: a base vector and the dots beyond its gaps. */
#include "causality/node_clock.h"

#include "base/memory.h"

void node_clock_init(struct node_clock *c)
{
    vv_init(&c->base);
    dot_set_init(&c->exceptions);
}

void node_clock_deinit(struct node_clock *c)
{
    if (!c) return;
    vv_deinit(&c->base);
    dot_set_deinit(&c->exceptions);
}

void node_clock_copy(struct node_clock *to, const struct node_clock *from)
{
    vv_copy(&to->base, &from->base);
    dot_set_clear(&to->exceptions);
    dot_set_union(&to->exceptions, &from->exceptions);
}

/* Restore N1: drop covered exceptions, absorb those that follow the base. One pass: exceptions are sorted. */
static void absorb(struct node_clock *c)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->exceptions.count; i++) {
        struct dot d = c->exceptions.dots[i];
        uint64_t base = vv_get(&c->base, d.replica);
        if (d.counter <= base) continue;
        if (d.counter == base + 1)
            vv_raise(&c->base, d);
        else
            c->exceptions.dots[kept++] = d;
    }
    c->exceptions.count = kept;
}

void node_clock_add(struct node_clock *c, struct dot d)
{
    uint64_t base = vv_get(&c->base, d.replica);
    if (d.counter <= base) return;
    if (d.counter != base + 1) {
        dot_set_add(&c->exceptions, d);
        return;
    }
    vv_raise(&c->base, d);
    if (c->exceptions.count) absorb(c);
}

bool node_clock_covers(const struct node_clock *c, struct dot d)
{
    return vv_covers(&c->base, d) || dot_set_has(&c->exceptions, d);
}

void node_clock_raise(struct node_clock *c, const struct vv *vv)
{
    vv_merge(&c->base, vv);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->exceptions.count; i++) {
        struct dot d = c->exceptions.dots[i];
        if (d.counter > vv_get(&c->base, d.replica) + 1) c->exceptions.dots[kept++] = d; /* N1 */
    }
    c->exceptions.count = kept;
}

void node_clock_forget_exceptions(struct node_clock *c)
{
    dot_set_clear(&c->exceptions);
}

void node_clock_write(struct buffer *b, const struct node_clock *c)
{
    vv_write(b, &c->base);
    dot_set_write(b, &c->exceptions);
}

enum status node_clock_read(struct reader *r, struct node_clock *out)
{
    enum status status = vv_read(r, &out->base);
    if (status == STATUS_OK) status = dot_set_read(r, &out->exceptions);
    if (status != STATUS_OK) return status;
    for (uint32_t i = 0; i < out->exceptions.count; i++) { /* N1 holds for what a peer sends, too */
        struct dot d = out->exceptions.dots[i];
        if (d.counter <= vv_get(&out->base, d.replica) + 1) return STATUS_MALFORMED;
    }
    return STATUS_OK;
}

void node_clock_check(const struct node_clock *c)
{
    for (uint32_t i = 0; i < c->base.count; i++) {
        ASSERT(c->base.entries[i].counter > 0);
        if (i) ASSERT(c->base.entries[i - 1].replica < c->base.entries[i].replica);
    }
    for (uint32_t i = 0; i < c->exceptions.count; i++) {
        struct dot d = c->exceptions.dots[i];
        if (i) ASSERT(dot_compare(c->exceptions.dots[i - 1], d) < 0);
    }
    for (uint32_t i = 0; i < c->exceptions.count; i++) {
        struct dot d = c->exceptions.dots[i];
        bool follows = i > 0 && c->exceptions.dots[i - 1].replica == d.replica;
        if (!follows) ASSERT(d.counter > vv_get(&c->base, d.replica) + 1);
    }
}
