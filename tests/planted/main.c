/* main.c: does the simulator catch the bug that was planted in this program? Seeds are run one by one, each in a
 * process of its own, until a checker, or an assertion of the node, objects. Exit code 0: it was caught. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/run.h"

/* Bugs of the ordered engine are looked for where there are only ordered tables: every third seed (sim/plan.h). */
#ifdef PLANTED_IN_ORDERED
enum { SEEDS_MAX = 200, FIRST_SEED = 1, SEED_STEP = 3 };
#else
enum { SEEDS_MAX = 200, FIRST_SEED = 1, SEED_STEP = 1 };
#endif

/* Returns true when the run of this seed failed, and says how. */
static bool seed_objects(uint64_t seed)
{
    int ends[2];
    if (pipe(ends) != 0) exit(2);
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) exit(2);
    if (pid == 0) {
        struct run_report report;
        run_seed(seed, false, &report);
        char text[600];
        int length = snprintf(text, sizeof text, "%s: %s", report.verdict.property ? report.verdict.property : "",
                              report.verdict.reason);
        ssize_t written = write(ends[1], text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
        _exit(written < 0 ? 2 : (int)report.result);
    }
    close(ends[1]);
    char text[600];
    ssize_t length = read(ends[0], text, sizeof text - 1);
    text[length > 0 ? length : 0] = 0;
    close(ends[0]);
    int status;
    if (waitpid(pid, &status, 0) != pid) exit(2);
    if (WIFEXITED(status) && WEXITSTATUS(status) == RUN_OK) return false;
    if (WIFEXITED(status) && WEXITSTATUS(status) == RUN_UNDECIDED) return false; /* nobody said that it is wrong */
    if (WIFSIGNALED(status)) snprintf(text, sizeof text, "an assertion stopped a node (signal %d)", WTERMSIG(status));
    printf("caught by seed %" PRIu64 ": %s\n", seed, text);
    return true;
}

int main(void)
{
    for (uint64_t i = 0; i < SEEDS_MAX; i++) {
        if (seed_objects(FIRST_SEED + i * SEED_STEP)) return 0;
    }
    printf("not caught in %d seeds\n", SEEDS_MAX);
    return 1;
}
