#include "format/catalog_record.h"

#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"

enum {
    AT_CRC = 0,
    AT_BODY_BYTES = 4,
    AT_NUMBER = 8,
    AT_TYPE = 16,
    AT_BODY = CATALOG_RECORD_HEADER,
    AT_NODE_ID = AT_BODY,
    AT_TIME_NS = AT_BODY + 8,
    AT_FIELDS = AT_BODY + 16,
};

enum {
    FIELD_NAME = 1,
    FIELD_MODE = 2,
    FIELD_UID = 3,
    FIELD_GID = 4,
    FIELD_FRAMING = 5,
    FIELD_SYNC_MODE = 6,
    FIELD_SYNC_INTERVAL_MS = 7,
    FIELD_RETENTION_MODE = 8,
    FIELD_RETENTION_LIMIT = 9,
    FIELD_CONSISTENCY_MODE = 10,
    FIELD_CONSISTENCY_INTERVAL = 11,
};

static uint32_t checksum(const uint8_t *bytes, size_t size, uint64_t log_id)
{
    uint8_t id[8];
    store_le64(id, log_id);
    return crc32c(crc32c(0, id, sizeof(id)), bytes + AT_BODY_BYTES, size - AT_BODY_BYTES);
}

static uint8_t *put(uint8_t *p, uint16_t tag, const void *value, size_t size)
{
    store_le16(p, tag);
    store_le16(p + 2, (uint16_t)size);
    memcpy(p + 4, value, size);
    return p + 4 + size;
}

static uint8_t *put_u32(uint8_t *p, uint16_t tag, uint32_t value)
{
    uint8_t bytes[4];
    store_le32(bytes, value);
    return put(p, tag, bytes, sizeof(bytes));
}

static uint8_t *put_u64(uint8_t *p, uint16_t tag, uint64_t value)
{
    uint8_t bytes[8];
    store_le64(bytes, value);
    return put(p, tag, bytes, sizeof(bytes));
}

size_t catalog_record_encode(const struct catalog_record *record, uint64_t log_id, uint8_t bytes[CATALOG_RECORD_MAX])
{
    memset(bytes, 0, AT_FIELDS);
    store_le64(bytes + AT_NUMBER, record->number);
    store_le16(bytes + AT_TYPE, (uint16_t)record->type);
    store_le64(bytes + AT_NODE_ID, record->node_id);
    store_le64(bytes + AT_TIME_NS, record->time_ns);
    uint8_t *p = bytes + AT_FIELDS;
    if (record->type == CATALOG_TOPIC_CREATED || record->type == CATALOG_NAMESPACE_CREATED ||
        record->type == CATALOG_CHANGED) {
        if (record->name[0])
            p = put(p, FIELD_NAME, record->name, strlen(record->name));
        p = put_u32(p, FIELD_MODE, record->mode);
        p = put_u32(p, FIELD_UID, record->uid);
        p = put_u32(p, FIELD_GID, record->gid);
        p = put(p, FIELD_FRAMING, &record->framing, 1);
        p = put(p, FIELD_SYNC_MODE, &record->sync_mode, 1);
        p = put_u32(p, FIELD_SYNC_INTERVAL_MS, record->sync_interval_ms);
    }
    if (record->retention_mode != 0) {
        p = put(p, FIELD_RETENTION_MODE, &record->retention_mode, 1);
        p = put_u64(p, FIELD_RETENTION_LIMIT, record->retention_limit);
    }
    if (record->type == CATALOG_GROUP_CREATED || record->type == CATALOG_GROUP_CHANGED) {
        if (record->name[0])
            p = put(p, FIELD_NAME, record->name, strlen(record->name));
        p = put(p, FIELD_CONSISTENCY_MODE, &record->consistency_mode, 1);
        p = put_u32(p, FIELD_CONSISTENCY_INTERVAL, record->consistency_interval);
    }
    size_t body = (size_t)(p - bytes) - AT_BODY;
    size_t total = round_up(AT_BODY + body, 8);
    memset(p, 0, total - AT_BODY - body);
    store_le32(bytes + AT_BODY_BYTES, (uint32_t)body);
    store_le32(bytes + AT_CRC, checksum(bytes, AT_BODY + body, log_id));
    return total;
}

static void take(struct catalog_record *record, uint16_t tag, const uint8_t *value, size_t size)
{
    switch (tag) {
    case FIELD_NAME:
        if (size < sizeof(record->name)) {
            memcpy(record->name, value, size);
            record->name[size] = '\0';
        }
        break;
    case FIELD_MODE:
        record->mode = size == 4 ? load_le32(value) : record->mode;
        break;
    case FIELD_UID:
        record->uid = size == 4 ? load_le32(value) : record->uid;
        break;
    case FIELD_GID:
        record->gid = size == 4 ? load_le32(value) : record->gid;
        break;
    case FIELD_FRAMING:
        record->framing = size == 1 ? value[0] : record->framing;
        break;
    case FIELD_SYNC_MODE:
        record->sync_mode = size == 1 ? value[0] : record->sync_mode;
        break;
    case FIELD_SYNC_INTERVAL_MS:
        record->sync_interval_ms = size == 4 ? load_le32(value) : record->sync_interval_ms;
        break;
    case FIELD_RETENTION_MODE:
        record->retention_mode = size == 1 ? value[0] : record->retention_mode;
        break;
    case FIELD_RETENTION_LIMIT:
        record->retention_limit = size == 8 ? load_le64(value) : record->retention_limit;
        break;
    case FIELD_CONSISTENCY_MODE:
        record->consistency_mode = size == 1 ? value[0] : record->consistency_mode;
        break;
    case FIELD_CONSISTENCY_INTERVAL:
        record->consistency_interval = size == 4 ? load_le32(value) : record->consistency_interval;
        break;
    default:
        break;
    }
}

size_t catalog_record_decode(const uint8_t *bytes, size_t size, uint64_t log_id, struct catalog_record *record)
{
    if (size < AT_FIELDS)
        return 0;
    uint32_t body = load_le32(bytes + AT_BODY_BYTES);
    if (body < AT_FIELDS - AT_BODY || body > CATALOG_BODY_MAX || AT_BODY + body > size ||
        load_le32(bytes + AT_CRC) != checksum(bytes, AT_BODY + body, log_id))
        return 0;
    memset(record, 0, sizeof(*record));
    record->type = load_le16(bytes + AT_TYPE);
    record->number = load_le64(bytes + AT_NUMBER);
    record->node_id = load_le64(bytes + AT_NODE_ID);
    record->time_ns = load_le64(bytes + AT_TIME_NS);
    size_t at = AT_FIELDS;
    while (at + 4 <= AT_BODY + body) {
        size_t value_bytes = load_le16(bytes + at + 2);
        if (at + 4 + value_bytes > AT_BODY + body)
            break;
        take(record, load_le16(bytes + at), bytes + at + 4, value_bytes);
        at += 4 + value_bytes;
    }
    return min_u64(round_up(AT_BODY + body, 8), size);
}
