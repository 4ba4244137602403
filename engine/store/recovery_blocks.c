/*
 * recovery_blocks.c - finding the blocks of a log by walking its segment files.
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

static enum walrus_code add_block(struct recovery *recovery, struct segment *segment, const struct block_header *header,
                                  bool mended, struct walrus_error *error)
{
    struct found_node *node = recovery_node(recovery, header->topic_id);
    if (node && node->block_count == node->block_capacity) {
        size_t capacity = node->block_capacity ? node->block_capacity * 2 : 1;
        struct found_block *grown = realloc(node->blocks, capacity * sizeof(*grown));
        if (grown) {
            node->blocks = grown;
            node->block_capacity = capacity;
        }
    }
    if (!node || node->block_count == node->block_capacity)
        return error_set(error, WALRUS_E_NO_MEMORY, 0, "recovery: out of memory");
    node->blocks[node->block_count++] = (struct found_block){
        .segment = segment,
        .segment_offset = header->segment_offset,
        .bytes = header->block_bytes,
        .index = header->block_index,
        .previous_index = header->previous_index,
        .mended = mended,
        .first_sequence = header->first_sequence,
        .first_offset = header->first_offset,
        .durable_sequence = header->durable_sequence,
        .first_place = block_header_bytes(header->name_bytes),
        .seed = record_seed(header->salt),
        .framing = header->framing,
    };
    if (!node->has_created && !node->deleted && node->record.name[0] == '\0') {
        node->is_topic = true;
        /* What only a block says of its topic: all but owner and settings. */
        memcpy(node->record.name, header->name, (size_t)header->name_bytes + 1);
        node->record.framing = header->framing;
        node->record.mode = node->in_catalog ? node->record.mode : 0644;
        node->record.time_ns = header->created_ns;
        node->record.uid = node->in_catalog ? node->record.uid : geteuid();
        node->record.gid = node->in_catalog ? node->record.gid : getegid();
    }
    return WALRUS_OK;
}

static bool belongs(const struct recovery *recovery, const struct segment *segment, uint64_t at,
                    const struct block_header *header)
{
    return header->log_id == recovery->log->log_id && header->segment_id == segment->id &&
           header->segment_offset == at && name_check(header->name) == NAME_OK;
}

static enum walrus_code walk(struct recovery *recovery, struct segment *segment, uint64_t size,
                             struct walrus_error *error)
{
    struct io_file *file = segment->file;
    uint8_t bytes[BLOCK_HEADER_MAX];
    struct block_header header;
    uint64_t at = SEGMENT_FIRST_BLOCK;
    uint64_t unknown_at = 0; /* something that is neither a header nor zero, behind the last block */
    while (at < size) {
        int rc = io_read_padded(file, bytes, sizeof(bytes), at);
        if (rc < 0)
            return error_system(error, rc, "read segment %" PRIu64 " at %" PRIu64, segment->id, at);
        bool valid = block_header_decode(bytes, sizeof(bytes), &header);
        bool mended = !valid && block_header_mend(bytes, sizeof(bytes), recovery->log->log_id, &header);
        if ((valid || mended) && belongs(recovery, segment, at, &header)) {
            if (mended)
                recovery_note(recovery, &recovery->log->findings.damages,
                              "'%s': one bit of a block header was wrong at %" PRIu64 " of segment %" PRIu64,
                              header.name, at, segment->id);
            enum walrus_code code = add_block(recovery, segment, &header, mended, error);
            if (code != WALRUS_OK)
                return code;
            segment->live_blocks++;
            at += header.block_bytes;
            segment->used_end = at;
            unknown_at = 0;
            continue;
        }
        if (unknown_at == 0 && !bytes_are_zero(bytes, BLOCK_HEADER_FIXED))
            unknown_at = at;
        if (block_header_was_there(bytes, recovery->log->log_id)) {
            note_bad_place(recovery, segment, at, "a damaged block header");
            segment->holds_damage = true;
        }
        uint64_t data;
        rc = file->ops->next_data(file, at + BLOCK_ALIGNMENT, &data);
        if (rc == -ENXIO)
            break;
        if (rc < 0)
            return error_system(error, rc, "seek in segment %" PRIu64, segment->id);
        at = data / BLOCK_ALIGNMENT * BLOCK_ALIGNMENT;
    }
    /* A damaged block header may stand before entries worth keeping: nothing is ever put over them. Mere leftovers of a
     * crash (zeros where the header was lost) are cleared when the space is wanted. */
    segment->closed = unknown_at != 0;
    segment->unclean_end = size > segment->used_end;
    segment->reserved_end = segment->used_end;
    return WALRUS_OK;
}

static enum walrus_code open_segment(struct recovery *recovery, uint64_t id, struct walrus_error *error)
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
        return error_set(error, WALRUS_E_NO_MEMORY, 0, "recovery: out of memory");
    }
    bool on_record = recovery_found_segment(recovery, id);
    /* After a failed sync the cache may show what the disk does not have. */
    if (!recovery->read_only)
        (void)file->ops->drop_cache(file, 0, 0);

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
        return WALRUS_OK;
    default:
        /* The blocks prove by themselves that they belong here. A file that a crash cut off at its birth has none. */
        if (size > SEGMENT_FIRST_BLOCK || !bytes_are_zero(bytes, sizeof(bytes)))
            note_bad_place(recovery, segment, 0, "a damaged file header");
        segment->closed = true;
        break;
    }
    bool closed = segment->closed;
    enum walrus_code code = walk(recovery, segment, size, error);
    /* One that is not on record, and holds nothing, is what a failure left: perhaps its name never became durable, and
     * a later sync of the directory would not say so. */
    segment->closed = segment->closed || closed || (!on_record && segment->live_blocks == 0);
    /* Somebody's reads may have come from the cache before the crash: durable before they are seen again. */
    sync_point_note_write(&segment->sync);
    return code;
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
        code = error_set(error, WALRUS_E_NO_MEMORY, 0, "recovery: out of memory");
    if (names.count > 0)
        qsort(names.ids, names.count, sizeof(*names.ids), by_number);
    for (size_t i = 0; code == WALRUS_OK && i < names.count; i++)
        code = open_segment(recovery, names.ids[i], error);
    free(names.ids);
    return code;
}
