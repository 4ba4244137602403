/*
 * follow.c - an event loop that is told when a topic grows: a watch, an eventfd and poll.
 *
 *     cc follow.c $(pkg-config --cflags --libs walrus) -pthread -o follow
 *     seq 5 | ./follow data orders
 *
 * A log is open in one process at a time, so whoever follows a topic lives in the process that appends to it. Here a
 * thread appends the lines of standard input, and the main thread prints what comes, from the end of the topic on.
 *
 * What to copy: the watch is made before the first look at the topic, and after each wake-up everything new is read. So
 * nothing is missed, however the two threads run. Where no other descriptors are to be watched, walrus_topic_wait() is
 * shorter.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <walrus/walrus.h>

static void give_up(const struct walrus_error *error)
{
    fprintf(stderr, "follow: %s\n", error->message);
    exit(1);
}

/* The watch's function. It runs in the thread that appended, which waits for it: so it only leaves a note. */
static void note(void *context)
{
    const uint64_t one = 1;
    if (write(*(const int *)context, &one, sizeof(one)) < 0) {
        /* EAGAIN: the counter is full, so the reader has a note already. */
    }
}

struct producer {
    struct walrus_topic *topic;
    int finished_fd; /* is written to when all is appended */
};

static void *append_lines(void *argument)
{
    struct producer *producer = argument;
    struct walrus_error error;
    char line[65536];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (walrus_append(producer->topic, line, strcspn(line, "\n"), 0, NULL, &error) != WALRUS_OK)
            give_up(&error);
    }
    note(&producer->finished_fd);
    return NULL;
}

/* Prints everything from `position` to the end, and moves it there. */
static void print_new(struct walrus_topic *topic, struct walrus_position *position, struct walrus_entries *entries)
{
    const struct walrus_read_limits limits = {.max_bytes = 1 << 20};
    struct walrus_error error;
    do {
        if (walrus_read_entries(topic, position, &limits, entries, &error) != WALRUS_OK)
            give_up(&error);
        for (size_t i = 0; i < entries->count; i++) {
            const struct walrus_entry *entry = &entries->items[i];
            printf("%" PRIu64 ": %.*s\n", entry->sequence, (int)entry->length, (const char *)entry->data);
        }
    } while (entries->count > 0);
    fflush(stdout);
}

static void follow(struct walrus_topic *topic)
{
    struct walrus_error error;
    struct walrus_topic_info info;
    struct walrus_position position;
    struct walrus_entries entries = {0};
    struct walrus_watch *watch;
    pthread_t thread;
    int grown_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct producer producer = {.topic = topic, .finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};

    if (grown_fd < 0 || producer.finished_fd < 0) {
        perror("follow: eventfd");
        exit(1);
    }
    if (walrus_watch_create(topic, note, &grown_fd, &watch, &error) != WALRUS_OK ||
        walrus_topic_info(topic, &info, &error) != WALRUS_OK ||
        walrus_seek_sequence(topic, info.next_sequence, &position, &error) != WALRUS_OK)
        give_up(&error);
    if (pthread_create(&thread, NULL, append_lines, &producer) != 0) {
        fprintf(stderr, "follow: no thread\n");
        exit(1);
    }

    struct pollfd events[2] = {{.fd = grown_fd, .events = POLLIN}, {.fd = producer.finished_fd, .events = POLLIN}};
    while (events[1].revents == 0) {
        uint64_t notes;
        if (poll(events, 2, -1) < 0 && errno != EINTR) {
            perror("follow: poll");
            exit(1);
        }
        /* The note first, then the topic: what comes after the note is taken leaves another one. */
        if (read(grown_fd, &notes, sizeof(notes)) < 0) {
            /* EAGAIN: nothing new. */
        }
        print_new(topic, &position, &entries);
    }

    pthread_join(thread, NULL);
    walrus_watch_destroy(watch); /* from here on nobody writes to grown_fd */
    walrus_entries_free(&entries);
    close(grown_fd);
    close(producer.finished_fd);
}

int main(int argc, char **argv)
{
    struct walrus_options options;
    struct walrus_error error;
    struct walrus_log *log;
    struct walrus_topic *topic;

    if (argc != 3) {
        fprintf(stderr, "usage: follow DIRECTORY TOPIC\n");
        return 64;
    }
    if (walrus_options_init(&options, &error) != WALRUS_OK)
        give_up(&error);
    options.data_dir = argv[1];
    if (walrus_open(&options, &log, &error) != WALRUS_OK)
        give_up(&error);
    if (walrus_topic_open(log, argv[2], WALRUS_CREATE, NULL, &topic, &error) != WALRUS_OK)
        give_up(&error);
    follow(topic);
    walrus_topic_close(topic);
    if (walrus_close(log, &error) != WALRUS_OK)
        give_up(&error);
    return 0;
}
