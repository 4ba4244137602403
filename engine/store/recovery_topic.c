/*
 * recovery_topic.c - one topic's blocks in order, and where the topic ends.
 *
 * Only what may not have been durable is walked: from the block that holds the durable horizon which the newest block
 * noted. The end is where the records stop being valid, unless something valid follows. Then either
 *   - the gap lies below a durable horizon that a later record tells: bytes changed after they were safe: damage. What
 *     follows is kept, and reading the gap reports it; or
 *   - it does not, and bytes may be missing that a power cut took: a torn tail. Nothing behind it was acknowledged as
 *     durable, and a topic is a prefix without gaps after a crash: what follows is dropped; or
 *   - it does not, and certainly no byte is missing, only wrong: damage as well.
 * A batch at the end without its commit mark is dropped whole.
 *
 * What is dropped stays on disk: the next append begins a new block, which supersedes everything from its first
 * sequence on.
 */
#include "store/recovery.h"
#include "store/topic_faults.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "store/block_scan.h"
#include "store/sabotage.h"

/* The walk over one topic's blocks. */
struct walk {
    struct recovery *recovery;
    struct found_node *node;
    struct walrus_topic *topic;
    struct block_scan scan; /* of the block `at` is in */
    struct record_place at;
    bool in_batch;     /* entries since batch_begin wait for their mark */
    bool batch_shared; /* of a batch over several topics */
    struct record_place batch_begin;
    uint32_t batch_headers_crc;
    bool batch_damaged;
    uint64_t last_ns;
    uint64_t newest_durable; /* durable horizon that the newest block noted */
    bool horizon_known;
    uint64_t horizon; /* below it everything was durable, by what later records say */
    uint64_t proven;  /* the same, by the records walked */
    uint64_t damages;
};

static struct found_block *block_of(const struct walk *walk, size_t i)
{
    return &walk->node->blocks[i];
}

static void enter_block(struct walk *walk, size_t i)
{
    const struct found_block *block = block_of(walk, i);
    recovery_scan(&walk->scan, block, walk->recovery->window);
    walk->at = (struct record_place){i, block->first_place, block->first_sequence, block->first_offset};
}

/* The sequence at which the block after this one goes on. */
static uint64_t limit_of(const struct walk *walk)
{
    size_t next = walk->at.block + 1;
    return next < walk->node->block_count ? block_of(walk, next)->first_sequence : UINT64_MAX;
}

static enum walrus_code read_error(const struct walk *walk, int rc, struct walrus_error *error)
{
    const struct found_block *block = block_of(walk, walk->at.block);
    enum walrus_code code = error_system(error, rc, "recover '%s': read segment %" PRIu64 " at %" PRIu64,
                                         walk->topic->name, block->segment->id, block->segment_offset + walk->at.place);
    error_place(error, block->segment->id, block->segment_offset + walk->at.place, walk->at.sequence);
    return code;
}

/* ---- which blocks count ---- */

static int by_index(const void *a, const void *b)
{
    const struct found_block *x = a, *y = b;
    return (x->index > y->index) - (x->index < y->index);
}

static int living_first(const void *a, const void *b)
{
    const struct found_block *x = a, *y = b;
    bool x_aside = x->superseded || x->trimmed, y_aside = y->superseded || y->trimmed;
    return x_aside != y_aside ? x_aside - y_aside : by_index(a, b);
}

/*
 * Puts the blocks in order. One that begins at or behind the start of a later one was given up: what failed into it was
 * never acknowledged. One whose next begins at or before the first retained entry was to be cleared. Such blocks come
 * last, and node->block_count leaves them out.
 */
static void set_dead_blocks_aside(struct found_node *node)
{
    uint64_t least = UINT64_MAX;
    size_t aside = 0;
    if (node->block_count == 0)
        return;
    qsort(node->blocks, node->block_count, sizeof(*node->blocks), by_index);
    for (size_t i = node->block_count; i-- > 0;) {
        struct found_block *block = &node->blocks[i];
        block->superseded = block->first_sequence >= least;
        block->trimmed = !block->superseded && least <= node->begin.sequence;
        least = block->superseded ? least : block->first_sequence;
        aside += block->superseded || block->trimmed;
    }
    if (aside > 0)
        qsort(node->blocks, node->block_count, sizeof(*node->blocks), living_first);
    node->block_count -= aside;
    node->aside_count += aside;
}

/*
 * Where the cursor file does not say for sure where the topic begins, what the clean mark names may have been trimmed
 * and cleared since: only what is there counts.
 */
static enum walrus_code drop_cleared_blocks(struct walk *walk, struct walrus_error *error)
{
    struct found_node *node = walk->node;
    size_t kept = 0;
    for (size_t i = 0; i < node->block_count; i++) {
        const struct found_block *block = &node->blocks[i];
        int there = block->marked && !block->lost ? recovery_block_is_there(walk->recovery, block) : 1;
        if (there < 0) {
            walk->at.block = i;
            return read_error(walk, there, error);
        }
        if (there)
            node->blocks[kept++] = *block;
        else
            block->segment->live_blocks--;
    }
    node->block_count = kept;
    return WALRUS_OK;
}

/* Blocks whose file is gone leave the list. What was retained in them is damage; so is what was cut off. */
static void drop_lost_blocks(struct walk *walk)
{
    struct found_node *node = walk->node;
    size_t living = node->block_count, all = living + node->aside_count, kept = 0;
    for (size_t i = 0; i < all; i++) {
        if (!node->blocks[i].lost) {
            walk->damages += i < living && node->blocks[i].cut_off;
            node->blocks[kept++] = node->blocks[i];
        } else if (i >= living) {
            node->aside_count--;
        } else {
            node->block_count--;
            walk->damages += i + 1 < living || node->marked->record.end_sequence > node->begin.sequence;
        }
    }
}

static size_t first_to_walk(const struct walk *walk)
{
    size_t i = walk->node->block_count - 1;
    while (i > 0 && block_of(walk, i)->first_sequence > walk->newest_durable)
        i--;
    return i;
}

/* ---- damage ---- */

/* What the records behind the current place say about the durable horizon. */
static int learn_horizon(struct walk *walk)
{
    if (walk->horizon_known)
        return 0;
    for (size_t i = walk->at.block; i < walk->node->block_count; i++) {
        const struct found_block *block = block_of(walk, i);
        struct block_scan scan;
        struct record_header header;
        uint64_t place = i == walk->at.block ? walk->at.place : block->first_place;
        walk->horizon = max_u64(walk->horizon, block->durable_sequence);
        recovery_scan(&scan, block, walk->recovery->window);
        for (;;) {
            int rc = block_scan_search(&scan, place, 0, &place, &header);
            if (rc < 0)
                return rc;
            if (rc == 0)
                break;
            uint64_t sequence = block->first_sequence + header.index;
            walk->horizon = max_u64(walk->horizon, record_lag_decode(sequence, header.durable_lag));
            place += record_total_bytes(&header);
        }
    }
    walk->scan.window_bytes = 0; /* the window was used for other blocks */
    walk->horizon_known = true;
    return 0;
}

/* Entries from the current place up to `next` are damaged. */
static void note_damage(struct walk *walk, uint64_t next)
{
    const struct found_block *block = block_of(walk, walk->at.block);
    if (next <= walk->node->begin.sequence)
        return; /* they were trimmed: nobody will miss them */
    walk->damages++;
    (void)topic_learn_damage(walk->topic, walk->at.sequence);
    walk->batch_damaged = true;
    recovery_note(walk->recovery, &walk->recovery->log->findings.damages,
                  "'%s': entry %" PRIu64 " is damaged at %" PRIu64 " of segment %" PRIu64, walk->topic->name,
                  walk->at.sequence, block->segment_offset + walk->at.place, block->segment->id);
}

/* ---- records ---- */

static void begin_or_extend_batch(struct walk *walk, const struct record_header *header)
{
    uint8_t crc_bytes[4];
    bool shared = (header->flags & RECORD_IN_SHARED_BATCH) != 0;
    if (!walk->in_batch || walk->batch_shared != shared) {
        /* What a later block knew to be durable belongs to a batch that is complete; its mark may lie far ahead. */
        if (walk->at.sequence < walk->newest_durable)
            return;
        walk->in_batch = true;
        walk->batch_shared = shared;
        walk->batch_begin = walk->at;
        walk->batch_headers_crc = 0;
        walk->batch_damaged = false;
    }
    store_le32(crc_bytes, header->header_crc);
    walk->batch_headers_crc = crc32c(walk->batch_headers_crc, crc_bytes, sizeof(crc_bytes));
}

/*
 * The record at the current place shows that the topic went on behind the entries that wait for a mark, and no gap is
 * here that might have been it. A batch of one topic is complete then, since appends follow only what was written. Of a
 * batch over several topics other parts may be missing, and only the mark says where they are. 1: the topic goes on
 * (the entries were durable, or a damaged place among them was judged before); 0: it ends before them; below 0: errno.
 */
static int goes_on_without_mark(struct walk *walk)
{
    if (!walk->in_batch || !walk->batch_shared || walk->batch_damaged)
        return 1;
    int rc = learn_horizon(walk);
    if (rc < 0)
        return rc;
    return max_u64(walk->horizon, walk->proven) > walk->batch_begin.sequence;
}

/* Remembers the part of a batch over several topics whose mark stands at the current place. 1 or -ENOMEM. */
static int keep_part(struct walk *walk, const uint8_t bytes[SHARED_COMMIT_BYTES], const struct batch_commit *commit)
{
    struct found_part part = {.node = walk->node,
                              .first_sequence = commit->first_sequence,
                              .entry_count = commit->entry_count,
                              .block = (uint32_t)walk->at.block,
                              .place = walk->at.place};
    shared_commit_decode(bytes, &part.commit);
    if (part.commit.part_count < 2 || walk->node->cut_sequence != UINT64_MAX)
        return 1;
    return recovery_keep_part(walk->recovery, &part) ? 1 : -ENOMEM;
}

/*
 * Whether the mark at the current place commits the entries that wait for one, by itself. Exactly these, normally. The
 * batch may have begun before the walk did (then its beginning is durable, so all of it was written), or entries may
 * wait since an earlier batch whose mark is damaged (that one was complete, or this one would not follow).
 */
static bool mark_holds(const struct walk *walk, const struct batch_commit *commit)
{
    bool exact = commit->first_sequence == walk->batch_begin.sequence && !walk->batch_damaged;
    return !walk->in_batch || (commit->first_sequence + commit->entry_count == walk->at.sequence &&
                               (!exact || commit->headers_crc == walk->batch_headers_crc));
}

/* As take_record(); *holds: what waits for a mark counts. */
static int take_mark(struct walk *walk, const struct record_header *header, bool *holds)
{
    uint8_t bytes[SHARED_COMMIT_BYTES];
    struct batch_commit commit;
    int rc = block_scan_copy(&walk->scan, walk->at.place + RECORD_HEADER_BYTES, bytes, header->payload_bytes);
    if (rc < 0)
        return rc;
    batch_commit_decode(bytes, &commit);
    rc = 1;
    if (commit.first_sequence > walk->batch_begin.sequence)
        rc = goes_on_without_mark(walk); /* the mark of the batch before this one */
    if (rc <= 0)
        return rc;
    *holds = mark_holds(walk, &commit);
    if (*holds && header->kind == RECORD_SHARED_COMMIT)
        rc = keep_part(walk, bytes, &commit);
    return rc;
}

static int take_entry(struct walk *walk, const struct record_header *header)
{
    bool in_shared = (header->flags & RECORD_IN_BATCH) && (header->flags & RECORD_IN_SHARED_BATCH);
    int rc = in_shared ? 1 : goes_on_without_mark(walk);
    if (rc <= 0)
        return rc;
    if (header->flags & RECORD_IN_BATCH)
        begin_or_extend_batch(walk, header);
    else
        walk->in_batch = false; /* appends follow only a batch that is complete */
    walk->at.sequence++;
    walk->at.offset += header->payload_bytes + walk->topic->delimiter_bytes;
    walk->last_ns = header->time_ns;
    return 1;
}

/* Takes the valid record at the current place and steps behind it. 1: done; 0: the topic ends before; below 0: errno.
 */
static int take_record(struct walk *walk, const struct record_header *header)
{
    const struct found_block *block = block_of(walk, walk->at.block);
    bool holds = true;
    int rc = 1;
    walk->proven = max_u64(walk->proven, record_lag_decode(block->first_sequence + header->index, header->durable_lag));
    switch (header->kind) {
    case RECORD_ENTRY:
        walk->at.sequence = block->first_sequence + header->index;
        walk->at.offset = block->first_offset + header->stream_offset;
        rc = take_entry(walk, header);
        break;
    case RECORD_BATCH_COMMIT:
    case RECORD_SHARED_COMMIT:
        rc = take_mark(walk, header, &holds);
        if (rc > 0 && holds)
            walk->in_batch = false;
        break;
    default:
        rc = goes_on_without_mark(walk);
        if (rc > 0)
            walk->in_batch = false;
        break;
    }
    if (rc > 0) {
        walk->at.place += record_total_bytes(header);
        walk->recovery->log->findings.walked_bytes += record_total_bytes(header);
    }
    return rc;
}

/* 1: a whole valid record of this walk stands at the current place; 0: not. *claimed: the payload bytes that a valid
 * header tells. */
static int valid_here(struct walk *walk, struct record_header *header, uint64_t *claimed)
{
    *claimed = 0;
    int rc = block_scan_header(&walk->scan, walk->at.place, header);
    if (rc <= 0)
        return rc;
    *claimed = (uint64_t)header->extension_words * 8 + header->payload_bytes;
    uint64_t sequence = block_of(walk, walk->at.block)->first_sequence + header->index;
    if (sequence != walk->at.sequence)
        return 0;
    return block_scan_payload(&walk->scan, walk->at.place, header);
}

/* ---- gaps ---- */

/*
 * No valid record stands at the current place. 1: the walk goes on (from a later place, now current); 0: the topic ends
 * here; below 0: negated errno.
 */
static int meet_gap(struct walk *walk, uint64_t claimed)
{
    struct record_header header;
    const struct found_block *block = block_of(walk, walk->at.block);
    uint64_t limit = limit_of(walk);
    bool linked = limit != UINT64_MAX && block_of(walk, walk->at.block + 1)->previous_index == block->index;
    if (walk->at.sequence == limit && linked) {
        enter_block(walk, walk->at.block + 1);
        return 1;
    }
    int rc = learn_horizon(walk);
    if (rc < 0)
        return rc;
    if (walk->at.sequence == limit) {
        /* The block that the next one follows is gone. It may have superseded what stands here, which then never
         * counted. */
        if (walk->horizon <= (walk->in_batch ? walk->batch_begin.sequence : walk->at.sequence))
            return 0;
        note_damage(walk, limit + 1);
        enter_block(walk, walk->at.block + 1);
        return 1;
    }
    uint64_t next = 0;
    uint32_t least_index = (uint32_t)(walk->at.sequence - block->first_sequence);
    int found = block_scan_search(&walk->scan, walk->at.place + RECORD_ALIGNMENT, least_index, &next, &header);
    if (found < 0)
        return found;
    if (found > 0 && block->first_sequence + header.index > limit)
        found = 0;
    if (!found && limit == UINT64_MAX)
        return 0; /* nothing valid follows */

    if (walk->at.sequence >= walk->horizon) {
        int lost = block_scan_may_be_lost(&walk->scan, walk->at.place, claimed);
        if (lost < 0)
            return lost;
        if (lost > 0)
            return 0;
    }
    note_damage(walk, found > 0 ? block->first_sequence + header.index : limit);
    if (found > 0) {
        walk->at.place = next;
        walk->at.sequence = block->first_sequence + header.index;
        walk->at.offset = block->first_offset + header.stream_offset;
    } else {
        enter_block(walk, walk->at.block + 1);
    }
    return 1;
}

/* What the cursor file says about where the topic begins, or the clean mark, if that is all there is. */
static void find_begin(const struct recovery *recovery, struct found_node *node)
{
    const struct found_cursor *head = recovery_cursor_of(node, CURSOR_GROUP_RETAINED);
    const struct mark_topic *mark = node->marked ? &node->marked->record : NULL;
    node->begin = (struct topic_begin){.lost = node->trimmed && !head && !(mark && recovery->mark.clean)};
    if (head) {
        node->begin.sequence = head->record.sequence;
        node->begin.offset = head->record.offset;
    }
    if (mark && mark->first_sequence > node->begin.sequence) {
        node->begin.sequence = mark->first_sequence;
        node->begin.offset = mark->first_offset;
    }
}

/* Whether it may in truth begin later than the cursor file says. */
static bool begin_is_unsure(const struct found_node *node)
{
    const struct found_cursor *head = recovery_cursor_of(node, CURSOR_GROUP_RETAINED);
    return node->begin.lost || (head && head->torn);
}

/* The topic was trimmed, and nothing says any more how far: it begins with what there is. */
static void meet_lost_begin(struct walk *walk)
{
    struct found_node *node = walk->node;
    walk->damages++;
    recovery_note(walk->recovery, &walk->recovery->log->findings.damages,
                  "'%s': where it begins is lost; what was trimmed may be there again", walk->topic->name);
    if (node->block_count > 0 && block_of(walk, 0)->first_sequence > node->begin.sequence) {
        node->begin.sequence = block_of(walk, 0)->first_sequence;
        node->begin.offset = block_of(walk, 0)->first_offset;
    }
}

/*
 * The topic's first retained entries are in no block. If nothing says that they were durable, a power cut took the
 * first block's header: the topic is the prefix before them, which is empty. Else they are missing, and the rest is
 * kept. Where a copy of the head is not valid, a later head may have been in it: then all before that was durable.
 */
static enum walrus_code meet_missing_start(struct walk *walk, bool *empty, struct walrus_error *error)
{
    const struct topic_begin *begin = &walk->node->begin;
    const struct found_cursor *head = recovery_cursor_of(walk->node, CURSOR_GROUP_RETAINED);
    enter_block(walk, 0);
    int rc = walk->horizon > begin->sequence ? 0 : learn_horizon(walk);
    if (rc < 0)
        return read_error(walk, rc, error);
    *empty = walk->horizon <= begin->sequence && !(head && head->torn);
    if (*empty) {
        walk->at = (struct record_place){.sequence = begin->sequence, .offset = begin->offset};
        return WALRUS_OK;
    }
    walk->damages++;
    (void)topic_learn_damage(walk->topic, begin->sequence);
    recovery_note(walk->recovery, &walk->recovery->log->findings.damages,
                  "'%s': the blocks of entries %" PRIu64 " to %" PRIu64 " are missing", walk->topic->name,
                  begin->sequence, block_of(walk, 0)->first_sequence - 1);
    return WALRUS_OK;
}

/*
 * Where the clean mark has the topic's end, everything before is known, and no batch is half there: the walk goes on
 * from that place. False: the block is gone.
 */
static bool begin_at_mark(struct walk *walk)
{
    const struct mark_topic *mark = &walk->node->marked->record;
    for (size_t i = walk->node->block_count; i-- > 0;) {
        const struct found_block *block = block_of(walk, i);
        if (block->index != mark->end_block_index || mark->end_place < block->first_place ||
            mark->end_place > block->bytes || mark->end_sequence < block->first_sequence)
            continue;
        enter_block(walk, i);
        walk->at.place = mark->end_place;
        walk->at.sequence = mark->end_sequence;
        walk->at.offset = mark->end_offset;
        walk->last_ns = mark->end_ns;
        return true;
    }
    return false;
}

/* Walks to the end of the topic. *empty: no block holds anything of it. */
static enum walrus_code walk_records(struct walk *walk, bool *empty, struct walrus_error *error)
{
    *empty = false;
    /* The catalogue may not have what the entries were written with: a change of it is durable later than they. */
    topic_set_framing(walk->topic, block_of(walk, 0)->framing);
    const struct marked_topic *marked = walk->node->marked;
    /* What was trimmed was durable. */
    walk->horizon = walk->node->begin.sequence;
    walk->newest_durable =
        max_u64(block_of(walk, walk->node->block_count - 1)->durable_sequence, walk->node->begin.sequence);
    if (marked) {
        walk->horizon = max_u64(walk->horizon, marked->record.end_sequence);
        if (!marked->record.damaged)
            walk->newest_durable = max_u64(walk->newest_durable, marked->record.end_sequence);
    }
    /* Damage is told at each open: one looks for it as if there were no mark. */
    bool known = marked && !marked->record.damaged;
    if (known && walk->recovery->mark.clean && begin_at_mark(walk)) {
        walk->node->end.from_mark = true;
        return WALRUS_OK;
    }
    if (block_of(walk, 0)->first_sequence > walk->node->begin.sequence) {
        enum walrus_code code = meet_missing_start(walk, empty, error);
        if (code != WALRUS_OK || *empty)
            return code;
    }
    if (!known || !begin_at_mark(walk))
        enter_block(walk, first_to_walk(walk));
    for (;;) {
        struct record_header header;
        uint64_t claimed;
        int rc = valid_here(walk, &header, &claimed);
        if (rc > 0 && header.kind == RECORD_ENTRY && walk->at.sequence >= limit_of(walk))
            rc = 0; /* superseded by the next block */
        if (rc >= 0 && walk->at.sequence >= walk->node->cut_sequence && (rc == 0 || header.kind == RECORD_ENTRY)) {
            walk->in_batch = false; /* what is before was complete, or the batch that begins here would not follow */
            return WALRUS_OK;
        }
        rc = rc > 0 ? take_record(walk, &header) : rc == 0 ? meet_gap(walk, claimed) : rc;
        if (rc < 0)
            return read_error(walk, rc, error);
        if (rc == 0)
            return WALRUS_OK;
    }
}

/* All that says what was durable: the walk has met the records, or learnt from those that it did not come to. */
static void note_horizon(const struct walk *walk)
{
    struct found_node *node = walk->node;
    const struct found_cursor *farthest = recovery_farthest_cursor(node);
    uint64_t horizon = max_u64(walk->proven, walk->horizon);
    for (size_t i = 0; i < node->block_count; i++)
        horizon = max_u64(horizon, node->blocks[i].durable_sequence);
    if (farthest)
        horizon = max_u64(horizon, farthest->record.sequence);
    node->horizon = max_u64(node->horizon, horizon);
}

enum walrus_code recovery_walk(struct recovery *recovery, struct found_node *node, struct walrus_error *error)
{
    struct walk walk = {.recovery = recovery, .node = node, .topic = node->topic, .last_ns = node->topic->created_ns};
    struct topic_end *end = &node->end;
    enum walrus_code code = WALRUS_OK;
    node->marked = recovery_marked_topic(recovery, node->id);
    find_begin(recovery, node);
    if (node->marked && !recovery->mark.clean && begin_is_unsure(node)) {
        code = drop_cleared_blocks(&walk, error);
        if (code != WALRUS_OK)
            return code;
    }
    set_dead_blocks_aside(node);
    if (node->begin.lost)
        meet_lost_begin(&walk);
    drop_lost_blocks(&walk);
    *end = (struct topic_end){.empty = true, .last_ns = walk.last_ns, .damages = walk.damages};
    end->at = end->walked = (struct record_place){.sequence = node->begin.sequence, .offset = node->begin.offset};
    if (node->block_count == 0) {
        note_horizon(&walk);
        return WALRUS_OK;
    }
    code = walk_records(&walk, &end->empty, error);
    if (code != WALRUS_OK)
        return code;
    end->at = end->walked = walk.at;
    end->last_ns = walk.last_ns;
    end->damages = walk.damages;
    end->batch_uncommitted = walk.in_batch || node->cut_sequence != UINT64_MAX;
    end->uncommitted_end = walk.in_batch ? walk.at.sequence : node->cut_end;
    note_horizon(&walk);
    if (walk.in_batch && !SABOTAGED(no_commit_mark_check))
        end->at = walk.batch_begin;
    return WALRUS_OK;
}
