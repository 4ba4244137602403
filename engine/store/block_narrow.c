#include "store/block_narrow.h"

#include "base/bytes.h"

#define LINEAR_BYTES (16u << 10) /* so much is walked rather than narrowed */
#define PROBE_BYTES (64u << 10)  /* as far as a probe looks for a record */
#define PROBE_READ_BYTES (8u << 10)
/* Beside its payload a record takes at most so much of its block: header, padding, a commit mark, a durable mark. */
#define OVERHEAD_MAX (2 * RECORD_HEADER_BYTES + RECORD_ALIGNMENT + 56)

bool block_is_behind(const struct block *block, const struct record_header *header, const struct block_target *target)
{
    switch (target->key) {
    case BLOCK_BY_OFFSET:
        return block->first_offset + header->stream_offset > target->value;
    case BLOCK_BY_TIME:
        /* A durable mark has the time of a close, which says nothing of the entries. */
        return header->kind != RECORD_DURABLE_MARK && header->time_ns >= target->value;
    default:
        return block->first_sequence + header->index > target->value;
    }
}

/*
 * Whether both can be records of one block: the distance between them is that of the entries they count. Bytes of the
 * block's own file, appended to the topic as a payload, would hold valid records too.
 */
static bool fits(const struct record_header *from, uint64_t from_place, const struct record_header *header,
                 uint64_t place)
{
    if (header->index < from->index || header->stream_offset < from->stream_offset)
        return false;
    uint64_t entries = header->index - from->index + 1;
    uint64_t bytes = header->stream_offset - from->stream_offset;
    return place - from_place <= bytes + entries * OVERHEAD_MAX;
}

/* The first valid entry that begins in [place, end). 1: found; 0: none; 2: perhaps a large one, whose payload is too
 * much to verify here; below 0: negated errno. */
static int probe(struct block_scan *scan, uint64_t place, uint64_t end, uint64_t *found, struct record_header *header)
{
    for (place = round_up(place, RECORD_ALIGNMENT); place < end; place += RECORD_ALIGNMENT) {
        int rc = block_scan_header(scan, place, header);
        if (rc > 0 && header->payload_bytes > PROBE_BYTES)
            return 2;
        if (rc > 0)
            rc = block_scan_payload(scan, place, header);
        if (rc < 0)
            return rc;
        if (rc > 0 && header->kind == RECORD_ENTRY) {
            *found = place;
            return 1;
        }
    }
    return 0;
}

int block_narrow(struct block_scan *scan, const struct block *block, const struct block_target *target, uint64_t end,
                 uint64_t *place)
{
    struct record_header low_header, header;
    uint64_t low = *place, high = end, found;
    size_t read_bytes = scan->read_bytes;
    scan->read_bytes = PROBE_READ_BYTES;
    int rc = high > low + LINEAR_BYTES ? block_scan_header(scan, low, &low_header) : 0;
    while (rc > 0 && high > low + LINEAR_BYTES) {
        uint64_t middle = low + (high - low) / 2;
        uint64_t limit = min_u64(high, middle + PROBE_BYTES);
        rc = probe(scan, middle, limit, &found, &header);
        if (rc < 0)
            break;
        if (rc == 1 && fits(&low_header, low, &header, found)) {
            if (block_is_behind(block, &header, target)) {
                high = middle;
            } else {
                low = found;
                low_header = header;
            }
            continue;
        }
        if (rc == 0 && limit == high) {
            high = middle;
            rc = 1;
            continue;
        }
        /* One step: to the entry that follows the lowest one, if it stands where it should. */
        found = low + record_total_bytes(&low_header);
        do
            rc = found < high ? block_scan_header(scan, found, &header) : 0;
        while (rc > 0 && header.kind != RECORD_ENTRY && (found += record_total_bytes(&header)));
        if (rc <= 0 || block_is_behind(block, &header, target))
            break;
        low = found;
        low_header = header;
    }
    scan->read_bytes = read_bytes;
    *place = low;
    return rc < 0 ? rc : 0;
}
