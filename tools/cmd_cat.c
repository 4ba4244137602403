/* walrus cat - replays a topic; consumes nothing. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "format.h"
#include "offsets.h"

#define STREAM_BYTES ((size_t)256 << 10)

struct cat {
    struct cli *cli;
    const char *topic_name;
    const char *range_text;
    struct offset_range range;
    const char *format;
    uint64_t count;
    bool skip_damage;
    struct client_topic *topic;
};

static struct out out;

enum { KEY_SKIP_DAMAGE = CLI_KEY_PRIVATE };

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct cat *cat = state->input;
    const char *bad;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = cat->cli;
        return 0;
    case 'o':
        if (!offset_range_parse(argument, &cat->range))
            argp_error(state, "'%s' is no range A[:B] of %s", argument, OFFSETS_HELP);
        cat->range_text = argument;
        return 0;
    case 'g':
        cat->range.group = argument;
        return 0;
    case 'f':
        if (!format_check(argument, &bad))
            argp_error(state, "-f does not know '%.2s'; it knows %s", bad, FORMAT_HELP);
        cat->format = argument;
        return 0;
    case 'n':
        if (!cli_parse_u64(argument, &cat->count))
            argp_error(state, "-n takes a number, not '%s'", argument);
        return 0;
    case KEY_SKIP_DAMAGE:
        cat->skip_damage = true;
        return 0;
    case ARGP_KEY_ARG:
        if (cat->topic_name != NULL)
            argp_error(state, "one topic at a time");
        cat->topic_name = argument;
        return 0;
    case ARGP_KEY_END:
        if (cat->topic_name == NULL)
            argp_error(state, "name a topic");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The whole topic as it is: bytes straight from the engine to write(2). */
static int cat_stream(struct cat *cat, const struct walrus_topic_info *info)
{
    struct walrus_position position = {0};
    struct walrus_error error = {0};
    char *buffer = malloc(STREAM_BYTES);
    uint64_t offset = info->first_offset;
    int status = CLI_OK;

    if (buffer == NULL)
        return cli_error(cat->cli, CLI_UNAVAILABLE, "out of memory");
    while (offset < info->next_offset) {
        size_t got = 0;

        if (client_read_stream(cat->topic, &position, offset, buffer, STREAM_BYTES, &got, &error) != WALRUS_OK) {
            out_flush(&out);
            status = cli_fail(cat->cli, &error, NULL);
            break;
        }
        if (got == 0 || !out_write(&out, buffer, got))
            break;
        offset += got;
    }
    free(buffer);
    return status;
}

static int cat_entries(struct cat *cat, const struct walrus_topic_info *info)
{
    struct entry_printer printer = {
        .topic = cat->topic_name, .json = cat->cli->json, .format = cat->format, .framing = info->settings.framing};
    struct client_entries entries = {0};
    struct walrus_position position = {0};
    struct walrus_error error = {0};
    enum walrus_code code;
    uint64_t left = cat->count;
    uint64_t from;
    uint64_t to;
    int status = offset_range_resolve(cat->cli, cat->topic, &cat->range, &from, &to);

    if (status != CLI_OK)
        return status;
    code = client_seek_sequence(cat->topic, from, &position, &error);
    while (code == WALRUS_OK && position.sequence < to && left > 0 && out.error == 0) {
        uint64_t wanted = to - position.sequence < left ? to - position.sequence : left;
        struct walrus_read_limits limits = {.max_bytes = STREAM_BYTES};
        uint64_t skipped = 0;

        limits.max_entries = wanted < WALRUS_BATCH_ENTRIES_MAX ? (size_t)wanted : WALRUS_BATCH_ENTRIES_MAX;
        code = client_read_entries(cat->topic, &position, &limits, &entries, &error);
        if (code == WALRUS_E_DAMAGED && cat->skip_damage) {
            code = client_skip_damage(cat->topic, &position, &skipped, &error);
            cli_note(cat->cli, "skipped %" PRIu64 " entries: %s", skipped, error.message);
            continue;
        }
        if (code != WALRUS_OK || entries.count == 0)
            break;
        for (size_t i = 0; i < entries.count; i++)
            print_entry(&out, &printer, &entries.items[i]);
        left -= entries.count;
    }
    if (code != WALRUS_OK) {
        out_flush(&out);
        status = cli_fail(cat->cli, &error, NULL);
    }
    client_entries_free(&entries);
    return status;
}

int cmd_cat(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"offset", 'o', "A[:B]", 0, "from A up to, but without, B; each is one of: " OFFSETS_HELP, 0},
        {"group", 'g', "GROUP", 0, "the group that `stored` in -o means (default: default)", 0},
        {"format", 'f', "FMT", 0, "print each entry as FMT says: " FORMAT_HELP, 0},
        {"count", 'n', "N", 0, "N entries at most", 0},
        {"skip-damage", KEY_SKIP_DAMAGE, NULL, 0, "go past damaged entries, with a note on standard error", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "TOPIC",
        .doc = "Replays a topic: every retained entry and its delimiter. Consumes nothing.\v"
               "--json: one object per entry: sequence, offset, time_ns, length, and data (text) or base64.",
        .children = cli_children,
    };
    struct cat cat = {.cli = cli, .count = UINT64_MAX, .range = {.to = {.kind = OFFSET_END}}};
    struct walrus_topic_info info;
    struct walrus_error error = {0};
    struct client_log *log = NULL;
    int status;

    cli_parse(cli, &argp, argc, argv, &cat);
    out_init(&out, STDOUT_FILENO);
    status = cli_open_log(cli, false, &log);
    if (status == CLI_OK)
        status = cli_open_topic(cli, log, cat.topic_name, 0, NULL, &cat.topic);
    if (status == CLI_OK) {
        if (client_topic_info(cat.topic, &info, &error) != WALRUS_OK)
            status = cli_fail(cli, &error, NULL);
        else if (cat.range_text == NULL && cat.count == UINT64_MAX && cat.format == NULL && !cli->json &&
                 !cat.skip_damage)
            status = cat_stream(&cat, &info);
        else
            status = cat_entries(&cat, &info);
        client_topic_close(cat.topic);
    }
    return cli_close_log(cli, log, out_finish(&out, cli, status));
}
