/*
 * open_file.h - what stands behind one open(2): a topic being replayed and appended to, a topic being consumed, a batch
 * being staged. Its operations are those of its kind (struct file_kind).
 */
#ifndef WALRUSFS_OPEN_FILE_H
#define WALRUSFS_OPEN_FILE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <sys/uio.h>

#include <walrus/walrus.h>

#include "cut_entry.h"
#include "framing.h"

struct consumer;
struct fs;
struct fuse_pollhandle;
struct node;
struct open_file;
struct request;
struct waiting;

/* Each is a handler as request.h describes it; NULL: EPERM for reads and writes, success for the rest. */
struct file_kind {
    /* The kernel keeps no position: reads and writes have nothing to do with offsets. */
    bool nonseekable;
    bool reads_on_readers; /* reads take what is on disk, and wait for no sync: their workers are fs->readers */
    bool open_waits;       /* open may wait for the disk: it runs on a worker */
    /* Adds what the kind needs to a new open file. 0 or an errno; the file is then closed as any other. `node` is what
     * was opened; NULL: a topic that was just created. NULL: nothing to add. */
    int (*open)(struct request *request, struct open_file *file, const struct node *node);
    bool (*read)(struct request *request, bool may_wait);
    bool (*write)(struct request *request, bool may_wait);
    /* For polls: whether a read would not wait. Called with the file locked. NULL: it never would. */
    bool (*ready)(struct request *request, struct open_file *file);
    bool ready_waits; /* may wait for the disk: it runs on a worker */
    bool (*flush)(struct request *request, bool may_wait);
    bool (*sync)(struct request *request, bool may_wait);
    /* Gives up the first `size` bytes from `offset` on. */
    bool (*punch)(struct request *request, bool may_wait);
    /* True when close() may wait for the disk; asked before it. */
    bool (*close_waits)(struct open_file *file);
    /* Ends what the kind added to the file; reports what nobody else can be told. Called once, without other users. */
    void (*close)(struct fs *fs, struct open_file *file);
};

struct open_file {
    struct open_file *prev; /* in the list of all, guarded by its mutex */
    struct open_file *next;
    const struct file_kind *kind;
    struct walrus_topic *topic; /* owned; NULL when it is not a topic's */
    uint64_t topic_id;
    unsigned framing_changes; /* fs->framing_changes that the next two and `framing` go by */
    uint8_t delimiter;
    size_t delimiter_length;  /* 0 or 1 */
    bool append_waits;        /* the topic's policy makes every append wait for a sync */
    uint64_t written_node_id; /* the node that it was opened through for writing; 0 if not for writing */

    /* replay, which waits for no append: a mutex of its own */
    uint64_t base_offset; /* stream offset that is byte 0 of this open file; constant, and its node's */
    /* Bytes that a read found gone and passed over; guarded by replay_mutex, but may be read without. */
    _Atomic uint64_t skipped_bytes;
    pthread_mutex_t replay_mutex;
    struct walrus_position position; /* guarded by replay_mutex, as the next */
    struct cut_entry cut;
    _Atomic uint64_t read_end; /* where the last read ended */
    _Atomic bool saw_end;      /* it found nothing there: who polls then wants to wait */

    pthread_mutex_t mutex; /* guards everything below */

    /* append */
    struct framing framing;
    uint64_t last_writer; /* lock owner of the last write */

    /* consume */
    struct consumer *consumer;
    struct walrus_entries entries; /* the entry that is being handed out in pieces, or the last one (file_take.c) */
    struct walrus_entries spare_entries; /* file_take.c: read into, so that finding none leaves the last one in place */
    struct walrus_position peek_position;
    size_t piece_done; /* O_NONBLOCK: bytes of entries.items[0] that are handed out */
    bool piece_active;
    uint64_t last_start; /* file_take.c: file position of the last entry, and of its end */
    uint64_t last_end;

    void *state; /* the kind's own: made by its open, ended by its close */

    struct waiting *waiting; /* that its reads and polls wait with: the consumer's, else owned. NULL: none do */
    struct fuse_pollhandle *poll_handle; /* guarded by the mutex of what the file waits with (waiting.c), as the next */
    struct open_file *poll_prev;
    struct open_file *poll_next;
};

struct open_file_list {
    pthread_mutex_t mutex;
    struct open_file *head;
};

void open_file_list_init(struct open_file_list *list);
void open_file_list_fini(struct open_file_list *list);

/*
 * Makes an open file on `topic` (which it then owns, also on failure; NULL if it is not a topic's), with what `info`
 * says of it (NULL with it). NULL without memory.
 */
struct open_file *open_file_create(struct open_file_list *list, const struct file_kind *kind,
                                   struct walrus_topic *topic, const struct walrus_topic_info *info);

/* Closes and frees. May wait if close_waits() said so. */
void open_file_destroy(struct fs *fs, struct open_file *file);

/* Closes every open file: the end of a session that the kernel did not see through. */
void open_file_destroy_all(struct fs *fs);

size_t open_file_count(struct open_file_list *list);

/*
 * Has a file that was opened before somebody changed the framing of its topic (which is empty then) go by the new one.
 * The caller has the file's mutex.
 */
void open_file_follow_framing(struct fs *fs, struct open_file *file);

/* What a topic is that may only live on in its open files, being deleted. False when no file has it open. */
bool open_file_topic_info(struct open_file_list *list, uint64_t topic_id, struct walrus_topic_info *info);

/* Locks the file's mutex, waiting for it only if may_wait. */
bool open_file_lock(struct open_file *file, bool may_wait);
void open_file_unlock(struct open_file *file);

/* The open file that a request names. */
struct open_file *open_file_of(const struct request *request);

/* ---- for kinds that consume ---- */

/* For `open`: shares the consumer of the group that the path names, else of the default group. 0 or an errno. */
int open_file_open_consuming(struct request *request, struct open_file *file, const struct node *node);

/* `close` of a file that only shares a consumer. */
void open_file_end_consumer(struct fs *fs, struct open_file *file);

/* `close_waits` of a file whose close always may. */
bool open_file_close_waits(struct open_file *file);

/* Bytes of an entry as a reader sees it: with its delimiter. */
size_t open_file_shown_length(const struct open_file *file, const struct walrus_entry *entry);

/* `size` bytes of that, from the byte `start` on, as at most two parts that point into the entry and the file. Returns
 * how many. */
int open_file_entry_part(const struct open_file *file, const struct walrus_entry *entry, size_t start, size_t size,
                         struct iovec parts[2]);

/* ---- kinds ---- */

extern const struct file_kind file_kind_topic;    /* file_topic.c */
extern const struct file_kind file_kind_nonblock; /* file_consume.c, as the next */
extern const struct file_kind file_kind_nonblock_peek;
extern const struct file_kind file_kind_drain; /* file_take.c, as the next two */
extern const struct file_kind file_kind_take;
extern const struct file_kind file_kind_hold;
extern const struct file_kind file_kind_stat;    /* file_stat.c */
extern const struct file_kind file_kind_config;  /* file_config.c */
extern const struct file_kind file_kind_records; /* file_records.c */
extern const struct file_kind file_kind_version; /* file_walrus.c, as the next four */
extern const struct file_kind file_kind_options;
extern const struct file_kind file_kind_errors;
extern const struct file_kind file_kind_stats;
extern const struct file_kind file_kind_metrics;
extern const struct file_kind file_kind_follow; /* file_follow.c, as the next */
extern const struct file_kind file_kind_peek;
extern const struct file_kind file_kind_cursor; /* file_cursor.c */
extern const struct file_kind file_kind_batch;  /* file_batch.c */

#endif
