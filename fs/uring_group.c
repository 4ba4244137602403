/*
 * uring_group.c - the queues of a mount: how many, for which CPUs, and the stages that all go through together.
 */
#include "uring_entry.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define STAGE_SECONDS 5

void uring_group_report(struct uring_group *group, int status)
{
    pthread_mutex_lock(&group->mutex);
    group->reported_count++;
    if (group->status == 0) {
        group->status = status;
    }
    pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&group->mutex);
}

enum uring_stage uring_group_next_stage(struct uring_group *group, enum uring_stage stage, int status)
{
    uring_group_report(group, status);
    pthread_mutex_lock(&group->mutex);
    while (atomic_load(&group->stage) == stage) {
        pthread_cond_wait(&group->changed, &group->mutex);
    }
    pthread_mutex_unlock(&group->mutex);
    return atomic_load(&group->stage);
}

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
    uring_queue_free_entries(queue);
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
        status = pthread_create(&queue->thread, NULL, uring_queue_main, queue);
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
