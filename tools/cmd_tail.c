/*
 * walrus tail - the last entries of a topic, and with -f what comes after them; consumes nothing.
 *
 * Where no daemon serves the log, whoever holds it keeps producers out: so a tail that follows opens it for each look,
 * and lets go of it in between. A daemon that comes to serve the log meanwhile is simply what the next look finds.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "format.h"

#define READ_BYTES ((size_t)256 << 10)
#define SERVED_POLL_MS 50
#define ALONE_POLL_MS 500

struct tail {
    struct cli *cli;
    const char *topic_name;
    const char *format;
    uint64_t count;
    bool follow;
    bool skip_damage;

    struct client_log *log;
    struct client_topic *topic;
    struct walrus_position position; /* of what is shown next; its sequence outlives the handles */
    struct client_entries entries;
};

static struct out out;

enum { KEY_FORMAT = CLI_KEY_PRIVATE, KEY_SKIP_DAMAGE };

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct tail *tail = state->input;
    const char *bad;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = tail->cli;
        return 0;
    case 'n':
        if (!cli_parse_u64(argument, &tail->count))
            argp_error(state, "-n takes a number, not '%s'", argument);
        return 0;
    case 'f':
        tail->follow = true;
        return 0;
    case KEY_FORMAT:
        if (!format_check(argument, &bad))
            argp_error(state, "--format does not know '%.2s'; it knows %s", bad, FORMAT_HELP);
        tail->format = argument;
        return 0;
    case KEY_SKIP_DAMAGE:
        tail->skip_damage = true;
        return 0;
    case ARGP_KEY_ARG:
        if (tail->topic_name != NULL)
            argp_error(state, "one topic at a time");
        tail->topic_name = argument;
        return 0;
    case ARGP_KEY_END:
        if (tail->topic_name == NULL)
            argp_error(state, "name a topic");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Prints what there is from the position on, up to, but without, the sequence `to`. */
static int show(struct tail *tail, const struct walrus_topic_info *info, uint64_t to)
{
    struct entry_printer printer = {
        .topic = tail->topic_name, .json = tail->cli->json, .format = tail->format, .framing = info->settings.framing};
    struct walrus_error error = {0};

    while (tail->position.sequence < to && out.error == 0 && cli_stop_signal() == 0) {
        uint64_t wanted = to - tail->position.sequence;
        struct walrus_read_limits limits = {.max_bytes = READ_BYTES};
        enum walrus_code code;

        limits.max_entries = wanted < WALRUS_BATCH_ENTRIES_MAX ? (size_t)wanted : WALRUS_BATCH_ENTRIES_MAX;
        code = client_read_entries(tail->topic, &tail->position, &limits, &tail->entries, &error);
        if (code == WALRUS_E_DAMAGED && tail->skip_damage) {
            struct walrus_error damage = error;
            uint64_t skipped = 0;

            code = client_skip_damage(tail->topic, &tail->position, &skipped, &error);
            if (code == WALRUS_OK)
                cli_note(tail->cli, "skipped %" PRIu64 " entries: %s", skipped, damage.message);
        } else if (code == WALRUS_OK && tail->entries.count == 0) {
            break;
        } else if (code == WALRUS_OK) {
            for (size_t i = 0; i < tail->entries.count; i++)
                print_entry(&out, &printer, &tail->entries.items[i]);
        }
        if (code != WALRUS_OK) {
            out_flush(&out);
            return cli_fail(tail->cli, &error, NULL);
        }
    }
    out_flush(&out);
    return CLI_OK;
}

/* One look at the open topic: what was appended since the last one. */
static int look(struct tail *tail, bool first)
{
    uint64_t sequence = tail->position.sequence;
    struct walrus_topic_info info;
    struct walrus_error error = {0};

    if (client_topic_info(tail->topic, &info, &error) != WALRUS_OK)
        return cli_fail(tail->cli, &error, NULL);
    if (first)
        sequence = info.next_sequence - info.first_sequence > tail->count ? info.next_sequence - tail->count
                                                                          : info.first_sequence;
    if (sequence > info.next_sequence) {
        cli_note(tail->cli, "'%s' was made anew", tail->topic_name);
        sequence = info.first_sequence;
    } else if (sequence < info.first_sequence) {
        cli_note(tail->cli, "%" PRIu64 " entries were freed before they were shown", info.first_sequence - sequence);
        sequence = info.first_sequence;
    }
    if (client_seek_sequence(tail->topic, sequence, &tail->position, &error) != WALRUS_OK)
        return cli_fail(tail->cli, &error, NULL);
    return show(tail, &info, info.next_sequence);
}

/* Waits a moment; false when the reader of our output has gone or we are told to stop. */
static bool idle(int milliseconds)
{
    struct pollfd reader = {.fd = STDOUT_FILENO};

    poll(&reader, 1, milliseconds);
    if (reader.revents & POLLERR)
        out.error = EPIPE;
    return out.error == 0 && cli_stop_signal() == 0;
}

static int let_go(struct tail *tail, int status)
{
    client_topic_close(tail->topic);
    tail->topic = NULL;
    status = cli_close_log(tail->cli, tail->log, status);
    tail->log = NULL;
    return status;
}

/* Opens log and topic again; somebody else has the log for the moment: leaves both NULL. */
static int open_again(struct tail *tail)
{
    struct walrus_options options;
    struct walrus_error error = {0};
    int status = cli_options(tail->cli, &options);

    if (status != CLI_OK)
        return status;
    options.create = false;
    options.lock_wait_ms = 0;
    if (client_open(&options, &tail->log, &error) != WALRUS_OK)
        return error.code == WALRUS_E_BUSY ? CLI_OK : cli_fail(tail->cli, &error, NULL);
    return cli_open_topic(tail->cli, tail->log, tail->topic_name, 0, NULL, &tail->topic);
}

static int follow(struct tail *tail)
{
    int status = CLI_OK;

    while (status == CLI_OK) {
        bool served = tail->log != NULL && client_is_remote(tail->log);

        if (!served)
            status = let_go(tail, CLI_OK);
        if (status != CLI_OK || !idle(served ? SERVED_POLL_MS : ALONE_POLL_MS))
            break;
        if (tail->log == NULL)
            status = open_again(tail);
        if (status == CLI_OK && tail->topic != NULL)
            status = look(tail, false);
    }
    return status;
}

int cmd_tail(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"count", 'n', "N", 0, "the last N entries (default: 10)", 0},
        {"follow", 'f', NULL, 0, "go on with what is appended, until a signal", 0},
        {"format", KEY_FORMAT, "FMT", 0, "print each entry as FMT says: " FORMAT_HELP, 0},
        {"skip-damage", KEY_SKIP_DAMAGE, NULL, 0, "go past damaged entries, with a note on standard error", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "TOPIC",
        .doc = "Shows the last entries of a topic. Consumes nothing.\v"
               "With -f on a log that no walrusfs serves, the log is opened for a look twice a second and free in "
               "between.\n"
               "--json: one object per entry: sequence, offset, time_ns, length, and data (text) or base64.",
        .children = cli_children,
    };
    struct tail tail = {.cli = cli, .count = 10};
    int status;

    cli_parse(cli, &argp, argc, argv, &tail);
    cli_catch_signals();
    out_init(&out, STDOUT_FILENO);
    status = cli_open_log(cli, false, &tail.log);
    if (status == CLI_OK)
        status = cli_open_topic(cli, tail.log, tail.topic_name, 0, NULL, &tail.topic);
    if (status == CLI_OK)
        status = look(&tail, true);
    if (status == CLI_OK && tail.follow)
        status = follow(&tail);
    client_entries_free(&tail.entries);
    return out_finish(&out, cli, let_go(&tail, status));
}
