/*
 * cursor_worker.h - a thread of the log for what consumers should not wait for: checkpoints ahead of time, and waking
 * others when a lease ends. It starts with the first thing there is to do.
 *
 * Without it (no thread to be had) everything works the same: checkpoints are waited for, and what a lease held is
 * found free by whoever takes next; only nobody is woken for it.
 */
#ifndef WALRUS_STORE_CURSOR_WORKER_H
#define WALRUS_STORE_CURSOR_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct group_cursor;

struct cursor_worker {
    pthread_t thread;
    pthread_cond_t wake;
    pthread_mutex_t lock; /* a cursor's lock may be held when it is taken, not the other way round */
    /* lock */
    bool running;
    bool stopping;
    struct group_cursor *queue; /* wait for a checkpoint; each with a reference, and one to its topic */
    struct group_cursor *leases;
    uint64_t wake_ns; /* when it means to look at the leases again */
};

void cursor_worker_init(struct cursor_worker *worker);
/* Ends the thread when it is through with its queue. */
void cursor_worker_stop(struct cursor_worker *worker);
void cursor_worker_fini(struct cursor_worker *worker);

/* Has checkpoint_many() called for the cursor soon, once. False: nobody is there to do it. Needs the cursor's lock. */
bool cursor_worker_ask_checkpoint(struct cursor_worker *worker, struct group_cursor *cursor);

/* When the cursor's next lease ends (NO_LEASE: it has none). Needs the cursor's lock. */
void cursor_worker_note_lease(struct cursor_worker *worker, struct group_cursor *cursor, uint64_t lease_end_ns);

#endif
