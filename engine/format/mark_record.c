#include "format/mark_record.h"

#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "format/block_header.h"

#define SEQUENCE_MAX (UINT64_C(1) << 62)      /* as in block headers */
#define SEGMENT_BYTES_MAX (UINT64_C(1) << 41) /* the largest that options allow, and the largest block behind it */
#define BODY_BYTES_MAX (UINT64_C(1) << 40)

enum { STATE_AT_CRC = 0, STATE_AT_CLEAN = 4, STATE_AT_MARK_ID = 8 };

enum {
    SUMMARY_AT_CRC = 0,
    SUMMARY_AT_BODY_CRC = 4,
    SUMMARY_AT_MARK_ID = 8,
    SUMMARY_AT_BODY_BYTES = 16,
    SUMMARY_AT_TOPIC_COUNT = 24,
    SUMMARY_AT_BLOCK_COUNT = 32,
    SUMMARY_AT_SEGMENT_COUNT = 40,
    SUMMARY_AT_CATALOG_BYTES = 48,
    SUMMARY_AT_CATALOG_NUMBER = 56,
    SUMMARY_AT_CREATED_NS = 64,
};

enum {
    TOPIC_AT_CRC = 0,
    TOPIC_AT_BLOCK_COUNT = 4,
    TOPIC_AT_TOPIC_ID = 8,
    TOPIC_AT_FLAGS = 16,
    TOPIC_AT_FRAMING = 20,
    TOPIC_AT_FIRST_SEQUENCE = 24,
    TOPIC_AT_FIRST_OFFSET = 32,
    TOPIC_AT_END_SEQUENCE = 40,
    TOPIC_AT_END_OFFSET = 48,
    TOPIC_AT_END_BLOCK_INDEX = 56,
    TOPIC_AT_END_PLACE = 64,
    TOPIC_AT_END_NS = 72,
    TOPIC_AT_NEXT_BLOCK_INDEX = 80,
};

enum {
    BLOCK_AT_SEGMENT_ID = 0,
    BLOCK_AT_SEGMENT_OFFSET = 8,
    BLOCK_AT_BYTES = 16,
    BLOCK_AT_INDEX = 24,
    BLOCK_AT_PREVIOUS_INDEX = 32,
    BLOCK_AT_FIRST_SEQUENCE = 40,
    BLOCK_AT_FIRST_OFFSET = 48,
    BLOCK_AT_SEED = 56,
    BLOCK_AT_FIRST_PLACE = 60,
    BLOCK_AT_CREATED_NS = 64,
};

enum { SEGMENT_AT_CRC = 0, SEGMENT_AT_FLAGS = 4, SEGMENT_AT_ID = 8, SEGMENT_AT_USED_END = 16, SEGMENT_AT_SIZE = 24 };

enum { TOPIC_TAIL_OPEN = 1, TOPIC_DAMAGED = 2, SEGMENT_CLOSED = 1, SEGMENT_UNCLEAN_END = 2 };

_Static_assert(TOPIC_AT_NEXT_BLOCK_INDEX + 16 == MARK_TOPIC_BYTES, "topic record layout");
_Static_assert(BLOCK_AT_CREATED_NS + 8 == MARK_BLOCK_BYTES, "block record layout");

static uint32_t checksum(const uint8_t *bytes, uint64_t size, uint64_t log_id)
{
    uint8_t id[8];
    store_le64(id, log_id);
    return crc32c(crc32c(0, id, sizeof(id)), bytes + 4, size - 4);
}

void mark_state_encode(const struct mark_state *state, uint64_t log_id, uint8_t bytes[MARK_STATE_BYTES])
{
    memset(bytes, 0, MARK_STATE_BYTES);
    store_le32(bytes + STATE_AT_CLEAN, state->clean);
    store_le64(bytes + STATE_AT_MARK_ID, state->mark_id);
    store_le32(bytes + STATE_AT_CRC, checksum(bytes, MARK_STATE_BYTES, log_id));
}

bool mark_state_decode(const uint8_t bytes[MARK_STATE_BYTES], uint64_t log_id, struct mark_state *state)
{
    if (load_le32(bytes + STATE_AT_CRC) != checksum(bytes, MARK_STATE_BYTES, log_id))
        return false;
    state->clean = load_le32(bytes + STATE_AT_CLEAN) == 1;
    state->mark_id = load_le64(bytes + STATE_AT_MARK_ID);
    return true;
}

void mark_summary_encode(const struct mark_summary *summary, uint64_t log_id, uint8_t bytes[MARK_SUMMARY_BYTES])
{
    memset(bytes, 0, MARK_SUMMARY_BYTES);
    store_le32(bytes + SUMMARY_AT_BODY_CRC, summary->body_crc);
    store_le64(bytes + SUMMARY_AT_MARK_ID, summary->mark_id);
    store_le64(bytes + SUMMARY_AT_BODY_BYTES, summary->body_bytes);
    store_le64(bytes + SUMMARY_AT_TOPIC_COUNT, summary->topic_count);
    store_le64(bytes + SUMMARY_AT_BLOCK_COUNT, summary->block_count);
    store_le64(bytes + SUMMARY_AT_SEGMENT_COUNT, summary->segment_count);
    store_le64(bytes + SUMMARY_AT_CATALOG_BYTES, summary->catalog_bytes);
    store_le64(bytes + SUMMARY_AT_CATALOG_NUMBER, summary->catalog_number);
    store_le64(bytes + SUMMARY_AT_CREATED_NS, summary->created_ns);
    store_le32(bytes + SUMMARY_AT_CRC, checksum(bytes, MARK_SUMMARY_BYTES, log_id));
}

bool mark_summary_decode(const uint8_t bytes[MARK_SUMMARY_BYTES], uint64_t log_id, struct mark_summary *summary)
{
    if (load_le32(bytes + SUMMARY_AT_CRC) != checksum(bytes, MARK_SUMMARY_BYTES, log_id))
        return false;
    summary->body_crc = load_le32(bytes + SUMMARY_AT_BODY_CRC);
    summary->mark_id = load_le64(bytes + SUMMARY_AT_MARK_ID);
    summary->body_bytes = load_le64(bytes + SUMMARY_AT_BODY_BYTES);
    summary->topic_count = load_le64(bytes + SUMMARY_AT_TOPIC_COUNT);
    summary->block_count = load_le64(bytes + SUMMARY_AT_BLOCK_COUNT);
    summary->segment_count = load_le64(bytes + SUMMARY_AT_SEGMENT_COUNT);
    summary->catalog_bytes = load_le64(bytes + SUMMARY_AT_CATALOG_BYTES);
    summary->catalog_number = load_le64(bytes + SUMMARY_AT_CATALOG_NUMBER);
    summary->created_ns = load_le64(bytes + SUMMARY_AT_CREATED_NS);
    /* Bounds first: the sum below must not wrap. */
    uint64_t bytes_most = summary->body_bytes;
    return bytes_most <= BODY_BYTES_MAX && summary->topic_count <= bytes_most && summary->block_count <= bytes_most &&
           summary->segment_count <= bytes_most &&
           summary->topic_count * MARK_TOPIC_BYTES + summary->block_count * MARK_BLOCK_BYTES +
                   summary->segment_count * MARK_SEGMENT_BYTES ==
               bytes_most;
}

void mark_topic_encode(const struct mark_topic *topic, uint64_t log_id, uint8_t *bytes)
{
    memset(bytes, 0, MARK_TOPIC_BYTES);
    store_le32(bytes + TOPIC_AT_BLOCK_COUNT, topic->block_count);
    store_le64(bytes + TOPIC_AT_TOPIC_ID, topic->topic_id);
    store_le32(bytes + TOPIC_AT_FLAGS,
               (topic->tail_open ? TOPIC_TAIL_OPEN : 0u) | (topic->damaged ? TOPIC_DAMAGED : 0u));
    bytes[TOPIC_AT_FRAMING] = topic->framing;
    store_le64(bytes + TOPIC_AT_FIRST_SEQUENCE, topic->first_sequence);
    store_le64(bytes + TOPIC_AT_FIRST_OFFSET, topic->first_offset);
    store_le64(bytes + TOPIC_AT_END_SEQUENCE, topic->end_sequence);
    store_le64(bytes + TOPIC_AT_END_OFFSET, topic->end_offset);
    store_le64(bytes + TOPIC_AT_END_BLOCK_INDEX, topic->end_block_index);
    store_le64(bytes + TOPIC_AT_END_PLACE, topic->end_place);
    store_le64(bytes + TOPIC_AT_END_NS, topic->end_ns);
    store_le64(bytes + TOPIC_AT_NEXT_BLOCK_INDEX, topic->next_block_index);
    store_le32(bytes + TOPIC_AT_CRC,
               checksum(bytes, MARK_TOPIC_BYTES + (uint64_t)topic->block_count * MARK_BLOCK_BYTES, log_id));
}

bool mark_topic_decode(const uint8_t *bytes, uint64_t size, uint64_t log_id, struct mark_topic *topic)
{
    if (size < MARK_TOPIC_BYTES)
        return false;
    topic->block_count = load_le32(bytes + TOPIC_AT_BLOCK_COUNT);
    uint64_t total = MARK_TOPIC_BYTES + (uint64_t)topic->block_count * MARK_BLOCK_BYTES;
    if (total > size || load_le32(bytes + TOPIC_AT_CRC) != checksum(bytes, total, log_id))
        return false;
    topic->topic_id = load_le64(bytes + TOPIC_AT_TOPIC_ID);
    topic->tail_open = (load_le32(bytes + TOPIC_AT_FLAGS) & TOPIC_TAIL_OPEN) != 0;
    topic->damaged = (load_le32(bytes + TOPIC_AT_FLAGS) & TOPIC_DAMAGED) != 0;
    topic->framing = bytes[TOPIC_AT_FRAMING];
    topic->first_sequence = load_le64(bytes + TOPIC_AT_FIRST_SEQUENCE);
    topic->first_offset = load_le64(bytes + TOPIC_AT_FIRST_OFFSET);
    topic->end_sequence = load_le64(bytes + TOPIC_AT_END_SEQUENCE);
    topic->end_offset = load_le64(bytes + TOPIC_AT_END_OFFSET);
    topic->end_block_index = load_le64(bytes + TOPIC_AT_END_BLOCK_INDEX);
    topic->end_place = load_le64(bytes + TOPIC_AT_END_PLACE);
    topic->end_ns = load_le64(bytes + TOPIC_AT_END_NS);
    topic->next_block_index = load_le64(bytes + TOPIC_AT_NEXT_BLOCK_INDEX);
    return topic->topic_id != 0 && topic->framing <= 2 && topic->first_sequence <= topic->end_sequence &&
           topic->first_offset <= topic->end_offset && topic->end_sequence < SEQUENCE_MAX &&
           topic->end_offset < SEQUENCE_MAX && topic->end_place <= BLOCK_BYTES_MAX;
}

void mark_block_encode(const struct mark_block *block, uint8_t bytes[MARK_BLOCK_BYTES])
{
    store_le64(bytes + BLOCK_AT_SEGMENT_ID, block->segment_id);
    store_le64(bytes + BLOCK_AT_SEGMENT_OFFSET, block->segment_offset);
    store_le64(bytes + BLOCK_AT_BYTES, block->bytes);
    store_le64(bytes + BLOCK_AT_INDEX, block->index);
    store_le64(bytes + BLOCK_AT_PREVIOUS_INDEX, block->previous_index);
    store_le64(bytes + BLOCK_AT_FIRST_SEQUENCE, block->first_sequence);
    store_le64(bytes + BLOCK_AT_FIRST_OFFSET, block->first_offset);
    store_le32(bytes + BLOCK_AT_SEED, block->seed);
    store_le32(bytes + BLOCK_AT_FIRST_PLACE, block->first_place);
    store_le64(bytes + BLOCK_AT_CREATED_NS, block->created_ns);
}

bool mark_block_decode(const uint8_t bytes[MARK_BLOCK_BYTES], struct mark_block *block)
{
    block->segment_id = load_le64(bytes + BLOCK_AT_SEGMENT_ID);
    block->segment_offset = load_le64(bytes + BLOCK_AT_SEGMENT_OFFSET);
    block->bytes = load_le64(bytes + BLOCK_AT_BYTES);
    block->index = load_le64(bytes + BLOCK_AT_INDEX);
    block->previous_index = load_le64(bytes + BLOCK_AT_PREVIOUS_INDEX);
    block->first_sequence = load_le64(bytes + BLOCK_AT_FIRST_SEQUENCE);
    block->first_offset = load_le64(bytes + BLOCK_AT_FIRST_OFFSET);
    block->seed = load_le32(bytes + BLOCK_AT_SEED);
    block->first_place = load_le32(bytes + BLOCK_AT_FIRST_PLACE);
    block->created_ns = load_le64(bytes + BLOCK_AT_CREATED_NS);
    return block->segment_offset >= SEGMENT_FIRST_BLOCK && block->segment_offset % BLOCK_ALIGNMENT == 0 &&
           block->segment_offset < SEGMENT_BYTES_MAX && block->bytes >= BLOCK_ALIGNMENT &&
           block->bytes <= BLOCK_BYTES_MAX && block->bytes % BLOCK_ALIGNMENT == 0 &&
           block->previous_index <= block->index && block->first_sequence < SEQUENCE_MAX &&
           block->first_offset < SEQUENCE_MAX && block->first_place >= block_header_bytes(1) &&
           block->first_place <= block_header_bytes(BLOCK_NAME_MAX);
}

void mark_segment_encode(const struct mark_segment *segment, uint64_t log_id, uint8_t bytes[MARK_SEGMENT_BYTES])
{
    memset(bytes, 0, MARK_SEGMENT_BYTES);
    store_le64(bytes + SEGMENT_AT_ID, segment->segment_id);
    store_le64(bytes + SEGMENT_AT_USED_END, segment->used_end);
    store_le64(bytes + SEGMENT_AT_SIZE, segment->size);
    store_le32(bytes + SEGMENT_AT_FLAGS,
               (segment->closed ? SEGMENT_CLOSED : 0u) | (segment->unclean_end ? SEGMENT_UNCLEAN_END : 0u));
    store_le32(bytes + SEGMENT_AT_CRC, checksum(bytes, MARK_SEGMENT_BYTES, log_id));
}

bool mark_segment_decode(const uint8_t bytes[MARK_SEGMENT_BYTES], uint64_t log_id, struct mark_segment *segment)
{
    if (load_le32(bytes + SEGMENT_AT_CRC) != checksum(bytes, MARK_SEGMENT_BYTES, log_id))
        return false;
    segment->segment_id = load_le64(bytes + SEGMENT_AT_ID);
    segment->used_end = load_le64(bytes + SEGMENT_AT_USED_END);
    segment->size = load_le64(bytes + SEGMENT_AT_SIZE);
    uint32_t flags = load_le32(bytes + SEGMENT_AT_FLAGS);
    segment->closed = (flags & SEGMENT_CLOSED) != 0;
    segment->unclean_end = (flags & SEGMENT_UNCLEAN_END) != 0;
    return segment->used_end >= SEGMENT_FIRST_BLOCK && segment->used_end % BLOCK_ALIGNMENT == 0 &&
           segment->used_end <= SEGMENT_BYTES_MAX && segment->size <= SEGMENT_BYTES_MAX;
}
