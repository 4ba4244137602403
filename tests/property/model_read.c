/*
 * model_read.c - reading by position, which changes nothing, and what the log says about itself.
 */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "../support/payload.h"

struct walrus_read_limits some_limits(struct random_source *random)
{
    struct walrus_read_limits limits = {0};
    if (random_percent(random, 80))
        limits.max_bytes = random_below(random, random_percent(random, 80) ? 5000 : 200000);
    if (random_percent(random, 30))
        limits.max_entries = 1 + random_below(random, 50);
    limits.count_delimiters = random_percent(random, 30);
    return limits;
}

/* Whether a read at `sequence` gave entries; else what stands there has been freed, as it may have been. */
static bool was_retained(struct run *run, struct model_topic *topic, enum walrus_code code,
                         const struct walrus_error *error, uint64_t sequence, uint64_t first_before, const char *what)
{
    uint64_t first = learn_first(run, topic);
    if (code == WALRUS_E_RANGE && sequence < first)
        return false;
    must(run, code, error, what);
    if (sequence < first_before)
        differ(run, "%s: %s gives entry %" PRIu64 ", but it begins at %" PRIu64, name_of(run, topic), what, sequence,
               first_before);
    return true;
}

/* One read from `position`. False: go on at the first entry. */
static bool read_on(struct run *run, struct model_topic *topic, struct walrus_position *position,
                    const struct walrus_read_limits *limits, const char *what)
{
    struct walrus_entries entries = {0};
    struct walrus_error error = {0};
    uint64_t sequence = position->sequence, first = topic->first;
    enum walrus_code code = walrus_read_entries(topic->handle, position, limits, &entries, &error);
    bool retained = was_retained(run, topic, code, &error, sequence, first, what);
    if (retained) {
        check_entries(run, topic, &entries, sequence, topic->count, limits);
        if (position->sequence != sequence + entries.count)
            differ(run, "%s: a read of %zu at %" PRIu64 " leaves the position at %" PRIu64, name_of(run, topic),
                   entries.count, sequence, position->sequence);
    }
    walrus_entries_free(&entries);
    return retained;
}

static void check_place(struct run *run, const struct model_topic *topic, const struct walrus_position *position,
                        uint64_t sequence)
{
    if (position->sequence != sequence || position->offset != model_offset(topic, sequence))
        differ(run, "%s: seek to %" PRIu64 " at %" PRIu64 " gives %" PRIu64 " at %" PRIu64, name_of(run, topic),
               sequence, model_offset(topic, sequence), position->sequence, position->offset);
}

static bool seek_by_offset(struct run *run, struct model_topic *topic, struct walrus_position *position)
{
    struct walrus_error error = {0};
    uint64_t offset = random_below(&run->random, topic->end_offset + 1);
    uint64_t sequence = offset == topic->end_offset ? topic->count : model_find(topic, offset);
    uint64_t first = topic->first, first_offset = model_offset(topic, first);
    enum walrus_code code = walrus_seek_offset(topic->handle, offset, position, &error);
    learn_first(run, topic);
    if (code == WALRUS_E_RANGE && offset < model_offset(topic, topic->first))
        return false;
    must(run, code, &error, "seek by offset");
    if (offset < first_offset)
        differ(run, "%s: seek to byte %" PRIu64 ", before the first, %" PRIu64, name_of(run, topic), offset,
               first_offset);
    /* Entries without bytes and delimiters share an offset: any of them is right. */
    if (model_delimiter_bytes(topic) == 0 && position->sequence >= first && position->sequence <= topic->count &&
        model_offset(topic, position->sequence) == model_offset(topic, sequence))
        sequence = position->sequence;
    check_place(run, topic, position, sequence);
    return true;
}

static bool seek_by_sequence(struct run *run, struct model_topic *topic, struct walrus_position *position)
{
    struct walrus_error error = {0};
    uint64_t sequence = random_below(&run->random, topic->count + 1), first = topic->first;
    enum walrus_code code = walrus_seek_sequence(topic->handle, sequence, position, &error);
    if (!was_retained(run, topic, code, &error, sequence, first, "seek by sequence"))
        return false;
    check_place(run, topic, position, sequence);
    if (walrus_seek_sequence(topic->handle, topic->count + 1, &(struct walrus_position){0}, NULL) != WALRUS_E_RANGE)
        differ(run, "%s: a seek past the end is not WALRUS_E_RANGE", name_of(run, topic));
    return true;
}

void seek_and_read(struct run *run)
{
    struct model_topic *topic = some_topic(run);
    struct walrus_position position = {0};
    bool by_offset = random_percent(&run->random, 50);
    if (!(by_offset ? seek_by_offset : seek_by_sequence)(run, topic, &position))
        return;
    for (unsigned reads = 1 + (unsigned)random_below(&run->random, 3); reads > 0; reads--) {
        struct walrus_read_limits limits = some_limits(&run->random);
        if (!read_on(run, topic, &position, &limits, "read entries"))
            return;
    }
}

void seek_time(struct run *run)
{
    struct model_topic *topic = some_topic(run);
    struct walrus_position position = {0};
    struct walrus_error error = {0};
    uint64_t time_ns = now_ns() + 1000000000;
    if (topic->count > topic->first && random_percent(&run->random, 95)) {
        const struct place *place = &topic->places[random_between(&run->random, topic->first, topic->count - 1)];
        time_ns = random_percent(&run->random, 50) ? place->from_ns : place->until_ns + 1;
    }
    uint64_t first_before = topic->first;
    must(run, walrus_seek_time(topic->handle, time_ns, &position, &error), &error, "seek by time");
    uint64_t first = learn_first(run, topic), found = position.sequence;
    if (found < first_before || found > topic->count)
        differ(run, "%s: seek by time gives %" PRIu64 " of %" PRIu64 "..%" PRIu64, name_of(run, topic), found,
               first_before, topic->count);
    if (found < topic->count && topic->places[found].until_ns < time_ns && found >= first)
        differ(run, "%s: seek by time gives entry %" PRIu64 ", which is older", name_of(run, topic), found);
    /* What was freed meanwhile may have been the one. */
    if (found > first && topic->places[found - 1].from_ns >= time_ns)
        differ(run, "%s: seek by time gives entry %" PRIu64 ", but the one before it will do", name_of(run, topic),
               found);
    if (found >= first)
        check_place(run, topic, &position, found);
}

void walk_on(struct run *run)
{
    struct model_topic *topic = some_topic(run);
    struct walrus_read_limits limits = some_limits(&run->random);
    if (!read_on(run, topic, &topic->walk, &limits, "walk"))
        topic->walk = (struct walrus_position){.sequence = topic->first, .offset = model_offset(topic, topic->first)};
}

void read_whole(struct run *run, struct model_topic *topic)
{
    struct walrus_position position = {0};
    struct walrus_read_limits limits = {.max_bytes = random_percent(&run->random, 50) ? 20000 : 400000};
    do {
        if (position.sequence < topic->first)
            position = (struct walrus_position){.sequence = topic->first};
        read_on(run, topic, &position, &limits, "read all");
    } while (position.sequence < topic->count);
}

/* ---- as bytes ---- */

static void check_stream(struct run *run, const struct model_topic *topic, uint64_t offset, const uint8_t *bytes,
                         size_t size)
{
    uint64_t sequence = model_find(topic, offset);
    size_t done = 0;
    while (done < size) {
        const struct place *place = &topic->places[sequence];
        uint64_t within = offset + done - place->offset;
        uint64_t whole = place->length + model_delimiter_bytes(topic);
        size_t part = whole - within < size - done ? (size_t)(whole - within) : size - done;
        uint8_t *wanted = malloc(whole + 1);
        payload_fill(wanted, place->length, place->key);
        wanted[place->length] = model_delimiter(topic);
        if (memcmp(wanted + within, bytes + done, part) != 0)
            differ(run, "%s: other bytes in the stream at %" PRIu64 "+%zu, in entry %" PRIu64, name_of(run, topic),
                   offset + done, part, sequence);
        free(wanted);
        done += part;
        sequence++;
    }
}

/* Returns how far it came; UINT64_MAX: that is freed. */
static uint64_t stream_once(struct run *run, struct model_topic *topic, struct walrus_position *position,
                            uint64_t offset)
{
    struct walrus_error error = {0};
    size_t size = random_below(&run->random, random_percent(&run->random, 80) ? 5000 : 300000);
    size_t got = 0;
    uint8_t *buffer = malloc(size + 1);
    uint64_t first_offset = model_offset(topic, topic->first);
    enum walrus_code code = walrus_read_stream(topic->handle, position, offset, buffer, size, &got, &error);
    learn_first(run, topic);
    bool freed = code == WALRUS_E_RANGE && offset < model_offset(topic, topic->first);
    if (!freed) {
        must(run, code, &error, "read stream");
        if (offset < first_offset && size > 0)
            differ(run, "%s: the stream at %" PRIu64 " gives bytes from before its beginning", name_of(run, topic),
                   offset);
        uint64_t left = topic->end_offset > offset ? topic->end_offset - offset : 0;
        /* Short is allowed where retention has freed what comes next, which the next call says. */
        bool overtaken = offset + got < model_offset(topic, topic->first);
        if (got > size || got > left || (got < size && got < left && !overtaken))
            differ(run, "%s: %zu bytes of the stream at %" PRIu64 " of %" PRIu64 " gave %zu", name_of(run, topic), size,
                   offset, topic->end_offset, got);
        check_stream(run, topic, offset, buffer, got);
    }
    free(buffer);
    return freed ? UINT64_MAX : offset + got;
}

void read_stream(struct run *run)
{
    struct model_topic *topic = some_topic(run);
    struct walrus_position fresh = {0};
    bool goes_on = random_percent(&run->random, 60);
    struct walrus_position *position = goes_on ? &topic->stream : &fresh;
    uint64_t offset = goes_on && random_percent(&run->random, 50) ? position->offset
                                                                  : random_below(&run->random, topic->end_offset + 1);
    if (topic->count == 0)
        return;
    for (unsigned calls = 1 + (unsigned)random_below(&run->random, 4); calls > 0 && offset != UINT64_MAX; calls--)
        offset = stream_once(run, topic, position, offset);
}

/* ---- what the log says ---- */

static bool same_sync(struct walrus_sync_policy a, struct walrus_sync_policy b)
{
    return a.mode == b.mode && (a.mode != WALRUS_SYNC_EVERY || a.interval_ms == b.interval_ms);
}

static void check_settings(struct run *run, const struct model_topic *topic, const struct walrus_topic_info *info)
{
    bool inherits_sync = topic->sync.mode == WALRUS_SYNC_INHERIT;
    bool inherits_retention = topic->retention.mode == WALRUS_RETAIN_INHERIT;
    const struct walrus_retention *retention = inherits_retention ? &run->options.retention : &topic->retention;
    if (info->sync_inherited != inherits_sync || info->retention_inherited != inherits_retention ||
        !same_sync(info->settings.sync, inherits_sync ? run->options.sync : topic->sync) ||
        info->settings.retention.mode != retention->mode || info->settings.retention.limit != retention->limit ||
        info->settings.framing != topic->framing)
        differ(run, "%s: its settings are not those that were given", name_of(run, topic));
}

static const char *recovery_note(struct run *run)
{
    static struct walrus_log_info info;
    return walrus_log_info(run->log, &info, NULL) == WALRUS_OK ? info.recovery_note : "";
}

void check_topic_info(struct run *run, struct model_topic *topic)
{
    struct walrus_error error = {0};
    struct walrus_topic_info info;
    must(run, walrus_topic_info(topic->handle, &info, &error), &error, "topic info");
    learn_first(run, topic);
    if (info.first_sequence > topic->first || info.first_offset != model_offset(topic, info.first_sequence) ||
        info.next_sequence != topic->count || info.next_offset != topic->end_offset || info.damages != 0 ||
        info.refuses_appends || info.deleted)
        differ(run,
               "%s: info says %" PRIu64 " at %" PRIu64 " to %" PRIu64 " at %" PRIu64 ", %" PRIu64
               " damages; model %" PRIu64 " to %" PRIu64 " at %" PRIu64 "; recovery: %s",
               name_of(run, topic), info.first_sequence, info.first_offset, info.next_sequence, info.next_offset,
               info.damages, topic->first, topic->count, topic->end_offset, recovery_note(run));
    /* A promise, which may come late: what a batch over topics takes along is not counted in all of them. */
    if (info.durable_sequence > topic->count)
        differ(run, "%s: info says durable up to %" PRIu64 " of %" PRIu64, name_of(run, topic), info.durable_sequence,
               topic->count);
    if (topic->durable < info.durable_sequence)
        topic->durable = info.durable_sequence;
    check_settings(run, topic, &info);
}

static int note_topic(const struct walrus_node *node, void *context)
{
    bool *listed = context;
    for (size_t t = 0; t < TOPICS; t++)
        listed[t] = listed[t] || strcmp(node->name, topic_names[t]) == 0;
    return 0;
}

void check_info(struct run *run)
{
    struct walrus_error error = {0};
    struct walrus_log_info info;
    bool listed[TOPICS] = {false};
    struct model_topic *topic = some_topic(run);
    uint64_t existing = 0;
    check_topic_info(run, topic);
    check_cursors(run, topic);
    check_groups(run);
    must(run, walrus_list_topics(run->log, note_topic, listed, &error), &error, "list topics");
    must(run, walrus_log_info(run->log, &info, &error), &error, "log info");
    for (size_t t = 0; t < TOPICS; t++) {
        existing += run->topics[t].exists;
        if (listed[t] != run->topics[t].exists)
            differ(run, "%s: %s", topic_names[t], listed[t] ? "listed, but not there" : "not listed");
    }
    /* A sector that a power cut tore within a record of the catalogue can look like damage (docs/format.md). */
    bool damaged = info.recovered_damages != 0 && run->tally.cuts == 0;
    if (info.topic_count != existing || damaged || info.sync_failures != 0)
        differ(run,
               "log info: %" PRIu64 " topics, %" PRIu64 " damages, %" PRIu64 " failed syncs; %" PRIu64 " topics; %s",
               info.topic_count, info.recovered_damages, info.sync_failures, existing, info.recovery_note);
}
