/*
 * fs_state.h - the one object behind a mount.
 */
#ifndef WALRUSFS_FS_STATE_H
#define WALRUSFS_FS_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include <fuse_lowlevel.h>

#include <walrus/walrus.h>

#include "consumer.h"
#include "control_server.h"
#include "file_lock.h"
#include "loop.h"
#include "node_table.h"
#include "open_file.h"
#include "options.h"
#include "transport.h"
#include "waiting.h"
#include "workers.h"

#define FS_MAX_WRITE_BYTES (1u << 20) /* largest WRITE request */

struct fs {
    const struct fs_options *options; /* constant from start to end, as are log and session */
    struct walrus_log *log;
    struct fuse_session *session;
    int data_dir_fd;
    uint64_t started_ns;
    bool initialised;      /* the kernel and we agree; the loop's thread only */
    size_t read_bytes_max; /* what the memory of a request can hold of a reply; set before the first read */
    struct loop loop;
    struct transport transport;
    struct workers changers; /* run what may wait for a sync */
    struct workers readers;  /* run what reads, which a disk busy with syncs must not hold up */
    struct node_table nodes;
    struct file_lock_table locks;
    struct open_file_list files;
    struct consumer_table consumers;
    struct control_server control;
    struct waiting_list waitings;
};

/* The table that libfuse calls. */
extern const struct fuse_lowlevel_ops fs_operations;

/* errno of a failed call of the engine; prints the message too with --debug. */
int fs_errno(const struct fs *fs, const struct walrus_error *error);

/* Nanoseconds since the epoch. */
uint64_t fs_now_ns(void);

#endif
