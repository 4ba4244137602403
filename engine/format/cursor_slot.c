#include "format/cursor_slot.h"

#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"

enum {
    AT_CRC = 0,
    AT_TOPIC_ID = 8,
    AT_GROUP_ID = 16,
    AT_GENERATION = 24,
    AT_SEQUENCE = 32,
    AT_OFFSET = 40,
    AT_TIME_NS = 48,
};

static uint32_t checksum(const uint8_t bytes[CURSOR_COPY_BYTES], uint64_t log_id, uint64_t slot)
{
    uint8_t place[16];
    store_le64(place, log_id);
    store_le64(place + 8, slot);
    return crc32c(crc32c(0, place, sizeof(place)), bytes + AT_CRC + 4, CURSOR_COPY_BYTES - 4);
}

void cursor_copy_encode(const struct cursor_record *record, uint64_t log_id, uint64_t slot,
                        uint8_t bytes[CURSOR_COPY_BYTES])
{
    memset(bytes, 0, CURSOR_COPY_BYTES);
    store_le64(bytes + AT_TOPIC_ID, record->topic_id);
    store_le64(bytes + AT_GROUP_ID, record->group_id);
    store_le64(bytes + AT_GENERATION, record->generation);
    store_le64(bytes + AT_SEQUENCE, record->sequence);
    store_le64(bytes + AT_OFFSET, record->offset);
    store_le64(bytes + AT_TIME_NS, record->time_ns);
    store_le32(bytes + AT_CRC, checksum(bytes, log_id, slot));
}

bool cursor_copy_decode(const uint8_t bytes[CURSOR_COPY_BYTES], uint64_t log_id, uint64_t slot,
                        struct cursor_record *record)
{
    if (load_le32(bytes + AT_CRC) != checksum(bytes, log_id, slot))
        return false;
    record->topic_id = load_le64(bytes + AT_TOPIC_ID);
    record->group_id = load_le64(bytes + AT_GROUP_ID);
    record->generation = load_le64(bytes + AT_GENERATION);
    record->sequence = load_le64(bytes + AT_SEQUENCE);
    record->offset = load_le64(bytes + AT_OFFSET);
    record->time_ns = load_le64(bytes + AT_TIME_NS);
    return true;
}
