/*
 * group_table.h - the groups of a log: names, each with an id and perhaps a read consistency of its own.
 *
 * A group is on record in the catalogue, durably, before anybody may consume through it; its deletion is durable before
 * the slot of any of its cursors is used again. So a cursor that a crash leaves without its group is one of a deleted
 * group: its slot is free. The group "default" has the id 0 and is on record only when it has a consistency of its own.
 */
#ifndef WALRUS_STORE_GROUP_TABLE_H
#define WALRUS_STORE_GROUP_TABLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include <walrus/walrus.h>

#include "format/catalog_record.h"

struct catalog;

#define DEFAULT_GROUP_ID UINT64_C(0)
#define DEFAULT_GROUP_NAME "default"

struct group {
    uint64_t id;
    uint64_t created_ns;
    _Atomic uint32_t references;  /* the table's, and one for each cursor */
    _Atomic uint64_t consistency; /* of its own: group_own_consistency(); changed under the table's lock */
    _Atomic bool deleted;
    /* lock of the table */
    UT_hash_handle by_name;
    UT_hash_handle by_id;
    bool insert_failed;
    bool pending; /* its record is being made durable: it is not there yet, or not any more */
    char name[];
};

struct group_table {
    pthread_mutex_t lock; /* the "groups lock" */
    /* lock */
    struct group *names;
    struct group *ids;
    uint64_t count;
};

/* Makes the group "default". */
enum walrus_code group_table_init(struct group_table *table, struct walrus_error *error);
void group_table_fini(struct group_table *table);

/* For recovery: what a record of the catalogue says. *dead counts records that say nothing any more; *odd is set when
 * the record cannot be. */
enum walrus_code group_table_take_record(struct group_table *table, const struct catalog_record *record, uint64_t *dead,
                                         bool *odd, struct walrus_error *error);
/* Writes a record for every group that needs one; raises *highest_id to the ids written. */
enum walrus_code group_table_emit(struct group_table *table, struct catalog *into, uint64_t *highest_id,
                                  struct walrus_error *error);

/* A reference to the group with this name or id, or NULL. */
struct group *group_table_find(struct group_table *table, const char *name);
struct group *group_table_find_id(struct group_table *table, uint64_t id);
void group_acquire(struct group *group);
void group_release(struct group *group);

/* False: it has none of its own. */
bool group_own_consistency(const struct group *group, struct walrus_consistency *consistency);

/* The calls of walrus_consume.h, arguments checked. */
enum walrus_code groups_create(struct walrus_log *log, const char *name, const struct walrus_consistency *consistency,
                               struct walrus_error *error);
enum walrus_code groups_configure(struct walrus_log *log, const char *name,
                                  const struct walrus_consistency *consistency, struct walrus_error *error);
enum walrus_code groups_delete(struct walrus_log *log, const char *name, struct walrus_error *error);
enum walrus_code groups_find(struct walrus_log *log, const char *name, struct walrus_group_info *info,
                             struct walrus_error *error);
enum walrus_code groups_list(struct walrus_log *log, int (*visit)(const struct walrus_group_info *group, void *context),
                             void *context, struct walrus_error *error);

#endif
