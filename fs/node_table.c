#include "node_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) ((element)->stored = false)
#include <uthash.h>
#include <utlist.h>

/* Above every id that the engine will ever hand out. */
#define VIEW_SHIFT 56

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

/* What the nodes of one topic or namespace share. */
struct node_file {
    uint64_t inode_number;
    struct node_entry
        *entries; /* those without writers first, and the oldest of those foremost if it can be had cheaply */
    bool stored;
    UT_hash_handle hh;
    char name[];
};

uint64_t node_inode_number(unsigned view, uint64_t id)
{
    return id | ((uint64_t)view << VIEW_SHIFT);
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

static struct node_file *get_file_locked(struct node_table *table, uint64_t inode_number, const char *name)
{
    struct node_file *file;
    HASH_FIND(hh, table->files, &inode_number, sizeof inode_number, file);
    if (file != NULL) {
        return file;
    }
    size_t name_size = strlen(name) + 1;
    file = calloc(1, sizeof *file + name_size);
    if (file == NULL) {
        return NULL;
    }
    file->inode_number = inode_number;
    memcpy(file->name, name, name_size);
    file->stored = true;
    HASH_ADD(hh, table->files, inode_number, sizeof file->inode_number, file);
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

/* `content` without its name and file. */
static struct node_entry *add_locked(struct node_table *table, struct node_file *file, const struct node *content)
{
    struct node_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return NULL;
    }
    entry->node = *content;
    entry->node.name = file->name;
    entry->node.file = file;
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
    struct node root = {.node_id = NODE_ROOT_ID,
                        .inode_number = NODE_ROOT_ID,
                        .id = NODE_ROOT_ID,
                        .view = VIEW_TOPICS,
                        .kind = WALRUS_NODE_NAMESPACE};
    struct node_file *file = get_file_locked(table, NODE_ROOT_ID, "");
    return file != NULL && add_locked(table, file, &root) != NULL ? 0 : ENOMEM;
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
static bool may_share(const struct node_entry *entry, pid_t caller, uint64_t looked_up_ns)
{
    return entry->writer_count == 0 &&
           (entry->last_caller == caller || looked_up_ns - entry->last_lookup_ns > ABOUT_TO_OPEN_NS);
}

static struct node_entry *get_entry_locked(struct node_table *table, const struct node *wanted, const char *name,
                                           pid_t caller, uint64_t looked_up_ns)
{
    struct node_file *file = get_file_locked(table, wanted->inode_number, name);
    if (file == NULL) {
        return NULL;
    }
    struct node_entry *entry = file->entries;
    if (entry != NULL && (wanted->kind != WALRUS_NODE_TOPIC || may_share(entry, caller, looked_up_ns))) {
        return entry;
    }
    struct node content = *wanted;
    content.node_id = table->next_node_id++;
    entry = add_locked(table, file, &content);
    if (entry == NULL) {
        drop_file_if_unused_locked(table, file);
    }
    return entry;
}

struct node *node_table_look_up(struct node_table *table, const struct node_place *place, pid_t caller)
{
    struct node wanted = {.inode_number = node_inode_number(place->view, place->id),
                          .id = place->id,
                          .view = place->view,
                          .kind = place->kind};
    uint64_t looked_up_ns = table->clock_ns();
    pthread_mutex_lock(&table->mutex);
    struct node_entry *entry = get_entry_locked(table, &wanted, place->name, caller, looked_up_ns);
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
