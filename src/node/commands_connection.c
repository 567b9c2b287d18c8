/* commands_connection.c: what clients say about their connection and ask about the server: PING, HELLO, CLIENT, CONFIG,
 * SELECT, RESET, QUIT, TIME. INFO is commands_info.c, COMMAND is commands_command.c.
 */
#include "base/glob.h"
#include "node/commands_server.h"
#include "node/shard_internal.h"

static bool in_subscribe_mode(const struct request *request)
{
    return request->client->subscriptions_count && request->resp_version == 2;
}

static enum command_result on_ping(struct request *request)
{
    if (request->args_count > 2) {
        dispatch__arity(request->reply, request->command);
    } else if (in_subscribe_mode(request)) {
        resp_write_array(request->reply, 2);
        resp_write_bulk(request->reply, SLICE_LITERAL("pong"));
        resp_write_bulk(request->reply, request->args_count == 2 ? request->args[1] : SLICE_LITERAL(""));
    } else if (request->args_count == 2) {
        resp_write_bulk(request->reply, request->args[1]);
    } else {
        resp_write_simple(request->reply, "PONG");
    }
    return COMMAND_DONE;
}

static enum command_result on_echo(struct request *request)
{
    resp_write_bulk(request->reply, request->args[1]);
    return COMMAND_DONE;
}

/* ---- names ---- */

/* Redis' rule for names: printable, without spaces, so that CLIENT LIST stays readable. */
static bool is_plain(struct slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '!' || text.data[i] > '~') return false;
    }
    return true;
}

static bool set_name(struct request *request, struct slice name, const char *what, char to[SERVER_NAME_BYTES_MAX])
{
    if (!is_plain(name)) {
        resp_write_error_format(request->reply, "ERR %s cannot contain spaces, newlines or special characters.", what);
        return false;
    }
    if (name.length >= SERVER_NAME_BYTES_MAX) {
        resp_write_error_format(request->reply, "ERR %s is longer than %d bytes", what, SERVER_NAME_BYTES_MAX - 1);
        return false;
    }
    if (name.length) memcpy(to, name.data, name.length);
    to[name.length] = '\0';
    return true;
}

/* ---- HELLO ---- */

static void write_hello(struct request *request)
{
    struct buffer *b = request->reply;
    int version = request->client->resp_version;
    resp_write_map(b, version, 7);
    resp_write_bulk(b, SLICE_LITERAL("server"));
    resp_write_bulk(b, SLICE_LITERAL("meridian"));
    resp_write_bulk(b, SLICE_LITERAL("version"));
    resp_write_bulk(b, slice_of_string(request->shard->config.version));
    resp_write_bulk(b, SLICE_LITERAL("proto"));
    resp_write_integer(b, version);
    resp_write_bulk(b, SLICE_LITERAL("id"));
    resp_write_integer(b, (int64_t)request->client->id);
    resp_write_bulk(b, SLICE_LITERAL("mode"));
    resp_write_bulk(b, SLICE_LITERAL("standalone"));
    resp_write_bulk(b, SLICE_LITERAL("role"));
    resp_write_bulk(b, SLICE_LITERAL("master"));
    resp_write_bulk(b, SLICE_LITERAL("modules"));
    resp_write_array(b, 0);
}

static void refuse_auth(struct request *request)
{
    resp_write_error(request->reply, "ERR AUTH called, but this server has no passwords yet: connect without one");
}

static enum command_result on_hello(struct request *request)
{
    int64_t version = request->client->resp_version;
    char name[SERVER_NAME_BYTES_MAX];
    bool named = false;
    if (request->args_count > 1 && !slice_to_i64(request->args[1], &version)) {
        resp_write_error(request->reply, "ERR Protocol version is not an integer or out of range");
        return COMMAND_DONE;
    }
    if (version != 2 && version != 3) {
        resp_write_error(request->reply, "NOPROTO unsupported protocol version");
        return COMMAND_DONE;
    }
    for (size_t i = 2; i < request->args_count; i++) {
        size_t left = request->args_count - i - 1;
        if (slice_is_word(request->args[i], "AUTH") && left >= 2) {
            refuse_auth(request);
            return COMMAND_DONE;
        }
        if (!slice_is_word(request->args[i], "SETNAME") || left < 1) {
            resp_write_error_format(request->reply, "ERR Syntax error in HELLO option '%.*s'",
                                    (int)request->args[i].length, (const char *)request->args[i].data);
            return COMMAND_DONE;
        }
        if (!set_name(request, request->args[++i], "Client names", name)) return COMMAND_DONE;
        named = true;
    }
    if (named) memcpy(request->client->name, name, sizeof name);
    request->client->resp_version = (int)version;
    write_hello(request);
    return COMMAND_DONE;
}

static enum command_result on_auth(struct request *request)
{
    refuse_auth(request);
    return COMMAND_DONE;
}

/* ---- CLIENT ---- */

static enum command_result on_client_setname(struct request *request)
{
    if (set_name(request, request->args[2], "Client names", request->client->name))
        resp_write_simple(request->reply, "OK");
    return COMMAND_DONE;
}

static enum command_result on_client_getname(struct request *request)
{
    if (request->client->name[0]) {
        resp_write_bulk(request->reply, slice_of_string(request->client->name));
    } else {
        resp_write_null(request->reply, request->resp_version);
    }
    return COMMAND_DONE;
}

static enum command_result on_client_id(struct request *request)
{
    resp_write_integer(request->reply, (int64_t)request->client->id);
    return COMMAND_DONE;
}

static enum command_result on_client_setinfo(struct request *request)
{
    struct client *c = request->client;
    bool done;
    if (slice_is_word(request->args[2], "lib-name")) {
        done = set_name(request, request->args[3], "lib-name", c->library);
    } else if (slice_is_word(request->args[2], "lib-ver")) {
        done = set_name(request, request->args[3], "lib-ver", c->library_version);
    } else {
        resp_write_error_format(request->reply, "ERR Unrecognized option '%.*s'", (int)request->args[2].length,
                                (const char *)request->args[2].data);
        return COMMAND_DONE;
    }
    if (done) resp_write_simple(request->reply, "OK");
    return COMMAND_DONE;
}

static void append_client(void *user, struct client *c)
{
    struct buffer *b = user;
    uint32_t channels = 0;
    for (uint32_t i = 0; i < c->subscriptions_count; i++) channels += !c->subscriptions[i].pattern;
    uint64_t now = c->shard->now.wall_ms;
    buffer_append_format(
        b,
        "id=%llu addr=%s name=%s age=%llu idle=%llu flags=%s db=0 sub=%u psub=%u multi=-1 obl=%u omem=%zu "
        "cmd=%s user=default resp=%d lib-name=%s lib-ver=%s\n",
        (unsigned long long)c->id, c->address, c->name, (unsigned long long)(now - c->since_ms) / 1000,
        (unsigned long long)(now - c->last_ms) / 1000, c->subscriptions_count ? "P" : "N", channels,
        c->subscriptions_count - channels, c->marks_count, c->out.capacity,
        c->last_command ? c->last_command->name : "NULL", c->resp_version, c->library, c->library_version);
}

static enum command_result on_client_info(struct request *request)
{
    struct buffer text;
    buffer_init(&text, 4096);
    append_client(&text, request->client);
    resp_write_bulk(request->reply, buffer_slice(&text));
    buffer_deinit(&text);
    return COMMAND_DONE;
}

static enum command_result on_client_list(struct request *request)
{
    struct buffer text;
    buffer_init(&text, 16 * 1024 * 1024);
    client__visit(request->shard, append_client, &text);
    resp_write_bulk(request->reply, buffer_slice(&text));
    buffer_deinit(&text);
    return COMMAND_DONE;
}

/* NO-EVICT and NO-TOUCH: nothing here evicts clients, and no access time is kept, so both are already so. */
static enum command_result on_client_switch(struct request *request)
{
    if (slice_is_word(request->args[2], "on") || slice_is_word(request->args[2], "off")) {
        resp_write_simple(request->reply, "OK");
    } else {
        request_refuse_syntax(request);
    }
    return COMMAND_DONE;
}

struct kill {
    uint64_t id;
    struct slice address;
    bool by_id;
    struct client *self, *found;
};

static void match_kill(void *user, struct client *c)
{
    struct kill *kill = user;
    bool hit = kill->by_id ? c->id == kill->id : slice_equal(slice_of_string(c->address), kill->address);
    if (hit) kill->found = c;
}

/* CLIENT KILL addr, CLIENT KILL ID id, CLIENT KILL ADDR addr: clients of this shard. */
static enum command_result on_client_kill(struct request *request)
{
    struct kill kill = {.self = request->client};
    bool old_form = request->args_count == 3;
    if (old_form) {
        kill.address = request->args[2];
    } else if (request->args_count == 4 && slice_is_word(request->args[2], "ID")) {
        kill.by_id = true;
        if (!slice_to_u64(request->args[3], &kill.id) || kill.id == 0) {
            resp_write_error(request->reply, "ERR client-id should be greater than 0");
            return COMMAND_DONE;
        }
    } else if (request->args_count == 4 && slice_is_word(request->args[2], "ADDR")) {
        kill.address = request->args[3];
    } else {
        request_refuse_syntax(request);
        return COMMAND_DONE;
    }
    client__visit(request->shard, match_kill, &kill);
    if (kill.found) client__close(kill.found);
    if (!old_form) {
        resp_write_integer(request->reply, kill.found ? 1 : 0);
    } else if (kill.found) {
        resp_write_simple(request->reply, "OK");
    } else {
        resp_write_error(request->reply, "ERR No such client");
    }
    return COMMAND_DONE;
}

/* ---- CONFIG ---- */

enum { CONFIG_VALUE_BYTES = 32 };
struct setting {
    const char *name;
    const char *text; /* NULL: the number */
    uint64_t number;
};

static enum command_result on_config_get(struct request *request)
{
    const struct shard_config *config = &request->shard->config;
    const struct setting settings[] = {
        {"appendfsync", "always", 0},
        {"appendonly", "yes", 0},
        {"cluster-enabled", "no", 0},
        {"databases", NULL, 1},
        {"io-threads", NULL, config->shards},
        {"maxclients", NULL, CLIENTS_MAX},
        {"maxmemory", NULL, config->memory_bytes_max},
        {"maxmemory-policy", "noeviction", 0},
        {"port", NULL, shard__self(request->shard)->resp.port},
        {"proto-max-bulk-len", NULL, RESP_BULK_BYTES_MAX},
        {"save", "", 0},
        {"timeout", NULL, 0},
    };
    size_t hits[sizeof settings / sizeof settings[0]];
    size_t count = 0;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        bool hit = false;
        for (size_t a = 2; a < request->args_count; a++) {
            hit = hit || glob_match_nocase(request->args[a], slice_of_string(settings[i].name));
        }
        if (hit) hits[count++] = i;
    }
    resp_write_map(request->reply, request->resp_version, count);
    for (size_t i = 0; i < count; i++) {
        const struct setting *setting = &settings[hits[i]];
        uint8_t digits[CONFIG_VALUE_BYTES];
        struct slice value =
            setting->text ? slice_of_string(setting->text) : slice_of(digits, decimal_u64(digits, setting->number));
        resp_write_bulk(request->reply, slice_of_string(setting->name));
        resp_write_bulk(request->reply, value);
    }
    return COMMAND_DONE;
}

static enum command_result on_config_set(struct request *request)
{
    resp_write_error(request->reply,
                     "NOPERM configuration is the cluster file, and the same for all: change it there and "
                     "restart the node");
    return COMMAND_DONE;
}

static enum command_result on_config_resetstat(struct request *request)
{
    request->shard->statistics = (struct statistics){0};
    resp_write_simple(request->reply, "OK");
    return COMMAND_DONE;
}

/* ---- the rest ---- */

static enum command_result on_select(struct request *request)
{
    int64_t index;
    if (!slice_to_i64(request->args[1], &index)) {
        resp_write_error(request->reply, "ERR invalid DB index");
    } else if (index != 0) {
        resp_write_error(request->reply, "ERR DB index is out of range");
    } else {
        resp_write_simple(request->reply, "OK");
    }
    return COMMAND_DONE;
}

static enum command_result on_reset(struct request *request)
{
    struct client *c = request->client;
    pubsub__forget(c);
    ordered__multi_free(c);
    c->resp_version = 2;
    c->name[0] = '\0';
    resp_write_simple(request->reply, "RESET");
    return COMMAND_DONE;
}

static enum command_result on_quit(struct request *request)
{
    resp_write_simple(request->reply, "OK");
    client__close(request->client);
    return COMMAND_DONE;
}

static enum command_result on_time(struct request *request)
{
    uint64_t ms = request->now.wall_ms;
    uint8_t digits[DECIMAL_BYTES_MAX];
    resp_write_array(request->reply, 2);
    resp_write_bulk(request->reply, slice_of(digits, decimal_u64(digits, ms / 1000)));
    resp_write_bulk(request->reply, slice_of(digits, decimal_u64(digits, ms % 1000 * 1000)));
    return COMMAND_DONE;
}

#define CONNECTION(name, arity, flags, syntax, summary, handler)                           \
    {                                                                                      \
        name, arity, SCOPE_CONNECTION, flags, 0, 0, "connection", syntax, summary, handler \
    }

static const struct command commands[] = {
    CONNECTION("auth", -2, COMMAND_FAST, "[username] password", "Refused: this version has no passwords.", on_auth),
    CONNECTION("client|getname", 2, 0, "", "The name given with CLIENT SETNAME, or nil.", on_client_getname),
    CONNECTION("client|id", 2, 0, "", "The number of this connection.", on_client_id),
    CONNECTION("client|info", 2, 0, "", "One line about this connection.", on_client_info),
    CONNECTION("client|kill", -3, COMMAND_ADMIN, "address | ID id | ADDR address", "Closes a connection.",
               on_client_kill),
    CONNECTION("client|list", 2, COMMAND_ADMIN, "", "One line for each connection.", on_client_list),
    CONNECTION("client|no-evict", 3, 0, "ON | OFF", "Accepted; clients are never evicted.", on_client_switch),
    CONNECTION("client|no-touch", 3, 0, "ON | OFF", "Accepted; no access times are kept.", on_client_switch),
    CONNECTION("client|setinfo", 4, 0, "LIB-NAME name | LIB-VER version",
               "Notes the client library of this connection.", on_client_setinfo),
    CONNECTION("client|setname", 3, 0, "name", "Names this connection.", on_client_setname),
    CONNECTION("command", -1, 0, "", "Facts about all commands, as Redis gives them.", command_on_command),
    CONNECTION("command|count", 2, 0, "", "How many commands there are.", command_on_count),
    CONNECTION("command|docs", -2, 0, "[command …]", "Summaries and syntax of commands.", command_on_docs),
    CONNECTION("command|getkeys", -3, 0, "command [argument …]", "The keys in a command.", command_on_getkeys),
    CONNECTION("command|info", -2, 0, "[command …]", "Facts about the named commands.", command_on_info),
    CONNECTION("command|list", 2, 0, "", "The names of all commands.", command_on_list),
    CONNECTION("config|get", -3, COMMAND_ADMIN, "pattern …", "Settings whose names fit a pattern.", on_config_get),
    CONNECTION("config|resetstat", 2, COMMAND_ADMIN, "", "Sets the counters of INFO to zero.", on_config_resetstat),
    CONNECTION("config|set", -4, COMMAND_ADMIN, "name value …", "Refused: settings stand in the cluster file.",
               on_config_set),
    CONNECTION("echo", 2, COMMAND_FAST, "text", "Returns the text.", on_echo),
    CONNECTION("hello", -1, COMMAND_FAST, "[2 | 3 [SETNAME name]]", "Chooses the version of the protocol.", on_hello),
    CONNECTION("info", -1, 0, "[section …]", "The state of this node, by sections.", info_on_info),
    CONNECTION("ping", -1, COMMAND_FAST | COMMAND_PUBSUB_ALLOWED, "[text]", "Returns PONG or the text.", on_ping),
    CONNECTION("quit", -1, COMMAND_FAST | COMMAND_PUBSUB_ALLOWED, "", "Answers, then closes the connection.", on_quit),
    CONNECTION("reset", 1, COMMAND_FAST | COMMAND_PUBSUB_ALLOWED, "", "Puts this connection back to its beginning.",
               on_reset),
    CONNECTION("select", 2, COMMAND_FAST, "0", "Accepts database 0, the only one.", on_select),
    CONNECTION("time", 1, COMMAND_FAST, "", "This node's clock: seconds and microseconds.", on_time),
};

const struct command_group node_commands_connection = {commands, sizeof commands / sizeof commands[0]};
