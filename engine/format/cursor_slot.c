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

/* Puts right a single wrong bit, which the checksum tells. */
static bool mend(const uint8_t copy[CURSOR_COPY_BYTES], uint64_t log_id, uint64_t slot, struct cursor_record *record)
{
    uint8_t bytes[CURSOR_COPY_BYTES];
    memcpy(bytes, copy, sizeof(bytes));
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
        uint8_t mask = (uint8_t)(1u << (bit % 8));
        bytes[bit / 8] ^= mask;
        if (cursor_copy_decode(bytes, log_id, slot, record))
            return true;
        bytes[bit / 8] ^= mask;
    }
    return false;
}

/* Whether what the copy's checksum does not vouch for may be what was written. */
static bool is_plausible(const uint8_t copy[CURSOR_COPY_BYTES], unsigned index, struct cursor_record *claim)
{
    claim->topic_id = load_le64(copy + AT_TOPIC_ID);
    claim->group_id = load_le64(copy + AT_GROUP_ID);
    claim->generation = load_le64(copy + AT_GENERATION);
    return claim->topic_id != 0 && claim->generation % 2 == index && claim->generation < (UINT64_C(1) << 48) &&
           load_le32(copy + AT_CRC + 4) == 0 && load_le64(copy + AT_TIME_NS + 8) == 0;
}

static void look_at_damaged(const uint8_t bytes[CURSOR_SLOT_BYTES], uint64_t log_id, uint64_t slot,
                            struct cursor_slot *content)
{
    content->state = CURSOR_SLOT_DAMAGED;
    for (unsigned i = 0; i < 2; i++) {
        const uint8_t *copy = bytes + (size_t)i * CURSOR_COPY_BYTES;
        struct cursor_record found = {0};
        if (bytes_are_zero(copy, CURSOR_COPY_BYTES))
            continue;
        if (mend(copy, log_id, slot, &found) &&
            (content->state == CURSOR_SLOT_DAMAGED || found.generation > content->record.generation)) {
            content->state = CURSOR_SLOT_MENDED;
            content->record = found;
        } else if (is_plausible(copy, i, &found)) {
            content->claims[content->claim_count++] = found;
        }
    }
    content->torn = content->state == CURSOR_SLOT_MENDED;
}

void cursor_slot_decode(const uint8_t bytes[CURSOR_SLOT_BYTES], uint64_t log_id, uint64_t slot,
                        struct cursor_slot *content)
{
    const uint8_t *first = bytes, *second = bytes + CURSOR_COPY_BYTES;
    struct cursor_record other;
    memset(content, 0, sizeof(*content));
    bool first_holds = cursor_copy_decode(first, log_id, slot, &content->record);
    bool second_holds = cursor_copy_decode(second, log_id, slot, &other);
    if (second_holds && (!first_holds || other.generation > content->record.generation))
        content->record = other;
    if (!first_holds && !second_holds) {
        if (!bytes_are_zero(bytes, CURSOR_SLOT_BYTES))
            look_at_damaged(bytes, log_id, slot, content);
        return;
    }
    content->state = CURSOR_SLOT_VALID;
    content->torn = first_holds != second_holds && !bytes_are_zero(first_holds ? second : first, CURSOR_COPY_BYTES);
}
