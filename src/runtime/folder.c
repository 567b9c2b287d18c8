/* folder.c: lock, identity, sub-folders.
 *
 * The identity file is written under another name, synced and renamed, before anything else is in the folder: a folder
 * without it holds no data of ours.
 */
#include "runtime/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

static const char identity_format[] = "meridian data folder, version 1\nnode %63s\nshards %u\nid %llx\n";

uint64_t random_u64(void)
{
    uint64_t value;
    if (getrandom(&value, sizeof value, 0) != (ssize_t)sizeof value)
        PANIC("the operating system gives no random numbers");
    return value;
}

static bool make_path(char out[FOLDER_PATH_BYTES_MAX], const char *folder, const char *name)
{
    int length = snprintf(out, FOLDER_PATH_BYTES_MAX, "%s/%s", folder, name);
    return length > 0 && length < FOLDER_PATH_BYTES_MAX;
}

/* mkdir -p. */
static bool make_folders(const char *path)
{
    char part[FOLDER_PATH_BYTES_MAX];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part) return false;
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != 0) continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0750) != 0 && errno != EEXIST) return false;
    }
    return true;
}

static bool sync_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) close(fd);
    return synced;
}

static enum status take_lock(struct folder *f, struct buffer *out_error)
{
    char path[FOLDER_PATH_BYTES_MAX], pid[32] = "?";
    if (!make_path(path, f->path, "LOCK")) return STATUS_LIMIT;
    f->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (f->lock < 0) {
        buffer_append_format(out_error, "%s: %s", path, strerror(errno));
        return STATUS_IO;
    }
    if (flock(f->lock, LOCK_EX | LOCK_NB) != 0) {
        ssize_t length = pread(f->lock, pid, sizeof pid - 1, 0);
        pid[length > 0 ? length : 0] = 0;
        buffer_append_format(out_error, "%s: in use by the process with pid %s", f->path, pid);
        return STATUS_BUSY;
    }
    int length = snprintf(pid, sizeof pid, "%d", (int)getpid());
    if (ftruncate(f->lock, 0) != 0 || pwrite(f->lock, pid, (size_t)length, 0) != length) return STATUS_IO;
    return STATUS_OK;
}

static enum status write_identity(struct folder *f, const char *path, const char *node, uint8_t shards)
{
    char next[FOLDER_PATH_BYTES_MAX], text[256];
    if (!make_path(next, f->path, "meridian.id.new")) return STATUS_LIMIT;
    f->id = random_u64();
    int length = snprintf(text, sizeof text, "meridian data folder, version 1\nnode %s\nshards %u\nid %llx\n", node,
                          shards, (unsigned long long)f->id);
    int fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0) return STATUS_IO;
    bool written = write(fd, text, (size_t)length) == length && fsync(fd) == 0;
    close(fd);
    return written && rename(next, path) == 0 && sync_path(f->path) ? STATUS_OK : STATUS_IO;
}

static enum status read_identity(struct folder *f, const char *path, const char *node, uint8_t shards,
                                 struct buffer *out_error)
{
    char text[256] = {0}, found_node[64] = {0};
    unsigned found_shards = 0;
    unsigned long long id = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    if (length <= 0 || sscanf(text, identity_format, found_node, &found_shards, &id) != 3) {
        buffer_append_format(out_error, "%s: not the identity of a data folder of this version", path);
        return STATUS_VERSION;
    }
    if (strcmp(found_node, node) != 0) {
        buffer_append_format(out_error, "%s: belongs to node %s, not %s: give each node its own data folder", f->path,
                             found_node, node);
        return STATUS_VERSION;
    }
    if (found_shards != shards) {
        buffer_append_format(out_error, "%s: was made with %u shards; their number is fixed: start with --shards %u",
                             f->path, found_shards, found_shards);
        return STATUS_VERSION;
    }
    f->id = id;
    return STATUS_OK;
}

enum status folder_open(const char *path, const char *node, uint8_t shards, struct folder *out,
                        struct buffer *out_error)
{
    struct folder f = {.lock = -1};
    char identity[FOLDER_PATH_BYTES_MAX];
    if (snprintf(f.path, sizeof f.path, "%s", path) >= (int)sizeof f.path - 64 || !make_folders(path)) {
        buffer_append_format(out_error, "%s: can't make this folder: %s", path, strerror(errno));
        return STATUS_IO;
    }
    enum status status = take_lock(&f, out_error);
    if (status == STATUS_OK && !make_path(identity, f.path, "meridian.id")) status = STATUS_LIMIT;
    if (status == STATUS_OK) {
        bool exists = access(identity, F_OK) == 0;
        status =
            exists ? read_identity(&f, identity, node, shards, out_error) : write_identity(&f, identity, node, shards);
    }
    if (status != STATUS_OK) {
        if (out_error->length == 0) buffer_append_format(out_error, "%s: %s", path, strerror(errno));
        folder_close(&f);
        return status;
    }
    *out = f;
    return STATUS_OK;
}

void folder_close(struct folder *f)
{
    if (f && f->lock >= 0) close(f->lock);
}

enum status folder_shard_path(const struct folder *f, uint8_t shard, const char *part, char out[FOLDER_PATH_BYTES_MAX])
{
    char name[64];
    snprintf(name, sizeof name, "shard-%u/%s", shard, part);
    return make_path(out, f->path, name) && make_folders(out) ? STATUS_OK : STATUS_IO;
}
