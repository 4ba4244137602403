/*
 * client.h - the log as the subcommands see it: opened by this process or, where a daemon holds it, reached through the
 * daemon's control socket. Which of the two it is, nobody but client.c needs to know.
 *
 * Each call means what the one of walrus.h with the same name means. Types of their own keep the two apart: a handle
 * from here does not fit there. Not thread-safe.
 */
#ifndef WALRUS_TOOLS_CLIENT_H
#define WALRUS_TOOLS_CLIENT_H

#include <stdbool.h>

#include <walrus/walrus.h>

struct client_log;
struct client_topic;
struct client_cursor;

/*
 * Connects to the daemon that serves the log, else opens the log; waits options->lock_wait_ms for one of them when
 * somebody holds the log and does not serve it.
 */
enum walrus_code client_open(const struct walrus_options *options, struct client_log **log, struct walrus_error *error);
enum walrus_code client_close(struct client_log *log, struct walrus_error *error);

/* Whether a daemon does the work; then the options that the log was opened with are the daemon's. */
bool client_is_remote(const struct client_log *log);

enum walrus_code client_log_info(struct client_log *log, struct walrus_log_info *info, struct walrus_error *error);
enum walrus_code client_sync(struct client_log *log, struct walrus_error *error);
enum walrus_code client_list_topics(struct client_log *log, int (*visit)(const struct walrus_node *node, void *context),
                                    void *context, struct walrus_error *error);

/* ---- topics ------------------------------------------------------------------------------------------------------ */

enum walrus_code client_topic_open(struct client_log *log, const char *name, unsigned flags,
                                   const struct walrus_topic_settings *settings, struct client_topic **topic,
                                   struct walrus_error *error);
void client_topic_close(struct client_topic *topic);
enum walrus_code client_topic_delete(struct client_log *log, const char *name, struct walrus_error *error);
enum walrus_code client_topic_info(struct client_topic *topic, struct walrus_topic_info *info,
                                   struct walrus_error *error);
const char *client_topic_name(const struct client_topic *topic);
enum walrus_code client_topic_sync(struct client_topic *topic, struct walrus_error *error);
enum walrus_code client_topic_trim(struct client_topic *topic, uint64_t sequence, struct walrus_error *error);
enum walrus_code client_topic_configure(struct client_topic *topic, const struct walrus_topic_settings *settings,
                                        unsigned which, struct walrus_error *error);
enum walrus_code client_topic_wait(struct client_topic *topic, uint64_t sequence, uint32_t timeout_ms,
                                   struct walrus_error *error);

/* ---- append ------------------------------------------------------------------------------------------------------ */

/* Through the socket a batch is 1 GiB at most. */
enum walrus_code client_append(struct client_topic *topic, const void *data, size_t length, unsigned flags,
                               struct walrus_receipt *receipt, struct walrus_error *error);
enum walrus_code client_append_batch(struct client_topic *topic, const struct walrus_slice *entries, size_t entry_count,
                                     unsigned flags, struct walrus_receipt *receipt, struct walrus_error *error);

struct client_batch_entry {
    struct client_topic *topic;
    const void *data;
    size_t length;
};

enum walrus_code client_append_batch_topics(struct client_log *log, const struct client_batch_entry *entries,
                                            size_t entry_count, unsigned flags, struct walrus_receipt *receipts,
                                            struct walrus_error *error);

/* ---- read by position -------------------------------------------------------------------------------------------- */

/* As struct walrus_entries: zero-initialise, pass to any number of reads, end with client_entries_free(). */
struct client_entries {
    const struct walrus_entry *items;
    size_t count;
    /* private */
    struct walrus_entries direct;
    struct walrus_entry *remote_items;
    size_t remote_capacity;
    uint8_t *body;
    size_t body_capacity;
};

void client_entries_free(struct client_entries *entries);
enum walrus_code client_seek_sequence(struct client_topic *topic, uint64_t sequence, struct walrus_position *position,
                                      struct walrus_error *error);
enum walrus_code client_seek_offset(struct client_topic *topic, uint64_t offset, struct walrus_position *position,
                                    struct walrus_error *error);
enum walrus_code client_seek_time(struct client_topic *topic, uint64_t time_ns, struct walrus_position *position,
                                  struct walrus_error *error);
enum walrus_code client_read_entries(struct client_topic *topic, struct walrus_position *position,
                                     const struct walrus_read_limits *limits, struct client_entries *entries,
                                     struct walrus_error *error);
enum walrus_code client_skip_damage(struct client_topic *topic, struct walrus_position *position,
                                    uint64_t *skipped_entries, struct walrus_error *error);
/* Through the socket a call returns 1 MiB at most, so `*got` may be short before the end; it is 0 only there. */
enum walrus_code client_read_stream(struct client_topic *topic, struct walrus_position *position, uint64_t offset,
                                    void *buffer, size_t size, size_t *got, struct walrus_error *error);

/* ---- groups and cursors ------------------------------------------------------------------------------------------ */

enum walrus_code client_group_create(struct client_log *log, const char *group,
                                     const struct walrus_consistency *consistency, struct walrus_error *error);
enum walrus_code client_group_configure(struct client_log *log, const char *group,
                                        const struct walrus_consistency *consistency, struct walrus_error *error);
enum walrus_code client_group_delete(struct client_log *log, const char *group, struct walrus_error *error);
enum walrus_code client_group_list(struct client_log *log,
                                   int (*visit)(const struct walrus_group_info *group, void *context), void *context,
                                   struct walrus_error *error);
enum walrus_code client_group_find(struct client_log *log, const char *group, struct walrus_group_info *info,
                                   struct walrus_error *error);
enum walrus_code client_cursors_forget_damaged(struct client_log *log, uint64_t *forgotten, struct walrus_error *error);
enum walrus_code client_cursor_open(struct client_topic *topic, const char *group,
                                    const struct walrus_consistency *consistency, struct client_cursor **cursor,
                                    struct walrus_error *error);
enum walrus_code client_cursor_close(struct client_cursor *cursor, struct walrus_error *error);
enum walrus_code client_cursor_read(struct client_cursor *cursor, const struct walrus_read_limits *limits,
                                    unsigned flags, struct client_entries *entries, struct walrus_error *error);
enum walrus_code client_cursor_skip_damage(struct client_cursor *cursor, uint64_t *skipped_entries,
                                           struct walrus_error *error);
enum walrus_code client_cursor_get(struct client_cursor *cursor, uint64_t *sequence, struct walrus_error *error);
enum walrus_code client_cursor_set(struct client_cursor *cursor, uint64_t sequence, struct walrus_error *error);
enum walrus_code client_cursor_list(struct client_topic *topic,
                                    int (*visit)(const struct walrus_cursor_info *cursor, void *context), void *context,
                                    struct walrus_error *error);
enum walrus_code client_cursor_delete(struct client_topic *topic, const char *group, struct walrus_error *error);
enum walrus_code client_cursor_take(struct client_cursor *cursor, const struct walrus_read_limits *limits,
                                    unsigned flags, uint32_t lease_ms, struct client_entries *entries,
                                    struct walrus_error *error);
enum walrus_code client_cursor_acknowledge(struct client_cursor *cursor, uint64_t sequence, uint64_t count,
                                           struct walrus_error *error);
enum walrus_code client_cursor_give_back(struct client_cursor *cursor, uint64_t sequence, uint64_t count,
                                         struct walrus_error *error);

#endif
