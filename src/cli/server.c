/* server.c: `meridian server`: read the cluster's file, run one node of it. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "contract/topology.h"
#include "runtime/runtime.h"

static const char server_usage[] =
    "usage: meridian server --config FILE --node ID [--shards N] [--no-wan]\n"
    "  --config FILE  the cluster: nodes, links, faults (docs/configuration.md)\n"
    "  --node ID      which of its nodes to run\n"
    "  --shards N     event loops, one a core (default 1; fixed once the data folder is made)\n"
    "  --no-wan       don't emulate the latency of the links\n";

enum { SERVER_SHARDS_MAX = 64 };

struct server_options {
    const char *config, *node;
    uint64_t shards;
    bool no_wan;
};

const char *cli_version(void)
{
#ifdef MERIDIAN_COMMIT
    return MERIDIAN_VERSION " (" MERIDIAN_COMMIT ")";
#else
    return MERIDIAN_VERSION;
#endif
}

enum status cli_read_file(const char *path, struct buffer *out, struct buffer *out_error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count = -1;
    while (fd >= 0) {
        uint8_t *room = buffer_reserve(out, 4096);
        if (!room) {
            buffer_append_format(out_error, "%s: larger than %zu bytes", path, out->bytes_max);
            close(fd);
            return STATUS_LIMIT;
        }
        count = read(fd, room, 4096);
        if (count <= 0) break;
        buffer_commit(out, (size_t)count);
    }
    if (count < 0) buffer_append_format(out_error, "%s: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    return count < 0 ? STATUS_IO : STATUS_OK;
}

static bool parse_options(int argc, char **argv, struct server_options *o, int *out_exit)
{
    const struct cli_option options[] = {
        {.name = "--config", .text = &o->config, .required = true},
        {.name = "--node", .text = &o->node, .required = true},
        {.name = "--shards", .number = &o->shards, .min = 1, .max = SERVER_SHARDS_MAX},
        {.name = "--no-wan", .flag = &o->no_wan},
    };
    const struct cli_words words = {"server", server_usage, options, sizeof options / sizeof options[0]};
    return cli_options_read(&words, argc, argv, out_exit);
}

/* The data folder is relative to the configuration file's folder. */
static bool data_folder(const char *config, const char *data, char *out, size_t size)
{
    char copy[4096];
    if (data[0] == '/') return snprintf(out, size, "%s", data) < (int)size;
    if (snprintf(copy, sizeof copy, "%s", config) >= (int)sizeof copy) return false;
    if (data[0] == '.' && data[1] == '/') data += 2;
    return snprintf(out, size, "%s/%s", dirname(copy), data) < (int)size;
}

static enum status load(const struct server_options *o, struct runtime_config *config, struct buffer *error)
{
    struct buffer text;
    buffer_init(&text, CLI_FILE_BYTES_MAX);
    enum status status = cli_read_file(o->config, &text, error);
    if (status == STATUS_OK) status = topology_parse(o->config, buffer_slice(&text), &config->topology, error);
    buffer_deinit(&text);
    if (status != STATUS_OK) return status;
    int node = topology_node_by_id(&config->topology, slice_of_string(o->node));
    if (node < 0) {
        buffer_append_format(error, "%s: no node '%s' in it; its nodes are:", o->config, o->node);
        for (uint32_t i = 0; i < config->topology.nodes_count; i++)
            buffer_append_format(error, " %s", config->topology.nodes[i].id);
        return STATUS_NOT_FOUND;
    }
    config->node = (uint8_t)node;
    config->shards = (uint8_t)o->shards;
    config->wan = !o->no_wan;
    config->version = MERIDIAN_VERSION;
    if (data_folder(o->config, config->topology.nodes[node].data, config->data, sizeof config->data)) return STATUS_OK;
    buffer_append_format(error, "%s: the data folder's path is too long", o->config);
    return STATUS_LIMIT;
}

int cli_server(int argc, char **argv)
{
    struct server_options options = {.shards = 1};
    int exit_code;
    if (!parse_options(argc, argv, &options, &exit_code)) return exit_code;
    static struct runtime_config config; /* large: not on the stack */
    runtime_config_init(&config);
    struct buffer error;
    buffer_init(&error, 16 * 1024);
    enum status status = load(&options, &config, &error);
    if (status != STATUS_OK) fprintf(stderr, "meridian server: %.*s\n", (int)error.length, (const char *)error.data);
    buffer_deinit(&error);
    return status == STATUS_OK ? runtime_run(&config) : CLI_EXIT_USAGE;
}
