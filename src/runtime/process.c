/* process.c: a node as a process: its folder, its loops on their threads, its signals. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/memory.h"
#include "runtime/log_line.h"
#include "runtime/runtime_internal.h"

void runtime_config_init(struct runtime_config *config)
{
    *config = (struct runtime_config){
        .shards = 1,
        .wan = true,
        .memory_bytes_max = RUNTIME_MEMORY_BYTES_MAX,
        .log_bytes_max = RUNTIME_LOG_BYTES_MAX,
        .version = "",
    };
}

static void *run_thread(void *argument)
{
    struct loop *l = argument;
    loop__run(l);
    return NULL;
}

static void start_threads(struct process *p)
{
    for (uint8_t i = 1; i < p->config.shards; i++) {
        int failed = pthread_create(&p->loops[i].thread, NULL, run_thread, &p->loops[i]);
        if (failed) PANIC("can't start a thread: %s", strerror(failed));
    }
}

/* Only the first loop takes the signals that stop us, and only while it serves: every other thread, RocksDB's too,
 * inherits the mask, so that a second signal can't end a process that is stopping gracefully. */
static void mask_stop_signals(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(how, &set, NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct process *p = handle->data;
    log_format('I', "stopping", "signal=%d", number);
    for (uint8_t i = 0; i < p->config.shards; i++) uv_async_send(&p->loops[i].stop);
}

static bool open_all(struct process *p, struct buffer *error)
{
    const struct topology_node *node = &p->config.topology.nodes[p->config.node];
    if (folder_open(p->config.data, node->id, p->config.shards, &p->folder, error) != STATUS_OK) return false;
    bool opened = true;
    for (uint8_t i = 0; i < p->config.shards && opened; i++) opened = loop__open(&p->loops[i], p, i, error);
    if (opened) opened = loop__start_peers(&p->loops[0], error);
    for (uint8_t i = 0; i < p->config.shards && opened; i++) opened = loop__listen(&p->loops[i], error);
    return opened;
}

static void serve(struct process *p)
{
    uv_signal_t term, interrupt;
    uv_signal_init(&p->loops[0].uv, &term);
    uv_signal_init(&p->loops[0].uv, &interrupt);
    term.data = interrupt.data = p;
    uv_signal_start(&term, on_signal, SIGTERM);
    uv_signal_start(&interrupt, on_signal, SIGINT);
    start_threads(p);
    mask_stop_signals(SIG_UNBLOCK);
    loop__run(&p->loops[0]);
    mask_stop_signals(SIG_BLOCK);
    for (uint8_t i = 1; i < p->config.shards; i++) pthread_join(p->loops[i].thread, NULL);
    uv_close((uv_handle_t *)&term, NULL);
    uv_close((uv_handle_t *)&interrupt, NULL);
    while (uv_is_active((uv_handle_t *)&term)) uv_run(&p->loops[0].uv, UV_RUN_NOWAIT);
    uv_run(&p->loops[0].uv, UV_RUN_NOWAIT); /* the handles live on this stack */
}

/* Every connection takes a file: ask for as many as the system lets us have. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) log_format('W', "file-limit", "error=\"%s\"", strerror(errno));
}

int runtime_run(const struct runtime_config *config)
{
    signal(SIGPIPE, SIG_IGN);
    mask_stop_signals(SIG_BLOCK);
    raise_file_limit();
    struct process *p = memory_zalloc(1, sizeof *p);
    p->config = *config;
    p->folder.lock = -1;
    struct buffer error;
    buffer_init(&error, 16 * 1024);
    const struct topology_node *node = &config->topology.nodes[config->node];
    bool opened = open_all(p, &error);
    if (opened) {
        log_format('I', "serving", "node=%s region=%s resp=%s:%u peer=%s:%u data=%s pid=%d", node->id,
                   config->topology.regions[node->region], node->resp.host, node->resp.port, node->peer.host,
                   node->peer.port, config->data, (int)getpid());
        serve(p);
        log_format('I', "stopped", "node=%s", node->id);
    } else {
        log_format('E', "start-failed", "node=%s reason=\"%.*s\"", node->id, (int)error.length,
                   (const char *)error.data);
    }
    for (uint8_t i = 0; i < p->config.shards; i++) loop__close(&p->loops[i]);
    folder_close(&p->folder);
    buffer_deinit(&error);
    memory_free(p);
    return opened ? 0 : 1;
}
