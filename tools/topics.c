#include "topics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct names {
    char **names;
    size_t count;
    size_t capacity;
    bool out_of_memory;
};

static int collect(const struct walrus_node *node, void *context)
{
    struct names *names = context;

    if (names->count == names->capacity) {
        size_t capacity = names->capacity * 2 + 64;
        char **larger = realloc(names->names, capacity * sizeof(*larger));

        if (larger == NULL) {
            names->out_of_memory = true;
            return 1;
        }
        names->names = larger;
        names->capacity = capacity;
    }
    names->names[names->count] = strdup(node->name);
    if (names->names[names->count] == NULL) {
        names->out_of_memory = true;
        return 1;
    }
    names->count++;
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int topics_for_each(const struct cli *cli, struct client_log *log,
                    int (*visit)(const struct cli *cli, struct client_log *log, const char *name, void *context),
                    void *context)
{
    struct names names = {0};
    struct walrus_error error = {0};
    int status = CLI_OK;

    if (client_list_topics(log, collect, &names, &error) != WALRUS_OK)
        status = cli_fail(cli, &error, NULL);
    else if (names.out_of_memory)
        status = cli_error(cli, CLI_UNAVAILABLE, "out of memory");
    if (status == CLI_OK && names.count > 0)
        qsort(names.names, names.count, sizeof(*names.names), compare);
    for (size_t i = 0; status == CLI_OK && i < names.count; i++)
        status = visit(cli, log, names.names[i], context);
    for (size_t i = 0; i < names.count; i++)
        free(names.names[i]);
    free(names.names);
    return status;
}

int topic_info_by_name(const struct cli *cli, struct client_log *log, const char *name, struct walrus_topic_info *info,
                       struct walrus_error *error)
{
    struct client_topic *topic;
    int status = cli_open_topic(cli, log, name, 0, NULL, &topic);

    if (status != CLI_OK)
        return status;
    if (client_topic_info(topic, info, error) != WALRUS_OK)
        status = cli_fail(cli, error, NULL);
    client_topic_close(topic);
    return status;
}

json_t *topic_info_json(const char *name, const struct walrus_topic_info *info)
{
    char sync[TIME_TEXT_MAX];
    char retention[TIME_TEXT_MAX];
    char mode[8];

    snprintf(mode, sizeof(mode), "%04o", (unsigned)info->settings.attributes.mode);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:s, s:s, s:s, s:o, s:o, "
                     "s:o, s:b}",
                     "topic", json_name(name), "id", json_u64(info->id), "entries",
                     json_u64(info->next_sequence - info->first_sequence), "bytes",
                     json_u64(info->next_offset - info->first_offset), "first_sequence", json_u64(info->first_sequence),
                     "next_sequence", json_u64(info->next_sequence), "first_offset", json_u64(info->first_offset),
                     "next_offset", json_u64(info->next_offset), "durable_sequence", json_u64(info->durable_sequence),
                     "blocks", json_u64(info->block_count), "disk_bytes", json_u64(info->block_bytes), "created_ns",
                     json_u64(info->created_ns), "appended_ns", json_u64(info->appended_ns), "sync",
                     walrus_sync_policy_text(&info->settings.sync, sync), "retention",
                     walrus_retention_text(&info->settings.retention, retention), "framing",
                     walrus_framing_text(info->settings.framing), "mode", mode, "uid",
                     json_u64(info->settings.attributes.uid), "gid", json_u64(info->settings.attributes.gid), "damages",
                     json_u64(info->damages), "refuses_appends", (int)info->refuses_appends);
}
