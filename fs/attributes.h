/*
 * attributes.h - from the engine's topics and namespaces to names, struct stat and back.
 */
#ifndef WALRUSFS_ATTRIBUTES_H
#define WALRUSFS_ATTRIBUTES_H

#include <sys/stat.h>

#include <walrus/walrus.h>

#include "node_table.h"

struct fs;
struct open_file;
struct request;

/* The topic or namespace `name` in `parent`. 0, ENAMETOOLONG, or EINVAL for what the engine does not take as a name. */
int name_join(const struct node *parent, const char *name, char joined[WALRUS_NAME_MAX + 1]);

/*
 * What `name` in the directory `parent` stands for now, and its attributes. `joined` receives the name that `place`
 * points to. 0 or an errno; ENOENT also for what cannot be a name.
 */
int attributes_find(struct fs *fs, const struct node *parent, const char *name, char joined[WALRUS_NAME_MAX + 1],
                    struct node_place *place, struct stat *st);

/*
 * For how many seconds the kernel may believe what it was told of a node. Sizes of topics must be right at every
 * moment. What there is to know of a namespace changes through its node only; so a path through it costs no requests.
 */
double attributes_timeout(const struct node *node);

/* A node's attributes. 0 or an errno; ESTALE when the name is gone or stands for something else. */
int attributes_of_node(struct fs *fs, const struct node *node, struct stat *st);

/* As above, through an open file: works for a deleted topic, and the size is what this open file can replay. */
int attributes_of_open_file(struct fs *fs, const struct node *node, const struct open_file *file, struct stat *st);

/* Who owns what the caller of `request` makes in `parent` with the mode it asks for. 0 or an errno. May wait. */
int attributes_for_new(struct request *request, const struct node *parent, bool is_namespace,
                       struct walrus_attributes *attributes);

#endif
