#include "model_log.h"

#include "payload.h"

#include <stdlib.h>

void model_log_init(struct model_log *log)
{
    memset(log, 0, sizeof *log);
    log->delimiter_bytes = 1;
    log->delimiter = '\n';
}

void model_log_fini(struct model_log *log)
{
    free(log->stream);
    free(log->places);
    memset(log, 0, sizeof *log);
}

const uint8_t *model_log_add(struct model_log *log, size_t length, uint64_t key)
{
    uint64_t need = log->stream_bytes + length + log->delimiter_bytes;
    if (need > log->stream_capacity) {
        log->stream_capacity = need * 2;
        log->stream = realloc(log->stream, log->stream_capacity);
    }
    if (log->count == log->capacity) {
        log->capacity = log->capacity * 2 + 16;
        log->places = realloc(log->places, log->capacity * sizeof *log->places);
    }
    if ((need && !log->stream) || !log->places)
        abort();
    uint8_t *bytes = log->stream + log->stream_bytes;
    if (length)
        payload_fill(bytes, length, key);
    if (log->delimiter_bytes)
        bytes[length] = log->delimiter;
    log->places[log->count++] = (struct model_place){log->stream_bytes, length};
    log->stream_bytes = need;
    return bytes;
}

void model_log_cut(struct model_log *log, size_t count)
{
    if (count >= log->count)
        return;
    log->stream_bytes = log->places[count].offset;
    log->count = count;
}

size_t model_log_find(const struct model_log *log, uint64_t offset)
{
    size_t low = 0;
    size_t high = log->count;
    /* The last entry that starts at or before the offset and is not empty of bytes there. */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (log->places[middle].offset <= offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}
