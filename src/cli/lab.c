/* lab.c: `meridian lab`: live through an incident, strategy by strategy. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/memory.h"
#include "cli/cli.h"
#include "cli/lab_real.h"
#include "cli/local.h"
#include "cli/options.h"
#include "lab/report.h"
#include "lab/virtual.h"

enum { LAB_COLUMNS_DEFAULT = 110, LAB_COLUMNS_MIN = 80, LAB_COLUMNS_MAX = 120, LAB_SCENARIOS_MAX = 64 };

static const char lab_usage[] =
    "usage: meridian lab list\n"
    "       meridian lab run NAME|FILE [--real] [--json] [--seed S]\n"
    "  --real    on server processes of this machine instead of the simulator; long pauses are shortened\n"
    "  --json    the comparison as JSON\n"
    "  --seed S  the simulator's seed (default 1)\n"
    "Scenarios are YAML files: the folder scenarios/, or $MERIDIAN_SCENARIOS.\n";

struct lab_options {
    const char *name;
    bool real, json;
    uint64_t seed;
};

static const char *scenarios_folder(void)
{
    const char *folder = getenv("MERIDIAN_SCENARIOS");
    return folder ? folder : access("scenarios", R_OK) == 0 ? "scenarios" : MERIDIAN_SCENARIOS_FOLDER;
}

/* Reads and parses. The scenario is large: on the heap. NULL: said why on stderr. */
static struct scenario *load(const char *name)
{
    char path[4096];
    if (strchr(name, '/') || strstr(name, ".yaml"))
        snprintf(path, sizeof path, "%s", name);
    else
        snprintf(path, sizeof path, "%s/%s.yaml", scenarios_folder(), name);
    struct scenario *s = memory_zalloc(1, sizeof *s);
    struct buffer text, error;
    buffer_init(&text, CLI_FILE_BYTES_MAX);
    buffer_init(&error, 16 * 1024);
    enum status status = cli_read_file(path, &text, &error);
    if (status == STATUS_OK) status = scenario_parse(s, path, buffer_slice(&text), &error);
    if (status != STATUS_OK) fprintf(stderr, "meridian lab: %.*s\n", (int)error.length, (const char *)error.data);
    buffer_deinit(&text);
    buffer_deinit(&error);
    if (status == STATUS_OK) return s;
    scenario_deinit(s);
    memory_free(s);
    return NULL;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_scenarios(void)
{
    DIR *folder = opendir(scenarios_folder());
    if (!folder) {
        fprintf(stderr, "meridian lab: %s: can't be read\n", scenarios_folder());
        return CLI_EXIT_FAILED;
    }
    char *names[LAB_SCENARIOS_MAX];
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL && count < LAB_SCENARIOS_MAX;) {
        size_t length = strlen(entry->d_name);
        if (length > 5 && strcmp(entry->d_name + length - 5, ".yaml") == 0)
            names[count++] = strndup(entry->d_name, length - 5);
    }
    closedir(folder);
    qsort(names, count, sizeof names[0], compare_names);
    int code = CLI_EXIT_OK;
    for (size_t i = 0; i < count; i++) {
        struct scenario *s = load(names[i]);
        if (s)
            printf("  %-20s %s (%u strategies)\n", s->name, s->title, s->strategies_count);
        else
            code = CLI_EXIT_FAILED;
        scenario_deinit(s);
        memory_free(s);
        free(names[i]);
    }
    return code;
}

static uint32_t terminal_columns(void)
{
    struct winsize size;
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return LAB_COLUMNS_DEFAULT;
    if (size.ws_col < LAB_COLUMNS_MIN) return LAB_COLUMNS_MIN;
    return size.ws_col < LAB_COLUMNS_MAX ? size.ws_col : LAB_COLUMNS_MAX;
}

static void show_progress(const struct scenario *s, uint32_t strategy)
{
    if (!isatty(STDERR_FILENO)) return;
    if (strategy < s->strategies_count)
        fprintf(stderr, "\r  playing %u of %u: %s\033[K", strategy + 1, s->strategies_count,
                s->strategies[strategy].title);
    else
        fprintf(stderr, "\r\033[K");
    fflush(stderr);
}

static bool play_all(const struct scenario *s, const struct lab_options *o, struct play_result *results)
{
    struct lab_real *real = NULL;
    struct buffer error;
    buffer_init(&error, 4096);
    if (o->real && !(real = lab_real_start(s, &error))) {
        fprintf(stderr, "meridian lab: %.*s\n", (int)error.length, (const char *)error.data);
    }
    buffer_deinit(&error);
    if (o->real && !real) return false;
    for (uint32_t i = 0; i < s->strategies_count; i++) {
        show_progress(s, i);
        if (real)
            lab_real_play(real, i, &results[i]);
        else
            virtual_play(s, i, o->seed, &results[i]);
    }
    show_progress(s, s->strategies_count);
    lab_real_stop(real);
    return true;
}

static int run_scenario(const struct lab_options *o)
{
    struct scenario *s = load(o->name);
    if (!s) return CLI_EXIT_USAGE;
    struct play_result *results = memory_zalloc(s->strategies_count, sizeof *results);
    struct buffer out;
    buffer_init(&out, 4 * 1024 * 1024);
    bool played = play_all(s, o, results), good = played;
    const struct report_style style = {local_has_colour(), terminal_columns()};
    if (played && o->json) report_json(s, results, o->real, &out);
    if (played && !o->json) report_table(s, results, &style, &out);
    if (played && !o->json && o->real) {
        buffer_append_format(&out, "  on server processes of this machine; pauses over %llu s were shortened to that\n",
                             (unsigned long long)lab_real_gap_seconds_max());
    }
    fwrite(out.data, 1, out.length, stdout);
    for (uint32_t i = 0; i < s->strategies_count; i++) good = good && results[i].good;
    buffer_deinit(&out);
    memory_free(results);
    scenario_deinit(s);
    memory_free(s);
    return good ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}

int cli_lab(int argc, char **argv)
{
    struct lab_options o = {.seed = 1};
    const struct cli_option options[] = {
        {.text = &o.name, .required = true},
        {.name = "--real", .flag = &o.real},
        {.name = "--json", .flag = &o.json},
        {.name = "--seed", .number = &o.seed, .max = UINT64_MAX},
    };
    const char *action = argc > 1 ? argv[1] : "";
    bool lists = strcmp(action, "list") == 0, runs = strcmp(action, "run") == 0;
    const struct cli_words words = {"lab", lab_usage, options, runs ? sizeof options / sizeof options[0] : 0};
    bool skips_action = lists || runs;
    int exit_code;
    if (!cli_options_read(&words, argc - skips_action, argv + skips_action, &exit_code)) return exit_code;
    if (runs) return run_scenario(&o);
    return lists ? list_scenarios() : cli_options_refuse(&words, "'list' or 'run' is missing");
}
