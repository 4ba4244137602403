/*
 * groups.c - groups as directories: `mkdir .drain/@billing` makes the group "billing", rmdir removes it with its
 * cursors. The views share the groups, so it is then in all of them.
 */
#include <errno.h>

#include "fs_state.h"
#include "request.h"
#include "view.h"

static int check_place(const struct node *parent, const char *name)
{
    return view_holds_groups(parent) && name[0] == '@' ? 0 : EPERM;
}

static int make_group(struct request *request, const struct node *parent, const char *name)
{
    struct walrus_error error;
    int status = check_place(parent, name);
    if (status == 0 && walrus_group_create(request->fs->log, name + 1, NULL, &error) != WALRUS_OK) {
        status = fs_errno(request->fs, &error);
    }
    return status;
}

static int remove_group(struct request *request, const struct node *parent, const char *name)
{
    struct walrus_group_info group;
    struct walrus_error error;
    int status = check_place(parent, name);
    if (status == 0 && walrus_group_find(request->fs->log, name + 1, &group, &error) != WALRUS_OK) {
        status = fs_errno(request->fs, &error);
        return status == EINVAL ? ENOENT : status;
    }
    if (status == 0 && group.id == 0) {
        status = EPERM; /* "default" is always there */
    }
    if (status == 0 && walrus_group_delete(request->fs->log, name + 1, &error) != WALRUS_OK) {
        status = fs_errno(request->fs, &error);
    }
    return status;
}

const struct view_names view_names_groups = {
    .make_directory = make_group,
    .remove_directory = remove_group,
};
