/* runtime.h: the real world: one node of a cluster as a process. */
#ifndef MERIDIAN_RUNTIME_RUNTIME_H
#define MERIDIAN_RUNTIME_RUNTIME_H

#include "contract/topology.h"

struct runtime_config {
    struct topology topology;
    uint8_t node; /* ours */
    uint8_t shards;
    bool wan;                  /* emulate the links' latencies */
    char data[4096];           /* the data folder */
    uint64_t memory_bytes_max; /* per shard: objects beyond it go cold */
    uint64_t log_bytes_max;    /* per shard */
    const char *version;
};

/* Defaults for everything but topology, node and data. */
void runtime_config_init(struct runtime_config *config);

/* Run until SIGTERM or SIGINT ends the node gracefully. Returns the exit code: 0; 1 when it could not start (the reason
 * is in the log). */
int runtime_run(const struct runtime_config *config);

#endif
