#include "store/block_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"

#define SECTOR_BYTES 512u

void block_scan_init(struct block_scan *scan, struct io_file *file, uint64_t segment_offset, uint64_t bytes,
                     uint32_t seed, uint8_t *window)
{
    *scan = (struct block_scan){
        .file = file, .segment_offset = segment_offset, .bytes = bytes, .seed = seed, .window = window, .read_bytes = BLOCK_SCAN_WINDOW};
}

/* Makes the window hold at least `size` bytes from `place` (both inside the block). */
static int look(struct block_scan *scan, uint64_t place, size_t size, const uint8_t **bytes)
{
    if (place < scan->window_place || place + size > scan->window_place + scan->window_bytes) {
        size_t wanted = (size_t)min_u64(scan->bytes - place, max_u64(size, scan->read_bytes));
        scan->window_bytes = 0;
        int rc = io_read_padded(scan->file, scan->window, wanted, scan->segment_offset + place);
        if (rc < 0)
            return rc;
        scan->window_place = place;
        scan->window_bytes = wanted;
    }
    *bytes = scan->window + (place - scan->window_place);
    return 0;
}

int block_scan_copy(struct block_scan *scan, uint64_t place, void *bytes, size_t size)
{
    size_t inside = place < scan->bytes ? (size_t)min_u64(size, scan->bytes - place) : 0;
    memset((uint8_t *)bytes + inside, 0, size - inside);
    return inside > 0 ? io_read_padded(scan->file, bytes, inside, scan->segment_offset + place) : 0;
}

int block_scan_header(struct block_scan *scan, uint64_t place, struct record_header *header)
{
    const uint8_t *bytes;
    if (place + RECORD_HEADER_BYTES > scan->bytes)
        return 0;
    int rc = look(scan, place, RECORD_HEADER_BYTES, &bytes);
    if (rc < 0)
        return rc;
    return record_header_decode(bytes, scan->seed, header) && place + record_total_bytes(header) <= scan->bytes;
}

int block_scan_payload(struct block_scan *scan, uint64_t place, const struct record_header *header)
{
    uint64_t at = place + RECORD_HEADER_BYTES;
    uint64_t left = (uint64_t)header->extension_words * 8 + header->payload_bytes;
    uint32_t crc = 0;
    while (left > 0) {
        const uint8_t *bytes;
        size_t part = (size_t)min_u64(left, BLOCK_SCAN_WINDOW);
        int rc = look(scan, at, part, &bytes);
        if (rc < 0)
            return rc;
        crc = crc32c(crc, bytes, part);
        at += part;
        left -= part;
    }
    return crc == header->payload_crc;
}

int block_scan_search(struct block_scan *scan, uint64_t place, uint32_t least_index, uint64_t *found,
                      struct record_header *header)
{
    for (place = round_up(place, RECORD_ALIGNMENT); place + RECORD_HEADER_BYTES <= scan->bytes;
         place += RECORD_ALIGNMENT) {
        const uint8_t *bytes;
        int rc = look(scan, place, RECORD_HEADER_BYTES, &bytes);
        if (rc < 0)
            return rc;
        if (!record_header_plausible(bytes))
            continue;
        /* A header can look valid inside a payload only if somebody knew the block's salt; the whole record must hold.
         */
        rc = block_scan_header(scan, place, header);
        if (rc > 0 && header->index >= least_index)
            rc = block_scan_payload(scan, place, header);
        else if (rc > 0)
            rc = 0;
        if (rc < 0)
            return rc;
        if (rc > 0) {
            *found = place;
            return 1;
        }
    }
    return 0;
}

int block_scan_is_zero(struct block_scan *scan, uint64_t place)
{
    while (place < scan->bytes) {
        uint64_t data;
        int rc = scan->file->ops->next_data(scan->file, scan->segment_offset + place, &data);
        if (rc == -ENXIO)
            return 1;
        if (rc < 0)
            return rc;
        place = max_u64(place, data - min_u64(data, scan->segment_offset));
        if (place >= scan->bytes)
            return 1;
        const uint8_t *bytes;
        size_t part = (size_t)min_u64(scan->bytes - place, BLOCK_SCAN_WINDOW);
        rc = look(scan, place, part, &bytes);
        if (rc < 0)
            return rc;
        if (!bytes_are_zero(bytes, part))
            return 0;
        place += part;
    }
    return 1;
}

/* Nothing of a header is lost if it lies in one sector and neither of its edges is zero: the checksum, the kind, the
 * time's top. */
static bool header_is_whole(const struct block_scan *scan, uint64_t place, const uint8_t bytes[RECORD_HEADER_BYTES])
{
    uint64_t at = scan->segment_offset + place;
    bool one_sector = at / SECTOR_BYTES == (at + RECORD_HEADER_BYTES - 1) / SECTOR_BYTES;
    return one_sector && bytes[0] != 0 && bytes[1] != 0 && bytes[RECORD_HEADER_BYTES - 1] != 0 &&
           record_header_plausible(bytes);
}

int block_scan_may_be_lost(struct block_scan *scan, uint64_t place, uint64_t payload_bytes)
{
    const uint8_t *bytes;
    if (place + RECORD_HEADER_BYTES > scan->bytes)
        return 1;
    if (payload_bytes == 0) {
        int rc = look(scan, place, RECORD_HEADER_BYTES, &bytes);
        return rc < 0 ? rc : !header_is_whole(scan, place, bytes);
    }
    uint64_t at = place + RECORD_HEADER_BYTES;
    while (payload_bytes > 0) {
        size_t part = (size_t)min_u64(payload_bytes, BLOCK_SCAN_WINDOW);
        int rc = look(scan, at, part, &bytes);
        if (rc < 0)
            return rc;
        if (memchr(bytes, 0, part))
            return 1;
        at += part;
        payload_bytes -= part;
    }
    return 0;
}

int block_scan_find_index(const struct block *block, uint32_t index, uint64_t *place)
{
    uint8_t *window = malloc(BLOCK_SCAN_WINDOW);
    if (!window)
        return -ENOMEM;
    struct block_scan scan;
    struct record_header header;
    block_scan_init(&scan, block->segment->file, block->segment_offset, block->bytes, block->seed, window);
    uint64_t at = block->first_place;
    int rc;
    for (;;) {
        rc = block_scan_header(&scan, at, &header);
        if (rc <= 0 || (header.kind == RECORD_ENTRY && header.index == index))
            break;
        at += record_total_bytes(&header);
    }
    if (rc > 0)
        *place = at;
    free(window);
    return rc > 0 ? 0 : rc < 0 ? rc : -ENOENT;
}
