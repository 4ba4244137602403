/*
 * recovery.h - from files to topics, when a log is opened.
 *
 * 1. catalogue: which topics and namespaces there are (recovery.c)
 * 2. segments: which blocks there are: those that the clean mark names (recovery_mark.c), and by walking the block
 *    headers in the space between them and behind (recovery_blocks.c)
 * 3. cursors: what the slots of the cursor file say, kept with the topics they are of (recovery_cursors.c)
 * 4. topics: each one's blocks in order, where it ends by itself (recovery_topic.c); which batches over several topics
 *    are whole, and where the topics end for those that are not (recovery_batches.c); then all of them come to life
 *    (recovery_attach.c)
 * 5. everything that readers will see is made durable before they see it
 */
#ifndef WALRUS_STORE_RECOVERY_H
#define WALRUS_STORE_RECOVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/block_header.h"
#include "format/catalog_record.h"
#include "format/cursor_slot.h"
#include "format/record_header.h"
#include "store/block_scan.h"
#include "store/log.h"
#include "store/recovery_mark.h"

/* A block found on disk. */
struct found_block {
    struct segment *segment;
    uint64_t segment_offset;
    uint64_t bytes;
    uint64_t index;
    uint64_t previous_index;
    uint64_t first_sequence;
    uint64_t first_offset;
    uint64_t durable_sequence;
    uint64_t created_ns;
    uint32_t first_place;
    uint32_t seed;
    uint8_t framing;
    bool marked;     /* known from the clean mark: its header was not read */
    bool lost;       /* and its file is gone, or was cut off before it */
    bool cut_off;    /* and its file was cut off before its records end */
    bool mended;     /* one bit of its header was wrong */
    bool superseded; /* inspection only: recovery frees them */
    bool trimmed;    /* wholly before the topic's first retained entry; likewise */
};

/* A slot of the cursor file that is in use. */
struct found_cursor {
    uint64_t slot;
    bool torn;                   /* the other copy is neither valid nor blank */
    struct cursor_record record; /* the copy that counts */
    bool obsolete;               /* another slot has the same group's cursor */
    bool lost; /* no copy holds: only whose it is is known, and a generation, by what the slot seems to say */
};

/* A place between two records of a topic. */
struct record_place {
    size_t block; /* in found_node.blocks */
    uint64_t place;
    uint64_t sequence; /* of the entry that comes next */
    uint64_t offset;
};

/* Where a topic begins: its first retained entry. */
struct topic_begin {
    uint64_t sequence;
    uint64_t offset;
    bool lost; /* it is on record that the cursor file says so, and it does not */
};

/* Where a topic ends. */
struct topic_end {
    bool empty;             /* no block holds anything of it; of the places only sequence and offset say something */
    struct record_place at; /* entries from here on are not part of the topic */
    struct record_place walked; /* what is broken before this place is damage, what follows is torn */
    bool batch_uncommitted;     /* what follows `at`, up to this sequence, is a batch that does not count */
    uint64_t uncommitted_end;
    bool from_mark;   /* the clean mark says so, and nobody looked */
    uint64_t last_ns; /* time of the last entry, or of the topic's creation */
    uint64_t damages;
};

/* What the catalogue says of a node. */
struct node_record {
    uint64_t time_ns;
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    uint8_t framing;
    uint8_t sync_mode;
    uint8_t retention_mode;
    uint32_t sync_interval_ms;
    uint64_t retention_limit;
    const char *name; /* owned; empty if nothing says it */
};

/* A topic or namespace, from the catalogue or from the blocks that name it. */
struct found_node {
    struct found_node *next; /* in the order in which they were met */
    uint64_t id;
    bool is_topic;
    bool in_catalog;
    bool deleted;
    bool has_created; /* its record of creation was seen */
    bool trimmed;     /* that it was trimmed is on record */
    struct node_record record;
    struct found_block *blocks; /* owned */
    size_t block_count;         /* superseded and trimmed ones apart, once they are known */
    size_t aside_count;         /* these stand behind the others */
    size_t block_capacity;
    struct found_cursor *cursors; /* owned; in the order of their slots */
    size_t cursor_count;
    size_t cursor_capacity;
    struct walrus_topic *topic;        /* once made */
    const struct marked_topic *marked; /* once walked: what the clean mark says of it; NULL: nothing */
    struct topic_begin begin;          /* once walked */
    struct topic_end end;              /* once walked */
    uint64_t horizon;                  /* once walked: below it every entry was durable, by all that tells */
    uint64_t cut_sequence; /* the first entry of a batch that does not count, or UINT64_MAX; the walk ends there */
    uint64_t cut_end;      /* behind that batch's last entry */
    bool deletion_needed;  /* the record that it was deleted must stay, for the sake of a batch */
};

struct found_nodes {
    struct found_node *first; /* of all, by their `next` */
    struct found_node *last;
    struct found_node **slots;
    size_t slot_count;
    size_t count;
};

/* A damaged file header or block header. */
struct bad_place {
    uint64_t segment_id;
    uint64_t segment_offset;
};

/* What is known of the next part in a batch's ring. */
enum next_part {
    NEXT_UNKNOWN = 0, /* or met itself */
    NEXT_MISSING,
    NEXT_THERE,  /* damaged */
    NEXT_PROVEN, /* the batch was durable */
};

/* A topic's part of a batch over several topics, by its mark, which the walk of the topic has met. */
struct found_part {
    struct found_node *node;
    uint64_t first_sequence;
    uint32_t entry_count;
    uint32_t block; /* of the mark, in node->blocks */
    uint64_t place;
    struct shared_commit commit;
    enum next_part next;
};

#define BAD_PLACES_MAX 1024u /* more are counted, not listed */

struct recovery {
    struct walrus_log *log;
    struct found_nodes nodes;
    struct walrus_attributes root;
    bool root_changed;
    uint64_t record_count;
    uint64_t dead_records;
    uint64_t highest_id;
    bool dead_blocks_left;      /* a deleted topic's block could not be cleared: its deletion must stay on record */
    uint64_t *missing_segments; /* on record, not seen yet */
    size_t missing_segment_count;
    bool cursors_on_record;
    struct walrus_retention stored_retention; /* of the log */
    struct recovery_mark mark;
    uint64_t unmarked_bytes;  /* of blocks that the clean mark does not name */
    struct found_part *parts; /* of all topics */
    size_t part_count;
    size_t part_capacity;
    struct bad_place *bad_places; /* damage that belongs to no topic; for inspection */
    size_t bad_place_count;
    uint8_t *window; /* for block_scan */
    bool read_only;  /* inspection: nothing is released, cleared or cut */
};

/* For segments: on record, and made sure of when the file is found. False when out of memory. */
bool recovery_expect_segment(struct recovery *recovery, uint64_t id);
/* Whether it was on record. */
bool recovery_found_segment(struct recovery *recovery, uint64_t id);

/* log->io, options and io are set; on success the log is ready for use. */
enum walrus_code recovery_run(struct walrus_log *log, struct walrus_error *error);

/* What a catalogue record says; `context` is the struct recovery. */
enum walrus_code recovery_take_record(const struct catalog_record *record, void *context, struct walrus_error *error);

/* Step 2. */
enum walrus_code recovery_find_blocks(struct recovery *recovery, struct walrus_error *error);

/* Step 3. */
enum walrus_code recovery_load_cursors(struct recovery *recovery, struct walrus_error *error);

/* Keeps a valid slot with its topic. *used is false when there is no such topic or group: the slot is free. */
enum walrus_code recovery_keep_cursor(struct recovery *recovery, const struct found_cursor *cursor, bool *used,
                                      struct walrus_error *error);

/* A damaged slot, once all that hold are kept: *owned, if what it seems to say names just one topic and group that are
 * there and have no other slot. */
enum walrus_code recovery_keep_lost_cursor(struct recovery *recovery, uint64_t slot, const struct cursor_slot *content,
                                           struct found_cursor *cursor, bool *owned, struct walrus_error *error);

/* NULL: none. */
const struct found_cursor *recovery_cursor_of(const struct found_node *node, uint64_t group_id);
const struct found_cursor *recovery_farthest_cursor(const struct found_node *node);

/* Gives a recovered topic its cursors; the topic does not end before any of them. */
enum walrus_code recovery_restore_cursors(struct recovery *recovery, struct found_node *node,
                                          struct walrus_error *error);

/* Step 4, for one topic with node->topic made, whose blocks are known: puts them in order and finds node->end. */
enum walrus_code recovery_walk(struct recovery *recovery, struct found_node *node, struct walrus_error *error);

/* Remembers a part that the walk has met. False when out of memory. */
bool recovery_keep_part(struct recovery *recovery, const struct found_part *part);

/* Step 4, once all topics are walked: decides which batches over several topics count; topics that end at one which
 * does not are walked again. */
enum walrus_code recovery_settle_batches(struct recovery *recovery, struct walrus_error *error);

/* Overwrites the marks of the parts that do not count, so that no later recovery can find them whole. */
enum walrus_code recovery_blot_parts(struct recovery *recovery, struct walrus_error *error);

/* For a rewrite of the catalogue: the deletions that say of a batch that it was durable. */
enum walrus_code recovery_emit_deletions(struct recovery *recovery, struct catalog *into, struct walrus_error *error);

/* Step 4, once all topics' ends are known: gives the topic its blocks, frees what was superseded or trimmed. */
enum walrus_code recovery_attach(struct recovery *recovery, struct found_node *node, struct walrus_error *error);

/* Sequences are never used twice: where something tells that there was everything up to `sequence`, the topic goes on
 * there, though entries are gone. That is damage: `why` says what tells, with the sequence behind it. */
void recovery_raise_end(struct recovery *recovery, struct found_node *node, uint64_t sequence, uint64_t offset,
                        const char *why);

/* 1: the block's header stands on disk; 0: it does not, but another's may; below 0: negated errno. */
int recovery_block_is_there(struct recovery *recovery, const struct found_block *block);

/* Gives the block's space back, unless it is only the clean mark that says it is this block's. False: not now. */
bool recovery_release_block(struct recovery *recovery, const struct found_block *block);

/* Begins a scan of the block, through recovery->window. */
void recovery_scan(struct block_scan *scan, const struct found_block *block, uint8_t *window);

/* NULL: there is none. */
struct found_node *recovery_find_node(const struct recovery *recovery, uint64_t id);
/* The node with this id, made if need be. NULL when out of memory. */
struct found_node *recovery_node(struct recovery *recovery, uint64_t id);
/* False when out of memory. */
bool recovery_name_node(struct found_node *node, const char *name);
void recovery_free_nodes(struct recovery *recovery);

/* Frees what the steps have gathered; the topics are not its own. */
void recovery_fini(struct recovery *recovery);

/* Counts a finding; the first one's words are kept. */
__attribute__((format(printf, 3, 4))) void recovery_note(struct recovery *recovery, uint64_t *counter,
                                                         const char *format, ...);

#endif
