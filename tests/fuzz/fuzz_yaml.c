/* links: base */
/* fuzz_yaml.c: configuration files of any bytes: a tree within its limits, or an error that names the file. */
#include "base/buffer.h"
#include "base/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count_nodes(const struct yaml_node *node, int depth)
{
    ASSERT(depth <= YAML_DEPTH_MAX);
    size_t count = 1, children = 0;
    for (const struct yaml_node *child = node->first; child; child = child->next) {
        ASSERT((child->key != NULL) == (node->kind == YAML_KIND_MAPPING));
        if (child->key) count += count_nodes(child->key, depth);
        count += count_nodes(child, depth + 1);
        children++;
    }
    ASSERT(children == node->count);
    if (node->kind == YAML_KIND_SCALAR) ASSERT(node->text.data[node->text.length] == '\0');
    return count;
}

static void read_values(const struct yaml_node *node, struct buffer *errors)
{
    const char *string;
    int64_t i;
    uint64_t u;
    double d;
    bool flag;
    buffer_clear(errors);
    int fine =
        (yaml_string(node, 64, &string, errors) == STATUS_OK) + (yaml_i64(node, -5, 5, &i, errors) == STATUS_OK) +
        (yaml_u64(node, 0, UINT64_MAX, &u, errors) == STATUS_OK) + (yaml_double(node, -1, 1, &d, errors) == STATUS_OK) +
        (yaml_bool(node, &flag, errors) == STATUS_OK) + (yaml_duration_ns(node, 1000, &u, errors) == STATUS_OK);
    ASSERT(fine < 6 && errors->length > 0);
    for (const struct yaml_node *child = node->first; child; child = child->next) read_values(child, errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct yaml_tree tree;
    struct buffer errors;
    buffer_init(&errors, 1 << 16);
    if (yaml_tree_parse(&tree, "fuzz.yaml", slice_of(data, size), &errors) == STATUS_OK) {
        ASSERT(errors.length == 0 && count_nodes(tree.root, 0) <= YAML_NODES_MAX + 1);
        read_values(tree.root, &errors);
    } else {
        ASSERT(errors.length > 10 && memcmp(errors.data, "fuzz.yaml:", 10) == 0);
    }
    yaml_tree_deinit(&tree);
    buffer_deinit(&errors);
    return 0;
}
