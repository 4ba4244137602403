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

/* ---- with its groups --------------------------------------------------------------------------------------------- */

static int take_group(const struct walrus_cursor_info *cursor, void *context)
{
    struct topic_report *report = context;
    struct group_report *grown = realloc(report->groups, (report->group_count + 1) * sizeof(*grown));

    if (grown == NULL) {
        report->out_of_memory = true;
        return 1;
    }
    report->groups = grown;
    grown += report->group_count++;
    grown->cursor = *cursor;
    snprintf(grown->name, sizeof(grown->name), "%s", cursor->group);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct group_report *)a)->name, ((const struct group_report *)b)->name);
}

int topic_report_by_name(const struct cli *cli, struct client_log *log, const char *name, struct topic_report *report)
{
    struct client_topic *topic;
    struct walrus_error error = {0};
    int status = cli_open_topic(cli, log, name, 0, NULL, &topic);

    memset(report, 0, sizeof(*report));
    if (status != CLI_OK)
        return status;
    if (client_topic_info(topic, &report->info, &error) != WALRUS_OK ||
        client_cursor_list(topic, take_group, report, &error) != WALRUS_OK)
        status = cli_fail(cli, &error, NULL);
    else if (report->out_of_memory)
        status = cli_error(cli, CLI_UNAVAILABLE, "out of memory");
    client_topic_close(topic);
    if (report->group_count > 0)
        qsort(report->groups, report->group_count, sizeof(*report->groups), by_name);
    return status;
}

void topic_report_free(struct topic_report *report)
{
    free(report->groups);
    report->groups = NULL;
}

bool topic_report_lag(const struct topic_report *report, uint64_t *lag)
{
    *lag = 0;
    for (size_t i = 0; i < report->group_count; i++) {
        if (report->groups[i].cursor.lag_entries > *lag)
            *lag = report->groups[i].cursor.lag_entries;
    }
    return report->group_count > 0;
}

json_t *topic_report_json(const char *name, const struct topic_report *report)
{
    json_t *object = topic_info_json(name, &report->info);
    json_t *groups = json_array();
    uint64_t lag;

    for (size_t i = 0; i < report->group_count; i++) {
        const struct walrus_cursor_info *cursor = &report->groups[i].cursor;

        json_array_append_new(groups,
                              json_pack("{s:o, s:o, s:o, s:o, s:o, s:b}", "group", json_name(report->groups[i].name),
                                        "cursor", json_u64(cursor->sequence), "durable",
                                        json_u64(cursor->durable_sequence), "lag", json_u64(cursor->lag_entries),
                                        "lag_bytes", json_u64(cursor->lag_bytes), "damaged", (int)cursor->damaged));
    }
    if (object != NULL) {
        json_object_set_new(object, "lag", topic_report_lag(report, &lag) ? json_u64(lag) : json_null());
        json_object_set_new(object, "groups", groups);
    } else {
        json_decref(groups);
    }
    return object;
}

/* ---- alone ------------------------------------------------------------------------------------------------------- */

json_t *topic_info_json(const char *name, const struct walrus_topic_info *info)
{
    char sync[TIME_TEXT_MAX];
    char retention[TIME_TEXT_MAX];
    char mode[8];
    json_t *last_error = json_null();

    snprintf(mode, sizeof(mode), "%04o", (unsigned)info->settings.attributes.mode);
    if (info->last_error != WALRUS_OK)
        last_error =
            json_pack("{s:s, s:i, s:o, s:o}", "code", walrus_code_name(info->last_error), "errno", info->last_errno,
                      "time_ns", json_u64(info->last_error_ns), "message", json_name(info->last_error_message));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:s, s:s, s:s, s:o, s:o, "
                     "s:o, s:b, s:o}",
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
                     json_u64(info->damages), "refuses_appends", (int)info->refuses_appends, "last_error", last_error);
}
