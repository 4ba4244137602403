/*
 * model_test.c - random calls on a log, each compared with a model in memory, on every backend.
 *
 *   model_test [--ops N] [--seed S] [--backend fd|fd-plain|memory] [--dir PARENT]
 *
 * Without --backend all are run, each with the same seed. Exit status 1: a difference; the seed is printed.
 */
#include <dirent.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <walrus/walrus.h>

#include "../support/block_sum.h"
#include "../support/memory_disk.h"
#include "../support/model_log.h"
#include "../support/random.h"
#include "store/log.h"

#define TOPICS 5
#define BATCH_MAX 64

struct subject {
    const char *name; /* NULL: not there */
    struct model_log model;
    struct walrus_topic *handle;
    struct walrus_cursor *cursor;
    struct walrus_position stream_hint;
    struct walrus_position walk; /* of a reader that goes on from call to call */
};

struct run {
    struct walrus_options options;
    struct memory_disk *disk; /* NULL: the real thing */
    struct walrus_log *log;
    struct random_source random;
    struct subject topics[TOPICS];
    uint64_t next_key;
    uint64_t op;
    uint64_t seed;
    const char *backend;
};

static const char *const names[TOPICS] = {"one", "two", "space/three", "space/deep/four", "five"};

__attribute__((noreturn, format(printf, 2, 3))) static void differ(struct run *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("DIFFERENCE on %s, seed %" PRIu64 ", operation %" PRIu64 ": ", run->backend, run->seed, run->op);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    exit(1);
}

static void must(struct run *run, enum walrus_code code, const struct walrus_error *error, const char *what)
{
    if (code != WALRUS_OK)
        differ(run, "%s failed: %s (%s)", what, error->message, walrus_code_name(code));
}

static void open_log(struct run *run)
{
    struct walrus_error error = {0};
    if (run->disk)
        must(run, log_open_on(memory_disk_open(run->disk), &run->options, &run->log, &error), &error, "open");
    else
        must(run, walrus_open(&run->options, &run->log, &error), &error, "open");
}

static void close_topic(struct run *run, struct subject *subject)
{
    struct walrus_error error = {0};
    must(run, walrus_cursor_close(subject->cursor, &error), &error, "close cursor");
    walrus_topic_close(subject->handle);
    subject->cursor = NULL;
    subject->handle = NULL;
}

static struct subject *some_topic(struct run *run)
{
    struct walrus_error error = {0};
    struct subject *subject = &run->topics[random_below(&run->random, TOPICS)];
    if (subject->handle)
        return subject;
    struct walrus_topic_settings settings = {.attributes = {.mode = 0644}};
    if (!subject->name) {
        settings.framing = (enum walrus_framing)random_below(&run->random, 3);
        model_log_init(&subject->model);
        subject->model.delimiter_bytes = settings.framing != WALRUS_FRAMING_WRITE;
        subject->model.delimiter = settings.framing == WALRUS_FRAMING_LINE ? '\n' : '\0';
        subject->name = names[subject - run->topics];
        must(run,
             walrus_topic_open(run->log, subject->name, WALRUS_CREATE | WALRUS_EXCLUSIVE | WALRUS_CREATE_PARENTS,
                               &settings, &subject->handle, &error),
             &error, "create topic");
    } else {
        must(run, walrus_topic_open(run->log, subject->name, 0, NULL, &subject->handle, &error), &error, "open topic");
    }
    memset(&subject->stream_hint, 0, sizeof subject->stream_hint);
    memset(&subject->walk, 0, sizeof subject->walk);
    return subject;
}

static size_t some_length(struct random_source *random)
{
    unsigned kind = (unsigned)random_below(random, 1000);
    if (kind < 50)
        return 0;
    if (kind < 700)
        return random_between(random, 1, 300);
    if (kind < 950)
        return random_between(random, 300, 4000);
    if (kind < 998)
        return random_between(random, 4000, 40000);
    return random_between(random, 40000, 700000);
}

static void check_receipt(struct run *run, const struct subject *subject, const struct walrus_receipt *receipt,
                          size_t first)
{
    if (receipt->sequence != first || receipt->offset != subject->model.places[first].offset)
        differ(run, "%s: receipt says %" PRIu64 " at %" PRIu64 ", not %zu at %" PRIu64, subject->name,
               receipt->sequence, receipt->offset, first, subject->model.places[first].offset);
}

static void append_one(struct run *run)
{
    struct subject *subject = some_topic(run);
    struct walrus_receipt receipt;
    struct walrus_error error = {0};
    size_t length = some_length(&run->random);
    size_t first = subject->model.count;
    const uint8_t *bytes = model_log_add(&subject->model, length, run->next_key++);
    unsigned flags = random_percent(&run->random, 1) ? WALRUS_DURABLE : 0;
    must(run, walrus_append(subject->handle, length ? bytes : NULL, length, flags, &receipt, &error), &error, "append");
    check_receipt(run, subject, &receipt, first);
}

static void append_batch(struct run *run)
{
    struct subject *subject = some_topic(run);
    struct walrus_slice slices[BATCH_MAX];
    struct walrus_receipt receipt;
    struct walrus_error error = {0};
    size_t count = random_below(&run->random, random_percent(&run->random, 80) ? 8 : BATCH_MAX + 1);
    size_t first = subject->model.count;
    for (size_t i = 0; i < count; i++)
        model_log_add(&subject->model, some_length(&run->random), run->next_key++);
    for (size_t i = 0; i < count; i++) {
        const struct model_place *place = &subject->model.places[first + i];
        slices[i] = (struct walrus_slice){subject->model.stream + place->offset, place->length};
    }
    must(run, walrus_append_batch(subject->handle, slices, count, 0, &receipt, &error), &error, "batch");
    if (count)
        check_receipt(run, subject, &receipt, first);
    else if (receipt.sequence != first)
        differ(run, "%s: an empty batch says %" PRIu64 ", not %zu", subject->name, receipt.sequence, first);
}

static void check_entries(struct run *run, const struct subject *subject, const struct walrus_entries *entries,
                          uint64_t sequence, const struct walrus_read_limits *limits)
{
    const struct model_log *model = &subject->model;
    size_t max_entries = limits->max_entries ? limits->max_entries : limits->max_bytes ? WALRUS_BATCH_ENTRIES_MAX : 1;
    uint64_t bytes = 0;
    size_t expected = 0;
    while (sequence + expected < model->count && expected < max_entries) {
        bytes += model->places[sequence + expected].length + (limits->count_delimiters ? model->delimiter_bytes : 0);
        if (expected > 0 && bytes > limits->max_bytes)
            break;
        expected++;
        if (limits->max_bytes == 0)
            break;
    }
    /* Fewer than fit is allowed (a read may end where a block does), none is not. */
    if (entries->count > expected || (entries->count == 0) != (expected == 0))
        differ(run, "%s: read at %" PRIu64 " of %zu gave %zu entries, %zu fit", subject->name, sequence, model->count,
               entries->count, expected);
    for (size_t i = 0; i < entries->count; i++) {
        const struct walrus_entry *entry = &entries->items[i];
        const struct model_place *place = &model->places[sequence + i];
        if (entry->sequence != sequence + i || entry->offset != place->offset || entry->length != place->length ||
            (place->length > 0 && memcmp(entry->data, model->stream + place->offset, place->length) != 0))
            differ(run, "%s: entry %" PRIu64 " is another one (says %" PRIu64 " at %" PRIu64 ", %zu bytes)",
                   subject->name, sequence + i, entry->sequence, entry->offset, entry->length);
        if (entry->time_ns == 0 || (i > 0 && entry->time_ns < entries->items[i - 1].time_ns))
            differ(run, "%s: entry %" PRIu64 " has time %" PRIu64, subject->name, sequence + i, entry->time_ns);
    }
}

static struct walrus_read_limits some_limits(struct random_source *random)
{
    struct walrus_read_limits limits = {0};
    if (random_percent(random, 80))
        limits.max_bytes = random_below(random, random_percent(random, 80) ? 5000 : 200000);
    if (random_percent(random, 30))
        limits.max_entries = 1 + random_below(random, 50);
    limits.count_delimiters = random_percent(random, 30);
    return limits;
}

static void seek_and_read(struct run *run)
{
    struct subject *subject = some_topic(run);
    const struct model_log *model = &subject->model;
    struct walrus_position position = {0};
    struct walrus_entries entries = {0};
    struct walrus_error error = {0};
    uint64_t sequence = random_below(&run->random, model->count + 1);
    if (random_percent(&run->random, 50) && model->stream_bytes > 0) {
        uint64_t offset = random_below(&run->random, model->stream_bytes);
        sequence = model_log_find(model, offset);
        must(run, walrus_seek_offset(subject->handle, offset, &position, &error), &error, "seek by offset");
        /* Entries without bytes and delimiters share an offset: any of them is right. */
        if (model->delimiter_bytes == 0 && position.sequence < sequence &&
            model->places[position.sequence].offset == model->places[sequence].offset)
            sequence = position.sequence;
    } else {
        must(run, walrus_seek_sequence(subject->handle, sequence, &position, &error), &error, "seek by sequence");
        if (walrus_seek_sequence(subject->handle, model->count + 1, &(struct walrus_position){0}, NULL) !=
            WALRUS_E_RANGE)
            differ(run, "%s: a seek past the end is not WALRUS_E_RANGE", subject->name);
    }
    uint64_t place = sequence < model->count ? model->places[sequence].offset : model->stream_bytes;
    if (position.sequence != sequence || position.offset != place)
        differ(run, "%s: seek to %" PRIu64 " gives %" PRIu64 " at %" PRIu64, subject->name, sequence, position.sequence,
               position.offset);
    for (unsigned reads = 1 + (unsigned)random_below(&run->random, 3); reads > 0; reads--) {
        struct walrus_read_limits limits = some_limits(&run->random);
        must(run, walrus_read_entries(subject->handle, &position, &limits, &entries, &error), &error, "read entries");
        check_entries(run, subject, &entries, sequence, &limits);
        sequence += entries.count;
        if (position.sequence != sequence)
            differ(run, "%s: a read of %zu leaves the position at %" PRIu64, subject->name, entries.count,
                   position.sequence);
    }
    walrus_entries_free(&entries);
}

static void walk_on(struct run *run)
{
    struct subject *subject = some_topic(run);
    struct walrus_entries entries = {0};
    struct walrus_error error = {0};
    struct walrus_read_limits limits = some_limits(&run->random);
    uint64_t sequence = subject->walk.sequence;
    must(run, walrus_read_entries(subject->handle, &subject->walk, &limits, &entries, &error), &error, "walk");
    check_entries(run, subject, &entries, sequence, &limits);
    walrus_entries_free(&entries);
}

static void read_stream(struct run *run)
{
    struct subject *subject = some_topic(run);
    const struct model_log *model = &subject->model;
    struct walrus_position fresh = {0};
    struct walrus_error error = {0};
    bool goes_on = random_percent(&run->random, 60);
    struct walrus_position *position = goes_on ? &subject->stream_hint : &fresh;
    uint64_t offset = goes_on && random_percent(&run->random, 50) ? position->offset
                                                                  : random_below(&run->random, model->stream_bytes + 1);
    unsigned calls = 1 + (unsigned)random_below(&run->random, 4);
    for (unsigned call = 0; call < calls; call++) {
        size_t size = random_below(&run->random, random_percent(&run->random, 80) ? 5000 : 300000);
        size_t got = 0;
        uint8_t *buffer = malloc(size + 1);
        must(run, walrus_read_stream(subject->handle, position, offset, buffer, size, &got, &error), &error,
             "read stream");
        uint64_t left = model->stream_bytes > offset ? model->stream_bytes - offset : 0;
        if (got != (size < left ? size : left))
            differ(run, "%s: %zu bytes of the stream at %" PRIu64 " of %" PRIu64 " gave %zu", subject->name, size,
                   offset, model->stream_bytes, got);
        if (got && memcmp(buffer, model->stream + offset, got) != 0)
            differ(run, "%s: other bytes in the stream at %" PRIu64 "+%zu", subject->name, offset, got);
        offset += got;
        free(buffer);
    }
}

static struct walrus_cursor *cursor_of(struct run *run, struct subject *subject)
{
    struct walrus_error error = {0};
    struct walrus_consistency consistency = {random_percent(&run->random, 10) ? WALRUS_STRICTLY_AT_ONCE
                                                                              : WALRUS_AT_LEAST_ONCE,
                                             1 + (uint32_t)random_below(&run->random, 1000)};
    if (!subject->cursor)
        must(run, walrus_cursor_open(subject->handle, NULL, &consistency, &subject->cursor, &error), &error,
             "open cursor");
    return subject->cursor;
}

static void consume(struct run *run)
{
    struct subject *subject = some_topic(run);
    struct walrus_cursor *cursor = cursor_of(run, subject);
    struct walrus_read_limits limits = some_limits(&run->random);
    struct walrus_entries entries = {0};
    struct walrus_error error = {0};
    uint64_t at;
    bool peek = random_percent(&run->random, 30);
    must(run, walrus_cursor_read(cursor, &limits, peek ? WALRUS_PEEK : 0, &entries, &error), &error, "consume");
    check_entries(run, subject, &entries, subject->model.cursor, &limits);
    if (!peek)
        subject->model.cursor += entries.count;
    must(run, walrus_cursor_get(cursor, &at, &error), &error, "get cursor");
    if (at != subject->model.cursor)
        differ(run, "%s: cursor at %" PRIu64 ", not %" PRIu64, subject->name, at, subject->model.cursor);
    walrus_entries_free(&entries);
}

static void set_cursor(struct run *run)
{
    struct subject *subject = some_topic(run);
    struct walrus_cursor *cursor = cursor_of(run, subject);
    struct walrus_error error = {0};
    uint64_t target = random_below(&run->random, subject->model.count + 1);
    must(run, walrus_cursor_set(cursor, target, &error), &error, "set cursor");
    subject->model.cursor = target;
    if (walrus_cursor_set(cursor, subject->model.count + 1, NULL) != WALRUS_E_RANGE)
        differ(run, "%s: a cursor past the end is not WALRUS_E_RANGE", subject->name);
}

static void delete_topic(struct run *run)
{
    struct subject *subject = some_topic(run);
    struct walrus_error error = {0};
    if (!random_percent(&run->random, 20))
        return;
    must(run, walrus_topic_delete(run->log, subject->name, &error), &error, "delete");
    if (walrus_append(subject->handle, "x", 1, 0, NULL, NULL) != WALRUS_E_DELETED)
        differ(run, "%s: append to a deleted topic is not WALRUS_E_DELETED", subject->name);
    if (subject->model.count > 0) {
        struct walrus_position position = {0};
        struct walrus_entries entries = {0};
        struct walrus_read_limits limits = {.max_bytes = 100000};
        must(run, walrus_read_entries(subject->handle, &position, &limits, &entries, &error), &error,
             "read a deleted topic");
        check_entries(run, subject, &entries, 0, &limits);
        walrus_entries_free(&entries);
    }
    walrus_cursor_close(subject->cursor, NULL);
    walrus_topic_close(subject->handle);
    model_log_fini(&subject->model);
    memset(subject, 0, sizeof *subject);
}

static int count_topic(const struct walrus_node *node, void *context)
{
    size_t *count = context;
    (void)node;
    ++*count;
    return 0;
}

static void check_infos(struct run *run)
{
    struct walrus_error error = {0};
    struct walrus_topic_info info;
    size_t listed = 0;
    size_t expected = 0;
    struct subject *subject = some_topic(run);
    must(run, walrus_topic_info(subject->handle, &info, &error), &error, "topic info");
    if (info.first_sequence != 0 || info.next_sequence != subject->model.count ||
        info.next_offset != subject->model.stream_bytes || info.damages != 0 || info.refuses_appends || info.deleted)
        differ(run, "%s: info says %" PRIu64 "..%" PRIu64 " to %" PRIu64 ", %" PRIu64 " damages; model %zu to %" PRIu64,
               subject->name, info.first_sequence, info.next_sequence, info.next_offset, info.damages,
               subject->model.count, subject->model.stream_bytes);
    if (!block_bytes_add_up(subject->handle))
        differ(run, "%s: the bytes of its blocks are not what info says", subject->name);
    must(run, walrus_list_topics(run->log, count_topic, &listed, &error), &error, "list topics");
    for (size_t i = 0; i < TOPICS; i++)
        expected += run->topics[i].name != NULL;
    if (listed != expected)
        differ(run, "%zu topics listed, not %zu", listed, expected);
}

static void sync_log(struct run *run)
{
    struct walrus_error error = {0};
    must(run, walrus_sync(run->log, &error), &error, "sync");
}

static void reopen(struct run *run)
{
    struct walrus_error error = {0};
    for (size_t i = 0; i < TOPICS; i++)
        close_topic(run, &run->topics[i]);
    must(run, walrus_close(run->log, &error), &error, "close");
    open_log(run);
}

static void close_handle(struct run *run)
{
    close_topic(run, some_topic(run));
}

static void one_call(struct run *run)
{
    static const struct {
        unsigned share;
        void (*call)(struct run *run);
    } calls[] = {{400, append_one},  {80, append_batch}, {120, seek_and_read}, {60, walk_on},
                 {150, read_stream}, {120, consume},     {20, set_cursor},     {15, delete_topic},
                 {20, check_infos},  {5, sync_log},      {4, reopen},          {6, close_handle}};
    unsigned drawn = (unsigned)random_below(&run->random, 1000);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (drawn < calls[i].share) {
            calls[i].call(run);
            return;
        }
        drawn -= calls[i].share;
    }
}

static void remove_tree(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    char name[600];
    while (directory && (entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (unlink(name) != 0)
            remove_tree(name);
    }
    if (directory)
        closedir(directory);
    rmdir(path);
}

static void run_backend(const char *backend, uint64_t seed, uint64_t ops, const char *parent)
{
    struct run run = {.seed = seed, .backend = backend, .next_key = seed << 20, .random = {random_mix(seed, 77)}};
    char directory[512];
    struct walrus_error error = {0};
    must(&run, walrus_options_init(&run.options, &error), &error, "options");
    snprintf(directory, sizeof directory, "%s/walrus-model-XXXXXX", parent);
    if (strcmp(backend, "memory") == 0) {
        run.disk = memory_disk_create();
    } else if (!mkdtemp(directory)) {
        perror(directory);
        exit(2);
    }
    run.options.data_dir = directory;
    run.options.instance_key = NULL;
    run.options.io_uring_disabled = strcmp(backend, "fd") != 0;
    run.options.sync = (struct walrus_sync_policy){seed % 2 ? WALRUS_SYNC_NONE : WALRUS_SYNC_EVERY, 20};
    run.options.retention.mode = WALRUS_RETAIN_ALL;
    run.options.segment_bytes = (64u << 10) << (seed % 5);
    run.options.block_bytes_max = (4u << 10) << (seed % 4);
    open_log(&run);
    for (run.op = 1; run.op <= ops; run.op++)
        one_call(&run);
    reopen(&run);
    for (unsigned i = 0; i < 4 * TOPICS; i++)
        check_infos(&run);
    uint64_t bytes = 0;
    uint64_t entries = 0;
    for (size_t i = 0; i < TOPICS; i++) {
        close_topic(&run, &run.topics[i]);
        bytes += run.topics[i].model.stream_bytes;
        entries += run.topics[i].model.count;
        model_log_fini(&run.topics[i].model);
    }
    struct walrus_log_info info;
    must(&run, walrus_log_info(run.log, &info, &error), &error, "log info");
    must(&run, walrus_close(run.log, &error), &error, "close");
    printf("%-8s %" PRIu64 " operations, seed %" PRIu64 ": no difference; %" PRIu64 " entries, %" PRIu64
           " bytes at the end; io_uring %s%s\n",
           backend, ops, seed, entries, bytes, info.io_uring_active ? "active" : "off: ", info.io_uring_reason);
    if (run.disk)
        memory_disk_destroy(run.disk);
    else
        remove_tree(directory);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"ops", required_argument, NULL, 'o'},
        {"seed", required_argument, NULL, 's'},
        {"backend", required_argument, NULL, 'b'},
        {"dir", required_argument, NULL, 'd'},
        {NULL, 0, NULL, 0},
    };
    static const char *const backends[] = {"fd", "fd-plain", "memory"};
    uint64_t ops = 20000;
    uint64_t seed = (uint64_t)time(NULL);
    const char *only = NULL;
    const char *parent = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    int option;
    setvbuf(stdout, NULL, _IOLBF, 0);
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'o':
            ops = strtoull(optarg, NULL, 0);
            break;
        case 's':
            seed = strtoull(optarg, NULL, 0);
            break;
        case 'b':
            only = optarg;
            break;
        case 'd':
            parent = optarg;
            break;
        default:
            return 2;
        }
    }
    printf("seed %" PRIu64 "\n", seed);
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        if (!only || strcmp(only, backends[i]) == 0)
            run_backend(backends[i], seed, ops, parent);
    }
    return 0;
}
