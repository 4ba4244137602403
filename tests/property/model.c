#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "../support/payload.h"

const char *const topic_names[TOPICS] = {"one", "two", "space/three", "space/deep/four", "five"};
const char *const group_names[GROUPS] = {"default", "billing", "audit", "x"};

/* ---- topics ---- */

uint32_t model_delimiter_bytes(const struct model_topic *topic)
{
    return topic->framing != WALRUS_FRAMING_WRITE;
}

uint8_t model_delimiter(const struct model_topic *topic)
{
    return topic->framing == WALRUS_FRAMING_LINE ? '\n' : '\0';
}

void model_topic_born(struct model_topic *topic)
{
    memset(topic, 0, offsetof(struct model_topic, places));
    topic->exists = true;
}

void model_add(struct model_topic *topic, uint32_t length, uint64_t key, uint32_t unit_index, uint64_t from_ns,
               uint64_t until_ns)
{
    /* Times never go back within a topic, whatever the clock does. */
    if (topic->count > 0 && topic->places[topic->count - 1].until_ns > until_ns)
        until_ns = topic->places[topic->count - 1].until_ns;
    topic->places[topic->count++] = (struct place){topic->end_offset, key, from_ns, until_ns, length, unit_index};
    topic->end_offset += length + model_delimiter_bytes(topic);
}

void model_cut(struct model_topic *topic, uint64_t count)
{
    topic->end_offset = model_offset(topic, count);
    topic->count = count;
}

uint64_t model_offset(const struct model_topic *topic, uint64_t sequence)
{
    return sequence < topic->count ? topic->places[sequence].offset : topic->end_offset;
}

uint64_t model_find(const struct model_topic *topic, uint64_t offset)
{
    uint64_t low = 0, high = topic->count;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (topic->places[middle].offset <= offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}

bool model_place_is(const struct place *place, const void *data, size_t length)
{
    uint8_t small[8192];
    if (length != place->length)
        return false;
    uint8_t *wanted = length <= sizeof small ? small : malloc(length);
    payload_fill(wanted, length, place->key);
    bool same = length == 0 || memcmp(wanted, data, length) == 0;
    if (wanted != small)
        free(wanted);
    return same;
}

/* How many entries the limits let a read hand out. */
static uint64_t that_fit(const struct model_topic *topic, uint64_t sequence, uint64_t end,
                         const struct walrus_read_limits *limits)
{
    uint64_t most = limits->max_bytes == 0 ? 1 : limits->max_entries ? limits->max_entries : WALRUS_BATCH_ENTRIES_MAX;
    uint64_t bytes = 0, count = 0;
    while (sequence + count < end && count < most) {
        bytes +=
            topic->places[sequence + count].length + (limits->count_delimiters ? model_delimiter_bytes(topic) : 0u);
        if (count > 0 && bytes > limits->max_bytes)
            break;
        count++;
    }
    return count;
}

void check_entries(struct run *run, const struct model_topic *topic, const struct walrus_entries *entries,
                   uint64_t sequence, uint64_t end, const struct walrus_read_limits *limits)
{
    uint64_t fit = that_fit(topic, sequence, end, limits);
    /* Fewer than fit is allowed (a read may end where a block does), none is not. */
    if (entries->count > fit || (entries->count == 0) != (fit == 0))
        differ(run, "%s: read at %" PRIu64 " of %" PRIu64 " gave %zu entries, %" PRIu64 " fit", name_of(run, topic),
               sequence, topic->count, entries->count, fit);
    for (size_t i = 0; i < entries->count; i++) {
        const struct walrus_entry *entry = &entries->items[i];
        const struct place *place = &topic->places[sequence + i];
        if (entry->sequence != sequence + i || entry->offset != place->offset ||
            !model_place_is(place, entry->data, entry->length))
            differ(run, "%s: entry %" PRIu64 " is another one (says %" PRIu64 " at %" PRIu64 ", %zu bytes)",
                   name_of(run, topic), sequence + i, entry->sequence, entry->offset, entry->length);
        if (entry->time_ns < place->from_ns || entry->time_ns > place->until_ns ||
            (i > 0 && entry->time_ns < entries->items[i - 1].time_ns))
            differ(run, "%s: entry %" PRIu64 " has time %" PRIu64 ", not %" PRIu64 "..%" PRIu64, name_of(run, topic),
                   sequence + i, entry->time_ns, place->from_ns, place->until_ns);
    }
    run->tally.compared += entries->count;
}

/* ---- cursors ---- */

void model_cursor_forget(struct model_cursor *cursor)
{
    cursor->exists = cursor->overtaken_unsure = false;
    cursor->position = cursor->overtaken = cursor->durable = 0;
    cursor->taken_count = 0;
}

uint64_t model_held(const struct model_cursor *cursor)
{
    uint64_t held = 0;
    for (size_t i = 0; i < cursor->taken_count; i++)
        held += cursor->taken[i].holder != NOBODY;
    return held;
}

uint64_t model_low(const struct model_cursor *cursor, uint64_t first)
{
    for (size_t i = 0; i < cursor->taken_count; i++) {
        if (cursor->taken[i].sequence >= first)
            return cursor->taken[i].sequence;
    }
    return cursor->position > first ? cursor->position : first;
}

void model_settle(struct model_cursor *cursor, uint64_t first)
{
    size_t kept = 0;
    for (size_t i = 0; i < cursor->taken_count; i++) {
        if (cursor->taken[i].available && cursor->taken[i].sequence < first)
            cursor->overtaken++;
        else
            cursor->taken[kept++] = cursor->taken[i];
    }
    cursor->taken_count = kept;
    if (cursor->position >= first)
        return;
    if (cursor->exists)
        cursor->overtaken += first - cursor->position;
    cursor->position = first;
}
