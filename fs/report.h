/*
 * report.h - messages of the daemon to a person: stderr until it has detached, the system log afterwards. Where stderr
 * is the journal, each line begins with its priority, as systemd wants it.
 */
#ifndef WALRUSFS_REPORT_H
#define WALRUSFS_REPORT_H

/* Call once at the start, before anything is reported. */
void report_init(void);

/* Something failed. One line, without a newline, printf-like; "walrusfs: " goes in front. Thread-safe. */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* As report(), for what is no failure. */
void report_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Sends all later messages to the system log. Call once, while there is one thread that reports. */
void report_to_syslog(void);

#endif
