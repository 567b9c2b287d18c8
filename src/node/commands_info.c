/* commands_info.c: INFO: the state of this shard's process in Redis' sections, where we have what they tell, and a
 * section `meridian` for what Redis has not. Numbers are this shard's; with several shards each answers for itself.
 */
#include "node/commands_server.h"
#include "node/shard_internal.h"

static unsigned long long u(uint64_t value)
{
    return (unsigned long long)value;
}

static void info_server(struct shard *s, struct buffer *b)
{
    uint64_t uptime_s = (s->now.wall_ms - s->opened_ms) / 1000;
    buffer_append_format(b, "redis_version:7.0.0\r\nmeridian_version:%s\r\nredis_mode:standalone\r\narch_bits:64\r\n",
                         s->config.version);
    buffer_append_format(b, "tcp_port:%u\r\nserver_time_usec:%llu\r\nuptime_in_seconds:%llu\r\nuptime_in_days:%llu\r\n",
                         (unsigned)shard__self(s)->resp.port, u(s->now.wall_ms * 1000), u(uptime_s),
                         u(uptime_s / 86400));
}

static void info_clients(struct shard *s, struct buffer *b)
{
    uint32_t subscribers = 0;
    for (struct list_node *n = s->subscribers.head.next; n != &s->subscribers.head; n = n->next) subscribers++;
    buffer_append_format(b, "connected_clients:%u\r\nmaxclients:%d\r\nblocked_clients:0\r\npubsub_clients:%u\r\n",
                         s->clients_count, CLIENTS_MAX, subscribers);
}

static void info_memory(struct shard *s, struct buffer *b)
{
    uint64_t used = store_memory_bytes(s->store);
    buffer_append_format(b, "used_memory:%llu\r\nmaxmemory:%llu\r\nmaxmemory_policy:noeviction\r\n", u(used),
                         u(s->config.memory_bytes_max));
}

static void info_persistence(struct shard *s, struct buffer *b)
{
    const char *health = store_health(s->store) == STATUS_OK ? "ok" : "err";
    buffer_append_format(b, "loading:0\r\naof_enabled:1\r\naof_last_write_status:%s\r\nrdb_bgsave_in_progress:%d\r\n",
                         shard__is_out_of_space(s) ? "err" : "ok", s->pass_running);
    buffer_append_format(b, "rdb_last_bgsave_status:%s\r\nlog_bytes:%llu\r\nlog_segments:%u\r\nlog_last_lsn:%llu\r\n",
                         health, u(log_bytes(s->log)), log_segment_count(s->log), u(log_last_lsn(s->log)));
    buffer_append_format(b, "log_durable_lsn:%llu\r\nwritten_back_lsn:%llu\r\n", u(s->durable_lsn), u(s->passed_lsn));
}

static void info_stats(struct shard *s, struct buffer *b)
{
    const struct statistics *t = &s->statistics;
    buffer_append_format(
        b, "total_connections_received:%llu\r\ntotal_commands_processed:%llu\r\nrejected_connections:%llu\r\n",
        u(t->connections), u(t->commands), u(t->connections_refused));
    buffer_append_format(b, "total_error_replies:%llu\r\ntotal_net_input_bytes:%llu\r\nforwarded:%llu\r\n",
                         u(t->errors), u(t->bytes_in), u(t->forwarded));
    buffer_append_format(
        b, "forwarded_unknown:%llu\r\nserved_for_others:%llu\r\npeer_frames:%llu\r\npeer_frames_refused:%llu\r\n",
        u(t->forwarded_unknown), u(t->served), u(t->frames_in), u(t->frames_refused));
    buffer_append_format(b, "peer_bytes_sent:%llu\r\nconflict_notices:%llu\r\n", u(t->peer_bytes_sent), u(t->notices));
}

static void info_replication(struct shard *s, struct buffer *b)
{
    uint32_t up = 0;
    for (uint32_t i = 0; i < shard__topology(s)->nodes_count; i++) up += s->peers[i].up;
    buffer_append_format(b, "role:master\r\nconnected_slaves:0\r\nconnected_peers:%u\r\n", up);
}

struct totals {
    uint64_t keys, ledgered, garbage, replicas, joining, marked;
    uint64_t groups, led, leaderless, asleep;
};

static void add_replica(void *user, struct replica *replica)
{
    struct totals *totals = user;
    totals->keys += store_space_count(replica_data(replica));
    totals->ledgered += ledger_count(replica);
    totals->garbage += replica_garbage_count(replica);
    totals->replicas++;
    totals->joining += !replica_is_settled(replica);
    totals->marked += replica_peers_marked(replica);
}

static void add_group(void *user, struct group *group)
{
    struct totals *totals = user;
    if (group_table(group) == TABLE_ID_META) return;
    totals->keys += machine_key_count(group_machine(group));
    totals->groups++;
    totals->led += group_is_leader(group);
    totals->leaderless += group_leader(group) == 0;
    totals->asleep += raft_is_quiesced(group_raft(group));
}

static void info_keyspace(struct shard *s, struct buffer *b)
{
    struct totals totals = {0};
    shard_visit_replicas(s, add_replica, &totals);
    shard_visit_groups(s, add_group, &totals);
    if (totals.keys) buffer_append_format(b, "db0:keys=%llu,expires=0,avg_ttl=0\r\n", u(totals.keys));
}

static void info_meridian(struct shard *s, struct buffer *b)
{
    const struct topology *t = shard__topology(s);
    struct totals totals = {0};
    shard_visit_replicas(s, add_replica, &totals);
    shard_visit_groups(s, add_group, &totals);
    buffer_append_format(b, "node:%s\r\nregion:%s\r\nzone:%s\r\nshard:%u\r\nshards:%u\r\nepoch:%llu\r\n",
                         shard__self(s)->id, t->regions[shard__self(s)->region], shard__self(s)->zone,
                         (unsigned)s->config.shard, (unsigned)s->config.shards, u(t->epoch));
    buffer_append_format(b, "tables:%u\r\nreplicas:%llu\r\nreplicas_joining:%llu\r\nconflicts_open:%llu\r\n",
                         s->tables_count - 1, u(totals.replicas), u(totals.joining), u(totals.ledgered));
    buffer_append_format(b, "groups:%llu\r\ngroups_led:%llu\r\ngroups_leaderless:%llu\r\ngroups_asleep:%llu\r\n",
                         u(totals.groups), u(totals.led), u(totals.leaderless), u(totals.asleep));
    buffer_append_format(b, "peers_needing_repair:%llu\r\n", u(totals.marked));
    buffer_append_format(b, "objects_with_garbage:%llu\r\nclock_leads:%d\r\nclock_lead_ms:%lld\r\nfaults:%u\r\n",
                         u(totals.garbage), s->clock_leads, (long long)s->clock_lead_ms, s->faults_count);
}

struct section {
    const char *name, *title;
    void (*write)(struct shard *s, struct buffer *b);
};

static const struct section sections[] = {
    {"server", "Server", info_server},       {"clients", "Clients", info_clients},
    {"memory", "Memory", info_memory},       {"persistence", "Persistence", info_persistence},
    {"stats", "Stats", info_stats},          {"replication", "Replication", info_replication},
    {"keyspace", "Keyspace", info_keyspace}, {"meridian", "Meridian", info_meridian},
};

static bool is_wanted(const struct request *request, const struct section *section)
{
    for (size_t i = 1; i < request->args_count; i++) {
        if (slice_is_word(request->args[i], section->name) || slice_is_word(request->args[i], "all") ||
            slice_is_word(request->args[i], "everything") || slice_is_word(request->args[i], "default")) {
            return true;
        }
    }
    return request->args_count == 1;
}

enum command_result info_on_info(struct request *request)
{
    struct buffer text;
    buffer_init(&text, 1024 * 1024);
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (!is_wanted(request, &sections[i])) continue;
        buffer_append_format(&text, "%s# %s\r\n", text.length ? "\r\n" : "", sections[i].title);
        sections[i].write(request->shard, &text);
    }
    resp_write_bulk(request->reply, buffer_slice(&text));
    buffer_deinit(&text);
    return COMMAND_DONE;
}
