/* mailbox.c: many writers, one loop: a locked list and uv_async. Bounded in bytes; what does not fit is refused, and
 * the protocols above recover as they do from a lost frame.
 */
#include "base/memory.h"
#include "runtime/runtime_internal.h"

enum { MAILBOX_BYTES_MAX = 64 * 1024 * 1024 };

struct mailbox {
    struct loop *loop;
    uv_async_t async;
    pthread_mutex_t mutex;
    struct mail *first, *last;
    size_t bytes;
};

static void deliver(struct loop *l, struct mail *m)
{
    struct slice body = slice_of(m->body, m->length);
    bool hostile;
    switch (m->kind) {
    case MAIL_SHARD_FRAME:
        loop__touch(l);
        shard_on_shard_frame(l->shard, m->from, m->type, body);
        return;
    case MAIL_PEER_SEND: (void)peers_send(l->process->peers, m->from, m->type, body); return;
    case MAIL_PEER_FRAME:
        loop__touch(l);
        hostile = !shard_on_peer_frame(l->shard, m->from, m->type, body);
        MAYBE(hostile); /* the shard has counted and logged it; the connection is the first loop's */
        return;
    case MAIL_PEER_UP:
    case MAIL_PEER_DOWN:
    case MAIL_PEER_WRITABLE: loop__tell_peer(l, m->from, m->kind); return;
    case MAIL_PAUSED: clients__hold_all(l->clients, m->flag); return;
    }
}

static void on_async(uv_async_t *async)
{
    struct mailbox *m = async->data;
    pthread_mutex_lock(&m->mutex);
    struct mail *mail = m->first;
    m->first = m->last = NULL;
    m->bytes = 0;
    pthread_mutex_unlock(&m->mutex);
    while (mail) {
        struct mail *next = mail->next;
        if (m->loop->shard) deliver(m->loop, mail); /* NULL: the loop is being closed */
        memory_free(mail);
        mail = next;
    }
}

struct mailbox *mailbox__new(struct loop *l)
{
    struct mailbox *m = memory_zalloc(1, sizeof *m);
    m->loop = l;
    pthread_mutex_init(&m->mutex, NULL);
    if (uv_async_init(&l->uv, &m->async, on_async) != 0) PANIC("can't make a mailbox");
    m->async.data = m;
    return m;
}

bool mailbox__post(struct mailbox *m, enum mail_kind kind, uint8_t from, uint8_t type, bool flag, struct slice body)
{
    struct mail *mail = memory_alloc(sizeof *mail + body.length);
    *mail = (struct mail){.kind = kind, .from = from, .type = type, .flag = flag, .length = body.length};
    if (body.length) memcpy(mail->body, body.data, body.length);
    pthread_mutex_lock(&m->mutex);
    bool fits = m->bytes + body.length <= MAILBOX_BYTES_MAX;
    if (fits) {
        if (m->last)
            m->last->next = mail;
        else
            m->first = mail;
        m->last = mail;
        m->bytes += sizeof *mail + body.length;
    }
    pthread_mutex_unlock(&m->mutex);
    if (!fits)
        memory_free(mail);
    else
        uv_async_send(&m->async);
    return fits;
}

static void on_closed(uv_handle_t *handle)
{
    struct mailbox *m = handle->data;
    while (m->first) {
        struct mail *next = m->first->next;
        memory_free(m->first);
        m->first = next;
    }
    pthread_mutex_destroy(&m->mutex);
    memory_free(m);
}

void mailbox__free(struct mailbox *m)
{
    if (m) uv_close((uv_handle_t *)&m->async, on_closed);
}
