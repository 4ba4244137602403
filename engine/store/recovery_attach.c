/*
 * recovery_attach.c - a topic comes to life with the blocks up to its end.
 *
 * What lies behind the end stays on disk: the next append begins a new block, which supersedes everything from its
 * first sequence on.
 */
#include "store/recovery.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/error.h"
#include "format/record_header.h"

void recovery_scan(struct block_scan *scan, const struct found_block *block, uint8_t *window)
{
    block_scan_init(scan, block->segment->file, block->segment_offset, block->bytes, block->seed, window);
}

static enum walrus_code add_blocks(const struct found_node *node, struct walrus_error *error)
{
    const struct record_place *end = &node->end.at;
    for (size_t i = 0; i <= end->block; i++) {
        const struct found_block *found = &node->blocks[i];
        struct block *block = calloc(1, sizeof(*block));
        if (!block)
            return error_set(error, WALRUS_E_NO_MEMORY, 0, "recovery: out of memory");
        *block = (struct block){
            .segment = found->segment,
            .segment_offset = found->segment_offset,
            .bytes = found->bytes,
            .index = found->index,
            .previous_index = found->previous_index,
            .first_sequence = found->first_sequence,
            .first_offset = found->first_offset,
            .created_ns = found->created_ns,
            .first_place = found->first_place,
            .seed = found->seed,
        };
        atomic_init(&block->references, 1);
        atomic_init(&block->end_place, i < end->block ? found->bytes : end->place);
        enum walrus_code code = topic_block_attach(node->topic, block, error);
        if (code != WALRUS_OK) {
            free(block);
            return code;
        }
    }
    return WALRUS_OK;
}

int recovery_block_is_there(struct recovery *recovery, const struct found_block *block)
{
    uint8_t bytes[BLOCK_HEADER_MAX];
    struct block_header header;
    int rc = io_read_padded(block->segment->file, bytes, sizeof(bytes), block->segment_offset);
    if (rc < 0)
        return rc;
    return block_header_decode(bytes, sizeof(bytes), &header) && header.log_id == recovery->log->log_id &&
           header.segment_id == block->segment->id && header.segment_offset == block->segment_offset &&
           header.block_bytes == block->bytes && header.block_index == block->index &&
           record_seed(header.salt) == block->seed;
}

bool recovery_release_block(struct recovery *recovery, const struct found_block *block)
{
    uint8_t bytes[BLOCK_HEADER_FIXED];
    if (block->lost)
        return true;
    if (block->marked && recovery_block_is_there(recovery, block) <= 0) {
        /* Freed already, perhaps not wholly; or the file is not what it was, and not ours to clear. */
        if (io_read_padded(block->segment->file, bytes, sizeof(bytes), block->segment_offset) < 0 ||
            !bytes_are_zero(bytes, sizeof(bytes)))
            return false;
    }
    return segment_set_release(&recovery->log->segments, block->segment, block->segment_offset, block->bytes);
}

enum tail {
    TAIL_OPEN = 1, /* appends go on in the last block */
    TAIL_CLOSED,
    TAIL_TORN, /* something lies behind its last record */
};

/* What is appended to a block must be found without the mark, too. */
static int judge_marked_tail(struct recovery *recovery, struct found_node *node, const struct found_block *block)
{
    const struct marked_segment *said = recovery_marked_segment(recovery, block->segment->id);
    uint64_t size = 0;
    int rc = block->segment->file->ops->size(block->segment->file, &size);
    if (rc < 0)
        return rc;
    if (said && size < said->record.size && size < block->segment_offset + block->bytes)
        return TAIL_CLOSED; /* the file was cut off, which is known by now */
    rc = recovery_block_is_there(recovery, block);
    if (rc != 0)
        return rc < 0 ? rc : TAIL_OPEN;
    node->topic->damages++;
    recovery_note(recovery, &recovery->log->findings.damages,
                  "'%s': the header of a block is damaged at %" PRIu64 " of segment %" PRIu64, node->topic->name,
                  block->segment_offset, block->segment->id);
    return TAIL_CLOSED;
}

/* An enum tail or a negated errno. */
static int judge_tail(struct recovery *recovery, struct found_node *node)
{
    const struct record_place *end = &node->end.at;
    if (node->end.from_mark)
        return node->marked->record.tail_open ? TAIL_OPEN : TAIL_CLOSED;
    if (end->block + 1 != node->block_count)
        return TAIL_TORN;
    const struct found_block *block = &node->blocks[end->block];
    struct block_scan scan;
    recovery_scan(&scan, block, recovery->window);
    int zero = block_scan_is_zero(&scan, end->place);
    if (zero <= 0)
        return zero < 0 ? zero : TAIL_TORN;
    return block->marked ? judge_marked_tail(recovery, node, block) : TAIL_OPEN;
}

static enum walrus_code settle_tail(struct recovery *recovery, struct found_node *node, struct walrus_error *error)
{
    struct walrus_topic *topic = node->topic;
    const struct record_place *end = &node->end.at;
    int tail = judge_tail(recovery, node);
    if (tail < 0) {
        const struct found_block *block = &node->blocks[end->block];
        enum walrus_code code = error_system(error, tail, "recover '%s': read segment %" PRIu64 " at %" PRIu64,
                                             topic->name, block->segment->id, block->segment_offset + end->place);
        error_place(error, block->segment->id, block->segment_offset + end->place, end->sequence);
        return code;
    }
    if (tail == TAIL_OPEN) {
        topic->tail = topic->blocks[topic->block_count - 1];
        topic->tail_place = end->place;
    } else if (tail == TAIL_TORN && !node->end.batch_uncommitted) {
        recovery_note(recovery, &recovery->log->findings.torn_tails,
                      "'%s': an unfinished tail behind entry %" PRIu64 " was dropped", topic->name, end->sequence);
    }
    return WALRUS_OK;
}

void recovery_raise_end(struct recovery *recovery, struct found_node *node, uint64_t sequence, uint64_t offset,
                        const char *why)
{
    struct walrus_topic *topic = node->topic;
    if (sequence <= topic->next_sequence)
        return;
    topic->damages++;
    recovery_note(recovery, &recovery->log->findings.damages, "'%s': %s %" PRIu64 ", behind its end at %" PRIu64,
                  topic->name, why, sequence, topic->next_sequence);
    topic->next_sequence = topic->visible_sequence = topic->recovered_sequence = sequence;
    topic->next_offset = topic->visible_offset = max_u64(topic->next_offset, offset);
    atomic_store(&topic->durable_sequence, sequence);
    topic->tail = NULL;
}

/* While a topic is empty its framing may change: then the catalogue knows, and not a block that was made before. */
static void settle_framing(struct walrus_topic *topic, uint8_t in_catalog)
{
    if (topic->next_sequence > 0 || topic->framing == in_catalog || in_catalog > WALRUS_FRAMING_NUL)
        return;
    topic_set_framing(topic, (enum walrus_framing)in_catalog);
    topic->tail = NULL;
}

static enum walrus_code attach_blocks(struct recovery *recovery, struct found_node *node, struct walrus_error *error)
{
    struct walrus_topic *topic = node->topic;
    const struct topic_end *end = &node->end;
    topic->visible_ns = topic->append_ns = end->last_ns;
    for (size_t i = 0; i < node->block_count + node->aside_count; i++) {
        const struct found_block *block = &node->blocks[i];
        topic->next_block_index = max_u64(topic->next_block_index, block->index + 1);
        topic->append_ns = max_u64(topic->append_ns, block->created_ns);
        if (i >= node->block_count)
            (void)recovery_release_block(recovery, block);
    }
    topic->damages = end->damages;
    topic->first_sequence = node->begin.sequence;
    topic->first_offset = node->begin.offset;
    topic->next_sequence = topic->visible_sequence = end->at.sequence;
    topic->next_offset = topic->visible_offset = end->at.offset;
    topic->recovered_sequence = end->at.sequence;
    atomic_store(&topic->durable_sequence, end->at.sequence); /* true before the open returns: recovery.c, step 5 */
    if (node->block_count == 0)
        return WALRUS_OK;
    if (end->empty) {
        recovery_note(recovery, &recovery->log->findings.torn_tails, "'%s': its first block was lost", topic->name);
        settle_framing(topic, node->record.framing);
        return WALRUS_OK;
    }
    if (end->batch_uncommitted)
        recovery_note(recovery, &recovery->log->findings.batches_dropped,
                      "'%s': an unfinished batch behind entry %" PRIu64 " was dropped", topic->name, end->at.sequence);
    enum walrus_code code = add_blocks(node, error);
    if (code == WALRUS_OK)
        code = settle_tail(recovery, node, error);
    if (code == WALRUS_OK)
        settle_framing(topic, node->record.framing);
    return code;
}

enum walrus_code recovery_attach(struct recovery *recovery, struct found_node *node, struct walrus_error *error)
{
    const struct mark_topic *marked = node->marked ? &node->marked->record : NULL;
    enum walrus_code code = attach_blocks(recovery, node, error);
    if (code != WALRUS_OK || !marked)
        return code;
    node->topic->next_block_index = max_u64(node->topic->next_block_index, marked->next_block_index);
    recovery_raise_end(recovery, node, marked->end_sequence, marked->end_offset, "the clean mark has its end at");
    return WALRUS_OK;
}
