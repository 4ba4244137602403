#include "store/topic.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "format/record_header.h"
#include "store/group_cursor.h"
#include "store/log.h"
#include "store/retention.h"
#include "store/topic_faults.h"
#include "store/watch.h"

#define FIRST_BLOCK_BYTES 4096u
#define BLOCK_GROWTH 4u
#define BATCH_BLOCK_MAX ((uint64_t)64 << 20)

struct walrus_topic *topic_create(struct walrus_log *log, uint64_t id, const char *name, enum walrus_framing framing)
{
    struct walrus_topic *topic = calloc(1, sizeof(*topic));
    if (!topic)
        return NULL;
    topic->name = strdup(name);
    if (!topic->name) {
        free(topic);
        return NULL;
    }
    topic->log = log;
    topic->id = id;
    topic_set_framing(topic, framing);
    topic->blotted_from = UINT64_MAX;
    topic->due_offset = UINT64_MAX;
    atomic_init(&topic->references, 1);
    pthread_mutex_init(&topic->trim_lock, NULL);
    pthread_mutex_init(&topic->append_lock, NULL);
    pthread_mutex_init(&topic->lock, NULL);
    return topic;
}

void topic_raise_catalog_ticket(struct walrus_topic *topic, uint64_t ticket)
{
    uint64_t before = atomic_load(&topic->catalog_ticket);
    while (before < ticket && !atomic_compare_exchange_weak(&topic->catalog_ticket, &before, ticket))
        ;
}

void topic_acquire(struct walrus_topic *topic)
{
    atomic_fetch_add(&topic->references, 1);
}

bool topic_try_acquire(struct walrus_topic *topic)
{
    uint32_t references = atomic_load(&topic->references);
    while (references > 0) {
        if (atomic_compare_exchange_weak(&topic->references, &references, references + 1))
            return true;
    }
    return false;
}

uint64_t topic_tick(struct walrus_topic *topic)
{
    topic->append_ns = max_u64(topic->append_ns, clock_realtime_ns());
    return topic->append_ns;
}

void topic_release(struct walrus_topic *topic)
{
    if (atomic_fetch_sub(&topic->references, 1) != 1)
        return;
    janitor_forget_topic(&topic->log->janitor, topic);
    group_cursors_destroy(topic);
    bool deleted = atomic_load(&topic->deleted);
    if (deleted && topic->head.has_slot)
        cursor_file_free_slot(&topic->log->cursors, topic->head.slot, topic->head.generation);
    for (size_t i = 0; i < topic->block_count; i++) {
        log_count_block(topic->log, topic->blocks[i]->bytes, false);
        if (deleted)
            topic_block_release(topic, topic->blocks[i]);
        else
            free(topic->blocks[i]);
    }
    free(topic->blocks);
    free(topic->dirty);
    topic_faults_free(topic->faults);
    watch_list_destroy(atomic_load(&topic->watches));
    pthread_mutex_destroy(&topic->lock);
    pthread_mutex_destroy(&topic->append_lock);
    pthread_mutex_destroy(&topic->trim_lock);
    free(topic->name);
    free(topic);
}

/* Small for small topics, growing with them; exactly as large as needed for what is larger than growth allows. */
static uint64_t block_size(const struct walrus_topic *topic, uint64_t need, uint64_t want, uint64_t previous_bytes)
{
    uint64_t most = topic->log->options.block_bytes_max;
    uint64_t grown = previous_bytes == 0 ? FIRST_BLOCK_BYTES : min_u64(previous_bytes, most) * BLOCK_GROWTH;
    uint64_t size = min_u64(grown, max_u64(most, FIRST_BLOCK_BYTES));
    size = max_u64(size, min_u64(want, BATCH_BLOCK_MAX));
    return round_up(max_u64(size, need), BLOCK_ALIGNMENT);
}

/* What a new block takes over from the one it follows. */
struct predecessor {
    bool exists;
    uint64_t index;
    uint64_t bytes;
};

/* The last block that stays when one from `sequence` on is put behind it. */
static struct predecessor block_before(struct walrus_topic *topic, uint64_t sequence)
{
    struct predecessor before = {0};
    pthread_mutex_lock(&topic->lock);
    size_t i = topic->block_count;
    while (i > 0 && topic->blocks[i - 1]->first_sequence >= sequence)
        i--;
    if (i > 0)
        before = (struct predecessor){true, topic->blocks[i - 1]->index, topic->blocks[i - 1]->bytes};
    pthread_mutex_unlock(&topic->lock);
    return before;
}

enum walrus_code topic_block_create(struct walrus_topic *topic, uint64_t need, uint64_t want,
                                    const struct block *previous, uint64_t sequence, uint64_t offset,
                                    struct block **block, struct walrus_error *error)
{
    struct walrus_log *log = topic->log;
    size_t name_bytes = strlen(topic->name);
    uint64_t overhead = block_header_bytes(name_bytes) + BLOCK_RESERVE_BYTES;
    bool synced = topic_sync_policy(topic).mode == WALRUS_SYNC_EACH;
    unsigned lane = synced ? SEGMENT_LANE_SYNCED : 1 + (unsigned)(topic->id % (SEGMENT_LANES - 1));

    struct block *made = calloc(1, sizeof(*made));
    if (!made)
        return error_set(error, WALRUS_E_NO_MEMORY, 0, "block: out of memory");
    struct predecessor before =
        previous ? (struct predecessor){true, previous->index, previous->bytes} : block_before(topic, sequence);
    made->bytes = block_size(topic, need + overhead, want + overhead, before.bytes);
    bool may_wait = !topic->must_not_wait;
    enum walrus_code code =
        segment_set_allocate(&log->segments, lane, made->bytes, may_wait, &made->segment, &made->segment_offset, error);
    if (code == WALRUS_E_NO_SPACE && made->bytes > round_up(need + overhead, BLOCK_ALIGNMENT)) {
        /* Fill the disk to its end with small blocks before refusing. */
        made->bytes = round_up(need + overhead, BLOCK_ALIGNMENT);
        code = segment_set_allocate(&log->segments, lane, made->bytes, may_wait, &made->segment, &made->segment_offset,
                                    error);
    }
    if (code != WALRUS_OK) {
        free(made);
        return code;
    }

    struct block_header header = {
        .log_id = log->log_id,
        .segment_id = made->segment->id,
        .segment_offset = made->segment_offset,
        .block_bytes = made->bytes,
        .topic_id = topic->id,
        .block_index = topic->next_block_index,
        .previous_index = before.exists ? before.index : topic->next_block_index,
        .first_sequence = sequence,
        .first_offset = offset,
        .durable_sequence = min_u64(topic->durable_sequence, sequence),
        .created_ns = topic->append_ns,
        .salt = random_id(),
        .framing = (uint8_t)topic->framing,
        .name_bytes = (uint16_t)name_bytes,
    };
    topic->next_block_index++;
    memcpy(header.name, topic->name, name_bytes + 1);
    uint8_t bytes[BLOCK_HEADER_MAX];
    uint32_t header_bytes = block_header_encode(&header, bytes);
    made->index = header.block_index;
    made->previous_index = header.previous_index;
    made->first_sequence = sequence;
    made->first_offset = offset;
    made->created_ns = header.created_ns;
    made->first_place = header_bytes;
    made->seed = record_seed(header.salt);
    atomic_init(&made->references, 1);
    atomic_init(&made->end_place, header_bytes);

    int rc = io_full_write_bytes(made->segment->file, bytes, header_bytes, made->segment_offset);
    if (rc < 0) {
        code = error_system(error, rc, "write block header at %" PRIu64 " of segment %" PRIu64, made->segment_offset,
                            made->segment->id);
        error_place(error, made->segment->id, made->segment_offset, sequence);
        topic_block_withdraw(topic, made);
        return code;
    }
    *block = made;
    return WALRUS_OK;
}

void topic_block_discard(struct walrus_topic *topic, struct block *block)
{
    (void)segment_set_release(&topic->log->segments, block->segment, block->segment_offset, block->bytes);
    free(block);
}

void topic_block_withdraw(struct walrus_topic *topic, struct block *block)
{
    struct segment *segment = block->segment;
    int rc = segment->file->ops->punch(segment->file, block->segment_offset, block->bytes);
    if (rc == 0)
        rc = sync_point_wait(&segment->sync, sync_point_note_write(&segment->sync));
    /* Should a crash bring its header back, entries that went on in the tail would count as superseded by it. */
    if (rc < 0)
        topic->tail = NULL;
    topic_block_discard(topic, block);
}

void topic_block_release(struct walrus_topic *topic, struct block *block)
{
    if (atomic_fetch_sub(&block->references, 1) == 1)
        janitor_take_block(&topic->log->janitor, block);
}

static bool reserve_blocks_locked(struct walrus_topic *topic, size_t more)
{
    if (topic->block_count + more <= topic->block_capacity)
        return true;
    size_t capacity = (topic->block_capacity ? topic->block_capacity * 2 : 1) + more - 1;
    struct block **grown = realloc(topic->blocks, capacity * sizeof(struct block *));
    if (!grown)
        return false;
    topic->blocks = grown;
    topic->block_capacity = capacity;
    return true;
}

static bool reserve_dirty_locked(struct walrus_topic *topic, size_t more)
{
    if (topic->dirty_count + more <= topic->dirty_capacity)
        return true;
    size_t capacity = (topic->dirty_capacity ? topic->dirty_capacity * 2 : 2) + more - 1;
    struct dirty_segment *grown = realloc(topic->dirty, capacity * sizeof(*grown));
    if (!grown)
        return false;
    topic->dirty = grown;
    topic->dirty_capacity = capacity;
    return true;
}

enum walrus_code topic_reserve(struct walrus_topic *topic, size_t more_blocks, size_t more_dirty,
                               struct walrus_error *error)
{
    pthread_mutex_lock(&topic->lock);
    bool reserved = reserve_blocks_locked(topic, more_blocks) && reserve_dirty_locked(topic, more_dirty);
    pthread_mutex_unlock(&topic->lock);
    return reserved ? WALRUS_OK : error_set(error, WALRUS_E_NO_MEMORY, 0, "out of memory");
}

enum walrus_code topic_block_attach(struct walrus_topic *topic, struct block *block, struct walrus_error *error)
{
    struct block *superseded[8];
    size_t superseded_count = 0;
    pthread_mutex_lock(&topic->lock);
    if (!reserve_blocks_locked(topic, 1)) {
        pthread_mutex_unlock(&topic->lock);
        return error_set(error, WALRUS_E_NO_MEMORY, 0, "block list: out of memory");
    }
    while (topic->block_count > 0 && superseded_count < 8 &&
           topic->blocks[topic->block_count - 1]->first_sequence >= block->first_sequence) {
        struct block *last = topic->blocks[--topic->block_count];
        topic->block_bytes -= last->bytes;
        log_count_block(topic->log, last->bytes, false);
        superseded[superseded_count++] = last;
    }
    topic->blocks[topic->block_count++] = block;
    topic->block_bytes += block->bytes;
    log_count_block(topic->log, block->bytes, true);
    retention_note_growth_locked(topic);
    pthread_mutex_unlock(&topic->lock);
    while (superseded_count > 0)
        topic_block_release(topic, superseded[--superseded_count]);
    return WALRUS_OK;
}

void topic_begin_at(struct walrus_topic *topic, uint64_t sequence, uint64_t offset)
{
    struct block *gone = NULL, **next = &gone;
    size_t count = 0;
    pthread_mutex_lock(&topic->lock);
    topic->first_sequence = sequence;
    topic->first_offset = offset;
    while (count + 1 < topic->block_count && topic->blocks[count + 1]->first_sequence <= sequence) {
        struct block *block = topic->blocks[count++];
        topic->block_bytes -= block->bytes;
        log_count_block(topic->log, block->bytes, false);
        block->next_gone = NULL;
        *next = block;
        next = &block->next_gone;
    }
    topic->block_count -= count;
    if (count > 0)
        memmove(topic->blocks, topic->blocks + count, topic->block_count * sizeof(struct block *));
    pthread_mutex_unlock(&topic->lock);
    while (gone) { /* the oldest first: should a crash stop the clearing, what is left has no gaps */
        struct block *block = gone;
        gone = block->next_gone;
        topic_block_release(topic, block);
    }
}

void topic_publish_locked(struct walrus_topic *topic, const struct topic_end_of_stream *end)
{
    if (end->sequence > topic->visible_sequence) {
        log_count_entries(topic->log, topic->id, end->sequence - topic->visible_sequence);
        topic->visible_sequence = end->sequence;
        topic->visible_offset = end->offset;
        topic->visible_ns = end->time_ns;
        if (end->offset >= topic->due_offset) {
            topic->due_offset = UINT64_MAX;
            retention_note_growth_locked(topic);
        }
    }
}

void topic_note_dirty_locked(struct walrus_topic *topic, struct segment *segment, uint64_t ticket)
{
    if (topic->dirty_count == 0 || topic->dirty[topic->dirty_count - 1].segment != segment)
        topic->dirty[topic->dirty_count++] = (struct dirty_segment){.segment = segment};
    topic->dirty[topic->dirty_count - 1].ticket = ticket;
}

void topic_depend_locked(struct walrus_topic *topic, struct segment *segment, uint64_t ticket)
{
    /* The last visit to the segment: who waits for a write of an earlier one must not stop there (sync.c). */
    size_t i = topic->dirty_count;
    while (i > 0 && topic->dirty[i - 1].segment != segment)
        i--;
    if (i == 0)
        topic->dirty[topic->dirty_count++] = (struct dirty_segment){segment, ticket};
    else
        topic->dirty[i - 1].ticket = max_u64(topic->dirty[i - 1].ticket, ticket);
}

enum walrus_code topic_note_write(struct walrus_topic *topic, struct segment *segment,
                                  const struct topic_end_of_stream *visible, uint64_t *ticket,
                                  struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;
    *ticket = sync_point_note_write(&segment->sync);
    pthread_mutex_lock(&topic->lock);
    if (!reserve_dirty_locked(topic, 1))
        code = error_set(error, WALRUS_E_NO_MEMORY, 0, "out of memory");
    else
        topic_note_dirty_locked(topic, segment, *ticket);
    if (code == WALRUS_OK && visible)
        topic_publish_locked(topic, visible);
    pthread_mutex_unlock(&topic->lock);
    return code;
}

bool topic_publish(struct walrus_topic *topic, const struct topic_end_of_stream *end)
{
    pthread_mutex_lock(&topic->lock);
    bool whole = end->sequence <= topic->blotted_from;
    if (whole)
        topic_publish_locked(topic, end);
    pthread_mutex_unlock(&topic->lock);
    return whole;
}

bool topic_find_block(struct walrus_topic *topic, uint64_t sequence, struct block **block, uint64_t *block_end)
{
    bool found = false;
    pthread_mutex_lock(&topic->lock);
    size_t low = 0, high = topic->block_count; /* first block that begins behind `sequence` */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (topic->blocks[middle]->first_sequence <= sequence)
            low = middle + 1;
        else
            high = middle;
    }
    if (low > 0) {
        *block = topic->blocks[low - 1];
        atomic_fetch_add_explicit(&(*block)->references, 1, memory_order_relaxed);
        *block_end = low < topic->block_count ? topic->blocks[low]->first_sequence : UINT64_MAX;
        found = true;
    }
    pthread_mutex_unlock(&topic->lock);
    return found;
}

uint64_t topic_first_in_blocks(struct walrus_topic *topic)
{
    pthread_mutex_lock(&topic->lock);
    uint64_t first = topic->block_count > 0 ? topic->blocks[0]->first_sequence : UINT64_MAX;
    pthread_mutex_unlock(&topic->lock);
    return first;
}

bool topic_find_block_by_offset(struct walrus_topic *topic, uint64_t offset, struct block **block)
{
    pthread_mutex_lock(&topic->lock);
    size_t low = 0, high = topic->block_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (topic->blocks[middle]->first_offset <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    if (low > 0) {
        *block = topic->blocks[low - 1];
        atomic_fetch_add_explicit(&(*block)->references, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&topic->lock);
    return low > 0;
}

bool topic_find_block_by_time(struct walrus_topic *topic, uint64_t time_ns, struct block **block,
                              struct topic_end_of_stream *end)
{
    pthread_mutex_lock(&topic->lock);
    size_t low = 0, high = topic->block_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (topic->blocks[middle]->created_ns < time_ns)
            low = middle + 1;
        else
            high = middle;
    }
    if (low > 0) {
        *block = topic->blocks[low - 1];
        atomic_fetch_add_explicit(&(*block)->references, 1, memory_order_relaxed);
        *end = (struct topic_end_of_stream){.sequence = topic->visible_sequence, .offset = topic->visible_offset};
    }
    if (low > 0 && low < topic->block_count && topic->blocks[low]->first_sequence < end->sequence) {
        end->sequence = topic->blocks[low]->first_sequence;
        end->offset = topic->blocks[low]->first_offset;
    }
    pthread_mutex_unlock(&topic->lock);
    return low > 0;
}

void topic_view(struct walrus_topic *topic, struct topic_view *view)
{
    pthread_mutex_lock(&topic->lock);
    view->first_sequence = topic->first_sequence;
    view->first_offset = topic->first_offset;
    view->end_sequence = topic->visible_sequence;
    view->end_offset = topic->visible_offset;
    pthread_mutex_unlock(&topic->lock);
}
