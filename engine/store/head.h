/*
 * head.h - the first retained entry of a topic: moved up by trimming and retention, never down.
 *
 * In this order, each step durable before the next begins:
 *  1. the entries up to the new head: a head never passes what is durable, and a batch over several topics is durable
 * in all of them before a part of it goes. The entry at the head, too, if there is one, and so the block that it stands
 * in: a crash may leave any of the blocks before it, and without this one the topic would seem to end before its head;
 *  2. once in a topic's life: a slot of the cursor file with where it begins so far, then the catalogue's record that
 *     there is such a slot. A topic on record without a valid slot is damaged then, and none whose first block a power
 *     cut took;
 *  3. the head, in that slot: one small overwrite;
 * then readers see it, and the blocks before it leave the topic: the janitor clears each when its last reader is done.
 *
 * What can fail, and what then: any of the steps: the head stays where it was and nothing is freed (after a failed
 * write of the slot, the old head is put back over it, as far as the disk lets us); a crash between 3 and the clearing:
 * the next open frees what lies below the head.
 */
#ifndef WALRUS_STORE_HEAD_H
#define WALRUS_STORE_HEAD_H

#include "store/topic.h"

/* A head to be moved. */
struct head_move {
    struct walrus_topic *topic;
    uint64_t sequence; /* at most what readers see */
    uint64_t offset;   /* of the entry `sequence` in the stream */
    enum walrus_code code;
    struct walrus_error error;
    bool moves; /* private: it would not go back */
};

/*
 * Moves heads up: topics of one log, no topic twice, whose trim_lock the caller holds. One sync serves them all. Each
 * move has its own result. One that would go back succeeds and does nothing.
 */
void head_move_up(struct walrus_log *log, struct head_move *moves, size_t move_count);

/* walrus_topic_trim() */
enum walrus_code topic_trim(struct walrus_topic *topic, uint64_t sequence, struct walrus_error *error);

#endif
