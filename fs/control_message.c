#include "control_message.h"

#include <stdlib.h>
#include <string.h>

static void put_u32(uint8_t *bytes, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint32_t get_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

void control_header_encode(const struct control_header *header, uint8_t bytes[CONTROL_HEADER_BYTES])
{
    put_u32(bytes, header->body_bytes);
    put_u32(bytes + 4, header->kind);
    put_u32(bytes + 8, header->flags);
}

void control_header_decode(const uint8_t bytes[CONTROL_HEADER_BYTES], struct control_header *header)
{
    header->body_bytes = get_u32(bytes);
    header->kind = get_u32(bytes + 4);
    header->flags = get_u32(bytes + 8);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

void control_writer_fini(struct control_writer *writer)
{
    free(writer->data);
    *writer = (struct control_writer){0};
}

void *control_put_room(struct control_writer *writer, size_t length)
{
    if (!writer->failed && writer->capacity - writer->used < length) {
        size_t capacity = writer->capacity * 2 > writer->used + length ? writer->capacity * 2 : writer->used + length;
        capacity = capacity < 1024 ? 1024 : capacity;
        uint8_t *data = realloc(writer->data, capacity);
        if (data == NULL) {
            writer->failed = true;
        } else {
            writer->data = data;
            writer->capacity = capacity;
        }
    }
    if (writer->failed) {
        return NULL;
    }
    void *room = writer->data + writer->used;
    writer->used += length;
    return room;
}

void control_put_bytes(struct control_writer *writer, const void *data, size_t length)
{
    void *room = length > 0 ? control_put_room(writer, length) : NULL;
    if (room != NULL) {
        memcpy(room, data, length);
    }
}

static void encode_number(uint8_t bytes[8], uint64_t number)
{
    put_u32(bytes, (uint32_t)number);
    put_u32(bytes + 4, (uint32_t)(number >> 32));
}

void control_put_number(struct control_writer *writer, uint64_t number)
{
    uint8_t *room = control_put_room(writer, 8);
    if (room != NULL) {
        encode_number(room, number);
    }
}

void control_put_text(struct control_writer *writer, const char *text)
{
    size_t length = strlen(text);
    control_put_number(writer, length);
    control_put_bytes(writer, text, length + 1);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

const void *control_get_bytes(struct control_reader *reader, size_t length)
{
    if (reader->failed || reader->left < length) {
        reader->failed = true;
        return NULL;
    }
    const void *bytes = reader->data;
    reader->data += length;
    reader->left -= length;
    return bytes;
}

uint64_t control_get_number(struct control_reader *reader)
{
    const uint8_t *bytes = control_get_bytes(reader, 8);
    return bytes != NULL ? get_u32(bytes) | (uint64_t)get_u32(bytes + 4) << 32 : 0;
}

bool control_get_flag(struct control_reader *reader)
{
    return control_get_number(reader) != 0;
}

uint64_t control_get_bounded(struct control_reader *reader, uint64_t most)
{
    uint64_t number = control_get_number(reader);
    if (number > most) {
        reader->failed = true;
        return 0;
    }
    return number;
}

const char *control_get_text(struct control_reader *reader)
{
    uint64_t length = control_get_bounded(reader, CONTROL_BODY_MAX);
    const char *text = control_get_bytes(reader, (size_t)length + 1);
    if (text == NULL || memchr(text, '\0', (size_t)length + 1) != text + length) {
        reader->failed = true;
        return "";
    }
    return text;
}

bool control_reader_is_done(const struct control_reader *reader)
{
    return !reader->failed && reader->left == 0;
}

/* ---- structures -------------------------------------------------------------------------------------------------- */

#define FIELD(type, field, kind)                                                                                       \
    {                                                                                                                  \
        offsetof(type, field), sizeof(((type *)NULL)->field), kind                                                     \
    }
#define NUMBER(field) FIELD(STRUCT, field, CONTROL_NUMBER)
#define FLAG(field) FIELD(STRUCT, field, CONTROL_FLAG)
#define CHARACTERS(field) FIELD(STRUCT, field, CONTROL_CHARACTERS)
#define POINTER(field) FIELD(STRUCT, field, CONTROL_POINTER)

/*
 * A struct that grew has a field that is not sent yet: append it to its fields, and correct the size here. One that
 * hides in padding is found by tests/structure/test_control_fields.py.
 */
#define TABLE(name, size)                                                                                              \
    _Static_assert(sizeof(STRUCT) == (size), "the fields of this struct that are sent");                               \
    const struct control_table name##_table = {name##_fields, sizeof name##_fields / sizeof name##_fields[0],          \
                                               sizeof(STRUCT)}

#define STRUCT struct walrus_error
static const struct control_field control_error_fields[] = {
    NUMBER(code), NUMBER(system_errno), NUMBER(segment), NUMBER(segment_offset), NUMBER(sequence), CHARACTERS(message),
};
TABLE(control_error, 432);
#undef STRUCT

#define STRUCT struct walrus_log_info
static const struct control_field control_log_info_fields[] = {
    NUMBER(topic_count),
    NUMBER(namespace_count),
    NUMBER(segment_count),
    NUMBER(block_count),
    NUMBER(block_bytes),
    NUMBER(sync.mode),
    NUMBER(sync.interval_ms),
    NUMBER(consistency.mode),
    NUMBER(consistency.interval_entries),
    NUMBER(retention.mode),
    NUMBER(retention.limit),
    NUMBER(backend),
    CHARACTERS(backend_reason),
    FLAG(io_uring_active),
    FLAG(io_uring_writes),
    FLAG(io_uring_reads),
    CHARACTERS(io_uring_reason),
    NUMBER(appended_entries),
    NUMBER(batches),
    NUMBER(syncs),
    NUMBER(sync_failures),
    NUMBER(checkpoints),
    NUMBER(freed_blocks),
    NUMBER(freed_bytes),
    NUMBER(clean_marks),
    NUMBER(recovery_ns),
    NUMBER(recovery_walked_bytes),
    NUMBER(recovered_torn_tails),
    NUMBER(recovered_batches_dropped),
    NUMBER(recovered_damages),
    NUMBER(recovered_adopted),
    CHARACTERS(recovery_note),
    NUMBER(damaged_cursors),
};
TABLE(control_log_info, 640);
#undef STRUCT

#define STRUCT struct walrus_topic_info
static const struct control_field control_topic_info_fields[] = {
    NUMBER(id),
    NUMBER(settings.attributes.mode),
    NUMBER(settings.attributes.uid),
    NUMBER(settings.attributes.gid),
    NUMBER(settings.sync.mode),
    NUMBER(settings.sync.interval_ms),
    NUMBER(settings.framing),
    NUMBER(settings.retention.mode),
    NUMBER(settings.retention.limit),
    FLAG(sync_inherited),
    FLAG(retention_inherited),
    FLAG(deleted),
    FLAG(refuses_appends),
    NUMBER(first_sequence),
    NUMBER(next_sequence),
    NUMBER(first_offset),
    NUMBER(next_offset),
    NUMBER(durable_sequence),
    NUMBER(block_count),
    NUMBER(block_bytes),
    NUMBER(created_ns),
    NUMBER(appended_ns),
    NUMBER(damages),
    NUMBER(last_error),
    NUMBER(last_errno),
    NUMBER(last_error_ns),
    CHARACTERS(last_error_message),
};
TABLE(control_topic_info, 352);
#undef STRUCT

#define STRUCT struct walrus_topic_settings
static const struct control_field control_topic_settings_fields[] = {
    NUMBER(attributes.mode),  NUMBER(attributes.uid), NUMBER(attributes.gid), NUMBER(sync.mode),
    NUMBER(sync.interval_ms), NUMBER(framing),        NUMBER(retention.mode), NUMBER(retention.limit),
};
TABLE(control_topic_settings, 40);
#undef STRUCT

#define STRUCT struct walrus_node
static const struct control_field control_node_fields[] = {
    NUMBER(kind),           NUMBER(id),         POINTER(name), NUMBER(attributes.mode), NUMBER(attributes.uid),
    NUMBER(attributes.gid), NUMBER(created_ns),
};
TABLE(control_node, 48);
#undef STRUCT

#define STRUCT struct walrus_consistency
static const struct control_field control_consistency_fields[] = {NUMBER(mode), NUMBER(interval_entries)};
TABLE(control_consistency, 8);
#undef STRUCT

#define STRUCT struct walrus_group_info
static const struct control_field control_group_info_fields[] = {
    POINTER(name),
    NUMBER(id),
    NUMBER(consistency.mode),
    NUMBER(consistency.interval_entries),
    FLAG(consistency_inherited),
    NUMBER(created_ns),
};
TABLE(control_group_info, 40);
#undef STRUCT

#define STRUCT struct walrus_cursor_info
static const struct control_field control_cursor_info_fields[] = {
    POINTER(group),
    NUMBER(sequence),
    NUMBER(durable_sequence),
    NUMBER(lag_entries),
    NUMBER(lag_bytes),
    NUMBER(taken_entries),
    NUMBER(overtaken_entries),
    NUMBER(checkpointed_ns),
    NUMBER(handle_count),
    NUMBER(consistency.mode),
    NUMBER(consistency.interval_entries),
    FLAG(damaged),
};
TABLE(control_cursor_info, 80);
#undef STRUCT

#define STRUCT struct walrus_receipt
static const struct control_field control_receipt_fields[] = {NUMBER(sequence), NUMBER(offset)};
TABLE(control_receipt, 16);
#undef STRUCT

#define STRUCT struct walrus_read_limits
static const struct control_field control_limits_fields[] = {NUMBER(max_bytes), NUMBER(max_entries),
                                                             FLAG(count_delimiters)};
TABLE(control_limits, 24);
#undef STRUCT

static uint64_t load_number(const uint8_t *from, const struct control_field *field)
{
    uint64_t wide;
    uint32_t narrow;
    if (field->kind == CONTROL_FLAG) {
        return *(const bool *)from ? 1 : 0;
    }
    if (field->bytes == sizeof wide) {
        memcpy(&wide, from, sizeof wide);
        return wide;
    }
    memcpy(&narrow, from, sizeof narrow);
    return narrow;
}

static void store_number(uint8_t *to, const struct control_field *field, uint64_t number)
{
    uint32_t narrow = (uint32_t)number;
    if (field->kind == CONTROL_FLAG) {
        *(bool *)to = number != 0;
    } else if (field->bytes == sizeof number) {
        memcpy(to, &number, sizeof number);
    } else {
        memcpy(to, &narrow, sizeof narrow);
    }
}

void control_put_struct(struct control_writer *writer, const struct control_table *table, const void *from)
{
    size_t start = writer->used;
    control_put_number(writer, 0);
    for (size_t i = 0; i < table->field_count; i++) {
        const struct control_field *field = &table->fields[i];
        const uint8_t *place = (const uint8_t *)from + field->offset;
        if (field->kind == CONTROL_CHARACTERS) {
            control_put_text(writer, (const char *)place);
        } else if (field->kind == CONTROL_POINTER) {
            const char *text;
            memcpy(&text, place, sizeof text);
            control_put_text(writer, text != NULL ? text : "");
        } else {
            control_put_number(writer, load_number(place, field));
        }
    }
    if (!writer->failed) {
        encode_number(writer->data + start, writer->used - start - 8);
    }
}

static void get_field(struct control_reader *reader, const struct control_field *field, uint8_t *place)
{
    if (field->kind == CONTROL_CHARACTERS) {
        const char *text = control_get_text(reader);
        size_t length = strnlen(text, field->bytes - 1u);
        memcpy(place, text, length);
        place[length] = '\0';
    } else if (field->kind == CONTROL_POINTER) {
        const char *text = control_get_text(reader);
        memcpy(place, &text, sizeof text);
    } else {
        store_number(place, field, control_get_number(reader));
    }
}

void control_get_struct(struct control_reader *reader, const struct control_table *table, void *to)
{
    static const char *const nothing = "";
    uint64_t length = control_get_bounded(reader, CONTROL_BODY_MAX);
    const void *bytes = control_get_bytes(reader, (size_t)length);
    struct control_reader inner = {.data = bytes, .left = bytes != NULL ? (size_t)length : 0};
    memset(to, 0, table->struct_bytes);
    for (size_t i = 0; i < table->field_count; i++) {
        uint8_t *place = (uint8_t *)to + table->fields[i].offset;
        if (inner.left > 0) {
            get_field(&inner, &table->fields[i], place);
        } else if (table->fields[i].kind == CONTROL_POINTER) {
            memcpy(place, &nothing, sizeof nothing);
        }
    }
    reader->failed = reader->failed || inner.failed;
}

/* ---- entries ----------------------------------------------------------------------------------------------------- */

void control_put_entries(struct control_writer *writer, const struct walrus_entry *entries, size_t count)
{
    control_put_number(writer, count);
    for (size_t i = 0; i < count; i++) {
        control_put_number(writer, entries[i].length);
        control_put_number(writer, entries[i].sequence);
        control_put_number(writer, entries[i].offset);
        control_put_number(writer, entries[i].time_ns);
    }
}
