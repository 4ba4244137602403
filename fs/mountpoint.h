/*
 * mountpoint.h - is this a place to mount on?
 */
#ifndef WALRUSFS_MOUNTPOINT_H
#define WALRUSFS_MOUNTPOINT_H

/*
 * Checks the mount point and makes *mountpoint absolute (the old text is freed). A walrusfs mount whose daemon died is
 * taken away first; any other dead mount is not touched. Also refuses a mount point and a data directory that lie in
 * one another, and a machine without /dev/fuse, or that keeps it from us. 0, or a sysexits code with a message reported.
 */
int mountpoint_prepare(char **mountpoint, const char *data_dir);

#endif
