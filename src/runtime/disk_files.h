/* disk_files.h: the files port over a folder of the operating system. Writes with their sync go to one thread, in
 * order; reads and preallocation to another, so that neither the loop nor the next sync waits for them. */
#ifndef MERIDIAN_RUNTIME_DISK_FILES_H
#define MERIDIAN_RUNTIME_DISK_FILES_H

#include <uv.h>

#include "storage/files.h"

struct disk_files;

/* `done` is called on the loop. Returns NULL if the folder can't be opened (errno tells why). */
struct disk_files *disk_files_open(uv_loop_t *loop, const char *folder,
                                   void (*done)(void *user, struct file_request *request), void *user);
struct files_port disk_files_port(struct disk_files *d);
void disk_files_close(struct disk_files *d); /* the files themselves were closed by their user */

#endif
