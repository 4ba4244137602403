/*
 * catalog_record.h - one record of the catalogue: a topic, namespace or group made, changed or removed. docs/format.md,
 * "Catalogue".
 */
#ifndef WALRUS_FORMAT_CATALOG_RECORD_H
#define WALRUS_FORMAT_CATALOG_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CATALOG_RECORD_HEADER 24u
#define CATALOG_BODY_MAX 2048u
#define CATALOG_RECORD_MAX (CATALOG_RECORD_HEADER + CATALOG_BODY_MAX)

/* Files and groups are told apart from nodes by the type, not by the number in node_id. */
enum catalog_record_type {
    CATALOG_TOPIC_CREATED = 1,
    CATALOG_TOPIC_DELETED = 2,
    CATALOG_NAMESPACE_CREATED = 3,
    CATALOG_NAMESPACE_REMOVED = 4,
    CATALOG_CHANGED = 5,         /* attributes and settings of a topic or namespace, whole */
    CATALOG_SEGMENT_CREATED = 6, /* node_id: the segment's. A file that is on record and gone is noticed */
    CATALOG_SEGMENT_REMOVED = 7,
    CATALOG_CURSORS_CREATED = 8, /* the cursor file */
    CATALOG_GROUP_CREATED = 9,   /* node_id: the group's, of the same numbers as nodes */
    CATALOG_GROUP_DELETED = 10,
    CATALOG_GROUP_CHANGED = 11, /* its read consistency; also of the group "default", which has the id 0 */
    CATALOG_LOG_CHANGED = 12,   /* the log's own settings, whole */
    CATALOG_TOPIC_TRIMMED = 16, /* a slot of the cursor file says where the topic begins */
};

struct catalog_record {
    enum catalog_record_type type;
    uint64_t number; /* grows by one with every record */
    uint64_t node_id;
    uint64_t time_ns;
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    uint8_t framing;
    uint8_t sync_mode;      /* enum walrus_sync_mode */
    uint8_t retention_mode; /* enum walrus_retention_mode */
    uint32_t sync_interval_ms;
    uint64_t retention_limit;
    uint8_t consistency_mode; /* groups: 0: the log's, else 1 + enum walrus_consistency_mode */
    uint32_t consistency_interval;
    char name[1024]; /* created: the whole name, or the group's; else empty */
};

/* Returns the record's bytes, a multiple of 8. */
size_t catalog_record_encode(const struct catalog_record *record, uint64_t log_id, uint8_t bytes[CATALOG_RECORD_MAX]);

/* Returns the record's bytes, or 0 when there is no valid record. Unknown fields are passed over. */
size_t catalog_record_decode(const uint8_t *bytes, size_t size, uint64_t log_id, struct catalog_record *record);

#endif
