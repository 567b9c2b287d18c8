/* memory_files.c: see memory_files.h. A completed write is in `bytes` and in `durable`. */
#include "tests/unit/storage/memory_files.h"

#include "base/assert.h"
#include "base/memory.h"

enum { SECTOR_BYTES = 512 };

void memory_files_init(struct memory_files *m, uint64_t seed)
{
    *m = (struct memory_files){.bytes_max = UINT64_MAX};
    prng_init(&m->prng, seed);
}

static void drop(struct memory_files *m)
{
    for (int i = 0; i < MEMORY_FILES_MAX; i++) {
        memory_free(m->files[i].bytes);
        memory_free(m->files[i].durable);
        m->files[i] = (struct memory_file){0};
    }
    m->ops_count = 0;
    m->requests_count = 0;
}

void memory_files_deinit(struct memory_files *m)
{
    drop(m);
    if (m->image) {
        drop(m->image);
        memory_free(m->image);
        m->image = NULL;
    }
}

int memory_files_find(const struct memory_files *m, const char *name)
{
    for (int i = 0; i < MEMORY_FILES_MAX; i++) {
        if (m->files[i].exists && strcmp(m->files[i].name, name) == 0) return i;
    }
    return -1;
}

uint64_t memory_files_bytes(const struct memory_files *m)
{
    uint64_t bytes = 0;
    for (int i = 0; i < MEMORY_FILES_MAX; i++) bytes += m->files[i].exists ? m->files[i].length : 0;
    return bytes;
}

void memory_files_copy(struct memory_files *to, const struct memory_files *from)
{
    drop(to);
    for (int i = 0; i < MEMORY_FILES_MAX; i++) {
        to->files[i] = from->files[i];
        to->files[i].bytes = memory_alloc(from->files[i].length);
        to->files[i].durable = memory_alloc(from->files[i].length);
        if (!from->files[i].length) continue;
        memcpy(to->files[i].bytes, from->files[i].bytes, from->files[i].length);
        memcpy(to->files[i].durable, from->files[i].durable, from->files[i].length);
    }
    memcpy(to->ops, from->ops, sizeof to->ops);
    to->ops_count = from->ops_count;
}

static void put(struct memory_file *file, uint64_t offset, const uint8_t *data, size_t length)
{
    ASSERT(offset + length <= file->length);
    if (length) memcpy(file->bytes + offset, data, length);
}

static void put_durable(struct memory_file *file, uint64_t offset, struct slice bytes)
{
    put(file, offset, bytes.data, bytes.length);
    if (bytes.length) memcpy(file->durable + offset, bytes.data, bytes.length);
}

/* ---- the crash ---- */

static void tear(struct memory_files *m, struct memory_file *file, const struct file_request *request)
{
    uint64_t fate = prng_below(&m->prng, 4);
    if (fate == 0) return;
    for (size_t at = 0; at < request->bytes.length;) {
        size_t sector_left = SECTOR_BYTES - (size_t)((request->offset + at) % SECTOR_BYTES);
        size_t left = request->bytes.length - at;
        size_t count = left < sector_left ? left : sector_left;
        if (fate == 1 || prng_chance(&m->prng, 1, 2)) put(file, request->offset + at, request->bytes.data + at, count);
        at += count;
    }
}

/* What was only in memory is gone, or not. */
static void lose_memory(struct memory_files *m, struct memory_file *file)
{
    for (size_t at = 0; at < file->length; at += SECTOR_BYTES) {
        size_t count = file->length - at < SECTOR_BYTES ? file->length - at : SECTOR_BYTES;
        if (memcmp(file->bytes + at, file->durable + at, count) == 0) continue;
        if (prng_chance(&m->prng, 1, 2)) {
            memcpy(file->durable + at, file->bytes + at, count);
        } else {
            memcpy(file->bytes + at, file->durable + at, count);
        }
    }
}

static void undo_folder_ops(struct memory_files *m)
{
    int kept = (int)prng_below(&m->prng, (uint64_t)m->ops_count + 1);
    while (m->ops_count > kept) {
        struct memory_folder_op *op = &m->ops[--m->ops_count];
        if (memory_files_find(m, op->old_name) >= 0) continue;
        if (op->removed) m->files[op->file].exists = true;
        memcpy(m->files[op->file].name, op->old_name, FILE_NAME_BYTES_MAX);
    }
    m->ops_count = 0;
}

static void take_image(struct memory_files *m, struct file_request *now)
{
    if (m->image) return;
    m->image = memory_zalloc(1, sizeof *m->image);
    memory_files_copy(m->image, m);
    m->image->prng = m->prng;
    for (int i = 0; i < m->requests_count; i++) {
        const struct file_request *request = m->requests[i];
        if (request->kind == FILE_WRITE_SYNC) tear(m->image, &m->image->files[request->file], request);
    }
    if (now) tear(m->image, &m->image->files[now->file], now);
    if (!m->power_stays) {
        for (int i = 0; i < MEMORY_FILES_MAX; i++) lose_memory(m->image, &m->image->files[i]);
        undo_folder_ops(m->image);
    }
    if (m->on_crash) m->on_crash(m->user);
}

static void step(struct memory_files *m, struct file_request *now)
{
    if (++m->steps == m->crash_step) take_image(m, now);
}

void memory_files_restart(struct memory_files *m)
{
    take_image(m, NULL);
    struct memory_files *image = m->image;
    m->image = NULL;
    m->crash_step = 0;
    memory_files_copy(m, image);
    m->prng = image->prng;
    drop(image);
    memory_free(image);
}

/* ---- the port ---- */

static enum status port_list(void *world, void (*visit)(void *user, const char *name, uint64_t bytes), void *user)
{
    struct memory_files *m = world;
    for (int i = MEMORY_FILES_MAX - 1; i >= 0; i--) {
        if (m->files[i].exists) visit(user, m->files[i].name, m->files[i].length);
    }
    return STATUS_OK;
}

static enum status port_open(void *world, const char *name, file_handle *out_file)
{
    int index = memory_files_find(world, name);
    if (index < 0) return STATUS_NOT_FOUND;
    *out_file = index;
    return STATUS_OK;
}

static enum status port_create(void *world, const char *name, uint64_t bytes, file_handle *out_file)
{
    struct memory_files *m = world;
    step(m, NULL);
    ASSERT(memory_files_find(m, name) < 0);
    if (memory_files_bytes(m) + bytes > m->bytes_max) return STATUS_NO_SPACE;
    for (int i = 0; i < MEMORY_FILES_MAX; i++) {
        struct memory_file *file = &m->files[i];
        if (file->exists) continue;
        bool is_named = false; /* by an operation that a crash may undo */
        for (int j = 0; j < m->ops_count; j++) is_named |= m->ops[j].file == i;
        if (is_named) continue;
        memory_free(file->bytes);
        memory_free(file->durable);
        *file = (struct memory_file){.exists = true, .length = bytes};
        file->bytes = memory_zalloc(1, bytes);
        file->durable = memory_zalloc(1, bytes);
        memcpy(file->name, name, strlen(name) + 1);
        *out_file = i;
        return STATUS_OK;
    }
    return STATUS_NO_SPACE;
}

static size_t get(const struct memory_file *file, uint64_t offset, uint8_t *into, size_t length)
{
    if (offset >= file->length) return 0;
    size_t count = file->length - offset < length ? file->length - offset : length;
    memcpy(into, file->bytes + offset, count);
    return count;
}

static enum status port_read(void *world, file_handle file, uint64_t offset, uint8_t *into, size_t length,
                             size_t *out_length)
{
    struct memory_files *m = world;
    *out_length = get(&m->files[file], offset, into, length);
    return STATUS_OK;
}

static enum status port_write_sync(void *world, file_handle file, uint64_t offset, struct slice bytes)
{
    struct memory_files *m = world;
    struct file_request request = {.kind = FILE_WRITE_SYNC, .file = file, .offset = offset, .bytes = bytes};
    step(m, &request);
    put_durable(&m->files[file], offset, bytes);
    return STATUS_OK;
}

static void note_op(struct memory_files *m, int file, bool removed)
{
    ASSERT(m->ops_count < MEMORY_FOLDER_OPS_MAX);
    struct memory_folder_op *op = &m->ops[m->ops_count++];
    *op = (struct memory_folder_op){.file = file, .removed = removed};
    memcpy(op->old_name, m->files[file].name, FILE_NAME_BYTES_MAX);
}

static enum status port_remove(void *world, const char *name)
{
    struct memory_files *m = world;
    step(m, NULL);
    int index = memory_files_find(m, name);
    if (index < 0) return STATUS_NOT_FOUND;
    note_op(m, index, true);
    m->files[index].exists = false;
    return STATUS_OK;
}

static enum status port_rename(void *world, const char *from, const char *to)
{
    struct memory_files *m = world;
    step(m, NULL);
    int index = memory_files_find(m, from);
    if (index < 0) return STATUS_NOT_FOUND;
    if (memory_files_find(m, to) >= 0) return STATUS_EXISTS;
    note_op(m, index, false);
    memcpy(m->files[index].name, to, strlen(to) + 1);
    return STATUS_OK;
}

static enum status port_sync_folder(void *world)
{
    struct memory_files *m = world;
    step(m, NULL);
    m->ops_count = 0;
    return STATUS_OK;
}

static void port_close(void *world, file_handle file)
{
    ASSERT(world && file >= 0 && file < MEMORY_FILES_MAX);
}

static void port_submit(void *world, struct file_request *request)
{
    struct memory_files *m = world;
    ASSERT(m->requests_count < MEMORY_REQUESTS_MAX);
    m->requests[m->requests_count++] = request;
    step(m, NULL);
}

struct files_port memory_files_port(struct memory_files *m)
{
    return (struct files_port){
        .world = m,
        .list = port_list,
        .open = port_open,
        .create = port_create,
        .read = port_read,
        .write_sync = port_write_sync,
        .remove = port_remove,
        .rename = port_rename,
        .sync_folder = port_sync_folder,
        .close = port_close,
        .submit = port_submit,
    };
}

struct file_request *memory_files_complete(struct memory_files *m, int index)
{
    ASSERT(index < m->requests_count);
    struct file_request *request = m->requests[index];
    step(m, NULL); /* it is still under way */
    memmove(m->requests + index, m->requests + index + 1,
            (size_t)(m->requests_count - index - 1) * sizeof m->requests[0]);
    m->requests_count--;
    request->status = STATUS_OK;
    switch (request->kind) {
    case FILE_WRITE_SYNC: put_durable(&m->files[request->file], request->offset, request->bytes); break;
    case FILE_READ:
        request->length_done = get(&m->files[request->file], request->offset, request->into, request->length);
        break;
    case FILE_PREALLOCATE: request->status = port_create(m, request->name, request->length, &request->file); break;
    }
    step(m, NULL);
    return request;
}
