/*
 * The control socket and its messages under requests at random: nearly right, cut off, and not right at all. For
 * sanitizers.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "control_rig.h"

#define FUZZ_CLIENTS 400
#define FUZZ_REQUESTS 12

static void bytes_at_random_are_read_safely(void **state)
{
    (void)state;
    static const struct control_table *const tables[] = {
        &control_error_table,   &control_log_info_table,    &control_topic_info_table, &control_topic_settings_table,
        &control_node_table,    &control_consistency_table, &control_group_info_table, &control_cursor_info_table,
        &control_receipt_table, &control_limits_table};
    struct random_source seed = rig_seed();
    for (unsigned round = 0; round < 20000; round++) {
        size_t length = random_below(&seed, 200);
        uint8_t *bytes = malloc(length + 1); /* of that size, so that a sanitizer sees a step too far */
        uint8_t to[1024] __attribute__((aligned(16)));
        assert_non_null(bytes);
        for (size_t i = 0; i < length; i++) {
            bytes[i] = random_below(&seed, 3) == 0 ? (uint8_t)random_next(&seed) : (uint8_t)random_below(&seed, 12);
        }
        uint8_t *exact = realloc(bytes, length > 0 ? length : 1);
        struct control_reader reader = {.data = exact, .left = length};
        while (!reader.failed && reader.left > 0) {
            switch (random_below(&seed, 3)) {
            case 0:
                (void)control_get_number(&reader);
                break;
            case 1:
                assert_true(strlen(control_get_text(&reader)) <= length);
                break;
            default:
                control_get_struct(&reader, tables[random_below(&seed, sizeof tables / sizeof tables[0])], to);
                break;
            }
        }
        free(exact);
    }
}

/* ---- fuzzing ----------------------------------------------------------------------------------------------------- */

/* What each call takes: h a topic, k a cursor, n a number, t a text, f a number of flags, s settings, c a consistency
 * behind its flag, l limits, e entries with their lengths, E with their topics too, p payload. */
static const char *const shapes[CONTROL_CALL_END] = {
    [CONTROL_HELLO] = "n",
    [CONTROL_LOG_INFO] = "",
    [CONTROL_SYNC] = "",
    [CONTROL_TOPIC_LIST] = "",
    [CONTROL_TOPIC_OPEN] = "tfS",
    [CONTROL_TOPIC_CLOSE] = "h",
    [CONTROL_TOPIC_DELETE] = "t",
    [CONTROL_TOPIC_INFO] = "h",
    [CONTROL_TOPIC_SYNC] = "h",
    [CONTROL_TOPIC_TRIM] = "hn",
    [CONTROL_TOPIC_CONFIGURE] = "hsf",
    [CONTROL_TOPIC_WAIT] = "hnf",
    [CONTROL_APPEND] = "hfp",
    [CONTROL_APPEND_BATCH] = "hfe",
    [CONTROL_APPEND_TOPICS] = "fE",
    [CONTROL_SEEK_SEQUENCE] = "hn",
    [CONTROL_SEEK_OFFSET] = "hn",
    [CONTROL_SEEK_TIME] = "hn",
    [CONTROL_READ_ENTRIES] = "hnnl",
    [CONTROL_READ_STREAM] = "hnf",
    [CONTROL_SKIP_DAMAGE] = "hnn",
    [CONTROL_GROUP_LIST] = "",
    [CONTROL_GROUP_CREATE] = "tc",
    [CONTROL_GROUP_CONFIGURE] = "tc",
    [CONTROL_GROUP_DELETE] = "t",
    [CONTROL_CURSOR_LIST] = "h",
    [CONTROL_CURSOR_OPEN] = "htc",
    [CONTROL_CURSOR_CLOSE] = "k",
    [CONTROL_CURSOR_READ] = "kfl",
    [CONTROL_CURSOR_TAKE] = "kffl",
    [CONTROL_CURSOR_GET] = "k",
    [CONTROL_CURSOR_SET] = "kn",
    [CONTROL_CURSOR_SKIP_DAMAGE] = "k",
    [CONTROL_CURSOR_ACKNOWLEDGE] = "knn",
    [CONTROL_CURSOR_GIVE_BACK] = "knn",
    [CONTROL_CURSOR_DELETE] = "ht",
    [CONTROL_CURSORS_FORGET_DAMAGED] = "",
    [CONTROL_GROUP_FIND] = "t",
};

static uint64_t any_number(struct random_source *seed)
{
    switch (random_below(seed, 12)) {
    case 0:
        return UINT64_MAX - random_below(seed, 3);
    case 1:
        return UINT32_MAX + random_below(seed, 3);
    case 2:
        return random_next(seed);
    default:
        return random_below(seed, 7);
    }
}

static void put_any_bytes(struct control_writer *body, struct random_source *seed)
{
    for (uint64_t left = random_below(seed, 60); left > 0; left--) {
        uint8_t byte = (uint8_t)random_next(seed);
        control_put_bytes(body, &byte, 1);
    }
}

static void put_any_settings(struct control_writer *body, struct random_source *seed)
{
    struct walrus_topic_settings settings = {
        .attributes = {.mode = (uint32_t)any_number(seed)},
        .sync = {.mode = (enum walrus_sync_mode)random_below(seed, 5), .interval_ms = (uint32_t)any_number(seed)},
        .framing = (enum walrus_framing)random_below(seed, 4),
        .retention = {.mode = (enum walrus_retention_mode)random_below(seed, 6), .limit = any_number(seed)}};
    control_put_struct(body, &control_topic_settings_table, &settings);
}

static void put_any_entries(struct control_writer *body, struct random_source *seed, bool with_topics)
{
    uint64_t count = random_below(seed, 9);
    control_put_number(body, random_below(seed, 8) == 0 ? any_number(seed) : count);
    for (uint64_t i = 0; i < count; i++) {
        if (with_topics) {
            control_put_number(body, 1 + random_below(seed, 3));
        }
        control_put_number(body, random_below(seed, 20) == 0 ? any_number(seed) : 4);
    }
    for (uint64_t i = 0; i < count; i++) {
        control_put_bytes(body, "four", 4);
    }
}

static void put_any(struct control_writer *body, struct random_source *seed, char kind)
{
    static const char *const texts[] = {"t",       "a/b", "default", "g",        "",     "..",
                                        ".hidden", "@g",  "new",     "\x01\x02", "a/b/c"};
    struct walrus_consistency consistency = {.mode = (enum walrus_consistency_mode)random_below(seed, 3),
                                             .interval_entries = (uint32_t)any_number(seed)};
    struct walrus_read_limits limits = {.max_bytes = (size_t)any_number(seed), .max_entries = (size_t)any_number(seed)};
    switch (kind) {
    case 't':
        control_put_text(body, texts[random_below(seed, sizeof texts / sizeof texts[0])]);
        break;
    case 'h':
        control_put_number(body, random_below(seed, 10) == 0 ? any_number(seed) : 1 + random_below(seed, 3));
        break;
    case 'k':
        control_put_number(body, random_below(seed, 10) == 0 ? any_number(seed) : 4);
        break;
    case 'f':
        control_put_number(body, random_below(seed, 16));
        break;
    case 's':
        put_any_settings(body, seed);
        break;
    case 'S': {
        bool given = random_below(seed, 2) == 0;
        control_put_number(body, given);
        if (given) {
            put_any_settings(body, seed);
        }
        break;
    }
    case 'c': {
        bool given = random_below(seed, 2) == 0;
        control_put_number(body, given);
        if (given) {
            control_put_struct(body, &control_consistency_table, &consistency);
        }
        break;
    }
    case 'l':
        control_put_struct(body, &control_limits_table, &limits);
        break;
    case 'e':
    case 'E':
        put_any_entries(body, seed, kind == 'E');
        break;
    case 'p':
        put_any_bytes(body, seed);
        break;
    default:
        control_put_number(body, any_number(seed));
        break;
    }
}

/* True as long as the connection is worth another request. */
static bool fuzz_request(int fd, struct random_source *seed, uint64_t *served)
{
    struct control_writer body = {0};
    struct control_reader reply;
    uint8_t *reply_body;
    uint32_t call = (uint32_t)(1 + random_below(seed, CONTROL_CALL_END));
    const char *shape = call < CONTROL_CALL_END ? shapes[call] : "nn";
    bool goes_on = true;
    for (; *shape != '\0'; shape++) {
        put_any(&body, seed, *shape);
    }
    if (random_below(seed, 12) == 0) {
        put_any_bytes(&body, seed);
    }
    if (body.used > 0 && random_below(seed, 12) == 0) {
        body.data[random_below(seed, body.used)] ^= (uint8_t)(1u << random_below(seed, 8));
    }
    if (body.used > 0 && random_below(seed, 12) == 0) {
        body.used = random_below(seed, body.used);
    }
    uint8_t head[CONTROL_HEADER_BYTES];
    struct control_header header = {.body_bytes = (uint32_t)body.used, .kind = call};
    bool honest = random_below(seed, 25) != 0;
    if (!honest) {
        header.body_bytes = (uint32_t)any_number(seed);
        header.flags = (uint32_t)random_below(seed, 2);
    }
    control_header_encode(&header, head);
    goes_on = client_send_bytes(fd, head, sizeof head) && client_send_bytes(fd, body.data, body.used) && honest;
    /* A wait with a long time-out, and a length that is not true, have no answer that one could wait for. */
    if (goes_on && call != CONTROL_TOPIC_WAIT) {
        int code = client_receive(fd, &reply_body, &reply);
        free(reply_body);
        goes_on = code >= 0;
        *served += code == WALRUS_OK;
    }
    control_writer_fini(&body);
    return goes_on;
}

static void *fuzz_client(void *argument)
{
    struct random_source seed = {.state = *(uint64_t *)argument};
    uint64_t served = 0;
    for (unsigned i = 0; i < FUZZ_CLIENTS; i++) {
        int fd = client_greet();
        (void)client_open_topic(fd, "t");
        (void)client_open_topic(fd, "u");
        uint64_t topic = client_open_topic(fd, "v");
        (void)client_open_cursor(fd, topic,
                                 random_below(&seed, 2) == 0 ? WALRUS_AT_LEAST_ONCE : WALRUS_STRICTLY_AT_ONCE);
        for (unsigned k = 0; k < FUZZ_REQUESTS && fuzz_request(fd, &seed, &served); k++) {
        }
        close(fd);
    }
    *(uint64_t *)argument = served;
    return NULL;
}

static int look_at_topic(const struct walrus_node *node, void *context)
{
    struct walrus_topic *topic;
    struct walrus_topic_info info;
    struct walrus_error error;
    assert_int_equal(walrus_topic_open(rig_log, node->name, 0, NULL, &topic, &error), WALRUS_OK);
    assert_int_equal(walrus_topic_info(topic, &info, &error), WALRUS_OK);
    assert_true(info.first_sequence <= info.next_sequence);
    assert_true(info.settings.framing <= WALRUS_FRAMING_NUL);
    assert_in_range(info.settings.sync.mode, WALRUS_SYNC_EACH, WALRUS_SYNC_NONE);
    assert_in_range(info.settings.retention.mode, WALRUS_RETAIN_CONSUMED, WALRUS_RETAIN_AGE);
    walrus_topic_close(topic);
    ++*(unsigned *)context;
    return 0;
}

static void requests_at_random_do_no_harm(void **state)
{
    (void)state;
    struct random_source seed = rig_seed();
    uint64_t seeds[2] = {random_next(&seed), random_next(&seed)};
    pthread_t threads[2];
    struct walrus_error error;
    unsigned topics = 0;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, fuzz_client, &seeds[i]), 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_true(seeds[i] > FUZZ_CLIENTS); /* many of them made sense */
    }
    rig_wait_until_alone();
    rig_still_serves();
    control_server_stop(&rig_server);
    assert_int_equal(atomic_load(&rig_server.large_bytes), 0);

    /* The log is one that opens again, with nothing odd in it. */
    assert_int_equal(walrus_close(rig_log, &error), WALRUS_OK);
    struct walrus_options options = rig_log_options();
    assert_int_equal(walrus_open(&options, &rig_log, &error), WALRUS_OK);
    assert_int_equal(walrus_list_topics(rig_log, look_at_topic, &topics, &error), WALRUS_OK);
    assert_true(topics > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_at_random_are_read_safely),
        cmocka_unit_test_setup_teardown(requests_at_random_do_no_harm, rig_start, rig_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
