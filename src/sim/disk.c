/* disk.c: files that forget and tear.
 *
 * D1  `bytes` of a file is what a crash at this moment would leave, but for the requests under way.
 * D2  Requests of one disk complete in order of submission; one that was under way at a crash never completes.
 */
#include "sim/disk.h"

#include "base/assert.h"
#include "base/buffer.h"
#include "base/list.h"
#include "base/memory.h"

enum { DISK_FILES_MAX = 1024, DISK_FOLDER_OPS_MAX = 64 };

struct disk_file {
    bool exists;
    char name[FILE_NAME_BYTES_MAX];
    uint8_t *bytes;
    size_t length;
};

/* A rename or removal that no folder sync has followed yet, with what undoes it. */
struct folder_op {
    int file;
    bool removed;
    char old_name[FILE_NAME_BYTES_MAX];
};

struct under_way {
    struct list_node node;
    struct disk *disk;
    struct file_request *request;
    uint64_t generation;
};

struct disk {
    struct disk_config config;
    struct disk_file files[DISK_FILES_MAX];
    int files_count;
    struct folder_op ops[DISK_FOLDER_OPS_MAX];
    int ops_count;
    struct list under_way;
    uint64_t generation;
    uint64_t busy_until_ns;
};

struct disk *disk_new(const struct disk_config *config)
{
    struct disk *disk = memory_zalloc(1, sizeof *disk);
    disk->config = *config;
    list_init(&disk->under_way);
    return disk;
}

static void forget_under_way(struct disk *disk)
{
    struct list_node *node;
    while ((node = list_pop_front(&disk->under_way))) { /* the scheduled completion still owns the memory */
        CONTAINER_OF(node, struct under_way, node)->request = NULL;
    }
    disk->generation++;
}

static void drop_files(struct disk *disk)
{
    for (int i = 0; i < disk->files_count; i++) memory_free(disk->files[i].bytes);
    memset(disk->files, 0, sizeof disk->files);
    disk->files_count = 0;
    disk->ops_count = 0;
}

void disk_free(struct disk *disk)
{
    if (!disk) return;
    forget_under_way(disk);
    drop_files(disk);
    memory_free(disk);
}

static int find_file(const struct disk *disk, const char *name)
{
    for (int i = 0; i < disk->files_count; i++) {
        if (disk->files[i].exists && strcmp(disk->files[i].name, name) == 0) return i;
    }
    return -1;
}

static void set_name(char to[FILE_NAME_BYTES_MAX], const char *name)
{
    size_t length = strlen(name);
    ASSERT(length < FILE_NAME_BYTES_MAX);
    memcpy(to, name, length + 1);
}

static int make_file(struct disk *disk, const char *name)
{
    int index = find_file(disk, name);
    if (index >= 0) return index;
    ASSERT(disk->files_count < DISK_FILES_MAX);
    index = disk->files_count++;
    disk->files[index].exists = true;
    set_name(disk->files[index].name, name);
    return index;
}

uint64_t disk_bytes(const struct disk *disk)
{
    uint64_t bytes = 0;
    for (int i = 0; i < disk->files_count; i++) {
        if (disk->files[i].exists) bytes += disk->files[i].length;
    }
    return bytes;
}

static void grow_file(struct disk_file *file, size_t length)
{
    if (length <= file->length) return;
    file->bytes = memory_realloc(file->bytes, length);
    memset(file->bytes + file->length, 0, length - file->length);
    file->length = length;
}

static void put_bytes(struct disk_file *file, uint64_t offset, struct slice bytes)
{
    if (bytes.length == 0) return;
    grow_file(file, (size_t)offset + bytes.length);
    memcpy(file->bytes + offset, bytes.data, bytes.length);
}

/* ---- [now] calls ---- */

static enum status port_list(void *world, void (*visit)(void *user, const char *name, uint64_t bytes), void *user)
{
    struct disk *disk = world;
    for (int i = 0; i < disk->files_count; i++) {
        if (disk->files[i].exists) visit(user, disk->files[i].name, disk->files[i].length);
    }
    return STATUS_OK;
}

static enum status port_open(void *world, const char *name, file_handle *out_file)
{
    int index = find_file(world, name);
    if (index < 0) return STATUS_NOT_FOUND;
    *out_file = index;
    return STATUS_OK;
}

static enum status port_create(void *world, const char *name, uint64_t bytes, file_handle *out_file)
{
    struct disk *disk = world;
    if (disk_bytes(disk) + bytes > disk->config.bytes_max) return STATUS_NO_SPACE;
    *out_file = make_file(disk, name);
    grow_file(&disk->files[*out_file], (size_t)bytes);
    return STATUS_OK;
}

static size_t get_bytes(const struct disk_file *file, uint64_t offset, uint8_t *into, size_t length)
{
    if (offset >= file->length) return 0;
    size_t left = file->length - (size_t)offset;
    size_t count = left < length ? left : length;
    memcpy(into, file->bytes + offset, count);
    return count;
}

static enum status port_read(void *world, file_handle file, uint64_t offset, uint8_t *into, size_t length,
                             size_t *out_length)
{
    struct disk *disk = world;
    *out_length = get_bytes(&disk->files[file], offset, into, length);
    return STATUS_OK;
}

static enum status port_write_sync(void *world, file_handle file, uint64_t offset, struct slice bytes)
{
    struct disk *disk = world;
    put_bytes(&disk->files[file], offset, bytes);
    return STATUS_OK;
}

static void note_folder_op(struct disk *disk, int file, bool removed)
{
    if (disk->ops_count == DISK_FOLDER_OPS_MAX) { /* the oldest has reached the platter by now */
        memmove(&disk->ops[0], &disk->ops[1], sizeof disk->ops - sizeof disk->ops[0]);
        disk->ops_count--;
    }
    struct folder_op *op = &disk->ops[disk->ops_count++];
    op->file = file;
    op->removed = removed;
    set_name(op->old_name, disk->files[file].name);
}

static enum status port_remove(void *world, const char *name)
{
    struct disk *disk = world;
    int index = find_file(disk, name);
    if (index < 0) return STATUS_NOT_FOUND;
    note_folder_op(disk, index, true);
    disk->files[index].exists = false;
    return STATUS_OK;
}

static enum status port_rename(void *world, const char *from, const char *to)
{
    struct disk *disk = world;
    int index = find_file(disk, from);
    if (index < 0) return STATUS_NOT_FOUND;
    if (find_file(disk, to) >= 0) return STATUS_EXISTS;
    note_folder_op(disk, index, false);
    set_name(disk->files[index].name, to);
    return STATUS_OK;
}

static enum status port_sync_folder(void *world)
{
    struct disk *disk = world;
    disk->ops_count = 0;
    return STATUS_OK;
}

static void port_close(void *world, file_handle file)
{
    MAYBE(world == NULL && file == 0); /* handles are indexes: nothing to give back */
}

/* ---- requests ---- */

static void perform(struct disk *disk, struct file_request *request)
{
    request->status = STATUS_OK;
    switch (request->kind) {
    case FILE_WRITE_SYNC: put_bytes(&disk->files[request->file], request->offset, request->bytes); return;
    case FILE_READ:
        request->length_done = get_bytes(&disk->files[request->file], request->offset, request->into, request->length);
        return;
    case FILE_PREALLOCATE: request->status = port_create(disk, request->name, request->length, &request->file); return;
    }
}

static void complete(void *user, uint64_t generation)
{
    struct under_way *work = user;
    struct disk *disk = work->disk;
    struct file_request *request = work->request;
    if (!request) { /* the node crashed meanwhile; the disk itself may be gone */
        memory_free(work);
        return;
    }
    ASSERT(generation == disk->generation);
    list_remove(&work->node);
    memory_free(work);
    perform(disk, request);
    disk->config.done(disk->config.user, request);
}

static void port_submit(void *world, struct file_request *request)
{
    struct disk *disk = world;
    struct under_way *work = memory_zalloc(1, sizeof *work);
    work->disk = disk;
    work->request = request;
    list_push_back(&disk->under_way, &work->node);
    uint64_t begin = disk->config.schedule->now_ns;
    if (begin < disk->busy_until_ns) begin = disk->busy_until_ns;
    disk->busy_until_ns = begin + prng_range(disk->config.prng, disk->config.sync_ns_min, disk->config.sync_ns_max);
    schedule_at(disk->config.schedule, disk->busy_until_ns, complete, work, disk->generation);
}

struct files_port disk_port(struct disk *disk)
{
    return (struct files_port){
        .world = disk,
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

/* ---- harm ---- */

static void tear(struct disk *disk, const struct file_request *request)
{
    struct disk_file *file = &disk->files[request->file];
    for (size_t at = 0; at < request->bytes.length;) {
        size_t in_sector = DISK_SECTOR_BYTES - (size_t)((request->offset + at) % DISK_SECTOR_BYTES);
        size_t left = request->bytes.length - at;
        size_t count = left < in_sector ? left : in_sector;
        if (prng_chance(disk->config.prng, 1, 2)) {
            put_bytes(file, request->offset + at, slice_of(request->bytes.data + at, count));
        }
        at += count;
    }
}

static void undo_folder_ops(struct disk *disk)
{
    int kept = (int)prng_below(disk->config.prng, (uint64_t)disk->ops_count + 1);
    while (disk->ops_count > kept) {
        struct folder_op *op = &disk->ops[--disk->ops_count];
        struct disk_file *file = &disk->files[op->file];
        if (op->removed && find_file(disk, op->old_name) < 0) file->exists = true;
        if (!op->removed && find_file(disk, op->old_name) < 0) set_name(file->name, op->old_name);
    }
    disk->ops_count = 0;
}

void disk_crash(struct disk *disk)
{
    uint64_t fate = prng_below(disk->config.prng, 4); /* nothing of it, all of it, or any sectors */
    for (struct list_node *n = disk->under_way.head.next; n != &disk->under_way.head; n = n->next) {
        struct file_request *request = CONTAINER_OF(n, struct under_way, node)->request;
        if (request->kind == FILE_READ) continue;
        if (fate == 1) perform(disk, request);
        if (fate >= 2 && request->kind == FILE_WRITE_SYNC) tear(disk, request);
    }
    undo_folder_ops(disk);
    forget_under_way(disk);
    disk->busy_until_ns = 0;
}

void disk_wipe(struct disk *disk)
{
    forget_under_way(disk);
    drop_files(disk);
}

void disk_stall(struct disk *disk, uint64_t until_ns)
{
    if (disk->busy_until_ns < until_ns) disk->busy_until_ns = until_ns;
}

void disk_set_capacity(struct disk *disk, uint64_t bytes_max)
{
    disk->config.bytes_max = bytes_max;
}
