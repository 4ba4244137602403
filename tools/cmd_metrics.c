/* walrus metrics - figures of a log, its topics and the groups on them, in the text format of Prometheus. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../fs/metrics.h"
#include "commands.h"
#include "topics.h"

static struct out out;

/* All lines of one metric stand together, so those of the topics are collected, a text for each metric. */
struct lines {
    FILE *file;
    char *text;
    size_t length;
};

struct metrics {
    const char *topic; /* that is being visited */
    struct lines lines[METRIC_COUNT];
};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    (void)argument;
    if (key == ARGP_KEY_INIT)
        state->child_inputs[0] = state->input;
    return key == ARGP_KEY_INIT ? 0 : ARGP_ERR_UNKNOWN;
}

/* A label's value: names have no control characters, and what is not UTF-8 is shown as \xHH. */
static void put_label(FILE *file, const char *label, const char *name)
{
    json_t *shown = json_name(name);
    const char *text = shown != NULL ? json_string_value(shown) : name;

    fprintf(file, "%s=\"", label);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            putc('\\', file);
        putc(*text, file);
    }
    putc('"', file);
    json_decref(shown);
}

static void add_line(struct metrics *metrics, int metric, const char *group, uint64_t value)
{
    FILE *file = metrics->lines[metric].file;

    fprintf(file, "%s{", metrics_of_topics[metric].name);
    put_label(file, "topic", metrics->topic);
    if (group != NULL) {
        putc(',', file);
        put_label(file, "group", group);
    }
    fprintf(file, "} %" PRIu64 "\n", value);
}

static int add_cursor(const struct walrus_cursor_info *cursor, void *context)
{
    uint64_t values[METRIC_COUNT];

    metrics_of_cursor(cursor, values);
    for (int i = METRIC_FIRST_OF_GROUPS; i < METRIC_COUNT; i++)
        add_line(context, i, cursor->group, values[i]);
    return 0;
}

static int add_topic(const struct cli *cli, struct client_log *log, const char *name, void *context)
{
    struct metrics *metrics = context;
    struct walrus_topic_info info;
    struct walrus_error error = {0};
    struct client_topic *topic;
    uint64_t values[METRIC_COUNT];
    int status = CLI_OK;

    if (client_topic_open(log, name, 0, NULL, &topic, &error) != WALRUS_OK)
        return error.code == WALRUS_E_NOT_FOUND ? CLI_OK : cli_fail(cli, &error, NULL); /* deleted meanwhile */
    metrics->topic = name;
    if (client_topic_info(topic, &info, &error) == WALRUS_OK) {
        metrics_of_topic(&info, values);
        for (int i = 0; i < METRIC_FIRST_OF_GROUPS; i++)
            add_line(metrics, i, NULL, values[i]);
    } else {
        status = cli_fail(cli, &error, NULL);
    }
    if (status == CLI_OK && client_cursor_list(topic, add_cursor, metrics, &error) != WALRUS_OK)
        status = cli_fail(cli, &error, NULL);
    client_topic_close(topic);
    return status;
}

static void print_head(const char *name, const char *type, const char *help)
{
    out_printf(&out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void print_log(const struct walrus_log_info *info)
{
    struct log_metric figures[LOG_METRICS_MAX];
    size_t count = metrics_of_log(info, figures);

    print_head("walrus_info", "gauge", "What runs.");
    out_printf(&out, "walrus_info{version=\"%s\",backend=\"%s\"} 1\n", walrus_version(),
               info->backend == WALRUS_BACKEND_MMAP ? "mmap" : "fd");
    for (size_t i = 0; i < count; i++) {
        if (figures[i].metric == NULL)
            continue;
        print_head(figures[i].metric, figures[i].type, figures[i].help);
        out_printf(&out, "%s %" PRIu64 "\n", figures[i].metric, figures[i].value);
    }
    print_head("walrus_recovery_seconds", "gauge", "How long recovery took.");
    out_printf(&out, "walrus_recovery_seconds %.9f\n", (double)info->recovery_ns / 1e9);
}

static int collect(const struct cli *cli, struct client_log *log, struct metrics *metrics)
{
    int status = CLI_OK;

    for (int i = 0; i < METRIC_COUNT && status == CLI_OK; i++) {
        metrics->lines[i].file = open_memstream(&metrics->lines[i].text, &metrics->lines[i].length);
        if (metrics->lines[i].file == NULL)
            status = cli_error(cli, CLI_UNAVAILABLE, "out of memory");
    }
    if (status == CLI_OK)
        status = topics_for_each(cli, log, add_topic, metrics);
    for (int i = 0; i < METRIC_COUNT; i++) {
        struct lines *lines = &metrics->lines[i];

        if (lines->file != NULL && fclose(lines->file) != 0 && status == CLI_OK)
            status = cli_error(cli, CLI_UNAVAILABLE, "out of memory");
        if (status == CLI_OK && lines->length > 0) {
            print_head(metrics_of_topics[i].name, metrics_of_topics[i].type, metrics_of_topics[i].help);
            out_write(&out, lines->text, lines->length);
        }
        free(lines->text);
    }
    return status;
}

int cmd_metrics(struct cli *cli, int argc, char **argv)
{
    static const struct argp argp = {
        .parser = parse,
        .doc = "Figures of a log, its topics and the groups on them, in the text format of Prometheus: for its node "
               "exporter's textfile collector, say. A mount has the same in .walrus/metrics.\v"
               "Counters begin anew when the log is opened. For JSON: `walrus stat --json`.",
        .children = cli_children,
    };
    static struct metrics metrics;
    struct client_log *log = NULL;
    struct walrus_log_info info;
    struct walrus_error error = {0};
    int status;

    cli_parse(cli, &argp, argc, argv, cli);
    out_init(&out, STDOUT_FILENO);
    status = cli_open_log(cli, false, &log);
    if (status != CLI_OK)
        return status;
    if (client_log_info(log, &info, &error) != WALRUS_OK) {
        status = cli_fail(cli, &error, NULL);
    } else {
        print_log(&info);
        status = collect(cli, log, &metrics);
    }
    return cli_close_log(cli, log, out_finish(&out, cli, status));
}
