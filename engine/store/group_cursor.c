#include "store/group_cursor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "store/checkpoint.h"
#include "store/log.h"
#include "store/recovery.h"
#include "store/retention.h"
#include "store/sabotage.h"
#include "store/seek.h"
#include "store/watch.h"

static enum walrus_code no_memory(const struct walrus_topic *topic, struct walrus_error *error)
{
    return error_set(error, WALRUS_E_NO_MEMORY, 0, "cursor of '%s': out of memory", topic->name);
}

/* ---- life ---- */

/* Takes over the reference to the group. */
static struct group_cursor *create(struct walrus_topic *topic, struct group *group)
{
    struct group_cursor *cursor = calloc(1, sizeof(*cursor));
    if (!cursor)
        return NULL;
    cursor->topic = topic;
    cursor->group = group;
    atomic_init(&cursor->references, 1);
    pthread_mutex_init(&cursor->lock, NULL);
    pthread_cond_init(&cursor->checkpoint_ended, NULL);
    return cursor;
}

void group_cursor_acquire(struct group_cursor *cursor)
{
    atomic_fetch_add(&cursor->references, 1);
}

void group_cursor_release(struct group_cursor *cursor)
{
    if (atomic_fetch_sub(&cursor->references, 1) != 1)
        return;
    outstanding_clear(&cursor->outstanding);
    walrus_entries_free(&cursor->ahead);
    pthread_cond_destroy(&cursor->checkpoint_ended);
    pthread_mutex_destroy(&cursor->lock);
    group_release(cursor->group);
    free(cursor);
}

static struct group_cursor **place_locked(struct walrus_topic *topic, const struct group *group)
{
    struct group_cursor **at = &topic->cursors;
    while (*at && (*at)->group != group)
        at = &(*at)->next;
    return at;
}

static void free_slot(struct group_cursor *cursor)
{
    if (cursor->has_slot && atomic_exchange(&cursor->lost, false))
        checkpoint_blank(cursor); /* what nobody misses any more shall not be found damaged again */
    if (cursor->has_slot)
        cursor_file_free_slot(&cursor->topic->log->cursors, cursor->slot, cursor->highest_generation);
    cursor->has_slot = false;
}

/* Takes an object that only remembers nothing out of the topic's list. */
static void drop_if_unused(struct walrus_topic *topic, struct group_cursor *cursor)
{
    struct group_cursor *dropped = NULL;
    pthread_mutex_lock(&topic->lock);
    struct group_cursor **at = place_locked(topic, cursor->group);
    if (*at == cursor && cursor->handle_count == 0 && !atomic_load(&cursor->exists) && !atomic_load(&cursor->lost)) {
        *at = cursor->next;
        dropped = cursor;
    }
    pthread_mutex_unlock(&topic->lock);
    if (dropped) {
        free_slot(dropped);
        group_cursor_release(dropped);
    }
}

void group_cursors_destroy(struct walrus_topic *topic)
{
    bool deleted = atomic_load(&topic->deleted);
    while (topic->cursors) {
        struct group_cursor *cursor = topic->cursors;
        topic->cursors = cursor->next;
        if (deleted || (!atomic_load(&cursor->exists) && !atomic_load(&cursor->lost)))
            free_slot(cursor);
        group_cursor_release(cursor);
    }
}

/* ---- handles ---- */

/* The cursor of the group, made if need be, with one handle more. */
static struct group_cursor *enter(struct walrus_topic *topic, struct group *group)
{
    struct group_cursor *made = NULL;
    for (;;) {
        pthread_mutex_lock(&topic->lock);
        struct group_cursor **at = place_locked(topic, group);
        if (!*at && made) {
            *at = made;
            group_acquire(group);
            made = NULL;
        }
        struct group_cursor *found = *at;
        if (found) {
            found->handle_count++;
            group_cursor_acquire(found);
        }
        pthread_mutex_unlock(&topic->lock);
        if (found) {
            if (made) {
                group_acquire(group); /* the release gives back one that was never taken */
                group_cursor_release(made);
            }
            return found;
        }
        made = create(topic, group);
        if (!made)
            return NULL;
    }
}

enum walrus_code group_cursor_open(struct walrus_topic *topic, const char *name,
                                   const struct walrus_consistency *consistency, struct walrus_cursor **cursor,
                                   struct walrus_error *error)
{
    struct group *group = group_table_find(&topic->log->groups, name);
    if (!group)
        return error_set(error, WALRUS_E_NOT_FOUND, 0, "no group '%s'", name);
    enum walrus_code code = WALRUS_OK;
    struct walrus_cursor *handle = calloc(1, sizeof(*handle));
    if (handle)
        handle->shared = enter(topic, group);
    if (!handle || !handle->shared) {
        free(handle);
        group_release(group);
        return no_memory(topic, error);
    }
    handle->has_own = consistency != NULL;
    if (consistency)
        handle->own = *consistency;
    /* A group that was deleted meanwhile may have looked at this topic before the cursor was in place. */
    if (atomic_load(&group->deleted)) {
        group_cursor_close(handle);
        code = error_set(error, WALRUS_E_NOT_FOUND, 0, "no group '%s'", name);
    } else {
        *cursor = handle;
    }
    group_release(group);
    return code;
}

void group_cursor_close(struct walrus_cursor *handle)
{
    struct group_cursor *cursor = handle->shared;
    struct walrus_topic *topic = cursor->topic;
    pthread_mutex_lock(&cursor->lock);
    pthread_mutex_lock(&topic->lock);
    bool last = --cursor->handle_count == 0;
    pthread_mutex_unlock(&topic->lock);
    if (last) {
        walrus_entries_free(&cursor->ahead);
        cursor->ahead_next = 0;
        /* With no handle nobody holds anything. A lease that ended, and whose entries went to others, may still be
         * noted; the cursor, too, may go from now on. */
        cursor_worker_note_lease(&topic->log->cursor_worker, cursor, NO_LEASE);
    }
    pthread_mutex_unlock(&cursor->lock);
    if (last)
        drop_if_unused(topic, cursor);
    group_cursor_release(cursor);
    free(handle);
}

/* ---- recovery ---- */

enum walrus_code group_cursor_restore(struct walrus_topic *topic, struct group *group, const struct found_cursor *found,
                                      struct walrus_error *error)
{
    const struct cursor_record *record = &found->record;
    struct group_cursor *cursor = create(topic, group);
    if (!cursor) {
        group_release(group);
        return no_memory(topic, error);
    }
    /* A cursor never points past durable data, so the upper bound only meets damage; better a repeat than a gap then.
     */
    uint64_t sequence = min_u64(max_u64(record->sequence, topic->first_sequence), topic->next_sequence);
    cursor->has_slot = true;
    cursor->slot = found->slot;
    cursor->generation = cursor->highest_generation = record->generation;
    cursor->next = topic->cursors;
    topic->cursors = cursor;
    atomic_store(&cursor->lost, found->lost);
    if (found->lost)
        return WALRUS_OK;
    cursor->durable_offset = record->offset;
    cursor->checkpointed_ns = record->time_ns;
    cursor->position.sequence = sequence;
    if (sequence == record->sequence)
        cursor->position.offset = record->offset;
    else if (sequence == topic->first_sequence)
        cursor->position.offset = topic->first_offset;
    atomic_store(&cursor->durable_sequence, sequence);
    atomic_store(&cursor->exists, true);
    return WALRUS_OK;
}

/* ---- position ---- */

enum walrus_code group_cursor_check_locked(const struct group_cursor *cursor, struct walrus_error *error)
{
    if (!atomic_load_explicit(&cursor->group->deleted, memory_order_relaxed))
        return WALRUS_OK;
    return error_set(error, WALRUS_E_DELETED, 0, "cursor of '%s': the group '%s' was deleted", cursor->topic->name,
                     cursor->group->name);
}

/* What lies before the topic's beginning is handed out no more, and holds nothing back. */
static uint64_t lowest_locked(const struct group_cursor *cursor, uint64_t first, uint64_t end)
{
    uint64_t begin = atomic_load_explicit(&cursor->topic->first_sequence, memory_order_acquire);
    uint64_t otherwise = cursor->position.sequence;
    uint64_t lowest = outstanding_low_without(&cursor->outstanding, 0, begin, otherwise);
    if (lowest >= first && lowest < end)
        lowest = outstanding_low_without(&cursor->outstanding, 0, end, otherwise);
    return lowest;
}

struct cursor_place group_cursor_low_without_locked(const struct group_cursor *cursor, uint64_t first, uint64_t end)
{
    struct cursor_place low = {cursor->position.sequence, cursor->position.offset};
    if (!cursor->outstanding.root || SABOTAGED(taken_is_done))
        return low;
    low.sequence = lowest_locked(cursor, first, end);
    if (low.sequence == cursor->position.sequence)
        return low;
    const struct outstanding_range *range = outstanding_from(&cursor->outstanding, low.sequence);
    bool known = range->first == low.sequence && range->first_offset != OFFSET_UNKNOWN;
    low.offset = known ? range->first_offset : 0;
    return low;
}

struct cursor_place group_cursor_low_locked(const struct group_cursor *cursor)
{
    return group_cursor_low_without_locked(cursor, 0, 0);
}

void group_cursor_settle_locked(struct group_cursor *cursor)
{
    uint64_t first = atomic_load_explicit(&cursor->topic->first_sequence, memory_order_acquire);
    if (first == cursor->settled_first) {
        const struct outstanding_range *range = outstanding_first_available(&cursor->outstanding);
        if (!range || range->first >= first)
            return;
    }
    struct topic_view view;
    topic_view(cursor->topic, &view);
    cursor->settled_first = view.first_sequence;
    uint64_t overtaken = outstanding_forget_before(&cursor->outstanding, view.first_sequence);
    if (cursor->position.sequence < view.first_sequence) {
        overtaken += view.first_sequence - cursor->position.sequence;
        cursor->position = (struct walrus_position){.sequence = view.first_sequence, .offset = view.first_offset};
    }
    if (atomic_load(&cursor->exists))
        cursor->overtaken_entries += overtaken;
}

/* ---- retention ---- */

bool topic_consumed_locked(const struct walrus_topic *topic, uint64_t *sequence)
{
    bool any = false;
    *sequence = 0;
    if (cursor_file_has_unowned(&topic->log->cursors))
        return true;
    for (const struct group_cursor *cursor = topic->cursors; cursor; cursor = cursor->next) {
        if (atomic_load(&cursor->group->deleted))
            continue;
        if (atomic_load(&cursor->lost)) {
            *sequence = 0;
            return true;
        }
        if (!atomic_load(&cursor->exists))
            continue;
        uint64_t durable = atomic_load(&cursor->durable_sequence);
        *sequence = any ? min_u64(*sequence, durable) : durable;
        any = true;
    }
    return any;
}

/* ---- deletion ---- */

static struct group_cursor *find(struct walrus_topic *topic, const struct group *group, uint32_t *handle_count)
{
    pthread_mutex_lock(&topic->lock);
    struct group_cursor *cursor = *place_locked(topic, group);
    if (cursor) {
        group_cursor_acquire(cursor);
        *handle_count = cursor->handle_count;
    }
    pthread_mutex_unlock(&topic->lock);
    return cursor;
}

void group_cursor_forget(struct walrus_topic *topic, struct group *group)
{
    uint32_t handle_count;
    struct group_cursor *cursor = find(topic, group, &handle_count);
    if (!cursor)
        return;
    pthread_mutex_lock(&cursor->lock);
    checkpoint_await_locked(cursor);
    atomic_store(&cursor->exists, false);
    outstanding_clear(&cursor->outstanding);
    cursor_worker_note_lease(&topic->log->cursor_worker, cursor, NO_LEASE);
    free_slot(cursor);
    pthread_mutex_unlock(&cursor->lock);
    retention_note_progress(topic);
    topic_wake(topic);
    drop_if_unused(topic, cursor);
    group_cursor_release(cursor);
}

static enum walrus_code delete_existing(struct walrus_topic *topic, struct group_cursor *cursor, bool *existed,
                                        struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;
    pthread_mutex_lock(&cursor->lock);
    checkpoint_await_locked(cursor);
    *existed = atomic_load(&cursor->exists) || atomic_load(&cursor->lost);
    if (*existed)
        code = checkpoint_erase_locked(cursor, error);
    if (*existed && code == WALRUS_OK) {
        /* For a handle that was opened meanwhile. */
        outstanding_clear(&cursor->outstanding);
        cursor->position = (struct walrus_position){0};
        cursor->settled_first = 0;
        cursor->overtaken_entries = 0;
        cursor->ahead_next = cursor->ahead.count = 0;
        retention_note_progress(topic);
    }
    pthread_mutex_unlock(&cursor->lock);
    return code;
}

enum walrus_code cursors_delete(struct walrus_topic *topic, const char *name, struct walrus_error *error)
{
    struct group *group = group_table_find(&topic->log->groups, name);
    if (!group)
        return error_set(error, WALRUS_E_NOT_FOUND, 0, "no group '%s'", name);
    uint32_t handle_count = 0;
    struct group_cursor *cursor = find(topic, group, &handle_count);
    group_release(group);
    enum walrus_code code = WALRUS_OK;
    bool existed = false;
    if (cursor && handle_count > 0)
        code = error_set(error, WALRUS_E_BUSY, 0, "the cursor of group '%s' on '%s' is in use", name, topic->name);
    else if (cursor)
        code = delete_existing(topic, cursor, &existed, error);
    if (code == WALRUS_OK && !existed)
        code = error_set(error, WALRUS_E_NOT_FOUND, 0, "group '%s' has no cursor on '%s'", name, topic->name);
    if (cursor) {
        drop_if_unused(topic, cursor);
        group_cursor_release(cursor);
    }
    return code;
}

/* ---- all of a topic ---- */

/* The cursors that exist, each with a reference; NULL when out of memory. */
static struct group_cursor **snapshot(struct walrus_topic *topic, size_t *count)
{
    struct group_cursor **cursors = NULL;
    pthread_mutex_lock(&topic->lock);
    *count = 0;
    for (struct group_cursor *cursor = topic->cursors; cursor; cursor = cursor->next)
        (*count)++;
    cursors = calloc(*count + 1, sizeof(struct group_cursor *));
    *count = 0;
    for (struct group_cursor *cursor = topic->cursors; cursors && cursor; cursor = cursor->next) {
        bool is_there = atomic_load(&cursor->exists) || atomic_load(&cursor->lost);
        if (!is_there || atomic_load(&cursor->group->deleted))
            continue;
        group_cursor_acquire(cursor);
        cursors[(*count)++] = cursor;
    }
    pthread_mutex_unlock(&topic->lock);
    return cursors;
}

static uint64_t offset_of(struct walrus_topic *topic, uint64_t sequence, uint64_t otherwise)
{
    struct walrus_position position;
    return topic_seek_sequence(topic, sequence, &position, NULL) == WALRUS_OK ? position.offset : otherwise;
}

struct measure {
    struct walrus_topic *topic;
    uint64_t first_offset; /* of the topic */
    uint64_t bytes;
};

/* Where a range was cut nobody has read the offset since: it is looked up once. */
static void measure_range(struct outstanding_range *range, void *context)
{
    struct measure *measure = context;
    if (range->first_offset == OFFSET_UNKNOWN)
        range->first_offset = offset_of(measure->topic, range->first, measure->first_offset);
    if (range->end_offset == OFFSET_UNKNOWN)
        range->end_offset = offset_of(measure->topic, range->end, range->first_offset);
    if (range->end_offset > range->first_offset)
        measure->bytes += range->end_offset - range->first_offset;
}

static void describe(struct group_cursor *cursor, struct walrus_cursor_info *info)
{
    struct walrus_topic *topic = cursor->topic;
    struct topic_view view;
    memset(info, 0, sizeof(*info));
    pthread_mutex_lock(&cursor->lock);
    checkpoint_notice_locked(cursor);
    group_cursor_settle_locked(cursor);
    topic_view(topic, &view);
    if (cursor->position.offset == 0 && cursor->position.sequence > 0)
        cursor->position.offset = offset_of(topic, cursor->position.sequence, view.first_offset);
    struct measure measure = {.topic = topic, .first_offset = view.first_offset};
    outstanding_each(&cursor->outstanding, measure_range, &measure);
    info->group = cursor->group->name;
    info->sequence = cursor->position.sequence;
    info->durable_sequence = max_u64(atomic_load(&cursor->durable_sequence), view.first_sequence);
    info->lag_entries = view.end_sequence - min_u64(info->sequence, view.end_sequence) +
                        cursor->outstanding.held_entries + cursor->outstanding.given_back_entries;
    info->lag_bytes = view.end_offset - min_u64(cursor->position.offset, view.end_offset) + measure.bytes;
    info->taken_entries = cursor->outstanding.held_entries;
    info->overtaken_entries = cursor->overtaken_entries;
    info->checkpointed_ns = cursor->checkpointed_ns;
    info->damaged = atomic_load(&cursor->lost);
    if (!group_own_consistency(cursor->group, &info->consistency))
        info->consistency = topic->log->options.consistency;
    pthread_mutex_unlock(&cursor->lock);
    pthread_mutex_lock(&topic->lock);
    info->handle_count = cursor->handle_count;
    pthread_mutex_unlock(&topic->lock);
}

enum walrus_code cursors_list(struct walrus_topic *topic,
                              int (*visit)(const struct walrus_cursor_info *cursor, void *context), void *context,
                              struct walrus_error *error)
{
    size_t count;
    struct group_cursor **cursors = snapshot(topic, &count);
    if (!cursors)
        return no_memory(topic, error);
    bool on = true;
    for (size_t i = 0; i < count; i++) {
        struct walrus_cursor_info info;
        if (on) {
            describe(cursors[i], &info);
            on = visit(&info, context) == 0;
        }
        group_cursor_release(cursors[i]);
    }
    free(cursors);
    return WALRUS_OK;
}

enum walrus_code cursors_persist(struct walrus_topic *topic, struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;
    for (struct group_cursor *cursor = topic->cursors; cursor; cursor = cursor->next) {
        struct walrus_error second;
        pthread_mutex_lock(&cursor->lock);
        enum walrus_code one = checkpoint_low_locked(cursor, code == WALRUS_OK ? error : &second);
        pthread_mutex_unlock(&cursor->lock);
        code = code == WALRUS_OK ? one : code;
    }
    return code;
}

static enum walrus_code look_again(struct walrus_topic *topic, void *context, struct walrus_error *error)
{
    (void)context;
    (void)error;
    retention_note_progress(topic);
    return WALRUS_OK;
}

enum walrus_code cursors_forget_damaged(struct walrus_log *log, uint64_t *forgotten, struct walrus_error *error)
{
    enum walrus_code code = cursor_file_forget_unowned(&log->cursors, forgotten, error);
    return code == WALRUS_OK && *forgotten > 0 ? topic_table_each(&log->names, look_again, NULL, error) : code;
}
