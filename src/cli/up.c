/* up.c: `meridian up`: three regions on this machine, each node a server process of its own that outlives this command.
 *
 * Run again it starts what does not run, on the data that is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/local.h"
#include "cli/options.h"

enum {
    PORT_BASE_DEFAULT = 7100,
    PORT_BASE_MAX = 65535 - 300,
    PEER_PORT_OFFSET = 100,
    HTTP_PORT_OFFSET = 200,
    NODES_PER_REGION_MAX = 20,
    UP_SECONDS_MAX = 60,
    PROGRESS_AFTER_MS = 2000,
    POLL_MS = 20,
    ASK_TIMEOUT_MS = 2000,
    LOG_TAIL_LINES = 8,
};

static const char *const up_regions[] = {"us-east", "eu", "apac"};
enum { UP_REGIONS = sizeof up_regions / sizeof up_regions[0] };
/* One way, as between the real places. */
static const uint32_t up_latency_ms[UP_REGIONS][UP_REGIONS] = {{0, 40, 100}, {40, 0, 80}, {100, 80, 0}};

static const char up_usage[] =
    "usage: meridian up [--dir D] [--port-base P] [--nodes-per-region N] [--no-wan]\n"
    "  --dir D               the folder of the cluster (default " LOCAL_FOLDER_DEFAULT ")\n"
    "  --port-base P         clients at P+1, P+2, …; peers at P+101, …; HTTP at P+201, … (default 7100)\n"
    "  --nodes-per-region N  1 to 20 (default 1)\n"
    "  --no-wan              no emulated latency between the regions\n";

struct up_options {
    const char *folder;
    uint64_t port_base, per_region;
    bool no_wan;
    bool port_base_given, per_region_given;
};

/* What is to be waited for. */
struct up_progress {
    pid_t started[TOPOLOGY_NODES_MAX]; /* by us, now; 0: it ran already */
    bool answers[TOPOLOGY_NODES_MAX];
    bool sees_all[TOPOLOGY_NODES_MAX];
    uint32_t answering, seeing;
};

static bool parse_options(int argc, char **argv, struct up_options *o, int *out_exit)
{
    const struct cli_option options[] = {
        {.name = "--dir", .text = &o->folder},
        {.name = "--port-base", .number = &o->port_base, .min = 1, .max = PORT_BASE_MAX, .given = &o->port_base_given},
        {.name = "--nodes-per-region",
         .number = &o->per_region,
         .min = 1,
         .max = NODES_PER_REGION_MAX,
         .given = &o->per_region_given},
        {.name = "--no-wan", .flag = &o->no_wan},
    };
    const struct cli_words words = {"up", up_usage, options, sizeof options / sizeof options[0]};
    return cli_options_read(&words, argc, argv, out_exit);
}

/* ---- the cluster's file ---- */

static void set_address(struct topology_address *address, uint64_t port)
{
    snprintf(address->host, sizeof address->host, "127.0.0.1");
    address->port = (uint16_t)port;
}

static void build_topology(const struct up_options *o, struct topology *t)
{
    memset(t, 0, sizeof *t);
    for (uint32_t r = 0; r < UP_REGIONS; r++) {
        snprintf(t->regions[t->regions_count++], TOPOLOGY_NAME_BYTES_MAX, "%s", up_regions[r]);
        for (uint32_t i = 0; i < o->per_region; i++) {
            struct topology_node *node = &t->nodes[t->nodes_count++];
            snprintf(node->id, sizeof node->id, "%s-%u", up_regions[r], i + 1);
            snprintf(node->zone, sizeof node->zone, "%s-%c", up_regions[r], (char)('a' + i));
            snprintf(node->data, sizeof node->data, "./%s-%u", up_regions[r], i + 1);
            node->region = (uint8_t)r;
            set_address(&node->resp, o->port_base + t->nodes_count);
            set_address(&node->peer, o->port_base + PEER_PORT_OFFSET + t->nodes_count);
            set_address(&node->http, o->port_base + HTTP_PORT_OFFSET + t->nodes_count);
        }
        for (uint32_t q = 0; q < UP_REGIONS && !o->no_wan; q++) t->links[r][q].latency_us = up_latency_ms[r][q] * 1000;
    }
    t->faults_allowed = true;
}

static bool write_file(const char *path, struct slice bytes)
{
    char temporary[LOCAL_PATH_BYTES_MAX + 8];
    snprintf(temporary, sizeof temporary, "%s.new", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool written = fd >= 0 && write(fd, bytes.data, bytes.length) == (ssize_t)bytes.length;
    if (fd >= 0 && close(fd) != 0) written = false;
    if (written && rename(temporary, path) == 0) return true;
    fprintf(stderr, "meridian up: %s: %s\n", path, strerror(errno));
    return false;
}

/* From local->topology. */
static bool create_cluster(struct local *local)
{
    struct buffer yaml;
    buffer_init(&yaml, CLI_FILE_BYTES_MAX);
    buffer_append_format(&yaml, "# Made by `meridian up`. It may be edited while the cluster is down.\n");
    topology_write_yaml(&local->topology, &yaml);
    bool written = write_file(local->config, buffer_slice(&yaml));
    buffer_deinit(&yaml);
    return written && local_load(local);
}

/* Options that were given must be those that the existing cluster was made with. */
static bool same_options(const struct up_options *o, const struct local *local)
{
    const struct topology *t = &local->topology;
    const char *different = NULL;
    if (o->port_base_given && t->nodes[0].resp.port != o->port_base + 1) different = "--port-base";
    if (o->per_region_given && t->nodes_count != o->per_region * t->regions_count) different = "--nodes-per-region";
    bool latency = false;
    for (uint32_t i = 0; i < t->regions_count; i++) {
        for (uint32_t j = 0; j < t->regions_count; j++) latency = latency || t->links[i][j].latency_us > 0;
    }
    if (o->no_wan && latency) different = "--no-wan";
    if (!different) return true;
    fprintf(stderr,
            "meridian up: the cluster in %s was made with another %s (see %s).\n"
            "  go on with it:  meridian up --dir %s\n"
            "  start anew:     meridian down --dir %s --wipe\n",
            local->shown, different, local->config, local->shown, local->shown);
    return false;
}

/* ---- processes ---- */

static bool make_folder(const char *path)
{
    if (mkdir(path, 0755) == 0 || errno == EEXIST) return true;
    fprintf(stderr, "meridian up: %s: %s\n", path, strerror(errno));
    return false;
}

/* In the child: become the server. Never returns. */
static void become_server(const struct local *local, uint32_t node, int log)
{
    char config[LOCAL_PATH_BYTES_MAX], id[TOPOLOGY_NAME_BYTES_MAX];
    snprintf(config, sizeof config, "%s", local->config);
    snprintf(id, sizeof id, "%s", local->topology.nodes[node].id);
    char *argv[] = {
        (char[]){"meridian"}, (char[]){"server"}, (char[]){"--config"}, config, (char[]){"--node"}, id, NULL};
    int nothing = open("/dev/null", O_RDONLY);
    bool ready = setsid() >= 0 && nothing >= 0 && dup2(nothing, STDIN_FILENO) >= 0 && dup2(log, STDOUT_FILENO) >= 0 &&
                 dup2(log, STDERR_FILENO) >= 0 && chdir(local->folder) == 0;
    if (ready) execv("/proc/self/exe", argv);
    fprintf(stderr, "meridian up: can't start %s: %s\n", id, strerror(errno));
    _exit(CLI_EXIT_FAILED);
}

/* Somebody else's server would answer in the name of ours, so we look before anything is started. */
static bool is_free(const struct local *local, uint32_t node, const struct topology_address *address, const char *use)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found;
    char service[8];
    snprintf(service, sizeof service, "%u", address->port);
    if (getaddrinfo(address->host, service, &hints, &found) != 0) return true; /* the server says it better */
    int fd = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, found->ai_protocol), on = 1;
    bool taken = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                 bind(fd, found->ai_addr, found->ai_addrlen) != 0 && errno == EADDRINUSE;
    if (fd >= 0) close(fd);
    freeaddrinfo(found);
    if (!taken) return true;
    fprintf(stderr, "meridian up: %s:%u, the %s of %s, is in use by another program; nothing was started.\n",
            address->host, address->port, use, local->topology.nodes[node].id);
    return false;
}

static bool ports_are_free(const struct local *local)
{
    for (uint32_t i = 0; i < local->topology.nodes_count; i++) {
        const struct topology_node *node = &local->topology.nodes[i];
        if (local_pid(local, i)) continue;
        if (!is_free(local, i, &node->resp, "client port") || !is_free(local, i, &node->peer, "peer port"))
            return false;
    }
    return true;
}

static bool start_node(const struct local *local, uint32_t node, pid_t *out_pid)
{
    char path[LOCAL_PATH_BYTES_MAX], text[32];
    local_path(local, node, ".log", path);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log < 0) {
        fprintf(stderr, "meridian up: %s: %s\n", path, strerror(errno));
        return false;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) become_server(local, node, log);
    close(log);
    if (pid < 0) {
        fprintf(stderr, "meridian up: can't start a process: %s\n", strerror(errno));
        return false;
    }
    *out_pid = pid;
    local_path(local, node, ".pid", path);
    int length = snprintf(text, sizeof text, "%d\n", (int)pid);
    return write_file(path, slice_of(text, (size_t)length));
}

/* ---- waiting ---- */

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void print_log_tail(const struct local *local, uint32_t node)
{
    char path[LOCAL_PATH_BYTES_MAX];
    local_path(local, node, ".log", path);
    struct buffer text, error;
    buffer_init(&text, 64 * 1024 * 1024);
    buffer_init(&error, 4096);
    if (cli_read_file(path, &text, &error) == STATUS_OK) {
        size_t begin = text.length;
        for (int lines = 0; begin > 0; begin--) {
            if (text.data[begin - 1] == '\n' && ++lines > LOG_TAIL_LINES) break;
        }
        fprintf(stderr, "  the end of %s:\n%.*s", path, (int)(text.length - begin), (const char *)text.data + begin);
    }
    buffer_deinit(&text);
    buffer_deinit(&error);
}

static void ask_node(const struct local *local, uint32_t node, struct up_progress *progress)
{
    const struct topology_address *address = &local->topology.nodes[node].resp;
    struct local_reply reply;
    if (!progress->answers[node]) {
        progress->answers[node] = local_ask(address, (const char *const[]){"PING"}, 1, ASK_TIMEOUT_MS, &reply) &&
                                  slice_is_word(reply.value.text, "PONG");
        progress->answering += progress->answers[node];
        local_reply_deinit(&reply);
    }
    if (!progress->answers[node] || progress->sees_all[node]) return;
    if (local_ask(address, (const char *const[]){"INFO"}, 1, ASK_TIMEOUT_MS, &reply)) {
        uint64_t connected, joining;
        progress->sees_all[node] = slice_to_u64(local_info_field(reply.value.text, "connected_peers"), &connected) &&
                                   slice_to_u64(local_info_field(reply.value.text, "replicas_joining"), &joining) &&
                                   connected + 1 >= local->topology.nodes_count && joining == 0;
        progress->seeing += progress->sees_all[node];
    }
    local_reply_deinit(&reply);
}

static void show_progress(const struct up_progress *progress, uint32_t nodes, bool end)
{
    if (!isatty(STDOUT_FILENO)) return;
    if (end)
        printf("\r\033[K");
    else
        printf("\rstarting: %u of %u answer, %u of %u see all others \033[K", progress->answering, nodes,
               progress->seeing, nodes);
    fflush(stdout);
}

/* A server that we started and that ended is a failure at once, not after a minute. */
static bool has_died(const struct local *local, struct up_progress *progress)
{
    for (uint32_t i = 0; i < local->topology.nodes_count; i++) {
        int wait_status;
        if (!progress->started[i] || waitpid(progress->started[i], &wait_status, WNOHANG) != progress->started[i])
            continue;
        show_progress(progress, local->topology.nodes_count, true);
        if (WIFSIGNALED(wait_status)) {
            fprintf(stderr, "meridian up: %s ended by signal %d;\n", local->topology.nodes[i].id,
                    WTERMSIG(wait_status));
        } else {
            fprintf(stderr, "meridian up: %s ended with exit code %d;\n", local->topology.nodes[i].id,
                    WEXITSTATUS(wait_status));
        }
        print_log_tail(local, i);
        return true;
    }
    return false;
}

static bool wait_for_all(const struct local *local, struct up_progress *progress)
{
    uint32_t nodes = local->topology.nodes_count;
    uint64_t begin = now_ms();
    bool shown = false;
    while (progress->seeing < nodes) {
        for (uint32_t i = 0; i < nodes; i++) ask_node(local, i, progress);
        if (has_died(local, progress)) return false;
        uint64_t waited = now_ms() - begin;
        if (waited > UP_SECONDS_MAX * 1000) {
            show_progress(progress, nodes, true);
            fprintf(stderr, "meridian up: after %d s %u of %u nodes answer and %u see all others;\n", UP_SECONDS_MAX,
                    progress->answering, nodes, progress->seeing);
            for (uint32_t i = 0; i < nodes; i++) {
                if (!progress->sees_all[i]) print_log_tail(local, i);
            }
            return false;
        }
        if (waited > PROGRESS_AFTER_MS) {
            show_progress(progress, nodes, false);
            shown = true;
        }
        if (progress->seeing < nodes) usleep(POLL_MS * 1000);
    }
    if (shown) show_progress(progress, nodes, true);
    return true;
}

/* ---- the screen ---- */

static void print_links(const struct topology *t)
{
    const char *separator = "  one way   ";
    for (uint32_t a = 0; a < t->regions_count; a++) {
        for (uint32_t b = a + 1; b < t->regions_count; b++) {
            if (t->links[a][b].latency_us == 0) continue;
            printf("%s%s–%s %u ms", separator, t->regions[a], t->regions[b], t->links[a][b].latency_us / 1000);
            separator = " · ";
        }
    }
    if (separator[0] == ' ' && separator[1] == ' ')
        printf("  no latency is emulated between the regions\n");
    else
        printf(" (emulated)\n");
}

static unsigned first_port(const struct topology *t, uint32_t region)
{
    for (uint32_t i = 0; i < t->nodes_count; i++) {
        if (t->nodes[i].region == region) return t->nodes[i].resp.port;
    }
    return 0;
}

static void print_screen(const struct local *local, uint32_t started)
{
    const struct topology *t = &local->topology;
    bool colour = local_has_colour();
    const char *bold = colour ? "\033[1m" : "", *dim = colour ? "\033[2m" : "", *off = colour ? "\033[0m" : "";
    const char *what = started == t->nodes_count ? "is up" : started ? "is up again" : "was up already";
    printf("%sMeridian %s:%s %u regions on this machine, %u node%s, data in %s\n\n", bold, what, off, t->regions_count,
           t->nodes_count, t->nodes_count == 1 ? "" : "s", local->shown);
    for (uint32_t i = 0; i < t->nodes_count; i++) {
        printf("  %-10s redis-cli -p %-6u %s%s%s\n", t->regions[t->nodes[i].region], t->nodes[i].resp.port, dim,
               t->nodes[i].id, off);
    }
    printf("\n");
    print_links(t);
    unsigned a = first_port(t, 0), b = first_port(t, 1), c = first_port(t, 2);
    printf("\n%sLet both sides of a cut accept a write, and lose neither:%s\n\n", bold, off);
    printf("  redis-cli -p %u TABLE CREATE users CONFLICT siblings\n", a);
    printf("  redis-cli -p %u FAULT CUT apac us-east && redis-cli -p %u FAULT CUT apac eu\n", a, a);
    printf("  redis-cli -p %u HSET users:1 name Alice && redis-cli -p %u HSET users:1 name Bob\n", b, c);
    printf("  redis-cli -p %u FAULT HEAL\n", a);
    printf("  redis-cli -p %u SIBLINGS users:1\n", a);
    printf("\n%smeridian status%s shows what runs, %smeridian down%s stops it and keeps the data.\n", bold, off, bold,
           off);
}

/* ---- the command ---- */

static bool start_missing(const struct local *local, struct up_progress *progress, uint32_t *out_started)
{
    *out_started = 0;
    for (uint32_t i = 0; i < local->topology.nodes_count; i++) {
        if (local_pid(local, i)) continue;
        if (!start_node(local, i, &progress->started[i])) return false;
        (*out_started)++;
    }
    return true;
}

/* Two at a time would start every node twice. Held until this process ends. */
static bool lock_folder(const struct local *local)
{
    int fd = open(local->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) return true;
    fprintf(stderr, "meridian up: %s: %s\n", local->shown,
            errno == EWOULDBLOCK ? "another `meridian up` is at work there" : strerror(errno));
    return false;
}

int cli_up(int argc, char **argv)
{
    struct up_options o = {.folder = LOCAL_FOLDER_DEFAULT, .port_base = PORT_BASE_DEFAULT, .per_region = 1};
    int exit_code;
    if (!parse_options(argc, argv, &o, &exit_code)) return exit_code;
    static struct local local;
    static struct up_progress progress;
    uint32_t started;
    if (!local_init(&local, o.folder) || !make_folder(local.folder) || !lock_folder(&local)) return CLI_EXIT_FAILED;
    bool exists = local_exists(&local);
    if (!exists) {
        build_topology(&o, &local.topology);
    } else if (!local_load(&local) || !same_options(&o, &local)) {
        return CLI_EXIT_FAILED;
    }
    if (!ports_are_free(&local)) {
        if (!exists) fprintf(stderr, "  choose others:  meridian up --dir %s --port-base P\n", local.shown);
        return CLI_EXIT_FAILED;
    }
    if (!exists && !create_cluster(&local)) return CLI_EXIT_FAILED;
    if (!start_missing(&local, &progress, &started) || !wait_for_all(&local, &progress)) {
        fprintf(stderr, "\nWhat did start goes on running: `meridian status` shows it, `meridian down` stops it.\n");
        return CLI_EXIT_FAILED;
    }
    print_screen(&local, started);
    return CLI_EXIT_OK;
}
