/*
 * walrus bench mount: the same work through the mount, through a mount that only counts (walrusfs-null) and through a
 * plain file, in turn, in one run. What counts is the ratio between sides of one run. Each side of each run has a mount
 * and a data directory of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../commands.h"
#include "bench.h"

#define PATH_BYTES 4352
#define LINE_BYTES 100u
#define MOUNT_WAIT_MS 10000

enum server { SERVER_WALRUS, SERVER_NULL, SERVER_LIBFUSE, SERVER_LIBFUSE_THREADS, SERVER_NONE };

struct mount_side {
    const char *name;
    enum server server;
    const char *sync; /* of walrusfs */
    unsigned threads; /* that write; one file each unless `one_file` */
    bool one_file;
    double rates[BENCH_RUNS_MAX];
};

struct mount_row {
    const char *name;
    const char *what;   /* that is counted */
    const char *script; /* for bash, with $F the file and $IN the input; NULL: threads write 64 bytes a time */
    bool filled;        /* the input is in the file when the clock starts */
    uint64_t count;     /* done by the script; 0: the lines of the input */
    struct mount_side sides[5];
    unsigned side_count;
};

struct mount_bench {
    struct cli *cli;
    struct out out;
    unsigned runs;
    uint64_t duration_ns;
    uint64_t input_bytes;
    const char *parent;
    const char *transport;
    char walrusfs[PATH_BYTES];
    char null[PATH_BYTES];
    char dir[4096];
    char target[PATH_BYTES]; /* the directory that the side writes into */
    pid_t server;
    char **rows;
    unsigned row_count;
};

#define WRITES(label, count, single)                                                                                   \
    {                                                                                                                  \
        .name = label, .what = "writes", .side_count = 5,                                                              \
        .sides = {{"walrus", SERVER_WALRUS, "none", count, single},                                                    \
                  {"a mount that counts, same transport", SERVER_NULL, NULL, count, single},                           \
                  {"the same, libfuse's loop", SERVER_LIBFUSE, NULL, count, single},                                   \
                  {"the same, libfuse's threads", SERVER_LIBFUSE_THREADS, NULL, count, single},                        \
                  {"plain files", SERVER_NONE, NULL, count, single}},                                                  \
    }

#define SHELL(label, counted, text, full, number)                                                                      \
    {                                                                                                                  \
        .name = label, .what = counted, .script = text, .filled = full, .count = number, .side_count = 2,              \
        .sides = {{.name = "walrus", .server = SERVER_WALRUS, .sync = "none"},                                         \
                  {.name = "a plain file", .server = SERVER_NONE}},                                                    \
    }

static struct mount_row all_rows[] = {
    WRITES("write", 1, true),
    WRITES("write10", 10, false),
    WRITES("write10x1", 10, true),
    SHELL("cat-in", "lines", "cat \"$IN\" >>\"$F\"", false, 0),
    SHELL("cat-out", "lines", "cat \"$F\" >/dev/null", true, 0),
    SHELL("echo", "lines", "for ((i = 0; i < 10000; i++)); do echo a line of some length >>\"$F\"; done", false, 10000),
    SHELL("descriptor", "lines", "for ((i = 0; i < 50000; i++)); do echo a line of some length; done >>\"$F\"", false,
          50000),
    {.name = "each10x1",
     .what = "writes",
     .side_count = 2,
     .sides = {{"walrus, sync each, 10 writers of a topic", SERVER_WALRUS, "each", 10, true},
               {"walrus, sync each, 1 writer", SERVER_WALRUS, "each", 1, true}}},
};

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- mounts ---- */

static void exec_server(const struct mount_bench *bench, const struct mount_side *side, const char *data)
{
    static const char *const loops[] = {
        [SERVER_NULL] = NULL, [SERVER_LIBFUSE] = "libfuse", [SERVER_LIBFUSE_THREADS] = "libfuse-threads"};
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null_fd, STDOUT_FILENO);
    dup2(null_fd, STDERR_FILENO);
    if (side->server == SERVER_WALRUS) {
        char options[128];
        snprintf(options, sizeof(options), "sync=%s,transport=%s", side->sync, bench->transport);
        execl(bench->walrusfs, "walrusfs", data, bench->target, "-f", "-o", options, (char *)NULL);
    } else {
        const char *loop = loops[side->server] != NULL ? loops[side->server] : bench->transport;
        execl(bench->null, "walrusfs-null", loop, bench->target, (char *)NULL);
    }
    _exit(127);
}

static int start(struct mount_bench *bench, const struct mount_side *side)
{
    char data[PATH_BYTES];
    struct stat before;
    struct stat now;
    bench->server = 0;
    snprintf(bench->target, sizeof(bench->target), "%s/target", bench->dir);
    snprintf(data, sizeof(data), "%s/data", bench->dir);
    if (mkdir(bench->target, 0700) != 0 || stat(bench->target, &before) != 0)
        return cli_error(bench->cli, CLI_IO, "%s: %s", bench->target, strerror(errno));
    if (side->server == SERVER_NONE)
        return CLI_OK;
    bench->server = fork();
    if (bench->server == 0)
        exec_server(bench, side, data);
    for (unsigned i = 0; bench->server > 0 && i < MOUNT_WAIT_MS; i++) {
        if (stat(bench->target, &now) == 0 && now.st_dev != before.st_dev) {
            usleep(50000); /* the handshake of its transport */
            return CLI_OK;
        }
        if (waitpid(bench->server, NULL, WNOHANG) != 0)
            break;
        usleep(1000);
    }
    return cli_error(bench->cli, CLI_UNAVAILABLE, "%s does not mount",
                     side->server == SERVER_WALRUS ? bench->walrusfs : bench->null);
}

static void stop(struct mount_bench *bench)
{
    char data[PATH_BYTES];
    if (bench->server > 0) {
        kill(bench->server, SIGTERM);
        while (waitpid(bench->server, NULL, 0) < 0 && errno == EINTR) {
        }
        rmdir(bench->target);
        snprintf(data, sizeof(data), "%s/data", bench->dir);
        bench_remove_tree(data);
    } else {
        bench_remove_tree(bench->target);
    }
}

/* ---- the work ---- */

struct writer {
    pthread_t thread;
    const struct mount_bench *bench;
    char path[PATH_BYTES + 16];
    uint64_t count;
    int status; /* errno */
    pthread_barrier_t *start;
    atomic_bool *end;
};

static void *write_lines(void *argument)
{
    struct writer *writer = argument;
    char line[64];
    int fd = open(writer->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    writer->status = fd < 0 ? errno : 0;
    pthread_barrier_wait(writer->start);
    while (writer->status == 0 && !atomic_load_explicit(writer->end, memory_order_relaxed)) {
        if (write(fd, line, sizeof(line)) != (ssize_t)sizeof(line))
            writer->status = errno;
        writer->count++;
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

static int run_writers(struct mount_bench *bench, const struct mount_side *side, double *rate)
{
    struct writer *writers = calloc(side->threads, sizeof(*writers));
    pthread_barrier_t barrier;
    atomic_bool end = false;
    uint64_t count = 0;
    int status = 0;
    unsigned started = 0;
    if (writers == NULL)
        return cli_error(bench->cli, CLI_UNAVAILABLE, "out of memory");
    pthread_barrier_init(&barrier, NULL, side->threads + 1);
    for (; started < side->threads; started++) {
        struct writer *writer = &writers[started];
        writer->start = &barrier;
        writer->end = &end;
        snprintf(writer->path, sizeof(writer->path), "%s/t%u", bench->target, side->one_file ? 0 : started);
        if (pthread_create(&writer->thread, NULL, write_lines, writer) != 0)
            exit(cli_error(bench->cli, CLI_UNAVAILABLE, "cannot start a thread"));
    }
    pthread_barrier_wait(&barrier);
    double begun = seconds_now();
    usleep((useconds_t)(bench->duration_ns / 1000));
    atomic_store(&end, true);
    for (unsigned i = 0; i < started; i++) {
        pthread_join(writers[i].thread, NULL);
        count += writers[i].count;
        status = status != 0 ? status : writers[i].status;
    }
    *rate = (double)count / (seconds_now() - begun);
    pthread_barrier_destroy(&barrier);
    free(writers);
    return status == 0 ? CLI_OK : cli_error(bench->cli, CLI_IO, "write into %s: %s", bench->target, strerror(status));
}

static int run_script(struct mount_bench *bench, const char *script)
{
    char file[PATH_BYTES + 16];
    char input[PATH_BYTES];
    int status = 0;
    snprintf(file, sizeof(file), "%s/t0", bench->target);
    snprintf(input, sizeof(input), "%s/input", bench->dir);
    pid_t child = fork();
    if (child == 0) {
        setenv("F", file, 1);
        setenv("IN", input, 1);
        execlp("bash", "bash", "-c", script, (char *)NULL);
        _exit(127);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return status == 0 ? CLI_OK : cli_error(bench->cli, CLI_IO, "'%s' failed", script);
}

static int make_input(struct mount_bench *bench)
{
    char path[PATH_BYTES];
    char line[LINE_BYTES];
    snprintf(path, sizeof(path), "%s/input", bench->dir);
    FILE *file = fopen(path, "we");
    for (uint64_t i = 0; file != NULL && i < bench->input_bytes / LINE_BYTES; i++) {
        memset(line, 'a' + (int)(i % 26), sizeof(line));
        line[LINE_BYTES - 1] = '\n';
        fwrite(line, 1, sizeof(line), file);
    }
    return file != NULL && fclose(file) == 0 ? CLI_OK : cli_error(bench->cli, CLI_IO, "%s: %s", path, strerror(errno));
}

static int run_side(struct mount_bench *bench, const struct mount_row *row, struct mount_side *side, unsigned run)
{
    int status = start(bench, side);
    if (status == CLI_OK && row->script == NULL) {
        status = run_writers(bench, side, &side->rates[run]);
    } else if (status == CLI_OK) {
        uint64_t count = row->count != 0 ? row->count : bench->input_bytes / LINE_BYTES;
        if (row->filled)
            status = run_script(bench, "cat \"$IN\" >>\"$F\"");
        double begun = seconds_now();
        if (status == CLI_OK)
            status = run_script(bench, row->script);
        side->rates[run] = (double)count / (seconds_now() - begun);
    }
    stop(bench);
    return status;
}

/* ---- the report ---- */

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static double median(const double *values, unsigned count, double *low, double *high)
{
    double sorted[BENCH_RUNS_MAX];
    memcpy(sorted, values, count * sizeof(*values));
    qsort(sorted, count, sizeof(*sorted), compare);
    *low = sorted[0];
    *high = sorted[count - 1];
    return count % 2 == 1 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

static void report_row(struct mount_bench *bench, const struct mount_row *row)
{
    if (!bench->cli->json)
        out_printf(&bench->out, "%s: %s per second, median of %u\n", row->name, row->what, bench->runs);
    for (unsigned i = 0; i < row->side_count; i++) {
        const struct mount_side *side = &row->sides[i];
        double ratios[BENCH_RUNS_MAX];
        double low;
        double high;
        double rate = median(side->rates, bench->runs, &low, &high);
        for (unsigned run = 0; run < bench->runs; run++)
            ratios[run] = row->sides[0].rates[run] / side->rates[run];
        double ratio = median(ratios, bench->runs, &low, &high);
        if (bench->cli->json)
            out_json(&bench->out, json_pack("{s:s, s:s, s:s, s:i, s:f, s:f, s:f, s:f}", "row", row->name, "side",
                                            side->name, "what", row->what, "runs", (int)bench->runs, "per_second", rate,
                                            "ratio", ratio, "ratio_low", low, "ratio_high", high));
        else if (i == 0)
            out_printf(&bench->out, "  %-42s %12.0f\n", side->name, rate);
        else
            out_printf(&bench->out, "  %-42s %12.0f   walrus is %.2f (%.2f .. %.2f) times that\n", side->name, rate,
                       ratio, low, high);
    }
    out_flush(&bench->out);
}

static bool is_wanted(const struct mount_bench *bench, const char *name)
{
    bool wanted = bench->row_count == 0;
    for (unsigned i = 0; i < bench->row_count; i++)
        wanted = wanted || strcmp(bench->rows[i], name) == 0;
    return wanted;
}

static int run_rows(struct mount_bench *bench)
{
    int status = make_input(bench);
    for (size_t i = 0; i < sizeof(all_rows) / sizeof(all_rows[0]) && status == CLI_OK; i++) {
        struct mount_row *row = &all_rows[i];
        if (!is_wanted(bench, row->name))
            continue;
        for (unsigned run = 0; run < bench->runs && status == CLI_OK; run++) {
            for (unsigned j = 0; j < row->side_count && status == CLI_OK; j++) {
                unsigned which = run % 2 == 0 ? j : row->side_count - 1 - j;
                status = cli_stop_signal() != 0 ? CLI_IO : run_side(bench, row, &row->sides[which], run);
            }
        }
        if (status == CLI_OK)
            report_row(bench, row);
    }
    return status;
}

/* ---- the command line ---- */

enum { KEY_RUNS = CLI_KEY_PRIVATE, KEY_DURATION, KEY_SIZE, KEY_DIR, KEY_TRANSPORT, KEY_WALRUSFS };

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct mount_bench *bench = state->input;
    uint64_t number;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = bench->cli;
        return 0;
    case KEY_RUNS:
        bench->runs = cli_parse_u64(argument, &number) && number <= BENCH_RUNS_MAX ? (unsigned)number : 0;
        if (bench->runs == 0)
            argp_error(state, "--runs: from 1 to %u", BENCH_RUNS_MAX);
        return 0;
    case KEY_DURATION:
        if (!cli_parse_duration_ns(argument, &bench->duration_ns) || bench->duration_ns == 0)
            argp_error(state, "'%s' is no time", argument);
        return 0;
    case KEY_SIZE:
        if (!cli_parse_bytes(argument, &bench->input_bytes) || bench->input_bytes < LINE_BYTES)
            argp_error(state, "'%s' is no size", argument);
        return 0;
    case KEY_DIR:
        bench->parent = argument;
        return 0;
    case KEY_TRANSPORT:
        bench->transport = argument;
        return 0;
    case KEY_WALRUSFS:
        snprintf(bench->walrusfs, sizeof(bench->walrusfs), "%s", argument);
        return 0;
    case ARGP_KEY_ARGS:
        bench->rows = state->argv + state->next;
        bench->row_count = (unsigned)(state->argc - state->next);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Where this program was built; walrusfs-null lies beside walrusfs. */
static void find_programs(struct mount_bench *bench)
{
    char self[4096] = "";
    char copy[PATH_BYTES];
    if (bench->walrusfs[0] == '\0' && readlink("/proc/self/exe", self, sizeof(self) - 1) > 0)
        snprintf(bench->walrusfs, sizeof(bench->walrusfs), "%s/../fs/walrusfs", dirname(self));
    snprintf(copy, sizeof(copy), "%s", bench->walrusfs);
    snprintf(bench->null, sizeof(bench->null), "%.4300s/walrusfs-null", dirname(copy));
}

int cmd_bench_mount(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"runs", KEY_RUNS, "N", 0, "runs of each side, in turn (default 5)", 0},
        {"duration", KEY_DURATION, "TIME", 0, "of a run of writers (default 2s)", 0},
        {"size", KEY_SIZE, "BYTES", 0, "of what cat-in and cat-out copy, lines of 100 bytes (default 256M)", 0},
        {"dir", KEY_DIR, "DIR", 0, "make the temporary directory in DIR (default: $TMPDIR, else .)", 0},
        {"transport", KEY_TRANSPORT, "HOW", 0, "of walrusfs and walrusfs-null: auto, uring, plain (default auto)", 0},
        {"walrusfs", KEY_WALRUSFS, "PATH", 0, "the daemon; walrusfs-null lies beside it (default: of this build)", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "[ROW...]",
        .doc = "Does the same work through a mount, through one that only counts, and through plain files, and prints "
               "rates and ratios.\vRows, all by default: write write10 write10x1 cat-in cat-out echo descriptor "
               "each10x1. Writers write 64 bytes a time.",
        .children = cli_children,
    };
    static struct mount_bench bench;
    bench.cli = cli;
    bench.runs = 5;
    bench.duration_ns = 2000000000u;
    bench.input_bytes = (uint64_t)256 << 20;
    bench.transport = "auto";
    cli_parse(cli, &argp, argc, argv, &bench);
    find_programs(&bench);
    const char *parent = bench.parent != NULL ? bench.parent : getenv("TMPDIR");
    snprintf(bench.dir, sizeof(bench.dir), "%s/walrus-bench-XXXXXX", parent != NULL ? parent : ".");
    if (mkdtemp(bench.dir) == NULL)
        return cli_error(cli, CLI_IO, "%s: %s", bench.dir, strerror(errno));
    cli_catch_signals();
    out_init(&bench.out, STDOUT_FILENO);
    int status = run_rows(&bench);
    bench_remove_tree(bench.dir);
    return out_finish(&bench.out, cli, status);
}
