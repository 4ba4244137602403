#include "workers.h"

#include <errno.h>

/* A thread inherits where its maker may run, and its maker may be pinned to one CPU: not so a worker. */
static void run_anywhere(const struct workers *workers)
{
    pthread_setname_np(pthread_self(), "walrus-worker");
    (void)pthread_setaffinity_np(pthread_self(), sizeof workers->cpus, &workers->cpus);
}

static void *worker_main(void *argument)
{
    struct workers *workers = argument;
    run_anywhere(workers);
    pthread_mutex_lock(&workers->mutex);
    for (;;) {
        while (workers->first == NULL && !workers->stopping) {
            workers->idle_count++;
            pthread_cond_wait(&workers->wanted, &workers->mutex);
            workers->idle_count--;
        }
        struct work *work = workers->first;
        if (work == NULL) {
            break;
        }
        workers->first = work->next;
        if (workers->first == NULL) {
            workers->last = NULL;
        }
        workers->queued_count--;
        pthread_mutex_unlock(&workers->mutex);
        work->run(work);
        pthread_mutex_lock(&workers->mutex);
    }
    pthread_mutex_unlock(&workers->mutex);
    return NULL;
}

static int add_thread_locked(struct workers *workers)
{
    int status = pthread_create(&workers->threads[workers->thread_count], NULL, worker_main, workers);
    if (status == 0) {
        workers->thread_count++;
    }
    return status;
}

int workers_start(struct workers *workers, unsigned thread_limit)
{
    *workers = (struct workers){.thread_limit = thread_limit};
    if (sched_getaffinity(0, sizeof workers->cpus, &workers->cpus) != 0) {
        return errno;
    }
    pthread_mutex_init(&workers->mutex, NULL);
    pthread_cond_init(&workers->wanted, NULL);
    pthread_mutex_lock(&workers->mutex);
    int status = add_thread_locked(workers);
    pthread_mutex_unlock(&workers->mutex);
    return status;
}

void workers_submit(struct workers *workers, struct work *work)
{
    work->next = NULL;
    pthread_mutex_lock(&workers->mutex);
    if (workers->last != NULL) {
        workers->last->next = work;
    } else {
        workers->first = work;
    }
    workers->last = work;
    workers->queued_count++;
    if (workers->queued_count > workers->idle_count && workers->thread_count < workers->thread_limit) {
        /* Without a further thread the work waits for one of those that are there. */
        (void)add_thread_locked(workers);
    }
    pthread_cond_signal(&workers->wanted);
    pthread_mutex_unlock(&workers->mutex);
}

void workers_stop(struct workers *workers)
{
    pthread_mutex_lock(&workers->mutex);
    workers->stopping = true;
    pthread_cond_broadcast(&workers->wanted);
    unsigned thread_count = workers->thread_count;
    pthread_mutex_unlock(&workers->mutex);
    for (unsigned i = 0; i < thread_count; i++) {
        pthread_join(workers->threads[i], NULL);
    }
    pthread_cond_destroy(&workers->wanted);
    pthread_mutex_destroy(&workers->mutex);
}
