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
            .first_sequence = found->first_sequence,
            .first_offset = found->first_offset,
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

/* Appends go on in the last block if nothing lies behind its last record. */
static enum walrus_code settle_tail(struct recovery *recovery, struct found_node *node, struct walrus_error *error)
{
    struct walrus_topic *topic = node->topic;
    const struct record_place *end = &node->end.at;
    int clean = 0;
    if (end->block + 1 == node->block_count) {
        const struct found_block *block = &node->blocks[end->block];
        struct block_scan scan;
        recovery_scan(&scan, block, recovery->window);
        clean = block_scan_is_zero(&scan, end->place);
        if (clean < 0) {
            enum walrus_code code = error_system(error, clean, "recover '%s': read segment %" PRIu64 " at %" PRIu64,
                                                 topic->name, block->segment->id, block->segment_offset + end->place);
            error_place(error, block->segment->id, block->segment_offset + end->place, end->sequence);
            return code;
        }
    }
    if (clean) {
        topic->tail = topic->blocks[topic->block_count - 1];
        topic->tail_place = end->place;
    } else if (!node->end.batch_uncommitted) {
        recovery_note(recovery, &recovery->log->findings.torn_tails,
                      "'%s': an unfinished tail behind entry %" PRIu64 " was dropped", topic->name, end->sequence);
    }
    return WALRUS_OK;
}

/* While a topic is empty its framing may change: then the catalogue knows, and not a block that was made before. */
static void settle_framing(struct walrus_topic *topic, uint8_t in_catalog)
{
    if (topic->next_sequence > 0 || topic->framing == in_catalog || in_catalog > WALRUS_FRAMING_NUL)
        return;
    topic_set_framing(topic, (enum walrus_framing)in_catalog);
    topic->tail = NULL;
}

enum walrus_code recovery_attach(struct recovery *recovery, struct found_node *node, struct walrus_error *error)
{
    struct walrus_topic *topic = node->topic;
    const struct topic_end *end = &node->end;
    topic->visible_ns = end->last_ns;
    for (size_t i = 0; i < node->block_count + node->aside_count; i++) {
        const struct found_block *block = &node->blocks[i];
        topic->next_block_index = max_u64(topic->next_block_index, block->index + 1);
        if (i >= node->block_count)
            (void)segment_set_release(&recovery->log->segments, block->segment, block->segment_offset, block->bytes);
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
