/* contract_parse.c: the words of a table's contract, read and checked against engine and topology.
 *
 * A contract that can't be kept is refused with the reason (STATUS_LIMIT), never weakened silently. What belongs to
 * later versions (quorums, conflict rules, escrow, streams) is refused by name. Words come in any order, so what they
 * mean together is checked when all are read.
 */
#include "contract/contract.h"

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
static const char *const options[OPTION_COUNT] = {
    [OPTION_ENGINE] = "ENGINE", [OPTION_CONFLICT] = "CONFLICT",     [OPTION_REPLICAS] = "REPLICAS",
    [OPTION_TYPE] = "TYPE",     [OPTION_PARTITIONS] = "PARTITIONS", [OPTION_READ] = "READ",
    [OPTION_WRITE] = "WRITE",   [OPTION_DURABILITY] = "DURABILITY", [OPTION_INVARIANT] = "INVARIANT"};

/* What was read so far: READ and WRITE mean something only once the engine is known. */
struct draft {
    struct contract contract;
    struct slice values[OPTION_COUNT];
    bool seen[OPTION_COUNT];
};

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

/* ---- one option each ---- */

static enum status parse_engine(struct slice value, struct contract *c, struct buffer *error)
{
    static const char *const names[] = {[ENGINE_MERGEABLE] = "mergeable", [ENGINE_ORDERED] = "ordered"};
    int found = find_word(value, names, 2);
    if (found < 0) {
        buffer_append_format(error, "ERR ENGINE '%.*s' is unknown: say mergeable or ordered", TEXT(value));
        return STATUS_MALFORMED;
    }
    c->engine = (enum contract_engine)found;
    return STATUS_OK;
}

static enum status parse_conflict(struct slice value, struct contract *c, struct buffer *error)
{
    static const char *const names[] = {[CONTRACT_LWW] = "lww",
                                        [CONTRACT_SIBLINGS] = "siblings",
                                        [CONTRACT_UPDATE_WINS] = "update-wins",
                                        [CONTRACT_DELETE_WINS] = "delete-wins"};
    int found = find_word(value, names, 4);
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
    static const char *const names[] = {
        [TYPE_ANY] = "any", [TYPE_STRING] = "string", [TYPE_COUNTER] = "counter", [TYPE_SET] = "set",
        [TYPE_ROW] = "row", [TYPE_LIST] = "list",     [TYPE_ZSET] = "zset"};
    int found = find_word(value, names, 7);
    if (found >= 0) {
        c->type = (enum contract_type)found;
        return STATUS_OK;
    }
    if (slice_is_word(value, "escrow") || slice_is_word(value, "stream")) {
        buffer_append_format(error,
                             "CONTRACT TYPE %.*s is not in this version: any, string, counter, set, row, list and "
                             "zset are",
                             TEXT(value));
        return STATUS_LIMIT;
    }
    buffer_append_format(error, "ERR TYPE '%.*s' is unknown: say any, string, counter, set, row, list or zset",
                         TEXT(value));
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
    struct slice number = equals ? slice_skip(item, (size_t)(equals - item.data) + 1) : slice_of(NULL, 0);
    bool witness = number.length > 1 && number.data[number.length - 1] == 'w';
    uint64_t n;
    if (witness) number.length--;
    if (!equals || !slice_to_u64(number, &n)) {
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
    if (witness && n) c->witness_regions |= (uint16_t)(1 << region);
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

static enum status parse_invariant(struct slice value, struct contract *c, struct buffer *error)
{
    if (!starts_with(value, "min:") || !slice_to_i64(slice_skip(value, 4), &c->minimum)) {
        buffer_append_format(error, "ERR INVARIANT '%.*s' is unknown: say min:N, such as min:0", TEXT(value));
        return STATUS_MALFORMED;
    }
    c->has_minimum = true;
    return STATUS_OK;
}

static enum status parse_option(enum option option, struct slice value, const struct topology *topology,
                                struct contract *c, struct buffer *error)
{
    switch (option) {
    case OPTION_ENGINE: return parse_engine(value, c, error);
    case OPTION_CONFLICT: return parse_conflict(value, c, error);
    case OPTION_REPLICAS: return parse_replicas(value, topology, c, error);
    case OPTION_TYPE: return parse_type(value, c, error);
    case OPTION_PARTITIONS: return parse_partitions(value, c, error);
    case OPTION_DURABILITY: return durability_parse(value, topology, &c->durability, error);
    case OPTION_INVARIANT: return parse_invariant(value, c, error);
    case OPTION_READ:
    case OPTION_WRITE: return STATUS_OK; /* in parse_level() and parse_ordered_read(), by engine */
    case OPTION_COUNT: break;
    }
    PANIC("option %d", (int)option);
}

/* ---- what the options mean together ---- */

/* READ and WRITE of a mergeable table: what this version does is local, and says so when asked for more. */
static enum status parse_level(enum option option, const struct draft *d, struct buffer *error)
{
    static const char *const known[] = {"session",     "one", "local-quorum", "quorum",
                                        "each-quorum", "all", "linearizable"};
    struct slice value = d->values[option];
    if (!d->seen[option] || slice_is_word(value, "local")) return STATUS_OK;
    if (slice_is_word(value, "linearizable")) {
        buffer_append_format(error, "CONTRACT READ linearizable needs one order of writes: say ENGINE ordered");
        return STATUS_LIMIT;
    }
    if (find_word(value, known, 7) >= 0 || starts_with(value, "bounded:")) {
        buffer_append_format(error, "CONTRACT %s %.*s is not in this version: every replica reads and writes local",
                             options[option], TEXT(value));
        return STATUS_LIMIT;
    }
    buffer_append_format(error, "ERR %s '%.*s' is unknown: say local", options[option], TEXT(value));
    return STATUS_MALFORMED;
}

static enum status check_mergeable(const struct draft *d, struct buffer *error)
{
    const struct contract *c = &d->contract;
    if (d->seen[OPTION_DURABILITY]) {
        buffer_append_format(error, "CONTRACT DURABILITY is for ordered tables (say ENGINE ordered): a mergeable write "
                                    "is durable at its node before the reply");
        return STATUS_LIMIT;
    }
    if (d->seen[OPTION_INVARIANT]) {
        buffer_append_format(error, "CONTRACT INVARIANT can't be kept by a mergeable table: two regions may each spend "
                                    "the last unit before they hear of each other; say ENGINE ordered");
        return STATUS_LIMIT;
    }
    if (c->type == TYPE_LIST || c->type == TYPE_ZSET) {
        buffer_append_format(error, "CONTRACT TYPE %s needs one order of writes: say ENGINE ordered",
                             contract_type_name(c->type));
        return STATUS_LIMIT;
    }
    if (c->witness_regions) {
        buffer_append_format(error, "CONTRACT witnesses (region=1w) vote, and mergeable tables have no votes: say "
                                    "ENGINE ordered, or a full replica");
        return STATUS_LIMIT;
    }
    enum status status = parse_level(OPTION_READ, d, error);
    return status ? status : parse_level(OPTION_WRITE, d, error);
}

static enum status parse_ordered_read(struct draft *d, struct buffer *error)
{
    static const char *const now[] = {
        [CONTRACT_READ_LOCAL] = "local", [CONTRACT_READ_ONE] = "one", [CONTRACT_READ_LINEARIZABLE] = "linearizable"};
    static const char *const later[] = {"session", "local-quorum", "quorum", "each-quorum", "all"};
    struct slice value = d->values[OPTION_READ];
    int found = d->seen[OPTION_READ] ? find_word(value, now, 3) : CONTRACT_READ_LINEARIZABLE;
    if (found >= 0) {
        d->contract.read = (enum contract_read)found;
        return STATUS_OK;
    }
    if (find_word(value, later, 5) >= 0 || starts_with(value, "bounded:")) {
        buffer_append_format(error, "CONTRACT READ %.*s is not in this version: linearizable, local and one are",
                             TEXT(value));
        return STATUS_LIMIT;
    }
    buffer_append_format(error, "ERR READ '%.*s' is unknown: say linearizable, local or one", TEXT(value));
    return STATUS_MALFORMED;
}

/* Says which need all replicas together leave open; at least one does. */
static void append_unmet_need(const struct placement *p, const struct topology *topology, const struct durability *d,
                              struct buffer *error)
{
    uint64_t all = (UINT64_C(1) << p->count) - 1;
    for (uint32_t i = 0; i < p->rule.needs_count; i++) {
        uint8_t label = p->rule.needs[i].label;
        uint32_t have = commit_distinct(p->labels, p->count, all, label);
        if (have >= p->rule.needs[i].distinct) continue;
        buffer_append_format(error, "CONTRACT DURABILITY ");
        durability_format(d, error);
        buffer_append_format(error,
                             " needs replicas of %u different %ss, and these replicas have %u: no write could be "
                             "acknowledged, ever; place REPLICAS in more of them, or ask for less",
                             (unsigned)p->rule.needs[i].distinct, topology_label_name(topology, label), have);
        return;
    }
}

static enum status check_members(const struct contract *c, const struct topology *topology, struct buffer *error)
{
    uint32_t total = 0;
    bool full = false;
    for (uint32_t i = 0; i < topology->regions_count; i++) {
        total += c->replicas[i];
        full = full || (c->replicas[i] && !(c->witness_regions >> i & 1));
    }
    if (total > GROUP_REPLICAS_MAX) {
        buffer_append_format(error, "CONTRACT an ordered table has at most %d replicas", GROUP_REPLICAS_MAX);
        return STATUS_LIMIT;
    }
    if (!full) {
        buffer_append_format(error, "CONTRACT witnesses hold no data: at least one replica must be a full one");
        return STATUS_LIMIT;
    }
    return STATUS_OK;
}

enum status contract_check_placement(const struct contract *c, const struct topology *topology, uint64_t table,
                                     struct buffer *out_error)
{
    if (c->engine != ENGINE_ORDERED || c->durability.rule.needs_count == 0) return STATUS_OK;
    for (uint16_t partition = 0; partition < c->partitions; partition++) {
        struct placement p;
        placement_members(topology, c, table, partition, &p);
        if (commit_rule_holds(&p.rule, p.labels, p.count, (UINT64_C(1) << p.count) - 1)) continue;
        append_unmet_need(&p, topology, &c->durability, out_error);
        return STATUS_LIMIT;
    }
    return STATUS_OK;
}

static enum status check_ordered(struct draft *d, const struct topology *topology, struct buffer *error)
{
    if (d->seen[OPTION_CONFLICT]) {
        buffer_append_format(error, "CONTRACT CONFLICT is for mergeable tables: on an ordered table writes have one "
                                    "order, and none conflict");
        return STATUS_LIMIT;
    }
    if (d->seen[OPTION_WRITE]) {
        buffer_append_format(error, "CONTRACT WRITE is for mergeable tables: on an ordered table say DURABILITY");
        return STATUS_LIMIT;
    }
    if (!d->seen[OPTION_DURABILITY]) d->contract.durability.kind = DURABILITY_MAJORITY;
    if (d->contract.has_minimum && d->contract.durability.kind == DURABILITY_LEADER) {
        buffer_append_format(error, "CONTRACT INVARIANT can't be acknowledged by the leader alone: a new leader may "
                                    "not know the write; say DURABILITY majority or more");
        return STATUS_LIMIT;
    }
    enum status status = parse_ordered_read(d, error);
    if (status == STATUS_OK) status = check_members(&d->contract, topology, error);
    return status ? status : contract_check_placement(&d->contract, topology, 0, error);
}

static void begin_draft(const struct topology *topology, struct draft *d)
{
    memset(d, 0, sizeof *d);
    d->contract.partitions = PARTITIONS_DEFAULT;
    for (uint32_t i = 0; i < topology->regions_count; i++) d->contract.replicas[i] = 1;
}

enum status contract_parse(const struct slice *words, size_t count, const struct topology *topology,
                           struct contract *out, struct buffer *out_error)
{
    struct draft d;
    begin_draft(topology, &d);
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
        if (d.seen[option]) {
            buffer_append_format(out_error, "ERR option %s is given twice", options[option]);
            return STATUS_MALFORMED;
        }
        d.seen[option] = true;
        d.values[option] = words[i + 1];
        enum status status = parse_option((enum option)option, words[i + 1], topology, &d.contract, out_error);
        if (status) return status;
    }
    bool ordered = d.contract.engine == ENGINE_ORDERED;
    enum status status = ordered ? check_ordered(&d, topology, out_error) : check_mergeable(&d, out_error);
    if (status == STATUS_OK) *out = d.contract;
    return status;
}
