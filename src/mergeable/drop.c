/* drop.c: the end of a replica whose table was dropped. Its records in the log are dead from then on: their owner no
 * longer knows the table. Callbacks under way find the replica gone (see replica__wait_new). */
#include "mergeable/replica_internal.h"

void replica_drop(struct replica *r)
{
    struct store_partition *partition = r->partition;
    replica_free(r);
    store_partition_drop(partition);
}
