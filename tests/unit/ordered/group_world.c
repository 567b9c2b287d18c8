/* group_world.c: see group_world.h. */
#include "tests/unit/ordered/group_world.h"

#include "base/memory.h"
#include "tests/unit/ordered/machine_world.h"

enum { TABLE = 7, PARTITION = 3, MEMORY_BYTES = 1 << 30, SEGMENT_BYTES = 1 << 20, DISK_BYTES = 1 << 26 };

static struct group_now now_of(const struct group_world *w)
{
    return (struct group_now){.wall_ms = w->now_ms, .mono_ns = w->now_ms * 1000 * 1000};
}

/* ---- what the group says ---- */

static void on_send(void *user, uint16_t node, struct slice bytes)
{
    struct group_world *w = user;
    struct raft_letter letter;
    struct reader r = reader_of(bytes);
    w->generation = read_varint(&r);
    w->said = read_u8(&r);
    ASSERT(!r.failed && node != GROUP_WORLD_SELF);
    if (w->said == GROUP_ASIDE) {
        w->aside_last = read_varint(&r);
        w->aside_count = read_varint(&r);
    }
    if (w->said != GROUP_RAFT) return;
    enum status status = raft_letter_read(slice_of(r.at, reader_left(&r)), &letter);
    ASSERT(status == STATUS_OK);
    if (letter.kind == KIND_APPEND_REPLY && letter.append_reply.match > w->match) w->match = letter.append_reply.match;
    if (w->sent_count == GROUP_WORLD_SENT_MAX) w->sent_count = 0;
    w->sent[w->sent_count++] = letter;
}

static void on_done(void *user, uint64_t token, enum group_outcome outcome, struct buffer *reply)
{
    struct group_world *w = user;
    ASSERT(token);
    (void)reply;
    w->outcome = outcome;
    w->done_count++;
}

static void on_role_changed(void *user)
{
    (void)user;
}

/* ---- life ---- */

void group_world_init(struct group_world *w)
{
    *w = (struct group_world){.now_ms = 1000000};
    memory_files_init(&w->files, 1);
    memory_kv_init(&w->kv);
    raft_effects_init(&w->scratch);
    prng_init(&w->prng, 1);
    for (int i = 0; i < 2; i++) buffer_init(&w->metas[i], 1 << 24);
}

static void on_partition(void *user, uint64_t table, uint16_t partition, struct slice meta)
{
    struct group_world *w = user;
    ASSERT(table == TABLE);
    struct buffer *to = &w->metas[partition & MACHINE_HOME_BIT ? 1 : 0];
    buffer_clear(to);
    buffer_append_slice(to, meta);
}

static void open_store(struct group_world *w)
{
    struct kv_port port = memory_kv_port(&w->kv);
    struct store_config config = {.memory_bytes_max = MEMORY_BYTES};
    struct buffer error;
    buffer_init(&error, 1000);
    w->store = store_new(&config, &port);
    for (int i = 0; i < 2; i++) buffer_clear(&w->metas[i]);
    enum status status = store_open(w->store, on_partition, w, &error);
    ASSERT(status == STATUS_OK);
    buffer_deinit(&error);
}

static void open_group(struct group_world *w)
{
    struct group_config config = {
        .machine = {.store = w->store, .table = TABLE, .partition = PARTITION, .prng = &w->prng},
        .self = GROUP_WORLD_SELF,
        .incarnation = ++w->starts,
        .members = {.members_count = GROUP_WORLD_MEMBERS},
        .prng = &w->prng,
        .scratch = &w->scratch,
        .effects = {w, on_send, on_done, on_role_changed},
    };
    for (uint16_t i = 0; i < GROUP_WORLD_MEMBERS; i++) {
        config.members.members[i] = (struct raft_member){.node = (uint16_t)(i + 1), .kind = RAFT_VOTER};
    }
    struct slice metas[2] = {buffer_slice(&w->metas[0]), buffer_slice(&w->metas[1])};
    enum status status = group_open(&config, metas, &w->group);
    ASSERT(status == STATUS_OK);
}

static void visit(void *user, const struct log_record *record)
{
    struct group_world *w = user;
    group_replay(w->group, record);
}

void group_world_open(struct group_world *w)
{
    struct files_port port = memory_files_port(&w->files);
    struct log_config config = {.segment_bytes = SEGMENT_BYTES, .bytes_max = DISK_BYTES, .folder_id = 1};
    struct buffer error;
    buffer_init(&error, 1000);
    w->match = 0;
    open_store(w);
    open_group(w);
    enum status status = log_open(&config, &port, visit, w, &w->log, &error);
    ASSERT(status == STATUS_OK);
    status = group_start(w->group, w->log, now_of(w));
    ASSERT(status == STATUS_OK);
    buffer_deinit(&error);
}

static void close_all(struct group_world *w)
{
    group_free(w->group);
    log_free(w->log);
    store_free(w->store);
}

void group_world_crash(struct group_world *w)
{
    close_all(w);
    memory_files_restart(&w->files);
    memory_kv_crash(&w->kv, 0);
}

void group_world_deinit(struct group_world *w)
{
    close_all(w);
    memory_files_deinit(&w->files);
    memory_kv_deinit(&w->kv);
    raft_effects_deinit(&w->scratch);
    for (int i = 0; i < 2; i++) buffer_deinit(&w->metas[i]);
}

/* ---- the world goes on ---- */

static bool step(struct group_world *w)
{
    bool more = store_work(w->store, 1000);
    log_submit(w->log);
    if (w->files.requests_count) {
        log_on_file_done(w->log, memory_files_complete(&w->files, 0));
        store_on_log_durable(w->store, log_durable_lsn(w->log));
        group_on_durable(w->group, log_durable_lsn(w->log), now_of(w));
        more = true;
    }
    struct kv_request *request = memory_kv_complete(&w->kv);
    if (!request) return more;
    store_on_kv_done(w->store, request);
    return true;
}

void group_world_run(struct group_world *w)
{
    while (step(w)) {}
    group_check(w->group);
}

void group_world_pass_ms(struct group_world *w, uint64_t ms)
{
    for (uint64_t end_ms = w->now_ms + ms; w->now_ms < end_ms; w->now_ms++) {
        if (now_of(w).mono_ns >= group_next_deadline_ns(w->group)) group_tick(w->group, now_of(w));
        group_world_run(w);
    }
}

void group_world_write_back(struct group_world *w)
{
    (void)group_write_back(w->group);
    group_world_run(w);
    store_flush(w->store);
    group_world_run(w);
}

/* ---- the other members ---- */

void group_world_hear(struct group_world *w, uint16_t node, struct raft_letter *letter)
{
    struct raft_stamp stamp = {.round = w->now_ms, .sent_ns = now_of(w).mono_ns};
    if (letter->kind == KIND_APPEND) letter->append.stamp = stamp;
    if (letter->kind == KIND_CHUNK) letter->chunk.stamp = stamp;
    struct buffer bytes;
    buffer_init(&bytes, RAFT_MESSAGE_BYTES_MAX);
    write_varint(&bytes, w->hear_as);
    write_u8(&bytes, GROUP_RAFT);
    raft_letter_write(&bytes, letter);
    enum status status = group_on_message(w->group, node, buffer_slice(&bytes), now_of(w));
    ASSERT(status == STATUS_OK);
    buffer_deinit(&bytes);
}

void group_world_say(struct group_world *w, uint16_t node, enum group_message what, struct slice body)
{
    struct buffer bytes;
    buffer_init(&bytes, RAFT_MESSAGE_BYTES_MAX);
    write_varint(&bytes, w->hear_as);
    write_u8(&bytes, (uint8_t)what);
    buffer_append_slice(&bytes, body);
    enum status status = group_on_message(w->group, node, buffer_slice(&bytes), now_of(w));
    ASSERT(status == STATUS_OK);
    buffer_deinit(&bytes);
}

void group_world_notice(struct group_world *w, uint16_t node, const struct recovery_order *order)
{
    struct buffer bytes;
    buffer_init(&bytes, RECOVERY_BYTES_MAX + 16);
    write_varint(&bytes, order->generation);
    write_u8(&bytes, GROUP_NOTICE);
    recovery_order_write(&bytes, order);
    enum status status = group_on_message(w->group, node, buffer_slice(&bytes), now_of(w));
    ASSERT(status == STATUS_OK);
    buffer_deinit(&bytes);
}

static void write_command(struct buffer *out, uint64_t time_ms)
{
    struct slice args[] = {slice_of_string("SET"), slice_of_string("key"), slice_of_string("value")};
    struct machine_args command = {args, 3};
    struct machine_entry entry = {.kind = MACHINE_ENTRY_COMMAND,
                                  .time_ms = time_ms,
                                  .resp_version = 2,
                                  .commands = &command,
                                  .commands_count = 1};
    machine_entry_write(out, &entry);
}

void group_world_append(struct group_world *w, uint16_t leader, uint64_t term, uint64_t index, uint64_t previous_term,
                        uint32_t count, uint64_t commit)
{
    struct buffer command, entries;
    buffer_init(&command, MACHINE_ENTRY_BYTES_MAX);
    buffer_init(&entries, RAFT_MESSAGE_BYTES_MAX);
    write_command(&command, w->now_ms);
    for (uint32_t i = 0; i < count; i++) {
        raft_append_entry_write(&entries, term, RAFT_ENTRY_NORMAL, buffer_slice(&command));
    }
    struct raft_letter letter = {.kind = KIND_APPEND, .term = term};
    letter.append = (struct raft_append){.previous_index = index,
                                         .previous_term = previous_term,
                                         .commit = commit,
                                         .count = count,
                                         .entries = buffer_slice(&entries)};
    group_world_hear(w, leader, &letter);
    buffer_deinit(&command);
    buffer_deinit(&entries);
}

/* The stream of another machine that applied nothing but empty entries. */
static void write_state(uint64_t index, uint64_t term, struct buffer *out)
{
    struct machine_world donor;
    struct machine_answer answer;
    world_init(&donor);
    world_open(&donor);
    for (uint64_t i = 1; i <= index; i++) machine_skip(donor.machine, i, i, i < index ? 1 : term, slice_of(NULL, 0));
    struct machine_snapshot *snapshot = machine_snapshot_begin(donor.machine);
    enum machine_snapshot_result result = machine_snapshot_next(snapshot, RAFT_CHUNK_BYTES_MAX, out, &answer);
    ASSERT(result == SNAPSHOT_LAST);
    machine_snapshot_end(snapshot);
    world_deinit(&donor);
}

void group_world_snapshot(struct group_world *w, uint16_t leader, uint64_t term, uint64_t index, uint64_t entry_term)
{
    struct buffer state, configuration;
    buffer_init(&state, RAFT_CHUNK_BYTES_MAX);
    buffer_init(&configuration, MACHINE_CONFIGURATION_BYTES_MAX);
    write_state(index, entry_term, &state);
    uint64_t configured_index;
    raft_configuration_write(&configuration, raft_configuration(group_raft(w->group), &configured_index));
    struct raft_letter letter = {.kind = KIND_CHUNK, .term = term};
    letter.chunk.chunk = (struct raft_chunk){.index = index,
                                             .term = entry_term,
                                             .configuration = buffer_slice(&configuration),
                                             .next = 1,
                                             .last = true,
                                             .bytes = buffer_slice(&state)};
    group_world_hear(w, leader, &letter);
    buffer_deinit(&state);
    buffer_deinit(&configuration);
}
