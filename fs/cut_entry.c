#include "cut_entry.h"

#include <stdlib.h>
#include <string.h>

#include <walrus/walrus.h>

void cut_entry_fini(struct cut_entry *cut)
{
    free(cut->bytes);
    *cut = (struct cut_entry){0};
}

static bool reserve(struct cut_entry *cut, size_t size)
{
    if (size > cut->capacity) {
        uint8_t *bytes = realloc(cut->bytes, size);
        if (bytes == NULL) {
            return false;
        }
        cut->bytes = bytes;
        cut->capacity = size;
    }
    return true;
}

static enum walrus_code keep_rest(struct cut_entry *cut, struct walrus_topic *topic,
                                  const struct walrus_position *position, uint64_t end)
{
    struct walrus_position from = *position;
    size_t rest = (size_t)(position->entry_end - end);
    size_t got = 0;
    enum walrus_code code = walrus_read_stream(topic, &from, end, cut->bytes, rest, &got, NULL);
    cut->length = code == WALRUS_OK && got == rest ? rest : 0;
    return code;
}

bool cut_entry_note(struct cut_entry *cut, struct walrus_topic *topic, const struct walrus_position *position,
                    uint64_t end, uint8_t delimiter, size_t delimiter_length)
{
    enum walrus_code code = WALRUS_OK;
    cut->start = end;
    cut->length = 0;
    if (position->offset >= end) {
        return true;
    }
    if (position->entry_end - end <= CUT_ENTRY_BYTES_MAX && reserve(cut, (size_t)(position->entry_end - end))) {
        code = keep_rest(cut, topic, position, end);
    }
    if (cut->length == 0 && delimiter_length > 0 && reserve(cut, 1)) {
        cut->bytes[0] = delimiter;
        cut->length = 1;
    }
    return code != WALRUS_E_RANGE;
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
