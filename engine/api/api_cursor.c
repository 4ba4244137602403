/* api_cursor.c - consuming. A handle is the topic's cursor and a reference to the topic. */
#include <walrus/walrus.h>

#include <string.h>

#include "api/api_check.h"
#include "base/error.h"
#include "store/cursor.h"
#include "store/log.h"

enum walrus_code walrus_cursor_open(struct walrus_topic *topic, const char *group,
                                    const struct walrus_consistency *consistency, struct walrus_cursor **cursor,
                                    struct walrus_error *error)
{
    if (group && group[0] != '\0' && strcmp(group, "default") != 0)
        return error_set(error, WALRUS_E_NOT_FOUND, 0, "no group '%s' of '%s'", group, topic->name);
    enum walrus_code code = consistency ? api_check_consistency(consistency, error) : WALRUS_OK;
    if (code != WALRUS_OK)
        return code;
    struct walrus_cursor *found;
    code = cursor_of_topic(topic, &found, error);
    if (code != WALRUS_OK)
        return code;
    pthread_mutex_lock(&found->lock);
    found->consistency = consistency ? *consistency : topic->log->options.consistency;
    pthread_mutex_unlock(&found->lock);
    topic_acquire(topic);
    *cursor = found;
    return WALRUS_OK;
}

enum walrus_code walrus_cursor_close(struct walrus_cursor *cursor, struct walrus_error *error)
{
    if (!cursor)
        return WALRUS_OK;
    enum walrus_code code = cursor_persist(cursor, error);
    topic_release(cursor->topic);
    return code;
}

enum walrus_code walrus_cursor_read(struct walrus_cursor *cursor, const struct walrus_read_limits *limits,
                                    unsigned flags, struct walrus_entries *entries, struct walrus_error *error)
{
    if (!limits || !entries)
        return error_set(error, WALRUS_E_INVALID, 0, "no limits or entries given");
    return cursor_read(cursor, limits, flags, entries, error);
}

enum walrus_code walrus_cursor_skip_damage(struct walrus_cursor *cursor, uint64_t *skipped_entries,
                                           struct walrus_error *error)
{
    uint64_t unwanted;
    return cursor_skip_damage(cursor, skipped_entries ? skipped_entries : &unwanted, error);
}

enum walrus_code walrus_cursor_get(struct walrus_cursor *cursor, uint64_t *sequence, struct walrus_error *error)
{
    return cursor_get(cursor, sequence, error);
}

enum walrus_code walrus_cursor_set(struct walrus_cursor *cursor, uint64_t sequence, struct walrus_error *error)
{
    return cursor_set(cursor, sequence, error);
}
