/* yaml.h: a YAML file as a read-only tree, for cluster configurations and scenarios.
 *
 * One document of mappings, sequences and scalars. What makes files surprising is refused with its line: anchors and
 * aliases, tags, duplicate keys, keys that are no scalars, a second document. Every error reads "FILE:LINE: reason".
 *
 *     struct yaml_tree tree;
 *     if (yaml_tree_parse(&tree, "cluster.yaml", bytes, out_error) != STATUS_OK) return STATUS_MALFORMED;
 *     const struct yaml_node *nodes = yaml_require(tree.root, "nodes", YAML_KIND_SEQUENCE, out_error);
 *     for (const struct yaml_node *n = nodes ? nodes->first : NULL; n; n = n->next) ...
 *     yaml_tree_deinit(&tree);
 */
#ifndef MERIDIAN_BASE_YAML_H
#define MERIDIAN_BASE_YAML_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"

enum {
    YAML_BYTES_MAX = 4 * 1024 * 1024,
    YAML_NODES_MAX = 100 * 1000, /* keys count as well */
    YAML_DEPTH_MAX = 16,
    YAML_MAPPING_KEYS_MAX = 4096,
};

enum yaml_kind { YAML_KIND_SCALAR, YAML_KIND_SEQUENCE, YAML_KIND_MAPPING };

struct yaml_tree;

struct yaml_node {
    const struct yaml_tree *tree;
    enum yaml_kind kind;
    uint32_t line, column;         /* both from 1 */
    bool quoted;                   /* SCALAR: never null, a number or a boolean */
    struct slice text;             /* SCALAR; a NUL stands behind it */
    size_t count;                  /* SEQUENCE, MAPPING: how many children */
    const struct yaml_node *first; /* SEQUENCE, MAPPING: the first child, in file order */
    const struct yaml_node *next;  /* the next child of the same parent */
    const struct yaml_node *key;   /* child of a MAPPING: its key, a SCALAR */
};

struct yaml_tree {
    struct arena arena;
    const char *file;             /* the name for messages */
    const struct yaml_node *root; /* an empty file has a null scalar as its root */
};

/* Read `text` into `tree`, which must be released with yaml_tree_deinit() also after a failure, and must not move while
 * its nodes are in use. Returns: STATUS_OK; STATUS_MALFORMED; STATUS_LIMIT. */
MUST_USE enum status yaml_tree_parse(struct yaml_tree *tree, const char *file, struct slice text,
                                     struct buffer *out_error);
void yaml_tree_deinit(struct yaml_tree *tree);

/* Append "FILE:LINE: " and the reason to `out_error`. Returns STATUS_MALFORMED, for `return yaml_fail(...)`. */
PRINTF_LIKE(3, 4)
enum status yaml_fail(const struct yaml_node *node, struct buffer *out_error, const char *format, ...);

/* The child of a mapping by its key. NULL where there is none, `mapping` is NULL or no mapping, or the value is null.
 */
const struct yaml_node *yaml_find(const struct yaml_node *mapping, const char *key);

/* The same, but a missing child or one of another kind is an error. */
MUST_USE const struct yaml_node *yaml_require(const struct yaml_node *mapping, const char *key, enum yaml_kind kind,
                                              struct buffer *out_error);

/* Check that `mapping` is one and has no key but those in `keys`, a list ended by NULL: a misspelt option must not be
 * silently without effect. */
MUST_USE enum status yaml_only_keys(const struct yaml_node *mapping, const char *const *keys, struct buffer *out_error);

bool yaml_is_null(const struct yaml_node *node); /* NULL itself, nothing, "~" or "null", unquoted */

/* The value of a scalar. Returns: STATUS_OK; STATUS_MALFORMED, with a reason that names the range or the form. */
MUST_USE enum status yaml_string(const struct yaml_node *node, size_t bytes_max, const char **out_string,
                                 struct buffer *out_error); /* 1 to bytes_max bytes, without NUL; lives with the tree */
MUST_USE enum status yaml_i64(const struct yaml_node *node, int64_t min, int64_t max, int64_t *out_value,
                              struct buffer *out_error);
MUST_USE enum status yaml_u64(const struct yaml_node *node, uint64_t min, uint64_t max, uint64_t *out_value,
                              struct buffer *out_error);
MUST_USE enum status yaml_double(const struct yaml_node *node, double min, double max, double *out_value,
                                 struct buffer *out_error);
MUST_USE enum status yaml_bool(const struct yaml_node *node, bool *out_value,
                               struct buffer *out_error); /* true, false */

/* A length of time: a number, perhaps with a fraction, and ns, us, ms, s, m or h: "40ms", "1.5 s". A bare 0 is fine. */
MUST_USE enum status yaml_duration_ns(const struct yaml_node *node, uint64_t max_ns, uint64_t *out_ns,
                                      struct buffer *out_error);

#endif
