/* The measurements of `walrus bench scale`, each on a log of the size that is asked for. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "scale.h"

#define ENTRY_BYTES 768u
#define SMALL_BYTES 100u
#define PROBES 2000u
#define APPENDS 20000u

static int fail(struct scale *scale, const struct walrus_error *error)
{
    return cli_fail(scale->cli, error, NULL);
}

static enum walrus_code open_log(struct scale *scale, struct walrus_log **log, struct walrus_error *error)
{
    struct walrus_options options;
    enum walrus_code code = walrus_options_init(&options, error);

    options.data_dir = scale->dir;
    options.instance_key = NULL;
    options.sync = (struct walrus_sync_policy){.mode = WALRUS_SYNC_NONE};
    /* Checkpoints and seeks are measured, not the disk's syncs: a crash may repeat what it likes here. */
    options.consistency = (struct walrus_consistency){.mode = WALRUS_AT_LEAST_ONCE, .interval_entries = 1000};
    return code == WALRUS_OK ? walrus_open(&options, log, error) : code;
}

static enum walrus_code append_many(struct walrus_topic *topic, uint64_t count, size_t bytes,
                                    struct walrus_error *error)
{
    static const char payload[ENTRY_BYTES];
    enum walrus_code code = WALRUS_OK;

    for (uint64_t i = 0; i < count && code == WALRUS_OK; i++)
        code = walrus_append(topic, payload, bytes, 0, NULL, error);
    return code;
}

static enum walrus_code fill(struct walrus_topic *topic, uint64_t bytes, struct walrus_error *error)
{
    static const char payload[ENTRY_BYTES];
    struct walrus_slice slices[1000];
    enum walrus_code code = WALRUS_OK;

    for (size_t i = 0; i < 1000; i++)
        slices[i] = (struct walrus_slice){payload, sizeof(payload)};
    while (bytes > 0 && code == WALRUS_OK) {
        uint64_t entries = bytes / ENTRY_BYTES < 1000 ? bytes / ENTRY_BYTES : 1000;

        if (entries == 0)
            break;
        code = walrus_append_batch(topic, slices, (size_t)entries, 0, NULL, error);
        bytes -= entries * ENTRY_BYTES;
    }
    return code;
}

/* Numbers below `most`, the same in every run. */
static uint64_t next_number(uint64_t *state, uint64_t most)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return most > 0 ? *state % most : 0;
}

/* ---- the log's size ---- */

static enum walrus_code measure_topic(struct scale *scale, uint64_t size, struct walrus_topic *topic,
                                      struct walrus_error *error)
{
    struct walrus_topic_info info;
    struct walrus_position position = {0};
    struct walrus_entries entries = {0};
    uint64_t state = 88172645463325252u;
    uint64_t begin_ns = cli_clock_ns();
    enum walrus_code code = append_many(topic, APPENDS, ENTRY_BYTES, error);

    scale_add(scale, SCALE_BYTES, size, "append", cli_clock_ns() - begin_ns, APPENDS);
    if (code == WALRUS_OK)
        code = walrus_topic_info(topic, &info, error);
    begin_ns = cli_clock_ns();
    for (unsigned i = 0; i < PROBES && code == WALRUS_OK; i++)
        code = walrus_seek_sequence(topic, next_number(&state, info.next_sequence), &position, error);
    scale_add(scale, SCALE_BYTES, size, "seek by sequence", cli_clock_ns() - begin_ns, PROBES);
    begin_ns = cli_clock_ns();
    for (unsigned i = 0; i < PROBES && code == WALRUS_OK; i++)
        code = walrus_seek_offset(topic, next_number(&state, info.next_offset), &position, error);
    scale_add(scale, SCALE_BYTES, size, "seek by offset", cli_clock_ns() - begin_ns, PROBES);
    begin_ns = cli_clock_ns();
    for (unsigned i = 0; i < PROBES && code == WALRUS_OK; i++)
        code = walrus_seek_time(topic, info.created_ns + next_number(&state, info.appended_ns - info.created_ns + 1),
                                &position, error);
    scale_add(scale, SCALE_BYTES, size, "seek by time", cli_clock_ns() - begin_ns, PROBES);

    uint64_t read = 0;
    position = (struct walrus_position){0};
    if (code == WALRUS_OK)
        code = walrus_seek_sequence(topic, info.next_sequence - APPENDS, &position, error);
    begin_ns = cli_clock_ns();
    do {
        if (code == WALRUS_OK)
            code = walrus_read_entries(topic, &position, &(struct walrus_read_limits){.max_bytes = 512u << 10},
                                       &entries, error);
        read += code == WALRUS_OK ? entries.count : 0;
    } while (code == WALRUS_OK && entries.count > 0);
    scale_add(scale, SCALE_BYTES, size, "replay, per entry", cli_clock_ns() - begin_ns, read);
    walrus_entries_free(&entries);
    return code;
}

/* Fills the log in a process of its own, which ends without closing it: as a kill would leave it. */
static int fill_and_die(struct scale *scale, uint64_t bytes)
{
    pid_t child = fork();
    int ended = 0;

    if (child == 0) {
        struct walrus_log *log = NULL;
        struct walrus_topic *topic = NULL;
        struct walrus_error error = {0};
        enum walrus_code code = open_log(scale, &log, &error);

        if (code == WALRUS_OK)
            code = walrus_topic_open(log, "t", WALRUS_CREATE, NULL, &topic, &error);
        if (code == WALRUS_OK)
            code = fill(topic, bytes, &error);
        _exit(code == WALRUS_OK ? CLI_OK : fail(scale, &error));
    }
    if (child < 0 || waitpid(child, &ended, 0) != child || !WIFEXITED(ended))
        return cli_error(scale->cli, CLI_UNAVAILABLE, "cannot run the filling process");
    return WEXITSTATUS(ended);
}

int scale_by_bytes(struct scale *scale, uint64_t bytes)
{
    struct walrus_log *log = NULL;
    struct walrus_topic *topic = NULL;
    struct walrus_error error = {0};
    int status = fill_and_die(scale, bytes);

    if (status != CLI_OK)
        return status;
    uint64_t begin_ns = cli_clock_ns();
    enum walrus_code code = open_log(scale, &log, &error);
    scale_add(scale, SCALE_BYTES, bytes, "open after a kill", cli_clock_ns() - begin_ns, 1);
    if (code == WALRUS_OK)
        code = walrus_topic_open(log, "t", 0, NULL, &topic, &error);
    if (code == WALRUS_OK)
        code = measure_topic(scale, bytes, topic, &error);
    walrus_topic_close(topic);
    struct walrus_error second;
    enum walrus_code closed = walrus_close(log, code == WALRUS_OK ? &error : &second);
    code = code == WALRUS_OK ? closed : code;
    if (code == WALRUS_OK) {
        log = NULL;
        begin_ns = cli_clock_ns();
        code = open_log(scale, &log, &error);
        scale_add(scale, SCALE_BYTES, bytes, "open after a close", cli_clock_ns() - begin_ns, 1);
        closed = walrus_close(log, code == WALRUS_OK ? &error : &second);
        code = code == WALRUS_OK ? closed : code;
    }
    return code == WALRUS_OK ? CLI_OK : fail(scale, &error);
}

/* ---- the number of topics ---- */

static void topic_name(uint64_t number, char name[32])
{
    snprintf(name, 32, "topic-%06" PRIu64, number);
}

static int count_node(const struct walrus_node *node, void *context)
{
    (void)node;
    (*(uint64_t *)context)++;
    return 0;
}

static enum walrus_code make_topics(struct walrus_log *log, uint64_t topics, struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;
    char name[32];

    for (uint64_t i = 0; i < topics && code == WALRUS_OK; i++) {
        struct walrus_topic *topic = NULL;

        topic_name(i, name);
        code = walrus_topic_open(log, name, WALRUS_CREATE, NULL, &topic, error);
        if (code == WALRUS_OK)
            code = append_many(topic, 1, SMALL_BYTES, error);
        walrus_topic_close(topic);
    }
    return code;
}

static enum walrus_code measure_topics(struct scale *scale, struct walrus_log *log, uint64_t topics,
                                       struct walrus_error *error)
{
    struct walrus_topic *topic = NULL;
    uint64_t state = 88172645463325252u;
    uint64_t listed = 0;
    char name[32];
    uint64_t begin_ns = cli_clock_ns();
    enum walrus_code code = make_topics(log, topics, error);

    scale_add(scale, SCALE_TOPICS, topics, "create with one entry, per topic", cli_clock_ns() - begin_ns, topics);
    begin_ns = cli_clock_ns();
    for (unsigned i = 0; i < PROBES && code == WALRUS_OK; i++) {
        topic_name(next_number(&state, topics), name);
        code = walrus_topic_open(log, name, 0, NULL, &topic, error);
        if (code == WALRUS_OK)
            walrus_topic_close(topic);
        topic = NULL;
    }
    scale_add(scale, SCALE_TOPICS, topics, "open a topic", cli_clock_ns() - begin_ns, PROBES);
    if (code == WALRUS_OK)
        code = walrus_topic_open(log, "topic-000000", 0, NULL, &topic, error);
    begin_ns = cli_clock_ns();
    if (code == WALRUS_OK)
        code = append_many(topic, APPENDS, ENTRY_BYTES, error);
    scale_add(scale, SCALE_TOPICS, topics, "append to one", cli_clock_ns() - begin_ns, APPENDS);
    walrus_topic_close(topic);
    begin_ns = cli_clock_ns();
    if (code == WALRUS_OK)
        code = walrus_list_topics(log, count_node, &listed, error);
    scale_add(scale, SCALE_TOPICS, topics, "list, per topic", cli_clock_ns() - begin_ns, listed);
    return code;
}

int scale_by_topics(struct scale *scale, uint64_t topics)
{
    struct walrus_log *log = NULL;
    struct walrus_error error = {0}, second;
    enum walrus_code code = open_log(scale, &log, &error);

    if (code == WALRUS_OK)
        code = measure_topics(scale, log, topics, &error);
    enum walrus_code closed = walrus_close(log, code == WALRUS_OK ? &error : &second);
    code = code == WALRUS_OK ? closed : code;
    if (code == WALRUS_OK) {
        uint64_t begin_ns = cli_clock_ns();

        log = NULL;
        code = open_log(scale, &log, &error);
        scale_add(scale, SCALE_TOPICS, topics, "open the log, per topic", cli_clock_ns() - begin_ns, topics);
        closed = walrus_close(log, code == WALRUS_OK ? &error : &second);
        code = code == WALRUS_OK ? closed : code;
    }
    return code == WALRUS_OK ? CLI_OK : fail(scale, &error);
}

/* ---- the number of groups ---- */

static enum walrus_code read_all(struct walrus_topic *topic, const char *group, uint64_t *count,
                                 struct walrus_error *error)
{
    struct walrus_cursor *cursor = NULL;
    struct walrus_entries entries = {0};
    struct walrus_read_limits limits = {.max_bytes = 64u << 10};
    enum walrus_code code = walrus_cursor_open(topic, group, NULL, &cursor, error);

    do {
        if (code == WALRUS_OK)
            code = walrus_cursor_read(cursor, &limits, 0, &entries, error);
        *count += code == WALRUS_OK ? entries.count : 0;
    } while (code == WALRUS_OK && entries.count > 0);
    walrus_entries_free(&entries);
    struct walrus_error second;
    enum walrus_code closed = walrus_cursor_close(cursor, code == WALRUS_OK ? error : &second);
    return code == WALRUS_OK ? closed : code;
}

static enum walrus_code measure_groups(struct scale *scale, struct walrus_log *log, uint64_t groups,
                                       struct walrus_error *error)
{
    struct walrus_topic *topic = NULL;
    uint64_t count = 0;
    char name[32];
    enum walrus_code code = walrus_topic_open(log, "t", WALRUS_CREATE, NULL, &topic, error);

    if (code == WALRUS_OK)
        code = append_many(topic, 1, ENTRY_BYTES, error);
    uint64_t begin_ns = cli_clock_ns();
    for (uint64_t i = 0; i < groups && code == WALRUS_OK; i++) {
        snprintf(name, sizeof(name), "group-%" PRIu64, i);
        code = walrus_group_create(log, name, NULL, error);
        if (code == WALRUS_OK)
            code = read_all(topic, name, &count, error);
    }
    scale_add(scale, SCALE_GROUPS, groups, "create and first checkpoint, per group", cli_clock_ns() - begin_ns, groups);
    begin_ns = cli_clock_ns();
    if (code == WALRUS_OK)
        code = append_many(topic, APPENDS, ENTRY_BYTES, error);
    scale_add(scale, SCALE_GROUPS, groups, "append", cli_clock_ns() - begin_ns, APPENDS);
    count = 0;
    begin_ns = cli_clock_ns();
    if (code == WALRUS_OK)
        code = read_all(topic, "group-0", &count, error);
    scale_add(scale, SCALE_GROUPS, groups, "consume, per entry", cli_clock_ns() - begin_ns, count);
    walrus_topic_close(topic);
    return code;
}

int scale_by_groups(struct scale *scale, uint64_t groups)
{
    struct walrus_log *log = NULL;
    struct walrus_error error = {0}, second;
    enum walrus_code code = open_log(scale, &log, &error);

    if (code == WALRUS_OK)
        code = measure_groups(scale, log, groups, &error);
    enum walrus_code closed = walrus_close(log, code == WALRUS_OK ? &error : &second);
    code = code == WALRUS_OK ? closed : code;
    return code == WALRUS_OK ? CLI_OK : fail(scale, &error);
}
