/*
 * transport.h - how requests come from the kernel and answers go back: FUSE-over-io_uring where the kernel offers it,
 * else /dev/fuse, read by the loop. Chosen when the mount is made; nothing that fails on the way leaves a mount that
 * hangs:
 *
 *  - no such thing in the kernel, or switched off (/sys/module/fuse/parameters/enable_uring); io_uring forbidden, by
 * sysctl or seccomp, or out of memory: found out before mounting, and the device is used;
 *  - not offered when the mount is made, although the switch is on: likewise;
 *  - an entry refused, or no word from a thread within seconds, after we said yes: from then on the kernel holds back
 *    requests, so it is made to give up, and uses the device. If it does not, the session ends with an error.
 *
 * With TRANSPORT_URING each of these is an error at the start.
 */
#ifndef WALRUSFS_TRANSPORT_H
#define WALRUSFS_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uring_queue.h"

enum transport_choice { TRANSPORT_AUTO, TRANSPORT_URING, TRANSPORT_PLAIN };

struct transport {
    struct fs *fs;
    bool prepared;        /* rings are there */
    bool active;          /* requests come by io_uring */
    char reason[160];     /* why they do not */
    uint64_t init_unique; /* of the INIT request that offers it; 0: none */
    bool accepted;        /* we have said yes */
    size_t payload_bytes;
    struct uring_group group;
};

/* Before mounting. 0, or an errno if TRANSPORT_URING cannot be had; `reason` says why it is not. */
int transport_prepare(struct transport *transport, struct fs *fs);

/* After mounting: puts itself between libfuse and the device. 0 or an errno. */
int transport_attach(struct transport *transport);

/* After INIT: requests may come. 0, or an errno: the session must end. */
int transport_start(struct transport *transport);

/* No handler is started any more by requests that come by io_uring. */
void transport_drain(struct transport *transport);

/* Before unmounting: answers that were given are sent. */
void transport_stop(struct transport *transport);

/* One line for a person, for example "io_uring, 2 queues" or "/dev/fuse (reason)". */
void transport_describe(const struct transport *transport, char *text, size_t size);

#endif
