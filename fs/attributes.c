#include "attributes.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fs_state.h"
#include "open_file.h"
#include "request.h"

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

bool name_is_control(const struct node *parent, const char *name)
{
    return parent->view == VIEW_TOPICS && parent->name[0] == '\0' &&
           (strcmp(name, BATCH_FILE_NAME) == 0 || strcmp(name, DRAIN_DIRECTORY_NAME) == 0);
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

static void fill_topic(enum node_view view, const struct walrus_topic_info *info, uint64_t base_offset, struct stat *st)
{
    const struct walrus_attributes *attributes = &info->settings.attributes;
    fill_common(st, node_inode_number(view, info->id), info->appended_ns);
    st->st_uid = attributes->uid;
    st->st_gid = attributes->gid;
    st->st_nlink = info->deleted ? 0 : 1;
    if (view == VIEW_DRAIN) {
        st->st_mode = S_IFREG | (attributes->mode & 0444);
    } else {
        st->st_mode = S_IFREG | (attributes->mode & 07777);
        st->st_size = (off_t)(info->next_offset - base_offset);
        st->st_blocks = (blkcnt_t)(info->block_bytes / 512);
    }
}

static void fill_namespace(enum node_view view, const struct walrus_node *node, struct stat *st)
{
    fill_common(st, node_inode_number(view, node->id), node->created_ns);
    st->st_mode = S_IFDIR | (node->attributes.mode & (view == VIEW_DRAIN ? 01555 : 07777));
    st->st_uid = node->attributes.uid;
    st->st_gid = node->attributes.gid;
}

static void fill_batch(const struct fs *fs, const struct node *node, struct stat *st)
{
    fill_common(st, node->inode_number, fs->started_ns);
    st->st_mode = S_IFREG | 0666;
    st->st_uid = getuid();
    st->st_gid = getgid();
}

static int find_topic(struct fs *fs, enum node_view view, const char *name, uint64_t *id, struct stat *st,
                      enum walrus_code *code)
{
    struct walrus_error error;
    struct walrus_topic *topic = NULL;
    struct walrus_topic_info info;
    *code = walrus_topic_open(fs->log, name, 0, NULL, &topic, &error);
    if (*code == WALRUS_OK) {
        *code = walrus_topic_info(topic, &info, &error);
        walrus_topic_close(topic);
    }
    if (*code != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    *id = info.id;
    fill_topic(view, &info, info.first_offset, st);
    return 0;
}

int attributes_find(struct fs *fs, enum node_view view, const char *name, enum walrus_node_kind *kind, uint64_t *id,
                    struct stat *st)
{
    enum walrus_code code = WALRUS_E_NOT_TOPIC;
    int status = 0;
    if (name[0] != '\0') {
        *kind = WALRUS_NODE_TOPIC;
        status = find_topic(fs, view, name, id, st, &code);
    }
    if (code != WALRUS_E_NOT_TOPIC) {
        return status;
    }
    struct walrus_error error;
    struct walrus_node node;
    if (walrus_lookup(fs->log, name, &node, &error) != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    if (node.kind != WALRUS_NODE_NAMESPACE) {
        return ESTALE; /* a topic took the name in between: the kernel looks again */
    }
    *kind = node.kind;
    *id = node.id;
    fill_namespace(view, &node, st);
    return 0;
}

double attributes_timeout(const struct node *node)
{
    return node->kind == WALRUS_NODE_NAMESPACE && node->view == VIEW_TOPICS ? NAMESPACE_TIMEOUT_S : 0;
}

int attributes_of_node(struct fs *fs, const struct node *node, struct stat *st)
{
    if (node->view == VIEW_BATCH) {
        fill_batch(fs, node, st);
        return 0;
    }
    enum walrus_node_kind kind;
    uint64_t id;
    int status = attributes_find(fs, node->view, node->name, &kind, &id, st);
    bool gone = status == ENOENT || status == ENOTDIR || (status == 0 && id != node->id);
    if (!gone) {
        return status;
    }
    /* fstat(2) of a deleted topic comes without the open file. */
    struct walrus_topic_info info;
    if (node->kind != WALRUS_NODE_TOPIC || !open_file_topic_info(&fs->files, node->id, &info)) {
        return ESTALE;
    }
    fill_topic(node->view, &info, info.first_offset, st);
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
    fill_topic(node->view, &info, file->base_offset, st);
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
