#include "store/append.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/clock.h"
#include "base/error.h"
#include "format/record_header.h"
#include "store/block_scan.h"
#include "store/log.h"
#include "store/prewrite.h"
#include "store/sync.h"
#include "store/watch.h"

/* Up to here, copying header and payload into one buffer beats handing two to the kernel. */
#define COPY_MAX 2048u

/* Whether a segment that the topic depends on has failed. */
static bool depends_on_failed(struct walrus_topic *topic)
{
    bool failed = false;
    pthread_mutex_lock(&topic->lock);
    for (size_t i = 0; !failed && i < topic->dirty_count; i++)
        failed = atomic_load(&topic->dirty[i].segment->sync.failed) != 0;
    pthread_mutex_unlock(&topic->lock);
    return failed;
}

static enum walrus_code check_topic(struct walrus_topic *topic, struct walrus_error *error)
{
    if (atomic_load(&topic->deleted))
        return error_set(error, WALRUS_E_DELETED, 0, "append to '%s': the topic was deleted", topic->name);
    /* A block in a segment whose sync failed is not written any more. What the topic has in there that was never
     * durable may be lost already, so then the topic itself stops. */
    if (topic->tail && atomic_load(&topic->tail->segment->sync.failed)) {
        if (topic->durable_sequence < topic->next_sequence)
            atomic_store(&topic->refuses, true);
        topic->tail = NULL;
    }
    /* So may be other topics' parts of a batch, without which this topic's part is dropped, and all that follows. */
    if (topic->shared && atomic_load(&topic->log->sync_failures) > 0 && depends_on_failed(topic))
        atomic_store(&topic->refuses, true);
    if (atomic_load(&topic->refuses))
        return error_set(error, WALRUS_E_REFUSED, 0,
                         "append to '%s': an earlier sync failed; the topic takes no appends until the log is reopened",
                         topic->name);
    return WALRUS_OK;
}

/* Waits for appends, not for batches: false when one has the lock. */
static bool lock_unless_batch(struct walrus_topic *topic)
{
    while (pthread_mutex_trylock(&topic->append_lock) != 0) {
        if (atomic_load(&topic->batch_running))
            return false;
        /* Not for long: after this append it may be a batch's turn. */
        struct timespec soon;
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_nsec += 1000000;
        soon.tv_sec += soon.tv_nsec / 1000000000;
        soon.tv_nsec %= 1000000000;
        if (pthread_mutex_timedlock(&topic->append_lock, &soon) == 0)
            break;
    }
    return true;
}

static bool take_lock(struct walrus_topic *topic, unsigned flags)
{
    if (flags & WALRUS_NONBLOCK)
        return pthread_mutex_trylock(&topic->append_lock) == 0;
    if (topic->log->options.fail_fast)
        return lock_unless_batch(topic);
    pthread_mutex_lock(&topic->append_lock);
    return true;
}

enum walrus_code append_begin(struct walrus_topic *topic, unsigned flags, bool is_batch, struct append_turn *turn,
                              struct walrus_error *error)
{
    enum walrus_sync_mode mode = topic_sync_policy(topic).mode;
    turn->wait_durable = mode == WALRUS_SYNC_EACH || (flags & WALRUS_DURABLE) != 0;
    turn->wake_flusher = mode == WALRUS_SYNC_EVERY;
    turn->prewrite = prewrite_for(mode, topic->log->io);
    turn->is_batch = is_batch;
    if ((turn->wait_durable && (flags & WALRUS_NONBLOCK)) || !take_lock(topic, flags))
        return error_set(error, WALRUS_E_WOULD_BLOCK, 0, "append to '%s' would wait", topic->name);
    if (is_batch)
        atomic_store(&topic->batch_running, true);
    topic->must_not_wait = (flags & WALRUS_NONBLOCK) != 0;
    enum walrus_code code = check_topic(topic, error);
    turn->behind = topic->last_shared;
    if (code == WALRUS_OK && turn->behind != 0) {
        if (batch_order_is_settled(&topic->log->batch_order, turn->behind))
            turn->behind = 0;
        else if (flags & WALRUS_NONBLOCK)
            code = error_set(error, WALRUS_E_WOULD_BLOCK, 0, "append to '%s' would wait for a batch", topic->name);
        else
            turn->wait_durable = true;
    }
    if (code != WALRUS_OK)
        append_end(topic, turn);
    else
        topic_probe_durable(topic);
    return code;
}

void append_end(struct walrus_topic *topic, const struct append_turn *turn)
{
    if (turn->is_batch)
        atomic_store(&topic->batch_running, false);
    pthread_mutex_unlock(&topic->append_lock);
}

void append_note_probe(struct walrus_topic *topic, const struct append_result *result)
{
    if (!topic->probe.segment)
        topic->probe = (struct durable_probe){result->segment, result->ticket, result->end.sequence};
    topic->appended = true;
}

enum walrus_code append_finish(struct walrus_topic *topic, const struct append_turn *turn,
                               const struct append_result *result, struct walrus_error *error)
{
    append_note_probe(topic, result);
    append_end(topic, turn);

    if (turn->wake_flusher)
        flusher_note_write(&topic->log->flusher);
    if (turn->wait_durable) {
        enum walrus_code code = topic_make_durable(topic, result->end.sequence, result->segment, result->ticket, error);
        if (code != WALRUS_OK)
            return code;
        batch_order_wait(&topic->log->batch_order, turn->behind);
        if (!topic_publish(topic, &result->end))
            return sync_was_late(topic, error);
    }
    topic_wake(topic);
    marker_poll(&topic->log->marker);
    return WALRUS_OK;
}

void append_give_up_tail(struct walrus_topic *topic, struct block *block, uint64_t place)
{
    static const uint8_t nothing[RECORD_HEADER_BYTES];
    /* Best effort: what the failed write left there must not be taken for an entry if no later block says otherwise. */
    (void)io_full_write_bytes(block->segment->file, nothing, sizeof(nothing), block->segment_offset + place);
    sync_point_note_write(&block->segment->sync);
    topic->tail = NULL;
}

/* A tail block with room for `need` bytes of records. */
static enum walrus_code ready_tail(struct walrus_topic *topic, uint64_t need, struct walrus_error *error)
{
    struct block *tail = topic->tail;
    if (tail && topic->tail_place + need + BLOCK_RESERVE_BYTES <= tail->bytes)
        return WALRUS_OK;
    struct block *block = NULL;
    enum walrus_code code =
        topic_block_create(topic, need, 0, NULL, topic->next_sequence, topic->next_offset, &block, error);
    if (code != WALRUS_OK)
        return code;
    uint64_t bytes = block->first_place;
    code = topic_block_attach(topic, block, error);
    if (code != WALRUS_OK) {
        topic_block_withdraw(topic, block);
        return code;
    }
    topic->tail = block;
    topic->tail_place = bytes;
    return WALRUS_OK;
}

static int write_record(struct block *block, uint64_t place, const uint8_t header[RECORD_HEADER_BYTES],
                        const void *data, size_t length)
{
    static const uint8_t padding[RECORD_ALIGNMENT];
    uint64_t at = block->segment_offset + place;
    size_t total = (size_t)record_bytes(length);
    if (total <= COPY_MAX) {
        uint8_t copy[COPY_MAX];
        memcpy(copy, header, RECORD_HEADER_BYTES);
        if (length > 0)
            memcpy(copy + RECORD_HEADER_BYTES, data, length);
        memset(copy + RECORD_HEADER_BYTES + length, 0, total - RECORD_HEADER_BYTES - length);
        return io_full_write_bytes(block->segment->file, copy, total, at);
    }
    struct iovec iov[3] = {
        {.iov_base = (void *)(uintptr_t)header, .iov_len = RECORD_HEADER_BYTES},
        {.iov_base = (void *)(uintptr_t)data, .iov_len = length},
        {.iov_base = (void *)(uintptr_t)padding, .iov_len = total - RECORD_HEADER_BYTES - length},
    };
    return io_full_write(block->segment->file, iov, iov[2].iov_len > 0 ? 3 : 2, at);
}

enum walrus_code topic_append(struct walrus_topic *topic, const void *data, size_t length, unsigned flags,
                              struct walrus_receipt *receipt, struct walrus_error *error)
{
    struct append_turn turn;
    uint32_t payload_crc = crc32c(0, data, length); /* before the lock: others append meanwhile */
    enum walrus_code code = append_begin(topic, flags, false, &turn, error);
    if (code != WALRUS_OK)
        return code;

    uint64_t need = record_bytes(length);
    uint64_t time_ns = topic_tick(topic);
    code = ready_tail(topic, need, error);
    if (code != WALRUS_OK) {
        append_end(topic, &turn);
        return error_prefix(error, code, "append to '%s'", topic->name);
    }

    struct block *block = topic->tail;
    uint64_t place = topic->tail_place;
    struct record_header header = {
        .payload_crc = payload_crc,
        .payload_bytes = (uint32_t)length,
        .index = (uint32_t)(topic->next_sequence - block->first_sequence),
        .stream_offset = (uint32_t)(topic->next_offset - block->first_offset),
        .kind = RECORD_ENTRY,
        .durable_lag = record_lag_encode(topic->next_sequence, topic->durable_sequence),
        .time_ns = time_ns,
    };
    uint8_t bytes[RECORD_HEADER_BYTES];
    record_header_encode(&header, block->seed, bytes);

    struct append_result result = {
        .segment = block->segment,
        .end = {topic->next_sequence + 1, topic->next_offset + length + topic->delimiter_bytes, header.time_ns},
    };
    if (turn.prewrite.piece_bytes > 0 && place + need > block->prewritten_end)
        prewrite_ahead(block, place, place + need, &turn.prewrite);
    int rc = write_record(block, place, bytes, data, length);
    if (rc < 0) {
        code = error_system(error, rc, "append to '%s': write at %" PRIu64 " of segment %" PRIu64, topic->name,
                            block->segment_offset + place, block->segment->id);
        error_place(error, block->segment->id, block->segment_offset + place, topic->next_sequence);
    } else {
        atomic_store(&block->end_place, place + need);
        code = topic_note_write(topic, block->segment, turn.wait_durable ? NULL : &result.end, &result.ticket, error);
    }
    if (code != WALRUS_OK) {
        append_give_up_tail(topic, block, place);
        append_end(topic, &turn);
        return code;
    }

    struct walrus_receipt got = {.sequence = topic->next_sequence, .offset = topic->next_offset};
    topic->tail_place = place + need;
    topic->next_sequence = result.end.sequence;
    topic->next_offset = result.end.offset;
    code = append_finish(topic, &turn, &result, error);
    if (code == WALRUS_OK && receipt)
        *receipt = got;
    return code;
}

static void blot(struct block *block, uint64_t place)
{
    static const uint8_t nothing[RECORD_HEADER_BYTES];
    struct segment *segment = block->segment;
    if (io_full_write_bytes(segment->file, nothing, sizeof(nothing), block->segment_offset + place) < 0)
        return;
    uint64_t ticket = sync_point_note_write(&segment->sync);
    if (atomic_load(&segment->sync.failed))
        (void)segment->file->ops->sync(segment->file); /* claims nothing: the segment stays failed */
    else
        (void)sync_point_wait(&segment->sync, ticket);
}

/* The topic refuses appends, so no batch comes along any more. */
static void lock_behind_batches(struct walrus_topic *topic, uint64_t batch)
{
    struct batch_order *order = &topic->log->batch_order;
    pthread_mutex_lock(&topic->append_lock);
    while (topic->last_shared < batch && !batch_order_is_settled(order, topic->last_shared)) {
        uint64_t number = topic->last_shared;
        pthread_mutex_unlock(&topic->append_lock);
        batch_order_wait(order, number);
        pthread_mutex_lock(&topic->append_lock);
    }
}

void append_blot_unacknowledged(struct walrus_topic *topic, uint64_t batch)
{
    lock_behind_batches(topic, batch);
    /* Whatever is visible or durable was acknowledged, with the meaning of its policy, or will be; what is not, was not
     * and, from now on, will not. */
    struct block *block;
    uint64_t block_end;
    pthread_mutex_lock(&topic->lock);
    uint64_t first = max_u64(topic->visible_sequence, topic->durable_sequence);
    topic->blotted_from = min_u64(topic->blotted_from, first);
    pthread_mutex_unlock(&topic->lock);
    if (first < topic->next_sequence && topic_find_block(topic, first, &block, &block_end)) {
        uint64_t place;
        if (block_scan_find_index(block, (uint32_t)(first - block->first_sequence), &place) == 0)
            blot(block, place);
        topic_block_release(topic, block);
    }
    topic->tail = NULL;
    pthread_mutex_unlock(&topic->append_lock);
}
