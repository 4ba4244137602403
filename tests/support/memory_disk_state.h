/*
 * memory_disk_state.h - what a memory_disk consists of; private to memory_disk*.c.
 */
#ifndef WALRUS_TESTS_MEMORY_DISK_STATE_H
#define WALRUS_TESTS_MEMORY_DISK_STATE_H

#include "memory_disk.h"
#include "memory_image.h"
#include "random.h"

#include <pthread.h>
#include <stdatomic.h>

enum change_kind {
    CHANGE_WRITE,
    CHANGE_ALLOCATE,
    CHANGE_TRUNCATE,
    CHANGE_PUNCH,
    CHANGE_CREATE_NAME,
    CHANGE_RENAME,
    CHANGE_UNLINK,
};

/*
 * One unsynced change. Changes form lists from the newest to the oldest; they never change once made, so clones share
 * them (a change holds a reference to the one before it).
 */
struct change {
    atomic_uint references;
    enum change_kind kind;
    uint64_t order; /* counts all changes of the disk */
    struct change *older;
    size_t depth;    /* changes in the list from here on */
    uint64_t offset; /* CHANGE_TRUNCATE: the new size */
    uint64_t length;
    size_t inode;     /* of name changes */
    const char *name; /* points into bytes; CHANGE_RENAME: the old one */
    const char *new_name;
    uint8_t bytes[];
};

struct name_entry {
    struct shared_name *name;
    size_t inode;
};

/* Names are few (a log has tens of files), so a plain array does. */
struct name_table {
    struct name_entry *entries;
    size_t count;
    size_t capacity;
};

struct inode {
    bool in_use;
    bool diverged; /* a failed sync: `durable` is no longer "shown minus changes" */
    unsigned open_count;
    struct memory_image *durable;
    struct memory_image *shown;
    struct change *changes;
    uint64_t reorder_horizon; /* knobs.reorders: changes from here on were made after the sync before this one */
};

struct fault {
    bool armed;
    enum memory_disk_kind kind;
    uint64_t countdown;
    int error;
    enum memory_fault_mode mode;
};

#define FAULTS_MAX 16

struct memory_disk {
    struct memory_disk_knobs knobs;
    pthread_mutex_t lock; /* guards all below */
    struct inode *inodes;
    size_t inode_count;
    struct name_table durable_names;
    struct name_table shown_names;
    struct change *name_changes;
    uint64_t next_order;
    struct random_source random;
    struct io *lock_holder;
    uint64_t operations[MEMORY_DISK_ANY_CHANGE + 1];
    struct fault faults[FAULTS_MAX];
    uint64_t fault_hits[MEMORY_DISK_ANY_CHANGE + 1];
};

void *memory_must(void *allocated);

struct change *change_create(struct memory_disk *disk, enum change_kind kind, struct change *older, size_t byte_count);
struct change *change_reference(struct change *change);
void change_release(struct change *newest);
/* The list as an array from the oldest to the newest; *count of them. Freed by the caller; NULL when empty. */
struct change **change_array(struct change *newest, size_t *count);

void names_copy(struct name_table *to, const struct name_table *from);
void names_clear(struct name_table *table);
bool names_find(const struct name_table *table, const char *name, size_t *inode);
/* `name` leads to `inode` from now on, and no other name does. */
void names_place(struct name_table *table, const char *name, size_t inode);
void names_remove(struct name_table *table, const char *name, size_t inode);
const char *name_entry_text(const struct name_entry *entry);

size_t inode_create(struct memory_disk *disk);
/* Frees inodes that no name, durable or shown or pending, and no open file leads to. */
void inodes_collect(struct memory_disk *disk);
void inode_drop_changes(struct inode *inode);
/* As the capacity counts them. */
uint64_t disk_used_pages_locked(const struct memory_disk *disk);

/* What a file, or the names, look like when some of the changes were lost: for power cuts and for failed syncs. */
struct crash_plan {
    enum memory_crash_mode mode;
    struct random_source random;
    unsigned keep_percent;
    unsigned torn_percent;
    bool whole_sectors; /* a written sector holds the earlier writes to it too, as the page cache makes it */
    bool never_torn;
    bool sizes_kept;
    bool keep_current_file;
    bool keep_current_write;
    uint64_t unit; /* counted as the plan is carried out */
    uint64_t chosen_unit;
    uint64_t chosen_order;
};

void crash_plan_make(struct crash_plan *plan, struct memory_disk *disk, uint64_t seed, enum memory_crash_mode mode);
/* A new reference to the resulting image. */
struct memory_image *crash_file(struct crash_plan *plan, const struct inode *inode);
void crash_names(struct crash_plan *plan, struct change *changes, struct name_table *names);
size_t change_units(const struct change *newest);

#endif
