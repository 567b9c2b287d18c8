/* cli.h: the subcommands of the program: each takes its own words, argv[0] being its name, and returns the exit code.
 */
#ifndef MERIDIAN_CLI_CLI_H
#define MERIDIAN_CLI_CLI_H

#include "base/buffer.h"
#include "base/status.h"

enum { CLI_EXIT_OK = 0, CLI_EXIT_FAILED = 1, CLI_EXIT_USAGE = 2 };
enum { CLI_FILE_BYTES_MAX = 1024 * 1024 };

int cli_server(int argc, char **argv); /* one node of a cluster */
int cli_up(int argc, char **argv);     /* a three-region cluster on this machine */
int cli_down(int argc, char **argv);   /* stop that cluster; --wipe: with its data */
int cli_status(int argc, char **argv); /* a line for each of its nodes */
int cli_plan(int argc, char **argv);   /* judge a configuration's tables */
int cli_lab(int argc, char **argv);    /* play incidents */
int cli_sim(int argc, char **argv);    /* run seeds of the simulator */

/* Read a whole file. On failure the status and, in `out_error`, "PATH: reason". */
MUST_USE enum status cli_read_file(const char *path, struct buffer *out, struct buffer *out_error);

/* The program's version, with its commit where one is known. */
const char *cli_version(void);

#endif
