/*
 * block_scan.h - walking the records of a block on disk, trusting nothing. For recovery, inspection, seeking and
 * skipping past damage; ordinary reads have their own faster way (read.h) with the same checks.
 */
#ifndef WALRUS_STORE_BLOCK_SCAN_H
#define WALRUS_STORE_BLOCK_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/record_header.h"
#include "io/io.h"
#include "store/topic.h"

#define BLOCK_SCAN_WINDOW (256u << 10)

/* Reads a block through a window. Places count from the start of the block. Not thread-safe. */
struct block_scan {
    struct io_file *file;
    uint64_t segment_offset;
    uint64_t bytes;
    uint32_t seed;
    uint8_t *window; /* of BLOCK_SCAN_WINDOW bytes, the caller's */
    size_t read_bytes; /* so much is read at once: all of the window, unless somebody only looks here and there */
    uint64_t window_place;
    size_t window_bytes; /* 0: nothing in it */
};

void block_scan_init(struct block_scan *scan, struct io_file *file, uint64_t segment_offset, uint64_t bytes,
                     uint32_t seed, uint8_t *window);

/* 1: a valid header stands at `place` and its record fits the block; 0: not; below 0: negated errno of the read. */
int block_scan_header(struct block_scan *scan, uint64_t place, struct record_header *header);

/* 1: the payload's checksum holds; 0: not; below 0: negated errno. */
int block_scan_payload(struct block_scan *scan, uint64_t place, const struct record_header *header);

/* Copies bytes of the block; behind its end there are zeros. 0 or a negated errno. */
int block_scan_copy(struct block_scan *scan, uint64_t place, void *bytes, size_t size);

/*
 * Searches from `place` on for a whole valid record whose index is at least `least_index`. 1: found, at *found; 0: none
 * to the end of the block; below 0: negated errno.
 */
int block_scan_search(struct block_scan *scan, uint64_t place, uint32_t least_index, uint64_t *found,
                      struct record_header *header);

/* 1: all bytes from `place` to the end of the block are zero; 0: not; below 0: negated errno. Holes are not read. */
int block_scan_is_zero(struct block_scan *scan, uint64_t place);

/*
 * An invalid record stands at `place`: may it be a write that did not wholly reach the disk, or did its bytes change
 * later? Space for records is zero until it is written, and what a power cut takes from a write is a contiguous part of
 * a sector, so bytes that were lost show as zeros: at an edge of the header, or somewhere in the payload. Where a zero
 * byte may be as well lost as meant, it counts as lost. `payload_bytes`: what a valid header claims; 0 if the header is
 * not valid. 1: may be lost; 0: certainly nothing is missing; below 0: negated errno.
 */
int block_scan_may_be_lost(struct block_scan *scan, uint64_t place, uint64_t payload_bytes);

/* The place of the entry with this index in a block of an open topic. 0, -ENOENT, or a negated errno. */
int block_scan_find_index(const struct block *block, uint32_t index, uint64_t *place);

#endif
