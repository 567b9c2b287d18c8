/* contract.c: the names that contracts and tables are made of, and a contract as words. contract_parse.c reads them. */
#include "contract/contract.h"

static const char *const engine_names[] = {[ENGINE_MERGEABLE] = "mergeable", [ENGINE_ORDERED] = "ordered"};
static const char *const conflict_names[] = {[CONTRACT_LWW] = "lww",
                                             [CONTRACT_SIBLINGS] = "siblings",
                                             [CONTRACT_UPDATE_WINS] = "update-wins",
                                             [CONTRACT_DELETE_WINS] = "delete-wins"};
static const char *const type_names[] = {
    [TYPE_ANY] = "any", [TYPE_STRING] = "string", [TYPE_COUNTER] = "counter", [TYPE_SET] = "set",
    [TYPE_ROW] = "row", [TYPE_LIST] = "list",     [TYPE_ZSET] = "zset"};
static const char *const read_names[] = {
    [CONTRACT_READ_LOCAL] = "local", [CONTRACT_READ_ONE] = "one", [CONTRACT_READ_LINEARIZABLE] = "linearizable"};

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

const char *contract_read_name(enum contract_read read)
{
    return read_names[read];
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

/* ---- writing ---- */

void contract_format_replicas(const struct contract *c, const struct topology *topology, struct buffer *out)
{
    bool first = true;
    for (uint32_t i = 0; i < topology->regions_count; i++) {
        if (c->replicas[i] == 0) continue;
        buffer_append_format(out, "%s%s=%u%s", first ? "" : ",", topology->regions[i], (unsigned)c->replicas[i],
                             c->witness_regions >> i & 1 ? "w" : "");
        first = false;
    }
}

void contract_format(const struct contract *c, const struct topology *topology, struct buffer *out)
{
    bool ordered = c->engine == ENGINE_ORDERED;
    buffer_append_format(out, "ENGINE %s", engine_names[c->engine]);
    if (!ordered) buffer_append_format(out, " CONFLICT %s", conflict_names[c->conflict]);
    buffer_append_format(out, " REPLICAS ");
    contract_format_replicas(c, topology, out);
    if (ordered) {
        buffer_append_format(out, " DURABILITY ");
        durability_format(&c->durability, out);
        buffer_append_format(out, " READ %s", read_names[c->read]);
    }
    buffer_append_format(out, " TYPE %s", type_names[c->type]);
    if (c->has_minimum) buffer_append_format(out, " INVARIANT min:%lld", (long long)c->minimum);
    buffer_append_format(out, " PARTITIONS %u", (unsigned)c->partitions);
}
