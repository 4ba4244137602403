/*
 * sabotage.h - switches that break one guarantee each, so that the crash tests can be seen to find the loss.
 *
 * Only a build with -Dsabotage=true has them; elsewhere each is a constant false that the compiler removes.
 */
#ifndef WALRUS_STORE_SABOTAGE_H
#define WALRUS_STORE_SABOTAGE_H

#include <stdbool.h>

#ifdef WALRUS_SABOTAGE
struct store_sabotage {
    bool no_commit_mark_check; /* recovery keeps entries of a batch without its commit mark */
    bool cursor_before_data;   /* a cursor is persisted without making the entries before it durable */
    bool blocks_before_head;   /* blocks are cleared before the first retained entry is on disk */
    bool shared_parts_alone;   /* a topic depends on its own part of a batch over several topics only */
    bool no_ring_check;        /* recovery keeps parts of such a batch though others are missing */
    bool newer_segment_only;   /* a sync leaves out the segments that a topic wrote before its newest one */
    bool clean_state_kept;     /* an open leaves the clean mark as it is, and believes such a one */
    bool group_unsynced;       /* a group is made and deleted without making that durable */
    bool taken_is_done;        /* a cursor is persisted behind what was taken and not acknowledged */
    bool mark_before_sync;     /* a clean mark names what was not synced */
};
extern struct store_sabotage store_sabotage;
#define SABOTAGED(what) (store_sabotage.what)
#else
#define SABOTAGED(what) false
#endif

#endif
