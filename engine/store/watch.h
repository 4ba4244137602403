/*
 * watch.h - waking those who wait for a topic to grow.
 *
 * A watch is a function that is called after something new can be found in the topic: entries became visible, entries
 * that a consumer had taken were given back, the topic was deleted. Whoever brings that about calls topic_wake() once
 * it holds no lock of the library; a topic that nobody ever watched costs it one load.
 *
 * No call is lost: what is new is put in place under topic.lock before topic_wake() looks for watches, and a watch is
 * put in place under topic.lock too. So either topic_wake() finds the watch, or whoever made it finds what is new when
 * he looks at the topic afterwards.
 *
 * What can fail: only making a watch, for want of memory.
 */
#ifndef WALRUS_STORE_WATCH_H
#define WALRUS_STORE_WATCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/topic.h"

struct walrus_watch {
    struct walrus_topic *topic;
    void (*wake)(void *context);
    void *context;
    /* watch_list.lock */
    struct walrus_watch *next, *prev;
    uint32_t running; /* calls of wake under way; the watch stays in the list meanwhile */
    bool leaving;     /* no new call is begun */
};

/* Made with the topic's first watch; lives as long as the topic. */
struct watch_list {
    _Atomic size_t count;
    pthread_mutex_t lock;
    /* lock; never held while wake runs */
    struct walrus_watch *first;
    pthread_cond_t idle; /* a leaving watch has no call under way any more */
};

/* Calls every watch. */
void watch_list_wake(struct watch_list *list);
void watch_list_destroy(struct watch_list *list);

/* The caller holds a reference to the topic and no lock. */
static inline void topic_wake(struct walrus_topic *topic)
{
    struct watch_list *list = atomic_load(&topic->watches);
    if (list && atomic_load(&list->count) > 0)
        watch_list_wake(list);
}

/* Fills `watch` (the caller's memory) and puts it in place; false when out of memory. It refers to the topic until
 * watch_remove(). */
bool watch_add(struct walrus_watch *watch, struct walrus_topic *topic, void (*wake)(void *context), void *context);
/* When it returns, no call is under way or will come. */
void watch_remove(struct walrus_watch *watch);

/* walrus_topic_wait() */
enum walrus_code topic_wait(struct walrus_topic *topic, uint64_t sequence, uint32_t timeout_ms,
                            struct walrus_error *error);

#endif
