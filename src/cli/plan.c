/* plan.c: `meridian plan`: what each loss would cost the tables of a configuration, before it happens. */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/memory.h"
#include "cli/cli.h"
#include "cli/local.h"
#include "cli/options.h"
#include "cli/plan.h"

enum { PLAN_COLUMNS_DEFAULT = 110, PLAN_COLUMNS_MIN = 80, PLAN_COLUMNS_MAX = 130 };

static const char plan_usage[] =
    "usage: meridian plan FILE [--table NAME] [--json]\n"
    "  FILE          a cluster file; of each node only id and region are needed here. Its section `tables` maps\n"
    "                names to contracts: orders: {engine: ordered, durability: majority+regions:2}\n"
    "  --table NAME  only this table\n"
    "  --json        the verdicts as JSON\n";

struct plan_options {
    const char *file, *table;
    bool json;
};

struct output {
    const struct plan_options *options;
    const struct topology *topology;
    struct plan_style style;
    struct plan_json *json;
    struct buffer text;
    struct plan plan;
    bool found;
};

/* What becomes of `--table NAME` on the way. */
static bool is_wanted(const struct output *o, const char *name)
{
    return !o->options->table || strcmp(o->options->table, name) == 0;
}

static void show(struct output *o, const char *name, bool is_table, const char *what)
{
    o->found = true;
    if (o->json)
        plan_json_add(o->json, name, is_table, &o->plan);
    else
        plan_print(name, what, &o->plan, &o->style, &o->text);
}

static void show_default(struct output *o, bool others)
{
    struct contract c;
    if (!is_wanted(o, "default") || (others && !o->options->table && !o->topology->default_contract[0])) return;
    contract_default(o->topology, &c);
    plan_table(o->topology, &c, TABLE_ID_DEFAULT, &o->plan);
    show(o, "default", true, "keys of no declared table");
}

static enum status show_tables(struct output *o, const struct yaml_node *root, struct buffer *error)
{
    const struct yaml_node *tables = yaml_find(root, "tables");
    show_default(o, tables != NULL);
    for (const struct yaml_node *node = tables ? tables->first : NULL; node; node = node->next) {
        const char *name = (const char *)node->key->text.data;
        struct contract c;
        if (!is_wanted(o, name)) continue;
        if (contract_parse_yaml(node, o->topology, &c, error) != STATUS_OK) return STATUS_MALFORMED;
        plan_table(o->topology, &c, 0, &o->plan);
        show(o, name, true, NULL);
    }
    if (!o->options->table) {
        plan_meta(o->topology, &o->plan);
        show(o, "metadata group", false, "topology, tables and placement of the whole cluster");
    }
    if (o->found && !o->json) plan_print_legend(&o->style, &o->text);
    if (o->found) return STATUS_OK;
    buffer_append_format(error, "%s: no table '%s' in it", o->options->file, o->options->table);
    return STATUS_NOT_FOUND;
}

static enum status plan_text(struct output *o, struct topology *topology, struct slice yaml, struct buffer *error)
{
    struct yaml_tree tree;
    enum status status = topology_parse_sketch(o->options->file, yaml, topology, error);
    if (status != STATUS_OK) return status;
    status = yaml_tree_parse(&tree, o->options->file, yaml, error);
    if (status == STATUS_OK) status = show_tables(o, tree.root, error);
    yaml_tree_deinit(&tree);
    return status;
}

static uint32_t terminal_columns(void)
{
    struct winsize size;
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return PLAN_COLUMNS_DEFAULT;
    if (size.ws_col < PLAN_COLUMNS_MIN) return PLAN_COLUMNS_MIN;
    return size.ws_col < PLAN_COLUMNS_MAX ? size.ws_col : PLAN_COLUMNS_MAX;
}

static int run(const struct plan_options *options)
{
    struct topology *topology = memory_zalloc(1, sizeof *topology);
    struct output *o = memory_zalloc(1, sizeof *o);
    struct buffer yaml, error;
    buffer_init(&yaml, CLI_FILE_BYTES_MAX);
    buffer_init(&error, 16 * 1024);
    buffer_init(&o->text, PLAN_TEXT_BYTES_MAX);
    o->options = options;
    o->topology = topology;
    o->style = (struct plan_style){local_has_colour(), terminal_columns()};
    if (options->json) o->json = plan_json_new();
    enum status status = cli_read_file(options->file, &yaml, &error);
    if (status == STATUS_OK) status = plan_text(o, topology, buffer_slice(&yaml), &error);
    if (o->json) plan_json_finish(o->json, &o->text);
    if (status == STATUS_OK)
        fwrite(o->text.data, 1, o->text.length, stdout);
    else
        fprintf(stderr, "meridian plan: %.*s\n", (int)error.length, (const char *)error.data);
    buffer_deinit(&o->text);
    buffer_deinit(&error);
    buffer_deinit(&yaml);
    memory_free(o);
    memory_free(topology);
    return status == STATUS_OK ? CLI_EXIT_OK : CLI_EXIT_USAGE;
}

int cli_plan(int argc, char **argv)
{
    struct plan_options o = {0};
    const struct cli_option options[] = {
        {.text = &o.file, .required = true},
        {.name = "--table", .text = &o.table},
        {.name = "--json", .flag = &o.json},
    };
    const struct cli_words words = {"plan", plan_usage, options, sizeof options / sizeof options[0]};
    int exit_code;
    return cli_options_read(&words, argc, argv, &exit_code) ? run(&o) : exit_code;
}
