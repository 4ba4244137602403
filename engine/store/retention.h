/*
 * retention.h - which blocks of a topic no policy keeps, and when somebody should look.
 *
 * Only whole blocks go, the oldest first, never the tail block and never what readers do not see yet. What may have
 * made a block free notes the topic with the janitor, which looks (retention_decide) and moves the head up (head.h):
 *   consumed  a cursor has passed a block durably, was deleted, or a block was added behind what all have passed
 *   bytes     the topic has grown past the point that its last look worked out (topic->due_offset)
 *   age       the time has come that its last look worked out
 * and for all of them a new block, new settings, and the opening of the log. Nothing is looked at for no reason.
 */
#ifndef WALRUS_STORE_RETENTION_H
#define WALRUS_STORE_RETENTION_H

#include "store/head.h"
#include "store/topic.h"

/*
 * A cursor of the topic has passed a block durably, was set, or is no more; or the topic's settings have changed. Must
 * not wait, and takes no lock above the topic's.
 */
void retention_note_progress(struct walrus_topic *topic);
/* The same for who holds the topic's lock: a block was added, or due_offset was reached. */
void retention_note_growth_locked(struct walrus_topic *topic);

/*
 * Whether the topic has blocks that go now; then *move says where it is to begin. From here until retention_done() no
 * cursor may be set to an entry before that. Needs trim_lock.
 */
bool retention_decide(struct walrus_topic *topic, uint64_t now_ns, struct head_move *move);

/* After the move, if there was one: *look_ns is when to look again for the sake of time alone (UINT64_MAX: never). One
 * that failed is the caller's to try again later. Needs trim_lock. */
void retention_done(struct walrus_topic *topic, bool failed, uint64_t *look_ns);

#endif
