/*
 * op_open.c - open and create: decides once, here, what an open file is.
 *
 * An existing topic behaves as an append-only file (chattr +a on ext4): opening it for writing without O_APPEND, or
 * with O_TRUNC, is EPERM. Whoever creates it by `>` holds a descriptor without O_APPEND; its writes append all the
 * same.
 */
#include <errno.h>
#include <fcntl.h>

#include "access.h"
#include "attributes.h"
#include "fs_state.h"
#include "operations.h"
#include "request.h"
#include "view.h"

static bool wants_write(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY;
}

static int check_append_only(int flags)
{
    bool allowed = (flags & O_TRUNC) == 0 && (!wants_write(flags) || (flags & O_APPEND) != 0);
    return allowed ? 0 : EPERM;
}

/*
 * Reading with O_NONBLOCK consumes, but not for tools that only want never to hang: those set O_NOFOLLOW with it
 * (grep -r, tar), or set O_NONBLOCK later (tail -f), which the kernel does not tell us.
 */
static const struct file_kind *kind_of_topic(const struct request *request, const struct walrus_topic_info *info)
{
    int flags = request->file_info.flags;
    enum nonblock_mode mode = request->fs->options->nonblock;
    if (mode == NONBLOCK_OFF || wants_write(flags) || (flags & O_NONBLOCK) == 0 || (flags & O_NOFOLLOW) != 0 ||
        !access_allowed_request(request->req, &info->settings.attributes, ACCESS_WRITE)) {
        return &file_kind_topic;
    }
    return mode == NONBLOCK_PEEK ? &file_kind_nonblock_peek : &file_kind_nonblock;
}

int view_choose_topic(const struct request *request, const struct walrus_topic_info *info,
                      const struct file_kind **kind)
{
    *kind = kind_of_topic(request, info);
    return check_append_only(request->file_info.flags);
}

static int check_consumer(const struct request *request, const struct walrus_topic_info *info)
{
    return access_allowed_request(request->req, &info->settings.attributes, ACCESS_WRITE) ? 0 : EACCES;
}

int view_choose_drain(const struct request *request, const struct walrus_topic_info *info,
                      const struct file_kind **kind)
{
    (void)kind;
    int status = view_check_flags(request->file_info.flags, false);
    return status == 0 ? check_consumer(request, info) : status;
}

int view_choose_consume(const struct request *request, const struct walrus_topic_info *info,
                        const struct file_kind **kind)
{
    int flags = request->file_info.flags;
    if ((flags & O_ACCMODE) == O_WRONLY || (flags & O_TRUNC) != 0) {
        return EPERM;
    }
    if ((flags & O_ACCMODE) == O_RDWR) {
        *kind = &file_kind_hold;
    }
    return check_consumer(request, info);
}

static int choose_kind(const struct request *request, const struct node *node, const struct walrus_topic_info *info,
                       const struct file_kind **kind)
{
    const struct view *view = view_of(node);
    *kind = view->kind;
    if (view->choose != NULL) {
        return view->choose(request, info, kind);
    }
    return view_check_flags(request->file_info.flags, view->writable);
}

/* Makes the open file. Takes over `topic` (with `info`, or both NULL), also on failure. `node`: see struct file_kind.
 */
static int make_open_file(struct request *request, const struct file_kind *kind, const struct node *node,
                          struct walrus_topic *topic, const struct walrus_topic_info *info, struct open_file **made)
{
    struct open_file *file = open_file_create(&request->fs->files, kind, topic, info);
    if (file == NULL) {
        return ENOMEM;
    }
    if (node != NULL && view_of(node)->size != NULL) {
        file->base_offset = node->base_offset;
    }
    int status = kind->open != NULL ? kind->open(request, file, node) : 0;
    if (status != 0) {
        open_file_destroy(request->fs, file);
        return status;
    }
    *made = file;
    return 0;
}

/* What the kernel is told of an open file, and its node of one more writer: before the answer, so that whoever looks
 * the name up after it finds that so. */
static void describe_to_kernel(struct request *request, struct open_file *file, uint64_t node_id)
{
    struct fuse_file_info *file_info = &request->file_info;
    file_info->fh = (uintptr_t)file;
    file_info->direct_io = 1;
    file_info->nonseekable = file->kind->nonseekable;
    if (wants_write(file_info->flags)) {
        file->written_node_id = node_id;
        node_table_add_writer(&request->fs->nodes, node_id);
    }
}

static void reply_open(struct request *request, struct open_file *file)
{
    describe_to_kernel(request, file, request->node_id);
    if (fuse_reply_open(request->req, &request->file_info) != 0) {
        open_file_destroy(request->fs, file);
    }
}

/* Opens the topic of a node. 0 or an errno. */
static int open_topic(struct fs *fs, const struct node *node, struct walrus_topic **topic,
                      struct walrus_topic_info *info)
{
    struct walrus_error error;
    if (walrus_topic_open(fs->log, node->name, 0, NULL, topic, &error) != WALRUS_OK) {
        return error.code == WALRUS_E_NOT_FOUND ? ESTALE : fs_errno(fs, &error);
    }
    int status = 0;
    if (walrus_topic_info(*topic, info, &error) != WALRUS_OK) {
        status = fs_errno(fs, &error);
    } else if (info->id != node->id) {
        status = ESTALE; /* deleted and made anew: the kernel looks the name up again */
    }
    if (status != 0) {
        walrus_topic_close(*topic);
        *topic = NULL;
    }
    return status;
}

/* 0, an errno, or EINPROGRESS: would have to wait. */
static int open_node(struct request *request, const struct node *node, bool may_wait, struct open_file **file)
{
    bool has_topic = view_of(node)->shape == VIEW_TREE;
    struct walrus_topic *topic = NULL;
    struct walrus_topic_info info;
    const struct file_kind *kind = NULL;
    int status = has_topic ? open_topic(request->fs, node, &topic, &info) : 0;
    if (status == 0) {
        status = choose_kind(request, node, has_topic ? &info : NULL, &kind);
    }
    if (status == 0 && kind->open_waits && !may_wait) {
        status = EINPROGRESS;
    }
    if (status != 0) {
        walrus_topic_close(topic);
        return status;
    }
    return make_open_file(request, kind, node, topic, has_topic ? &info : NULL, file);
}

static bool handle_open(struct request *request, bool may_wait)
{
    struct node *node = node_table_find(&request->fs->nodes, request->node_id);
    struct open_file *file = NULL;
    int status = node != NULL ? open_node(request, node, may_wait, &file) : ESTALE;
    if (status == EINPROGRESS) {
        return false;
    }
    if (status == 0) {
        reply_open(request, file);
    } else {
        fuse_reply_err(request->req, status);
    }
    return true;
}

void op_open(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info)
{
    struct request *request = request_begin(req);
    request->node_id = node_id;
    request->file_info = *file_info;
    request_run(request, handle_open);
}

static unsigned rights_of_flags(int flags)
{
    switch (flags & O_ACCMODE) {
    case O_RDONLY:
        return ACCESS_READ;
    case O_WRONLY:
        return ACCESS_WRITE;
    default:
        return ACCESS_READ | ACCESS_WRITE;
    }
}

/* Creates the topic, or opens the one that somebody else made since the kernel looked, which the kernel did not check.
 */
static int create_or_open(struct request *request, const char *name, const struct walrus_topic_settings *settings,
                          struct walrus_topic **topic, struct walrus_topic_info *info)
{
    struct fs *fs = request->fs;
    int flags = request->file_info.flags;
    struct walrus_error error;
    enum walrus_code code = walrus_topic_open(fs->log, name, WALRUS_CREATE | WALRUS_EXCLUSIVE, settings, topic, &error);
    bool existed = code == WALRUS_E_EXISTS && (flags & O_EXCL) == 0;
    if (existed) {
        code = walrus_topic_open(fs->log, name, 0, NULL, topic, &error);
    }
    if (code != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    int status = 0;
    if (walrus_topic_info(*topic, info, &error) != WALRUS_OK) {
        status = fs_errno(fs, &error);
    } else if (existed) {
        status = check_append_only(flags);
        if (status == 0 && !access_allowed_request(request->req, &info->settings.attributes, rights_of_flags(flags))) {
            status = EACCES;
        }
    }
    if (status != 0) {
        walrus_topic_close(*topic);
    }
    return status;
}

static void reply_create(struct request *request, const char *name, struct open_file *file)
{
    struct fs *fs = request->fs;
    struct fuse_entry_param entry = {0};
    const struct node_place place = {
        .kind = WALRUS_NODE_TOPIC, .id = file->topic_id, .name = name, .base_offset = file->base_offset};
    struct node *node = node_table_look_up(&fs->nodes, &place, fuse_req_ctx(request->req)->pid);
    int status = node != NULL ? attributes_of_open_file(fs, node, file, &entry.attr) : ENOMEM;
    if (status == 0) {
        entry.ino = node->node_id;
        describe_to_kernel(request, file, node->node_id);
        if (fuse_reply_create(request->req, &entry, &request->file_info) == 0) {
            return;
        }
    } else {
        fuse_reply_err(request->req, status);
    }
    open_file_destroy(fs, file);
    if (node != NULL) {
        node_table_forget(&fs->nodes, node->node_id, 1);
    }
}

static int create_in(struct request *request, const struct node *parent, char name[WALRUS_NAME_MAX + 1],
                     struct open_file **file)
{
    struct walrus_topic_settings settings = {0};
    struct walrus_topic *topic = NULL;
    struct walrus_topic_info info;
    /* As in other trees that mirror something (/proc): the name is not there, and cannot be made. */
    if (parent->view != VIEW_TOPICS) {
        return ENOENT;
    }
    if (view_find(parent, request->name) != VIEW_NONE) {
        return EPERM;
    }
    int status = name_join(parent, request->name, name);
    if (status == 0) {
        status = attributes_for_new(request, parent, false, &settings.attributes);
    }
    if (status == 0) {
        status = create_or_open(request, name, &settings, &topic, &info);
    }
    if (status == 0) {
        status = make_open_file(request, kind_of_topic(request, &info), NULL, topic, &info, file);
    }
    return status;
}

static bool handle_create(struct request *request, bool may_wait)
{
    (void)may_wait;
    struct node *parent = node_table_find(&request->fs->nodes, request->node_id);
    struct open_file *file = NULL;
    char name[WALRUS_NAME_MAX + 1];
    int status = parent != NULL ? create_in(request, parent, name, &file) : ESTALE;
    if (status == 0) {
        reply_create(request, name, file);
    } else {
        fuse_reply_err(request->req, status);
    }
    return true;
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *file_info)
{
    struct request *request = request_begin(req);
    request->node_id = parent;
    request->name = name;
    request->mode = mode;
    request->file_info = *file_info;
    request_defer(request, handle_create);
}
