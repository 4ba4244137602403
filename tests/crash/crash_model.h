/*
 * crash_model.h - what a log may hold and must hold if the power failed now.
 *
 * The script keeps it up to date: before a call it notes what is in flight, after the call what was acknowledged.
 * Verifying a crashed copy only reads it, so that this may happen in the middle of a call.
 */
#ifndef WALRUS_TESTS_CRASH_MODEL_H
#define WALRUS_TESTS_CRASH_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <walrus/walrus.h>

struct model_entry {
    uint8_t *bytes;
    size_t length;
    bool starts_unit; /* false: a later entry of a batch, which cannot be without the ones before it */
    uint32_t shared;  /* its batch over several topics, in model.shared; 0: none */
};

#define MODEL_TOPICS 6
#define MODEL_NAMESPACES 4
#define MODEL_GROUPS 3
#define MODEL_TAKEN 40
#define MODEL_MODES 16

/* An entry that was taken and not acknowledged. */
struct model_taken {
    uint64_t sequence;
    bool given_back;
};

/* The cursor of a group on a topic: where it is to the live log, and what a crash may leave. */
struct model_cursor {
    bool exists;                           /* it was made, durably */
    bool may_exist;                        /* or is being made */
    uint64_t next;                         /* the next entry that was never handed out */
    struct model_taken taken[MODEL_TAKEN]; /* by growing sequence, all of them retained */
    size_t taken_count;
    uint64_t low, high; /* bounds of the durable position */
    uint64_t set_to;    /* in flight: it may be exactly here, or UINT64_MAX */
    uint32_t interval;  /* at_least_once(n) of its handle; 0: strictly_at_once */
    struct walrus_cursor *handle;
};

struct model_group {
    const char *name;
    bool exists;
    bool changing; /* it is being made, or deleted */
};

/* A batch over several topics: its part in each of them is there, or in none. */
struct model_shared {
    size_t ends[MODEL_TOPICS]; /* where its part ends in the topic; 0: no part there, or the topic is gone */
};

struct model_topic {
    const char *name;
    bool exists;   /* to the live log */
    bool durable;  /* must survive */
    bool creating; /* in flight: may exist */
    bool deleting; /* in flight: may be gone */
    enum walrus_sync_mode sync;
    struct model_entry *entries; /* acknowledged, then in flight */
    size_t capacity;
    size_t count;          /* acknowledged */
    size_t pending_count;  /* in flight, behind the acknowledged ones */
    size_t durable_count;  /* must survive */
    size_t doubtful_count; /* behind the others: failed on a disk that died, so they may be there or not */

    struct model_cursor cursors[MODEL_GROUPS];

    /* The first retained entry: to the live log, which a crash may not undo, and as far as one may find it. */
    uint64_t first;
    uint64_t first_high;

    /* Permission bits set since the last one known durable: any of them may survive. */
    uint32_t modes[MODEL_MODES];
    size_t mode_count;

    struct walrus_topic *handle;
};

struct model_namespace {
    const char *name;
    bool exists;
    bool durable;
    bool changing; /* a create or remove is in flight */
};

struct model {
    struct model_topic topics[MODEL_TOPICS];
    struct model_namespace namespaces[MODEL_NAMESPACES];
    struct model_group groups[MODEL_GROUPS]; /* the first is "default" */
    struct model_shared *shared;             /* by model_entry.shared; the first is not used */
    size_t shared_count;
    uint64_t next_key;     /* of payloads: never the same twice, so that a wrong entry is always seen */
    const char *in_flight; /* the call, for messages */
};

void model_init(struct model *model, uint64_t seed);
/* Handles must be closed before. */
void model_fini(struct model *model);

/* Adds an entry of `length` bytes in flight and returns it. */
struct model_entry *model_add_pending(struct model *model, struct model_topic *topic, size_t length, bool starts_unit);
/* The number of a new batch over several topics; what is added to its topics from now on is in flight with it. */
uint32_t model_add_shared(struct model *model);
/* Puts the last pending entry of the topic into the batch. */
void model_join_shared(struct model *model, struct model_topic *topic, uint32_t shared);
/* It failed: no part will ever be seen. */
void model_forget_shared(struct model *model, uint32_t shared);
/* No batch has a part in this topic behind its first `count` entries any more. */
void model_leave_shared(struct model *model, const struct model_topic *topic, size_t count);
void model_pending_succeeded(struct model *model, struct model_topic *topic, bool durable);
void model_pending_failed(struct model_topic *topic);
/* Failed, but may be found after a crash. No entry may be added to the topic any more. */
void model_pending_doubtful(struct model_topic *topic);

/* The topic with all that it holds, its name and the namespaces that reach it must survive; so must every batch that it
 * has a part in, in all its topics, with all that they had before. */
void model_topic_is_durable(struct model *model, struct model_topic *topic);
/* Before the call that creates, and after it. */
void model_topic_creating(struct model *model, struct model_topic *topic, enum walrus_sync_mode sync, uint32_t mode);
void model_topic_created(struct model *model, struct model_topic *topic);
/* Its batches with other topics were made durable before. */
void model_topic_deleted(struct model *model, struct model_topic *topic);
void model_namespace_is_durable(struct model *model, const char *name);
/* After walrus_sync(), and with `closed` after walrus_close(). */
void model_all_durable(struct model *model, bool closed);

/* The first entry that is not done with: the durable cursor is never behind it. */
uint64_t model_cursor_low(const struct model_cursor *cursor);
/* The live log is about to hand out, and has handed out, `entry_count` entries through the cursor; nothing is taken. */
void model_cursor_moving(const struct model_topic *topic, struct model_cursor *cursor);
void model_cursor_moved(struct model_cursor *cursor, size_t entry_count);
/* The entries taken[at] to taken[at + count - 1] are about to be acknowledged, and were. */
void model_cursor_acknowledging(struct model_cursor *cursor, size_t at, size_t count);
void model_cursor_acknowledged(struct model_cursor *cursor, size_t at, size_t count);
/* The cursor was persisted where it is. */
void model_cursor_persisted(struct model_cursor *cursor);
/* There is none, or none any more. */
void model_cursor_forget(const struct model_topic *topic, struct model_cursor *cursor);

/* Entries before `sequence` are about to be given up, and were: what is before the new beginning is durable. */
void model_topic_trimming(struct model_topic *topic, uint64_t sequence);
void model_topic_trimmed(struct model_topic *topic, uint64_t sequence);

/* A power cut happened: this is all there is now, and it is durable. Likewise for a cursor, after its topic. */
void model_topic_recovered(struct model *model, struct model_topic *topic, bool exists, uint64_t first, size_t count,
                           uint32_t mode, enum walrus_sync_mode sync);
void model_cursor_recovered(const struct model_topic *topic, struct model_cursor *cursor, bool exists,
                            uint64_t sequence);

bool model_is_parent(const char *name_space, const char *name);

#endif
