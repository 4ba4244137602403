/*
 * op_namespace.c - names: finding, making and removing topics and namespaces.
 *
 * What changes names is durable when it returns, so it runs on a worker. Names of topics are never cached by the kernel
 * (their timeouts are 0): an append from elsewhere may make a topic at any time.
 */
#include <errno.h>

#include "attributes.h"
#include "fs_state.h"
#include "operations.h"
#include "request.h"
#include "view.h"

/* Answers with a node whose lookup was counted, and takes the count back if the answer does not arrive. */
static void reply_node(struct request *request, struct node *node, const struct stat *st)
{
    if (node == NULL) {
        fuse_reply_err(request->req, ENOMEM);
        return;
    }
    double timeout = attributes_timeout(node);
    struct fuse_entry_param entry = {
        .ino = node->node_id, .attr = *st, .attr_timeout = timeout, .entry_timeout = timeout};
    if (fuse_reply_entry(request->req, &entry) != 0) {
        node_table_forget(&request->fs->nodes, entry.ino, 1);
    }
}

static void reply_name(struct request *request, const struct node *parent)
{
    struct fs *fs = request->fs;
    char name[WALRUS_NAME_MAX + 1];
    struct node_place place;
    struct stat st;
    int status = attributes_find(fs, parent, request->name, name, &place, &st);
    if (status != 0) {
        fuse_reply_err(request->req, status);
        return;
    }
    reply_node(request, node_table_look_up(&fs->nodes, &place, fuse_req_ctx(request->req)->pid), &st);
}

static bool handle_lookup(struct request *request, bool may_wait)
{
    (void)may_wait;
    struct node *parent = node_table_find(&request->fs->nodes, request->node_id);
    if (parent != NULL) {
        reply_name(request, parent);
    } else {
        fuse_reply_err(request->req, ESTALE);
    }
    return true;
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct request *request = request_begin(req);
    request->node_id = parent;
    request->name = name;
    request_run(request, handle_lookup);
}

void op_forget(fuse_req_t req, fuse_ino_t node_id, uint64_t lookup_count)
{
    struct fs *fs = fuse_req_userdata(req);
    node_table_forget(&fs->nodes, node_id, lookup_count);
    fuse_reply_none(req);
}

typedef int name_change(struct request *request, const struct node *parent, const char *name);

/* Runs a change of names in the directory that the request names; NULL: not permitted there. 0 or an errno. */
static int change_name(struct request *request, const struct node *parent, name_change *change)
{
    if (change == NULL || view_find(parent, request->name) != VIEW_NONE) {
        return EPERM;
    }
    return change(request, parent, request->name);
}

static const struct view_names *names_of(const struct node *directory)
{
    static const struct view_names none;
    const struct view_names *names = view_of(directory)->names;
    return names != NULL ? names : &none;
}

static bool handle_mkdir(struct request *request, bool may_wait)
{
    (void)may_wait;
    struct node *parent = node_table_find(&request->fs->nodes, request->node_id);
    int status = parent != NULL ? change_name(request, parent, names_of(parent)->make_directory) : ESTALE;
    if (status == 0) {
        reply_name(request, parent);
    } else {
        fuse_reply_err(request->req, status);
    }
    return true;
}

static bool handle_mknod(struct request *request, bool may_wait)
{
    (void)may_wait;
    struct node *parent = node_table_find(&request->fs->nodes, request->node_id);
    int status = parent != NULL ? EPERM : ESTALE;
    if (parent != NULL && S_ISREG(request->mode)) {
        status = change_name(request, parent, names_of(parent)->make_file);
    }
    if (status == 0) {
        reply_name(request, parent);
    } else {
        fuse_reply_err(request->req, status);
    }
    return true;
}

static bool handle_unlink(struct request *request, bool may_wait)
{
    (void)may_wait;
    struct node *parent = node_table_find(&request->fs->nodes, request->node_id);
    fuse_reply_err(request->req, parent != NULL ? change_name(request, parent, names_of(parent)->remove_file) : ESTALE);
    return true;
}

static bool handle_rmdir(struct request *request, bool may_wait)
{
    (void)may_wait;
    struct node *parent = node_table_find(&request->fs->nodes, request->node_id);
    fuse_reply_err(request->req,
                   parent != NULL ? change_name(request, parent, names_of(parent)->remove_directory) : ESTALE);
    return true;
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct request *request = request_begin(req);
    request->node_id = parent;
    request->name = name;
    request->mode = mode;
    request_defer(request, handle_mkdir);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
    (void)device;
    struct request *request = request_begin(req);
    request->node_id = parent;
    request->name = name;
    request->mode = mode;
    request_defer(request, handle_mknod);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct request *request = request_begin(req);
    request->node_id = parent;
    request->name = name;
    request_defer(request, handle_unlink);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct request *request = request_begin(req);
    request->node_id = parent;
    request->name = name;
    request_defer(request, handle_rmdir);
}

/* ---- topics and namespaces ---- */

static int make_namespace(struct request *request, const struct node *parent, const char *name)
{
    char joined[WALRUS_NAME_MAX + 1];
    struct walrus_attributes attributes;
    struct walrus_error error;
    int status = name_join(parent, name, joined);
    if (status == 0) {
        status = attributes_for_new(request, parent, true, &attributes);
    }
    if (status == 0 && walrus_namespace_create(request->fs->log, joined, &attributes, &error) != WALRUS_OK) {
        status = fs_errno(request->fs, &error);
    }
    return status;
}

static int make_topic(struct request *request, const struct node *parent, const char *name)
{
    char joined[WALRUS_NAME_MAX + 1];
    struct walrus_topic_settings settings = {0};
    struct walrus_topic *topic = NULL;
    struct walrus_error error;
    int status = name_join(parent, name, joined);
    if (status == 0) {
        status = attributes_for_new(request, parent, false, &settings.attributes);
    }
    if (status == 0 && walrus_topic_open(request->fs->log, joined, WALRUS_CREATE | WALRUS_EXCLUSIVE, &settings, &topic,
                                         &error) != WALRUS_OK) {
        status = fs_errno(request->fs, &error);
    }
    walrus_topic_close(topic);
    return status;
}

static int remove_name(struct request *request, const struct node *parent, const char *name,
                       enum walrus_code (*remove)(struct walrus_log *log, const char *name, struct walrus_error *error))
{
    char joined[WALRUS_NAME_MAX + 1];
    struct walrus_error error;
    int status = name_join(parent, name, joined);
    if (status == 0 && remove(request->fs->log, joined, &error) != WALRUS_OK) {
        status = fs_errno(request->fs, &error);
    }
    return status == EINVAL ? ENOENT : status;
}

static int remove_namespace(struct request *request, const struct node *parent, const char *name)
{
    return remove_name(request, parent, name, walrus_namespace_remove);
}

static int remove_topic(struct request *request, const struct node *parent, const char *name)
{
    return remove_name(request, parent, name, walrus_topic_delete);
}

const struct view_names view_names_topics = {
    .make_directory = make_namespace,
    .remove_directory = remove_namespace,
    .make_file = make_topic,
    .remove_file = remove_topic,
};

/* As an append-only file: its name is fixed and its only one. */

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
               unsigned flags)
{
    (void)parent;
    (void)name;
    (void)new_parent;
    (void)new_name;
    (void)flags;
    fuse_reply_err(req, EPERM);
}

void op_link(fuse_req_t req, fuse_ino_t node_id, fuse_ino_t new_parent, const char *new_name)
{
    (void)node_id;
    (void)new_parent;
    (void)new_name;
    fuse_reply_err(req, EPERM);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    (void)target;
    (void)parent;
    (void)name;
    fuse_reply_err(req, EPERM);
}
