/* test_yaml.c: the tree, the values, and that every error names file, line and reason. */
#include "base/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

struct fixture {
    struct yaml_tree tree;
    struct buffer error;
};

static enum status parse(struct fixture *f, const char *text)
{
    buffer_init(&f->error, 4096);
    return yaml_tree_parse(&f->tree, "c.yaml", slice_of_string(text), &f->error);
}

static void expect_error(struct fixture *f, const char *expected)
{
    if (!slice_equal(buffer_slice(&f->error), slice_of_string(expected))) {
        fail_msg("'%.*s' instead of '%s'", (int)f->error.length, (const char *)f->error.data, expected);
    }
    buffer_clear(&f->error);
}

static void finish(struct fixture *f)
{
    yaml_tree_deinit(&f->tree);
    buffer_deinit(&f->error);
}

static void reads_a_tree(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_equal(parse(&f, "# comment\n"
                               "nodes:\n"
                               "  - id: a\n"
                               "    port: 7101\n"
                               "  - {id: b, port: 7102}\n"
                               "empty:\n"
                               "faults: true\n"),
                     STATUS_OK);
    const struct yaml_node *root = f.tree.root;
    assert_int_equal(root->kind, YAML_KIND_MAPPING);
    assert_int_equal(root->count, 3);
    const struct yaml_node *nodes = yaml_require(root, "nodes", YAML_KIND_SEQUENCE, &f.error);
    assert_non_null(nodes);
    assert_int_equal(nodes->count, 2);
    assert_int_equal(nodes->line, 3);
    assert_int_equal(nodes->column, 3);
    const struct yaml_node *second = nodes->first->next;
    assert_null(second->next);
    assert_null(second->key);
    const struct yaml_node *port = yaml_find(second, "port");
    assert_int_equal(port->line, 5);
    assert_true(slice_equal(port->key->text, SLICE_LITERAL("port")));
    uint64_t number;
    assert_int_equal(yaml_u64(port, 1, 65535, &number, &f.error), STATUS_OK);
    assert_int_equal(number, 7102);
    const char *id;
    assert_int_equal(yaml_string(yaml_find(second, "id"), 10, &id, &f.error), STATUS_OK);
    assert_string_equal(id, "b");
    assert_null(yaml_find(root, "empty"));
    assert_null(yaml_find(root, "absent"));
    assert_null(yaml_find(NULL, "absent"));
    assert_null(yaml_find(nodes, "id"));
    static const char *const known[] = {"nodes", "empty", "faults", NULL}, *const fewer[] = {"nodes", "empty", NULL};
    assert_int_equal(yaml_only_keys(root, known, &f.error), STATUS_OK);
    assert_int_equal(yaml_only_keys(root, fewer, &f.error), STATUS_MALFORMED);
    expect_error(&f, "c.yaml:7: unknown key 'faults'");
    finish(&f);
}

static void empty_files_are_null(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "# only a comment\n", "---\n", "~", "null"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct fixture f;
        assert_int_equal(parse(&f, texts[i]), STATUS_OK);
        assert_true(yaml_is_null(f.tree.root));
        finish(&f);
    }
    yaml_tree_deinit(NULL);
}

static void refuses_what_surprises(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"a: &x 1\nb: *x\n", "c.yaml:1: anchors and aliases are not supported"},
        {"a: 1\nb: *x\n", "c.yaml:2: anchors and aliases are not supported"},
        {"a:\n  - !!int 1\n", "c.yaml:2: tags are not supported"},
        {"a: 1\nb: 2\na: 3\n", "c.yaml:3: duplicate key 'a', first in line 1"},
        {"a: 1\n---\nb: 2\n", "c.yaml:2: a second document"},
        {"? [a]\n: b\n", "c.yaml:1: a key must be a plain word"},
        {"a: \"\xff\"\n", "c.yaml:1: invalid leading UTF-8 octet"},
        {"a: 1\nb: 1\nc: \xff\n", "c.yaml:3: invalid leading UTF-8 octet"},
        {"a:\n\t- b\n", "c.yaml:2: while scanning for the next token found character that cannot start any token"},
        {"a: {b: 1\n", "c.yaml:2: while parsing a flow mapping did not find expected ',' or '}'"},
        {"a: 'x\n", "c.yaml:2: while scanning a quoted scalar found unexpected end of stream"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        assert_int_equal(parse(&f, cases[i].text), STATUS_MALFORMED);
        assert_null(f.tree.root);
        expect_error(&f, cases[i].error);
        finish(&f);
    }
}

static void limits_hold(void **state)
{
    (void)state;
    struct fixture f;
    char deep[YAML_DEPTH_MAX + 2] = {0};
    memset(deep, '[', YAML_DEPTH_MAX + 1);
    assert_int_equal(parse(&f, deep), STATUS_LIMIT);
    expect_error(&f, "c.yaml:1: nested deeper than 16");
    finish(&f);

    struct buffer text;
    buffer_init(&text, YAML_BYTES_MAX + 1);
    buffer_append_byte(&text, '[');
    for (int i = 0; i < YAML_NODES_MAX; i++) buffer_append(&text, "1,", 2);
    buffer_append_byte(&text, ']');
    buffer_append_byte(&text, '\0');
    assert_int_equal(parse(&f, (const char *)text.data), STATUS_LIMIT);
    expect_error(&f, "c.yaml:1: more than 100000 values");
    finish(&f);

    buffer_clear(&text);
    for (int i = 0; i <= YAML_MAPPING_KEYS_MAX; i++) buffer_append_format(&text, "k%d: 1\n", i);
    buffer_append_byte(&text, '\0');
    assert_int_equal(parse(&f, (const char *)text.data), STATUS_LIMIT);
    expect_error(&f, "c.yaml:4097: more than 4096 keys in one mapping");
    finish(&f);

    buffer_clear(&text);
    while (text.length < YAML_BYTES_MAX + 1) buffer_append_byte(&text, '#');
    buffer_init(&f.error, 4096);
    assert_int_equal(yaml_tree_parse(&f.tree, "c.yaml", buffer_slice(&text), &f.error), STATUS_LIMIT);
    expect_error(&f, "c.yaml:1: larger than 4194304 bytes");
    finish(&f);
    buffer_deinit(&text);
}

static void missing_and_mistaken_children(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_equal(parse(&f, "a: 1\nb:\nc: [x]\n"), STATUS_OK);
    assert_null(yaml_require(f.tree.root, "z", YAML_KIND_SCALAR, &f.error));
    expect_error(&f, "c.yaml:1: 'z' is missing");
    assert_null(yaml_require(f.tree.root, "b", YAML_KIND_SCALAR, &f.error));
    expect_error(&f, "c.yaml:2: 'b' is empty");
    assert_null(yaml_require(f.tree.root, "c", YAML_KIND_MAPPING, &f.error));
    expect_error(&f, "c.yaml:3: 'c' must be a mapping");
    assert_null(yaml_require(yaml_find(f.tree.root, "a"), "x", YAML_KIND_SCALAR, &f.error));
    expect_error(&f, "c.yaml:1: 'a' must be a mapping");
    const char *string;
    assert_int_equal(yaml_string(yaml_find(f.tree.root, "c"), 5, &string, &f.error), STATUS_MALFORMED);
    expect_error(&f, "c.yaml:3: 'c' must be a single value");
    assert_int_equal(yaml_fail(f.tree.root->first->next, &f.error, "region '%s' is not known", "mars"),
                     STATUS_MALFORMED);
    expect_error(&f, "c.yaml:2: region 'mars' is not known");
    finish(&f);
}

static void reads_values(void **state)
{
    (void)state;
    struct fixture f;
    const char *string;
    int64_t i;
    uint64_t u;
    double d;
    bool flag;
    assert_int_equal(parse(&f, "i: -5\nu: 18446744073709551615\nd: 2.5e1\nt: true\nn: \"true\"\nq: '5'\ns: \"a\\0b\"\n"
                               "e: ''\nlong: abcdef\nx: 0x10\nnan: nan\n"),
                     STATUS_OK);
    const struct yaml_node *r = f.tree.root;
    assert_int_equal(yaml_i64(yaml_find(r, "i"), -5, 5, &i, &f.error), STATUS_OK);
    assert_int_equal(i, -5);
    assert_int_equal(yaml_u64(yaml_find(r, "u"), 0, UINT64_MAX, &u, &f.error), STATUS_OK);
    assert_true(u == UINT64_MAX);
    assert_int_equal(yaml_double(yaml_find(r, "d"), 0, 100, &d, &f.error), STATUS_OK);
    assert_true(d == 25);
    assert_int_equal(yaml_bool(yaml_find(r, "t"), &flag, &f.error), STATUS_OK);
    assert_true(flag);

    assert_int_equal(yaml_i64(yaml_find(r, "i"), 0, 5, &i, &f.error), STATUS_MALFORMED);
    expect_error(&f, "c.yaml:1: 'i': '-5' is not a whole number from 0 to 5");
    assert_int_equal(yaml_u64(yaml_find(r, "i"), 0, 5, &u, &f.error), STATUS_MALFORMED);
    expect_error(&f, "c.yaml:1: 'i': '-5' is not a whole number from 0 to 5");
    assert_int_equal(yaml_u64(yaml_find(r, "q"), 0, 5, &u, &f.error), STATUS_MALFORMED);
    expect_error(&f, "c.yaml:6: 'q': '5' is not a whole number from 0 to 5");
    assert_int_equal(yaml_double(yaml_find(r, "d"), 0, 1, &d, &f.error), STATUS_MALFORMED);
    expect_error(&f, "c.yaml:3: 'd': '2.5e1' is not a number from 0 to 1");
    assert_int_equal(yaml_double(yaml_find(r, "x"), 0, 100, &d, &f.error), STATUS_MALFORMED);
    buffer_clear(&f.error);
    assert_int_equal(yaml_double(yaml_find(r, "nan"), 0, 100, &d, &f.error), STATUS_MALFORMED);
    buffer_clear(&f.error);
    assert_int_equal(yaml_bool(yaml_find(r, "n"), &flag, &f.error), STATUS_MALFORMED);
    expect_error(&f, "c.yaml:5: 'n': 'true' is neither true nor false");
    assert_int_equal(yaml_string(yaml_find(r, "s"), 10, &string, &f.error), STATUS_MALFORMED);
    expect_error(&f, "c.yaml:7: 's': 'a' holds a NUL byte");
    assert_int_equal(yaml_string(yaml_find(r, "e"), 10, &string, &f.error), STATUS_MALFORMED);
    expect_error(&f, "c.yaml:8: 'e': '' is empty");
    assert_int_equal(yaml_string(yaml_find(r, "long"), 5, &string, &f.error), STATUS_MALFORMED);
    expect_error(&f, "c.yaml:9: 'long': 'abcdef' is longer than 5 bytes");
    finish(&f);
}

static void reads_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {
        {"0", 0},
        {"0s", 0},
        {"15ns", 15},
        {"40ms", 40000000},
        {"1.5 s", 1500000000},
        {"10m", 600000000000},
        {"2h", 7200000000000},
        {"0.1us", 100},
    };
    static const char *const bad[] = {"40", "ms", "-1s", "1.2.3s", "1d", "1 m s", "'1s'", ".s", "1e3s", "99999999999h"};
    struct fixture f;
    uint64_t ns;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(parse(&f, good[i].text), STATUS_OK);
        assert_int_equal(yaml_duration_ns(f.tree.root, UINT64_MAX, &ns, &f.error), STATUS_OK);
        assert_true(ns == good[i].ns);
        finish(&f);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(parse(&f, bad[i]), STATUS_OK);
        assert_int_equal(yaml_duration_ns(f.tree.root, UINT64_MAX, &ns, &f.error), STATUS_MALFORMED);
        finish(&f);
    }
    assert_int_equal(parse(&f, "wait: 3s"), STATUS_OK);
    assert_int_equal(yaml_duration_ns(yaml_find(f.tree.root, "wait"), 2000000000, &ns, &f.error), STATUS_MALFORMED);
    expect_error(&f, "c.yaml:1: 'wait': '3s' is longer than 2 s");
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_tree),
        cmocka_unit_test(empty_files_are_null),
        cmocka_unit_test(refuses_what_surprises),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(missing_and_mistaken_children),
        cmocka_unit_test(reads_values),
        cmocka_unit_test(reads_durations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
