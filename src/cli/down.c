/* down.c: `meridian down`: stop the cluster of `meridian up` gracefully; with --wipe also remove its data. */
#define _GNU_SOURCE /* nftw */
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/local.h"
#include "cli/options.h"

enum { DOWN_SECONDS_MAX = 45, DOWN_POLL_MS = 20, TREE_DEPTH_FDS = 16 };

static const char down_usage[] = "usage: meridian down [--dir D] [--wipe]\n"
                                 "  --dir D  the folder of the cluster (default " LOCAL_FOLDER_DEFAULT ")\n"
                                 "  --wipe   remove its data, logs and configuration too\n";

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

/* Removes what `up` and its servers made, and nothing else. */
static bool wipe(const struct local *local)
{
    static const char *const suffixes[] = {".log", ".pid", ".pid.new"};
    char path[LOCAL_PATH_BYTES_MAX];
    for (uint32_t i = 0; i < local->topology.nodes_count; i++) {
        local_path(local, i, "", path);
        if (nftw(path, remove_entry, TREE_DEPTH_FDS, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
            fprintf(stderr, "meridian down: can't remove %s: %s\n", path, strerror(errno));
            return false;
        }
        for (size_t s = 0; s < sizeof suffixes / sizeof suffixes[0]; s++) {
            local_path(local, i, suffixes[s], path);
            unlink(path);
        }
    }
    if (unlink(local->config) != 0) {
        fprintf(stderr, "meridian down: can't remove %s: %s\n", local->config, strerror(errno));
        return false;
    }
    if (rmdir(local->folder) != 0 && errno == ENOTEMPTY) printf("%s stays: other files are in it\n", local->shown);
    return true;
}

/* Returns how many still run when the time is over. */
static uint32_t wait_for_end(const struct local *local, const pid_t *pids)
{
    uint32_t running = 0;
    for (int waited_ms = 0; waited_ms <= DOWN_SECONDS_MAX * 1000; waited_ms += DOWN_POLL_MS) {
        running = 0;
        for (uint32_t i = 0; i < local->topology.nodes_count; i++) running += pids[i] && local_pid(local, i) == pids[i];
        if (running == 0) return 0;
        usleep(DOWN_POLL_MS * 1000);
    }
    return running;
}

static bool stop_all(const struct local *local)
{
    pid_t pids[TOPOLOGY_NODES_MAX] = {0};
    uint32_t asked = 0;
    for (uint32_t i = 0; i < local->topology.nodes_count; i++) {
        pids[i] = local_pid(local, i);
        if (pids[i] == 0) continue;
        if (kill(pids[i], SIGTERM) == 0) {
            asked++;
        } else {
            fprintf(stderr, "meridian down: can't stop %s (process %d): %s\n", local->topology.nodes[i].id,
                    (int)pids[i], strerror(errno));
            return false;
        }
    }
    uint32_t running = wait_for_end(local, pids);
    for (uint32_t i = 0; i < local->topology.nodes_count; i++) {
        char path[LOCAL_PATH_BYTES_MAX];
        local_path(local, i, ".pid", path);
        pid_t pid = local_pid(local, i);
        if (!pid)
            unlink(path);
        else
            fprintf(stderr, "meridian down: %s (process %d) has not ended after %d s\n", local->topology.nodes[i].id,
                    (int)pid, DOWN_SECONDS_MAX);
    }
    if (running) return false;
    if (asked)
        printf("Stopped %u node%s.", asked, asked == 1 ? "" : "s");
    else
        printf("Nothing runs in %s.", local->shown);
    return true;
}

int cli_down(int argc, char **argv)
{
    const char *folder = LOCAL_FOLDER_DEFAULT;
    bool wanted_wipe = false;
    const struct cli_option options[] = {{.name = "--dir", .text = &folder}, {.name = "--wipe", .flag = &wanted_wipe}};
    const struct cli_words words = {"down", down_usage, options, sizeof options / sizeof options[0]};
    int exit_code;
    if (!cli_options_read(&words, argc, argv, &exit_code)) return exit_code;
    static struct local local;
    if (!local_init(&local, folder)) return CLI_EXIT_FAILED;
    if (!local_exists(&local)) {
        printf("There is no cluster in %s.\n", local.shown);
        return CLI_EXIT_OK;
    }
    if (!local_load(&local) || !stop_all(&local)) return CLI_EXIT_FAILED;
    if (wanted_wipe && !wipe(&local)) return CLI_EXIT_FAILED;
    printf(wanted_wipe ? " The data in %s is gone.\n" : " The data stays in %s.\n", local.shown);
    return CLI_EXIT_OK;
}
