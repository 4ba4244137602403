/*
 * walrus consume - takes entries through the checkpointed cursor.
 *
 * strict: the engine moves the cursor (durably) before it hands entries out, so a kill between that and our write loses
 * them: at most once. When a write fails, entries of which no byte was written are given back.
 *
 * at-least-once:N: a read checkpoints only what earlier reads handed out, and a batch is written whole before the next
 * read. So a kill re-delivers at most N, and loses none. When a write fails, what was not written whole is given back.
 *
 * --peek reads by position and leaves the cursor alone.
 *
 * --ack=manual takes one entry at a time and acknowledges it or gives it back, as verdict.c finds. A kill gives it
 * back.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "format.h"
#include "verdict.h"

#define READ_BYTES ((size_t)512 << 10)
#define IDLE_POLL_MS 50

struct consume {
    struct cli *cli;
    const char *topic_name;
    const char *group;
    const char *format;
    uint64_t left; /* entries still wanted */
    bool follow;
    bool peek;
    bool has_ack;
    bool takes;          /* rather than reads: each entry is acknowledged or given back by itself */
    const char *command; /* --exec, or NULL */
    bool skip_damage;
    bool has_timeout;
    uint64_t timeout_ns;
    bool has_consistency;
    struct walrus_consistency consistency;

    struct client_topic *topic;
    struct client_cursor *cursor;
    struct walrus_position position; /* --peek: where we are */
    struct client_entries entries;
    struct entry_printer printer;
    struct verdict_input input;
    uint64_t taken;
    uint64_t ends[WALRUS_BATCH_ENTRIES_MAX]; /* out.queued after each entry of the batch at hand */
};

static struct out out;

enum { KEY_FOLLOW = CLI_KEY_PRIVATE, KEY_TIMEOUT, KEY_CONSISTENCY, KEY_SKIP_DAMAGE, KEY_ACK, KEY_EXEC };

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct consume *consume = state->input;
    struct walrus_error error = {0};
    const char *bad;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = consume->cli;
        return 0;
    case 'g':
        consume->group = argument;
        return 0;
    case 'n':
        if (!cli_parse_u64(argument, &consume->left) || consume->left == 0)
            argp_error(state, "-n takes a number of 1 or more, not '%s'", argument);
        return 0;
    case 'f':
        if (!format_check(argument, &bad))
            argp_error(state, "-f does not know '%.2s'; it knows %s", bad, FORMAT_HELP);
        consume->format = argument;
        return 0;
    case 'p':
        consume->peek = true;
        return 0;
    case 'e':
        consume->follow = false;
        return 0;
    case KEY_FOLLOW:
        consume->follow = true;
        return 0;
    case KEY_TIMEOUT:
        if (!cli_parse_duration_ns(argument, &consume->timeout_ns))
            argp_error(state, "--timeout takes seconds or 500ms, 30s, 2m, not '%s'", argument);
        consume->has_timeout = true;
        consume->follow = true;
        return 0;
    case KEY_CONSISTENCY:
        if (walrus_consistency_parse(argument, &consume->consistency, &error) != WALRUS_OK)
            argp_error(state, "--consistency: %s", error.message);
        consume->has_consistency = true;
        return 0;
    case KEY_SKIP_DAMAGE:
        consume->skip_damage = true;
        return 0;
    case KEY_ACK:
        if (strcmp(argument, "auto") != 0 && strcmp(argument, "manual") != 0)
            argp_error(state, "--ack takes auto or manual, not '%s'", argument);
        consume->has_ack = true;
        consume->takes = argument[0] == 'm';
        return 0;
    case KEY_EXEC:
        consume->command = argument;
        return 0;
    case ARGP_KEY_ARG:
        if (consume->topic_name != NULL)
            argp_error(state, "one topic at a time");
        consume->topic_name = argument;
        return 0;
    case ARGP_KEY_END:
        if (consume->topic_name == NULL)
            argp_error(state, "name a topic");
        if (consume->command != NULL && consume->has_ack && !consume->takes)
            argp_error(state, "--exec acknowledges by the command's exit code: it goes with --ack=manual");
        consume->takes = consume->takes || consume->command != NULL;
        if (consume->peek && consume->takes)
            argp_error(state, "--peek takes nothing that could be acknowledged");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static enum walrus_code read_batch(struct consume *consume, struct walrus_error *error)
{
    struct walrus_read_limits limits = {.max_bytes = READ_BYTES, .max_entries = WALRUS_BATCH_ENTRIES_MAX};

    if (consume->left < limits.max_entries)
        limits.max_entries = (size_t)consume->left;
    if (consume->peek)
        return client_read_entries(consume->topic, &consume->position, &limits, &consume->entries, error);
    if (consume->takes) {
        limits.max_entries = 1;
        return client_cursor_take(consume->cursor, &limits, 0, 0, &consume->entries, error);
    }
    return client_cursor_read(consume->cursor, &limits, 0, &consume->entries, error);
}

static enum walrus_code skip_damage(struct consume *consume, struct walrus_error *error)
{
    struct walrus_error damage = *error;
    uint64_t skipped = 0;
    enum walrus_code code;

    if (consume->peek)
        code = client_skip_damage(consume->topic, &consume->position, &skipped, error);
    else
        code = client_cursor_skip_damage(consume->cursor, &skipped, error);
    if (code == WALRUS_OK)
        cli_note(consume->cli, "skipped %" PRIu64 " entries: %s", skipped, damage.message);
    return code;
}

/* Writes the batch out; when that fails, makes the cursor agree with what has left the process. */
static enum walrus_code deliver(struct consume *consume, struct walrus_error *error)
{
    const struct client_entries *entries = &consume->entries;
    uint64_t start = out.queued;
    size_t complete = 0;
    size_t begun = 0;

    for (size_t i = 0; i < entries->count; i++) {
        print_entry(&out, &consume->printer, &entries->items[i]);
        consume->ends[i] = out.queued;
    }
    out_flush(&out);
    while (complete < entries->count && consume->ends[complete] <= out.written)
        complete++;
    while (begun < entries->count && (begun == 0 ? start : consume->ends[begun - 1]) < out.written)
        begun++;
    if (out.error == 0)
        complete = begun = entries->count;
    consume->taken += complete;
    consume->left -= consume->left == UINT64_MAX ? 0 : complete;
    if (consume->peek || complete == entries->count)
        return WALRUS_OK;
    if (consume->consistency.mode == WALRUS_AT_LEAST_ONCE)
        return client_cursor_set(consume->cursor, entries->items[complete].sequence, error);
    return begun == entries->count ? WALRUS_OK
                                   : client_cursor_set(consume->cursor, entries->items[begun].sequence, error);
}

/* Hands the entry that was taken on, and settles it. *status is not CLI_OK when that is the end. */
static enum walrus_code settle(struct consume *consume, int *status, struct walrus_error *error)
{
    const struct walrus_entry *entry = &consume->entries.items[0];
    enum verdict verdict = VERDICT_GIVE_BACK_AND_END;

    consume->taken++;
    consume->left -= consume->left == UINT64_MAX ? 0 : 1;
    if (consume->command != NULL) {
        verdict = verdict_by_command(consume->cli, consume->command, &consume->printer, entry, status);
    } else {
        print_entry(&out, &consume->printer, entry);
        if (out_flush(&out))
            verdict = verdict_from_input(consume->cli, &consume->input, status);
    }
    if (verdict == VERDICT_GIVE_BACK_AND_END)
        consume->left = 0;
    if (verdict == VERDICT_ACKNOWLEDGE)
        return client_cursor_acknowledge(consume->cursor, entry->sequence, 1, error);
    return client_cursor_give_back(consume->cursor, entry->sequence, 1, error);
}

/* Waits a moment for new entries; false when the reader of our output has gone or we are told to stop. */
static bool idle(void)
{
    struct pollfd reader = {.fd = STDOUT_FILENO};

    poll(&reader, 1, IDLE_POLL_MS);
    if (reader.revents & POLLERR)
        out.error = EPIPE;
    return out.error == 0 && cli_stop_signal() == 0;
}

static int consume_all(struct consume *consume)
{
    struct walrus_error error = {0};
    enum walrus_code code = WALRUS_OK;
    uint64_t last_ns = cli_clock_ns();
    int status = CLI_OK;

    while (consume->left > 0 && out.error == 0 && cli_stop_signal() == 0) {
        code = read_batch(consume, &error);
        if (code == WALRUS_E_DAMAGED && consume->skip_damage)
            code = skip_damage(consume, &error);
        else if (code == WALRUS_OK && consume->entries.count > 0 && consume->takes)
            code = settle(consume, &status, &error);
        else if (code == WALRUS_OK && consume->entries.count > 0)
            code = deliver(consume, &error);
        else if (code == WALRUS_OK && !consume->follow)
            break;
        else if (code == WALRUS_OK) {
            if (consume->has_timeout && cli_clock_ns() - last_ns >= consume->timeout_ns)
                return CLI_TIMEOUT;
            if (!idle())
                break;
            continue;
        }
        if (code != WALRUS_OK)
            return cli_fail(consume->cli, &error, NULL);
        last_ns = cli_clock_ns();
    }
    if (status != CLI_OK)
        return status;
    return consume->taken == 0 && out.error == 0 ? CLI_NOTHING : CLI_OK;
}

static int take_consistency(const struct walrus_group_info *group, void *context)
{
    struct consume *consume = context;

    if (strcmp(group->name, consume->group) == 0)
        consume->consistency = group->consistency;
    return 0;
}

/* The entry that the group would get next: of those that were given back the first, which the cursor has passed. */
static enum walrus_code find_next(struct consume *consume, uint64_t *sequence, struct walrus_error *error)
{
    struct walrus_read_limits one = {.max_bytes = 1, .max_entries = 1};
    enum walrus_code code = client_cursor_read(consume->cursor, &one, WALRUS_PEEK, &consume->entries, error);

    if (code == WALRUS_OK && consume->entries.count > 0)
        *sequence = consume->entries.items[0].sequence;
    else if (code == WALRUS_OK || code == WALRUS_E_DAMAGED) /* the damage is met again, by who shows it */
        code = client_cursor_get(consume->cursor, sequence, error);
    return code;
}

static int open_cursor(struct consume *consume, struct client_log *log)
{
    struct walrus_error error = {0};
    struct walrus_topic_info info;
    uint64_t sequence;

    if ((!consume->has_consistency && client_group_list(log, take_consistency, consume, &error) != WALRUS_OK) ||
        client_topic_info(consume->topic, &info, &error) != WALRUS_OK)
        return cli_fail(consume->cli, &error, NULL);
    consume->printer = (struct entry_printer){.topic = consume->topic_name,
                                              .json = consume->cli->json,
                                              .format = consume->format,
                                              .framing = info.settings.framing};
    if (client_cursor_open(consume->topic, consume->group, &consume->consistency, &consume->cursor, &error) !=
        WALRUS_OK)
        return cli_fail_group(consume->cli, &error);
    if (!consume->peek)
        return CLI_OK;
    if (find_next(consume, &sequence, &error) != WALRUS_OK ||
        client_seek_sequence(consume->topic, sequence, &consume->position, &error) != WALRUS_OK)
        return cli_fail(consume->cli, &error, NULL);
    return CLI_OK;
}

static int run(struct consume *consume, struct cli *cli, const struct argp *argp, int argc, char **argv)
{
    struct client_log *log = NULL;
    int status;

    consume->cli = cli;
    consume->left = UINT64_MAX;
    consume->group = "default";
    cli_parse(cli, argp, argc, argv, consume);
    cli_catch_signals();
    out_init(&out, STDOUT_FILENO);
    status = cli_open_log(cli, false, &log);
    if (status == CLI_OK)
        status = cli_open_topic(cli, log, consume->topic_name, 0, NULL, &consume->topic);
    if (status == CLI_OK) {
        struct walrus_error error = {0};

        status = open_cursor(consume, log);
        if (status == CLI_OK)
            status = consume_all(consume);
        if (client_cursor_close(consume->cursor, &error) != WALRUS_OK)
            status = cli_fail(cli, &error, NULL);
        client_entries_free(&consume->entries);
        client_topic_close(consume->topic);
    }
    return cli_close_log(cli, log, out_finish(&out, cli, status));
}

int cmd_consume(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"count", 'n', "N", 0, "take N entries at most, and none beyond", 0},
        {"format", 'f', "FMT", 0, "print each entry as FMT says: " FORMAT_HELP, 0},
        {"end", 'e', NULL, 0, "end where there is nothing more (the default)", 0},
        {"follow", KEY_FOLLOW, NULL, 0, "wait for more at the end (holds the log while it waits)", 0},
        {"timeout", KEY_TIMEOUT, "S", 0, "wait, but end with code 124 after S seconds without a new entry", 0},
        {"consistency", KEY_CONSISTENCY, "HOW", 0,
         "strict: none is ever given twice, a kill may lose those on their way (at most once). at-least-once:N: none "
         "is ever lost, a kill gives up to N again (default: as the group)",
         0},
        {"peek", 'p', NULL, 0, "show the next entries, leave the cursor where it is", 0},
        {"ack", KEY_ACK, "HOW", 0,
         "auto: what was printed is consumed (the default). manual: after each entry a line `ack` or `nack` is read "
         "from standard input; its end gives back what is not acknowledged",
         0},
        {"exec", KEY_EXEC, "CMD", 0,
         "run `sh -c CMD` for each entry, which is on its standard input as it would be printed, and acknowledge it "
         "when CMD exits with 0; else give it back and end with code 69 (implies --ack=manual)",
         0},
        {"skip-damage", KEY_SKIP_DAMAGE, NULL, 0, "go past damaged entries, with a note on standard error", 0},
        {"group", 'g', "GROUP", 0, "consumer group (default: default)", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "TOPIC",
        .doc = "Takes the next entries of a topic, all there are unless -n says less. Exit code 1 when there are "
               "none.\v"
               "What is taken moves the group's cursor; a failed write of the output gives back what was not written.\n"
               "With --ack=manual an entry that was not acknowledged comes again, after a kill, too: to whoever asks "
               "first, this process included after `nack`.\n"
               "--json: one object per entry: sequence, offset, time_ns, length, and data (text) or base64.",
        .children = cli_children,
    };
    static struct consume consume;

    return run(&consume, cli, &argp, argc, argv);
}

int cmd_peek(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"count", 'n', "N", 0, "N entries at most", 0},
        {"format", 'f', "FMT", 0, "print each entry as FMT says: " FORMAT_HELP, 0},
        {"skip-damage", KEY_SKIP_DAMAGE, NULL, 0, "go past damaged entries, with a note on standard error", 0},
        {"group", 'g', "GROUP", 0, "consumer group (default: default)", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "TOPIC",
        .doc = "Shows the next entries of a group, all there are unless -n says less, and leaves its cursor where it "
               "is. Exit code 1 when there are none.\v"
               "What others of the group have taken and not acknowledged is not the next entry; behind that one it is "
               "shown.\n"
               "--json: one object per entry: sequence, offset, time_ns, length, and data (text) or base64.",
        .children = cli_children,
    };
    static struct consume consume = {.peek = true};

    return run(&consume, cli, &argp, argc, argv);
}
