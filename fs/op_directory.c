/*
 * op_directory.c - listing. A listing is a snapshot, taken when it is read from the start: its cost is linear, and what
 * is made or removed meanwhile neither repeats nor hides other names.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attributes.h"
#include "fs_state.h"
#include "operations.h"
#include "request.h"
#include "view.h"

struct directory_item {
    size_t name_offset;
    uint64_t inode_number;
    mode_t type;
};

struct open_directory {
    pthread_mutex_t mutex; /* guards the rest */
    struct directory_item *items;
    size_t item_count;
    size_t item_capacity;
    char *names; /* one after the other, each with its NUL */
    size_t names_length;
    size_t names_capacity;
};

static bool add_item(struct open_directory *directory, const char *name, uint64_t inode_number, mode_t type)
{
    size_t length = strlen(name) + 1;
    if (directory->item_count == directory->item_capacity) {
        size_t capacity = directory->item_capacity > 0 ? directory->item_capacity * 2 : 64;
        struct directory_item *items = realloc(directory->items, capacity * sizeof *items);
        if (items == NULL) {
            return false;
        }
        directory->items = items;
        directory->item_capacity = capacity;
    }
    if (directory->names_capacity - directory->names_length < length) {
        size_t capacity = directory->names_capacity * 2 + 1024;
        char *names = realloc(directory->names, capacity);
        if (names == NULL) {
            return false;
        }
        directory->names = names;
        directory->names_capacity = capacity;
    }
    memcpy(directory->names + directory->names_length, name, length);
    directory->items[directory->item_count++] =
        (struct directory_item){.name_offset = directory->names_length, .inode_number = inode_number, .type = type};
    directory->names_length += length;
    return true;
}

struct listing {
    struct open_directory *directory;
    const struct node *node;
    bool out_of_memory;
};

static int visit_node(const struct walrus_node *node, void *context)
{
    struct listing *listing = context;
    mode_t type = node->kind == WALRUS_NODE_TOPIC ? S_IFREG : S_IFDIR;
    const struct node_place place = {.view = listing->node->view,
                                     .id = node->id,
                                     .group = listing->node->group,
                                     .group_id = listing->node->group_id};
    if (!add_item(listing->directory, node->name, node_inode_number(&place), type)) {
        listing->out_of_memory = true;
    }
    return listing->out_of_memory;
}

static int visit_group(const struct walrus_group_info *group, void *context)
{
    struct listing *listing = context;
    char name[1 + WALRUS_NAME_COMPONENT_MAX + 1];
    if (group->id == 0) {
        return 0; /* what is there without a group is its */
    }
    const struct node_place place = {
        .view = listing->node->view, .id = NODE_ROOT_ID, .group = group->name, .group_id = group->id};
    snprintf(name, sizeof name, "@%s", group->name);
    if (!add_item(listing->directory, name, node_inode_number(&place), S_IFDIR)) {
        listing->out_of_memory = true;
    }
    return listing->out_of_memory;
}

static bool visit_view(unsigned number, const struct view *view, void *context)
{
    const struct node_place place = {.view = number, .id = view->shape == VIEW_TREE ? NODE_ROOT_ID : 0};
    mode_t type = view->shape == VIEW_FILE ? S_IFREG : S_IFDIR;
    return add_item(context, view->name, node_inode_number(&place), type);
}

static int take_snapshot(struct fs *fs, const struct node *node, struct open_directory *directory)
{
    struct listing listing = {.directory = directory, .node = node};
    struct walrus_error error;
    directory->item_count = 0;
    directory->names_length = 0;
    if (!add_item(directory, ".", node->inode_number, S_IFDIR) ||
        !add_item(directory, "..", node->inode_number, S_IFDIR)) {
        return ENOMEM;
    }
    if ((!view_is_root(node) || fs->options->show_control_files) && !view_list(node, visit_view, directory)) {
        return ENOMEM;
    }
    if (view_of(node)->shape != VIEW_TREE) {
        return 0;
    }
    if (view_holds_groups(node) && walrus_group_list(fs->log, visit_group, &listing, &error) != WALRUS_OK) {
        return fs_errno(fs, &error);
    }
    if (walrus_list(fs->log, node->name, visit_node, &listing, &error) != WALRUS_OK) {
        /* A directory that was removed while open is empty. */
        return error.code == WALRUS_E_NOT_FOUND ? 0 : fs_errno(fs, &error);
    }
    return listing.out_of_memory ? ENOMEM : 0;
}

void op_opendir(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info)
{
    (void)node_id;
    struct open_directory *directory = calloc(1, sizeof *directory);
    if (directory == NULL) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    pthread_mutex_init(&directory->mutex, NULL);
    file_info->fh = (uintptr_t)directory;
    if (fuse_reply_open(req, file_info) != 0) {
        pthread_mutex_destroy(&directory->mutex);
        free(directory);
    }
}

static void reply_items(struct request *request, const struct open_directory *directory)
{
    /* The memory that the request came in is free for the answer. */
    char *reply = request->reply;
    size_t limit = request->size < request->fs->read_bytes_max ? request->size : request->fs->read_bytes_max;
    size_t used = 0;
    for (size_t i = (size_t)request->offset; i < directory->item_count; i++) {
        const struct directory_item *item = &directory->items[i];
        struct stat st = {.st_ino = item->inode_number, .st_mode = item->type};
        size_t needed = fuse_add_direntry(request->req, reply + used, limit - used,
                                          directory->names + item->name_offset, &st, (off_t)i + 1);
        if (needed > limit - used) {
            break;
        }
        used += needed;
    }
    fuse_reply_buf(request->req, reply, used);
}

static bool handle_readdir(struct request *request, bool may_wait)
{
    struct open_directory *directory = (struct open_directory *)(uintptr_t)request->file_info.fh;
    if (!may_wait && (request->offset == 0 || pthread_mutex_trylock(&directory->mutex) != 0)) {
        return false;
    }
    int status = 0;
    if (may_wait) {
        pthread_mutex_lock(&directory->mutex);
    }
    if (request->offset == 0) {
        struct node *node = node_table_find(&request->fs->nodes, request->node_id);
        status = node != NULL ? take_snapshot(request->fs, node, directory) : ESTALE;
    }
    if (status == 0) {
        reply_items(request, directory);
    } else {
        fuse_reply_err(request->req, status);
    }
    pthread_mutex_unlock(&directory->mutex);
    return true;
}

void op_readdir(fuse_req_t req, fuse_ino_t node_id, size_t size, off_t offset, struct fuse_file_info *file_info)
{
    struct request *request = request_begin(req);
    request->node_id = node_id;
    request->size = size;
    request->offset = offset;
    request->file_info = *file_info;
    request->workers = &request->fs->readers;
    request_run(request, handle_readdir);
}

void op_releasedir(fuse_req_t req, fuse_ino_t node_id, struct fuse_file_info *file_info)
{
    (void)node_id;
    struct open_directory *directory = (struct open_directory *)(uintptr_t)file_info->fh;
    /* A worker may have answered the last read and not yet unlocked it. */
    pthread_mutex_lock(&directory->mutex);
    pthread_mutex_unlock(&directory->mutex);
    pthread_mutex_destroy(&directory->mutex);
    free(directory->items);
    free(directory->names);
    free(directory);
    fuse_reply_err(req, 0);
}

/* Names are durable when they are made. */
void op_fsyncdir(fuse_req_t req, fuse_ino_t node_id, int data_only, struct fuse_file_info *file_info)
{
    (void)node_id;
    (void)data_only;
    (void)file_info;
    fuse_reply_err(req, 0);
}
