/* kv_rocks.c: hand requests to RocksDB's threads of ours; RocksDB itself is known to storage/rocks.c alone. */
#include "runtime/kv_rocks.h"

#include "base/memory.h"
#include "runtime/worker.h"

struct kv_rocks {
    struct rocks *rocks;
    struct worker *writer, *reader;
    void (*done)(void *user, struct kv_request *request);
    void *user;
};

static void execute(void *user, void *job)
{
    struct kv_rocks *k = user;
    rocks_execute(k->rocks, job);
}

static void hand_back(void *user, void *job)
{
    struct kv_rocks *k = user;
    k->done(k->user, job);
}

static void port_submit(void *world, struct kv_request *request)
{
    struct kv_rocks *k = world;
    worker_submit(request->kind == KV_GET ? k->reader : k->writer, request);
}

static enum status port_iterate(void *world, struct slice first,
                                bool (*visit)(void *user, struct slice key, struct slice value), void *user)
{
    struct kv_rocks *k = world;
    return rocks_iterate(k->rocks, first, visit, user);
}

struct kv_rocks *kv_rocks_open(uv_loop_t *loop, const char *folder,
                               void (*done)(void *user, struct kv_request *request), void *user, char **out_error)
{
    struct rocks *rocks;
    if (rocks_open(folder, &rocks, out_error) != STATUS_OK) return NULL;
    struct kv_rocks *k = memory_zalloc(1, sizeof *k);
    *k = (struct kv_rocks){.rocks = rocks, .done = done, .user = user};
    const struct worker_functions functions = {execute, hand_back, k};
    k->writer = worker_start(loop, &functions);
    k->reader = worker_start(loop, &functions);
    return k;
}

struct kv_port kv_rocks_port(struct kv_rocks *k)
{
    return (struct kv_port){.world = k, .iterate = port_iterate, .submit = port_submit};
}

void kv_rocks_close(struct kv_rocks *k)
{
    if (!k) return;
    worker_stop(k->writer);
    worker_stop(k->reader);
    rocks_close(k->rocks);
    memory_free(k);
}
