/* yaml.c: from libyaml's events to the tree, and from scalars to values.
 *
 * Y1  libyaml is asked for one event at a time and each is released before the next: nothing of it outlives the parse.
 * Y2  Recursion is bounded by YAML_DEPTH_MAX.
 */
#include "base/yaml.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

struct yaml_builder {
    struct yaml_tree *tree;
    struct buffer *out_error;
    struct slice text;
    yaml_parser_t parser;
    size_t nodes_count;
    int depth;
};

static enum status read_node(struct yaml_builder *b, const yaml_event_t *event, struct yaml_node **out_node);

PRINTF_LIKE(4, 5)
static enum status fail_at(struct yaml_builder *b, size_t line, enum status status, const char *format, ...)
{
    char reason[512];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    buffer_append_format(b->out_error, "%s:%zu: %s", b->tree->file, line, reason);
    return status;
}

enum status yaml_fail(const struct yaml_node *node, struct buffer *out_error, const char *format, ...)
{
    char reason[512];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    buffer_append_format(out_error, "%s:%u: %s", node->tree->file, node->line, reason);
    return STATUS_MALFORMED;
}

/* The line of a byte, for libyaml's errors about the encoding, which come without a mark. */
static size_t line_of_offset(struct slice text, size_t offset)
{
    size_t line = 1;
    for (size_t i = 0; i < text.length && i < offset; i++) line += text.data[i] == '\n';
    return line;
}

/* The next event, which the caller releases with yaml_event_delete(). */
static enum status next_event(struct yaml_builder *b, yaml_event_t *out_event)
{
    if (yaml_parser_parse(&b->parser, out_event)) return STATUS_OK;
    const yaml_parser_t *p = &b->parser;
    const char *problem = p->problem ? p->problem : "out of memory";
    if (p->error == YAML_READER_ERROR) {
        return fail_at(b, line_of_offset(b->text, p->problem_offset), STATUS_MALFORMED, "%s", problem);
    }
    if (p->context) return fail_at(b, p->problem_mark.line + 1, STATUS_MALFORMED, "%s %s", p->context, problem);
    return fail_at(b, p->problem_mark.line + 1, STATUS_MALFORMED, "%s", problem);
}

static enum status new_node(struct yaml_builder *b, const yaml_event_t *event, enum yaml_kind kind,
                            const yaml_char_t *anchor, const yaml_char_t *tag, struct yaml_node **out_node)
{
    size_t line = event->start_mark.line + 1;
    if (anchor) return fail_at(b, line, STATUS_MALFORMED, "anchors and aliases are not supported");
    if (tag) return fail_at(b, line, STATUS_MALFORMED, "tags are not supported");
    if (b->nodes_count == YAML_NODES_MAX) return fail_at(b, line, STATUS_LIMIT, "more than %d values", YAML_NODES_MAX);
    b->nodes_count++;
    struct yaml_node *node = arena_alloc(&b->tree->arena, sizeof *node);
    *node = (struct yaml_node){
        .tree = b->tree, .kind = kind, .line = (uint32_t)line, .column = (uint32_t)event->start_mark.column + 1};
    *out_node = node;
    return STATUS_OK;
}

static enum status read_scalar(struct yaml_builder *b, const yaml_event_t *event, struct yaml_node **out_node)
{
    struct yaml_node *node;
    enum status status = new_node(b, event, YAML_KIND_SCALAR, event->data.scalar.anchor, event->data.scalar.tag, &node);
    if (status != STATUS_OK) return status;
    size_t length = event->data.scalar.length;
    char *text = arena_alloc(&b->tree->arena, length + 1);
    memcpy(text, event->data.scalar.value, length);
    text[length] = '\0';
    node->text = slice_of(text, length);
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    *out_node = node;
    return STATUS_OK;
}

/* Read the children up to the event that ends their parent. */
static enum status read_children(struct yaml_builder *b, struct yaml_node *parent, yaml_event_type_t end);

static enum status read_collection(struct yaml_builder *b, const yaml_event_t *event, struct yaml_node **out_node)
{
    bool mapping = event->type == YAML_MAPPING_START_EVENT;
    enum status status = mapping ? new_node(b, event, YAML_KIND_MAPPING, event->data.mapping_start.anchor,
                                            event->data.mapping_start.tag, out_node)
                                 : new_node(b, event, YAML_KIND_SEQUENCE, event->data.sequence_start.anchor,
                                            event->data.sequence_start.tag, out_node);
    if (status != STATUS_OK) return status;
    if (b->depth == YAML_DEPTH_MAX) {
        return fail_at(b, (*out_node)->line, STATUS_LIMIT, "nested deeper than %d", YAML_DEPTH_MAX);
    }
    b->depth++;
    status = read_children(b, *out_node, mapping ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT);
    b->depth--;
    return status;
}

static enum status read_node(struct yaml_builder *b, const yaml_event_t *event, struct yaml_node **out_node)
{
    size_t line = event->start_mark.line + 1;
    switch (event->type) {
    case YAML_SCALAR_EVENT: return read_scalar(b, event, out_node);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT: return read_collection(b, event, out_node);
    case YAML_ALIAS_EVENT: return fail_at(b, line, STATUS_MALFORMED, "anchors and aliases are not supported");
    default: return fail_at(b, line, STATUS_MALFORMED, "a value was expected");
    }
}

static enum status check_key(struct yaml_builder *b, const struct yaml_node *parent, const struct yaml_node *key)
{
    if (key->kind != YAML_KIND_SCALAR) return fail_at(b, key->line, STATUS_MALFORMED, "a key must be a plain word");
    if (parent->count == YAML_MAPPING_KEYS_MAX) {
        return fail_at(b, key->line, STATUS_LIMIT, "more than %d keys in one mapping", YAML_MAPPING_KEYS_MAX);
    }
    for (const struct yaml_node *child = parent->first; child; child = child->next) {
        if (!slice_equal(child->key->text, key->text)) continue;
        return fail_at(b, key->line, STATUS_MALFORMED, "duplicate key '%s', first in line %u",
                       (const char *)key->text.data, child->key->line);
    }
    return STATUS_OK;
}

static enum status read_children(struct yaml_builder *b, struct yaml_node *parent, yaml_event_type_t end)
{
    const struct yaml_node **link = &parent->first;
    struct yaml_node *key = NULL; /* of a mapping: read, and its value is still to come */
    for (;;) {
        yaml_event_t event;
        enum status status = next_event(b, &event);
        if (status != STATUS_OK) return status;
        bool ended = event.type == end;
        struct yaml_node *child = NULL;
        if (!ended) status = read_node(b, &event, &child);
        yaml_event_delete(&event);
        if (ended || status != STATUS_OK) return status;

        if (parent->kind == YAML_KIND_MAPPING && !key) {
            key = child;
            status = check_key(b, parent, key);
            if (status != STATUS_OK) return status;
            continue;
        }
        child->key = key;
        key = NULL;
        *link = child;
        link = &child->next;
        parent->count++;
    }
}

static enum status read_document(struct yaml_builder *b)
{
    for (;;) {
        yaml_event_t event;
        enum status status = next_event(b, &event);
        if (status != STATUS_OK) return status;
        yaml_event_type_t type = event.type;
        struct yaml_node *node = NULL;
        if (type == YAML_DOCUMENT_START_EVENT && b->tree->root) {
            status = fail_at(b, event.start_mark.line + 1, STATUS_MALFORMED, "a second document");
        } else if (type != YAML_STREAM_START_EVENT && type != YAML_STREAM_END_EVENT &&
                   type != YAML_DOCUMENT_START_EVENT && type != YAML_DOCUMENT_END_EVENT) {
            status = read_node(b, &event, &node);
        }
        yaml_event_delete(&event);
        if (status != STATUS_OK) return status;
        if (node) b->tree->root = node;
        if (type == YAML_STREAM_END_EVENT) return STATUS_OK;
    }
}

enum status yaml_tree_parse(struct yaml_tree *tree, const char *file, struct slice text, struct buffer *out_error)
{
    static const uint8_t nothing;

    *tree = (struct yaml_tree){.file = file};
    arena_init(&tree->arena);
    struct yaml_builder b = {.tree = tree, .out_error = out_error, .text = text};
    if (text.length > YAML_BYTES_MAX) return fail_at(&b, 1, STATUS_LIMIT, "larger than %d bytes", YAML_BYTES_MAX);
    if (!yaml_parser_initialize(&b.parser)) PANIC("out of memory: a YAML parser");
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, text.length ? text.data : &nothing, text.length);
    enum status status = read_document(&b);
    yaml_parser_delete(&b.parser);
    if (status != STATUS_OK) {
        tree->root = NULL;
        return status;
    }
    if (!tree->root) {
        struct yaml_node *empty = arena_alloc(&tree->arena, sizeof *empty);
        *empty = (struct yaml_node){.tree = tree, .line = 1, .column = 1, .text = slice_of(&nothing, 0)};
        tree->root = empty;
    }
    return STATUS_OK;
}

void yaml_tree_deinit(struct yaml_tree *tree)
{
    if (!tree) return;
    arena_deinit(&tree->arena);
    tree->root = NULL;
}

bool yaml_is_null(const struct yaml_node *node)
{
    if (!node) return true;
    if (node->kind != YAML_KIND_SCALAR || node->quoted) return false;
    return node->text.length == 0 || slice_equal(node->text, SLICE_LITERAL("~")) ||
           slice_equal(node->text, SLICE_LITERAL("null"));
}

/* The child, also a null one. */
static const struct yaml_node *find_any(const struct yaml_node *mapping, const char *key)
{
    if (!mapping || mapping->kind != YAML_KIND_MAPPING) return NULL;
    for (const struct yaml_node *child = mapping->first; child; child = child->next) {
        if (slice_equal(child->key->text, slice_of_string(key))) return child;
    }
    return NULL;
}

const struct yaml_node *yaml_find(const struct yaml_node *mapping, const char *key)
{
    const struct yaml_node *child = find_any(mapping, key);
    return yaml_is_null(child) ? NULL : child;
}

static const char *const kind_names[] = {
    [YAML_KIND_SCALAR] = "a single value",
    [YAML_KIND_SEQUENCE] = "a list",
    [YAML_KIND_MAPPING] = "a mapping",
};

static enum status expect_kind(const struct yaml_node *node, enum yaml_kind kind, struct buffer *out_error)
{
    if (node->kind == kind) return STATUS_OK;
    if (!node->key) return yaml_fail(node, out_error, "%s was expected", kind_names[kind]);
    return yaml_fail(node, out_error, "'%s' must be %s", (const char *)node->key->text.data, kind_names[kind]);
}

const struct yaml_node *yaml_require(const struct yaml_node *mapping, const char *key, enum yaml_kind kind,
                                     struct buffer *out_error)
{
    if (expect_kind(mapping, YAML_KIND_MAPPING, out_error) != STATUS_OK) return NULL;
    const struct yaml_node *child = yaml_find(mapping, key);
    if (!child) {
        const struct yaml_node *empty = find_any(mapping, key);
        yaml_fail(empty ? empty : mapping, out_error, empty ? "'%s' is empty" : "'%s' is missing", key);
        return NULL;
    }
    return expect_kind(child, kind, out_error) == STATUS_OK ? child : NULL;
}

enum status yaml_only_keys(const struct yaml_node *mapping, const char *const *keys, struct buffer *out_error)
{
    enum status status = expect_kind(mapping, YAML_KIND_MAPPING, out_error);
    if (status != STATUS_OK) return status;
    for (const struct yaml_node *child = mapping->first; child; child = child->next) {
        const char *const *known = keys;
        while (*known && !slice_equal(child->key->text, slice_of_string(*known))) known++;
        if (!*known) return yaml_fail(child->key, out_error, "unknown key '%s'", (const char *)child->key->text.data);
    }
    return STATUS_OK;
}

/* "'port': 'x' is not a whole number", or without the key where there is none. */
static enum status fail_value(const struct yaml_node *node, struct buffer *out_error, const char *reason)
{
    const char *text = (const char *)node->text.data;
    if (!node->key) return yaml_fail(node, out_error, "'%s' %s", text, reason);
    return yaml_fail(node, out_error, "'%s': '%s' %s", (const char *)node->key->text.data, text, reason);
}

enum status yaml_string(const struct yaml_node *node, size_t bytes_max, const char **out_string,
                        struct buffer *out_error)
{
    enum status status = expect_kind(node, YAML_KIND_SCALAR, out_error);
    if (status != STATUS_OK) return status;
    if (yaml_is_null(node) || node->text.length == 0) return fail_value(node, out_error, "is empty");
    if (memchr(node->text.data, '\0', node->text.length)) return fail_value(node, out_error, "holds a NUL byte");
    if (node->text.length > bytes_max) {
        char reason[64];
        snprintf(reason, sizeof reason, "is longer than %zu bytes", bytes_max);
        return fail_value(node, out_error, reason);
    }
    *out_string = (const char *)node->text.data;
    return STATUS_OK;
}

enum status yaml_i64(const struct yaml_node *node, int64_t min, int64_t max, int64_t *out_value,
                     struct buffer *out_error)
{
    enum status status = expect_kind(node, YAML_KIND_SCALAR, out_error);
    if (status != STATUS_OK) return status;
    int64_t value;
    if (!node->quoted && slice_to_i64(node->text, &value) && value >= min && value <= max) {
        *out_value = value;
        return STATUS_OK;
    }
    char reason[96];
    snprintf(reason, sizeof reason, "is not a whole number from %lld to %lld", (long long)min, (long long)max);
    return fail_value(node, out_error, reason);
}

enum status yaml_u64(const struct yaml_node *node, uint64_t min, uint64_t max, uint64_t *out_value,
                     struct buffer *out_error)
{
    enum status status = expect_kind(node, YAML_KIND_SCALAR, out_error);
    if (status != STATUS_OK) return status;
    uint64_t value;
    if (!node->quoted && slice_to_u64(node->text, &value) && value >= min && value <= max) {
        *out_value = value;
        return STATUS_OK;
    }
    char reason[96];
    snprintf(reason, sizeof reason, "is not a whole number from %llu to %llu", (unsigned long long)min,
             (unsigned long long)max);
    return fail_value(node, out_error, reason);
}

enum status yaml_double(const struct yaml_node *node, double min, double max, double *out_value,
                        struct buffer *out_error)
{
    enum status status = expect_kind(node, YAML_KIND_SCALAR, out_error);
    if (status != STATUS_OK) return status;
    const char *text = (const char *)node->text.data;
    /* Only decimal forms: strtod() alone would also take "nan", "0x1p3" and leading spaces. */
    if (!node->quoted && node->text.length && strspn(text, "0123456789+-.eE") == node->text.length) {
        char *end;
        double value = strtod(text, &end);
        if (*end == '\0' && value >= min && value <= max) {
            *out_value = value;
            return STATUS_OK;
        }
    }
    char reason[96];
    snprintf(reason, sizeof reason, "is not a number from %g to %g", min, max);
    return fail_value(node, out_error, reason);
}

enum status yaml_bool(const struct yaml_node *node, bool *out_value, struct buffer *out_error)
{
    enum status status = expect_kind(node, YAML_KIND_SCALAR, out_error);
    if (status != STATUS_OK) return status;
    bool truth = slice_equal(node->text, SLICE_LITERAL("true"));
    if (node->quoted || (!truth && !slice_equal(node->text, SLICE_LITERAL("false")))) {
        return fail_value(node, out_error, "is neither true nor false");
    }
    *out_value = truth;
    return STATUS_OK;
}

static const struct {
    const char *name;
    uint64_t ns;
} duration_units[] = {
    {"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000},
};

/* In nanoseconds, or UINT64_MAX where `text` is no length of time. Below 2^53 ns (104 days) the result is exact. */
static uint64_t duration_of(const char *text)
{
    size_t number_bytes = strspn(text, "0123456789.");
    if (number_bytes == 0) return UINT64_MAX;
    char *end;
    double number = strtod(text, &end);
    if (end != text + number_bytes) return UINT64_MAX;
    if (*end == '\0' && number == 0) return 0;
    while (*end == ' ') end++;
    for (size_t i = 0; i < sizeof duration_units / sizeof duration_units[0]; i++) {
        if (strcmp(end, duration_units[i].name) != 0) continue;
        double ns = round(number * (double)duration_units[i].ns);
        return ns < 9e18 ? (uint64_t)ns : UINT64_MAX;
    }
    return UINT64_MAX;
}

enum status yaml_duration_ns(const struct yaml_node *node, uint64_t max_ns, uint64_t *out_ns, struct buffer *out_error)
{
    enum status status = expect_kind(node, YAML_KIND_SCALAR, out_error);
    if (status != STATUS_OK) return status;
    uint64_t ns = node->quoted ? UINT64_MAX : duration_of((const char *)node->text.data);
    if (ns == UINT64_MAX) return fail_value(node, out_error, "is not a time such as 40ms, 1.5s or 10m");
    if (ns > max_ns) {
        char reason[64];
        snprintf(reason, sizeof reason, "is longer than %g s", (double)max_ns / 1e9);
        return fail_value(node, out_error, reason);
    }
    *out_ns = ns;
    return STATUS_OK;
}
