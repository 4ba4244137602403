#include "store/recovery_mark.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "format/file_header.h"
#include "format/record_header.h"
#include "store/recovery.h"
#include "store/sabotage.h"

#define SPOTS_MAX 256u
#define MARK_BODY_BYTES_MAX ((uint64_t)1 << 32)

/* ---- order ---- */

static int compare(uint64_t x, uint64_t y)
{
    return (x > y) - (x < y);
}

static int topics_by_id(const void *a, const void *b)
{
    return compare(((const struct marked_topic *)a)->record.topic_id,
                   ((const struct marked_topic *)b)->record.topic_id);
}

static int segments_by_id(const void *a, const void *b)
{
    return compare(((const struct marked_segment *)a)->record.segment_id,
                   ((const struct marked_segment *)b)->record.segment_id);
}

static int blocks_by_place(const void *a, const void *b)
{
    const struct mark_block *x = &((const struct marked_block *)a)->record;
    const struct mark_block *y = &((const struct marked_block *)b)->record;
    int order = compare(x->segment_id, y->segment_id);
    return order != 0 ? order : compare(x->segment_offset, y->segment_offset);
}

static struct marked_segment *find_segment(const struct recovery_mark *mark, uint64_t segment_id)
{
    struct marked_segment key = {.record.segment_id = segment_id};
    return mark->segments ? bsearch(&key, mark->segments, mark->segment_count, sizeof(key), segments_by_id) : NULL;
}

static void put_in_order(struct recovery_mark *mark)
{
    qsort(mark->topics, mark->topic_count, sizeof(*mark->topics), topics_by_id);
    qsort(mark->segments, mark->segment_count, sizeof(*mark->segments), segments_by_id);
    qsort(mark->blocks, mark->block_count, sizeof(*mark->blocks), blocks_by_place);
}

/* Each topic and each segment once, no block over another, and none behind what its segment uses. */
static bool is_consistent(const struct recovery_mark *mark)
{
    for (size_t i = 0; i < mark->block_count; i++) {
        const struct mark_block *block = &mark->blocks[i].record;
        const struct marked_segment *segment = find_segment(mark, block->segment_id);
        /* A segment may have gone while the mark was taken; then its blocks were free. */
        if (segment && block->segment_offset + block->bytes > segment->record.used_end)
            return false;
    }
    for (size_t i = 1; i < mark->topic_count; i++)
        if (mark->topics[i - 1].record.topic_id == mark->topics[i].record.topic_id)
            return false;
    for (size_t i = 1; i < mark->segment_count; i++)
        if (mark->segments[i - 1].record.segment_id == mark->segments[i].record.segment_id)
            return false;
    for (size_t i = 1; i < mark->block_count; i++) {
        const struct mark_block *one = &mark->blocks[i - 1].record, *next = &mark->blocks[i].record;
        if (one->segment_id == next->segment_id && one->segment_offset + one->bytes > next->segment_offset)
            return false;
    }
    return true;
}

/* ---- bytes ---- */

static bool decode_topics(struct recovery_mark *mark, const uint8_t *body, uint64_t log_id, uint64_t *at)
{
    const struct mark_summary *summary = &mark->summary;
    for (; mark->topic_count < summary->topic_count; mark->topic_count++) {
        struct marked_topic *topic = &mark->topics[mark->topic_count];
        if (!mark_topic_decode(body + *at, summary->body_bytes - *at, log_id, &topic->record) ||
            mark->block_count + topic->record.block_count > summary->block_count)
            return false;
        *at += MARK_TOPIC_BYTES;
        for (uint32_t i = 0; i < topic->record.block_count; i++, *at += MARK_BLOCK_BYTES) {
            struct marked_block *block = &mark->blocks[mark->block_count++];
            if (!mark_block_decode(body + *at, &block->record))
                return false;
            block->topic_id = topic->record.topic_id;
            block->end_sequence = topic->record.end_sequence;
            block->framing = topic->record.framing;
            if (block->record.index == topic->record.end_block_index &&
                topic->record.end_place >= block->record.first_place &&
                topic->record.end_place <= block->record.bytes) {
                topic->tail_segment = block->record.segment_id;
                topic->tail_offset = block->record.segment_offset + topic->record.end_place;
                topic->tail_left = block->record.bytes - topic->record.end_place;
            }
        }
    }
    return mark->block_count == summary->block_count;
}

static bool decode_segments(struct recovery_mark *mark, const uint8_t *body, uint64_t log_id, uint64_t *at)
{
    const struct mark_summary *summary = &mark->summary;
    for (; mark->segment_count < summary->segment_count; mark->segment_count++, *at += MARK_SEGMENT_BYTES) {
        if (summary->body_bytes - *at < MARK_SEGMENT_BYTES ||
            !mark_segment_decode(body + *at, log_id, &mark->segments[mark->segment_count].record))
            return false;
        mark->segments[mark->segment_count].tails_from = UINT64_MAX;
    }
    return *at == summary->body_bytes;
}

static void find_tails(struct recovery_mark *mark)
{
    for (size_t i = 0; i < mark->topic_count; i++) {
        const struct marked_topic *topic = &mark->topics[i];
        struct marked_segment *segment = find_segment(mark, topic->tail_segment);
        if (segment && topic->tail_segment != 0)
            segment->tails_from = min_u64(segment->tails_from, topic->tail_offset);
    }
}

static bool allocate(struct recovery_mark *mark)
{
    mark->topics = calloc(mark->summary.topic_count + 1, sizeof(*mark->topics));
    mark->blocks = calloc(mark->summary.block_count + 1, sizeof(*mark->blocks));
    mark->segments = calloc(mark->summary.segment_count + 1, sizeof(*mark->segments));
    return mark->topics && mark->blocks && mark->segments;
}

/* 1: the body holds; 0: it does not; below 0: negated errno. */
static int read_body(struct recovery_mark *mark, struct io_file *file, uint64_t log_id)
{
    const struct mark_summary *summary = &mark->summary;
    uint8_t *body = malloc((size_t)summary->body_bytes + 1);
    int rc = body ? io_full_read(file, body, (size_t)summary->body_bytes, MARK_BODY_PLACE) : -ENOMEM;
    if (rc == 0 && !allocate(mark))
        rc = -ENOMEM;
    if (rc == 0 && crc32c(0, body, (size_t)summary->body_bytes) == summary->body_crc) {
        uint64_t at = 0;
        rc = decode_topics(mark, body, log_id, &at) && decode_segments(mark, body, log_id, &at);
    }
    free(body);
    if (rc <= 0)
        return rc;
    put_in_order(mark);
    find_tails(mark);
    return is_consistent(mark);
}

/* 1: the mark holds; 0: it does not; below 0: negated errno, or -ENOTSUP for one of a later version. */
static int read_mark(struct recovery_mark *mark, struct io_file *file, uint64_t log_id)
{
    uint8_t head[MARK_BODY_PLACE];
    struct file_header header;
    struct mark_state state;
    uint64_t size = 0;
    int rc = file->ops->size(file, &size);
    if (rc == 0)
        rc = io_read_padded(file, head, sizeof(head), 0);
    if (rc < 0)
        return rc;
    enum file_header_verdict verdict = file_header_decode(head, FILE_MARK, &header);
    if (verdict == FILE_HEADER_VERSION)
        return -ENOTSUP;
    if (verdict != FILE_HEADER_OK || header.log_id != log_id ||
        !mark_summary_decode(head + MARK_SUMMARY_PLACE, log_id, &mark->summary) ||
        mark->summary.body_bytes > MARK_BODY_BYTES_MAX || size != MARK_BODY_PLACE + mark->summary.body_bytes)
        return 0;
    /* The state is overwritten in place: what a crash tore there is not clean, and no damage. */
    mark->clean = mark_state_decode(head + MARK_STATE_PLACE, log_id, &state) && state.clean &&
                  state.mark_id == mark->summary.mark_id;
    return read_body(mark, file, log_id);
}

/* ---- the file ---- */

/* Takes away a mark that nobody must believe. What it says of the log's state could come true again otherwise: by a
 * reader that understands it, or by a disk that reads better another time. */
static enum walrus_code remove_mark(struct recovery *recovery, struct walrus_error *error)
{
    struct io *io = recovery->log->io;
    if (recovery->read_only)
        return WALRUS_OK;
    int rc = io->ops->unlink(io, MARK_NAME);
    if (rc == 0 || rc == -ENOENT)
        rc = io->ops->sync_directory(io);
    return rc < 0 ? error_system(error, rc, "remove %s, which cannot be used", MARK_NAME) : WALRUS_OK;
}

/* From here on the log may be written: who finds it after a crash must look. */
static enum walrus_code take_into_use(struct recovery *recovery, struct walrus_error *error)
{
    struct walrus_log *log = recovery->log;
    if (recovery->read_only || !recovery->mark.clean || SABOTAGED(clean_state_kept))
        return WALRUS_OK;
    if (clean_mark_set_state(log->io, log->log_id, recovery->mark.summary.mark_id, false) == 0)
        return WALRUS_OK;
    return remove_mark(recovery, error); /* a full disk may not even overwrite, on some file systems */
}

enum walrus_code recovery_load_mark(struct recovery *recovery, struct walrus_error *error)
{
    struct walrus_log *log = recovery->log;
    struct recovery_mark *mark = &recovery->mark;
    struct io_file *file = NULL;
    int rc = log->io->ops->open(log->io, MARK_NAME, IO_READ_ONLY, &file);
    if (rc == -ENOENT)
        return WALRUS_OK;
    if (rc == 0) {
        rc = read_mark(mark, file, log->log_id);
        file->ops->close(file);
    }
    mark->present = rc > 0;
    if (mark->present)
        return take_into_use(recovery, error);
    recovery_mark_fini(mark);
    *mark = (struct recovery_mark){.damaged = rc != -ENOTSUP};
    if (rc == -ENOMEM)
        return error_set(error, WALRUS_E_NO_MEMORY, 0, "%s: out of memory", MARK_NAME);
    if (mark->damaged)
        recovery_note(recovery, &log->findings.damages, "%s: damaged, so everything was read", MARK_NAME);
    return remove_mark(recovery, error);
}

/* 1: the bytes are zero, or lie behind the end of the file; 0: not; below 0: negated errno. */
static int is_untouched(struct io_file *file, uint64_t offset, uint64_t size)
{
    uint8_t bytes[BLOCK_HEADER_FIXED];
    int rc = io_read_padded(file, bytes, (size_t)size, offset);
    return rc < 0 ? rc : bytes_are_zero(bytes, (size_t)size);
}

static int newest_first(const void *a, const void *b)
{
    return compare((*(const struct marked_topic *const *)b)->record.end_ns,
                   (*(const struct marked_topic *const *)a)->record.end_ns);
}

/* Behind the topics that were written last. As is_untouched(). */
static int tails_are_untouched(struct recovery *recovery)
{
    const struct recovery_mark *mark = &recovery->mark;
    const struct marked_topic **newest = calloc(mark->topic_count + 1, sizeof(struct marked_topic *));
    if (!newest)
        return -ENOMEM;
    for (size_t i = 0; i < mark->topic_count; i++)
        newest[i] = &mark->topics[i];
    qsort(newest, mark->topic_count, sizeof(struct marked_topic *), newest_first);
    int untouched = 1;
    for (size_t i = 0; untouched > 0 && i < min_u64(mark->topic_count, SPOTS_MAX); i++) {
        struct segment *segment = segment_set_find(&recovery->log->segments, newest[i]->tail_segment);
        if (segment && newest[i]->record.tail_open)
            untouched =
                is_untouched(segment->file, newest[i]->tail_offset, min_u64(newest[i]->tail_left, RECORD_HEADER_BYTES));
    }
    free(newest);
    return untouched;
}

/* Behind the last block of each file. As is_untouched(). */
static int ends_are_untouched(struct recovery *recovery)
{
    const struct recovery_mark *mark = &recovery->mark;
    int untouched = 1;
    for (size_t i = 0; untouched > 0 && i < mark->segment_count; i++) {
        const struct mark_segment *said = &mark->segments[i].record;
        if (!said->unclean_end)
            untouched = is_untouched(recovery->log->segments.segments[i]->file, said->used_end, BLOCK_HEADER_FIXED);
    }
    return untouched;
}

static bool files_are_the_same(struct recovery *recovery)
{
    struct walrus_log *log = recovery->log;
    const struct recovery_mark *mark = &recovery->mark;
    bool same = log->catalog.end == mark->summary.catalog_bytes &&
                log->catalog.next_number == mark->summary.catalog_number && log->segments.count == mark->segment_count;
    for (size_t i = 0; same && i < mark->segment_count; i++) {
        const struct mark_segment *said = &mark->segments[i].record;
        const struct segment *there = log->segments.segments[i];
        uint64_t size = 0;
        same = there->id == said->segment_id && there->file->ops->size(there->file, &size) == 0 && size == said->size;
    }
    return same;
}

/*
 * A mark that was put back (a file from a backup, or a program that writes the log without knowing of marks) may fit
 * all sizes. It is met where somebody has most likely written since; a look at every topic would be what it saves.
 */
enum walrus_code recovery_judge_mark(struct recovery *recovery, struct walrus_error *error)
{
    struct recovery_mark *mark = &recovery->mark;
    if (!mark->clean)
        return WALRUS_OK;
    int rc = files_are_the_same(recovery);
    if (rc > 0 && !SABOTAGED(clean_state_kept))
        rc = tails_are_untouched(recovery);
    if (rc > 0 && !SABOTAGED(clean_state_kept))
        rc = ends_are_untouched(recovery);
    mark->clean = rc > 0;
    return rc < 0 ? error_system(error, rc, "compare the segment files with %s", MARK_NAME) : WALRUS_OK;
}

/* ---- look-ups ---- */

const struct marked_topic *recovery_marked_topic(const struct recovery *recovery, uint64_t topic_id)
{
    const struct recovery_mark *mark = &recovery->mark;
    struct marked_topic key = {.record.topic_id = topic_id};
    return mark->topics ? bsearch(&key, mark->topics, mark->topic_count, sizeof(key), topics_by_id) : NULL;
}

const struct marked_segment *recovery_marked_segment(const struct recovery *recovery, uint64_t segment_id)
{
    return find_segment(&recovery->mark, segment_id);
}

const struct marked_block *recovery_marked_blocks(const struct recovery *recovery, uint64_t segment_id, size_t *count)
{
    const struct recovery_mark *mark = &recovery->mark;
    size_t low = 0, high = mark->block_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (mark->blocks[middle].record.segment_id < segment_id)
            low = middle + 1;
        else
            high = middle;
    }
    for (high = low; high < mark->block_count && mark->blocks[high].record.segment_id == segment_id;)
        high++;
    *count = high - low;
    return mark->blocks ? mark->blocks + low : NULL;
}

void recovery_mark_fini(struct recovery_mark *mark)
{
    free(mark->topics);
    free(mark->blocks);
    free(mark->segments);
}
