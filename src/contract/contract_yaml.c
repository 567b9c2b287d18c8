/* contract_yaml.c: a contract as a configuration file states it, turned into the words of TABLE CREATE and read as
 * those.
 *
 *   default: ENGINE ordered DURABILITY majority+regions:2
 *   default: {engine: ordered, durability: majority+regions:2, replicas: {us: 2, eu: 1}, invariant: "min:0"}
 */
#include "contract/contract.h"

enum { WORDS_MAX = 64, VALUE_BYTES_MAX = 1024 };

struct words {
    struct slice list[WORDS_MAX];
    size_t count;
    struct buffer replicas; /* where a mapping of replicas is put together; at most one of them */
};

static enum status add_word(struct words *w, const struct yaml_node *node, struct slice word, struct buffer *error)
{
    if (w->count == WORDS_MAX) return yaml_fail(node, error, "a contract has at most %d words", WORDS_MAX);
    w->list[w->count++] = word;
    return STATUS_OK;
}

/* {us: 2, eu: 1w} as "us=2,eu=1w". */
static enum status join_replicas(const struct yaml_node *node, struct words *w, struct buffer *error)
{
    if (w->replicas.length) return yaml_fail(node, error, "only replicas is a mapping, and only once");
    for (const struct yaml_node *value = node->first; value; value = value->next) {
        const char *text;
        if (yaml_string(value, TOPOLOGY_NAME_BYTES_MAX, &text, error)) return STATUS_MALFORMED;
        buffer_append_format(&w->replicas, "%s%.*s=%s", w->replicas.length ? "," : "", (int)value->key->text.length,
                             (const char *)value->key->text.data, text);
    }
    if (w->replicas.overflowed) return yaml_fail(node, error, "too long");
    return add_word(w, node, buffer_slice(&w->replicas), error);
}

static enum status words_of_mapping(const struct yaml_node *node, struct words *w, struct buffer *error)
{
    for (const struct yaml_node *value = node->first; value; value = value->next) {
        const char *text;
        if (add_word(w, value, value->key->text, error)) return STATUS_MALFORMED;
        if (value->kind == YAML_KIND_MAPPING && slice_is_word(value->key->text, "replicas")) {
            if (join_replicas(value, w, error)) return STATUS_MALFORMED;
            continue;
        }
        if (yaml_string(value, VALUE_BYTES_MAX, &text, error)) return STATUS_MALFORMED;
        if (add_word(w, value, slice_of_string(text), error)) return STATUS_MALFORMED;
    }
    return STATUS_OK;
}

static enum status words_of_text(const struct yaml_node *node, struct words *w, struct buffer *error)
{
    const uint8_t *at = node->text.data, *end = at + node->text.length;
    while (at < end) {
        while (at < end && *at == ' ') at++;
        const uint8_t *word = at;
        while (at < end && *at != ' ') at++;
        if (at > word && add_word(w, node, slice_of(word, (size_t)(at - word)), error)) return STATUS_MALFORMED;
    }
    return STATUS_OK;
}

enum status contract_parse_yaml(const struct yaml_node *node, const struct topology *topology, struct contract *out,
                                struct buffer *out_error)
{
    struct words w = {.count = 0};
    struct buffer reason;
    enum status status = STATUS_OK;
    buffer_init(&w.replicas, VALUE_BYTES_MAX);
    buffer_init(&reason, 4096);
    if (node->kind == YAML_KIND_SEQUENCE)
        status = yaml_fail(node, out_error, "a contract is a mapping, or the words of TABLE CREATE");
    else
        status = node->kind == YAML_KIND_MAPPING ? words_of_mapping(node, &w, out_error)
                                                 : words_of_text(node, &w, out_error);
    if (status == STATUS_OK && contract_parse(w.list, w.count, topology, out, &reason) != STATUS_OK) {
        struct slice text = buffer_slice(&reason);
        const uint8_t *code = memchr(text.data, ' ', text.length); /* a file's reader needs no error code */
        if (code) text = slice_skip(text, (size_t)(code - text.data) + 1);
        status = yaml_fail(node, out_error, "%.*s", (int)text.length, (const char *)text.data);
    }
    buffer_deinit(&reason);
    buffer_deinit(&w.replicas);
    return status;
}

void contract_default(const struct topology *topology, struct contract *out)
{
    struct words w = {.count = 0};
    struct buffer reason;
    struct yaml_node text = {.kind = YAML_KIND_SCALAR, .text = slice_of_string(topology->default_contract)};
    buffer_init(&reason, 4096);
    bool good = words_of_text(&text, &w, &reason) == STATUS_OK &&
                contract_parse(w.list, w.count, topology, out, &reason) == STATUS_OK;
    ASSERT(good); /* topology_parse() has read these words before */
    buffer_deinit(&reason);
}
