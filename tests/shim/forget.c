/* forget.c: a disk that forgets. Loaded into a server with LD_PRELOAD, it lets a test take back, after kill -9, every
 * byte that was written and not synced: what a power cut does, and what the kernel's page cache hides from kill -9.
 *
 * Before a write changes a file below $FORGET_ROOT, what it will overwrite and the file's length are appended to an
 * undo journal, $FORGET_JOURNAL/<inode>. A sync of the file drops the records that were there when it began. After the
 * kill tests/integration/forget.py applies what is left, newest first.
 *
 * F1  A record is in the journal before its write reaches the file.
 * F2  A record leaves the journal only by a sync that began after it was there, before that sync returns to its caller.
 * F3  A journal never outlives its file: an inode may be given to another one.
 *
 * Names are not undone: creating, renaming and removing count as durable at once.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* One undo record: this header, then `kept` bytes that stood at `offset`. All little endian, as the machine. */
struct undo_header {
    uint64_t offset;
    uint64_t kept;
    uint64_t file_bytes; /* the file's length before the write */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *root;
static const char *journal_folder;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);
static ssize_t (*real_pwritev2)(int, const struct iovec *, int, off_t, int);
static int (*real_ftruncate)(int, off_t);
static int (*real_fallocate)(int, int, off_t, off_t);
static int (*real_posix_fallocate)(int, off_t, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);
static int (*real_unlinkat)(int, const char *, int);
static int (*real_rename)(const char *, const char *);

static void bind_symbol(void *pointer_to_function, const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    if (!symbol) {
        fprintf(stderr, "forget: no %s to stand in front of\n", name);
        abort();
    }
    memcpy(pointer_to_function, &symbol, sizeof symbol); /* ISO C has no cast from object to function pointer */
}

__attribute__((constructor)) static void start(void)
{
    bind_symbol(&real_write, "write");
    bind_symbol(&real_writev, "writev");
    bind_symbol(&real_pwrite, "pwrite");
    bind_symbol(&real_pwritev, "pwritev");
    bind_symbol(&real_pwritev2, "pwritev2");
    bind_symbol(&real_ftruncate, "ftruncate");
    bind_symbol(&real_fallocate, "fallocate");
    bind_symbol(&real_posix_fallocate, "posix_fallocate");
    bind_symbol(&real_fsync, "fsync");
    bind_symbol(&real_fdatasync, "fdatasync");
    bind_symbol(&real_unlink, "unlink");
    bind_symbol(&real_unlinkat, "unlinkat");
    bind_symbol(&real_rename, "rename");
    root = getenv("FORGET_ROOT");
    journal_folder = getenv("FORGET_JOURNAL");
    if (!root || !journal_folder) {
        fprintf(stderr, "forget: FORGET_ROOT and FORGET_JOURNAL must be set\n");
        abort();
    }
}

static void give_up(const char *what)
{
    fprintf(stderr, "forget: %s: %s\n", what, strerror(errno));
    abort();
}

static int open_journal(ino_t inode, int flags)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%" PRIu64, journal_folder, (uint64_t)inode);
    return open(path, flags | O_CLOEXEC, 0600);
}

/* Is this a regular file below the root, whose writes are not durable by themselves? */
static bool is_watched(int fd, struct stat *out_info)
{
    if (!root || fstat(fd, out_info) != 0 || !S_ISREG(out_info->st_mode)) return false;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & (O_DSYNC | O_SYNC))) return false;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    size_t root_length = strlen(root);
    return length > (ssize_t)root_length && memcmp(path, root, root_length) == 0 && path[root_length] == '/';
}

static void append_all(int journal, const void *data, size_t length)
{
    const char *at = data;
    while (length) {
        ssize_t done = real_write(journal, at, length);
        if (done < 0) give_up("the journal can't be written");
        at += done;
        length -= (size_t)done;
    }
}

/* Remember what `length` bytes at `offset` are now (F1). The lock is held. */
static void record(int fd, const struct stat *info, off_t offset, size_t length)
{
    off_t end = offset + (off_t)length < info->st_size ? offset + (off_t)length : info->st_size;
    struct undo_header header = {
        .offset = (uint64_t)offset,
        .kept = end > offset ? (uint64_t)(end - offset) : 0,
        .file_bytes = (uint64_t)info->st_size,
    };
    char *kept = malloc(header.kept + 1);
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int reader = open(link, O_RDONLY | O_CLOEXEC);
    if (!kept || reader < 0 || pread(reader, kept, header.kept, offset) != (ssize_t)header.kept) {
        give_up("the old bytes can't be read");
    }
    close(reader);
    int journal = open_journal(info->st_ino, O_WRONLY | O_APPEND | O_CREAT);
    if (journal < 0) give_up("the journal can't be opened");
    append_all(journal, &header, sizeof header);
    append_all(journal, kept, header.kept);
    close(journal);
    free(kept);
}

/* offset < 0: where the file stands. */
static void before_write(int fd, off_t offset, size_t length)
{
    struct stat info;
    int error = errno;
    if (is_watched(fd, &info)) {
        if (offset < 0) offset = fcntl(fd, F_GETFL) & O_APPEND ? info.st_size : lseek(fd, 0, SEEK_CUR);
        pthread_mutex_lock(&lock);
        record(fd, &info, offset, length);
        pthread_mutex_unlock(&lock);
    }
    errno = error;
}

static size_t vector_bytes(const struct iovec *vector, int count)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++) bytes += vector[i].iov_len;
    return bytes;
}

ssize_t write(int fd, const void *data, size_t length)
{
    before_write(fd, -1, length);
    return real_write(fd, data, length);
}

ssize_t writev(int fd, const struct iovec *vector, int count)
{
    before_write(fd, -1, vector_bytes(vector, count));
    return real_writev(fd, vector, count);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
    before_write(fd, offset, length);
    return real_pwrite(fd, data, length, offset);
}

ssize_t pwritev(int fd, const struct iovec *vector, int count, off_t offset)
{
    before_write(fd, offset, vector_bytes(vector, count));
    return real_pwritev(fd, vector, count, offset);
}

ssize_t pwritev2(int fd, const struct iovec *vector, int count, off_t offset, int flags)
{
    if (!(flags & (RWF_DSYNC | RWF_SYNC))) before_write(fd, offset, vector_bytes(vector, count));
    return real_pwritev2(fd, vector, count, offset, flags);
}

/* A changed length is undone like a write; the bytes that a cut takes away are remembered. */
int ftruncate(int fd, off_t length)
{
    struct stat info;
    if (is_watched(fd, &info)) {
        pthread_mutex_lock(&lock);
        record(fd, &info, length, info.st_size > length ? (size_t)(info.st_size - length) : 0);
        pthread_mutex_unlock(&lock);
    }
    return real_ftruncate(fd, length);
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    before_write(fd, offset, (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) ? (size_t)length : 0);
    return real_fallocate(fd, mode, offset, length);
}

int posix_fallocate(int fd, off_t offset, off_t length)
{
    before_write(fd, offset, 0);
    return real_posix_fallocate(fd, offset, length);
}

/* Drop the first `synced` bytes of the journal (F2); what came meanwhile stays. The lock is held. */
static void drop_synced(int journal, off_t synced)
{
    struct stat info;
    if (fstat(journal, &info) != 0) give_up("the journal is gone");
    size_t left = (size_t)(info.st_size - synced);
    char *rest = malloc(left + 1);
    if (!rest || pread(journal, rest, left, synced) != (ssize_t)left) give_up("the journal can't be read");
    if (real_ftruncate(journal, 0) != 0) give_up("the journal can't be cut");
    append_all(journal, rest, left);
    free(rest);
}

static int sync_and_drop(int fd, int (*real_sync)(int))
{
    struct stat info, before;
    if (!is_watched(fd, &info)) return real_sync(fd);
    pthread_mutex_lock(&lock);
    int journal = open_journal(info.st_ino, O_RDWR | O_APPEND);
    bool has_records = journal >= 0 && fstat(journal, &before) == 0;
    pthread_mutex_unlock(&lock);
    int result = real_sync(fd);
    if (has_records && result == 0) {
        pthread_mutex_lock(&lock);
        drop_synced(journal, before.st_size);
        pthread_mutex_unlock(&lock);
    }
    if (journal >= 0) close(journal);
    return result;
}

int fsync(int fd)
{
    return sync_and_drop(fd, real_fsync);
}

int fdatasync(int fd)
{
    return sync_and_drop(fd, real_fdatasync);
}

/* F3: the name goes; with its last name the file goes, and its journal with it. */
static void before_unlink(int folder, const char *path)
{
    struct stat info;
    int error = errno;
    if (root && fstatat(folder, path, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) && info.st_nlink == 1) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%" PRIu64, journal_folder, (uint64_t)info.st_ino);
        pthread_mutex_lock(&lock);
        real_unlink(name);
        pthread_mutex_unlock(&lock);
    }
    errno = error;
}

int unlink(const char *path)
{
    before_unlink(AT_FDCWD, path);
    return real_unlink(path);
}

int unlinkat(int folder, const char *path, int flags)
{
    before_unlink(folder, path);
    return real_unlinkat(folder, path, flags);
}

int rename(const char *from, const char *to)
{
    before_unlink(AT_FDCWD, to);
    return real_rename(from, to);
}

/* RocksDB and others are compiled with 64-bit offsets and call these names. */
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) __attribute__((alias("pwrite")));
ssize_t pwritev64(int fd, const struct iovec *vector, int count, off64_t offset) __attribute__((alias("pwritev")));
ssize_t pwritev64v2(int fd, const struct iovec *vector, int count, off64_t offset, int flags)
    __attribute__((alias("pwritev2")));
int ftruncate64(int fd, off64_t length) __attribute__((alias("ftruncate")));
int fallocate64(int fd, int mode, off64_t offset, off64_t length) __attribute__((alias("fallocate")));
int posix_fallocate64(int fd, off64_t offset, off64_t length) __attribute__((alias("posix_fallocate")));
