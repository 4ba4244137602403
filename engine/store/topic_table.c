#include "store/topic_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) ((element)->insert_failed = true)
#include <uthash.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/error.h"
#include "format/catalog_record.h"
#include "format/name.h"
#include "store/log.h"
#include "store/table_node.h"

enum walrus_code topic_table_init(struct topic_table *table, struct walrus_error *error)
{
    memset(table, 0, sizeof(*table));
    pthread_mutex_init(&table->lock, NULL);
    table->next_id = ROOT_NODE_ID + 1;
    struct table_node *root = table_node_create("", NULL);
    if (root) {
        root->id = ROOT_NODE_ID;
        root->attributes = (struct walrus_attributes){0755, getuid(), getgid()};
        HASH_ADD_KEYPTR(hh, table->nodes, root->name, strlen(root->name), root);
    }
    if (!root || root->insert_failed) {
        free(root);
        table->nodes = NULL;
        return error_set(error, WALRUS_E_NO_MEMORY, 0, "names: out of memory");
    }
    return WALRUS_OK;
}

void topic_table_fini(struct topic_table *table)
{
    struct table_node *node, *next;
    HASH_ITER(hh, table->nodes, node, next)
    {
        HASH_DEL(table->nodes, node);
        if (node->topic)
            topic_release(node->topic);
        free(node);
    }
    pthread_mutex_destroy(&table->lock);
}

struct table_node *table_node_create(const char *name, struct walrus_topic *topic)
{
    size_t size = strlen(name) + 1;
    struct table_node *node = calloc(1, sizeof(*node) + size);
    if (!node)
        return NULL;
    memcpy(node->name, name, size);
    const char *slash = strrchr(node->name, '/');
    node->last_component = slash ? (size_t)(slash - node->name) + 1 : 0;
    node->topic = topic;
    return node;
}

struct table_node *table_find(struct topic_table *table, const char *name, size_t size)
{
    struct table_node *node;
    HASH_FIND(hh, table->nodes, name, size, node);
    return node;
}

struct table_node *table_parent(struct topic_table *table, const struct table_node *node)
{
    return table_find(table, node->name, node->last_component > 0 ? node->last_component - 1 : 0);
}

bool table_add(struct topic_table *table, struct table_node *parent, struct table_node *node)
{
    HASH_ADD_KEYPTR(hh, table->nodes, node->name, strlen(node->name), node);
    if (node->insert_failed)
        return false;
    DL_APPEND(parent->children, node);
    if (node->topic)
        table->topic_count++;
    else
        table->namespace_count++;
    return true;
}

void table_drop(struct topic_table *table, struct table_node *node)
{
    struct table_node *parent = table_parent(table, node);
    DL_DELETE(parent->children, node);
    HASH_DEL(table->nodes, node);
    if (node->topic) {
        table->topic_count--;
        atomic_store(&node->topic->deleted, true);
        topic_release(node->topic);
    } else {
        table->namespace_count--;
    }
    free(node);
}

/* Makes the namespaces above `name` that are missing. NULL: no memory, or a topic is in the way. */
static struct table_node *ready_parent(struct topic_table *table, const char *name)
{
    const char *slash = strrchr(name, '/');
    size_t size = slash ? (size_t)(slash - name) : 0;
    struct table_node *parent = table_find(table, name, size);
    if (parent)
        return parent->topic ? NULL : parent;
    char above[NAME_MAX_BYTES + 1];
    memcpy(above, name, size);
    above[size] = '\0';
    struct table_node *grandparent = ready_parent(table, above);
    struct table_node *made = grandparent ? table_node_create(above, NULL) : NULL;
    if (!made)
        return NULL;
    made->id = table->next_id++;
    made->attributes = grandparent->attributes;
    made->created_ns = clock_realtime_ns();
    table->has_unrecorded = true;
    if (!table_add(table, grandparent, made)) {
        free(made);
        return NULL;
    }
    return made;
}

static enum walrus_code insert(struct topic_table *table, struct table_node *node, bool *added,
                               struct walrus_error *error)
{
    if (!node)
        return error_set(error, WALRUS_E_NO_MEMORY, 0, "names: out of memory");
    *added = false;
    if (table_find(table, node->name, strlen(node->name))) {
        free(node);
        return WALRUS_OK;
    }
    struct table_node *parent = ready_parent(table, node->name);
    if (!parent || !table_add(table, parent, node)) {
        enum walrus_code code = parent
                                    ? error_set(error, WALRUS_E_NO_MEMORY, 0, "names: out of memory")
                                    : error_set(error, WALRUS_E_DAMAGED, 0, "name '%s' lies below a topic", node->name);
        free(node);
        return code;
    }
    if (node->id >= table->next_id)
        table->next_id = node->id + 1;
    *added = true;
    return WALRUS_OK;
}

enum walrus_code topic_table_insert_topic(struct topic_table *table, struct walrus_topic *topic, bool *added,
                                          struct walrus_error *error)
{
    struct table_node *node = table_node_create(topic->name, topic);
    if (node)
        node->id = topic->id;
    return insert(table, node, added, error);
}

enum walrus_code topic_table_insert_namespace(struct topic_table *table, const char *name, uint64_t id,
                                              const struct walrus_attributes *attributes, uint64_t created_ns,
                                              bool *added, struct walrus_error *error)
{
    struct table_node *node = table_node_create(name, NULL);
    if (node) {
        node->id = id;
        node->attributes = *attributes;
        node->created_ns = created_ns;
    }
    return insert(table, node, added, error);
}

void topic_table_set_root(struct topic_table *table, const struct walrus_attributes *attributes)
{
    table_find(table, "", 0)->attributes = *attributes;
}

void table_record(const struct table_node *node, enum catalog_record_type type, struct catalog_record *record)
{
    const struct walrus_attributes *attributes = node->topic ? &node->topic->attributes : &node->attributes;
    *record = (struct catalog_record){
        .type = type,
        .node_id = node->id,
        .time_ns = node->topic ? node->topic->created_ns : node->created_ns,
        .mode = attributes->mode,
        .uid = attributes->uid,
        .gid = attributes->gid,
    };
    if (node->topic)
        topic_settings_to_record(node->topic, record);
    if (type == CATALOG_TOPIC_CREATED || type == CATALOG_NAMESPACE_CREATED)
        snprintf(record->name, sizeof(record->name), "%s", node->name);
}

static enum walrus_code emit_below(const struct table_node *parent, struct catalog *into, uint64_t *highest_id,
                                   struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;
    const struct table_node *node;
    DL_FOREACH(parent->children, node)
    {
        struct catalog_record record;
        uint64_t ticket;
        table_record(node, node->topic ? CATALOG_TOPIC_CREATED : CATALOG_NAMESPACE_CREATED, &record);
        *highest_id = node->id > *highest_id ? node->id : *highest_id;
        code = catalog_append(into, &record, &ticket, error);
        if (code == WALRUS_OK && node->topic && (node->topic->head.on_record || node->topic->head.has_slot)) {
            record = (struct catalog_record){.type = CATALOG_TOPIC_TRIMMED, .node_id = node->id};
            code = catalog_append(into, &record, &ticket, error);
        }
        if (code == WALRUS_OK && !node->topic)
            code = emit_below(node, into, highest_id, error);
        if (code != WALRUS_OK)
            break;
    }
    return code;
}

enum walrus_code topic_table_emit(struct topic_table *table, struct catalog *into, uint64_t highest_id,
                                  struct walrus_error *error)
{
    const struct table_node *root = table_find(table, "", 0);
    struct catalog_record record;
    uint64_t ticket;
    table_record(root, CATALOG_CHANGED, &record);
    enum walrus_code code = catalog_append(into, &record, &ticket, error);
    if (code == WALRUS_OK)
        code = emit_below(root, into, &highest_id, error);
    if (code == WALRUS_OK && highest_id + 1 < table->next_id) {
        /* Ids are never used twice: the highest one that was given out stays on record. */
        record = (struct catalog_record){.type = CATALOG_TOPIC_DELETED, .node_id = table->next_id - 1};
        code = catalog_append(into, &record, &ticket, error);
    }
    return code;
}
