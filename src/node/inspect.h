/* inspect.h: read-only views of a shard's state for checkers, tests and, later, the console. */
#ifndef MERIDIAN_NODE_INSPECT_H
#define MERIDIAN_NODE_INSPECT_H

#include "base/buffer.h"

struct shard;
struct replica;
struct group;

/* Every replica of the shard. */
void shard_visit_replicas(const struct shard *s, void (*visit)(void *user, struct replica *replica), void *user);
/* Every group of the shard. */
void shard_visit_groups(const struct shard *s, void (*visit)(void *user, struct group *group), void *user);
bool shard_is_quiet(const struct shard *s); /* nothing pending, parked or under way */
void shard_check(const struct shard *s);    /* asserts the invariants of everything in it */

#endif
