/*
 * consume.c - a work queue: several threads take entries, acknowledge what is done and give back what is not.
 *
 *     cc consume.c $(pkg-config --cflags --libs walrus) -pthread -o consume
 *     seq 1000 | ./produce data jobs && ./consume data jobs 4
 *
 * Each entry goes to one worker. The group's durable position moves behind an entry when it and all before it are
 * acknowledged; so a crash repeats what was under way, and loses nothing. Work that is repeated must do no harm: here
 * it prints a line. A job that begins with '!' fails at the first attempt, to show how it comes back.
 *
 * What to copy: run_worker(), and how it waits when there is nothing to do.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <walrus/walrus.h>

#define GROUP "workers"
#define LEASE_MS 60000u /* a worker that hangs for longer loses its jobs to the others */
#define WORKERS_MAX 64

static void give_up(const struct walrus_error *error)
{
    fprintf(stderr, "consume: %s\n", error->message);
    exit(1);
}

/* ---- a bell: workers without work wait for the next ring ---- */

struct bell {
    pthread_mutex_t lock;
    pthread_cond_t rung;
    uint64_t count;
};

static void ring(void *context)
{
    struct bell *bell = context;
    pthread_mutex_lock(&bell->lock);
    bell->count++;
    pthread_cond_broadcast(&bell->rung);
    pthread_mutex_unlock(&bell->lock);
}

static uint64_t listen_to(struct bell *bell)
{
    pthread_mutex_lock(&bell->lock);
    uint64_t count = bell->count;
    pthread_mutex_unlock(&bell->lock);
    return count;
}

static void wait_for_ring_after(struct bell *bell, uint64_t count)
{
    pthread_mutex_lock(&bell->lock);
    while (bell->count == count)
        pthread_cond_wait(&bell->rung, &bell->lock);
    pthread_mutex_unlock(&bell->lock);
}

/* ---- the work ---- */

struct queue {
    struct walrus_topic *topic;
    struct bell bell;
    pthread_mutex_t lock; /* of the output, and of what follows */
    uint64_t failed_once[1024];
    size_t failed_count;
};

/* True: done. */
static bool work_on(struct queue *queue, const struct walrus_entry *job)
{
    const char *text = job->data;
    bool done = true;
    pthread_mutex_lock(&queue->lock);
    if (job->length > 0 && text[0] == '!') {
        done = false;
        for (size_t i = 0; i < queue->failed_count; i++)
            done = done || queue->failed_once[i] == job->sequence;
        if (!done && queue->failed_count < 1024)
            queue->failed_once[queue->failed_count++] = job->sequence;
    }
    printf("%s %" PRIu64 ": %.*s\n", done ? "done" : "failed", job->sequence, (int)job->length, text);
    pthread_mutex_unlock(&queue->lock);
    return done;
}

static int note_lag(const struct walrus_cursor_info *cursor, void *context)
{
    if (strcmp(cursor->group, GROUP) != 0)
        return 0;
    *(uint64_t *)context = cursor->lag_entries;
    return 1;
}

/* Entries that no worker has acknowledged. */
static uint64_t left_to_do(struct queue *queue)
{
    struct walrus_error error;
    uint64_t lag = 0;
    if (walrus_cursor_list(queue->topic, note_lag, &lag, &error) != WALRUS_OK)
        give_up(&error);
    return lag;
}

static void *run_worker(void *argument)
{
    struct queue *queue = argument;
    struct walrus_cursor *cursor; /* of its own: what it takes is its until it acknowledges or closes */
    struct walrus_entries jobs = {0};
    struct walrus_error error;
    const struct walrus_read_limits some = {.max_bytes = 65536, .max_entries = 8};

    if (walrus_cursor_open(queue->topic, GROUP, NULL, &cursor, &error) != WALRUS_OK)
        give_up(&error);
    for (;;) {
        uint64_t rings = listen_to(&queue->bell); /* before looking, so that a ring in between is not missed */
        if (walrus_cursor_take(cursor, &some, 0, LEASE_MS, &jobs, &error) != WALRUS_OK)
            give_up(&error); /* WALRUS_E_DAMAGED: walrus_cursor_skip_damage() goes past it */
        if (jobs.count == 0) {
            if (left_to_do(queue) == 0)
                break; /* a queue that is never finished would wait here too */
            wait_for_ring_after(&queue->bell, rings);
            continue;
        }
        for (size_t i = 0; i < jobs.count; i++) {
            const uint64_t sequence = jobs.items[i].sequence;
            enum walrus_code code = work_on(queue, &jobs.items[i])
                                        ? walrus_cursor_acknowledge(cursor, sequence, 1, &error)
                                        : walrus_cursor_give_back(cursor, sequence, 1, &error);
            if (code == WALRUS_E_RANGE)
                fprintf(stderr, "consume: job %" PRIu64 " took too long and went to somebody else\n", sequence);
            else if (code != WALRUS_OK)
                give_up(&error);
        }
    }
    ring(&queue->bell); /* whoever still waits sees that all is done */
    walrus_entries_free(&jobs);
    if (walrus_cursor_close(cursor, &error) != WALRUS_OK) /* gives back what it has not acknowledged */
        give_up(&error);
    return NULL;
}

static void run_queue(struct walrus_topic *topic, int worker_count)
{
    struct queue queue = {
        .topic = topic,
        .bell = {.lock = PTHREAD_MUTEX_INITIALIZER, .rung = PTHREAD_COND_INITIALIZER},
        .lock = PTHREAD_MUTEX_INITIALIZER,
    };
    struct walrus_watch *watch; /* rings for new entries, and for those that were given back */
    struct walrus_error error;
    pthread_t workers[WORKERS_MAX];

    if (walrus_watch_create(topic, ring, &queue.bell, &watch, &error) != WALRUS_OK)
        give_up(&error);
    for (int i = 0; i < worker_count; i++) {
        if (pthread_create(&workers[i], NULL, run_worker, &queue) != 0) {
            fprintf(stderr, "consume: no thread\n");
            exit(1);
        }
    }
    for (int i = 0; i < worker_count; i++)
        pthread_join(workers[i], NULL);
    walrus_watch_destroy(watch);
}

int main(int argc, char **argv)
{
    struct walrus_options options;
    struct walrus_error error;
    struct walrus_log *log;
    struct walrus_topic *topic;
    /* Acknowledgements become durable 100 at a time, and at close: a crash repeats 100 jobs at most. */
    const struct walrus_consistency consistency = {.mode = WALRUS_AT_LEAST_ONCE, .interval_entries = 100};
    int worker_count = argc > 3 ? atoi(argv[3]) : 4;

    if (argc < 3 || worker_count < 1 || worker_count > WORKERS_MAX) {
        fprintf(stderr, "usage: consume DIRECTORY TOPIC [WORKERS]\n");
        return 64;
    }
    if (walrus_options_init(&options, &error) != WALRUS_OK)
        give_up(&error);
    options.data_dir = argv[1];
    if (walrus_open(&options, &log, &error) != WALRUS_OK)
        give_up(&error);
    enum walrus_code code = walrus_group_create(log, GROUP, &consistency, &error);
    if (code != WALRUS_OK && code != WALRUS_E_EXISTS)
        give_up(&error);
    if (walrus_topic_open(log, argv[2], 0, NULL, &topic, &error) != WALRUS_OK)
        give_up(&error);
    run_queue(topic, worker_count);
    walrus_topic_close(topic);
    if (walrus_close(log, &error) != WALRUS_OK)
        give_up(&error);
    return 0;
}
