/*
 * access.h - may a caller do this? For what the kernel cannot check with default_permissions: consuming, which opens
 * for reading and needs the right to write, and batches, whose topics it never sees.
 */
#ifndef WALRUSFS_ACCESS_H
#define WALRUSFS_ACCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include <fuse_lowlevel.h>

#include <walrus/walrus.h>

enum access_right { ACCESS_EXECUTE = 1, ACCESS_WRITE = 2, ACCESS_READ = 4 };

struct caller {
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* supplementary; owned */
    int group_count;
};

/*
 * Who makes the request. Where the groups cannot be read (another pid namespace) there are none. 0 or ENOMEM. Ended by
 * caller_fini().
 */
int caller_init(struct caller *caller, fuse_req_t req);
void caller_fini(struct caller *caller);

/* True when all of `rights` (of enum access_right) are granted. */
bool access_allowed(const struct caller *caller, const struct walrus_attributes *attributes, unsigned rights);

/* As access_allowed() for the caller of a request. */
bool access_allowed_request(fuse_req_t req, const struct walrus_attributes *attributes, unsigned rights);

#endif
