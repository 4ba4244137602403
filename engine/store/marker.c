#include "store/marker.h"

#include "base/thread.h"
#include "store/log.h"

void marker_init(struct marker *marker, struct walrus_log *log, uint64_t threshold_bytes)
{
    *marker = (struct marker){.log = log, .threshold_bytes = threshold_bytes};
    pthread_mutex_init(&marker->lock, NULL);
    pthread_cond_init(&marker->wake, NULL);
}

void marker_work(struct marker *marker)
{
    struct walrus_error ignored; /* the mark before this one stays; the next try comes with the next blocks */
    /* First: blocks that are made from here on may miss the mark and count for the next. */
    atomic_store(&marker->new_bytes, 0);
    if (atomic_exchange(&marker->due, false))
        (void)clean_mark_write(marker->log, false, &ignored);
}

static void *run(void *argument)
{
    struct marker *marker = argument;
    pthread_mutex_lock(&marker->lock);
    while (!marker->stopping) {
        if (!atomic_load(&marker->due)) {
            pthread_cond_wait(&marker->wake, &marker->lock);
            continue;
        }
        pthread_mutex_unlock(&marker->lock);
        marker_work(marker);
        pthread_mutex_lock(&marker->lock);
    }
    pthread_mutex_unlock(&marker->lock);
    return NULL;
}

int marker_start(struct marker *marker)
{
    if (marker->log->io->no_threads || marker->threshold_bytes == 0)
        return 0;
    int rc = thread_start(&marker->thread, run, marker);
    marker->running = rc == 0;
    return -rc;
}

void marker_stop(struct marker *marker)
{
    if (!marker->running)
        return;
    pthread_mutex_lock(&marker->lock);
    marker->stopping = true;
    pthread_cond_signal(&marker->wake);
    pthread_mutex_unlock(&marker->lock);
    pthread_join(marker->thread, NULL);
    marker->running = false;
}

void marker_fini(struct marker *marker)
{
    pthread_cond_destroy(&marker->wake);
    pthread_mutex_destroy(&marker->lock);
}

void marker_note_block(struct marker *marker, uint64_t bytes)
{
    uint64_t before = atomic_fetch_add(&marker->new_bytes, bytes);
    if (marker->threshold_bytes == 0 || before + bytes < marker->threshold_bytes || atomic_exchange(&marker->due, true))
        return;
    pthread_mutex_lock(&marker->lock);
    pthread_cond_signal(&marker->wake);
    pthread_mutex_unlock(&marker->lock);
}
