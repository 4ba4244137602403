/*
 * workers.h - threads that run what may wait, so that the loop never does.
 */
#ifndef WALRUSFS_WORKERS_H
#define WALRUSFS_WORKERS_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>

/* Something to run; part of what it works on, which is the caller's. */
struct work {
    struct work *next;
    void (*run)(struct work *work); /* the work is not touched any more when it begins */
};

#define WORKERS_THREADS_MAX 32

struct workers {
    pthread_mutex_t mutex;
    pthread_cond_t wanted;
    struct work *first; /* queue, guarded by mutex as all below */
    struct work *last;
    unsigned queued_count;
    unsigned idle_count;
    unsigned thread_count;
    unsigned thread_limit; /* constant, as the next */
    cpu_set_t cpus;        /* where whoever started them may run */
    bool stopping;
    pthread_t threads[WORKERS_THREADS_MAX];
};

/*
 * Starts the first thread; more come, up to the limit (at most WORKERS_THREADS_MAX), when work waits and none is idle.
 * 0 or an errno.
 */
int workers_start(struct workers *workers, unsigned thread_limit);

/* Queues work that is not queued. Never blocks. The queue holds what callers wait for. */
void workers_submit(struct workers *workers, struct work *work);

/* Runs what is queued, then ends the threads. */
void workers_stop(struct workers *workers);

#endif
