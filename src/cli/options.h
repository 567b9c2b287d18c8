/* options.h: the words of a subcommand, declared as a table: reading them, saying which one is wrong, and --help. */
#ifndef MERIDIAN_CLI_OPTIONS_H
#define MERIDIAN_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One option; of flag, text and number exactly one is set. */
struct cli_option {
    const char *name; /* with its dashes; NULL: a word without dashes, at most one */
    bool *flag;
    const char **text;
    uint64_t *number;
    uint64_t min, max; /* of a number */
    bool *given;       /* set when it is there; may be NULL */
    bool required;
};

struct cli_words {
    const char *subcommand; /* as it is typed: "up", "lab run" */
    const char *usage;
    const struct cli_option *options;
    size_t count;
};

/* Read argv[1..]. True: go on. False: `out_exit` is the exit code, and what there is to say is said: the usage on
 * stdout for --help or -h, wherever it stands; else on stderr which word is wrong and why, and the usage. */
bool cli_options_read(const struct cli_words *words, int argc, char **argv, int *out_exit);
/* Say on stderr that `format` is wrong with the words, and the usage. Returns the exit code. */
int cli_options_refuse(const struct cli_words *words, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
