/* table_node.h - a name in the tree; shared by topic_table.c and names.c. All calls need the names lock. */
#ifndef WALRUS_STORE_TABLE_NODE_H
#define WALRUS_STORE_TABLE_NODE_H

#include <unistd.h>

#include <uthash.h>

#include "format/catalog_record.h"
#include "store/topic_table.h"

struct table_node {
    UT_hash_handle hh;
    struct walrus_topic *topic; /* NULL: a namespace */
    uint64_t id;
    struct walrus_attributes attributes; /* namespaces; a topic has its own */
    uint64_t created_ns;
    struct table_node *children;
    struct table_node *prev, *next; /* among the parent's children */
    size_t last_component;          /* where it begins in the name */
    bool insert_failed;
    bool leaving; /* a removal is being made durable */
    char name[];
};

struct table_node *table_node_create(const char *name, struct walrus_topic *topic);
struct table_node *table_find(struct topic_table *table, const char *name, size_t size);
struct table_node *table_parent(struct topic_table *table, const struct table_node *node);
/* False when out of memory. */
bool table_add(struct topic_table *table, struct table_node *parent, struct table_node *node);
/* Takes the node out and frees it; a topic counts as deleted. */
void table_drop(struct topic_table *table, struct table_node *node);
void table_record(const struct table_node *node, enum catalog_record_type type, struct catalog_record *record);

#endif
