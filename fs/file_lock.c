#include "file_lock.h"

#include <errno.h>
#include <stdlib.h>

#include <utlist.h>

struct file_lock_entry {
    struct file_lock lock;
    struct file_lock_entry *prev;
    struct file_lock_entry *next;
};

/* Made before anything changes, so that a change is whole or not at all: the new lock, and the rest of one that is cut
 * in two. */
#define SPARES 2

struct change {
    struct file_lock_entry *spares[SPARES];
    unsigned spare_count;
};

static bool change_prepare(struct change *change)
{
    *change = (struct change){0};
    while (change->spare_count < SPARES) {
        struct file_lock_entry *entry = malloc(sizeof *entry);
        if (entry == NULL) {
            return false;
        }
        change->spares[change->spare_count++] = entry;
    }
    return true;
}

static void change_end(struct change *change)
{
    while (change->spare_count > 0) {
        free(change->spares[--change->spare_count]);
    }
}

void file_lock_table_init(struct file_lock_table *table)
{
    *table = (struct file_lock_table){0};
    pthread_mutex_init(&table->mutex, NULL);
}

static void remove_locked(struct file_lock_table *table, struct file_lock_entry *entry)
{
    DL_DELETE(table->entries, entry);
    free(entry);
    atomic_fetch_sub(&table->entry_count, 1);
}

void file_lock_table_fini(struct file_lock_table *table)
{
    while (table->entries != NULL) {
        remove_locked(table, table->entries);
    }
    pthread_mutex_destroy(&table->mutex);
}

bool file_lock_any(struct file_lock_table *table)
{
    return atomic_load(&table->entry_count) > 0;
}

static void add_locked(struct file_lock_table *table, struct change *change, const struct file_lock *lock)
{
    struct file_lock_entry *entry = change->spares[--change->spare_count];
    entry->lock = *lock;
    DL_APPEND(table->entries, entry);
    atomic_fetch_add(&table->entry_count, 1);
}

static bool same_file(const struct file_lock *a, const struct file_lock *b)
{
    return a->inode_number == b->inode_number && a->is_flock == b->is_flock;
}

static bool same_owner(const struct file_lock *a, const struct file_lock *b)
{
    return same_file(a, b) && a->owner == b->owner;
}

static bool overlap(const struct file_lock *a, const struct file_lock *b)
{
    return a->first <= b->last && b->first <= a->last;
}

static const struct file_lock *find_conflict_locked(const struct file_lock_table *table, const struct file_lock *wanted)
{
    const struct file_lock_entry *entry;
    if (wanted->type == FILE_LOCK_NONE) {
        return NULL;
    }
    DL_FOREACH(table->entries, entry)
    {
        const struct file_lock *lock = &entry->lock;
        if (same_file(lock, wanted) && lock->owner != wanted->owner && overlap(lock, wanted) &&
            (lock->type == FILE_LOCK_EXCLUSIVE || wanted->type == FILE_LOCK_EXCLUSIVE)) {
            return lock;
        }
    }
    return NULL;
}

/* Takes the range of `wanted` out of a lock of the same owner. */
static void cut_out_locked(struct file_lock_table *table, struct change *change, struct file_lock_entry *entry,
                           const struct file_lock *wanted)
{
    struct file_lock *lock = &entry->lock;
    if (lock->first < wanted->first && lock->last > wanted->last) {
        struct file_lock rest = *lock;
        rest.first = wanted->last + 1;
        lock->last = wanted->first - 1;
        add_locked(table, change, &rest);
    } else if (lock->first < wanted->first) {
        lock->last = wanted->first - 1;
    } else if (lock->last > wanted->last) {
        lock->first = wanted->last + 1;
    } else {
        remove_locked(table, entry);
    }
}

/* Nobody is in the way of `wanted`. Ranges of one kind that touch become one, so that locking byte by byte costs no
 * memory. */
static void apply_locked(struct file_lock_table *table, struct change *change, const struct file_lock *wanted)
{
    struct file_lock merged = *wanted;
    struct file_lock_entry *entry;
    struct file_lock_entry *next;
    DL_FOREACH_SAFE(table->entries, entry, next)
    {
        struct file_lock *lock = &entry->lock;
        if (!same_owner(lock, wanted)) {
            continue;
        }
        bool touches = lock->first <= wanted->last + 1 && wanted->first <= lock->last + 1;
        if (touches && lock->type == wanted->type && lock->open_file == wanted->open_file) {
            merged.first = lock->first < merged.first ? lock->first : merged.first;
            merged.last = lock->last > merged.last ? lock->last : merged.last;
            remove_locked(table, entry);
        } else if (overlap(lock, wanted)) {
            cut_out_locked(table, change, entry, wanted);
        }
    }
    if (wanted->type != FILE_LOCK_NONE) {
        add_locked(table, change, &merged);
    }
}

/* Moves everybody who can have the lock now to `answered`, with the lock. Without memory they wait on. */
static void grant_waiters_locked(struct file_lock_table *table, struct file_lock_waiter **answered)
{
    struct file_lock_waiter *waiter;
    struct file_lock_waiter *next;
    DL_FOREACH_SAFE(table->waiters, waiter, next)
    {
        struct change change;
        if (find_conflict_locked(table, &waiter->wanted) != NULL) {
            continue;
        }
        if (change_prepare(&change)) {
            apply_locked(table, &change, &waiter->wanted);
            DL_DELETE(table->waiters, waiter);
            waiter->waiting = false;
            DL_APPEND(*answered, waiter);
        }
        change_end(&change);
    }
}

static void answer_all(struct file_lock_waiter *answered, int status)
{
    while (answered != NULL) {
        struct file_lock_waiter *waiter = answered;
        DL_DELETE(answered, waiter);
        waiter->answer(waiter, status);
    }
}

bool file_lock_test(struct file_lock_table *table, const struct file_lock *wanted, struct file_lock *found)
{
    pthread_mutex_lock(&table->mutex);
    const struct file_lock *lock = find_conflict_locked(table, wanted);
    if (lock != NULL) {
        *found = *lock;
    }
    pthread_mutex_unlock(&table->mutex);
    return lock != NULL;
}

static int start_waiting_locked(struct file_lock_table *table, struct file_lock_waiter *waiter)
{
    if (waiter->cancelled) {
        return EINTR;
    }
    waiter->waiting = true;
    DL_APPEND(table->waiters, waiter);
    return EINPROGRESS;
}

static int set(struct file_lock_table *table, const struct file_lock *wanted, struct file_lock_waiter *waiter)
{
    struct change change;
    struct file_lock_waiter *answered = NULL;
    int status = 0;
    if (!change_prepare(&change)) {
        change_end(&change);
        return ENOMEM;
    }
    pthread_mutex_lock(&table->mutex);
    if (find_conflict_locked(table, wanted) == NULL) {
        apply_locked(table, &change, wanted);
    } else {
        status = EAGAIN;
        if (wanted->is_flock) {
            struct file_lock none = *wanted;
            none.type = FILE_LOCK_NONE;
            apply_locked(table, &change, &none);
        }
        if (waiter != NULL) {
            status = start_waiting_locked(table, waiter);
        }
    }
    grant_waiters_locked(table, &answered);
    pthread_mutex_unlock(&table->mutex);
    change_end(&change);
    answer_all(answered, 0);
    return status;
}

int file_lock_set(struct file_lock_table *table, const struct file_lock *wanted)
{
    return set(table, wanted, NULL);
}

int file_lock_wait(struct file_lock_table *table, struct file_lock_waiter *waiter)
{
    /* A copy: the waiter may be answered, and gone, before this returns. */
    struct file_lock wanted = waiter->wanted;
    return set(table, &wanted, waiter);
}

bool file_lock_cancel(struct file_lock_table *table, struct file_lock_waiter *waiter)
{
    pthread_mutex_lock(&table->mutex);
    bool was_waiting = waiter->waiting;
    waiter->cancelled = true;
    if (was_waiting) {
        DL_DELETE(table->waiters, waiter);
        waiter->waiting = false;
    }
    pthread_mutex_unlock(&table->mutex);
    return was_waiting;
}

void file_lock_cancel_all(struct file_lock_table *table, int status)
{
    struct file_lock_waiter *waiter;
    pthread_mutex_lock(&table->mutex);
    struct file_lock_waiter *answered = table->waiters;
    table->waiters = NULL;
    DL_FOREACH(answered, waiter)
    {
        waiter->waiting = false;
    }
    pthread_mutex_unlock(&table->mutex);
    answer_all(answered, status);
}

static void drop(struct file_lock_table *table, bool (*is_meant)(const struct file_lock *lock, const void *context),
                 const void *context)
{
    struct file_lock_waiter *answered = NULL;
    struct file_lock_entry *entry;
    struct file_lock_entry *next;
    if (!file_lock_any(table)) {
        return;
    }
    pthread_mutex_lock(&table->mutex);
    DL_FOREACH_SAFE(table->entries, entry, next)
    {
        if (is_meant(&entry->lock, context)) {
            remove_locked(table, entry);
        }
    }
    grant_waiters_locked(table, &answered);
    pthread_mutex_unlock(&table->mutex);
    answer_all(answered, 0);
}

static bool is_of_owner(const struct file_lock *lock, const void *context)
{
    return same_owner(lock, context);
}

void file_lock_drop_owner(struct file_lock_table *table, uint64_t inode_number, uint64_t owner)
{
    struct file_lock of_owner = {.inode_number = inode_number, .owner = owner};
    drop(table, is_of_owner, &of_owner);
}

static bool is_of_open_file(const struct file_lock *lock, const void *context)
{
    return lock->open_file == context;
}

void file_lock_close(struct file_lock_table *table, const void *open_file)
{
    drop(table, is_of_open_file, open_file);
}
