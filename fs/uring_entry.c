/*
 * uring_entry.c - one request that came by io_uring: from the kernel's entry to libfuse, and the answer back into it.
 */
#include "uring_entry.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/fuse.h>
#include <utlist.h>

#include "fs_state.h"

/* Room in front of the payload: the entry's header, then what libfuse wants to see in front of the payload. */
static size_t lay_out(struct ring_entry *entry)
{
    struct fuse_in_header in;
    memcpy(&in, entry->header->in_out, sizeof in);
    size_t payload_bytes = entry->header->payload_bytes;
    size_t operation_bytes = in.len - sizeof in - payload_bytes;
    entry->unique = in.unique;
    entry->commit_id = entry->header->commit_id;
    if (in.len < sizeof in + payload_bytes || operation_bytes > sizeof entry->header->operation ||
        payload_bytes > entry->parts[1].iov_len) {
        return 0;
    }
    uint8_t *start = entry->payload - operation_bytes - sizeof in;
    memcpy(start, &in, sizeof in);
    memcpy(start + sizeof in, entry->header->operation, operation_bytes);
    entry->request.buffer = (struct fuse_buf){.mem = start, .size = in.len};
    entry->queue->touched_bytes += payload_bytes;
    return in.len;
}

void ring_entry_process(struct ring_entry *entry)
{
    struct fs *fs = entry->queue->group->fs;
    atomic_store_explicit(&entry->state, 0, memory_order_relaxed);
    if (lay_out(entry) == 0) {
        struct fuse_out_header refusal = {.len = sizeof refusal, .error = -EIO, .unique = entry->unique};
        struct iovec part = {.iov_base = &refusal, .iov_len = sizeof refusal};
        ring_entry_answer(entry, &part, 1);
        ring_entry_handled(entry);
        return;
    }
    entry->request.fs = fs;
    request_set_current(&entry->request);
    fuse_session_process_buf(fs->session, &entry->request.buffer);
    struct request *left = request_current();
    request_set_current(NULL);
    if (left != NULL) {
        ring_entry_handled(entry);
    }
}

/* The second of the two that an entry waits for. */
static void give_back(struct ring_entry *entry)
{
    struct uring_queue *queue = entry->queue;
    if (uring_queue_is_mine(queue)) {
        uring_queue_commit(queue, entry);
        return;
    }
    pthread_mutex_lock(&queue->mutex);
    bool was_empty = queue->answered == NULL;
    entry->next = queue->answered;
    queue->answered = entry;
    pthread_mutex_unlock(&queue->mutex);
    if (was_empty) {
        uint64_t one = 1;
        while (write(queue->event_fd, &one, sizeof one) < 0 && errno == EINTR) {
        }
    }
}

static void note(struct ring_entry *entry, unsigned what)
{
    unsigned other = what == ENTRY_ANSWERED ? ENTRY_HANDLED : ENTRY_ANSWERED;
    if ((atomic_fetch_or(&entry->state, what) & other) != 0) {
        give_back(entry);
    }
}

void ring_entry_handled(struct ring_entry *entry)
{
    note(entry, ENTRY_HANDLED);
}

static struct ring_entry **parking_place(struct uring_group *group, uint64_t unique)
{
    return &group->parked[(unique >> 1) % URING_PARKING_PLACES]; /* the kernel's numbers are even */
}

static void unpark(struct ring_entry *entry)
{
    struct uring_group *group = entry->queue->group;
    pthread_mutex_lock(&group->mutex);
    DL_DELETE2(*parking_place(group, entry->unique), entry, parked_prev, parked_next);
    entry->parked = false;
    atomic_fetch_sub(&group->parked_count, 1);
    pthread_mutex_unlock(&group->mutex);
}

ssize_t ring_entry_answer(struct ring_entry *entry, const struct iovec *parts, int part_count)
{
    struct fuse_out_header *out = (struct fuse_out_header *)entry->header->in_out;
    size_t used = 0;
    ssize_t sum = (ssize_t)parts[0].iov_len;
    memcpy(out, parts[0].iov_base, sizeof *out);
    for (int i = 1; i < part_count; i++) {
        size_t length = parts[i].iov_len;
        if (length > entry->parts[1].iov_len - used) {
            out->error = -EIO;
            used = 0;
            break;
        }
        /* What was made in place lies there already. */
        if (length > 0 && parts[i].iov_base != entry->payload + used) {
            memmove(entry->payload + used, parts[i].iov_base, length);
        }
        used += length;
        sum += (ssize_t)length;
    }
    entry->header->payload_bytes = (uint32_t)used;
    if (entry->parked) {
        unpark(entry);
    }
    note(entry, ENTRY_ANSWERED);
    return sum;
}

void ring_entry_park(struct ring_entry *entry)
{
    struct uring_group *group = entry->queue->group;
    pthread_mutex_lock(&group->mutex);
    entry->parked = true;
    DL_APPEND2(*parking_place(group, entry->unique), entry, parked_prev, parked_next);
    atomic_fetch_add(&group->parked_count, 1);
    pthread_mutex_unlock(&group->mutex);
}

struct ring_entry *uring_find_entry(struct uring_group *group, uint64_t unique)
{
    const struct request *request = request_current();
    if (request != NULL && request->ring_entry != NULL && request->ring_entry->unique == unique) {
        return request->ring_entry;
    }
    struct ring_entry *entry = NULL;
    if (atomic_load(&group->parked_count) > 0) {
        pthread_mutex_lock(&group->mutex);
        DL_FOREACH2(*parking_place(group, unique), entry, parked_next)
        {
            if (entry->unique == unique) {
                break;
            }
        }
        pthread_mutex_unlock(&group->mutex);
    }
    return entry;
}
