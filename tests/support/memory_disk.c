#include "memory_disk_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct shared_name {
    atomic_uint references;
    char text[];
};

void *memory_must(void *allocated)
{
    if (!allocated)
        abort();
    return allocated;
}

const char *memory_disk_kind_name(enum memory_disk_kind kind)
{
    static const char *const names[] = {"open",           "read",       "write",  "submit",    "request",
                                        "sync",           "allocate",   "punch",  "next_data", "size",
                                        "truncate",       "drop_cache", "rename", "unlink",    "list",
                                        "sync_directory", "lock",       "any",    "any_change"};
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : "?";
}

/* ---- changes ----------------------------------------------------------------------------------------------------- */

struct change *change_create(struct memory_disk *disk, enum change_kind kind, struct change *older, size_t byte_count)
{
    struct change *change = memory_must(malloc(sizeof *change + byte_count));
    memset(change, 0, sizeof *change);
    atomic_init(&change->references, 1);
    change->kind = kind;
    change->order = disk->next_order++;
    change->older = older;
    change->depth = older ? older->depth + 1 : 1;
    return change;
}

struct change *change_reference(struct change *change)
{
    if (change)
        atomic_fetch_add_explicit(&change->references, 1, memory_order_relaxed);
    return change;
}

void change_release(struct change *newest)
{
    while (newest && atomic_fetch_sub_explicit(&newest->references, 1, memory_order_acq_rel) == 1) {
        struct change *older = newest->older;
        free(newest);
        newest = older;
    }
}

struct change **change_array(struct change *newest, size_t *count)
{
    *count = newest ? newest->depth : 0;
    if (!newest)
        return NULL;
    struct change **array = memory_must(malloc(*count * sizeof(struct change *)));
    for (size_t i = *count; i-- > 0; newest = newest->older)
        array[i] = newest;
    return array;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static struct shared_name *name_create(const char *text)
{
    size_t size = strlen(text) + 1;
    struct shared_name *name = memory_must(malloc(sizeof *name + size));
    atomic_init(&name->references, 1);
    memcpy(name->text, text, size);
    return name;
}

static void name_release(struct shared_name *name)
{
    if (atomic_fetch_sub_explicit(&name->references, 1, memory_order_acq_rel) == 1)
        free(name);
}

const char *name_entry_text(const struct name_entry *entry)
{
    return entry->name->text;
}

void names_clear(struct name_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        name_release(table->entries[i].name);
    free(table->entries);
    memset(table, 0, sizeof *table);
}

void names_copy(struct name_table *to, const struct name_table *from)
{
    names_clear(to);
    if (from->count == 0)
        return;
    to->entries = memory_must(malloc(from->count * sizeof *to->entries));
    memcpy(to->entries, from->entries, from->count * sizeof *to->entries);
    to->count = to->capacity = from->count;
    for (size_t i = 0; i < to->count; i++)
        atomic_fetch_add_explicit(&to->entries[i].name->references, 1, memory_order_relaxed);
}

bool names_find(const struct name_table *table, const char *name, size_t *inode)
{
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->entries[i].name->text, name) == 0) {
            *inode = table->entries[i].inode;
            return true;
        }
    }
    return false;
}

static void names_remove_at(struct name_table *table, size_t index)
{
    name_release(table->entries[index].name);
    table->entries[index] = table->entries[--table->count];
}

void names_place(struct name_table *table, const char *name, size_t inode)
{
    for (size_t i = table->count; i-- > 0;) {
        if (table->entries[i].inode == inode || strcmp(table->entries[i].name->text, name) == 0)
            names_remove_at(table, i);
    }
    if (table->count == table->capacity) {
        table->capacity = table->capacity * 2 + 4;
        table->entries = memory_must(realloc(table->entries, table->capacity * sizeof *table->entries));
    }
    table->entries[table->count++] = (struct name_entry){name_create(name), inode};
}

void names_remove(struct name_table *table, const char *name, size_t inode)
{
    for (size_t i = table->count; i-- > 0;) {
        if (table->entries[i].inode == inode && strcmp(table->entries[i].name->text, name) == 0)
            names_remove_at(table, i);
    }
}

/* ---- inodes ------------------------------------------------------------------------------------------------------ */

size_t inode_create(struct memory_disk *disk)
{
    size_t number = 0;
    while (number < disk->inode_count && disk->inodes[number].in_use)
        number++;
    if (number == disk->inode_count) {
        disk->inodes = memory_must(realloc(disk->inodes, (disk->inode_count + 1) * sizeof *disk->inodes));
        disk->inode_count++;
    }
    struct inode *inode = &disk->inodes[number];
    memset(inode, 0, sizeof *inode);
    inode->in_use = true;
    inode->durable = memory_image_create();
    inode->shown = memory_image_reference(inode->durable);
    return number;
}

void inode_drop_changes(struct inode *inode)
{
    change_release(inode->changes);
    inode->changes = NULL;
}

static void inode_free(struct inode *inode)
{
    if (!inode->in_use)
        return;
    inode_drop_changes(inode);
    memory_image_release(inode->durable);
    memory_image_release(inode->shown);
    memset(inode, 0, sizeof *inode);
}

static bool names_hold(const struct name_table *table, size_t inode)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->entries[i].inode == inode)
            return true;
    }
    return false;
}

static bool changes_hold(const struct change *newest, size_t inode)
{
    for (; newest; newest = newest->older) {
        if (newest->inode == inode)
            return true;
    }
    return false;
}

void inodes_collect(struct memory_disk *disk)
{
    for (size_t i = 0; i < disk->inode_count; i++) {
        if (disk->inodes[i].in_use && disk->inodes[i].open_count == 0 && !names_hold(&disk->shown_names, i) &&
            !names_hold(&disk->durable_names, i) && !changes_hold(disk->name_changes, i))
            inode_free(&disk->inodes[i]);
    }
}

/* ---- disks ------------------------------------------------------------------------------------------------------- */

struct memory_disk *memory_disk_create(void)
{
    struct memory_disk *disk = memory_must(calloc(1, sizeof *disk));
    pthread_mutex_init(&disk->lock, NULL);
    return disk;
}

void memory_disk_destroy(struct memory_disk *disk)
{
    if (!disk)
        return;
    for (size_t i = 0; i < disk->inode_count; i++)
        inode_free(&disk->inodes[i]);
    free(disk->inodes);
    names_clear(&disk->durable_names);
    names_clear(&disk->shown_names);
    change_release(disk->name_changes);
    pthread_mutex_destroy(&disk->lock);
    free(disk);
}

struct memory_disk_knobs *memory_disk_knobs(struct memory_disk *disk)
{
    return &disk->knobs;
}

static void inherit(struct memory_disk *to, const struct memory_disk *from)
{
    to->knobs = from->knobs;
    to->knobs.on_operation = NULL;
    to->knobs.on_operation_context = NULL;
    to->random = from->random;
    to->next_order = from->next_order;
}

struct memory_disk *memory_disk_clone(struct memory_disk *disk)
{
    struct memory_disk *clone = memory_disk_create();
    pthread_mutex_lock(&disk->lock);
    inherit(clone, disk);
    clone->inode_count = disk->inode_count;
    clone->inodes = memory_must(calloc(disk->inode_count + 1, sizeof *clone->inodes));
    for (size_t i = 0; i < disk->inode_count; i++) {
        struct inode *inode = &clone->inodes[i];
        *inode = disk->inodes[i];
        if (!inode->in_use)
            continue;
        inode->open_count = 0;
        memory_image_reference(inode->durable);
        memory_image_reference(inode->shown);
        change_reference(inode->changes);
    }
    names_copy(&clone->durable_names, &disk->durable_names);
    names_copy(&clone->shown_names, &disk->shown_names);
    clone->name_changes = change_reference(disk->name_changes);
    pthread_mutex_unlock(&disk->lock);
    inodes_collect(clone);
    return clone;
}

struct memory_disk *memory_disk_crash_as(struct memory_disk *disk, uint64_t seed, enum memory_crash_mode mode)
{
    struct memory_disk *after = memory_disk_create();
    struct crash_plan plan;
    pthread_mutex_lock(&disk->lock);
    inherit(after, disk);
    after->random.state = random_mix(seed, 1);
    crash_plan_make(&plan, disk, seed, mode);
    struct name_table names = {0};
    names_copy(&names, &disk->durable_names);
    crash_names(&plan, disk->name_changes, &names);
    /* Every inode is walked, named or not, so that units count the same whatever became of the names. */
    for (size_t i = 0; i < disk->inode_count; i++) {
        if (!disk->inodes[i].in_use)
            continue;
        struct memory_image *image = crash_file(&plan, &disk->inodes[i]);
        for (size_t n = 0; n < names.count; n++) {
            if (names.entries[n].inode != i)
                continue;
            size_t number = inode_create(after);
            memory_image_release(after->inodes[number].durable);
            memory_image_release(after->inodes[number].shown);
            after->inodes[number].durable = memory_image_reference(image);
            after->inodes[number].shown = memory_image_reference(image);
            names_place(&after->durable_names, names.entries[n].name->text, number);
        }
        memory_image_release(image);
    }
    names_clear(&names);
    pthread_mutex_unlock(&disk->lock);
    names_copy(&after->shown_names, &after->durable_names);
    return after;
}

struct memory_disk *memory_disk_crash(struct memory_disk *disk, uint64_t seed)
{
    return memory_disk_crash_as(disk, seed, MEMORY_CRASH_BY_SEED);
}

size_t memory_disk_unsynced(struct memory_disk *disk)
{
    pthread_mutex_lock(&disk->lock);
    size_t units = change_units(disk->name_changes);
    for (size_t i = 0; i < disk->inode_count; i++)
        units += change_units(disk->inodes[i].changes);
    pthread_mutex_unlock(&disk->lock);
    return units;
}

uint64_t disk_used_pages_locked(const struct memory_disk *disk)
{
    uint64_t pages = 0;
    for (size_t i = 0; i < disk->inode_count; i++) {
        if (disk->inodes[i].in_use && (disk->inodes[i].open_count || names_hold(&disk->shown_names, i)))
            pages += disk->inodes[i].shown->allocated_pages;
    }
    return pages;
}

uint64_t memory_disk_used_bytes(struct memory_disk *disk)
{
    pthread_mutex_lock(&disk->lock);
    uint64_t pages = disk_used_pages_locked(disk);
    pthread_mutex_unlock(&disk->lock);
    return pages * MEMORY_PAGE_BYTES;
}

uint64_t memory_disk_file_bytes(struct memory_disk *disk, const char *name)
{
    size_t number;
    uint64_t pages = 0;
    pthread_mutex_lock(&disk->lock);
    if (names_find(&disk->shown_names, name, &number))
        pages = disk->inodes[number].shown->allocated_pages;
    pthread_mutex_unlock(&disk->lock);
    return pages * MEMORY_PAGE_BYTES;
}

int memory_disk_corrupt(struct memory_disk *disk, const char *name, uint64_t offset, const void *bytes, size_t size)
{
    size_t number;
    pthread_mutex_lock(&disk->lock);
    bool found = names_find(&disk->shown_names, name, &number);
    if (found) {
        struct inode *inode = &disk->inodes[number];
        memory_image_own(&inode->durable);
        memory_image_write(inode->durable, bytes, size, offset);
        memory_image_own(&inode->shown);
        memory_image_write(inode->shown, bytes, size, offset);
    }
    pthread_mutex_unlock(&disk->lock);
    return found ? 0 : -ENOENT;
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

void memory_disk_fail(struct memory_disk *disk, enum memory_disk_kind kind, uint64_t nth, int error,
                      enum memory_fault_mode mode)
{
    pthread_mutex_lock(&disk->lock);
    size_t i = 0;
    while (i < FAULTS_MAX && disk->faults[i].armed)
        i++;
    if (i == FAULTS_MAX || nth == 0)
        abort();
    disk->faults[i] = (struct fault){.armed = true, .kind = kind, .countdown = nth, .error = error, .mode = mode};
    pthread_mutex_unlock(&disk->lock);
}

void memory_disk_clear_faults(struct memory_disk *disk)
{
    pthread_mutex_lock(&disk->lock);
    memset(disk->faults, 0, sizeof disk->faults);
    pthread_mutex_unlock(&disk->lock);
}

uint64_t memory_disk_fault_hits(struct memory_disk *disk, enum memory_disk_kind kind)
{
    pthread_mutex_lock(&disk->lock);
    uint64_t hits = disk->fault_hits[kind];
    pthread_mutex_unlock(&disk->lock);
    return hits;
}

uint64_t memory_disk_operations(struct memory_disk *disk, enum memory_disk_kind kind)
{
    pthread_mutex_lock(&disk->lock);
    uint64_t count = disk->operations[kind];
    pthread_mutex_unlock(&disk->lock);
    return count;
}
