/*
 * topic_table.h - the names of a log: a tree of namespaces with topics in them.
 */
#ifndef WALRUS_STORE_TOPIC_TABLE_H
#define WALRUS_STORE_TOPIC_TABLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <walrus/walrus.h>

#include "store/topic.h"

struct table_node;
struct catalog;

struct topic_table {
    pthread_mutex_t lock; /* the "names lock" */
    /* lock */
    struct table_node *nodes; /* hash by whole name; "" is the root */
    uint64_t topic_count;
    uint64_t namespace_count; /* the root apart */
    uint64_t next_id;
    bool has_unrecorded; /* recovery met or made a name that the catalogue lacks */
};

/* Makes the root. */
enum walrus_code topic_table_init(struct topic_table *table, struct walrus_error *error);
/* Releases the table's topics. */
void topic_table_fini(struct topic_table *table);

#define ROOT_NODE_ID UINT64_C(1)

/* For recovery, before other threads exist: puts a node in without a catalogue record; missing parents are made (their
 * ids are new). Takes over the topic's reference. *added is false when the name is taken. */
enum walrus_code topic_table_insert_topic(struct topic_table *table, struct walrus_topic *topic, bool *added,
                                          struct walrus_error *error);
enum walrus_code topic_table_insert_namespace(struct topic_table *table, const char *name, uint64_t id,
                                              const struct walrus_attributes *attributes, uint64_t created_ns,
                                              bool *added, struct walrus_error *error);
void topic_table_set_root(struct topic_table *table, const struct walrus_attributes *attributes);
/* Writes a record for every node, parents first. highest_id: that was written so far, of things that are no nodes. */
enum walrus_code topic_table_emit(struct topic_table *table, struct catalog *into, uint64_t highest_id,
                                  struct walrus_error *error);

/* The calls of walrus.h, arguments checked. */
enum walrus_code names_open_topic(struct walrus_log *log, const char *name, unsigned flags,
                                  const struct walrus_topic_settings *settings, struct walrus_topic **topic,
                                  struct walrus_error *error);
enum walrus_code names_delete_topic(struct walrus_log *log, const char *name, struct walrus_error *error);
enum walrus_code names_create_namespace(struct walrus_log *log, const char *name,
                                        const struct walrus_attributes *attributes, struct walrus_error *error);
enum walrus_code names_remove_namespace(struct walrus_log *log, const char *name, struct walrus_error *error);
enum walrus_code names_set_attributes(struct walrus_log *log, const char *name,
                                      const struct walrus_attributes *attributes, struct walrus_error *error);
enum walrus_code names_lookup(struct walrus_log *log, const char *name, struct walrus_node *node,
                              struct walrus_error *error);
/* name_space NULL: every topic at any depth, with its whole name. */
enum walrus_code names_list(struct walrus_log *log, const char *name_space,
                            int (*visit)(const struct walrus_node *node, void *context), void *context,
                            struct walrus_error *error);

/* Calls visit for every topic with a reference held and no lock. Ends at the first failure. */
enum walrus_code topic_table_each(struct topic_table *table,
                                  enum walrus_code (*visit)(struct walrus_topic *topic, void *context,
                                                            struct walrus_error *error),
                                  void *context, struct walrus_error *error);

#endif
