#include "node_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) ((element)->stored = false)
#include <uthash.h>

#define ROOT_ID ((uint64_t)1)
/* Above every id that the engine will ever hand out. */
#define VIEW_SHIFT 60

struct node_index_entry {
    struct node node;
    bool stored;
    UT_hash_handle hh;
};

uint64_t node_inode_number(enum node_view view, uint64_t id)
{
    return id | ((uint64_t)view << VIEW_SHIFT);
}

static struct node *find_locked(struct node_table *table, uint64_t node_id)
{
    struct node_index_entry *entry;
    HASH_FIND(hh, table->index, &node_id, sizeof node_id, entry);
    return entry != NULL ? &entry->node : NULL;
}

static struct node *add_locked(struct node_table *table, const struct node *content)
{
    struct node_index_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return NULL;
    }
    entry->node = *content;
    entry->node.index_entry = entry;
    entry->node.name = strdup(content->name);
    entry->stored = entry->node.name != NULL;
    if (entry->stored) {
        HASH_ADD(hh, table->index, node.node_id, sizeof entry->node.node_id, entry);
    }
    if (!entry->stored) {
        free(entry->node.name);
        free(entry);
        return NULL;
    }
    return &entry->node;
}

static void remove_locked(struct node_table *table, struct node *node)
{
    struct node_index_entry *entry = node->index_entry;
    HASH_DEL(table->index, entry);
    free(entry->node.name);
    free(entry);
}

int node_table_init(struct node_table *table)
{
    *table = (struct node_table){.next_batch_number = 1};
    pthread_mutex_init(&table->mutex, NULL);
    struct node root = {.node_id = ROOT_ID,
                        .inode_number = ROOT_ID,
                        .id = ROOT_ID,
                        .view = VIEW_TOPICS,
                        .kind = WALRUS_NODE_NAMESPACE,
                        .name = "",
                        .lookup_count = 1};
    return add_locked(table, &root) != NULL ? 0 : ENOMEM;
}

void node_table_fini(struct node_table *table)
{
    struct node_index_entry *entry;
    struct node_index_entry *next;
    HASH_ITER(hh, table->index, entry, next)
    {
        remove_locked(table, &entry->node);
    }
    pthread_mutex_destroy(&table->mutex);
}

struct node *node_table_find(struct node_table *table, uint64_t node_id)
{
    pthread_mutex_lock(&table->mutex);
    struct node *node = find_locked(table, node_id);
    pthread_mutex_unlock(&table->mutex);
    return node;
}

struct node *node_table_look_up(struct node_table *table, enum node_view view, enum walrus_node_kind kind, uint64_t id,
                                const char *name)
{
    uint64_t number = node_inode_number(view, id);
    pthread_mutex_lock(&table->mutex);
    struct node *node = find_locked(table, number);
    if (node == NULL) {
        struct node content = {
            .node_id = number, .inode_number = number, .id = id, .view = view, .kind = kind, .name = (char *)name};
        node = add_locked(table, &content);
    }
    if (node != NULL) {
        node->lookup_count++;
    }
    pthread_mutex_unlock(&table->mutex);
    return node;
}

struct node *node_table_look_up_batch(struct node_table *table)
{
    pthread_mutex_lock(&table->mutex);
    struct node content = {.node_id = node_inode_number(VIEW_BATCH, table->next_batch_number++),
                           .inode_number = node_inode_number(VIEW_BATCH, 0),
                           .view = VIEW_BATCH,
                           .kind = WALRUS_NODE_TOPIC,
                           .name = "",
                           .lookup_count = 1};
    struct node *node = add_locked(table, &content);
    pthread_mutex_unlock(&table->mutex);
    return node;
}

void node_table_forget(struct node_table *table, uint64_t node_id, uint64_t lookup_count)
{
    if (node_id == ROOT_ID) {
        return;
    }
    pthread_mutex_lock(&table->mutex);
    struct node *node = find_locked(table, node_id);
    if (node != NULL) {
        if (node->lookup_count > lookup_count) {
            node->lookup_count -= lookup_count;
        } else {
            remove_locked(table, node);
        }
    }
    pthread_mutex_unlock(&table->mutex);
}
