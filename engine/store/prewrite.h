/*
 * prewrite.h - writing zeros ahead of small appends, where that makes them cheaper.
 *
 * For a topic that syncs each append: what is appended then overwrites, and the sync of an overwrite needs no commit of
 * the file system's journal, which about doubles the rate. A little at a time, since all that was written to a file is
 * part of its next sync: a whole block of zeros would make everybody who shares that sync wait. The zeros become
 * durable with the sync of the first record on them.
 *
 * For the other topics where the backend says so (io.zeros_ahead_bytes): on a mapped file, a fault maps a whole folio,
 * and large folios come from large writes.
 */
#ifndef WALRUS_STORE_PREWRITE_H
#define WALRUS_STORE_PREWRITE_H

#include "store/topic.h"

struct prewrite {
    size_t piece_bytes; /* of one write; 0: nothing is to be written ahead */
    size_t ahead_bytes; /* how far beyond what is needed now */
};

struct prewrite prewrite_for(enum walrus_sync_mode mode, const struct io *io);

/*
 * Makes sure that the block is written (zeros, if nothing else) up to `end` and somewhat further; the topic's records
 * fill it up to `filled`. Only a matter of speed: what fails is left, and the append itself meets it. Needs
 * append_lock.
 */
void prewrite_ahead(struct block *block, uint64_t filled, uint64_t end, const struct prewrite *how);

#endif
