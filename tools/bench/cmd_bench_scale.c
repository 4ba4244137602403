/* walrus bench scale: options, and the sizes to measure. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../commands.h"
#include "bench.h"
#include "scale.h"

#define LEAST_BYTES ((uint64_t)1 << 20)
#define STEP 10u

struct arguments {
    struct cli *cli;
    struct scale_options options;
};

enum { KEY_DIR = CLI_KEY_PRIVATE, KEY_CSV, KEY_PLOT, KEY_BYTES, KEY_TOPICS, KEY_GROUPS };

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    struct scale_options *options = &arguments->options;
    bool valid = true;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = arguments->cli;
        return 0;
    case KEY_DIR:
        options->dir = argument;
        return 0;
    case KEY_CSV:
        options->csv_path = argument;
        return 0;
    case KEY_PLOT:
        options->plot_path = argument;
        /* It goes into the script of another program, in quotes. */
        valid = strpbrk(argument, "'\\\n") == NULL;
        break;
    case KEY_BYTES:
        valid = cli_parse_bytes(argument, &options->most_bytes);
        break;
    case KEY_TOPICS:
        valid = cli_parse_u64(argument, &options->most_topics) && options->most_topics <= 1000000;
        break;
    case KEY_GROUPS:
        valid = cli_parse_u64(argument, &options->most_groups) && options->most_groups <= 100000;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    if (!valid)
        argp_error(state, "'%s' is no value for that option; see --help", argument);
    return 0;
}

/* Sizes from `least` on, each ten times the one before, up to `most`. */
static int grow(struct scale *scale, uint64_t least, uint64_t most, int (*measure)(struct scale *scale, uint64_t size))
{
    int status = CLI_OK;

    for (uint64_t size = least; size <= most && status == CLI_OK; size *= STEP) {
        status = measure(scale, size);
        bench_remove_tree(scale->dir);
        if (cli_stop_signal() != 0)
            return CLI_TIMEOUT;
    }
    return status;
}

static int run(struct scale *scale)
{
    const struct scale_options *options = scale->options;
    const char *parent = options->dir != NULL ? options->dir : getenv("TMPDIR");
    char top[sizeof(scale->dir) - 8];

    snprintf(top, sizeof(top), "%s/walrus-bench-XXXXXX", parent != NULL ? parent : ".");
    if (mkdtemp(top) == NULL)
        return cli_error(scale->cli, CLI_IO, "%s: %s", top, strerror(errno));
    snprintf(scale->dir, sizeof(scale->dir), "%s/log", top);
    int status = grow(scale, LEAST_BYTES, options->most_bytes, scale_by_bytes);
    if (status == CLI_OK)
        status = grow(scale, 1, options->most_topics, scale_by_topics);
    if (status == CLI_OK)
        status = grow(scale, 1, options->most_groups, scale_by_groups);
    if (status == CLI_OK)
        status = scale_report(scale);
    bench_remove_tree(top);
    return status;
}

int cmd_bench_scale(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"bytes", KEY_BYTES, "BYTES", 0, "grow a log to this size in steps of ten from 1M (default 1G; 0: not)", 0},
        {"topics", KEY_TOPICS, "N", 0, "grow the number of topics to N in steps of ten (default 100000; 0: not)", 0},
        {"groups", KEY_GROUPS, "N", 0, "grow the number of groups to N in steps of ten (default 1000; 0: not)", 0},
        {"dir", KEY_DIR, "DIR", 0, "make the temporary directory in DIR (default: $TMPDIR, else .)", 0},
        {"csv", KEY_CSV, "FILE", 0, "write axis,size,operation,ns", 0},
        {"plot", KEY_PLOT, "FILE", 0, "draw it with gnuplot, as SVG, or as PNG when FILE ends in .png", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .doc =
            "Measures what an operation costs as the log, the number of topics, or the number of groups grows, and how "
            "much more that is than at the smallest size (x 1.00: nothing).",
        .children = cli_children,
    };
    struct arguments arguments = {
        .cli = cli, .options = {.most_bytes = (uint64_t)1 << 30, .most_topics = 100000, .most_groups = 1000}};
    static struct out out;
    static struct scale scale;

    cli_parse(cli, &argp, argc, argv, &arguments);
    cli_catch_signals();
    out_init(&out, STDOUT_FILENO);
    scale.cli = cli;
    scale.out = &out;
    scale.options = &arguments.options;
    return out_finish(&out, cli, run(&scale));
}
