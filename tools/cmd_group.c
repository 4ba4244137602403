/* walrus group ls|create|config|rm|describe - consumer groups: names in the log with a cursor on each topic they use.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "output.h"
#include "topics.h"

static struct out out;

struct groups {
    struct cli *cli;
    int count;
    char **names;
    bool has_consistency;
    bool inherits; /* --consistency log */
    struct walrus_consistency consistency;
};

enum { KEY_CONSISTENCY = CLI_KEY_PRIVATE };

#define CONSISTENCY_OPTION(default)                                                                                    \
    {                                                                                                                  \
        "consistency", KEY_CONSISTENCY, "HOW", 0, "strict, at-least-once:N, or log: as the log" default, 0             \
    }

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct groups *groups = state->input;
    struct walrus_error error = {0};

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = groups->cli;
        return 0;
    case KEY_CONSISTENCY:
        groups->has_consistency = true;
        groups->inherits = strcmp(argument, "log") == 0;
        if (!groups->inherits && walrus_consistency_parse(argument, &groups->consistency, &error) != WALRUS_OK)
            argp_error(state, "--consistency: %s", error.message);
        return 0;
    case ARGP_KEY_ARG:
        groups->names[groups->count++] = argument;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "name a group");
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static json_t *group_json(const struct walrus_group_info *group)
{
    char consistency[TIME_TEXT_MAX];

    return json_pack("{s:o, s:o, s:s, s:b, s:o}", "group", json_name(group->name), "id", json_u64(group->id),
                     "consistency", walrus_consistency_text(&group->consistency, consistency), "consistency_inherited",
                     (int)group->consistency_inherited, "created_ns",
                     group->created_ns == 0 ? json_null() : json_u64(group->created_ns));
}

/* Opens the log, and `run` for each name; goes on after one that fails. */
static int for_each(struct groups *groups, const struct argp *argp, int argc, char **argv, bool create,
                    enum walrus_code (*run)(struct groups *groups, struct client_log *log, const char *name,
                                            struct walrus_error *error))
{
    struct client_log *log = NULL;
    int failed = CLI_OK;
    int status;

    groups->names = calloc((size_t)argc, sizeof(char *));
    if (groups->names == NULL)
        return cli_error(groups->cli, CLI_UNAVAILABLE, "out of memory");
    cli_parse(groups->cli, argp, argc, argv, groups);
    out_init(&out, STDOUT_FILENO);
    status = cli_open_log(groups->cli, create, &log);
    for (int i = 0; status == CLI_OK && i < groups->count; i++) {
        struct walrus_error error = {0};

        if (run(groups, log, groups->names[i], &error) != WALRUS_OK)
            failed = cli_fail_group(groups->cli, &error);
    }
    free(groups->names);
    return out_finish(&out, groups->cli, cli_close_log(groups->cli, log, status != CLI_OK ? status : failed));
}

/* ---- ls ---------------------------------------------------------------------------------------------------------- */

static error_t parse_nothing(int key, char *argument, struct argp_state *state)
{
    (void)argument;
    if (key == ARGP_KEY_INIT)
        state->child_inputs[0] = state->input;
    return key == ARGP_KEY_INIT ? 0 : ARGP_ERR_UNKNOWN;
}

static int ls_group(const struct walrus_group_info *group, void *context)
{
    const struct cli *cli = context;
    char consistency[TIME_TEXT_MAX];

    if (cli->json)
        out_json(&out, group_json(group));
    else
        out_printf(&out, "%-24s %s%s\n", group->name, walrus_consistency_text(&group->consistency, consistency),
                   group->consistency_inherited ? " (log)" : "");
    return out.error != 0;
}

int cmd_group_ls(struct cli *cli, int argc, char **argv)
{
    static const struct argp argp = {
        .parser = parse_nothing,
        .doc = "Lists the consumer groups of a log with their read consistency.\v"
               "--json: one object per group: group, id, consistency, consistency_inherited, created_ns.",
        .children = cli_children,
    };
    struct client_log *log;
    struct walrus_error error = {0};
    int status;

    cli_parse(cli, &argp, argc, argv, cli);
    status = cli_open_log(cli, false, &log);
    if (status != CLI_OK)
        return status;
    out_init(&out, STDOUT_FILENO);
    if (client_group_list(log, ls_group, cli, &error) != WALRUS_OK)
        status = cli_fail(cli, &error, NULL);
    return cli_close_log(cli, log, out_finish(&out, cli, status));
}

/* ---- create, config, rm ------------------------------------------------------------------------------------------ */

static enum walrus_code create(struct groups *groups, struct client_log *log, const char *name,
                               struct walrus_error *error)
{
    const struct walrus_consistency *own = groups->has_consistency && !groups->inherits ? &groups->consistency : NULL;
    enum walrus_code code = client_group_create(log, name, own, error);

    if (code == WALRUS_OK && groups->cli->json)
        out_json(&out, json_pack("{s:o, s:b}", "group", json_name(name), "created", 1));
    return code;
}

int cmd_group_create(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {CONSISTENCY_OPTION(" (default)"), {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "GROUP...",
        .doc =
            "Makes consumer groups. One that exists is an error. A group starts at the first entry of each topic that "
            "it uses; `cursor set` moves it.\v"
            "--json: one object per group: group, created (true).",
        .children = cli_children,
    };
    struct groups groups = {.cli = cli};

    return for_each(&groups, &argp, argc, argv, true, create);
}

static enum walrus_code config(struct groups *groups, struct client_log *log, const char *name,
                               struct walrus_error *error)
{
    if (!groups->has_consistency)
        return WALRUS_OK;
    return client_group_configure(log, name, groups->inherits ? NULL : &groups->consistency, error);
}

int cmd_group_config(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {CONSISTENCY_OPTION(""), {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "GROUP...",
        .doc = "Changes the read consistency of groups; `group ls` shows it.\v--json: nothing is printed.",
        .children = cli_children,
    };
    struct groups groups = {.cli = cli};

    return for_each(&groups, &argp, argc, argv, false, config);
}

static enum walrus_code rm(struct groups *groups, struct client_log *log, const char *name, struct walrus_error *error)
{
    enum walrus_code code = client_group_delete(log, name, error);

    if (code == WALRUS_OK && groups->cli->json)
        out_json(&out, json_pack("{s:o, s:b}", "group", json_name(name), "removed", 1));
    return code;
}

int cmd_group_rm(struct cli *cli, int argc, char **argv)
{
    static const struct argp argp = {
        .parser = parse,
        .args_doc = "GROUP...",
        .doc = "Deletes groups with their cursors on all topics. Goes on after one that fails.\v"
               "--json: one object per deleted group: group, removed (true).",
        .children = cli_children,
    };
    struct groups groups = {.cli = cli};

    return for_each(&groups, &argp, argc, argv, false, rm);
}

/* ---- describe ---------------------------------------------------------------------------------------------------- */

struct describe {
    struct groups groups;
    const char *topic;
    const char *group;
    uint64_t end;
};

static int describe_cursor(const struct walrus_cursor_info *cursor, void *context)
{
    struct describe *describe = context;
    char consistency[TIME_TEXT_MAX];

    if (strcmp(cursor->group, describe->group) != 0)
        return 0;
    if (!describe->groups.cli->json) {
        out_printf(&out, "%-24s %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %14" PRIu64 "%s\n", describe->topic,
                   cursor->sequence, describe->end, cursor->lag_entries, cursor->lag_bytes,
                   cursor->damaged
                       ? "  damaged: where it stood is lost, and nothing is freed as consumed until it is set"
                       : "");
        return 1;
    }
    out_json(&out, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:b}", "group",
                             json_name(cursor->group), "topic", json_name(describe->topic), "cursor",
                             json_u64(cursor->sequence), "durable", json_u64(cursor->durable_sequence), "end",
                             json_u64(describe->end), "lag", json_u64(cursor->lag_entries), "lag_bytes",
                             json_u64(cursor->lag_bytes), "taken", json_u64(cursor->taken_entries), "overtaken",
                             json_u64(cursor->overtaken_entries), "checkpointed_ns", json_u64(cursor->checkpointed_ns),
                             "consistency", walrus_consistency_text(&cursor->consistency, consistency), "damaged",
                             (int)cursor->damaged));
    return 1;
}

static int describe_topic(const struct cli *cli, struct client_log *log, const char *name, void *context)
{
    struct describe *describe = context;
    struct client_topic *topic;
    struct walrus_topic_info info;
    struct walrus_error error = {0};
    int status = cli_open_topic(cli, log, name, 0, NULL, &topic);

    if (status != CLI_OK)
        return status;
    describe->topic = name;
    if (client_topic_info(topic, &info, &error) != WALRUS_OK) {
        status = cli_fail(cli, &error, NULL);
    } else {
        describe->end = info.next_sequence;
        if (client_cursor_list(topic, describe_cursor, describe, &error) != WALRUS_OK)
            status = cli_fail(cli, &error, NULL);
    }
    client_topic_close(topic);
    return status == CLI_OK && out.error != 0 ? CLI_BROKEN_PIPE : status;
}

static int find_group(const struct walrus_group_info *group, void *context)
{
    struct describe *describe = context;

    if (strcmp(group->name, describe->group) != 0)
        return 0;
    describe->group = NULL; /* found */
    return 1;
}

static enum walrus_code describe_group(struct groups *groups, struct client_log *log, const char *name,
                                       struct walrus_error *error)
{
    struct describe *describe = (struct describe *)groups;
    enum walrus_code code;

    describe->group = name;
    code = client_group_list(log, find_group, describe, error);
    if (code == WALRUS_OK && describe->group != NULL) {
        error->code = WALRUS_E_NOT_FOUND;
        error->system_errno = ENOENT;
        snprintf(error->message, sizeof(error->message), "no group '%s'", name);
        return WALRUS_E_NOT_FOUND;
    }
    if (code != WALRUS_OK)
        return code;
    describe->group = name;
    if (!groups->cli->json)
        out_printf(&out, "%-24s %12s %12s %12s %14s\n", "TOPIC", "CURSOR", "END", "LAG", "BYTES");
    /* What fails is said on the spot. */
    (void)topics_for_each(groups->cli, log, describe_topic, describe);
    return WALRUS_OK;
}

int cmd_group_describe(struct cli *cli, int argc, char **argv)
{
    static const struct argp argp = {
        .parser = parse,
        .args_doc = "GROUP...",
        .doc = "Where groups stand on each topic they use: the next entry, the topic's end, and how many entries and "
               "bytes lie between.\v"
               "--json: one object per cursor: group, topic, cursor, durable, end, lag, lag_bytes, taken, overtaken, "
               "checkpointed_ns, consistency, damaged.",
        .children = cli_children,
    };
    struct describe describe = {.groups = {.cli = cli}};

    return for_each(&describe.groups, &argp, argc, argv, false, describe_group);
}
