/*
 * checkpoint.h - making a cursor durable: the data before it first, then one small overwrite of its slot, and a sync
 * that serves all checkpoints under way.
 *
 * A slot has two copies. The durable one is left alone until a newer one is durable: whatever goes wrong, and however
 * often it is tried again, only the other is written.
 *
 * What can fail: making the data durable, a slot (disk full), the write, the sync. The cursor is then durable where it
 * was; the place that failed is overwritten with where it still is, as far as the disk lets us, since nothing behind
 * it was handed out. After a failed sync of the cursor file no cursor becomes durable until the log is opened anew.
 *
 * At least once (n): the cursor may lag n entries, so the worker (cursor_worker.h) is asked for a checkpoint when it
 * lags half of that, and reading waits only when it does not keep up. What it then writes is what earlier calls handed
 * out, never what the call that asks is about to.
 */
#ifndef WALRUS_STORE_CHECKPOINT_H
#define WALRUS_STORE_CHECKPOINT_H

#include <stdbool.h>

#include "store/group_cursor.h"

#define CHECKPOINTS_AT_ONCE 64u

/* What a call is about to do to a cursor. */
struct checkpoint_step {
    struct walrus_consistency consistency;
    bool nonblock;
    struct cursor_place before; /* where a crash may leave it while the call's entries are not done with */
    struct cursor_place after;  /* and once they are */
};

/*
 * Does what the consistency asks for before the step. WALRUS_E_WOULD_BLOCK when it would have to wait and may not.
 * *again: the lock was given up to wait for the worker, so that the caller must look anew. Needs the lock.
 */
enum walrus_code checkpoint_step_locked(struct group_cursor *cursor, const struct checkpoint_step *step, bool *again,
                                        struct walrus_error *error);

/* Makes the cursor durable at a place, in front of or behind where it is. The worker must not be at it. Needs the lock
 * and keeps it. WALRUS_E_RANGE when the place is not retained any more. */
enum walrus_code checkpoint_locked(struct group_cursor *cursor, struct cursor_place place, struct walrus_error *error);

/* The same at the first entry that is not done with, if it is not durable there and there is a reason to. */
enum walrus_code checkpoint_low_locked(struct group_cursor *cursor, struct walrus_error *error);

/* Waits until the worker is not at it, and takes note; gives the lock up meanwhile. */
void checkpoint_await_locked(struct group_cursor *cursor);

/* Frees the slot durably: the cursor exists no more. The worker must not be at it. Needs the lock. */
enum walrus_code checkpoint_erase_locked(struct group_cursor *cursor, struct walrus_error *error);

/* The same for a damaged slot that nobody misses, as far as the disk lets us; claims nothing. */
void checkpoint_blank(struct group_cursor *cursor);

/* Takes note of what the worker has done, if it has. Whoever looks at where the cursor is durable calls it before.
 * Needs the lock. */
void checkpoint_notice_locked(struct group_cursor *cursor);

/* For the worker: does what each cursor has asked for, with one sync for all. */
void checkpoint_many(struct group_cursor **cursors, size_t count); /* at most CHECKPOINTS_AT_ONCE */

#endif
