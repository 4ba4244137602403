/* entries.c - collecting what a read hands out. */
#include <stdlib.h>
#include <string.h>

#include "store/read.h"

void entries_reset(struct walrus_entries *entries)
{
    entries->count = 0;
    entries->buffer_used = 0;
}

bool entries_reserve(struct walrus_entries *entries, size_t more_bytes)
{
    size_t needed = entries->buffer_used + more_bytes;
    if (needed <= entries->buffer_capacity)
        return true;
    if (needed < entries->buffer_capacity * 2 && entries->buffer_capacity < (4u << 20))
        needed = entries->buffer_capacity * 2;
    uint8_t *grown = realloc(entries->buffer, needed);
    if (!grown)
        return false;
    entries->buffer = grown;
    entries->buffer_capacity = needed;
    return true;
}

bool entries_add(struct walrus_entries *entries, size_t buffer_offset, size_t length, uint64_t sequence,
                 uint64_t offset, uint64_t time_ns)
{
    if (entries->count == entries->items_capacity) {
        size_t capacity = entries->items_capacity ? entries->items_capacity * 2 : 16;
        struct walrus_entry *grown = realloc(entries->items, capacity * sizeof(*grown));
        if (!grown)
            return false;
        entries->items = grown;
        entries->items_capacity = capacity;
    }
    entries->items[entries->count++] = (struct walrus_entry){.data = (const void *)buffer_offset,
                                                             .length = length,
                                                             .sequence = sequence,
                                                             .offset = offset,
                                                             .time_ns = time_ns};
    return true;
}

bool entries_add_copy(struct walrus_entries *entries, const struct walrus_entry *entry)
{
    if (!entries_reserve(entries,
                         entry->length + 1) || /* one more: data of an empty entry points into the buffer too */
        !entries_add(entries, entries->buffer_used, entry->length, entry->sequence, entry->offset, entry->time_ns))
        return false;
    memcpy(entries->buffer + entries->buffer_used, entry->data, entry->length);
    entries->buffer_used += entry->length;
    return true;
}

void entries_settle(struct walrus_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        entries->items[i].data = entries->buffer + (size_t)entries->items[i].data;
}

bool read_limits_allow(const struct walrus_read_limits *limits, uint32_t delimiter_bytes,
                       const struct walrus_entries *entries, size_t length)
{
    if (entries->count == 0)
        return true;
    if (entries->count >= (limits->max_entries ? limits->max_entries : WALRUS_BATCH_ENTRIES_MAX))
        return false;
    /* Payload so far: the entries are consecutive, so their offsets tell. */
    const struct walrus_entry *first = &entries->items[0];
    const struct walrus_entry *last = &entries->items[entries->count - 1];
    uint64_t used = last->offset - first->offset + last->length;
    if (limits->count_delimiters)
        return used + delimiter_bytes + length + delimiter_bytes <= limits->max_bytes;
    return used - (entries->count - 1) * (uint64_t)delimiter_bytes + length <= limits->max_bytes;
}
