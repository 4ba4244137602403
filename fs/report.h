/*
 * report.h - messages of the daemon to a person: stderr until it has detached, the system log afterwards.
 */
#ifndef WALRUSFS_REPORT_H
#define WALRUSFS_REPORT_H

/* One line, without a newline, printf-like; "walrusfs: " goes in front. Thread-safe. */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Sends all later messages to the system log. Call once, while there is one thread that reports. */
void report_to_syslog(void);

#endif
