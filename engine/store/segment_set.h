/*
 * segment_set.h - the segment files of a log and the space for blocks in them.
 *
 * Space is handed out from the front of a file to its back and never twice: a freed block is punched out, and a file
 * whose blocks are all free is removed. So no block ever holds an older block's bytes.
 */
#ifndef WALRUS_STORE_SEGMENT_SET_H
#define WALRUS_STORE_SEGMENT_SET_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <walrus/walrus_error.h>

#include "io/io.h"
#include "store/sync_point.h"

#define SEGMENT_NAME_BYTES 32u
/* Blocks of topics that sync each append share one file, so that one sync serves all; the others spread over the rest,
 * because the kernel lets one writer at a time into a file. */
#define SEGMENT_LANES 9u
#define SEGMENT_LANE_SYNCED 0u

struct segment {
    uint64_t id;
    struct io_file *file;
    struct sync_point sync;
    /* set->lock */
    uint64_t used_end;     /* blocks fill the file up to here */
    uint64_t reserved_end; /* disk space is reserved up to here */
    uint64_t live_blocks;
    bool closed;         /* takes no more blocks */
    bool shared_batches; /* fixed: its header says that parts of batches over several topics may be in it */
    bool unclean_end;    /* found at open: whatever lies beyond used_end is to be cleared before it is used */
    bool holds_damage;   /* found at open: a damaged block header, whose block may be worth keeping: the file stays */
    bool removing;       /* its removal is under way */
    bool off_record;     /* its removal is on record, but the file could not be unlinked yet */
    struct segment *next_removed;
};

/* Keeps the record of which files there are. */
struct segment_register {
    /* After a file was made durable. Called with the set's lock held. */
    enum walrus_code (*created)(void *context, uint64_t id, struct walrus_error *error);
    /* Before a file is removed; durable on return. No lock is held. */
    enum walrus_code (*removed)(void *context, uint64_t id, struct walrus_error *error);
    /* A file may be without blocks: segment_set_remove_empty() is due. Called with the set's lock held. */
    void (*emptied)(void *context);
    /* A block was made. Called with the set's lock held. */
    void (*grown)(void *context, uint64_t bytes);
    void *context;
};

struct segment_set {
    struct io *io;
    struct segment_register files;
    uint64_t log_id;
    uint64_t segment_bytes;
    _Atomic uint64_t *sync_count;
    _Atomic uint64_t *failure_count;
    pthread_mutex_t lock;
    /* lock */
    struct segment **segments; /* by growing id */
    struct segment *removed;   /* file and name gone; the structs stay, since syncs may still point to them */
    _Atomic size_t count;      /* may be read without the lock, which is held while a file is made */
    size_t capacity;
    uint64_t next_id;
    uint64_t created; /* files, since the open */
    struct segment *active[SEGMENT_LANES];
};

void segment_set_init(struct segment_set *set, struct io *io, uint64_t segment_bytes, _Atomic uint64_t *sync_count,
                      _Atomic uint64_t *failure_count);
/* Closes the files. */
void segment_set_fini(struct segment_set *set);

void segment_name(uint64_t id, char name[SEGMENT_NAME_BYTES]);
/* False unless `name` is exactly what segment_name() gives for some id. */
bool segment_name_parse(const char *name, uint64_t *id);

/* For recovery: takes over an open file. Ids must grow from call to call. NULL when out of memory. */
struct segment *segment_set_adopt(struct segment_set *set, uint64_t id, struct io_file *file);

/*
 * Space for a block of `bytes` (a multiple of BLOCK_ALIGNMENT), reserved on disk and zero. Counts as live. Without
 * `may_wait` WALRUS_E_WOULD_BLOCK where a file would have to be made, or readied, which takes syncs.
 */
enum walrus_code segment_set_allocate(struct segment_set *set, unsigned lane, uint64_t bytes, bool may_wait,
                                      struct segment **segment, uint64_t *segment_offset, struct walrus_error *error);

/* Gives a block's space back. False when the block could not be cleared, and so keeps its place: to be tried again, by
 * the next open at the latest. Nobody may read or write the block any more. */
bool segment_set_release(struct segment_set *set, struct segment *segment, uint64_t segment_offset, uint64_t bytes);

/* Removes the files that have no block left and that no lane fills. Waits for syncs, but holds no lock meanwhile. One
 * caller at a time. False when a file could not be removed: to be tried again. */
bool segment_set_remove_empty(struct segment_set *set);

/* NULL: there is none. */
struct segment *segment_set_find(struct segment_set *set, uint64_t id);

/* Calls visit for every segment, with the set's lock held, until it returns false. False then. */
bool segment_set_each(struct segment_set *set, bool (*visit)(struct segment *segment, void *context), void *context);

/* Number of writes, frees and reservations so far: 0 as long as no segment file was changed. */
uint64_t segment_set_changes(struct segment_set *set);

/* Makes durable all that was written to any segment before the call. */
enum walrus_code segment_set_sync(struct segment_set *set, struct walrus_error *error);

#endif
