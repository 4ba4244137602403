#include "store/recovery.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "format/name.h"
#include "store/block_scan.h"

/* The catalogue is rewritten when so many of its records say nothing any more. */
#define REWRITE_DEAD_MIN 1024u

static enum walrus_code no_memory(struct walrus_error *error)
{
    return error_set(error, WALRUS_E_NO_MEMORY, 0, "recovery: out of memory");
}

void recovery_note(struct recovery *recovery, uint64_t *counter, const char *format, ...)
{
    (*counter)++;
    char *note = recovery->log->findings.note;
    if (note[0] != '\0')
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(note, sizeof(recovery->log->findings.note), format, args);
    va_end(args);
}

/* ---- 1. catalogue ---- */

bool recovery_expect_segment(struct recovery *recovery, uint64_t id)
{
    uint64_t *grown = realloc(recovery->missing_segments, (recovery->missing_segment_count + 1) * sizeof(*grown));
    if (!grown)
        return false;
    recovery->missing_segments = grown;
    grown[recovery->missing_segment_count++] = id;
    /* Also where the file is gone: its number is never given out again. */
    recovery->log->segments.next_id = max_u64(recovery->log->segments.next_id, id + 1);
    return true;
}

bool recovery_found_segment(struct recovery *recovery, uint64_t id)
{
    size_t kept = 0, expected = recovery->missing_segment_count;
    for (size_t i = 0; i < recovery->missing_segment_count; i++) {
        if (recovery->missing_segments[i] != id)
            recovery->missing_segments[kept++] = recovery->missing_segments[i];
    }
    recovery->missing_segment_count = kept;
    return kept < expected;
}

static enum walrus_code take_group(struct recovery *recovery, const struct catalog_record *record,
                                   struct walrus_error *error)
{
    bool odd;
    recovery->highest_id = max_u64(recovery->highest_id, record->node_id);
    enum walrus_code code =
        group_table_take_record(&recovery->log->groups, record, &recovery->dead_records, &odd, error);
    if (code == WALRUS_OK && odd)
        recovery_note(recovery, &recovery->log->findings.damages,
                      "catalogue: record %" PRIu64 " makes a group that cannot be, or should be gone", record->number);
    return code;
}

static void take_settings(struct node_record *into, const struct catalog_record *record)
{
    into->mode = record->mode;
    into->uid = record->uid;
    into->gid = record->gid;
    into->framing = record->framing;
    into->sync_mode = record->sync_mode;
    into->sync_interval_ms = record->sync_interval_ms;
    into->retention_mode = record->retention_mode;
    into->retention_limit = record->retention_limit;
}

enum walrus_code recovery_take_record(const struct catalog_record *record, void *context, struct walrus_error *error)
{
    struct recovery *recovery = context;
    recovery->record_count++;
    switch (record->type) {
    case CATALOG_SEGMENT_CREATED:
        return recovery_expect_segment(recovery, record->node_id) ? WALRUS_OK : no_memory(error);
    case CATALOG_SEGMENT_REMOVED:
        recovery_found_segment(recovery, record->node_id);
        recovery->dead_records += 2;
        return WALRUS_OK;
    case CATALOG_CURSORS_CREATED:
        recovery->cursors_on_record = true;
        return WALRUS_OK;
    case CATALOG_LOG_CHANGED:
        recovery->stored_retention = (struct walrus_retention){record->retention_mode, record->retention_limit};
        recovery->dead_records++;
        return WALRUS_OK;
    case CATALOG_GROUP_CREATED:
    case CATALOG_GROUP_DELETED:
    case CATALOG_GROUP_CHANGED:
        return take_group(recovery, record, error);
    default:
        break;
    }
    if (record->node_id == ROOT_NODE_ID) {
        if (record->type == CATALOG_CHANGED) {
            recovery->root = (struct walrus_attributes){record->mode, record->uid, record->gid};
            recovery->root_changed = true;
        }
        return WALRUS_OK;
    }
    if (record->node_id == 0)
        return WALRUS_OK;
    struct found_node *node = recovery_node(recovery, record->node_id);
    if (!node)
        return no_memory(error);
    node->in_catalog = true;
    switch (record->type) {
    case CATALOG_TOPIC_CREATED:
    case CATALOG_NAMESPACE_CREATED:
        if (name_check(record->name) != NAME_OK) {
            recovery_note(recovery, &recovery->log->findings.damages, "catalogue: record %" PRIu64 " has no valid name",
                          record->number);
            break;
        }
        node->is_topic = record->type == CATALOG_TOPIC_CREATED;
        node->has_created = true;
        node->record.time_ns = record->time_ns;
        take_settings(&node->record, record);
        return recovery_name_node(node, record->name) ? WALRUS_OK : no_memory(error);
    case CATALOG_TOPIC_DELETED:
    case CATALOG_NAMESPACE_REMOVED:
        node->is_topic = record->type == CATALOG_TOPIC_DELETED;
        node->deleted = true;
        recovery->dead_records += 2;
        break;
    case CATALOG_CHANGED:
        take_settings(&node->record, record);
        recovery->dead_records++;
        break;
    case CATALOG_TOPIC_TRIMMED:
        node->trimmed = true;
        break;
    default:
        break;
    }
    return WALRUS_OK;
}

/* ---- 4. topics ---- */

static enum walrus_code make_namespaces(struct recovery *recovery, struct walrus_error *error)
{
    for (struct found_node *node = recovery->nodes.first; node; node = node->next) {
        if (node->is_topic || node->deleted || !node->has_created)
            continue;
        struct walrus_attributes attributes = {node->record.mode, node->record.uid, node->record.gid};
        bool added;
        enum walrus_code code = topic_table_insert_namespace(&recovery->log->names, node->record.name, node->id,
                                                             &attributes, node->record.time_ns, &added, error);
        if (code != WALRUS_OK)
            return code;
    }
    return WALRUS_OK;
}

/* The topic as the catalogue knows it, and where its blocks say that it ends. */
static enum walrus_code find_topic(struct recovery *recovery, struct found_node *node, struct walrus_error *error)
{
    struct walrus_log *log = recovery->log;
    if (!node->has_created) {
        /* The blocks survived a crash that the catalogue's record did not: the topic is there, so it keeps its name. */
        recovery_note(recovery, &log->findings.adopted, "topic '%s' was found by its blocks", node->record.name);
        log->names.has_unrecorded = true;
    }
    uint8_t framing = node->record.framing <= WALRUS_FRAMING_NUL ? node->record.framing : 0;
    struct walrus_topic *topic = topic_create(log, node->id, node->record.name, (enum walrus_framing)framing);
    if (!topic)
        return no_memory(error);
    topic->attributes = (struct walrus_attributes){node->record.mode, node->record.uid, node->record.gid};
    topic_take_settings(topic, (struct walrus_sync_policy){node->record.sync_mode, node->record.sync_interval_ms},
                        (struct walrus_retention){node->record.retention_mode, node->record.retention_limit});
    topic->created_ns = node->record.time_ns;
    node->topic = topic;
    return recovery_walk(recovery, node, error);
}

/* Gives the topic its blocks and its name. */
static enum walrus_code make_topic(struct recovery *recovery, struct found_node *node, struct walrus_error *error)
{
    struct walrus_topic *topic = node->topic;
    bool added = false;
    enum walrus_code code = recovery_attach(recovery, node, error);
    if (code == WALRUS_OK)
        code = recovery_restore_cursors(recovery, node, error);
    if (code == WALRUS_OK)
        code = topic_table_insert_topic(&recovery->log->names, topic, &added, error);
    if (code != WALRUS_OK || !added) {
        node->topic = NULL;
        topic_release(topic); /* not marked deleted: its blocks stay where they are */
        if (code == WALRUS_OK)
            recovery_note(recovery, &recovery->log->findings.damages,
                          "two topics are named '%s'; number %" PRIu64 " is left aside", node->record.name, node->id);
    }
    return code;
}

/* Blocks of a topic whose deletion is durable, which a crash kept from being freed. */
static void free_deleted(struct recovery *recovery, struct found_node *node)
{
    for (size_t i = 0; i < node->block_count; i++)
        if (!recovery_release_block(recovery, &node->blocks[i]))
            recovery->dead_blocks_left = true;
}

static enum walrus_code make_topics(struct recovery *recovery, struct walrus_error *error)
{
    enum walrus_code code = make_namespaces(recovery, error);
    for (struct found_node *node = recovery->nodes.first; node; node = node->next) {
        if (code == WALRUS_OK && node->is_topic && !node->deleted && node->record.name[0] != '\0')
            code = find_topic(recovery, node, error);
    }
    if (code == WALRUS_OK)
        code = recovery_settle_batches(recovery, error);
    if (code == WALRUS_OK)
        code = recovery_blot_parts(recovery, error);
    recovery->log->names.next_id = max_u64(recovery->log->names.next_id, recovery->highest_id + 1);
    for (struct found_node *node = recovery->nodes.first; node; node = node->next) {
        if (code == WALRUS_OK && node->deleted)
            free_deleted(recovery, node);
        if (node->topic && code == WALRUS_OK) {
            code = make_topic(recovery, node, error);
        } else if (node->topic) {
            topic_release(node->topic);
            node->topic = NULL;
        }
    }
    return code;
}

/* ---- the log's own settings ---- */

static struct catalog_record log_record(const struct walrus_log *log)
{
    return (struct catalog_record){.type = CATALOG_LOG_CHANGED,
                                   .time_ns = clock_realtime_ns(),
                                   .retention_mode = (uint8_t)log->options.retention.mode,
                                   .retention_limit = log->options.retention.limit};
}

/* What the opener has not said is as it was stored. */
static void settle_retention(struct recovery *recovery)
{
    struct walrus_retention *stored = &recovery->stored_retention;
    struct walrus_retention *in_force = &recovery->log->options.retention;
    if (stored->mode == WALRUS_RETAIN_INHERIT)
        *stored = (struct walrus_retention){.mode = WALRUS_RETAIN_CONSUMED};
    else if (stored->mode > WALRUS_RETAIN_AGE)
        *stored = (struct walrus_retention){.mode = WALRUS_RETAIN_ALL}; /* a newer version's; that one frees */
    if (in_force->mode == WALRUS_RETAIN_INHERIT)
        *in_force = *stored;
}

/* Before anything is freed by it: whoever opens the log next and says nothing must not free more. */
static enum walrus_code store_retention(struct recovery *recovery, struct walrus_error *error)
{
    struct walrus_log *log = recovery->log;
    const struct walrus_retention *stored = &recovery->stored_retention, *in_force = &log->options.retention;
    if (stored->mode == in_force->mode && stored->limit == in_force->limit)
        return WALRUS_OK;
    struct catalog_record record = log_record(log);
    uint64_t ticket;
    enum walrus_code code = catalog_append(&log->catalog, &record, &ticket, error);
    if (code == WALRUS_OK)
        code = catalog_wait(&log->catalog, ticket, error);
    return error_prefix(error, code, "store the log's retention");
}

/* ---- all of it ---- */

static enum walrus_code emit_names(struct catalog *into, void *context, struct walrus_error *error)
{
    struct recovery *recovery = context;
    uint64_t highest_id = ROOT_NODE_ID;
    enum walrus_code code = group_table_emit(&recovery->log->groups, into, &highest_id, error);
    struct catalog_record of_log = log_record(recovery->log);
    uint64_t ticket;
    if (code == WALRUS_OK && of_log.retention_mode != WALRUS_RETAIN_CONSUMED)
        code = catalog_append(into, &of_log, &ticket, error);
    if (code == WALRUS_OK)
        code = topic_table_emit(&recovery->log->names, into, highest_id, error);
    if (code == WALRUS_OK)
        code = recovery_emit_deletions(recovery, into, error);
    return code == WALRUS_OK ? log_emit_files(recovery->log, into, error) : code;
}

/* Whether dead records outweigh the living so far that a rewrite pays, or names have to be written that the file lacks.
 */
static bool should_rewrite(const struct recovery *recovery)
{
    if (recovery->dead_blocks_left)
        return false;
    /* Somebody who saw a name must find it after the next crash too. */
    if (recovery->log->names.has_unrecorded)
        return true;
    return recovery->dead_records > REWRITE_DEAD_MIN && recovery->dead_records * 2 > recovery->record_count;
}

static enum walrus_code open_files(struct recovery *recovery, struct walrus_error *error)
{
    struct walrus_log *log = recovery->log;
    struct catalog_contents contents;
    enum walrus_code code = catalog_open(&log->catalog, log->io, &log->syncs, &log->sync_failures, recovery_take_record,
                                         recovery, &contents, error);
    if (code != WALRUS_OK)
        return code;
    log->log_id = log->catalog.log_id;
    log->segments.log_id = log->log_id;
    if (contents.damages > 0)
        recovery_note(recovery, &log->findings.damages, "catalogue: damaged at %" PRIu64, contents.damage_place);
    settle_retention(recovery);
    cursor_file_init(&log->cursors, log->io, log->log_id, &log->syncs, &log->sync_failures);
    log_keep_record(log);
    code = recovery_load_mark(recovery, error);
    if (code == WALRUS_OK)
        code = recovery_find_blocks(recovery, error);
    for (size_t i = 0; code == WALRUS_OK && i < recovery->missing_segment_count; i++)
        recovery_note(recovery, &log->findings.damages, "segment file %016" PRIx64 " is missing",
                      recovery->missing_segments[i]);
    return code;
}

/* Step 5. The names too: a topic that somebody saw must not be gone after the next crash. */
static enum walrus_code make_durable(struct recovery *recovery, struct walrus_error *error)
{
    struct walrus_log *log = recovery->log;
    if (recovery->mark.clean)
        return WALRUS_OK; /* it was before the mark said so */
    uint64_t ticket = sync_point_note_write(&log->catalog.sync);
    enum walrus_code code = catalog_wait(&log->catalog, ticket, error);
    int rc = code == WALRUS_OK ? log->io->ops->sync_directory(log->io) : 0;
    if (rc < 0)
        code = error_system(error, rc, "sync the log's directory");
    return code == WALRUS_OK ? segment_set_sync(&log->segments, error) : code;
}

void recovery_fini(struct recovery *recovery)
{
    recovery_free_nodes(recovery);
    free(recovery->missing_segments);
    free(recovery->bad_places);
    free(recovery->parts);
    recovery_mark_fini(&recovery->mark);
    free(recovery->window);
}

enum walrus_code recovery_run(struct walrus_log *log, struct walrus_error *error)
{
    struct recovery recovery = {.log = log, .highest_id = ROOT_NODE_ID};
    enum walrus_code code = open_files(&recovery, error);
    if (code == WALRUS_OK && !(recovery.window = malloc(BLOCK_SCAN_WINDOW)))
        code = no_memory(error);
    if (code == WALRUS_OK && recovery.root_changed)
        topic_table_set_root(&log->names, &recovery.root);
    if (code == WALRUS_OK)
        code = recovery_load_cursors(&recovery, error);
    /* Before any number is given out: parents made for adopted topics must not take one that a later node has. */
    log->names.next_id = max_u64(log->names.next_id, recovery.highest_id + 1);
    if (code == WALRUS_OK)
        code = make_topics(&recovery, error);
    if (code == WALRUS_OK)
        code = make_durable(&recovery, error);
    bool rewrite = should_rewrite(&recovery);
    if (code == WALRUS_OK && rewrite)
        code = catalog_rewrite(&log->catalog, emit_names, &recovery, error);
    else if (code == WALRUS_OK)
        code = store_retention(&recovery, error);
    log->mark.mark_id = recovery.mark.clean && !rewrite ? recovery.mark.summary.mark_id : 0;
    if (code == WALRUS_OK)
        marker_note_block(&log->marker, recovery.unmarked_bytes);

    recovery_fini(&recovery);
    return code;
}
