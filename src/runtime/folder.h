/* folder.h: a node's data folder: LOCK (one process at a time), meridian.id (whose data this is), and per shard `log`
 * and `state`. A folder of another node, version or number of shards is refused, never reinterpreted. */
#ifndef MERIDIAN_RUNTIME_FOLDER_H
#define MERIDIAN_RUNTIME_FOLDER_H

#include "base/buffer.h"
#include "base/status.h"

enum { FOLDER_PATH_BYTES_MAX = 4096 };

struct folder {
    char path[FOLDER_PATH_BYTES_MAX];
    int lock;    /* held open as long as the process lives */
    uint64_t id; /* drawn when the folder was made */
};

/* Open or make the folder for `node` with `shards` shards. On failure *out_error says what is wrong and what to do. */
MUST_USE enum status folder_open(const char *path, const char *node, uint8_t shards, struct folder *out,
                                 struct buffer *out_error);
void folder_close(struct folder *f);
/* "<folder>/shard-<n>/log" or ".../state"; made if needed. */
MUST_USE enum status folder_shard_path(const struct folder *f, uint8_t shard, const char *part,
                                       char out[FOLDER_PATH_BYTES_MAX]);
uint64_t random_u64(void); /* from the operating system: seeds and ids */

#endif
