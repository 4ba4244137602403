/*
 * topic.h - a topic in memory: its blocks, its ends, and what is not durable yet. docs/concurrency.md has the locks.
 */
#ifndef WALRUS_STORE_TOPIC_H
#define WALRUS_STORE_TOPIC_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <walrus/walrus.h>

#include "format/block_header.h"
#include "format/catalog_record.h"
#include "store/janitor.h"
#include "store/segment_set.h"

struct walrus_log;
struct group_cursor;
struct topic_faults;
struct watch_list;

/*
 * One block. What is not atomic is fixed when it is made.
 *
 * The topic's list holds a reference, and so does whoever reads: a block that leaves the list (superseded, retained no
 * more) is cleared on disk once the last reader has given it back, so that nobody ever reads zeros for entries.
 */
struct block {
    struct segment *segment;
    uint64_t segment_offset;
    uint64_t bytes;
    uint64_t index;
    uint64_t previous_index; /* of the block it follows; its own if there is none */
    uint64_t first_sequence;
    uint64_t first_offset;
    uint64_t created_ns;     /* at or before the time of its first entry, at or after that of any entry before */
    uint64_t newest_ns;      /* topic's lock: time of its newest entry, once somebody wanted to know; else 0 */
    uint32_t first_place;    /* of the first record, from the start of the block */
    uint32_t seed;           /* of the record headers' checksums */
    uint64_t prewritten_end; /* append_lock: zeros were written up to here, for appends to overwrite */
    _Atomic uint32_t references;
    _Atomic uint64_t end_place; /* no visible record ends behind this place */
    struct block *next_gone;    /* of those that have left the topic */
};

/* A segment that holds entries of the topic which are not known durable, or other topics' parts of batches that the
 * topic takes part in; and the ticket of the last write of them. */
struct dirty_segment {
    struct segment *segment;
    uint64_t ticket;
};

/* A sample of "up to this entry the segment's ticket was that": tells the durable horizon when nobody waits for syncs.
 */
struct durable_probe {
    struct segment *segment; /* NULL: none */
    uint64_t ticket;
    uint64_t sequence;
};

/* Where the topic's first retained entry is kept: a slot of the cursor file. */
struct head {
    bool on_record; /* the catalogue says that there is one */
    bool has_slot;
    uint64_t slot;
    uint64_t generation; /* of the slot's newest copy */
};

struct walrus_topic {
    struct walrus_log *log;
    uint64_t id;
    char *name;
    uint64_t created_ns;
    uint64_t recovered_sequence; /* next_sequence when the log was opened */
    /* Changed under names lock and append_lock while the topic is empty, which no reader of entries finds it. */
    enum walrus_framing framing;
    uint32_t delimiter_bytes; /* 0 or 1 */
    char delimiter;

    _Atomic uint32_t references;          /* handles and the table's own */
    _Atomic bool deleted;                 /* name gone */
    _Atomic uint64_t catalog_ticket;      /* of the newest catalogue record that the topic's entries need; only grows */
    _Atomic bool batch_running;           /* a batch has append_lock: for appends that rather fail than wait for one */
    _Atomic bool refuses;                 /* after a failed sync: no appends until the log is opened anew */
    _Atomic(struct watch_list *) watches; /* NULL until somebody watches; set under the lock (watch.h) */
    _Atomic uint64_t sync;                /* topic_own_sync(); changed under the names lock */

    /* names lock of the log */
    struct walrus_attributes attributes;
    struct walrus_retention retention; /* may be INHERIT; changed under `lock` too, so that either will do to look */

    pthread_mutex_t trim_lock;
    /* trim_lock */
    struct head head;

    pthread_mutex_t append_lock;
    /* append_lock */
    struct block *tail; /* where the next record goes; NULL: a new block first */
    uint64_t tail_place;
    uint64_t next_sequence;
    uint64_t next_offset;
    uint64_t next_block_index;
    bool must_not_wait; /* what the append that has its turn was told (WALRUS_NONBLOCK) */
    uint64_t append_ns; /* time of the newest append, also of one that failed: times never go back within a topic */
    struct durable_probe probe;
    bool leaving;         /* its deletion has begun: it takes part in no more batches over several topics */
    bool shared;          /* it took part in one since the log was opened */
    uint64_t last_shared; /* number of the newest one that waited for its sync (batch_order.h), or 0 */
    bool appended;        /* since open: a durable mark at close is worth its write */

    pthread_mutex_t lock;
    /* lock; never held over I/O */
    struct block **blocks; /* by growing first_sequence */
    size_t block_count;
    size_t block_capacity;
    uint64_t block_bytes;            /* of those in the list: kept as they come and go, so that asking costs no walk */
    _Atomic uint64_t first_sequence; /* of the first retained entry; changed under trim_lock too (head.h), read anywhere
                                      */
    uint64_t first_offset;
    uint64_t next_first_sequence; /* where retention is about to have it begin; no cursor is set to before that */
    uint64_t due_offset;          /* retention looks when the end of what readers see reaches it */
    uint64_t visible_sequence;    /* readers see entries below */
    uint64_t visible_offset;
    uint64_t visible_ns;               /* time of the last of them */
    _Atomic uint64_t durable_sequence; /* changed under the lock, read anywhere; entries below survive power loss */
    struct dirty_segment *dirty;       /* by growing age of the segment in this topic */
    size_t dirty_count;
    size_t dirty_capacity;
    uint64_t blotted_from;        /* entries from here on were overwritten after a failed sync; UINT64_MAX: none */
    uint64_t damages;             /* that recovery met */
    uint64_t damages_read;        /* others, that reads have met since */
    struct topic_faults *faults;  /* NULL: nothing went wrong yet */
    struct group_cursor *cursors; /* one for each group that handles are or were open for; owned by the topic */

    struct janitor_note janitor;
};

/* A topic without blocks; references is 1. `name` is copied. NULL when out of memory. */
struct walrus_topic *topic_create(struct walrus_log *log, uint64_t id, const char *name, enum walrus_framing framing);

/* The catalogue's records up to the ticket's are needed to find the topic's entries. */
void topic_raise_catalog_ticket(struct walrus_topic *topic, uint64_t ticket);

void topic_acquire(struct walrus_topic *topic);
/* False when nobody else refers to the topic any more: it is being freed. */
bool topic_try_acquire(struct walrus_topic *topic);
/* The last one frees the topic, and, if it was deleted, its blocks on disk too. */
void topic_release(struct walrus_topic *topic);

/* ---- settings (topic_settings.c) ---- */

/* What is in force, never INHERIT. */
struct walrus_sync_policy topic_sync_policy(const struct walrus_topic *topic);
struct walrus_retention topic_retention(struct walrus_topic *topic);

/* What the topic has of its own, perhaps INHERIT. */
struct walrus_sync_policy topic_own_sync(const struct walrus_topic *topic);
void topic_set_sync(struct walrus_topic *topic, struct walrus_sync_policy policy);
void topic_set_framing(struct walrus_topic *topic, enum walrus_framing framing);

/* To the record, under the names lock; and from it, in recovery (all but the framing). */
void topic_settings_to_record(const struct walrus_topic *topic, struct catalog_record *record);
void topic_take_settings(struct walrus_topic *topic, struct walrus_sync_policy sync, struct walrus_retention retention);

/* walrus_topic_configure(), arguments checked. */
enum walrus_code topic_configure(struct walrus_topic *topic, const struct walrus_topic_settings *settings,
                                 unsigned which, struct walrus_error *error);

/* The time of an append that begins now. Needs append_lock. */
uint64_t topic_tick(struct walrus_topic *topic);

/* ---- blocks ---- */

/*
 * Makes a block (space, header) for the append that topic_tick() was called for, with entries from `sequence` on, with
 * room for a record of `need` bytes and, within reason, for `want`. `previous` is the block it follows if that is not
 * in the topic yet (NULL: the last one in the topic that is not superseded). The block is not in the topic yet. Needs
 * append_lock.
 */
enum walrus_code topic_block_create(struct walrus_topic *topic, uint64_t need, uint64_t want,
                                    const struct block *previous, uint64_t sequence, uint64_t offset,
                                    struct block **block, struct walrus_error *error);

/* Puts a block at the end of the list; blocks that it supersedes (nothing visible in them) leave it and are freed. */
enum walrus_code topic_block_attach(struct walrus_topic *topic, struct block *block, struct walrus_error *error);

/* Takes back a block that is not in the topic yet: as topic_block_discard(), and durably. Where that fails the topic
 * goes on in a block that supersedes this one. Needs append_lock. */
void topic_block_withdraw(struct walrus_topic *topic, struct block *block);

/* Makes room in the lists, so that attaching so many blocks and noting so many segments cannot fail. */
enum walrus_code topic_reserve(struct walrus_topic *topic, size_t more_blocks, size_t more_dirty,
                               struct walrus_error *error);

/* Frees the struct and the space on disk. For a block that nobody else knows. */
void topic_block_discard(struct walrus_topic *topic, struct block *block);

/* Has the topic begin at an entry that readers see; blocks wholly before it leave the list, but never the last one.
 * Needs trim_lock. */
void topic_begin_at(struct walrus_topic *topic, uint64_t sequence, uint64_t offset);

/* Gives back what topic_find_block() handed out. The last one hands a block that has left the topic to the janitor. */
void topic_block_release(struct walrus_topic *topic, struct block *block);

/* The end of a topic, as readers see it. */
struct topic_end_of_stream {
    uint64_t sequence;
    uint64_t offset;
    uint64_t time_ns; /* of the last entry */
};

/*
 * Notes that entries of the topic were written to `segment`; *ticket is what to wait for. With `visible`, readers see
 * them from now on, and the caller calls topic_wake() (watch.h) once it holds no lock. Needs append_lock.
 */
enum walrus_code topic_note_write(struct walrus_topic *topic, struct segment *segment,
                                  const struct topic_end_of_stream *visible, uint64_t *ticket,
                                  struct walrus_error *error);

/* As above for one more segment, once topic_reserve() has made room. Needs append_lock and lock. */
void topic_note_dirty_locked(struct walrus_topic *topic, struct segment *segment, uint64_t ticket);
/* The topic is not durable before that write to the segment, whosever it was. Needs append_lock and lock, and room. */
void topic_depend_locked(struct walrus_topic *topic, struct segment *segment, uint64_t ticket);

/* Lets readers see what is before the end. The caller calls topic_wake() once it holds no lock. False: it was
 * overwritten after a failed sync. */
void topic_publish_locked(struct walrus_topic *topic, const struct topic_end_of_stream *end);
bool topic_publish(struct walrus_topic *topic, const struct topic_end_of_stream *end);

/*
 * The block that holds `sequence`, and the sequence at which the next block goes on (UINT64_MAX: none). False: no such
 * block. The block is the caller's to read until topic_block_release().
 */
bool topic_find_block(struct walrus_topic *topic, uint64_t sequence, struct block **block, uint64_t *block_end);
/* First sequence of the first block; UINT64_MAX without blocks. */
uint64_t topic_first_in_blocks(struct walrus_topic *topic);
/* The last block that was begun before the time, and where the next one, or what readers do not see yet, begins: records
 * behind that are of no batch or append that counts. */
bool topic_find_block_by_time(struct walrus_topic *topic, uint64_t time_ns, struct block **block,
                              struct topic_end_of_stream *end);
/* As topic_find_block(), by stream offset. */
bool topic_find_block_by_offset(struct walrus_topic *topic, uint64_t offset, struct block **block);

struct topic_view {
    uint64_t first_sequence, first_offset;
    uint64_t end_sequence, end_offset;
};
/* What readers may see now. */
void topic_view(struct walrus_topic *topic, struct topic_view *view);

#endif
