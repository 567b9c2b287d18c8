/* sim.c: `meridian sim`: run seeds of the simulator, each in a process of its own, so that an assertion that stops a
 * node is reported with its seed like any other failure.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/slice.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "sim/run.h"

enum { SIM_JOBS_MAX = 64, SIM_EXIT_CRASH = 4 };

struct sim_options {
    uint64_t seed, seeds, minutes;
    uint32_t jobs;
    bool trace, replay;
};

struct sim_job {
    pid_t pid; /* 0: free */
    int pipe;
    uint64_t seed;
};

struct sim_totals {
    uint64_t done, failed, operations, acknowledged, unknown, refused, faults;
    double virtual_s;
    int worst; /* exit code */
    bool progress;
    struct timespec begin;
};

static const char sim_usage[] = "usage: meridian sim [--seeds N] [--seed S] [--jobs J] [--minutes M] [--trace]\n"
                                "  --seeds N    run N seeds, from --seed on (default 1)\n"
                                "  --seed S     the first seed (default 1)\n"
                                "  --jobs J     processes at a time (default: the number of cores)\n"
                                "  --minutes M  stop beginning new seeds after M minutes\n"
                                "  --trace      print what happens, event by event (one seed)\n"
                                "A single seed is run twice, and the two runs are compared event by event.\n";

static bool parse_options(int argc, char **argv, struct sim_options *o, int *out_exit)
{
    uint64_t jobs = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
    const struct cli_option options[] = {
        {.name = "--seeds", .number = &o->seeds, .min = 1, .max = UINT64_MAX},
        {.name = "--seed", .number = &o->seed, .max = UINT64_MAX},
        {.name = "--jobs", .number = &jobs, .min = 1, .max = UINT32_MAX},
        {.name = "--minutes", .number = &o->minutes, .max = UINT32_MAX},
        {.name = "--trace", .flag = &o->trace},
    };
    const struct cli_words words = {"sim", sim_usage, options, sizeof options / sizeof options[0]};
    if (!cli_options_read(&words, argc, argv, out_exit)) return false;
    o->jobs = (uint32_t)(jobs > SIM_JOBS_MAX ? SIM_JOBS_MAX : jobs);
    o->replay = o->seeds == 1 && !o->trace;
    if (!o->trace || o->seeds == 1) return true;
    *out_exit = cli_options_refuse(&words, "--trace is for one seed, not for %" PRIu64, o->seeds);
    return false;
}

static double seconds_since(const struct timespec *begin)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - begin->tv_sec) + (double)(now.tv_nsec - begin->tv_nsec) / 1e9;
}

static void show_progress(const struct sim_totals *t, const struct sim_options *o)
{
    if (!t->progress) return;
    double seconds = seconds_since(&t->begin);
    printf("\r%" PRIu64 " of %" PRIu64 " seeds, %" PRIu64 " failed, %.1f seeds/s \033[K", t->done, o->seeds, t->failed,
           (double)t->done / (seconds > 0 ? seconds : 1));
    fflush(stdout);
}

static void child(const struct sim_options *o, uint64_t seed, int out)
{
    struct run_report report;
    if (o->trace) setvbuf(stdout, NULL, _IOLBF, 0); /* the last lines before a crash are the ones that matter */
    run_seed(seed, o->trace, &report);
    if (o->replay) {
        struct run_report again;
        run_seed(seed, false, &again);
        if (again.hash != report.hash) {
            report.result = RUN_SAFETY;
            verdict_fail(&report.verdict, "replay is identical",
                         "two runs of the seed differ: %016" PRIx64 " and %016" PRIx64, report.hash, again.hash);
        }
    }
    /* The name of a property is a literal of this program: the parent is the same program, its address is valid
     * there. */
    ssize_t written = write(out, &report, sizeof report);
    fflush(stdout);
    _exit(written == (ssize_t)sizeof report ? (int)report.result : SIM_EXIT_CRASH);
}

static bool begin_seed(struct sim_job *job, const struct sim_options *o, uint64_t seed)
{
    int ends[2];
    if (pipe(ends) != 0) return false;
    fflush(stdout);
    job->pid = fork();
    if (job->pid < 0) return false;
    if (job->pid == 0) {
        close(ends[0]);
        child(o, seed, ends[1]);
    }
    close(ends[1]);
    job->pipe = ends[0];
    job->seed = seed;
    return true;
}

static void tell_failure(struct sim_totals *t, uint64_t seed, const char *property, const char *reason, int code)
{
    t->failed++;
    if (code > t->worst) t->worst = code;
    printf("%sseed %" PRIu64 ": %s: %s\n  again: meridian sim --seed %" PRIu64 " --trace\n",
           t->progress ? "\r\033[K" : "", seed, property, reason, seed);
}

static void end_seed(struct sim_job *job, struct sim_totals *t, int wait_status)
{
    struct run_report report;
    bool whole = read(job->pipe, &report, sizeof report) == (ssize_t)sizeof report;
    close(job->pipe);
    job->pid = 0;
    t->done++;
    if (!whole) {
        char reason[64];
        if (WIFSIGNALED(wait_status))
            snprintf(reason, sizeof reason, "ended by signal %d", WTERMSIG(wait_status));
        else
            snprintf(reason, sizeof reason, "ended with %d", WEXITSTATUS(wait_status));
        tell_failure(t, job->seed, "crash", reason, SIM_EXIT_CRASH);
        return;
    }
    t->operations += report.operations;
    t->acknowledged += report.acknowledged;
    t->unknown += report.unknown;
    t->refused += report.refused;
    t->faults += report.faults;
    t->virtual_s += (double)report.virtual_ns / 1e9;
    if (report.result != RUN_OK) {
        tell_failure(t, job->seed, report.verdict.property, report.verdict.reason, (int)report.result);
    }
}

static void await_one(struct sim_job *jobs, const struct sim_options *o, struct sim_totals *t)
{
    int wait_status;
    pid_t pid;
    do pid = waitpid(-1, &wait_status, 0);
    while (pid < 0 && errno == EINTR);
    for (uint32_t i = 0; i < o->jobs; i++) {
        if (jobs[i].pid == pid) end_seed(&jobs[i], t, wait_status);
    }
    show_progress(t, o);
}

static struct sim_job *free_job(struct sim_job *jobs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (jobs[i].pid == 0) return &jobs[i];
    }
    return NULL;
}

static void summarise(const struct sim_totals *t)
{
    double seconds = seconds_since(&t->begin);
    printf("%s%" PRIu64 " seeds in %.1f s, %" PRIu64 " failed: %" PRIu64 " operations (%" PRIu64
           " acknowledged, %" PRIu64 " refused, %" PRIu64 " unknown), %" PRIu64 " faults, %.0f virtual seconds\n",
           t->progress ? "\r\033[K" : "", t->done, seconds, t->failed, t->operations, t->acknowledged, t->refused,
           t->unknown, t->faults, t->virtual_s);
}

int cli_sim(int argc, char **argv)
{
    struct sim_options o = {.seed = 1, .seeds = 1};
    int exit_code;
    if (!parse_options(argc, argv, &o, &exit_code)) return exit_code;
    struct sim_job jobs[SIM_JOBS_MAX] = {0};
    struct sim_totals totals = {.progress = isatty(STDOUT_FILENO) && !o.trace};
    clock_gettime(CLOCK_MONOTONIC, &totals.begin);
    uint64_t begun = 0;
    while (totals.done < o.seeds) {
        bool late = o.minutes && seconds_since(&totals.begin) >= (double)o.minutes * 60;
        if (late) o.seeds = begun;
        struct sim_job *job = begun < o.seeds ? free_job(jobs, o.jobs) : NULL;
        if (job) {
            if (!begin_seed(job, &o, o.seed + begun)) {
                perror("meridian sim: fork");
                return SIM_EXIT_CRASH;
            }
            begun++;
        } else if (totals.done < begun) {
            await_one(jobs, &o, &totals);
        }
    }
    summarise(&totals);
    return totals.worst;
}
