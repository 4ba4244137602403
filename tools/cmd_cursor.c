/* walrus cursor get|set|rm - where a group stands on a topic. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "commands.h"
#include "offsets.h"
#include "output.h"

static struct out out;

struct arguments {
    struct cli *cli;
    const char *topic_name;
    const char *group;
    bool takes_offset;
    bool has_offset;
    bool dry_run;
    bool damaged;
    struct offset_range to;
};

enum { KEY_DRY_RUN = CLI_KEY_PRIVATE, KEY_DAMAGED };

static const struct argp_option group_option = {"group", 'g', "GROUP", 0, "consumer group (default: default)", 0};

static void take_offset(struct arguments *arguments, const char *text, struct argp_state *state)
{
    if (arguments->has_offset)
        argp_error(state, "one place at a time");
    if (!offset_parse(text, &arguments->to.from))
        argp_error(state, "'%s' is no place in a topic; there are " OFFSETS_HELP, text);
    arguments->has_offset = true;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = arguments->cli;
        return 0;
    case 'g':
        arguments->group = argument;
        return 0;
    case 'o':
        take_offset(arguments, argument, state);
        return 0;
    case KEY_DRY_RUN:
        arguments->dry_run = true;
        return 0;
    case KEY_DAMAGED:
        arguments->damaged = true;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->topic_name == NULL)
            arguments->topic_name = argument;
        else if (arguments->takes_offset)
            take_offset(arguments, argument, state);
        else
            argp_error(state, "one topic at a time");
        return 0;
    case ARGP_KEY_END:
        if (arguments->damaged && arguments->topic_name != NULL)
            argp_error(state, "--damaged is about cursors of which nobody knows the topic");
        if (arguments->topic_name == NULL && !arguments->damaged)
            argp_error(state, "name a topic");
        if (arguments->takes_offset && !arguments->has_offset)
            argp_error(state, "say where to: " OFFSETS_HELP);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* rm --damaged */
static int forget_damaged(const struct arguments *arguments, struct client_log *log)
{
    struct walrus_error error = {0};
    uint64_t forgotten = 0;

    if (client_cursors_forget_damaged(log, &forgotten, &error) != WALRUS_OK)
        return cli_fail(arguments->cli, &error, NULL);
    if (arguments->cli->json)
        out_json(&out, json_pack("{s:o}", "forgotten", json_u64(forgotten)));
    else
        out_printf(&out, "%" PRIu64 " damaged cursors forgotten\n", forgotten);
    return CLI_OK;
}

/* Parses, opens log and topic, and runs one of the commands on them. */
static int run(struct arguments *arguments, const struct argp *argp, int argc, char **argv,
               int (*command)(struct arguments *arguments, struct client_topic *topic))
{
    struct client_log *log = NULL;
    struct client_topic *topic;
    int status;

    cli_parse(arguments->cli, argp, argc, argv, arguments);
    out_init(&out, STDOUT_FILENO);
    status = cli_open_log(arguments->cli, false, &log);
    if (status == CLI_OK && arguments->damaged)
        return cli_close_log(arguments->cli, log, out_finish(&out, arguments->cli, forget_damaged(arguments, log)));
    if (status == CLI_OK)
        status = cli_open_topic(arguments->cli, log, arguments->topic_name, 0, NULL, &topic);
    if (status == CLI_OK) {
        status = command(arguments, topic);
        client_topic_close(topic);
    }
    return cli_close_log(arguments->cli, log, out_finish(&out, arguments->cli, status));
}

static int read_cursor(struct arguments *arguments, struct client_topic *topic, struct client_cursor **cursor,
                       uint64_t *sequence)
{
    struct walrus_error error = {0};

    if (client_cursor_open(topic, arguments->group, NULL, cursor, &error) != WALRUS_OK)
        return cli_fail_group(arguments->cli, &error);
    if (client_cursor_get(*cursor, sequence, &error) == WALRUS_OK)
        return CLI_OK;
    client_cursor_close(*cursor, NULL);
    return cli_fail(arguments->cli, &error, NULL);
}

static int close_cursor(const struct arguments *arguments, struct client_cursor *cursor, int status)
{
    struct walrus_error error = {0};

    if (client_cursor_close(cursor, &error) != WALRUS_OK && status == CLI_OK)
        return cli_fail(arguments->cli, &error, NULL);
    return status;
}

/* ---- get --------------------------------------------------------------------------------------------------------- */

static int get(struct arguments *arguments, struct client_topic *topic)
{
    struct client_cursor *cursor;
    uint64_t sequence;
    int status = read_cursor(arguments, topic, &cursor, &sequence);

    if (status != CLI_OK)
        return status;
    if (arguments->cli->json)
        out_json(&out, json_pack("{s:o, s:o, s:o}", "topic", json_name(arguments->topic_name), "group",
                                 json_name(arguments->group), "cursor", json_u64(sequence)));
    else
        out_printf(&out, "%" PRIu64 "\n", sequence);
    return close_cursor(arguments, cursor, CLI_OK);
}

int cmd_cursor_get(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {group_option, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "TOPIC",
        .doc = "Prints the sequence of the entry that the group gets next.\v"
               "--json: one object: topic, group, cursor. `group describe` tells more.",
        .children = cli_children,
    };
    struct arguments arguments = {.cli = cli, .group = "default"};

    return run(&arguments, &argp, argc, argv, get);
}

/* ---- set --------------------------------------------------------------------------------------------------------- */

static int set(struct arguments *arguments, struct client_topic *topic)
{
    struct walrus_error error = {0};
    struct client_cursor *cursor;
    uint64_t before;
    uint64_t to;
    uint64_t end;
    int status;

    arguments->to.group = arguments->group;
    status = offset_range_resolve(arguments->cli, topic, &arguments->to, &to, &end);
    if (status == CLI_OK)
        status = read_cursor(arguments, topic, &cursor, &before);
    if (status != CLI_OK)
        return status;
    if (!arguments->dry_run && client_cursor_set(cursor, to, &error) != WALRUS_OK)
        status = cli_fail(arguments->cli, &error, NULL);
    if (status == CLI_OK && arguments->cli->json)
        out_json(&out, json_pack("{s:o, s:o, s:o, s:o, s:b}", "topic", json_name(arguments->topic_name), "group",
                                 json_name(arguments->group), "from", json_u64(before), "to", json_u64(to), "moved",
                                 (int)!arguments->dry_run));
    else if (status == CLI_OK && arguments->dry_run)
        out_printf(&out, "%s: %" PRIu64 " -> %" PRIu64 " (not moved)\n", arguments->topic_name, before, to);
    else if (status == CLI_OK)
        out_printf(&out, "%s: %" PRIu64 " -> %" PRIu64 "\n", arguments->topic_name, before, to);
    return close_cursor(arguments, cursor, status);
}

int cmd_cursor_set(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        group_option,
        {"offset", 'o', "OFFSET", 0, "where to, for places that begin with '-'", 0},
        {"dry-run", KEY_DRY_RUN, NULL, 0, "say where it would go, and leave it", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "TOPIC OFFSET\nTOPIC -o OFFSET",
        .doc = "Moves a group on a topic, durably. OFFSET: " OFFSETS_HELP ".\v"
               "--json: one object: topic, group, from, to, moved.",
        .children = cli_children,
    };
    struct arguments arguments = {.cli = cli, .group = "default", .takes_offset = true, .to.to = {.kind = OFFSET_END}};

    return run(&arguments, &argp, argc, argv, set);
}

/* ---- rm ---------------------------------------------------------------------------------------------------------- */

static int rm(struct arguments *arguments, struct client_topic *topic)
{
    struct walrus_error error = {0};

    if (client_cursor_delete(topic, arguments->group, &error) != WALRUS_OK)
        return cli_fail(arguments->cli, &error, NULL);
    if (arguments->cli->json)
        out_json(&out, json_pack("{s:o, s:o, s:b}", "topic", json_name(arguments->topic_name), "group",
                                 json_name(arguments->group), "removed", 1));
    return CLI_OK;
}

int cmd_cursor_rm(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        group_option,
        {"damaged", KEY_DAMAGED, NULL, 0,
         "give up the damaged cursors of which `walrus check` cannot tell the topic; what was kept for them may go", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "TOPIC\n--damaged",
        .doc =
            "Forgets where a group stands on a topic, which then keeps nothing for it; the group stays. It would begin "
            "anew at the first entry.\v"
            "--json: one object: topic, group, removed (true); with --damaged: forgotten (their number).",
        .children = cli_children,
    };
    struct arguments arguments = {.cli = cli, .group = "default"};

    return run(&arguments, &argp, argc, argv, rm);
}
