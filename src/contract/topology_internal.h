/* topology_internal.h: what the files that read a topology share. */
#ifndef MERIDIAN_CONTRACT_TOPOLOGY_INTERNAL_H
#define MERIDIAN_CONTRACT_TOPOLOGY_INTERNAL_H

#include "base/yaml.h"
#include "contract/topology.h"

/* The nodes' `tags` and the file's `rules`, once all nodes are known. */
MUST_USE enum status topology__parse_labels(const struct yaml_node *root, struct topology *t, struct buffer *error);
bool topology__is_name(const char *text); /* letters, digits, '-', '_' and '.' */

#endif
