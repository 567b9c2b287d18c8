/* lag.h: rows of TOPOLOGY LAG, shared by the gathering (lag.c) and the command that shows them. */
#ifndef MERIDIAN_NODE_LAG_H
#define MERIDIAN_NODE_LAG_H

#include "node/shard_internal.h"

struct lag_row {
    uint64_t table;
    uint8_t from, to; /* regions */
    uint64_t writes, bytes, oldest_ms;
};

struct lag_sum {
    struct lag_row *rows;
    uint32_t count, capacity;
};

void lag__ask(struct task *task); /* ends the task through lag__reply() */

/* Write the rows as the client's reply: the command's part (commands_topology.c). */
void lag__reply(struct task *task, const struct lag_sum *sum);

#endif
