/* contract_table.c: a table and its contract as bytes: a record of the catalog, on disk and between nodes.
 *
 * Version 2 added what ordered tables promise; a record of version 1 is a mergeable table and is still read.
 */
#include "contract/contract.h"
#include "wire/varint.h"

enum { TABLE_FORMAT_VERSION = 2, TABLE_FORMAT_VERSION_MERGEABLE = 1 };
enum { ENGINE_COUNT = 2, CONFLICT_COUNT = 4, TYPE_COUNT = 7, TYPE_COUNT_VERSION_1 = 5, READ_COUNT = 3 };

/* Layout: version u8, id, name, engine u8, conflict u8, type u8, partitions, created stamp, dropped u8, regions: count,
 * then (name, replicas, witnesses u8); of an ordered table: durability, read u8, has minimum u8, minimum zigzag.
 * Regions travel by name, since their order is that of each node's file. Version 1 has no witnesses. */
void table_write(struct buffer *b, const struct table *t, const struct topology *topology)
{
    const struct contract *c = &t->contract;
    uint32_t regions = 0;
    for (uint32_t i = 0; i < topology->regions_count; i++) regions += c->replicas[i] > 0;
    write_u8(b, TABLE_FORMAT_VERSION);
    write_varint(b, t->id);
    write_bytes(b, slice_of_string(t->name));
    write_u8(b, (uint8_t)c->engine);
    write_u8(b, (uint8_t)c->conflict);
    write_u8(b, (uint8_t)c->type);
    write_varint(b, c->partitions);
    write_varint(b, t->created_stamp);
    write_u8(b, t->dropped);
    write_varint(b, regions);
    for (uint32_t i = 0; i < topology->regions_count; i++) {
        if (c->replicas[i] == 0) continue;
        write_bytes(b, slice_of_string(topology->regions[i]));
        write_varint(b, c->replicas[i]);
        write_u8(b, c->witness_regions >> i & 1);
    }
    if (c->engine != ENGINE_ORDERED) return;
    durability_write(b, &c->durability, topology);
    write_u8(b, (uint8_t)c->read);
    write_u8(b, c->has_minimum);
    write_zigzag(b, c->minimum);
}

static enum status read_regions(struct reader *r, uint8_t version, const struct topology *topology,
                                struct contract *out)
{
    uint64_t regions = read_varint(r), total = 0;
    if (r->failed || regions == 0 || regions > TOPOLOGY_REGIONS_MAX) return STATUS_MALFORMED;
    for (uint64_t i = 0; i < regions; i++) {
        int region = topology_region_by_name(topology, read_bytes(r));
        uint64_t replicas = read_varint(r);
        uint8_t witness = version == TABLE_FORMAT_VERSION_MERGEABLE ? 0 : read_u8(r);
        if (r->failed || replicas == 0 || replicas > TOPOLOGY_NODES_MAX || witness > 1) return STATUS_MALFORMED;
        if (region < 0) return STATUS_NOT_FOUND;
        if (out->replicas[region]) return STATUS_MALFORMED;
        out->replicas[region] = (uint8_t)replicas;
        out->witness_regions |= (uint16_t)(witness << region);
        total += replicas;
    }
    bool ordered = out->engine == ENGINE_ORDERED;
    if (ordered ? total > GROUP_REPLICAS_MAX : out->witness_regions != 0) return STATUS_MALFORMED;
    return STATUS_OK;
}

static bool has_full_replica(const struct contract *c)
{
    for (uint32_t i = 0; i < TOPOLOGY_REGIONS_MAX; i++) {
        if (c->replicas[i] && !(c->witness_regions >> i & 1)) return true;
    }
    return false;
}

static enum status read_ordered(struct reader *r, const struct topology *topology, struct contract *c)
{
    enum status status = durability_read(r, topology, &c->durability);
    if (status) return status;
    uint8_t level = read_u8(r), has_minimum = read_u8(r);
    c->minimum = read_zigzag(r);
    if (r->failed || level >= READ_COUNT || has_minimum > 1 || (!has_minimum && c->minimum)) return STATUS_MALFORMED;
    if (!has_full_replica(c)) return STATUS_MALFORMED;
    c->read = (enum contract_read)level;
    c->has_minimum = has_minimum;
    return STATUS_OK;
}

static bool known(uint8_t version, uint8_t engine, uint8_t conflict, uint8_t type)
{
    if (version == TABLE_FORMAT_VERSION_MERGEABLE && engine != ENGINE_MERGEABLE) return false;
    int types =
        version == TABLE_FORMAT_VERSION_MERGEABLE || engine == ENGINE_MERGEABLE ? TYPE_COUNT_VERSION_1 : TYPE_COUNT;
    return engine < ENGINE_COUNT && conflict < CONFLICT_COUNT && type < types;
}

enum status table_read(struct slice bytes, const struct topology *topology, struct table *out)
{
    struct reader r = reader_of(bytes);
    struct table t = {0};
    uint8_t version = read_u8(&r);
    if (r.failed) return STATUS_MALFORMED;
    if (version < TABLE_FORMAT_VERSION_MERGEABLE || version > TABLE_FORMAT_VERSION) return STATUS_VERSION;
    t.id = read_varint(&r);
    struct slice name = read_bytes(&r);
    uint8_t engine = read_u8(&r), conflict = read_u8(&r), type = read_u8(&r);
    uint64_t partitions = read_varint(&r);
    t.created_stamp = read_varint(&r);
    uint8_t dropped = read_u8(&r);
    if (r.failed || t.id == 0 || !table_name_is_valid(name) || !known(version, engine, conflict, type) ||
        partitions == 0 || partitions > PARTITIONS_MAX || dropped > 1) {
        return STATUS_MALFORMED;
    }
    memcpy(t.name, name.data, name.length);
    t.contract.engine = (enum contract_engine)engine;
    t.contract.conflict = (enum contract_conflict)conflict;
    t.contract.type = (enum contract_type)type;
    t.contract.partitions = (uint16_t)partitions;
    t.dropped = dropped;
    enum status status = read_regions(&r, version, topology, &t.contract);
    if (status == STATUS_OK && t.contract.engine == ENGINE_ORDERED) status = read_ordered(&r, topology, &t.contract);
    if (status) return status;
    if (!reader_finished(&r)) return STATUS_MALFORMED;
    *out = t;
    return STATUS_OK;
}
