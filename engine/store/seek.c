#include "store/seek.h"

#include <errno.h>
#include <inttypes.h>

#include "base/bytes.h"
#include "base/error.h"
#include "store/block_scan.h"
#include "store/log.h"

/* What a walk through one block looks for: the last entry at or before a sequence, or at or before a stream offset. */
struct target {
    bool by_offset;
    uint64_t value;
};

static bool is_behind(const struct block *block, const struct record_header *header, const struct target *target)
{
    if (target->by_offset)
        return block->first_offset + header->stream_offset > target->value;
    return block->first_sequence + header->index > target->value;
}

/* Sets the position to the entry found. 0, -ENOENT when the block has none, or a negated errno. Damage is passed over.
 */
static int walk_block(struct walrus_topic *topic, struct block *block, const struct target *target,
                      struct walrus_position *position)
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
    int rc = 0;
    while (place < end) {
        rc = block_scan_header(&scan, place, &header);
        if (rc == 0)
            rc = block_scan_search(&scan, place + RECORD_ALIGNMENT, 0, &place, &header);
        if (rc <= 0 || is_behind(block, &header, target))
            break;
        if (header.kind == RECORD_ENTRY) {
            *position = (struct walrus_position){.sequence = block->first_sequence + header.index,
                                                 .offset = block->first_offset + header.stream_offset,
                                                 .hint_block = block->index,
                                                 .hint_place = place,
                                                 .hint_sequence = block->first_sequence + header.index};
            found = 0;
        }
        place += record_total_bytes(&header);
    }
    log_give_buffer(topic->log, window);
    return rc < 0 ? rc : found;
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
        rc = walk_block(topic, block, &(struct target){.value = sequence}, &found);
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
        rc = walk_block(topic, block, &(struct target){.by_offset = true, .value = offset}, &found);
        topic_block_release(topic, block);
    }
    if (rc == -ENOENT) {
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
    size_t capacity;
    uint8_t *window = log_take_buffer(topic->log, BLOCK_SCAN_WINDOW, &capacity);
    if (!window)
        return -ENOMEM;
    struct block_scan scan;
    struct record_header header;
    block_scan_init(&scan, block->segment->file, block->segment_offset, block->bytes, block->seed, window);
    uint64_t place = block->first_place;
    int found = -ENOENT, rc;
    for (;;) {
        rc = block_scan_header(&scan, place, &header);
        if (rc == 0)
            rc = block_scan_search(&scan, place + RECORD_ALIGNMENT, 0, &place, &header);
        if (rc <= 0)
            break;
        if (header.kind == RECORD_ENTRY) {
            *newest_ns = header.time_ns;
            found = 0;
        }
        place += record_total_bytes(&header);
    }
    log_give_buffer(topic->log, window);
    return rc < 0 ? rc : found;
}
