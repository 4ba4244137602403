/*
 * op_namespace.c - names: finding, making and removing topics and namespaces.
 *
 * What changes names is durable when it returns, so it runs on a worker. Names of topics are never cached by the kernel
 * (their timeouts are 0): an append from elsewhere may make a topic at any time.
 */
#include <errno.h>
#include <string.h>

#include "attributes.h"
#include "fs_state.h"
#include "operations.h"
#include "request.h"

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

static void reply_name(struct request *request, enum node_view view, const char *name)
{
    struct fs *fs = request->fs;
    enum walrus_node_kind kind;
    uint64_t id;
    struct stat st;
    int status = attributes_find(fs, view, name, &kind, &id, &st);
    if (status != 0) {
        fuse_reply_err(request->req, status);
        return;
    }
    reply_node(request, node_table_look_up(&fs->nodes, view, kind, id, name, fuse_req_ctx(request->req)->pid), &st);
}

static void reply_control(struct request *request)
{
    struct fs *fs = request->fs;
    if (strcmp(request->name, DRAIN_DIRECTORY_NAME) == 0) {
        reply_name(request, VIEW_DRAIN, "");
        return;
    }
    struct node *node =
        node_table_look_up(&fs->nodes, VIEW_BATCH, WALRUS_NODE_TOPIC, 0, "", fuse_req_ctx(request->req)->pid);
    struct stat st;
    if (node != NULL) {
        (void)attributes_of_node(fs, node, &st);
    }
    reply_node(request, node, &st);
}

static bool handle_lookup(struct request *request, bool may_wait)
{
    (void)may_wait;
    struct node *parent = node_table_find(&request->fs->nodes, request->node_id);
    char name[WALRUS_NAME_MAX + 1];
    int status = parent != NULL ? name_join(parent, request->name, name) : ESTALE;
    if (parent != NULL && name_is_control(parent, request->name)) {
        reply_control(request);
    } else if (status == 0) {
        reply_name(request, parent->view, name);
    } else {
        fuse_reply_err(request->req, status == EINVAL ? ENOENT : status);
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

/* Finds the place where a name is to be made or removed. 0 or an errno. */
static int find_place(struct request *request, struct node **parent, char name[WALRUS_NAME_MAX + 1])
{
    *parent = node_table_find(&request->fs->nodes, request->node_id);
    if (*parent == NULL) {
        return ESTALE;
    }
    if ((*parent)->view != VIEW_TOPICS || name_is_control(*parent, request->name)) {
        return EPERM;
    }
    return name_join(*parent, request->name, name);
}

static bool handle_mkdir(struct request *request, bool may_wait)
{
    (void)may_wait;
    struct fs *fs = request->fs;
    struct node *parent;
    char name[WALRUS_NAME_MAX + 1];
    struct walrus_attributes attributes;
    struct walrus_error error;
    int status = find_place(request, &parent, name);
    if (status == 0) {
        status = attributes_for_new(request, parent, true, &attributes);
    }
    if (status == 0 && walrus_namespace_create(fs->log, name, &attributes, &error) != WALRUS_OK) {
        status = fs_errno(fs, &error);
    }
    if (status == 0) {
        reply_name(request, VIEW_TOPICS, name);
    } else {
        fuse_reply_err(request->req, status);
    }
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

static bool handle_mknod(struct request *request, bool may_wait)
{
    (void)may_wait;
    struct fs *fs = request->fs;
    struct node *parent;
    char name[WALRUS_NAME_MAX + 1];
    struct walrus_topic_settings settings = {0};
    struct walrus_topic *topic = NULL;
    struct walrus_error error;
    int status = S_ISREG(request->mode) ? find_place(request, &parent, name) : EPERM;
    if (status == 0) {
        status = attributes_for_new(request, parent, false, &settings.attributes);
    }
    if (status == 0 &&
        walrus_topic_open(fs->log, name, WALRUS_CREATE | WALRUS_EXCLUSIVE, &settings, &topic, &error) != WALRUS_OK) {
        status = fs_errno(fs, &error);
    }
    walrus_topic_close(topic);
    if (status == 0) {
        reply_name(request, VIEW_TOPICS, name);
    } else {
        fuse_reply_err(request->req, status);
    }
    return true;
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

static bool remove_name(struct request *request, enum walrus_code (*remove)(struct walrus_log *log, const char *name,
                                                                            struct walrus_error *error))
{
    struct fs *fs = request->fs;
    struct node *parent;
    char name[WALRUS_NAME_MAX + 1];
    struct walrus_error error;
    int status = find_place(request, &parent, name);
    if (status == 0 && remove(fs->log, name, &error) != WALRUS_OK) {
        status = fs_errno(fs, &error);
    }
    fuse_reply_err(request->req, status == EINVAL ? ENOENT : status);
    return true;
}

static bool handle_unlink(struct request *request, bool may_wait)
{
    (void)may_wait;
    return remove_name(request, walrus_topic_delete);
}

static bool handle_rmdir(struct request *request, bool may_wait)
{
    (void)may_wait;
    return remove_name(request, walrus_namespace_remove);
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
