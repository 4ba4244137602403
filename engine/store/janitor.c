#include "store/janitor.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <utlist.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/thread.h"
#include "store/head.h"
#include "store/log.h"
#include "store/retention.h"

#define SECOND_NS UINT64_C(1000000000)
#define RETRY_NS SECOND_NS
#define LOOK_MIN_NS (SECOND_NS / 10)  /* between two looks at a topic for the sake of time */
#define SLEEP_MAX_NS (10 * SECOND_NS) /* with dates ahead: the clock may be set */
#define MOVES_MAX 64u

/* ---- blocks and files ---- */

static void add_block_locked(struct janitor *janitor, struct block *block)
{
    block->next_gone = NULL;
    *janitor->blocks_end = block;
    janitor->blocks_end = &block->next_gone;
}

/* Puts the blocks that could not be cleared back. True: all were. */
static bool clear_blocks(struct janitor *janitor)
{
    struct walrus_log *log = janitor->log;
    bool all = true;
    pthread_mutex_lock(&janitor->lock);
    struct block *blocks = janitor->blocks;
    janitor->blocks = NULL;
    janitor->blocks_end = &janitor->blocks;
    pthread_mutex_unlock(&janitor->lock);
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
    pthread_mutex_lock(&janitor->lock);
    bool due = janitor->files_due;
    janitor->files_due = false;
    pthread_mutex_unlock(&janitor->lock);
    if (!due || segment_set_remove_empty(&janitor->log->segments))
        return true;
    pthread_mutex_lock(&janitor->lock);
    janitor->files_due = true;
    pthread_mutex_unlock(&janitor->lock);
    return false;
}

/* False: something is to be tried again. */
static bool clear(struct janitor *janitor)
{
    bool all = clear_blocks(janitor);
    return remove_files(janitor) && all;
}

/* ---- topics ---- */

static void queue_locked(struct janitor *janitor, struct walrus_topic *topic)
{
    topic->janitor.known = true;
    if (topic->janitor.queued)
        return;
    topic->janitor.queued = true;
    DL_APPEND2(janitor->topics, topic, janitor.prev, janitor.next);
}

static void drop_date_locked(struct janitor *janitor, struct walrus_topic *topic)
{
    if (topic->janitor.date == 0)
        return;
    struct janitor_date *place = &janitor->dates[topic->janitor.date - 1];
    *place = janitor->dates[--janitor->date_count];
    place->topic->janitor.date = topic->janitor.date;
    topic->janitor.date = 0;
}

/* Without memory for it the topic is looked at with its next block. */
static void set_date_locked(struct janitor *janitor, struct walrus_topic *topic, uint64_t due_ns)
{
    drop_date_locked(janitor, topic);
    if (due_ns == UINT64_MAX)
        return;
    if (janitor->date_count == janitor->date_capacity) {
        size_t capacity = janitor->date_capacity ? janitor->date_capacity * 2 : 64;
        struct janitor_date *grown = realloc(janitor->dates, capacity * sizeof(*grown));
        if (!grown)
            return;
        janitor->dates = grown;
        janitor->date_capacity = capacity;
    }
    janitor->earliest_ns = janitor->date_count == 0 ? due_ns : min_u64(janitor->earliest_ns, due_ns);
    janitor->dates[janitor->date_count++] = (struct janitor_date){due_ns, topic};
    topic->janitor.known = true;
    topic->janitor.date = janitor->date_count;
}

/* Queues the topics whose date has come. */
static void queue_due_locked(struct janitor *janitor, uint64_t now_ns)
{
    if (janitor->date_count == 0 || janitor->earliest_ns > now_ns)
        return;
    uint64_t earliest_ns = UINT64_MAX;
    for (size_t i = janitor->date_count; i-- > 0;) {
        struct janitor_date date = janitor->dates[i];
        if (date.due_ns > now_ns) {
            earliest_ns = min_u64(earliest_ns, date.due_ns);
            continue;
        }
        drop_date_locked(janitor, date.topic);
        queue_locked(janitor, date.topic);
    }
    janitor->earliest_ns = earliest_ns;
}

/* The next topic of the queue, with a reference; NULL: none. One that is being freed has none to give. */
static struct walrus_topic *next_topic(struct janitor *janitor)
{
    struct walrus_topic *topic;
    pthread_mutex_lock(&janitor->lock);
    while ((topic = janitor->topics)) {
        DL_DELETE2(janitor->topics, topic, janitor.prev, janitor.next);
        topic->janitor.queued = false;
        if (topic_try_acquire(topic))
            break;
    }
    pthread_mutex_unlock(&janitor->lock);
    return topic;
}

static void finish(struct janitor *janitor, struct walrus_topic *topic, bool failed)
{
    uint64_t look_ns, now_ns = clock_realtime_ns();
    retention_done(topic, failed, &look_ns);
    if (look_ns != UINT64_MAX)
        look_ns = max_u64(look_ns, now_ns + LOOK_MIN_NS);
    if (failed && !atomic_load(&topic->deleted))
        look_ns = now_ns + RETRY_NS;
    pthread_mutex_unlock(&topic->trim_lock);
    pthread_mutex_lock(&janitor->lock);
    set_date_locked(janitor, topic, look_ns);
    pthread_mutex_unlock(&janitor->lock);
    topic_release(topic);
}

/* Looks at some of the queued topics and moves their heads together. False: none was queued. */
static bool look_at_topics(struct janitor *janitor, uint64_t now_ns)
{
    struct head_move moves[MOVES_MAX];
    size_t count = 0;
    struct walrus_topic *topic = NULL;
    while (count < MOVES_MAX && (topic = next_topic(janitor))) {
        /* Whoever trims it now may wait for what this thread does: no waiting with other topics in hand. */
        if (count == 0) {
            pthread_mutex_lock(&topic->trim_lock);
        } else if (pthread_mutex_trylock(&topic->trim_lock) != 0) {
            janitor_note_topic(janitor, topic);
            topic_release(topic);
            break;
        }
        if (retention_decide(topic, now_ns, &moves[count]))
            count++;
        else
            finish(janitor, topic, false);
    }
    head_move_up(janitor->log, moves, count);
    for (size_t i = 0; i < count; i++)
        finish(janitor, moves[i].topic, moves[i].code != WALRUS_OK);
    return count > 0 || topic;
}

void janitor_look(struct janitor *janitor, uint64_t now_ns)
{
    pthread_mutex_lock(&janitor->lock);
    queue_due_locked(janitor, now_ns);
    pthread_mutex_unlock(&janitor->lock);
    while (look_at_topics(janitor, now_ns))
        ;
}

/* ---- the thread ---- */

static bool is_due_locked(const struct janitor *janitor)
{
    return janitor->blocks || janitor->files_due || janitor->topics;
}

static void sleep_locked(struct janitor *janitor, uint64_t sleep_ns)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + sleep_ns;
    until.tv_sec += (time_t)(ns / SECOND_NS);
    until.tv_nsec = (long)(ns % SECOND_NS);
    (void)pthread_cond_timedwait(&janitor->wake, &janitor->lock, &until);
}

static void wait_for_work_locked(struct janitor *janitor)
{
    while (!janitor->stopping && !is_due_locked(janitor)) {
        if (janitor->date_count == 0) {
            pthread_cond_wait(&janitor->wake, &janitor->lock);
            continue;
        }
        uint64_t now_ns = clock_realtime_ns();
        queue_due_locked(janitor, now_ns);
        if (!janitor->topics && janitor->date_count > 0)
            sleep_locked(janitor, min_u64(janitor->earliest_ns - now_ns, SLEEP_MAX_NS));
    }
}

static void *run(void *argument)
{
    struct janitor *janitor = argument;
    pthread_mutex_lock(&janitor->lock);
    for (;;) {
        wait_for_work_locked(janitor);
        if (janitor->stopping)
            break;
        pthread_mutex_unlock(&janitor->lock);
        (void)look_at_topics(janitor, clock_realtime_ns());
        bool all = clear(janitor);
        pthread_mutex_lock(&janitor->lock);
        if (!all && !janitor->stopping)
            sleep_locked(janitor, RETRY_NS);
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
    (void)clear(janitor);
}

void janitor_fini(struct janitor *janitor)
{
    while (janitor->blocks) {
        struct block *block = janitor->blocks;
        janitor->blocks = block->next_gone;
        free(block);
    }
    free(janitor->dates);
    pthread_cond_destroy(&janitor->wake);
    pthread_mutex_destroy(&janitor->lock);
}

/* ---- what others hand over ---- */

void janitor_take_block(struct janitor *janitor, struct block *block)
{
    pthread_mutex_lock(&janitor->lock);
    add_block_locked(janitor, block);
    pthread_cond_signal(&janitor->wake);
    pthread_mutex_unlock(&janitor->lock);
    if (janitor->log->io->no_threads)
        (void)clear(janitor);
}

void janitor_note_files(struct janitor *janitor)
{
    pthread_mutex_lock(&janitor->lock);
    janitor->files_due = true;
    pthread_cond_signal(&janitor->wake);
    pthread_mutex_unlock(&janitor->lock);
}

void janitor_note_topic(struct janitor *janitor, struct walrus_topic *topic)
{
    pthread_mutex_lock(&janitor->lock);
    queue_locked(janitor, topic);
    pthread_cond_signal(&janitor->wake);
    pthread_mutex_unlock(&janitor->lock);
}

void janitor_forget_topic(struct janitor *janitor, struct walrus_topic *topic)
{
    if (!topic->janitor.known)
        return;
    pthread_mutex_lock(&janitor->lock);
    if (topic->janitor.queued)
        DL_DELETE2(janitor->topics, topic, janitor.prev, janitor.next);
    drop_date_locked(janitor, topic);
    pthread_mutex_unlock(&janitor->lock);
}
