#include "node_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) ((element)->stored = false)
#include <uthash.h>
#include <utlist.h>

/* Of an inode number: the view, the group, the id. */
#define VIEW_SHIFT 56
#define GROUP_SHIFT 36

/* How long after its lookup somebody is taken to be about to open the file. */
#define ABOUT_TO_OPEN_NS (5u * 1000 * 1000)

/* All below is guarded by the table's mutex. */
struct node_entry {
    struct node node;
    uint64_t lookup_count;
    uint64_t writer_count; /* open files that write */
    uint64_t last_lookup_ns;
    pid_t last_caller;
    bool stored;
    struct node_entry *prev; /* in its file's list */
    struct node_entry *next;
    UT_hash_handle hh;
};

/* Which file it is: what an inode number stands for. Hashed as bytes, so without padding. */
struct file_key {
    uint64_t view;
    uint64_t group; /* 0: none named, else its id + 1 */
    uint64_t id;
};

/* What the nodes of one topic or namespace share. */
struct node_file {
    struct file_key key;
    struct node_entry
        *entries; /* those without writers first, and the oldest of those foremost if it can be had cheaply */
    char *group;  /* NULL, or behind the name */
    bool stored;
    UT_hash_handle hh;
    char name[];
};

static struct file_key key_of(const struct node_place *place)
{
    return (struct file_key){
        .view = place->view, .group = place->group != NULL ? place->group_id + 1 : 0, .id = place->id};
}

uint64_t node_inode_number(const struct node_place *place)
{
    struct file_key key = key_of(place);
    return (key.view << VIEW_SHIFT) ^ (key.group << GROUP_SHIFT) ^ key.id;
}

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct node_entry *find_locked(struct node_table *table, uint64_t node_id)
{
    struct node_entry *entry;
    HASH_FIND(hh, table->nodes, &node_id, sizeof node_id, entry);
    return entry;
}

static struct node_file *get_file_locked(struct node_table *table, const struct node_place *place)
{
    struct node_file *file;
    struct file_key key = key_of(place);
    HASH_FIND(hh, table->files, &key, sizeof key, file);
    if (file != NULL) {
        return file;
    }
    size_t name_size = strlen(place->name) + 1;
    size_t group_size = place->group != NULL ? strlen(place->group) + 1 : 0;
    file = calloc(1, sizeof *file + name_size + group_size);
    if (file == NULL) {
        return NULL;
    }
    file->key = key;
    memcpy(file->name, place->name, name_size);
    if (place->group != NULL) {
        file->group = file->name + name_size;
        memcpy(file->group, place->group, group_size);
    }
    file->stored = true;
    HASH_ADD(hh, table->files, key, sizeof file->key, file);
    if (!file->stored) {
        free(file);
        return NULL;
    }
    return file;
}

static void drop_file_if_unused_locked(struct node_table *table, struct node_file *file)
{
    if (file->entries == NULL) {
        HASH_DEL(table->files, file);
        free(file);
    }
}

static struct node_entry *add_locked(struct node_table *table, struct node_file *file, const struct node_place *place,
                                     uint64_t node_id)
{
    struct node_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return NULL;
    }
    entry->node = (struct node){.node_id = node_id,
                                .inode_number = node_inode_number(place),
                                .id = place->id,
                                .view = place->view,
                                .kind = place->kind,
                                .name = file->name,
                                .group = file->group,
                                .group_id = place->group_id,
                                .base_offset = place->base_offset,
                                .file = file};
    entry->stored = true;
    HASH_ADD(hh, table->nodes, node.node_id, sizeof entry->node.node_id, entry);
    if (!entry->stored) {
        free(entry);
        return NULL;
    }
    DL_PREPEND(file->entries, entry);
    return entry;
}

static void remove_locked(struct node_table *table, struct node_entry *entry)
{
    struct node_file *file = entry->node.file;
    HASH_DEL(table->nodes, entry);
    DL_DELETE(file->entries, entry);
    free(entry);
    drop_file_if_unused_locked(table, file);
}

int node_table_init(struct node_table *table)
{
    *table = (struct node_table){.next_node_id = NODE_ROOT_ID + 1, .clock_ns = monotonic_ns};
    pthread_mutex_init(&table->mutex, NULL);
    const struct node_place root = {.id = NODE_ROOT_ID, .kind = WALRUS_NODE_NAMESPACE, .name = ""};
    struct node_file *file = get_file_locked(table, &root);
    return file != NULL && add_locked(table, file, &root, NODE_ROOT_ID) != NULL ? 0 : ENOMEM;
}

void node_table_fini(struct node_table *table)
{
    struct node_entry *entry;
    struct node_entry *next;
    HASH_ITER(hh, table->nodes, entry, next)
    {
        remove_locked(table, entry);
    }
    pthread_mutex_destroy(&table->mutex);
}

struct node *node_table_find(struct node_table *table, uint64_t node_id)
{
    pthread_mutex_lock(&table->mutex);
    struct node_entry *entry = find_locked(table, node_id);
    pthread_mutex_unlock(&table->mutex);
    return entry != NULL ? &entry->node : NULL;
}

/* May a lookup by `caller` get this node, which others have? */
static bool may_share(const struct node_entry *entry, const struct node_place *place, pid_t caller,
                      uint64_t looked_up_ns)
{
    return entry->writer_count == 0 && entry->node.base_offset == place->base_offset &&
           (entry->last_caller == caller || looked_up_ns - entry->last_lookup_ns > ABOUT_TO_OPEN_NS);
}

static struct node_entry *get_entry_locked(struct node_table *table, const struct node_place *place, pid_t caller,
                                           uint64_t looked_up_ns)
{
    struct node_file *file = get_file_locked(table, place);
    if (file == NULL) {
        return NULL;
    }
    struct node_entry *entry = file->entries;
    if (entry != NULL && (place->kind != WALRUS_NODE_TOPIC || may_share(entry, place, caller, looked_up_ns))) {
        return entry;
    }
    entry = add_locked(table, file, place, table->next_node_id++);
    if (entry == NULL) {
        drop_file_if_unused_locked(table, file);
    }
    return entry;
}

struct node *node_table_look_up(struct node_table *table, const struct node_place *place, pid_t caller)
{
    uint64_t looked_up_ns = table->clock_ns();
    pthread_mutex_lock(&table->mutex);
    struct node_entry *entry = get_entry_locked(table, place, caller, looked_up_ns);
    if (entry != NULL) {
        entry->lookup_count++;
        entry->last_lookup_ns = looked_up_ns;
        entry->last_caller = caller;
    }
    pthread_mutex_unlock(&table->mutex);
    return entry != NULL ? &entry->node : NULL;
}

void node_table_forget(struct node_table *table, uint64_t node_id, uint64_t lookup_count)
{
    if (node_id == NODE_ROOT_ID) {
        return;
    }
    pthread_mutex_lock(&table->mutex);
    struct node_entry *entry = find_locked(table, node_id);
    if (entry != NULL) {
        if (entry->lookup_count > lookup_count) {
            entry->lookup_count -= lookup_count;
        } else {
            remove_locked(table, entry);
        }
    }
    pthread_mutex_unlock(&table->mutex);
}

void node_table_add_writer(struct node_table *table, uint64_t node_id)
{
    pthread_mutex_lock(&table->mutex);
    struct node_entry *entry = find_locked(table, node_id);
    if (entry != NULL && entry->writer_count++ == 0) {
        DL_DELETE(entry->node.file->entries, entry);
        DL_APPEND(entry->node.file->entries, entry);
    }
    pthread_mutex_unlock(&table->mutex);
}

void node_table_remove_writer(struct node_table *table, uint64_t node_id)
{
    pthread_mutex_lock(&table->mutex);
    struct node_entry *entry = find_locked(table, node_id);
    if (entry != NULL && --entry->writer_count == 0) {
        struct node_file *file = entry->node.file;
        DL_DELETE(file->entries, entry);
        struct node_entry *first = file->entries;
        if (first != NULL && first->writer_count == 0 && first->node.node_id < entry->node.node_id) {
            DL_APPEND_ELEM(file->entries, first, entry);
        } else {
            DL_PREPEND(file->entries, entry);
        }
    }
    pthread_mutex_unlock(&table->mutex);
}
