/* disk.h: a virtual disk folder: the files port of one shard. What was not synced when the node crashes is forgotten or
 * torn: any subset of the 512-byte sectors under way may have reached the platter, in any order; renames and removals
 * that no folder sync followed may be undone. */
#ifndef MERIDIAN_SIM_DISK_H
#define MERIDIAN_SIM_DISK_H

#include "base/prng.h"
#include "sim/schedule.h"
#include "storage/files.h"

enum { DISK_SECTOR_BYTES = 512 };

struct disk;

struct disk_config {
    struct schedule *schedule;
    struct prng *prng;
    uint64_t sync_ns_min, sync_ns_max; /* how long a write with its sync takes */
    uint64_t bytes_max;                /* capacity: beyond it NO_SPACE */
    /* A request is complete: hand it to the shard. Never called for requests of before a crash. */
    void (*done)(void *user, struct file_request *request);
    void *user;
};

struct disk *disk_new(const struct disk_config *config);
void disk_free(struct disk *disk);
struct files_port disk_port(struct disk *disk); /* lives as long as the disk */

/* The node crashes now: decide what of the work under way survives, drop the rest. Call before the shard is freed. */
void disk_crash(struct disk *disk);
void disk_wipe(struct disk *disk);                     /* a new, empty disk */
void disk_stall(struct disk *disk, uint64_t until_ns); /* nothing completes before that time */
void disk_set_capacity(struct disk *disk, uint64_t bytes_max);
uint64_t disk_bytes(const struct disk *disk);

#endif
