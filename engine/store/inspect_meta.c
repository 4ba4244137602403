/* inspect_meta.c - inspecting what is not in segments: the catalogue and the cursors. */
#include "store/inspection.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/error.h"
#include "format/cursor_slot.h"
#include "format/file_header.h"

#define META_BYTES_MAX ((uint64_t)1 << 32)

enum walrus_code inspection_read_file(struct inspection *inspection, const char *name, uint64_t bytes_least,
                                      uint8_t **bytes, uint64_t *size, struct walrus_error *error)
{
    struct io_file *file = NULL;
    int rc = inspection->io->ops->open(inspection->io, name, IO_READ_ONLY, &file);
    *bytes = NULL;
    *size = 0;
    if (rc == -ENOENT)
        return WALRUS_OK;
    if (rc < 0)
        return error_system(error, rc, "open %s", name);
    rc = file->ops->size(file, size);
    if (rc == 0 && *size > META_BYTES_MAX)
        rc = -EFBIG;
    uint64_t padded = max_u64(*size, bytes_least);
    *bytes = rc == 0 ? malloc(padded) : NULL;
    if (rc == 0)
        rc = *bytes ? io_read_padded(file, *bytes, padded, 0) : -ENOMEM;
    file->ops->close(file);
    if (rc < 0) {
        free(*bytes);
        *bytes = NULL;
        return error_system(error, rc, "read %s", name);
    }
    return WALRUS_OK;
}

/* ---- catalogue ---- */

static const char *record_kind_name(enum catalog_record_type type)
{
    static const char *const names[] = {
        [CATALOG_TOPIC_CREATED] = "topic created",          [CATALOG_TOPIC_DELETED] = "topic deleted",
        [CATALOG_NAMESPACE_CREATED] = "namespace created",  [CATALOG_NAMESPACE_REMOVED] = "namespace removed",
        [CATALOG_CHANGED] = "attributes changed",           [CATALOG_SEGMENT_CREATED] = "segment file made",
        [CATALOG_SEGMENT_REMOVED] = "segment file removed", [CATALOG_CURSORS_CREATED] = "cursor file made",
        [CATALOG_GROUP_CREATED] = "group created",          [CATALOG_GROUP_DELETED] = "group deleted",
        [CATALOG_GROUP_CHANGED] = "group changed",          [CATALOG_LOG_CHANGED] = "log changed",
        [CATALOG_TOPIC_TRIMMED] = "topic trimmed",
    };
    return (size_t)type < sizeof(names) / sizeof(names[0]) && names[type] ? names[type] : NULL;
}

static bool is_of_group(const struct catalog_record *record)
{
    return record->type >= CATALOG_GROUP_CREATED && record->type <= CATALOG_GROUP_CHANGED;
}

static void show_record(struct inspection *inspection, const struct catalog_record *record, uint64_t at, uint64_t bytes)
{
    struct walrus_item item = {.kind = WALRUS_ITEM_CATALOG,
                               .file = CATALOG_NAME,
                               .file_offset = at,
                               .file_bytes = bytes,
                               .segment = WALRUS_NOWHERE,
                               .time_ns = record->time_ns,
                               .sequence = record->number};
    const char *kind = record_kind_name(record->type);
    item.verdict = kind ? WALRUS_VERDICT_OK : WALRUS_VERDICT_UNKNOWN;
    if (is_of_group(record)) {
        /* Before the record is taken: a deleted group still has its name. */
        struct group *group = group_table_find_id(&inspection->log->groups, record->node_id);
        const char *name = record->name[0] ? record->name : group ? group->name : "?";
        inspection_note(&item, "%s: %.*s, number %" PRIu64, kind, 120, name, record->node_id);
        if (group)
            group_release(group);
    } else {
        item.topic_id = record->node_id;
        item.topic_name = record->name[0] ? record->name : NULL;
        inspection_note(&item, "%s", kind ? kind : "record of an unknown type");
    }
    inspection_show(inspection, &item);
}

static void show_catalog_gap(struct inspection *inspection, uint64_t from, uint64_t to, bool more_follows)
{
    struct walrus_item item = {.kind = WALRUS_ITEM_GAP,
                               .file = CATALOG_NAME,
                               .file_offset = from,
                               .file_bytes = to - from,
                               .segment = WALRUS_NOWHERE,
                               .verdict = more_follows ? WALRUS_VERDICT_DAMAGED : WALRUS_VERDICT_TORN};
    inspection_note(&item, "no valid catalogue record");
    inspection_show(inspection, &item);
}

enum walrus_code inspect_catalog(struct inspection *inspection, struct walrus_error *error)
{
    uint8_t *bytes;
    uint64_t size;
    struct file_header header;
    enum walrus_code code = inspection_read_file(inspection, CATALOG_NAME, FILE_HEADER_BYTES, &bytes, &size, error);
    if (code != WALRUS_OK)
        return code;
    if (!bytes) {
        bool has_catalog, has_others = false;
        (void)log_look_for_files(inspection->io, &has_catalog, &has_others);
        return has_others
                   ? error_set(error, WALRUS_E_DAMAGED, 0, "%s is missing though there are segment files", CATALOG_NAME)
                   : error_set(error, WALRUS_E_NOT_FOUND, 0, "there is no log in this directory (no %s)", CATALOG_NAME);
    }
    enum file_header_verdict verdict = file_header_decode(bytes, FILE_CATALOG, &header);
    if (verdict != FILE_HEADER_OK) {
        free(bytes);
        return verdict == FILE_HEADER_VERSION
                   ? error_set(error, WALRUS_E_VERSION, 0, "%s: made by a newer version", CATALOG_NAME)
                   : error_set(error, WALRUS_E_DAMAGED, 0, "%s: damaged file header", CATALOG_NAME);
    }
    inspection->log->log_id = header.log_id;
    uint64_t gap = 0;
    for (uint64_t at = FILE_HEADER_BYTES; code == WALRUS_OK && at + CATALOG_RECORD_HEADER <= size;) {
        struct catalog_record record;
        size_t taken = catalog_record_decode(bytes + at, (size_t)(size - at), header.log_id, &record);
        if (taken == 0) {
            gap = gap ? gap : at;
            at += 8;
            continue;
        }
        if (gap)
            show_catalog_gap(inspection, gap, at, true);
        gap = 0;
        show_record(inspection, &record, at, taken);
        code = recovery_take_record(&record, &inspection->recovery, error);
        at += taken;
    }
    if (gap && !bytes_are_zero(bytes + gap, (size_t)(size - gap)))
        show_catalog_gap(inspection, gap, size, false);
    free(bytes);
    return code;
}

/* ---- cursors ---- */

static const char *topic_name_of(struct inspection *inspection, uint64_t id)
{
    struct found_node *node = recovery_find_node(&inspection->recovery, id);
    return node && node->record.name[0] ? node->record.name : NULL;
}

static void note_cursor(struct inspection *inspection, struct walrus_item *item, const struct cursor_slot *content)
{
    const struct cursor_record *record = &content->record;
    bool is_head = record->group_id == CURSOR_GROUP_RETAINED;
    struct group *group = is_head ? NULL : group_table_find_id(&inspection->log->groups, record->group_id);
    const char *state = content->state == CURSOR_SLOT_MENDED ? "; one bit of it is wrong"
                        : content->torn                      ? "; the other copy is not valid"
                                                             : "";
    item->verdict = content->state == CURSOR_SLOT_MENDED ? WALRUS_VERDICT_DAMAGED
                    : content->torn                      ? WALRUS_VERDICT_TORN
                                                         : WALRUS_VERDICT_OK;
    if (group)
        inspection_note(item, "group %.*s, generation %" PRIu64 "%s", 120, group->name, record->generation, state);
    else
        inspection_note(item, "first retained entry, generation %" PRIu64 "%s", record->generation, state);
    if (group)
        group_release(group);
}

static void note_lost(struct inspection *inspection, struct walrus_item *item, const struct found_cursor *cursor,
                      bool owned)
{
    struct group *group = owned ? group_table_find_id(&inspection->log->groups, cursor->record.group_id) : NULL;
    item->verdict = WALRUS_VERDICT_DAMAGED;
    if (group)
        inspection_note(item,
                        "neither copy of the cursor is valid; by what it seems to say, of group %.*s: keeps its "
                        "topic's entries from being freed as consumed",
                        60, group->name);
    else if (owned)
        inspection_note(item, "neither copy is valid; by what it seems to say, the topic's first retained entry");
    else
        inspection_note(item,
                        "neither copy of the cursor is valid, and it may be of any topic: keeps entries from being "
                        "freed as consumed");
    if (group)
        group_release(group);
}

static enum walrus_code show_slot(struct inspection *inspection, uint64_t slot, const struct cursor_slot *content,
                                  struct walrus_error *error)
{
    bool is_lost = content->state == CURSOR_SLOT_DAMAGED;
    struct found_cursor cursor = {.slot = slot, .torn = content->torn, .record = content->record};
    bool used = false;
    enum walrus_code code = is_lost
                                ? recovery_keep_lost_cursor(&inspection->recovery, slot, content, &cursor, &used, error)
                                : recovery_keep_cursor(&inspection->recovery, &cursor, &used, error);
    if (code != WALRUS_OK || (!used && !is_lost))
        return code; /* free */
    uint64_t topic_id = used ? cursor.record.topic_id : 0;
    struct walrus_item item = {.kind = WALRUS_ITEM_CURSOR,
                               .file = CURSOR_FILE_NAME,
                               .file_offset = cursor_slot_place(slot),
                               .file_bytes = CURSOR_SLOT_BYTES,
                               .segment = WALRUS_NOWHERE,
                               .topic_id = topic_id,
                               .topic_name = topic_name_of(inspection, topic_id),
                               .sequence = cursor.record.sequence,
                               .offset = cursor.record.offset,
                               .time_ns = cursor.record.time_ns};
    if (is_lost)
        note_lost(inspection, &item, &cursor, used);
    else
        note_cursor(inspection, &item, content);
    if (used && cursor.record.group_id == CURSOR_GROUP_RETAINED)
        item.kind = WALRUS_ITEM_HEAD;
    inspection_show(inspection, &item);
    return code;
}

enum walrus_code inspect_cursors(struct inspection *inspection, struct walrus_error *error)
{
    uint8_t *bytes;
    uint64_t size;
    enum walrus_code code = inspection_read_file(inspection, CURSOR_FILE_NAME, FILE_HEADER_BYTES, &bytes, &size, error);
    if (code == WALRUS_OK && !bytes && inspection->recovery.cursors_on_record)
        inspection_show_missing(inspection, CURSOR_FILE_NAME, WALRUS_NOWHERE);
    if (code != WALRUS_OK || !bytes)
        return code;
    /* Whose a damaged slot may be is told by whose the others are: those come first. */
    for (unsigned round = 0; round < 2; round++) {
        for (uint64_t slot = 0; code == WALRUS_OK && cursor_slot_place(slot + 1) <= size; slot++) {
            struct cursor_slot content;
            cursor_slot_decode(bytes + cursor_slot_place(slot), inspection->log->log_id, slot, &content);
            if (content.state != CURSOR_SLOT_BLANK && (content.state == CURSOR_SLOT_DAMAGED) == (round == 1))
                code = show_slot(inspection, slot, &content, error);
        }
    }
    free(bytes);
    return code;
}
