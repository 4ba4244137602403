#include "cut_entry.h"

#include <stdlib.h>
#include <string.h>

#include <walrus/walrus.h>

void cut_entry_fini(struct cut_entry *cut)
{
    free(cut->bytes);
    *cut = (struct cut_entry){0};
}

static int reserve(struct cut_entry *cut, size_t size)
{
    if (size > cut->capacity) {
        uint8_t *bytes = realloc(cut->bytes, size);
        if (bytes == NULL) {
            return 0;
        }
        cut->bytes = bytes;
        cut->capacity = size;
    }
    return 1;
}

/* False: it is too long, or went in this very moment. */
static int keep_rest(struct cut_entry *cut, struct walrus_topic *topic, const struct walrus_position *position,
                     uint64_t end)
{
    struct walrus_position from = *position;
    uint64_t rest = position->entry_end - end;
    size_t got = 0;
    if (rest > CUT_ENTRY_BYTES_MAX || !reserve(cut, (size_t)rest) ||
        walrus_read_stream(topic, &from, end, cut->bytes, (size_t)rest, &got, NULL) != WALRUS_OK || got != rest) {
        return 0;
    }
    cut->length = got;
    return 1;
}

void cut_entry_note(struct cut_entry *cut, struct walrus_topic *topic, const struct walrus_position *position,
                    uint64_t end, uint8_t delimiter, size_t delimiter_length)
{
    cut->start = end;
    cut->length = 0;
    if (position->offset >= end || keep_rest(cut, topic, position, end) || delimiter_length == 0 || !reserve(cut, 1)) {
        return;
    }
    cut->bytes[0] = delimiter;
    cut->length = 1;
}

size_t cut_entry_read(const struct cut_entry *cut, uint64_t offset, void *buffer, size_t size)
{
    if (offset < cut->start || offset - cut->start >= cut->length) {
        return 0;
    }
    size_t skip = (size_t)(offset - cut->start);
    size_t part = cut->length - skip < size ? cut->length - skip : size;
    memcpy(buffer, cut->bytes + skip, part);
    return part;
}
