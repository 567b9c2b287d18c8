/* lab_real_internal.h: a cluster of real processes in two files: lab_real.c holds the processes, lab_real_play.c the
 * connections of a play. */
#ifndef MERIDIAN_CLI_LAB_REAL_INTERNAL_H
#define MERIDIAN_CLI_LAB_REAL_INTERNAL_H

#include <sys/types.h>

#include "cli/lab_real.h"

enum { LAB_REAL_ASKS_MAX = 64 };

struct lab_real__ask { /* one command under way, on a connection of its own */
    int fd;            /* -1: free */
    uint32_t token;
    uint64_t begin_ns;
    struct buffer bytes;
};

struct lab_real {
    const struct scenario *s;
    struct topology topology; /* with addresses */
    char folder[48], config[64];
    pid_t pids[TOPOLOGY_NODES_MAX]; /* 0: it does not run */
    uint64_t begin_ns;              /* of the play, on our clock */
    uint64_t scenario_ns, real_ns;  /* the same moment on both, at the last wait */
    uint64_t bytes_before_crashes;  /* sent by nodes until they were killed */
    struct lab_real__ask asks[LAB_REAL_ASKS_MAX];
};

void lab_real__crash(struct lab_real *real, uint8_t node);
/* Returns once it answers; false: it does not. */
bool lab_real__restart(struct lab_real *real, uint8_t node);

#endif
