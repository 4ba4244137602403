/*
 * Settings of a topic: what is its own and what it takes from its log, changed while it is in use, kept over restarts,
 * rewrites of the catalogue, and a catalogue that lost the change.
 */
#include "temp_log.h"

#include <unistd.h>

static void configure(struct walrus_topic *topic, const struct walrus_topic_settings *settings, unsigned which)
{
    OK(walrus_topic_configure(topic, settings, which, &failure));
}

static struct walrus_topic *reopened(struct temp_log *temp, struct walrus_topic *topic, const char *name)
{
    walrus_topic_close(topic);
    temp_log_close(temp);
    temp_log_open(temp);
    OK(walrus_topic_open(temp->log, name, 0, NULL, &topic, &failure));
    return topic;
}

/* ---- text ---- */

static void parse(const char *text, enum walrus_retention_mode mode, uint64_t limit)
{
    struct walrus_retention retention = {.mode = WALRUS_RETAIN_INHERIT, .limit = 77};
    OK(walrus_retention_parse(text, &retention, &failure));
    assert_int_equal(retention.mode, mode);
    assert_int_equal(retention.limit, limit);
}

static void retentions_are_parsed(void **state)
{
    (void)state;
    parse("consumed", WALRUS_RETAIN_CONSUMED, 0);
    parse("all", WALRUS_RETAIN_ALL, 0);
    parse("bytes:1", WALRUS_RETAIN_BYTES, 1);
    parse("bytes:3K", WALRUS_RETAIN_BYTES, 3072);
    parse("bytes:2M", WALRUS_RETAIN_BYTES, 2u << 20);
    parse("bytes:10G", WALRUS_RETAIN_BYTES, (uint64_t)10 << 30);
    parse("bytes:1T", WALRUS_RETAIN_BYTES, (uint64_t)1 << 40);
    parse("bytes:18446744073709551615", WALRUS_RETAIN_BYTES, UINT64_MAX);
    parse("age:1500ms", WALRUS_RETAIN_AGE, 1500);
    parse("age:30s", WALRUS_RETAIN_AGE, 30000);
    parse("age:5m", WALRUS_RETAIN_AGE, 300000);
    parse("age:2h", WALRUS_RETAIN_AGE, 7200000);
    parse("age:7d", WALRUS_RETAIN_AGE, 604800000);
    static const char *const wrong[] = {"",
                                        "inherit",
                                        "bytes",
                                        "bytes:",
                                        "bytes:0",
                                        "bytes:-1",
                                        "bytes:1 K",
                                        "bytes:1KB",
                                        "bytes:k",
                                        "bytes:1k",
                                        "age:",
                                        "age:5",
                                        "age:0s",
                                        "age:5 s",
                                        "age:1.5h",
                                        "consumed ",
                                        "ALL",
                                        "age:1ms2",
                                        "bytes:18446744073709551616",
                                        "bytes:18014398509481984K"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct walrus_retention retention = {.mode = WALRUS_RETAIN_ALL, .limit = 77};
        FAILS(WALRUS_E_INVALID, walrus_retention_parse(wrong[i], &retention, &failure));
        assert_int_equal(retention.mode, WALRUS_RETAIN_ALL);
        assert_int_equal(retention.limit, 77);
    }
}

/* What the parse calls take comes back from the text calls in one form. */
static void policies_have_a_text(void **state)
{
    (void)state;
    static const char *const syncs[][2] = {
        {"each", "each"}, {"sync-each", "each"}, {"none", "none"}, {"async", "every:200ms"}, {"3s", "every:3000ms"}};
    static const char *const retentions[][2] = {{"consumed", "consumed"},
                                                {"all", "all"},
                                                {"bytes:2K", "bytes:2048"},
                                                {"bytes:18446744073709551615", "bytes:18446744073709551615"},
                                                {"age:1m", "age:60000ms"}};
    static const char *const consistencies[][2] = {
        {"strict", "strict"}, {"strictly-at-once", "strict"}, {"at-least-once:4294967295", "at-least-once:4294967295"}};
    static const char *const framings[] = {"line", "write", "nul"};
    char text[WALRUS_POLICY_TEXT_MAX];
    for (size_t i = 0; i < sizeof(syncs) / sizeof(syncs[0]); i++) {
        struct walrus_sync_policy policy;
        OK(walrus_sync_policy_parse(syncs[i][0], &policy, &failure));
        assert_string_equal(walrus_sync_policy_text(&policy, text), syncs[i][1]);
    }
    for (size_t i = 0; i < sizeof(retentions) / sizeof(retentions[0]); i++) {
        struct walrus_retention retention;
        OK(walrus_retention_parse(retentions[i][0], &retention, &failure));
        assert_string_equal(walrus_retention_text(&retention, text), retentions[i][1]);
    }
    for (size_t i = 0; i < sizeof(consistencies) / sizeof(consistencies[0]); i++) {
        struct walrus_consistency consistency;
        OK(walrus_consistency_parse(consistencies[i][0], &consistency, &failure));
        assert_string_equal(walrus_consistency_text(&consistency, text), consistencies[i][1]);
    }
    for (size_t i = 0; i < sizeof(framings) / sizeof(framings[0]); i++) {
        enum walrus_framing framing;
        OK(walrus_framing_parse(framings[i], &framing, &failure));
        assert_int_equal(framing, i);
        assert_string_equal(walrus_framing_text(framing), framings[i]);
    }
    enum walrus_framing framing = WALRUS_FRAMING_NUL;
    FAILS(WALRUS_E_INVALID, walrus_framing_parse("lines", &framing, &failure));
    FAILS(WALRUS_E_INVALID, walrus_framing_parse(NULL, &framing, &failure));
    assert_int_equal(framing, WALRUS_FRAMING_NUL);
}

/* ---- what is durable ---- */

/* Nobody appends meanwhile, and yet the syncs at intervals show. */
static void a_quiet_topic_becomes_durable(void **state)
{
    struct temp_log *temp = *state;
    temp->options.sync = (struct walrus_sync_policy){WALRUS_SYNC_EVERY, 5};
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    struct walrus_topic *never = line_topic(temp, "never");
    configure(never, &(struct walrus_topic_settings){.sync = {WALRUS_SYNC_NONE, 0}}, WALRUS_SET_SYNC);
    for (int i = 0; i < 3; i++)
        OK(walrus_append(topic, "hello", 5, 0, NULL, &failure));
    for (int i = 0; i < 10000 && info_of(topic).durable_sequence < 3; i++)
        usleep(1000);
    assert_int_equal(info_of(topic).durable_sequence, 3);
    OK(walrus_topic_configure(topic, &(struct walrus_topic_settings){.sync = {WALRUS_SYNC_EVERY, 3600000}},
                              WALRUS_SET_SYNC, &failure));
    OK(walrus_append(topic, "hello", 5, 0, NULL, &failure));
    OK(walrus_append(never, "hello", 5, 0, NULL, &failure));
    OK(walrus_topic_sync(topic, &failure));
    assert_int_equal(info_of(topic).durable_sequence, 4);
    walrus_topic_close(never);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* Where nobody syncs, nothing is said to be durable. */
static void what_nobody_syncs_is_not_durable(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    OK(walrus_append(topic, "hello", 5, 0, NULL, &failure));
    usleep(20000);
    assert_int_equal(info_of(topic).durable_sequence, 0);
    OK(walrus_sync(temp->log, &failure));
    assert_int_equal(info_of(topic).durable_sequence, 1);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* ---- own and inherited ---- */

static void settings_are_kept(void **state)
{
    struct temp_log *temp = *state;
    temp->options.retention = (struct walrus_retention){WALRUS_RETAIN_BYTES, 1u << 20};
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    struct walrus_topic_info info = info_of(topic);
    assert_true(info.sync_inherited && info.retention_inherited);
    assert_int_equal(info.settings.sync.mode, WALRUS_SYNC_NONE);
    assert_int_equal(info.settings.retention.mode, WALRUS_RETAIN_BYTES);
    assert_int_equal(info.settings.retention.limit, 1u << 20);
    assert_int_equal(log_info_of(temp).retention.mode, WALRUS_RETAIN_BYTES);

    struct walrus_topic_settings settings = {
        .sync = {WALRUS_SYNC_EVERY, 70}, .retention = {WALRUS_RETAIN_AGE, 86400000}, .framing = WALRUS_FRAMING_NUL};
    configure(topic, &settings, WALRUS_SET_RETENTION); /* this and nothing else */
    info = info_of(topic);
    assert_true(info.sync_inherited && !info.retention_inherited);
    assert_int_equal(info.settings.framing, WALRUS_FRAMING_LINE);
    assert_int_equal(info.settings.retention.mode, WALRUS_RETAIN_AGE);

    topic = reopened(temp, topic, "t");
    info = info_of(topic);
    assert_true(info.sync_inherited && !info.retention_inherited);
    assert_int_equal(info.settings.retention.mode, WALRUS_RETAIN_AGE);
    assert_int_equal(info.settings.retention.limit, 86400000);

    configure(topic, &settings, WALRUS_SET_SYNC | WALRUS_SET_FRAMING);
    OK(walrus_set_attributes(temp->log, "t", &(struct walrus_attributes){.mode = 0640, .uid = 7, .gid = 8}, &failure));
    topic = reopened(temp, topic, "t");
    info = info_of(topic);
    assert_int_equal(info.settings.sync.mode, WALRUS_SYNC_EVERY);
    assert_int_equal(info.settings.sync.interval_ms, 70);
    assert_int_equal(info.settings.framing, WALRUS_FRAMING_NUL);
    assert_int_equal(info.settings.retention.limit, 86400000);
    assert_int_equal(info.settings.attributes.mode, 0640);
    assert_int_equal(info.settings.attributes.gid, 8);

    settings = (struct walrus_topic_settings){0};
    configure(topic, &settings, WALRUS_SET_SYNC | WALRUS_SET_RETENTION); /* back to the log's */
    topic = reopened(temp, topic, "t");
    info = info_of(topic);
    assert_true(info.sync_inherited && info.retention_inherited);
    assert_int_equal(info.settings.retention.mode, WALRUS_RETAIN_BYTES);
    assert_int_equal(info.settings.framing, WALRUS_FRAMING_NUL);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static struct walrus_retention opened_with(struct temp_log *temp, enum walrus_retention_mode mode, uint64_t limit)
{
    temp->options.retention = (struct walrus_retention){mode, limit};
    temp_log_open(temp);
    struct walrus_retention in_force = log_info_of(temp).retention;
    temp_log_close(temp);
    return in_force;
}

static void do_nothing(struct temp_log *temp, void *context)
{
    (void)temp;
    (void)context;
}

/* Who opens the log without an opinion goes by the last one who had one. */
static void the_logs_retention_is_stored(void **state)
{
    struct temp_log *temp = *state;
    struct walrus_options fresh;
    OK(walrus_options_init(&fresh, &failure));
    assert_int_equal(fresh.retention.mode, WALRUS_RETAIN_INHERIT);
    assert_int_equal(opened_with(temp, WALRUS_RETAIN_INHERIT, 0).mode, WALRUS_RETAIN_CONSUMED);
    assert_int_equal(opened_with(temp, WALRUS_RETAIN_ALL, 0).mode, WALRUS_RETAIN_ALL);
    assert_int_equal(opened_with(temp, WALRUS_RETAIN_INHERIT, 0).mode, WALRUS_RETAIN_ALL);
    assert_int_equal(opened_with(temp, WALRUS_RETAIN_AGE, 5000).limit, 5000);
    assert_int_equal(opened_with(temp, WALRUS_RETAIN_AGE, 7000).limit, 7000);
    struct walrus_retention kept = opened_with(temp, WALRUS_RETAIN_INHERIT, 0);
    assert_true(kept.mode == WALRUS_RETAIN_AGE && kept.limit == 7000);
    assert_int_equal(opened_with(temp, WALRUS_RETAIN_CONSUMED, 0).mode, WALRUS_RETAIN_CONSUMED);
    assert_int_equal(opened_with(temp, WALRUS_RETAIN_INHERIT, 0).mode, WALRUS_RETAIN_CONSUMED);

    /* Also when the one who said so was killed at once. */
    temp->options.retention = (struct walrus_retention){WALRUS_RETAIN_ALL, 0};
    in_child(temp, do_nothing, NULL);
    assert_int_equal(opened_with(temp, WALRUS_RETAIN_INHERIT, 0).mode, WALRUS_RETAIN_ALL);

    /* Saying the same again writes nothing. */
    uint64_t bytes = file_size(temp, "catalog");
    (void)opened_with(temp, WALRUS_RETAIN_ALL, 0);
    assert_int_equal(file_size(temp, "catalog"), bytes);

    /* A rewrite of the catalogue takes it along. */
    temp_log_open(temp);
    for (int i = 0; i < 1500; i++) {
        walrus_topic_close(line_topic(temp, "t"));
        OK(walrus_topic_delete(temp->log, "t", &failure));
    }
    temp_log_close(temp);
    bytes = file_size(temp, "catalog");
    assert_int_equal(opened_with(temp, WALRUS_RETAIN_INHERIT, 0).mode, WALRUS_RETAIN_ALL);
    assert_true(file_size(temp, "catalog") < bytes);
    assert_int_equal(opened_with(temp, WALRUS_RETAIN_INHERIT, 0).mode, WALRUS_RETAIN_ALL);
}

/* A command that opens the log for a moment, as the command line does, frees nothing that a daemon keeps. */
static void a_guest_frees_nothing_that_the_host_keeps(void **state)
{
    struct temp_log *temp = *state;
    temp->options.block_bytes_max = 4096;
    temp->options.retention = (struct walrus_retention){WALRUS_RETAIN_ALL, 0};
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 999, 30);
    struct walrus_cursor *cursor = NULL;
    OK(walrus_cursor_open(topic, NULL, NULL, &cursor, &failure));
    OK(walrus_cursor_set(cursor, 30, &failure));
    OK(walrus_cursor_close(cursor, &failure));
    struct walrus_options guest;
    OK(walrus_options_init(&guest, &failure));
    temp->options.retention = guest.retention;
    topic = reopened(temp, topic, "t");
    usleep(150000); /* long enough for the janitor to do what it should not */
    assert_int_equal(info_of(topic).first_sequence, 0);
    assert_keyed(topic, 0, 30);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void a_rewritten_catalogue_has_the_settings(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    for (uint32_t i = 1; i <= 1200; i++)
        configure(
            topic,
            &(struct walrus_topic_settings){.sync = {WALRUS_SYNC_EVERY, i}, .retention = {WALRUS_RETAIN_BYTES, i}},
            WALRUS_SET_SYNC | WALRUS_SET_RETENTION);
    uint64_t bytes = file_size(temp, "catalog");
    for (int i = 0; i < 2; i++) {
        topic = reopened(temp, topic, "t");
        assert_int_equal(info_of(topic).settings.sync.interval_ms, 1200);
        assert_int_equal(info_of(topic).settings.retention.mode, WALRUS_RETAIN_BYTES);
        assert_int_equal(info_of(topic).settings.retention.limit, 1200);
        assert_true(file_size(temp, "catalog") < bytes / 100);
    }
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void what_is_out_of_range_changes_nothing(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    const struct {
        struct walrus_topic_settings settings;
        unsigned which;
    } wrong[] = {
        {{.sync = {.mode = 4}}, WALRUS_SET_SYNC},
        {{.sync = {WALRUS_SYNC_EVERY, 0}}, WALRUS_SET_SYNC},
        {{.sync = {WALRUS_SYNC_EVERY, 3600001}}, WALRUS_SET_SYNC},
        {{.retention = {.mode = 5}}, WALRUS_SET_RETENTION},
        {{.retention = {WALRUS_RETAIN_BYTES, 0}}, WALRUS_SET_RETENTION},
        {{.retention = {WALRUS_RETAIN_AGE, 0}}, WALRUS_SET_RETENTION},
        {{.framing = 3}, WALRUS_SET_FRAMING},
        {{.sync = {WALRUS_SYNC_EACH, 0}, .framing = 3}, WALRUS_SET_SYNC | WALRUS_SET_FRAMING},
        {{.sync = {WALRUS_SYNC_EACH, 0}}, WALRUS_SET_SYNC | 1u << 3},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        FAILS(WALRUS_E_INVALID, walrus_topic_configure(topic, &wrong[i].settings, wrong[i].which, &failure));
    FAILS(WALRUS_E_INVALID, walrus_topic_configure(topic, NULL, WALRUS_SET_SYNC, &failure));
    OK(walrus_topic_configure(topic, &wrong[0].settings, 0, &failure)); /* what is not named is not looked at */
    struct walrus_topic_info info = info_of(topic);
    assert_true(info.sync_inherited && info.retention_inherited);
    assert_int_equal(info.settings.framing, WALRUS_FRAMING_LINE);

    OK(walrus_topic_delete(temp->log, "t", &failure));
    FAILS(WALRUS_E_DELETED,
          walrus_topic_configure(topic, &(struct walrus_topic_settings){0}, WALRUS_SET_SYNC, &failure));
    struct walrus_topic *other = line_topic(temp, "t"); /* of the same name: not meant */
    FAILS(WALRUS_E_DELETED,
          walrus_topic_configure(topic, &(struct walrus_topic_settings){.sync = {WALRUS_SYNC_EACH, 0}}, WALRUS_SET_SYNC,
                                 &failure));
    assert_true(info_of(other).sync_inherited);
    walrus_topic_close(other);
    walrus_topic_close(topic);
    temp_log_close(temp);
    temp->options.retention.mode = WALRUS_RETAIN_AGE + 1;
    FAILS(WALRUS_E_INVALID, temp_log_try_open(temp, &temp->log, &failure));
}

/* ---- in force at once ---- */

static void a_sync_policy_is_in_force_at_once(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 10, 3);
    assert_int_equal(info_of(topic).durable_sequence, 0);
    configure(topic, &(struct walrus_topic_settings){.sync = {WALRUS_SYNC_EACH, 0}}, WALRUS_SET_SYNC);
    append_keyed(topic, 10, 1);
    assert_int_equal(info_of(topic).durable_sequence, 4);
    configure(topic, &(struct walrus_topic_settings){.sync = {WALRUS_SYNC_NONE, 0}}, WALRUS_SET_SYNC);
    append_keyed(topic, 10, 3);
    assert_int_equal(info_of(topic).durable_sequence, 4);
    assert_keyed(topic, 0, 7);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* The log itself would sync once an hour. */
static void a_topic_with_a_shorter_interval_is_synced_in_time(void **state)
{
    struct temp_log *temp = *state;
    temp->options.sync = (struct walrus_sync_policy){WALRUS_SYNC_EVERY, 3600000};
    for (int round = 0; round < 3; round++) {
        temp_log_open(temp);
        struct walrus_topic_settings settings = {.attributes = {.mode = 0644}};
        struct walrus_topic *topic = NULL;
        if (round == 1)
            settings.sync = (struct walrus_sync_policy){WALRUS_SYNC_EVERY, 20};
        OK(walrus_topic_open(temp->log, round == 0 ? "configured" : "created", WALRUS_CREATE, &settings, &topic,
                             &failure)); /* round 2: recovered */
        if (round == 0)
            configure(topic, &(struct walrus_topic_settings){.sync = {WALRUS_SYNC_EVERY, 20}}, WALRUS_SET_SYNC);
        uint64_t before = log_info_of(temp).syncs;
        append_keyed(topic, 10, 1);
        for (int i = 0; i < 1000 && log_info_of(temp).syncs == before; i++)
            usleep(20000);
        assert_true(log_info_of(temp).syncs > before);
        walrus_topic_close(topic);
        if (round == 0)
            OK(walrus_topic_delete(temp->log, "configured", &failure));
        temp_log_close(temp);
    }
}

/* ---- framing ---- */

static void framing_changes_while_the_topic_is_empty(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    struct walrus_topic_settings settings = {.framing = WALRUS_FRAMING_WRITE};
    configure(topic, &settings, WALRUS_SET_FRAMING);
    assert_int_equal(info_of(topic).settings.framing, WALRUS_FRAMING_WRITE);
    topic = reopened(temp, topic, "t");
    append_keyed(topic, 10, 3);
    assert_int_equal(info_of(topic).next_offset, 30);
    settings.framing = WALRUS_FRAMING_LINE;
    settings.sync.mode = WALRUS_SYNC_EACH;
    FAILS(WALRUS_E_NOT_EMPTY,
          walrus_topic_configure(topic, &settings, WALRUS_SET_FRAMING | WALRUS_SET_SYNC, &failure)); /* all or none */
    assert_true(info_of(topic).sync_inherited);
    settings.framing = WALRUS_FRAMING_WRITE; /* as it is */
    configure(topic, &settings, WALRUS_SET_FRAMING | WALRUS_SET_SYNC);
    assert_false(info_of(topic).sync_inherited);
    topic = reopened(temp, topic, "t");
    FAILS(WALRUS_E_NOT_EMPTY,
          walrus_topic_configure(topic, &(struct walrus_topic_settings){0}, WALRUS_SET_FRAMING, &failure));
    append_keyed(topic, 10, 1);
    assert_keyed(topic, 0, 4);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

/* A power cut may take the record of the change and leave the entries that were written after it. */
static void entries_know_their_framing_without_the_catalogue(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    walrus_topic_close(topic);
    OK(walrus_sync(temp->log, &failure));
    uint8_t catalog[4096];
    size_t bytes = (size_t)file_size(temp, "catalog");
    assert_true(bytes < sizeof(catalog));
    file_read(temp, "catalog", catalog, bytes, 0);
    topic = line_topic(temp, "t");
    configure(topic, &(struct walrus_topic_settings){.framing = WALRUS_FRAMING_WRITE}, WALRUS_SET_FRAMING);
    append_keyed(topic, 10, 5);
    walrus_topic_close(topic);
    temp_log_close(temp);

    size_t whole = (size_t)file_size(temp, "catalog");
    uint8_t *zeros = calloc(1, whole - bytes);
    file_write(temp, "catalog", zeros, whole - bytes, bytes);
    free(zeros);
    for (int i = 0; i < 2; i++) {
        temp_log_open(temp);
        topic = line_topic(temp, "t");
        assert_int_equal(info_of(topic).settings.framing, WALRUS_FRAMING_WRITE);
        append_keyed(topic, 10, 1);
        assert_keyed(topic, 0, 6 + (uint64_t)i);
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
}

static void append_and_die(struct temp_log *temp, void *context)
{
    (void)context;
    struct walrus_topic *topic = NULL;
    REQUIRE(walrus_topic_open(temp->log, "t", WALRUS_CREATE, NULL, &topic, &failure) == WALRUS_OK);
    REQUIRE(walrus_append(topic, "gone with the crash", 19, 0, NULL, &failure) == WALRUS_OK);
}

/* A topic without entries may have a block all the same, which was made for another framing. */
static void a_block_without_entries_binds_nobody(void **state)
{
    struct temp_log *temp = *state;
    static const uint8_t zeros[32 + 24];
    for (int with_reopen = 0; with_reopen < 2; with_reopen++) {
        temp_log_erase(temp);
        in_child(temp, append_and_die, NULL);
        const char *segment = "segment-0000000000000001";
        uint64_t at = file_find(temp, segment, "gone with the crash", 19) - 32;
        file_write(temp, segment, zeros, sizeof(zeros), at);
        temp_log_open(temp);
        struct walrus_topic *topic = line_topic(temp, "t");
        assert_int_equal(info_of(topic).next_sequence, 0);
        assert_int_equal(info_of(topic).block_count, 1);
        configure(topic, &(struct walrus_topic_settings){.framing = WALRUS_FRAMING_WRITE}, WALRUS_SET_FRAMING);
        if (with_reopen) {
            topic = reopened(temp, topic, "t");
            assert_int_equal(info_of(topic).settings.framing, WALRUS_FRAMING_WRITE);
        }
        append_keyed(topic, 10, 3);
        topic = reopened(temp, topic, "t");
        assert_int_equal(info_of(topic).settings.framing, WALRUS_FRAMING_WRITE);
        assert_int_equal(info_of(topic).next_offset, 30);
        assert_keyed(topic, 0, 3);
        walrus_topic_close(topic);
        temp_log_close(temp);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retentions_are_parsed),
        cmocka_unit_test(policies_have_a_text),
        LOG_TEST(a_quiet_topic_becomes_durable),
        LOG_TEST(what_nobody_syncs_is_not_durable),
        LOG_TEST(settings_are_kept),
        LOG_TEST(the_logs_retention_is_stored),
        LOG_TEST(a_guest_frees_nothing_that_the_host_keeps),
        LOG_TEST(a_rewritten_catalogue_has_the_settings),
        LOG_TEST(what_is_out_of_range_changes_nothing),
        LOG_TEST(a_sync_policy_is_in_force_at_once),
        LOG_TEST(a_topic_with_a_shorter_interval_is_synced_in_time),
        LOG_TEST(framing_changes_while_the_topic_is_empty),
        LOG_TEST(entries_know_their_framing_without_the_catalogue),
        LOG_TEST(a_block_without_entries_binds_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
