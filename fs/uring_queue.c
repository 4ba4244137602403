#include "uring_entry.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <utlist.h>

#include "fs_state.h"
#include "report.h"

#define SQ_ENTRIES 64
#define CQ_ENTRIES 1024 /* more completions than that are kept by the kernel */
#define CHUNK_ENTRIES 16u
#define ENTRIES_MAX 65536u /* for each CPU: requests that wait at a time, blocked readers above all */
#define IDLE_ENTRIES_MIN 4u
#define FRONT_BYTES 4096 /* of an entry, before its payload */

/* What a queue keeps of memory that large requests touched, when it is idle for a while. */
#define TOUCHED_KEEP_BYTES ((size_t)1 << 20)
#define IDLE_SECONDS 2

/* Of completions that are no entry. */
#define EVENT_DATA 1u
#define PROBE_DATA 2u

struct entry_chunk {
    struct entry_chunk *next;
    void *memory;
    size_t memory_bytes;
    struct ring_entry entries[CHUNK_ENTRIES];
};

static _Thread_local const struct uring_queue *queue_of_this_thread;

bool uring_queue_is_mine(const struct uring_queue *queue)
{
    return queue_of_this_thread == queue;
}

/* ---- entries ---- */

static struct io_uring_sqe *next_sqe(struct uring_queue *queue)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&queue->ring);
    while (sqe == NULL) {
        io_uring_submit(&queue->ring);
        sqe = io_uring_get_sqe(&queue->ring);
    }
    return sqe;
}

static void prepare_command(struct io_uring_sqe *sqe, struct ring_entry *entry, uint32_t operation, uint16_t queue_id)
{
    struct fuse_uring_command *command = (struct fuse_uring_command *)sqe->cmd;
    memset(sqe, 0, 2 * sizeof *sqe);
    sqe->opcode = IORING_OP_URING_CMD;
    sqe->flags = IOSQE_FIXED_FILE;
    sqe->fd = 0;
    sqe->cmd_op = operation;
    sqe->addr = (uintptr_t)entry->parts;
    sqe->len = 2;
    sqe->user_data = (uintptr_t)entry;
    command->queue_id = queue_id;
    command->commit_id = entry->commit_id;
}

static void note_idle(struct ring_entry *entry)
{
    entry->idle = true;
    entry->cpu->idle_count++;
}

void uring_queue_commit(struct uring_queue *queue, struct ring_entry *entry)
{
    prepare_command(next_sqe(queue), entry, FUSE_URING_COMMIT_AND_FETCH, entry->cpu->queue_id);
    queue->touched_bytes += entry->header->payload_bytes;
    note_idle(entry);
}

static void init_entry(struct uring_queue *queue, struct ring_cpu *cpu, struct ring_entry *entry, uint8_t *memory)
{
    size_t payload_bytes = queue->group->payload_bytes;
    entry->queue = queue;
    entry->cpu = cpu;
    entry->header = (struct fuse_uring_header *)memory;
    entry->payload = memory + FRONT_BYTES;
    entry->parts[0] = (struct iovec){.iov_base = entry->header, .iov_len = sizeof *entry->header};
    entry->parts[1] = (struct iovec){.iov_base = entry->payload, .iov_len = payload_bytes};
    entry->request.ring_entry = entry;
    entry->request.reply = entry->payload;
    LL_PREPEND2(queue->entries, entry, sibling);
}

static struct entry_chunk *make_chunk(struct uring_queue *queue, struct ring_cpu *cpu)
{
    size_t slot_bytes = FRONT_BYTES + queue->group->payload_bytes;
    struct entry_chunk *chunk = calloc(1, sizeof *chunk);
    if (chunk == NULL) {
        return NULL;
    }
    chunk->memory_bytes = CHUNK_ENTRIES * slot_bytes;
    chunk->memory =
        mmap(NULL, chunk->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (chunk->memory == MAP_FAILED) {
        free(chunk);
        return NULL;
    }
    /* A page where a name arrives shall not cost two megabytes. */
    madvise(chunk->memory, chunk->memory_bytes, MADV_NOHUGEPAGE);
    for (unsigned i = 0; i < CHUNK_ENTRIES; i++) {
        init_entry(queue, cpu, &chunk->entries[i], (uint8_t *)chunk->memory + i * slot_bytes);
    }
    LL_PREPEND(queue->chunks, chunk);
    return chunk;
}

static void register_entry(struct ring_entry *entry)
{
    prepare_command(next_sqe(entry->queue), entry, FUSE_URING_REGISTER, entry->cpu->queue_id);
    entry->cpu->entry_count++;
    note_idle(entry);
}

/* Gives the kernel the rest of a chunk whose first entry it has, or all of a new one. */
static void add_entries(struct uring_queue *queue, struct ring_cpu *cpu)
{
    struct entry_chunk *chunk = make_chunk(queue, cpu);
    for (unsigned i = 0; chunk != NULL && i < CHUNK_ENTRIES; i++) {
        register_entry(&chunk->entries[i]);
    }
}

static void add_where_few_are_left(struct uring_queue *queue)
{
    for (unsigned i = 0; i < queue->cpu_count; i++) {
        struct ring_cpu *cpu = &queue->cpus[i];
        if (cpu->idle_count < IDLE_ENTRIES_MIN && cpu->entry_count < ENTRIES_MAX) {
            add_entries(queue, cpu);
        }
    }
}

/* The kernel writes into an entry only while this thread waits in it (IORING_SETUP_DEFER_TASKRUN). */
static void give_memory_back(struct uring_queue *queue)
{
    struct ring_entry *entry;
    LL_FOREACH2(queue->entries, entry, sibling)
    {
        if (entry->idle) {
            madvise(entry->payload, entry->parts[1].iov_len, MADV_DONTNEED);
        }
    }
    queue->touched_bytes = 0;
}

void uring_queue_free_entries(struct uring_queue *queue)
{
    while (queue->chunks != NULL) {
        struct entry_chunk *chunk = queue->chunks;
        queue->chunks = chunk->next;
        munmap(chunk->memory, chunk->memory_bytes);
        free(chunk);
    }
}

/* ---- the thread ---- */

static int open_ring_locked(struct uring_queue *queue)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SQE128 | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL |
                                              IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                                     .cq_entries = CQ_ENTRIES};
    int status = -io_uring_queue_init_params(SQ_ENTRIES, &queue->ring, &params);
    if (status != 0) {
        return status;
    }
    /* Does it do anything? What forbids io_uring may forbid its making or its use. */
    struct io_uring_cqe *cqe = NULL;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&queue->ring);
    memset(sqe, 0, 2 * sizeof *sqe);
    sqe->opcode = IORING_OP_NOP;
    sqe->user_data = PROBE_DATA;
    int submitted = io_uring_submit(&queue->ring);
    status = submitted == 1 ? -io_uring_peek_cqe(&queue->ring, &cqe) : EIO;
    if (submitted < 0) {
        status = -submitted;
    }
    if (status != 0) {
        io_uring_queue_exit(&queue->ring);
        return status;
    }
    io_uring_cqe_seen(&queue->ring, cqe);
    /* One look-up of a descriptor less for each request; works without, too. */
    (void)io_uring_register_ring_fd(&queue->ring);
    return 0;
}

/* One at a time, as close_ring(): they map and unmap memory where no tool sees it, which then passes for a race. */
static int open_ring(struct uring_queue *queue)
{
    pthread_mutex_lock(&queue->group->mutex);
    int status = open_ring_locked(queue);
    pthread_mutex_unlock(&queue->group->mutex);
    return status;
}

static void close_ring(struct uring_queue *queue)
{
    pthread_mutex_lock(&queue->group->mutex);
    io_uring_queue_exit(&queue->ring);
    pthread_mutex_unlock(&queue->group->mutex);
}

static int register_first(struct uring_queue *queue)
{
    int status = -io_uring_register_files(&queue->ring, &queue->group->device_fd, 1);
    if (status != 0) {
        return status;
    }
    for (unsigned i = 0; i < queue->cpu_count; i++) {
        struct entry_chunk *chunk = make_chunk(queue, &queue->cpus[i]);
        if (chunk == NULL) {
            return ENOMEM;
        }
        /* One for each CPU, and the rest when the kernel has taken them: it sends requests as soon as it has these. */
        register_entry(&chunk->entries[0]);
    }
    int submitted = io_uring_submit(&queue->ring);
    if (submitted < 0) {
        return -submitted;
    }
    /* An entry that is taken says nothing. */
    struct io_uring_cqe *cqe;
    unsigned head;
    io_uring_for_each_cqe(&queue->ring, head, cqe)
    {
        if (cqe->res < 0) {
            return -cqe->res;
        }
    }
    return 0;
}

static void register_rest(struct uring_queue *queue)
{
    struct entry_chunk *chunk;
    LL_FOREACH(queue->chunks, chunk)
    {
        for (unsigned i = 1; i < CHUNK_ENTRIES; i++) {
            register_entry(&chunk->entries[i]);
        }
    }
}

static void arm_event(struct uring_queue *queue)
{
    if (queue->event_armed) {
        return;
    }
    struct io_uring_sqe *sqe = next_sqe(queue);
    memset(sqe, 0, 2 * sizeof *sqe);
    io_uring_prep_read(sqe, queue->event_fd, &queue->event_value, sizeof queue->event_value, 0);
    sqe->user_data = EVENT_DATA;
    queue->event_armed = true;
}

static void commit_answered(struct uring_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    struct ring_entry *answered = queue->answered;
    queue->answered = NULL;
    pthread_mutex_unlock(&queue->mutex);
    while (answered != NULL) {
        struct ring_entry *entry = answered;
        answered = entry->next;
        uring_queue_commit(queue, entry);
    }
}

static void complete(struct uring_queue *queue, const struct io_uring_cqe *cqe)
{
    if (cqe->user_data == EVENT_DATA) {
        queue->event_armed = false;
        return;
    }
    struct ring_entry *entry = (struct ring_entry *)(uintptr_t)cqe->user_data;
    if (entry->idle) {
        entry->idle = false;
        entry->cpu->idle_count--;
    }
    /* An error: the connection is at its end, or without memory. The entry is lost to the kernel. */
    if (cqe->res < 0) {
        entry->cpu->entry_count--;
        queue->disconnected = true;
    } else if (atomic_load(&queue->group->stage) == URING_SERVE) {
        ring_entry_process(entry);
    }
}

/* Waits for something, and gives memory back when nothing comes for a while. */
static void submit_and_wait(struct uring_queue *queue)
{
    if (queue->touched_bytes <= TOUCHED_KEEP_BYTES) {
        io_uring_submit_and_wait(&queue->ring, 1);
        return;
    }
    struct io_uring_cqe *cqe;
    struct __kernel_timespec timeout = {.tv_sec = IDLE_SECONDS};
    if (io_uring_submit_and_wait_timeout(&queue->ring, &cqe, 1, &timeout, NULL) == -ETIME) {
        give_memory_back(queue);
    }
}

static void serve(struct uring_queue *queue)
{
    struct uring_group *group = queue->group;
    bool drained = false;
    register_rest(queue);
    for (;;) {
        enum uring_stage stage = atomic_load(&group->stage);
        if (stage != URING_SERVE && !drained) {
            drained = true;
            uring_group_report(group, 0);
        }
        commit_answered(queue);
        if (stage == URING_STOP) {
            io_uring_submit(&queue->ring);
            return;
        }
        if (stage == URING_SERVE && !queue->disconnected) {
            add_where_few_are_left(queue);
        }
        arm_event(queue);
        submit_and_wait(queue);
        struct io_uring_cqe *cqe;
        unsigned head;
        unsigned seen = 0;
        io_uring_for_each_cqe(&queue->ring, head, cqe)
        {
            complete(queue, cqe);
            seen++;
        }
        io_uring_cq_advance(&queue->ring, seen);
    }
}

static void pin(const struct uring_queue *queue)
{
    cpu_set_t set;
    char name[16];
    snprintf(name, sizeof name, "walrus-uring%d", queue->cpu_number);
    pthread_setname_np(pthread_self(), name);
    CPU_ZERO(&set);
    CPU_SET(queue->cpu_number, &set);
    /* Where that is not allowed it works all the same, only slower. */
    (void)pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

void *uring_queue_main(void *argument)
{
    struct uring_queue *queue = argument;
    struct uring_group *group = queue->group;
    queue_of_this_thread = queue;
    pin(queue);
    int status = open_ring(queue);
    enum uring_stage stage = uring_group_next_stage(group, URING_PREPARE, status);
    if (status != 0) {
        return NULL;
    }
    if (stage == URING_REGISTER) {
        stage = uring_group_next_stage(group, URING_REGISTER, register_first(queue));
        if (stage == URING_SERVE) {
            serve(queue);
        }
    }
    close_ring(queue);
    return NULL;
}

bool uring_make_kernel_give_up(int device_fd)
{
    struct io_uring ring;
    struct io_uring_params params = {.flags = IORING_SETUP_SQE128};
    struct io_uring_cqe *cqe = NULL;
    bool refused = false;
    if (io_uring_queue_init_params(2, &ring, &params) != 0) {
        return false;
    }
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (sqe == NULL) {
        io_uring_queue_exit(&ring);
        return false;
    }
    memset(sqe, 0, 2 * sizeof *sqe);
    sqe->opcode = IORING_OP_URING_CMD;
    sqe->fd = device_fd;
    sqe->cmd_op = FUSE_URING_REGISTER;
    ((struct fuse_uring_command *)sqe->cmd)->queue_id = UINT16_MAX;
    /* It refuses an entry for a CPU that cannot be, and with that, the whole. */
    if (io_uring_submit(&ring) == 1 && io_uring_peek_cqe(&ring, &cqe) == 0) {
        refused = cqe->res < 0;
    }
    io_uring_queue_exit(&ring);
    return refused;
}
