/*
 * names.c - making, finding and removing topics and namespaces.
 *
 * The names lock is never held over a sync: who only looks a name up must not wait for a disk. A removal is announced
 * in the tree
 * (`leaving`), made durable without the lock, and then carried out.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/error.h"
#include "format/name.h"
#include "store/log.h"
#include "store/shared_batch.h"
#include "store/table_node.h"
#include "store/watch.h"

static enum walrus_code no_memory(struct walrus_error *error)
{
    return error_set(error, WALRUS_E_NO_MEMORY, 0, "names: out of memory");
}

static struct walrus_attributes default_attributes(uint32_t mode)
{
    return (struct walrus_attributes){.mode = mode, .uid = geteuid(), .gid = getegid()};
}

/* Adds a node below its parent and writes its record; takes nothing back but itself on failure. */
static enum walrus_code create_locked(struct walrus_log *log, struct table_node *node, struct table_node *parent,
                                      uint64_t *ticket, struct walrus_error *error)
{
    struct catalog_record record;
    if (!table_add(&log->names, parent, node))
        return no_memory(error);
    table_record(node, node->topic ? CATALOG_TOPIC_CREATED : CATALOG_NAMESPACE_CREATED, &record);
    enum walrus_code code = catalog_append(&log->catalog, &record, ticket, error);
    if (code == WALRUS_OK)
        return WALRUS_OK;
    if (node->topic)
        topic_acquire(node->topic); /* the caller's reference stays his */
    table_drop(&log->names, node);
    return code;
}

static enum walrus_code make_namespace_locked(struct walrus_log *log, const char *name, struct table_node *parent,
                                              const struct walrus_attributes *attributes, uint64_t *ticket,
                                              struct table_node **made, struct walrus_error *error)
{
    struct table_node *node = table_node_create(name, NULL);
    if (!node)
        return no_memory(error);
    node->id = log->names.next_id++;
    node->attributes = attributes ? *attributes : default_attributes(0755);
    node->created_ns = clock_realtime_ns();
    enum walrus_code code = create_locked(log, node, parent, ticket, error);
    if (code == WALRUS_OK)
        *made = node;
    return code;
}

/* The namespace that `name` lies in; with `create`, missing ones are made. */
static enum walrus_code parent_locked(struct walrus_log *log, const char *name, bool create, struct table_node **parent,
                                      struct walrus_error *error)
{
    const char *slash = strrchr(name, '/');
    size_t size = slash ? (size_t)(slash - name) : 0;
    struct table_node *found = table_find(&log->names, name, size);
    if (found && found->topic)
        return error_set(error, WALRUS_E_NOT_NAMESPACE, 0, "'%.*s' is a topic, not a namespace", (int)size, name);
    if (found && found->leaving)
        found = NULL;
    if (!found && !create)
        return error_set(error, WALRUS_E_NOT_FOUND, 0, "no namespace '%.*s'", (int)size, name);
    if (!found) {
        char above[NAME_MAX_BYTES + 1];
        snprintf(above, sizeof(above), "%.*s", (int)size, name);
        struct table_node *grandparent;
        uint64_t ticket;
        enum walrus_code code = parent_locked(log, above, true, &grandparent, error);
        if (code == WALRUS_OK)
            code = make_namespace_locked(log, above, grandparent, NULL, &ticket, &found, error);
        if (code != WALRUS_OK)
            return code;
    }
    *parent = found;
    return WALRUS_OK;
}

static enum walrus_code create_topic_locked(struct walrus_log *log, const char *name, unsigned flags,
                                            const struct walrus_topic_settings *settings, struct walrus_topic **topic,
                                            struct walrus_error *error)
{
    struct table_node *parent;
    enum walrus_code code = parent_locked(log, name, (flags & WALRUS_CREATE_PARENTS) != 0, &parent, error);
    if (code != WALRUS_OK)
        return code;
    struct walrus_topic *made =
        topic_create(log, log->names.next_id, name, settings ? settings->framing : WALRUS_FRAMING_LINE);
    struct table_node *node = made ? table_node_create(name, made) : NULL;
    if (!node) {
        if (made)
            topic_release(made);
        return no_memory(error);
    }
    node->id = log->names.next_id++;
    made->attributes = settings ? settings->attributes : default_attributes(0644);
    if (settings) {
        topic_set_sync(made, settings->sync);
        made->retention = settings->retention;
    }
    made->created_ns = made->visible_ns = clock_realtime_ns();
    uint64_t ticket;
    code = create_locked(log, node, parent, &ticket, error);
    atomic_store(&made->catalog_ticket, ticket);
    if (code != WALRUS_OK)
        topic_release(made);
    else
        *topic = made;
    return code;
}

enum walrus_code names_open_topic(struct walrus_log *log, const char *name, unsigned flags,
                                  const struct walrus_topic_settings *settings, struct walrus_topic **topic,
                                  struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;
    struct walrus_topic *found = NULL;
    pthread_mutex_lock(&log->names.lock);
    struct table_node *node = table_find(&log->names, name, strlen(name));
    if (node && !node->topic)
        code = error_set(error, WALRUS_E_NOT_TOPIC, 0, "'%s' is a namespace, not a topic", name);
    else if (node && (flags & WALRUS_CREATE) && (flags & WALRUS_EXCLUSIVE))
        code = error_set(error, WALRUS_E_EXISTS, 0, "topic '%s' exists", name);
    else if (node)
        found = node->topic;
    else if (flags & WALRUS_CREATE)
        code = create_topic_locked(log, name, flags, settings, &found, error);
    else
        code = error_set(error, WALRUS_E_NOT_FOUND, 0, "no topic '%s'", name);
    if (code == WALRUS_OK) {
        topic_acquire(found);
        *topic = found;
    }
    pthread_mutex_unlock(&log->names.lock);
    return code;
}

/* Finds what is to be removed and marks it as leaving: nobody else removes it or puts anything into it. */
static enum walrus_code begin_removal(struct walrus_log *log, const char *name, bool is_topic,
                                      struct table_node **leaving, struct walrus_error *error)
{
    const char *what = is_topic ? "topic" : "namespace";
    enum walrus_code code = WALRUS_OK;
    pthread_mutex_lock(&log->names.lock);
    struct table_node *node = table_find(&log->names, name, strlen(name));
    if (!node || node->leaving)
        code = error_set(error, WALRUS_E_NOT_FOUND, 0, "no %s '%s'", what, name);
    else if (is_topic && !node->topic)
        code = error_set(error, WALRUS_E_NOT_TOPIC, 0, "'%s' is a namespace, not a topic", name);
    else if (!is_topic && node->topic)
        code = error_set(error, WALRUS_E_NOT_NAMESPACE, 0, "'%s' is a topic, not a namespace", name);
    else if (node->children)
        code = error_set(error, WALRUS_E_NOT_EMPTY, 0, "namespace '%s' is not empty", name);
    if (code == WALRUS_OK) {
        node->leaving = true;
        *leaving = node;
    }
    pthread_mutex_unlock(&log->names.lock);
    return code;
}

/* *begun: a record may be on the disk, whatever the outcome. */
static enum walrus_code record_removal(struct walrus_log *log, const struct table_node *node, bool *begun,
                                       struct walrus_error *error)
{
    struct catalog_record record;
    uint64_t ticket;
    pthread_mutex_lock(&log->names.lock);
    table_record(node, node->topic ? CATALOG_TOPIC_DELETED : CATALOG_NAMESPACE_REMOVED, &record);
    record.time_ns = clock_realtime_ns();
    enum walrus_code code = catalog_append(&log->catalog, &record, &ticket, error);
    pthread_mutex_unlock(&log->names.lock);
    *begun = code != WALRUS_E_NO_SPACE;
    return code == WALRUS_OK ? catalog_wait(&log->catalog, ticket, error) : code;
}

/* Marks the node as leaving, makes its removal durable, takes it out. */
static enum walrus_code remove_node(struct walrus_log *log, const char *name, bool is_topic, struct walrus_error *error)
{
    struct table_node *node = NULL;
    enum walrus_code code = begin_removal(log, name, is_topic, &node, error);
    if (code != WALRUS_OK)
        return code;
    struct walrus_topic *topic = node->topic;
    if (topic)
        topic_acquire(topic);

    /* To recovery, the deletion says that the topic's batches with others need it no more: they are durable. */
    bool begun = false;
    if (topic)
        code = topic_settle_batches(topic, true, error);
    if (code == WALRUS_OK)
        code = record_removal(log, node, &begun, error);
    if (topic && !begun)
        topic_stays(topic);

    pthread_mutex_lock(&log->names.lock);
    if (code == WALRUS_OK)
        table_drop(&log->names, node);
    else
        node->leaving = false;
    pthread_mutex_unlock(&log->names.lock);
    if (topic && code == WALRUS_OK)
        topic_wake(topic);
    if (topic)
        topic_release(topic);
    return error_prefix(error, code, "remove %s '%s'", is_topic ? "topic" : "namespace", name);
}

enum walrus_code names_delete_topic(struct walrus_log *log, const char *name, struct walrus_error *error)
{
    return remove_node(log, name, true, error);
}

enum walrus_code names_remove_namespace(struct walrus_log *log, const char *name, struct walrus_error *error)
{
    return remove_node(log, name, false, error);
}

enum walrus_code names_create_namespace(struct walrus_log *log, const char *name,
                                        const struct walrus_attributes *attributes, struct walrus_error *error)
{
    uint64_t ticket = 0;
    struct table_node *parent, *made;
    pthread_mutex_lock(&log->names.lock);
    enum walrus_code code = WALRUS_OK;
    if (table_find(&log->names, name, strlen(name)))
        code = error_set(error, WALRUS_E_EXISTS, 0, "'%s' exists", name);
    if (code == WALRUS_OK)
        code = parent_locked(log, name, false, &parent, error);
    if (code == WALRUS_OK)
        code = make_namespace_locked(log, name, parent, attributes, &ticket, &made, error);
    pthread_mutex_unlock(&log->names.lock);
    return code == WALRUS_OK ? catalog_wait(&log->catalog, ticket, error) : code;
}

enum walrus_code names_set_attributes(struct walrus_log *log, const char *name,
                                      const struct walrus_attributes *attributes, struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;
    uint64_t ticket;
    pthread_mutex_lock(&log->names.lock);
    struct table_node *node = table_find(&log->names, name, strlen(name));
    if (!node) {
        code = error_set(error, WALRUS_E_NOT_FOUND, 0, "no '%s'", name);
    } else {
        struct walrus_attributes *target = node->topic ? &node->topic->attributes : &node->attributes;
        struct walrus_attributes before = *target;
        struct catalog_record record;
        *target = *attributes;
        table_record(node, CATALOG_CHANGED, &record);
        code = catalog_append(&log->catalog, &record, &ticket, error);
        if (code != WALRUS_OK)
            *target = before;
        else if (node->topic)
            topic_raise_catalog_ticket(node->topic, ticket); /* fsync of the topic covers it */
    }
    pthread_mutex_unlock(&log->names.lock);
    return code;
}

static void describe(const struct table_node *node, bool whole_name, struct walrus_node *out)
{
    out->kind = node->topic ? WALRUS_NODE_TOPIC : WALRUS_NODE_NAMESPACE;
    out->id = node->id;
    out->name = whole_name ? node->name : node->name + node->last_component;
    out->attributes = node->topic ? node->topic->attributes : node->attributes;
    out->created_ns = node->topic ? node->topic->created_ns : node->created_ns;
}

enum walrus_code names_lookup(struct walrus_log *log, const char *name, struct walrus_node *out,
                              struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;
    pthread_mutex_lock(&log->names.lock);
    struct table_node *node = table_find(&log->names, name, strlen(name));
    if (node) {
        describe(node, false, out);
        out->name = NULL;
    } else {
        code = error_set(error, WALRUS_E_NOT_FOUND, 0, "no '%s'", name);
    }
    pthread_mutex_unlock(&log->names.lock);
    return code;
}

struct snapshot {
    struct walrus_node *nodes;
    size_t count;
    size_t capacity;
};

static bool snapshot_add(struct snapshot *snapshot, const struct table_node *node, bool whole_name)
{
    if (snapshot->count == snapshot->capacity) {
        size_t capacity = snapshot->capacity ? snapshot->capacity * 2 : 64;
        struct walrus_node *grown = realloc(snapshot->nodes, capacity * sizeof(*grown));
        if (!grown)
            return false;
        snapshot->nodes = grown;
        snapshot->capacity = capacity;
    }
    struct walrus_node *added = &snapshot->nodes[snapshot->count];
    describe(node, whole_name, added);
    added->name = strdup(added->name);
    if (!added->name)
        return false;
    snapshot->count++;
    return true;
}

static enum walrus_code snapshot_locked(struct walrus_log *log, const char *name_space, struct snapshot *snapshot,
                                        struct walrus_error *error)
{
    struct table_node *node, *next;
    bool room = true;
    if (!name_space) {
        HASH_ITER(hh, log->names.nodes, node, next)
        {
            room = room && (!node->topic || snapshot_add(snapshot, node, true));
        }
        return room ? WALRUS_OK : no_memory(error);
    }
    struct table_node *parent = table_find(&log->names, name_space, strlen(name_space));
    if (!parent)
        return error_set(error, WALRUS_E_NOT_FOUND, 0, "no namespace '%s'", name_space);
    if (parent->topic)
        return error_set(error, WALRUS_E_NOT_NAMESPACE, 0, "'%s' is a topic, not a namespace", name_space);
    DL_FOREACH(parent->children, node)
    {
        room = room && snapshot_add(snapshot, node, false);
    }
    return room ? WALRUS_OK : no_memory(error);
}

enum walrus_code names_list(struct walrus_log *log, const char *name_space,
                            int (*visit)(const struct walrus_node *node, void *context), void *context,
                            struct walrus_error *error)
{
    struct snapshot snapshot = {0};
    pthread_mutex_lock(&log->names.lock);
    enum walrus_code code = snapshot_locked(log, name_space, &snapshot, error);
    pthread_mutex_unlock(&log->names.lock);
    bool on = code == WALRUS_OK;
    for (size_t i = 0; i < snapshot.count; i++) {
        on = on && visit(&snapshot.nodes[i], context) == 0;
        free((char *)(uintptr_t)snapshot.nodes[i].name);
    }
    free(snapshot.nodes);
    return code;
}

enum walrus_code topic_table_each(struct topic_table *table,
                                  enum walrus_code (*visit)(struct walrus_topic *topic, void *context,
                                                            struct walrus_error *error),
                                  void *context, struct walrus_error *error)
{
    struct table_node *node, *next;
    size_t count = 0;
    pthread_mutex_lock(&table->lock);
    struct walrus_topic **topics = malloc((table->topic_count + 1) * sizeof(struct walrus_topic *));
    if (topics) {
        HASH_ITER(hh, table->nodes, node, next)
        {
            if (node->topic) {
                topic_acquire(node->topic);
                topics[count++] = node->topic;
            }
        }
    }
    pthread_mutex_unlock(&table->lock);
    if (!topics)
        return no_memory(error);
    enum walrus_code code = WALRUS_OK;
    for (size_t i = 0; i < count; i++) {
        if (code == WALRUS_OK)
            code = visit(topics[i], context, error);
        topic_release(topics[i]);
    }
    free(topics);
    return code;
}
