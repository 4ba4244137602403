/*
 * recovery_batches.c - which batches over several topics count.
 *
 * A batch counts if every one of its parts is there. A part that the walk of its topic has met is there, whole, until
 * its topic is cut before it. A part that was not met is judged where the mark before it in the ring says it should be:
 *   - its topic was deleted, or no longer retains it: the batch was durable before that became durable;
 *   - its place is below its topic's durable horizon, and what stands there does not say otherwise (it lies before the
 *     part that had to be walked, or it is damaged): the batch was durable, too. The records are looked at and not only
 *     counted, because after a failed or dropped batch a topic goes on with the same sequences;
 *   - its place lies in the topic and is damaged, in a way that no crash can leave: it is there;
 *   - else it is missing.
 * What was durable counts, whatever is missing; that is damage then. (Once anything at or behind a batch is called
 * durable in one topic, all of it is: shared_batch.h.) Any other batch with a missing part does not count: each topic
 * that has a part of it ends before that part. That may take parts from other batches, so it is repeated until nothing
 * changes; topics only ever get shorter, so it ends.
 *
 * The verdict is final. It depends on bytes that are on the disk for good: a cut in the middle of a recovery changes
 * none of them but for marks of parts that do not count, which are overwritten, durably, before the open returns. So a
 * batch that was dropped is never found whole again, whatever its topics append meanwhile.
 *
 * What can fail: memory, reads; and the overwriting of marks, which fails the open, since without it a later recovery
 * might decide otherwise.
 */
#include "store/recovery.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/block_scan.h"
#include "store/sabotage.h"

static enum walrus_code no_memory(struct walrus_error *error)
{
    return error_set(error, WALRUS_E_NO_MEMORY, 0, "recovery: out of memory");
}

bool recovery_keep_part(struct recovery *recovery, const struct found_part *part)
{
    if (recovery->part_count == recovery->part_capacity) {
        size_t capacity = recovery->part_capacity ? recovery->part_capacity * 2 : 16;
        struct found_part *grown = realloc(recovery->parts, capacity * sizeof(*grown));
        if (!grown)
            return false;
        recovery->parts = grown;
        recovery->part_capacity = capacity;
    }
    recovery->parts[recovery->part_count++] = *part;
    /* A topic that only this mark tells of had its number all the same. */
    recovery->highest_id = max_u64(recovery->highest_id, part->commit.next_topic_id);
    return true;
}

static int by_batch(const void *a, const void *b)
{
    const struct found_part *x = a, *y = b;
    if (x->commit.batch_id != y->commit.batch_id)
        return x->commit.batch_id < y->commit.batch_id ? -1 : 1;
    return (x->commit.part > y->commit.part) - (x->commit.part < y->commit.part);
}

/* The parts of one batch, which stand together. */
struct ring {
    struct found_part *parts;
    size_t count;
};

static bool next_ring(const struct recovery *recovery, struct ring *ring)
{
    struct found_part *end = recovery->parts + recovery->part_count;
    struct found_part *first = ring->parts ? ring->parts + ring->count : recovery->parts;
    if (first == end)
        return false;
    *ring = (struct ring){.parts = first};
    while (first + ring->count < end && first[ring->count].commit.batch_id == first->commit.batch_id)
        ring->count++;
    return true;
}

static bool is_present(const struct found_part *part)
{
    return part->first_sequence < part->node->cut_sequence;
}

static bool is_proven(const struct found_part *part)
{
    return part->first_sequence < part->node->horizon;
}

/* How many different parts are present. */
static size_t count_present(const struct ring *ring)
{
    size_t count = 0;
    for (size_t i = 0; i < ring->count; i++) {
        bool again = i > 0 && ring->parts[i].commit.part == ring->parts[i - 1].commit.part;
        count += is_present(&ring->parts[i]) && !again;
    }
    return count;
}

static bool is_complete(const struct ring *ring)
{
    return count_present(ring) >= ring->parts[0].commit.part_count;
}

/* ---- looking at a place in a topic ---- */

/* Goes through the blocks of one topic, for places that only grow. */
struct sweep {
    struct recovery *recovery;
    const struct found_node *node; /* NULL: nowhere yet */
    size_t block;
    uint64_t place;
    struct block_scan scan;
};

static void enter_block(struct sweep *sweep, const struct found_node *node, size_t block)
{
    sweep->node = node;
    sweep->block = block;
    sweep->place = node->blocks[block].first_place;
    recovery_scan(&sweep->scan, &node->blocks[block], sweep->recovery->window);
}

/* What is sought, and what was met on the way. */
struct search {
    uint64_t batch_id;
    uint64_t sequence;      /* of the part's first entry */
    uint64_t next_sequence; /* where the records passed so far end */
    bool broken;            /* something at the part's place, or behind it, is no valid record */
};

enum found { FOUND_GOES_ON, FOUND_PART, FOUND_BROKEN, FOUND_OTHERS };

/* Something else stands where the part should end. What is broken before it may have been the part. */
static enum found others(const struct search *search)
{
    return search->broken ? FOUND_BROKEN : FOUND_OTHERS;
}

static int judge_mark(struct sweep *sweep, const struct search *search, const struct record_header *header,
                      enum found *found)
{
    uint8_t bytes[SHARED_COMMIT_BYTES];
    struct batch_commit commit;
    struct shared_commit shared = {0};
    *found = others(search);
    if (header->kind == RECORD_DURABLE_MARK)
        return 0;
    int rc = block_scan_copy(&sweep->scan, sweep->place + RECORD_HEADER_BYTES, bytes, header->payload_bytes);
    if (rc < 0)
        return rc;
    batch_commit_decode(bytes, &commit);
    if (header->kind == RECORD_SHARED_COMMIT)
        shared_commit_decode(bytes, &shared);
    if (commit.first_sequence == search->sequence && shared.batch_id == search->batch_id)
        *found = FOUND_PART;
    else if (commit.first_sequence <= search->sequence)
        *found = FOUND_OTHERS; /* a mark stands behind its entries: this one covers the place */
    return 0;
}

/* Takes the record at the current place. */
static int judge_record(struct sweep *sweep, struct search *search, const struct record_header *header,
                        enum found *found)
{
    uint64_t sequence = sweep->node->blocks[sweep->block].first_sequence + header->index;
    *found = FOUND_GOES_ON;
    if (header->kind != RECORD_ENTRY)
        return sequence > search->sequence ? judge_mark(sweep, search, header, found) : 0;
    if (sequence >= search->sequence && !(header->flags & RECORD_IN_BATCH))
        *found = others(search);
    search->next_sequence = sequence + 1;
    return 0;
}

/* To the next valid record of the block; what is passed over may be the part. 1, 0 at the block's end, or an errno. */
static int next_record(struct sweep *sweep, struct search *search, struct record_header *header)
{
    int rc = block_scan_header(&sweep->scan, sweep->place, header);
    if (rc > 0 && header->kind != RECORD_ENTRY)
        rc = block_scan_payload(&sweep->scan, sweep->place, header);
    if (rc != 0)
        return rc;
    rc = block_scan_search(&sweep->scan, sweep->place + RECORD_ALIGNMENT, 0, &sweep->place, header);
    if (rc > 0)
        search->broken |= sweep->node->blocks[sweep->block].first_sequence + header->index > search->sequence;
    return rc;
}

/* What stands in the topic at the place of a part, which is before the topic's end. 0 or a negated errno. */
static int look_at(struct sweep *sweep, const struct found_node *node, struct search *search, enum found *found)
{
    size_t block = node->block_count;
    while (block > 0 && node->blocks[block - 1].first_sequence > search->sequence)
        block--;
    *found = FOUND_BROKEN;
    if (block == 0)
        return 0; /* the topic's first blocks are lost */
    if (sweep->node != node || sweep->block != block - 1)
        enter_block(sweep, node, block - 1);
    bool reached = false;
    struct sweep start = *sweep;
    search->next_sequence = node->blocks[sweep->block].first_sequence;
    int rc = 0;
    *found = FOUND_GOES_ON;
    while (*found == FOUND_GOES_ON) {
        struct record_header header;
        size_t next = sweep->block + 1;
        bool last = sweep->block == node->end.at.block;
        uint64_t limit = last ? node->end.at.sequence : node->blocks[next].first_sequence;
        rc = next_record(sweep, search, &header);
        if (rc < 0)
            break;
        uint64_t sequence = node->blocks[sweep->block].first_sequence + header.index;
        if (rc > 0 && (header.kind != RECORD_ENTRY || sequence < limit)) {
            if (!reached && sequence >= search->sequence) {
                reached = true;
                start = *sweep;
            }
            rc = judge_record(sweep, search, &header, found);
            if (rc < 0)
                break;
            sweep->place += record_total_bytes(&header);
            continue;
        }
        search->broken |= search->next_sequence < limit && limit > search->sequence;
        if (last)
            *found = others(search);
        else
            enter_block(sweep, node, next);
    }
    *sweep = start;
    sweep->scan.window_bytes = 0; /* the window may hold another block's bytes */
    return rc < 0 ? rc : 0;
}

/* ---- parts that were not met ---- */

static enum next_part judge_found(const struct found_node *node, uint64_t sequence, enum found found)
{
    if (found == FOUND_OTHERS)
        return NEXT_MISSING;
    return sequence < node->horizon ? NEXT_PROVEN : NEXT_THERE;
}

/* What can be said without looking; NEXT_UNKNOWN: nothing. */
static enum next_part judge_by_topic(const struct found_node *node, uint64_t sequence)
{
    if (!node || !node->is_topic)
        return NEXT_MISSING;
    if (node->deleted)
        return NEXT_PROVEN;
    if (sequence < node->begin.sequence)
        return NEXT_PROVEN;
    if (node->end.empty || sequence >= node->end.at.sequence)
        return sequence < node->horizon ? NEXT_PROVEN : NEXT_MISSING;
    return NEXT_UNKNOWN;
}

static struct found_node *next_node(const struct recovery *recovery, const struct found_part *part)
{
    struct found_node *node = recovery_find_node(recovery, part->commit.next_topic_id);
    return node;
}

static bool has_part(const struct ring *ring, uint32_t number)
{
    for (size_t i = 0; i < ring->count; i++) {
        if (ring->parts[i].commit.part == number)
            return true;
    }
    return false;
}

static int by_next_place(const void *a, const void *b)
{
    const struct found_part *x = *(struct found_part *const *)a, *y = *(struct found_part *const *)b;
    if (x->commit.next_topic_id != y->commit.next_topic_id)
        return x->commit.next_topic_id < y->commit.next_topic_id ? -1 : 1;
    return (x->commit.next_sequence > y->commit.next_sequence) - (x->commit.next_sequence < y->commit.next_sequence);
}

/* Which parts have a next one that only a look can judge; the others' are judged. */
static size_t gather_questions(struct recovery *recovery, struct found_part **questions)
{
    size_t count = 0;
    struct ring ring = {0};
    while (next_ring(recovery, &ring)) {
        if (is_complete(&ring))
            continue;
        for (size_t i = 0; i < ring.count; i++) {
            struct found_part *part = &ring.parts[i];
            struct found_node *node = next_node(recovery, part);
            if (has_part(&ring, (part->commit.part + 1) % part->commit.part_count))
                continue;
            part->next = judge_by_topic(node, part->commit.next_sequence);
            if (part->next == NEXT_UNKNOWN)
                questions[count++] = part;
            if (node && node->deleted)
                node->deletion_needed = true;
        }
    }
    return count;
}

static enum walrus_code look_for_unmet(struct recovery *recovery, struct walrus_error *error)
{
    struct sweep sweep = {.recovery = recovery};
    struct found_part **questions = malloc(recovery->part_count * sizeof(struct found_part *));
    if (!questions)
        return no_memory(error);
    size_t count = gather_questions(recovery, questions);
    if (count > 1)
        qsort(questions, count, sizeof(*questions), by_next_place);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct found_part *part = questions[i];
        struct found_node *node = next_node(recovery, part);
        struct search search = {.batch_id = part->commit.batch_id, .sequence = part->commit.next_sequence};
        enum found found;
        rc = look_at(&sweep, node, &search, &found);
        if (rc == 0)
            part->next = judge_found(node, part->commit.next_sequence, found);
        else
            (void)error_system(error, rc, "recover '%s': look for entry %" PRIu64, node->record.name,
                               part->commit.next_sequence);
    }
    free(questions);
    return rc < 0 ? WALRUS_E_IO : WALRUS_OK;
}

/* ---- verdicts ---- */

static bool was_durable(const struct ring *ring)
{
    for (size_t i = 0; i < ring->count; i++) {
        if (is_proven(&ring->parts[i]) || ring->parts[i].next == NEXT_PROVEN)
            return true;
    }
    return false;
}

/* A batch that was durable was so in all its topics, with all that they had before. */
static void spread_proofs(struct recovery *recovery)
{
    bool changed = true;
    while (changed) {
        struct ring ring = {0};
        changed = false;
        while (next_ring(recovery, &ring)) {
            if (!was_durable(&ring))
                continue;
            for (size_t i = 0; i < ring.count; i++) {
                const struct found_part *part = &ring.parts[i];
                uint64_t end = part->first_sequence + part->entry_count;
                changed |= end > part->node->horizon;
                part->node->horizon = max_u64(part->node->horizon, end);
            }
        }
    }
}

/* Parts that were not met and are there all the same. */
static size_t count_damaged(const struct recovery *recovery, const struct ring *ring)
{
    size_t count = 0;
    for (size_t i = 0; i < ring->count; i++) {
        const struct found_part *part = &ring->parts[i];
        count += part->next == NEXT_THERE && is_present(part) &&
                 part->commit.next_sequence < next_node(recovery, part)->cut_sequence;
    }
    return count;
}

static bool counts(const struct recovery *recovery, const struct ring *ring)
{
    size_t present = count_present(ring);
    return present == 0 || was_durable(ring) ||
           present + count_damaged(recovery, ring) >= ring->parts[0].commit.part_count;
}

/* Ends the topics before the parts of batches that do not count. */
static void cut_topics(struct recovery *recovery)
{
    bool changed = true;
    while (changed) {
        struct ring ring = {0};
        changed = false;
        while (next_ring(recovery, &ring)) {
            if (counts(recovery, &ring))
                continue;
            changed = true;
            for (size_t i = 0; i < ring.count; i++) {
                const struct found_part *part = &ring.parts[i];
                if (!is_present(part))
                    continue;
                part->node->cut_sequence = part->first_sequence;
                part->node->cut_end = part->first_sequence + part->entry_count;
            }
        }
    }
}

enum walrus_code recovery_settle_batches(struct recovery *recovery, struct walrus_error *error)
{
    if (recovery->part_count == 0 || SABOTAGED(no_ring_check))
        return WALRUS_OK;
    qsort(recovery->parts, recovery->part_count, sizeof(*recovery->parts), by_batch);
    enum walrus_code code = look_for_unmet(recovery, error);
    if (code != WALRUS_OK)
        return code;
    spread_proofs(recovery);
    cut_topics(recovery);
    for (struct found_node *node = recovery->nodes.first; node; node = node->next) {
        if (code != WALRUS_OK || node->cut_sequence == UINT64_MAX)
            continue;
        recovery->log->findings.damages -= node->end.damages;
        code = recovery_walk(recovery, node, error);
    }
    return code;
}

/* ---- what must not be undone ---- */

enum walrus_code recovery_blot_parts(struct recovery *recovery, struct walrus_error *error)
{
    static const uint8_t nothing[RECORD_HEADER_BYTES];
    for (size_t i = 0; i < recovery->part_count; i++) {
        const struct found_part *part = &recovery->parts[i];
        if (is_present(part))
            continue;
        const struct found_block *block = &part->node->blocks[part->block];
        int rc =
            io_full_write_bytes(block->segment->file, nothing, sizeof(nothing), block->segment_offset + part->place);
        if (rc < 0)
            return error_system(error, rc, "drop a batch of '%s': write segment %" PRIu64 " at %" PRIu64,
                                part->node->record.name, block->segment->id, block->segment_offset + part->place);
        sync_point_note_write(&block->segment->sync);
    }
    return WALRUS_OK;
}

enum walrus_code recovery_emit_deletions(struct recovery *recovery, struct catalog *into, struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;
    for (struct found_node *node = recovery->nodes.first; node; node = node->next) {
        uint64_t ticket;
        struct catalog_record record = {
            .type = CATALOG_TOPIC_DELETED, .node_id = node->id, .time_ns = clock_realtime_ns()};
        if (code == WALRUS_OK && node->deletion_needed)
            code = catalog_append(into, &record, &ticket, error);
    }
    return code;
}
