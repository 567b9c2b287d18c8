/* lab_real.c: the processes of a cluster to play on: started, killed, started again, ended. */
#define _GNU_SOURCE /* nftw */
#include "cli/lab_real_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "cli/local.h"

enum { ASK_TIMEOUT_MS = 10000, READY_TRIES = 600, READY_PAUSE_NS = 50000000, STOP_TRIES = 600 };
static void sleep_ns(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000ULL), (long)(ns % 1000000000ULL)};
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {}
}

/* ---- processes ---- */

/* Ports that are free now: held open until all are drawn, so that they differ. */
static bool draw_ports(uint16_t *ports, uint32_t count)
{
    int sockets[3 * TOPOLOGY_NODES_MAX];
    uint32_t made = 0;
    for (; made < count; made++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t length = sizeof address;
        sockets[made] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (sockets[made] < 0) break;
        if (bind(sockets[made], (struct sockaddr *)&address, length) != 0 ||
            getsockname(sockets[made], (struct sockaddr *)&address, &length) != 0) {
            close(sockets[made]);
            break;
        }
        ports[made] = ntohs(address.sin_port);
    }
    for (uint32_t i = 0; i < made; i++) close(sockets[i]);
    return made == count;
}

static void set_address(struct topology_address *address, uint16_t port)
{
    snprintf(address->host, sizeof address->host, "127.0.0.1");
    address->port = port;
}

static bool write_config(struct lab_real *real)
{
    uint16_t ports[3 * TOPOLOGY_NODES_MAX];
    if (!draw_ports(ports, 3 * real->topology.nodes_count)) return false;
    for (uint32_t i = 0; i < real->topology.nodes_count; i++) {
        struct topology_node *n = &real->topology.nodes[i];
        set_address(&n->resp, ports[3 * i]);
        set_address(&n->peer, ports[3 * i + 1]);
        set_address(&n->http, ports[3 * i + 2]);
        memcpy(n->data, "./", 2);
        memcpy(n->data + 2, n->id, sizeof n->id);
    }
    struct buffer yaml;
    buffer_init(&yaml, 1024 * 1024);
    topology_write_yaml(&real->topology, &yaml);
    snprintf(real->config, sizeof real->config, "%s/cluster.yaml", real->folder);
    int fd = open(real->config, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    bool written = fd >= 0 && write(fd, yaml.data, yaml.length) == (ssize_t)yaml.length;
    if (fd >= 0) close(fd);
    buffer_deinit(&yaml);
    return written;
}

static pid_t start_server(const struct lab_real *real, uint32_t node)
{
    const char *id = real->topology.nodes[node].id;
    char log[128];
    snprintf(log, sizeof log, "%s/%.60s.log", real->folder, id);
    pid_t pid = fork();
    if (pid != 0) return pid;
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0640);
    if (fd >= 0) {
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
    }
    execl("/proc/self/exe", "meridian", "server", "--config", real->config, "--node", id, (char *)NULL);
    _exit(127);
}

static bool sees_all(const struct lab_real *real, uint32_t node)
{
    static const char *const words[] = {"TOPOLOGY", "NODES"};
    struct local_reply reply;
    if (!local_ask(&real->topology.nodes[node].resp, words, 2, ASK_TIMEOUT_MS, &reply)) return false;
    uint32_t up = 0;
    for (size_t i = 0; reply.value.type == RESP_ARRAY && i < reply.value.count; i++) {
        const struct resp_value *state = local_record_field(&reply.value.items[i], "state");
        up += state && (slice_is_word(state->text, "up") || slice_is_word(state->text, "self"));
    }
    local_reply_deinit(&reply);
    return up == real->topology.nodes_count;
}

static bool await_all(const struct lab_real *real)
{
    for (uint32_t node = 0; node < real->topology.nodes_count; node++) {
        int tries = 0;
        while (!sees_all(real, node)) {
            if (++tries == READY_TRIES || waitpid(real->pids[node], NULL, WNOHANG) != 0) return false;
            sleep_ns(READY_PAUSE_NS);
        }
    }
    return true;
}

struct lab_real *lab_real_start(const struct scenario *s, struct buffer *out_error)
{
    struct lab_real *real = memory_zalloc(1, sizeof *real);
    real->s = s;
    real->topology = s->topology;
    const char *tmp = getenv("TMPDIR");
    snprintf(real->folder, sizeof real->folder, "%.24s/meridian-lab-XXXXXX", tmp ? tmp : "/tmp");
    bool ok = mkdtemp(real->folder) != NULL && write_config(real);
    for (uint32_t i = 0; ok && i < real->topology.nodes_count; i++) {
        real->pids[i] = start_server(real, i);
        ok = real->pids[i] > 0;
    }
    if (ok && await_all(real)) return real;
    buffer_append_format(out_error, "the servers did not start; their logs are in %s", real->folder);
    for (uint32_t i = 0; i < real->topology.nodes_count; i++) {
        if (real->pids[i] > 0 && kill(real->pids[i], SIGKILL) == 0) waitpid(real->pids[i], NULL, 0);
    }
    memory_free(real);
    return NULL;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

void lab_real__crash(struct lab_real *real, uint8_t node)
{
    kill(real->pids[node], SIGKILL);
    waitpid(real->pids[node], NULL, 0);
    real->pids[node] = 0;
}

bool lab_real__restart(struct lab_real *real, uint8_t node)
{
    static const char *const words[] = {"PING"};
    real->pids[node] = start_server(real, node);
    for (int tries = 0; real->pids[node] > 0 && tries < READY_TRIES; tries++) {
        struct local_reply reply;
        bool answers = local_ask(&real->topology.nodes[node].resp, words, 1, ASK_TIMEOUT_MS, &reply);
        local_reply_deinit(&reply);
        if (answers) return true;
        if (waitpid(real->pids[node], NULL, WNOHANG) != 0) real->pids[node] = 0;
        sleep_ns(READY_PAUSE_NS);
    }
    return false;
}

void lab_real_stop(struct lab_real *real)
{
    if (!real) return;
    for (uint32_t i = 0; i < real->topology.nodes_count; i++) {
        if (real->pids[i] > 0) kill(real->pids[i], SIGTERM);
    }
    for (uint32_t i = 0; i < real->topology.nodes_count; i++) {
        int tries = 0;
        while (real->pids[i] > 0 && waitpid(real->pids[i], NULL, WNOHANG) == 0) {
            if (++tries == STOP_TRIES) kill(real->pids[i], SIGKILL);
            sleep_ns(READY_PAUSE_NS);
        }
    }
    nftw(real->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    memory_free(real);
}
