/*
 * fuse_uring_abi.h - what FUSE-over-io_uring adds to the kernel's interface in Linux 6.14 (protocol 7.42). The headers
 * of the distributions that we build on are older. Layouts are the kernel's, and fixed.
 */
#ifndef WALRUSFS_FUSE_URING_ABI_H
#define WALRUSFS_FUSE_URING_ABI_H

#include <stdint.h>

/* Bit 41 of the flags of INIT: bit 9 of flags2. */
#define FUSE_URING_INIT_FLAG2 (1u << 9)

#define FUSE_URING_HEADER_BYTES 128

/* Commands in sqe->cmd_op. */
#define FUSE_URING_REGISTER 1u         /* gives the kernel an entry to put a request into */
#define FUSE_URING_COMMIT_AND_FETCH 2u /* answers the request in an entry, and gives the entry back */

/* In the command area of the SQE, which must be a large one (IORING_SETUP_SQE128). */
struct fuse_uring_command {
    uint64_t flags;
    uint64_t commit_id; /* of the request that is answered */
    uint16_t queue_id;  /* number of the CPU whose requests are meant */
    uint8_t padding[6];
};

/* The header of an entry, as request and as answer. */
struct fuse_uring_header {
    uint8_t in_out[FUSE_URING_HEADER_BYTES];    /* struct fuse_in_header, or struct fuse_out_header */
    uint8_t operation[FUSE_URING_HEADER_BYTES]; /* the first argument of the request, without padding */
    uint64_t flags;
    uint64_t commit_id;
    uint32_t payload_bytes;
    uint32_t padding;
    uint64_t reserved;
};

#endif
