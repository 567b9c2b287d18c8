/* cli.h: the subcommands of the program: each takes its own words, argv[0] being its name, and returns the exit code. */
#ifndef MERIDIAN_CLI_CLI_H
#define MERIDIAN_CLI_CLI_H

int cli_sim(int argc, char **argv); /* run seeds of the simulator */

#endif
