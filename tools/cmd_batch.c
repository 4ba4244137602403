/*
 * walrus batch - appends entries all or none: the language of .batch from a file, committed at its end.
 *
 * Everything is staged in memory, and the log is opened only for the commit, so a slow generator keeps nobody waiting.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "output.h"
#include "../fs/batch_parser.h"

struct batch {
    struct cli *cli;
    const char *file;
    bool durable;
    struct client_log *log;
    struct batch_parser parser;
    uint64_t committed_batches;
};

static struct out out;

enum { KEY_SYNC = CLI_KEY_PRIVATE };

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct batch *batch = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = batch->cli;
        return 0;
    case KEY_SYNC:
        batch->durable = true;
        return 0;
    case ARGP_KEY_ARG:
        if (batch->file != NULL)
            argp_error(state, "one file at a time");
        batch->file = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* One object for each topic of the batch. */
static void report(const struct batch *batch, const struct walrus_receipt *receipts)
{
    const struct batch_parser *parser = &batch->parser;

    for (size_t topic = 0; topic < parser->topic_count; topic++) {
        uint64_t count = 0, bytes = 0, first = 0;

        for (size_t i = 0; i < parser->entry_count; i++) {
            if (parser->entries[i].topic != topic)
                continue;
            if (count++ == 0)
                first = receipts[i].sequence;
            bytes += parser->entries[i].length;
        }
        out_json(&out,
                 json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "batch", json_u64(batch->committed_batches + 1), "topic",
                           json_name(parser->topics[topic]), "entries", json_u64(count), "bytes", json_u64(bytes),
                           "first_sequence", json_u64(first), "next_sequence", json_u64(first + count)));
    }
}

static int append_staged(struct batch *batch, struct client_topic **topics)
{
    const struct batch_parser *parser = &batch->parser;
    struct client_batch_entry *entries = calloc(parser->entry_count, sizeof(*entries));
    struct walrus_receipt *receipts = calloc(parser->entry_count, sizeof(*receipts));
    struct walrus_error error = {0};
    int status = CLI_OK;

    for (size_t i = 0; entries != NULL && i < parser->entry_count; i++)
        entries[i] = (struct client_batch_entry){.topic = topics[parser->entries[i].topic],
                                                 .data = parser->data + parser->entries[i].offset,
                                                 .length = parser->entries[i].length};
    if (entries == NULL || receipts == NULL)
        status = cli_error(batch->cli, CLI_UNAVAILABLE, "out of memory");
    else if (client_append_batch_topics(batch->log, entries, parser->entry_count, batch->durable ? WALRUS_DURABLE : 0,
                                        receipts, &error) != WALRUS_OK)
        status = cli_fail(batch->cli, &error, NULL);
    else if (batch->cli->json)
        report(batch, receipts);
    free(entries);
    free(receipts);
    return status;
}

/* None of the topics is made before all those that are there are known to be topics. */
static int open_topics(struct batch *batch, struct client_topic **topics)
{
    const struct walrus_topic_settings settings = {.attributes = {.mode = 0644, .uid = geteuid(), .gid = getegid()}};
    int status = CLI_OK;

    for (int create = 0; create < 2; create++) {
        for (size_t i = 0; status == CLI_OK && i < batch->parser.topic_count; i++) {
            struct walrus_error error;
            const char *name = batch->parser.topics[i];

            if (topics[i] != NULL)
                continue;
            if (create)
                status = cli_open_topic(batch->cli, batch->log, name, WALRUS_CREATE | WALRUS_CREATE_PARENTS, &settings,
                                        &topics[i]);
            else if (client_topic_open(batch->log, name, 0, NULL, &topics[i], &error) != WALRUS_OK &&
                     error.code != WALRUS_E_NOT_FOUND)
                status = cli_fail(batch->cli, &error, NULL);
        }
    }
    return status;
}

static int commit(struct batch *batch)
{
    size_t topic_count = batch->parser.topic_count;
    struct client_topic **topics;
    int status = CLI_OK;

    if (batch->parser.entry_count == 0)
        return CLI_OK;
    topics = calloc(topic_count, sizeof(struct client_topic *));
    if (topics == NULL)
        return cli_error(batch->cli, CLI_UNAVAILABLE, "out of memory");
    if (batch->log == NULL)
        status = cli_open_log(batch->cli, true, &batch->log);
    if (status == CLI_OK)
        status = open_topics(batch, topics);
    if (status == CLI_OK)
        status = append_staged(batch, topics);
    for (size_t i = 0; i < topic_count; i++)
        client_topic_close(topics[i]);
    free(topics);
    batch->committed_batches += status == CLI_OK;
    batch_parser_reset(&batch->parser);
    return status;
}

static int reject(const struct batch *batch, const char *reason, int failed_errno)
{
    cli_error(batch->cli, 0, "%s; nothing of this batch was appended", reason);
    if (batch->committed_batches > 0)
        cli_note(batch->cli, "%" PRIu64 " batches before it were committed", batch->committed_batches);
    if (failed_errno == ENOMEM)
        return CLI_UNAVAILABLE;
    return failed_errno == E2BIG || failed_errno == EFBIG || failed_errno == EMSGSIZE ? CLI_USAGE : CLI_DATA;
}

static int feed(struct batch *batch, const void *data, size_t length)
{
    int status = CLI_OK;

    while (status == CLI_OK && length > 0) {
        switch (batch_parser_feed(&batch->parser, &data, &length)) {
        case BATCH_MORE:
            break;
        case BATCH_COMMIT:
            status = commit(batch);
            break;
        case BATCH_ABORT:
            cli_note(batch->cli, "ABORT: %zu entries dropped", batch->parser.aborted_count);
            break;
        case BATCH_FAILED:
            status = reject(batch, batch->parser.reason, batch->parser.failed_errno);
            break;
        }
    }
    return status;
}

/* The end of the input ends its last line, and commits; inside counted bytes it is an error. */
static int feed_end(struct batch *batch)
{
    int status = CLI_OK;

    if (batch->parser.state == BATCH_IN_BYTES) {
        char reason[100];

        snprintf(reason, sizeof(reason),
                 "line %" PRIu64 ": the input ends %" PRIu64 " bytes before the end of an entry", batch->parser.line,
                 batch->parser.bytes_left);
        return reject(batch, reason, EINVAL);
    }
    if (batch->parser.state != BATCH_IN_HEAD || batch->parser.head_length > 0)
        status = feed(batch, "\n", 1);
    return status == CLI_OK ? commit(batch) : status;
}

static int feed_file(struct batch *batch, int fd, const char *name)
{
    static char buffer[256 << 10];

    for (;;) {
        ssize_t got = read(fd, buffer, sizeof(buffer));
        int status;

        if (cli_stop_signal() != 0)
            return cli_error(batch->cli, CLI_NOTHING, "stopped by a signal; nothing of this batch was appended");
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return cli_error(batch->cli, CLI_IO, "reading %s: %s; nothing of this batch was appended", name,
                             strerror(errno));
        if (got == 0)
            return feed_end(batch);
        status = feed(batch, buffer, (size_t)got);
        if (status != CLI_OK)
            return status;
    }
}

int cmd_batch(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {{"sync", KEY_SYNC, NULL, 0, "each batch is durable when committed", 0},
                                                 {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "[FILE]",
        .doc =
            "Appends the entries in FILE (or standard input) as one batch: all of them or none, also across a crash. "
            "Lines are `<topic> TAB <payload>`, or `<topic> =<length>` followed by that many bytes and a newline; up "
            "to 2,000 of them, of any number of topics.\v"
            "The batch is committed at the end of the input; COMMIT on a line of its own commits earlier and begins "
            "the next one, ABORT drops what is staged. A syntax error (65), a signal or a kill before that append "
            "nothing.\n"
            "--json: one object for each topic of a batch: batch (its number), topic, entries, bytes, first_sequence, "
            "next_sequence.",
        .children = cli_children,
    };
    const struct batch_limits limits = {.entry_count = WALRUS_BATCH_ENTRIES_MAX,
                                        .total_bytes = WALRUS_BATCH_BYTES_MAX,
                                        .entry_bytes = WALRUS_ENTRY_MAX};
    static struct batch batch;
    int fd = STDIN_FILENO;
    int status;

    batch.cli = cli;
    cli_parse(cli, &argp, argc, argv, &batch);
    cli_catch_signals();
    out_init(&out, STDOUT_FILENO);
    if (batch.file != NULL && strcmp(batch.file, "-") != 0) {
        fd = open(batch.file, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return cli_error(cli, errno == EACCES ? CLI_PERMISSION : CLI_NO_INPUT, "%s: %s", batch.file,
                             strerror(errno));
    }
    batch_parser_init(&batch.parser, &limits);
    status = feed_file(&batch, fd, fd == STDIN_FILENO ? "standard input" : batch.file);
    batch_parser_fini(&batch.parser);
    if (fd != STDIN_FILENO)
        close(fd);
    return out_finish(&out, cli, cli_close_log(cli, batch.log, status));
}
