/*
 * replay.c - reads a topic again from a moment on, without consuming anything.
 *
 *     cc replay.c $(pkg-config --cflags --libs walrus) -o replay
 *     ./replay data orders 3600                  what came within the last hour
 *
 * What to copy: seek, then read many entries a call until none come; and how damage is passed. A position is plain
 * data: keep its `sequence` where you like, and walrus_seek_sequence() goes on from there after a restart.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <walrus/walrus.h>

static void give_up(const struct walrus_error *error)
{
    fprintf(stderr, "replay: %s\n", error->message);
    exit(1);
}

static void print_entry(const struct walrus_entry *entry)
{
    time_t seconds = (time_t)(entry->time_ns / 1000000000u);
    struct tm utc;
    char when[32];
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &utc));
    printf("%s %" PRIu64 " %.*s\n", when, entry->sequence, (int)entry->length, (const char *)entry->data);
}

/* Prints what was appended in the last `seconds`; returns how many entries. */
static uint64_t replay(struct walrus_topic *topic, uint64_t seconds)
{
    const struct walrus_read_limits limits = {.max_bytes = 1 << 20};
    struct walrus_position position;
    struct walrus_entries entries = {0};
    struct walrus_error error;
    struct timespec now;
    uint64_t count = 0;

    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, back_ns = seconds * 1000000000u;
    /* By halving, however long the topic is. Times never go back within a topic, whatever the clock does. */
    if (walrus_seek_time(topic, now_ns > back_ns ? now_ns - back_ns : 0, &position, &error) != WALRUS_OK)
        give_up(&error);
    for (;;) {
        enum walrus_code code = walrus_read_entries(topic, &position, &limits, &entries, &error);
        if (code == WALRUS_E_DAMAGED) {
            /* error.segment and error.segment_offset say where. What stands before the damage was handed out. */
            uint64_t skipped;
            fprintf(stderr, "replay: %s\n", error.message);
            if (walrus_skip_damage(topic, &position, &skipped, &error) != WALRUS_OK)
                give_up(&error);
            fprintf(stderr, "replay: %" PRIu64 " entries skipped\n", skipped);
            continue;
        }
        if (code == WALRUS_E_RANGE) {
            /* Retention has freed what stood at the position: go on with the first entry there is. */
            struct walrus_topic_info info;
            if (walrus_topic_info(topic, &info, &error) != WALRUS_OK ||
                walrus_seek_sequence(topic, info.first_sequence, &position, &error) != WALRUS_OK)
                give_up(&error);
            continue;
        }
        if (code != WALRUS_OK)
            give_up(&error);
        if (entries.count == 0)
            break;
        for (size_t i = 0; i < entries.count; i++)
            print_entry(&entries.items[i]);
        count += entries.count;
    }
    walrus_entries_free(&entries);
    return count;
}

int main(int argc, char **argv)
{
    struct walrus_options options;
    struct walrus_error error;
    struct walrus_log *log;
    struct walrus_topic *topic;

    if (argc != 4) {
        fprintf(stderr, "usage: replay DIRECTORY TOPIC SECONDS\n");
        return 64;
    }
    if (walrus_options_init(&options, &error) != WALRUS_OK)
        give_up(&error);
    options.data_dir = argv[1];
    options.create = false; /* a mistyped directory is an error, not a new log */
    if (walrus_open(&options, &log, &error) != WALRUS_OK)
        give_up(&error);
    if (walrus_topic_open(log, argv[2], 0, NULL, &topic, &error) != WALRUS_OK)
        give_up(&error);
    fprintf(stderr, "%" PRIu64 " entries\n", replay(topic, strtoull(argv[3], NULL, 10)));
    walrus_topic_close(topic);
    if (walrus_close(log, &error) != WALRUS_OK)
        give_up(&error);
    return 0;
}
