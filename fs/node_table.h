/*
 * node_table.h - what the kernel has looked up: node ids, names, lookup counts.
 *
 * A name never moves to another node (there is no rename), and the engine never reuses an id, so a node only ever comes
 * and goes. Thread-safe. A node stays as long as the kernel holds a lookup on it, which it does during every request
 * that names the node: pointers that a request got need no lock.
 */
#ifndef WALRUSFS_NODE_TABLE_H
#define WALRUSFS_NODE_TABLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <walrus/walrus.h>

/* The same topics, seen in different ways. */
enum node_view {
    VIEW_TOPICS = 0, /* the root of the mount: topics as they are */
    VIEW_DRAIN,      /* .drain: reading takes entries */
    VIEW_BATCH,      /* .batch: one file */
};

struct node {
    uint64_t node_id;      /* what the kernel calls it */
    uint64_t inode_number; /* st_ino */
    uint64_t id;           /* the engine's */
    enum node_view view;
    enum walrus_node_kind kind;
    char *name;            /* of the topic or namespace; "" is the root */
    uint64_t lookup_count; /* guarded by the table's mutex */
    struct node_index_entry *index_entry;
};

struct node_table {
    pthread_mutex_t mutex;
    struct node_index_entry *index; /* by node_id */
    uint64_t next_batch_number;
};

/* 0 or ENOMEM. The root of VIEW_TOPICS is in the table for good. */
int node_table_init(struct node_table *table);
void node_table_fini(struct node_table *table);

/* The node that a request names. NULL when the kernel knows one that we do not. */
struct node *node_table_find(struct node_table *table, uint64_t node_id);

/*
 * Counts one lookup of a topic or namespace, making its node if there is none. NULL without memory. Undo with
 * node_table_forget(.., 1) when the kernel does not take the reply.
 */
struct node *node_table_look_up(struct node_table *table, enum node_view view, enum walrus_node_kind kind, uint64_t id,
                                const char *name);

/*
 * As above, for .batch: every lookup is a node of its own, for the kernel lets only one write into an inode at a time,
 * and a commit that syncs would hold up everybody who stages.
 */
struct node *node_table_look_up_batch(struct node_table *table);

void node_table_forget(struct node_table *table, uint64_t node_id, uint64_t lookup_count);

/* st_ino of an engine id in a view. */
uint64_t node_inode_number(enum node_view view, uint64_t id);

#endif
