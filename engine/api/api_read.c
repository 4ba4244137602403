/* api_read.c - reading by position. */
#include <walrus/walrus.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/read.h"
#include "store/seek.h"
#include "store/topic_faults.h"

void walrus_entries_free(struct walrus_entries *entries)
{
    if (!entries)
        return;
    free(entries->items);
    free(entries->buffer);
    memset(entries, 0, sizeof(*entries));
}

enum walrus_code walrus_seek_sequence(struct walrus_topic *topic, uint64_t sequence, struct walrus_position *position,
                                      struct walrus_error *error)
{
    struct walrus_error own;
    error = error ? error : &own;
    return topic_note_fault(topic, topic_seek_sequence(topic, sequence, position, error), error);
}

enum walrus_code walrus_seek_offset(struct walrus_topic *topic, uint64_t offset, struct walrus_position *position,
                                    struct walrus_error *error)
{
    struct walrus_error own;
    error = error ? error : &own;
    return topic_note_fault(topic, topic_seek_offset(topic, offset, position, error), error);
}

enum walrus_code walrus_seek_time(struct walrus_topic *topic, uint64_t time_ns, struct walrus_position *position,
                                  struct walrus_error *error)
{
    struct walrus_error own;
    error = error ? error : &own;
    return topic_note_fault(topic, topic_seek_time(topic, time_ns, position, error), error);
}

enum walrus_code walrus_read_entries(struct walrus_topic *topic, struct walrus_position *position,
                                     const struct walrus_read_limits *limits, struct walrus_entries *entries,
                                     struct walrus_error *error)
{
    if (!position || !limits || !entries)
        return error_set(error, WALRUS_E_INVALID, 0, "no position, limits or entries given");
    struct walrus_read_limits bounded = *limits;
    if (bounded.max_bytes == 0)
        bounded.max_entries = 1;
    struct walrus_error own;
    error = error ? error : &own;
    return topic_note_fault(topic, topic_read_entries(topic, position, &bounded, entries, error), error);
}

enum walrus_code walrus_skip_damage(struct walrus_topic *topic, struct walrus_position *position,
                                    uint64_t *skipped_entries, struct walrus_error *error)
{
    uint64_t unwanted;
    struct walrus_error own;
    error = error ? error : &own;
    return topic_note_fault(
        topic, topic_skip_damage(topic, position, skipped_entries ? skipped_entries : &unwanted, error), error);
}

enum walrus_code walrus_read_stream(struct walrus_topic *topic, struct walrus_position *position, uint64_t offset,
                                    void *buffer, size_t size, size_t *got, struct walrus_error *error)
{
    if (!position || !got || (!buffer && size > 0))
        return error_set(error, WALRUS_E_INVALID, 0, "no position, buffer or place for the count given");
    struct walrus_error own;
    error = error ? error : &own;
    return topic_note_fault(topic, topic_read_stream(topic, position, offset, buffer, size, got, error), error);
}
