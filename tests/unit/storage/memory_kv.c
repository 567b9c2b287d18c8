/* memory_kv.c: see memory_kv.h. Sorted arrays: slow and plain. */
#include "tests/unit/storage/memory_kv.h"

#include "base/assert.h"
#include "base/memory.h"

static size_t lower_bound(const struct memory_pairs *p, struct slice key)
{
    size_t low = 0, high = p->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (slice_compare(buffer_slice(&p->pairs[middle].key), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool is_at(const struct memory_pairs *p, size_t index, struct slice key)
{
    return index < p->count && slice_equal(buffer_slice(&p->pairs[index].key), key);
}

static void free_pair(struct memory_pair *pair)
{
    buffer_deinit(&pair->key);
    buffer_deinit(&pair->value);
}

static void erase(struct memory_pairs *p, size_t first, size_t end)
{
    if (first == end) return;
    for (size_t i = first; i < end; i++) free_pair(&p->pairs[i]);
    memmove(p->pairs + first, p->pairs + end, (p->count - end) * sizeof *p->pairs);
    p->count -= end - first;
}

static void put(struct memory_pairs *p, struct slice key, struct slice value)
{
    size_t index = lower_bound(p, key);
    if (!is_at(p, index, key)) {
        if (p->count == p->capacity) {
            p->capacity = p->capacity ? p->capacity * 2 : 64;
            p->pairs = memory_realloc(p->pairs, p->capacity * sizeof *p->pairs);
        }
        memmove(p->pairs + index + 1, p->pairs + index, (p->count - index) * sizeof *p->pairs);
        p->count++;
        buffer_init(&p->pairs[index].key, SIZE_MAX / 2);
        buffer_init(&p->pairs[index].value, SIZE_MAX / 2);
        buffer_append_slice(&p->pairs[index].key, key);
    }
    buffer_clear(&p->pairs[index].value);
    buffer_append_slice(&p->pairs[index].value, value);
}

static void apply(void *user, enum kv_batch_op op, struct slice key, struct slice value)
{
    struct memory_pairs *p = user;
    size_t index = lower_bound(p, key);
    switch (op) {
    case KV_BATCH_PUT: put(p, key, value); return;
    case KV_BATCH_DELETE:
        if (is_at(p, index, key)) erase(p, index, index + 1);
        return;
    case KV_BATCH_DELETE_RANGE: erase(p, index, lower_bound(p, value)); return;
    }
}

static void apply_batch(struct memory_pairs *p, struct slice batch)
{
    enum status status = kv_batch_visit(batch, apply, p);
    ASSERT(status == STATUS_OK);
}

static void clear(struct memory_pairs *p)
{
    erase(p, 0, p->count);
    memory_free(p->pairs);
    *p = (struct memory_pairs){0};
}

static void forget_batches(struct memory_kv *kv)
{
    for (size_t i = 0; i < kv->batches_count; i++) buffer_deinit(&kv->batches[i]);
    kv->batches_count = 0;
}

void memory_kv_init(struct memory_kv *kv)
{
    *kv = (struct memory_kv){0};
}

void memory_kv_deinit(struct memory_kv *kv)
{
    clear(&kv->flushed);
    clear(&kv->live);
    forget_batches(kv);
    memory_free(kv->batches);
}

static void flush_prefix(struct memory_kv *kv, size_t count)
{
    for (size_t i = 0; i < count; i++) apply_batch(&kv->flushed, buffer_slice(&kv->batches[i]));
}

void memory_kv_crash(struct memory_kv *kv, size_t batches_kept)
{
    flush_prefix(kv, batches_kept < kv->batches_count ? batches_kept : kv->batches_count);
    forget_batches(kv);
    clear(&kv->live);
    for (size_t i = 0; i < kv->flushed.count; i++) {
        put(&kv->live, buffer_slice(&kv->flushed.pairs[i].key), buffer_slice(&kv->flushed.pairs[i].value));
    }
    kv->requests_count = 0;
}

struct buffer *memory_kv_value(struct memory_kv *kv, struct slice key)
{
    size_t index = lower_bound(&kv->live, key);
    return is_at(&kv->live, index, key) ? &kv->live.pairs[index].value : NULL;
}

/* ---- the port ---- */

static enum status port_iterate(void *world, struct slice first,
                                bool (*visit)(void *user, struct slice key, struct slice value), void *user)
{
    struct memory_kv *kv = world;
    for (size_t i = lower_bound(&kv->live, first); i < kv->live.count; i++) {
        const struct memory_pair *pair = &kv->live.pairs[i];
        if (!visit(user, buffer_slice(&pair->key), buffer_slice(&pair->value))) break;
    }
    return STATUS_OK;
}

static void port_submit(void *world, struct kv_request *request)
{
    struct memory_kv *kv = world;
    ASSERT(kv->requests_count < MEMORY_KV_REQUESTS_MAX);
    kv->requests[kv->requests_count++] = request;
}

struct kv_port memory_kv_port(struct memory_kv *kv)
{
    return (struct kv_port){.world = kv, .iterate = port_iterate, .submit = port_submit};
}

static void write(struct memory_kv *kv, struct kv_request *request)
{
    if (kv->full) {
        request->status = STATUS_NO_SPACE;
        return;
    }
    apply_batch(&kv->live, buffer_slice(&request->batch));
    if (kv->batches_count == kv->batches_capacity) {
        kv->batches_capacity = kv->batches_capacity ? kv->batches_capacity * 2 : 16;
        kv->batches = memory_realloc(kv->batches, kv->batches_capacity * sizeof *kv->batches);
    }
    struct buffer *copy = &kv->batches[kv->batches_count++];
    buffer_init(copy, SIZE_MAX / 2);
    buffer_append_slice(copy, buffer_slice(&request->batch));
    kv->writes++;
}

struct kv_request *memory_kv_complete(struct memory_kv *kv)
{
    if (!kv->requests_count) return NULL;
    struct kv_request *request = kv->requests[0];
    kv->requests_count--;
    memmove(kv->requests, kv->requests + 1, (size_t)kv->requests_count * sizeof kv->requests[0]);
    request->status = STATUS_OK;
    switch (request->kind) {
    case KV_WRITE: write(kv, request); break;
    case KV_FLUSH:
        if (kv->full) {
            request->status = STATUS_NO_SPACE;
        } else {
            flush_prefix(kv, kv->batches_count);
            forget_batches(kv);
        }
        break;
    case KV_GET: {
        kv->gets++;
        const struct buffer *value = memory_kv_value(kv, buffer_slice(&request->key));
        request->status = kv->get_status != STATUS_OK ? kv->get_status : value ? STATUS_OK : STATUS_NOT_FOUND;
        if (request->status == STATUS_OK) buffer_append_slice(&request->value, buffer_slice(value));
        break;
    }
    }
    return request;
}
