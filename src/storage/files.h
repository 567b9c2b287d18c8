/* files.h: the port below the log: a folder of files. runtime/ implements it with the operating system, sim/ with
 * files that forget and tear what was not synced.
 *
 * Calls marked [now] return when done; they are used while opening and for rare upkeep. Requests are asynchronous: the
 * world completes them later, never from within submit(), by handing the same request to shard_on_file_done()
 * (log_on_file_done()). Writes to one file complete in order. A request's memory belongs to the caller and stays put
 * until completion. A file that could not be created whole is removed again by the world.
 */
#ifndef MERIDIAN_STORAGE_FILES_H
#define MERIDIAN_STORAGE_FILES_H

#include "base/slice.h"
#include "base/status.h"

typedef int32_t file_handle; /* >= 0 */

enum { FILE_NAME_BYTES_MAX = 64 };

enum file_request_kind {
    FILE_WRITE_SYNC,  /* write `bytes` at `offset`, then make it durable (fdatasync) */
    FILE_READ,        /* read `length` bytes at `offset` into `into`; short at the end of the file */
    FILE_PREALLOCATE, /* create `name` with `length` zero bytes, durable, directory entry included; sets `file` */
};

struct file_request {
    enum file_request_kind kind;
    file_handle file;
    uint64_t offset;
    struct slice bytes; /* FILE_WRITE_SYNC */
    uint8_t *into;      /* FILE_READ */
    size_t length;
    char name[FILE_NAME_BYTES_MAX]; /* FILE_PREALLOCATE */
    enum status status;             /* set at completion: OK, IO, NO_SPACE */
    size_t length_done;             /* FILE_READ */
    void *owner;                    /* the caller's */
    void *world_node;               /* the world's, while under way */
};

struct files_port {
    void *world;
    enum status (*list)(void *world, void (*visit)(void *user, const char *name, uint64_t bytes),
                        void *user);                                           /* [now] */
    enum status (*open)(void *world, const char *name, file_handle *out_file); /* [now] */
    enum status (*create)(void *world, const char *name, uint64_t bytes,
                          file_handle *out_file); /* [now] FILE_PREALLOCATE, at once */
    enum status (*read)(void *world, file_handle file, uint64_t offset, uint8_t *into, size_t length,
                        size_t *out_length);                                                       /* [now] */
    enum status (*write_sync)(void *world, file_handle file, uint64_t offset, struct slice bytes); /* [now] */
    enum status (*remove)(void *world, const char *name);                 /* [now] durable with the next sync_folder */
    enum status (*rename)(void *world, const char *from, const char *to); /* [now] likewise */
    enum status (*sync_folder)(void *world);                              /* [now] */
    void (*close)(void *world, file_handle file);                         /* [now] */
    void (*submit)(void *world, struct file_request *request);
};

#endif
