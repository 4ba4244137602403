/*
 * io.c - short counts and interruptions, handled once for all backends.
 */
#include "io/io.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* Drops `done` bytes from the front of an iovec array. Returns the entries that are left. */
static int advance(struct iovec **iov, int iov_count, size_t done)
{
    while (iov_count > 0 && done >= (*iov)->iov_len) {
        done -= (*iov)->iov_len;
        (*iov)++;
        iov_count--;
    }
    if (iov_count > 0) {
        (*iov)->iov_base = (uint8_t *)(*iov)->iov_base + done;
        (*iov)->iov_len -= done;
    }
    return iov_count;
}

/* Reads until the buffer is full or the file ends; *got tells. */
static int read_some(struct io_file *file, uint8_t *buffer, size_t size, uint64_t offset, size_t *got)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = file->ops->read(file, buffer + done, size - done, offset + done);
        if (n == -EINTR)
            continue;
        if (n < 0)
            return (int)n;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *got = done;
    return 0;
}

int io_full_read(struct io_file *file, void *buffer, size_t size, uint64_t offset)
{
    size_t got = 0;
    int rc = read_some(file, buffer, size, offset, &got);
    if (rc < 0)
        return rc;
    return got == size ? 0 : -ENODATA;
}

int io_read_padded(struct io_file *file, void *buffer, size_t size, uint64_t offset)
{
    size_t got = 0;
    int rc = read_some(file, buffer, size, offset, &got);
    if (rc < 0)
        return rc;
    memset((uint8_t *)buffer + got, 0, size - got);
    return 0;
}

int io_full_write(struct io_file *file, struct iovec *iov, int iov_count, uint64_t offset)
{
    while ((iov_count = advance(&iov, iov_count, 0)) > 0) {
        ssize_t n = file->ops->write(file, iov, iov_count < IOV_MAX ? iov_count : IOV_MAX, offset);
        if (n == -EINTR)
            continue;
        if (n < 0)
            return (int)n;
        if (n == 0)
            return -EIO; /* no progress and no reason: never loop on it */
        offset += (uint64_t)n;
        iov_count = advance(&iov, iov_count, (size_t)n);
    }
    return 0;
}

int io_full_write_bytes(struct io_file *file, const void *buffer, size_t size, uint64_t offset)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)buffer, .iov_len = size};
    return io_full_write(file, &iov, 1, offset);
}

ssize_t io_carry_out(const struct io_request *request)
{
    struct io_file *file = request->file;
    if (request->direction == IO_WRITE)
        return file->ops->write(file, request->iov, request->iov_count, request->offset);
    size_t done = 0;
    for (int i = 0; i < request->iov_count; i++) {
        ssize_t n = file->ops->read(file, request->iov[i].iov_base, request->iov[i].iov_len, request->offset + done);
        if (n < 0)
            return done > 0 ? (ssize_t)done : n;
        done += (size_t)n;
        if ((size_t)n < request->iov[i].iov_len)
            break;
    }
    return (ssize_t)done;
}

static size_t request_bytes(const struct io_request *request)
{
    size_t size = 0;
    for (int i = 0; i < request->iov_count; i++)
        size += request->iov[i].iov_len;
    return size;
}

/* Does what is left of a request of which `done` bytes are done. */
static int finish(const struct io_request *request, size_t done)
{
    struct iovec *iov = (struct iovec *)(uintptr_t)request->iov;
    int left = advance(&iov, request->iov_count, done);
    uint64_t offset = request->offset + done;
    if (request->direction == IO_WRITE)
        return io_full_write(request->file, iov, left, offset);
    for (int i = 0; i < left; offset += iov[i++].iov_len) {
        int rc = io_read_padded(request->file, iov[i].iov_base, iov[i].iov_len, offset);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int io_full_submit(struct io *io, struct io_request *requests, size_t request_count)
{
    int rc = io->ops->submit(io, requests, request_count);
    for (size_t i = 0; rc == 0 && i < request_count; i++) {
        struct io_request *request = &requests[i];
        if (request->result == -EINTR || request->result == -EAGAIN)
            request->result = 0;
        if (request->result < 0)
            rc = (int)request->result;
        else if ((size_t)request->result < request_bytes(request))
            rc = finish(request, (size_t)request->result);
    }
    return rc;
}
