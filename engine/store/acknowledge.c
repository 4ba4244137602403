#include "store/acknowledge.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/error.h"
#include "store/checkpoint.h"
#include "store/log.h"
#include "store/read.h"
#include "store/watch.h"

static enum walrus_code no_memory(const struct group_cursor *cursor, struct walrus_error *error)
{
    return error_set(error, WALRUS_E_NO_MEMORY, 0, "cursor of '%s': out of memory", cursor->topic->name);
}

static void note_leases_locked(struct group_cursor *cursor)
{
    cursor_worker_note_lease(&cursor->topic->log->cursor_worker, cursor,
                             outstanding_next_lease_end(&cursor->outstanding));
}

/* ---- taking ---- */

/* The run becomes the handle's. False when out of memory. */
static bool hold_run_locked(struct walrus_cursor *handle, const struct cursor_run *run,
                            const struct walrus_entries *entries, uint64_t lease_end_ns)
{
    struct outstanding *set = &handle->shared->outstanding;
    if (run->again) {
        if (!outstanding_cut(set, run->first, run->after.sequence))
            return false;
        outstanding_pass(set, run->first, run->after.sequence, &handle->holder, lease_end_ns);
        return true;
    }
    struct outstanding_span span = {.first = run->first,
                                    .end = run->after.sequence,
                                    .first_offset = entries->items[0].offset,
                                    .end_offset = run->after.offset};
    if (!outstanding_add(set, &span, &handle->holder, lease_end_ns))
        return false;
    cursor_advance_locked(handle->shared, &run->after);
    return true;
}

static enum walrus_code take_locked(struct walrus_cursor *handle, const struct walrus_read_limits *limits,
                                    unsigned flags, uint32_t lease_ms, struct walrus_entries *entries,
                                    struct walrus_error *error)
{
    struct group_cursor *cursor = handle->shared;
    struct cursor_run run;
    enum walrus_code code = cursor_fetch_locked(cursor, limits, entries, &run, error);
    /* The first time the cursor comes into being where it stands. */
    if (code == WALRUS_OK && !atomic_load(&cursor->exists)) {
        struct cursor_place here = {cursor->position.sequence, cursor->position.offset};
        if (flags & WALRUS_NONBLOCK)
            code = error_set(error, WALRUS_E_WOULD_BLOCK, 0, "taking from '%s' would wait for the cursor to be made",
                             cursor->topic->name);
        else
            code = checkpoint_locked(cursor, here, error);
    }
    if (code == WALRUS_OK && entries->count > 0) {
        uint64_t lease_end_ns = lease_ms == 0 ? NO_LEASE : clock_monotonic_ns() + lease_ms * UINT64_C(1000000);
        if (!hold_run_locked(handle, &run, entries, lease_end_ns))
            code = no_memory(cursor, error);
        else if (lease_ms != 0)
            note_leases_locked(cursor);
    }
    if (code != WALRUS_OK)
        entries_reset(entries);
    return code;
}

enum walrus_code cursor_take(struct walrus_cursor *handle, const struct walrus_read_limits *limits, unsigned flags,
                             uint32_t lease_ms, struct walrus_entries *entries, struct walrus_error *error)
{
    struct walrus_read_limits bounded = *limits;
    if (bounded.max_bytes == 0)
        bounded.max_entries = 1;
    enum walrus_code code = cursor_lock(handle, flags, error);
    if (code != WALRUS_OK)
        return code;
    code = take_locked(handle, &bounded, flags, lease_ms, entries, error);
    pthread_mutex_unlock(&handle->shared->lock);
    return code;
}

/* ---- acknowledging and giving back ---- */

static enum walrus_code check_held_locked(const struct walrus_cursor *handle, uint64_t first, uint64_t count,
                                          struct walrus_error *error)
{
    const struct group_cursor *cursor = handle->shared;
    if (count <= UINT64_MAX - first && outstanding_holds(&cursor->outstanding, &handle->holder, first, first + count))
        return WALRUS_OK;
    return error_set(error, WALRUS_E_RANGE, 0,
                     "entries %" PRIu64 " to %" PRIu64 " of '%s' are not all held by this handle of the cursor", first,
                     first + count - 1, cursor->topic->name);
}

/* *again: look anew. */
static enum walrus_code acknowledge_locked(struct walrus_cursor *handle, uint64_t first, uint64_t count, bool *again,
                                           struct walrus_error *error)
{
    struct group_cursor *cursor = handle->shared;
    *again = false;
    enum walrus_code code = check_held_locked(handle, first, count, error);
    if (code == WALRUS_OK && !outstanding_cut(&cursor->outstanding, first, first + count))
        code = no_memory(cursor, error);
    if (code != WALRUS_OK)
        return code;
    struct checkpoint_step step = {.consistency = cursor_consistency(handle)};
    step.before = step.after = group_cursor_low_without_locked(cursor, first, first + count);
    code = checkpoint_step_locked(cursor, &step, again, error);
    if (code != WALRUS_OK || *again)
        return code;
    bool leased = outstanding_next_lease_end(&cursor->outstanding) != NO_LEASE;
    outstanding_remove(&cursor->outstanding, first, first + count);
    if (leased)
        note_leases_locked(cursor);
    return WALRUS_OK;
}

enum walrus_code cursor_acknowledge(struct walrus_cursor *handle, uint64_t sequence, uint64_t count,
                                    struct walrus_error *error)
{
    bool again;
    enum walrus_code code = cursor_lock(handle, 0, error);
    if (code != WALRUS_OK)
        return code;
    do
        code = acknowledge_locked(handle, sequence, count, &again, error);
    while (again);
    pthread_mutex_unlock(&handle->shared->lock);
    return code;
}

enum walrus_code cursor_give_back(struct walrus_cursor *handle, uint64_t sequence, uint64_t count,
                                  struct walrus_error *error)
{
    struct group_cursor *cursor = handle->shared;
    enum walrus_code code = cursor_lock(handle, 0, error);
    if (code != WALRUS_OK)
        return code;
    code = check_held_locked(handle, sequence, count, error);
    if (code == WALRUS_OK && !outstanding_cut(&cursor->outstanding, sequence, sequence + count))
        code = no_memory(cursor, error);
    if (code == WALRUS_OK) {
        outstanding_pass(&cursor->outstanding, sequence, sequence + count, NULL, NO_LEASE);
        note_leases_locked(cursor);
    }
    pthread_mutex_unlock(&cursor->lock);
    if (code == WALRUS_OK)
        topic_wake(cursor->topic);
    return code;
}
