/* machine_install.c: receiving a snapshot into the home that is not in use.
 *
 * The old state counts as a copy of what this replica once acknowledged, so it stays at rest until the new one is
 * durable: a crash at any moment leaves one whole state, the newer one if there are two (machine_open).
 */
#include "base/hash.h"
#include "base/memory.h"
#include "ordered/machine_internal.h"
#include "ordered/machine_stream.h"
#include "wire/varint.h"

enum { INSTALL_PENDING_BYTES_MAX = 1 << 30 };

static void drop_home(struct machine *m, uint32_t home)
{
    store_partition_drop(m->homes[home].partition);
    m->homes[home].partition = NULL;
    m->homes[home].is_complete = false;
}

static void forget_install(struct machine *m)
{
    if (m->install.state) machine__state_deinit(m->install.state);
    memory_free(m->install.state);
    buffer_deinit(&m->install.pending);
    m->install = (struct machine_install){0};
}

void machine_install_abort(struct machine *m)
{
    if (!m->install.active) return;
    forget_install(m);
    drop_home(m, 1 - m->live);
}

enum status machine_install_begin(struct machine *m)
{
    if (!machine_install_is_durable(m)) return STATUS_BUSY;
    machine_install_abort(m);
    enum status status = machine__open_home(m, 1 - m->live);
    if (status != STATUS_OK) return status;
    m->homes[1 - m->live].is_complete = false;
    m->install.active = true;
    buffer_init(&m->install.pending, INSTALL_PENDING_BYTES_MAX);
    return STATUS_OK;
}

/* ---- the stream ---- */

static enum status put_item(struct machine *m, enum store_space_kind kind, struct slice key, struct slice bytes)
{
    struct store_space *space = store_partition_space(m->homes[1 - m->live].partition, kind);
    if (key.length == 0 && kind == SPACE_LEDGER) return STATUS_CORRUPT;
    if (key.length > RECORD_NAME_BYTES_MAX) return STATUS_CORRUPT;
    const struct store_object_functions *functions = machine__functions(kind);
    void *object = functions->decode(key, bytes);
    if (!object) return STATUS_CORRUPT;
    uint64_t hash = hash_key(key);
    struct store_item *item = store_find(space, key, hash);
    if (!item) item = store_insert(space, key, hash);
    store_will_change(space, item, INSTALL_LSN);
    functions->free(item->object); /* sent twice: the same */
    item->object = object;
    store_changed(space, item);
    return STATUS_OK;
}

static enum status take_head(struct machine *m, struct reader *r)
{
    uint32_t magic = read_u32(r);
    uint8_t version = read_u8(r);
    struct slice state = read_bytes(r);
    if (r->failed) return STATUS_MORE;
    if (magic != STREAM_MAGIC) return STATUS_CORRUPT;
    if (version != STREAM_VERSION) return STATUS_VERSION;
    m->install.state = memory_alloc(sizeof *m->install.state);
    machine__state_init(m->install.state);
    bool is_complete = false;
    enum status status = machine__decode_state(state, m->install.state, &is_complete);
    return status == STATUS_OK && !is_complete ? STATUS_CORRUPT : status;
}

static enum status take_record(struct machine *m, struct reader *r)
{
    uint8_t kind = read_u8(r);
    if (kind == STREAM_END) {
        uint64_t records = read_varint(r);
        if (r->failed) return STATUS_MORE;
        m->install.ended = true;
        return records == m->install.records && reader_left(r) == 0 ? STATUS_OK : STATUS_CORRUPT;
    }
    struct slice key = read_bytes(r), bytes = read_bytes(r);
    if (r->failed) return STATUS_MORE;
    if (kind >= SPACE_KIND_COUNT) return STATUS_CORRUPT;
    m->install.records++;
    return put_item(m, (enum store_space_kind)kind, key, bytes);
}

enum status machine_install_bytes(struct machine *m, struct slice bytes)
{
    struct machine_install *in = &m->install;
    if (!in->active || (in->ended && bytes.length > 0)) return STATUS_CORRUPT;
    buffer_append_slice(&in->pending, bytes);
    if (in->pending.overflowed) return STATUS_CORRUPT;
    struct slice left = buffer_slice(&in->pending);
    enum status status = STATUS_OK;
    while (status == STATUS_OK && left.length > 0 && !in->ended) {
        struct reader r = reader_of(left);
        status = in->state ? take_record(m, &r) : take_head(m, &r);
        if (status == STATUS_OK) left = slice_of(r.at, reader_left(&r));
    }
    if (status != STATUS_OK && status != STATUS_MORE) return STATUS_CORRUPT;
    buffer_consume(&in->pending, in->pending.length - left.length);
    return STATUS_OK;
}

/* ---- the change of homes ---- */

enum status machine_install_finish(struct machine *m, uint64_t lsn)
{
    if (!m->install.active || !m->install.ended) return STATUS_CORRUPT;
    machine__snapshots_lose(m);
    machine__state_deinit(&m->state);
    m->state = *m->install.state;
    memory_free(m->install.state);
    m->install.state = NULL;
    forget_install(m);

    machine__use_home(m, 1 - m->live);
    store_meta_changed(m->homes[m->live].partition, lsn);
    m->old_home_waits = true;
    m->flush_wanted = lsn > INSTALL_LSN ? lsn : INSTALL_LSN + 1;
    m->sweep_cursor = 0;
    m->expiries.count = 0;
    m->expiries.learn_cursor = 0;
    m->expiries.is_learned = m->state.expiring_count == 0;
    machine__due_reset(m);
    return STATUS_OK;
}

bool machine_install_is_durable(struct machine *m)
{
    if (!m->old_home_waits) return true;
    if (store_partition_flushed_lsn(m->homes[m->live].partition) < m->flush_wanted) return false;
    m->old_home_waits = false;
    drop_home(m, 1 - m->live);
    return true;
}
