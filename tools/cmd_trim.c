/* walrus trim - gives up the oldest entries of a topic. */
#include <inttypes.h>
#include <unistd.h>

#include "commands.h"
#include "offsets.h"
#include "output.h"

static struct out out;

struct arguments {
    struct cli *cli;
    const char *topic_name;
    bool has_offset;
    bool dry_run;
    struct offset_range to;
};

enum { KEY_DRY_RUN = CLI_KEY_PRIVATE };

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = arguments->cli;
        return 0;
    case KEY_DRY_RUN:
        arguments->dry_run = true;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->topic_name == NULL) {
            arguments->topic_name = argument;
            return 0;
        }
        argument = arguments->has_offset ? "" : argument;
        /* fall through */
    case 'o':
        if (!offset_parse(argument, &arguments->to.from))
            argp_error(state, "'%s' is no place in a topic; there are " OFFSETS_HELP, argument);
        arguments->has_offset = true;
        return 0;
    case ARGP_KEY_END:
        if (arguments->topic_name == NULL || !arguments->has_offset)
            argp_error(state, "name a topic, and the first entry to keep: " OFFSETS_HELP);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int trim(const struct arguments *arguments, struct client_topic *topic)
{
    struct walrus_topic_info before = {0};
    struct walrus_error error = {0};
    uint64_t to;
    uint64_t end;
    int status = offset_range_resolve(arguments->cli, topic, &arguments->to, &to, &end);

    if (status != CLI_OK)
        return status;
    if (client_topic_info(topic, &before, &error) != WALRUS_OK ||
        (!arguments->dry_run && client_topic_trim(topic, to, &error) != WALRUS_OK))
        return cli_fail(arguments->cli, &error, NULL);
    uint64_t entries = to > before.first_sequence ? to - before.first_sequence : 0;
    if (arguments->cli->json)
        out_json(&out, json_pack("{s:o, s:o, s:o, s:o, s:b}", "topic", json_name(arguments->topic_name), "from",
                                 json_u64(before.first_sequence), "to", json_u64(before.first_sequence + entries),
                                 "entries", json_u64(entries), "trimmed", (int)!arguments->dry_run));
    else
        out_printf(&out, "%s: %" PRIu64 " entries %s; the first is %" PRIu64 "\n", arguments->topic_name, entries,
                   arguments->dry_run ? "would go" : "gone", before.first_sequence + entries);
    return CLI_OK;
}

int cmd_trim(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"offset", 'o', "OFFSET", 0, "the first entry to keep, for places that begin with '-'", 0},
        {"dry-run", KEY_DRY_RUN, NULL, 0, "say what would go, and leave it", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "TOPIC OFFSET\nTOPIC -o OFFSET",
        .doc =
            "Gives up all entries of a topic before OFFSET, whatever its retention and whoever has not consumed them; "
            "durably. OFFSET: " OFFSETS_HELP ".\v"
            "--json: one object: topic, from, to, entries, trimmed.",
        .children = cli_children,
    };
    struct arguments arguments = {.cli = cli, .to.to = {.kind = OFFSET_END}};
    struct client_log *log = NULL;
    struct client_topic *topic;
    int status;

    cli_parse(cli, &argp, argc, argv, &arguments);
    out_init(&out, STDOUT_FILENO);
    status = cli_open_log(cli, false, &log);
    if (status == CLI_OK)
        status = cli_open_topic(cli, log, arguments.topic_name, 0, NULL, &topic);
    if (status == CLI_OK) {
        status = trim(&arguments, topic);
        client_topic_close(topic);
    }
    return cli_close_log(cli, log, out_finish(&out, cli, status));
}
