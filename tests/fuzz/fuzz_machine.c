/* links: ordered storage contract wire base */
/* fuzz_machine.c: hostile log entries and snapshots. The first byte chooses: entries of any bytes, applied one after
 * the other by a small machine that is read from, written back and sent as a snapshot between them; or a snapshot's
 * stream of any bytes. What a machine took it can send, and the receiver ends with the same state. */
#include "base/memory.h"
#include "ordered/machine.h"
#include "tests/unit/storage/memory_kv.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ENTRIES_MAX = 64, STATE_BYTES_MAX = 1 << 28, CHUNK_BYTES = 300 };

struct world {
    struct memory_kv kv;
    struct store *store;
    struct machine *machine;
    struct prng prng;
    struct machine_answer answer;
};

static void on_partition(void *user, uint64_t table, uint16_t partition, struct slice meta)
{
    (void)user, (void)table, (void)partition, (void)meta;
    ASSERT(false); /* the store is new */
}

static struct world *world_new(bool with_minimum)
{
    struct world *w = memory_zalloc(1, sizeof *w);
    memory_kv_init(&w->kv);
    prng_init(&w->prng, 1);
    struct kv_port port = memory_kv_port(&w->kv);
    struct store_config config = {.memory_bytes_max = 1 << 28};
    w->store = store_new(&config, &port);
    struct buffer error;
    buffer_init(&error, 1000);
    enum status status = store_open(w->store, on_partition, w, &error);
    ASSERT(status == STATUS_OK);
    buffer_deinit(&error);
    struct machine_config machine = {
        .store = w->store, .table = 7, .partition = 3, .prng = &w->prng, .has_minimum = with_minimum};
    status = machine_open(&machine, (struct slice[2]){{0}}, &w->machine);
    ASSERT(status == STATUS_OK);
    return w;
}

static void world_free(struct world *w)
{
    machine_free(w->machine);
    store_free(w->store);
    memory_kv_deinit(&w->kv);
    memory_free(w);
}

static void pump(struct world *w)
{
    store_on_log_durable(w->store, UINT64_MAX);
    bool more = true;
    while (more) {
        more = store_work(w->store, 1000);
        struct kv_request *request = memory_kv_complete(&w->kv);
        if (!request) continue;
        store_on_kv_done(w->store, request);
        more = true;
    }
}

static void encode_state(struct world *w, struct buffer *out)
{
    bool is_hot = machine_encode_all(w->machine, out);
    ASSERT(is_hot); /* memory_bytes_max: nothing is evicted */
}

static bool install(struct world *to, struct slice stream, uint64_t lsn)
{
    enum status status = machine_install_begin(to->machine);
    ASSERT(status == STATUS_OK);
    while (stream.length > 0) {
        struct slice part = slice_of(stream.data, stream.length < CHUNK_BYTES ? stream.length : CHUNK_BYTES);
        status = machine_install_bytes(to->machine, part);
        if (status != STATUS_OK) break;
        stream = slice_of(stream.data + part.length, stream.length - part.length);
    }
    if (status == STATUS_OK) status = machine_install_finish(to->machine, lsn);
    if (status != STATUS_OK) {
        ASSERT(status == STATUS_CORRUPT);
        machine_install_abort(to->machine);
        return false;
    }
    machine_write_back(to->machine, lsn);
    pump(to);
    store_flush(to->store);
    pump(to);
    return true;
}

/* What `from` holds, sent to a new machine: the same state. */
static void send_to_another(struct world *from)
{
    struct buffer stream, ours, theirs;
    buffer_init(&stream, STATE_BYTES_MAX);
    buffer_init(&ours, STATE_BYTES_MAX);
    buffer_init(&theirs, STATE_BYTES_MAX);
    struct machine_snapshot *snapshot = machine_snapshot_begin(from->machine);
    enum machine_snapshot_result result = SNAPSHOT_CHUNK;
    while (result == SNAPSHOT_CHUNK) {
        result = machine_snapshot_next(snapshot, CHUNK_BYTES, &stream, &from->answer);
    }
    ASSERT(result == SNAPSHOT_LAST);
    machine_snapshot_end(snapshot);
    struct world *to = world_new(false);
    bool is_taken = install(to, buffer_slice(&stream), 1);
    ASSERT(is_taken);
    encode_state(from, &ours);
    encode_state(to, &theirs);
    ASSERT(slice_equal(buffer_slice(&ours), buffer_slice(&theirs)));
    world_free(to);
    buffer_deinit(&stream);
    buffer_deinit(&ours);
    buffer_deinit(&theirs);
}

static void apply_one(struct world *w, struct slice entry)
{
    struct buffer reply;
    buffer_init(&reply, MACHINE_REPLY_BYTES_MAX);
    uint64_t index = machine_applied_index(w->machine) + 1;
    enum machine_result result = machine_apply(w->machine, index, index, 1, entry, &reply, &w->answer);
    ASSERT(result != MACHINE_COLD && machine_applied_index(w->machine) == index);
    if (result == MACHINE_DONE) ASSERT(reply.length > 0 || reply.overflowed);
    buffer_deinit(&reply);
}

static void try_entries(bool with_minimum, struct reader *r)
{
    struct world *w = world_new(with_minimum);
    for (int i = 0; i < ENTRIES_MAX && reader_left(r) > 0; i++) {
        struct slice entry = read_bytes(r);
        if (r->failed) break;
        apply_one(w, entry);
        if (entry.length % 16 == 7) {
            machine_write_back(w->machine, machine_applied_index(w->machine));
            pump(w);
        }
    }
    struct buffer expired;
    buffer_init(&expired, MACHINE_ENTRY_BYTES_MAX);
    enum machine_result result = machine_expire(w->machine, machine_time_ms(w->machine), &expired, &w->answer);
    if (result == MACHINE_DONE && expired.length) apply_one(w, buffer_slice(&expired));
    buffer_deinit(&expired);
    if (machine_applied_index(w->machine)) send_to_another(w);
    world_free(w);
}

static void try_stream(struct slice bytes)
{
    struct world *w = world_new(false);
    if (install(w, bytes, 1)) {
        struct buffer state;
        buffer_init(&state, STATE_BYTES_MAX);
        encode_state(w, &state);
        buffer_deinit(&state);
        send_to_another(w);
    }
    world_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    struct reader r = reader_of(slice_of(data + 1, size - 1));
    if (data[0] & 1)
        try_stream(slice_of(data + 1, size - 1));
    else
        try_entries(data[0] & 2, &r);
    return 0;
}
