/*
 * sync_point.h - group commit on one file: however many wait, one sync serves all that was written before it began.
 *
 * A writer notes its write and gets a ticket; waiting for a ticket returns once a sync that began after that write has
 * succeeded. A failed sync is final: the kernel may drop what it could not write and call the next sync a success, so
 * no later sync of this file is ever believed (or made).
 */
#ifndef WALRUS_STORE_SYNC_POINT_H
#define WALRUS_STORE_SYNC_POINT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/wait_word.h"
#include "io/io.h"

struct sync_point {
    struct io_file *file;
    _Atomic uint64_t written;     /* ticket of the newest write */
    _Atomic uint64_t synced;      /* writes up to this ticket are durable */
    _Atomic int failed;           /* negated errno of the sync that failed, or 0 */
    _Atomic uint64_t *sync_count; /* statistics of the log */
    _Atomic uint64_t *failure_count;
    _Atomic bool syncing;   /* somebody is at it; the others sleep */
    struct wait_word round; /* changes at the end of each sync */
    _Atomic uint32_t crowd; /* how many slept through the last one */
};

void sync_point_init(struct sync_point *point, struct io_file *file, _Atomic uint64_t *sync_count,
                     _Atomic uint64_t *failure_count);

/* To be called after a write to the file has returned. */
static inline uint64_t sync_point_note_write(struct sync_point *point)
{
    return atomic_fetch_add(&point->written, 1) + 1;
}

static inline bool sync_point_is_durable(struct sync_point *point, uint64_t ticket)
{
    return atomic_load(&point->synced) >= ticket;
}

/* The file is about to be closed, and nothing written to it matters any more: whoever waits, now or later, need not. */
void sync_point_retire(struct sync_point *point);

/* 0, or the negated errno of a failed sync of this file, now or earlier. */
int sync_point_wait(struct sync_point *point, uint64_t ticket);

/* Makes durable everything noted so far. */
static inline int sync_point_wait_all(struct sync_point *point)
{
    return sync_point_wait(point, atomic_load(&point->written));
}

#endif
