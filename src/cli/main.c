/* main.c: the program `meridian`: a table of subcommands. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
};

static int run_version(int argc, char **argv);
static int run_help(int argc, char **argv);

static const struct subcommand subcommands[] = {
    {"up", cli_up, "start three regions on this machine, with emulated WAN latency"},
    {"down", cli_down, "stop them; --wipe also removes their data"},
    {"status", cli_status, "what runs, where, and how far behind"},
    {"server", cli_server, "run one node: --config cluster.yaml --node ID"},
    {"plan", cli_plan, "what each loss would cost the tables of a configuration, before it happens"},
    {"lab", cli_lab, "live through an incident and compare the strategies against it"},
    {"sim", cli_sim, "run seeds of the deterministic simulator"},
    {"version", run_version, "print the version"},
    {"help", run_help, "print this"},
};

static void print_help(FILE *out)
{
    fputs("meridian: a geo-replicated database that keeps its tables' contracts\n\n", out);
    for (size_t i = 0; i < sizeof subcommands / sizeof subcommands[0]; i++) {
        fprintf(out, "  meridian %-9s %s\n", subcommands[i].name, subcommands[i].summary);
    }
    fputs("\nStart with `meridian up`, then `redis-cli -p 7101`.\n", out);
}

static int run_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("meridian %s\n", cli_version());
    return CLI_EXIT_OK;
}

static int run_help(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    print_help(stdout);
    return CLI_EXIT_OK;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "help";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) name = "help";
    if (strcmp(name, "--version") == 0) name = "version";
    for (size_t i = 0; i < sizeof subcommands / sizeof subcommands[0]; i++) {
        if (strcmp(name, subcommands[i].name) == 0)
            return subcommands[i].run(argc > 1 ? argc - 1 : argc, argc > 1 ? argv + 1 : argv);
    }
    fprintf(stderr, "meridian: no subcommand '%s'\n\n", name);
    print_help(stderr);
    return CLI_EXIT_USAGE;
}
