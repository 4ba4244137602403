/*
 * Groups and their cursors: names that are on record, positions that are each group's own, and what is left of them
 * when a group, a cursor or the process is gone.
 */
#include "grouping.h"

#include <pthread.h>

#include "format/catalog_record.h"

/* ---- the list of groups ---- */

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
        LOG_TEST(a_deleted_group_is_gone_with_its_cursors),
        LOG_TEST(groups_survive_their_process),
        LOG_TEST(a_lost_group_leaves_nothing_to_others),
        LOG_TEST(of_two_groups_with_one_name_the_later_exists),
        LOG_TEST(teams_read_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
