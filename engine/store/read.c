#include "store/read.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "store/block_narrow.h"
#include "store/log.h"

#define CHUNK_MIN 4096u
#define CHUNK_MAX ((uint64_t)4 << 20)
/* Of one submission. More bytes would leave the processor's cache between being copied there and being parsed. */
#define EXTENTS_MAX 16
#define EXTENTS_BYTES_MAX ((uint64_t)512 << 10)

enum walrus_code read_damaged(struct walrus_topic *topic, const struct block *block, uint64_t place, uint64_t sequence,
                              const char *what, struct walrus_error *error)
{
    enum walrus_code code =
        error_set(error, WALRUS_E_DAMAGED, 0,
                  "read of '%s': entry %" PRIu64 " is damaged at %" PRIu64 " of segment %" PRIu64 ": %s", topic->name,
                  sequence, block->segment_offset + place, block->segment->id, what);
    error_place(error, block->segment->id, block->segment_offset + place, sequence);
    return code;
}

enum walrus_code read_failed(struct walrus_topic *topic, const struct block *block, uint64_t place, uint64_t sequence,
                             int rc, struct walrus_error *error)
{
    enum walrus_code code = error_system(error, rc, "read of '%s': at %" PRIu64 " of segment %" PRIu64, topic->name,
                                         block->segment_offset + place, block->segment->id);
    error_place(error, block->segment->id, block->segment_offset + place, sequence);
    return code;
}

/* Walks the block's headers from a known record to the wanted one. What is damaged on the way is passed over. */
static int walk_to(struct walrus_topic *topic, struct entry_place *at, uint64_t sequence)
{
    struct block *block = at->block;
    size_t capacity;
    uint8_t *window = log_take_buffer(topic->log, BLOCK_SCAN_WINDOW, &capacity);
    if (!window)
        return -ENOMEM;
    struct block_scan scan;
    struct record_header header;
    uint32_t wanted = (uint32_t)(sequence - block->first_sequence);
    block_scan_init(&scan, block->segment->file, block->segment_offset, block->bytes, block->seed, window);
    const struct block_target target = {BLOCK_BY_SEQUENCE, sequence};
    int rc = block_narrow(&scan, block, &target, atomic_load(&block->end_place), &at->place);
    while (rc >= 0) {
        uint64_t place = at->place;
        rc = block_scan_header(&scan, place, &header);
        if (rc == 0) {
            rc = block_scan_search(&scan, place + RECORD_ALIGNMENT, 0, &place, &header);
            if (rc == 0)
                break; /* nothing valid any more: the damage is what stands where the entry was */
        }
        if (rc < 0 || header.index > wanted || (header.index == wanted && header.kind == RECORD_ENTRY)) {
            /* Further than wanted: the entry was in the damage before. */
            if (rc > 0 && header.index == wanted)
                at->place = place;
            break;
        }
        at->place = place + record_total_bytes(&header);
    }
    log_give_buffer(topic->log, window);
    return rc < 0 ? rc : 0;
}

void read_leave(struct walrus_topic *topic, struct entry_place *at)
{
    if (at->block)
        topic_block_release(topic, at->block);
    at->block = NULL;
}

static enum walrus_code out_of_range(struct walrus_topic *topic, uint64_t sequence, const struct topic_view *view,
                                     struct walrus_error *error)
{
    return error_set(error, WALRUS_E_RANGE, 0, "read of '%s': entry %" PRIu64 " is outside %" PRIu64 "..%" PRIu64,
                     topic->name, sequence, view->first_sequence, view->end_sequence);
}

/* No block holds the entry. */
static enum walrus_code not_found(struct walrus_topic *topic, uint64_t sequence, struct walrus_error *error)
{
    struct topic_view view;
    topic_view(topic, &view); /* as it is now: retention may have overtaken the reader since it looked */
    if (sequence < view.first_sequence)
        return out_of_range(topic, sequence, &view, error);
    enum walrus_code code = error_set(error, WALRUS_E_DAMAGED, 0,
                                      "read of '%s': the block of entry %" PRIu64 " is missing", topic->name, sequence);
    error_place(error, WALRUS_NOWHERE, WALRUS_NOWHERE, sequence);
    return code;
}

enum walrus_code read_locate(struct walrus_topic *topic, const struct walrus_position *position, struct entry_place *at,
                             struct walrus_error *error)
{
    read_leave(topic, at);
    if (!topic_find_block(topic, position->sequence, &at->block, &at->block_end))
        return not_found(topic, position->sequence, error);
    struct block *block = at->block;
    uint64_t known = block->first_sequence;
    at->place = block->first_place;
    if (position->hint_place != 0 && position->hint_block == block->index && position->hint_place < block->bytes &&
        position->hint_sequence >= known && position->hint_sequence <= position->sequence) {
        known = position->hint_sequence;
        at->place = position->hint_place;
    }
    if (known == position->sequence)
        return WALRUS_OK;
    int rc = walk_to(topic, at, position->sequence);
    return rc < 0 ? read_failed(topic, block, at->place, position->sequence, rc, error) : WALRUS_OK;
}

/* One read_entries() call. */
struct reading {
    struct walrus_topic *topic;
    const struct walrus_read_limits *limits;
    struct walrus_entries *entries;
    struct topic_view view;
    struct entry_place at;
    uint64_t sequence; /* of the next entry */
    uint64_t offset;
    bool full; /* the limits allow no more */
};

/* How much the limits let this call take from the disk now. */
static uint64_t wanted_bytes(const struct reading *reading)
{
    uint64_t used = 0;
    if (reading->entries->count > 0)
        used = reading->offset - reading->entries->items[0].offset;
    uint64_t wanted = reading->limits->max_bytes > used ? reading->limits->max_bytes - used : 0;
    wanted = min_u64(wanted, CHUNK_MAX);
    /* Some more for headers and paddings. Too little costs another small read, too much is copied for nothing. */
    return wanted + wanted / 16 + CHUNK_MIN;
}

static uint64_t left_in_block(const struct entry_place *at)
{
    uint64_t end = atomic_load(&at->block->end_place);
    return end > at->place ? end - at->place : 0;
}

/*
 * Takes the records out of `size` bytes at buffer_offset. Moves reading->at.place behind what it took. *need is set to
 * the bytes of a record that does not fit the chunk. Damage is a result only when there was no entry before it.
 */
static enum walrus_code parse_chunk(struct reading *reading, size_t buffer_offset, size_t size, uint64_t *need,
                                    struct walrus_error *error)
{
    struct walrus_topic *topic = reading->topic;
    struct walrus_entries *entries = reading->entries;
    struct block *block = reading->at.block;
    uint64_t limit = min_u64(reading->view.end_sequence, reading->at.block_end);
    const char *damage = NULL;
    size_t at = 0;
    *need = 0;
    while (reading->sequence < limit && !reading->full) {
        struct record_header header;
        const uint8_t *bytes = entries->buffer + buffer_offset + at;
        if (at + RECORD_HEADER_BYTES > size) {
            *need = RECORD_HEADER_BYTES;
            break;
        }
        if (!record_header_decode(bytes, block->seed, &header)) {
            damage = "its header's checksum does not hold";
            break;
        }
        uint64_t total = record_total_bytes(&header);
        if (header.kind != RECORD_ENTRY) {
            at += min_u64(total, size - at);
            reading->at.place += total;
            continue;
        }
        if (block->first_sequence + header.index != reading->sequence) {
            damage = "another entry stands in its place";
            break;
        }
        if (!read_limits_allow(reading->limits, topic->delimiter_bytes, entries, header.payload_bytes)) {
            reading->full = true;
            break;
        }
        if (total > size - at) {
            *need = total;
            break;
        }
        size_t extension = (size_t)header.extension_words * 8;
        if (crc32c(0, bytes + RECORD_HEADER_BYTES, extension + header.payload_bytes) != header.payload_crc) {
            damage = "its payload's checksum does not hold";
            break;
        }
        reading->offset = block->first_offset + header.stream_offset;
        if (!entries_add(entries, buffer_offset + at + RECORD_HEADER_BYTES + extension, header.payload_bytes,
                         reading->sequence, reading->offset, header.time_ns))
            return error_set(error, WALRUS_E_NO_MEMORY, 0, "read of '%s': out of memory", topic->name);
        reading->sequence++;
        reading->offset += header.payload_bytes + topic->delimiter_bytes;
        reading->at.place += total;
        at += total;
    }
    if (damage && entries->count == 0)
        return read_damaged(topic, block, reading->at.place, reading->sequence, damage, error);
    if (damage)
        reading->full = true; /* what is good first; the next call meets the damage */
    return WALRUS_OK;
}

/* Bytes of one block, as a part of a submission. */
struct extent {
    struct entry_place at; /* holds the block, but for the first one, which is that of the reading */
    size_t size;
};

/* What the limits want, from where the reading stands and from the blocks that follow. At least one extent. */
static size_t plan_extents(const struct reading *reading, struct extent *extents)
{
    uint64_t wanted = wanted_bytes(reading), planned = 0;
    struct entry_place at = reading->at;
    size_t count = 0;
    for (;;) {
        uint64_t left = left_in_block(&at);
        extents[count++] = (struct extent){at, (size_t)min_u64(wanted, left)};
        planned += left;
        if (wanted <= left || planned >= EXTENTS_BYTES_MAX || count == EXTENTS_MAX ||
            at.block_end >= reading->view.end_sequence)
            return count;
        wanted -= left;
        struct entry_place next = {0};
        if (!topic_find_block(reading->topic, at.block_end, &next.block, &next.block_end))
            return count;
        if (next.block->first_sequence != at.block_end) {
            read_leave(reading->topic, &next);
            return count;
        }
        next.place = next.block->first_place;
        at = next;
    }
}

/* Reads the extents as one submission, and parses as far as they go. If the disk fails, nothing has happened. */
static enum walrus_code read_extents(struct reading *reading, struct extent *extents, size_t count,
                                     struct walrus_error *error)
{
    struct walrus_entries *entries = reading->entries;
    struct io *io = reading->topic->log->io;
    struct io_request requests[EXTENTS_MAX];
    struct iovec iov[EXTENTS_MAX];
    size_t buffer_offset = entries->buffer_used, size = 0;
    for (size_t i = 0; i < count; i++)
        size += extents[i].size;
    if (!entries_reserve(entries, size))
        return error_set(error, WALRUS_E_NO_MEMORY, 0, "read of '%s': out of memory", reading->topic->name);
    for (size_t i = 0, at = buffer_offset; i < count; at += extents[i++].size) {
        const struct entry_place *place = &extents[i].at;
        iov[i] = (struct iovec){.iov_base = entries->buffer + at, .iov_len = extents[i].size};
        requests[i] = (struct io_request){.direction = IO_READ,
                                          .file = place->block->segment->file,
                                          .iov = &iov[i],
                                          .iov_count = 1,
                                          .offset = place->block->segment_offset + place->place};
    }
    if (io_full_submit(io, requests, count) < 0)
        return WALRUS_OK;
    enum walrus_code code = WALRUS_OK;
    size_t entries_before = entries->count;
    uint64_t need = 0;
    for (size_t i = 0; code == WALRUS_OK && i < count; buffer_offset += extents[i++].size) {
        if (i > 0) {
            if (reading->full || reading->sequence != extents[i].at.block->first_sequence)
                break;
            read_leave(reading->topic, &reading->at);
            reading->at = extents[i].at;
            extents[i].at.block = NULL;
        }
        code = parse_chunk(reading, buffer_offset, extents[i].size, &need, error);
    }
    if (entries->count > entries_before)
        entries->buffer_used += size;
    return code;
}

/* Reads and parses one chunk of one block; a larger one if the next record does not fit. */
static enum walrus_code read_chunk(struct reading *reading, struct walrus_error *error)
{
    uint64_t at_least = 0;
    size_t count_before = reading->entries->count;
    for (;;) {
        struct block *block = reading->at.block;
        uint64_t place = reading->at.place;
        size_t size = (size_t)min_u64(max_u64(wanted_bytes(reading), at_least), left_in_block(&reading->at));
        size_t buffer_offset = reading->entries->buffer_used;
        if (size < RECORD_HEADER_BYTES || size < at_least) {
            reading->full = reading->entries->count > 0;
            return reading->full ? WALRUS_OK
                                 : read_damaged(reading->topic, block, place, reading->sequence,
                                                "its block ends before it", error);
        }
        if (!entries_reserve(reading->entries, size))
            return error_set(error, WALRUS_E_NO_MEMORY, 0, "read of '%s': out of memory", reading->topic->name);
        int rc = io_read_padded(block->segment->file, reading->entries->buffer + buffer_offset, size,
                                block->segment_offset + place);
        if (rc < 0)
            return read_failed(reading->topic, block, place, reading->sequence, rc, error);
        enum walrus_code code = parse_chunk(reading, buffer_offset, size, &at_least, error);
        if (code != WALRUS_OK)
            return code;
        if (reading->entries->count > count_before)
            reading->entries->buffer_used = buffer_offset + size;
        /* Progress, or an end: the caller goes on. Else the record alone is larger than the chunk. */
        if (reading->at.place > place || at_least == 0)
            return WALRUS_OK;
    }
}

/* Reads and parses what one go at the disk brings. */
static enum walrus_code read_more(struct reading *reading, struct walrus_error *error)
{
    struct extent extents[EXTENTS_MAX];
    uint64_t sequence_before = reading->sequence;
    enum walrus_code code = WALRUS_OK;
    size_t count = plan_extents(reading, extents);
    if (count > 1)
        code = read_extents(reading, extents, count, error);
    for (size_t i = 1; i < count; i++)
        read_leave(reading->topic, &extents[i].at);
    if (code != WALRUS_OK || reading->full || reading->sequence > sequence_before)
        return code;
    return read_chunk(reading, error);
}

enum walrus_code topic_read_entries(struct walrus_topic *topic, struct walrus_position *position,
                                    const struct walrus_read_limits *limits, struct walrus_entries *entries,
                                    struct walrus_error *error)
{
    struct reading reading = {.topic = topic,
                              .limits = limits,
                              .entries = entries,
                              .sequence = position->sequence,
                              .offset = position->offset};
    topic_view(topic, &reading.view);
    if (position->sequence < reading.view.first_sequence || position->sequence > reading.view.end_sequence)
        return out_of_range(topic, position->sequence, &reading.view, error);
    entries_reset(entries);
    if (position->sequence == reading.view.end_sequence)
        return WALRUS_OK;
    enum walrus_code code = read_locate(topic, position, &reading.at, error);
    while (code == WALRUS_OK && !reading.full && reading.sequence < reading.view.end_sequence) {
        if (reading.sequence >= reading.at.block_end) {
            struct walrus_position next = {.sequence = reading.sequence};
            code = read_locate(topic, &next, &reading.at, error);
        }
        if (code == WALRUS_OK)
            code = read_more(&reading, error);
    }
    if (code == WALRUS_OK || entries->count > 0) {
        /* What was read before the failure is good; the next call begins with the failure. */
        code = WALRUS_OK;
        entries_settle(entries);
        *position = (struct walrus_position){.sequence = reading.sequence, .offset = reading.offset};
        if (reading.at.block) {
            position->hint_block = reading.at.block->index;
            position->hint_place = reading.at.place;
            position->hint_sequence = reading.sequence;
        }
    }
    read_leave(topic, &reading.at);
    return code;
}
