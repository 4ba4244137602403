#include "store/segment_set.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "format/block_header.h"
#include "format/file_header.h"

#define RESERVE_AHEAD_MAX ((uint64_t)64 << 20)

void segment_set_init(struct segment_set *set, struct io *io, uint64_t segment_bytes, _Atomic uint64_t *sync_count,
                      _Atomic uint64_t *failure_count)
{
    memset(set, 0, sizeof(*set));
    set->io = io;
    set->segment_bytes = segment_bytes;
    set->sync_count = sync_count;
    set->failure_count = failure_count;
    set->next_id = 1;
    pthread_mutex_init(&set->lock, NULL);
}

static void free_segment(struct segment *segment)
{
    if (segment->file)
        segment->file->ops->close(segment->file);
    free(segment);
}

void segment_set_fini(struct segment_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        free_segment(set->segments[i]);
    while (set->removed) {
        struct segment *segment = set->removed;
        set->removed = segment->next_removed;
        free_segment(segment);
    }
    free(set->segments);
    pthread_mutex_destroy(&set->lock);
}

void segment_name(uint64_t id, char name[SEGMENT_NAME_BYTES])
{
    snprintf(name, SEGMENT_NAME_BYTES, "segment-%016" PRIx64, id);
}

bool segment_name_parse(const char *name, uint64_t *id)
{
    char again[SEGMENT_NAME_BYTES];
    uint64_t parsed;
    if (sscanf(name, "segment-%16" SCNx64, &parsed) != 1)
        return false;
    segment_name(parsed, again);
    if (strcmp(name, again) != 0)
        return false;
    *id = parsed;
    return true;
}

struct segment *segment_set_adopt(struct segment_set *set, uint64_t id, struct io_file *file)
{
    if (set->count == set->capacity) {
        size_t capacity = set->capacity ? set->capacity * 2 : 8;
        struct segment **grown = realloc(set->segments, capacity * sizeof(struct segment *));
        if (!grown)
            return NULL;
        set->segments = grown;
        set->capacity = capacity;
    }
    struct segment *segment = calloc(1, sizeof(*segment));
    if (!segment)
        return NULL;
    segment->id = id;
    segment->file = file;
    segment->used_end = SEGMENT_FIRST_BLOCK;
    sync_point_init(&segment->sync, file, set->sync_count, set->failure_count);
    set->segments[set->count++] = segment;
    set->next_id = max_u64(set->next_id, id + 1);
    return segment;
}

/* The file and its name are durable before any block is in it: no entry can outlive the way to it. */
static enum walrus_code create_locked(struct segment_set *set, struct segment **segment, struct walrus_error *error)
{
    char name[SEGMENT_NAME_BYTES];
    uint64_t id = set->next_id;
    struct io_file *file = NULL;
    segment_name(id, name);
    int rc = set->io->ops->open(set->io, name, IO_CREATE | IO_MAPPABLE, &file);
    if (rc < 0)
        return error_system(error, rc, "create %s", name);

    uint8_t header[FILE_HEADER_BYTES];
    file_header_encode(&(struct file_header){.kind = FILE_SEGMENT,
                                             .compatible = FORMAT_COMPATIBLE,
                                             .incompatible = FORMAT_INCOMPATIBLE,
                                             .log_id = set->log_id,
                                             .file_id = id,
                                             .created_ns = clock_realtime_ns()},
                       header);
    rc = file->ops->allocate(file, 0, SEGMENT_FIRST_BLOCK);
    if (rc == 0)
        rc = io_full_write_bytes(file, header, sizeof(header), 0);
    if (rc == 0)
        rc = file->ops->sync(file);
    if (rc == 0)
        rc = set->io->ops->sync_directory(set->io);
    enum walrus_code code = rc < 0 ? error_system(error, rc, "create %s", name) : WALRUS_OK;
    struct segment *made = NULL;
    if (code == WALRUS_OK && !(made = segment_set_adopt(set, id, file)))
        code = error_set(error, WALRUS_E_NO_MEMORY, 0, "create %s: out of memory", name);
    if (!made) {
        file->ops->close(file);
        set->io->ops->unlink(set->io, name);
        /* The name may come back after a crash if its removal is not synced: never use this number again. */
        set->next_id = id + 1;
        return code;
    }
    made->shared_batches = true;
    code = set->files.created(set->files.context, id, error);
    if (code != WALRUS_OK) {
        made->closed = true; /* not on record: it stays, empty, and takes nothing */
        return code;
    }
    made->reserved_end = SEGMENT_FIRST_BLOCK;
    set->created++;
    *segment = made;
    return WALRUS_OK;
}

/* What a crash left beyond the last block (data whose block header was lost) must not shine through the blocks to come.
 */
static int clear_end_locked(struct segment *segment)
{
    uint64_t size = 0;
    int rc = segment->file->ops->size(segment->file, &size);
    if (rc == 0 && size > segment->used_end)
        rc = segment->file->ops->punch(segment->file, segment->used_end, size - segment->used_end);
    /* Through the sync point: a failed sync takes with it whatever others have written to this file. */
    if (rc == 0)
        rc = sync_point_wait(&segment->sync, sync_point_note_write(&segment->sync));
    if (rc == 0)
        segment->unclean_end = false;
    return rc;
}

static bool has_room_locked(const struct segment_set *set, struct segment *segment, uint64_t bytes)
{
    if (segment->closed || segment->removing || atomic_load(&segment->sync.failed))
        return false;
    if (segment->used_end > SEGMENT_FIRST_BLOCK && segment->used_end + bytes > set->segment_bytes)
        return false;
    if (segment->unclean_end && clear_end_locked(segment) < 0) {
        segment->closed = true;
        return false;
    }
    return true;
}

/* Whether the file has served its time. One that has never had a block is kept: it is as good as a new one. */
static bool is_spent_locked(const struct segment_set *set, const struct segment *segment)
{
    for (unsigned lane = 0; lane < SEGMENT_LANES; lane++) {
        if (set->active[lane] == segment)
            return false;
    }
    return segment->live_blocks == 0 && segment->used_end > SEGMENT_FIRST_BLOCK && !segment->removing &&
           !segment->holds_damage;
}

static void tell_if_spent_locked(struct segment_set *set, struct segment *segment)
{
    if (set->files.emptied && is_spent_locked(set, segment))
        set->files.emptied(set->files.context);
}

/* Finds the lane's segment, or another that no lane uses, or makes one. */
static enum walrus_code choose_locked(struct segment_set *set, unsigned lane, uint64_t bytes, struct segment **segment,
                                      struct walrus_error *error)
{
    struct segment *old = set->active[lane];
    if (old && has_room_locked(set, old, bytes)) {
        *segment = old;
        return WALRUS_OK;
    }
    set->active[lane] = NULL;
    for (size_t i = set->count; i-- > 0;) {
        struct segment *candidate = set->segments[i];
        bool taken = false;
        for (unsigned other = 0; other < SEGMENT_LANES; other++)
            taken = taken || set->active[other] == candidate;
        if (!taken && candidate != old && has_room_locked(set, candidate, bytes)) {
            set->active[lane] = *segment = candidate;
            break;
        }
    }
    enum walrus_code code = WALRUS_OK;
    if (!set->active[lane]) {
        code = create_locked(set, segment, error);
        if (code == WALRUS_OK) {
            set->active[lane] = *segment;
            if (old)
                old->closed = true;
        }
    }
    if (old)
        tell_if_spent_locked(set, old);
    return code;
}

/* Reserves a little more than asked for, in proportion to what is there: fewer calls, and small logs stay small. */
static int reserve_locked(struct segment *segment, uint64_t bytes)
{
    uint64_t end = segment->used_end + bytes;
    if (end <= segment->reserved_end)
        return 0;
    uint64_t ahead = round_up(min_u64(segment->used_end / 4, RESERVE_AHEAD_MAX), BLOCK_ALIGNMENT);
    uint64_t from = max_u64(segment->reserved_end, segment->used_end);
    int rc = segment->file->ops->allocate(segment->file, from, end + ahead - from);
    if (rc == -ENOSPC && ahead > 0) {
        ahead = 0;
        rc = segment->file->ops->allocate(segment->file, from, end - from);
    }
    if (rc == 0)
        segment->reserved_end = end + ahead;
    return rc;
}

static enum walrus_code choose_at_once_locked(struct segment_set *set, unsigned lane, uint64_t bytes,
                                              struct segment **segment, struct walrus_error *error)
{
    struct segment *active = set->active[lane];
    if (!active || active->unclean_end || !has_room_locked(set, active, bytes))
        return error_set(error, WALRUS_E_WOULD_BLOCK, 0, "a segment file has to be made");
    *segment = active;
    return WALRUS_OK;
}

enum walrus_code segment_set_allocate(struct segment_set *set, unsigned lane, uint64_t bytes, bool may_wait,
                                      struct segment **segment, uint64_t *segment_offset, struct walrus_error *error)
{
    struct segment *chosen = NULL;
    /* Whoever makes a file holds the lock meanwhile. */
    if (may_wait)
        pthread_mutex_lock(&set->lock);
    else if (pthread_mutex_trylock(&set->lock) != 0)
        return error_set(error, WALRUS_E_WOULD_BLOCK, 0, "a segment file is being made");
    enum walrus_code code = may_wait ? choose_locked(set, lane, bytes, &chosen, error)
                                     : choose_at_once_locked(set, lane, bytes, &chosen, error);
    if (code == WALRUS_OK) {
        int rc = reserve_locked(chosen, bytes);
        if (rc < 0) {
            code = error_system(error, rc, "reserve %" PRIu64 " bytes in segment %" PRIu64, bytes, chosen->id);
        } else {
            *segment = chosen;
            *segment_offset = chosen->used_end;
            chosen->used_end += bytes;
            chosen->live_blocks++;
            /* Whatever comes of it, the file is not as it was. */
            sync_point_note_write(&chosen->sync);
            if (set->files.grown)
                set->files.grown(set->files.context, bytes);
        }
    }
    pthread_mutex_unlock(&set->lock);
    return code;
}

bool segment_set_release(struct segment_set *set, struct segment *segment, uint64_t segment_offset, uint64_t bytes)
{
    if (segment->file->ops->punch(segment->file, segment_offset, bytes) < 0)
        return false;
    sync_point_note_write(&segment->sync);
    pthread_mutex_lock(&set->lock);
    segment->live_blocks--;
    tell_if_spent_locked(set, segment);
    pthread_mutex_unlock(&set->lock);
    return true;
}

/* The first segment with an id above `id`; NULL: none. By id and not by place: segments leave the list meanwhile. */
static struct segment *next_segment_locked(const struct segment_set *set, uint64_t id)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->segments[middle]->id <= id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < set->count ? set->segments[low] : NULL;
}

/* Record first: a file that is on record and gone would be damage. A crash may bring the file back, with blocks that
 * nobody wants: the next open frees them. */
static int remove_file(struct segment_set *set, uint64_t id, bool *off_record)
{
    char name[SEGMENT_NAME_BYTES];
    segment_name(id, name);
    if (!*off_record && set->files.removed(set->files.context, id, NULL) != WALRUS_OK)
        return -EIO;
    *off_record = true;
    return set->io->ops->unlink(set->io, name);
}

static void drop_locked(struct segment_set *set, struct segment *segment)
{
    size_t i = 0;
    while (set->segments[i] != segment)
        i++;
    memmove(&set->segments[i], &set->segments[i + 1], (--set->count - i) * sizeof(struct segment *));
    segment->next_removed = set->removed;
    set->removed = segment;
}

bool segment_set_remove_empty(struct segment_set *set)
{
    bool all = true;
    uint64_t id = 0;
    pthread_mutex_lock(&set->lock);
    for (struct segment *segment; (segment = next_segment_locked(set, id)); id = segment->id) {
        if (!is_spent_locked(set, segment))
            continue;
        segment->removing = true;
        bool off_record = segment->off_record;
        pthread_mutex_unlock(&set->lock);
        int rc = remove_file(set, segment->id, &off_record);
        /* Nothing that was ever in it is worth a sync. */
        if (rc == 0)
            sync_point_retire(&segment->sync);
        pthread_mutex_lock(&set->lock);
        segment->off_record = off_record;
        if (rc == 0) {
            /* Whoever finds the segment in the list finds it with its file. */
            drop_locked(set, segment);
            segment->file->ops->close(segment->file);
            segment->file = NULL;
        }
        segment->removing = false;
        all = all && rc == 0;
    }
    pthread_mutex_unlock(&set->lock);
    return all;
}

struct segment *segment_set_find(struct segment_set *set, uint64_t id)
{
    pthread_mutex_lock(&set->lock);
    struct segment *found = id > 0 ? next_segment_locked(set, id - 1) : NULL;
    pthread_mutex_unlock(&set->lock);
    return found && found->id == id ? found : NULL;
}

bool segment_set_each(struct segment_set *set, bool (*visit)(struct segment *segment, void *context), void *context)
{
    bool on = true;
    pthread_mutex_lock(&set->lock);
    for (size_t i = 0; on && i < set->count; i++)
        on = visit(set->segments[i], context);
    pthread_mutex_unlock(&set->lock);
    return on;
}

uint64_t segment_set_changes(struct segment_set *set)
{
    pthread_mutex_lock(&set->lock);
    uint64_t changes = set->created + (set->removed != NULL);
    for (size_t i = 0; i < set->count; i++)
        changes += atomic_load(&set->segments[i]->sync.written);
    pthread_mutex_unlock(&set->lock);
    return changes;
}

enum walrus_code segment_set_sync(struct segment_set *set, struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;
    uint64_t id = 0;
    for (;;) {
        /* Structs live as long as the set: the lock is not held over the sync. */
        pthread_mutex_lock(&set->lock);
        struct segment *segment = next_segment_locked(set, id);
        pthread_mutex_unlock(&set->lock);
        if (!segment)
            return code;
        id = segment->id;
        int rc = sync_point_wait_all(&segment->sync);
        if (rc < 0 && code == WALRUS_OK)
            code = error_system(error, rc, "sync segment %" PRIu64, segment->id);
    }
}
