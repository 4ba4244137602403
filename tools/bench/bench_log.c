/* The log under test: made fresh for each run, verified to the last entry, removed. */
#include <ftw.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

static void log_path(const struct bench *bench, char *path, size_t size)
{
    snprintf(path, size, "%s/log", bench->dir);
}

int bench_log_options(const struct bench *bench, struct walrus_options *options)
{
    const char *backend = bench->options->backend;
    int status = cli_options(bench->cli, options);

    if (status == CLI_OK && backend != NULL)
        options->backend = strcmp(backend, "mmap") == 0 ? WALRUS_BACKEND_MMAP : WALRUS_BACKEND_FD;
    return status;
}

int bench_log_open(struct bench *bench)
{
    struct walrus_options options;
    struct walrus_error error = {0};
    char path[sizeof(bench->dir) + 8];
    int status = bench_log_options(bench, &options);

    if (status != CLI_OK)
        return status;
    log_path(bench, path, sizeof(path));
    options.data_dir = path;
    options.instance_key = NULL;
    options.sync = bench->sync;
    options.retention = (struct walrus_retention){.mode = WALRUS_RETAIN_ALL}; /* phases read what others consumed */
    if (walrus_open(&options, &bench->log, &error) != WALRUS_OK)
        return cli_fail(bench->cli, &error, NULL);
    for (unsigned i = 0; i < bench->topic_count; i++) {
        char name[32];

        snprintf(name, sizeof(name), "topic-%u", i);
        if (walrus_topic_open(bench->log, name, WALRUS_CREATE, NULL, &bench->topics[i], &error) != WALRUS_OK) {
            status = cli_fail(bench->cli, &error, NULL);
            bench_log_close(bench);
            return status;
        }
    }
    return CLI_OK;
}

int bench_log_close(struct bench *bench)
{
    char path[sizeof(bench->dir) + 8];
    struct walrus_error error = {0};
    int status = CLI_OK;

    for (unsigned i = 0; i < bench->topic_count; i++) {
        walrus_topic_close(bench->topics[i]);
        bench->topics[i] = NULL;
    }
    if (walrus_close(bench->log, &error) != WALRUS_OK)
        status = cli_fail(bench->cli, &error, NULL);
    bench->log = NULL;
    log_path(bench, path, sizeof(path));
    bench_remove_tree(path);
    return status;
}

static int verify_entries(struct bench *bench, const struct walrus_entries *entries, uint64_t *next)
{
    for (size_t i = 0; i < entries->count; i++) {
        uint64_t number;
        uint64_t writer;

        if (entries->items[i].length < sizeof(number))
            return cli_error(bench->cli, CLI_DATA, "an entry came back with %zu bytes", entries->items[i].length);
        memcpy(&number, entries->items[i].data, sizeof(number));
        writer = number >> 48;
        if (writer >= bench->threads || (number & (UINT64_MAX >> 16)) != next[writer])
            return cli_error(bench->cli, CLI_DATA,
                             "sequence %" PRIu64 " holds number %" PRIu64 " of thread %" PRIu64 ", not %" PRIu64,
                             entries->items[i].sequence, number & (UINT64_MAX >> 16), writer,
                             writer < bench->threads ? next[writer] : 0);
        next[writer]++;
    }
    return CLI_OK;
}

int bench_log_verify(struct bench *bench)
{
    struct walrus_entries entries = {0};
    struct walrus_read_limits limits = {.max_bytes = (size_t)1 << 20};
    struct walrus_error error = {0};
    uint64_t *next = calloc(bench->threads, sizeof(*next));
    int status = CLI_OK;

    if (next == NULL)
        return cli_error(bench->cli, CLI_UNAVAILABLE, "out of memory");
    for (unsigned i = 0; status == CLI_OK && i < bench->topic_count; i++) {
        struct walrus_position position = {0};

        do {
            if (walrus_read_entries(bench->topics[i], &position, &limits, &entries, &error) != WALRUS_OK)
                status = cli_fail(bench->cli, &error, NULL);
            else
                status = verify_entries(bench, &entries, next);
        } while (status == CLI_OK && entries.count > 0);
    }
    for (unsigned i = 0; status == CLI_OK && i < bench->threads; i++) {
        if (next[i] != bench->loads[i].entries)
            status = cli_error(bench->cli, CLI_DATA, "thread %u appended %" PRIu64 " entries, %" PRIu64 " are there", i,
                               bench->loads[i].entries, next[i]);
    }
    walrus_entries_free(&entries);
    free(next);
    return status;
}

static int remove_one(const char *path, const struct stat *attributes, int kind, struct FTW *where)
{
    (void)attributes;
    (void)kind;
    (void)where;
    remove(path);
    return 0;
}

void bench_remove_tree(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
