/*
 * walrus_consume.h - consuming: groups, their cursors, and acknowledgement. Part of walrus.h, which includes it.
 *
 * A group is a name in the log; on each topic it consumes from it has a cursor, a persisted position. Each entry goes
 * to one consumer of a group. The group "default" always exists. A cursor comes into being, at the first retained
 * entry, when it is first read through, set, or taken from; from then on retention WALRUS_RETAIN_CONSUMED keeps what it
 * has not passed.
 */
#ifndef WALRUS_CONSUME_H
#define WALRUS_CONSUME_H

#include <walrus/walrus.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- groups ------------------------------------------------------------------------------------------------------ */

struct walrus_group_info {
    const char *name; /* valid during the call that hands it out */
    uint64_t id;      /* unique in the log for ever; 0: default */
    struct walrus_consistency consistency;
    bool consistency_inherited; /* it is the log's */
    uint64_t created_ns;
};

/*
 * Makes a group; durable on return. The name is one component of a topic name. `consistency` NULL: the log's.
 * WALRUS_E_EXISTS for a group that is there, "default" included.
 */
enum walrus_code walrus_group_create(struct walrus_log *log, const char *group,
                                     const struct walrus_consistency *consistency, struct walrus_error *error);

/* Gives the group, "default" too, a consistency of its own (NULL: the log's); durable on return. */
enum walrus_code walrus_group_configure(struct walrus_log *log, const char *group,
                                        const struct walrus_consistency *consistency, struct walrus_error *error);

/*
 * Removes the group with its cursors on all topics; durable on return. Handles that are open fail with WALRUS_E_DELETED
 * from then on. "default" is WALRUS_E_INVALID: delete its cursors instead.
 */
enum walrus_code walrus_group_delete(struct walrus_log *log, const char *group, struct walrus_error *error);

/* Figures of one group; info->name is NULL here. WALRUS_E_NOT_FOUND for a group that was not made. */
enum walrus_code walrus_group_find(struct walrus_log *log, const char *group, struct walrus_group_info *info,
                                   struct walrus_error *error);

/* Calls visit for each group, "default" first, on a snapshot: visit may call the library. Non-zero ends the walk. */
enum walrus_code walrus_group_list(struct walrus_log *log,
                                   int (*visit)(const struct walrus_group_info *group, void *context), void *context,
                                   struct walrus_error *error);

/* ---- cursors ----------------------------------------------------------------------------------------------------- */

/*
 * Opens a handle on the cursor of a group (NULL: "default") on a topic. WALRUS_E_NOT_FOUND for a group that was not
 * made: a slip of the finger must not consume. Handles of one group share its cursor: each entry goes to exactly one of
 * them. `consistency` NULL: the group's; else this handle's.
 */
enum walrus_code walrus_cursor_open(struct walrus_topic *topic, const char *group,
                                    const struct walrus_consistency *consistency, struct walrus_cursor **cursor,
                                    struct walrus_error *error);

/*
 * Gives back what the handle has taken and not acknowledged, and persists the cursor (at-least-once) when anything was
 * read. The handle is gone even on failure. NULL is allowed.
 */
enum walrus_code walrus_cursor_close(struct walrus_cursor *cursor, struct walrus_error *error);

enum walrus_cursor_flags {
    WALRUS_PEEK = 1 << 0 /* hand out, but leave the cursor where it is */
    /* WALRUS_NONBLOCK is understood too: WALRUS_E_WOULD_BLOCK instead of waiting for a sync or another reader */
};

/*
 * Reads the next entries and, without WALRUS_PEEK, checkpoints the cursor past them as the consistency says. Success
 * with count 0: nothing there. WALRUS_E_DAMAGED: the next entry is damaged; walrus_cursor_skip_damage() goes past it.
 * If the checkpoint fails, nothing is handed out and the cursor has not moved.
 *
 * While entries of the group are taken and not acknowledged, its durable cursor stays before them, and a crash hands
 * out again what was read behind them, strictly-at-once or not. Don't mix the two ways in one group.
 */
enum walrus_code walrus_cursor_read(struct walrus_cursor *cursor, const struct walrus_read_limits *limits,
                                    unsigned flags, struct walrus_entries *entries, struct walrus_error *error);

/*
 * Moves a cursor that stands before a damaged entry behind it, to the next valid one or the end; durable on return.
 * `*skipped_entries` (may be NULL) says how many entries that took; 0: the next entry is not damaged.
 */
enum walrus_code walrus_cursor_skip_damage(struct walrus_cursor *cursor, uint64_t *skipped_entries,
                                           struct walrus_error *error);

/* The sequence of the next entry that the group has not handed out yet (given back ones apart). */
enum walrus_code walrus_cursor_get(struct walrus_cursor *cursor, uint64_t *sequence, struct walrus_error *error);

/*
 * Moves the cursor; durable on return. WALRUS_E_RANGE outside first_sequence .. next_sequence. What handles have taken
 * is theirs no more: acknowledging it is WALRUS_E_RANGE. For an offset, a time, the begin or the end, seek first.
 */
enum walrus_code walrus_cursor_set(struct walrus_cursor *cursor, uint64_t sequence, struct walrus_error *error);

struct walrus_cursor_info {
    const char *group;          /* valid during the call that hands it out */
    uint64_t sequence;          /* as walrus_cursor_get() */
    uint64_t durable_sequence;  /* where a crash would leave the cursor */
    uint64_t lag_entries;       /* entries that are not acknowledged yet: durable or not, up to the topic's end */
    uint64_t lag_bytes;         /* of the stream, likewise */
    uint64_t taken_entries;     /* handed out by walrus_cursor_take() and neither acknowledged nor given back */
    uint64_t overtaken_entries; /* that retention or trimming freed before the group came to them, since open */
    uint64_t checkpointed_ns;   /* time of the durable cursor */
    uint32_t handle_count;      /* open now */
    bool damaged;               /* where the group stood is not known: see below */
    struct walrus_consistency consistency;
};

/* Calls visit for each cursor that exists on the topic, on a snapshot. A non-zero return ends the walk. */
enum walrus_code walrus_cursor_list(struct walrus_topic *topic,
                                    int (*visit)(const struct walrus_cursor_info *cursor, void *context), void *context,
                                    struct walrus_error *error);

/*
 * Forgets the cursor of a group on a topic, which then holds nothing back any more; durable on return. WALRUS_E_BUSY
 * while handles are open, WALRUS_E_NOT_FOUND when there is none.
 */
enum walrus_code walrus_cursor_delete(struct walrus_topic *topic, const char *group, struct walrus_error *error);

/*
 * Damaged cursors. Where a group stood is gone then, and what it had not read yet must not go with it: retention
 * WALRUS_RETAIN_CONSUMED frees nothing of the topic until the group has a cursor there again (it was set, or the group
 * has begun anew at the first retained entry), or it was deleted, or the group was. walrus_cursor_list() shows such a
 * cursor as `damaged`. Where it cannot even be told whose a damaged cursor was (walrus_log_info's damaged_cursors),
 * nothing is freed as consumed in the whole log, until this call gives up, durably, what these said. `*forgotten` (may
 * be NULL): how many there were.
 */
enum walrus_code walrus_cursors_forget_damaged(struct walrus_log *log, uint64_t *forgotten, struct walrus_error *error);

/* ---- acknowledgement apart from reading -------------------------------------------------------------------------- */

/*
 * Takes the next entries without moving the durable cursor: they are this handle's until it acknowledges them, gives
 * them back, or is closed, and no other consumer of the group gets them meanwhile. With lease_ms > 0 others may have
 * them after that time; acknowledging them later is WALRUS_E_RANGE, for those that went to somebody else. What was
 * given back is handed out first, in order of sequence. A crash gives back everything from the durable cursor on.
 */
enum walrus_code walrus_cursor_take(struct walrus_cursor *cursor, const struct walrus_read_limits *limits,
                                    unsigned flags, uint32_t lease_ms, struct walrus_entries *entries,
                                    struct walrus_error *error);

/*
 * Acknowledges `count` entries from `sequence` on, all of which this handle must hold, else WALRUS_E_RANGE with nothing
 * done. The durable cursor moves past every entry before the first that is not acknowledged: at once
 * (strictly-at-once), or every n acknowledgements and at close (at-least-once). If the checkpoint fails, the entries
 * are still held.
 */
enum walrus_code walrus_cursor_acknowledge(struct walrus_cursor *cursor, uint64_t sequence, uint64_t count,
                                           struct walrus_error *error);

/* Gives `count` entries from `sequence` on back, to be handed out again; as above. */
enum walrus_code walrus_cursor_give_back(struct walrus_cursor *cursor, uint64_t sequence, uint64_t count,
                                         struct walrus_error *error);

#ifdef __cplusplus
}
#endif
#endif
