/*
 * control_message.h - the messages of the control socket, as bytes: docs/control-socket.md. Shared by the daemon and
 * the command line; no I/O, no FUSE.
 *
 * A message is a header and a body. A body is a row of numbers (8 bytes, little-endian), texts (a number, that many
 * bytes, a zero byte), structures (a number, that many bytes, which hold numbers and texts in the order of a table)
 * and, at its end, payload.
 */
#ifndef WALRUSFS_CONTROL_MESSAGE_H
#define WALRUSFS_CONTROL_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <walrus/walrus.h>

#define CONTROL_SOCKET_NAME "control.sock" /* in the directory of the log */
#define CONTROL_VERSION 1u
#define CONTROL_HEADER_BYTES 12u
#define CONTROL_BODY_MAX                                                                                               \
    (WALRUS_ENTRY_MAX + ((uint64_t)16 << 20))      /* the largest entry or batch, and what describes it */
#define CONTROL_READ_BYTES_MAX ((uint64_t)1 << 20) /* payload that one read returns, unless one entry is larger */
#define CONTROL_HANDLES_MAX 4096u                  /* topics and cursors that one client holds open */

/* Numbers are for ever: a call that goes leaves a gap. */
enum control_call {
    CONTROL_HELLO = 1,
    CONTROL_LOG_INFO = 2,
    CONTROL_SYNC = 3,
    CONTROL_TOPIC_LIST = 4,
    CONTROL_TOPIC_OPEN = 5,
    CONTROL_TOPIC_CLOSE = 6,
    CONTROL_TOPIC_DELETE = 7,
    CONTROL_TOPIC_INFO = 8,
    CONTROL_TOPIC_SYNC = 9,
    CONTROL_TOPIC_TRIM = 10,
    CONTROL_TOPIC_CONFIGURE = 11,
    CONTROL_TOPIC_WAIT = 12,
    CONTROL_APPEND = 13,
    CONTROL_APPEND_BATCH = 14,
    CONTROL_APPEND_TOPICS = 15,
    CONTROL_SEEK_SEQUENCE = 16,
    CONTROL_SEEK_OFFSET = 17,
    CONTROL_SEEK_TIME = 18,
    CONTROL_READ_ENTRIES = 19,
    CONTROL_READ_STREAM = 20,
    CONTROL_SKIP_DAMAGE = 21,
    CONTROL_GROUP_LIST = 22,
    CONTROL_GROUP_CREATE = 23,
    CONTROL_GROUP_CONFIGURE = 24,
    CONTROL_GROUP_DELETE = 25,
    CONTROL_CURSOR_LIST = 26,
    CONTROL_CURSOR_OPEN = 27,
    CONTROL_CURSOR_CLOSE = 28,
    CONTROL_CURSOR_READ = 29,
    CONTROL_CURSOR_TAKE = 30,
    CONTROL_CURSOR_GET = 31,
    CONTROL_CURSOR_SET = 32,
    CONTROL_CURSOR_SKIP_DAMAGE = 33,
    CONTROL_CURSOR_ACKNOWLEDGE = 34,
    CONTROL_CURSOR_GIVE_BACK = 35,
    CONTROL_CURSOR_DELETE = 36,
    CONTROL_CURSORS_FORGET_DAMAGED = 37,
    CONTROL_GROUP_FIND = 38,
    CONTROL_CALL_END
};

enum control_flags {
    CONTROL_MORE = 1 << 0 /* of a reply: another one to the same request follows */
};

struct control_header {
    uint32_t body_bytes;
    uint32_t kind; /* of a request: enum control_call; of a reply: enum walrus_code */
    uint32_t flags;
};

void control_header_encode(const struct control_header *header, uint8_t bytes[CONTROL_HEADER_BYTES]);
void control_header_decode(const uint8_t bytes[CONTROL_HEADER_BYTES], struct control_header *header);

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* Zero-initialised it is empty. Once memory ran out, nothing is added any more and `failed` stays. */
struct control_writer {
    uint8_t *data; /* owned */
    size_t used;
    size_t capacity;
    bool failed;
};

void control_writer_fini(struct control_writer *writer);
void control_put_number(struct control_writer *writer, uint64_t number);
void control_put_text(struct control_writer *writer, const char *text);
void control_put_bytes(struct control_writer *writer, const void *data, size_t length);

/* Room for `length` bytes of payload, to be filled by the caller before anything else is put; NULL when memory ran out.
 */
void *control_put_room(struct control_writer *writer, size_t length);

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* After a read past the end, or of a text that is none, `failed` stays and what is read is 0, "" or NULL. */
struct control_reader {
    const uint8_t *data;
    size_t left;
    bool failed;
};

uint64_t control_get_number(struct control_reader *reader);
bool control_get_flag(struct control_reader *reader);

/* As control_get_number(), and fails above `most`. */
uint64_t control_get_bounded(struct control_reader *reader, uint64_t most);

/* Points into the message. */
const char *control_get_text(struct control_reader *reader);
const void *control_get_bytes(struct control_reader *reader, size_t length);

/* True when nothing failed and nothing is left. */
bool control_reader_is_done(const struct control_reader *reader);

/* ---- structures -------------------------------------------------------------------------------------------------- */

enum control_field_kind { CONTROL_NUMBER, CONTROL_FLAG, CONTROL_CHARACTERS, CONTROL_POINTER };

struct control_field {
    uint16_t offset;
    uint16_t bytes;
    enum control_field_kind kind;
};

/* Of a struct: its fields in the order in which they are sent. New ones go to the end. */
struct control_table {
    const struct control_field *fields;
    size_t field_count;
    size_t struct_bytes;
};

extern const struct control_table control_error_table;
extern const struct control_table control_log_info_table;
extern const struct control_table control_topic_info_table;
extern const struct control_table control_topic_settings_table;
extern const struct control_table control_node_table;
extern const struct control_table control_consistency_table;
extern const struct control_table control_group_info_table;
extern const struct control_table control_cursor_info_table;
extern const struct control_table control_receipt_table;
extern const struct control_table control_limits_table;

void control_put_struct(struct control_writer *writer, const struct control_table *table, const void *from);

/*
 * Fills `to` whole. What an older sender does not know is 0; what a newer one knows more is passed over. Text pointers
 * point into the message.
 */
void control_get_struct(struct control_reader *reader, const struct control_table *table, void *to);

/* ---- entries ----------------------------------------------------------------------------------------------------- */

/* What describes entries; their payloads follow, one after the other, at the end of the body. */
void control_put_entries(struct control_writer *writer, const struct walrus_entry *entries, size_t count);

#endif
