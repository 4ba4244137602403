/*
 * model_retain.c - what may have been freed, and what must have been.
 */
#include "model.h"

#include <time.h>
#include <unistd.h>

#include "../support/block_sum.h"
#include "store/log.h"

#define MS_NS UINT64_C(1000000)
#define HOUR_NS (3600000 * MS_NS)
#define DATES_NS (200 * MS_NS) /* a topic is not looked at twice within half of this for the sake of time alone */
#define PATIENCE_MS 20000u

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- what a policy lets go ---- */

static struct walrus_retention in_force(const struct run *run, const struct model_topic *topic)
{
    return topic->retention.mode == WALRUS_RETAIN_INHERIT ? run->options.retention : topic->retention;
}

/* The lowest position of the cursors that there are: as far as it may be durable, or as far as it is. */
static uint64_t consumed(const struct model_topic *topic, bool surely)
{
    uint64_t lowest = UINT64_MAX;
    for (unsigned g = 0; g < GROUPS; g++) {
        const struct model_cursor *cursor = &topic->cursors[g];
        uint64_t at = surely ? cursor->durable : model_low(cursor, topic->first);
        if (cursor->exists && at < lowest)
            lowest = at;
    }
    return lowest == UINT64_MAX ? 0 : lowest;
}

/* The last entry with at least so many bytes of the stream from its beginning to the end. */
static uint64_t before_newest_bytes(const struct model_topic *topic, uint64_t bytes)
{
    uint64_t low = 0, high = topic->count;
    while (low < high) {
        uint64_t middle = low + (high - low + 1) / 2;
        if (topic->end_offset - model_offset(topic, middle) >= bytes)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* The first entry that is not, or may not be, older than that. */
static uint64_t before_age(const struct model_topic *topic, uint64_t age_ms, uint64_t now, bool surely)
{
    uint64_t low = topic->first, high = topic->count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const struct place *place = &topic->places[middle];
        if ((surely ? place->until_ns : place->from_ns) + age_ms * MS_NS < now)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Entries before this one go, as far as they fill blocks. */
static uint64_t policy_limit(const struct run *run, const struct model_topic *topic, uint64_t now, bool surely)
{
    struct walrus_retention retention = in_force(run, topic);
    switch (retention.mode) {
    case WALRUS_RETAIN_CONSUMED:
        return consumed(topic, surely);
    case WALRUS_RETAIN_BYTES:
        return before_newest_bytes(topic, retention.limit);
    case WALRUS_RETAIN_AGE:
        return before_age(topic, retention.limit, now, surely);
    default:
        return 0;
    }
}

/* ---- what is gone ---- */

void note_limit(struct run *run, struct model_topic *topic)
{
    uint64_t limit = run->threads ? policy_limit(run, topic, now_ns(), false) : 0;
    if (limit > topic->first_high)
        topic->first_high = limit;
}

void note_limits(struct run *run)
{
    for (size_t t = 0; t < TOPICS; t++) {
        if (run->topics[t].exists)
            note_limit(run, &run->topics[t]);
    }
}

void lower_limit(struct run *run, struct model_topic *topic, uint64_t sequence)
{
    if (!run->threads)
        return;
    topic->first_high = sequence;
    note_limit(run, topic);
}

uint64_t first_now(struct run *run, const struct model_topic *topic)
{
    struct walrus_topic_info info;
    struct walrus_error error = {0};
    must(run, walrus_topic_info(topic->handle, &info, &error), &error, "topic info");
    return info.first_sequence;
}

uint64_t learn_first(struct run *run, struct model_topic *topic)
{
    uint64_t first = first_now(run, topic);
    note_limit(run, topic);
    if (first < topic->first || first > topic->first_high)
        differ(run, "%s: begins at %" PRIu64 ", not in %" PRIu64 "..%" PRIu64 " (retention %u %" PRIu64 ")",
               name_of(run, topic), first, topic->first, topic->first_high, in_force(run, topic).mode,
               in_force(run, topic).limit);
    run->tally.freed += first - topic->first;
    topic->first = first;
    if (topic->durable < first)
        topic->durable = first;
    if (first > 0)
        topic->name_durable = true;
    return first;
}

/* ---- what must be gone ---- */

/* Whether a block is there still that lies wholly before the limit. */
static bool has_too_much(const struct model_topic *topic, uint64_t limit)
{
    struct walrus_topic *handle = topic->handle;
    pthread_mutex_lock(&handle->lock);
    bool too_much = handle->block_count > 1 && handle->blocks[1]->first_sequence <= limit;
    pthread_mutex_unlock(&handle->lock);
    return too_much;
}

static void look_at_one(struct run *run, struct model_topic *topic, uint64_t limit)
{
    for (unsigned waited_ms = 0; run->threads && waited_ms < PATIENCE_MS && has_too_much(topic, limit); waited_ms++)
        usleep(1000);
    if (has_too_much(topic, limit))
        differ(run, "%s: a block before entry %" PRIu64 " is still there (retention %u %" PRIu64 ")",
               name_of(run, topic), limit, in_force(run, topic).mode, in_force(run, topic).limit);
    learn_first(run, topic);
    if (!block_bytes_add_up(topic->handle))
        differ(run, "%s: the bytes of its blocks are not what info says", name_of(run, topic));
}

void look_at_retention(struct run *run)
{
    uint64_t limits[TOPICS] = {0};
    /* The clock is the test's where nobody else looks at it. */
    if (run->clock_ns < now_ns())
        run->clock_ns = now_ns();
    if (run->repeats)
        run->clock_ns = now_ns() + HOUR_NS;
    else if (random_percent(&run->random, 30))
        run->clock_ns += random_below(&run->random, 2000000) * MS_NS;
    for (size_t t = 0; t < TOPICS; t++) {
        struct model_topic *topic = &run->topics[t];
        if (!topic->exists)
            continue;
        uint64_t now = run->threads ? now_ns() : run->clock_ns;
        limits[t] = policy_limit(run, topic, now, true);
        /* Where no policy frees anything, a block that a trim to the end left as the last one stays for now. */
        if (limits[t] <= topic->first)
            limits[t] = 0;
        uint64_t high = policy_limit(run, topic, now + DATES_NS, false);
        if (high > topic->first_high)
            topic->first_high = high;
    }
    if (!run->threads)
        janitor_look(&run->log->janitor, run->clock_ns + DATES_NS);
    for (size_t t = 0; t < TOPICS; t++) {
        if (run->topics[t].handle)
            look_at_one(run, &run->topics[t], limits[t]);
    }
    if (run->threads)
        return;
    /* Nothing goes between two looks. */
    for (size_t t = 0; t < TOPICS; t++) {
        if (run->topics[t].handle)
            run->topics[t].first_high = run->topics[t].first;
    }
}
