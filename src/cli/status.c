/* status.c: `meridian status`: one line for each node of the cluster of `meridian up`. Exit code 0 if all run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/local.h"
#include "cli/options.h"

enum { STATUS_TIMEOUT_MS = 2000, CELL_BYTES_MAX = 80, STATUS_COLUMNS = 9 };

static const char status_usage[] = "usage: meridian status [--dir D]\n"
                                   "  --dir D  the folder of the cluster (default " LOCAL_FOLDER_DEFAULT ")\n";

static const char *const status_headings[STATUS_COLUMNS] = {"node",   "region", "resp",  "pid", "state",
                                                            "uptime", "keys",   "peers", "lag"};

enum node_health { HEALTH_DOWN, HEALTH_TROUBLED, HEALTH_GOOD };

struct node_row {
    char cells[STATUS_COLUMNS][CELL_BYTES_MAX];
    enum node_health health;
};

static void write_uptime(char *out, uint64_t seconds)
{
    unsigned long long s = seconds;
    if (s < 60)
        snprintf(out, CELL_BYTES_MAX, "%llus", s);
    else if (s < 3600)
        snprintf(out, CELL_BYTES_MAX, "%llum%02llus", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, CELL_BYTES_MAX, "%lluh%02llum", s / 3600, s / 60 % 60);
    else
        snprintf(out, CELL_BYTES_MAX, "%llud%02lluh", s / 86400, s / 3600 % 24);
}

static uint64_t info_number(struct slice info, const char *field)
{
    uint64_t value;
    return slice_to_u64(local_info_field(info, field), &value) ? value : 0;
}

/* "db0:keys=12,…" */
static uint64_t keys_of(struct slice info)
{
    struct slice text = local_info_field(info, "db0");
    uint64_t keys = 0;
    for (size_t i = sizeof "keys=" - 1; i < text.length && text.data[i] >= '0' && text.data[i] <= '9'; i++) {
        keys = keys * 10 + (uint64_t)(text.data[i] - '0');
    }
    return keys;
}

/* What some other region has not confirmed of this region's writes: what would be lost with the region now. */
static void write_lag(const struct local *local, uint32_t node, char *out)
{
    const struct topology_node *n = &local->topology.nodes[node];
    struct local_reply reply;
    int64_t oldest_ms = 0, writes = 0;
    bool known = local_ask(&n->resp, (const char *const[]){"TOPOLOGY", "LAG"}, 2, STATUS_TIMEOUT_MS, &reply) &&
                 reply.value.type == RESP_ARRAY;
    for (size_t i = 0; known && i < reply.value.count; i++) {
        const struct resp_value *record = &reply.value.items[i];
        const struct resp_value *from = local_record_field(record, "from");
        const struct resp_value *ms = local_record_field(record, "oldest-ms");
        const struct resp_value *count = local_record_field(record, "unconfirmed-writes");
        if (!from || !slice_is_word(from->text, local->topology.regions[n->region])) continue;
        if (ms && ms->integer > oldest_ms) oldest_ms = ms->integer;
        if (count && count->integer > writes) writes = count->integer;
    }
    local_reply_deinit(&reply);
    if (!known)
        snprintf(out, CELL_BYTES_MAX, "–");
    else if (writes == 0)
        snprintf(out, CELL_BYTES_MAX, "none");
    else
        snprintf(out, CELL_BYTES_MAX, "%lld writes, %.1f s", (long long)writes, (double)oldest_ms / 1000);
}

static void describe_running(const struct local *local, uint32_t node, struct slice info, struct node_row *row)
{
    uint64_t connected = info_number(info, "connected_peers"), others = local->topology.nodes_count - 1;
    bool joining = info_number(info, "replicas_joining") > 0;
    row->health = connected == others && !joining ? HEALTH_GOOD : HEALTH_TROUBLED;
    snprintf(row->cells[4], CELL_BYTES_MAX, "%s", joining ? "joining" : connected == others ? "up" : "up, cut off");
    if (connected > 0 && connected < others && !joining) snprintf(row->cells[4], CELL_BYTES_MAX, "up, partly");
    write_uptime(row->cells[5], info_number(info, "uptime_in_seconds"));
    snprintf(row->cells[6], CELL_BYTES_MAX, "%llu", (unsigned long long)keys_of(info));
    snprintf(row->cells[7], CELL_BYTES_MAX, "%llu of %llu", (unsigned long long)connected, (unsigned long long)others);
    write_lag(local, node, row->cells[8]);
}

static void describe(const struct local *local, uint32_t node, struct node_row *row)
{
    const struct topology_node *n = &local->topology.nodes[node];
    pid_t pid = local_pid(local, node);
    row->health = HEALTH_DOWN;
    for (int c = 0; c < STATUS_COLUMNS; c++) snprintf(row->cells[c], CELL_BYTES_MAX, "–");
    snprintf(row->cells[0], CELL_BYTES_MAX, "%.63s", n->id);
    snprintf(row->cells[1], CELL_BYTES_MAX, "%.63s", local->topology.regions[n->region]);
    snprintf(row->cells[2], CELL_BYTES_MAX, "%.60s:%u", n->resp.host, n->resp.port);
    snprintf(row->cells[4], CELL_BYTES_MAX, "down");
    if (!pid) return;
    snprintf(row->cells[3], CELL_BYTES_MAX, "%d", (int)pid);
    struct local_reply reply;
    if (local_ask(&n->resp, (const char *const[]){"INFO"}, 1, STATUS_TIMEOUT_MS, &reply)) {
        describe_running(local, node, reply.value.text, row);
    } else {
        row->health = HEALTH_TROUBLED;
        snprintf(row->cells[4], CELL_BYTES_MAX, "no answer");
    }
    local_reply_deinit(&reply);
}

/* Characters as a terminal counts them: our only ones beyond ASCII take one cell each. */
static int text_width(const char *text)
{
    int width = 0;
    for (; *text; text++) width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static void print_row(const char *const cells[STATUS_COLUMNS], const int *widths, const char *state_colour,
                      const char *off)
{
    for (int c = 0; c < STATUS_COLUMNS; c++) {
        bool last = c == STATUS_COLUMNS - 1;
        int pad = last ? 0 : widths[c] - text_width(cells[c]) + 2;
        printf("%s%s%s%*s", c == 4 ? state_colour : "", cells[c], c == 4 ? off : "", pad, "");
    }
    printf("\n");
}

static void print_table(const struct node_row *rows, uint32_t count)
{
    bool colour = local_has_colour();
    static const char *const colours[] = {
        [HEALTH_DOWN] = "\033[31m", [HEALTH_TROUBLED] = "\033[33m", [HEALTH_GOOD] = "\033[32m"};
    const char *off = colour ? "\033[0m" : "";
    int widths[STATUS_COLUMNS];
    for (int c = 0; c < STATUS_COLUMNS; c++) {
        widths[c] = text_width(status_headings[c]);
        for (uint32_t i = 0; i < count; i++) {
            int width = text_width(rows[i].cells[c]);
            if (width > widths[c]) widths[c] = width;
        }
    }
    if (colour) printf("\033[1m");
    print_row(status_headings, widths, "", "");
    printf("%s", off);
    for (uint32_t i = 0; i < count; i++) {
        const char *cells[STATUS_COLUMNS];
        for (int c = 0; c < STATUS_COLUMNS; c++) cells[c] = rows[i].cells[c];
        print_row(cells, widths, colour ? colours[rows[i].health] : "", off);
    }
}

int cli_status(int argc, char **argv)
{
    const char *folder = LOCAL_FOLDER_DEFAULT;
    const struct cli_option options[] = {{.name = "--dir", .text = &folder}};
    const struct cli_words words = {"status", status_usage, options, sizeof options / sizeof options[0]};
    int exit_code;
    if (!cli_options_read(&words, argc, argv, &exit_code)) return exit_code;
    static struct local local;
    static struct node_row rows[TOPOLOGY_NODES_MAX];
    if (!local_init(&local, folder)) return CLI_EXIT_FAILED;
    if (!local_exists(&local)) {
        printf("There is no cluster in %s; `meridian up` makes one.\n", local.shown);
        return CLI_EXIT_FAILED;
    }
    if (!local_load(&local)) return CLI_EXIT_FAILED;
    bool all_run = true;
    for (uint32_t i = 0; i < local.topology.nodes_count; i++) {
        describe(&local, i, &rows[i]);
        all_run = all_run && rows[i].health != HEALTH_DOWN;
    }
    print_table(rows, local.topology.nodes_count);
    return all_run ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}
