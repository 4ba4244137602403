/*
 * model.h - a log in memory: the simplest thing that says what the real one may show and must show.
 *
 * An entry is a length and a key that its bytes follow from; a topic is an array of entries; a cursor is a position and
 * a list of what was taken. There is no pointer in it that outlives a session, because on real files each session (an
 * open, some calls, a close or a kill) runs in a process of its own, and all of them share this memory.
 *
 * A log with threads frees what no policy keeps at any moment. So the model knows no exact first entry: `first` is what
 * was seen last, and `first_high` how far a policy has ever allowed it to go.
 */
#ifndef WALRUS_TESTS_MODEL_H
#define WALRUS_TESTS_MODEL_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <walrus/walrus.h>

#include "../support/memory_disk.h"
#include "../support/random.h"

#define TOPICS 5u
#define GROUPS 4u
#define HANDLES 3u
#define PLACES_MAX (1u << 17)
#define TAKEN_MAX 300u
#define SHARED_MAX 2000u
#define BATCH_MAX 300u
#define NOBODY HANDLES

/* One entry. */
struct place {
    uint64_t offset; /* in the stream */
    uint64_t key;
    uint64_t from_ns, until_ns; /* its time is in between */
    uint32_t length;
    uint32_t unit_index; /* in its batch: an entry with one above 0 cannot be without the one before it */
};

/* An entry that a cursor has passed and that is not done with. */
struct taken {
    uint64_t sequence;
    unsigned holder; /* NOBODY: given back */
    bool available;  /* given back, or the lease has ended */
};

struct handle {
    struct walrus_cursor *cursor; /* NULL: not open */
    bool has_own;
    struct walrus_consistency own;
};

struct model_cursor {
    bool exists;
    uint64_t position; /* the next entry that was never handed out; may lie before the topic's first */
    uint64_t overtaken;
    bool overtaken_unsure; /* something was freed while it was counted */
    uint64_t durable;      /* it is at least there, as far as was seen */
    size_t taken_count;
    struct taken taken[TAKEN_MAX]; /* by growing sequence */
    struct handle handles[HANDLES];
};

struct model_topic {
    bool exists;
    bool name_durable;
    struct walrus_topic *handle; /* NULL: not open */
    enum walrus_framing framing;
    struct walrus_sync_policy sync;    /* its own, perhaps INHERIT */
    struct walrus_retention retention; /* likewise */
    uint64_t count;
    uint64_t end_offset;
    uint64_t durable; /* entries that must survive a power cut */
    uint64_t first, first_high;
    struct walrus_position walk;   /* of a reader that goes on from call to call */
    struct walrus_position stream; /* likewise, by bytes */
    struct model_cursor cursors[GROUPS];
    struct place places[PLACES_MAX];
};

struct model_group {
    bool exists;
    bool has_own;
    struct walrus_consistency own;
};

/* A batch over several topics that is not known durable: its parts are there, or none of them is. */
struct model_shared {
    uint64_t ends[TOPICS]; /* of its part; 0: none */
};

struct tally {
    uint64_t appended, batches, shared, compared, consumed, taken, acknowledged, given_back, trims, freed, deletes,
        groups, closes, kills, cuts;
};

enum ending { ENDS_CLOSED, ENDS_KILLED, ENDS_CUT };

struct run {
    const char *backend;
    uint64_t seed, op, ops;
    struct random_source random;
    struct walrus_options options; /* of this session */
    char directory[512];
    struct memory_disk *disk; /* NULL: real files */
    bool threads;             /* of the log: something may happen at any moment */
    bool repeats;      /* the run follows from the seed alone: no checkpoints by a thread, no ages but far ones */
    uint64_t clock_ns; /* without threads: what retention takes for now */
    struct walrus_log *log;
    uint64_t next_key;
    const char *call;  /* under way, or the last one */
    enum ending ended; /* of the session before */
    struct tally tally;
    struct model_group groups[GROUPS];
    size_t shared_count;
    struct model_shared shared[SHARED_MAX];
    struct model_topic topics[TOPICS];
};

extern const char *const topic_names[TOPICS];
extern const char *const group_names[GROUPS];

/* Says what is different, with the seed, and ends the process. */
__attribute__((noreturn, format(printf, 2, 3))) void differ(struct run *run, const char *format, ...);
void must(struct run *run, enum walrus_code code, const struct walrus_error *error, const char *what);
const char *name_of(struct run *run, const struct model_topic *topic);

/* ---- the model itself (model.c) ---- */

uint32_t model_delimiter_bytes(const struct model_topic *topic);
uint8_t model_delimiter(const struct model_topic *topic);
void model_topic_born(struct model_topic *topic);
/* An entry that was appended in between; `unit_index` as in struct place. */
void model_add(struct model_topic *topic, uint32_t length, uint64_t key, uint32_t unit_index, uint64_t from_ns,
               uint64_t until_ns);
/* Only the first `count` entries are left. */
void model_cut(struct model_topic *topic, uint64_t count);
uint64_t model_offset(const struct model_topic *topic, uint64_t sequence);
/* The last entry that begins at or before the byte. */
uint64_t model_find(const struct model_topic *topic, uint64_t offset);
bool model_place_is(const struct place *place, const void *data, size_t length);

/* Entries of a read that began at `sequence`, of which at most `most` may be handed out, and none at or after `end`. */
void check_entries(struct run *run, const struct model_topic *topic, const struct walrus_entries *entries,
                   uint64_t sequence, uint64_t end, const struct walrus_read_limits *limits);

void model_cursor_forget(struct model_cursor *cursor);
uint64_t model_held(const struct model_cursor *cursor);
/* The first entry that is not done with, when the topic begins at `first`. */
uint64_t model_low(const struct model_cursor *cursor, uint64_t first);
/* Drops what waits before the topic's first entry, and counts it. */
void model_settle(struct model_cursor *cursor, uint64_t first);

/* ---- what is retained (model_retain.c) ---- */

uint64_t now_ns(void);
/* The first entry as the log says; nothing is compared. */
uint64_t first_now(struct run *run, const struct model_topic *topic);
/* The same, compared with what may have been freed. */
uint64_t learn_first(struct run *run, struct model_topic *topic);
/* Before anything that makes a policy keep more than before. */
void note_limit(struct run *run, struct model_topic *topic);
void note_limits(struct run *run);
/* The policy is known to keep more, and nothing is under way. */
void lower_limit(struct run *run, struct model_topic *topic, uint64_t sequence);
/* Has retention do its work (without threads), and compares what it has freed with what it had to. */
void look_at_retention(struct run *run);

/* ---- calls ---- */

struct model_topic *some_topic(struct run *run);
struct walrus_read_limits some_limits(struct random_source *random);
struct walrus_consistency some_consistency(struct run *run);

void append_one(struct run *run);
void append_batch(struct run *run);
void append_shared(struct run *run);
void delete_topic(struct run *run);
void configure_topic(struct run *run);
void trim_topic(struct run *run);
void sync_something(struct run *run);

void seek_and_read(struct run *run);
void seek_time(struct run *run);
void walk_on(struct run *run);
void read_stream(struct run *run);
/* All that is retained. */
void read_whole(struct run *run, struct model_topic *topic);

void consume(struct run *run);
void take(struct run *run);
void acknowledge(struct run *run);
void give_back(struct run *run);
void set_cursor(struct run *run);
void delete_cursor(struct run *run);
void close_a_handle(struct run *run);
void change_group(struct run *run);
void close_handle(struct run *run, struct model_topic *topic, unsigned group, unsigned handle);
/* Every cursor of the topic as walrus_cursor_list() says. */
void check_cursors(struct run *run, struct model_topic *topic);
void check_groups(struct run *run);

void check_info(struct run *run);
void check_topic_info(struct run *run, struct model_topic *topic);
void close_topic(struct run *run, struct model_topic *topic);

/* ---- sessions (model_session.c) ---- */

/* Opens the log, compares what the ending before has left, makes calls, and ends; on real files in a child. */
void run_session(struct run *run, uint64_t calls, void (*call)(struct run *run));
/* The model in memory that is shared with children, and a place for the log. */
struct run *start_sessions(const char *backend, uint64_t seed, const char *parent);
/* Removes both. */
void finish_sessions(struct run *run);

#endif
