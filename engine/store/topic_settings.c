/*
 * topic_settings.c - what a topic has of its own and what it takes from its log: sync policy, retention, framing.
 *
 * A change is one record of the catalogue that carries all settings and attributes, so that it happens whole or not at
 * all. It is in force when the call returns, and durable with the topic's next sync.
 */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "store/log.h"
#include "store/retention.h"
#include "store/table_node.h"

/* One word, so that an append reads mode and interval as one without a lock. */
void topic_set_sync(struct walrus_topic *topic, struct walrus_sync_policy policy)
{
    atomic_store(&topic->sync, (uint64_t)policy.mode << 32 | policy.interval_ms);
    if (policy.mode == WALRUS_SYNC_EVERY)
        flusher_note_interval(&topic->log->flusher, policy.interval_ms);
}

struct walrus_sync_policy topic_own_sync(const struct walrus_topic *topic)
{
    uint64_t word = atomic_load_explicit(&topic->sync, memory_order_relaxed);
    return (struct walrus_sync_policy){.mode = (enum walrus_sync_mode)(word >> 32), .interval_ms = (uint32_t)word};
}

struct walrus_sync_policy topic_sync_policy(const struct walrus_topic *topic)
{
    struct walrus_sync_policy own = topic_own_sync(topic);
    return own.mode == WALRUS_SYNC_INHERIT ? topic->log->options.sync : own;
}

struct walrus_retention topic_retention(struct walrus_topic *topic)
{
    pthread_mutex_lock(&topic->lock);
    struct walrus_retention own = topic->retention;
    pthread_mutex_unlock(&topic->lock);
    return own.mode == WALRUS_RETAIN_INHERIT ? topic->log->options.retention : own;
}

void topic_set_framing(struct walrus_topic *topic, enum walrus_framing framing)
{
    topic->framing = framing;
    topic->delimiter_bytes = framing == WALRUS_FRAMING_WRITE ? 0 : 1;
    topic->delimiter = framing == WALRUS_FRAMING_NUL ? '\0' : '\n';
}

void topic_settings_to_record(const struct walrus_topic *topic, struct catalog_record *record)
{
    struct walrus_sync_policy sync = topic_own_sync(topic);
    record->framing = (uint8_t)topic->framing;
    record->sync_mode = (uint8_t)sync.mode;
    record->sync_interval_ms = sync.interval_ms;
    record->retention_mode = (uint8_t)topic->retention.mode;
    record->retention_limit = topic->retention.limit;
}

void topic_take_settings(struct walrus_topic *topic, struct walrus_sync_policy sync, struct walrus_retention retention)
{
    /* What a newer version wrote and this one does not know is as if it was never set. */
    if (sync.mode <= WALRUS_SYNC_NONE && (sync.mode != WALRUS_SYNC_EVERY || sync.interval_ms > 0))
        topic_set_sync(topic, sync);
    if (retention.mode <= WALRUS_RETAIN_AGE)
        topic->retention = retention;
}

/* Names lock and append_lock are held. */
static enum walrus_code change_locked(struct walrus_topic *topic, const struct walrus_topic_settings *settings,
                                      unsigned which, struct walrus_error *error)
{
    struct walrus_log *log = topic->log;
    struct table_node *node = table_find(&log->names, topic->name, strlen(topic->name));
    if (!node || node->topic != topic)
        return error_set(error, WALRUS_E_DELETED, 0, "configure '%s': the topic was deleted", topic->name);
    bool reframed = (which & WALRUS_SET_FRAMING) && settings->framing != topic->framing;
    if (reframed && topic->next_sequence > 0)
        return error_set(error, WALRUS_E_NOT_EMPTY, 0, "configure '%s': its framing is fixed, since it has entries",
                         topic->name);

    struct catalog_record record;
    uint64_t ticket;
    table_record(node, CATALOG_CHANGED, &record);
    if (which & WALRUS_SET_SYNC) {
        record.sync_mode = (uint8_t)settings->sync.mode;
        record.sync_interval_ms = settings->sync.interval_ms;
    }
    if (which & WALRUS_SET_RETENTION) {
        record.retention_mode = (uint8_t)settings->retention.mode;
        record.retention_limit = settings->retention.limit;
    }
    if (reframed)
        record.framing = (uint8_t)settings->framing;
    enum walrus_code code = catalog_append(&log->catalog, &record, &ticket, error);
    if (code != WALRUS_OK)
        return error_prefix(error, code, "configure '%s'", topic->name);

    topic_raise_catalog_ticket(topic, ticket);
    if (which & WALRUS_SET_SYNC)
        topic_set_sync(topic, settings->sync);
    pthread_mutex_lock(&topic->lock);
    if (which & WALRUS_SET_RETENTION) {
        topic->retention = settings->retention;
        retention_note_growth_locked(topic);
    }
    pthread_mutex_unlock(&topic->lock);
    if (reframed) {
        topic_set_framing(topic, settings->framing);
        topic->tail = NULL; /* a block without entries may be there, and says the old framing */
    }
    return WALRUS_OK;
}

enum walrus_code topic_configure(struct walrus_topic *topic, const struct walrus_topic_settings *settings,
                                 unsigned which, struct walrus_error *error)
{
    struct topic_table *names = &topic->log->names;
    pthread_mutex_lock(&names->lock);
    while (pthread_mutex_trylock(&topic->append_lock) != 0) {
        /* Nobody who looks for a name should wait for an append. */
        pthread_mutex_unlock(&names->lock);
        pthread_mutex_lock(&topic->append_lock);
        pthread_mutex_unlock(&topic->append_lock);
        pthread_mutex_lock(&names->lock);
    }
    enum walrus_code code = change_locked(topic, settings, which, error);
    pthread_mutex_unlock(&topic->append_lock);
    pthread_mutex_unlock(&names->lock);
    return code;
}
