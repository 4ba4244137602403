/*
 * error_list.h - the last errors that the mount met, in words: what errno alone cannot say. Shown by .walrus/errors
 * and, the last one of a topic, by .stat. Thread-safe.
 */
#ifndef WALRUSFS_ERROR_LIST_H
#define WALRUSFS_ERROR_LIST_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define ERROR_LIST_LENGTH 100
#define ERROR_TEXT_BYTES 400

struct text;

struct error_item {
    uint64_t time_ns;  /* of the last time */
    uint64_t count;    /* how often it came in a row */
    uint64_t topic_id; /* 0: none in particular */
    uid_t uid;         /* whose request it was */
    int error_number;
    char text[ERROR_TEXT_BYTES];
};

struct error_list {
    pthread_mutex_t mutex;                      /* guards the rest */
    struct error_item items[ERROR_LIST_LENGTH]; /* a ring */
    uint64_t added;
};

void error_list_init(struct error_list *list);
void error_list_fini(struct error_list *list);

/* Adds an error, in place of the oldest if there is no room. The same one again only counts. */
void error_list_add(struct error_list *list, uint64_t time_ns, uint64_t topic_id, uid_t uid, int error_number,
                    const char *text);

/*
 * Adds a line for each, the oldest first: time, name of the errno, uid=, times= if it came more than once, words.
 * Without `all`, those of requests by `uid` only: errors name topics that others need not know of.
 */
void error_list_write(struct error_list *list, uid_t uid, bool all, struct text *text);

/* Name of an errno, "?" if it has none. */
const char *error_number_name(int error_number);

/* The last one of a topic. False: none that is remembered. */
bool error_list_of_topic(struct error_list *list, uint64_t topic_id, struct error_item *item);

#endif
