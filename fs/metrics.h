/*
 * metrics.h - what a log and its topics are measured by: names, kinds and words for the text format of Prometheus.
 * Shared by the mount (.walrus/metrics) and the command line (`walrus metrics`); no I/O, no FUSE.
 */
#ifndef WALRUSFS_METRICS_H
#define WALRUSFS_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include <walrus/walrus.h>

struct log_metric {
    const char *name;   /* in JSON */
    const char *metric; /* NULL: not among them */
    const char *type;
    const char *help;
    uint64_t value;
};

#define LOG_METRICS_MAX 24

/* Fills `metrics`; how many there are. */
size_t metrics_of_log(const struct walrus_log_info *info, struct log_metric metrics[LOG_METRICS_MAX]);

enum topic_metric {
    METRIC_ENTRIES,
    METRIC_BYTES,
    METRIC_NEXT_SEQUENCE,
    METRIC_DURABLE_SEQUENCE,
    METRIC_DISK_BYTES,
    METRIC_DAMAGES,
    METRIC_REFUSES,
    METRIC_FIRST_OF_GROUPS,
    METRIC_CURSOR = METRIC_FIRST_OF_GROUPS,
    METRIC_LAG,
    METRIC_LAG_BYTES,
    METRIC_TAKEN,
    METRIC_COUNT
};

struct metric {
    const char *name;
    const char *type;
    const char *help;
};

/* Those of a topic, then those of a group on a topic. */
extern const struct metric metrics_of_topics[METRIC_COUNT];

/* Fill the values of a topic, and those of a group on it. */
void metrics_of_topic(const struct walrus_topic_info *info, uint64_t values[METRIC_COUNT]);
void metrics_of_cursor(const struct walrus_cursor_info *cursor, uint64_t values[METRIC_COUNT]);

#endif
