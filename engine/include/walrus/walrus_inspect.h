/*
 * walrus_inspect.h - a read-only walk over the files of a log, for dump and check.
 *
 * Opens nothing for writing, repairs nothing, and trusts nothing: every item comes with a verdict. Works on a log that
 * cannot be opened. See docs/format.md for what the items are.
 */
#ifndef WALRUS_INSPECT_H
#define WALRUS_INSPECT_H

#include <walrus/walrus.h>

#ifdef __cplusplus
extern "C" {
#endif

enum walrus_item_kind {
    WALRUS_ITEM_CATALOG = 1, /* one record of the catalogue */
    WALRUS_ITEM_CURSOR,      /* one cursor slot in use */
    WALRUS_ITEM_SEGMENT,     /* header of a segment file */
    WALRUS_ITEM_BLOCK,       /* header of a block */
    WALRUS_ITEM_ENTRY,       /* one entry */
    WALRUS_ITEM_MARK,        /* a batch commit mark or a durable mark */
    WALRUS_ITEM_GAP,         /* bytes that are none of these where one was expected */
    WALRUS_ITEM_HEAD         /* the slot of the cursor file that says where a trimmed topic begins */
};

enum walrus_verdict {
    WALRUS_VERDICT_OK = 0,
    WALRUS_VERDICT_TORN,        /* an unfinished tail: dropped by recovery, nothing acknowledged is in it */
    WALRUS_VERDICT_UNCOMMITTED, /* entry of a batch without its commit mark: dropped by recovery */
    WALRUS_VERDICT_SUPERSEDED,  /* entry that failed and whose sequence a later block took: never visible */
    WALRUS_VERDICT_DAMAGED,     /* bytes changed after they were written; an entry is lost or unreadable */
    WALRUS_VERDICT_MISSING,     /* something that later data proves was there, is not */
    WALRUS_VERDICT_UNKNOWN,     /* a version or kind that this library does not know */
    WALRUS_VERDICT_TRIMMED      /* before the topic's first retained entry: given up, its space is given back */
};

struct walrus_item {
    enum walrus_item_kind kind;
    enum walrus_verdict verdict;
    const char *file; /* name inside the log's directory */
    uint64_t file_offset;
    uint64_t file_bytes;    /* extent of the item in the file */
    uint64_t segment;       /* WALRUS_NOWHERE outside segments */
    uint64_t topic_id;      /* 0 if none or unknown */
    const char *topic_name; /* NULL if unknown */
    uint64_t block_index;   /* number of the block in its topic */
    uint64_t sequence;      /* entry: its own; block: its first; cursor, head: its position; gap: first one missing */
    uint64_t offset;        /* stream offset that belongs to `sequence` */
    uint64_t time_ns;
    uint64_t payload_bytes; /* entries */
    const void *payload;    /* entries with a valid checksum; else NULL */
    bool in_batch;
    char note[200]; /* in words, for a person: kind of record or mark, reason of a verdict. May be empty */
};

struct walrus_inspect_summary {
    uint64_t segments, blocks, topics, entries, payload_bytes, cursors;
    uint64_t torn, uncommitted, superseded; /* items that a crash may leave */
    uint64_t trimmed;                       /* items before their topic's first retained entry */
    uint64_t damaged, missing, unknown;     /* items that must not be there */
};

enum walrus_inspect_flags {
    WALRUS_INSPECT_UNLOCKED =
        1 << 0 /* do not take the lock: the log may change underneath (for a look at a live log) */
};

/*
 * Calls visit (may be NULL) for every item: catalogue, cursors, then segment by segment in the order of the bytes.
 * Pointers in the item are valid during the call. A non-zero return of visit ends the walk. WALRUS_E_BUSY when the log
 * is open elsewhere and stays so for a second, without WALRUS_INSPECT_UNLOCKED. Damage is not a failure of the call: it
 * is in the verdicts and in `summary` (may be NULL).
 */
enum walrus_code walrus_inspect(const char *data_dir, const char *instance_key, unsigned flags,
                                int (*visit)(const struct walrus_item *item, void *context), void *context,
                                struct walrus_inspect_summary *summary, struct walrus_error *error);

#ifdef __cplusplus
}
#endif
#endif
