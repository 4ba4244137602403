#include "attributes.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fs_state.h"
#include "open_file.h"
#include "request.h"
#include "view.h"

#define PREFERRED_READ_BYTES (128 * 1024)
#define NAMESPACE_TIMEOUT_S 1.0

int name_join(const struct node *parent, const char *name, char joined[WALRUS_NAME_MAX + 1])
{
    size_t parent_length = strlen(parent->name);
    size_t length = strlen(name);
    size_t slash_length = parent_length > 0 ? 1 : 0;
    if (length > WALRUS_NAME_COMPONENT_MAX || parent_length + slash_length + length > WALRUS_NAME_MAX) {
        return ENAMETOOLONG;
    }
    memcpy(joined, parent->name, parent_length);
    if (slash_length > 0) {
        joined[parent_length] = '/';
    }
    memcpy(joined + parent_length + slash_length, name, length + 1);
    return walrus_name_is_valid(joined) ? 0 : EINVAL;
}

static struct timespec timespec_of(uint64_t time_ns)
{
    return (struct timespec){.tv_sec = (time_t)(time_ns / 1000000000u), .tv_nsec = (long)(time_ns % 1000000000u)};
}

static void fill_common(struct stat *st, uint64_t inode_number, uint64_t changed_ns)
{
    *st = (struct stat){.st_ino = inode_number, .st_nlink = 1, .st_blksize = PREFERRED_READ_BYTES};
    st->st_mtim = timespec_of(changed_ns);
    st->st_ctim = st->st_mtim;
    st->st_atim = st->st_mtim;
}

static void fill_topic(const struct node_place *place, const struct walrus_topic_info *info, struct stat *st)
{
    const struct view *view = view_by_number(place->view);
    const struct walrus_attributes *attributes = &info->settings.attributes;
    fill_common(st, node_inode_number(place), info->appended_ns);
    st->st_uid = attributes->uid;
    st->st_gid = attributes->gid;
    st->st_nlink = info->deleted ? 0 : 1;
    st->st_mode = S_IFREG | (attributes->mode & view->file_mode);
    if (view->size != NULL) {
        st->st_size = (off_t)view->size(info, place->base_offset);
    }
    if (place->view == VIEW_TOPICS) {
        st->st_blocks = (blkcnt_t)(info->block_bytes / 512);
    }
}

/* The root is as old as the log. */
static void fill_namespace(const struct fs *fs, const struct node_place *place, const struct walrus_node *node,
                           struct stat *st)
{
    const struct view *view = view_by_number(place->view);
    bool makes_groups = view->has_groups && place->name[0] == '\0' && place->group == NULL;
    fill_common(st, node_inode_number(place), node->created_ns != 0 ? node->created_ns : fs->log_created_ns);
    st->st_mode = S_IFDIR | (node->attributes.mode & (makes_groups ? 01777 : view->directory_mode));
    st->st_uid = node->attributes.uid;
    st->st_gid = node->attributes.gid;
}

/* What is in no tree: a file, or a directory of such. */
static void fill_fixed(const struct fs *fs, const struct node_place *place, struct stat *st)
{
    const struct view *view = view_by_number(place->view);
    fill_common(st, node_inode_number(place), fs->started_ns);
    st->st_mode = view->shape == VIEW_DIRECTORY ? S_IFDIR | view->directory_mode : S_IFREG | view->file_mode;
    st->st_uid = getuid();
    st->st_gid = getgid();
}

static int find_topic(struct fs *fs, struct node_place *place, struct stat *st, enum walrus_code *code)
{
    struct walrus_error error;
    struct walrus_topic *topic = NULL;
    struct walrus_topic_info info;
    *code = walrus_topic_open(fs->log, place->name, 0, NULL, &topic, &error);
    if (*code == WALRUS_OK) {
        *code = walrus_topic_info(topic, &info, &error);
        walrus_topic_close(topic);
    }
    if (*code != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    place->id = info.id;
    if (place->base_offset == WALRUS_NOWHERE) {
        place->base_offset = view_by_number(place->view)->size != NULL ? info.first_offset : 0;
    }
    fill_topic(place, &info, st);
    return 0;
}

/* Completes a place in a tree, of which view and name are known. 0 or an errno. */
static int find_in_tree(struct fs *fs, struct node_place *place, struct stat *st)
{
    enum walrus_code code = WALRUS_E_NOT_TOPIC;
    int status = 0;
    if (place->name[0] != '\0') {
        place->kind = WALRUS_NODE_TOPIC;
        status = find_topic(fs, place, st, &code);
    }
    if (code != WALRUS_E_NOT_TOPIC) {
        return status;
    }
    struct walrus_error error;
    struct walrus_node node;
    if (walrus_lookup(fs->log, place->name, &node, &error) != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    if (node.kind != WALRUS_NODE_NAMESPACE) {
        return ESTALE; /* a topic took the name in between: the kernel looks again */
    }
    place->kind = node.kind;
    place->id = node.id;
    place->base_offset = 0;
    fill_namespace(fs, place, &node, st);
    return 0;
}

/* Completes a place that a group has of its own: its tree in a view. */
static int find_group(struct fs *fs, struct node_place *place, struct stat *st)
{
    struct walrus_group_info group;
    struct walrus_error error;
    if (walrus_group_find(fs->log, place->group, &group, &error) != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    place->group_id = group.id;
    return find_in_tree(fs, place, st);
}

/* Completes a place that is the first of its view. */
static int find_view(struct fs *fs, struct node_place *place, struct stat *st)
{
    enum view_shape shape = view_by_number(place->view)->shape;
    place->name = "";
    if (shape == VIEW_TREE) {
        return find_in_tree(fs, place, st);
    }
    place->kind = shape == VIEW_FILE ? WALRUS_NODE_TOPIC : WALRUS_NODE_NAMESPACE;
    place->id = 0;
    place->base_offset = 0;
    fill_fixed(fs, place, st);
    return 0;
}

int attributes_find(struct fs *fs, const struct node *parent, const char *name, char joined[WALRUS_NAME_MAX + 1],
                    struct node_place *place, struct stat *st)
{
    *place = (struct node_place){.view = view_find(parent, name), .name = joined, .base_offset = WALRUS_NOWHERE};
    if (place->view != VIEW_NONE) {
        return find_view(fs, place, st);
    }
    if (view_of(parent)->shape != VIEW_TREE) {
        return ENOENT;
    }
    place->view = parent->view;
    place->group = parent->group;
    place->group_id = parent->group_id;
    int status;
    if (name[0] == '@' && view_holds_groups(parent)) {
        place->group = name + 1;
        place->name = "";
        status = find_group(fs, place, st);
    } else {
        status = name_join(parent, name, joined);
        status = status == 0 ? find_in_tree(fs, place, st) : status;
    }
    return status == EINVAL ? ENOENT : status;
}

double attributes_timeout(const struct node *node)
{
    return node->kind == WALRUS_NODE_NAMESPACE && node->view == VIEW_TOPICS ? NAMESPACE_TIMEOUT_S : 0;
}

static struct node_place place_of(const struct node *node)
{
    return (struct node_place){.view = node->view,
                               .kind = node->kind,
                               .id = node->id,
                               .name = node->name,
                               .group = node->group,
                               .group_id = node->group_id,
                               .base_offset = node->base_offset};
}

int attributes_of_node(struct fs *fs, const struct node *node, struct stat *st)
{
    struct node_place place = place_of(node);
    if (view_of(node)->shape != VIEW_TREE) {
        fill_fixed(fs, &place, st);
        return 0;
    }
    int status = find_in_tree(fs, &place, st);
    bool gone = status == ENOENT || status == ENOTDIR || (status == 0 && place.id != node->id);
    if (!gone) {
        return status;
    }
    /* fstat(2) of a deleted topic comes without the open file. */
    struct walrus_topic_info info;
    if (node->kind != WALRUS_NODE_TOPIC || !open_file_topic_info(&fs->files, node->id, &info)) {
        return ESTALE;
    }
    place.id = node->id;
    fill_topic(&place, &info, st);
    return 0;
}

int attributes_of_open_file(struct fs *fs, const struct node *node, const struct open_file *file, struct stat *st)
{
    if (file->topic == NULL) {
        return attributes_of_node(fs, node, st);
    }
    struct walrus_error error;
    struct walrus_topic_info info;
    if (walrus_topic_info(file->topic, &info, &error) != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    struct node_place place = place_of(node);
    place.base_offset = file->base_offset;
    fill_topic(&place, &info, st);
    return 0;
}

int attributes_for_new(struct request *request, const struct node *parent, bool is_namespace,
                       struct walrus_attributes *attributes)
{
    struct walrus_error error;
    struct walrus_node namespace_node;
    if (walrus_lookup(request->fs->log, parent->name, &namespace_node, &error) != WALRUS_OK) {
        return fs_errno(request->fs, &error);
    }
    const struct fuse_ctx *context = fuse_req_ctx(request->req);
    *attributes = (struct walrus_attributes){.mode = request->mode & 07777, .uid = context->uid, .gid = context->gid};
    if ((namespace_node.attributes.mode & S_ISGID) != 0) {
        attributes->gid = namespace_node.attributes.gid;
        attributes->mode |= is_namespace ? S_ISGID : 0;
    }
    return 0;
}
