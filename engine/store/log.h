/*
 * log.h - an open log: what it is made of, and how it is opened on any I/O backend.
 */
#ifndef WALRUS_STORE_LOG_H
#define WALRUS_STORE_LOG_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <walrus/walrus.h>

#include "io/io.h"
#include "store/batch_order.h"
#include "store/catalog.h"
#include "store/clean_mark.h"
#include "store/cursor_file.h"
#include "store/cursor_worker.h"
#include "store/flusher.h"
#include "store/janitor.h"
#include "store/group_table.h"
#include "store/marker.h"
#include "store/segment_set.h"
#include "store/topic_table.h"

#define LOG_SPARE_BUFFERS 8

/* What recovery met; fixed after the open. */
struct recovery_findings {
    uint64_t torn_tails;
    uint64_t batches_dropped;
    uint64_t damages;
    uint64_t adopted;
    uint64_t took_ns;
    uint64_t walked_bytes; /* of blocks whose records were looked at */
    char note[200];        /* the first finding */
};

/* Counters that threads of different topics seldom share: each on another cache line. */
#define LOG_COUNTER_STRIPES 32u

struct log_counter {
    _Atomic uint64_t value;
    char apart[56];
};

struct walrus_log {
    struct io *io;
    struct walrus_options options; /* strings are not kept */
    uint64_t log_id;
    struct catalog catalog;
    struct segment_set segments;
    struct cursor_file cursors;
    struct topic_table names;
    struct group_table groups;
    struct cursor_worker cursor_worker;
    struct flusher flusher;
    struct janitor janitor;
    struct batch_order batch_order;
    struct clean_mark mark;
    struct marker marker;
    struct recovery_findings findings;
    _Atomic uint64_t batches;
    _Atomic uint64_t syncs;
    _Atomic uint64_t sync_failures;
    _Atomic uint64_t checkpoints;
    _Atomic uint64_t freed_blocks;
    _Atomic uint64_t freed_bytes;
    _Atomic uint64_t block_count; /* of those in the topics' lists */
    _Atomic uint64_t block_bytes;
    struct log_counter appended_entries[LOG_COUNTER_STRIPES]; /* by the topic's id */
    _Atomic(void *) spare_buffers[LOG_SPARE_BUFFERS];         /* staging areas kept from call to call */
};

/*
 * Opens a log on `io`, of which the log becomes the owner, also on failure. `options` were checked; options->create
 * makes the log when the directory has none.
 */
enum walrus_code log_open_on(struct io *io, const struct walrus_options *options, struct walrus_log **log,
                             struct walrus_error *error);

/* Whether the directory has a catalogue, and whether it has any other file of a log. */
int log_look_for_files(struct io *io, bool *has_catalog, bool *has_others);

/* Makes everything durable, marks the topics' ends, frees all. The first failure is reported, the rest is done all the
 * same. */
enum walrus_code log_close(struct walrus_log *log, struct walrus_error *error);

/* Has the making and removing of files put on record in the catalogue. For recovery, once the catalogue is open. */
void log_keep_record(struct walrus_log *log);
/* Writes the records of all files there are. */
enum walrus_code log_emit_files(struct walrus_log *log, struct catalog *into, struct walrus_error *error);

/* walrus_sync() */
enum walrus_code log_sync(struct walrus_log *log, struct walrus_error *error);

static inline void log_count_entries(struct walrus_log *log, uint64_t topic_id, uint64_t entries)
{
    atomic_fetch_add_explicit(&log->appended_entries[topic_id % LOG_COUNTER_STRIPES].value, entries,
                              memory_order_relaxed);
}

/* A block came to a topic, or left it. */
static inline void log_count_block(struct walrus_log *log, uint64_t bytes, bool came)
{
    atomic_fetch_add_explicit(&log->block_count, came ? 1 : -UINT64_C(1), memory_order_relaxed);
    atomic_fetch_add_explicit(&log->block_bytes, came ? bytes : -bytes, memory_order_relaxed);
}

void log_fill_info(struct walrus_log *log, struct walrus_log_info *info);

/* At least `size` bytes (*capacity says); NULL when out of memory. Given back with log_give_buffer(). */
void *log_take_buffer(struct walrus_log *log, size_t size, size_t *capacity);
void log_give_buffer(struct walrus_log *log, void *buffer);

#endif
