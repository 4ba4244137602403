#include "format/block_header.h"

#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"

enum {
    AT_MAGIC = 0,
    AT_CRC = 4,
    AT_HEADER_BYTES = 8,
    AT_NAME_BYTES = 10,
    AT_FRAMING = 12,
    AT_BLOCK_BYTES = 16,
    AT_TOPIC_ID = 24,
    AT_BLOCK_INDEX = 32,
    AT_FIRST_SEQUENCE = 40,
    AT_FIRST_OFFSET = 48,
    AT_DURABLE_SEQUENCE = 56,
    AT_CREATED_NS = 64,
    AT_SEGMENT_ID = 72,
    AT_SEGMENT_OFFSET = 80,
    AT_SALT = 88,
    AT_LOG_ID = 96,
    AT_PREVIOUS_INDEX = 104,
    AT_NAME = BLOCK_HEADER_FIXED,
};

static const char magic[] = "WBLK";

uint32_t block_header_encode(const struct block_header *header, uint8_t bytes[BLOCK_HEADER_MAX])
{
    uint32_t size = block_header_bytes(header->name_bytes);
    memset(bytes, 0, size);
    memcpy(bytes + AT_MAGIC, magic, 4);
    store_le16(bytes + AT_HEADER_BYTES, (uint16_t)size);
    store_le16(bytes + AT_NAME_BYTES, header->name_bytes);
    bytes[AT_FRAMING] = header->framing;
    store_le64(bytes + AT_BLOCK_BYTES, header->block_bytes);
    store_le64(bytes + AT_TOPIC_ID, header->topic_id);
    store_le64(bytes + AT_BLOCK_INDEX, header->block_index);
    store_le64(bytes + AT_FIRST_SEQUENCE, header->first_sequence);
    store_le64(bytes + AT_FIRST_OFFSET, header->first_offset);
    store_le64(bytes + AT_DURABLE_SEQUENCE, header->durable_sequence);
    store_le64(bytes + AT_CREATED_NS, header->created_ns);
    store_le64(bytes + AT_SEGMENT_ID, header->segment_id);
    store_le64(bytes + AT_SEGMENT_OFFSET, header->segment_offset);
    store_le64(bytes + AT_SALT, header->salt);
    store_le64(bytes + AT_LOG_ID, header->log_id);
    store_le64(bytes + AT_PREVIOUS_INDEX, header->previous_index);
    memcpy(bytes + AT_NAME, header->name, header->name_bytes);
    store_le32(bytes + AT_CRC, crc32c(0, bytes + AT_HEADER_BYTES, size - AT_HEADER_BYTES));
    return size;
}

bool block_header_decode(const uint8_t *bytes, size_t size, struct block_header *header)
{
    if (size < BLOCK_HEADER_FIXED || memcmp(bytes + AT_MAGIC, magic, 4) != 0)
        return false;
    uint16_t header_bytes = load_le16(bytes + AT_HEADER_BYTES);
    uint16_t name_bytes = load_le16(bytes + AT_NAME_BYTES);
    if (name_bytes > BLOCK_NAME_MAX || header_bytes != block_header_bytes(name_bytes) || header_bytes > size ||
        load_le32(bytes + AT_CRC) != crc32c(0, bytes + AT_HEADER_BYTES, header_bytes - AT_HEADER_BYTES))
        return false;
    header->block_bytes = load_le64(bytes + AT_BLOCK_BYTES);
    header->topic_id = load_le64(bytes + AT_TOPIC_ID);
    header->block_index = load_le64(bytes + AT_BLOCK_INDEX);
    header->first_sequence = load_le64(bytes + AT_FIRST_SEQUENCE);
    header->first_offset = load_le64(bytes + AT_FIRST_OFFSET);
    header->durable_sequence = load_le64(bytes + AT_DURABLE_SEQUENCE);
    header->created_ns = load_le64(bytes + AT_CREATED_NS);
    header->segment_id = load_le64(bytes + AT_SEGMENT_ID);
    header->segment_offset = load_le64(bytes + AT_SEGMENT_OFFSET);
    header->salt = load_le64(bytes + AT_SALT);
    header->log_id = load_le64(bytes + AT_LOG_ID);
    header->previous_index = load_le64(bytes + AT_PREVIOUS_INDEX);
    header->framing = bytes[AT_FRAMING];
    header->name_bytes = name_bytes;
    memcpy(header->name, bytes + AT_NAME, name_bytes);
    header->name[name_bytes] = '\0';
    return header->block_bytes >= BLOCK_ALIGNMENT && header->block_bytes <= BLOCK_BYTES_MAX &&
           header->block_bytes % BLOCK_ALIGNMENT == 0 && header->segment_offset >= SEGMENT_FIRST_BLOCK &&
           header->segment_offset % BLOCK_ALIGNMENT == 0 && header->topic_id != 0 && header->framing <= 2 &&
           header->first_sequence < (UINT64_C(1) << 62) && header->first_offset < (UINT64_C(1) << 62) &&
           header->previous_index <= header->block_index && header->durable_sequence <= header->first_sequence &&
           strlen(header->name) == name_bytes;
}

/* Few bits apart: damage within a field, not another value. */
#define NEAR_BITS 8

static bool is_near(const uint8_t *bytes, uint64_t log_id)
{
    uint32_t word;
    memcpy(&word, magic, sizeof(word));
    return __builtin_popcount(le32toh(word) ^ load_le32(bytes + AT_MAGIC)) +
               __builtin_popcountll(log_id ^ load_le64(bytes + AT_LOG_ID)) <=
           NEAR_BITS;
}

bool block_header_mend(uint8_t *bytes, size_t size, uint64_t log_id, struct block_header *header)
{
    if (size < BLOCK_HEADER_FIXED || !is_near(bytes, log_id))
        return false;
    for (size_t bit = 0; bit < size * 8; bit++) {
        uint8_t mask = (uint8_t)(1u << (bit % 8));
        bytes[bit / 8] ^= mask;
        if (block_header_decode(bytes, size, header) && header->log_id == log_id)
            return true;
        bytes[bit / 8] ^= mask;
    }
    return false;
}

bool block_header_was_there(const uint8_t bytes[BLOCK_HEADER_MAX], uint64_t log_id)
{
    /* A torn header ends in zeros: with the log's id and the whole name there, nothing is missing. */
    uint16_t name_bytes = load_le16(bytes + AT_NAME_BYTES);
    return is_near(bytes, log_id) && name_bytes > 0 && name_bytes <= BLOCK_NAME_MAX &&
           bytes[AT_NAME + name_bytes - 1] != 0;
}
