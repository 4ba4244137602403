#include "store/checkpoint.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/cursor_worker.h"
#include "store/log.h"
#include "store/retention.h"
#include "store/sabotage.h"
#include "store/sync.h"

/* With a shorter interval a checkpoint ahead of time would come with nearly every call. */
#define AHEAD_INTERVAL_MIN 64u

static struct walrus_log *log_of(const struct group_cursor *cursor)
{
    return cursor->topic->log;
}

/* ---- one record ---- */

/* Larger than any before, and of the copy that is not the durable one. */
static uint64_t next_generation(const struct group_cursor *cursor)
{
    uint64_t next = cursor->highest_generation + 1;
    return next % 2 == cursor->generation % 2 ? next + 1 : next;
}

static struct cursor_record next_record(struct group_cursor *cursor, struct cursor_place place)
{
    cursor->highest_generation = next_generation(cursor);
    return (struct cursor_record){
        .topic_id = cursor->topic->id,
        .group_id = cursor->group->id,
        .generation = cursor->highest_generation,
        .sequence = place.sequence,
        .offset = place.offset,
        .time_ns = clock_realtime_ns(),
    };
}

/* The cursor must not be durable before what it has passed. */
static enum walrus_code ready_data(struct group_cursor *cursor, uint64_t sequence, struct walrus_error *error)
{
    struct walrus_topic *topic = cursor->topic;
    if (atomic_load(&topic->durable_sequence) >= sequence || SABOTAGED(cursor_before_data))
        return WALRUS_OK;
    return topic_make_durable(topic, sequence, NULL, 0, error);
}

static enum walrus_code ready_slot(struct group_cursor *cursor, struct walrus_error *error)
{
    if (cursor->has_slot)
        return WALRUS_OK;
    enum walrus_code code = cursor_file_take_slot(&log_of(cursor)->cursors, &cursor->slot, &cursor->generation, error);
    cursor->has_slot = code == WALRUS_OK;
    cursor->highest_generation = cursor->generation;
    return code;
}

static void took_effect_locked(struct group_cursor *cursor, const struct cursor_record *record)
{
    cursor->generation = record->generation;
    cursor->durable_offset = record->offset;
    cursor->checkpointed_ns = record->time_ns;
    atomic_store(&cursor->durable_sequence, record->sequence);
    atomic_store(&cursor->lost, false);
    atomic_fetch_add(&log_of(cursor)->checkpoints, 1);
    /* Retention has something to do only when a whole block lies behind. */
    struct block *block;
    uint64_t block_end;
    if (!topic_find_block(cursor->topic, record->sequence, &block, &block_end))
        return;
    bool passed = block->first_sequence > cursor->durable_block;
    cursor->durable_block = block->first_sequence;
    topic_block_release(cursor->topic, block);
    if (passed)
        retention_note_progress(cursor->topic);
}

/* What a failed write left must not move the cursor at the next open. */
static void put_back_locked(struct group_cursor *cursor, bool existed, uint64_t sequence)
{
    struct cursor_record record = next_record(cursor, (struct cursor_place){.sequence = sequence});
    if (!existed)
        record.topic_id = 0;
    cursor_file_put_back(&log_of(cursor)->cursors, cursor->slot, &record);
}

/*
 * From now on the cursor holds back what it is about to hold back durably: retention must not free it meanwhile. A new
 * cursor does so from where it stands, one that is moved back from where it is moved to.
 */
static enum walrus_code claim_locked(struct group_cursor *cursor, uint64_t sequence, struct walrus_error *error)
{
    struct walrus_topic *topic = cursor->topic;
    enum walrus_code code = WALRUS_OK;
    pthread_mutex_lock(&topic->lock);
    if (!atomic_load(&cursor->exists)) {
        atomic_store(&cursor->durable_sequence, min_u64(cursor->position.sequence, sequence));
        atomic_store(&cursor->exists, true);
    } else if (sequence < atomic_load(&cursor->durable_sequence)) {
        if (sequence < max_u64(topic->first_sequence, topic->next_first_sequence))
            code = error_set(error, WALRUS_E_RANGE, 0, "entry %" PRIu64 " is not retained any more", sequence);
        else
            atomic_store(&cursor->durable_sequence, sequence);
    }
    pthread_mutex_unlock(&topic->lock);
    return code;
}

enum walrus_code checkpoint_locked(struct group_cursor *cursor, struct cursor_place place, struct walrus_error *error)
{
    struct walrus_log *log = log_of(cursor);
    bool existed = atomic_load(&cursor->exists);
    uint64_t durable_before = atomic_load(&cursor->durable_sequence);
    enum walrus_code code = claim_locked(cursor, place.sequence, error);
    if (code == WALRUS_OK)
        code = ready_data(cursor, place.sequence, error);
    if (code == WALRUS_OK)
        code = ready_slot(cursor, error);
    if (code == WALRUS_OK) {
        struct cursor_record record = next_record(cursor, place);
        code = cursor_file_write(&log->cursors, cursor->slot, &record, error);
        if (code == WALRUS_OK)
            took_effect_locked(cursor, &record);
        else
            put_back_locked(cursor, existed || atomic_load(&cursor->lost), durable_before);
    }
    if (code == WALRUS_OK)
        return WALRUS_OK;
    atomic_store(&cursor->durable_sequence, durable_before);
    atomic_store(&cursor->exists, existed);
    return error_prefix(error, code, "checkpoint the cursor of '%s' at %" PRIu64, cursor->topic->name, place.sequence);
}

enum walrus_code checkpoint_low_locked(struct group_cursor *cursor, struct walrus_error *error)
{
    checkpoint_notice_locked(cursor);
    struct cursor_place low = group_cursor_low_locked(cursor);
    if (!atomic_load(&cursor->exists) || low.sequence == atomic_load(&cursor->durable_sequence) ||
        atomic_load(&cursor->topic->deleted) || atomic_load(&cursor->group->deleted))
        return WALRUS_OK;
    return checkpoint_locked(cursor, low, error);
}

enum walrus_code checkpoint_erase_locked(struct group_cursor *cursor, struct walrus_error *error)
{
    struct cursor_file *file = &log_of(cursor)->cursors;
    struct cursor_record record = next_record(cursor, (struct cursor_place){0});
    record.topic_id = 0;
    enum walrus_code code = cursor_file_write(file, cursor->slot, &record, error);
    if (code != WALRUS_OK) {
        put_back_locked(cursor, true, atomic_load(&cursor->durable_sequence));
        return error_prefix(error, code, "delete the cursor of '%s'", cursor->topic->name);
    }
    atomic_store(&cursor->exists, false);
    atomic_store(&cursor->lost, false);
    cursor->has_slot = false;
    cursor_file_free_slot(file, cursor->slot, record.generation);
    return WALRUS_OK;
}

void checkpoint_blank(struct group_cursor *cursor)
{
    struct cursor_record record = next_record(cursor, (struct cursor_place){0});
    record.topic_id = 0;
    cursor_file_put_back(&log_of(cursor)->cursors, cursor->slot, &record);
}

/* ---- ahead of time ---- */

void checkpoint_notice_locked(struct group_cursor *cursor)
{
    if (atomic_load_explicit(&cursor->ahead_state, memory_order_acquire) != AHEAD_ENDED)
        return;
    /* A failure is met by the call that has to wait for this. All up to the place was handed out: no need to put
     * anything back. */
    if (cursor->ahead_code == WALRUS_OK)
        took_effect_locked(cursor, &cursor->ahead_record);
    atomic_store(&cursor->ahead_state, AHEAD_IDLE);
}

void checkpoint_await_locked(struct group_cursor *cursor)
{
    /* Either the worker finds that it is awaited, or we find that it has ended. Counted: when we go on, and perhaps ask
     * for the next one, others may not have woken yet, and then wait for that. */
    atomic_fetch_add(&cursor->ahead_awaited, 1);
    while (atomic_load(&cursor->ahead_state) == AHEAD_UNDER_WAY)
        pthread_cond_wait(&cursor->checkpoint_ended, &cursor->lock);
    atomic_fetch_sub(&cursor->ahead_awaited, 1);
    checkpoint_notice_locked(cursor);
}

static void ask_locked(struct group_cursor *cursor, struct cursor_place place)
{
    if (atomic_load(&cursor->ahead_state) != AHEAD_IDLE)
        return;
    cursor->ahead_record = next_record(cursor, place);
    atomic_store(&cursor->ahead_state, AHEAD_UNDER_WAY);
    if (!cursor_worker_ask_checkpoint(&log_of(cursor)->cursor_worker, cursor))
        atomic_store(&cursor->ahead_state, AHEAD_IDLE);
}

/* The worker does not wait for a lock that a busy reader hardly gives up: who comes next takes note. */
static void end_ahead(struct group_cursor *cursor, enum walrus_code code)
{
    cursor->ahead_code = code;
    atomic_store(&cursor->ahead_state, AHEAD_ENDED);
    if (atomic_load(&cursor->ahead_awaited) > 0) {
        pthread_mutex_lock(&cursor->lock);
        pthread_cond_broadcast(&cursor->checkpoint_ended);
        pthread_mutex_unlock(&cursor->lock);
    } else if (pthread_mutex_trylock(&cursor->lock) == 0) {
        checkpoint_notice_locked(cursor);
        pthread_mutex_unlock(&cursor->lock);
    }
}

void checkpoint_many(struct group_cursor **cursors, size_t count)
{
    enum walrus_code codes[CHECKPOINTS_AT_ONCE];
    uint64_t tickets[CHECKPOINTS_AT_ONCE];
    for (size_t i = 0; i < count; i++) {
        struct group_cursor *cursor = cursors[i];
        codes[i] = ready_data(cursor, cursor->ahead_record.sequence, NULL);
        if (codes[i] == WALRUS_OK)
            codes[i] =
                cursor_file_put(&log_of(cursor)->cursors, cursor->slot, &cursor->ahead_record, &tickets[i], NULL);
    }
    /* The newest first: its sync serves the others. */
    for (size_t i = count; i-- > 0;) {
        if (codes[i] == WALRUS_OK)
            codes[i] = cursor_file_wait(&log_of(cursors[i])->cursors, tickets[i], NULL);
        end_ahead(cursors[i], codes[i]);
    }
}

/* ---- when ---- */

enum walrus_code checkpoint_step_locked(struct group_cursor *cursor, const struct checkpoint_step *step, bool *again,
                                        struct walrus_error *error)
{
    checkpoint_notice_locked(cursor);
    bool exists = atomic_load_explicit(&cursor->exists, memory_order_relaxed);
    uint64_t durable = atomic_load_explicit(&cursor->durable_sequence, memory_order_relaxed);
    bool strict = step->consistency.mode == WALRUS_STRICTLY_AT_ONCE;
    uint32_t interval = step->consistency.interval_entries;
    const struct cursor_place *place = strict ? &step->after : &step->before;
    *again = false;
    bool must = !exists || (place->sequence != durable && (strict || step->after.sequence - durable > interval));
    if (!must) {
        if (!strict && interval >= AHEAD_INTERVAL_MIN && place->sequence - durable >= interval / 2)
            ask_locked(cursor, *place);
        return WALRUS_OK;
    }
    if (step->nonblock)
        return error_set(error, WALRUS_E_WOULD_BLOCK, 0, "reading '%s' would wait for its checkpoint",
                         cursor->topic->name);
    if (atomic_load(&cursor->ahead_state) != AHEAD_IDLE) {
        checkpoint_await_locked(cursor);
        *again = true;
        return WALRUS_OK;
    }
    return checkpoint_locked(cursor, *place, error);
}
