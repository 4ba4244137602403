#include "store/sync.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "store/append.h"
#include "store/log.h"
#include "store/sabotage.h"

#define DIRTY_ON_STACK 8

/* Segments whose noted writes are all durable leave the list; what waits for them knows already. */
static void forget_durable_locked(struct walrus_topic *topic)
{
    size_t done = 0;
    while (done < topic->dirty_count &&
           sync_point_is_durable(&topic->dirty[done].segment->sync, topic->dirty[done].ticket))
        done++;
    if (done > 0) {
        topic->dirty_count -= done;
        memmove(topic->dirty, topic->dirty + done, topic->dirty_count * sizeof(*topic->dirty));
    }
}

static enum walrus_code fail(struct walrus_topic *topic, int rc, uint64_t segment_id, struct walrus_error *error)
{
    atomic_store(&topic->refuses, true);
    enum walrus_code code = error_system(error, rc, "sync of '%s': segment %" PRIu64, topic->name, segment_id);
    error_place(error, segment_id, WALRUS_NOWHERE, WALRUS_NOWHERE);
    return code == WALRUS_E_NO_SPACE ? code : WALRUS_E_IO;
}

static enum walrus_code sync_names(struct walrus_topic *topic, struct walrus_error *error)
{
    int rc = sync_point_wait(&topic->log->catalog.sync, atomic_load(&topic->catalog_ticket));
    if (rc == 0)
        return WALRUS_OK;
    atomic_store(&topic->refuses, true);
    return error_system(error, rc, "sync of '%s': catalogue", topic->name);
}

void topic_set_durable_locked(struct walrus_topic *topic, uint64_t sequence)
{
    topic->durable_sequence = max_u64(topic->durable_sequence, sequence);
    forget_durable_locked(topic);
}

enum walrus_code sync_was_late(struct walrus_topic *topic, struct walrus_error *error)
{
    return error_set(error, WALRUS_E_IO, 0, "sync of '%s': a sync of later entries failed first", topic->name);
}

enum walrus_code topic_make_durable(struct walrus_topic *topic, uint64_t sequence, struct segment *segment,
                                    uint64_t ticket, struct walrus_error *error)
{
    struct dirty_segment on_stack[DIRTY_ON_STACK];
    struct dirty_segment *dirty = on_stack;

    enum walrus_code code = sync_names(topic, error);
    pthread_mutex_lock(&topic->lock);
    size_t count = topic->dirty_count;
    if (count > DIRTY_ON_STACK) {
        dirty = malloc(count * sizeof(*dirty));
        if (!dirty) {
            pthread_mutex_unlock(&topic->lock);
            return error_set(error, WALRUS_E_NO_MEMORY, 0, "sync of '%s': out of memory", topic->name);
        }
    }
    if (count > 0)
        memcpy(dirty, topic->dirty, count * sizeof(*dirty));
    pthread_mutex_unlock(&topic->lock);

    /* Oldest first: an entry must not be durable while one before it is not. */
    for (size_t i = SABOTAGED(newer_segment_only) && count > 0 ? count - 1 : 0; code == WALRUS_OK && i < count; i++) {
        /* A topic may come back to a segment: only the write's own visit there ends the list, not an earlier one. */
        bool last = dirty[i].segment == segment && dirty[i].ticket >= ticket;
        int rc = sync_point_wait(&dirty[i].segment->sync, last ? min_u64(ticket, dirty[i].ticket) : dirty[i].ticket);
        if (rc < 0)
            code = fail(topic, rc, dirty[i].segment->id, error);
        if (last)
            break;
    }
    if (dirty != on_stack)
        free(dirty);

    if (code != WALRUS_OK) {
        append_blot_unacknowledged(topic, UINT64_MAX);
        return code;
    }
    pthread_mutex_lock(&topic->lock);
    /* A sync for later entries may have failed meanwhile, and what nobody had called durable yet is gone with them. */
    bool blotted = sequence > topic->blotted_from;
    if (!blotted)
        topic_set_durable_locked(topic, sequence);
    pthread_mutex_unlock(&topic->lock);
    return blotted ? sync_was_late(topic, error) : WALRUS_OK;
}

enum walrus_code topic_sync_all(struct walrus_topic *topic, struct walrus_error *error)
{
    /* A batch under way holds the append lock: its entries are not before this call, but waiting for it is simple and
     * right. */
    pthread_mutex_lock(&topic->append_lock);
    uint64_t sequence = topic->next_sequence;
    pthread_mutex_unlock(&topic->append_lock);
    if (atomic_load(&topic->refuses))
        return error_set(error, WALRUS_E_REFUSED, 0, "sync of '%s': an earlier sync failed", topic->name);
    return topic_make_durable(topic, sequence, NULL, 0, error);
}

uint64_t topic_durable_sequence_locked(const struct walrus_topic *topic)
{
    uint64_t told = atomic_load(&topic->durable_sequence);
    if (told >= topic->visible_sequence || atomic_load(&topic->refuses) ||
        !sync_point_is_durable(&topic->log->catalog.sync, atomic_load(&topic->catalog_ticket)))
        return told;
    /* Writes are noted before, or as, their entries become visible. */
    for (size_t i = 0; i < topic->dirty_count; i++)
        if (!sync_point_is_durable(&topic->dirty[i].segment->sync, topic->dirty[i].ticket))
            return told;
    return topic->visible_sequence;
}

void topic_probe_durable(struct walrus_topic *topic)
{
    struct durable_probe *probe = &topic->probe;
    if (!probe->segment || !sync_point_is_durable(&probe->segment->sync, probe->ticket))
        return;
    pthread_mutex_lock(&topic->lock);
    /* Only the newest segment says something about all entries, and only when no older one is outstanding. */
    bool alone = topic->dirty_count == 0 || (topic->dirty_count == 1 && topic->dirty[0].segment == probe->segment);
    if (alone)
        topic->durable_sequence = max_u64(topic->durable_sequence, probe->sequence);
    else
        forget_durable_locked(topic);
    pthread_mutex_unlock(&topic->lock);
    if (alone)
        probe->segment = NULL;
}
