/*
 * consuming.h - reading through cursors, for tests whose entries are payload_fill(key = sequence) or lines of text.
 */
#ifndef WALRUS_TESTS_CONSUMING_H
#define WALRUS_TESTS_CONSUMING_H

#include "temp_log.h"

static const struct walrus_consistency strictly = {.mode = WALRUS_STRICTLY_AT_ONCE};

HELPER struct walrus_consistency at_least_once_per(uint32_t interval)
{
    return (struct walrus_consistency){.mode = WALRUS_AT_LEAST_ONCE, .interval_entries = interval};
}

/* On the default group. */
HELPER struct walrus_cursor *cursor_on(struct walrus_topic *topic, const struct walrus_consistency *consistency)
{
    struct walrus_cursor *cursor = NULL;
    OK(walrus_cursor_open(topic, NULL, consistency, &cursor, &failure));
    return cursor;
}

HELPER uint64_t cursor_position(struct walrus_cursor *cursor)
{
    uint64_t sequence = UINT64_MAX;
    OK(walrus_cursor_get(cursor, &sequence, &failure));
    return sequence;
}

/* One read; its entries are payload_fill(key = sequence) from *next on, which moves behind them. Returns how many. */
HELPER size_t take_keyed(struct walrus_cursor *cursor, size_t max_bytes, unsigned flags, uint64_t *next)
{
    struct walrus_entries entries = {0};
    OK(walrus_cursor_read(cursor, &(struct walrus_read_limits){.max_bytes = max_bytes}, flags, &entries, &failure));
    size_t count = entries.count;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(entries.items[i].sequence, *next + i);
        assert_true(payload_is(entries.items[i].data, entries.items[i].length, *next + i));
    }
    *next += flags & WALRUS_PEEK ? 0 : count;
    walrus_entries_free(&entries);
    return count;
}

/* Everything that is left, in reads of max_bytes. */
HELPER void take_all_keyed(struct walrus_cursor *cursor, size_t max_bytes, uint64_t first, uint64_t end)
{
    uint64_t next = first;
    while (take_keyed(cursor, max_bytes, 0, &next) > 0)
        ;
    assert_int_equal(next, end);
}

/* The next entry is this text. */
HELPER void take_text(struct walrus_cursor *cursor, const char *text)
{
    struct walrus_entries entries = {0};
    OK(walrus_cursor_read(cursor, &(struct walrus_read_limits){0}, 0, &entries, &failure));
    assert_int_equal(entries.count, 1);
    if (entries.items[0].length != strlen(text) || memcmp(entries.items[0].data, text, strlen(text)) != 0)
        fail_msg("'%.*s' instead of '%s'", (int)entries.items[0].length, (const char *)entries.items[0].data, text);
    walrus_entries_free(&entries);
}

HELPER void take_nothing(struct walrus_cursor *cursor)
{
    struct walrus_entries entries = {0};
    OK(walrus_cursor_read(cursor, &(struct walrus_read_limits){.max_bytes = SIZE_MAX}, 0, &entries, &failure));
    assert_int_equal(entries.count, 0);
    walrus_entries_free(&entries);
}

HELPER void append_text(struct walrus_topic *topic, const char *text)
{
    OK(walrus_append(topic, text, strlen(text), 0, NULL, &failure));
}

/* Entries of these lengths, payload_fill(key = the sequence each gets), as one batch. */
HELPER enum walrus_code append_keyed_batch(struct walrus_topic *topic, const size_t *lengths, size_t count)
{
    struct walrus_slice *slices = calloc(count + 1, sizeof(*slices));
    uint64_t next = info_of(topic).next_sequence;
    for (size_t i = 0; i < count; i++) {
        uint8_t *data = malloc(lengths[i] + 1);
        payload_fill(data, lengths[i], next + i);
        slices[i] = (struct walrus_slice){data, lengths[i]};
    }
    enum walrus_code code = walrus_append_batch(topic, slices, count, 0, NULL, &failure);
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)slices[i].data);
    free(slices);
    return code;
}

HELPER enum walrus_code append_even_batch(struct walrus_topic *topic, size_t length, size_t count)
{
    size_t *lengths = malloc((count + 1) * sizeof(*lengths));
    for (size_t i = 0; i < count; i++)
        lengths[i] = length;
    enum walrus_code code = append_keyed_batch(topic, lengths, count);
    free(lengths);
    return code;
}

/* Closed and opened again, with nothing left open but the log. */
HELPER struct walrus_topic *reopen_topic(struct temp_log *temp, struct walrus_topic *topic, const char *name)
{
    walrus_topic_close(topic);
    temp_log_close(temp);
    temp_log_open(temp);
    return line_topic(temp, name);
}

#endif
