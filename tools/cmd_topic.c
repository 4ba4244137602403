/* walrus topic ls|create|info|rm (cmd_topic_config.c has `config`) */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "output.h"
#include "topics.h"

static struct out out;

/* Children and input of an argp without options of its own; the arguments are counted and used from argv. */
struct names {
    struct cli *cli;
    int count;
    char **names;
};

static error_t parse_names(int key, char *argument, struct argp_state *state)
{
    struct names *names = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = names->cli;
        return 0;
    case ARGP_KEY_ARG:
        names->names[names->count++] = argument;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "name a topic");
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- ls ---------------------------------------------------------------------------------------------------------- */

struct ls {
    struct cli *cli;
    bool detailed;
    const char *prefix;
};

static error_t parse_ls(int key, char *argument, struct argp_state *state)
{
    struct ls *ls = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = ls->cli;
        return 0;
    case 'l':
        ls->detailed = true;
        return 0;
    case ARGP_KEY_ARG:
        if (ls->prefix != NULL)
            argp_error(state, "one namespace at most");
        ls->prefix = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int ls_topic(const struct cli *cli, struct client_log *log, const char *name, void *context)
{
    struct ls *ls = context;
    size_t prefix_length = ls->prefix != NULL ? strlen(ls->prefix) : 0;
    struct topic_report report;
    char lag[24] = "-";
    uint64_t entries;
    int status;

    if (prefix_length > 0 && (strncmp(name, ls->prefix, prefix_length) != 0 || name[prefix_length] != '/'))
        return CLI_OK;
    if (!cli->json && !ls->detailed) {
        out_printf(&out, "%s\n", name);
        return out.error == 0 ? CLI_OK : CLI_BROKEN_PIPE;
    }
    status = topic_report_by_name(cli, log, name, &report);
    if (status == CLI_OK && cli->json) {
        out_json(&out, topic_report_json(name, &report));
    } else if (status == CLI_OK) {
        const struct walrus_topic_info *info = &report.info;
        char created[TIME_TEXT_MAX];

        if (topic_report_lag(&report, &entries))
            snprintf(lag, sizeof(lag), "%" PRIu64, entries);
        out_printf(&out, "%12" PRIu64 " %14" PRIu64 " %14" PRIu64 " %12s %.19sZ %s\n",
                   info->next_sequence - info->first_sequence, info->next_offset - info->first_offset,
                   info->block_bytes, lag, time_text(info->appended_ns, created), name);
    }
    topic_report_free(&report);
    if (status != CLI_OK)
        return status;
    return out.error == 0 ? CLI_OK : CLI_BROKEN_PIPE;
}

int cmd_topic_ls(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"long", 'l', NULL, 0,
         "entries, bytes, bytes on disk, entries that the group furthest behind has yet to consume, time of the last "
         "entry, name",
         0},
        {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse_ls,
        .args_doc = "[NAMESPACE]",
        .doc = "Lists all topics, or those in NAMESPACE, sorted by name.\v"
               "--json: one object per topic, as `topic info --json`.",
        .children = cli_children,
    };
    struct ls ls = {.cli = cli};
    struct client_log *log;
    size_t length;
    int status;

    cli_parse(cli, &argp, argc, argv, &ls);
    for (length = ls.prefix != NULL ? strlen(ls.prefix) : 0; length > 1 && ls.prefix[length - 1] == '/'; length--)
        ((char *)ls.prefix)[length - 1] = '\0';
    status = cli_open_log(cli, false, &log);
    if (status != CLI_OK)
        return status;
    out_init(&out, STDOUT_FILENO);
    if (ls.detailed && !cli->json)
        out_printf(&out, "%12s %14s %14s %12s %-20s %s\n", "ENTRIES", "BYTES", "DISK", "LAG", "LAST", "NAME");
    status = topics_for_each(cli, log, ls_topic, &ls);
    if (status == CLI_BROKEN_PIPE)
        status = CLI_OK; /* out_finish() says what happened */
    return cli_close_log(cli, log, out_finish(&out, cli, status));
}

/* ---- create ------------------------------------------------------------------------------------------------------ */

struct create {
    struct names names;
    struct walrus_topic_settings settings;
    bool has_mode;
};

enum { KEY_FRAMING = CLI_KEY_PRIVATE, KEY_SYNC, KEY_RETENTION };

static error_t parse_create(int key, char *argument, struct argp_state *state)
{
    struct create *create = state->input;
    struct walrus_error error = {0};
    char *end;

    switch (key) {
    case KEY_FRAMING:
        if (walrus_framing_parse(argument, &create->settings.framing, NULL) != WALRUS_OK)
            argp_error(state, "--framing is line, write or nul, not '%s'", argument);
        return 0;
    case KEY_SYNC:
        if (walrus_sync_policy_parse(argument, &create->settings.sync, &error) != WALRUS_OK)
            argp_error(state, "%s", error.message);
        return 0;
    case KEY_RETENTION:
        if (walrus_retention_parse(argument, &create->settings.retention, &error) != WALRUS_OK)
            argp_error(state, "%s", error.message);
        return 0;
    case 'm':
        create->settings.attributes.mode = (uint32_t)strtoul(argument, &end, 8);
        if (*argument == '\0' || *end != '\0' || create->settings.attributes.mode > 07777)
            argp_error(state, "--mode takes octal permission bits, not '%s'", argument);
        return 0;
    default:
        return parse_names(key, argument, state);
    }
}

int cmd_topic_create(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"framing", KEY_FRAMING, "HOW", 0, "line (default), write or nul: how a mount cuts writes into entries", 0},
        {"sync", KEY_SYNC, "POLICY", 0, "each, every:<n>ms or none (default: as the log)", 0},
        {"retention", KEY_RETENTION, "WHICH", 0,
         "what may be freed: consumed, all, bytes:<n>[KMGT] or age:<n>(ms|s|m|h|d) (default: as the log)", 0},
        {"mode", 'm', "BITS", 0, "permissions, octal (default 644)", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse_create,
        .args_doc = "TOPIC...",
        .doc = "Makes empty topics and the namespaces they are in. One that exists is an error.",
        .children = cli_children,
    };
    struct create create = {.names = {.cli = cli, .names = calloc((size_t)argc, sizeof(char *))}};
    struct client_log *log = NULL;
    int status = CLI_OK;

    if (create.names.names == NULL)
        return cli_error(cli, CLI_UNAVAILABLE, "out of memory");
    create.settings.attributes = (struct walrus_attributes){.mode = 0644, .uid = geteuid(), .gid = getegid()};
    cli_parse(cli, &argp, argc, argv, &create);
    out_init(&out, STDOUT_FILENO);
    for (int i = 0; status == CLI_OK && i < create.names.count; i++)
        status = cli_check_topic_name(cli, create.names.names[i]);
    if (status == CLI_OK)
        status = cli_open_log(cli, true, &log);
    for (int i = 0; status == CLI_OK && i < create.names.count; i++) {
        struct client_topic *topic;
        struct walrus_topic_info info;
        struct walrus_error error = {0};

        status = cli_open_topic(cli, log, create.names.names[i],
                                WALRUS_CREATE | WALRUS_EXCLUSIVE | WALRUS_CREATE_PARENTS, &create.settings, &topic);
        if (status != CLI_OK)
            break;
        if (cli->json && client_topic_info(topic, &info, &error) == WALRUS_OK)
            out_json(&out, topic_info_json(create.names.names[i], &info));
        client_topic_close(topic);
    }
    free(create.names.names);
    return out_finish(&out, cli, cli_close_log(cli, log, status));
}

/* ---- info -------------------------------------------------------------------------------------------------------- */

static void print_groups(const struct topic_report *report)
{
    if (report->group_count > 0)
        out_printf(&out, "%-24s %12s %12s %14s\n", "GROUP", "CURSOR", "LAG", "BYTES");
    for (size_t i = 0; i < report->group_count; i++) {
        const struct walrus_cursor_info *cursor = &report->groups[i].cursor;

        out_printf(&out, "%-24s %12" PRIu64 " %12" PRIu64 " %14" PRIu64 "%s\n", report->groups[i].name,
                   cursor->sequence, cursor->lag_entries, cursor->lag_bytes, cursor->damaged ? "  damaged" : "");
    }
}

static void print_info(const char *name, const struct topic_report *report)
{
    const struct walrus_topic_info *info = &report->info;
    char text[TIME_TEXT_MAX];

    out_printf(&out, "topic             %s\n", name);
    out_printf(&out, "id                %" PRIu64 "\n", info->id);
    out_printf(&out, "entries           %" PRIu64 "\n", info->next_sequence - info->first_sequence);
    out_printf(&out, "bytes             %" PRIu64 "\n", info->next_offset - info->first_offset);
    out_printf(&out, "first sequence    %" PRIu64 "\n", info->first_sequence);
    out_printf(&out, "next sequence     %" PRIu64 "\n", info->next_sequence);
    out_printf(&out, "first offset      %" PRIu64 "\n", info->first_offset);
    out_printf(&out, "next offset       %" PRIu64 "\n", info->next_offset);
    out_printf(&out, "durable sequence  %" PRIu64 "\n", info->durable_sequence);
    out_printf(&out, "blocks            %" PRIu64 "\n", info->block_count);
    out_printf(&out, "bytes on disk     %" PRIu64 "\n", info->block_bytes);
    out_printf(&out, "created           %s\n", time_text(info->created_ns, text));
    out_printf(&out, "last entry        %s\n", time_text(info->appended_ns, text));
    out_printf(&out, "sync              %s%s\n", walrus_sync_policy_text(&info->settings.sync, text),
               info->sync_inherited ? " (log)" : "");
    out_printf(&out, "retention         %s%s\n", walrus_retention_text(&info->settings.retention, text),
               info->retention_inherited ? " (log)" : "");
    out_printf(&out, "framing           %s\n", walrus_framing_text(info->settings.framing));
    out_printf(&out, "mode              %04o\n", (unsigned)info->settings.attributes.mode);
    out_printf(&out, "uid               %u\n", (unsigned)info->settings.attributes.uid);
    out_printf(&out, "gid               %u\n", (unsigned)info->settings.attributes.gid);
    out_printf(&out, "damages           %" PRIu64 "\n", info->damages);
    out_printf(&out, "refuses appends   %s\n", info->refuses_appends ? "yes" : "no");
    if (info->last_error == WALRUS_OK)
        out_text(&out, "last error        none since the log was opened\n");
    else
        out_printf(&out, "last error        %s: %s\n", time_text(info->last_error_ns, text), info->last_error_message);
    print_groups(report);
}

int cmd_topic_info(struct cli *cli, int argc, char **argv)
{
    static const struct argp argp = {
        .parser = parse_names,
        .args_doc = "TOPIC...",
        .doc = "Figures and settings of topics, and where the groups stand that have a cursor there.\v"
               "--json: one object per topic: topic, id, entries, bytes, first_sequence, next_sequence, first_offset, "
               "next_offset, durable_sequence, blocks, disk_bytes, created_ns, appended_ns, sync, retention, framing, "
               "mode, uid, gid, damages, refuses_appends, last_error (null, or code, errno, time_ns, message), lag (of "
               "the "
               "group furthest behind; null without groups), groups (group, cursor, durable, lag, lag_bytes, damaged).",
        .children = cli_children,
    };
    struct names names = {.cli = cli, .names = calloc((size_t)argc, sizeof(char *))};
    struct client_log *log = NULL;
    int status;

    if (names.names == NULL)
        return cli_error(cli, CLI_UNAVAILABLE, "out of memory");
    cli_parse(cli, &argp, argc, argv, &names);
    out_init(&out, STDOUT_FILENO);
    status = cli_open_log(cli, false, &log);
    for (int i = 0; status == CLI_OK && i < names.count; i++) {
        struct topic_report report;

        status = topic_report_by_name(cli, log, names.names[i], &report);
        if (status == CLI_OK && cli->json) {
            out_json(&out, topic_report_json(names.names[i], &report));
        } else if (status == CLI_OK) {
            if (i > 0)
                out_text(&out, "\n");
            print_info(names.names[i], &report);
        }
        topic_report_free(&report);
    }
    free(names.names);
    return out_finish(&out, cli, cli_close_log(cli, log, status));
}

/* ---- rm ---------------------------------------------------------------------------------------------------------- */

int cmd_topic_rm(struct cli *cli, int argc, char **argv)
{
    static const struct argp argp = {
        .parser = parse_names,
        .args_doc = "TOPIC...",
        .doc = "Deletes topics with all their entries and cursors. Goes on after one that fails.\v"
               "--json: one object per deleted topic: topic, removed (true).",
        .children = cli_children,
    };
    struct names names = {.cli = cli, .names = calloc((size_t)argc, sizeof(char *))};
    struct client_log *log = NULL;
    int failed = CLI_OK;
    int status;

    if (names.names == NULL)
        return cli_error(cli, CLI_UNAVAILABLE, "out of memory");
    cli_parse(cli, &argp, argc, argv, &names);
    out_init(&out, STDOUT_FILENO);
    status = cli_open_log(cli, false, &log);
    for (int i = 0; status == CLI_OK && i < names.count; i++) {
        struct walrus_error error = {0};

        if (client_topic_delete(log, names.names[i], &error) != WALRUS_OK)
            failed = cli_fail(cli, &error, NULL);
        else if (cli->json)
            out_json(&out, json_pack("{s:o, s:b}", "topic", json_name(names.names[i]), "removed", 1));
    }
    free(names.names);
    return out_finish(&out, cli, cli_close_log(cli, log, status != CLI_OK ? status : failed));
}
