/* local.h: the cluster of `meridian up`: processes of this machine over one folder. Shared by up, down and status.
 *
 *   DIR/cluster.yaml        the topology, as `meridian server` reads it
 *   DIR/NODE/               that node's data folder
 *   DIR/NODE.log, NODE.pid  its log; its process id, trusted only if that process is this node's server
 */
#ifndef MERIDIAN_CLI_LOCAL_H
#define MERIDIAN_CLI_LOCAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "contract/topology.h"
#include "wire/resp.h"

#define LOCAL_FOLDER_DEFAULT "./.meridian"
enum { LOCAL_PATH_BYTES_MAX = 4096 };

struct local {
    char folder[LOCAL_PATH_BYTES_MAX / 2]; /* absolute */
    char shown[LOCAL_PATH_BYTES_MAX / 2];  /* as the user named it */
    char config[LOCAL_PATH_BYTES_MAX];     /* path of cluster.yaml */
    struct topology topology;
};

/* Name the folder; it need not exist. False: said why on stderr. */
bool local_init(struct local *local, const char *folder);
bool local_exists(const struct local *local);
bool local_load(struct local *local); /* reads cluster.yaml; false: said why on stderr */
void local_path(const struct local *local, uint32_t node, const char *suffix, char out[LOCAL_PATH_BYTES_MAX]);

/* The process of this node; 0: it does not run. */
pid_t local_pid(const struct local *local, uint32_t node);

/* One command to a node and its reply. False: it does not answer. */
struct local_reply {
    struct arena arena;
    struct buffer bytes;
    struct resp_value value;
};
bool local_ask(const struct topology_address *address, const char *const *words, size_t count, int timeout_ms,
               struct local_reply *out);
void local_reply_deinit(struct local_reply *reply);
/* The value of `field:` in a bulk text such as INFO's; empty when absent. */
struct slice local_info_field(struct slice text, const char *field);
/* The value of a name in a flat name-value array. NULL when absent. */
const struct resp_value *local_record_field(const struct resp_value *record, const char *name);

bool local_has_colour(void); /* stdout is a terminal and NO_COLOR is not set */

#endif
