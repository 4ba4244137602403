/*
 * inspect.c - every item of a log with a verdict, in the order of the bytes.
 *
 * Where each topic ends is decided by recovery's own walk, so that inspection and recovery never differ about what is
 * torn and what is damaged.
 */
#include "store/inspect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "store/block_scan.h"
#include "store/inspection.h"

/* One block with what its topic says about it. */
struct placed_block {
    const struct found_block *block;
    struct found_node *node;
    uint64_t limit; /* sequence at which the topic's next block goes on */
    bool first;
    uint64_t end; /* entries from here on are not part of the topic */
};

void inspection_show(struct inspection *inspection, const struct walrus_item *item)
{
    struct walrus_inspect_summary *summary = &inspection->summary;
    uint64_t *counters[] = {
        [WALRUS_VERDICT_TORN] = &summary->torn,
        [WALRUS_VERDICT_UNCOMMITTED] = &summary->uncommitted,
        [WALRUS_VERDICT_SUPERSEDED] = &summary->superseded,
        [WALRUS_VERDICT_DAMAGED] = &summary->damaged,
        [WALRUS_VERDICT_MISSING] = &summary->missing,
        [WALRUS_VERDICT_UNKNOWN] = &summary->unknown,
        [WALRUS_VERDICT_TRIMMED] = &summary->trimmed,
    };
    if (item->verdict != WALRUS_VERDICT_OK)
        (*counters[item->verdict])++;
    summary->segments += item->kind == WALRUS_ITEM_SEGMENT;
    summary->blocks += item->kind == WALRUS_ITEM_BLOCK;
    summary->cursors += item->kind == WALRUS_ITEM_CURSOR;
    if (item->kind == WALRUS_ITEM_ENTRY && item->verdict == WALRUS_VERDICT_OK) {
        summary->entries++;
        summary->payload_bytes += item->payload_bytes;
    }
    if (inspection->visit && !inspection->stopped)
        inspection->stopped = inspection->visit(item, inspection->context) != 0;
}

void inspection_note(struct walrus_item *item, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(item->note, sizeof(item->note), format, args);
    va_end(args);
}

/* A file that is on record and not there. */
void inspection_show_missing(struct inspection *inspection, const char *file, uint64_t segment)
{
    struct walrus_item item = {
        .kind = WALRUS_ITEM_GAP, .verdict = WALRUS_VERDICT_MISSING, .file = file, .segment = segment};
    inspection_note(&item, "the file is missing");
    inspection_show(inspection, &item);
}

/* ---- blocks and records ---- */

static void show_gap(struct inspection *inspection, const struct placed_block *placed, const char *file, uint64_t place,
                     uint64_t bytes, uint64_t sequence, enum walrus_verdict verdict, const char *note)
{
    const struct found_block *block = placed->block;
    struct walrus_item item = {.kind = WALRUS_ITEM_GAP,
                               .verdict = verdict,
                               .file = file,
                               .file_offset = block->segment_offset + place,
                               .file_bytes = bytes,
                               .segment = block->segment->id,
                               .topic_id = placed->node->id,
                               .topic_name = placed->node->record.name,
                               .block_index = block->index,
                               .sequence = sequence};
    inspection_note(&item, "%s", note);
    inspection_show(inspection, &item);
}

static enum walrus_verdict verdict_of_entry(const struct placed_block *placed, uint64_t sequence)
{
    if (placed->block->superseded || sequence >= placed->limit)
        return WALRUS_VERDICT_SUPERSEDED;
    if (sequence < placed->node->begin.sequence)
        return WALRUS_VERDICT_TRIMMED;
    if (sequence < placed->end)
        return WALRUS_VERDICT_OK;
    return placed->node->end.batch_uncommitted && sequence < placed->node->end.uncommitted_end
               ? WALRUS_VERDICT_UNCOMMITTED
               : WALRUS_VERDICT_TORN;
}

static int load_payload(struct inspection *inspection, struct block_scan *scan, uint64_t place,
                        const struct record_header *header)
{
    if (inspection->payload_capacity < header->payload_bytes + 1u) {
        uint8_t *grown = realloc(inspection->payload, header->payload_bytes + 1u);
        if (!grown)
            return -ENOMEM;
        inspection->payload = grown;
        inspection->payload_capacity = header->payload_bytes + 1u;
    }
    return block_scan_copy(scan, place + RECORD_HEADER_BYTES + (uint64_t)header->extension_words * 8,
                           inspection->payload, header->payload_bytes);
}

static void describe_mark(struct walrus_item *item, struct block_scan *scan, uint64_t place,
                          const struct record_header *header)
{
    uint8_t bytes[SHARED_COMMIT_BYTES];
    struct shared_commit shared;
    if (header->kind == RECORD_DURABLE_MARK) {
        inspection_note(item, "durable up to here");
    } else if (header->kind == RECORD_SHARED_COMMIT &&
               block_scan_copy(scan, place + RECORD_HEADER_BYTES, bytes, sizeof(bytes)) == 0) {
        shared_commit_decode(bytes, &shared);
        inspection_note(item, "batch commit, part %" PRIu32 " of %" PRIu32 " of batch %016" PRIx64, shared.part + 1,
                        shared.part_count, shared.batch_id);
    } else {
        inspection_note(item, "batch commit");
    }
}

static int show_record(struct inspection *inspection, const struct placed_block *placed, const char *file,
                       struct block_scan *scan, uint64_t place, const struct record_header *header)
{
    const struct found_block *block = placed->block;
    bool is_entry = header->kind == RECORD_ENTRY;
    uint64_t sequence = block->first_sequence + header->index;
    struct walrus_item item = {
        .kind = is_entry ? WALRUS_ITEM_ENTRY : WALRUS_ITEM_MARK,
        .file = file,
        .file_offset = block->segment_offset + place,
        .file_bytes = record_total_bytes(header),
        .segment = block->segment->id,
        .topic_id = placed->node->id,
        .topic_name = placed->node->record.name,
        .block_index = block->index,
        .sequence = sequence,
        .offset = block->first_offset + header->stream_offset,
        .time_ns = header->time_ns,
        .payload_bytes = is_entry ? header->payload_bytes : 0,
        .in_batch = is_entry && (header->flags & RECORD_IN_BATCH),
    };
    item.verdict = is_entry ? verdict_of_entry(placed, sequence) : WALRUS_VERDICT_OK;
    if (!is_entry)
        describe_mark(&item, scan, place, header);
    else if (item.verdict == WALRUS_VERDICT_SUPERSEDED)
        inspection_note(&item, "failed append; a later block has this sequence");
    else if (item.verdict == WALRUS_VERDICT_UNCOMMITTED)
        inspection_note(&item, "%s",
                        placed->node->cut_sequence == UINT64_MAX ? "batch without its commit mark"
                                                                 : "batch over several topics that is not whole");
    else if (item.verdict == WALRUS_VERDICT_TORN)
        inspection_note(&item, "behind a torn tail");
    if (is_entry && inspection->visit) {
        int rc = load_payload(inspection, scan, place, header);
        if (rc < 0)
            return rc;
        item.payload = inspection->payload;
    }
    inspection_show(inspection, &item);
    return 0;
}

/* Bytes where a record should begin. Returns 1 with the place to go on at, 0 at the end of what is in the block, or an
 * errno. */
static int inspect_gap(struct inspection *inspection, const struct placed_block *placed, const char *file,
                       struct block_scan *scan, uint64_t sequence, uint64_t *place)
{
    struct record_header header;
    uint64_t next = 0, from = *place;
    int found = block_scan_search(scan, from + RECORD_ALIGNMENT, 0, &next, &header);
    if (found < 0)
        return found;
    const struct found_block *block = placed->block;
    uint64_t to = found > 0 ? next : scan->bytes;
    const struct record_place *walked = &placed->node->end.walked;
    uint64_t last_index = placed->node->blocks[walked->block].index;
    bool inside =
        !placed->node->end.empty && (block->index < last_index || (block->index == last_index && from < walked->place));
    if (!block->superseded && sequence < placed->limit && inside) {
        char note[120];
        uint64_t upto = found > 0 ? block->first_sequence + header.index : min_u64(placed->limit, placed->end);
        bool given_up = upto > sequence && upto <= placed->node->begin.sequence;
        if (upto > sequence)
            snprintf(note, sizeof(note), "entries %" PRIu64 " to %" PRIu64 " are damaged", sequence, upto - 1);
        else
            snprintf(note, sizeof(note), "a mark is damaged");
        show_gap(inspection, placed, file, from, to - from, sequence,
                 given_up ? WALRUS_VERDICT_TRIMMED : WALRUS_VERDICT_DAMAGED, note);
    } else if (!block->superseded && sequence < placed->limit) {
        /* At the very end zeros are just room; before a later block they are entries that a power cut took. */
        int room = found == 0 && placed->limit == UINT64_MAX ? block_scan_is_zero(scan, from) : 0;
        if (room < 0)
            return room;
        if (!room)
            show_gap(inspection, placed, file, from, to - from, sequence, WALRUS_VERDICT_TORN,
                     "no valid record: an unfinished write");
    }
    *place = next;
    return found > 0;
}

static int inspect_records(struct inspection *inspection, const struct placed_block *placed, const char *file)
{
    const struct found_block *block = placed->block;
    struct block_scan scan;
    struct record_header header;
    uint64_t place = block->first_place;
    uint64_t sequence = block->first_sequence;
    block_scan_init(&scan, block->segment->file, block->segment_offset, block->bytes, block->seed, inspection->window);
    while (!inspection->stopped) {
        int rc = block_scan_header(&scan, place, &header);
        if (rc > 0)
            rc = block_scan_payload(&scan, place, &header);
        if (rc > 0 && block->first_sequence + header.index != sequence)
            rc = 0;
        if (rc < 0)
            return rc;
        if (rc == 0) {
            rc = inspect_gap(inspection, placed, file, &scan, sequence, &place);
            if (rc <= 0)
                return rc;
            rc = block_scan_header(&scan, place, &header);
            if (rc < 0)
                return rc;
            sequence = block->first_sequence + header.index;
        }
        rc = show_record(inspection, placed, file, &scan, place, &header);
        if (rc < 0)
            return rc;
        sequence += header.kind == RECORD_ENTRY;
        place += record_total_bytes(&header);
    }
    return 0;
}

static enum walrus_code inspect_block(struct inspection *inspection, const struct placed_block *placed,
                                      const char *file, struct walrus_error *error)
{
    const struct found_block *block = placed->block;
    struct walrus_item item = {.kind = WALRUS_ITEM_BLOCK,
                               .file = file,
                               .file_offset = block->segment_offset,
                               .file_bytes = block->bytes,
                               .segment = block->segment->id,
                               .topic_id = placed->node->id,
                               .topic_name = placed->node->record.name,
                               .block_index = block->index,
                               .sequence = block->first_sequence,
                               .offset = block->first_offset};
    bool deleted = placed->node->deleted;
    item.verdict = deleted || block->superseded ? WALRUS_VERDICT_SUPERSEDED : WALRUS_VERDICT_OK;
    if (block->trimmed)
        item.verdict = WALRUS_VERDICT_TRIMMED;
    inspection_note(&item, "%s",
                    deleted             ? "of a deleted topic, not freed yet"
                    : block->superseded ? "given up"
                    : block->trimmed    ? "before the first retained entry, not freed yet"
                                        : "");
    if (block->mended && item.verdict == WALRUS_VERDICT_OK) {
        item.verdict = WALRUS_VERDICT_DAMAGED;
        inspection_note(&item, "one bit of its header was wrong; read as if it were right");
    }
    inspection_show(inspection, &item);
    uint64_t begin = placed->node->begin.sequence;
    if (placed->first && block->first_sequence > begin && !placed->node->end.empty)
        show_gap(inspection, placed, file, 0, 0, begin, WALRUS_VERDICT_MISSING,
                 "the blocks before this one are missing");
    int rc = deleted || block->trimmed ? 0 : inspect_records(inspection, placed, file);
    return rc < 0 ? error_system(error, rc, "read %s", file) : WALRUS_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct placed_block *x = a, *y = b;
    if (x->block->segment->id != y->block->segment->id)
        return x->block->segment->id < y->block->segment->id ? -1 : 1;
    return (x->block->segment_offset > y->block->segment_offset) -
           (x->block->segment_offset < y->block->segment_offset);
}

/* A cursor never passes what is durable: where it stands behind its topic's end, entries are gone. */
static void check_cursors(struct inspection *inspection, const struct found_node *node, uint64_t end)
{
    const struct found_cursor *farthest = recovery_farthest_cursor(node);
    if (!farthest || farthest->record.sequence <= end)
        return;
    struct walrus_item item = {.kind = WALRUS_ITEM_GAP,
                               .verdict = WALRUS_VERDICT_MISSING,
                               .file = CURSOR_FILE_NAME,
                               .file_offset = cursor_slot_place(farthest->slot),
                               .segment = WALRUS_NOWHERE,
                               .topic_id = node->id,
                               .topic_name = node->record.name,
                               .sequence = end};
    inspection_note(&item, "entries %" PRIu64 " to %" PRIu64 " were %s and are not there", end,
                    farthest->record.sequence - 1,
                    farthest->record.group_id == CURSOR_GROUP_RETAINED ? "there, and trimmed," : "consumed");
    inspection_show(inspection, &item);
}

static void show_lost_begin(struct inspection *inspection, const struct found_node *node)
{
    struct walrus_item item = {.kind = WALRUS_ITEM_HEAD,
                               .verdict = WALRUS_VERDICT_MISSING,
                               .file = CURSOR_FILE_NAME,
                               .segment = WALRUS_NOWHERE,
                               .topic_id = node->id,
                               .topic_name = node->record.name,
                               .sequence = node->begin.sequence};
    inspection_note(&item, "where the topic begins is lost; what was trimmed may be there again");
    inspection_show(inspection, &item);
}

/* Decides where each topic begins and ends, as recovery does. */
static enum walrus_code find_ends(struct inspection *inspection, struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;
    for (struct found_node *node = inspection->recovery.nodes.first; node; node = node->next) {
        if (code != WALRUS_OK || node->deleted || (node->block_count == 0 && node->cursor_count == 0 && !node->trimmed))
            continue;
        uint8_t framing = node->record.framing <= WALRUS_FRAMING_NUL ? node->record.framing : 0;
        node->topic = topic_create(inspection->log, node->id, node->record.name, (enum walrus_framing)framing);
        if (!node->topic)
            return error_set(error, WALRUS_E_NO_MEMORY, 0, "inspection: out of memory");
        code = recovery_walk(&inspection->recovery, node, error);
    }
    return code == WALRUS_OK ? recovery_settle_batches(&inspection->recovery, error) : code;
}

/* Lists all blocks with what their topics' ends mean for them. */
static void place_blocks(struct inspection *inspection, struct placed_block *placed, size_t *count)
{
    for (struct found_node *node = inspection->recovery.nodes.first; node; node = node->next) {
        if (node->is_topic && !node->deleted)
            inspection->summary.topics++;
        uint64_t end = node->topic ? node->end.at.sequence : 0;
        if (node->begin.lost)
            show_lost_begin(inspection, node);
        if (!node->deleted)
            check_cursors(inspection, node, end);
        for (size_t i = 0; i < node->block_count + node->aside_count; i++)
            placed[(*count)++] = (struct placed_block){
                .block = &node->blocks[i],
                .node = node,
                .limit = i + 1 < node->block_count ? node->blocks[i + 1].first_sequence : UINT64_MAX,
                .first = i == 0,
                .end = end,
            };
    }
}

static void show_bad_places(struct inspection *inspection, const struct segment *segment, const char *file)
{
    for (size_t i = 0; i < inspection->recovery.bad_place_count; i++) {
        const struct bad_place *bad = &inspection->recovery.bad_places[i];
        if (bad->segment_id != segment->id)
            continue;
        struct walrus_item item = {.kind = WALRUS_ITEM_GAP,
                                   .verdict = WALRUS_VERDICT_DAMAGED,
                                   .file = file,
                                   .file_offset = bad->segment_offset,
                                   .segment = segment->id};
        inspection_note(&item, "%s",
                        bad->segment_offset == 0 ? "damaged file header"
                                                 : "damaged block header: its block is not found");
        inspection_show(inspection, &item);
    }
}

static enum walrus_code inspect_segments(struct inspection *inspection, struct walrus_error *error)
{
    struct segment_set *segments = &inspection->log->segments;
    size_t total = 0, count = 0;
    enum walrus_code code = find_ends(inspection, error);
    if (code != WALRUS_OK)
        return code;
    for (struct found_node *node = inspection->recovery.nodes.first; node; node = node->next) {
        total += node->block_count + node->aside_count;
    }
    struct placed_block *placed = calloc(total + 1, sizeof(*placed));
    if (!placed)
        return error_set(error, WALRUS_E_NO_MEMORY, 0, "inspection: out of memory");
    place_blocks(inspection, placed, &count);
    qsort(placed, count, sizeof(*placed), by_place);
    size_t at = 0;
    for (size_t i = 0; code == WALRUS_OK && i < segments->count && !inspection->stopped; i++) {
        struct segment *segment = segments->segments[i];
        char file[SEGMENT_NAME_BYTES];
        segment_name(segment->id, file);
        struct walrus_item item = {.kind = WALRUS_ITEM_SEGMENT, .file = file, .segment = segment->id};
        (void)segment->file->ops->size(segment->file, &item.file_bytes);
        inspection_show(inspection, &item);
        show_bad_places(inspection, segment, file);
        for (; code == WALRUS_OK && at < count && placed[at].block->segment == segment && !inspection->stopped; at++)
            code = inspect_block(inspection, &placed[at], file, error);
    }
    free(placed);
    for (size_t i = 0; i < inspection->recovery.missing_segment_count; i++) {
        char file[SEGMENT_NAME_BYTES];
        segment_name(inspection->recovery.missing_segments[i], file);
        inspection_show_missing(inspection, file, inspection->recovery.missing_segments[i]);
    }
    return code;
}

static enum walrus_code run(struct inspection *inspection, struct walrus_error *error)
{
    enum walrus_code code = inspect_catalog(inspection, error);
    /* The blocks before the cursors: a topic may be known by its blocks only. */
    if (code == WALRUS_OK)
        code = recovery_find_blocks(&inspection->recovery, error);
    if (code == WALRUS_OK)
        code = inspect_cursors(inspection, error);
    if (code == WALRUS_OK)
        code = inspect_segments(inspection, error);
    /* Of a live log the mark may be newer than what was read. */
    return code == WALRUS_OK && !inspection->unlocked ? inspect_mark(inspection, error) : code;
}

#define LOCK_WAIT_MS                                                                                                   \
    1000u /* as walrus_open() does unless told: whoever unmounts and then checks meets a daemon that ends */

enum walrus_code inspect_on(struct io *io, unsigned flags, int (*visit)(const struct walrus_item *item, void *context),
                            void *context, struct walrus_inspect_summary *summary, struct walrus_error *error)
{
    char holder[128] = "";
    int rc = flags & WALRUS_INSPECT_UNLOCKED ? 0 : io->ops->lock(io, LOCK_WAIT_MS, holder, sizeof(holder));
    if (rc < 0)
        return holder[0] ? error_set(error, WALRUS_E_BUSY, 0, "held by %s", holder) : error_system(error, rc, "lock");

    struct inspection inspection = {
        .io = io, .visit = visit, .context = context, .unlocked = (flags & WALRUS_INSPECT_UNLOCKED) != 0};
    inspection.log = calloc(1, sizeof(*inspection.log));
    inspection.window = malloc(BLOCK_SCAN_WINDOW);
    inspection.recovery =
        (struct recovery){.log = inspection.log, .read_only = true, .window = malloc(BLOCK_SCAN_WINDOW)};
    enum walrus_code code = WALRUS_OK;
    if (!inspection.log || !inspection.window || !inspection.recovery.window) {
        code = error_set(error, WALRUS_E_NO_MEMORY, 0, "inspection: out of memory");
    } else {
        inspection.log->io = io;
        segment_set_init(&inspection.log->segments, io, UINT64_MAX, &inspection.log->syncs,
                         &inspection.log->sync_failures);
        code = group_table_init(&inspection.log->groups, error);
        if (code == WALRUS_OK)
            code = run(&inspection, error);
        for (struct found_node *node = inspection.recovery.nodes.first; node; node = node->next) {
            if (node->topic)
                topic_release(node->topic);
        }
        group_table_fini(&inspection.log->groups);
        segment_set_fini(&inspection.log->segments);
    }
    free(inspection.payload);
    recovery_fini(&inspection.recovery);
    free(inspection.window);
    free(inspection.log);
    if (code == WALRUS_OK && summary)
        *summary = inspection.summary;
    return code;
}
