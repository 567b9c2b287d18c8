/* machine.c: the life of a machine, its two homes in the store, and its meta record.
 *
 *     meta = format:u8 is_complete:u8 applied_index applied_term time locks expiring
 *            transactions transactions_bytes holds (varints)
 *            hours:count{ hour count bytes }  configuration:bytes
 */
#include "ordered/machine_internal.h"

#include "base/memory.h"
#include "wire/varint.h"

enum { META_FORMAT = 2 };

/* ---- the functions of the spaces ---- */

static void encode_value(const void *object, struct buffer *out)
{
    value_encode(object, out);
}

static void *decode_value(struct slice key, struct slice bytes)
{
    (void)key;
    return value_decode(bytes);
}

static void free_value(void *object)
{
    value_free(object);
}

static size_t bytes_of_value(const void *object)
{
    return value_bytes(object);
}

static void encode_record(const void *object, struct buffer *out)
{
    const struct record *r = object;
    write_varint(out, r->version);
    buffer_append_slice(out, record_bytes(r));
}

static void *decode_record(struct slice key, struct slice bytes)
{
    (void)key;
    struct reader reader = reader_of(bytes);
    uint64_t version = read_varint(&reader);
    size_t length = reader_left(&reader);
    if (reader.failed || length > UINT32_MAX) return NULL;
    struct record *r = memory_alloc(sizeof *r + length);
    *r = (struct record){.version = version, .length = (uint32_t)length};
    struct slice rest = read_exact(&reader, length);
    if (length) memcpy(r->bytes, rest.data, length);
    return r;
}

static size_t bytes_of_record(const void *object)
{
    const struct record *r = object;
    return sizeof *r + r->length;
}

static const struct store_object_functions functions[SPACE_KIND_COUNT] = {
    [SPACE_DATA] = {encode_value, decode_value, free_value, bytes_of_value},
    [SPACE_LEDGER] = {encode_record, decode_record, memory_free, bytes_of_record}};

const struct store_object_functions *machine__functions(enum store_space_kind kind)
{
    return &functions[kind];
}

/* ---- the meta record ---- */

void machine__state_init(struct machine_state *state)
{
    *state = (struct machine_state){0};
    buffer_init(&state->configuration, MACHINE_CONFIGURATION_BYTES_MAX);
}

void machine__state_deinit(struct machine_state *state)
{
    buffer_deinit(&state->configuration);
}

void machine__encode_state(const struct machine_state *state, bool is_complete, struct buffer *out)
{
    write_u8(out, META_FORMAT);
    write_u8(out, is_complete);
    write_varint(out, state->era);
    write_varint(out, state->applied_index);
    write_varint(out, state->applied_term);
    write_varint(out, state->time_ms);
    write_varint(out, state->locks_count);
    write_varint(out, state->expiring_count);
    write_varint(out, state->transactions_count);
    write_varint(out, state->transactions_bytes);
    write_varint(out, state->holds_count);
    write_varint(out, state->ledger_count);
    for (uint32_t i = 0; i < OUTCOME_HOURS; i++) {
        const struct outcome_hour *hour = &state->hours[i];
        write_varint(out, hour->count ? hour->hour : 0);
        write_varint(out, hour->count);
        write_varint(out, hour->count ? hour->bytes : 0);
    }
    write_bytes(out, buffer_slice(&state->configuration));
}

enum status machine__decode_state(struct slice bytes, struct machine_state *out, bool *out_is_complete)
{
    struct reader r = reader_of(bytes);
    if (read_u8(&r) != META_FORMAT) return r.failed ? STATUS_CORRUPT : STATUS_VERSION;
    *out_is_complete = read_u8(&r) == 1;
    out->era = read_varint(&r);
    out->applied_index = read_varint(&r);
    out->applied_term = read_varint(&r);
    out->time_ms = read_varint(&r);
    out->locks_count = read_varint(&r);
    out->expiring_count = read_varint(&r);
    out->transactions_count = read_varint(&r);
    out->transactions_bytes = read_varint(&r);
    out->holds_count = read_varint(&r);
    out->ledger_count = read_varint(&r);
    for (uint32_t i = 0; i < OUTCOME_HOURS; i++) {
        out->hours[i].hour = read_varint(&r);
        out->hours[i].count = read_varint(&r);
        out->hours[i].bytes = read_varint(&r);
    }
    struct slice configuration = read_bytes(&r);
    if (!reader_finished(&r) || configuration.length > MACHINE_CONFIGURATION_BYTES_MAX) return STATUS_CORRUPT;
    buffer_clear(&out->configuration);
    buffer_append_slice(&out->configuration, configuration);
    return STATUS_OK;
}

static void encode_meta(void *user, struct buffer *out)
{
    const struct machine_home *home = user;
    machine__encode_state(&home->machine->state, home->is_complete, out);
}

/* ---- homes ---- */

enum status machine__open_home(struct machine *m, uint32_t home)
{
    struct machine_home *h = &m->homes[home];
    ASSERT(!h->partition);
    struct store_partition_owner owner = {.user = h, .encode_meta = encode_meta};
    memcpy(owner.functions, functions, sizeof functions);
    uint16_t number = (uint16_t)(m->config.partition | (home ? MACHINE_HOME_BIT : 0));
    return store_partition_open(m->config.store, m->config.table, number, &owner, &h->partition);
}

void machine__use_home(struct machine *m, uint32_t home)
{
    m->live = home;
    m->homes[home].is_complete = true;
    m->data = store_partition_space(m->homes[home].partition, SPACE_DATA);
    m->records = store_partition_space(m->homes[home].partition, SPACE_LEDGER);
}

static bool is_newer(const struct machine_state *a, const struct machine_state *b)
{
    return a->era != b->era ? a->era > b->era : a->applied_index > b->applied_index;
}

/* Choose the home with the newer whole state; *out_home is 0 where there is none. */
static enum status choose_home(struct machine *m, const struct slice metas[2], uint32_t *out_home)
{
    bool found = false;
    *out_home = 0;
    for (uint32_t home = 0; home < 2; home++) {
        if (metas[home].length == 0) continue;
        struct machine_state state;
        machine__state_init(&state);
        bool is_complete = false;
        enum status status = machine__decode_state(metas[home], &state, &is_complete);
        if (status == STATUS_OK && is_complete && (!found || is_newer(&state, &m->state))) {
            struct machine_state kept = m->state;
            m->state = state;
            state = kept;
            found = true;
            *out_home = home;
        }
        machine__state_deinit(&state);
        if (status != STATUS_OK) return status;
    }
    return STATUS_OK;
}

/* Open the home that is not to be used, only to drop it. */
static enum status drop_other_home(struct machine *m, const struct slice metas[2], uint32_t other)
{
    if (metas[other].length == 0) return STATUS_OK;
    enum status status = machine__open_home(m, other);
    if (status != STATUS_OK) return status;
    store_partition_drop(m->homes[other].partition);
    m->homes[other].partition = NULL;
    return STATUS_OK;
}

enum status machine_open(const struct machine_config *config, const struct slice metas[2], struct machine **out)
{
    ASSERT(!(config->partition & MACHINE_HOME_BIT));
    struct machine *m = memory_zalloc(1, sizeof *m);
    m->config = *config;
    m->homes[0].machine = m->homes[1].machine = m;
    machine__state_init(&m->state);
    arena_init(&m->arena);
    buffer_init(&m->scratch, MACHINE_REPLY_BYTES_MAX);

    uint32_t home;
    enum status status = choose_home(m, metas, &home);
    if (status == STATUS_OK) status = drop_other_home(m, metas, 1 - home);
    if (status == STATUS_OK) status = machine__open_home(m, home);
    if (status != STATUS_OK) {
        machine_free(m);
        return status;
    }
    machine__use_home(m, home);
    m->expiries.is_learned = m->state.expiring_count == 0;
    machine__due_reset(m);
    *out = m;
    return STATUS_OK;
}

void machine_free(struct machine *m)
{
    if (!m) return;
    machine__snapshots_lose(m);
    for (uint32_t i = 0; i < MACHINE_SNAPSHOTS_MAX; i++) machine_snapshot_end(m->snapshots[i]);
    if (m->install.state) machine__state_deinit(m->install.state);
    memory_free(m->install.state);
    buffer_deinit(&m->install.pending);
    machine__state_deinit(&m->state);
    arena_deinit(&m->arena);
    buffer_deinit(&m->scratch);
    memory_free(m->expiries.all);
    memory_free(m->due.doubts.all);
    memory_free(m->due.sweeps.all);
    memory_free(m->undos);
    memory_free(m);
}

void machine_drop(struct machine *m)
{
    for (uint32_t home = 0; home < 2; home++) {
        if (m->homes[home].partition) store_partition_drop(m->homes[home].partition);
    }
    machine_free(m);
}

/* ---- positions ---- */

void machine__advance(struct machine *m, uint64_t lsn, uint64_t index, uint64_t term)
{
    ASSERT(index == m->state.applied_index + 1);
    ASSERT(term >= m->state.applied_term);
    m->state.applied_index = index;
    m->state.applied_term = term;
    store_meta_changed(m->homes[m->live].partition, lsn);
}

void machine_skip(struct machine *m, uint64_t lsn, uint64_t index, uint64_t term, struct slice configuration)
{
    ASSERT(configuration.length <= MACHINE_CONFIGURATION_BYTES_MAX);
    machine__advance(m, lsn, index, term);
    if (configuration.length == 0) return;
    buffer_clear(&m->state.configuration);
    buffer_append_slice(&m->state.configuration, configuration);
}

void machine_set_era(struct machine *m, uint64_t era)
{
    ASSERT(era >= m->state.era);
    m->state.era = era;
}

uint64_t machine_applied_index(const struct machine *m)
{
    return m->state.applied_index;
}

uint64_t machine_applied_term(const struct machine *m)
{
    return m->state.applied_term;
}

uint64_t machine_time_ms(const struct machine *m)
{
    return m->state.time_ms;
}

struct slice machine_configuration(const struct machine *m)
{
    return buffer_slice(&m->state.configuration);
}

uint64_t machine_key_count(const struct machine *m)
{
    return store_space_count(m->data);
}

struct store_space *machine_data_space(struct machine *m)
{
    return m->data;
}

struct store_space *machine_record_space(struct machine *m)
{
    return m->records;
}

enum value_type machine_item_type(const struct machine *m, const struct store_item *item, uint64_t now_ms)
{
    const struct value *v = item->object;
    uint64_t time_ms = now_ms > m->state.time_ms ? now_ms : m->state.time_ms;
    return value_is_expired(v, time_ms) ? VALUE_NONE : v->type;
}

/* ---- write-back ---- */

/* An old home stays at rest as it is. A home that is being filled is written too, so that its items can
 * go cold: as of the log's first position, since the log has no part in it. */
bool machine_write_back(struct machine *m, uint64_t applied_lsn)
{
    if (m->old_home_waits && applied_lsn < m->flush_wanted) applied_lsn = m->flush_wanted;
    bool begun = store_write_back(m->homes[m->live].partition, applied_lsn);
    if (m->install.active) begun |= store_write_back(m->homes[1 - m->live].partition, INSTALL_LSN);
    return begun;
}

uint64_t machine_flushed_lsn(const struct machine *m)
{
    return store_partition_flushed_lsn(m->homes[m->old_home_waits ? 1 - m->live : m->live].partition);
}
