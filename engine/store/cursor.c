#include "store/cursor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/log.h"
#include "store/read.h"
#include "store/sabotage.h"
#include "store/seek.h"
#include "store/sync.h"

/* Single reads are served from memory that one larger read filled. */
#define READ_AHEAD_BYTES (64u << 10)

enum walrus_code cursor_of_topic(struct walrus_topic *topic, struct walrus_cursor **cursor, struct walrus_error *error)
{
    pthread_mutex_lock(&topic->lock);
    struct walrus_cursor *found = topic->cursor;
    if (!found && (found = calloc(1, sizeof(*found)))) {
        found->topic = topic;
        found->consistency = topic->log->options.consistency;
        pthread_mutex_init(&found->lock, NULL);
        topic->cursor = found;
    }
    pthread_mutex_unlock(&topic->lock);
    if (!found)
        return error_set(error, WALRUS_E_NO_MEMORY, 0, "cursor of '%s': out of memory", topic->name);
    *cursor = found;
    return WALRUS_OK;
}

enum walrus_code cursor_restore(struct walrus_topic *topic, uint64_t slot, const struct cursor_record *record,
                                struct walrus_error *error)
{
    struct walrus_cursor *cursor = NULL;
    enum walrus_code code = cursor_of_topic(topic, &cursor, error);
    if (code != WALRUS_OK)
        return code;
    /* A cursor never points past durable data, so this bound only meets damage; better a repeat than a gap then. */
    uint64_t sequence = min_u64(max_u64(record->sequence, topic->first_sequence), topic->next_sequence);
    cursor->has_slot = true;
    cursor->slot = slot;
    cursor->generation = record->generation;
    cursor->persisted_sequence = sequence;
    cursor->position = (struct walrus_position){.sequence = sequence};
    return WALRUS_OK;
}

void cursor_destroy(struct walrus_cursor *cursor)
{
    if (cursor->has_slot && atomic_load(&cursor->topic->deleted))
        cursor_file_free_slot(&cursor->topic->log->cursors, cursor->slot, cursor->generation);
    walrus_entries_free(&cursor->ahead);
    pthread_mutex_destroy(&cursor->lock);
    free(cursor);
}

/* Data first: the cursor must not be durable before what it has passed. */
static enum walrus_code persist_locked(struct walrus_cursor *cursor, uint64_t sequence, uint64_t offset,
                                       struct walrus_error *error)
{
    struct walrus_topic *topic = cursor->topic;
    struct walrus_log *log = topic->log;
    enum walrus_code code = WALRUS_OK;
    if (atomic_load(&topic->durable_sequence) < sequence && !SABOTAGED(cursor_before_data))
        code = topic_make_durable(topic, sequence, NULL, 0, error);
    if (code == WALRUS_OK && !cursor->has_slot) {
        code = cursor_file_take_slot(&log->cursors, &cursor->slot, &cursor->generation, error);
        cursor->has_slot = code == WALRUS_OK;
    }
    if (code == WALRUS_OK) {
        struct cursor_record record = {
            .topic_id = topic->id,
            .generation = ++cursor->generation,
            .sequence = sequence,
            .offset = offset,
            .time_ns = clock_realtime_ns(),
        };
        code = cursor_file_write(&log->cursors, cursor->slot, &record, error);
        if (code != WALRUS_OK) {
            /* What the failed write left must not move the cursor at the next open: its entries were not handed out. */
            record.generation = cursor->generation +=
                2; /* over its copy: the other one holds, whatever becomes of this */
            record.sequence = cursor->persisted_sequence;
            record.offset = 0;
            cursor_file_put_back(&log->cursors, cursor->slot, &record);
        }
    }
    if (code != WALRUS_OK)
        return error_prefix(error, code, "checkpoint the cursor of '%s' at %" PRIu64, topic->name, sequence);
    cursor->persisted_sequence = sequence;
    atomic_fetch_add(&log->checkpoints, 1);
    return WALRUS_OK;
}

enum walrus_code cursor_persist(struct walrus_cursor *cursor, struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;
    pthread_mutex_lock(&cursor->lock);
    if (cursor->moved && !atomic_load(&cursor->topic->deleted))
        code = persist_locked(cursor, cursor->position.sequence, cursor->position.offset, error);
    if (code == WALRUS_OK)
        cursor->moved = false;
    pthread_mutex_unlock(&cursor->lock);
    return code;
}

/* What was retained when the position was set may be gone by now. */
static void settle_locked(struct walrus_cursor *cursor)
{
    struct topic_view view;
    topic_view(cursor->topic, &view);
    if (cursor->position.sequence < view.first_sequence)
        cursor->position = (struct walrus_position){.sequence = view.first_sequence, .offset = view.first_offset};
}

static bool is_small(const struct walrus_read_limits *limits)
{
    return limits->max_entries == 1 || limits->max_bytes < READ_AHEAD_BYTES / 4;
}

/* Copies entries out of the read-ahead as the limits allow, at least one. */
static enum walrus_code serve_ahead(struct walrus_cursor *cursor, const struct walrus_read_limits *limits,
                                    struct walrus_entries *entries, struct walrus_position *after,
                                    struct walrus_error *error)
{
    uint32_t delimiter_bytes = cursor->topic->delimiter_bytes;
    entries_reset(entries);
    while (cursor->ahead_next + entries->count < cursor->ahead.count) {
        const struct walrus_entry *next = &cursor->ahead.items[cursor->ahead_next + entries->count];
        if (!read_limits_allow(limits, delimiter_bytes, entries, next->length))
            break;
        if (!entries_add_copy(entries, next))
            return error_set(error, WALRUS_E_NO_MEMORY, 0, "read of '%s': out of memory", cursor->topic->name);
        after->sequence = next->sequence + 1;
        after->offset = next->offset + next->length + delimiter_bytes;
    }
    entries_settle(entries);
    return WALRUS_OK;
}

/* The next entries, and where the cursor stands behind them. */
static enum walrus_code fetch_locked(struct walrus_cursor *cursor, const struct walrus_read_limits *limits,
                                     struct walrus_entries *entries, struct walrus_position *after,
                                     struct walrus_error *error)
{
    bool ahead = cursor->ahead_next < cursor->ahead.count &&
                 cursor->ahead.items[cursor->ahead_next].sequence == cursor->position.sequence;
    if (ahead && !is_small(limits)) {
        /* A large read gets all that the limits allow, not the rest of a small one. */
        cursor->ahead_next = cursor->ahead.count = 0;
        ahead = false;
    }
    if (!ahead && is_small(limits)) {
        struct walrus_read_limits more = {.max_bytes = READ_AHEAD_BYTES};
        struct walrus_position behind = cursor->position;
        cursor->ahead_next = 0;
        enum walrus_code code = topic_read_entries(cursor->topic, &behind, &more, &cursor->ahead, error);
        if (code != WALRUS_OK) {
            cursor->ahead.count = 0;
            return code;
        }
        ahead = cursor->ahead.count > 0;
        /* The hints of the far end are of use once the entries in between are handed out. */
        cursor->position.hint_block = behind.hint_block;
        cursor->position.hint_place = behind.hint_place;
        cursor->position.hint_sequence = behind.hint_sequence;
    }
    *after = cursor->position;
    if (ahead)
        return serve_ahead(cursor, limits, entries, after, error);
    return topic_read_entries(cursor->topic, after, limits, entries, error);
}

/* Whether handing out up to `after` takes a write of the cursor first. */
static bool must_persist(const struct walrus_cursor *cursor, const struct walrus_position *after)
{
    return cursor->consistency.mode == WALRUS_STRICTLY_AT_ONCE ||
           after->sequence - cursor->persisted_sequence > cursor->consistency.interval_entries;
}

static enum walrus_code checkpoint_locked(struct walrus_cursor *cursor, const struct walrus_position *after,
                                          struct walrus_error *error)
{
    if (cursor->consistency.mode == WALRUS_STRICTLY_AT_ONCE)
        return persist_locked(cursor, after->sequence, after->offset, error);
    return persist_locked(cursor, cursor->position.sequence, cursor->position.offset, error);
}

static enum walrus_code read_locked(struct walrus_cursor *cursor, const struct walrus_read_limits *limits,
                                    unsigned flags, struct walrus_entries *entries, struct walrus_error *error)
{
    struct walrus_read_limits bounded = *limits;
    bool checkpoint = (flags & WALRUS_PEEK) == 0;
    if (bounded.max_bytes == 0)
        bounded.max_entries = 1;
    /* One call must not hand out more than a crash may repeat. */
    if (checkpoint && cursor->consistency.mode == WALRUS_AT_LEAST_ONCE &&
        (bounded.max_entries == 0 || bounded.max_entries > cursor->consistency.interval_entries))
        bounded.max_entries = cursor->consistency.interval_entries;

    struct walrus_position after;
    settle_locked(cursor);
    enum walrus_code code = fetch_locked(cursor, &bounded, entries, &after, error);
    if (code != WALRUS_OK || entries->count == 0 || !checkpoint)
        return code;
    bool persist = must_persist(cursor, &after);
    if (persist && (flags & WALRUS_NONBLOCK))
        code = error_set(error, WALRUS_E_WOULD_BLOCK, 0, "read of '%s' would wait for its checkpoint",
                         cursor->topic->name);
    else if (persist)
        code = checkpoint_locked(cursor, &after, error);
    if (code != WALRUS_OK) {
        entries_reset(entries);
        return code;
    }
    cursor->ahead_next += after.sequence - cursor->position.sequence;
    cursor->position = after;
    cursor->moved = cursor->persisted_sequence != after.sequence;
    return WALRUS_OK;
}

enum walrus_code cursor_read(struct walrus_cursor *cursor, const struct walrus_read_limits *limits, unsigned flags,
                             struct walrus_entries *entries, struct walrus_error *error)
{
    if (flags & WALRUS_NONBLOCK) {
        if (pthread_mutex_trylock(&cursor->lock) != 0)
            return error_set(error, WALRUS_E_WOULD_BLOCK, 0, "another reader of '%s' is at it", cursor->topic->name);
    } else {
        pthread_mutex_lock(&cursor->lock);
    }
    enum walrus_code code = read_locked(cursor, limits, flags, entries, error);
    pthread_mutex_unlock(&cursor->lock);
    return code;
}

enum walrus_code cursor_skip_damage(struct walrus_cursor *cursor, uint64_t *skipped_entries, struct walrus_error *error)
{
    pthread_mutex_lock(&cursor->lock);
    struct walrus_position after = cursor->position;
    enum walrus_code code = topic_skip_damage(cursor->topic, &after, skipped_entries, error);
    if (code == WALRUS_OK && after.sequence != cursor->position.sequence)
        code = persist_locked(cursor, after.sequence, after.offset, error);
    if (code == WALRUS_OK) {
        cursor->position = after;
        cursor->moved = false;
        cursor->ahead_next = cursor->ahead.count = 0;
    }
    pthread_mutex_unlock(&cursor->lock);
    return code;
}

enum walrus_code cursor_get(struct walrus_cursor *cursor, uint64_t *sequence, struct walrus_error *error)
{
    (void)error;
    pthread_mutex_lock(&cursor->lock);
    settle_locked(cursor);
    *sequence = cursor->position.sequence;
    pthread_mutex_unlock(&cursor->lock);
    return WALRUS_OK;
}

enum walrus_code cursor_set(struct walrus_cursor *cursor, uint64_t sequence, struct walrus_error *error)
{
    struct walrus_position to;
    enum walrus_code code = topic_seek_sequence(cursor->topic, sequence, &to, error);
    if (code != WALRUS_OK)
        return code;
    pthread_mutex_lock(&cursor->lock);
    code = persist_locked(cursor, to.sequence, to.offset, error);
    if (code == WALRUS_OK) {
        cursor->position = to;
        cursor->moved = false;
        cursor->ahead_next = cursor->ahead.count = 0;
    }
    pthread_mutex_unlock(&cursor->lock);
    return code;
}
