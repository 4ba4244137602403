#include "store/seek.h"

#include <errno.h>
#include <inttypes.h>

#include "base/bytes.h"
#include "base/error.h"
#include "store/block_narrow.h"
#include "store/log.h"

/* An entry that a walk has found. */
struct found_entry {
    uint64_t place;
    struct record_header header;
};

/*
 * The last entry of the block that is not behind the target. 0, -ENOENT when there is none, or a negated errno. Damage
 * is passed over.
 */
static int find_entry(struct walrus_topic *topic, struct block *block, const struct block_target *target,
                      struct found_entry *entry)
{
    size_t capacity;
    uint8_t *window = log_take_buffer(topic->log, BLOCK_SCAN_WINDOW, &capacity);
    if (!window)
        return -ENOMEM;
    struct block_scan scan;
    struct record_header header;
    block_scan_init(&scan, block->segment->file, block->segment_offset, block->bytes, block->seed, window);
    uint64_t place = block->first_place;
    uint64_t end = atomic_load(&block->end_place);
    int found = -ENOENT;
    int rc = block_narrow(&scan, block, target, end, &place);
    while (rc >= 0 && place < end) {
        rc = block_scan_header(&scan, place, &header);
        if (rc == 0)
            rc = block_scan_search(&scan, place + RECORD_ALIGNMENT, 0, &place, &header);
        if (rc <= 0 || place >= end || block_is_behind(block, &header, target))
            break;
        if (header.kind == RECORD_ENTRY) {
            *entry = (struct found_entry){place, header};
            found = 0;
        }
        place += record_total_bytes(&header);
    }
    log_give_buffer(topic->log, window);
    return rc < 0 ? rc : found;
}

/* The same as a position. */
static int walk_block(struct walrus_topic *topic, struct block *block, const struct block_target *target,
                      struct walrus_position *position)
{
    struct found_entry entry;
    int rc = find_entry(topic, block, target, &entry);
    if (rc == 0)
        *position = (struct walrus_position){.sequence = block->first_sequence + entry.header.index,
                                             .offset = block->first_offset + entry.header.stream_offset,
                                             .hint_block = block->index,
                                             .hint_place = entry.place,
                                             .hint_sequence = block->first_sequence + entry.header.index};
    return rc;
}

static enum walrus_code out_of_range(struct walrus_topic *topic, const char *what, uint64_t value, uint64_t first,
                                     uint64_t end, struct walrus_error *error)
{
    return error_set(error, WALRUS_E_RANGE, 0, "seek in '%s': %s %" PRIu64 " is outside %" PRIu64 "..%" PRIu64,
                     topic->name, what, value, first, end);
}

enum walrus_code topic_seek_sequence(struct walrus_topic *topic, uint64_t sequence, struct walrus_position *position,
                                     struct walrus_error *error)
{
    struct topic_view view;
    struct block *block;
    uint64_t block_end;
    topic_view(topic, &view);
    if (sequence < view.first_sequence || sequence > view.end_sequence)
        return out_of_range(topic, "entry", sequence, view.first_sequence, view.end_sequence, error);
    if (sequence == view.end_sequence) {
        *position = (struct walrus_position){.sequence = sequence, .offset = view.end_offset};
        return WALRUS_OK;
    }
    int rc = -ENOENT;
    struct walrus_position found = {0};
    if (topic_find_block(topic, sequence, &block, &block_end)) {
        rc = walk_block(topic, block, &(struct block_target){BLOCK_BY_SEQUENCE, sequence}, &found);
        topic_block_release(topic, block);
    }
    if (rc < 0 && rc != -ENOENT)
        return error_system(error, rc, "seek in '%s'", topic->name);
    /* A damaged entry has a place in the order all the same: reading there reports it. */
    if (rc == -ENOENT || found.sequence != sequence)
        found = (struct walrus_position){.sequence = sequence, .offset = max_u64(found.offset, view.first_offset)};
    *position = found;
    return WALRUS_OK;
}

enum walrus_code topic_seek_offset(struct walrus_topic *topic, uint64_t offset, struct walrus_position *position,
                                   struct walrus_error *error)
{
    struct topic_view view;
    struct block *block;
    topic_view(topic, &view);
    if (offset < view.first_offset || offset > view.end_offset)
        return out_of_range(topic, "offset", offset, view.first_offset, view.end_offset, error);
    if (offset == view.end_offset) {
        *position = (struct walrus_position){.sequence = view.end_sequence, .offset = view.end_offset};
        return WALRUS_OK;
    }
    int rc = -ENOENT;
    struct walrus_position found = {0};
    if (topic_find_block_by_offset(topic, offset, &block)) {
        rc = walk_block(topic, block, &(struct block_target){BLOCK_BY_OFFSET, offset}, &found);
        topic_block_release(topic, block);
    }
    if (rc == -ENOENT) {
        /* What was retained a moment ago may be gone by now: then it is not damaged. */
        topic_view(topic, &view);
        if (offset < view.first_offset)
            return out_of_range(topic, "offset", offset, view.first_offset, view.end_offset, error);
        enum walrus_code code =
            error_set(error, WALRUS_E_DAMAGED, 0, "seek in '%s': the entry at offset %" PRIu64 " is damaged",
                      topic->name, offset);
        return code;
    }
    if (rc < 0)
        return error_system(error, rc, "seek in '%s'", topic->name);
    *position = found;
    return WALRUS_OK;
}

/*
 * The first valid entry from at->place on whose sequence is at least `sequence`. 1: found, at->place is its place and
 * *header its header; 0: the rest of the block has none; below 0: negated errno.
 */
static int next_valid(struct walrus_topic *topic, struct entry_place *at, uint64_t sequence,
                      struct record_header *header)
{
    struct block *block = at->block;
    size_t capacity;
    uint8_t *window = log_take_buffer(topic->log, BLOCK_SCAN_WINDOW, &capacity);
    if (!window)
        return -ENOMEM;
    struct block_scan scan;
    block_scan_init(&scan, block->segment->file, block->segment_offset, block->bytes, block->seed, window);
    uint32_t least_index = (uint32_t)(sequence - block->first_sequence);
    int rc;
    for (;;) {
        rc = block_scan_search(&scan, at->place, least_index, &at->place, header);
        if (rc <= 0 || header->kind == RECORD_ENTRY)
            break;
        at->place += record_total_bytes(header);
    }
    log_give_buffer(topic->log, window);
    return rc;
}

enum walrus_code topic_skip_damage(struct walrus_topic *topic, struct walrus_position *position,
                                   uint64_t *skipped_entries, struct walrus_error *error)
{
    struct topic_view view;
    struct entry_place at = {0};
    struct record_header header;
    topic_view(topic, &view);
    uint64_t sequence = max_u64(position->sequence, view.first_sequence);
    struct walrus_position to = {.sequence = view.end_sequence, .offset = view.end_offset};
    if (sequence >= view.end_sequence) {
        *skipped_entries = 0;
        return WALRUS_OK;
    }
    enum walrus_code code = WALRUS_OK;
    while (sequence < view.end_sequence) {
        uint64_t first = topic_first_in_blocks(topic);
        if (sequence < first) {
            sequence = first; /* the blocks before the first that is left are missing, or freed by now */
            continue;
        }
        struct walrus_position from = *position;
        from.sequence = sequence;
        code = read_locate(topic, &from, &at, error);
        if (code == WALRUS_E_RANGE) {
            code = WALRUS_OK;
            continue;
        }
        if (code != WALRUS_OK)
            break;
        uint64_t place = at.place;
        int rc = next_valid(topic, &at, sequence, &header);
        if (rc < 0) {
            code = read_failed(topic, at.block, place, sequence, rc, error);
            break;
        }
        /* What stands behind the block's end is in no read. */
        if (rc > 0 && at.place + record_total_bytes(&header) > atomic_load(&at.block->end_place))
            rc = 0;
        uint64_t next = rc > 0 ? at.block->first_sequence + header.index : at.block_end;
        if (rc > 0 && next < min_u64(at.block_end, view.end_sequence)) {
            to = (struct walrus_position){.sequence = next,
                                          .offset = at.block->first_offset + header.stream_offset,
                                          .hint_block = at.block->index,
                                          .hint_place = at.place,
                                          .hint_sequence = next};
            break;
        }
        sequence = at.block_end; /* the rest of this block is lost; the next one may begin well */
    }
    read_leave(topic, &at);
    if (code != WALRUS_OK)
        return code;
    *skipped_entries = to.sequence - position->sequence;
    *position = to;
    return WALRUS_OK;
}

int seek_newest_time(struct walrus_topic *topic, struct block *block, uint64_t *newest_ns)
{
    struct found_entry entry;
    int rc = find_entry(topic, block, &(struct block_target){BLOCK_BY_SEQUENCE, UINT64_MAX}, &entry);
    if (rc == 0)
        *newest_ns = entry.header.time_ns;
    return rc;
}

enum walrus_code topic_seek_time(struct walrus_topic *topic, uint64_t time_ns, struct walrus_position *position,
                                 struct walrus_error *error)
{
    struct topic_view view;
    struct block *block;
    struct topic_end_of_stream end;
    struct found_entry entry;
    topic_view(topic, &view);
    struct walrus_position to = {.sequence = view.first_sequence, .offset = view.first_offset};
    if (topic_find_block_by_time(topic, time_ns, &block, &end)) {
        /* Every entry before the block is older than the time; every one behind it is not. */
        int rc = find_entry(topic, block, &(struct block_target){BLOCK_BY_TIME, time_ns}, &entry);
        uint64_t sequence = block->first_sequence, offset = block->first_offset;
        if (rc == 0) {
            sequence += entry.header.index + 1u;
            offset += entry.header.stream_offset + (uint64_t)entry.header.payload_bytes + topic->delimiter_bytes;
        }
        topic_block_release(topic, block);
        if (rc < 0 && rc != -ENOENT)
            return error_system(error, rc, "seek in '%s'", topic->name);
        if (sequence > end.sequence) {
            sequence = end.sequence;
            offset = end.offset;
        }
        if (sequence > to.sequence)
            to = (struct walrus_position){.sequence = sequence, .offset = offset};
    }
    *position = to;
    return WALRUS_OK;
}
