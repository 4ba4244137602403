/*
 * prewrite.h - writing zeros ahead of a topic that syncs each append: what is appended then overwrites, and the sync of
 * an overwrite needs no commit of the file system's journal, which about doubles the rate.
 *
 * A little at a time, since all that was written to a file is part of its next sync: a whole block of zeros would make
 * everybody who shares that sync wait. The zeros become durable with the sync of the first record on them.
 */
#ifndef WALRUS_STORE_PREWRITE_H
#define WALRUS_STORE_PREWRITE_H

#include "store/topic.h"

/*
 * Makes sure that the block is written (zeros, if nothing else) up to `end` and somewhat further; the topic's records
 * fill it up to `filled`. Only a matter of speed: what fails is left, and the append itself meets it. Needs
 * append_lock.
 */
void prewrite_ahead(struct block *block, uint64_t filled, uint64_t end);

#endif
