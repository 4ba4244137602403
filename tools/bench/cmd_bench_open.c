/*
 * walrus bench open, walrus bench topics - how long a log takes to open, after a close and after a kill, and what many
 * topics cost. Each opening is a process of its own, so that it has nothing from before but the kernel's cache.
 */
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../commands.h"
#include "../output.h"
#include "bench.h"

#define ENTRY_BYTES 768u
#define SMALL_BYTES 64u
#define BATCH 1000u
#define ROUNDS_MAX 99u

struct bench_open {
    struct cli *cli;
    struct out out;
    const char *parent;
    bool many_topics; /* `bench topics` */
    uint64_t bytes;
    uint64_t topics;
    uint64_t since_bytes; /* appended before each kill */
    uint64_t rounds;
    char dir[4096];
};

/* What a child has to tell. */
struct outcome {
    int status;
    uint64_t work_ns;
    uint64_t cpu_ns; /* of the process for that, which a busy machine leaves alone */
    uint64_t list_ns;
    uint64_t topics;
    uint64_t walked_bytes;
    uint64_t memory_bytes; /* the most that the process ever had resident */
};

typedef enum walrus_code child_work(struct bench_open *bench, struct walrus_log *log, struct outcome *outcome,
                                    struct walrus_error *error);

static uint64_t most_memory(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

static uint64_t cpu_time_ns(void)
{
    struct timespec used = {0};

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

static enum walrus_code open_log(const struct bench_open *bench, struct walrus_log **log, struct walrus_error *error)
{
    struct walrus_options options;
    enum walrus_code code = walrus_options_init(&options, error);

    options.data_dir = bench->dir;
    options.instance_key = NULL;
    options.sync = (struct walrus_sync_policy){.mode = WALRUS_SYNC_NONE};
    return code == WALRUS_OK ? walrus_open(&options, log, error) : code;
}

/* Opens the log in a child, does the work, and closes it or, with `die`, ends as a kill would end it. */
static int in_child(struct bench_open *bench, child_work *work, bool die, struct outcome *outcome)
{
    int ends[2];
    int ended = 0;
    pid_t child;

    memset(outcome, 0, sizeof(*outcome));
    if (pipe(ends) != 0 || (child = fork()) < 0)
        return cli_error(bench->cli, CLI_UNAVAILABLE, "%s", strerror(errno));
    if (child == 0) {
        struct walrus_log *log = NULL;
        struct walrus_error error = {0};
        uint64_t begin_ns = cli_clock_ns();
        uint64_t cpu_begin_ns = cpu_time_ns();
        enum walrus_code code = open_log(bench, &log, &error);

        outcome->work_ns = cli_clock_ns() - begin_ns;
        outcome->cpu_ns = cpu_time_ns() - cpu_begin_ns;
        outcome->memory_bytes = most_memory();
        if (code == WALRUS_OK && work != NULL)
            code = work(bench, log, outcome, &error);
        if (code == WALRUS_OK && !die)
            code = walrus_close(log, &error);
        outcome->status = code == WALRUS_OK ? CLI_OK : cli_fail(bench->cli, &error, NULL);
        _exit(write(ends[1], outcome, sizeof(*outcome)) == (ssize_t)sizeof(*outcome) ? 0 : CLI_IO);
    }
    close(ends[1]);
    if (read(ends[0], outcome, sizeof(*outcome)) != (ssize_t)sizeof(*outcome))
        outcome->status = CLI_IO;
    close(ends[0]);
    if (waitpid(child, &ended, 0) < 0)
        outcome->status = CLI_IO;
    if (cli_stop_signal() != 0)
        return CLI_TIMEOUT;
    return outcome->status;
}

/* ---- output ------------------------------------------------------------------------------------------------------ */

static void say(struct bench_open *bench, const char *what, double value, const char *unit, const char *detail)
{
    if (bench->cli->json)
        out_json(&bench->out,
                 json_pack("{s:s, s:f, s:s, s:s}", "what", what, "value", value, "unit", unit, "detail", detail));
    else
        out_printf(&bench->out, "%-28s %12.3f %-10s %s\n", what, value, unit, detail);
    out_flush(&bench->out);
}

static void say_open(struct bench_open *bench, const char *what, const struct outcome *outcome)
{
    char detail[120];

    snprintf(detail, sizeof(detail), "CPU %.1f ms, walked %.1f MiB, %.0f MiB resident", (double)outcome->cpu_ns / 1e6,
             (double)outcome->walked_bytes / (1u << 20), (double)outcome->memory_bytes / (1u << 20));
    say(bench, what, (double)outcome->work_ns / 1e6, "ms", detail);
}

/* ---- work -------------------------------------------------------------------------------------------------------- */

static enum walrus_code note_recovery(struct bench_open *bench, struct walrus_log *log, struct outcome *outcome,
                                      struct walrus_error *error)
{
    struct walrus_log_info info;
    enum walrus_code code = walrus_log_info(log, &info, error);

    (void)bench;
    if (code != WALRUS_OK)
        return code;
    outcome->walked_bytes = info.recovery_walked_bytes;
    outcome->topics = info.topic_count;
    return WALRUS_OK;
}

/* Batches to all topics in turn, as far as since_bytes goes. */
static enum walrus_code append_bytes(struct bench_open *bench, struct walrus_log *log, struct outcome *outcome,
                                     struct walrus_error *error)
{
    static char payload[ENTRY_BYTES];
    struct walrus_slice slices[BATCH];
    struct walrus_topic **topics = calloc(bench->topics, sizeof(struct walrus_topic *));
    enum walrus_code code = topics != NULL ? WALRUS_OK : WALRUS_E_NO_MEMORY;
    uint64_t made = 0;
    uint64_t done = 0;
    char name[32];

    memset(payload, 'x', sizeof(payload));
    for (size_t i = 0; i < BATCH; i++)
        slices[i] = (struct walrus_slice){payload, sizeof(payload)};
    for (; made < bench->topics && code == WALRUS_OK; made++) {
        snprintf(name, sizeof(name), "t%" PRIu64, made);
        code = walrus_topic_open(log, name, WALRUS_CREATE, NULL, &topics[made], error);
    }
    uint64_t begin_ns = cli_clock_ns();
    for (uint64_t i = 0; code == WALRUS_OK && done < bench->since_bytes && cli_stop_signal() == 0; i++) {
        code = walrus_append_batch(topics[i % bench->topics], slices, BATCH, 0, NULL, error);
        done += (uint64_t)BATCH * ENTRY_BYTES;
    }
    outcome->work_ns = cli_clock_ns() - begin_ns;
    free(topics);
    return code;
}

static int open_twice(struct bench_open *bench, const char *after_kill)
{
    struct outcome outcome;
    int status = in_child(bench, note_recovery, false, &outcome);

    if (status == CLI_OK) {
        say_open(bench, after_kill, &outcome);
        status = in_child(bench, note_recovery, false, &outcome);
    }
    if (status == CLI_OK)
        say_open(bench, "open after a close", &outcome);
    return status;
}

static int run_open(struct bench_open *bench)
{
    uint64_t since_bytes = bench->since_bytes;
    struct outcome outcome;

    bench->since_bytes = bench->bytes;
    int status = in_child(bench, append_bytes, true, &outcome);
    if (status == CLI_OK) {
        say(bench, "written", (double)bench->bytes / (1u << 30) / ((double)outcome.work_ns / 1e9), "GiB/s", "");
        status = open_twice(bench, "open after a kill");
    }
    bench->since_bytes = since_bytes;
    for (uint64_t round = 1; status == CLI_OK && round < bench->rounds; round++) {
        status = in_child(bench, append_bytes, true, &outcome);
        if (status == CLI_OK)
            status = open_twice(bench, "open after a kill");
    }
    return status;
}

/* ---- what it takes of the disk ------------------------------------------------------------------------------------
 */

static uint64_t seen_bytes;

static int add_file(const char *path, const struct stat *file, int kind, struct FTW *where)
{
    (void)path;
    (void)kind;
    (void)where;
    seen_bytes += (uint64_t)file->st_blocks * 512;
    return 0;
}

static uint64_t disk_bytes(const char *dir)
{
    seen_bytes = 0;
    nftw(dir, add_file, 16, FTW_PHYS);
    return seen_bytes;
}

/* ---- many topics ------------------------------------------------------------------------------------------------- */

static int count_node(const struct walrus_node *node, void *context)
{
    (void)node;
    (*(uint64_t *)context)++;
    return 0;
}

static enum walrus_code list(struct bench_open *bench, struct walrus_log *log, struct outcome *outcome,
                             struct walrus_error *error)
{
    uint64_t begin_ns = cli_clock_ns();
    enum walrus_code code = walrus_list(log, "", count_node, &outcome->topics, error);

    (void)bench;
    outcome->list_ns = cli_clock_ns() - begin_ns;
    return code;
}

static enum walrus_code make_topics(struct bench_open *bench, struct walrus_log *log, struct outcome *outcome,
                                    struct walrus_error *error)
{
    static char payload[SMALL_BYTES];
    uint64_t begin_ns = cli_clock_ns();
    uint64_t cpu_begin_ns = cpu_time_ns();
    enum walrus_code code = WALRUS_OK;
    char name[32];

    memset(payload, 'x', sizeof(payload));
    for (uint64_t i = 0; i < bench->topics && code == WALRUS_OK && cli_stop_signal() == 0; i++) {
        struct walrus_topic *topic = NULL;

        snprintf(name, sizeof(name), "topic-%06" PRIu64, i);
        code = walrus_topic_open(log, name, WALRUS_CREATE, NULL, &topic, error);
        if (code == WALRUS_OK)
            code = walrus_append(topic, payload, sizeof(payload), 0, NULL, error);
        walrus_topic_close(topic);
    }
    outcome->work_ns = cli_clock_ns() - begin_ns;
    outcome->cpu_ns = cpu_time_ns() - cpu_begin_ns;
    outcome->memory_bytes = most_memory();
    return code == WALRUS_OK ? list(bench, log, outcome, error) : code;
}

static enum walrus_code note_and_list(struct bench_open *bench, struct walrus_log *log, struct outcome *outcome,
                                      struct walrus_error *error)
{
    enum walrus_code code = note_recovery(bench, log, outcome, error);

    outcome->topics = 0;
    return code == WALRUS_OK ? list(bench, log, outcome, error) : code;
}

static int check_count(const struct bench_open *bench, const struct outcome *outcome)
{
    if (outcome->topics == bench->topics)
        return CLI_OK;
    return cli_error(bench->cli, CLI_DATA, "%" PRIu64 " topics are there", outcome->topics);
}

static int run_topics(struct bench_open *bench)
{
    int status = CLI_OK;

    for (uint64_t round = 0; status == CLI_OK && round < bench->rounds; round++) {
        struct outcome outcome;
        char detail[120];

        bench_remove_tree(bench->dir);
        status = in_child(bench, make_topics, true, &outcome);
        if (status != CLI_OK || (status = check_count(bench, &outcome)) != CLI_OK)
            break;
        snprintf(detail, sizeof(detail), "CPU %.1f ms, %.0f MiB resident, %.0f MiB of disk",
                 (double)outcome.cpu_ns / 1e6, (double)outcome.memory_bytes / (1u << 20),
                 (double)disk_bytes(bench->dir) / (1u << 20));
        say(bench, "created, with one entry", (double)bench->topics / ((double)outcome.work_ns / 1e9) / 1e3, "K/s",
            detail);
        for (int after_close = 0; after_close < 2 && status == CLI_OK; after_close++) {
            status = in_child(bench, note_and_list, false, &outcome);
            if (status != CLI_OK || (status = check_count(bench, &outcome)) != CLI_OK)
                break;
            say_open(bench, after_close ? "open after a close" : "open after a kill", &outcome);
            say(bench, "list", (double)outcome.list_ns / 1e6, "ms", "");
        }
    }
    return status;
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

enum { KEY_DIR = CLI_KEY_PRIVATE, KEY_BYTES, KEY_TOPICS, KEY_SINCE, KEY_ROUNDS };

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct bench_open *bench = state->input;
    bool valid = true;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = bench->cli;
        return 0;
    case KEY_DIR:
        bench->parent = argument;
        return 0;
    case KEY_BYTES:
        valid = cli_parse_bytes(argument, &bench->bytes);
        break;
    case KEY_SINCE:
        valid = cli_parse_bytes(argument, &bench->since_bytes);
        break;
    case KEY_TOPICS:
        valid = cli_parse_u64(argument, &bench->topics) && bench->topics > 0 && bench->topics <= 1000000;
        break;
    case KEY_ROUNDS:
        valid = cli_parse_u64(argument, &bench->rounds) && bench->rounds > 0 && bench->rounds <= ROUNDS_MAX;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    if (!valid)
        argp_error(state, "'%s' is no value for that option; see --help", argument);
    return 0;
}

static int run(struct bench_open *bench, const struct argp *argp, int argc, char **argv)
{
    char top[sizeof(bench->dir) - 8];
    const char *parent;

    cli_parse(bench->cli, argp, argc, argv, bench);
    cli_catch_signals();
    out_init(&bench->out, STDOUT_FILENO);
    parent = bench->parent != NULL ? bench->parent : getenv("TMPDIR");
    snprintf(top, sizeof(top), "%s/walrus-bench-XXXXXX", parent != NULL ? parent : ".");
    if (mkdtemp(top) == NULL)
        return cli_error(bench->cli, CLI_IO, "%s: %s", top, strerror(errno));
    snprintf(bench->dir, sizeof(bench->dir), "%s/log", top);
    int status = bench->many_topics ? run_topics(bench) : run_open(bench);
    bench_remove_tree(top);
    return out_finish(&bench->out, bench->cli, status);
}

int cmd_bench_open(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"bytes", KEY_BYTES, "BYTES", 0, "write so much (default 1G)", 0},
        {"topics", KEY_TOPICS, "N", 0, "to so many topics (default 10)", 0},
        {"since", KEY_SINCE, "BYTES", 0, "and so much before each further kill (default 500M)", 0},
        {"rounds", KEY_ROUNDS, "N", 0, "kills (default 3)", 0},
        {"dir", KEY_DIR, "DIR", 0, "make the temporary directory in DIR (default: $TMPDIR, else .)", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .doc =
            "Writes a log and ends without closing it, opens it, closes it, opens it again; then appends, and so on. "
            "Each opening is a process of its own; the kernel's cache stays as it is.\v"
            "--json: one object per figure: what, value, unit, detail.",
        .children = cli_children,
    };
    static struct bench_open bench = {.bytes = (uint64_t)1 << 30, .topics = 10, .since_bytes = 500u << 20, .rounds = 3};

    bench.cli = cli;
    return run(&bench, &argp, argc, argv);
}

int cmd_bench_topics(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"topics", KEY_TOPICS, "N", 0, "so many (default 100000)", 0},
        {"rounds", KEY_ROUNDS, "N", 0, "times, each from an empty directory (default 3)", 0},
        {"dir", KEY_DIR, "DIR", 0, "make the temporary directory in DIR (default: $TMPDIR, else .)", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .doc =
            "Makes many topics with one small entry each, ends without closing the log, opens and lists it, closes it, "
            "opens and lists it again.\v"
            "--json: one object per figure: what, value, unit, detail.",
        .children = cli_children,
    };
    static struct bench_open bench = {.many_topics = true, .topics = 100000, .rounds = 3};

    bench.cli = cli;
    return run(&bench, &argp, argc, argv);
}
