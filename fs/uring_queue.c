#include "uring_entry.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
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

#define STAGE_SECONDS 5

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

static void report_stage(struct uring_group *group, int status)
{
    pthread_mutex_lock(&group->mutex);
    group->reported_count++;
    if (group->status == 0) {
        group->status = status;
    }
    pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&group->mutex);
}

/* Reports what came of a stage, and waits for the next one. */
static enum uring_stage next_stage(struct uring_group *group, enum uring_stage stage, int status)
{
    report_stage(group, status);
    pthread_mutex_lock(&group->mutex);
    while (atomic_load(&group->stage) == stage) {
        pthread_cond_wait(&group->changed, &group->mutex);
    }
    pthread_mutex_unlock(&group->mutex);
    return atomic_load(&group->stage);
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
            report_stage(group, 0);
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

static void *queue_main(void *argument)
{
    struct uring_queue *queue = argument;
    struct uring_group *group = queue->group;
    queue_of_this_thread = queue;
    pin(queue);
    int status = open_ring(queue);
    enum uring_stage stage = next_stage(group, URING_PREPARE, status);
    if (status != 0) {
        return NULL;
    }
    if (stage == URING_REGISTER) {
        stage = next_stage(group, URING_REGISTER, register_first(queue));
        if (stage == URING_SERVE) {
            serve(queue);
        }
    }
    close_ring(queue);
    return NULL;
}

/* ---- the group ---- */

static void set_stage(struct uring_group *group, enum uring_stage stage)
{
    pthread_mutex_lock(&group->mutex);
    group->reported_count = 0;
    group->status = 0;
    atomic_store(&group->stage, stage);
    pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&group->mutex);
    for (unsigned i = 0; i < group->queue_count; i++) {
        uint64_t one = 1;
        while (write(group->queues[i].event_fd, &one, sizeof one) < 0 && errno == EINTR) {
        }
    }
}

/* Waits until all queues have reported. 0, the first failure, or ETIMEDOUT. */
static int wait_for_queues(struct uring_group *group)
{
    struct timespec until;
    int status = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STAGE_SECONDS;
    pthread_mutex_lock(&group->mutex);
    while (group->reported_count < group->queue_count && status == 0) {
        status = pthread_cond_timedwait(&group->changed, &group->mutex, &until);
    }
    if (group->status != 0) {
        status = group->status;
    }
    pthread_mutex_unlock(&group->mutex);
    return status;
}

/* As many queues does the kernel have. */
static unsigned possible_cpu_count(void)
{
    unsigned first;
    unsigned last;
    unsigned count = 0;
    int got;
    FILE *file = fopen("/sys/devices/system/cpu/possible", "re");
    while (file != NULL && (got = fscanf(file, "%u-%u%*[,]", &first, &last)) > 0) {
        count += got == 2 ? last - first + 1 : 1;
    }
    if (file != NULL) {
        fclose(file);
    }
    return count > 0 ? count : (unsigned)sysconf(_SC_NPROCESSORS_CONF);
}

static void share_out_cpus(struct uring_group *group, const cpu_set_t *mine)
{
    unsigned next = 0;
    for (unsigned number = 0; number < group->possible_cpus; number++) {
        unsigned index = 0;
        if (CPU_ISSET(number, mine)) {
            while (group->queues[index].cpu_number != (int)number) {
                index++;
            }
        } else {
            index = next++ % group->queue_count;
        }
        struct uring_queue *queue = &group->queues[index];
        queue->cpus[queue->cpu_count++].queue_id = (uint16_t)number;
    }
}

static int init_queue(struct uring_group *group, struct uring_queue *queue, int cpu_number)
{
    queue->group = group;
    queue->cpu_number = cpu_number;
    pthread_mutex_init(&queue->mutex, NULL);
    queue->cpus = calloc(group->possible_cpus, sizeof *queue->cpus);
    queue->event_fd = eventfd(0, EFD_CLOEXEC);
    if (queue->cpus == NULL) {
        return ENOMEM;
    }
    return queue->event_fd < 0 ? errno : 0;
}

static void free_queue(struct uring_queue *queue)
{
    while (queue->chunks != NULL) {
        struct entry_chunk *chunk = queue->chunks;
        queue->chunks = chunk->next;
        munmap(chunk->memory, chunk->memory_bytes);
        free(chunk);
    }
    if (queue->event_fd >= 0) {
        close(queue->event_fd);
    }
    free(queue->cpus);
    pthread_mutex_destroy(&queue->mutex);
}

static int make_queues(struct uring_group *group, const cpu_set_t *mine)
{
    unsigned wanted = (unsigned)CPU_COUNT(mine);
    int status = 0;
    group->queues = calloc(wanted, sizeof *group->queues);
    if (group->queues == NULL) {
        return ENOMEM;
    }
    for (unsigned number = 0; number < group->possible_cpus && group->queue_count < wanted && status == 0; number++) {
        if (CPU_ISSET(number, mine)) {
            status = init_queue(group, &group->queues[group->queue_count++], (int)number);
        }
    }
    return status == 0 && group->queue_count == 0 ? ENODEV : status;
}

static void end_threads(struct uring_group *group, unsigned started_count)
{
    set_stage(group, URING_STOP);
    for (unsigned i = 0; i < started_count; i++) {
        pthread_join(group->queues[i].thread, NULL);
    }
    for (unsigned i = 0; i < group->queue_count; i++) {
        free_queue(&group->queues[i]);
    }
    free(group->queues);
    group->queues = NULL;
    group->queue_count = 0;
    pthread_cond_destroy(&group->changed);
    pthread_mutex_destroy(&group->mutex);
}

int uring_group_start(struct uring_group *group, struct fs *fs)
{
    cpu_set_t mine;
    unsigned started_count = 0;
    *group = (struct uring_group){.fs = fs, .possible_cpus = possible_cpu_count()};
    pthread_mutex_init(&group->mutex, NULL);
    pthread_cond_init(&group->changed, NULL);
    int status = sched_getaffinity(0, sizeof mine, &mine) != 0 ? errno : make_queues(group, &mine);
    if (status == 0) {
        share_out_cpus(group, &mine);
    }
    while (status == 0 && started_count < group->queue_count) {
        struct uring_queue *queue = &group->queues[started_count];
        status = pthread_create(&queue->thread, NULL, queue_main, queue);
        started_count += status == 0;
    }
    if (status == 0) {
        status = wait_for_queues(group);
    }
    if (status != 0) {
        end_threads(group, started_count);
    }
    return status;
}

int uring_group_serve(struct uring_group *group, int device_fd, size_t payload_bytes)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    group->device_fd = device_fd;
    group->payload_bytes = (payload_bytes + page_bytes - 1) / page_bytes * page_bytes;
    set_stage(group, URING_REGISTER);
    int status = wait_for_queues(group);
    if (status == 0) {
        set_stage(group, URING_SERVE);
    }
    return status;
}

void uring_group_drain(struct uring_group *group)
{
    if (atomic_load(&group->stage) == URING_SERVE) {
        set_stage(group, URING_DRAIN);
        (void)wait_for_queues(group);
    }
}

void uring_group_stop(struct uring_group *group)
{
    end_threads(group, group->queue_count);
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
