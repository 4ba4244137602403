/*
 * block_narrow.h - finding a place in a block in logarithmic work, without an index.
 *
 * Records stand in a block by growing sequence, stream offset and time, and each proves by its salted checksum that it
 * is one. So a probe anywhere finds the next record behind it and tells on which side of it the target lies. What is
 * left, a few KiB, is for the caller to walk. A probe that meets no record nearby (a large entry, damage) steps over
 * one record instead.
 */
#ifndef WALRUS_STORE_BLOCK_NARROW_H
#define WALRUS_STORE_BLOCK_NARROW_H

#include "store/block_scan.h"

enum block_key { BLOCK_BY_SEQUENCE, BLOCK_BY_OFFSET, BLOCK_BY_TIME };

/* The last entry that is not behind the value: by sequence and offset at or before it, by time before it. */
struct block_target {
    enum block_key key;
    uint64_t value;
};

bool block_is_behind(const struct block *block, const struct record_header *header, const struct block_target *target);

/*
 * *place is the first place of the block, or that of a valid entry that is not behind the target. Moves it up to a
 * later such entry; `end` is where the records that count end. 0 or a negated errno.
 */
int block_narrow(struct block_scan *scan, const struct block *block, const struct block_target *target, uint64_t end,
                 uint64_t *place);

#endif
