/*
 * retention.c - settings of a topic of its own: how long entries stay, and when they are durable.
 *
 *     cc retention.c $(pkg-config --cflags --libs walrus) -o retention
 *     ./retention data metrics
 *
 * Makes a topic that keeps its newest MiB and syncs nothing, writes 16 MiB into it, then changes its mind: the topic
 * keeps everything from then on, but for what is trimmed by hand.
 *
 * What to copy: settings at creation and later, walrus_topic_trim(), and that whoever reads from the beginning asks
 * where that is.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <walrus/walrus.h>

#define LIMIT_BYTES (UINT64_C(1) << 20)

static void give_up(const struct walrus_error *error)
{
    fprintf(stderr, "retention: %s\n", error->message);
    exit(1);
}

static void show(struct walrus_topic *topic, const char *when)
{
    struct walrus_topic_info info;
    struct walrus_error error;
    if (walrus_topic_info(topic, &info, &error) != WALRUS_OK)
        give_up(&error);
    printf("%s: entries %" PRIu64 " to %" PRIu64 ", %" PRIu64 " bytes, %" PRIu64 " on disk\n", when,
           info.first_sequence, info.next_sequence, info.next_offset - info.first_offset, info.block_bytes);
}

/* Retention works beside the appends, in a thread of the log's, and catches up within seconds. Nobody has to wait for
 * it; this program does, to have something to show. */
static void wait_for_retention(struct walrus_topic *topic)
{
    const struct timespec moment = {.tv_nsec = 20 * 1000 * 1000};
    struct walrus_topic_info info = {.first_sequence = 0};
    struct walrus_error error;
    for (int i = 0; i < 500 && info.first_sequence == 0; i++) {
        nanosleep(&moment, NULL);
        if (walrus_topic_info(topic, &info, &error) != WALRUS_OK)
            give_up(&error);
    }
}

static void write_much(struct walrus_topic *topic, uint64_t bytes)
{
    struct walrus_error error;
    char sample[1024];
    memset(sample, 'm', sizeof(sample));
    for (uint64_t written = 0; written < bytes; written += sizeof(sample)) {
        if (walrus_append(topic, sample, sizeof(sample), 0, NULL, &error) != WALRUS_OK)
            give_up(&error);
    }
}

int main(int argc, char **argv)
{
    struct walrus_options options;
    struct walrus_error error;
    struct walrus_log *log;
    struct walrus_topic *topic;
    struct walrus_topic_info info;

    if (argc != 3) {
        fprintf(stderr, "usage: retention DIRECTORY TOPIC\n");
        return 64;
    }
    if (walrus_options_init(&options, &error) != WALRUS_OK)
        give_up(&error);
    options.data_dir = argv[1];
    options.retention.mode = WALRUS_RETAIN_ALL; /* of topics that say nothing themselves */
    if (walrus_open(&options, &log, &error) != WALRUS_OK)
        give_up(&error);

    /* They count when the topic is made here, and are kept with it. Fields that are 0 mean: as the log. */
    struct walrus_topic_settings settings = {
        .attributes = {.mode = 0644},
        .sync = {.mode = WALRUS_SYNC_NONE},
        .retention = {.mode = WALRUS_RETAIN_BYTES, .limit = LIMIT_BYTES},
    };
    if (walrus_topic_open(log, argv[2], WALRUS_CREATE | WALRUS_EXCLUSIVE, &settings, &topic, &error) != WALRUS_OK)
        give_up(&error);
    show(topic, "empty");
    write_much(topic, 16 * LIMIT_BYTES);
    wait_for_retention(topic);
    show(topic, "written");

    settings.retention = (struct walrus_retention){.mode = WALRUS_RETAIN_ALL, .limit = 0};
    if (walrus_topic_configure(topic, &settings, WALRUS_SET_RETENTION, &error) != WALRUS_OK)
        give_up(&error);
    write_much(topic, 4 * LIMIT_BYTES);
    show(topic, "kept");

    /* Everything but the last ten entries goes, also for groups that have not read it. Whole blocks return to the disk.
     */
    if (walrus_topic_info(topic, &info, &error) != WALRUS_OK ||
        walrus_topic_trim(topic, info.next_sequence - 10, &error) != WALRUS_OK)
        give_up(&error);
    show(topic, "trimmed");

    walrus_topic_close(topic);
    if (walrus_close(log, &error) != WALRUS_OK)
        give_up(&error);
    return 0;
}
