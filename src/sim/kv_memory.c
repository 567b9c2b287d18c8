/* kv_memory.c: a sorted array of pairs, twice: as flushed and as it is now, with the batches between them.
 *
 * K1  live = flushed + batches, in order.
 * K2  A crash keeps flushed and a prefix of the batches.
 */
#include "sim/kv_memory.h"

#include "base/assert.h"
#include "base/list.h"
#include "base/memory.h"

struct pair {
    struct slice key, value; /* one block, owned: key then value */
};

struct pairs {
    struct pair *items;
    size_t count, capacity;
};

struct kv_work {
    struct list_node node;
    struct kv_memory *kv;
    struct kv_request *request;
};

struct kv_memory {
    struct kv_memory_config config;
    struct pairs flushed, live;
    struct buffer *batches;
    size_t batches_count, batches_capacity;
    struct list under_way;
    uint64_t busy_until_ns;
    bool full;
};

/* ---- sorted pairs ---- */

static size_t lower_bound(const struct pairs *p, struct slice key)
{
    size_t low = 0, high = p->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (slice_compare(p->items[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct pair make_pair(struct slice key, struct slice value)
{
    uint8_t *block = memory_alloc(key.length + value.length + 1);
    if (key.length) memcpy(block, key.data, key.length);
    if (value.length) memcpy(block + key.length, value.data, value.length);
    return (struct pair){slice_of(block, key.length), slice_of(block + key.length, value.length)};
}

static void free_pair(struct pair *pair)
{
    memory_free((void *)(uintptr_t)pair->key.data);
}

static void remove_span(struct pairs *p, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) free_pair(&p->items[i]);
    memmove(p->items + from, p->items + to, (p->count - to) * sizeof *p->items);
    p->count -= to - from;
}

static void put_pair(struct pairs *p, struct slice key, struct slice value)
{
    size_t at = lower_bound(p, key);
    struct pair fresh = make_pair(key, value);
    if (at < p->count && slice_equal(p->items[at].key, key)) {
        free_pair(&p->items[at]);
        p->items[at] = fresh;
        return;
    }
    if (p->count == p->capacity) {
        p->capacity = p->capacity ? 2 * p->capacity : 64;
        p->items = memory_realloc(p->items, p->capacity * sizeof *p->items);
    }
    memmove(p->items + at + 1, p->items + at, (p->count - at) * sizeof *p->items);
    p->items[at] = fresh;
    p->count++;
}

static void apply_op(void *user, enum kv_batch_op op, struct slice key, struct slice value)
{
    struct pairs *p = user;
    size_t at = lower_bound(p, key);
    switch (op) {
    case KV_BATCH_PUT: put_pair(p, key, value); return;
    case KV_BATCH_DELETE:
        if (at < p->count && slice_equal(p->items[at].key, key)) remove_span(p, at, at + 1);
        return;
    case KV_BATCH_DELETE_RANGE: {
        size_t end = lower_bound(p, value);
        if (end > at) remove_span(p, at, end);
        return;
    }
    }
}

static void apply_batch(struct pairs *p, struct slice batch)
{
    enum status status = kv_batch_visit(batch, apply_op, p);
    ASSERT(status == STATUS_OK);
}

static void clear_pairs(struct pairs *p)
{
    for (size_t i = 0; i < p->count; i++) free_pair(&p->items[i]);
    memory_free(p->items);
    *p = (struct pairs){0};
}

static void copy_pairs(struct pairs *to, const struct pairs *from)
{
    clear_pairs(to);
    to->items = memory_alloc((from->count + 1) * sizeof *to->items);
    to->count = from->count;
    to->capacity = from->count + 1;
    for (size_t i = 0; i < from->count; i++) to->items[i] = make_pair(from->items[i].key, from->items[i].value);
}

/* ---- batches since the flush ---- */

static void drop_batches(struct kv_memory *kv)
{
    for (size_t i = 0; i < kv->batches_count; i++) buffer_deinit(&kv->batches[i]);
    kv->batches_count = 0;
}

static void keep_batch(struct kv_memory *kv, struct slice batch)
{
    if (kv->batches_count == kv->batches_capacity) {
        kv->batches_capacity = kv->batches_capacity ? 2 * kv->batches_capacity : 16;
        kv->batches = memory_realloc(kv->batches, kv->batches_capacity * sizeof *kv->batches);
    }
    struct buffer *copy = &kv->batches[kv->batches_count++];
    buffer_init(copy, batch.length);
    buffer_append_slice(copy, batch);
}

static void perform(struct kv_memory *kv, struct kv_request *request)
{
    request->status = STATUS_OK;
    if (kv->full && request->kind != KV_GET) {
        request->status = STATUS_NO_SPACE;
        return;
    }
    switch (request->kind) {
    case KV_WRITE:
        apply_batch(&kv->live, buffer_slice(&request->batch));
        keep_batch(kv, buffer_slice(&request->batch));
        return;
    case KV_FLUSH:
        for (size_t i = 0; i < kv->batches_count; i++) apply_batch(&kv->flushed, buffer_slice(&kv->batches[i]));
        drop_batches(kv);
        return;
    case KV_GET: {
        struct slice key = buffer_slice(&request->key);
        size_t at = lower_bound(&kv->live, key);
        if (at == kv->live.count || !slice_equal(kv->live.items[at].key, key))
            request->status = STATUS_NOT_FOUND;
        else
            buffer_append_slice(&request->value, kv->live.items[at].value);
        return;
    }
    }
}

static void complete(void *user, uint64_t argument)
{
    struct kv_work *work = user;
    struct kv_memory *kv = work->kv;
    struct kv_request *request = work->request;
    MAYBE(argument == 0);
    if (request) list_remove(&work->node);
    memory_free(work);
    if (!request) return; /* the node crashed meanwhile */
    perform(kv, request);
    kv->config.done(kv->config.user, request);
}

static void port_submit(void *world, struct kv_request *request)
{
    struct kv_memory *kv = world;
    struct kv_work *work = memory_zalloc(1, sizeof *work);
    work->kv = kv;
    work->request = request;
    list_push_back(&kv->under_way, &work->node);
    uint64_t begin = kv->config.schedule->now_ns;
    if (begin < kv->busy_until_ns) begin = kv->busy_until_ns;
    kv->busy_until_ns = begin + prng_range(kv->config.prng, kv->config.delay_ns_min, kv->config.delay_ns_max);
    schedule_at(kv->config.schedule, kv->busy_until_ns, complete, work, 0);
}

static enum status port_iterate(void *world, struct slice first,
                                bool (*visit)(void *user, struct slice key, struct slice value), void *user)
{
    const struct kv_memory *kv = world;
    for (size_t i = lower_bound(&kv->live, first); i < kv->live.count; i++) {
        if (!visit(user, kv->live.items[i].key, kv->live.items[i].value)) break;
    }
    return STATUS_OK;
}

/* ---- life ---- */

struct kv_memory *kv_memory_new(const struct kv_memory_config *config)
{
    struct kv_memory *kv = memory_zalloc(1, sizeof *kv);
    kv->config = *config;
    list_init(&kv->under_way);
    return kv;
}

static void forget_under_way(struct kv_memory *kv)
{
    struct list_node *node;
    while ((node = list_pop_front(&kv->under_way))) CONTAINER_OF(node, struct kv_work, node)->request = NULL;
    kv->busy_until_ns = 0;
}

void kv_memory_free(struct kv_memory *kv)
{
    if (!kv) return;
    forget_under_way(kv);
    clear_pairs(&kv->flushed);
    clear_pairs(&kv->live);
    drop_batches(kv);
    memory_free(kv->batches);
    memory_free(kv);
}

struct kv_port kv_memory_port(struct kv_memory *kv)
{
    return (struct kv_port){kv, port_iterate, port_submit};
}

void kv_memory_crash(struct kv_memory *kv)
{
    forget_under_way(kv);
    size_t kept = (size_t)prng_below(kv->config.prng, kv->batches_count + 1);
    for (size_t i = 0; i < kept; i++) apply_batch(&kv->flushed, buffer_slice(&kv->batches[i]));
    drop_batches(kv);
    copy_pairs(&kv->live, &kv->flushed);
}

void kv_memory_wipe(struct kv_memory *kv)
{
    forget_under_way(kv);
    drop_batches(kv);
    clear_pairs(&kv->flushed);
    clear_pairs(&kv->live);
}

void kv_memory_set_full(struct kv_memory *kv, bool full)
{
    kv->full = full;
}
