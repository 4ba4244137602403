/*
 * inspect_mark.c - inspecting the clean mark: whether every record of it holds, and whether it agrees with the log as a
 * walk without it finds it.
 */
#include "store/inspection.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "format/file_header.h"
#include "format/mark_record.h"
#include "store/clean_mark.h"

#define COSTS_NO_DATA "; this costs no data: an open walks the log instead"

struct mark_walk {
    struct inspection *inspection;
    const uint8_t *bytes;
    uint64_t size;
    uint64_t log_id;
    struct mark_summary summary;
    bool clean;
    bool holds; /* nothing was found that an open would not believe */
};

static void show(struct mark_walk *walk, enum walrus_verdict verdict, uint64_t at, uint64_t bytes,
                 const struct found_node *node, uint64_t sequence, const char *note)
{
    struct walrus_item item = {.kind = WALRUS_ITEM_GAP,
                               .verdict = verdict,
                               .file = MARK_NAME,
                               .file_offset = at,
                               .file_bytes = bytes,
                               .segment = WALRUS_NOWHERE,
                               .topic_id = node ? node->id : 0,
                               .topic_name = node ? node->record.name : NULL,
                               .sequence = sequence};
    inspection_note(&item, "%s", note);
    inspection_show(walk->inspection, &item);
}

static void show_damage(struct mark_walk *walk, uint64_t at, uint64_t bytes, const char *note)
{
    walk->holds = false;
    show(walk, WALRUS_VERDICT_DAMAGED, at, bytes, NULL, 0, note);
}

/* ---- whether it holds ---- */

/* False: what follows cannot be told apart. */
static bool inspect_head(struct mark_walk *walk)
{
    struct file_header header;
    struct mark_state state;
    enum file_header_verdict verdict = file_header_decode(walk->bytes, FILE_MARK, &header);
    if (verdict == FILE_HEADER_VERSION) {
        walk->holds = false;
        show(walk, WALRUS_VERDICT_UNKNOWN, 0, FILE_HEADER_BYTES, NULL, 0, "clean mark of a newer version");
        return false;
    }
    if (verdict != FILE_HEADER_OK || header.log_id != walk->log_id)
        show_damage(walk, 0, FILE_HEADER_BYTES, "file header of the clean mark" COSTS_NO_DATA);
    if (!mark_state_decode(walk->bytes + MARK_STATE_PLACE, walk->log_id, &state))
        show(walk, WALRUS_VERDICT_TORN, MARK_STATE_PLACE, MARK_STATE_BYTES, NULL, 0,
             "state of the clean mark: taken for `in use`");
    if (!mark_summary_decode(walk->bytes + MARK_SUMMARY_PLACE, walk->log_id, &walk->summary)) {
        show_damage(walk, MARK_SUMMARY_PLACE, MARK_SUMMARY_BYTES, "summary of the clean mark" COSTS_NO_DATA);
        return false;
    }
    if (walk->size != MARK_BODY_PLACE + walk->summary.body_bytes) {
        show_damage(walk, min_u64(walk->size, MARK_BODY_PLACE + walk->summary.body_bytes), 0,
                    "the clean mark is longer or shorter than it says" COSTS_NO_DATA);
        return walk->size > MARK_BODY_PLACE + walk->summary.body_bytes;
    }
    return true;
}

/* The records of topics up to the first that does not hold: where the next begins is told by that one. */
static void inspect_topics(struct mark_walk *walk, uint64_t end)
{
    uint64_t at = MARK_BODY_PLACE;
    for (uint64_t i = 0; i < walk->summary.topic_count; i++) {
        struct mark_topic topic;
        struct mark_block block;
        if (at > end || !mark_topic_decode(walk->bytes + at, end - at, walk->log_id, &topic)) {
            show_damage(walk, at, MARK_TOPIC_BYTES, "record of a topic in the clean mark" COSTS_NO_DATA);
            return;
        }
        at += MARK_TOPIC_BYTES;
        for (uint32_t b = 0; b < topic.block_count; b++, at += MARK_BLOCK_BYTES) {
            if (!mark_block_decode(walk->bytes + at, &block))
                show_damage(walk, at, MARK_BLOCK_BYTES, "record of a block in the clean mark" COSTS_NO_DATA);
        }
    }
}

static void inspect_body(struct mark_walk *walk)
{
    uint64_t end = MARK_BODY_PLACE + walk->summary.body_bytes;
    uint64_t segments = end - walk->summary.segment_count * MARK_SEGMENT_BYTES;
    inspect_topics(walk, segments);
    for (uint64_t at = segments; at < end; at += MARK_SEGMENT_BYTES) {
        struct mark_segment segment;
        if (!mark_segment_decode(walk->bytes + at, walk->log_id, &segment))
            show_damage(walk, at, MARK_SEGMENT_BYTES, "record of a segment file in the clean mark" COSTS_NO_DATA);
    }
    uint32_t sum = crc32c(0, walk->bytes + MARK_BODY_PLACE, (size_t)walk->summary.body_bytes);
    if (walk->holds && sum != walk->summary.body_crc)
        show_damage(walk, MARK_BODY_PLACE, walk->summary.body_bytes, "body of the clean mark" COSTS_NO_DATA);
}

/* ---- whether it agrees with the log ---- */

static bool is_there(const struct found_node *node, const struct mark_block *said)
{
    for (size_t i = 0, low = 0, high = node->block_count; low < high;) {
        i = low + (high - low) / 2;
        const struct found_block *block = &node->blocks[i];
        if (block->index == said->index)
            return block->segment->id == said->segment_id && block->segment_offset == said->segment_offset &&
                   block->bytes == said->bytes && block->first_sequence == said->first_sequence &&
                   block->first_offset == said->first_offset && block->seed == said->seed;
        if (block->index < said->index)
            low = i + 1;
        else
            high = i;
    }
    return false;
}

/* The place of the block's own header, damaged or in a file that is gone, is told already. */
static bool is_told(const struct recovery *recovery, const struct mark_block *said)
{
    for (size_t i = 0; i < recovery->missing_segment_count; i++) {
        if (recovery->missing_segments[i] == said->segment_id)
            return true;
    }
    for (size_t i = 0; i < recovery->bad_place_count; i++) {
        if (recovery->bad_places[i].segment_id == said->segment_id &&
            recovery->bad_places[i].segment_offset == said->segment_offset)
            return true;
    }
    return false;
}

static void compare_blocks(struct mark_walk *walk, const struct found_node *node, const struct mark_topic *topic,
                           uint64_t at)
{
    for (uint32_t b = 0; b < topic->block_count; b++, at += MARK_BLOCK_BYTES) {
        struct mark_block said, next = {.first_sequence = topic->end_sequence};
        if (!mark_block_decode(walk->bytes + at, &said))
            return;
        if (b + 1 < topic->block_count)
            (void)mark_block_decode(walk->bytes + at + MARK_BLOCK_BYTES, &next);
        /* What may have been freed since: before the head, and where no entry of the mark's time is. */
        if (next.first_sequence <= node->begin.sequence || said.first_sequence >= topic->end_sequence)
            continue;
        if (!is_there(node, &said) && !is_told(&walk->inspection->recovery, &said))
            show(walk, WALRUS_VERDICT_MISSING, at, MARK_BLOCK_BYTES, node, said.first_sequence,
                 "the clean mark names a block that is not there, or says otherwise of it than its header");
    }
}

static void compare_end(struct mark_walk *walk, const struct found_node *node, const struct mark_topic *topic,
                        uint64_t at)
{
    char note[160];
    uint64_t end = max_u64(node->end.at.sequence, node->begin.sequence);
    if (end < topic->end_sequence) {
        snprintf(note, sizeof(note), "by the clean mark entries %" PRIu64 " to %" PRIu64 " were durable; not found",
                 end, topic->end_sequence - 1);
        show(walk, WALRUS_VERDICT_MISSING, at, MARK_TOPIC_BYTES, node, end, note);
    } else if (walk->clean && end > topic->end_sequence) {
        snprintf(note, sizeof(note),
                 "the clean mark is of another time: nothing is said to follow entry %" PRIu64 ", and entries do",
                 topic->end_sequence);
        show(walk, WALRUS_VERDICT_DAMAGED, at, MARK_TOPIC_BYTES, node, topic->end_sequence, note);
    }
}

/* The mark holds: every record decodes. */
static void compare_topics(struct mark_walk *walk)
{
    uint64_t at = MARK_BODY_PLACE, end = MARK_BODY_PLACE + walk->summary.body_bytes;
    for (uint64_t i = 0; i < walk->summary.topic_count; i++) {
        struct mark_topic topic;
        if (!mark_topic_decode(walk->bytes + at, end - at, walk->log_id, &topic))
            return;
        struct found_node *node = recovery_find_node(&walk->inspection->recovery, topic.topic_id);
        if (node && node->topic && !node->deleted && !node->begin.lost) {
            compare_end(walk, node, &topic, at);
            compare_blocks(walk, node, &topic, at + MARK_TOPIC_BYTES);
        }
        at += MARK_TOPIC_BYTES + (uint64_t)topic.block_count * MARK_BLOCK_BYTES;
    }
}

static enum walrus_code inspect_bytes(struct mark_walk *walk, struct walrus_error *error)
{
    struct recovery *recovery = &walk->inspection->recovery;
    if (inspect_head(walk))
        inspect_body(walk);
    if (!walk->holds)
        return WALRUS_OK;
    enum walrus_code code = recovery_load_mark(recovery, error);
    walk->clean = recovery->mark.clean;
    if (code == WALRUS_OK && recovery->mark.present)
        compare_topics(walk);
    else if (code == WALRUS_OK)
        show_damage(walk, MARK_BODY_PLACE, walk->summary.body_bytes,
                    "the clean mark names something twice, or blocks where none can be" COSTS_NO_DATA);
    return code;
}

enum walrus_code inspect_mark(struct inspection *inspection, struct walrus_error *error)
{
    struct mark_walk walk = {.inspection = inspection, .log_id = inspection->log->log_id, .holds = true};
    uint8_t *bytes;
    enum walrus_code code = inspection_read_file(inspection, MARK_NAME, MARK_BODY_PLACE, &bytes, &walk.size, error);
    if (code == WALRUS_OK && bytes) {
        walk.bytes = bytes;
        code = inspect_bytes(&walk, error);
    }
    free(bytes);
    return code;
}
