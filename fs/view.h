/*
 * view.h - the ways in which the mount shows the log: the topics themselves, and beside them, in the root directory,
 * the control directories and files, whose names begin with a dot.
 *
 * To add one:
 *  1. write file_NAME.c: a struct file_kind (open_file.h) that says what opening, reading, writing and closing mean;
 *  2. declare the kind at the end of open_file.h, and name the file in fs/meson.build;
 *  3. add a row at the end of the table in view.c.
 * Looking up, listing (-o showctl), attributes, and the checks of an open follow from the row.
 */
#ifndef WALRUSFS_VIEW_H
#define WALRUSFS_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <walrus/walrus.h>

#include "node_table.h"

struct file_kind;
struct request;

enum view_shape {
    VIEW_TREE,      /* a directory with the same names as the mount: a file for each topic */
    VIEW_FILE,      /* one file */
    VIEW_DIRECTORY, /* a directory of views of the shape VIEW_FILE */
};

/* What making and removing names in a directory of a view means. NULL: not permitted. 0 or an errno; all may wait. */
struct view_names {
    int (*make_directory)(struct request *request, const struct node *parent, const char *name);
    int (*remove_directory)(struct request *request, const struct node *parent, const char *name);
    int (*make_file)(struct request *request, const struct node *parent, const char *name);
    int (*remove_file)(struct request *request, const struct node *parent, const char *name);
};

struct view {
    const char *name;      /* in its directory; "" is the mount itself */
    const char *directory; /* the view of the shape VIEW_DIRECTORY that it is in; NULL: the root directory */
    enum view_shape shape;
    /* What is shown of the mode of a topic or namespace (VIEW_TREE); else the mode, and files belong to the daemon. */
    mode_t file_mode;
    mode_t directory_mode;
    bool has_groups; /* beside the topics, "@billing" shows them to the group "billing" (VIEW_TREE) */
    /* May be opened for writing, and with O_TRUNC, which has no effect by itself. Else that is EPERM. */
    bool writable;
    /* st_size of a topic's file, whose byte 0 is at `base_offset`. NULL: 0, as for files that are made up when read. */
    uint64_t (*size)(const struct walrus_topic_info *info, uint64_t base_offset);
    const struct file_kind *kind; /* of its files */
    /* Instead of the two checks by `writable`: says what kind an open with the flags of the request gets, or an errno.
     * `info` is NULL for VIEW_FILE. May not wait. NULL: always `kind`. */
    int (*choose)(const struct request *request, const struct walrus_topic_info *info, const struct file_kind **kind);
    const struct view_names *names; /* NULL: nothing can be made or removed */
};

/* The view that a node belongs to. */
const struct view *view_of(const struct node *node);

/* By number (struct node has it); NULL past the last one. */
const struct view *view_by_number(unsigned number);

#define VIEW_NONE UINT32_MAX

/* The number of the view that is called `name` in this directory; VIEW_NONE: there is none. */
unsigned view_find(const struct node *directory, const char *name);

/* Calls visit for each view in this directory. False as soon as visit returns false. */
bool view_list(const struct node *directory, bool (*visit)(unsigned number, const struct view *view, void *context),
               void *context);

/* True for the directory of a view that the groups are in. */
bool view_holds_groups(const struct node *directory);

/* True for the node of the mount's own root directory. */
bool view_is_root(const struct node *node);

/* The errno of an open with these flags of a file that is `writable` or not. 0: allowed. */
int view_check_flags(int flags, bool writable);

extern const struct view_names view_names_topics; /* op_namespace.c */
extern const struct view_names view_names_groups; /* groups.c */

/* op_open.c: topics as they are; consuming. */
int view_choose_topic(const struct request *request, const struct walrus_topic_info *info,
                      const struct file_kind **kind);
int view_choose_drain(const struct request *request, const struct walrus_topic_info *info,
                      const struct file_kind **kind);
int view_choose_consume(const struct request *request, const struct walrus_topic_info *info,
                        const struct file_kind **kind);

#endif
