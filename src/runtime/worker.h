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

/* The thread sleeps when it has no job. Looking for the next one for a while before that was measured: on two cores it
 * cost twice the CPU and a third of the latency of a lone writer, since it takes the core on which the client would
 * run. */
struct worker *worker_start(uv_loop_t *loop, const struct worker_functions *functions);
void worker_submit(struct worker *w, void *job); /* from the loop's thread only */
void worker_stop(struct worker *w); /* joins the thread; jobs that wait are executed, none is handed back */

#endif
