/* lab_real_play.c: playing on a cluster of processes, seen only from outside: their sockets.
 *
 * A pause of the scenario is shortened to gap_ns_max: what matters is that the cut is noticed and that writes happen on
 * both sides, not that fifteen minutes pass.
 */
#define _GNU_SOURCE /* ppoll */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cli/lab_real_internal.h"
#include "cli/local.h"

enum { INFO_TIMEOUT_MS = 10000, READ_BYTES = 64 * 1024, REPLY_BYTES_MAX = 64 * 1024 * 1024 };
static const uint64_t gap_ns_max = 4000000000ULL;

uint64_t lab_real_gap_seconds_max(void)
{
    return gap_ns_max / 1000000000ULL;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

/* ---- one command ---- */

static int connect_to(const struct topology_address *at)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(at->port)};
    if (inet_pton(AF_INET, at->host, &address.sin_addr) != 1) return -1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

static bool send_words(int fd, const struct slice *words, uint32_t count)
{
    struct buffer request;
    buffer_init(&request, REPLY_BYTES_MAX);
    resp_write_array(&request, count);
    for (uint32_t i = 0; i < count; i++) resp_write_bulk(&request, words[i]);
    size_t sent = 0;
    while (sent < request.length) {
        ssize_t n = send(fd, request.data + sent, request.length - sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) break;
        if (n > 0) sent += (size_t)n;
    }
    bool whole = sent == request.length;
    buffer_deinit(&request);
    return whole;
}

static bool start(void *world, uint8_t node, const struct slice *words, uint32_t count, uint32_t token)
{
    struct lab_real *real = world;
    struct lab_real__ask *ask = real->asks;
    while (ask < real->asks + LAB_REAL_ASKS_MAX && ask->fd >= 0) ask++;
    ASSERT(ask < real->asks + LAB_REAL_ASKS_MAX);
    uint64_t begin_ns = now_ns();
    int fd = connect_to(&real->topology.nodes[node].resp);
    if (fd < 0) return false;
    *ask = (struct lab_real__ask){.fd = fd, .token = token, .begin_ns = begin_ns};
    buffer_init(&ask->bytes, REPLY_BYTES_MAX);
    /* A failure shows as an end of the stream, whose outcome is unknown. */
    if (!send_words(fd, words, count)) shutdown(fd, SHUT_RDWR);
    return true;
}

static void end_ask(struct lab_real__ask *ask)
{
    close(ask->fd);
    buffer_deinit(&ask->bytes);
    *ask = (struct lab_real__ask){.fd = -1};
}

/* Take what came. Returns what `replied` says, if the reply is whole or will never be. */
static bool take(struct lab_real__ask *ask, play_replied replied, void *user)
{
    uint8_t bytes[READ_BYTES];
    ssize_t n = read(ask->fd, bytes, sizeof bytes);
    if (n < 0 && errno == EINTR) return false;
    if (n > 0) buffer_append(&ask->bytes, bytes, (size_t)n);
    struct arena arena;
    struct resp_value value;
    size_t used;
    arena_init(&arena);
    enum status status = n > 0 ? resp_read(buffer_slice(&ask->bytes), &arena, &value, &used) : STATUS_MALFORMED;
    bool come_back = false;
    if (status != STATUS_MORE)
        come_back = replied(user, ask->token, status == STATUS_OK ? &value : NULL, now_ns() - ask->begin_ns);
    arena_deinit(&arena);
    if (status != STATUS_MORE) end_ask(ask);
    return come_back;
}

/* ---- time ---- */

static void pass_until(struct lab_real *real, uint64_t due_ns, bool early, play_replied replied, void *user)
{
    for (uint64_t now = now_ns(); now < due_ns; now = now_ns()) {
        struct pollfd fds[LAB_REAL_ASKS_MAX];
        for (uint32_t i = 0; i < LAB_REAL_ASKS_MAX; i++)
            fds[i] = (struct pollfd){.fd = real->asks[i].fd, .events = POLLIN};
        struct timespec left = {(time_t)((due_ns - now) / 1000000000ULL), (long)((due_ns - now) % 1000000000ULL)};
        if (ppoll(fds, LAB_REAL_ASKS_MAX, &left, NULL) <= 0) continue;
        bool come_back = false;
        for (uint32_t i = 0; i < LAB_REAL_ASKS_MAX; i++) {
            if (fds[i].revents && take(&real->asks[i], replied, user)) come_back = true;
        }
        if (early && come_back) return;
    }
}

static void run_until(void *world, uint64_t at_ns, play_replied replied, void *user)
{
    struct lab_real *real = world;
    if (at_ns > real->scenario_ns) {
        uint64_t gap = at_ns - real->scenario_ns;
        real->scenario_ns = at_ns;
        real->real_ns += gap < gap_ns_max ? gap : gap_ns_max;
    }
    uint64_t due = real->begin_ns + real->real_ns, now = now_ns();
    if (due < now) real->real_ns = now - real->begin_ns; /* something took its time: later steps keep their distance */
    pass_until(real, due, false, replied, user);
}

static void await(void *world, uint64_t timeout_ns, play_replied replied, void *user)
{
    pass_until(world, now_ns() + timeout_ns, true, replied, user);
}

/* ---- nodes ---- */

/* What a node has sent to all others, as it counts since its start: with one node a region that crosses regions. */
static uint64_t sent_by(const struct lab_real *real, uint32_t node)
{
    static const char *const words[] = {"INFO"};
    struct local_reply reply;
    uint64_t sent = 0;
    if (real->pids[node] <= 0) return 0;
    if (!local_ask(&real->topology.nodes[node].resp, words, 1, INFO_TIMEOUT_MS, &reply) ||
        !slice_to_u64(local_info_field(reply.value.text, "peer_bytes_sent"), &sent))
        sent = 0;
    local_reply_deinit(&reply);
    return sent;
}

static void crash(void *world, uint8_t node)
{
    struct lab_real *real = world;
    real->bytes_before_crashes += sent_by(real, node); /* its count begins anew */
    lab_real__crash(real, node);
}

static bool restart(void *world, uint8_t node)
{
    return lab_real__restart(world, node);
}

static bool is_running(void *world, uint8_t node)
{
    const struct lab_real *real = world;
    return real->pids[node] > 0;
}

static uint64_t bytes_sent(void *world)
{
    const struct lab_real *real = world;
    uint64_t bytes = real->bytes_before_crashes;
    for (uint32_t i = 0; i < real->topology.nodes_count; i++) bytes += sent_by(real, i);
    return bytes;
}

void lab_real_play(struct lab_real *real, uint32_t strategy, struct play_result *out)
{
    real->begin_ns = now_ns();
    real->scenario_ns = real->real_ns = 0;
    for (uint32_t i = 0; i < LAB_REAL_ASKS_MAX; i++) real->asks[i] = (struct lab_real__ask){.fd = -1};
    const struct play_world world = {.world = real,
                                     .start = start,
                                     .run = run_until,
                                     .await = await,
                                     .crash = crash,
                                     .restart = restart,
                                     .is_running = is_running,
                                     .bytes = bytes_sent,
                                     .judges_by_stamps = true};
    play_strategy(real->s, strategy, real->s->strategies[strategy].name, &world, out);
    for (uint32_t i = 0; i < LAB_REAL_ASKS_MAX; i++) {
        if (real->asks[i].fd >= 0) end_ask(&real->asks[i]);
    }
}
