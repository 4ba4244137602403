/* api_cursor.c - consuming. A handle holds a reference to its topic. */
#include <walrus/walrus.h>

#include <string.h>

#include "api/api_check.h"
#include "base/error.h"
#include "store/acknowledge.h"
#include "store/cursor.h"
#include "store/log.h"
#include "store/topic_faults.h"

static const char *name_or_default(const char *group)
{
    return group && group[0] != '\0' ? group : DEFAULT_GROUP_NAME;
}

enum walrus_code walrus_cursor_open(struct walrus_topic *topic, const char *group,
                                    const struct walrus_consistency *consistency, struct walrus_cursor **cursor,
                                    struct walrus_error *error)
{
    enum walrus_code code = consistency ? api_check_consistency(consistency, error) : WALRUS_OK;
    if (code != WALRUS_OK)
        return code;
    struct walrus_cursor *opened;
    code = group_cursor_open(topic, name_or_default(group), consistency, &opened, error);
    if (code != WALRUS_OK)
        return error_prefix(error, code, "open a cursor of '%s'", topic->name);
    topic_acquire(topic);
    *cursor = opened;
    return WALRUS_OK;
}

enum walrus_code walrus_cursor_close(struct walrus_cursor *cursor, struct walrus_error *error)
{
    if (!cursor)
        return WALRUS_OK;
    struct walrus_topic *topic = cursor->shared->topic;
    struct walrus_error own;
    error = error ? error : &own;
    enum walrus_code code = topic_note_fault(topic, cursor_close(cursor, error), error);
    topic_release(topic);
    return code;
}

enum walrus_code walrus_cursor_read(struct walrus_cursor *cursor, const struct walrus_read_limits *limits,
                                    unsigned flags, struct walrus_entries *entries, struct walrus_error *error)
{
    if (!limits || !entries)
        return error_set(error, WALRUS_E_INVALID, 0, "no limits or entries given");
    struct walrus_error own;
    error = error ? error : &own;
    return topic_note_fault(cursor->shared->topic, cursor_read(cursor, limits, flags, entries, error), error);
}

enum walrus_code walrus_cursor_skip_damage(struct walrus_cursor *cursor, uint64_t *skipped_entries,
                                           struct walrus_error *error)
{
    uint64_t unwanted;
    struct walrus_error own;
    error = error ? error : &own;
    return topic_note_fault(cursor->shared->topic,
                            cursor_skip_damage(cursor, skipped_entries ? skipped_entries : &unwanted, error), error);
}

enum walrus_code walrus_cursor_get(struct walrus_cursor *cursor, uint64_t *sequence, struct walrus_error *error)
{
    return cursor_get(cursor, sequence, error);
}

enum walrus_code walrus_cursor_set(struct walrus_cursor *cursor, uint64_t sequence, struct walrus_error *error)
{
    struct walrus_error own;
    error = error ? error : &own;
    return topic_note_fault(cursor->shared->topic, cursor_set(cursor, sequence, error), error);
}

enum walrus_code walrus_cursor_list(struct walrus_topic *topic,
                                    int (*visit)(const struct walrus_cursor_info *cursor, void *context), void *context,
                                    struct walrus_error *error)
{
    if (!visit)
        return error_set(error, WALRUS_E_INVALID, 0, "no visitor given");
    return cursors_list(topic, visit, context, error);
}

enum walrus_code walrus_cursor_delete(struct walrus_topic *topic, const char *group, struct walrus_error *error)
{
    return cursors_delete(topic, name_or_default(group), error);
}

enum walrus_code walrus_cursors_forget_damaged(struct walrus_log *log, uint64_t *forgotten, struct walrus_error *error)
{
    uint64_t unwanted;
    return cursors_forget_damaged(log, forgotten ? forgotten : &unwanted, error);
}

enum walrus_code walrus_cursor_take(struct walrus_cursor *cursor, const struct walrus_read_limits *limits,
                                    unsigned flags, uint32_t lease_ms, struct walrus_entries *entries,
                                    struct walrus_error *error)
{
    if (!limits || !entries || (flags & ~(unsigned)WALRUS_NONBLOCK) != 0)
        return error_set(error, WALRUS_E_INVALID, 0, "no limits or entries given, or flags that taking does not have");
    struct walrus_error own;
    error = error ? error : &own;
    return topic_note_fault(cursor->shared->topic, cursor_take(cursor, limits, flags, lease_ms, entries, error), error);
}

enum walrus_code walrus_cursor_acknowledge(struct walrus_cursor *cursor, uint64_t sequence, uint64_t count,
                                           struct walrus_error *error)
{
    struct walrus_error own;
    error = error ? error : &own;
    return count == 0
               ? WALRUS_OK
               : topic_note_fault(cursor->shared->topic, cursor_acknowledge(cursor, sequence, count, error), error);
}

enum walrus_code walrus_cursor_give_back(struct walrus_cursor *cursor, uint64_t sequence, uint64_t count,
                                         struct walrus_error *error)
{
    return count == 0 ? WALRUS_OK : cursor_give_back(cursor, sequence, count, error);
}
