/* disk_files.c: pread, pwrite, fdatasync.
 *
 * F1  A request is completed only when the operating system says that it is durable.
 * F2  A new file is written with zeros, not only reserved: overwriting an unwritten extent would cost a journal commit
 * at each sync, which is what preallocation is to spare.
 */
#include "runtime/disk_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/memory.h"
#include "runtime/worker.h"

enum { ZERO_BYTES = 1024 * 1024 };

struct disk_files {
    int folder;
    struct worker *writer, *helper;
    void (*done)(void *user, struct file_request *request);
    void *user;
};

static enum status status_of_errno(int error)
{
    if (error == ENOSPC || error == EDQUOT) return STATUS_NO_SPACE;
    if (error == ENOENT) return STATUS_NOT_FOUND;
    return error == EEXIST ? STATUS_EXISTS : STATUS_IO;
}

static enum status write_all(int fd, uint64_t offset, struct slice bytes)
{
    while (bytes.length) {
        ssize_t count = pwrite(fd, bytes.data, bytes.length, (off_t)offset);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return status_of_errno(count < 0 ? errno : EIO);
        offset += (uint64_t)count;
        bytes = slice_skip(bytes, (size_t)count);
    }
    return STATUS_OK;
}

static enum status read_all(int fd, uint64_t offset, uint8_t *into, size_t length, size_t *out_length)
{
    size_t done = 0;
    while (done < length) {
        ssize_t count = pread(fd, into + done, length - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return status_of_errno(errno);
        if (count == 0) break;
        done += (size_t)count;
    }
    *out_length = done;
    return STATUS_OK;
}

static enum status write_zeros(int fd, uint64_t bytes)
{
    uint8_t *zeros = memory_zalloc(1, ZERO_BYTES);
    enum status status = STATUS_OK;
    for (uint64_t at = 0; at < bytes && status == STATUS_OK; at += ZERO_BYTES) {
        uint64_t left = bytes - at;
        status = write_all(fd, at, slice_of(zeros, left < ZERO_BYTES ? (size_t)left : ZERO_BYTES));
    }
    memory_free(zeros);
    if (status == STATUS_OK && fsync(fd) != 0) status = status_of_errno(errno);
    return status;
}

static enum status make_file(struct disk_files *d, const char *name, uint64_t bytes, file_handle *out_file)
{
    int fd = openat(d->folder, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0) return status_of_errno(errno);
    enum status status = write_zeros(fd, bytes);
    if (status == STATUS_OK && fsync(d->folder) != 0) status = status_of_errno(errno);
    if (status != STATUS_OK) {
        unlinkat(d->folder, name, 0); /* a full disk must not be kept full by half a file */
        close(fd);
        return status;
    }
    *out_file = fd;
    return STATUS_OK;
}

/* ---- [now] calls ---- */

static enum status port_list(void *world, void (*visit)(void *user, const char *name, uint64_t bytes), void *user)
{
    struct disk_files *d = world;
    int fd = openat(d->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) return STATUS_IO;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        struct stat info;
        if (fstatat(d->folder, entry->d_name, &info, 0) != 0 || !S_ISREG(info.st_mode)) continue;
        if (strlen(entry->d_name) < FILE_NAME_BYTES_MAX) visit(user, entry->d_name, (uint64_t)info.st_size);
    }
    closedir(folder);
    return STATUS_OK;
}

static enum status port_open(void *world, const char *name, file_handle *out_file)
{
    struct disk_files *d = world;
    int fd = openat(d->folder, name, O_RDWR | O_CLOEXEC);
    if (fd < 0) return status_of_errno(errno);
    *out_file = fd;
    return STATUS_OK;
}

static enum status port_create(void *world, const char *name, uint64_t bytes, file_handle *out_file)
{
    return make_file(world, name, bytes, out_file);
}

static enum status port_read(void *world, file_handle file, uint64_t offset, uint8_t *into, size_t length,
                             size_t *out_length)
{
    MAYBE(world == NULL);
    return read_all(file, offset, into, length, out_length);
}

static enum status port_write_sync(void *world, file_handle file, uint64_t offset, struct slice bytes)
{
    MAYBE(world == NULL);
    enum status status = write_all(file, offset, bytes);
    if (status == STATUS_OK && fdatasync(file) != 0) status = status_of_errno(errno);
    return status;
}

static enum status port_remove(void *world, const char *name)
{
    struct disk_files *d = world;
    return unlinkat(d->folder, name, 0) == 0 ? STATUS_OK : status_of_errno(errno);
}

static enum status port_rename(void *world, const char *from, const char *to)
{
    struct disk_files *d = world;
    return renameat(d->folder, from, d->folder, to) == 0 ? STATUS_OK : status_of_errno(errno);
}

static enum status port_sync_folder(void *world)
{
    struct disk_files *d = world;
    return fsync(d->folder) == 0 ? STATUS_OK : status_of_errno(errno);
}

static void port_close(void *world, file_handle file)
{
    MAYBE(world == NULL);
    close(file);
}

/* ---- requests ---- */

static void execute(void *user, void *job)
{
    struct disk_files *d = user;
    struct file_request *r = job;
    switch (r->kind) {
    case FILE_WRITE_SYNC: r->status = port_write_sync(d, r->file, r->offset, r->bytes); return;
    case FILE_READ: r->status = read_all(r->file, r->offset, r->into, r->length, &r->length_done); return;
    case FILE_PREALLOCATE: r->status = make_file(d, r->name, r->length, &r->file); return;
    }
}

static void hand_back(void *user, void *job)
{
    struct disk_files *d = user;
    d->done(d->user, job);
}

static void port_submit(void *world, struct file_request *request)
{
    struct disk_files *d = world;
    worker_submit(request->kind == FILE_WRITE_SYNC ? d->writer : d->helper, request);
}

struct files_port disk_files_port(struct disk_files *d)
{
    return (struct files_port){
        .world = d,
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

struct disk_files *disk_files_open(uv_loop_t *loop, const char *folder,
                                   void (*done)(void *user, struct file_request *request), void *user)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return NULL;
    struct disk_files *d = memory_zalloc(1, sizeof *d);
    *d = (struct disk_files){.folder = fd, .done = done, .user = user};
    const struct worker_functions functions = {execute, hand_back, d};
    d->writer = worker_start(loop, &functions);
    d->helper = worker_start(loop, &functions);
    return d;
}

void disk_files_close(struct disk_files *d)
{
    if (!d) return;
    worker_stop(d->writer);
    worker_stop(d->helper);
    close(d->folder);
    memory_free(d);
}
