/*
 * memory_disk_io.c - the I/O table of a memory_disk. Every operation begins with operation_begin(), which calls the
 * hook, takes the lock, counts, and says whether a fault strikes.
 */
#include "memory_disk_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct memory_io {
    struct io base;
    struct memory_disk *disk;
};

struct memory_file {
    struct io_file base;
    struct memory_disk *disk;
    size_t inode;
    bool read_only;
};

static struct memory_disk *disk_of(struct io *io)
{
    return ((struct memory_io *)io)->disk;
}

static bool fault_strikes(struct fault *fault, enum memory_disk_kind kind, bool changes, bool *shortened)
{
    if (!fault->armed ||
        (fault->kind != kind && fault->kind != MEMORY_DISK_ANY && !(fault->kind == MEMORY_DISK_ANY_CHANGE && changes)))
        return false;
    if (fault->countdown > 1) {
        fault->countdown--;
        return false;
    }
    switch (fault->mode) {
    case MEMORY_FAULT_ONCE:
        fault->armed = false;
        break;
    case MEMORY_FAULT_FOR_GOOD:
        break;
    case MEMORY_FAULT_SHORT:
        fault->armed = false;
        *shortened = true;
        break;
    case MEMORY_FAULT_SHORT_THEN_ERROR:
        fault->mode = MEMORY_FAULT_ONCE;
        *shortened = true;
        break;
    }
    return true;
}

/* Returns with the lock held: 0 or the negated errno to fail with; *shortened when only half is to be transferred. */
static int operation_begin(struct memory_disk *disk, enum memory_disk_kind kind, bool changes, bool *shortened)
{
    bool cut = false;
    int result = 0;
    if (changes && disk->knobs.on_operation)
        disk->knobs.on_operation(disk, kind, disk->knobs.on_operation_context);
    pthread_mutex_lock(&disk->lock);
    disk->operations[kind]++;
    disk->operations[MEMORY_DISK_ANY]++;
    disk->operations[MEMORY_DISK_ANY_CHANGE] += changes;
    for (size_t i = 0; i < FAULTS_MAX; i++) {
        bool cut_here = false;
        if (!fault_strikes(&disk->faults[i], kind, changes, &cut_here))
            continue;
        cut |= cut_here;
        if (!cut_here)
            result = -disk->faults[i].error;
        disk->fault_hits[kind]++;
        disk->fault_hits[MEMORY_DISK_ANY]++;
        disk->fault_hits[MEMORY_DISK_ANY_CHANGE] += changes;
    }
    if (shortened)
        *shortened = cut;
    return result;
}

static void operation_end(struct memory_disk *disk)
{
    pthread_mutex_unlock(&disk->lock);
}

static uint64_t free_pages_locked(struct memory_disk *disk)
{
    if (disk->knobs.capacity_bytes == 0)
        return UINT64_MAX;
    uint64_t used = disk_used_pages_locked(disk);
    uint64_t capacity = disk->knobs.capacity_bytes / MEMORY_PAGE_BYTES;
    return used < capacity ? capacity - used : 0;
}

static struct inode *inode_of(struct memory_file *file)
{
    return &file->disk->inodes[file->inode];
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static const struct io_ops memory_disk_ops;

static int memory_open(struct io *io, const char *name, unsigned flags, struct io_file **file)
{
    struct memory_disk *disk = disk_of(io);
    size_t number = 0;
    int result = operation_begin(disk, MEMORY_DISK_OPEN, flags & IO_CREATE, NULL);
    if (result)
        goto out;
    bool found = names_find(&disk->shown_names, name, &number);
    if (found && (flags & IO_CREATE)) {
        result = -EEXIST;
        goto out;
    }
    if (!found && !(flags & IO_CREATE)) {
        result = -ENOENT;
        goto out;
    }
    if (!found) {
        number = inode_create(disk);
        size_t size = strlen(name) + 1;
        struct change *change = change_create(disk, CHANGE_CREATE_NAME, disk->name_changes, size);
        memcpy(change->bytes, name, size);
        change->name = (const char *)change->bytes;
        change->inode = number;
        disk->name_changes = change;
        names_place(&disk->shown_names, name, number);
    }
    struct memory_file *opened = memory_must(calloc(1, sizeof *opened));
    opened->base.ops = &memory_disk_ops;
    opened->disk = disk;
    opened->inode = number;
    opened->read_only = flags & IO_READ_ONLY;
    disk->inodes[number].open_count++;
    *file = &opened->base;
out:
    operation_end(disk);
    return result;
}

static void memory_close(struct io_file *base)
{
    struct memory_file *file = (struct memory_file *)base;
    pthread_mutex_lock(&file->disk->lock);
    if (--inode_of(file)->open_count == 0)
        inodes_collect(file->disk);
    pthread_mutex_unlock(&file->disk->lock);
    free(file);
}

static ssize_t read_locked(struct memory_file *file, const struct iovec *iov, int iov_count, uint64_t offset,
                           bool shortened)
{
    const struct memory_image *image = inode_of(file)->shown;
    uint64_t left = offset < image->size_bytes ? image->size_bytes - offset : 0;
    size_t size = 0, done = 0;
    for (int i = 0; i < iov_count; i++)
        size += iov[i].iov_len;
    if (size > left)
        size = (size_t)left;
    if (shortened && size > 1)
        size /= 2;
    for (int i = 0; done < size; i++) {
        size_t part = iov[i].iov_len < size - done ? iov[i].iov_len : size - done;
        memory_image_read(image, iov[i].iov_base, part, offset + done);
        done += part;
    }
    return (ssize_t)size;
}

static ssize_t memory_read(struct io_file *base, void *buffer, size_t size, uint64_t offset)
{
    struct memory_file *file = (struct memory_file *)base;
    struct iovec iov = {.iov_base = buffer, .iov_len = size};
    bool shortened;
    ssize_t result = operation_begin(file->disk, MEMORY_DISK_READ, false, &shortened);
    if (result == 0)
        result = read_locked(file, &iov, 1, offset, shortened);
    operation_end(file->disk);
    return result;
}

/* How many of `size` bytes at `offset` there is space for. */
static size_t fitting_bytes_locked(struct memory_file *file, size_t size, uint64_t offset)
{
    uint64_t available = free_pages_locked(file->disk);
    const struct memory_image *image = inode_of(file)->shown;
    if (available == UINT64_MAX || memory_image_holes(image, offset, size) <= available)
        return size;
    size_t fitting = 0;
    while (fitting < size) {
        size_t part = MEMORY_PAGE_BYTES - (size_t)((offset + fitting) % MEMORY_PAGE_BYTES);
        if (part > size - fitting)
            part = size - fitting;
        size_t holes = memory_image_holes(image, offset + fitting, part);
        if (holes > available)
            break;
        available -= holes;
        fitting += part;
    }
    return fitting;
}

static ssize_t write_locked(struct memory_file *file, const struct iovec *iov, int iov_count, uint64_t offset,
                            bool shortened)
{
    struct memory_disk *disk = file->disk;
    struct inode *inode = inode_of(file);
    size_t size = 0;
    if (file->read_only)
        return -EBADF;
    for (int i = 0; i < iov_count; i++)
        size += iov[i].iov_len;
    if (shortened && size > 1)
        size /= 2;
    size_t fitting = fitting_bytes_locked(file, size, offset);
    if (fitting == 0)
        return size ? -ENOSPC : 0;
    struct change *change = change_create(disk, CHANGE_WRITE, inode->changes, fitting);
    change->offset = offset;
    change->length = fitting;
    size_t filled = 0;
    for (int i = 0; filled < fitting; i++) {
        size_t part = iov[i].iov_len < fitting - filled ? iov[i].iov_len : fitting - filled;
        if (part)
            memcpy(change->bytes + filled, iov[i].iov_base, part);
        filled += part;
    }
    inode->changes = change;
    memory_image_own(&inode->shown);
    memory_image_write(inode->shown, change->bytes, fitting, offset);
    if (offset + fitting > inode->shown->size_bytes)
        inode->shown->size_bytes = offset + fitting;
    return (ssize_t)fitting;
}

static ssize_t memory_write(struct io_file *base, const struct iovec *iov, int iov_count, uint64_t offset)
{
    struct memory_file *file = (struct memory_file *)base;
    bool shortened;
    ssize_t result = operation_begin(file->disk, MEMORY_DISK_WRITE, true, &shortened);
    if (result == 0)
        result = write_locked(file, iov, iov_count, offset, shortened);
    operation_end(file->disk);
    return result;
}

static int memory_submit(struct io *io, struct io_request *requests, size_t request_count)
{
    struct memory_disk *disk = disk_of(io);
    size_t *order = memory_must(malloc((request_count + 1) * sizeof *order));
    int result = operation_begin(disk, MEMORY_DISK_SUBMIT, false, NULL);
    for (size_t i = 0; i < request_count; i++) {
        size_t other = (size_t)random_below(&disk->random, i + 1);
        order[i] = order[other];
        order[other] = i;
    }
    operation_end(disk);
    for (size_t i = 0; result == 0 && i < request_count; i++) {
        struct io_request *request = &requests[order[i]];
        struct memory_file *file = (struct memory_file *)request->file;
        bool shortened;
        bool reads = request->direction == IO_READ;
        request->result = operation_begin(disk, MEMORY_DISK_REQUEST, !reads, &shortened);
        if (request->result == 0 && reads)
            request->result = read_locked(file, request->iov, request->iov_count, request->offset, shortened);
        else if (request->result == 0)
            request->result = write_locked(file, request->iov, request->iov_count, request->offset, shortened);
        operation_end(disk);
    }
    free(order);
    return result;
}

/* The changes lose their claim to reach the disk; some have reached it. */
static void forsake_locked(struct memory_disk *disk, struct inode *inode)
{
    struct crash_plan plan;
    uint64_t seed = random_mix(disk->knobs.seed, random_next(&disk->random));
    crash_plan_make(&plan, disk, seed, MEMORY_CRASH_RANDOM);
    if (seed % 3 == 0)
        plan.mode = MEMORY_CRASH_LOSES_ALL;
    struct memory_image *left = crash_file(&plan, inode);
    memory_image_release(inode->durable);
    inode->durable = left;
    inode->diverged = true;
    inode_drop_changes(inode);
}

static void apply_change(struct memory_image **image, const struct change *change)
{
    uint64_t end = change->offset + change->length;
    memory_image_own(image);
    switch (change->kind) {
    case CHANGE_WRITE:
        memory_image_write(*image, change->bytes, change->length, change->offset);
        break;
    case CHANGE_ALLOCATE:
        memory_image_reserve(*image, change->offset, change->length);
        break;
    case CHANGE_PUNCH:
        memory_image_punch(*image, change->offset, change->length);
        return;
    case CHANGE_TRUNCATE:
        memory_image_resize(*image, change->offset);
        return;
    default:
        return;
    }
    if (end > (*image)->size_bytes)
        (*image)->size_bytes = end;
}

/* Applies the changes made before `horizon` to the durable image and keeps the others. */
static void settle_locked(struct memory_disk *disk, struct inode *inode, uint64_t horizon)
{
    size_t count;
    struct change **changes = change_array(inode->changes, &count);
    struct change *kept = NULL;
    for (size_t i = 0; i < count; i++) {
        if (changes[i]->order < horizon) {
            apply_change(&inode->durable, changes[i]);
            continue;
        }
        size_t byte_count = changes[i]->kind == CHANGE_WRITE ? changes[i]->length : 0;
        struct change *copy = change_create(disk, changes[i]->kind, kept, byte_count);
        copy->offset = changes[i]->offset;
        copy->length = changes[i]->length;
        memcpy(copy->bytes, changes[i]->bytes, byte_count);
        kept = copy;
    }
    free(changes);
    inode_drop_changes(inode);
    inode->changes = kept;
}

static int memory_sync(struct io_file *base)
{
    struct memory_file *file = (struct memory_file *)base;
    struct memory_disk *disk = file->disk;
    int result = operation_begin(disk, MEMORY_DISK_SYNC, true, NULL);
    struct inode *inode = inode_of(file);
    if (result) {
        forsake_locked(disk, inode);
    } else if (disk->knobs.lies_sync) {
        ;
    } else if (disk->knobs.reorders) {
        settle_locked(disk, inode, inode->reorder_horizon);
        inode->reorder_horizon = disk->next_order;
    } else if (inode->diverged) {
        settle_locked(disk, inode, UINT64_MAX);
    } else if (inode->changes) {
        memory_image_release(inode->durable);
        inode->durable = memory_image_reference(inode->shown);
        inode_drop_changes(inode);
    }
    operation_end(disk);
    return result;
}

static int memory_allocate(struct io_file *base, uint64_t offset, uint64_t length)
{
    struct memory_file *file = (struct memory_file *)base;
    struct memory_disk *disk = file->disk;
    int result = operation_begin(disk, MEMORY_DISK_ALLOCATE, true, NULL);
    struct inode *inode = inode_of(file);
    if (result == 0 && (length == 0 || file->read_only))
        result = length == 0 ? -EINVAL : -EBADF;
    if (result == 0 && memory_image_holes(inode->shown, offset, length) > free_pages_locked(disk))
        result = -ENOSPC;
    if (result == 0) {
        struct change *change = change_create(disk, CHANGE_ALLOCATE, inode->changes, 0);
        change->offset = offset;
        change->length = length;
        inode->changes = change;
        apply_change(&inode->shown, change);
    }
    operation_end(disk);
    return result;
}

static int memory_punch(struct io_file *base, uint64_t offset, uint64_t length)
{
    struct memory_file *file = (struct memory_file *)base;
    int result = operation_begin(file->disk, MEMORY_DISK_PUNCH, true, NULL);
    struct inode *inode = inode_of(file);
    if (result == 0 && (length == 0 || file->read_only))
        result = length == 0 ? -EINVAL : -EBADF;
    if (result == 0) {
        struct change *change = change_create(file->disk, CHANGE_PUNCH, inode->changes, 0);
        change->offset = offset;
        change->length = length;
        inode->changes = change;
        apply_change(&inode->shown, change);
    }
    operation_end(file->disk);
    return result;
}

static int memory_truncate(struct io_file *base, uint64_t size)
{
    struct memory_file *file = (struct memory_file *)base;
    int result = operation_begin(file->disk, MEMORY_DISK_TRUNCATE, true, NULL);
    struct inode *inode = inode_of(file);
    if (result == 0 && file->read_only)
        result = -EBADF;
    if (result == 0) {
        struct change *change = change_create(file->disk, CHANGE_TRUNCATE, inode->changes, 0);
        change->offset = size;
        inode->changes = change;
        apply_change(&inode->shown, change);
    }
    operation_end(file->disk);
    return result;
}

static int memory_next_data(struct io_file *base, uint64_t offset, uint64_t *data)
{
    struct memory_file *file = (struct memory_file *)base;
    int result = operation_begin(file->disk, MEMORY_DISK_NEXT_DATA, false, NULL);
    if (result == 0) {
        uint64_t found = memory_image_next_data(inode_of(file)->shown, offset);
        if (found == UINT64_MAX)
            result = -ENXIO;
        else
            *data = found;
    }
    operation_end(file->disk);
    return result;
}

static int memory_size(struct io_file *base, uint64_t *size)
{
    struct memory_file *file = (struct memory_file *)base;
    int result = operation_begin(file->disk, MEMORY_DISK_SIZE, false, NULL);
    if (result == 0)
        *size = inode_of(file)->shown->size_bytes;
    operation_end(file->disk);
    return result;
}

/* Copies pages of an image whose size is that of the other. */
static void take_pages(struct memory_image **into, const struct memory_image *from, uint64_t offset, uint64_t end)
{
    uint8_t page[MEMORY_PAGE_BYTES];
    memory_image_own(into);
    for (uint64_t at = offset / MEMORY_PAGE_BYTES * MEMORY_PAGE_BYTES; at < end; at += MEMORY_PAGE_BYTES) {
        memory_image_punch(*into, at, MEMORY_PAGE_BYTES);
        if (memory_image_holes(from, at, 1) > 0)
            continue;
        memory_image_reserve(*into, at, MEMORY_PAGE_BYTES);
        if (memory_image_next_data(from, at) / MEMORY_PAGE_BYTES != at / MEMORY_PAGE_BYTES)
            continue;
        memory_image_read(from, page, sizeof page, at);
        memory_image_write(*into, page, sizeof page, at);
    }
}

static int memory_drop_cache(struct io_file *base, uint64_t offset, uint64_t length)
{
    struct memory_file *file = (struct memory_file *)base;
    int result = operation_begin(file->disk, MEMORY_DISK_DROP_CACHE, false, NULL);
    struct inode *inode = inode_of(file);
    if (result == 0 && inode->diverged) {
        /* Dirty pages and the size stay in memory; only clean pages are read again. */
        uint64_t size_bytes = inode->shown->size_bytes;
        struct memory_image *image = memory_image_reference(inode->durable);
        size_t count;
        struct change **changes = change_array(inode->changes, &count);
        for (size_t i = 0; i < count; i++)
            apply_change(&image, changes[i]);
        free(changes);
        memory_image_own(&image);
        memory_image_resize(image, size_bytes);
        uint64_t end = length > 0 && offset + length < size_bytes ? offset + length : size_bytes;
        take_pages(&inode->shown, image, offset, end);
        memory_image_release(image);
    }
    operation_end(file->disk);
    return result;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static int memory_rename(struct io *io, const char *from, const char *to)
{
    struct memory_disk *disk = disk_of(io);
    size_t number;
    int result = operation_begin(disk, MEMORY_DISK_RENAME, true, NULL);
    if (result == 0 && !names_find(&disk->shown_names, from, &number))
        result = -ENOENT;
    if (result == 0 && strcmp(from, to) != 0) {
        size_t from_size = strlen(from) + 1;
        size_t to_size = strlen(to) + 1;
        struct change *change = change_create(disk, CHANGE_RENAME, disk->name_changes, from_size + to_size);
        memcpy(change->bytes, from, from_size);
        memcpy(change->bytes + from_size, to, to_size);
        change->name = (const char *)change->bytes;
        change->new_name = (const char *)change->bytes + from_size;
        change->inode = number;
        disk->name_changes = change;
        names_place(&disk->shown_names, to, number);
        inodes_collect(disk);
    }
    operation_end(disk);
    return result;
}

static int memory_unlink(struct io *io, const char *name)
{
    struct memory_disk *disk = disk_of(io);
    size_t number;
    int result = operation_begin(disk, MEMORY_DISK_UNLINK, true, NULL);
    if (result == 0 && !names_find(&disk->shown_names, name, &number))
        result = -ENOENT;
    if (result == 0) {
        size_t size = strlen(name) + 1;
        struct change *change = change_create(disk, CHANGE_UNLINK, disk->name_changes, size);
        memcpy(change->bytes, name, size);
        change->name = (const char *)change->bytes;
        change->inode = number;
        disk->name_changes = change;
        names_remove(&disk->shown_names, name, number);
        inodes_collect(disk);
    }
    operation_end(disk);
    return result;
}

static int memory_list(struct io *io, void (*visit)(const char *name, void *context), void *context)
{
    struct memory_disk *disk = disk_of(io);
    struct name_table names = {0};
    int result = operation_begin(disk, MEMORY_DISK_LIST, false, NULL);
    if (result == 0)
        names_copy(&names, &disk->shown_names);
    operation_end(disk);
    for (size_t i = 0; i < names.count; i++)
        visit(name_entry_text(&names.entries[i]), context);
    names_clear(&names);
    return result;
}

static int memory_sync_directory(struct io *io)
{
    struct memory_disk *disk = disk_of(io);
    int result = operation_begin(disk, MEMORY_DISK_SYNC_DIRECTORY, true, NULL);
    if (result || !disk->knobs.lies_directory_sync) {
        struct crash_plan plan;
        crash_plan_make(&plan, disk, random_mix(disk->knobs.seed, random_next(&disk->random)), MEMORY_CRASH_RANDOM);
        if (!result)
            plan.mode = MEMORY_CRASH_KEEPS_ALL;
        /* Change by change, not as a copy of what is shown: after a failure the two differ for ever. */
        crash_names(&plan, disk->name_changes, &disk->durable_names);
        change_release(disk->name_changes);
        disk->name_changes = NULL;
        inodes_collect(disk);
    }
    operation_end(disk);
    return result;
}

static int memory_lock(struct io *io, uint32_t wait_ms, char *holder, size_t holder_size)
{
    struct memory_disk *disk = disk_of(io);
    (void)wait_ms;
    int result = operation_begin(disk, MEMORY_DISK_LOCK, false, NULL);
    if (result == 0 && disk->lock_holder && disk->lock_holder != io) {
        result = -EBUSY;
        if (holder && holder_size)
            snprintf(holder, holder_size, "another opener of the memory disk");
    }
    if (result == 0)
        disk->lock_holder = io;
    operation_end(disk);
    return result;
}

static void memory_destroy(struct io *io)
{
    struct memory_disk *disk = disk_of(io);
    pthread_mutex_lock(&disk->lock);
    if (disk->lock_holder == io)
        disk->lock_holder = NULL;
    pthread_mutex_unlock(&disk->lock);
    free(io);
}

static const struct io_ops memory_disk_ops = {
    .open = memory_open,
    .close = memory_close,
    .read = memory_read,
    .write = memory_write,
    .submit = memory_submit,
    .sync = memory_sync,
    .allocate = memory_allocate,
    .punch = memory_punch,
    .next_data = memory_next_data,
    .size = memory_size,
    .truncate = memory_truncate,
    .drop_cache = memory_drop_cache,
    .rename = memory_rename,
    .unlink = memory_unlink,
    .list = memory_list,
    .sync_directory = memory_sync_directory,
    .lock = memory_lock,
    .destroy = memory_destroy,
};

struct io *memory_disk_open(struct memory_disk *disk)
{
    struct memory_io *io = memory_must(calloc(1, sizeof *io));
    io->base.ops = &memory_disk_ops;
    io->base.no_threads = !disk->knobs.threads;
    snprintf(io->base.uring_reason, sizeof io->base.uring_reason, "memory disk");
    io->disk = disk;
    return &io->base;
}
