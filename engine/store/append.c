#include "store/append.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

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
    if (atomic_load(&topic->refuses))
        return error_set(error, WALRUS_E_REFUSED, 0,
                         "append to '%s': an earlier sync failed; the topic takes no appends until the log is reopened",
                         topic->name);
    return WALRUS_OK;
}

enum walrus_code append_begin(struct walrus_topic *topic, unsigned flags, struct append_turn *turn,
                              struct walrus_error *error)
{
    enum walrus_sync_mode mode = topic_sync_policy(topic).mode;
    turn->wait_durable = mode == WALRUS_SYNC_EACH || (flags & WALRUS_DURABLE) != 0;
    turn->wake_flusher = mode == WALRUS_SYNC_EVERY;
    turn->prewrite = prewrite_for(mode, topic->log->io);
    if (flags & WALRUS_NONBLOCK) {
        if (turn->wait_durable || pthread_mutex_trylock(&topic->append_lock) != 0)
            return error_set(error, WALRUS_E_WOULD_BLOCK, 0, "append to '%s' would wait", topic->name);
    } else {
        pthread_mutex_lock(&topic->append_lock);
    }
    enum walrus_code code = check_topic(topic, error);
    if (code != WALRUS_OK)
        pthread_mutex_unlock(&topic->append_lock);
    else
        topic_probe_durable(topic);
    return code;
}

enum walrus_code append_finish(struct walrus_topic *topic, const struct append_turn *turn,
                               const struct append_result *result, struct walrus_error *error)
{
    if (!topic->probe.segment)
        topic->probe = (struct durable_probe){result->segment, result->ticket, result->end.sequence};
    topic->appended = true;
    pthread_mutex_unlock(&topic->append_lock);

    if (turn->wake_flusher)
        flusher_note_write(&topic->log->flusher);
    if (turn->wait_durable) {
        enum walrus_code code = topic_make_durable(topic, result->end.sequence, result->segment, result->ticket, error);
        if (code != WALRUS_OK)
            return code;
        topic_publish(topic, &result->end);
    }
    topic_wake(topic);
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
        topic_block_discard(topic, block);
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
    enum walrus_code code = append_begin(topic, flags, &turn, error);
    if (code != WALRUS_OK)
        return code;

    uint64_t need = record_bytes(length);
    code = ready_tail(topic, need, error);
    if (code != WALRUS_OK) {
        pthread_mutex_unlock(&topic->append_lock);
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
        .time_ns = clock_realtime_ns(),
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
        pthread_mutex_unlock(&topic->append_lock);
        return code;
    }

    if (receipt)
        *receipt = (struct walrus_receipt){.sequence = topic->next_sequence, .offset = topic->next_offset};
    topic->tail_place = place + need;
    topic->next_sequence = result.end.sequence;
    topic->next_offset = result.end.offset;
    return append_finish(topic, &turn, &result, error);
}

void append_blot_unacknowledged(struct walrus_topic *topic)
{
    static const uint8_t nothing[RECORD_HEADER_BYTES];
    pthread_mutex_lock(&topic->append_lock);
    /* Whatever is visible was acknowledged, with the meaning of its policy; what is not, was not. */
    struct block *block;
    uint64_t block_end;
    struct topic_view view;
    topic_view(topic, &view);
    uint64_t first = view.end_sequence;
    if (first < topic->next_sequence && topic_find_block(topic, first, &block, &block_end)) {
        uint64_t place;
        if (block_scan_find_index(block, (uint32_t)(first - block->first_sequence), &place) == 0) {
            struct io_file *file = block->segment->file;
            if (io_full_write_bytes(file, nothing, sizeof(nothing), block->segment_offset + place) == 0)
                (void)file->ops->sync(file); /* claims nothing: the segment stays failed */
        }
        topic_block_release(topic, block);
    }
    topic->tail = NULL;
    pthread_mutex_unlock(&topic->append_lock);
}
