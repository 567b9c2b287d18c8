/* local.c: the folder and the processes of a cluster on this machine, and one-shot commands to its nodes. */
#include "cli/local.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "cli/cli.h"

enum { REPLY_BYTES_MAX = 16 * 1024 * 1024, READ_BYTES = 16 * 1024 };

bool local_has_colour(void)
{
    const char *no_colour = getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) && !(no_colour && no_colour[0]);
}

/* ---- the folder ---- */

bool local_init(struct local *local, const char *folder)
{
    memset(local, 0, sizeof *local);
    char here[LOCAL_PATH_BYTES_MAX / 4] = "";
    if (folder[0] != '/' && !getcwd(here, sizeof here)) {
        fprintf(stderr, "meridian: can't tell the current folder: %s\n", strerror(errno));
        return false;
    }
    const char *rest = strncmp(folder, "./", 2) == 0 ? folder + 2 : folder;
    int length = snprintf(local->folder, sizeof local->folder, "%s%s%s", here, here[0] ? "/" : "", rest);
    if (length >= (int)sizeof local->folder ||
        snprintf(local->shown, sizeof local->shown, "%s", folder) != (int)strlen(folder)) {
        fprintf(stderr, "meridian: the folder's path is too long\n");
        return false;
    }
    snprintf(local->config, sizeof local->config, "%s/cluster.yaml", local->folder);
    return true;
}

bool local_exists(const struct local *local)
{
    return access(local->config, F_OK) == 0;
}

bool local_load(struct local *local)
{
    struct buffer text, error;
    buffer_init(&text, CLI_FILE_BYTES_MAX);
    buffer_init(&error, 16 * 1024);
    enum status status = cli_read_file(local->config, &text, &error);
    if (status == STATUS_OK) status = topology_parse(local->config, buffer_slice(&text), &local->topology, &error);
    if (status != STATUS_OK) fprintf(stderr, "meridian: %.*s\n", (int)error.length, (const char *)error.data);
    buffer_deinit(&text);
    buffer_deinit(&error);
    return status == STATUS_OK;
}

void local_path(const struct local *local, uint32_t node, const char *suffix, char out[LOCAL_PATH_BYTES_MAX])
{
    snprintf(out, LOCAL_PATH_BYTES_MAX, "%s/%s%s", local->folder, local->topology.nodes[node].id, suffix);
}

/* ---- processes ---- */

/* The first bytes of a small file, terminated. False: it can't be read. */
static bool read_small(const char *path, char *out, size_t size, size_t *out_length)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t count = read(fd, out, size - 1);
    close(fd);
    if (count < 0) return false;
    out[count] = '\0';
    *out_length = (size_t)count;
    return true;
}

/* True if one of the NUL-separated words is `word`. */
static bool has_word(const char *words, size_t length, const char *word)
{
    for (size_t i = 0; i < length; i += strlen(words + i) + 1) {
        if (strcmp(words + i, word) == 0) return true;
    }
    return false;
}

pid_t local_pid(const struct local *local, uint32_t node)
{
    char path[LOCAL_PATH_BYTES_MAX], text[2 * LOCAL_PATH_BYTES_MAX];
    size_t length;
    uint64_t pid;
    local_path(local, node, ".pid", path);
    if (!read_small(path, text, sizeof text, &length)) return 0;
    if (length > 0 && text[length - 1] == '\n') length--;
    if (!slice_to_u64(slice_of(text, length), &pid) || pid == 0 || pid > INT32_MAX) return 0;
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    if (!read_small(path, text, sizeof text, &length)) return 0;
    /* Process ids are used again: only a server of this node and this file is meant. */
    bool ours = has_word(text, length, "server") && has_word(text, length, local->config) &&
                has_word(text, length, local->topology.nodes[node].id);
    return ours ? (pid_t)pid : 0;
}

/* ---- commands ---- */

static int connect_to(const struct topology_address *address, int timeout_ms)
{
    char service[8];
    snprintf(service, sizeof service, "%u", address->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(address->host, service, &hints, &found) != 0) return -1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval timeout = {timeout_ms / 1000, (timeout_ms % 1000) * 1000};
    bool connected = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0 &&
                     setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) == 0 &&
                     connect(fd, found->ai_addr, found->ai_addrlen) == 0;
    freeaddrinfo(found);
    if (connected) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

static bool send_all(int fd, struct slice bytes)
{
    while (bytes.length > 0) {
        ssize_t count = send(fd, bytes.data, bytes.length, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        bytes = slice_skip(bytes, (size_t)count);
    }
    return true;
}

static bool receive(int fd, struct local_reply *out)
{
    while (true) {
        size_t used;
        arena_reset(&out->arena);
        enum status status = resp_read(buffer_slice(&out->bytes), &out->arena, &out->value, &used);
        if (status != STATUS_MORE) return status == STATUS_OK;
        uint8_t *room = buffer_reserve(&out->bytes, READ_BYTES);
        ssize_t count = room ? recv(fd, room, READ_BYTES, 0) : -1;
        if (count < 0 && room && errno == EINTR) continue;
        if (count <= 0) return false;
        buffer_commit(&out->bytes, (size_t)count);
    }
}

bool local_ask(const struct topology_address *address, const char *const *words, size_t count, int timeout_ms,
               struct local_reply *out)
{
    arena_init(&out->arena);
    buffer_init(&out->bytes, REPLY_BYTES_MAX);
    int fd = connect_to(address, timeout_ms);
    if (fd < 0) return false;
    struct buffer request;
    buffer_init(&request, 64 * 1024);
    resp_write_array(&request, count);
    for (size_t i = 0; i < count; i++) resp_write_bulk(&request, slice_of_string(words[i]));
    bool answered = send_all(fd, buffer_slice(&request)) && receive(fd, out);
    buffer_deinit(&request);
    close(fd);
    return answered;
}

void local_reply_deinit(struct local_reply *reply)
{
    arena_deinit(&reply->arena);
    buffer_deinit(&reply->bytes);
}

struct slice local_info_field(struct slice text, const char *field)
{
    size_t field_length = strlen(field);
    for (const uint8_t *at = text.data, *end = text.data + text.length; at < end;) {
        const uint8_t *stop = memchr(at, '\r', (size_t)(end - at));
        size_t length = (size_t)((stop ? stop : end) - at);
        if (length > field_length && memcmp(at, field, field_length) == 0 && at[field_length] == ':') {
            return slice_of(at + field_length + 1, length - field_length - 1);
        }
        at += length + 2;
    }
    return slice_of("", 0);
}

const struct resp_value *local_record_field(const struct resp_value *record, const char *name)
{
    if (record->type != RESP_ARRAY && record->type != RESP_MAP) return NULL;
    size_t words = record->type == RESP_MAP ? 2 * record->count : record->count;
    for (size_t i = 0; i + 1 < words; i += 2) {
        if (slice_is_word(record->items[i].text, name)) return &record->items[i + 1];
    }
    return NULL;
}
