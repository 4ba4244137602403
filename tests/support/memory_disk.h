/*
 * memory_disk.h - a simulated disk behind the engine's I/O table: it loses, tears and reorders whatever was not synced,
 * names included, and fails operations on request.
 *
 * A disk outlives the io objects that are attached to it. Per file it keeps what is durable, what the system shows, and
 * the ordered list of changes in between; the same for the names of the directory. The strict reading of POSIX holds:
 *  - sync(file) makes the file's data and size durable, never its name; sync_directory() makes names durable, never
 *    data.
 *  - a power cut applies each unsynced change, or not, by itself: a write per 512-byte sector (whole, not at all, or
 *    torn after any byte), a size, a reservation, a punched page, a created, renamed or removed name.
 *  - a failed sync leaves the system believing the pages are clean: some of them are on the disk and some are not, and
 *    the next sync says ok. The same for a failed sync_directory.
 *
 * One lock guards a disk; any number of threads may use its io. Out of memory aborts: this is test equipment.
 */
#ifndef WALRUS_TESTS_MEMORY_DISK_H
#define WALRUS_TESTS_MEMORY_DISK_H

#include <io/io.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_SECTOR_BYTES 512u

struct memory_disk;

enum memory_disk_kind {
    MEMORY_DISK_OPEN,
    MEMORY_DISK_READ,
    MEMORY_DISK_WRITE,
    MEMORY_DISK_SUBMIT,  /* a whole submission: nothing is started */
    MEMORY_DISK_REQUEST, /* one request of a submission, a write or a read */
    MEMORY_DISK_SYNC,
    MEMORY_DISK_ALLOCATE,
    MEMORY_DISK_PUNCH,
    MEMORY_DISK_NEXT_DATA,
    MEMORY_DISK_SIZE,
    MEMORY_DISK_TRUNCATE,
    MEMORY_DISK_DROP_CACHE,
    MEMORY_DISK_RENAME,
    MEMORY_DISK_UNLINK,
    MEMORY_DISK_LIST,
    MEMORY_DISK_SYNC_DIRECTORY,
    MEMORY_DISK_LOCK,
    MEMORY_DISK_KINDS,
    MEMORY_DISK_ANY = MEMORY_DISK_KINDS,
    MEMORY_DISK_ANY_CHANGE, /* any but open without IO_CREATE, read, submit, a request that reads, next_data, size,
                               drop_cache, list, lock */
};

const char *memory_disk_kind_name(enum memory_disk_kind kind);

struct memory_disk_knobs {
    /* Called before each operation that MEMORY_DISK_ANY_CHANGE counts, without the disk's lock: may clone the disk. */
    void (*on_operation)(struct memory_disk *disk, enum memory_disk_kind kind, void *context);
    void *on_operation_context;
    uint64_t capacity_bytes; /* 0: no limit. Counted in 4 KiB pages, as written or reserved */
    uint64_t seed;           /* decides the order of a submission and what a failed sync left on the disk */
    bool threads;            /* logs that are opened work in the background too, and the order is no longer the same */
    bool atomic_sectors; /* a milder power cut: no torn sectors, and a sector holds all that was written to it so far */
    /* Deliberately broken, for controls: */
    bool lies_sync;           /* sync does nothing and says ok */
    bool lies_directory_sync; /* sync_directory does nothing and says ok */
    bool reorders;            /* a sync makes durable only what was there at the sync before it */
};

/* An empty disk. */
struct memory_disk *memory_disk_create(void);
void memory_disk_destroy(struct memory_disk *disk);

struct memory_disk_knobs *memory_disk_knobs(struct memory_disk *disk);

/* Attaches an io, which its destroy() detaches. Until it locks it may be one of several. */
struct io *memory_disk_open(struct memory_disk *disk);

/* The same disk at the same moment, unsynced changes included. All bytes are shared; hook, faults, lock and counters
 * are not copied. */
struct memory_disk *memory_disk_clone(struct memory_disk *disk);

enum memory_crash_mode {
    MEMORY_CRASH_LOSES_ALL,
    MEMORY_CRASH_KEEPS_ALL,
    MEMORY_CRASH_RANDOM,      /* each change by itself, with a density drawn from the seed */
    MEMORY_CRASH_WRITES,      /* each write whole or not at all */
    MEMORY_CRASH_FILES,       /* each file's changes, and all names, whole or not at all */
    MEMORY_CRASH_ALL_BUT_ONE, /* all but one sector, size or name */
    MEMORY_CRASH_ONLY_ONE,
    MEMORY_CRASH_ONLY_LAST, /* only the newest operation of all */
    MEMORY_CRASH_PREFIX,    /* all operations up to a moment, with one torn at the edge */
    MEMORY_CRASH_SUFFIX,    /* all operations from a moment on */
    MEMORY_CRASH_MODES,
    MEMORY_CRASH_BY_SEED = MEMORY_CRASH_MODES,
};

const char *memory_crash_mode_name(enum memory_crash_mode mode);
/* The mode that memory_disk_crash() draws from a seed. */
enum memory_crash_mode memory_crash_mode_of(uint64_t seed);

/* What a power cut at this moment leaves: a new disk, always the same for a seed. `disk` stays as it is. */
struct memory_disk *memory_disk_crash(struct memory_disk *disk, uint64_t seed);
struct memory_disk *memory_disk_crash_as(struct memory_disk *disk, uint64_t seed, enum memory_crash_mode mode);

/* Number of changes that a power cut could still lose: sectors, sizes, names. */
size_t memory_disk_unsynced(struct memory_disk *disk);

enum memory_fault_mode {
    MEMORY_FAULT_ONCE,             /* the nth operation fails and does nothing */
    MEMORY_FAULT_FOR_GOOD,         /* so do all later ones of the kind */
    MEMORY_FAULT_SHORT,            /* the nth read or write transfers half; `error` is not used */
    MEMORY_FAULT_SHORT_THEN_ERROR, /* the nth transfers half, the next of the kind fails */
};

/* Arms a fault for the nth operation (1: the next) of a kind from now. `error` is a positive errno. At most 16 at once.
 */
void memory_disk_fail(struct memory_disk *disk, enum memory_disk_kind kind, uint64_t nth, int error,
                      enum memory_fault_mode mode);
void memory_disk_clear_faults(struct memory_disk *disk);
/* How many operations of a kind failed or came back short by injection. */
uint64_t memory_disk_fault_hits(struct memory_disk *disk, enum memory_disk_kind kind);

/* Operations so far, failed ones included. */
uint64_t memory_disk_operations(struct memory_disk *disk, enum memory_disk_kind kind);

/* File space in use as the capacity counts it. */
uint64_t memory_disk_used_bytes(struct memory_disk *disk);
/* Of one file; 0 if there is no such file. */
uint64_t memory_disk_file_bytes(struct memory_disk *disk, const char *name);

/* Changes bytes behind the system's back, durably: for tests of damage. -ENOENT if there is no such file. */
int memory_disk_corrupt(struct memory_disk *disk, const char *name, uint64_t offset, const void *bytes, size_t size);

#endif
