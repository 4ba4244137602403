/*
 * group_cursor.h - where a group stands on a topic: one object for each pair, shared by all handles, owned by the
 * topic.
 *
 * `position` is the next entry that nobody of the group has been given yet. Below it lies what was given and is done
 * with, and in between what is outstanding: taken and not acknowledged, or given back. The lowest of these is where the
 * cursor may be durable ("low").
 *
 * A cursor exists once it has a slot in the cursor file: from then on it holds back what retention by consumption may
 * free. Until then the object only remembers that handles are open.
 */
#ifndef WALRUS_STORE_GROUP_CURSOR_H
#define WALRUS_STORE_GROUP_CURSOR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <walrus/walrus.h>

#include "format/cursor_slot.h"
#include "store/group_table.h"
#include "store/outstanding.h"
#include "store/topic.h"

/* A place for a cursor to be durable at. */
struct cursor_place {
    uint64_t sequence;
    uint64_t offset; /* 0 where it is not known without reading */
};

/* What has become of a checkpoint ahead of time. */
enum checkpoint_ahead {
    AHEAD_IDLE = 0,  /* none, or its result was taken note of */
    AHEAD_UNDER_WAY, /* the worker has it */
    AHEAD_ENDED,     /* the result is there: whoever has the lock next takes note of it */
};

struct group_cursor {
    struct walrus_topic *topic; /* owns the cursor; handles hold references to the topic */
    struct group *group;
    _Atomic uint32_t references; /* the topic's list, each handle, and who works with it for a moment */

    /* lock of the topic */
    struct group_cursor *next; /* in topic->cursors */
    uint32_t handle_count;
    /* Changed under the topic's lock, too, where they make the cursor hold back more than before. */
    _Atomic bool exists;
    _Atomic uint64_t durable_sequence;
    _Atomic bool
        lost; /* its slot is damaged: where it stood is not known, so it holds everything back until it exists again */

    pthread_mutex_t lock;
    pthread_cond_t checkpoint_ended;
    /* lock */
    struct walrus_position position;
    struct outstanding outstanding;
    uint64_t overtaken_entries;
    uint64_t settled_first;      /* the topic's first sequence when somebody last looked */
    struct walrus_entries ahead; /* entries read ahead of single reads: from ahead_next on they are the next ones */
    size_t ahead_next;
    /* where it is durable (checkpoint.c) */
    bool has_slot;
    uint64_t slot;
    uint64_t generation;         /* of the slot's durable copy */
    uint64_t highest_generation; /* ever written to it */
    uint64_t durable_offset;     /* 0: unknown */
    uint64_t checkpointed_ns;
    uint64_t durable_block; /* first sequence of the block that holds durable_sequence, when somebody last looked */
    /* The checkpoint that the worker has been asked for; the lock is free meanwhile. */
    _Atomic enum checkpoint_ahead ahead_state; /* idle and under way: the lock; ended: the worker */
    _Atomic uint32_t ahead_awaited;            /* so many sleep until it has ended */
    struct cursor_record ahead_record;         /* fixed while it is under way */
    enum walrus_code ahead_code;               /* the worker's, until it has ended */

    /* cursor_worker.lock */
    struct group_cursor *queue_next;              /* among those that wait for a checkpoint */
    struct group_cursor *lease_next, *lease_prev; /* among those with leases */
    bool has_lease;
    uint64_t lease_end_ns;
};

/* A handle: walrus_cursor_open(). */
struct walrus_cursor {
    struct group_cursor *shared;
    bool has_own;
    struct walrus_consistency own;
    struct holder holder; /* lock of the shared cursor */
};

/* Opens and ends a handle; the caller has a reference to the topic. */
enum walrus_code group_cursor_open(struct walrus_topic *topic, const char *group,
                                   const struct walrus_consistency *consistency, struct walrus_cursor **cursor,
                                   struct walrus_error *error);
void group_cursor_close(struct walrus_cursor *cursor);

void group_cursor_acquire(struct group_cursor *cursor);
void group_cursor_release(struct group_cursor *cursor);

/* For recovery: a cursor that was persisted. Takes over the reference to the group. */
struct found_cursor;
enum walrus_code group_cursor_restore(struct walrus_topic *topic, struct group *group, const struct found_cursor *found,
                                      struct walrus_error *error);

/* Ends all cursors of a topic that nobody refers to any more; the slots of a deleted topic become free. */
void group_cursors_destroy(struct walrus_topic *topic);

/* The group was deleted, durably: its cursor on the topic is no more, and its slot is free. */
void group_cursor_forget(struct walrus_topic *topic, struct group *group);

/* WALRUS_E_DELETED when the group is no more. Needs the lock. */
enum walrus_code group_cursor_check_locked(const struct group_cursor *cursor, struct walrus_error *error);

/* The first entry that is not done with: where the cursor may be durable. Needs the lock. */
struct cursor_place group_cursor_low_locked(const struct group_cursor *cursor);
/* The same, once first .. end - 1 are done with, too. */
struct cursor_place group_cursor_low_without_locked(const struct group_cursor *cursor, uint64_t first, uint64_t end);

/* What was retained when the position was set may be gone by now. Needs the lock. */
void group_cursor_settle_locked(struct group_cursor *cursor);

/*
 * What retention by consumption goes by: the lowest durable position of the topic's cursors; 0 where one is damaged.
 * False: no cursor exists.
 * Needs the topic's lock, and stays true as long as the caller holds it.
 */
bool topic_consumed_locked(const struct walrus_topic *topic, uint64_t *sequence);

/* The calls of walrus_consume.h, arguments checked. */
enum walrus_code cursors_list(struct walrus_topic *topic,
                              int (*visit)(const struct walrus_cursor_info *cursor, void *context), void *context,
                              struct walrus_error *error);
enum walrus_code cursors_delete(struct walrus_topic *topic, const char *group, struct walrus_error *error);

/* walrus_cursors_forget_damaged() */
enum walrus_code cursors_forget_damaged(struct walrus_log *log, uint64_t *forgotten, struct walrus_error *error);

/* Persists every cursor of a topic that has moved. For the end of a log, when no handle is open. */
enum walrus_code cursors_persist(struct walrus_topic *topic, struct walrus_error *error);

#endif
