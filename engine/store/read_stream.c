/*
 * read_stream.c - the stream of a topic as bytes: what a file system shows.
 *
 * Records are read in chunks, verified, and their payloads copied out, each followed by the delimiter. An entry larger
 * than a chunk is verified once, in a pass of its own, before its first byte is handed out; then its bytes go straight
 * to the caller.
 */
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "store/block_scan.h"
#include "store/log.h"
#include "store/read.h"
#include "store/seek.h"

#define CHUNK_BYTES (256u << 10)
#define HEADER_CHUNK_BYTES 4096u

struct streaming {
    struct walrus_topic *topic;
    struct walrus_position *position; /* at the start of the entry that comes next */
    struct topic_view view;
    struct entry_place at;
    uint64_t offset; /* next stream byte to deliver */
    uint8_t *out;
    size_t left;
    uint8_t *chunk;
};

/* Moves to the entry behind the one just finished. */
static void step(struct streaming *streaming, const struct record_header *header, uint64_t entry_end)
{
    streaming->position->sequence++;
    streaming->position->offset = entry_end;
    streaming->at.place += record_total_bytes(header);
}

/* Delivers the bytes of [from, to) of the stream that lie in [start, start + size), whose content is at `bytes`. */
static void deliver(struct streaming *streaming, const void *bytes, uint64_t start, uint64_t size)
{
    if (streaming->offset < start || streaming->offset >= start + size || streaming->left == 0)
        return;
    uint64_t skip = streaming->offset - start;
    size_t part = (size_t)min_u64(size - skip, streaming->left);
    memcpy(streaming->out, (const uint8_t *)bytes + skip, part);
    streaming->out += part;
    streaming->left -= part;
    streaming->offset += part;
}

/* An entry that the chunk does not hold whole: verified in a pass of its own, then read into place. */
static enum walrus_code deliver_large(struct streaming *streaming, const struct record_header *header, uint64_t start,
                                      struct walrus_error *error)
{
    struct walrus_topic *topic = streaming->topic;
    struct block *block = streaming->at.block;
    uint64_t sequence = streaming->position->sequence;
    uint64_t place = streaming->at.place;
    if (streaming->position->hint_verified != sequence + 1) {
        struct block_scan scan;
        block_scan_init(&scan, block->segment->file, block->segment_offset, block->bytes, block->seed,
                        streaming->chunk);
        int rc = block_scan_payload(&scan, place, header);
        if (rc < 0)
            return read_failed(topic, block, place, sequence, rc, error);
        if (rc == 0)
            return read_damaged(topic, block, place, sequence, "its payload's checksum does not hold", error);
        streaming->position->hint_verified = sequence + 1;
    }
    uint64_t skip = streaming->offset - start;
    if (skip >= header->payload_bytes)
        return WALRUS_OK;
    size_t part = (size_t)min_u64(header->payload_bytes - skip, streaming->left);
    uint64_t payload = place + RECORD_HEADER_BYTES + (uint64_t)header->extension_words * 8;
    int rc = io_full_read(block->segment->file, streaming->out, part, block->segment_offset + payload + skip);
    if (rc < 0)
        return read_failed(topic, block, place, sequence, rc, error);
    streaming->out += part;
    streaming->left -= part;
    streaming->offset += part;
    return WALRUS_OK;
}

/* Delivers from one chunk of a block. */
static enum walrus_code stream_chunk(struct streaming *streaming, struct walrus_error *error)
{
    struct walrus_topic *topic = streaming->topic;
    struct block *block = streaming->at.block;
    struct walrus_position *position = streaming->position;
    uint64_t limit = min_u64(streaming->view.end_sequence, streaming->at.block_end);
    uint64_t end = atomic_load(&block->end_place);
    uint64_t wanted = position->hint_verified == position->sequence + 1 ? HEADER_CHUNK_BYTES : CHUNK_BYTES;
    /* Some more than what is delivered, for headers; what is read and not delivered is copied for nothing. */
    wanted = min_u64(wanted, streaming->left + streaming->left / 16 + HEADER_CHUNK_BYTES);
    size_t size = (size_t)min_u64(wanted, end > streaming->at.place ? end - streaming->at.place : 0);
    int rc = io_read_padded(block->segment->file, streaming->chunk, size, block->segment_offset + streaming->at.place);
    if (rc < 0)
        return read_failed(topic, block, streaming->at.place, position->sequence, rc, error);

    size_t at = 0;
    while (position->sequence < limit && streaming->left > 0) {
        struct record_header header;
        const uint8_t *bytes = streaming->chunk + at;
        if (size - at < RECORD_HEADER_BYTES && at > 0)
            return WALRUS_OK; /* the next chunk begins here */
        if (size < RECORD_HEADER_BYTES || !record_header_decode(bytes, block->seed, &header))
            return read_damaged(topic, block, streaming->at.place, position->sequence,
                                "its header's checksum does not hold", error);
        uint64_t total = record_total_bytes(&header);
        if (header.kind != RECORD_ENTRY) {
            streaming->at.place += total;
            at += min_u64(total, size - at);
            continue;
        }
        if (block->first_sequence + header.index != position->sequence)
            return read_damaged(topic, block, streaming->at.place, position->sequence,
                                "another entry stands in its place", error);
        uint64_t start = block->first_offset + header.stream_offset;
        uint64_t entry_end = start + header.payload_bytes + topic->delimiter_bytes;
        if (total > size - at) {
            if (at > 0)
                return WALRUS_OK;
            enum walrus_code code = deliver_large(streaming, &header, start, error);
            if (code != WALRUS_OK)
                return code;
        } else {
            size_t extension = (size_t)header.extension_words * 8;
            const uint8_t *payload = bytes + RECORD_HEADER_BYTES + extension;
            if (crc32c(0, bytes + RECORD_HEADER_BYTES, extension + header.payload_bytes) != header.payload_crc)
                return read_damaged(topic, block, streaming->at.place, position->sequence,
                                    "its payload's checksum does not hold", error);
            deliver(streaming, payload, start, header.payload_bytes);
        }
        deliver(streaming, &topic->delimiter, start + header.payload_bytes, topic->delimiter_bytes);
        if (streaming->offset < entry_end) {
            position->entry_end = entry_end;
            return WALRUS_OK; /* the caller's buffer is full in the middle of the entry */
        }
        step(streaming, &header, entry_end);
        at += min_u64(total, size - at);
        if (total > size)
            return WALRUS_OK; /* the chunk held only its beginning */
    }
    return WALRUS_OK;
}

/* Position at the entry that holds the offset: where the last call stopped, or found anew. */
static enum walrus_code find_start(struct streaming *streaming, struct walrus_error *error)
{
    struct walrus_position *position = streaming->position;
    bool near = position->hint_place != 0 && position->hint_offset == streaming->offset &&
                position->hint_sequence == position->sequence;
    if (!near || position->sequence < streaming->view.first_sequence ||
        position->sequence >= streaming->view.end_sequence) {
        enum walrus_code code = topic_seek_offset(streaming->topic, streaming->offset, position, error);
        if (code != WALRUS_OK)
            return code;
    }
    return read_locate(streaming->topic, position, &streaming->at, error);
}

static enum walrus_code overtaken(struct walrus_topic *topic, uint64_t offset, const struct topic_view *view,
                                  struct walrus_error *error)
{
    return error_set(error, WALRUS_E_RANGE, 0,
                     "read of '%s': offset %" PRIu64 " is before the first retained, %" PRIu64, topic->name, offset,
                     view->first_offset);
}

enum walrus_code topic_read_stream(struct walrus_topic *topic, struct walrus_position *position, uint64_t offset,
                                   void *buffer, size_t size, size_t *got, struct walrus_error *error)
{
    struct streaming streaming = {.topic = topic, .position = position, .offset = offset, .out = buffer, .left = size};
    topic_view(topic, &streaming.view);
    if (offset < streaming.view.first_offset)
        return overtaken(topic, offset, &streaming.view, error);
    streaming.left = (size_t)min_u64(size, offset < streaming.view.end_offset ? streaming.view.end_offset - offset : 0);
    if (streaming.left == 0) {
        *got = 0;
        return WALRUS_OK;
    }
    size_t wanted = streaming.left, capacity;
    streaming.chunk = log_take_buffer(topic->log, CHUNK_BYTES, &capacity);
    if (!streaming.chunk)
        return error_set(error, WALRUS_E_NO_MEMORY, 0, "read of '%s': out of memory", topic->name);

    enum walrus_code code = find_start(&streaming, error);
    while (code == WALRUS_OK && streaming.left > 0) {
        if (position->sequence >= streaming.at.block_end) {
            struct walrus_position next = {.sequence = position->sequence};
            code = read_locate(topic, &next, &streaming.at, error);
        }
        if (code == WALRUS_OK)
            code = stream_chunk(&streaming, error);
    }
    log_give_buffer(topic->log, streaming.chunk);

    *got = wanted - streaming.left;
    if (*got > 0)
        code = WALRUS_OK; /* the next call begins with the failure */
    if (code == WALRUS_OK) {
        position->hint_block = streaming.at.block ? streaming.at.block->index : 0;
        position->hint_place = streaming.at.block ? streaming.at.place : 0;
        position->hint_sequence = position->sequence;
        position->hint_offset = streaming.offset;
    }
    read_leave(topic, &streaming.at);
    if (code != WALRUS_OK) {
        /* What was retained a moment ago may be gone by now: then it is not damaged. */
        topic_view(topic, &streaming.view);
        if (offset < streaming.view.first_offset)
            return overtaken(topic, offset, &streaming.view, error);
    }
    return code;
}
