#include "store/flusher.h"

#include <errno.h>
#include <time.h>

#include "store/log.h"

static void *run(void *argument)
{
    struct flusher *flusher = argument;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    pthread_mutex_lock(&flusher->lock);
    while (!flusher->stopping) {
        next.tv_sec += flusher->interval_ms / 1000;
        next.tv_nsec += (long)(flusher->interval_ms % 1000) * 1000000L;
        if (next.tv_nsec >= 1000000000L) {
            next.tv_sec++;
            next.tv_nsec -= 1000000000L;
        }
        while (!flusher->stopping && pthread_cond_timedwait(&flusher->wake, &flusher->lock, &next) != ETIMEDOUT)
            ;
        clock_gettime(CLOCK_MONOTONIC, &next);
        if (flusher->stopping || !atomic_exchange(&flusher->due, false))
            continue;
        pthread_mutex_unlock(&flusher->lock);
        /* Names first: an entry that survives a crash should find its topic. A failure is met by the topic's next
         * append. */
        struct walrus_error error;
        (void)catalog_wait(&flusher->log->catalog, atomic_load(&flusher->log->catalog.sync.written), &error);
        (void)segment_set_sync(&flusher->log->segments, &error);
        pthread_mutex_lock(&flusher->lock);
    }
    pthread_mutex_unlock(&flusher->lock);
    return NULL;
}

int flusher_start(struct flusher *flusher, struct walrus_log *log)
{
    flusher->log = log;
    atomic_init(&flusher->due, false);
    flusher->stopping = false;
    flusher->interval_ms = log->options.sync.mode == WALRUS_SYNC_EVERY ? log->options.sync.interval_ms : 200;
    pthread_mutex_init(&flusher->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&flusher->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    int rc = pthread_create(&flusher->thread, NULL, run, flusher);
    flusher->running = rc == 0;
    return -rc;
}

void flusher_stop(struct flusher *flusher)
{
    if (flusher->running) {
        pthread_mutex_lock(&flusher->lock);
        flusher->stopping = true;
        pthread_cond_signal(&flusher->wake);
        pthread_mutex_unlock(&flusher->lock);
        pthread_join(flusher->thread, NULL);
        flusher->running = false;
    }
    pthread_cond_destroy(&flusher->wake);
    pthread_mutex_destroy(&flusher->lock);
}
