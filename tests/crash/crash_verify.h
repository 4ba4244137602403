/*
 * crash_verify.h - compares an open log with what may and must be in it.
 */
#ifndef WALRUS_TESTS_CRASH_VERIFY_H
#define WALRUS_TESTS_CRASH_VERIFY_H

#include "crash_model.h"

struct expected_topic {
    const char *name;
    bool may_exist;
    bool must_exist;
    const struct model_entry *entries;
    uint64_t first_low; /* the first retained entry */
    uint64_t first_high;
    size_t min_count;
    size_t max_count;
    struct expected_cursor {
        bool may_exist;
        bool must_exist;
        uint64_t low;
        uint64_t high;
        uint64_t set_to; /* or exactly here; UINT64_MAX: nowhere else */
    } cursors[MODEL_GROUPS];
    const uint32_t *modes;
    size_t mode_count; /* 0: any */
    bool deleting;     /* it may be gone with its parts of batches over several topics */
};

struct expected_log {
    struct expected_topic topics[MODEL_TOPICS];
    struct {
        const char *name;
        bool may_exist;
        bool must_exist;
    } namespaces[MODEL_NAMESPACES];
    struct {
        const char *name;
        bool may_exist;
        bool must_exist;
    } groups[MODEL_GROUPS];
    const struct model_shared *shared; /* the first is not used */
    size_t shared_count;
    bool may_be_unsynced; /* not all that is there is known to be durable: the log was not just recovered */
};

struct seen_log {
    struct {
        bool exists;
        uint64_t first;
        size_t count;
        struct {
            bool exists;
            uint64_t sequence;
        } cursors[MODEL_GROUPS];
        uint32_t mode;
        enum walrus_sync_mode sync;
    } topics[MODEL_TOPICS];
    bool namespaces[MODEL_NAMESPACES];
    bool groups[MODEL_GROUPS];
};

struct finding {
    bool found;
    char text[900];
};

__attribute__((format(printf, 2, 3))) void finding_set(struct finding *finding, const char *format, ...);

/* What a power cut now must and may leave. Points into the model. */
void expect_from_model(struct expected_log *expected, const struct model *model);
/* What a kill of the process now, with the system going on, must and may leave: all that was acknowledged. */
void expect_after_kill(struct expected_log *expected, const struct model *model);
/* Narrows the expectation to exactly what was seen. `seen` must outlive it. */
void expect_what_was_seen(struct expected_log *expected, const struct seen_log *seen);

/*
 * Reads everything: entries by position, the stream too when `with_stream`, cursors by a peek. False, and the finding
 * filled, at the first thing that is wrong.
 */
bool verify_log(struct walrus_log *log, const struct expected_log *expected, bool with_stream, struct seen_log *seen,
                struct finding *finding);

#endif
