/*
 * grouping.h - groups and their cursors, for tests whose entries are payload_fill(key = sequence).
 */
#ifndef WALRUS_TESTS_GROUPING_H
#define WALRUS_TESTS_GROUPING_H

#include "temp_log.h"

#include "store/group_cursor.h"
#include "store/log.h"

static const struct walrus_consistency strict = {.mode = WALRUS_STRICTLY_AT_ONCE};
static const struct walrus_read_limits one = {.max_entries = 1, .max_bytes = SIZE_MAX};

HELPER struct walrus_consistency at_least_once(uint32_t n)
{
    return (struct walrus_consistency){.mode = WALRUS_AT_LEAST_ONCE, .interval_entries = n};
}

HELPER struct walrus_cursor *open_cursor(struct walrus_topic *topic, const char *group)
{
    struct walrus_cursor *cursor = NULL;
    OK(walrus_cursor_open(topic, group, NULL, &cursor, &failure));
    return cursor;
}

HELPER void close_cursor(struct walrus_cursor *cursor)
{
    OK(walrus_cursor_close(cursor, &failure));
}

HELPER uint64_t cursor_at(struct walrus_cursor *cursor)
{
    uint64_t sequence = UINT64_MAX;
    OK(walrus_cursor_get(cursor, &sequence, &failure));
    return sequence;
}

/* Entries are payload_fill(key = sequence). */
HELPER void read_expect(struct walrus_cursor *cursor, uint64_t first, size_t count)
{
    struct walrus_entries entries = {0};
    for (size_t i = 0; i < count; i++) {
        OK(walrus_cursor_read(cursor, &one, 0, &entries, &failure));
        assert_int_equal(entries.count, 1);
        assert_int_equal(entries.items[0].sequence, first + i);
        assert_true(payload_is(entries.items[0].data, entries.items[0].length, first + i));
    }
    walrus_entries_free(&entries);
}

HELPER void read_nothing(struct walrus_cursor *cursor)
{
    struct walrus_entries entries = {0};
    OK(walrus_cursor_read(cursor, &one, 0, &entries, &failure));
    assert_int_equal(entries.count, 0);
    walrus_entries_free(&entries);
}

HELPER void create_group(struct temp_log *temp, const char *name)
{
    OK(walrus_group_create(temp->log, name, NULL, &failure));
}
struct listed {
    size_t count;
    char names[64][256];
    uint64_t ids[64];
    struct walrus_group_info infos[64];
};

HELPER int note_group(const struct walrus_group_info *group, void *context)
{
    struct listed *listed = context;
    assert_true(listed->count < 64);
    snprintf(listed->names[listed->count], 256, "%s", group->name);
    listed->ids[listed->count] = group->id;
    listed->infos[listed->count++] = *group;
    return 0;
}

HELPER struct listed list_groups(struct temp_log *temp)
{
    struct listed listed = {0};
    OK(walrus_group_list(temp->log, note_group, &listed, &failure));
    assert_true(listed.count > 0);
    assert_string_equal(listed.names[0], "default");
    assert_int_equal(listed.ids[0], 0);
    for (size_t i = 2; i < listed.count; i++)
        assert_true(listed.ids[i] > listed.ids[i - 1]);
    return listed;
}

HELPER bool has_group(struct temp_log *temp, const char *name)
{
    struct listed listed = list_groups(temp);
    struct walrus_group_info info;
    for (size_t i = 0; i < listed.count; i++) {
        if (strcmp(listed.names[i], name) == 0) {
            OK(walrus_group_find(temp->log, name, &info, &failure));
            assert_null(info.name);
            assert_int_equal(info.id, listed.ids[i]);
            assert_int_equal(info.created_ns, listed.infos[i].created_ns);
            assert_int_equal(info.consistency_inherited, listed.infos[i].consistency_inherited);
            assert_int_equal(info.consistency.mode, listed.infos[i].consistency.mode);
            return true;
        }
    }
    FAILS(WALRUS_E_NOT_FOUND, walrus_group_find(temp->log, name, &info, &failure));
    return false;
}

struct cursors {
    size_t count;
    char groups[64][256];
    struct walrus_cursor_info infos[64];
};

HELPER int note_cursor(const struct walrus_cursor_info *info, void *context)
{
    struct cursors *cursors = context;
    assert_true(cursors->count < 64);
    snprintf(cursors->groups[cursors->count], 256, "%s", info->group);
    cursors->infos[cursors->count++] = *info;
    return 0;
}

HELPER size_t cursor_count(struct walrus_topic *topic)
{
    struct cursors cursors = {0};
    OK(walrus_cursor_list(topic, note_cursor, &cursors, &failure));
    return cursors.count;
}

HELPER struct walrus_cursor_info cursor_info(struct walrus_topic *topic, const char *group)
{
    struct cursors cursors = {0};
    OK(walrus_cursor_list(topic, note_cursor, &cursors, &failure));
    for (size_t i = 0; i < cursors.count; i++)
        if (strcmp(cursors.groups[i], group) == 0)
            return cursors.infos[i];
    fail_msg("no cursor of group %s", group);
    return cursors.infos[0];
}

/* The lowest durable position, as retention asks for it. */
HELPER bool consumed(struct walrus_topic *topic, uint64_t *sequence)
{
    pthread_mutex_lock(&topic->lock);
    bool any = topic_consumed_locked(topic, sequence);
    pthread_mutex_unlock(&topic->lock);
    return any;
}

#endif
