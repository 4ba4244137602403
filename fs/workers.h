/*
 * workers.h - threads that run what may wait, so that the loop never does.
 */
#ifndef WALRUSFS_WORKERS_H
#define WALRUSFS_WORKERS_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>

struct request;

#define WORKERS_THREADS_MAX 32

struct workers {
    pthread_mutex_t mutex;
    pthread_cond_t wanted;
    struct request *first; /* queue, guarded by mutex as all below */
    struct request *last;
    unsigned queued_count;
    unsigned idle_count;
    unsigned thread_count;
    unsigned thread_limit; /* constant, as the next */
    cpu_set_t cpus;        /* where whoever started them may run */
    bool stopping;
    pthread_t threads[WORKERS_THREADS_MAX];
};

/*
 * Starts the first thread; more come, up to the limit (at most WORKERS_THREADS_MAX), when requests wait and none is
 * idle. 0 or an errno.
 */
int workers_start(struct workers *workers, unsigned thread_limit);

/* Queues a request; its handler runs on a worker with may_wait = true. Never blocks. The queue holds what callers wait
 * for. */
void workers_submit(struct workers *workers, struct request *request);

/* Runs what is queued, then ends the threads. */
void workers_stop(struct workers *workers);

#endif
