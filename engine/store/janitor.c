#include "store/janitor.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/thread.h"
#include "store/log.h"

#define RETRY_SECONDS 1

static void add_block_locked(struct janitor *janitor, struct block *block)
{
    block->next_gone = NULL;
    *janitor->blocks_end = block;
    janitor->blocks_end = &block->next_gone;
}

/* Puts the blocks that could not be cleared back. True: all were. */
static bool clear_blocks(struct janitor *janitor, struct block *blocks)
{
    struct walrus_log *log = janitor->log;
    bool all = true;
    while (blocks) {
        struct block *block = blocks;
        blocks = block->next_gone;
        if (segment_set_release(&log->segments, block->segment, block->segment_offset, block->bytes)) {
            atomic_fetch_add(&log->freed_blocks, 1);
            atomic_fetch_add(&log->freed_bytes, block->bytes);
            free(block);
            continue;
        }
        all = false;
        pthread_mutex_lock(&janitor->lock);
        add_block_locked(janitor, block);
        pthread_mutex_unlock(&janitor->lock);
    }
    return all;
}

static bool remove_files(struct janitor *janitor)
{
    if (segment_set_remove_empty(&janitor->log->segments))
        return true;
    pthread_mutex_lock(&janitor->lock);
    janitor->files_due = true;
    pthread_mutex_unlock(&janitor->lock);
    return false;
}

/* One round over what is due. False: something is to be tried again. */
static bool work(struct janitor *janitor)
{
    pthread_mutex_lock(&janitor->lock);
    struct block *blocks = janitor->blocks;
    janitor->blocks = NULL;
    janitor->blocks_end = &janitor->blocks;
    pthread_mutex_unlock(&janitor->lock);
    bool all = clear_blocks(janitor, blocks);

    pthread_mutex_lock(&janitor->lock);
    bool files_due = janitor->files_due;
    janitor->files_due = false;
    pthread_mutex_unlock(&janitor->lock);
    return (!files_due || remove_files(janitor)) && all;
}

static bool is_due_locked(const struct janitor *janitor)
{
    return janitor->blocks || janitor->files_due;
}

static void wait_before_retry_locked(struct janitor *janitor)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += RETRY_SECONDS;
    while (!janitor->stopping && pthread_cond_timedwait(&janitor->wake, &janitor->lock, &until) != ETIMEDOUT)
        ;
}

static void *run(void *argument)
{
    struct janitor *janitor = argument;
    pthread_mutex_lock(&janitor->lock);
    while (!janitor->stopping) {
        if (!is_due_locked(janitor)) {
            pthread_cond_wait(&janitor->wake, &janitor->lock);
            continue;
        }
        pthread_mutex_unlock(&janitor->lock);
        bool all = work(janitor);
        pthread_mutex_lock(&janitor->lock);
        if (!all)
            wait_before_retry_locked(janitor);
    }
    pthread_mutex_unlock(&janitor->lock);
    return NULL;
}

void janitor_init(struct janitor *janitor, struct walrus_log *log)
{
    *janitor = (struct janitor){.log = log, .blocks_end = &janitor->blocks};
    pthread_mutex_init(&janitor->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&janitor->wake, &attributes);
    pthread_condattr_destroy(&attributes);
}

int janitor_start(struct janitor *janitor)
{
    if (janitor->log->io->no_threads)
        return 0;
    int rc = thread_start(&janitor->thread, run, janitor);
    janitor->running = rc == 0;
    return -rc;
}

void janitor_stop(struct janitor *janitor)
{
    if (janitor->running) {
        pthread_mutex_lock(&janitor->lock);
        janitor->stopping = true;
        pthread_cond_signal(&janitor->wake);
        pthread_mutex_unlock(&janitor->lock);
        pthread_join(janitor->thread, NULL);
        janitor->running = false;
    }
    /* Space that was given up returns before the log is closed; what cannot be cleared is the next open's. */
    (void)work(janitor);
}

void janitor_fini(struct janitor *janitor)
{
    while (janitor->blocks) {
        struct block *block = janitor->blocks;
        janitor->blocks = block->next_gone;
        free(block);
    }
    pthread_cond_destroy(&janitor->wake);
    pthread_mutex_destroy(&janitor->lock);
}

void janitor_take_block(struct janitor *janitor, struct block *block)
{
    pthread_mutex_lock(&janitor->lock);
    add_block_locked(janitor, block);
    pthread_cond_signal(&janitor->wake);
    pthread_mutex_unlock(&janitor->lock);
    if (janitor->log->io->no_threads)
        (void)work(janitor);
}

void janitor_note_files(struct janitor *janitor)
{
    pthread_mutex_lock(&janitor->lock);
    janitor->files_due = true;
    pthread_cond_signal(&janitor->wake);
    pthread_mutex_unlock(&janitor->lock);
}
