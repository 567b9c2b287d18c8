/* contract.c: the words of a table's contract, read, checked against topology and engine, and written again.
 *
 * A contract that can't be kept is refused with the reason (STATUS_LIMIT), never weakened silently. What belongs to
 * later versions (ordered tables, quorums, rules, escrow) is refused by name.
 */
#include "contract/contract.h"

#include "base/memory.h"
#include "wire/varint.h"

static const char *const engine_names[] = {[ENGINE_MERGEABLE] = "mergeable", [ENGINE_ORDERED] = "ordered"};
static const char *const conflict_names[] = {[CONTRACT_LWW] = "lww",
                                             [CONTRACT_SIBLINGS] = "siblings",
                                             [CONTRACT_UPDATE_WINS] = "update-wins",
                                             [CONTRACT_DELETE_WINS] = "delete-wins"};
static const char *const type_names[] = {
    [TYPE_ANY] = "any", [TYPE_STRING] = "string", [TYPE_COUNTER] = "counter", [TYPE_SET] = "set", [TYPE_ROW] = "row"};

enum { ENGINE_COUNT = 2, CONFLICT_COUNT = 4, TYPE_COUNT = 5, TABLE_FORMAT_VERSION = 1 };

const char *contract_engine_name(enum contract_engine engine)
{
    return engine_names[engine];
}

const char *contract_conflict_name(enum contract_conflict conflict)
{
    return conflict_names[conflict];
}

const char *contract_type_name(enum contract_type type)
{
    return type_names[type];
}

/* ---- names of tables and keys ---- */

static bool is_name_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '-';
}

bool table_name_is_valid(struct slice name)
{
    if (name.length == 0 || name.length > TABLE_NAME_BYTES_MAX) return false;
    if (name.length >= 2 && name.data[0] == '_' && name.data[1] == '_') return false;
    for (size_t i = 0; i < name.length; i++) {
        if (!is_name_byte(name.data[i])) return false;
    }
    return true;
}

struct slice key_table_name(struct slice key)
{
    size_t limit = key.length < TABLE_NAME_BYTES_MAX + 1 ? key.length : TABLE_NAME_BYTES_MAX + 1;
    const uint8_t *colon = limit ? memchr(key.data, ':', limit) : NULL;
    if (!colon) return slice_of(NULL, 0);
    struct slice name = slice_of(key.data, (size_t)(colon - key.data));
    return table_name_is_valid(name) ? name : slice_of(NULL, 0);
}

/* ---- reading ---- */

/* The index of `word` in `names`, or -1. */
static int find_word(struct slice word, const char *const *names, int count)
{
    for (int i = 0; i < count; i++) {
        if (slice_is_word(word, names[i])) return i;
    }
    return -1;
}

#define TEXT(s) (int)((s).length < 128 ? (s).length : 128), (const char *)(s).data

static bool starts_with(struct slice s, const char *prefix)
{
    struct slice p = slice_of_string(prefix);
    return s.length >= p.length && slice_is_word(slice_of(s.data, p.length), prefix);
}

static enum status parse_engine(struct slice value, struct contract *c, struct buffer *error)
{
    int found = find_word(value, engine_names, ENGINE_COUNT);
    if (found < 0) {
        buffer_append_format(error, "ERR ENGINE '%.*s' is unknown: say mergeable", TEXT(value));
        return STATUS_MALFORMED;
    }
    if (found == ENGINE_ORDERED) {
        buffer_append_format(error, "CONTRACT ENGINE ordered is not in this version: tables are mergeable");
        return STATUS_LIMIT;
    }
    c->engine = (enum contract_engine)found;
    return STATUS_OK;
}

static enum status parse_conflict(struct slice value, struct contract *c, struct buffer *error)
{
    int found = find_word(value, conflict_names, CONFLICT_COUNT);
    if (found >= 0) {
        c->conflict = (enum contract_conflict)found;
        return STATUS_OK;
    }
    if (starts_with(value, "rule:")) {
        buffer_append_format(error, "CONTRACT CONFLICT rule:NAME is not in this version: "
                                    "use siblings and resolve in the application");
        return STATUS_LIMIT;
    }
    buffer_append_format(error, "ERR CONFLICT '%.*s' is unknown: say lww, siblings, update-wins or delete-wins",
                         TEXT(value));
    return STATUS_MALFORMED;
}

static enum status parse_type(struct slice value, struct contract *c, struct buffer *error)
{
    static const char *const later[] = {"escrow", "list", "zset", "stream"};
    int found = find_word(value, type_names, TYPE_COUNT);
    if (found >= 0) {
        c->type = (enum contract_type)found;
        return STATUS_OK;
    }
    if (find_word(value, later, 4) >= 0) {
        buffer_append_format(error, "CONTRACT TYPE %.*s is not in this version: any, string, counter, set and row are",
                             TEXT(value));
        return STATUS_LIMIT;
    }
    buffer_append_format(error, "ERR TYPE '%.*s' is unknown: say any, string, counter, set or row", TEXT(value));
    return STATUS_MALFORMED;
}

static enum status parse_partitions(struct slice value, struct contract *c, struct buffer *error)
{
    uint64_t n;
    if (!slice_to_u64(value, &n) || n == 0) {
        buffer_append_format(error, "ERR PARTITIONS '%.*s' is not a positive number", TEXT(value));
        return STATUS_MALFORMED;
    }
    if (n > PARTITIONS_MAX) {
        buffer_append_format(error, "CONTRACT PARTITIONS is limited to %d", PARTITIONS_MAX);
        return STATUS_LIMIT;
    }
    c->partitions = (uint16_t)n;
    return STATUS_OK;
}

static uint32_t nodes_in_region(const struct topology *topology, int region)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < topology->nodes_count; i++) count += topology->nodes[i].region == region;
    return count;
}

static void append_region_names(const struct topology *topology, struct buffer *out)
{
    for (uint32_t i = 0; i < topology->regions_count; i++) {
        buffer_append_format(out, "%s%s", i ? ", " : "", topology->regions[i]);
    }
}

/* One "region=count" of REPLICAS. */
static enum status parse_replica_count(struct slice item, const struct topology *topology, struct contract *c,
                                       bool seen[TOPOLOGY_REGIONS_MAX], struct buffer *error)
{
    const uint8_t *equals = item.length ? memchr(item.data, '=', item.length) : NULL;
    uint64_t n;
    if (!equals || !slice_to_u64(slice_skip(item, (size_t)(equals - item.data) + 1), &n)) {
        buffer_append_format(error, "ERR REPLICAS wants region=count,…; '%.*s' is not", TEXT(item));
        return STATUS_MALFORMED;
    }
    struct slice name = slice_of(item.data, (size_t)(equals - item.data));
    int region = topology_region_by_name(topology, name);
    if (region < 0) {
        buffer_append_format(error, "CONTRACT region '%.*s' is not in this cluster (", TEXT(name));
        append_region_names(topology, error);
        buffer_append_format(error, ")");
        return STATUS_LIMIT;
    }
    if (seen[region]) {
        buffer_append_format(error, "ERR REPLICAS names region '%.*s' twice", TEXT(name));
        return STATUS_MALFORMED;
    }
    uint32_t nodes = nodes_in_region(topology, region);
    if (n > nodes) {
        buffer_append_format(error, "CONTRACT %llu replicas in %.*s need as many nodes there; it has %u",
                             (unsigned long long)n, TEXT(name), nodes);
        return STATUS_LIMIT;
    }
    seen[region] = true;
    c->replicas[region] = (uint8_t)n;
    return STATUS_OK;
}

static enum status parse_replicas(struct slice value, const struct topology *topology, struct contract *c,
                                  struct buffer *error)
{
    bool seen[TOPOLOGY_REGIONS_MAX] = {false};
    memset(c->replicas, 0, sizeof c->replicas);
    uint32_t total = 0;
    while (true) {
        const uint8_t *comma = value.length ? memchr(value.data, ',', value.length) : NULL;
        struct slice item = comma ? slice_of(value.data, (size_t)(comma - value.data)) : value;
        enum status status = parse_replica_count(item, topology, c, seen, error);
        if (status) return status;
        if (!comma) break;
        value = slice_skip(value, item.length + 1);
    }
    for (uint32_t i = 0; i < topology->regions_count; i++) total += c->replicas[i];
    if (total == 0) {
        buffer_append_format(error, "CONTRACT a table needs at least one replica");
        return STATUS_LIMIT;
    }
    return STATUS_OK;
}

/* READ and WRITE of a mergeable table: what this version does is local, and says so when asked for more. */
static enum status parse_level(const char *option, struct slice value, struct buffer *error)
{
    static const char *const known[] = {"session",     "one", "local-quorum", "quorum",
                                        "each-quorum", "all", "linearizable"};
    if (slice_is_word(value, "local")) return STATUS_OK;
    if (find_word(value, known, 7) >= 0 || starts_with(value, "bounded:")) {
        buffer_append_format(error, "CONTRACT %s %.*s is not in this version: every replica reads and writes local",
                             option, TEXT(value));
        return STATUS_LIMIT;
    }
    buffer_append_format(error, "ERR %s '%.*s' is unknown: say local", option, TEXT(value));
    return STATUS_MALFORMED;
}

enum option {
    OPTION_ENGINE,
    OPTION_CONFLICT,
    OPTION_REPLICAS,
    OPTION_TYPE,
    OPTION_PARTITIONS,
    OPTION_READ,
    OPTION_WRITE,
    OPTION_DURABILITY,
    OPTION_INVARIANT,
    OPTION_COUNT
};

static enum status parse_option(enum option option, struct slice value, const struct topology *topology,
                                struct contract *c, struct buffer *error)
{
    switch (option) {
    case OPTION_ENGINE: return parse_engine(value, c, error);
    case OPTION_CONFLICT: return parse_conflict(value, c, error);
    case OPTION_REPLICAS: return parse_replicas(value, topology, c, error);
    case OPTION_TYPE: return parse_type(value, c, error);
    case OPTION_PARTITIONS: return parse_partitions(value, c, error);
    case OPTION_READ: return parse_level("READ", value, error);
    case OPTION_WRITE: return parse_level("WRITE", value, error);
    case OPTION_DURABILITY:
        buffer_append_format(error,
                             "CONTRACT DURABILITY is for ordered tables, which are not in this version: a mergeable "
                             "write is durable at its node before the reply");
        return STATUS_LIMIT;
    case OPTION_INVARIANT:
        buffer_append_format(error,
                             "CONTRACT INVARIANT needs an escrow counter or an ordered table, which are not in this "
                             "version");
        return STATUS_LIMIT;
    case OPTION_COUNT: break;
    }
    PANIC("option %d", (int)option);
}

enum status contract_parse(const struct slice *words, size_t count, const struct topology *topology,
                           struct contract *out, struct buffer *out_error)
{
    static const char *const options[OPTION_COUNT] = {
        [OPTION_ENGINE] = "ENGINE", [OPTION_CONFLICT] = "CONFLICT",     [OPTION_REPLICAS] = "REPLICAS",
        [OPTION_TYPE] = "TYPE",     [OPTION_PARTITIONS] = "PARTITIONS", [OPTION_READ] = "READ",
        [OPTION_WRITE] = "WRITE",   [OPTION_DURABILITY] = "DURABILITY", [OPTION_INVARIANT] = "INVARIANT"};
    struct contract c;
    bool seen[OPTION_COUNT] = {false};
    contract_default(topology, &c);
    for (size_t i = 0; i < count; i += 2) {
        int option = find_word(words[i], options, OPTION_COUNT);
        if (option < 0) {
            buffer_append_format(out_error, "ERR unknown option '%.*s'", TEXT(words[i]));
            return STATUS_MALFORMED;
        }
        if (i + 1 == count) {
            buffer_append_format(out_error, "ERR option %s needs a value", options[option]);
            return STATUS_MALFORMED;
        }
        if (seen[option]) {
            buffer_append_format(out_error, "ERR option %s is given twice", options[option]);
            return STATUS_MALFORMED;
        }
        seen[option] = true;
        enum status status = parse_option((enum option)option, words[i + 1], topology, &c, out_error);
        if (status) return status;
    }
    *out = c;
    return STATUS_OK;
}

void contract_default(const struct topology *topology, struct contract *out)
{
    memset(out, 0, sizeof *out);
    out->partitions = PARTITIONS_DEFAULT;
    for (uint32_t i = 0; i < topology->regions_count; i++) out->replicas[i] = 1;
}

/* ---- writing ---- */

void contract_format_replicas(const struct contract *c, const struct topology *topology, struct buffer *out)
{
    bool first = true;
    for (uint32_t i = 0; i < topology->regions_count; i++) {
        if (c->replicas[i] == 0) continue;
        buffer_append_format(out, "%s%s=%u", first ? "" : ",", topology->regions[i], (unsigned)c->replicas[i]);
        first = false;
    }
}

void contract_format(const struct contract *c, const struct topology *topology, struct buffer *out)
{
    buffer_append_format(out, "ENGINE %s CONFLICT %s REPLICAS ", engine_names[c->engine], conflict_names[c->conflict]);
    contract_format_replicas(c, topology, out);
    buffer_append_format(out, " TYPE %s PARTITIONS %u", type_names[c->type], (unsigned)c->partitions);
}

/* Layout: version u8, id, name, engine u8, conflict u8, type u8, partitions, created stamp, dropped u8, regions: count,
 * then (name, replicas). Regions travel by name, since their order is that of each node's file. */
void table_write(struct buffer *b, const struct table *t, const struct topology *topology)
{
    uint32_t regions = 0;
    for (uint32_t i = 0; i < topology->regions_count; i++) regions += t->contract.replicas[i] > 0;
    write_u8(b, TABLE_FORMAT_VERSION);
    write_varint(b, t->id);
    write_bytes(b, slice_of_string(t->name));
    write_u8(b, (uint8_t)t->contract.engine);
    write_u8(b, (uint8_t)t->contract.conflict);
    write_u8(b, (uint8_t)t->contract.type);
    write_varint(b, t->contract.partitions);
    write_varint(b, t->created_stamp);
    write_u8(b, t->dropped);
    write_varint(b, regions);
    for (uint32_t i = 0; i < topology->regions_count; i++) {
        if (t->contract.replicas[i] == 0) continue;
        write_bytes(b, slice_of_string(topology->regions[i]));
        write_varint(b, t->contract.replicas[i]);
    }
}

static enum status read_regions(struct reader *r, const struct topology *topology, struct contract *out)
{
    uint64_t regions = read_varint(r);
    if (r->failed || regions == 0 || regions > TOPOLOGY_REGIONS_MAX) return STATUS_MALFORMED;
    for (uint64_t i = 0; i < regions; i++) {
        int region = topology_region_by_name(topology, read_bytes(r));
        uint64_t replicas = read_varint(r);
        if (r->failed || replicas == 0 || replicas > TOPOLOGY_NODES_MAX) return STATUS_MALFORMED;
        if (region < 0) return STATUS_NOT_FOUND;
        if (out->replicas[region]) return STATUS_MALFORMED;
        out->replicas[region] = (uint8_t)replicas;
    }
    return STATUS_OK;
}

enum status table_read(struct slice bytes, const struct topology *topology, struct table *out)
{
    struct reader r = reader_of(bytes);
    struct table t = {0};
    if (read_u8(&r) != TABLE_FORMAT_VERSION) return r.failed ? STATUS_MALFORMED : STATUS_VERSION;
    t.id = read_varint(&r);
    struct slice name = read_bytes(&r);
    uint8_t engine = read_u8(&r), conflict = read_u8(&r), type = read_u8(&r);
    uint64_t partitions = read_varint(&r);
    t.created_stamp = read_varint(&r);
    uint8_t dropped = read_u8(&r);
    if (r.failed || t.id == 0 || !table_name_is_valid(name) || engine >= ENGINE_COUNT || conflict >= CONFLICT_COUNT ||
        type >= TYPE_COUNT || partitions == 0 || partitions > PARTITIONS_MAX || dropped > 1) {
        return STATUS_MALFORMED;
    }
    memcpy(t.name, name.data, name.length);
    t.contract.engine = (enum contract_engine)engine;
    t.contract.conflict = (enum contract_conflict)conflict;
    t.contract.type = (enum contract_type)type;
    t.contract.partitions = (uint16_t)partitions;
    t.dropped = dropped;
    enum status status = read_regions(&r, topology, &t.contract);
    if (status) return status;
    if (!reader_finished(&r)) return STATUS_MALFORMED;
    *out = t;
    return STATUS_OK;
}
