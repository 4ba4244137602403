/* walrus topic config - the settings of a topic: shows them, or changes those that are named. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "output.h"

static struct out out;

struct config {
    struct cli *cli;
    const char *topic_name;
    struct walrus_topic_settings settings;
    unsigned which;
};

enum { KEY_SYNC = CLI_KEY_PRIVATE, KEY_RETENTION, KEY_FRAMING };

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct config *config = state->input;
    struct walrus_error error = {0};
    bool as_log = argument != NULL && strcmp(argument, "log") == 0;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = config->cli;
        return 0;
    case KEY_SYNC:
        config->which |= WALRUS_SET_SYNC;
        config->settings.sync.mode = WALRUS_SYNC_INHERIT;
        if (!as_log && walrus_sync_policy_parse(argument, &config->settings.sync, &error) != WALRUS_OK)
            argp_error(state, "--sync: %s", error.message);
        return 0;
    case KEY_RETENTION:
        config->which |= WALRUS_SET_RETENTION;
        config->settings.retention.mode = WALRUS_RETAIN_INHERIT;
        if (!as_log && walrus_retention_parse(argument, &config->settings.retention, &error) != WALRUS_OK)
            argp_error(state, "--retention: %s", error.message);
        return 0;
    case KEY_FRAMING:
        config->which |= WALRUS_SET_FRAMING;
        if (walrus_framing_parse(argument, &config->settings.framing, NULL) != WALRUS_OK)
            argp_error(state, "--framing is line, write or nul, not '%s'", argument);
        return 0;
    case ARGP_KEY_ARG:
        if (config->topic_name != NULL)
            argp_error(state, "one topic at a time");
        config->topic_name = argument;
        return 0;
    case ARGP_KEY_END:
        if (config->topic_name == NULL)
            argp_error(state, "name a topic");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int show(const struct config *config, struct client_topic *topic)
{
    struct walrus_topic_info info;
    struct walrus_error error = {0};
    char sync[TIME_TEXT_MAX];
    char retention[TIME_TEXT_MAX];

    if (client_topic_info(topic, &info, &error) != WALRUS_OK)
        return cli_fail(config->cli, &error, NULL);
    walrus_sync_policy_text(&info.settings.sync, sync);
    walrus_retention_text(&info.settings.retention, retention);
    if (config->cli->json) {
        out_json(&out,
                 json_pack("{s:o, s:s, s:b, s:s, s:b, s:s}", "topic", json_name(config->topic_name), "sync", sync,
                           "sync_inherited", (int)info.sync_inherited, "retention", retention, "retention_inherited",
                           (int)info.retention_inherited, "framing", walrus_framing_text(info.settings.framing)));
        return CLI_OK;
    }
    out_printf(&out, "sync=%s%s\n", sync, info.sync_inherited ? " (log)" : "");
    out_printf(&out, "retention=%s%s\n", retention, info.retention_inherited ? " (log)" : "");
    out_printf(&out, "framing=%s\n", walrus_framing_text(info.settings.framing));
    return CLI_OK;
}

int cmd_topic_config(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"sync", KEY_SYNC, "POLICY", 0, "each, every:<n>ms, none, or log: as the log", 0},
        {"retention", KEY_RETENTION, "WHICH", 0,
         "what may be freed: consumed (what every group has passed), all (nothing), bytes:<n>[KMGT], "
         "age:<n>(ms|s|m|h|d), or log: as the log",
         0},
        {"framing", KEY_FRAMING, "HOW", 0, "line, write or nul; only while the topic is empty", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "TOPIC",
        .doc = "Shows the settings of a topic, or changes those that are named.\v"
               "--json, without changes: one object: topic, sync, sync_inherited, retention, retention_inherited, "
               "framing.",
        .children = cli_children,
    };
    struct config config = {.cli = cli};
    struct walrus_error error = {0};
    struct client_log *log = NULL;
    struct client_topic *topic;
    int status;

    cli_parse(cli, &argp, argc, argv, &config);
    out_init(&out, STDOUT_FILENO);
    status = cli_open_log(cli, false, &log);
    if (status == CLI_OK)
        status = cli_open_topic(cli, log, config.topic_name, 0, NULL, &topic);
    if (status == CLI_OK) {
        if (config.which == 0)
            status = show(&config, topic);
        else if (client_topic_configure(topic, &config.settings, config.which, &error) != WALRUS_OK ||
                 client_topic_sync(topic, &error) != WALRUS_OK)
            status = cli_fail(cli, &error, NULL);
        client_topic_close(topic);
    }
    return cli_close_log(cli, log, out_finish(&out, cli, status));
}
