/*
 * Groups and their cursors: names that are on record, positions that are each group's own, and what is left of them
 * when a group, a cursor or the process is gone.
 */
#include "temp_log.h"

#include <pthread.h>

#include "format/catalog_record.h"
#include "format/cursor_slot.h"
#include "store/group_cursor.h"
#include "store/log.h"

static const struct walrus_consistency strict = {.mode = WALRUS_STRICTLY_AT_ONCE};
static const struct walrus_read_limits one = {.max_entries = 1, .max_bytes = SIZE_MAX};

static struct walrus_consistency at_least_once(uint32_t n)
{
    return (struct walrus_consistency){.mode = WALRUS_AT_LEAST_ONCE, .interval_entries = n};
}

static struct walrus_cursor *open_cursor(struct walrus_topic *topic, const char *group)
{
    struct walrus_cursor *cursor = NULL;
    OK(walrus_cursor_open(topic, group, NULL, &cursor, &failure));
    return cursor;
}

static void close_cursor(struct walrus_cursor *cursor)
{
    OK(walrus_cursor_close(cursor, &failure));
}

static uint64_t cursor_at(struct walrus_cursor *cursor)
{
    uint64_t sequence = UINT64_MAX;
    OK(walrus_cursor_get(cursor, &sequence, &failure));
    return sequence;
}

/* Entries are payload_fill(key = sequence). */
static void read_expect(struct walrus_cursor *cursor, uint64_t first, size_t count)
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

static void read_nothing(struct walrus_cursor *cursor)
{
    struct walrus_entries entries = {0};
    OK(walrus_cursor_read(cursor, &one, 0, &entries, &failure));
    assert_int_equal(entries.count, 0);
    walrus_entries_free(&entries);
}

static void create_group(struct temp_log *temp, const char *name)
{
    OK(walrus_group_create(temp->log, name, NULL, &failure));
}

/* ---- the list of groups ---- */

struct listed {
    size_t count;
    char names[64][256];
    uint64_t ids[64];
    struct walrus_group_info infos[64];
};

static int note_group(const struct walrus_group_info *group, void *context)
{
    struct listed *listed = context;
    assert_true(listed->count < 64);
    snprintf(listed->names[listed->count], 256, "%s", group->name);
    listed->ids[listed->count] = group->id;
    listed->infos[listed->count++] = *group;
    return 0;
}

static struct listed list_groups(struct temp_log *temp)
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

static bool has_group(struct temp_log *temp, const char *name)
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

static int stop_at_once(const struct walrus_group_info *group, void *context)
{
    (void)group;
    (*(int *)context)++;
    return 1;
}

static void groups_are_made_listed_and_deleted(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    assert_int_equal(list_groups(temp).count, 1);
    create_group(temp, "billing");
    create_group(temp, "audit trail");
    FAILS(WALRUS_E_EXISTS, walrus_group_create(temp->log, "billing", NULL, &failure));
    FAILS(WALRUS_E_EXISTS, walrus_group_create(temp->log, "default", NULL, &failure));
    static const char *const invalid[] = {"", "a/b", ".hidden", "@billing", "new\nline"};
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        FAILS(WALRUS_E_INVALID, walrus_group_create(temp->log, invalid[i], NULL, &failure));
        FAILS(WALRUS_E_INVALID, walrus_group_delete(temp->log, invalid[i], &failure));
        FAILS(WALRUS_E_INVALID, walrus_group_configure(temp->log, invalid[i], NULL, &failure));
        FAILS(WALRUS_E_INVALID, walrus_group_find(temp->log, invalid[i], &(struct walrus_group_info){0}, &failure));
    }
    FAILS(WALRUS_E_INVALID, walrus_group_create(temp->log, NULL, NULL, &failure));
    char longest[257];
    memset(longest, 'g', 256);
    longest[256] = '\0';
    FAILS(WALRUS_E_NAME_TOO_LONG, walrus_group_create(temp->log, longest, NULL, &failure));
    longest[255] = '\0';
    create_group(temp, longest);
    struct walrus_consistency never = at_least_once(0);
    FAILS(WALRUS_E_INVALID, walrus_group_create(temp->log, "never", &never, &failure));
    FAILS(WALRUS_E_INVALID, walrus_group_delete(temp->log, "default", &failure));
    FAILS(WALRUS_E_NOT_FOUND, walrus_group_delete(temp->log, "nobody", &failure));
    FAILS(WALRUS_E_NOT_FOUND, walrus_group_configure(temp->log, "nobody", NULL, &failure));
    struct walrus_topic *topic = line_topic(temp, "t");
    struct walrus_cursor *cursor = NULL;
    FAILS(WALRUS_E_NOT_FOUND, walrus_cursor_open(topic, "nobody", NULL, &cursor, &failure));
    walrus_topic_close(topic);

    int calls = 0;
    OK(walrus_group_list(temp->log, stop_at_once, &calls, &failure));
    assert_int_equal(calls, 1);
    for (int i = 0; i < 2; i++) {
        struct listed listed = list_groups(temp);
        assert_int_equal(listed.count, 4);
        assert_string_equal(listed.names[1], "billing");
        assert_string_equal(listed.names[2], "audit trail");
        assert_string_equal(listed.names[3], longest);
        assert_true(listed.infos[1].created_ns > 1000000000000000000u);
        assert_true(listed.infos[1].consistency_inherited);
        temp_log_close(temp);
        temp_log_open(temp);
    }
    uint64_t last_id = list_groups(temp).ids[3];
    OK(walrus_group_delete(temp->log, longest, &failure));
    OK(walrus_group_delete(temp->log, "billing", &failure));
    FAILS(WALRUS_E_NOT_FOUND, walrus_group_delete(temp->log, "billing", &failure));
    temp_log_close(temp);
    temp_log_open(temp);
    assert_int_equal(list_groups(temp).count, 2);
    create_group(temp, "billing");
    assert_true(list_groups(temp).ids[2] > last_id); /* a number is never used twice */
    temp_log_close(temp);
}

static void groups_have_a_consistency_of_their_own(void **state)
{
    struct temp_log *temp = *state;
    const struct walrus_consistency relaxed = at_least_once(7);
    temp->options.consistency = at_least_once(100);
    temp_log_open(temp);
    OK(walrus_group_create(temp->log, "relaxed", &relaxed, &failure));
    OK(walrus_group_create(temp->log, "strict", &strict, &failure));
    create_group(temp, "as the log");
    for (int round = 0; round < 3; round++) {
        struct listed listed = list_groups(temp);
        assert_int_equal(listed.infos[1].consistency.mode, WALRUS_AT_LEAST_ONCE);
        assert_int_equal(listed.infos[1].consistency.interval_entries, 7);
        assert_false(listed.infos[1].consistency_inherited);
        assert_int_equal(listed.infos[2].consistency.mode, WALRUS_STRICTLY_AT_ONCE);
        assert_true(listed.infos[3].consistency_inherited);
        assert_int_equal(listed.infos[3].consistency.interval_entries, 100);
        if (round == 1) {
            OK(walrus_group_configure(temp->log, "as the log", &strict, &failure));
            OK(walrus_group_configure(temp->log, "as the log", NULL, &failure));
            OK(walrus_group_configure(temp->log, "default", &strict, &failure));
        }
        assert_int_equal(list_groups(temp).infos[0].consistency_inherited, round == 0);
        temp_log_close(temp);
        temp_log_open(temp);
    }
    OK(walrus_group_configure(temp->log, "default", NULL, &failure));

    /* What a handle goes by: its own, else its group's, at once when that changes. */
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 20);
    struct walrus_cursor *cursor = open_cursor(topic, "relaxed"), *own = NULL;
    OK(walrus_cursor_open(topic, "relaxed", &strict, &own, &failure));
    read_expect(cursor, 0, 1); /* makes the cursor */
    uint64_t before = log_info_of(temp).checkpoints;
    read_expect(cursor, 1, 2);
    assert_int_equal(log_info_of(temp).checkpoints, before);
    read_expect(own, 3, 2);
    assert_int_equal(log_info_of(temp).checkpoints, before + 2);
    read_expect(cursor, 5, 2);
    assert_int_equal(log_info_of(temp).checkpoints, before + 2);
    OK(walrus_group_configure(temp->log, "relaxed", &strict, &failure));
    read_expect(cursor, 7, 2);
    assert_int_equal(log_info_of(temp).checkpoints, before + 4);
    close_cursor(cursor);
    close_cursor(own);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void a_rewritten_catalogue_has_the_groups(void **state)
{
    struct temp_log *temp = *state;
    const struct walrus_consistency relaxed = at_least_once(9);
    temp_log_open(temp);
    OK(walrus_group_create(temp->log, "kept", &relaxed, &failure));
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 10);
    struct walrus_cursor *cursor = open_cursor(topic, "kept");
    read_expect(cursor, 0, 4);
    close_cursor(cursor);
    walrus_topic_close(topic);
    for (int i = 0; i < 400; i++) {
        create_group(temp, "for a moment");
        OK(walrus_group_delete(temp->log, "for a moment", &failure));
    }
    OK(walrus_group_configure(temp->log, "default", &relaxed, &failure));
    for (int i = 0; i < 600; i++)
        OK(walrus_group_configure(temp->log, "kept", &relaxed, &failure));
    create_group(temp, "last");
    uint64_t last_id = list_groups(temp).ids[2], bytes = file_size(temp, "catalog");
    OK(walrus_group_delete(temp->log, "last", &failure));
    for (int i = 0; i < 2; i++) {
        temp_log_close(temp);
        temp_log_open(temp);
        assert_true(file_size(temp, "catalog") < bytes / 50);
        struct listed listed = list_groups(temp);
        assert_int_equal(listed.count, 2);
        assert_int_equal(listed.infos[0].consistency.interval_entries, 9);
        assert_int_equal(listed.infos[1].consistency.interval_entries, 9);
    }
    create_group(temp, "next");
    assert_true(list_groups(temp).ids[2] > last_id);
    topic = line_topic(temp, "t");
    cursor = open_cursor(topic, "kept");
    assert_int_equal(cursor_at(cursor), 4);
    close_cursor(cursor);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- positions ---- */

static void each_group_has_a_position_of_its_own(void **state)
{
    struct temp_log *temp = *state;
    char name[16];
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t"), *other = line_topic(temp, "u");
    append_keyed(topic, 10, 40);
    append_keyed(other, 10, 40);
    for (uint64_t i = 0; i < 30; i++) {
        snprintf(name, sizeof(name), "g%d", (int)i);
        create_group(temp, name);
        struct walrus_cursor *cursor = open_cursor(topic, name);
        read_expect(cursor, 0, i);
        close_cursor(cursor);
        cursor = open_cursor(other, name);
        read_expect(cursor, 0, 30 - i);
        close_cursor(cursor);
    }
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 30; i++) {
            snprintf(name, sizeof(name), "g%d", (int)i);
            struct walrus_cursor *cursor = open_cursor(topic, name);
            assert_int_equal(cursor_at(cursor), i + (uint64_t)round);
            read_expect(cursor, i + (uint64_t)round, 1);
            close_cursor(cursor);
            cursor = open_cursor(other, name);
            assert_int_equal(cursor_at(cursor), 30 - i);
            close_cursor(cursor);
        }
        struct walrus_cursor *cursor = open_cursor(topic, NULL);
        assert_int_equal(cursor_at(cursor), 0);
        close_cursor(cursor);
        walrus_topic_close(topic);
        walrus_topic_close(other);
        temp_log_close(temp);
        temp_log_open(temp);
        topic = line_topic(temp, "t");
        other = line_topic(temp, "u");
    }
    walrus_topic_close(topic);
    walrus_topic_close(other);
    temp_log_close(temp);
}

struct cursors {
    size_t count;
    char groups[64][256];
    struct walrus_cursor_info infos[64];
};

static int note_cursor(const struct walrus_cursor_info *info, void *context)
{
    struct cursors *cursors = context;
    assert_true(cursors->count < 64);
    snprintf(cursors->groups[cursors->count], 256, "%s", info->group);
    cursors->infos[cursors->count++] = *info;
    return 0;
}

static size_t cursor_count(struct walrus_topic *topic)
{
    struct cursors cursors = {0};
    OK(walrus_cursor_list(topic, note_cursor, &cursors, &failure));
    return cursors.count;
}

static struct walrus_cursor_info cursor_info(struct walrus_topic *topic, const char *group)
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
static bool consumed(struct walrus_topic *topic, uint64_t *sequence)
{
    pthread_mutex_lock(&topic->lock);
    bool any = topic_consumed_locked(topic, sequence);
    pthread_mutex_unlock(&topic->lock);
    return any;
}

static void a_cursor_comes_into_being_when_it_is_used(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_entries entries = {0};
    uint64_t lowest = 99;
    const struct walrus_consistency relaxed = at_least_once(1000);
    temp_log_open(temp);
    OK(walrus_group_create(temp->log, "relaxed", &relaxed, &failure));
    create_group(temp, "taking");
    create_group(temp, "set");
    struct walrus_topic *topic = line_topic(temp, "t"), *empty = line_topic(temp, "empty");
    append_keyed(topic, 10, 10);
    struct walrus_cursor *cursor = open_cursor(topic, NULL), *other = open_cursor(topic, "relaxed"),
                         *taking = open_cursor(topic, "taking"), *set = open_cursor(topic, "set");
    OK(walrus_cursor_read(cursor, &one, WALRUS_PEEK, &entries, &failure));
    assert_int_equal(entries.count, 1);
    assert_int_equal(cursor_at(cursor), 0);
    assert_int_equal(cursor_count(topic), 0);
    assert_false(consumed(topic, &lowest));
    read_expect(cursor, 0, 3);
    assert_int_equal(cursor_count(topic), 1);
    assert_true(consumed(topic, &lowest));
    assert_int_equal(lowest, 3);
    read_expect(other, 0, 2); /* at least once: durable at 0 */
    assert_true(consumed(topic, &lowest));
    assert_int_equal(lowest, 0);
    OK(walrus_cursor_set(other, 5, &failure));
    assert_true(consumed(topic, &lowest));
    assert_int_equal(lowest, 3);
    OK(walrus_cursor_set(set, 2, &failure));
    assert_true(consumed(topic, &lowest));
    assert_int_equal(lowest, 2);
    OK(walrus_cursor_take(taking, &one, 0, 0, &entries, &failure));
    assert_true(consumed(topic, &lowest));
    assert_int_equal(lowest, 0);
    OK(walrus_cursor_acknowledge(taking, 0, 1, &failure));
    assert_true(consumed(topic, &lowest));
    assert_int_equal(lowest, 1);
    assert_int_equal(cursor_count(topic), 4);
    close_cursor(cursor);
    close_cursor(other);
    close_cursor(taking);
    close_cursor(set);

    /* On a topic without entries, too: what comes later is kept for it. */
    cursor = open_cursor(empty, NULL);
    assert_int_equal(cursor_count(empty), 0);
    read_nothing(cursor);
    assert_int_equal(cursor_count(empty), 1);
    close_cursor(cursor);
    walrus_topic_close(topic);
    walrus_topic_close(empty);
    temp_log_close(temp);
    temp_log_open(temp);
    topic = line_topic(temp, "t");
    empty = line_topic(temp, "empty");
    assert_int_equal(cursor_count(topic), 4);
    assert_int_equal(cursor_count(empty), 1);
    assert_true(consumed(topic, &lowest));
    assert_int_equal(lowest, 1);
    walrus_topic_close(topic);
    walrus_topic_close(empty);
    walrus_entries_free(&entries);
    temp_log_close(temp);
}

static void a_cursor_tells_how_far_behind_it_is(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_entries entries = {0};
    const struct walrus_read_limits five = {.max_entries = 5, .max_bytes = SIZE_MAX};
    temp_log_open(temp);
    create_group(temp, "g");
    OK(walrus_group_configure(temp->log, "g", &strict, &failure));
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 9, 20); /* 10 bytes each with the newline */
    struct walrus_cursor *cursor = open_cursor(topic, "g"), *second = open_cursor(topic, "g");
    read_expect(cursor, 0, 4);
    struct walrus_cursor_info info = cursor_info(topic, "g");
    assert_int_equal(info.sequence, 4);
    assert_int_equal(info.durable_sequence, 4);
    assert_int_equal(info.lag_entries, 16);
    assert_int_equal(info.lag_bytes, 160);
    assert_int_equal(info.taken_entries, 0);
    assert_int_equal(info.handle_count, 2);
    assert_int_equal(info.consistency.mode, WALRUS_STRICTLY_AT_ONCE);
    assert_true(info.checkpointed_ns > 1000000000000000000u);

    OK(walrus_cursor_take(cursor, &five, 0, 0, &entries, &failure)); /* 4 .. 8 */
    OK(walrus_cursor_take(second, &five, 0, 0, &entries, &failure)); /* 9 .. 13 */
    OK(walrus_cursor_acknowledge(cursor, 5, 2, &failure));           /* 4, 7, 8 are left */
    OK(walrus_cursor_give_back(second, 10, 1, &failure));
    info = cursor_info(topic, "g");
    assert_int_equal(info.sequence, 14);
    assert_int_equal(info.durable_sequence, 4);
    assert_int_equal(info.lag_entries, 6 + 3 + 5);
    assert_int_equal(info.lag_bytes, 140);
    assert_int_equal(info.taken_entries, 3 + 4);
    close_cursor(second);
    info = cursor_info(topic, "g");
    assert_int_equal(info.lag_entries, 6 + 3 + 5);
    assert_int_equal(info.lag_bytes, 140);
    assert_int_equal(info.taken_entries, 3);
    assert_int_equal(info.handle_count, 1);
    close_cursor(cursor);
    walrus_topic_close(topic);
    temp_log_close(temp);

    temp_log_open(temp);
    topic = line_topic(temp, "t");
    info = cursor_info(topic, "g");
    assert_int_equal(info.sequence, 4);
    assert_int_equal(info.lag_entries, 16);
    assert_int_equal(info.lag_bytes, 160);
    assert_int_equal(info.handle_count, 0);
    walrus_topic_close(topic);
    walrus_entries_free(&entries);
    temp_log_close(temp);
}

/* ---- deletion ---- */

static void a_deleted_group_is_gone_with_its_cursors(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_entries entries = {0};
    uint64_t sequence, skipped, lowest, bytes = 0;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t"), *other = line_topic(temp, "u");
    append_keyed(topic, 10, 10);
    append_keyed(other, 10, 10);
    struct walrus_cursor *kept = open_cursor(topic, NULL);
    read_expect(kept, 0, 5);
    for (int round = 0; round < 40; round++) {
        create_group(temp, "g");
        struct walrus_cursor *cursor = open_cursor(topic, "g"), *elsewhere = open_cursor(other, "g");
        assert_int_equal(cursor_at(cursor), 0);
        read_expect(cursor, 0, 3);
        read_expect(elsewhere, 0, 2);
        OK(walrus_cursor_take(cursor, &one, 0, 0, &entries, &failure));
        assert_true(consumed(topic, &lowest));
        assert_int_equal(lowest, 3);
        if (round % 2) {
            close_cursor(elsewhere);
            elsewhere = NULL;
        }
        OK(walrus_group_delete(temp->log, "g", &failure));
        assert_true(consumed(topic, &lowest));
        assert_int_equal(lowest, 5);
        assert_int_equal(cursor_count(topic), 1);
        assert_int_equal(cursor_count(other), 0);
        FAILS(WALRUS_E_DELETED, walrus_cursor_read(cursor, &one, 0, &entries, &failure));
        FAILS(WALRUS_E_DELETED, walrus_cursor_read(cursor, &one, WALRUS_PEEK, &entries, &failure));
        FAILS(WALRUS_E_DELETED, walrus_cursor_get(cursor, &sequence, &failure));
        FAILS(WALRUS_E_DELETED, walrus_cursor_set(cursor, 1, &failure));
        FAILS(WALRUS_E_DELETED, walrus_cursor_skip_damage(cursor, &skipped, &failure));
        FAILS(WALRUS_E_DELETED, walrus_cursor_take(cursor, &one, 0, 0, &entries, &failure));
        FAILS(WALRUS_E_DELETED, walrus_cursor_acknowledge(cursor, 3, 1, &failure));
        FAILS(WALRUS_E_DELETED, walrus_cursor_give_back(cursor, 3, 1, &failure));
        close_cursor(cursor);
        close_cursor(elsewhere);
        if (round == 0)
            bytes = file_size(temp, "cursors");
    }
    assert_int_equal(file_size(temp, "cursors"), bytes); /* its slots are used again */
    close_cursor(kept);
    walrus_topic_close(topic);
    walrus_topic_close(other);
    walrus_entries_free(&entries);
    temp_log_close(temp);
}

/* ---- dying ---- */

static void make_and_delete(struct temp_log *temp, void *context)
{
    (void)context;
    struct walrus_topic *topic = NULL;
    struct walrus_cursor *cursor = NULL;
    struct walrus_entries entries = {0};
    REQUIRE(walrus_topic_open(temp->log, "t", WALRUS_CREATE, NULL, &topic, &failure) == WALRUS_OK);
    REQUIRE(walrus_append(topic, "x", 1, 0, NULL, &failure) == WALRUS_OK);
    static const char *const names[] = {"lives", "dies"};
    for (size_t i = 0; i < 2; i++) {
        REQUIRE(walrus_group_create(temp->log, names[i], NULL, &failure) == WALRUS_OK);
        REQUIRE(walrus_cursor_open(topic, names[i], NULL, &cursor, &failure) == WALRUS_OK);
        REQUIRE(walrus_cursor_read(cursor, &one, 0, &entries, &failure) == WALRUS_OK);
    }
    REQUIRE(walrus_group_delete(temp->log, "dies", &failure) == WALRUS_OK);
}

static void groups_survive_their_process(void **state)
{
    struct temp_log *temp = *state;
    in_child(temp, make_and_delete, NULL);
    uint64_t bytes = 0;
    for (int round = 0; round < 40; round++) {
        temp_log_open(temp);
        assert_true(has_group(temp, "lives"));
        assert_false(has_group(temp, "dies"));
        struct walrus_topic *topic = line_topic(temp, "t");
        assert_int_equal(cursor_count(topic), 1);
        assert_int_equal(cursor_info(topic, "lives").sequence, 1);
        /* A slot of the dead is free: no file grows by making and deleting. */
        create_group(temp, "next");
        struct walrus_cursor *cursor = open_cursor(topic, "next");
        assert_int_equal(cursor_at(cursor), 0);
        OK(walrus_cursor_set(cursor, 1, &failure));
        close_cursor(cursor);
        OK(walrus_group_delete(temp->log, "next", &failure));
        walrus_topic_close(topic);
        temp_log_close(temp);
        bytes = bytes ? bytes : file_size(temp, "cursors");
    }
    assert_int_equal(file_size(temp, "cursors"), bytes);
}

/* ---- cursors, one by one ---- */

static void a_cursor_can_be_deleted(void **state)
{
    struct temp_log *temp = *state;
    uint64_t lowest = 99;
    temp_log_open(temp);
    create_group(temp, "g");
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 10);
    FAILS(WALRUS_E_NOT_FOUND, walrus_cursor_delete(topic, "g", &failure));
    FAILS(WALRUS_E_NOT_FOUND, walrus_cursor_delete(topic, "nobody", &failure));
    struct walrus_cursor *cursor = open_cursor(topic, "g");
    FAILS(WALRUS_E_BUSY, walrus_cursor_delete(topic, "g", &failure));
    read_expect(cursor, 0, 7);
    FAILS(WALRUS_E_BUSY, walrus_cursor_delete(topic, "g", &failure));
    close_cursor(cursor);
    cursor = open_cursor(topic, NULL);
    read_expect(cursor, 0, 8);
    close_cursor(cursor);
    OK(walrus_cursor_delete(topic, "g", &failure));
    FAILS(WALRUS_E_NOT_FOUND, walrus_cursor_delete(topic, "g", &failure));
    assert_true(consumed(topic, &lowest));
    assert_int_equal(lowest, 8);
    OK(walrus_cursor_delete(topic, NULL, &failure));
    assert_false(consumed(topic, &lowest));
    uint64_t bytes = file_size(temp, "cursors");
    for (int round = 0; round < 70; round++) {
        assert_int_equal(cursor_count(topic), 0);
        cursor = open_cursor(topic, "g");
        read_expect(cursor, 0, 1 + (size_t)round % 3);
        close_cursor(cursor);
        if (round % 4 == 0) {
            walrus_topic_close(topic);
            temp_log_close(temp);
            temp_log_open(temp);
            topic = line_topic(temp, "t");
            assert_int_equal(cursor_info(topic, "g").sequence, 1 + round % 3);
        }
        OK(walrus_cursor_delete(topic, "g", &failure));
        if (round % 4 == 1) {
            walrus_topic_close(topic);
            temp_log_close(temp);
            temp_log_open(temp);
            topic = line_topic(temp, "t");
        }
    }
    assert_int_equal(file_size(temp, "cursors"), bytes);
    assert_true(has_group(temp, "g"));
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* Damage brings an old copy of a slot back to life: the slot that was written later counts, the other is free. */
static void of_two_slots_the_later_counts(void **state)
{
    struct temp_log *temp = *state;
    uint8_t header[64], copy[CURSOR_COPY_BYTES];
    struct cursor_record record;
    for (int later = 0; later < 2; later++) {
        temp_log_erase(temp);
        temp_log_open(temp);
        struct walrus_topic *topic = line_topic(temp, "t");
        append_keyed(topic, 10, 10);
        struct walrus_cursor *cursor = open_cursor(topic, NULL);
        read_expect(cursor, 0, 4);
        close_cursor(cursor);
        walrus_topic_close(topic);
        temp_log_close(temp);
        file_read(temp, "cursors", header, sizeof(header), 0);
        uint64_t log_id;
        memcpy(&log_id, header + 24, sizeof(log_id));
        file_read(temp, "cursors", copy, sizeof(copy), cursor_slot_place(0));
        assert_true(cursor_copy_decode(copy, le64toh(log_id), 0, &record));
        record.sequence = 7;
        record.time_ns += later ? 1000 : (uint64_t)-1000;
        cursor_copy_encode(&record, le64toh(log_id), 1, copy);
        file_write(temp, "cursors", copy, sizeof(copy), cursor_slot_place(1));
        temp_log_open(temp);
        topic = line_topic(temp, "t");
        assert_int_equal(cursor_count(topic), 1);
        assert_int_equal(cursor_info(topic, "default").sequence, later ? 7 : 4);
        /* The other slot goes to the next who needs one. */
        create_group(temp, "g");
        cursor = open_cursor(topic, "g");
        read_expect(cursor, 0, 1);
        close_cursor(cursor);
        walrus_topic_close(topic);
        temp_log_close(temp);
        uint64_t freed = later ? 0 : 1;
        file_read(temp, "cursors", copy, sizeof(copy), cursor_slot_place(freed) + CURSOR_COPY_BYTES);
        assert_true(cursor_copy_decode(copy, le64toh(log_id), freed, &record));
        assert_true(record.group_id != 0 && record.sequence == 1);
    }
}

/* ---- a catalogue that lost a record ---- */

/* Zeros the last record of the catalogue that holds `text` (NULL: the very last). */
static void lose_record(struct temp_log *temp, const char *text)
{
    size_t size = (size_t)file_size(temp, "catalog");
    uint8_t *bytes = malloc(size);
    file_read(temp, "catalog", bytes, size, 0);
    size_t found = 0, found_bytes = 0;
    for (size_t at = 64; at + 24 <= size;) {
        uint32_t body;
        memcpy(&body, bytes + at + 4, sizeof(body));
        size_t whole = (24 + (size_t)le32toh(body) + 7) & ~(size_t)7;
        assert_true(whole > 24 && at + whole <= size);
        if (!text || memmem(bytes + at, whole, text, strlen(text))) {
            found = at;
            found_bytes = whole;
        }
        at += whole;
    }
    assert_true(found > 0);
    memset(bytes + found, 0, found_bytes);
    file_write(temp, "catalog", bytes, size, 0);
    free(bytes);
}

/* Its number still stands in a slot: whoever is made next must not come into that inheritance. */
static void a_lost_group_leaves_nothing_to_others(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 10);
    create_group(temp, "lost");
    struct walrus_cursor *cursor = open_cursor(topic, "lost");
    read_expect(cursor, 0, 6);
    close_cursor(cursor);
    walrus_topic_close(topic);
    temp_log_close(temp);
    lose_record(temp, "lost");
    temp_log_open(temp);
    assert_false(has_group(temp, "lost"));
    create_group(temp, "next");
    temp_log_close(temp);
    temp_log_open(temp);
    topic = line_topic(temp, "t");
    assert_int_equal(cursor_count(topic), 0);
    cursor = open_cursor(topic, "next");
    assert_int_equal(cursor_at(cursor), 0);
    close_cursor(cursor);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void of_two_groups_with_one_name_the_later_exists(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 10);
    create_group(temp, "g");
    struct walrus_cursor *cursor = open_cursor(topic, "g");
    read_expect(cursor, 0, 6);
    close_cursor(cursor);
    OK(walrus_group_delete(temp->log, "g", &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
    lose_record(temp, NULL); /* the deletion */
    uint64_t bytes = file_size(temp, "catalog");
    temp_log_open(temp);
    topic = line_topic(temp, "t");
    assert_int_equal(cursor_info(topic, "g").sequence, 6);
    OK(walrus_group_delete(temp->log, "g", &failure));
    create_group(temp, "g");
    uint64_t id = list_groups(temp).ids[1];
    cursor = open_cursor(topic, "g");
    read_expect(cursor, 0, 2);
    close_cursor(cursor);
    walrus_topic_close(topic);
    temp_log_close(temp);
    /* The first two records about it are "made" and "deleted": now both deletions are lost. */
    uint8_t zeros[64] = {0};
    file_write(temp, "catalog", zeros, 40, bytes - 40);
    temp_log_open(temp);
    assert_int_equal(list_groups(temp).count, 2);
    assert_int_equal(list_groups(temp).ids[1], id);
    topic = line_topic(temp, "t");
    assert_int_equal(cursor_info(topic, "g").sequence, 2);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- what retention is told, and when ---- */

struct onlooker {
    struct walrus_topic *topic;
    uint64_t lowest; /* that it was told while something was being written */
    bool none;       /* or that there is no cursor */
};

static void look(struct memory_disk *disk, enum memory_disk_kind kind, void *context)
{
    struct onlooker *onlooker = context;
    uint64_t lowest;
    (void)disk;
    (void)kind;
    if (!consumed(onlooker->topic, &lowest))
        onlooker->none = true;
    else if (lowest < onlooker->lowest)
        onlooker->lowest = lowest;
}

/* Before a cursor is durable where it holds back more than before, it does so already. */
static void a_cursor_holds_back_before_it_is_durable(void **state)
{
    struct temp_log *temp = *state;
    struct memory_disk *disk = memory_disk_create();
    struct walrus_log *log = NULL;
    struct walrus_topic *topic = NULL;
    struct onlooker onlooker;
    OK(log_open_on(memory_disk_open(disk), &temp->options, &log, &failure));
    OK(walrus_topic_open(log, "t", WALRUS_CREATE, NULL, &topic, &failure));
    append_keyed(topic, 10, 20);
    struct walrus_cursor *cursor = open_cursor(topic, NULL);
    memory_disk_knobs(disk)->on_operation_context = &onlooker;
    memory_disk_knobs(disk)->on_operation = look;
    static const struct {
        uint64_t set_to; /* or read one */
        uint64_t lowest;
    } steps[] = {{UINT64_MAX, 0}, {UINT64_MAX, 1}, {15, 2}, {6, 6}, {9, 6}, {0, 0}};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        onlooker = (struct onlooker){.topic = topic, .lowest = UINT64_MAX};
        if (steps[i].set_to == UINT64_MAX)
            read_expect(cursor, i, 1);
        else
            OK(walrus_cursor_set(cursor, steps[i].set_to, &failure));
        assert_false(onlooker.none);
        assert_int_equal(onlooker.lowest, steps[i].lowest);
    }
    memory_disk_fail(disk, MEMORY_DISK_WRITE, 1, EIO, MEMORY_FAULT_ONCE);
    FAILS(WALRUS_E_IO, walrus_cursor_set(cursor, 12, &failure));
    uint64_t lowest;
    assert_true(consumed(topic, &lowest));
    assert_int_equal(lowest, 0);
    memory_disk_knobs(disk)->on_operation = NULL;
    close_cursor(cursor);
    walrus_topic_close(topic);
    OK(walrus_close(log, &failure));
    memory_disk_destroy(disk);
}

/* Whatever the disk then makes of what was not synced. */
static void a_failed_checkpoint_leaves_the_durable_copy(void **state)
{
    struct temp_log *temp = *state;
    uint64_t seed = random_seed("a_failed_checkpoint_leaves_the_durable_copy"), sequence;
    struct walrus_entries entries = {0};
    for (int round = 0; round < 60; round++) {
        struct memory_disk *disk = memory_disk_create();
        struct walrus_log *log = NULL;
        struct walrus_topic *topic = NULL;
        uint64_t reads = 1 + (uint64_t)round % 4;
        OK(log_open_on(memory_disk_open(disk), &temp->options, &log, &failure));
        OK(walrus_topic_open(log, "t", WALRUS_CREATE, NULL, &topic, &failure));
        append_keyed(topic, 10, 20);
        OK(walrus_topic_sync(topic, &failure));
        struct walrus_cursor *cursor = open_cursor(topic, NULL);
        read_expect(cursor, 0, reads);
        for (int i = 0; i < 1 + round % 3; i++) { /* tried again and again */
            memory_disk_fail(disk, MEMORY_DISK_WRITE, 1, EIO, MEMORY_FAULT_SHORT_THEN_ERROR);
            FAILS(WALRUS_E_IO, walrus_cursor_read(cursor, &one, 0, &entries, &failure));
            assert_int_equal(cursor_at(cursor), reads);
        }
        struct memory_disk *crashed = memory_disk_crash(disk, random_next(&seed));
        struct walrus_log *after = NULL;
        struct walrus_topic *found = NULL;
        OK(log_open_on(memory_disk_open(crashed), &temp->options, &after, &failure));
        OK(walrus_topic_open(after, "t", 0, NULL, &found, &failure));
        struct walrus_cursor *look_again = open_cursor(found, NULL);
        OK(walrus_cursor_get(look_again, &sequence, &failure));
        assert_int_equal(sequence, reads);
        close_cursor(look_again);
        walrus_topic_close(found);
        OK(walrus_close(after, &failure));
        memory_disk_destroy(crashed);

        read_expect(cursor, reads, 2); /* it goes on when the disk does */
        close_cursor(cursor);
        walrus_topic_close(topic);
        OK(walrus_close(log, &failure));
        memory_disk_destroy(disk);
    }
    walrus_entries_free(&entries);
}

static uint64_t durable(struct walrus_topic *topic)
{
    return cursor_info(topic, "default").durable_sequence;
}

static void at_least_once_is_checkpointed_ahead_of_time(void **state)
{
    struct temp_log *temp = *state;
    const struct walrus_consistency hundred = at_least_once(100);
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 600);
    struct walrus_cursor *cursor = NULL;
    OK(walrus_cursor_open(topic, NULL, &hundred, &cursor, &failure));
    uint64_t at = 0;
    for (int round = 0; round < 8; round++) {
        uint64_t before = round == 0 ? 0 : durable(topic);
        /* The call behind the half of the interval asks for it; what that call hands out is not in it. */
        read_expect(cursor, at, before + 51 - at);
        at = before + 51;
        EVENTUALLY(durable(topic) > before);
        assert_int_equal(durable(topic), before + 50);
    }
    close_cursor(cursor);
    assert_int_equal(durable(topic), at);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- threads ---- */

#define GROUPS 4u
#define READERS 3u /* of each group */
#define SHARED 4000u

struct team {
    struct walrus_log *log;
    struct walrus_topic *topic;
    char group[16];
    struct walrus_consistency consistency;
    _Atomic uint8_t given[SHARED];
    _Atomic uint64_t count;
};

static void *read_as_one_of_a_team(void *argument)
{
    struct team *team = argument;
    struct walrus_cursor *cursor = NULL;
    struct walrus_entries entries = {0};
    struct walrus_error error;
    REQUIRE(walrus_cursor_open(team->topic, team->group, &team->consistency, &cursor, &error) == WALRUS_OK);
    while (atomic_load(&team->count) < SHARED) {
        struct walrus_read_limits limits = {.max_bytes = 1000, .max_entries = 20};
        REQUIRE(walrus_cursor_read(cursor, &limits, 0, &entries, &error) == WALRUS_OK);
        for (size_t i = 0; i < entries.count; i++)
            REQUIRE(atomic_fetch_add(&team->given[entries.items[i].sequence], 1) == 0);
        atomic_fetch_add(&team->count, entries.count);
    }
    walrus_entries_free(&entries);
    REQUIRE(walrus_cursor_close(cursor, &error) == WALRUS_OK);
    return NULL;
}

static int look_on(const struct walrus_cursor_info *info, void *context)
{
    REQUIRE(info->durable_sequence <= info->sequence && info->sequence + info->lag_entries >= info->sequence);
    *(uint64_t *)context += info->handle_count;
    return 0;
}

/* Makes and deletes groups and looks at everybody's cursors meanwhile. */
static void *come_and_go(void *argument)
{
    struct team *team = argument;
    struct walrus_error error;
    uint64_t handles = 0;
    for (int i = 0; atomic_load(&team->count) < SHARED; i++) {
        struct walrus_cursor *cursor = NULL;
        struct walrus_entries entries = {0};
        REQUIRE(walrus_group_create(team->log, "guest", NULL, &error) == WALRUS_OK);
        REQUIRE(walrus_cursor_open(team->topic, "guest", NULL, &cursor, &error) == WALRUS_OK);
        REQUIRE(walrus_cursor_read(cursor, &one, 0, &entries, &error) == WALRUS_OK);
        walrus_entries_free(&entries);
        if (i % 2)
            REQUIRE(walrus_cursor_close(cursor, &error) == WALRUS_OK);
        REQUIRE(walrus_cursor_list(team->topic, look_on, &handles, &error) == WALRUS_OK);
        REQUIRE(walrus_group_delete(team->log, "guest", &error) == WALRUS_OK);
        if (i % 2 == 0)
            REQUIRE(walrus_cursor_close(cursor, &error) == WALRUS_OK);
    }
    return NULL;
}

static void teams_read_side_by_side(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    struct team *teams = calloc(GROUPS, sizeof(*teams));
    pthread_t threads[GROUPS * READERS], guest;
    for (unsigned i = 0; i < GROUPS; i++) {
        teams[i].log = temp->log;
        teams[i].topic = topic;
        teams[i].consistency = i % 2 ? at_least_once(i == 1 ? 100 : 10) : strict;
        snprintf(teams[i].group, sizeof(teams[i].group), "team %u", i);
        create_group(temp, teams[i].group);
    }
    for (unsigned i = 0; i < GROUPS * READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_as_one_of_a_team, &teams[i % GROUPS]), 0);
    assert_int_equal(pthread_create(&guest, NULL, come_and_go, &teams[0]), 0);
    for (size_t i = 0; i < SHARED / 100; i++) {
        struct walrus_slice slices[100];
        for (size_t j = 0; j < 100; j++)
            slices[j] = (struct walrus_slice){"some payload", 12};
        OK(walrus_append_batch(topic, slices, 100, 0, NULL, &failure));
    }
    for (unsigned i = 0; i < GROUPS * READERS; i++)
        pthread_join(threads[i], NULL);
    pthread_join(guest, NULL);
    for (unsigned i = 0; i < GROUPS; i++) {
        assert_int_equal(teams[i].count, SHARED);
        assert_int_equal(cursor_info(topic, teams[i].group).durable_sequence, SHARED);
    }
    free(teams);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(groups_are_made_listed_and_deleted),
        LOG_TEST(groups_have_a_consistency_of_their_own),
        LOG_TEST(a_rewritten_catalogue_has_the_groups),
        LOG_TEST(each_group_has_a_position_of_its_own),
        LOG_TEST(a_cursor_comes_into_being_when_it_is_used),
        LOG_TEST(a_cursor_tells_how_far_behind_it_is),
        LOG_TEST(a_deleted_group_is_gone_with_its_cursors),
        LOG_TEST(groups_survive_their_process),
        LOG_TEST(a_cursor_can_be_deleted),
        LOG_TEST(of_two_slots_the_later_counts),
        LOG_TEST(a_lost_group_leaves_nothing_to_others),
        LOG_TEST(of_two_groups_with_one_name_the_later_exists),
        LOG_TEST(a_cursor_holds_back_before_it_is_durable),
        LOG_TEST(a_failed_checkpoint_leaves_the_durable_copy),
        LOG_TEST(at_least_once_is_checkpointed_ahead_of_time),
        LOG_TEST(teams_read_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
