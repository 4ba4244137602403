/* api_watch.c - waiting for a topic to grow. */
#include <walrus/walrus.h>

#include <stdlib.h>

#include "base/error.h"
#include "store/watch.h"

enum walrus_code walrus_watch_create(struct walrus_topic *topic, void (*wake)(void *context), void *context,
                                     struct walrus_watch **watch, struct walrus_error *error)
{
    if (!topic || !wake || !watch)
        return error_set(error, WALRUS_E_INVALID, 0, "no topic, function or place for the watch given");
    struct walrus_watch *made = malloc(sizeof(*made));
    if (!made || !watch_add(made, topic, wake, context)) {
        free(made);
        return error_set(error, WALRUS_E_NO_MEMORY, 0, "watch of '%s': out of memory", topic->name);
    }
    *watch = made;
    return WALRUS_OK;
}

void walrus_watch_destroy(struct walrus_watch *watch)
{
    if (!watch)
        return;
    watch_remove(watch);
    free(watch);
}

enum walrus_code walrus_topic_wait(struct walrus_topic *topic, uint64_t sequence, uint32_t timeout_ms,
                                   struct walrus_error *error)
{
    return topic_wait(topic, sequence, timeout_ms, error);
}
