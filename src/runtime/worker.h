/* worker.h: one thread that executes jobs in order and hands each back to the loop it came from. */
#ifndef MERIDIAN_RUNTIME_WORKER_H
#define MERIDIAN_RUNTIME_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct worker;

struct worker_functions {
    void (*execute)(void *user, void *job); /* on the thread */
    void (*done)(void *user, void *job);    /* on the loop, in order of submission */
    void *user;
};

/* `spin_ns`: how long the thread looks for the next job before it sleeps: waking an idle core is dear. */
struct worker *worker_start(uv_loop_t *loop, const struct worker_functions *functions, uint64_t spin_ns);
void worker_submit(struct worker *w, void *job); /* from the loop's thread only */
uint64_t worker_pending(const struct worker *w); /* submitted, not yet handed back */
void worker_stop(struct worker *w); /* joins the thread; jobs that wait are executed, none is handed back */

#endif
