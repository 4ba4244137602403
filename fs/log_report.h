/*
 * log_report.h - the figures of the whole log for programs: one object of JSON, named as those of `walrus stat --json`,
 * and the text format of Prometheus.
 */
#ifndef WALRUSFS_LOG_REPORT_H
#define WALRUSFS_LOG_REPORT_H

struct caller;
struct fs;
struct text;

/* Both may wait. 0 or an errno. */
int log_report_json(struct fs *fs, struct text *text);

/* With the topics, and the groups on them, that `caller` may read. */
int log_report_metrics(struct fs *fs, const struct caller *caller, struct text *text);

#endif
