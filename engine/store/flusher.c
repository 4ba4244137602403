#include "store/flusher.h"

#include <errno.h>
#include <time.h>

#include "base/thread.h"
#include "store/log.h"

#define INTERVAL_WITHOUT_POLICY_MS 200u

static struct timespec after_interval(struct timespec from, uint32_t interval_ms)
{
    from.tv_sec += interval_ms / 1000;
    from.tv_nsec += (long)(interval_ms % 1000) * 1000000L;
    if (from.tv_nsec >= 1000000000L) {
        from.tv_sec++;
        from.tv_nsec -= 1000000000L;
    }
    return from;
}

/* Until the interval has passed since `from`, also when it becomes shorter meanwhile. */
static void wait_locked(struct flusher *flusher, struct timespec from)
{
    int rc = 0;
    while (!flusher->stopping && rc != ETIMEDOUT) {
        struct timespec next = after_interval(from, flusher->interval_ms);
        rc = pthread_cond_timedwait(&flusher->wake, &flusher->lock, &next);
    }
}

static void *run(void *argument)
{
    struct flusher *flusher = argument;
    struct timespec since;
    clock_gettime(CLOCK_MONOTONIC, &since);
    pthread_mutex_lock(&flusher->lock);
    while (!flusher->stopping) {
        wait_locked(flusher, since);
        clock_gettime(CLOCK_MONOTONIC, &since);
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

void flusher_note_interval(struct flusher *flusher, uint32_t interval_ms)
{
    if (!flusher->running) {
        /* Recovery: nobody else is there yet. */
        if (flusher->interval_ms == 0 || interval_ms < flusher->interval_ms)
            flusher->interval_ms = interval_ms;
        return;
    }
    pthread_mutex_lock(&flusher->lock);
    if (interval_ms < flusher->interval_ms) {
        flusher->interval_ms = interval_ms;
        pthread_cond_signal(&flusher->wake);
    }
    pthread_mutex_unlock(&flusher->lock);
}

int flusher_start(struct flusher *flusher, struct walrus_log *log)
{
    flusher->log = log;
    atomic_init(&flusher->due, false);
    flusher->stopping = false;
    if (log->options.sync.mode == WALRUS_SYNC_EVERY)
        flusher_note_interval(flusher, log->options.sync.interval_ms);
    else if (flusher->interval_ms == 0)
        flusher->interval_ms = INTERVAL_WITHOUT_POLICY_MS;
    pthread_mutex_init(&flusher->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&flusher->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    int rc = thread_start(&flusher->thread, run, flusher);
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
