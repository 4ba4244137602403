#include "store/cursor.h"

#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/checkpoint.h"
#include "store/log.h"
#include "store/read.h"
#include "store/seek.h"
#include "store/watch.h"

/* Single reads are served from memory that one larger read filled. */
#define READ_AHEAD_BYTES (64u << 10)

struct walrus_consistency cursor_consistency(const struct walrus_cursor *handle)
{
    struct walrus_consistency consistency;
    if (handle->has_own)
        return handle->own;
    if (!group_own_consistency(handle->shared->group, &consistency))
        consistency = handle->shared->topic->log->options.consistency;
    return consistency;
}

enum walrus_code cursor_lock(struct walrus_cursor *handle, unsigned flags, struct walrus_error *error)
{
    struct group_cursor *cursor = handle->shared;
    if (flags & WALRUS_NONBLOCK) {
        if (pthread_mutex_trylock(&cursor->lock) != 0)
            return error_set(error, WALRUS_E_WOULD_BLOCK, 0, "another reader of '%s' is at it", cursor->topic->name);
    } else {
        pthread_mutex_lock(&cursor->lock);
    }
    enum walrus_code code = group_cursor_check_locked(cursor, error);
    if (code != WALRUS_OK)
        pthread_mutex_unlock(&cursor->lock);
    return code;
}

/* ---- fetching ---- */

static bool is_small(const struct walrus_read_limits *limits)
{
    return limits->max_entries == 1 || limits->max_bytes < READ_AHEAD_BYTES / 4;
}

static void drop_ahead(struct group_cursor *cursor)
{
    cursor->ahead_next = cursor->ahead.count = 0;
}

/* Copies entries out of the read-ahead as the limits allow, at least one. */
static enum walrus_code serve_ahead(struct group_cursor *cursor, const struct walrus_read_limits *limits,
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

/* The next new entries, and where the cursor stands behind them. */
static enum walrus_code fetch_new(struct group_cursor *cursor, const struct walrus_read_limits *limits,
                                  struct walrus_entries *entries, struct walrus_position *after,
                                  struct walrus_error *error)
{
    bool ahead = cursor->ahead_next < cursor->ahead.count &&
                 cursor->ahead.items[cursor->ahead_next].sequence == cursor->position.sequence;
    if (ahead && !is_small(limits)) {
        /* A large read gets all that the limits allow, not the rest of a small one. */
        drop_ahead(cursor);
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

/* Entries that were given back, as far as they stand one behind the other. */
static enum walrus_code fetch_again(struct group_cursor *cursor, const struct outstanding_range *range,
                                    const struct walrus_read_limits *limits, struct walrus_entries *entries,
                                    struct cursor_run *run, struct walrus_error *error)
{
    struct walrus_read_limits bounded = *limits;
    uint64_t most = limits->max_entries ? limits->max_entries : WALRUS_BATCH_ENTRIES_MAX;
    uint64_t end = outstanding_available_end(&cursor->outstanding, range->first,
                                             most > UINT64_MAX - range->first ? UINT64_MAX : range->first + most);
    bounded.max_entries = (size_t)(end - range->first);
    run->again = true;
    run->first = range->first;
    run->after = (struct walrus_position){.sequence = range->first,
                                          .offset = range->first_offset == OFFSET_UNKNOWN ? 0 : range->first_offset};
    return topic_read_entries(cursor->topic, &run->after, &bounded, entries, error);
}

enum walrus_code cursor_fetch_locked(struct group_cursor *cursor, const struct walrus_read_limits *limits,
                                     struct walrus_entries *entries, struct cursor_run *run, struct walrus_error *error)
{
    enum walrus_code code;
    do {
        if (outstanding_next_lease_end(&cursor->outstanding) != NO_LEASE)
            outstanding_expire(&cursor->outstanding, clock_monotonic_ns());
        group_cursor_settle_locked(cursor);
        const struct outstanding_range *range = outstanding_first_available(&cursor->outstanding);
        if (range) {
            code = fetch_again(cursor, range, limits, entries, run, error);
        } else {
            run->again = false;
            run->first = cursor->position.sequence;
            code = fetch_new(cursor, limits, entries, &run->after, error);
        }
        /* Retention may overtake the cursor at any moment. */
    } while (code == WALRUS_E_RANGE && atomic_load(&cursor->topic->first_sequence) != cursor->settled_first);
    return code;
}

void cursor_advance_locked(struct group_cursor *cursor, const struct walrus_position *after)
{
    cursor->ahead_next += after->sequence - cursor->position.sequence;
    cursor->position = *after;
}

/* ---- reading ---- */

/* One call must not hand out more than a crash may repeat. */
static void bound(struct walrus_read_limits *limits, const struct walrus_consistency *consistency, bool peek)
{
    if (limits->max_bytes == 0)
        limits->max_entries = 1;
    if (!peek && consistency->mode == WALRUS_AT_LEAST_ONCE &&
        (limits->max_entries == 0 || limits->max_entries > consistency->interval_entries))
        limits->max_entries = consistency->interval_entries;
}

/* Where a crash may leave the cursor before and after the run is handed out. */
static void step_of_run(const struct group_cursor *cursor, const struct cursor_run *run, struct checkpoint_step *step)
{
    step->before = group_cursor_low_locked(cursor);
    if (run->again)
        step->after = group_cursor_low_without_locked(cursor, run->first, run->after.sequence);
    else if (step->before.sequence < cursor->position.sequence)
        step->after = step->before; /* something before the run is outstanding */
    else
        step->after = (struct cursor_place){run->after.sequence, run->after.offset};
}

static enum walrus_code read_locked(struct walrus_cursor *handle, const struct walrus_read_limits *limits,
                                    const struct walrus_consistency *consistency, unsigned flags,
                                    struct walrus_entries *entries, bool *again, struct walrus_error *error)
{
    struct group_cursor *cursor = handle->shared;
    struct cursor_run run;
    *again = false;
    enum walrus_code code = cursor_fetch_locked(cursor, limits, entries, &run, error);
    if (code != WALRUS_OK || (flags & WALRUS_PEEK))
        return code;
    if (entries->count == 0 && atomic_load_explicit(&cursor->exists, memory_order_relaxed))
        return WALRUS_OK;
    if (run.again && !outstanding_cut(&cursor->outstanding, run.first, run.after.sequence))
        code = error_set(error, WALRUS_E_NO_MEMORY, 0, "read of '%s': out of memory", cursor->topic->name);
    if (code == WALRUS_OK) {
        struct checkpoint_step step = {.consistency = *consistency, .nonblock = (flags & WALRUS_NONBLOCK) != 0};
        step_of_run(cursor, &run, &step);
        code = checkpoint_step_locked(cursor, &step, again, error);
    }
    if (code != WALRUS_OK || *again) {
        entries_reset(entries);
        return code;
    }
    if (run.again)
        outstanding_remove(&cursor->outstanding, run.first, run.after.sequence);
    else
        cursor_advance_locked(cursor, &run.after);
    return WALRUS_OK;
}

/*
 * The common case of single reads, for their speed: the entry is in memory, nothing is outstanding, and nothing needs
 * to be made durable or asked for. Does what read_locked() would do. False, with nothing done: it is another case.
 */
static bool read_one_ahead(struct group_cursor *cursor, const struct walrus_consistency *consistency,
                           struct walrus_entries *entries)
{
    if (cursor->ahead_next >= cursor->ahead.count || consistency->mode != WALRUS_AT_LEAST_ONCE ||
        cursor->outstanding.root || !atomic_load_explicit(&cursor->exists, memory_order_relaxed) ||
        atomic_load_explicit(&cursor->topic->first_sequence, memory_order_acquire) != cursor->settled_first)
        return false;
    const struct walrus_entry *next = &cursor->ahead.items[cursor->ahead_next];
    uint64_t lag = next->sequence + 1 - atomic_load_explicit(&cursor->durable_sequence, memory_order_relaxed);
    bool under_way = atomic_load_explicit(&cursor->ahead_state, memory_order_relaxed) == AHEAD_UNDER_WAY;
    if (next->sequence != cursor->position.sequence ||
        lag > (under_way ? consistency->interval_entries : consistency->interval_entries / 2))
        return false;
    entries_reset(entries);
    if (!entries_add_copy(entries, next))
        return false;
    entries_settle(entries);
    cursor->ahead_next++;
    cursor->position.sequence = next->sequence + 1;
    cursor->position.offset = next->offset + next->length + cursor->topic->delimiter_bytes;
    return true;
}

enum walrus_code cursor_read(struct walrus_cursor *handle, const struct walrus_read_limits *limits, unsigned flags,
                             struct walrus_entries *entries, struct walrus_error *error)
{
    struct walrus_read_limits bounded = *limits;
    struct walrus_consistency consistency = cursor_consistency(handle);
    bound(&bounded, &consistency, (flags & WALRUS_PEEK) != 0);
    enum walrus_code code = cursor_lock(handle, flags, error);
    if (code != WALRUS_OK)
        return code;
    bool again;
    if (bounded.max_entries == 1 && (flags & WALRUS_PEEK) == 0 &&
        read_one_ahead(handle->shared, &consistency, entries)) {
        pthread_mutex_unlock(&handle->shared->lock);
        return WALRUS_OK;
    }
    do
        code = read_locked(handle, &bounded, &consistency, flags, entries, &again, error);
    while (again);
    pthread_mutex_unlock(&handle->shared->lock);
    return code;
}

/* ---- moving ---- */

static enum walrus_code skip_locked(struct group_cursor *cursor, uint64_t *skipped_entries, struct walrus_error *error)
{
    group_cursor_settle_locked(cursor);
    const struct outstanding_range *range = outstanding_first_available(&cursor->outstanding);
    struct walrus_position after = cursor->position;
    if (range)
        after = (struct walrus_position){.sequence = range->first};
    uint64_t first = after.sequence;
    enum walrus_code code = topic_skip_damage(cursor->topic, &after, skipped_entries, error);
    if (code != WALRUS_OK || after.sequence == first)
        return code;
    if (range) {
        /* Only of what waits to be handed out again; the rest is somebody's, or was handed out before. */
        uint64_t end = outstanding_available_end(&cursor->outstanding, first, after.sequence);
        *skipped_entries = end - first;
        if (!outstanding_cut(&cursor->outstanding, first, end))
            return error_set(error, WALRUS_E_NO_MEMORY, 0, "skip in '%s': out of memory", cursor->topic->name);
        struct cursor_place low = group_cursor_low_without_locked(cursor, first, end);
        if (low.sequence != atomic_load(&cursor->durable_sequence))
            code = checkpoint_locked(cursor, low, error);
        if (code == WALRUS_OK)
            outstanding_remove(&cursor->outstanding, first, end);
        return code;
    }
    if (group_cursor_low_locked(cursor).sequence == cursor->position.sequence)
        code = checkpoint_locked(cursor, (struct cursor_place){after.sequence, after.offset}, error);
    if (code == WALRUS_OK) {
        cursor->position = after;
        drop_ahead(cursor);
    }
    return code;
}

enum walrus_code cursor_skip_damage(struct walrus_cursor *handle, uint64_t *skipped_entries, struct walrus_error *error)
{
    enum walrus_code code = cursor_lock(handle, 0, error);
    if (code != WALRUS_OK)
        return code;
    checkpoint_await_locked(handle->shared);
    code = skip_locked(handle->shared, skipped_entries, error);
    pthread_mutex_unlock(&handle->shared->lock);
    return code;
}

enum walrus_code cursor_get(struct walrus_cursor *handle, uint64_t *sequence, struct walrus_error *error)
{
    enum walrus_code code = cursor_lock(handle, 0, error);
    if (code != WALRUS_OK)
        return code;
    group_cursor_settle_locked(handle->shared);
    *sequence = handle->shared->position.sequence;
    pthread_mutex_unlock(&handle->shared->lock);
    return WALRUS_OK;
}

enum walrus_code cursor_set(struct walrus_cursor *handle, uint64_t sequence, struct walrus_error *error)
{
    struct group_cursor *cursor = handle->shared;
    struct walrus_position to;
    enum walrus_code code = topic_seek_sequence(cursor->topic, sequence, &to, error);
    if (code == WALRUS_OK)
        code = cursor_lock(handle, 0, error);
    if (code != WALRUS_OK)
        return code;
    checkpoint_await_locked(cursor);
    group_cursor_settle_locked(cursor);
    if (to.sequence < cursor->settled_first)
        code = error_set(error, WALRUS_E_RANGE, 0,
                         "set the cursor of '%s' to %" PRIu64 ": the first retained entry is %" PRIu64,
                         cursor->topic->name, to.sequence, cursor->settled_first);
    else
        code = checkpoint_locked(cursor, (struct cursor_place){to.sequence, to.offset}, error);
    if (code == WALRUS_OK) {
        outstanding_clear(&cursor->outstanding);
        cursor_worker_note_lease(&cursor->topic->log->cursor_worker, cursor, NO_LEASE);
        cursor->position = to;
        /* Until it was durable, retention did not know of it: it may be behind the first retained entry by now. */
        cursor->settled_first = 0;
        drop_ahead(cursor);
    }
    pthread_mutex_unlock(&cursor->lock);
    if (code == WALRUS_OK)
        topic_wake(cursor->topic);
    return code;
}

enum walrus_code cursor_close(struct walrus_cursor *handle, struct walrus_error *error)
{
    struct group_cursor *cursor = handle->shared;
    struct walrus_topic *topic = cursor->topic;
    pthread_mutex_lock(&cursor->lock);
    bool given_back = outstanding_release(&cursor->outstanding, &handle->holder);
    if (given_back)
        cursor_worker_note_lease(&topic->log->cursor_worker, cursor, outstanding_next_lease_end(&cursor->outstanding));
    checkpoint_await_locked(cursor);
    enum walrus_code code = checkpoint_low_locked(cursor, error);
    pthread_mutex_unlock(&cursor->lock);
    if (given_back)
        topic_wake(topic);
    group_cursor_close(handle);
    return code;
}
