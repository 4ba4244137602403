/*
 * file_records.c - .records: one line of JSON for each entry of a topic, made as it is read.
 *
 * How long the whole is nobody knows without making it, so st_size is 0 as for all that is made up, and lines are made
 * a few hundred kilobytes at a time. A read where the last one ended goes on; one elsewhere begins at the nearest place
 * that is known (places, one for each megabyte that was passed) and goes on to where it wants to be. The lines of an
 * entry never change, so every read of a file sees the same; only where trimming or retention took entries away, what
 * comes is the first that is left.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs_state.h"
#include "json.h"
#include "request.h"
#include "text.h"

/* Of payload: read, and put into words, at a time. Divisible by 3, for base64. */
#define PART_BYTES ((size_t)192 << 10)
#define PART_ENTRIES ((size_t)1000)
#define PLACE_DISTANCE_BYTES ((uint64_t)1 << 20)

/* Where in the file the line of an entry begins. */
struct place {
    uint64_t offset;
    struct walrus_position position;
};

/* All guarded by the open file's mutex. */
struct records {
    struct place *places; /* by growing offset; the first is the beginning */
    size_t place_count;
    size_t place_capacity;

    struct text text;     /* what was made last */
    uint64_t text_offset; /* where in the file it begins */

    struct walrus_position position; /* of what is read from the topic next */
    struct walrus_entries entries;
    size_t entry_index;  /* that is put into words next */
    size_t payload_done; /* of it; a large payload takes several parts */
    bool is_inside;      /* its line is begun */
    bool is_text;        /* its payload is UTF-8 */
};

static int open_records(struct request *request, struct open_file *file, const struct node *node)
{
    (void)node;
    struct walrus_topic_info info;
    struct walrus_error error;
    struct records *records = calloc(1, sizeof *records);
    if (records == NULL) {
        return ENOMEM;
    }
    file->state = records;
    records->places = calloc(16, sizeof *records->places);
    if (records->places == NULL) {
        return ENOMEM;
    }
    records->place_capacity = 16;
    records->place_count = 1;
    /* Offsets are no use before the first read: what is retained then is found by the first seek. */
    if (walrus_topic_info(file->topic, &info, &error) != WALRUS_OK) {
        return fs_errno(request->fs, &error);
    }
    records->places[0].position.sequence = info.first_sequence;
    records->places[0].position.offset = info.first_offset;
    records->position = records->places[0].position;
    return 0;
}

static void close_records(struct fs *fs, struct open_file *file)
{
    (void)fs;
    struct records *records = file->state;
    if (records != NULL) {
        walrus_entries_free(&records->entries);
        text_free(&records->text);
        free(records->places);
        free(records);
    }
}

/* Remembers that an entry's line begins at `offset`, if no place near is known. Without memory it is found from further
 * away. */
static void note_place(struct records *records, uint64_t offset, const struct walrus_position *position)
{
    const struct place *last = &records->places[records->place_count - 1];
    if (offset < last->offset + PLACE_DISTANCE_BYTES) {
        return;
    }
    if (records->place_count == records->place_capacity) {
        struct place *places = realloc(records->places, 2 * records->place_capacity * sizeof *places);
        if (places == NULL) {
            return;
        }
        records->places = places;
        records->place_capacity *= 2;
    }
    records->places[records->place_count++] = (struct place){.offset = offset, .position = *position};
}

/* Goes on from the nearest place at or before `offset`. */
static void go_back(struct records *records, uint64_t offset)
{
    size_t i = records->place_count;
    while (i > 1 && records->places[i - 1].offset > offset) {
        i--;
    }
    records->position = records->places[i - 1].position;
    records->entries.count = 0;
    records->entry_index = 0;
    records->is_inside = false;
    text_clear(&records->text);
    records->text_offset = records->places[i - 1].offset;
}

/* Reads the next entries; where they are gone, those that are left. 0 or an errno; no entries: the end. */
static int read_entries(struct fs *fs, struct open_file *file, struct records *records)
{
    const struct walrus_read_limits limits = {.max_bytes = PART_BYTES, .max_entries = PART_ENTRIES};
    struct walrus_error error;
    enum walrus_code code;
    records->entry_index = 0;
    for (;;) {
        code = walrus_read_entries(file->topic, &records->position, &limits, &records->entries, &error);
        if (code != WALRUS_E_RANGE) {
            break;
        }
        struct walrus_topic_info info;
        if (walrus_topic_info(file->topic, &info, &error) != WALRUS_OK) {
            return fs_errno(fs, &error);
        }
        code = walrus_seek_sequence(file->topic, info.first_sequence, &records->position, &error);
        if (code != WALRUS_OK && code != WALRUS_E_RANGE) {
            break;
        }
    }
    if (code != WALRUS_OK) {
        records->entries.count = 0;
        return fs_errno(fs, &error);
    }
    return 0;
}

static void add_literal(struct text *text, const char *literal)
{
    text_append(text, literal, strlen(literal));
}

static void begin_line(struct records *records, const struct walrus_entry *entry)
{
    struct text *text = &records->text;
    records->is_inside = true;
    records->is_text = json_is_text(entry->data, entry->length);
    records->payload_done = 0;
    add_literal(text, "{\"sequence\":");
    text_add_number(text, entry->sequence);
    add_literal(text, ",\"offset\":");
    text_add_number(text, entry->offset);
    add_literal(text, ",\"time\":\"");
    text_add_time(text, entry->time_ns);
    add_literal(text, "\",\"time_ns\":");
    text_add_number(text, entry->time_ns);
    add_literal(text, ",\"length\":");
    text_add_number(text, entry->length);
    add_literal(text, records->is_text ? ",\"data\":\"" : ",\"base64\":\"");
}

/* Adds the next part of the entry's line. */
static void add_part(struct records *records, const struct walrus_entry *entry)
{
    if (!records->is_inside) {
        begin_line(records, entry);
    }
    const uint8_t *payload = (const uint8_t *)entry->data + (entry->length > 0 ? records->payload_done : 0);
    size_t left = entry->length - records->payload_done;
    size_t length = left < PART_BYTES ? left : PART_BYTES;
    if (records->is_text) {
        json_add_escaped(&records->text, payload, length);
    } else {
        json_add_base64(&records->text, payload, length);
    }
    records->payload_done += length;
    if (records->payload_done == entry->length) {
        text_append(&records->text, "\"}\n", 3);
        records->is_inside = false;
        records->entry_index++;
    }
}

/* Makes what comes behind the text that is there, in its place. Nothing: the end. 0 or an errno. */
static int make_next(struct fs *fs, struct open_file *file, struct records *records)
{
    uint64_t begun = records->text_offset + records->text.length;
    struct walrus_position before = records->position;
    text_clear(&records->text);
    records->text_offset = begun;
    if (records->entry_index == records->entries.count) {
        int status = read_entries(fs, file, records);
        if (status != 0) {
            return status;
        }
        note_place(records, begun, &before);
    }
    while (records->entry_index < records->entries.count && records->text.length < PART_BYTES) {
        add_part(records, &records->entries.items[records->entry_index]);
    }
    return records->text.failed ? ENOMEM : 0;
}

/* Has the text hold the byte `offset`, unless that is at or behind the end. 0 or an errno. */
static int move_to(struct fs *fs, struct open_file *file, struct records *records, uint64_t offset)
{
    if (offset < records->text_offset) {
        go_back(records, offset);
    }
    while (offset >= records->text_offset + records->text.length) {
        int status = make_next(fs, file, records);
        if (status != 0) {
            go_back(records, records->text_offset);
            return status;
        }
        if (records->text.length == 0) {
            break;
        }
    }
    return 0;
}

static bool read_records(struct request *request, bool may_wait)
{
    struct open_file *file = open_file_of(request);
    struct records *records = file->state;
    uint64_t offset = (uint64_t)request->offset;
    if (!open_file_lock(file, may_wait)) {
        return false;
    }
    uint64_t end = records->text_offset + records->text.length;
    if ((offset < records->text_offset || offset >= end) && !may_wait) {
        open_file_unlock(file);
        return false;
    }
    int status = move_to(request->fs, file, records, offset);
    end = records->text_offset + records->text.length;
    if (status != 0) {
        fuse_reply_err(request->req, status);
    } else if (offset >= end) {
        fuse_reply_buf(request->req, NULL, 0);
    } else {
        size_t left = (size_t)(end - offset);
        fuse_reply_buf(request->req, records->text.bytes + (offset - records->text_offset),
                       left < request->size ? left : request->size);
    }
    open_file_unlock(file);
    return true;
}

const struct file_kind file_kind_records = {
    .reads_on_readers = true,
    .open = open_records,
    .read = read_records,
    .close = close_records,
};
