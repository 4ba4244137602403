/*
 * walrus produce - appends what it reads, cut at a delimiter, as entries.
 *
 * What one read(2) gave is appended before the next one, so a slow writer's lines are never held back, and a fast
 * one's lines go out in batches of up to 2,000. Only an unfinished line waits in the buffer, which grows up to the
 * largest entry.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"
#include "output.h"

#define BUFFER_BYTES ((size_t)256 << 10)

enum produce_sync { PRODUCE_SYNC_POLICY, PRODUCE_SYNC_END, PRODUCE_SYNC_EACH };

struct produce {
    struct cli *cli;
    const char *topic_name;
    char **files;
    int file_count;
    char delimiter;
    bool nul;
    bool whole_file;
    bool one_by_one;
    enum produce_sync sync;

    struct client_topic *topic;
    char *buffer;
    size_t capacity;
    size_t used;    /* bytes in buffer */
    size_t scanned; /* of these, bytes known to hold no delimiter */
    struct walrus_slice slices[WALRUS_BATCH_ENTRIES_MAX];
    size_t slice_count;

    uint64_t entries;
    uint64_t bytes;
    uint64_t first_sequence;
    uint64_t next_sequence;
};

static struct out out;

enum { KEY_WHOLE_FILE = CLI_KEY_PRIVATE, KEY_SYNC, KEY_EACH };

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct produce *produce = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = produce->cli;
        return 0;
    case 'd':
        if (!cli_parse_byte(argument, &produce->delimiter))
            argp_error(state, "-d takes one byte (a character, \\n \\t \\0 or \\xHH), not '%s'", argument);
        return 0;
    case '0':
        produce->delimiter = '\0';
        produce->nul = true;
        return 0;
    case KEY_WHOLE_FILE:
        produce->whole_file = true;
        return 0;
    case KEY_SYNC:
        if (argument == NULL || strcmp(argument, "end") == 0)
            produce->sync = PRODUCE_SYNC_END;
        else if (strcmp(argument, "each") == 0)
            produce->sync = PRODUCE_SYNC_EACH;
        else
            argp_error(state, "--sync takes end or each, not '%s'", argument);
        return 0;
    case KEY_EACH:
        produce->one_by_one = true;
        return 0;
    case ARGP_KEY_ARG:
        if (produce->topic_name == NULL)
            produce->topic_name = argument;
        else
            produce->files[produce->file_count++] = argument;
        return 0;
    case ARGP_KEY_END:
        if (produce->topic_name == NULL)
            argp_error(state, "name a topic");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int fail(struct produce *produce, const struct walrus_error *error)
{
    int status = cli_fail(produce->cli, error, NULL);

    cli_note(produce->cli, "%" PRIu64 " entries were appended before that", produce->entries);
    return status;
}

static void count(struct produce *produce, const struct walrus_receipt *receipt, size_t entries)
{
    if (produce->entries == 0)
        produce->first_sequence = receipt->sequence;
    produce->next_sequence = receipt->sequence + entries;
    produce->entries += entries;
}

/* Appends the collected slices. */
static int append(struct produce *produce)
{
    unsigned flags = produce->sync == PRODUCE_SYNC_EACH ? WALRUS_DURABLE : 0;
    size_t step = produce->one_by_one ? 1 : produce->slice_count;
    struct walrus_error error = {0};
    struct walrus_receipt receipt;
    enum walrus_code code;

    for (size_t i = 0; i < produce->slice_count; i += step) {
        if (step == 1)
            code = client_append(produce->topic, produce->slices[i].data, produce->slices[i].length, flags, &receipt,
                                 &error);
        else
            code = client_append_batch(produce->topic, produce->slices, produce->slice_count, flags, &receipt, &error);
        if (code != WALRUS_OK)
            return fail(produce, &error);
        count(produce, &receipt, step);
        for (size_t j = i; j < i + step; j++)
            produce->bytes += produce->slices[j].length;
    }
    produce->slice_count = 0;
    return CLI_OK;
}

static int add(struct produce *produce, const char *data, size_t length)
{
    produce->slices[produce->slice_count++] = (struct walrus_slice){.data = data, .length = length};
    return produce->slice_count == WALRUS_BATCH_ENTRIES_MAX ? append(produce) : CLI_OK;
}

/* Appends the complete entries in the buffer and keeps the rest at its start. */
static int append_complete(struct produce *produce)
{
    size_t start = 0;
    int status = CLI_OK;

    while (status == CLI_OK) {
        char *end = memchr(produce->buffer + produce->scanned, produce->delimiter, produce->used - produce->scanned);

        if (end == NULL)
            break;
        status = add(produce, produce->buffer + start, (size_t)(end - produce->buffer) - start);
        start = (size_t)(end - produce->buffer) + 1;
        produce->scanned = start;
    }
    if (status == CLI_OK)
        status = append(produce);
    memmove(produce->buffer, produce->buffer + start, produce->used - start);
    produce->used -= start;
    produce->scanned = produce->used;
    return status;
}

/* Makes room for the next read. One byte more than the largest entry is room for its delimiter. */
static int grow(struct produce *produce, const char *file)
{
    size_t limit = (size_t)WALRUS_ENTRY_MAX + 1;
    size_t capacity = produce->capacity == 0 ? BUFFER_BYTES : produce->capacity * 2;
    char *larger;

    if (produce->used < produce->capacity)
        return CLI_OK;
    if (produce->capacity == limit) {
        cli_error(produce->cli, 0, "%s: entry %" PRIu64 " is larger than 1 GiB, the limit of an entry", file,
                  produce->entries + 1);
        cli_note(produce->cli, "%" PRIu64 " entries were appended before that", produce->entries);
        return CLI_DATA;
    }
    if (capacity > limit)
        capacity = limit;
    larger = realloc(produce->buffer, capacity);
    if (larger == NULL)
        return cli_error(produce->cli, CLI_UNAVAILABLE, "%s: no memory for an entry of more than %zu bytes", file,
                         produce->used);
    produce->buffer = larger;
    produce->capacity = capacity;
    return CLI_OK;
}

static int produce_fd(struct produce *produce, int fd, const char *file)
{
    int status;

    produce->used = 0;
    produce->scanned = 0;
    for (;;) {
        ssize_t got;

        status = grow(produce, file);
        if (status != CLI_OK)
            return status;
        got = read(fd, produce->buffer + produce->used, produce->capacity - produce->used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return cli_error(produce->cli, CLI_IO, "reading %s: %s (%" PRIu64 " entries were appended)", file,
                             strerror(errno), produce->entries);
        if (got == 0)
            break;
        produce->used += (size_t)got;
        if (!produce->whole_file) {
            status = append_complete(produce);
            if (status != CLI_OK)
                return status;
        }
    }
    if (produce->used > WALRUS_ENTRY_MAX)
        return grow(produce, file);
    if (produce->used == 0 && !produce->whole_file)
        return CLI_OK;
    status = add(produce, produce->buffer, produce->used);
    return status == CLI_OK ? append(produce) : status;
}

static int produce_file(struct produce *produce, const char *file)
{
    int fd;
    int status;

    if (strcmp(file, "-") == 0)
        return produce_fd(produce, STDIN_FILENO, "standard input");
    fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cli_error(produce->cli, errno == EACCES ? CLI_PERMISSION : CLI_NO_INPUT, "%s: %s", file,
                         strerror(errno));
    status = produce_fd(produce, fd, file);
    close(fd);
    return status;
}

/* Finds a misspelt file before anything is appended or created. */
static int check_files(const struct produce *produce)
{
    for (int i = 0; i < produce->file_count; i++) {
        const char *file = produce->files[i];
        struct stat attributes;

        if (strcmp(file, "-") == 0)
            continue;
        if (stat(file, &attributes) != 0 || access(file, R_OK) != 0)
            return cli_error(produce->cli, errno == EACCES ? CLI_PERMISSION : CLI_NO_INPUT, "%s: %s", file,
                             strerror(errno));
        if (S_ISDIR(attributes.st_mode))
            return cli_error(produce->cli, CLI_NO_INPUT, "%s: is a directory", file);
    }
    return CLI_OK;
}

static int produce_all(struct produce *produce)
{
    struct walrus_error error = {0};
    struct walrus_topic_info info;
    int status = CLI_OK;

    if (client_topic_info(produce->topic, &info, &error) != WALRUS_OK)
        return cli_fail(produce->cli, &error, NULL);
    produce->first_sequence = info.next_sequence;
    produce->next_sequence = info.next_sequence;
    if (produce->file_count == 0)
        status = produce_file(produce, "-");
    for (int i = 0; status == CLI_OK && i < produce->file_count; i++)
        status = produce_file(produce, produce->files[i]);
    if (produce->sync != PRODUCE_SYNC_POLICY && client_topic_sync(produce->topic, &error) != WALRUS_OK)
        return fail(produce, &error);
    return status;
}

static int report(const struct produce *produce)
{
    out_json(&out, json_pack("{s:o, s:o, s:o, s:o, s:o}", "topic", json_name(produce->topic_name), "entries",
                             json_u64(produce->entries), "bytes", json_u64(produce->bytes), "first_sequence",
                             json_u64(produce->first_sequence), "next_sequence", json_u64(produce->next_sequence)));
    return out_finish(&out, produce->cli, CLI_OK);
}

int cmd_produce(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"delimiter", 'd', "BYTE", 0, "entries end with BYTE (default \\n)", 0},
        {"null", '0', NULL, 0, "entries end with a NUL byte; a topic made here gets nul framing", 0},
        {"whole-file", KEY_WHOLE_FILE, NULL, 0, "each file is one entry; a topic made here gets write framing", 0},
        {"sync", KEY_SYNC, "WHEN", OPTION_ARG_OPTIONAL,
         "durable before the program ends (end, default), or before the next read (each)", 0},
        {"each", KEY_EACH, NULL, 0, "append entries one at a time, not in batches", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "TOPIC [FILE...]",
        .doc = "Appends the lines of the files (or of standard input, also -) to TOPIC, which is made if there is "
               "none, with its namespaces. A last line without a newline is an entry too.\v"
               "Lines are appended as they arrive; those that arrive together are one batch of up to 2,000.\n"
               "--json: one object at the end: topic, entries, bytes, first_sequence, next_sequence.",
        .children = cli_children,
    };
    static struct produce produce;
    struct walrus_topic_settings settings = {.attributes = {.mode = 0644, .uid = geteuid(), .gid = getegid()}};
    struct client_log *log = NULL;
    int status;

    produce.cli = cli;
    produce.delimiter = '\n';
    produce.files = calloc((size_t)argc, sizeof(*produce.files));
    if (produce.files == NULL)
        return cli_error(cli, CLI_UNAVAILABLE, "out of memory");
    cli_parse(cli, &argp, argc, argv, &produce);
    settings.framing = produce.whole_file ? WALRUS_FRAMING_WRITE
                       : produce.nul      ? WALRUS_FRAMING_NUL
                                          : WALRUS_FRAMING_LINE;
    out_init(&out, STDOUT_FILENO);
    status = cli_check_topic_name(cli, produce.topic_name);
    if (status == CLI_OK)
        status = check_files(&produce);
    if (status == CLI_OK)
        status = cli_open_log(cli, true, &log);
    if (status == CLI_OK)
        status = cli_open_topic(cli, log, produce.topic_name, WALRUS_CREATE | WALRUS_CREATE_PARENTS, &settings,
                                &produce.topic);
    if (status == CLI_OK) {
        status = produce_all(&produce);
        client_topic_close(produce.topic);
    }
    status = cli_close_log(cli, log, status);
    if (status == CLI_OK && cli->json)
        status = report(&produce);
    free(produce.buffer);
    free(produce.files);
    return status;
}
