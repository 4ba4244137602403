/*
 * marker.h - the log's thread that writes a clean mark after so many bytes of new blocks, so that the work of a
 * recovery stays bounded however long the log is open.
 *
 * It waits for its own syncs and for nobody else; an append waits for it while one topic's end is noted, no longer.
 */
#ifndef WALRUS_STORE_MARKER_H
#define WALRUS_STORE_MARKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct walrus_log;

struct marker {
    struct walrus_log *log;
    uint64_t threshold_bytes;   /* 0: never */
    _Atomic uint64_t new_bytes; /* of blocks made since the last mark */
    _Atomic bool due;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping; /* lock */
};

void marker_init(struct marker *marker, struct walrus_log *log, uint64_t threshold_bytes);
/* 0 or a negated errno. Without threads (io.h), or with no threshold, there is none. */
int marker_start(struct marker *marker);
void marker_stop(struct marker *marker);
void marker_fini(struct marker *marker);

/* A block was made. Takes no lock but its own. */
void marker_note_block(struct marker *marker, uint64_t bytes);

/* Where there are no threads: writes the mark that is due. For callers that hold no lock. */
void marker_work(struct marker *marker);
static inline void marker_poll(struct marker *marker)
{
    if (atomic_load_explicit(&marker->due, memory_order_relaxed) && !marker->running)
        marker_work(marker);
}

#endif
