/* options.c: see options.h. */
#include "cli/options.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/slice.h"
#include "cli/cli.h"

enum { CLI_OPTIONS_MAX = 16 };

int cli_options_refuse(const struct cli_words *words, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "meridian %s: ", words->subcommand);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n\n%s", words->usage);
    return CLI_EXIT_USAGE;
}

static bool is_help_wanted(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    }
    return false;
}

static size_t find(const struct cli_words *words, const char *word)
{
    size_t i = 0;
    bool is_option = word[0] == '-';
    while (i < words->count) {
        const char *name = words->options[i].name;
        if (is_option ? name && strcmp(name, word) == 0 : !name) break;
        i++;
    }
    return i;
}

/* The value of an option that takes one. Returns false when it is no number in its range. */
static bool take_value(const struct cli_option *o, const char *value)
{
    if (o->text) *o->text = value;
    if (!o->number) return true;
    return slice_to_u64(slice_of_string(value), o->number) && *o->number >= o->min && *o->number <= o->max;
}

bool cli_options_read(const struct cli_words *words, int argc, char **argv, int *out_exit)
{
    bool seen[CLI_OPTIONS_MAX] = {false};
    ASSERT(words->count <= CLI_OPTIONS_MAX);
    *out_exit = CLI_EXIT_OK;
    if (is_help_wanted(argc, argv)) {
        fputs(words->usage, stdout);
        return false;
    }
    for (int i = 1; i < argc && *out_exit == CLI_EXIT_OK; i++) {
        size_t at = find(words, argv[i]);
        const struct cli_option *o = at < words->count ? &words->options[at] : NULL;
        bool is_surplus = o && !o->name && seen[at];
        if (!o || is_surplus) {
            *out_exit = cli_options_refuse(words, "it does not know the %s '%s'", argv[i][0] == '-' ? "option" : "word",
                                           argv[i]);
        } else if (o->flag) {
            *o->flag = true;
        } else if (o->name && i + 1 == argc) {
            *out_exit = cli_options_refuse(words, "%s needs a value", o->name);
        } else if (!take_value(o, argv[o->name ? ++i : i])) {
            *out_exit = cli_options_refuse(words, "%s takes a number from %" PRIu64 " to %" PRIu64 ", not '%s'",
                                           o->name, o->min, o->max, argv[i]);
        }
        if (o) seen[at] = true;
        if (o && o->given) *o->given = true;
    }
    for (size_t i = 0; i < words->count && *out_exit == CLI_EXIT_OK; i++) {
        const struct cli_option *o = &words->options[i];
        if (o->required && !seen[i])
            *out_exit = cli_options_refuse(words, "%s is missing", o->name ? o->name : "a name");
    }
    return *out_exit == CLI_EXIT_OK;
}
