#include "metrics.h"

#include <string.h>

size_t metrics_of_log(const struct walrus_log_info *info, struct log_metric metrics[LOG_METRICS_MAX])
{
    const struct log_metric all[] = {
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
    _Static_assert(sizeof all / sizeof all[0] <= LOG_METRICS_MAX, "room for all");
    memcpy(metrics, all, sizeof all);
    return sizeof all / sizeof all[0];
}

const struct metric metrics_of_topics[METRIC_COUNT] = {
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

void metrics_of_topic(const struct walrus_topic_info *info, uint64_t values[METRIC_COUNT])
{
    values[METRIC_ENTRIES] = info->next_sequence - info->first_sequence;
    values[METRIC_BYTES] = info->next_offset - info->first_offset;
    values[METRIC_NEXT_SEQUENCE] = info->next_sequence;
    values[METRIC_DURABLE_SEQUENCE] = info->durable_sequence;
    values[METRIC_DISK_BYTES] = info->block_bytes;
    values[METRIC_DAMAGES] = info->damages;
    values[METRIC_REFUSES] = info->refuses_appends;
}

void metrics_of_cursor(const struct walrus_cursor_info *cursor, uint64_t values[METRIC_COUNT])
{
    values[METRIC_CURSOR] = cursor->sequence;
    values[METRIC_LAG] = cursor->lag_entries;
    values[METRIC_LAG_BYTES] = cursor->lag_bytes;
    values[METRIC_TAKEN] = cursor->taken_entries;
}
