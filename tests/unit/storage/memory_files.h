/* memory_files.h: a folder of files in memory, for tests. At any chosen step the process can die, or the power fail.
 * The first leaves what was being written in the system's memory, whole or in part, where the next process reads it.
 * The second forgets or tears that, at sectors of 512 bytes, and undoes renames that no folder sync followed. What a
 * process found in memory becomes durable only when it writes it again: a sync that failed before may have marked it
 * clean. */
#ifndef MERIDIAN_TESTS_MEMORY_FILES_H
#define MERIDIAN_TESTS_MEMORY_FILES_H

#include "base/prng.h"
#include "storage/files.h"

enum { MEMORY_FILES_MAX = 64, MEMORY_REQUESTS_MAX = 256, MEMORY_FOLDER_OPS_MAX = 64 };

struct memory_file {
    bool exists;
    char name[FILE_NAME_BYTES_MAX];
    uint8_t *bytes;   /* as a process reads them */
    uint8_t *durable; /* as they are on the platter */
    size_t length;
};

struct memory_folder_op {
    int file;
    bool removed;
    char old_name[FILE_NAME_BYTES_MAX];
};

struct memory_files {
    struct memory_file files[MEMORY_FILES_MAX];
    struct memory_folder_op ops[MEMORY_FOLDER_OPS_MAX];
    int ops_count;
    struct file_request *requests[MEMORY_REQUESTS_MAX]; /* under way, in order */
    int requests_count;
    struct prng prng;
    uint64_t bytes_max;
    uint64_t steps;               /* of the disk so far */
    uint64_t crash_step;          /* the crash comes at this step; 0: never */
    bool power_stays;             /* it is only the process that dies */
    struct memory_files *image;   /* what the failure left, once it happened */
    void (*on_crash)(void *user); /* at that moment, the process still unaware */
    void *user;
};

void memory_files_init(struct memory_files *m, uint64_t seed);
void memory_files_deinit(struct memory_files *m);
struct files_port memory_files_port(struct memory_files *m);
/* Complete the `index`-th request under way and return it, for the owner to be told. */
struct file_request *memory_files_complete(struct memory_files *m, int index);
/* Come back from the crash: the state is what it left (taken now, if the crash step was not reached). */
void memory_files_restart(struct memory_files *m);
uint64_t memory_files_bytes(const struct memory_files *m);
int memory_files_find(const struct memory_files *m, const char *name); /* index, or -1 */
/* Copy the folder's present state, without what is under way. */
void memory_files_copy(struct memory_files *to, const struct memory_files *from);

#endif
