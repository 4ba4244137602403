/*
 * recovery_blocks.c - finding the blocks of a log: those that the clean mark names, and by walking the segment files
 * where it names none.
 *
 * A block's header says how long the block is, so the next one stands behind it. Where no valid header stands, the walk
 * goes on by the alignment: a header that was lost or damaged hides its own block only. Holes are stepped over.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"
#include "format/file_header.h"
#include "format/name.h"
#include "format/record_header.h"
#include "store/recovery.h"

struct names {
    uint64_t *ids;
    size_t count;
    size_t capacity;
    bool failed;
};

static void collect(const char *name, void *context)
{
    struct names *names = context;
    uint64_t id;
    if (!segment_name_parse(name, &id))
        return;
    if (names->count == names->capacity) {
        size_t capacity = names->capacity ? names->capacity * 2 : 64;
        uint64_t *grown = realloc(names->ids, capacity * sizeof(*grown));
        if (!grown) {
            names->failed = true;
            return;
        }
        names->ids = grown;
        names->capacity = capacity;
    }
    names->ids[names->count++] = id;
}

/* Remembers damage that belongs to no topic. */
static void note_bad_place(struct recovery *recovery, const struct segment *segment, uint64_t at, const char *what)
{
    recovery_note(recovery, &recovery->log->findings.damages, "%s at %" PRIu64 " of segment %" PRIu64, what, at,
                  segment->id);
    if (recovery->bad_place_count == BAD_PLACES_MAX)
        return;
    struct bad_place *grown = realloc(recovery->bad_places, (recovery->bad_place_count + 1) * sizeof(*grown));
    if (!grown)
        return;
    recovery->bad_places = grown;
    grown[recovery->bad_place_count++] = (struct bad_place){segment->id, at};
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static enum walrus_code no_memory(struct walrus_error *error)
{
    return error_set(error, WALRUS_E_NO_MEMORY, 0, "recovery: out of memory");
}

static enum walrus_code add_to_node(struct found_node *node, const struct found_block *block,
                                    struct walrus_error *error)
{
    if (node->block_count == node->block_capacity) {
        size_t capacity = node->block_capacity ? node->block_capacity * 2 : 1;
        struct found_block *grown = realloc(node->blocks, capacity * sizeof(*grown));
        if (!grown)
            return no_memory(error);
        node->blocks = grown;
        node->block_capacity = capacity;
    }
    node->blocks[node->block_count++] = *block;
    if (block->lost)
        return WALRUS_OK;
    block->segment->live_blocks++;
    block->segment->used_end = max_u64(block->segment->used_end, block->segment_offset + block->bytes);
    return WALRUS_OK;
}

static enum walrus_code add_block(struct recovery *recovery, struct segment *segment, const struct block_header *header,
                                  bool mended, struct walrus_error *error)
{
    struct found_node *node = recovery_node(recovery, header->topic_id);
    if (!node)
        return no_memory(error);
    struct found_block block = {
        .segment = segment,
        .segment_offset = header->segment_offset,
        .bytes = header->block_bytes,
        .index = header->block_index,
        .previous_index = header->previous_index,
        .mended = mended,
        .first_sequence = header->first_sequence,
        .first_offset = header->first_offset,
        .durable_sequence = header->durable_sequence,
        .created_ns = header->created_ns,
        .first_place = block_header_bytes(header->name_bytes),
        .seed = record_seed(header->salt),
        .framing = header->framing,
    };
    recovery->unmarked_bytes += block.bytes;
    if (!node->has_created && !node->deleted && node->record.name[0] == '\0') {
        node->is_topic = true;
        /* What only a block says of its topic: all but owner and settings. */
        if (!recovery_name_node(node, header->name))
            return no_memory(error);
        node->record.framing = header->framing;
        node->record.mode = node->in_catalog ? node->record.mode : 0644;
        node->record.time_ns = header->created_ns;
        node->record.uid = node->in_catalog ? node->record.uid : geteuid();
        node->record.gid = node->in_catalog ? node->record.gid : getegid();
    }
    return add_to_node(node, &block, error);
}

static bool belongs(const struct recovery *recovery, const struct segment *segment, uint64_t at,
                    const struct block_header *header)
{
    return header->log_id == recovery->log->log_id && header->segment_id == segment->id &&
           header->segment_offset == at && name_check(header->name) == NAME_OK;
}

/* ---- what the clean mark names ---- */

/* The topic of a marked block, if the block need not be looked at. */
static struct found_node *vouched_node(const struct recovery *recovery, const struct marked_block *marked)
{
    struct found_node *node = recovery_find_node(recovery, marked->topic_id);
    /* A topic that the catalogue has lost is known by its blocks' headers only. */
    if (!node || (!node->has_created && !node->deleted))
        return NULL;
    /* What no entry of the mark's time is in may have been superseded and freed since. */
    if (marked->record.first_sequence >= marked->end_sequence && !recovery->mark.clean)
        return NULL;
    return node;
}

/* `segment` is NULL where the block is lost. */
static enum walrus_code add_marked(struct found_node *node, struct segment *segment, const struct marked_block *marked,
                                   bool cut_off, struct walrus_error *error)
{
    const struct mark_block *record = &marked->record;
    struct found_block block = {
        .segment = segment,
        .segment_offset = record->segment_offset,
        .bytes = record->bytes,
        .index = record->index,
        .previous_index = record->previous_index,
        .created_ns = record->created_ns,
        .marked = true,
        .lost = !segment,
        .cut_off = cut_off,
        .first_sequence = record->first_sequence,
        .first_offset = record->first_offset,
        .first_place = record->first_place,
        .seed = record->seed,
        .framing = marked->framing,
    };
    return add_to_node(node, &block, error);
}

/* Blocks of a file that is not there any more, though it was not removed. */
static enum walrus_code add_lost_blocks(struct recovery *recovery, uint64_t segment_id, struct walrus_error *error)
{
    size_t count;
    enum walrus_code code = WALRUS_OK;
    const struct marked_block *marked = recovery_marked_blocks(recovery, segment_id, &count);
    for (size_t i = 0; code == WALRUS_OK && i < count; i++) {
        struct found_node *node = vouched_node(recovery, &marked[i]);
        if (node)
            code = add_marked(node, NULL, &marked[i], true, error);
    }
    return code;
}

/* ---- walking a segment file ---- */

struct segment_walk {
    struct recovery *recovery;
    struct segment *segment;
    uint64_t size;
    uint64_t at;
    uint64_t unknown_at;               /* something that is neither a header nor zero, behind the last block */
    const struct marked_block *marked; /* the mark's blocks from `at` on */
    size_t marked_count;
    bool cut_off; /* the file is shorter than when it was marked */
};

/* Where the block's records ended, as far as the mark says. */
static uint64_t used_end(const struct recovery *recovery, const struct marked_block *block)
{
    const struct marked_topic *topic = recovery_marked_topic(recovery, block->topic_id);
    bool last = topic && topic->record.end_block_index == block->record.index;
    return block->record.segment_offset + (last ? topic->record.end_place : block->record.bytes);
}

/* Takes over a marked block that stands at the current place, and steps behind it. 0: it must be looked at. */
static int take_marked(struct segment_walk *walk, struct walrus_error *error)
{
    const struct mark_block *record = &walk->marked->record;
    struct found_node *node = vouched_node(walk->recovery, walk->marked);
    walk->marked++;
    walk->marked_count--;
    if (!node)
        return 0;
    bool lost = walk->cut_off && record->segment_offset >= walk->size;
    bool cut_off = walk->cut_off && used_end(walk->recovery, walk->marked - 1) > walk->size;
    if (add_marked(node, lost ? NULL : walk->segment, walk->marked - 1, cut_off, error) != WALRUS_OK)
        return -1;
    walk->at = record->segment_offset + record->bytes;
    walk->unknown_at = 0;
    return 1;
}

/* Reads what stands at the current place. 1: a block, taken over; 0: none; -1: failed. */
static int take_header(struct segment_walk *walk, struct walrus_error *error)
{
    struct recovery *recovery = walk->recovery;
    struct segment *segment = walk->segment;
    uint8_t bytes[BLOCK_HEADER_MAX];
    struct block_header header;
    int rc = io_read_padded(segment->file, bytes, sizeof(bytes), walk->at);
    if (rc < 0) {
        error_system(error, rc, "read segment %" PRIu64 " at %" PRIu64, segment->id, walk->at);
        return -1;
    }
    bool valid = block_header_decode(bytes, sizeof(bytes), &header);
    bool mended = !valid && block_header_mend(bytes, sizeof(bytes), recovery->log->log_id, &header);
    if ((valid || mended) && belongs(recovery, segment, walk->at, &header)) {
        if (mended)
            recovery_note(recovery, &recovery->log->findings.damages,
                          "'%s': one bit of a block header was wrong at %" PRIu64 " of segment %" PRIu64, header.name,
                          walk->at, segment->id);
        if (add_block(recovery, segment, &header, mended, error) != WALRUS_OK)
            return -1;
        walk->at += header.block_bytes;
        walk->unknown_at = 0;
        return 1;
    }
    if (walk->unknown_at == 0 && !bytes_are_zero(bytes, BLOCK_HEADER_FIXED))
        walk->unknown_at = walk->at;
    if (block_header_was_there(bytes, recovery->log->log_id)) {
        note_bad_place(recovery, segment, walk->at, "a damaged block header");
        segment->holds_damage = true;
    }
    return 0;
}

/* Steps to where the next block may be: the alignment further, over holes, to what the mark names at the latest. */
static enum walrus_code step(struct segment_walk *walk, struct walrus_error *error)
{
    uint64_t data = 0, next = walk->at + BLOCK_ALIGNMENT;
    int rc = walk->segment->file->ops->next_data(walk->segment->file, next, &data);
    if (rc < 0 && rc != -ENXIO)
        return error_system(error, rc, "seek in segment %" PRIu64, walk->segment->id);
    next = rc == -ENXIO ? UINT64_MAX : data / BLOCK_ALIGNMENT * BLOCK_ALIGNMENT;
    walk->at = walk->marked_count > 0 ? min_u64(next, walk->marked->record.segment_offset) : next;
    return WALRUS_OK;
}

static enum walrus_code walk_segment(struct segment_walk *walk, struct walrus_error *error)
{
    while (walk->at < walk->size || walk->marked_count > 0) {
        /* A block that was found by its header where the mark has others: the disk is right. */
        if (walk->marked_count > 0 && walk->marked->record.segment_offset < walk->at) {
            walk->marked++;
            walk->marked_count--;
            continue;
        }
        int taken = 0;
        if (walk->marked_count > 0 && walk->marked->record.segment_offset == walk->at)
            taken = take_marked(walk, error);
        if (taken == 0)
            taken = take_header(walk, error);
        if (taken < 0)
            return error ? error->code : WALRUS_E_IO;
        enum walrus_code code = taken == 0 ? step(walk, error) : WALRUS_OK;
        if (code != WALRUS_OK)
            return code;
    }
    return WALRUS_OK;
}

/* The blocks of a log that was closed: nothing else is in the file. */
static enum walrus_code take_clean(struct segment_walk *walk, struct walrus_error *error)
{
    const struct mark_segment *said = &recovery_marked_segment(walk->recovery, walk->segment->id)->record;
    while (walk->marked_count > 0) {
        walk->at = walk->marked->record.segment_offset;
        int taken = take_marked(walk, error);
        if (taken == 0)
            taken = take_header(walk, error);
        if (taken < 0)
            return error ? error->code : WALRUS_E_IO;
    }
    walk->segment->used_end = max_u64(walk->segment->used_end, said->used_end);
    walk->segment->closed = said->closed;
    walk->segment->unclean_end = said->unclean_end;
    walk->segment->reserved_end = said->unclean_end ? walk->segment->used_end : said->size;
    return WALRUS_OK;
}

/*
 * After a failed sync the cache may show what the disk does not have. What the mark vouches for was synced well; the
 * rest is to come from the disk: the space between its blocks, where topics may have gone on, and what lies behind.
 */
static void forget_cached(const struct segment_walk *walk, const struct marked_segment *said)
{
    struct io_file *file = walk->segment->file;
    uint64_t vouched_to = SEGMENT_FIRST_BLOCK, data;
    if (walk->recovery->read_only)
        return;
    for (size_t i = 0; said && i < walk->marked_count; i++) {
        const struct mark_block *record = &walk->marked[i].record;
        if (!vouched_node(walk->recovery, &walk->marked[i]))
            continue;
        if (record->segment_offset > vouched_to && vouched_to < said->tails_from &&
            file->ops->next_data(file, vouched_to, &data) == 0 && data < record->segment_offset)
            (void)file->ops->drop_cache(file, vouched_to, record->segment_offset - vouched_to);
        vouched_to = record->segment_offset + record->bytes;
    }
    (void)file->ops->drop_cache(file, said ? min_u64(vouched_to, said->tails_from) : 0, 0);
}

/* What is behind the blocks that were found. */
static void settle_space(const struct segment_walk *walk, const struct marked_segment *said, bool closed)
{
    struct segment *segment = walk->segment;
    /* A damaged block header may stand before entries worth keeping: nothing is ever put over them. Mere leftovers of a
     * crash (zeros where the header was lost) are cleared when the space is wanted. */
    segment->closed = closed || walk->unknown_at != 0 || walk->cut_off;
    if (said)
        segment->used_end = max_u64(segment->used_end, said->record.used_end);
    segment->unclean_end = walk->size > segment->used_end;
    segment->reserved_end = segment->used_end;
}

struct opened_segment {
    struct segment *segment;
    bool foreign; /* nothing in the file is this log's */
    bool on_record;
};

static enum walrus_code find_in_segment(struct recovery *recovery, const struct opened_segment *opened,
                                        struct walrus_error *error)
{
    struct segment *segment = opened->segment;
    struct segment_walk walk = {.recovery = recovery, .segment = segment, .at = SEGMENT_FIRST_BLOCK};
    const struct marked_segment *said = recovery_marked_segment(recovery, segment->id);
    if (said)
        walk.marked = recovery_marked_blocks(recovery, segment->id, &walk.marked_count);
    bool closed = segment->closed;
    int rc = segment->file->ops->size(segment->file, &walk.size);
    if (rc < 0)
        return error_system(error, rc, "size of segment %" PRIu64, segment->id);
    if (said && walk.size < said->record.size) {
        walk.cut_off = true;
        segment->holds_damage = true; /* nothing new is put where something was, and the file is kept */
        note_bad_place(recovery, segment, walk.size, "the file was cut off");
    }
    enum walrus_code code;
    if (recovery->mark.clean) {
        code = take_clean(&walk, error);
        segment->closed = segment->closed || closed;
    } else {
        forget_cached(&walk, said);
        code = walk_segment(&walk, error);
        settle_space(&walk, said, closed);
        /* Somebody's reads may have come from the cache before the crash: durable before they are seen again. */
        sync_point_note_write(&segment->sync);
    }
    /* One that is not on record, and holds nothing, is what a failure left: perhaps its name never became durable, and
     * a later sync of the directory would not say so. */
    segment->closed = segment->closed || (!opened->on_record && segment->live_blocks == 0);
    return code;
}

static enum walrus_code open_segment(struct recovery *recovery, uint64_t id, struct opened_segment *opened,
                                     struct walrus_error *error)
{
    struct walrus_log *log = recovery->log;
    char name[SEGMENT_NAME_BYTES];
    segment_name(id, name);
    struct io_file *file = NULL;
    int rc = log->io->ops->open(log->io, name, IO_MAPPABLE | (recovery->read_only ? IO_READ_ONLY : 0), &file);
    if (rc < 0)
        return error_system(error, rc, "open %s", name);
    struct segment *segment = segment_set_adopt(&log->segments, id, file);
    if (!segment) {
        file->ops->close(file);
        return no_memory(error);
    }
    opened->segment = segment;
    opened->on_record = recovery_found_segment(recovery, id);
    uint8_t bytes[FILE_HEADER_BYTES];
    struct file_header header = {0};
    uint64_t size = 0;
    rc = file->ops->size(file, &size);
    if (rc == 0)
        rc = io_read_padded(file, bytes, sizeof(bytes), 0);
    if (rc < 0)
        return error_system(error, rc, "read %s", name);
    switch (file_header_decode(bytes, FILE_SEGMENT, &header)) {
    case FILE_HEADER_VERSION:
        return error_set(error, WALRUS_E_VERSION, 0, "%s: made by a newer version", name);
    case FILE_HEADER_OK:
        segment->shared_batches = (header.incompatible & FORMAT_SHARED_BATCHES) != 0;
        /* New blocks go where every kind of record may stand. */
        segment->closed = !segment->shared_batches;
        if (header.log_id == log->log_id && header.file_id == id)
            break;
        note_bad_place(recovery, segment, 0, "a file header of another log or segment");
        segment->closed = true;
        opened->foreign = true;
        break;
    default:
        /* The blocks prove by themselves that they belong here. A file that a crash cut off at its birth has none. */
        if (size > SEGMENT_FIRST_BLOCK || !bytes_are_zero(bytes, sizeof(bytes)))
            note_bad_place(recovery, segment, 0, "a damaged file header");
        segment->closed = true;
        break;
    }
    return WALRUS_OK;
}

enum walrus_code recovery_find_blocks(struct recovery *recovery, struct walrus_error *error)
{
    struct names names = {0};
    struct io *io = recovery->log->io;
    enum walrus_code code = WALRUS_OK;
    int rc = io->ops->list(io, collect, &names);
    if (rc < 0)
        code = error_system(error, rc, "list the log's directory");
    else if (names.failed)
        code = no_memory(error);
    if (names.count > 0)
        qsort(names.ids, names.count, sizeof(*names.ids), by_number);
    struct opened_segment *opened = calloc(names.count + 1, sizeof(*opened));
    if (!opened && code == WALRUS_OK)
        code = no_memory(error);
    for (size_t i = 0; code == WALRUS_OK && i < names.count; i++)
        code = open_segment(recovery, names.ids[i], &opened[i], error);
    if (code == WALRUS_OK)
        code = recovery_judge_mark(recovery, error);
    for (size_t i = 0; code == WALRUS_OK && i < names.count; i++)
        code = opened[i].foreign ? add_lost_blocks(recovery, names.ids[i], error)
                                 : find_in_segment(recovery, &opened[i], error);
    for (size_t i = 0; code == WALRUS_OK && i < recovery->missing_segment_count; i++)
        code = add_lost_blocks(recovery, recovery->missing_segments[i], error);
    free(opened);
    free(names.ids);
    return code;
}
