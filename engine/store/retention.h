/*
 * retention.h - which blocks of a topic may be freed, and when somebody should look.
 */
#ifndef WALRUS_STORE_RETENTION_H
#define WALRUS_STORE_RETENTION_H

#include "store/topic.h"

/*
 * A cursor of the topic has passed a block durably, was set, or is no more: topic_consumed_locked() (group_cursor.h)
 * may tell more than before. Called with the cursor's lock held: must not wait, nor take a lock above the topic's.
 */
static inline void retention_note_progress(struct walrus_topic *topic)
{
    (void)topic;
}

#endif
