#include "format/record_header.h"

#include "base/checksum.h"

enum {
    AT_CRC = 0,
    AT_PAYLOAD_CRC = 4,
    AT_PAYLOAD_BYTES = 8,
    AT_INDEX = 12,
    AT_STREAM_OFFSET = 16,
    AT_KIND = 20,
    AT_FLAGS = 21,
    AT_DURABLE_LAG = 22,
    AT_EXTENSION_WORDS = 23,
    AT_TIME_NS = 24,
};

_Static_assert(AT_TIME_NS + 8 == RECORD_HEADER_BYTES, "record header layout");
_Static_assert(RECORD_HEADER_BYTES - AT_PAYLOAD_CRC == 28, "what the header's checksum covers");

uint32_t record_seed(uint64_t salt)
{
    uint8_t bytes[8];
    store_le64(bytes, salt);
    return crc32c(0, bytes, sizeof(bytes));
}

uint32_t record_header_encode(const struct record_header *header, uint32_t seed, uint8_t bytes[RECORD_HEADER_BYTES])
{
    store_le32(bytes + AT_PAYLOAD_CRC, header->payload_crc);
    store_le32(bytes + AT_PAYLOAD_BYTES, header->payload_bytes);
    store_le32(bytes + AT_INDEX, header->index);
    store_le32(bytes + AT_STREAM_OFFSET, header->stream_offset);
    bytes[AT_KIND] = header->kind;
    bytes[AT_FLAGS] = header->flags;
    bytes[AT_DURABLE_LAG] = header->durable_lag;
    bytes[AT_EXTENSION_WORDS] = header->extension_words;
    store_le64(bytes + AT_TIME_NS, header->time_ns);
    uint32_t crc = crc32c_28(seed, bytes + AT_PAYLOAD_CRC);
    store_le32(bytes + AT_CRC, crc);
    return crc;
}

bool record_header_decode(const uint8_t bytes[RECORD_HEADER_BYTES], uint32_t seed, struct record_header *header)
{
    if (!record_header_plausible(bytes) || load_le32(bytes + AT_CRC) != crc32c_28(seed, bytes + AT_PAYLOAD_CRC))
        return false;
    header->header_crc = load_le32(bytes + AT_CRC);
    header->payload_crc = load_le32(bytes + AT_PAYLOAD_CRC);
    header->payload_bytes = load_le32(bytes + AT_PAYLOAD_BYTES);
    header->index = load_le32(bytes + AT_INDEX);
    header->stream_offset = load_le32(bytes + AT_STREAM_OFFSET);
    header->kind = bytes[AT_KIND];
    header->flags = bytes[AT_FLAGS];
    header->durable_lag = bytes[AT_DURABLE_LAG];
    header->extension_words = bytes[AT_EXTENSION_WORDS];
    header->time_ns = load_le64(bytes + AT_TIME_NS);
    switch (header->kind) {
    case RECORD_BATCH_COMMIT:
        return header->payload_bytes == BATCH_COMMIT_BYTES;
    case RECORD_DURABLE_MARK:
        return header->payload_bytes == 0;
    case RECORD_SHARED_COMMIT:
        return header->payload_bytes == SHARED_COMMIT_BYTES;
    default:
        return true;
    }
}

uint8_t record_lag_encode(uint64_t sequence, uint64_t durable_sequence)
{
    uint64_t behind = sequence > durable_sequence ? sequence - durable_sequence : 0;
    if (behind == 0)
        return 0;
    unsigned bits = 64u - (unsigned)__builtin_clzll(behind); /* behind <= 2^bits - 1 */
    return bits < 63 ? (uint8_t)bits : RECORD_LAG_UNKNOWN;
}

uint64_t record_lag_decode(uint64_t sequence, uint8_t lag)
{
    if (lag >= 63)
        return 0;
    uint64_t behind = (UINT64_C(1) << lag) - 1;
    return sequence > behind ? sequence - behind : 0;
}

void batch_commit_encode(const struct batch_commit *commit, uint8_t bytes[BATCH_COMMIT_BYTES])
{
    store_le64(bytes, commit->first_sequence);
    store_le32(bytes + 8, commit->entry_count);
    store_le32(bytes + 12, commit->headers_crc);
    store_le64(bytes + 16, commit->payload_bytes);
}

void batch_commit_decode(const uint8_t bytes[BATCH_COMMIT_BYTES], struct batch_commit *commit)
{
    commit->first_sequence = load_le64(bytes);
    commit->entry_count = load_le32(bytes + 8);
    commit->headers_crc = load_le32(bytes + 12);
    commit->payload_bytes = load_le64(bytes + 16);
}

void shared_commit_encode(const struct batch_commit *commit, const struct shared_commit *shared,
                          uint8_t bytes[SHARED_COMMIT_BYTES])
{
    batch_commit_encode(commit, bytes);
    bytes += BATCH_COMMIT_BYTES;
    store_le64(bytes, shared->batch_id);
    store_le32(bytes + 8, shared->part_count);
    store_le32(bytes + 12, shared->part);
    store_le64(bytes + 16, shared->next_topic_id);
    store_le64(bytes + 24, shared->next_sequence);
}

void shared_commit_decode(const uint8_t bytes[SHARED_COMMIT_BYTES], struct shared_commit *shared)
{
    bytes += BATCH_COMMIT_BYTES;
    shared->batch_id = load_le64(bytes);
    shared->part_count = load_le32(bytes + 8);
    shared->part = load_le32(bytes + 12);
    shared->next_topic_id = load_le64(bytes + 16);
    shared->next_sequence = load_le64(bytes + 24);
}
