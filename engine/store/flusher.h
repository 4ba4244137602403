/*
 * flusher.h - the log's one thread: syncs what topics with the policy "every N ms" have written, each interval. One
 * interval serves all: the shortest.
 */
#ifndef WALRUS_STORE_FLUSHER_H
#define WALRUS_STORE_FLUSHER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct walrus_log;

struct flusher {
    struct walrus_log *log;
    pthread_t thread;
    bool running;
    _Atomic bool due; /* something was written since the last round */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* lock */
    uint32_t interval_ms; /* the shortest that the log or a topic asks for */
    bool stopping;
};

/* A topic wants syncs at this interval. Before or after the start. */
void flusher_note_interval(struct flusher *flusher, uint32_t interval_ms);

/* The thread starts only where a policy asks for it. 0 or a negated errno. */
int flusher_start(struct flusher *flusher, struct walrus_log *log);
/* Does not sync what is outstanding: closing does. */
void flusher_stop(struct flusher *flusher);

/* A topic with the policy "every N ms" was written. */
static inline void flusher_note_write(struct flusher *flusher)
{
    /* Only the first write of an interval touches the shared line. */
    if (!atomic_load_explicit(&flusher->due, memory_order_relaxed))
        atomic_store(&flusher->due, true);
}

#endif
