/*
 * produce.c - appends each line of standard input to a topic.
 *
 *     cc produce.c $(pkg-config --cflags --libs walrus) -o produce
 *     seq 1000 | ./produce data orders
 *
 * What to copy: options first, one struct walrus_error for all calls, and what to do when an append fails.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#include <walrus/walrus.h>

/* Appends all of it; 0, or 1 when an append failed. */
static int append_lines(struct walrus_topic *topic, struct walrus_error *error)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    uint64_t count = 0;
    struct walrus_receipt receipt = {0, 0};
    int status = 0;

    while (status == 0 && (length = getline(&line, &room, stdin)) > 0) {
        if (line[length - 1] == '\n')
            length--; /* an entry is bytes; who reads the topic as a stream sees a newline behind each anyway */
        switch (walrus_append(topic, line, (size_t)length, 0, &receipt, error)) {
        case WALRUS_OK:
            count++;
            break;
        case WALRUS_E_NO_SPACE:
            /* Nothing of this entry was written. The topic is whole and takes appends again once there is space: a
             * program that runs on would wait here, and try again. */
        default:
            /* For instance WALRUS_E_REFUSED: a sync failed earlier, and what was appended since the last good one may
             * be lost. Close the log, open it again, and see in the topic what is there. */
            fprintf(stderr, "produce: after %" PRIu64 " entries: %s\n", count, error->message);
            status = 1;
        }
    }
    free(line);
    /* By default an append is in the kernel when it returns, and on the disk within 200 ms. This waits for the disk;
     * with WALRUS_DURABLE, walrus_append() would for each entry, and options.sync makes that the rule. */
    if (status == 0 && walrus_topic_sync(topic, error) != WALRUS_OK) {
        fprintf(stderr, "produce: %s\n", error->message);
        status = 1;
    }
    if (status == 0 && count > 0)
        printf("%" PRIu64 " entries, the last one is number %" PRIu64 " at offset %" PRIu64 "\n", count,
               receipt.sequence, receipt.offset);
    return status;
}

int main(int argc, char **argv)
{
    struct walrus_options options;
    struct walrus_error error;
    struct walrus_log *log;
    struct walrus_topic *topic;
    int status = 1;

    if (argc != 3) {
        fprintf(stderr, "usage: produce DIRECTORY TOPIC\n");
        return 64;
    }
    /* Defaults, then what WALRUS_FSYNC, WALRUS_BACKEND and so on say, then what this program wants. */
    if (walrus_options_init(&options, &error) != WALRUS_OK) {
        fprintf(stderr, "produce: %s\n", error.message);
        return 1;
    }
    options.data_dir = argv[1];
    if (walrus_open(&options, &log, &error) != WALRUS_OK) {
        fprintf(stderr, "produce: %s\n", error.message); /* WALRUS_E_BUSY names the process that has the log open */
        return 1;
    }
    if (walrus_topic_open(log, argv[2], WALRUS_CREATE | WALRUS_CREATE_PARENTS, NULL, &topic, &error) == WALRUS_OK) {
        status = append_lines(topic, &error);
        walrus_topic_close(topic); /* every handle before the log */
    } else {
        fprintf(stderr, "produce: %s\n", error.message);
    }
    /* Makes durable what is not, whatever the sync policy: its failure is a failure of the program. */
    if (walrus_close(log, &error) != WALRUS_OK) {
        fprintf(stderr, "produce: %s\n", error.message);
        status = 1;
    }
    return status;
}
