#include "store/clean_mark.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/clock.h"
#include "base/error.h"
#include "format/file_header.h"
#include "format/mark_record.h"
#include "store/log.h"
#include "store/sabotage.h"

#define FLUSH_BYTES ((size_t)256 << 10)
/* Blocks looked at before the topic's lock is given up for a moment: appends and reads wait for it. */
#define BLOCKS_A_TURN 256u

struct writer {
    struct walrus_log *log;
    struct io_file *file;
    uint8_t *bytes; /* not written to the file yet */
    size_t used;
    size_t capacity;
    struct mark_summary summary;
    bool off_list; /* segments hold blocks that no topic has, or what may be one: an open must look at the space between
                    */
    uint64_t live_blocks;
};

/* ---- bytes ---- */

static uint8_t *room(struct writer *writer, size_t size)
{
    if (writer->used + size > writer->capacity) {
        size_t capacity = writer->capacity * 2 > writer->used + size ? writer->capacity * 2 : writer->used + size;
        uint8_t *grown = realloc(writer->bytes, capacity);
        if (!grown)
            return NULL;
        writer->bytes = grown;
        writer->capacity = capacity;
    }
    writer->used += size;
    return writer->bytes + writer->used - size;
}

static int flush(struct writer *writer)
{
    struct mark_summary *summary = &writer->summary;
    int rc = io_full_write_bytes(writer->file, writer->bytes, writer->used, MARK_BODY_PLACE + summary->body_bytes);
    summary->body_crc = crc32c(summary->body_crc, writer->bytes, writer->used);
    summary->body_bytes += writer->used;
    writer->used = 0;
    return rc;
}

static enum walrus_code no_memory(struct walrus_error *error)
{
    return error_set(error, WALRUS_E_NO_MEMORY, 0, "%s: out of memory", MARK_NAME);
}

/* ---- topics ---- */

/* Where the topic ends, and what its next record will be. Needs both locks of the topic. */
static void describe_locked(const struct walrus_topic *topic, struct mark_topic *record)
{
    *record = (struct mark_topic){
        .topic_id = topic->id,
        .framing = (uint8_t)topic->framing,
        .first_sequence = topic->first_sequence,
        .first_offset = topic->first_offset,
        .end_sequence = topic->next_sequence,
        .end_offset = topic->next_offset,
        .end_ns = topic->visible_sequence == topic->next_sequence ? topic->visible_ns : topic->append_ns,
        .next_block_index = topic->next_block_index,
        .damaged = topic->damages > 0,
    };
    /* Where appending was given up after a failed write, the last block with entries is where they end. */
    size_t last = topic->block_count;
    while (!topic->tail && last > 0 && topic->blocks[last - 1]->first_sequence >= topic->next_sequence)
        last--;
    const struct block *block = topic->tail ? topic->tail : last > 0 ? topic->blocks[last - 1] : NULL;
    record->tail_open = topic->tail != NULL;
    if (block) {
        record->end_block_index = block->index;
        record->end_place = topic->tail ? topic->tail_place : atomic_load(&block->end_place);
    }
}

/* The place of the first block with an index above `index`. */
static size_t block_above_locked(const struct walrus_topic *topic, uint64_t index)
{
    size_t low = 0, high = topic->block_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (topic->blocks[middle]->index <= index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/*
 * Adds the blocks that the topic's entries below the end are in, a few at a time. Those that leave the topic meanwhile
 * may be in or not: what a recovery would find of them counts no more. *next: the index to go on behind; UINT64_MAX:
 * done.
 */
static bool add_blocks_locked(struct writer *writer, struct walrus_topic *topic, struct mark_topic *record, bool begin,
                              uint64_t *next)
{
    size_t i = begin ? 0 : block_above_locked(topic, *next);
    size_t end = min_u64(topic->block_count, i + BLOCKS_A_TURN);
    for (; i < end && topic->blocks[i]->first_sequence <= record->end_sequence; i++) {
        const struct block *block = topic->blocks[i];
        uint8_t *bytes = room(writer, MARK_BLOCK_BYTES);
        if (!bytes)
            return false;
        mark_block_encode(&(struct mark_block){.segment_id = block->segment->id,
                                               .segment_offset = block->segment_offset,
                                               .bytes = block->bytes,
                                               .index = block->index,
                                               .previous_index = block->previous_index,
                                               .first_sequence = block->first_sequence,
                                               .first_offset = block->first_offset,
                                               .seed = block->seed,
                                               .first_place = block->first_place,
                                               .created_ns = block->created_ns},
                          bytes);
        record->block_count++;
        *next = block->index;
    }
    if (i < end || i == topic->block_count)
        *next = UINT64_MAX;
    return true;
}

static enum walrus_code add_topic(struct walrus_topic *topic, void *context, struct walrus_error *error)
{
    struct writer *writer = context;
    struct mark_topic record;
    uint64_t next = 0;
    size_t begin = writer->used;
    if (!room(writer, MARK_TOPIC_BYTES))
        return no_memory(error);
    /* No append is half in it: the end, and what the next block must not be taken for, in one moment. */
    pthread_mutex_lock(&topic->append_lock);
    pthread_mutex_lock(&topic->lock);
    describe_locked(topic, &record);
    bool added = add_blocks_locked(writer, topic, &record, true, &next);
    pthread_mutex_unlock(&topic->lock);
    pthread_mutex_unlock(&topic->append_lock);
    while (added && next != UINT64_MAX) {
        pthread_mutex_lock(&topic->lock);
        added = add_blocks_locked(writer, topic, &record, false, &next);
        pthread_mutex_unlock(&topic->lock);
    }
    if (!added)
        return no_memory(error);
    if (record.end_sequence == 0 && record.block_count == 0) {
        writer->used = begin; /* nothing that the catalogue does not say */
        return WALRUS_OK;
    }
    mark_topic_encode(&record, writer->log->log_id, writer->bytes + begin);
    writer->summary.topic_count++;
    writer->summary.block_count += record.block_count;
    int rc = writer->used >= FLUSH_BYTES ? flush(writer) : 0;
    return rc < 0 ? error_system(error, rc, "write %s", MARK_NEW_NAME) : WALRUS_OK;
}

/* ---- segments ---- */

static bool add_segment(struct segment *segment, void *context)
{
    struct writer *writer = context;
    struct mark_segment record = {.segment_id = segment->id,
                                  .used_end = segment->used_end,
                                  .closed = segment->closed,
                                  .unclean_end = segment->unclean_end};
    uint8_t *bytes = room(writer, MARK_SEGMENT_BYTES);
    if (!bytes || segment->file->ops->size(segment->file, &record.size) < 0)
        return false;
    mark_segment_encode(&record, writer->log->log_id, bytes);
    writer->summary.segment_count++;
    writer->live_blocks += segment->live_blocks;
    writer->off_list = writer->off_list || segment->holds_damage;
    return true;
}

/* ---- the file ---- */

static int write_head(struct writer *writer, bool clean)
{
    uint8_t head[MARK_BODY_PLACE] = {0};
    uint64_t log_id = writer->log->log_id;
    file_header_encode(&(struct file_header){.kind = FILE_MARK,
                                             .compatible = FORMAT_COMPATIBLE,
                                             .incompatible = FORMAT_INCOMPATIBLE,
                                             .log_id = log_id,
                                             .created_ns = writer->summary.created_ns},
                       head);
    mark_state_encode(&(struct mark_state){.clean = clean, .mark_id = writer->summary.mark_id}, log_id,
                      head + MARK_STATE_PLACE);
    mark_summary_encode(&writer->summary, log_id, head + MARK_SUMMARY_PLACE);
    return io_full_write_bytes(writer->file, head, sizeof(head), 0);
}

/* What the mark names, then the mark, then its name. */
static enum walrus_code install(struct writer *writer, bool clean, struct walrus_error *error)
{
    struct io *io = writer->log->io;
    enum walrus_code code = SABOTAGED(mark_before_sync) ? WALRUS_OK : log_sync(writer->log, error);
    if (code != WALRUS_OK)
        return code;
    bool whole = writer->live_blocks == writer->summary.block_count && !writer->off_list;
    int rc = write_head(writer, clean && whole);
    if (rc == 0)
        rc = writer->file->ops->sync(writer->file);
    if (rc == 0)
        rc = io->ops->rename(io, MARK_NEW_NAME, MARK_NAME);
    if (rc == 0)
        rc = io->ops->sync_directory(io);
    return rc < 0 ? error_system(error, rc, "write %s", MARK_NAME) : WALRUS_OK;
}

static enum walrus_code fill(struct writer *writer, bool clean, struct walrus_error *error)
{
    struct walrus_log *log = writer->log;
    struct mark_summary *summary = &writer->summary;
    summary->mark_id = random_id();
    summary->created_ns = clock_realtime_ns();
    enum walrus_code code = topic_table_each(&log->names, add_topic, writer, error);
    if (code != WALRUS_OK)
        return code;
    if (!segment_set_each(&log->segments, add_segment, writer))
        return no_memory(error);
    pthread_mutex_lock(&log->catalog.lock);
    summary->catalog_bytes = log->catalog.end;
    summary->catalog_number = log->catalog.next_number;
    pthread_mutex_unlock(&log->catalog.lock);
    int rc = flush(writer);
    return rc < 0 ? error_system(error, rc, "write %s", MARK_NEW_NAME) : install(writer, clean, error);
}

enum walrus_code clean_mark_write(struct walrus_log *log, bool clean, struct walrus_error *error)
{
    struct writer writer = {.log = log};
    struct io *io = log->io;
    int rc = io->ops->unlink(io, MARK_NEW_NAME); /* one that a crash left */
    if (rc == 0 || rc == -ENOENT)
        rc = io->ops->open(io, MARK_NEW_NAME, IO_CREATE, &writer.file);
    if (rc < 0)
        return error_system(error, rc, "create %s", MARK_NEW_NAME);
    enum walrus_code code = fill(&writer, clean, error);
    writer.file->ops->close(writer.file);
    free(writer.bytes);
    if (code == WALRUS_OK) {
        atomic_fetch_add(&log->mark.written, 1);
        log->mark.mark_id = 0;
    } else {
        (void)io->ops->unlink(io, MARK_NEW_NAME);
    }
    return code;
}

void clean_mark_close(struct walrus_log *log)
{
    struct walrus_error ignored;
    bool unchanged = log->mark.mark_id != 0 && segment_set_changes(&log->segments) == 0 &&
                     atomic_load(&log->catalog.sync.written) == 0;
    if (!unchanged || clean_mark_set_state(log->io, log->log_id, log->mark.mark_id, true) < 0)
        (void)clean_mark_write(log, true, &ignored);
}

int clean_mark_set_state(struct io *io, uint64_t log_id, uint64_t mark_id, bool clean)
{
    struct io_file *file = NULL;
    uint8_t bytes[MARK_STATE_BYTES];
    int rc = io->ops->open(io, MARK_NAME, 0, &file);
    if (rc < 0)
        return rc;
    mark_state_encode(&(struct mark_state){.clean = clean, .mark_id = mark_id}, log_id, bytes);
    rc = io_full_write_bytes(file, bytes, sizeof(bytes), MARK_STATE_PLACE);
    if (rc == 0)
        rc = file->ops->sync(file);
    file->ops->close(file);
    return rc;
}
