#include "store/watch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include <utlist.h>

#include "base/error.h"

/* ---- the list ---- */

static struct watch_list *list_create(void)
{
    struct watch_list *list = calloc(1, sizeof(*list));
    if (list) {
        pthread_mutex_init(&list->lock, NULL);
        pthread_cond_init(&list->idle, NULL);
    }
    return list;
}

void watch_list_destroy(struct watch_list *list)
{
    if (!list)
        return;
    pthread_cond_destroy(&list->idle);
    pthread_mutex_destroy(&list->lock);
    free(list);
}

void watch_list_wake(struct watch_list *list)
{
    pthread_mutex_lock(&list->lock);
    /* New watches come before the first one, so a walk meets none that was made after it began, and ends. */
    struct walrus_watch *watch = list->first;
    while (watch) {
        if (!watch->leaving) {
            watch->running++;
            pthread_mutex_unlock(&list->lock);
            watch->wake(watch->context);
            pthread_mutex_lock(&list->lock);
            /* Still in the list: watch_remove() waits for this. */
            if (--watch->running == 0 && watch->leaving)
                pthread_cond_broadcast(&list->idle);
        }
        watch = watch->next;
    }
    pthread_mutex_unlock(&list->lock);
}

bool watch_add(struct walrus_watch *watch, struct walrus_topic *topic, void (*wake)(void *context), void *context)
{
    *watch = (struct walrus_watch){.topic = topic, .wake = wake, .context = context};
    pthread_mutex_lock(&topic->lock);
    struct watch_list *list = atomic_load(&topic->watches);
    if (!list && (list = list_create()))
        atomic_store(&topic->watches, list);
    if (list) {
        pthread_mutex_lock(&list->lock);
        DL_PREPEND(list->first, watch);
        atomic_fetch_add(&list->count, 1);
        pthread_mutex_unlock(&list->lock);
    }
    pthread_mutex_unlock(&topic->lock);
    if (list)
        topic_acquire(topic);
    return list != NULL;
}

void watch_remove(struct walrus_watch *watch)
{
    struct walrus_topic *topic = watch->topic;
    struct watch_list *list = atomic_load(&topic->watches);
    pthread_mutex_lock(&list->lock);
    watch->leaving = true;
    while (watch->running > 0)
        pthread_cond_wait(&list->idle, &list->lock);
    DL_DELETE(list->first, watch);
    atomic_fetch_sub(&list->count, 1);
    pthread_mutex_unlock(&list->lock);
    topic_release(topic);
}

/* ---- waiting for one sequence ---- */

struct waiter {
    struct walrus_watch watch;
    uint64_t sequence;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool settled; /* lock: the entry is there, or the topic is deleted */
};

static bool is_settled(struct walrus_topic *topic, uint64_t sequence)
{
    struct topic_view view;
    topic_view(topic, &view);
    return view.end_sequence > sequence || atomic_load(&topic->deleted);
}

/* Of many who wait for later entries, only those are woken whose entry has come. */
static void wake_waiter(void *context)
{
    struct waiter *waiter = context;
    if (!is_settled(waiter->watch.topic, waiter->sequence))
        return;
    pthread_mutex_lock(&waiter->lock);
    waiter->settled = true;
    pthread_cond_signal(&waiter->woken);
    pthread_mutex_unlock(&waiter->lock);
}

static struct timespec deadline_after(uint32_t timeout_ms)
{
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += timeout_ms / 1000;
    deadline.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    if (deadline.tv_nsec >= 1000000000L) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000L;
    }
    return deadline;
}

static void wait_until_settled(struct waiter *waiter, uint32_t timeout_ms)
{
    struct timespec deadline = deadline_after(timeout_ms);
    int rc = 0;
    pthread_mutex_lock(&waiter->lock);
    while (!waiter->settled && rc != ETIMEDOUT) {
        if (timeout_ms == UINT32_MAX)
            pthread_cond_wait(&waiter->woken, &waiter->lock);
        else
            rc = pthread_cond_timedwait(&waiter->woken, &waiter->lock, &deadline);
    }
    pthread_mutex_unlock(&waiter->lock);
}

static enum walrus_code wait_as_watch(struct walrus_topic *topic, uint64_t sequence, uint32_t timeout_ms,
                                      struct walrus_error *error)
{
    struct waiter waiter = {.sequence = sequence};
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&waiter.woken, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&waiter.lock, NULL);

    enum walrus_code code = WALRUS_OK;
    if (!watch_add(&waiter.watch, topic, wake_waiter, &waiter)) {
        code = error_set(error, WALRUS_E_NO_MEMORY, 0, "wait for '%s': out of memory", topic->name);
    } else {
        if (!is_settled(topic, sequence)) /* it may have come before the watch stood */
            wait_until_settled(&waiter, timeout_ms);
        watch_remove(&waiter.watch);
    }
    pthread_mutex_destroy(&waiter.lock);
    pthread_cond_destroy(&waiter.woken);
    return code;
}

enum walrus_code topic_wait(struct walrus_topic *topic, uint64_t sequence, uint32_t timeout_ms,
                            struct walrus_error *error)
{
    if (timeout_ms > 0 && !is_settled(topic, sequence)) {
        enum walrus_code code = wait_as_watch(topic, sequence, timeout_ms, error);
        if (code != WALRUS_OK)
            return code;
    }
    struct topic_view view;
    topic_view(topic, &view);
    if (view.end_sequence > sequence)
        return WALRUS_OK;
    if (atomic_load(&topic->deleted))
        return error_set(error, WALRUS_E_DELETED, 0, "wait for entry %" PRIu64 " of '%s': the topic was deleted",
                         sequence, topic->name);
    return error_set(error, WALRUS_E_TIMED_OUT, 0, "no entry %" PRIu64 " in '%s' within %" PRIu32 " ms", sequence,
                     topic->name, timeout_ms);
}
