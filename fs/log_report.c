#include "log_report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access.h"
#include "fs_state.h"
#include "json.h"
#include "metrics.h"
#include "text.h"

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static const char *backend_name(const struct walrus_log_info *info)
{
    return info->backend == WALRUS_BACKEND_MMAP ? "mmap" : "fd";
}

static void add_text_member(struct text *text, const char *name, const char *value)
{
    text_printf(text, ",\"%s\":", name);
    json_add_name(text, value);
}

static void add_flag_member(struct text *text, const char *name, bool value)
{
    text_printf(text, ",\"%s\":%s", name, value ? "true" : "false");
}

int log_report_json(struct fs *fs, struct text *text)
{
    struct walrus_log_info info;
    struct walrus_error error;
    struct log_metric figures[LOG_METRICS_MAX];
    char words[WALRUS_POLICY_TEXT_MAX];
    char transport[256];
    if (walrus_log_info(fs->log, &info, &error) != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    transport_describe(&fs->transport, transport, sizeof transport);
    text_printf(text, "{\"type\":\"log\"");
    size_t count = metrics_of_log(&info, figures);
    for (size_t i = 0; i < count; i++) {
        text_printf(text, ",\"%s\":%" PRIu64, figures[i].name, figures[i].value);
    }
    add_text_member(text, "sync", walrus_sync_policy_text(&info.sync, words));
    add_text_member(text, "consistency", walrus_consistency_text(&info.consistency, words));
    add_text_member(text, "retention", walrus_retention_text(&info.retention, words));
    add_text_member(text, "backend", backend_name(&info));
    add_text_member(text, "backend_reason", info.backend_reason);
    add_flag_member(text, "io_uring", info.io_uring_active);
    add_flag_member(text, "io_uring_writes", info.io_uring_writes);
    add_flag_member(text, "io_uring_reads", info.io_uring_reads);
    add_text_member(text, "io_uring_reason", info.io_uring_reason);
    add_text_member(text, "recovery_note", info.recovery_note);
    add_text_member(text, "version", walrus_version());
    add_text_member(text, "transport", transport);
    text_printf(text, ",\"started_ns\":%" PRIu64 ",\"open_files\":%zu}\n", fs->started_ns, open_file_count(&fs->files));
    return 0;
}

/* ---- Prometheus -------------------------------------------------------------------------------------------------- */

/* All lines of one metric stand together, so those of the topics are collected one text for each metric. */
struct collector {
    struct fs *fs;
    const struct caller *caller;
    struct text lines[METRIC_COUNT];
    char name[WALRUS_NAME_MAX + 1]; /* of the namespace or topic that is being visited */
    int status;
};

/* Backslash, quote and newline are escaped as in JSON, and nothing else can be in a name. */
static void add_line(struct collector *collector, enum topic_metric metric, const char *group, uint64_t value)
{
    struct text *text = &collector->lines[metric];
    text_printf(text, "%s{topic=", metrics_of_topics[metric].name);
    json_add_name(text, collector->name);
    if (group != NULL) {
        text_printf(text, ",group=");
        json_add_name(text, group);
    }
    text_printf(text, "} %" PRIu64 "\n", value);
}

static int collect_cursor(const struct walrus_cursor_info *cursor, void *context)
{
    uint64_t values[METRIC_COUNT];
    metrics_of_cursor(cursor, values);
    for (int i = METRIC_FIRST_OF_GROUPS; i < METRIC_COUNT; i++) {
        add_line(context, (enum topic_metric)i, cursor->group, values[i]);
    }
    return 0;
}

/* A topic that was deleted meanwhile is left out. */
static void collect_topic(struct collector *collector)
{
    struct walrus_topic *topic;
    struct walrus_topic_info info;
    struct walrus_error error;
    if (walrus_topic_open(collector->fs->log, collector->name, 0, NULL, &topic, &error) != WALRUS_OK) {
        return;
    }
    if (walrus_topic_info(topic, &info, &error) == WALRUS_OK) {
        uint64_t values[METRIC_COUNT];
        metrics_of_topic(&info, values);
        for (int i = 0; i < METRIC_FIRST_OF_GROUPS; i++) {
            add_line(collector, (enum topic_metric)i, NULL, values[i]);
        }
        (void)walrus_cursor_list(topic, collect_cursor, collector, &error);
    }
    walrus_topic_close(topic);
}

static int collect_node(const struct walrus_node *node, void *context);

static void collect_namespace(struct collector *collector)
{
    struct walrus_error error;
    enum walrus_code code = walrus_list(collector->fs->log, collector->name, collect_node, collector, &error);
    if (code != WALRUS_OK && code != WALRUS_E_NOT_FOUND && collector->status == 0) {
        collector->status = fs_errno(collector->fs, &error);
    }
}

static int collect_node(const struct walrus_node *node, void *context)
{
    struct collector *collector = context;
    bool is_topic = node->kind == WALRUS_NODE_TOPIC;
    unsigned rights = is_topic ? ACCESS_READ : ACCESS_READ | ACCESS_EXECUTE;
    if (!access_allowed(collector->caller, &node->attributes, rights)) {
        return 0;
    }
    size_t length = strlen(collector->name);
    snprintf(collector->name + length, sizeof collector->name - length, "%s%s", length > 0 ? "/" : "", node->name);
    if (is_topic) {
        collect_topic(collector);
    } else {
        collect_namespace(collector);
    }
    collector->name[length] = '\0';
    return collector->status;
}

static void add_head(struct text *text, const char *name, const char *type, const char *help)
{
    text_printf(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static int add_log_metrics(struct fs *fs, struct text *text)
{
    struct walrus_log_info info;
    struct walrus_error error;
    struct log_metric figures[LOG_METRICS_MAX];
    if (walrus_log_info(fs->log, &info, &error) != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    add_head(text, "walrus_info", "gauge", "What runs.");
    text_printf(text, "walrus_info{version=\"%s\",backend=\"%s\",transport=\"%s\"} 1\n", walrus_version(),
                backend_name(&info), fs->transport.active ? "io_uring" : "device");
    size_t count = metrics_of_log(&info, figures);
    for (size_t i = 0; i < count; i++) {
        if (figures[i].metric != NULL) {
            add_head(text, figures[i].metric, figures[i].type, figures[i].help);
            text_printf(text, "%s %" PRIu64 "\n", figures[i].metric, figures[i].value);
        }
    }
    add_head(text, "walrus_recovery_seconds", "gauge", "How long recovery took.");
    text_printf(text, "walrus_recovery_seconds %.9f\n", (double)info.recovery_ns / 1e9);
    add_head(text, "walrus_start_time_seconds", "gauge", "When the mount began to serve, since the epoch.");
    text_printf(text, "walrus_start_time_seconds %.3f\n", (double)fs->started_ns / 1e9);
    add_head(text, "walrus_open_files", "gauge", "Open files of the mount.");
    text_printf(text, "walrus_open_files %zu\n", open_file_count(&fs->files));
    return 0;
}

int log_report_metrics(struct fs *fs, const struct caller *caller, struct text *text)
{
    struct collector *collector = calloc(1, sizeof *collector);
    struct walrus_error error;
    struct walrus_node root;
    if (collector == NULL) {
        return ENOMEM;
    }
    collector->fs = fs;
    collector->caller = caller;
    collector->status = add_log_metrics(fs, text);
    if (collector->status == 0 && walrus_lookup(fs->log, "", &root, &error) != WALRUS_OK) {
        collector->status = fs_errno(fs, &error);
    }
    if (collector->status == 0 && access_allowed(caller, &root.attributes, ACCESS_READ | ACCESS_EXECUTE)) {
        collect_namespace(collector);
    }
    for (int i = 0; i < METRIC_COUNT; i++) {
        struct text *lines = &collector->lines[i];
        if (lines->length > 0) {
            add_head(text, metrics_of_topics[i].name, metrics_of_topics[i].type, metrics_of_topics[i].help);
            text_append(text, lines->bytes, lines->length);
        }
        text->failed = text->failed || lines->failed;
        text_free(lines);
    }
    int status = collector->status;
    free(collector);
    return status;
}
