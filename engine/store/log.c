#include "store/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "format/record_header.h"
#include "store/group_cursor.h"
#include "store/recovery.h"
#include "store/sync.h"

#define SPARE_BUFFER_MAX ((size_t)4 << 20)
#define SPARE_BUFFER_MIN ((size_t)256 << 10)
#define BUFFER_PREFIX 64u /* the capacity, and what follows stays aligned to a cache line */

/* ---- buffers ---- */

void *log_take_buffer(struct walrus_log *log, size_t size, size_t *capacity)
{
    for (size_t i = 0; i < LOG_SPARE_BUFFERS; i++) {
        uint8_t *spare = atomic_exchange(&log->spare_buffers[i], NULL);
        if (!spare)
            continue;
        size_t have;
        memcpy(&have, spare, sizeof(have));
        if (have >= size) {
            *capacity = have;
            return spare + BUFFER_PREFIX;
        }
        free(spare);
    }
    size = size < SPARE_BUFFER_MIN ? SPARE_BUFFER_MIN : size;
    uint8_t *made = malloc(BUFFER_PREFIX + size);
    if (!made)
        return NULL;
    memcpy(made, &size, sizeof(size));
    *capacity = size;
    return made + BUFFER_PREFIX;
}

void log_give_buffer(struct walrus_log *log, void *buffer)
{
    uint8_t *spare = (uint8_t *)buffer - BUFFER_PREFIX;
    size_t have;
    memcpy(&have, spare, sizeof(have));
    for (size_t i = 0; i < LOG_SPARE_BUFFERS && have <= SPARE_BUFFER_MAX; i++) {
        void *none = NULL;
        if (atomic_compare_exchange_strong(&log->spare_buffers[i], &none, spare))
            return;
    }
    free(spare);
}

/* ---- files on record ---- */

static enum walrus_code record_file(struct walrus_log *log, enum catalog_record_type type, uint64_t id, bool durable,
                                    struct walrus_error *error)
{
    struct catalog_record record = {.type = type, .node_id = id, .time_ns = clock_realtime_ns()};
    uint64_t ticket;
    enum walrus_code code = catalog_append(&log->catalog, &record, &ticket, error);
    return code == WALRUS_OK && durable ? catalog_wait(&log->catalog, ticket, error) : code;
}

static enum walrus_code segment_created(void *log, uint64_t id, struct walrus_error *error)
{
    return record_file(log, CATALOG_SEGMENT_CREATED, id, false, error);
}

static enum walrus_code segment_removed(void *log, uint64_t id, struct walrus_error *error)
{
    return record_file(log, CATALOG_SEGMENT_REMOVED, id, true, error);
}

static void segment_emptied(void *log)
{
    janitor_note_files(&((struct walrus_log *)log)->janitor);
}

static void segment_grown(void *log, uint64_t bytes)
{
    marker_note_block(&((struct walrus_log *)log)->marker, bytes);
}

static enum walrus_code cursors_created(void *log, struct walrus_error *error)
{
    return record_file(log, CATALOG_CURSORS_CREATED, 0, false, error);
}

void log_keep_record(struct walrus_log *log)
{
    log->segments.files =
        (struct segment_register){segment_created, segment_removed, segment_emptied, segment_grown, log};
    log->cursors.created = cursors_created;
    log->cursors.context = log;
}

enum walrus_code log_emit_files(struct walrus_log *log, struct catalog *into, struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;
    uint64_t ticket;
    struct catalog_record record = {.type = CATALOG_SEGMENT_CREATED};
    for (size_t i = 0; code == WALRUS_OK && i < log->segments.count; i++) {
        record.node_id = log->segments.segments[i]->id;
        code = catalog_append(into, &record, &ticket, error);
    }
    record = (struct catalog_record){.type = CATALOG_CURSORS_CREATED};
    if (code == WALRUS_OK && log->cursors.file)
        code = catalog_append(into, &record, &ticket, error);
    return code;
}

/* ---- open ---- */

static void look_for(const char *name, void *context)
{
    bool *found = context;
    uint64_t id;
    if (strcmp(name, CATALOG_NAME) == 0)
        found[0] = true;
    else if (segment_name_parse(name, &id) || strcmp(name, CURSOR_FILE_NAME) == 0)
        found[1] = true;
}

int log_look_for_files(struct io *io, bool *has_catalog, bool *has_others)
{
    bool found[2] = {false, false};
    int rc = io->ops->list(io, look_for, found);
    *has_catalog = found[0];
    *has_others = found[1];
    return rc;
}

/* Makes an empty log where there is none. A directory with data but no catalogue is not "none". */
static enum walrus_code ready_directory(struct io *io, bool create, struct walrus_error *error)
{
    bool has_catalog, has_others;
    int rc = log_look_for_files(io, &has_catalog, &has_others);
    if (rc < 0)
        return error_system(error, rc, "list the log's directory");
    if (has_catalog)
        return WALRUS_OK;
    if (has_others)
        return error_set(error, WALRUS_E_DAMAGED, 0,
                         "%s is missing though there are segment files: nothing was touched", CATALOG_NAME);
    if (!create)
        return error_set(error, WALRUS_E_NOT_FOUND, 0, "there is no log in this directory");
    return catalog_create(io, random_id(), error);
}

static void free_log(struct walrus_log *log)
{
    batch_order_fini(&log->batch_order);
    for (size_t i = 0; i < LOG_SPARE_BUFFERS; i++)
        free(atomic_load(&log->spare_buffers[i]));
    log->io->ops->destroy(log->io);
    free(log);
}

/* Releases what recovery or use has opened; no thread of the log is running. */
static void release_parts(struct walrus_log *log)
{
    topic_table_fini(&log->names);
    group_table_fini(&log->groups);
    cursor_worker_fini(&log->cursor_worker);
    segment_set_fini(&log->segments);
    janitor_fini(&log->janitor);
    marker_fini(&log->marker);
    if (log->catalog.file)
        catalog_close(&log->catalog);
    if (log->cursors.io)
        cursor_file_fini(&log->cursors);
}

enum walrus_code log_open_on(struct io *io, const struct walrus_options *options, struct walrus_log **log,
                             struct walrus_error *error)
{
    char holder[128] = "";
    struct walrus_log *made = calloc(1, sizeof(*made));
    if (!made) {
        io->ops->destroy(io);
        return error_set(error, WALRUS_E_NO_MEMORY, 0, "log: out of memory");
    }
    made->io = io;
    made->options = *options;
    made->options.data_dir = made->options.instance_key = NULL;
    batch_order_init(&made->batch_order);
    int rc = io->ops->lock(io, options->lock_wait_ms, holder, sizeof(holder));
    if (rc < 0) {
        enum walrus_code code =
            holder[0] ? error_set(error, WALRUS_E_BUSY, 0, "held by %s", holder) : error_system(error, rc, "lock");
        free_log(made);
        return code;
    }
    enum walrus_code code = ready_directory(io, options->create, error);
    if (code == WALRUS_OK)
        code = topic_table_init(&made->names, error);
    if (code == WALRUS_OK) {
        code = group_table_init(&made->groups, error);
        if (code != WALRUS_OK)
            topic_table_fini(&made->names);
    }
    if (code != WALRUS_OK) {
        free_log(made);
        return code;
    }
    cursor_worker_init(&made->cursor_worker);
    segment_set_init(&made->segments, io, options->segment_bytes, &made->syncs, &made->sync_failures);
    janitor_init(&made->janitor, made);
    marker_init(&made->marker, made, options->mark_bytes);
    uint64_t begin_ns = clock_monotonic_ns();
    code = recovery_run(made, error);
    made->findings.took_ns = clock_monotonic_ns() - begin_ns;
    if (code == WALRUS_OK) {
        rc = flusher_start(&made->flusher, made);
        rc = rc < 0 ? rc : janitor_start(&made->janitor);
        rc = rc < 0 ? rc : marker_start(&made->marker);
        if (rc < 0) {
            code = error_system(error, rc, "start a thread");
            flusher_stop(&made->flusher);
            janitor_stop(&made->janitor);
        }
    }
    if (code != WALRUS_OK) {
        release_parts(made);
        free_log(made);
        return code;
    }
    *log = made;
    return WALRUS_OK;
}

/* ---- sync and close ---- */

enum walrus_code log_sync(struct walrus_log *log, struct walrus_error *error)
{
    uint64_t ticket = atomic_load(&log->catalog.sync.written);
    enum walrus_code code = catalog_wait(&log->catalog, ticket, error);
    return code == WALRUS_OK ? segment_set_sync(&log->segments, error) : code;
}

/* Says at the end of a topic that all before is durable: what a later open finds broken below it is damage, not a torn
 * tail. */
static enum walrus_code mark_durable(struct walrus_topic *topic, void *context, struct walrus_error *error)
{
    bool *marked = context;
    struct block *tail = topic->tail;
    if (!topic->appended || !tail || atomic_load(&topic->refuses) || atomic_load(&tail->segment->sync.failed))
        return WALRUS_OK;
    struct record_header header = {
        .index = (uint32_t)(topic->next_sequence - tail->first_sequence),
        .stream_offset = (uint32_t)(topic->next_offset - tail->first_offset),
        .kind = RECORD_DURABLE_MARK,
        .time_ns = clock_realtime_ns(),
    };
    uint8_t bytes[RECORD_HEADER_BYTES];
    /* The reserve at a block's end has room for one; a log opened and closed often may fill it, and then goes without.
     */
    if (topic->tail_place + RECORD_HEADER_BYTES > tail->bytes)
        return WALRUS_OK;
    record_header_encode(&header, tail->seed, bytes);
    int rc = io_full_write_bytes(tail->segment->file, bytes, sizeof(bytes), tail->segment_offset + topic->tail_place);
    if (rc < 0)
        return error_system(error, rc, "mark the end of '%s'", topic->name);
    sync_point_note_write(&tail->segment->sync);
    topic->tail_place += RECORD_HEADER_BYTES;
    *marked = true;
    return WALRUS_OK;
}

static enum walrus_code persist_cursors(struct walrus_topic *topic, void *context, struct walrus_error *error)
{
    (void)context;
    return cursors_persist(topic, error);
}

enum walrus_code log_close(struct walrus_log *log, struct walrus_error *error)
{
    bool marked = false;
    cursor_worker_stop(&log->cursor_worker);
    marker_stop(&log->marker);
    flusher_stop(&log->flusher);
    janitor_stop(&log->janitor);
    enum walrus_code code = log_sync(log, error);
    if (code == WALRUS_OK)
        code = topic_table_each(&log->names, mark_durable, &marked, error);
    if (code == WALRUS_OK && marked)
        code = log_sync(log, error);
    struct walrus_error second;
    enum walrus_code cursors =
        topic_table_each(&log->names, persist_cursors, NULL, code == WALRUS_OK ? error : &second);
    code = code == WALRUS_OK ? cursors : code;
    if (code == WALRUS_OK)
        clean_mark_close(log);
    release_parts(log);
    free_log(log);
    return error_prefix(error, code, "close the log");
}

/* ---- information ---- */

static void fill_io_info(const struct walrus_log *log, struct walrus_log_info *info)
{
    const struct io *io = log->io;
    int map_error = atomic_load(&io->map_error);
    char text[80];
    info->backend = log->options.backend;
    if (map_error != 0)
        snprintf(info->backend_reason, sizeof(info->backend_reason), "a segment file could not be mapped: %s",
                 strerror_r(map_error, text, sizeof(text)));
    int uring_error = atomic_load(&io->uring_error);
    info->io_uring_active = info->io_uring_writes = info->io_uring_reads = io->uring_active && uring_error == 0;
    if (uring_error != 0)
        snprintf(info->io_uring_reason, sizeof(info->io_uring_reason), "io_uring_enter: %s",
                 strerror_r(uring_error, text, sizeof(text)));
    else
        snprintf(info->io_uring_reason, sizeof(info->io_uring_reason), "%s", io->uring_reason);
}

void log_fill_info(struct walrus_log *log, struct walrus_log_info *info)
{
    memset(info, 0, sizeof(*info));
    for (size_t i = 0; i < LOG_COUNTER_STRIPES; i++)
        info->appended_entries += atomic_load(&log->appended_entries[i].value);
    info->block_count = atomic_load(&log->block_count);
    info->block_bytes = atomic_load(&log->block_bytes);
    pthread_mutex_lock(&log->names.lock);
    info->topic_count = log->names.topic_count;
    info->namespace_count = log->names.namespace_count;
    pthread_mutex_unlock(&log->names.lock);
    info->segment_count = atomic_load(&log->segments.count);
    info->sync = log->options.sync;
    info->consistency = log->options.consistency;
    info->retention = log->options.retention;
    fill_io_info(log, info);
    info->batches = atomic_load(&log->batches);
    info->syncs = atomic_load(&log->syncs);
    info->sync_failures = atomic_load(&log->sync_failures);
    info->checkpoints = atomic_load(&log->checkpoints);
    info->freed_blocks = atomic_load(&log->freed_blocks);
    info->freed_bytes = atomic_load(&log->freed_bytes);
    info->clean_marks = atomic_load(&log->mark.written);
    info->damaged_cursors = atomic_load(&log->cursors.unowned_count);
    info->recovery_ns = log->findings.took_ns;
    info->recovery_walked_bytes = log->findings.walked_bytes;
    info->recovered_torn_tails = log->findings.torn_tails;
    info->recovered_batches_dropped = log->findings.batches_dropped;
    info->recovered_damages = log->findings.damages;
    info->recovered_adopted = log->findings.adopted;
    snprintf(info->recovery_note, sizeof(info->recovery_note), "%s", log->findings.note);
}
