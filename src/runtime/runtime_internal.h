/* runtime_internal.h: what the files of the real world share: the process, its loops, and the peers' transport.
 *
 * Threads: each loop runs on its own; what is in `struct loop` is touched only there. Loop 0 owns the peers and the
 * faults. Between loops go mailboxes only.
 */
#ifndef MERIDIAN_RUNTIME_INTERNAL_H
#define MERIDIAN_RUNTIME_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "node/shard.h"
#include "runtime/disk_files.h"
#include "runtime/folder.h"
#include "runtime/kv_rocks.h"
#include "runtime/peers.h"
#include "runtime/runtime.h"

enum {
    RUNTIME_LOG_SEGMENT_BYTES = 64 * 1024 * 1024,
    RUNTIME_BACKLOG_BYTES_MAX = 64 * 1024 * 1024,
    RUNTIME_WRITE_BACK_BYTES = 512 * 1024 * 1024,
    RUNTIME_STOP_SECONDS_MAX = 30,
};
static const uint64_t RUNTIME_MEMORY_BYTES_MAX = 8ULL << 30;
static const uint64_t RUNTIME_LOG_BYTES_MAX = 8ULL << 30;

struct clients;
struct mailbox;
struct process;

struct loop {
    struct process *process;
    uint8_t index;
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_timer_t timer;
    uv_async_t stop;
    pthread_t thread;
    struct shard *shard;
    struct disk_files *files;
    struct kv_rocks *kv;
    struct clients *clients;
    struct mailbox *mailbox;
    bool touched;                        /* the shard knows the time of this turn */
    struct held *held_first, *held_last; /* completions of a paused node, in order */
    bool stopping;
    uint64_t stop_deadline_ns;
};

struct process {
    struct runtime_config config;
    struct folder folder;
    struct loop loops[SHARDS_MAX];
    struct peers *peers;                          /* loop 0 */
    _Atomic int32_t skew_ms;                      /* FAULT SKEW of this node */
    atomic_uint loops_stopped;                    /* of those other than the first, whose peers they need to the end */
    atomic_bool paused;                           /* FAULT PAUSE of this node */
    _Atomic size_t peer_room[TOPOLOGY_NODES_MAX]; /* for the shards beyond the first */
};

/* loop.c */
bool loop__open(struct loop *l, struct process *p, uint8_t index, struct buffer *out_error);
bool loop__listen(struct loop *l, struct buffer *out_error);
bool loop__start_peers(struct loop *l, struct buffer *out_error); /* the first loop */
void loop__run(struct loop *l);
void loop__close(struct loop *l);
void loop__touch(struct loop *l); /* before handing an event to the shard: sets its time */
uint64_t loop__mono_ns(void);

/* clients.c */
struct clients *clients__listen(struct loop *l, struct buffer *out_error); /* NULL: the address can't be used */
bool clients__send(struct clients *c, uint64_t client, struct slice bytes);
void clients__close_one(struct clients *c, uint64_t client);
void clients__pause_one(struct clients *c, uint64_t client, bool paused);
void clients__hold_all(struct clients *c, bool held); /* FAULT PAUSE */
void clients__resume(struct clients *c);              /* once an iteration: hand in what resumed clients still hold */
bool clients__any_resumed(const struct clients *c);   /* clients__resume() has something to do */
void clients__stop_listening(struct clients *c);
void clients__free(struct clients *c); /* closes all; memory goes with the loop's last turn */

/* mailbox.c: frames between the loops of the process */
enum mail_kind {
    MAIL_SHARD_FRAME,
    MAIL_PEER_SEND,
    MAIL_PEER_FRAME,
    MAIL_PEER_UP,
    MAIL_PEER_DOWN,
    MAIL_PEER_WRITABLE,
    MAIL_PAUSED
};
struct mail {
    struct mail *next;
    enum mail_kind kind;
    uint8_t from; /* shard, or for PEER_*: node */
    uint8_t type;
    bool flag;
    size_t length;
    uint8_t body[];
};
struct mailbox *mailbox__new(struct loop *l);
bool mailbox__post(struct mailbox *m, enum mail_kind kind, uint8_t from, uint8_t type, bool flag,
                   struct slice body); /* false: full */
void mailbox__free(struct mailbox *m);

/* Frames and news of peers, from loop 0, to the shard they are for. False: the frame was hostile. */
bool loop__deliver_frame(struct loop *l, uint8_t node, uint8_t type, struct slice body);
void loop__tell_peer(struct loop *l, uint8_t node, enum mail_kind kind);

#endif
