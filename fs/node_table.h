/*
 * node_table.h - what the kernel has looked up: node ids, names, lookup counts.
 *
 * The kernel lets one O_APPEND write at a time into an inode, and an inode is a node id. If all who write a topic held
 * the same node, each would wait for the whole write of the other, and none could share a sync. So a topic may have
 * several nodes, all with the same st_ino: a lookup gets a node of its own when those that are there are written
 * through, or are about to be. Otherwise it gets the node that the last one got, for the kernel looks a cached name up
 * again each time, and a different answer costs a second lookup and a forget.
 *
 * A topic has a further node once its first entries are gone: byte 0 of a file is the first entry that was retained
 * when it was looked up, and stays so for whoever has it open (fstat(2) comes without the open file, so the node must
 * know).
 *
 * What belongs to the topic and not to a node must not be left to the kernel, which goes by node: locks (file_lock.h).
 * inotify does: a watch on a topic's file sees the writes that go through its own node, hence each writer that is
 * alone, but not all of several; a watch on the directory sees all.
 *
 * A name never moves to another topic (there is no rename), and neither the engine's ids nor node ids are reused, so a
 * node only ever comes and goes. Thread-safe. A node stays as long as the kernel holds a lookup on it, which it does
 * during every request that names the node, but RELEASE: pointers that a request got need no lock.
 */
#ifndef WALRUSFS_NODE_TABLE_H
#define WALRUSFS_NODE_TABLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <walrus/walrus.h>

#define NODE_ROOT_ID ((uint64_t)1) /* node id and engine's id of the root */

#define VIEW_TOPICS 0u /* the view (view.h) that shows topics as they are */

struct node_file;

/* Fields without a comment are constant. */
struct node {
    uint64_t node_id;      /* what the kernel calls it */
    uint64_t inode_number; /* st_ino */
    uint64_t id;           /* the engine's */
    unsigned view;         /* number of its row in the table of views */
    enum walrus_node_kind kind;
    const char *name;     /* of the topic or namespace; "" is the root, and what is neither */
    const char *group;    /* that the path names ("@billing"), without the @; NULL: none */
    uint64_t group_id;    /* the engine's, with it */
    uint64_t base_offset; /* stream offset of byte 0, in views that show a topic's bytes; else 0 */
    struct node_file *file;
};

/* What a node is to stand for; fields as in struct node. */
struct node_place {
    unsigned view;
    enum walrus_node_kind kind;
    uint64_t id;
    const char *name;
    const char *group;
    uint64_t group_id;
    uint64_t base_offset;
};

struct node_table {
    pthread_mutex_t mutex;
    struct node_entry *nodes; /* by node_id */
    struct node_file *files;  /* by view, group and id */
    uint64_t next_node_id;
    uint64_t (*clock_ns)(void); /* constant; a test may put its own here */
};

/* 0 or ENOMEM. The root of VIEW_TOPICS is in the table for good. */
int node_table_init(struct node_table *table);
void node_table_fini(struct node_table *table);

/* The node that a request names. NULL when the kernel knows one that we do not. */
struct node *node_table_find(struct node_table *table, uint64_t node_id);

/*
 * Counts one lookup, by the thread `caller`, of what `place` says (whose names are copied), making a node if it is to
 * have one of its own. NULL without memory. Undo with node_table_forget(.., 1) when the kernel does not take the reply.
 */
struct node *node_table_look_up(struct node_table *table, const struct node_place *place, pid_t caller);

void node_table_forget(struct node_table *table, uint64_t node_id, uint64_t lookup_count);

/* An open file that writes came or went. A node that the kernel has forgotten is no error. */
void node_table_add_writer(struct node_table *table, uint64_t node_id);
void node_table_remove_writer(struct node_table *table, uint64_t node_id);

/* st_ino. One of its own for each file in each view and group, as long as ids stay below 2^36 and groups' below 2^20.
 */
uint64_t node_inode_number(const struct node_place *place);

#endif
