#include "store/retention.h"

#include "base/bytes.h"
#include "store/group_cursor.h"
#include "store/log.h"
#include "store/seek.h"

#define MS_NS UINT64_C(1000000)

static struct walrus_retention in_force_locked(const struct walrus_topic *topic)
{
    return topic->retention.mode == WALRUS_RETAIN_INHERIT ? topic->log->options.retention : topic->retention;
}

void retention_note_growth_locked(struct walrus_topic *topic)
{
    if (topic->block_count > 1 && in_force_locked(topic).mode != WALRUS_RETAIN_ALL)
        janitor_note_topic(&topic->log->janitor, topic);
}

void retention_note_progress(struct walrus_topic *topic)
{
    pthread_mutex_lock(&topic->lock);
    retention_note_growth_locked(topic);
    pthread_mutex_unlock(&topic->lock);
}

/* ---- age ---- */

static uint64_t end_of_life_ns(uint64_t newest_ns, uint64_t limit_ms)
{
    uint64_t limit_ns = limit_ms < UINT64_MAX / MS_NS ? limit_ms * MS_NS : UINT64_MAX;
    return newest_ns < UINT64_MAX - limit_ns ? newest_ns + limit_ns : UINT64_MAX;
}

/*
 * When the first block goes: its newest entry's time, once somebody has looked, tells. Before that its own time of
 * making is a bound below, and that of the next block one above.
 */
static uint64_t earliest_ns(const struct walrus_topic *topic, size_t block, uint64_t limit_ms)
{
    const struct block *first = topic->blocks[block];
    return end_of_life_ns(first->newest_ns ? first->newest_ns : first->created_ns, limit_ms);
}

static uint64_t latest_ns(const struct walrus_topic *topic, size_t block, uint64_t limit_ms)
{
    const struct block *first = topic->blocks[block];
    return end_of_life_ns(first->newest_ns ? first->newest_ns : topic->blocks[block + 1]->created_ns, limit_ms);
}

/* The first block that stays; *unsure: whether that one stays is told only by its entries. */
static size_t keep_by_age_locked(const struct walrus_topic *topic, uint64_t limit_ms, uint64_t now_ns, bool *unsure)
{
    size_t keep = 0;
    while (keep + 1 < topic->block_count && latest_ns(topic, keep, limit_ms) < now_ns)
        keep++;
    *unsure = keep + 1 < topic->block_count && topic->blocks[keep]->newest_ns == 0 &&
              earliest_ns(topic, keep, limit_ms) < now_ns;
    return keep;
}

/* ---- consumed, bytes ---- */

/* The last block that begins at or before the sequence. */
static size_t keep_by_sequence_locked(const struct walrus_topic *topic, uint64_t sequence)
{
    size_t low = 0, high = topic->block_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (topic->blocks[middle]->first_sequence <= sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? low - 1 : 0;
}

/* The last block that has at least `bytes` of the stream from its beginning to the end. */
static size_t keep_by_bytes_locked(const struct walrus_topic *topic, uint64_t bytes)
{
    size_t low = 0, high = topic->block_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint64_t first = topic->blocks[middle]->first_offset;
        if (first <= topic->visible_offset && topic->visible_offset - first >= bytes)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? low - 1 : 0;
}

/* ---- the look ---- */

/* What may go at all: what readers see; of a topic whose sync failed only what is durable. */
static uint64_t limit_locked(const struct walrus_topic *topic)
{
    uint64_t limit = topic->visible_sequence;
    return atomic_load(&topic->refuses) ? min_u64(limit, atomic_load(&topic->durable_sequence)) : limit;
}

static size_t keep_locked(const struct walrus_topic *topic, uint64_t now_ns, bool *unsure)
{
    struct walrus_retention retention = in_force_locked(topic);
    uint64_t consumed;
    size_t keep = 0;
    *unsure = false;
    switch (retention.mode) {
    case WALRUS_RETAIN_CONSUMED:
        keep = topic_consumed_locked(topic, &consumed) ? keep_by_sequence_locked(topic, consumed) : 0;
        break;
    case WALRUS_RETAIN_BYTES:
        keep = keep_by_bytes_locked(topic, retention.limit);
        break;
    case WALRUS_RETAIN_AGE:
        keep = keep_by_age_locked(topic, retention.limit, now_ns, unsure);
        break;
    default:
        break;
    }
    uint64_t limit = limit_locked(topic);
    while (keep > 0 && topic->blocks[keep]->first_sequence > limit)
        keep--;
    return keep;
}

/* Looks into a block for the time of its newest entry. */
static void learn_newest(struct walrus_topic *topic, struct block *block, uint64_t next_created_ns)
{
    uint64_t newest_ns;
    if (seek_newest_time(topic, block, &newest_ns) < 0)
        newest_ns = next_created_ns; /* unreadable: as old as it can be at the least */
    pthread_mutex_lock(&topic->lock);
    block->newest_ns = max_u64(newest_ns, 1);
    pthread_mutex_unlock(&topic->lock);
}

bool retention_decide(struct walrus_topic *topic, uint64_t now_ns, struct head_move *move)
{
    bool goes = false;
    for (;;) {
        bool unsure = false;
        struct block *unknown = NULL;
        uint64_t next_created_ns = 0;
        pthread_mutex_lock(&topic->lock);
        size_t keep = topic->block_count > 1 && !atomic_load(&topic->deleted) ? keep_locked(topic, now_ns, &unsure) : 0;
        if (unsure) {
            unknown = topic->blocks[keep];
            next_created_ns = topic->blocks[keep + 1]->created_ns;
            atomic_fetch_add(&unknown->references, 1);
        } else if (keep > 0) {
            const struct block *first = topic->blocks[keep];
            *move =
                (struct head_move){.topic = topic, .sequence = first->first_sequence, .offset = first->first_offset};
            topic->next_first_sequence = first->first_sequence;
            goes = true;
        }
        pthread_mutex_unlock(&topic->lock);
        if (!unknown)
            return goes;
        learn_newest(topic, unknown, next_created_ns);
        topic_block_release(topic, unknown);
    }
}

void retention_done(struct walrus_topic *topic, bool failed, uint64_t *look_ns)
{
    *look_ns = UINT64_MAX;
    pthread_mutex_lock(&topic->lock);
    struct walrus_retention retention = in_force_locked(topic);
    bool may_go = topic->block_count > 1 && !atomic_load(&topic->deleted);
    topic->next_first_sequence = 0;
    topic->due_offset = UINT64_MAX;
    /* What is due and cannot go would have somebody look again at once, and for ever: after a failure time does. */
    bool stuck =
        failed || (may_go && topic->blocks[1]->first_sequence > limit_locked(topic) && atomic_load(&topic->refuses));
    if (may_go && !stuck && retention.mode == WALRUS_RETAIN_BYTES &&
        retention.limit < UINT64_MAX - topic->blocks[1]->first_offset)
        topic->due_offset = topic->blocks[1]->first_offset + retention.limit;
    if (may_go && retention.mode == WALRUS_RETAIN_AGE)
        *look_ns = earliest_ns(topic, 0, retention.limit);
    bool due = topic->visible_offset >= topic->due_offset; /* it grew meanwhile */
    pthread_mutex_unlock(&topic->lock);
    if (due)
        retention_note_progress(topic);
}
