#include "log_report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access.h"
#include "fs_state.h"
#include "json.h"
#include "text.h"

/* ---- figures of the log ------------------------------------------------------------------------------------------ */

struct log_figure {
    const char *name;   /* in JSON */
    const char *metric; /* NULL: not among them */
    const char *type;
    const char *help;
    uint64_t value;
};

#define LOG_FIGURES_MAX 24

static size_t figures_of_log(const struct walrus_log_info *info, struct log_figure figures[LOG_FIGURES_MAX])
{
    const struct log_figure all[] = {
        {"topics", "walrus_topics", "gauge", "Topics of the log.", info->topic_count},
        {"namespaces", "walrus_namespaces", "gauge", "Namespaces of the log.", info->namespace_count},
        {"segments", "walrus_segments", "gauge", "Segment files.", info->segment_count},
        {"blocks", "walrus_blocks", "gauge", "Blocks that belong to topics.", info->block_count},
        {"disk_bytes", "walrus_disk_bytes", "gauge", "File space of those blocks.", info->block_bytes},
        {"appended_entries", "walrus_appended_entries_total", "counter", "Entries appended.", info->appended_entries},
        {"batches", "walrus_batches_total", "counter", "Batches appended.", info->batches},
        {"syncs", "walrus_syncs_total", "counter", "Syncs of data.", info->syncs},
        {"sync_failures", "walrus_sync_failures_total", "counter", "Syncs that failed.", info->sync_failures},
        {"checkpoints", "walrus_checkpoints_total", "counter", "Cursors made durable.", info->checkpoints},
        {"freed_blocks", "walrus_freed_blocks_total", "counter", "Blocks freed by retention, trimming and deletion.",
         info->freed_blocks},
        {"freed_bytes", "walrus_freed_bytes_total", "counter", "File space of those.", info->freed_bytes},
        {"clean_marks", "walrus_clean_marks_total", "counter", "Clean marks written.", info->clean_marks},
        {"recovery_ns", NULL, NULL, NULL, info->recovery_ns},
        {"recovery_walked_bytes", "walrus_recovery_walked_bytes", "gauge", "Bytes that recovery had to look through.",
         info->recovery_walked_bytes},
        {"recovered_torn_tails", "walrus_recovered_torn_tails", "gauge", "Torn tails that recovery dropped.",
         info->recovered_torn_tails},
        {"recovered_batches_dropped", "walrus_recovered_batches_dropped", "gauge",
         "Unfinished batches that recovery dropped.", info->recovered_batches_dropped},
        {"recovered_damages", "walrus_recovered_damages", "gauge", "Damaged places that recovery found.",
         info->recovered_damages},
        {"damaged_cursors", "walrus_damaged_cursors", "gauge", "Damaged cursors that cannot be told whose they were.",
         info->damaged_cursors},
        {"recovered_adopted", "walrus_recovered_adopted", "gauge", "Topics whose names were taken from their blocks.",
         info->recovered_adopted},
    };
    _Static_assert(sizeof all / sizeof all[0] <= LOG_FIGURES_MAX, "room for all");
    memcpy(figures, all, sizeof all);
    return sizeof all / sizeof all[0];
}

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
    struct log_figure figures[LOG_FIGURES_MAX];
    char words[WALRUS_POLICY_TEXT_MAX];
    char transport[256];
    if (walrus_log_info(fs->log, &info, &error) != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    transport_describe(&fs->transport, transport, sizeof transport);
    text_printf(text, "{\"type\":\"log\"");
    size_t count = figures_of_log(&info, figures);
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
enum topic_metric {
    METRIC_ENTRIES,
    METRIC_BYTES,
    METRIC_NEXT_SEQUENCE,
    METRIC_DURABLE_SEQUENCE,
    METRIC_DISK_BYTES,
    METRIC_DAMAGES,
    METRIC_REFUSES,
    METRIC_CURSOR,
    METRIC_LAG,
    METRIC_LAG_BYTES,
    METRIC_TAKEN,
    METRIC_COUNT
};

static const struct {
    const char *name;
    const char *type;
    const char *help;
} topic_metrics[METRIC_COUNT] = {
    [METRIC_ENTRIES] = {"walrus_topic_entries", "gauge", "Retained entries."},
    [METRIC_BYTES] = {"walrus_topic_bytes", "gauge", "Retained bytes of the stream."},
    [METRIC_NEXT_SEQUENCE] = {"walrus_topic_next_sequence", "counter", "Entries ever appended."},
    [METRIC_DURABLE_SEQUENCE] = {"walrus_topic_durable_sequence", "counter", "Entries below it survive a power cut."},
    [METRIC_DISK_BYTES] = {"walrus_topic_disk_bytes", "gauge", "File space."},
    [METRIC_DAMAGES] = {"walrus_topic_damages", "gauge", "Damaged places known so far."},
    [METRIC_REFUSES] = {"walrus_topic_refuses_appends", "gauge", "1 after a failed sync."},
    [METRIC_CURSOR] = {"walrus_group_cursor", "gauge", "Sequence that the group takes next."},
    [METRIC_LAG] = {"walrus_group_lag_entries", "gauge", "Entries that the group has not acknowledged."},
    [METRIC_LAG_BYTES] = {"walrus_group_lag_bytes", "gauge", "Bytes of the stream, likewise."},
    [METRIC_TAKEN] = {"walrus_group_taken_entries", "gauge", "Entries taken and not acknowledged."},
};

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
    text_printf(text, "%s{topic=", topic_metrics[metric].name);
    json_add_name(text, collector->name);
    if (group != NULL) {
        text_printf(text, ",group=");
        json_add_name(text, group);
    }
    text_printf(text, "} %" PRIu64 "\n", value);
}

static int collect_cursor(const struct walrus_cursor_info *cursor, void *context)
{
    add_line(context, METRIC_CURSOR, cursor->group, cursor->sequence);
    add_line(context, METRIC_LAG, cursor->group, cursor->lag_entries);
    add_line(context, METRIC_LAG_BYTES, cursor->group, cursor->lag_bytes);
    add_line(context, METRIC_TAKEN, cursor->group, cursor->taken_entries);
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
        add_line(collector, METRIC_ENTRIES, NULL, info.next_sequence - info.first_sequence);
        add_line(collector, METRIC_BYTES, NULL, info.next_offset - info.first_offset);
        add_line(collector, METRIC_NEXT_SEQUENCE, NULL, info.next_sequence);
        add_line(collector, METRIC_DURABLE_SEQUENCE, NULL, info.durable_sequence);
        add_line(collector, METRIC_DISK_BYTES, NULL, info.block_bytes);
        add_line(collector, METRIC_DAMAGES, NULL, info.damages);
        add_line(collector, METRIC_REFUSES, NULL, info.refuses_appends);
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
    struct log_figure figures[LOG_FIGURES_MAX];
    if (walrus_log_info(fs->log, &info, &error) != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    add_head(text, "walrus_info", "gauge", "What runs.");
    text_printf(text, "walrus_info{version=\"%s\",backend=\"%s\",transport=\"%s\"} 1\n", walrus_version(),
                backend_name(&info), fs->transport.active ? "io_uring" : "device");
    size_t count = figures_of_log(&info, figures);
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
            add_head(text, topic_metrics[i].name, topic_metrics[i].type, topic_metrics[i].help);
            text_append(text, lines->bytes, lines->length);
        }
        text->failed = text->failed || lines->failed;
        text_free(lines);
    }
    int status = collector->status;
    free(collector);
    return status;
}
