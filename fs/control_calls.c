/*
 * control_calls.c - what the control socket does for a request: names, topics, groups, appends, waiting.
 * control_calls_read.c has reading and consuming.
 *
 * Each function takes the arguments out first and returns WALRUS_E_INVALID when there are not exactly those it wants.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "control_server.h"
#include "control_session.h"

#define PART_BYTES ((size_t)256 << 10) /* a long list is sent in parts of about this size */

static struct walrus_log *log_of(const struct control_session *session)
{
    return session->server->log;
}

static enum walrus_code call_hello(struct control_session *session, struct control_reader *request,
                                   struct walrus_error *error)
{
    uint64_t version = control_get_number(request);
    WANT_END(request);
    if (version != CONTROL_VERSION) {
        return control_fail(error, WALRUS_E_VERSION, EPROTONOSUPPORT,
                            "control socket: the daemon and this program are of different versions");
    }
    session->greeted = true;
    control_put_number(&session->reply, CONTROL_VERSION);
    control_put_text(&session->reply, walrus_version());
    control_put_number(&session->reply, (uint64_t)getpid());
    return WALRUS_OK;
}

static enum walrus_code call_log_info(struct control_session *session, struct control_reader *request,
                                      struct walrus_error *error)
{
    struct walrus_log_info info;
    WANT_END(request);
    enum walrus_code code = walrus_log_info(log_of(session), &info, error);
    if (code == WALRUS_OK) {
        control_put_struct(&session->reply, &control_log_info_table, &info);
    }
    return code;
}

static enum walrus_code call_sync(struct control_session *session, struct control_reader *request,
                                  struct walrus_error *error)
{
    WANT_END(request);
    return walrus_sync(log_of(session), error);
}

/* ---- lists: structures one after the other, in parts --------------------------------------------------------------
 */

/* Non-zero ends the walk: the client is gone. */
static int list_item(struct control_session *session, const struct control_table *table, const void *item)
{
    if (session->reply.used >= PART_BYTES && !control_session_send_part(session)) {
        return 1;
    }
    control_put_struct(&session->reply, table, item);
    return session->reply.failed;
}

static int list_node(const struct walrus_node *node, void *context)
{
    return list_item(context, &control_node_table, node);
}

static int list_group(const struct walrus_group_info *group, void *context)
{
    return list_item(context, &control_group_info_table, group);
}

static int list_cursor(const struct walrus_cursor_info *cursor, void *context)
{
    return list_item(context, &control_cursor_info_table, cursor);
}

static enum walrus_code call_topic_list(struct control_session *session, struct control_reader *request,
                                        struct walrus_error *error)
{
    WANT_END(request);
    return walrus_list_topics(log_of(session), list_node, session, error);
}

static enum walrus_code call_group_list(struct control_session *session, struct control_reader *request,
                                        struct walrus_error *error)
{
    WANT_END(request);
    return walrus_group_list(log_of(session), list_group, session, error);
}

static enum walrus_code call_cursor_list(struct control_session *session, struct control_reader *request,
                                         struct walrus_error *error)
{
    struct control_handle *topic = control_get_topic(session, request);
    WANT_END(request);
    return walrus_cursor_list(topic->topic, list_cursor, session, error);
}

/* ---- topics ------------------------------------------------------------------------------------------------------ */

static enum walrus_code call_topic_open(struct control_session *session, struct control_reader *request,
                                        struct walrus_error *error)
{
    struct walrus_topic_settings settings;
    struct walrus_topic *topic = NULL;
    uint64_t number;
    const char *name = control_get_text(request);
    unsigned flags = (unsigned)control_get_bounded(request, UINT32_MAX);
    bool has_settings = control_get_flag(request);
    if (has_settings) {
        control_get_struct(request, &control_topic_settings_table, &settings);
    }
    WANT_END(request);
    struct control_handle *handle = control_handle_new(session, &number, error);
    if (handle == NULL) {
        return error->code;
    }
    enum walrus_code code =
        walrus_topic_open(log_of(session), name, flags, has_settings ? &settings : NULL, &topic, error);
    if (code == WALRUS_OK) {
        *handle = (struct control_handle){.topic = topic};
        control_put_number(&session->reply, number);
    }
    return code;
}

static enum walrus_code call_topic_close(struct control_session *session, struct control_reader *request,
                                         struct walrus_error *error)
{
    struct control_handle *topic = control_get_topic(session, request);
    WANT_END(request);
    return control_handle_close(session, topic, error);
}

static enum walrus_code call_topic_delete(struct control_session *session, struct control_reader *request,
                                          struct walrus_error *error)
{
    const char *name = control_get_text(request);
    WANT_END(request);
    return walrus_topic_delete(log_of(session), name, error);
}

static enum walrus_code call_topic_info(struct control_session *session, struct control_reader *request,
                                        struct walrus_error *error)
{
    struct walrus_topic_info info;
    struct control_handle *topic = control_get_topic(session, request);
    WANT_END(request);
    enum walrus_code code = walrus_topic_info(topic->topic, &info, error);
    if (code == WALRUS_OK) {
        control_put_struct(&session->reply, &control_topic_info_table, &info);
    }
    return code;
}

static enum walrus_code call_topic_sync(struct control_session *session, struct control_reader *request,
                                        struct walrus_error *error)
{
    struct control_handle *topic = control_get_topic(session, request);
    WANT_END(request);
    return walrus_topic_sync(topic->topic, error);
}

static enum walrus_code call_topic_trim(struct control_session *session, struct control_reader *request,
                                        struct walrus_error *error)
{
    struct control_handle *topic = control_get_topic(session, request);
    uint64_t sequence = control_get_number(request);
    WANT_END(request);
    return walrus_topic_trim(topic->topic, sequence, error);
}

static enum walrus_code call_topic_configure(struct control_session *session, struct control_reader *request,
                                             struct walrus_error *error)
{
    struct walrus_topic_settings settings;
    struct control_handle *topic = control_get_topic(session, request);
    control_get_struct(request, &control_topic_settings_table, &settings);
    unsigned which = (unsigned)control_get_bounded(request, UINT32_MAX);
    WANT_END(request);
    return walrus_topic_configure(topic->topic, &settings, which, error);
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

static void wake_eventfd(void *context)
{
    (void)eventfd_write(*(const int *)context, 1);
}

static uint64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* As walrus_topic_wait(), and ends early when the client goes, or asks for something else. */
static enum walrus_code wait_for(struct control_session *session, struct walrus_topic *topic, int wake_fd,
                                 uint64_t sequence, uint32_t timeout_ms, struct walrus_error *error)
{
    struct pollfd fds[2] = {{.fd = session->fd, .events = POLLIN | POLLRDHUP}, {.fd = wake_fd, .events = POLLIN}};
    uint64_t end_ms = monotonic_ms() + timeout_ms;
    for (;;) {
        eventfd_t count;
        enum walrus_code code = walrus_topic_wait(topic, sequence, 0, error);
        uint64_t now_ms = monotonic_ms();
        if (code != WALRUS_E_TIMED_OUT || fds[0].revents != 0 || (timeout_ms != UINT32_MAX && now_ms >= end_ms)) {
            return code;
        }
        uint64_t left_ms = timeout_ms == UINT32_MAX ? 60 * 1000 : end_ms - now_ms;
        if (poll(fds, 2, left_ms < 60 * 1000 ? (int)left_ms : 60 * 1000) > 0 && fds[1].revents != 0) {
            (void)eventfd_read(wake_fd, &count);
        }
    }
}

static enum walrus_code call_topic_wait(struct control_session *session, struct control_reader *request,
                                        struct walrus_error *error)
{
    struct control_handle *topic = control_get_topic(session, request);
    uint64_t sequence = control_get_number(request);
    uint32_t timeout_ms = (uint32_t)control_get_bounded(request, UINT32_MAX);
    struct walrus_watch *watch;
    WANT_END(request);
    int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd < 0) {
        return control_fail(error, WALRUS_E_NO_MEMORY, errno, "control socket: the daemon is short of descriptors");
    }
    enum walrus_code code = walrus_watch_create(topic->topic, wake_eventfd, &wake_fd, &watch, error);
    if (code == WALRUS_OK) {
        code = wait_for(session, topic->topic, wake_fd, sequence, timeout_ms, error);
        walrus_watch_destroy(watch);
    }
    close(wake_fd);
    return code;
}

/* ---- appending --------------------------------------------------------------------------------------------------- */

static enum walrus_code call_append(struct control_session *session, struct control_reader *request,
                                    struct walrus_error *error)
{
    struct walrus_receipt receipt;
    struct control_handle *topic = control_get_topic(session, request);
    unsigned flags = (unsigned)control_get_bounded(request, UINT32_MAX);
    size_t length = request->left;
    const void *data = control_get_bytes(request, length);
    WANT_END(request);
    enum walrus_code code = walrus_append(topic->topic, data, length, flags, &receipt, error);
    if (code == WALRUS_OK) {
        control_put_struct(&session->reply, &control_receipt_table, &receipt);
    }
    return code;
}

/* `count` of the entries that the request has room for: each takes at least the 8 bytes of its length. */
static size_t get_entry_count(struct control_reader *request)
{
    uint64_t count = control_get_number(request);
    if (count > request->left / 8) {
        request->failed = true;
        return 0;
    }
    return (size_t)count;
}

/*
 * Batch entries from the request: for each its topic, unless all are of `topic`, and its length; then the payloads.
 * NULL, with request->failed, or without when memory ran out.
 */
static struct walrus_batch_entry *get_batch(struct control_session *session, struct control_reader *request,
                                            struct walrus_topic *topic, size_t count)
{
    struct walrus_batch_entry *entries = calloc(count > 0 ? count : 1, sizeof *entries);
    if (entries == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < count && !request->failed; i++) {
        const struct control_handle *handle = topic == NULL ? control_get_topic(session, request) : NULL;
        entries[i].topic = handle != NULL ? handle->topic : topic;
        entries[i].length = (size_t)control_get_bounded(request, CONTROL_BODY_MAX);
    }
    for (size_t i = 0; i < count && !request->failed; i++) {
        entries[i].data = control_get_bytes(request, entries[i].length);
    }
    if (!control_reader_is_done(request)) {
        request->failed = true;
        free(entries);
        return NULL;
    }
    return entries;
}

static enum walrus_code no_batch(const struct control_reader *request, struct walrus_error *error)
{
    return request->failed ? WALRUS_E_INVALID
                           : control_fail(error, WALRUS_E_NO_MEMORY, ENOMEM,
                                          "control socket: the daemon is short of memory for the batch");
}

static enum walrus_code too_many(struct walrus_error *error)
{
    return control_fail(error, WALRUS_E_TOO_MANY, E2BIG, "append batch: more than 2000 entries");
}

static enum walrus_code call_append_batch(struct control_session *session, struct control_reader *request,
                                          struct walrus_error *error)
{
    struct walrus_receipt receipt;
    struct control_handle *topic = control_get_topic(session, request);
    unsigned flags = (unsigned)control_get_bounded(request, UINT32_MAX);
    size_t count = get_entry_count(request);
    if (request->failed) {
        return WALRUS_E_INVALID;
    }
    if (count > WALRUS_BATCH_ENTRIES_MAX) {
        return too_many(error);
    }
    struct walrus_batch_entry *entries = get_batch(session, request, topic->topic, count);
    struct walrus_slice *slices = calloc(count + 1, sizeof *slices);
    if (entries == NULL || slices == NULL) {
        free(entries);
        free(slices);
        return no_batch(request, error);
    }
    for (size_t i = 0; i < count; i++) {
        slices[i] = (struct walrus_slice){.data = entries[i].data, .length = entries[i].length};
    }
    enum walrus_code code = walrus_append_batch(topic->topic, slices, count, flags, &receipt, error);
    if (code == WALRUS_OK) {
        control_put_struct(&session->reply, &control_receipt_table, &receipt);
    }
    free(slices);
    free(entries);
    return code;
}

static enum walrus_code call_append_topics(struct control_session *session, struct control_reader *request,
                                           struct walrus_error *error)
{
    unsigned flags = (unsigned)control_get_bounded(request, UINT32_MAX);
    size_t count = get_entry_count(request);
    if (request->failed) {
        return WALRUS_E_INVALID;
    }
    if (count > WALRUS_BATCH_ENTRIES_MAX) {
        return too_many(error);
    }
    struct walrus_batch_entry *entries = get_batch(session, request, NULL, count);
    struct walrus_receipt *receipts = calloc(count + 1, sizeof *receipts);
    if (entries == NULL || receipts == NULL) {
        free(entries);
        free(receipts);
        return no_batch(request, error);
    }
    enum walrus_code code = walrus_append_batch_topics(log_of(session), entries, count, flags, receipts, error);
    for (size_t i = 0; code == WALRUS_OK && i < count; i++) {
        control_put_struct(&session->reply, &control_receipt_table, &receipts[i]);
    }
    free(receipts);
    free(entries);
    return code;
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

static enum walrus_code seek(struct control_session *session, struct control_reader *request,
                             struct walrus_error *error,
                             enum walrus_code (*find)(struct walrus_topic *topic, uint64_t value,
                                                      struct walrus_position *position, struct walrus_error *error))
{
    struct control_handle *topic = control_get_topic(session, request);
    uint64_t value = control_get_number(request);
    WANT_END(request);
    enum walrus_code code = find(topic->topic, value, &topic->position, error);
    if (code == WALRUS_OK) {
        control_put_number(&session->reply, topic->position.sequence);
        control_put_number(&session->reply, topic->position.offset);
    }
    return code;
}

static enum walrus_code call_seek_sequence(struct control_session *session, struct control_reader *request,
                                           struct walrus_error *error)
{
    return seek(session, request, error, walrus_seek_sequence);
}

static enum walrus_code call_seek_offset(struct control_session *session, struct control_reader *request,
                                         struct walrus_error *error)
{
    return seek(session, request, error, walrus_seek_offset);
}

static enum walrus_code call_seek_time(struct control_session *session, struct control_reader *request,
                                       struct walrus_error *error)
{
    return seek(session, request, error, walrus_seek_time);
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static enum walrus_code
give_consistency(struct control_session *session, struct control_reader *request, struct walrus_error *error,
                 enum walrus_code (*give)(struct walrus_log *log, const char *group,
                                          const struct walrus_consistency *consistency, struct walrus_error *error))
{
    struct walrus_consistency consistency;
    const char *group = control_get_text(request);
    bool has_consistency = control_get_flag(request);
    if (has_consistency) {
        control_get_struct(request, &control_consistency_table, &consistency);
    }
    WANT_END(request);
    return give(log_of(session), group, has_consistency ? &consistency : NULL, error);
}

static enum walrus_code call_group_create(struct control_session *session, struct control_reader *request,
                                          struct walrus_error *error)
{
    return give_consistency(session, request, error, walrus_group_create);
}

static enum walrus_code call_group_configure(struct control_session *session, struct control_reader *request,
                                             struct walrus_error *error)
{
    return give_consistency(session, request, error, walrus_group_configure);
}

static enum walrus_code call_group_delete(struct control_session *session, struct control_reader *request,
                                          struct walrus_error *error)
{
    const char *group = control_get_text(request);
    WANT_END(request);
    return walrus_group_delete(log_of(session), group, error);
}

static enum walrus_code call_group_find(struct control_session *session, struct control_reader *request,
                                        struct walrus_error *error)
{
    struct walrus_group_info info;
    const char *group = control_get_text(request);
    WANT_END(request);
    enum walrus_code code = walrus_group_find(log_of(session), group, &info, error);
    if (code == WALRUS_OK) {
        control_put_struct(&session->reply, &control_group_info_table, &info);
    }
    return code;
}

static enum walrus_code call_cursors_forget_damaged(struct control_session *session, struct control_reader *request,
                                                    struct walrus_error *error)
{
    uint64_t forgotten;
    WANT_END(request);
    enum walrus_code code = walrus_cursors_forget_damaged(log_of(session), &forgotten, error);
    if (code == WALRUS_OK) {
        control_put_number(&session->reply, forgotten);
    }
    return code;
}

static enum walrus_code call_cursor_delete(struct control_session *session, struct control_reader *request,
                                           struct walrus_error *error)
{
    struct control_handle *topic = control_get_topic(session, request);
    const char *group = control_get_text(request);
    WANT_END(request);
    return walrus_cursor_delete(topic->topic, group, error);
}

control_function *control_call_function(uint32_t call)
{
    static control_function *const functions[CONTROL_CALL_END] = {
        [CONTROL_HELLO] = call_hello,
        [CONTROL_LOG_INFO] = call_log_info,
        [CONTROL_SYNC] = call_sync,
        [CONTROL_TOPIC_LIST] = call_topic_list,
        [CONTROL_TOPIC_OPEN] = call_topic_open,
        [CONTROL_TOPIC_CLOSE] = call_topic_close,
        [CONTROL_TOPIC_DELETE] = call_topic_delete,
        [CONTROL_TOPIC_INFO] = call_topic_info,
        [CONTROL_TOPIC_SYNC] = call_topic_sync,
        [CONTROL_TOPIC_TRIM] = call_topic_trim,
        [CONTROL_TOPIC_CONFIGURE] = call_topic_configure,
        [CONTROL_TOPIC_WAIT] = call_topic_wait,
        [CONTROL_APPEND] = call_append,
        [CONTROL_APPEND_BATCH] = call_append_batch,
        [CONTROL_APPEND_TOPICS] = call_append_topics,
        [CONTROL_SEEK_SEQUENCE] = call_seek_sequence,
        [CONTROL_SEEK_OFFSET] = call_seek_offset,
        [CONTROL_SEEK_TIME] = call_seek_time,
        [CONTROL_READ_ENTRIES] = control_call_read_entries,
        [CONTROL_READ_STREAM] = control_call_read_stream,
        [CONTROL_SKIP_DAMAGE] = control_call_skip_damage,
        [CONTROL_GROUP_LIST] = call_group_list,
        [CONTROL_GROUP_CREATE] = call_group_create,
        [CONTROL_GROUP_CONFIGURE] = call_group_configure,
        [CONTROL_GROUP_DELETE] = call_group_delete,
        [CONTROL_CURSOR_LIST] = call_cursor_list,
        [CONTROL_CURSOR_OPEN] = control_call_cursor_open,
        [CONTROL_CURSOR_CLOSE] = control_call_cursor_close,
        [CONTROL_CURSOR_READ] = control_call_cursor_read,
        [CONTROL_CURSOR_TAKE] = control_call_cursor_take,
        [CONTROL_CURSOR_GET] = control_call_cursor_get,
        [CONTROL_CURSOR_SET] = control_call_cursor_set,
        [CONTROL_CURSOR_SKIP_DAMAGE] = control_call_cursor_skip_damage,
        [CONTROL_CURSOR_ACKNOWLEDGE] = control_call_cursor_acknowledge,
        [CONTROL_CURSOR_GIVE_BACK] = control_call_cursor_give_back,
        [CONTROL_CURSOR_DELETE] = call_cursor_delete,
        [CONTROL_CURSORS_FORGET_DAMAGED] = call_cursors_forget_damaged,
        [CONTROL_GROUP_FIND] = call_group_find,
    };
    return call < CONTROL_CALL_END ? functions[call] : NULL;
}
