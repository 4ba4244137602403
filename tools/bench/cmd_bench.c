/* walrus bench writes|reads|batch: options, environment, and the life of the temporary directory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../commands.h"
#include "bench.h"

#define DEFAULT_ENTRIES 500000u

struct arguments {
    struct cli *cli;
    struct bench_options options;
    bool entries_given;
    bool duration_given;
    bool sync_given;
};

static struct out out;

enum {
    KEY_TOPICS = CLI_KEY_PRIVATE,
    KEY_DURATION,
    KEY_ENTRIES,
    KEY_MIN_SIZE,
    KEY_MAX_SIZE,
    KEY_BATCH,
    KEY_FSYNC,
    KEY_DIR,
    KEY_CSV,
    KEY_PEER,
    KEY_RUNS,
    KEY_BACKEND,
};

/* "4" or "1-8". */
static bool parse_threads(const char *text, struct bench_options *options)
{
    char first[16];
    const char *dash = strchr(text, '-');
    size_t length = dash != NULL ? (size_t)(dash - text) : strlen(text);
    uint64_t low;
    uint64_t high;

    if (length >= sizeof(first))
        return false;
    memcpy(first, text, length);
    first[length] = '\0';
    if (!cli_parse_u64(first, &low) || !cli_parse_u64(dash != NULL ? dash + 1 : first, &high) || low == 0 ||
        low > high || high > BENCH_THREADS_MAX)
        return false;
    options->threads_min = (unsigned)low;
    options->threads_max = (unsigned)high;
    return true;
}

/* "each,none,every:10ms" */
static bool parse_policies(const char *text, struct bench_options *options)
{
    char *copy = strdup(text);
    char *rest = copy;
    char *word;
    bool valid = copy != NULL;

    options->policy_count = 0;
    while (valid && (word = strsep(&rest, ",")) != NULL) {
        valid = options->policy_count < sizeof(options->policies) / sizeof(options->policies[0]) &&
                walrus_sync_policy_parse(word, &options->policies[options->policy_count], NULL) == WALRUS_OK;
        options->policy_count++;
    }
    free(copy);
    return valid;
}

static bool parse_peer(const char *text, enum bench_peer *peer)
{
    static const char *const names[] = {"auto", "none", "fdatasync", "dsync", "direct", "all"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            *peer = (enum bench_peer)i;
            return true;
        }
    }
    return false;
}

static bool parse_value(int key, const char *text, struct arguments *arguments)
{
    struct bench_options *options = &arguments->options;
    uint64_t number;

    switch (key) {
    case 't':
        return parse_threads(text, options);
    case KEY_TOPICS:
        options->topics = cli_parse_u64(text, &number) && number <= 100000 ? (unsigned)number : 0;
        return options->topics > 0;
    case KEY_DURATION:
        arguments->duration_given = true;
        if (!cli_parse_duration_ns(text, &options->write_duration_ns) || options->write_duration_ns == 0)
            return false;
        options->read_duration_ns = options->write_duration_ns;
        return true;
    case KEY_ENTRIES:
        arguments->entries_given = true;
        return cli_parse_u64(text, &options->entries);
    case KEY_MIN_SIZE:
        return cli_parse_bytes(text, &options->min_bytes) && options->min_bytes >= BENCH_PAYLOAD_MIN;
    case KEY_MAX_SIZE:
        return cli_parse_bytes(text, &options->max_bytes) && options->max_bytes <= (uint64_t)64 << 20;
    case KEY_BATCH:
        return cli_parse_u64(text, &options->batch_entries) && options->batch_entries > 0 &&
               options->batch_entries <= WALRUS_BATCH_ENTRIES_MAX;
    case KEY_FSYNC:
        arguments->sync_given = true;
        return parse_policies(text, options);
    case KEY_BACKEND:
        options->backend = text;
        return strcmp(text, "fd") == 0 || strcmp(text, "mmap") == 0;
    case KEY_PEER:
        return parse_peer(text, &options->peer);
    case KEY_RUNS:
        options->runs = cli_parse_u64(text, &number) && number <= BENCH_RUNS_MAX ? (unsigned)number : 0;
        return options->runs > 0;
    default:
        return false;
    }
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = arguments->cli;
        return 0;
    case KEY_DIR:
        arguments->options.dir = argument;
        return 0;
    case KEY_CSV:
        arguments->options.csv_path = argument;
        return 0;
    case 't':
    case KEY_TOPICS:
    case KEY_DURATION:
    case KEY_ENTRIES:
    case KEY_MIN_SIZE:
    case KEY_MAX_SIZE:
    case KEY_BATCH:
    case KEY_FSYNC:
    case KEY_PEER:
    case KEY_RUNS:
    case KEY_BACKEND:
        if (!parse_value(key, argument, arguments))
            argp_error(state, "'%s' is no value for that option; see --help", argument);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The variables of the reference; a variable without meaning is an error, not a default. */
static int read_environment(const struct cli *cli, struct arguments *arguments)
{
    static const struct {
        const char *variable;
        int key;
    } variables[] = {{"WALRUS_THREADS", 't'},
                     {"WALRUS_DURATION", KEY_DURATION},
                     {"WALRUS_BATCH_SIZE", KEY_BATCH},
                     {"WALRUS_FSYNC", KEY_FSYNC}};
    const char *writes = getenv("WALRUS_WRITE_DURATION");
    const char *reads = getenv("WALRUS_READ_DURATION");

    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        const char *text = getenv(variables[i].variable);

        if (text != NULL && !parse_value(variables[i].key, text, arguments))
            return cli_error(cli, CLI_USAGE, "%s has no meaning: '%s'", variables[i].variable, text);
    }
    if (writes != NULL && !cli_parse_duration_ns(writes, &arguments->options.write_duration_ns))
        return cli_error(cli, CLI_USAGE, "WALRUS_WRITE_DURATION has no meaning: '%s'", writes);
    if (reads != NULL && !cli_parse_duration_ns(reads, &arguments->options.read_duration_ns))
        return cli_error(cli, CLI_USAGE, "WALRUS_READ_DURATION has no meaning: '%s'", reads);
    arguments->duration_given = arguments->duration_given || writes != NULL;
    return CLI_OK;
}

static int allocate(struct bench *bench)
{
    unsigned files = bench->threads > bench->topic_count ? bench->threads : bench->topic_count;

    bench->topics = calloc(bench->topic_count, sizeof(*bench->topics));
    bench->cursors = calloc(bench->topic_count, sizeof(*bench->cursors));
    bench->topic_bytes = calloc(bench->topic_count, sizeof(*bench->topic_bytes));
    bench->files = calloc(files, sizeof(*bench->files));
    bench->loads = aligned_alloc(64, bench->threads * sizeof(*bench->loads));
    if (bench->topics == NULL || bench->cursors == NULL || bench->topic_bytes == NULL || bench->files == NULL ||
        bench->loads == NULL)
        return cli_error(bench->cli, CLI_UNAVAILABLE, "out of memory");
    memset(bench->loads, 0, bench->threads * sizeof(*bench->loads));
    for (unsigned i = 0; i < files; i++)
        bench->files[i] = -1;
    for (unsigned i = 0; i < bench->threads; i++) {
        struct bench_load *load = &bench->loads[i];

        load->bench = bench;
        load->index = i;
        load->payload = malloc(bench->options->max_bytes);
        if (load->payload == NULL)
            return cli_error(bench->cli, CLI_UNAVAILABLE, "out of memory");
        for (uint64_t j = 0; j < bench->options->max_bytes; j++)
            load->payload[j] = (uint8_t)(j * 31 + i + 'a');
    }
    return CLI_OK;
}

static void release(struct bench *bench)
{
    for (unsigned i = 0; bench->loads != NULL && i < bench->threads; i++)
        free(bench->loads[i].payload);
    free(bench->topics);
    free(bench->cursors);
    free(bench->topic_bytes);
    free(bench->files);
    free(bench->loads);
}

static int run_one(struct bench *bench, unsigned threads, const struct walrus_sync_policy *sync)
{
    int status;

    bench->threads = threads;
    bench->topic_count = bench->options->topics != 0 ? bench->options->topics : threads;
    bench->sync = *sync;
    bench->limit_per_thread = bench->options->entries == 0 ? UINT64_MAX : bench->options->entries / threads;
    status = allocate(bench);
    if (status == CLI_OK)
        status = bench->options->kind == BENCH_WRITES  ? bench_writes(bench)
                 : bench->options->kind == BENCH_BATCH ? bench_batch(bench)
                                                       : bench_reads(bench);
    release(bench);
    return status;
}

static int run(struct bench *bench)
{
    const struct bench_options *options = bench->options;
    const char *parent = options->dir != NULL ? options->dir : getenv("TMPDIR");
    int status = CLI_OK;

    snprintf(bench->dir, sizeof(bench->dir), "%s/walrus-bench-XXXXXX", parent != NULL ? parent : ".");
    if (mkdtemp(bench->dir) == NULL)
        return cli_error(bench->cli, CLI_IO, "%s: %s", bench->dir, strerror(errno));
    if (options->csv_path != NULL) {
        bench->csv = fopen(options->csv_path, "we");
        if (bench->csv == NULL)
            status = cli_error(bench->cli, CLI_IO, "%s: %s", options->csv_path, strerror(errno));
        bench_csv_header(bench);
    }
    for (unsigned threads = options->threads_min; threads <= options->threads_max; threads++) {
        for (unsigned i = 0; status == CLI_OK && i < options->policy_count; i++)
            status = run_one(bench, threads, &options->policies[i]);
    }
    if (bench->csv != NULL && fclose(bench->csv) != 0)
        status = cli_error(bench->cli, CLI_IO, "%s: %s", options->csv_path, strerror(errno));
    bench_remove_tree(bench->dir);
    return status;
}

static enum bench_kind kind_of(const char *command)
{
    return strcmp(command, "bench writes") == 0  ? BENCH_WRITES
           : strcmp(command, "bench batch") == 0 ? BENCH_BATCH
                                                 : BENCH_READS;
}

int cmd_bench(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"threads", 't', "N|A-B", 0, "threads, or one series for each number from A to B (default 10)", 0},
        {"topics", KEY_TOPICS, "N", 0, "topics; thread i uses topic i modulo N (default: as many as threads)", 0},
        {"duration", KEY_DURATION, "TIME", 0, "longest time of one phase: 500ms, 30s, 2m, 1h (default 2s)", 0},
        {"entries", KEY_ENTRIES, "N", 0,
         "entries of one phase, all threads together; 0: until the time is over "
         "(default 500000; 0 for writes and batch when a duration is given)",
         0},
        {"min-size", KEY_MIN_SIZE, "BYTES", 0, "smallest payload (default 500)", 0},
        {"max-size", KEY_MAX_SIZE, "BYTES", 0, "largest payload (default 1024)", 0},
        {"batch", KEY_BATCH, "N", 0, "entries of a batch (default 256)", 0},
        {"fsync", KEY_FSYNC, "POLICY,...", 0,
         "each, none, every:<n>ms; several: one after the other (default: none,each; "
         "batch and reads: none)",
         0},
        {"dir", KEY_DIR, "DIR", 0, "make the temporary directory in DIR (default: $TMPDIR, else .)", 0},
        {"csv", KEY_CSV, "FILE", 0, "write the rows described below", 0},
        {"peer", KEY_PEER, "WHICH", 0, "auto, none, or for synced writes fdatasync (auto), dsync, direct, all", 0},
        {"backend", KEY_BACKEND, "WHICH", 0, "fd, mmap (default: $WALRUS_BACKEND, else fd)", 0},
        {"runs", KEY_RUNS, "N", 0, "pairs of runs (default 5)", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .doc =
            "Does the same work through walrus and through plain files, in pairs in one run, and prints rates, "
            "latencies and their ratio. Every entry is verified.\v"
            "Environment: WALRUS_FSYNC, WALRUS_THREADS, WALRUS_DURATION, WALRUS_WRITE_DURATION, "
            "WALRUS_READ_DURATION, WALRUS_BATCH_SIZE; options win.\n\n"
            "CSV: a header; per second of a walrus run: timestamp,elapsed_seconds,writes_per_second,bytes_per_second,"
            "total_writes,total_bytes,dirty_pages_kb,dirty_ratio_percent (reads: reads for writes); before each run: "
            "#run,scenario,threads,topics,sync,run; after each scenario a row per side: #summary,scenario,side,threads,"
            "topics,sync,runs,entries_per_second,megabytes_per_second,p50_ns,p99_ns,p999_ns,max_ns,ratio (walrus "
            "to that side, median; 0 for walrus).\n\n"
            "--json: one object per side with the same names, ratio_low and ratio_high.",
        .children = cli_children,
    };
    struct arguments arguments = {.cli = cli,
                                  .options = {.kind = kind_of(cli->command),
                                              .threads_min = 10,
                                              .threads_max = 10,
                                              .write_duration_ns = 2000000000u,
                                              .read_duration_ns = 2000000000u,
                                              .entries = DEFAULT_ENTRIES,
                                              .min_bytes = 500,
                                              .max_bytes = 1024,
                                              .batch_entries = 256,
                                              .runs = 5}};
    static struct bench bench;
    int status = read_environment(cli, &arguments);

    if (status != CLI_OK)
        return status;
    cli_parse(cli, &argp, argc, argv, &arguments);
    if (!arguments.sync_given)
        parse_policies(arguments.options.kind == BENCH_WRITES ? "none,each" : "none", &arguments.options);
    if (arguments.duration_given && !arguments.entries_given && arguments.options.kind != BENCH_READS)
        arguments.options.entries = 0;
    if (arguments.options.kind == BENCH_READS && arguments.options.entries == 0)
        return cli_error(cli, CLI_USAGE, "bench reads needs --entries: what the write phase writes");
    if (arguments.options.min_bytes > arguments.options.max_bytes)
        return cli_error(cli, CLI_USAGE, "--min-size is larger than --max-size");
    cli_catch_signals();
    out_init(&out, STDOUT_FILENO);
    bench.cli = cli;
    bench.out = &out;
    bench.options = &arguments.options;
    status = run(&bench);
    return out_finish(&out, cli, status);
}
