/*
 * walrus.h - the message log engine. This directory is its only door.
 *
 * A log (a data directory) holds topics; a topic is an ordered stream of entries; an entry is 0 bytes to 1 GiB. Entries
 * are appended singly or as atomic batches, read by position without side effects, or consumed through a persisted
 * cursor. Terms are those of docs/glossary.md; what each acknowledgement means stands in docs/durability.md.
 *
 * Conventions
 *  - Every call returns an enum walrus_code and fills `error` (which may be NULL) on failure. Outputs are untouched
 * then.
 *  - Every call is thread-safe unless its comment says otherwise; objects are freed once, after their last use.
 *  - Lengths, offsets and sizes are bytes; times are nanoseconds since the epoch unless the name says otherwise.
 *  - The library prints nothing, never exits and never aborts on bytes read from disk. It keeps no process-wide state
 *    (but for the signal handler of WALRUS_BACKEND_MMAP): several logs with different settings live side by side.
 *  - C99 or C++98 and later; in C++ say `struct` where a type and a call share a name (struct walrus_log_info).
 *
 * docs/library.md shows how the parts go together; examples/ has whole programs.
 */
#ifndef WALRUS_H
#define WALRUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <walrus/walrus_error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of this header. Until 1.0 a program runs with libraries of the same major and minor version. */
#define WALRUS_VERSION_MAJOR 0
#define WALRUS_VERSION_MINOR 2
#define WALRUS_VERSION_PATCH 0

/* "0.2.0": of the library that is linked, which need not be that of this header. */
const char *walrus_version(void);

/* ---- limits ------------------------------------------------------------------------------------------------------ */

#define WALRUS_NAME_COMPONENT_MAX 255u       /* bytes between two slashes of a topic name */
#define WALRUS_NAME_MAX 1023u                /* bytes of a whole topic name */
#define WALRUS_ENTRY_MAX ((uint64_t)1 << 30) /* payload of one entry */
#define WALRUS_BATCH_ENTRIES_MAX 2000u       /* default of options.batch_entries_max */
#define WALRUS_BATCH_BYTES_MAX ((uint64_t)10 << 30)

/* ---- log --------------------------------------------------------------------------------------------------------- */

struct walrus_log;
struct walrus_topic;
struct walrus_cursor;

enum walrus_sync_mode {
    WALRUS_SYNC_INHERIT = 0, /* per topic only: what the log says */
    WALRUS_SYNC_EACH,        /* an append is durable when it returns; concurrent appends share one sync */
    WALRUS_SYNC_EVERY,       /* an append is in the kernel when it returns, and durable interval_ms later */
    WALRUS_SYNC_NONE /* an append is in the kernel when it returns; nothing is synced but on request and at close */
};

struct walrus_sync_policy {
    enum walrus_sync_mode mode;
    uint32_t interval_ms; /* WALRUS_SYNC_EVERY only, 1 .. 3,600,000 */
};

enum walrus_consistency_mode {
    WALRUS_STRICTLY_AT_ONCE =
        0,               /* the cursor is durable before an entry is handed out: at most once, even after a crash */
    WALRUS_AT_LEAST_ONCE /* the cursor is made durable every `interval_entries` reads and at close */
};

struct walrus_consistency {
    enum walrus_consistency_mode mode;
    uint32_t interval_entries; /* WALRUS_AT_LEAST_ONCE only, >= 1: a crash replays at most this many */
};

enum walrus_backend {
    WALRUS_BACKEND_FD = 0, /* pread and pwrite, io_uring for batches where it works */
    WALRUS_BACKEND_MMAP    /* segment files are mapped. The first such log of a process installs a handler for SIGBUS,
                              which passes on what is not its own: a file that shrinks or cannot be read is an error of
                              the call, not the end of the process. The last one takes the handler away. SIGBUS is
                              unblocked in threads that call the library, and must stay so; who installs a handler of
                              his own over this one must pass on what is not his */
};

/* Which blocks of a topic may be freed. The tail block, which appends go into, is never freed. */
enum walrus_retention_mode {
    WALRUS_RETAIN_INHERIT = 0, /* of a topic: what the log says; of a log that is opened: what is stored in it */
    WALRUS_RETAIN_CONSUMED,    /* a block goes once every group with a cursor on the topic has passed it durably; with
                                  no cursor nothing goes */
    WALRUS_RETAIN_ALL,         /* nothing goes but by walrus_topic_trim() */
    WALRUS_RETAIN_BYTES,       /* at least the newest `limit` bytes of the stream stay; blocks before them go */
    WALRUS_RETAIN_AGE          /* a block goes once its newest entry is older than `limit` ms */
};

struct walrus_retention {
    enum walrus_retention_mode mode;
    uint64_t limit; /* WALRUS_RETAIN_BYTES: bytes; WALRUS_RETAIN_AGE: ms; else 0 */
};

struct walrus_options {
    const char *data_dir; /* made with mode 0700 if missing (its parent must exist) */
    const char
        *instance_key; /* NULL or a valid name component: the log lives in data_dir/key. Rejected, never rewritten */
    struct walrus_sync_policy sync;
    struct walrus_consistency consistency; /* of groups that have none of their own */
    struct walrus_retention retention; /* of topics that have none of their own. WALRUS_RETAIN_INHERIT (default): what
                                          the log was last opened with, WALRUS_RETAIN_CONSUMED if never said. Anything
                                          else is stored in the log, durably, before anything is freed: who opens it
                                          later and says nothing frees no more than this allows */
    enum walrus_backend backend;
    bool io_uring_disabled;
    bool fail_fast; /* an append that meets a running batch of its topic is WALRUS_E_WOULD_BLOCK instead of waiting */
    bool quiet;     /* from WALRUS_QUIET; the library never prints, its callers may look here */
    bool create;    /* make the log if there is none; else WALRUS_E_NOT_FOUND. Default true */
    uint32_t lock_wait_ms; /* how long to retry a held lock (a dying io_uring process keeps one for a moment). Default
                              1000 */
    uint32_t batch_entries_max; /* entries in one batch; default WALRUS_BATCH_ENTRIES_MAX */
    uint64_t segment_bytes;   /* a segment file is closed to new blocks at this size; 64 KiB .. 1 TiB, default 1 GiB */
    uint32_t block_bytes_max; /* largest block that growth reaches; power of two, 4 KiB .. 1 GiB, default 4 MiB */
    uint64_t mark_bytes; /* after so many bytes of new blocks all is synced and a clean mark is written, which bounds
                            the work of a recovery; 0: only at close. Default 512 MiB */
};

/*
 * Fills `options` with the defaults and then with what the environment says: WALRUS_DATA_DIR (default "wal_files"),
 * WALRUS_INSTANCE_KEY, WALRUS_QUIET, WALRUS_FSYNC (sync-each | no-fsync | async | <n>ms; default 200ms),
 * WALRUS_RETENTION (as walrus_retention_parse(); default: what is stored in the log), WALRUS_BACKEND (fd | mmap),
 * WALRUS_DISABLE_IO_URING. The strings point into the environment. WALRUS_E_INVALID when a variable has no
 * meaning.
 */
enum walrus_code walrus_options_init(struct walrus_options *options, struct walrus_error *error);

/*
 * Parses a sync policy: "each" or "sync-each", "none" or "no-fsync", "async" (every 200 ms), "every:<n>ms", "<n>ms",
 * "<n>s". WALRUS_E_INVALID otherwise.
 */
enum walrus_code walrus_sync_policy_parse(const char *text, struct walrus_sync_policy *policy,
                                          struct walrus_error *error);

/* Parses a read consistency: "strict" or "strictly-at-once", "at-least-once:<n>". WALRUS_E_INVALID otherwise. */
enum walrus_code walrus_consistency_parse(const char *text, struct walrus_consistency *consistency,
                                          struct walrus_error *error);

/*
 * Parses a retention: "consumed", "all", "bytes:<n>" with an optional K, M, G or T (of 1024), "age:<n>" with ms, s, m,
 * h or d. WALRUS_E_INVALID otherwise.
 */
enum walrus_code walrus_retention_parse(const char *text, struct walrus_retention *retention,
                                        struct walrus_error *error);

#define WALRUS_POLICY_TEXT_MAX 40 /* room for any policy in words, with its NUL */

/*
 * A policy in the words that its parse call takes (for what a topic inherits: "inherit", which none takes). Writes into
 * `text` and returns it.
 */
const char *walrus_sync_policy_text(const struct walrus_sync_policy *policy, char *text);

/* As walrus_sync_policy_text(). */
const char *walrus_consistency_text(const struct walrus_consistency *consistency, char *text);

/* As walrus_sync_policy_text(). */
const char *walrus_retention_text(const struct walrus_retention *retention, char *text);

/*
 * Opens a log: locks the directory, recovers every topic, makes durable what it exposes. `*log` is owned by the caller
 * and ended by walrus_close(). WALRUS_E_BUSY names the process that holds the log. A damaged entry does not fail the
 * open: it is counted in walrus_log_info() and reported where it is read.
 *
 * The log starts threads of its own (syncs at intervals, retention, clean marks): open after fork, not before.
 */
enum walrus_code walrus_open(const struct walrus_options *options, struct walrus_log **log, struct walrus_error *error);

/*
 * Makes everything durable, persists cursors and frees the log. Every topic and cursor handle must be closed before.
 * The log is freed even on failure; the error then says what may not be durable. NULL is allowed.
 */
enum walrus_code walrus_close(struct walrus_log *log, struct walrus_error *error);

/* Makes durable everything appended to any topic before the call, whatever the sync policies. */
enum walrus_code walrus_sync(struct walrus_log *log, struct walrus_error *error);

struct walrus_log_info {
    uint64_t topic_count;
    uint64_t namespace_count;
    uint64_t segment_count;
    uint64_t block_count;
    uint64_t block_bytes; /* file space that belongs to topics */
    struct walrus_sync_policy sync;
    struct walrus_consistency consistency;
    struct walrus_retention retention;
    enum walrus_backend backend;
    char backend_reason[120];  /* why files that were to be mapped are read and written instead; or empty */
    bool io_uring_active;      /* a ring works here */
    bool io_uring_writes;      /* batches in several runs go through it (in one run, too, where no reason is given) */
    bool io_uring_reads;       /* reads over several blocks go through it */
    char io_uring_reason[120]; /* why not, or why not all of them; or empty */
    /* since open */
    uint64_t appended_entries;
    uint64_t batches;
    uint64_t syncs; /* data syncs issued; less than synced appends where group commit works */
    uint64_t sync_failures;
    uint64_t checkpoints;
    uint64_t freed_blocks; /* by retention, trimming and deletion */
    uint64_t freed_bytes;
    uint64_t clean_marks;     /* written since open */
    uint64_t damaged_cursors; /* now: that may be of any topic (walrus_cursors_forget_damaged()) */
    /* what recovery met at open */
    uint64_t recovery_ns;               /* how long it took */
    uint64_t recovery_walked_bytes;     /* of blocks whose records it read, because no clean mark covers them */
    uint64_t recovered_torn_tails;      /* topics whose torn tail was dropped */
    uint64_t recovered_batches_dropped; /* batches without a commit mark, dropped */
    uint64_t recovered_damages;         /* damaged places with valid data after them: kept, reported when read */
    uint64_t recovered_adopted;         /* topics whose name had to be taken from their blocks */
    char recovery_note[200];            /* the first finding in words, or empty */
};

/* Figures of the log now. Cheap, whatever the number of topics, and waits for no I/O. */
enum walrus_code walrus_log_info(struct walrus_log *log, struct walrus_log_info *info, struct walrus_error *error);

/* ---- names: topics and namespaces -------------------------------------------------------------------------------- */

/*
 * A topic name is a path: components of 1 to 255 bytes joined by '/', 1023 in all; a component holds no NUL or control
 * character (below 0x20, 0x7f) and does not start with '.' or '@'. All but the last component name namespaces.
 */
bool walrus_name_is_valid(const char *name);

/* Who may do what, for front ends: the engine stores it and asks nothing. */
struct walrus_attributes {
    uint32_t mode; /* permission bits 07777 */
    uint32_t uid;
    uint32_t gid;
};

/* How a front end cuts a byte stream into entries, fixed while the topic is empty. */
enum walrus_framing {
    WALRUS_FRAMING_LINE = 0, /* delimiter '\n' */
    WALRUS_FRAMING_WRITE,    /* one write, one entry; no delimiter */
    WALRUS_FRAMING_NUL       /* delimiter '\0' */
};

/* Parses "line", "write" or "nul"; WALRUS_E_INVALID otherwise. */
enum walrus_code walrus_framing_parse(const char *text, enum walrus_framing *framing, struct walrus_error *error);

/* As walrus_framing_parse() takes it; a constant. */
const char *walrus_framing_text(enum walrus_framing framing);

struct walrus_topic_settings {
    struct walrus_attributes attributes;
    struct walrus_sync_policy sync; /* WALRUS_SYNC_INHERIT: as the log */
    enum walrus_framing framing;
    struct walrus_retention retention; /* WALRUS_RETAIN_INHERIT: as the log */
};

/* What a name names. */
enum walrus_node_kind { WALRUS_NODE_TOPIC = 1, WALRUS_NODE_NAMESPACE };

struct walrus_node {
    enum walrus_node_kind kind;
    uint64_t id;      /* unique in the log for ever, never 0; the root namespace is 1 */
    const char *name; /* last component; valid during the call that hands it out */
    struct walrus_attributes attributes;
    uint64_t created_ns;
};

/* Looks a name up; "" is the root namespace. node->name is NULL here. */
enum walrus_code walrus_lookup(struct walrus_log *log, const char *name, struct walrus_node *node,
                               struct walrus_error *error);

/*
 * Calls visit for each direct child of a namespace ("" is the root), in no order, on a snapshot: visit may call the
 * library. A non-zero return ends the walk.
 */
enum walrus_code walrus_list(struct walrus_log *log, const char *name_space,
                             int (*visit)(const struct walrus_node *node, void *context), void *context,
                             struct walrus_error *error);

/* As walrus_list, for every topic of the log at any depth; node->name is the whole topic name here. */
enum walrus_code walrus_list_topics(struct walrus_log *log, int (*visit)(const struct walrus_node *node, void *context),
                                    void *context, struct walrus_error *error);

/* Durable on return. The parent must exist. attributes may be NULL (0755, the caller's ids). */
enum walrus_code walrus_namespace_create(struct walrus_log *log, const char *name,
                                         const struct walrus_attributes *attributes, struct walrus_error *error);

/* Durable on return. WALRUS_E_NOT_EMPTY while anything is in it. */
enum walrus_code walrus_namespace_remove(struct walrus_log *log, const char *name, struct walrus_error *error);

enum walrus_topic_setting {
    WALRUS_SET_SYNC = 1 << 0,
    WALRUS_SET_RETENTION = 1 << 1,
    WALRUS_SET_FRAMING = 1 << 2 /* WALRUS_E_NOT_EMPTY once the topic has ever had an entry, unless it stays the same */
};

/*
 * Changes settings of a topic: those named in `which` (enum walrus_topic_setting), all or none. In the kernel on
 * return, durable with the next sync of the topic; in force at once, for what is appended or freed from now on.
 */
enum walrus_code walrus_topic_configure(struct walrus_topic *topic, const struct walrus_topic_settings *settings,
                                        unsigned which, struct walrus_error *error);

/* Sets mode, owner and group of a topic or namespace; in the kernel on return, durable with the next sync. */
enum walrus_code walrus_set_attributes(struct walrus_log *log, const char *name,
                                       const struct walrus_attributes *attributes, struct walrus_error *error);

/* ---- topics ------------------------------------------------------------------------------------------------------ */

enum walrus_topic_flags {
    WALRUS_CREATE = 1 << 0,        /* make the topic if there is none */
    WALRUS_EXCLUSIVE = 1 << 1,     /* with WALRUS_CREATE: WALRUS_E_EXISTS if there is one */
    WALRUS_CREATE_PARENTS = 1 << 2 /* make missing namespaces too */
};

/*
 * Opens a topic. `settings` counts only when the topic is made here, and may be NULL (0644, the caller's ids, the log's
 * sync policy, lines). A handle is cheap, may be shared by threads, and is ended by walrus_topic_close().
 */
enum walrus_code walrus_topic_open(struct walrus_log *log, const char *name, unsigned flags,
                                   const struct walrus_topic_settings *settings, struct walrus_topic **topic,
                                   struct walrus_error *error);

/* NULL is allowed. The handle is gone; the topic stays. */
void walrus_topic_close(struct walrus_topic *topic);

/*
 * Removes a topic and its cursors; durable on return. Open handles go on reading what was there; appends through them
 * fail with WALRUS_E_DELETED. Disk space returns when the last handle is closed.
 */
enum walrus_code walrus_topic_delete(struct walrus_log *log, const char *name, struct walrus_error *error);

struct walrus_topic_info {
    uint64_t id;
    struct walrus_topic_settings settings; /* settings.sync and .retention are what is in force, never INHERIT */
    bool sync_inherited;
    bool retention_inherited;
    bool deleted;
    bool refuses_appends;      /* after a failed sync, until the log is reopened */
    uint64_t first_sequence;   /* of the first retained entry */
    uint64_t next_sequence;    /* one past the last entry that readers see */
    uint64_t first_offset;     /* stream offset of the first retained entry */
    uint64_t next_offset;      /* stream offset after the last visible entry and its delimiter */
    uint64_t durable_sequence; /* every entry below survives power loss */
    uint64_t block_count;
    uint64_t block_bytes; /* file space */
    uint64_t created_ns;
    uint64_t appended_ns; /* time of the last visible entry, else created_ns */
    uint64_t damages;     /* damaged places known so far: that the open met, or a read since */
    /* What a call on the topic failed with last, since the log was opened, for reasons that are not the caller's: full
     * disk, I/O, damage, memory. WALRUS_OK: nothing. */
    enum walrus_code last_error;
    int last_errno;
    uint64_t last_error_ns;
    char last_error_message[200];
};

/* Never blocks on I/O. */
enum walrus_code walrus_topic_info(struct walrus_topic *topic, struct walrus_topic_info *info,
                                   struct walrus_error *error);

/* Whole name of the topic; valid as long as the handle. */
const char *walrus_topic_name(const struct walrus_topic *topic);

/* Makes durable every entry appended to this topic before the call. */
enum walrus_code walrus_topic_sync(struct walrus_topic *topic, struct walrus_error *error);

/*
 * Gives up every entry below `sequence`, whatever the retention: they are gone for readers and groups, and stay gone
 * after a crash, when the call returns; the space of whole blocks returns within seconds. Cursors before `sequence`
 * move to it. WALRUS_E_RANGE past the end; nothing happens at or before the first retained entry.
 */
enum walrus_code walrus_topic_trim(struct walrus_topic *topic, uint64_t sequence, struct walrus_error *error);

/* ---- waiting for a topic to grow --------------------------------------------------------------------------------- */

struct walrus_watch;

/*
 * Has `wake` called, from the thread that caused it, each time readers of the topic may find something new: entries
 * became visible, entries that were taken were given back or their lease has ended (a thread of the log's calls then),
 * the topic was deleted. Calls may come from several threads at once or for nothing, and are never lost: look at the
 * topic after creating the watch and after each call.
 *
 * No lock of the library is held during a call: `wake` may read the topic, but must neither block (the append that
 * caused it waits for it) nor append to the topic nor destroy a watch of it. Write to an eventfd, queue a task.
 *
 * `*watch` is owned by the caller and keeps the topic as a handle does: destroy it before walrus_close().
 * WALRUS_E_INVALID without a function, WALRUS_E_NO_MEMORY.
 */
enum walrus_code walrus_watch_create(struct walrus_topic *topic, void (*wake)(void *context), void *context,
                                     struct walrus_watch **watch, struct walrus_error *error);

/* When it returns, no call of `wake` is running or will come; so hold no lock that `wake` takes. NULL is allowed. */
void walrus_watch_destroy(struct walrus_watch *watch);

/*
 * Waits until the topic has an entry with the sequence `sequence` (next_sequence > sequence). WALRUS_E_TIMED_OUT after
 * timeout_ms (0: looks and returns; UINT32_MAX: never), WALRUS_E_DELETED when the topic is deleted meanwhile. The
 * handle must stay open until the call has returned.
 */
enum walrus_code walrus_topic_wait(struct walrus_topic *topic, uint64_t sequence, uint32_t timeout_ms,
                                   struct walrus_error *error);

/* ---- append ------------------------------------------------------------------------------------------------------ */

enum walrus_append_flags {
    WALRUS_DURABLE = 1 << 0, /* durable on return, whatever the policy */
    WALRUS_NONBLOCK = 1 << 1 /* WALRUS_E_WOULD_BLOCK instead of waiting for a sync, a batch or another append */
};

struct walrus_receipt {
    uint64_t sequence; /* of the (first) entry */
    uint64_t offset;   /* its stream offset */
};

struct walrus_slice {
    const void *data; /* may be NULL when length is 0 */
    size_t length;
};

/*
 * Appends one entry. On success it has the meaning of the topic's sync policy. On failure nothing was appended and the
 * entry never appears later (after a failed sync: as far as the disk still takes writes, and unless a later append that
 * waits for no sync was acknowledged meanwhile); WALRUS_E_NO_SPACE leaves the topic usable, WALRUS_E_REFUSED and a
 * failed sync do not. `receipt` may be NULL.
 */
enum walrus_code walrus_append(struct walrus_topic *topic, const void *data, size_t length, unsigned flags,
                               struct walrus_receipt *receipt, struct walrus_error *error);

/*
 * Appends entries as one batch: readers see, and a crash leaves, all of them or none. 1 .. batch_entries_max entries,
 * WALRUS_BATCH_BYTES_MAX in all, else WALRUS_E_TOO_MANY or WALRUS_E_TOO_LARGE with nothing written. 0 entries succeed
 * and write nothing (the receipt then names the next sequence).
 */
enum walrus_code walrus_append_batch(struct walrus_topic *topic, const struct walrus_slice *entries, size_t entry_count,
                                     unsigned flags, struct walrus_receipt *receipt, struct walrus_error *error);

struct walrus_batch_entry {
    struct walrus_topic *topic;
    const void *data; /* may be NULL when length is 0 */
    size_t length;
};

/*
 * As walrus_append_batch(), over any number of topics of one log: readers of all of them see, and a crash leaves in all
 * of them, all entries or none. Entries of one topic keep their order. The batch is durable on return when any of its
 * topics syncs each append, or with WALRUS_DURABLE. `receipts` may be NULL, else has room for one per entry.
 */
enum walrus_code walrus_append_batch_topics(struct walrus_log *log, const struct walrus_batch_entry *entries,
                                            size_t entry_count, unsigned flags, struct walrus_receipt *receipts,
                                            struct walrus_error *error);

/* ---- read by position -------------------------------------------------------------------------------------------- */

struct walrus_entry {
    const void *data; /* payload, without delimiter */
    size_t length;
    uint64_t sequence;
    uint64_t offset;  /* stream offset of the first payload byte */
    uint64_t time_ns; /* when it was appended */
};

/*
 * Entries handed out by a read. Zero-initialise, pass to any number of reads (each replaces the content and reuses the
 * memory), end with walrus_entries_free(). items[].data points into memory that this struct owns. Not thread-safe.
 */
struct walrus_entries {
    struct walrus_entry *items;
    size_t count;
    /* private */
    size_t items_capacity;
    uint8_t *buffer;
    size_t buffer_capacity;
    size_t buffer_used;
};

/* Frees the memory and zeroes the struct, which may be used again. NULL is allowed. */
void walrus_entries_free(struct walrus_entries *entries);

/*
 * A place in a topic between two entries, plus private hints that make the next read from there cheap. Zero-initialised
 * it is the first entry ever (which a topic with retention may not have any more); walrus_seek_*() set it. Plain data:
 * copying is fine, and nothing needs freeing.
 */
struct walrus_position {
    uint64_t sequence;
    uint64_t offset;
    uint64_t
        entry_end; /* walrus_read_stream() ended in the middle of `sequence`: where that one ends; else unspecified */
    /* private */
    uint64_t hint_block;
    uint64_t hint_place;
    uint64_t hint_sequence;
    uint64_t hint_offset;
    uint64_t hint_verified;
};

/* To the entry `sequence`; the next sequence is allowed (the end). WALRUS_E_RANGE before the retained range or past the
 * end. */
enum walrus_code walrus_seek_sequence(struct walrus_topic *topic, uint64_t sequence, struct walrus_position *position,
                                      struct walrus_error *error);

/* To the entry that holds the stream byte `offset` (position->offset is where that entry starts, <= offset). As above.
 */
enum walrus_code walrus_seek_offset(struct walrus_topic *topic, uint64_t offset, struct walrus_position *position,
                                    struct walrus_error *error);

/*
 * To the first entry appended at or after `time_ns`, or to the end. Times never go back within a topic, whatever the
 * clock does. Logarithmic work, as the other seeks.
 */
enum walrus_code walrus_seek_time(struct walrus_topic *topic, uint64_t time_ns, struct walrus_position *position,
                                  struct walrus_error *error);

struct walrus_read_limits {
    size_t max_bytes;      /* of payload; one entry is read even if it is larger. 0: one entry */
    size_t max_entries;    /* 0: WALRUS_BATCH_ENTRIES_MAX */
    bool count_delimiters; /* max_bytes counts each entry's delimiter too */
};

/*
 * Reads entries from `position` and moves it behind them. Success with count 0 is the end. Every checksum is verified:
 * WALRUS_E_DAMAGED says where and leaves the position before the damage (entries before it are delivered first).
 * WALRUS_E_RANGE: retention or trimming has freed what stands there; go on at walrus_topic_info()'s first_sequence.
 */
enum walrus_code walrus_read_entries(struct walrus_topic *topic, struct walrus_position *position,
                                     const struct walrus_read_limits *limits, struct walrus_entries *entries,
                                     struct walrus_error *error);

/* Moves a position that stands before a damaged entry to the next valid one, or to the end. */
enum walrus_code walrus_skip_damage(struct walrus_topic *topic, struct walrus_position *position,
                                    uint64_t *skipped_entries, struct walrus_error *error);

/*
 * Reads bytes of the stream (payloads, each followed by its delimiter) from the stream offset `offset` into `buffer`:
 * what `cat` of the topic sees. `*got` is short only at the end of the topic or before a damaged entry, which the next
 * call reports. `position` is a hint that this call keeps up to date, so that sequential calls are cheap (and that
 * tells where it ended: at the beginning of the entry position->sequence if position->offset is `offset + *got`, else
 * in it); zero-initialise it and give it to no two threads at once. An offset before the retained range is
 * WALRUS_E_RANGE.
 */
enum walrus_code walrus_read_stream(struct walrus_topic *topic, struct walrus_position *position, uint64_t offset,
                                    void *buffer, size_t size, size_t *got, struct walrus_error *error);

#ifdef __cplusplus
}
#endif

/* Groups, cursors, acknowledgement. */
#include <walrus/walrus_consume.h>

#endif
