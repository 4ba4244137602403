/*
 * fs_state.h - the one object behind a mount.
 */
#ifndef WALRUSFS_FS_STATE_H
#define WALRUSFS_FS_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <fuse_lowlevel.h>

#include <walrus/walrus.h>

#include "consumer.h"
#include "control_server.h"
#include "error_list.h"
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
    const struct fs_options *options;      /* constant from start to end, as are log and session */
    struct fs_options *changeable_options; /* the same, for reload_options() only */
    struct walrus_log *log;
    struct fuse_session *session;
    int data_dir_fd;
    uint64_t started_ns;
    uint64_t log_created_ns; /* of its data directory */
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
    struct error_list *errors;   /* constant; what it points to has a lock of its own */
    atomic_uint framing_changes; /* how often a topic's framing was changed: see open_file_follow_framing() */
};

/* The table that libfuse calls. */
extern const struct fuse_lowlevel_ops fs_operations;

/* errno of a failed call of the engine. What is more than a refusal is remembered, and all is printed with --debug. */
int fs_errno(const struct fs *fs, const struct walrus_error *error);

/* Remembers an error (.walrus/errors), of the request that this thread is processing if there is one. */
void fs_note_error(const struct fs *fs, int error_number, const char *text);

/* Nanoseconds since the epoch. */
uint64_t fs_now_ns(void);

#endif
