#include "access.h"

#include <errno.h>
#include <stdlib.h>

int caller_init(struct caller *caller, fuse_req_t req)
{
    const struct fuse_ctx *context = fuse_req_ctx(req);
    *caller = (struct caller){.uid = context->uid, .gid = context->gid};
    int wanted = 32;
    for (;;) {
        gid_t *groups = realloc(caller->groups, (size_t)wanted * sizeof *groups);
        if (groups == NULL) {
            caller_fini(caller);
            return ENOMEM;
        }
        caller->groups = groups;
        int count = fuse_req_getgroups(req, wanted, groups);
        if (count <= wanted) {
            caller->group_count = count > 0 ? count : 0;
            return 0;
        }
        wanted = count;
    }
}

void caller_fini(struct caller *caller)
{
    free(caller->groups);
    caller->groups = NULL;
    caller->group_count = 0;
}

static bool in_group(const struct caller *caller, gid_t gid)
{
    if (caller->gid == gid) {
        return true;
    }
    for (int i = 0; i < caller->group_count; i++) {
        if (caller->groups[i] == gid) {
            return true;
        }
    }
    return false;
}

bool access_allowed(const struct caller *caller, const struct walrus_attributes *attributes, unsigned rights)
{
    if (caller->uid == 0) {
        return true;
    }
    unsigned granted = attributes->mode & 7;
    if (caller->uid == attributes->uid) {
        granted = (attributes->mode >> 6) & 7;
    } else if (in_group(caller, attributes->gid)) {
        granted = (attributes->mode >> 3) & 7;
    }
    return (granted & rights) == rights;
}

bool access_allowed_request(fuse_req_t req, const struct walrus_attributes *attributes, unsigned rights)
{
    struct caller caller;
    if (fuse_req_ctx(req)->uid == 0) {
        return true;
    }
    if (caller_init(&caller, req) != 0) {
        return false;
    }
    bool allowed = access_allowed(&caller, attributes, rights);
    caller_fini(&caller);
    return allowed;
}
