/* worker.c: a bounded ring between a loop and a thread, and uv_async for the way back.
 *
 * The ring has one producer (the loop) and one consumer (the thread): three counters only ever grow.
 *   submitted >= executed >= handed back
 */
#include "runtime/worker.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/assert.h"
#include "base/memory.h"

enum { WORKER_RING = 4096 }; /* jobs under way: far above what a log, a store and their reads have */

struct worker {
    struct worker_functions functions;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    uv_async_t async;
    void *ring[WORKER_RING];
    _Atomic uint64_t submitted, executed;
    uint64_t handed_back;
    atomic_bool sleeping, stopping;
};

/* Returns false when the thread is to end. */
static bool await_job(struct worker *w, uint64_t next)
{
    pthread_mutex_lock(&w->mutex);
    atomic_store(&w->sleeping, true);
    while (atomic_load(&w->submitted) == next && !atomic_load(&w->stopping)) pthread_cond_wait(&w->wake, &w->mutex);
    atomic_store(&w->sleeping, false);
    pthread_mutex_unlock(&w->mutex);
    return atomic_load(&w->submitted) > next;
}

static void *run(void *argument)
{
    struct worker *w = argument;
    for (uint64_t next = 0; await_job(w, next); next++) {
        w->functions.execute(w->functions.user, w->ring[next % WORKER_RING]);
        atomic_store(&w->executed, next + 1);
        if (!atomic_load(&w->stopping)) uv_async_send(&w->async);
    }
    return NULL;
}

static void on_async(uv_async_t *async)
{
    struct worker *w = async->data;
    while (w->handed_back < atomic_load(&w->executed)) {
        void *job = w->ring[w->handed_back++ % WORKER_RING];
        w->functions.done(w->functions.user, job);
    }
}

struct worker *worker_start(uv_loop_t *loop, const struct worker_functions *functions)
{
    struct worker *w = memory_zalloc(1, sizeof *w);
    w->functions = *functions;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->wake, NULL);
    int failed = uv_async_init(loop, &w->async, on_async);
    if (!failed) failed = pthread_create(&w->thread, NULL, run, w);
    if (failed) PANIC("can't start a thread: error %d", failed);
    w->async.data = w;
    return w;
}

void worker_submit(struct worker *w, void *job)
{
    uint64_t at = atomic_load(&w->submitted);
    ASSERT(at - w->handed_back < WORKER_RING);
    w->ring[at % WORKER_RING] = job;
    atomic_store(&w->submitted, at + 1);
    if (!atomic_load(&w->sleeping)) return; /* it looks at the counter again before it sleeps, under the mutex */
    pthread_mutex_lock(&w->mutex);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->mutex);
}

static void on_closed(uv_handle_t *handle)
{
    struct worker *w = handle->data;
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->mutex);
    memory_free(w);
}

void worker_stop(struct worker *w)
{
    if (!w) return;
    pthread_mutex_lock(&w->mutex);
    atomic_store(&w->stopping, true);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    uv_close((uv_handle_t *)&w->async, on_closed);
}
