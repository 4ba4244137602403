#include "store/cursor_worker.h"

#include <string.h>
#include <time.h>

#include <utlist.h>

#include "base/clock.h"
#include "store/checkpoint.h"
#include "store/watch.h"

/* ---- leases ---- */

/* The cursor whose lease has ended by now, or NULL and when to look again. */
static struct group_cursor *due_locked(struct cursor_worker *worker, uint64_t now_ns, uint64_t *next_ns)
{
    struct group_cursor *cursor;
    *next_ns = NO_LEASE;
    DL_FOREACH2(worker->leases, cursor, lease_next)
    {
        if (cursor->lease_end_ns <= now_ns)
            return cursor;
        *next_ns = cursor->lease_end_ns < *next_ns ? cursor->lease_end_ns : *next_ns;
    }
    return NULL;
}

static void end_leases(struct cursor_worker *worker, struct group_cursor *cursor)
{
    pthread_mutex_lock(&cursor->lock);
    bool ended = outstanding_expire(&cursor->outstanding, clock_monotonic_ns());
    cursor_worker_note_lease(worker, cursor, outstanding_next_lease_end(&cursor->outstanding));
    pthread_mutex_unlock(&cursor->lock);
    if (ended)
        topic_wake(cursor->topic);
}

static void leave_locked(struct cursor_worker *worker, struct group_cursor *cursor)
{
    if (cursor->has_lease)
        DL_DELETE2(worker->leases, cursor, lease_prev, lease_next);
    cursor->has_lease = false;
}

/* ---- the thread ---- */

static void hold(struct group_cursor *cursor)
{
    topic_acquire(cursor->topic);
    group_cursor_acquire(cursor);
}

static void let_go(struct group_cursor *cursor)
{
    struct walrus_topic *topic = cursor->topic;
    group_cursor_release(cursor);
    topic_release(topic);
}

/* Does one round of work, with the lock given up. False: there is nothing to do before *next_ns. */
static bool work_locked(struct cursor_worker *worker, uint64_t *next_ns)
{
    struct group_cursor *cursors[CHECKPOINTS_AT_ONCE];
    size_t count = 0;
    while (worker->queue && count < CHECKPOINTS_AT_ONCE) {
        struct group_cursor *cursor = worker->queue;
        LL_DELETE2(worker->queue, cursor, queue_next);
        cursors[count++] = cursor;
    }
    struct group_cursor *due = due_locked(worker, clock_monotonic_ns(), next_ns);
    if (due) {
        /* It is in the list as long as some handle has a lease, so its topic is there. */
        hold(due);
        leave_locked(worker, due);
    }
    if (count == 0 && !due)
        return false;
    pthread_mutex_unlock(&worker->lock);
    checkpoint_many(cursors, count);
    for (size_t i = 0; i < count; i++)
        let_go(cursors[i]);
    if (due) {
        end_leases(worker, due);
        let_go(due);
    }
    pthread_mutex_lock(&worker->lock);
    return true;
}

static void sleep_locked(struct cursor_worker *worker, uint64_t until_ns)
{
    worker->wake_ns = until_ns;
    if (until_ns == NO_LEASE) {
        pthread_cond_wait(&worker->wake, &worker->lock);
        return;
    }
    struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000u), .tv_nsec = (long)(until_ns % 1000000000u)};
    pthread_cond_timedwait(&worker->wake, &worker->lock, &until);
}

static void *run(void *argument)
{
    struct cursor_worker *worker = argument;
    uint64_t next_ns;
    pthread_mutex_lock(&worker->lock);
    for (;;) {
        if (work_locked(worker, &next_ns))
            continue;
        if (worker->stopping)
            break;
        sleep_locked(worker, next_ns);
    }
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

static bool ready_locked(struct cursor_worker *worker)
{
    if (!worker->running && !worker->stopping)
        worker->running = pthread_create(&worker->thread, NULL, run, worker) == 0;
    return worker->running;
}

void cursor_worker_init(struct cursor_worker *worker)
{
    memset(worker, 0, sizeof(*worker));
    pthread_mutex_init(&worker->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&worker->wake, &attributes);
    pthread_condattr_destroy(&attributes);
}

void cursor_worker_stop(struct cursor_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    bool running = worker->running;
    worker->stopping = true;
    worker->running = false;
    pthread_cond_signal(&worker->wake);
    pthread_mutex_unlock(&worker->lock);
    if (running)
        pthread_join(worker->thread, NULL);
}

void cursor_worker_fini(struct cursor_worker *worker)
{
    pthread_cond_destroy(&worker->wake);
    pthread_mutex_destroy(&worker->lock);
}

/* ---- asking ---- */

bool cursor_worker_ask_checkpoint(struct cursor_worker *worker, struct group_cursor *cursor)
{
    pthread_mutex_lock(&worker->lock);
    bool asked = ready_locked(worker);
    if (asked) {
        hold(cursor);
        LL_APPEND2(worker->queue, cursor, queue_next);
        pthread_cond_signal(&worker->wake);
    }
    pthread_mutex_unlock(&worker->lock);
    return asked;
}

void cursor_worker_note_lease(struct cursor_worker *worker, struct group_cursor *cursor, uint64_t lease_end_ns)
{
    pthread_mutex_lock(&worker->lock);
    leave_locked(worker, cursor);
    if (lease_end_ns != NO_LEASE && ready_locked(worker)) {
        cursor->lease_end_ns = lease_end_ns;
        cursor->has_lease = true;
        DL_APPEND2(worker->leases, cursor, lease_prev, lease_next);
        if (lease_end_ns < worker->wake_ns)
            pthread_cond_signal(&worker->wake);
    }
    pthread_mutex_unlock(&worker->lock);
}
