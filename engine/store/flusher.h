/*
 * flusher.h - the log's one thread: syncs what topics with the policy "every N ms" have written, each interval.
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
    uint32_t interval_ms;
    _Atomic bool due; /* something was written since the last round */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping; /* lock */
};

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
