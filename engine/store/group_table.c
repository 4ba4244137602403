#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) ((element)->insert_failed = true)
#include "store/group_table.h"

#include "base/clock.h"
#include "base/error.h"
#include "format/name.h"
#include "store/group_cursor.h"
#include "store/log.h"
#include "store/sabotage.h"

static enum walrus_code no_memory(struct walrus_error *error)
{
    return error_set(error, WALRUS_E_NO_MEMORY, 0, "groups: out of memory");
}

/* ---- consistency: one word, 0 for "the log's" ---- */

static uint64_t pack(const struct walrus_consistency *consistency)
{
    return consistency ? (uint64_t)(consistency->mode + 1) << 32 | consistency->interval_entries : 0;
}

static struct walrus_consistency unpack(uint64_t word)
{
    return (struct walrus_consistency){.mode = (enum walrus_consistency_mode)((word >> 32) - 1),
                                       .interval_entries = (uint32_t)word};
}

bool group_own_consistency(const struct group *group, struct walrus_consistency *consistency)
{
    uint64_t word = atomic_load_explicit(&group->consistency, memory_order_relaxed);
    if (word == 0)
        return false;
    *consistency = unpack(word);
    return true;
}

/* What a newer version wrote and this one does not know is as if it was never set. */
static uint64_t consistency_of_record(const struct catalog_record *record)
{
    switch (record->consistency_mode) {
    case 1:
        return pack(&(struct walrus_consistency){.mode = WALRUS_STRICTLY_AT_ONCE});
    case 2:
        return record->consistency_interval == 0
                   ? 0
                   : pack(&(struct walrus_consistency){WALRUS_AT_LEAST_ONCE, record->consistency_interval});
    default:
        return 0;
    }
}

static void record_of_group(const struct group *group, enum catalog_record_type type, struct catalog_record *record)
{
    struct walrus_consistency own;
    *record = (struct catalog_record){.type = type, .node_id = group->id, .time_ns = group->created_ns};
    if (group_own_consistency(group, &own)) {
        record->consistency_mode = (uint8_t)(own.mode + 1);
        record->consistency_interval = own.interval_entries;
    }
    if (type == CATALOG_GROUP_CREATED)
        memcpy(record->name, group->name, strlen(group->name) + 1);
}

/* ---- the table ---- */

void group_acquire(struct group *group)
{
    atomic_fetch_add(&group->references, 1);
}

void group_release(struct group *group)
{
    if (atomic_fetch_sub(&group->references, 1) == 1)
        free(group);
}

static void drop_locked(struct group_table *table, struct group *group)
{
    HASH_DELETE(by_name, table->names, group);
    HASH_DELETE(by_id, table->ids, group);
    table->count--;
    group_release(group);
}

static struct group *add_locked(struct group_table *table, const char *name, uint64_t id)
{
    size_t size = strlen(name) + 1;
    struct group *group = calloc(1, sizeof(*group) + size);
    if (!group)
        return NULL;
    memcpy(group->name, name, size);
    group->id = id;
    group->created_ns = clock_realtime_ns();
    atomic_init(&group->references, 1);
    HASH_ADD_KEYPTR(by_name, table->names, group->name, size - 1, group);
    if (!group->insert_failed)
        HASH_ADD(by_id, table->ids, id, sizeof(group->id), group);
    else {
        free(group);
        return NULL;
    }
    if (group->insert_failed) {
        HASH_DELETE(by_name, table->names, group);
        free(group);
        return NULL;
    }
    table->count++;
    return group;
}

static struct group *find_locked(struct group_table *table, const char *name)
{
    struct group *group;
    HASH_FIND(by_name, table->names, name, strlen(name), group);
    return group;
}

static struct group *find_id_locked(struct group_table *table, uint64_t id)
{
    struct group *group;
    HASH_FIND(by_id, table->ids, &id, sizeof(id), group);
    return group;
}

enum walrus_code group_table_init(struct group_table *table, struct walrus_error *error)
{
    memset(table, 0, sizeof(*table));
    pthread_mutex_init(&table->lock, NULL);
    struct group *group = add_locked(table, DEFAULT_GROUP_NAME, DEFAULT_GROUP_ID);
    if (!group)
        return no_memory(error);
    group->created_ns = 0; /* with the log */
    return WALRUS_OK;
}

void group_table_fini(struct group_table *table)
{
    struct group *group, *next;
    HASH_ITER(by_id, table->ids, group, next)
    {
        drop_locked(table, group);
    }
    pthread_mutex_destroy(&table->lock);
}

struct group *group_table_find(struct group_table *table, const char *name)
{
    pthread_mutex_lock(&table->lock);
    struct group *group = find_locked(table, name);
    if (group && group->pending)
        group = NULL;
    if (group)
        group_acquire(group);
    pthread_mutex_unlock(&table->lock);
    return group;
}

struct group *group_table_find_id(struct group_table *table, uint64_t id)
{
    pthread_mutex_lock(&table->lock);
    struct group *group = find_id_locked(table, id);
    if (group)
        group_acquire(group);
    pthread_mutex_unlock(&table->lock);
    return group;
}

/* ---- recovery ---- */

static enum walrus_code take_created(struct group_table *table, const struct catalog_record *record, uint64_t *dead,
                                     bool *odd, struct walrus_error *error)
{
    if (name_check_component(record->name, strlen(record->name)) != NAME_OK || record->node_id == DEFAULT_GROUP_ID ||
        strcmp(record->name, DEFAULT_GROUP_NAME) == 0) {
        *odd = true;
        return WALRUS_OK;
    }
    /* A name is free again when its group is deleted: if that record is lost, the later group has the name. */
    struct group *before = find_locked(table, record->name);
    if (!before)
        before = find_id_locked(table, record->node_id);
    if (before && before->id >= record->node_id) {
        *odd = true;
        return WALRUS_OK;
    }
    if (before) {
        *odd = true;
        (*dead)++;
        drop_locked(table, before);
    }
    struct group *group = add_locked(table, record->name, record->node_id);
    if (!group)
        return no_memory(error);
    group->created_ns = record->time_ns;
    atomic_store(&group->consistency, consistency_of_record(record));
    return WALRUS_OK;
}

enum walrus_code group_table_take_record(struct group_table *table, const struct catalog_record *record, uint64_t *dead,
                                         bool *odd, struct walrus_error *error)
{
    struct group *group = find_id_locked(table, record->node_id);
    *odd = false;
    switch (record->type) {
    case CATALOG_GROUP_CREATED:
        return take_created(table, record, dead, odd, error);
    case CATALOG_GROUP_DELETED:
        (*dead) += group ? 2 : 1;
        if (group && group->id != DEFAULT_GROUP_ID)
            drop_locked(table, group);
        return WALRUS_OK;
    default:
        (*dead)++;
        if (group)
            atomic_store(&group->consistency, consistency_of_record(record));
        return WALRUS_OK;
    }
}

enum walrus_code group_table_emit(struct group_table *table, struct catalog *into, uint64_t *highest_id,
                                  struct walrus_error *error)
{
    struct group *group, *next;
    enum walrus_code code = WALRUS_OK;
    HASH_ITER(by_id, table->ids, group, next)
    {
        struct catalog_record record;
        uint64_t ticket;
        bool is_default = group->id == DEFAULT_GROUP_ID;
        if (code != WALRUS_OK || (is_default && atomic_load(&group->consistency) == 0))
            continue;
        record_of_group(group, is_default ? CATALOG_GROUP_CHANGED : CATALOG_GROUP_CREATED, &record);
        *highest_id = group->id > *highest_id ? group->id : *highest_id;
        code = catalog_append(into, &record, &ticket, error);
    }
    return code;
}

/* ---- calls ---- */

static uint64_t new_id(struct walrus_log *log)
{
    pthread_mutex_lock(&log->names.lock);
    uint64_t id = log->names.next_id++;
    pthread_mutex_unlock(&log->names.lock);
    return id;
}

enum walrus_code groups_create(struct walrus_log *log, const char *name, const struct walrus_consistency *consistency,
                               struct walrus_error *error)
{
    struct group_table *table = &log->groups;
    struct catalog_record record;
    uint64_t ticket;
    uint64_t id = new_id(log);
    enum walrus_code code = WALRUS_OK;
    pthread_mutex_lock(&table->lock);
    struct group *group = NULL;
    if (find_locked(table, name))
        code = error_set(error, WALRUS_E_EXISTS, 0, "group '%s' exists", name);
    else if (!(group = add_locked(table, name, id)))
        code = no_memory(error);
    if (code == WALRUS_OK) {
        group->pending = true;
        atomic_store(&group->consistency, pack(consistency));
        record_of_group(group, CATALOG_GROUP_CREATED, &record);
        code = catalog_append(&log->catalog, &record, &ticket, error);
        if (code != WALRUS_OK)
            drop_locked(table, group);
    }
    pthread_mutex_unlock(&table->lock);
    if (code != WALRUS_OK)
        return error_prefix(error, code, "create group '%s'", name);

    code = SABOTAGED(group_unsynced) ? WALRUS_OK : catalog_wait(&log->catalog, ticket, error);

    pthread_mutex_lock(&table->lock);
    group->pending = false;
    if (code != WALRUS_OK)
        drop_locked(table, group);
    pthread_mutex_unlock(&table->lock);
    return error_prefix(error, code, "create group '%s'", name);
}

static enum walrus_code find_for_change_locked(struct group_table *table, const char *name, struct group **group,
                                               struct walrus_error *error)
{
    *group = find_locked(table, name);
    return *group && !(*group)->pending ? WALRUS_OK : error_set(error, WALRUS_E_NOT_FOUND, 0, "no group '%s'", name);
}

enum walrus_code groups_configure(struct walrus_log *log, const char *name,
                                  const struct walrus_consistency *consistency, struct walrus_error *error)
{
    struct group_table *table = &log->groups;
    struct catalog_record record;
    struct group *group;
    uint64_t ticket;
    pthread_mutex_lock(&table->lock);
    enum walrus_code code = find_for_change_locked(table, name, &group, error);
    if (code == WALRUS_OK) {
        uint64_t before = atomic_exchange(&group->consistency, pack(consistency));
        record_of_group(group, CATALOG_GROUP_CHANGED, &record);
        code = catalog_append(&log->catalog, &record, &ticket, error);
        if (code != WALRUS_OK)
            atomic_store(&group->consistency, before);
    }
    pthread_mutex_unlock(&table->lock);
    if (code == WALRUS_OK)
        code = SABOTAGED(group_unsynced) ? WALRUS_OK : catalog_wait(&log->catalog, ticket, error);
    return error_prefix(error, code, "configure group '%s'", name);
}

static enum walrus_code delete_cursor(struct walrus_topic *topic, void *context, struct walrus_error *error)
{
    (void)error;
    group_cursor_forget(topic, context);
    return WALRUS_OK;
}

enum walrus_code groups_delete(struct walrus_log *log, const char *name, struct walrus_error *error)
{
    struct group_table *table = &log->groups;
    struct catalog_record record;
    struct group *group;
    uint64_t ticket;
    pthread_mutex_lock(&table->lock);
    enum walrus_code code = find_for_change_locked(table, name, &group, error);
    if (code == WALRUS_OK) {
        record_of_group(group, CATALOG_GROUP_DELETED, &record);
        record.time_ns = clock_realtime_ns();
        code = catalog_append(&log->catalog, &record, &ticket, error);
    }
    if (code == WALRUS_OK)
        group->pending = true;
    pthread_mutex_unlock(&table->lock);
    if (code != WALRUS_OK)
        return error_prefix(error, code, "delete group '%s'", name);

    code = SABOTAGED(group_unsynced) ? WALRUS_OK : catalog_wait(&log->catalog, ticket, error);

    pthread_mutex_lock(&table->lock);
    group->pending = false;
    if (code == WALRUS_OK) {
        group_acquire(group);
        atomic_store(&group->deleted, true);
        drop_locked(table, group);
    }
    pthread_mutex_unlock(&table->lock);
    if (code != WALRUS_OK)
        return error_prefix(error, code, "delete group '%s'", name);
    /* Cursors on topics that are themselves deleted, and kept by open handles only, go with those. */
    code = topic_table_each(&log->names, delete_cursor, group, error);
    group_release(group);
    return error_prefix(error, code, "delete group '%s'", name);
}

/* ---- listing ---- */

struct snapshot {
    size_t count;
    struct group **groups;
};

static int default_first(const void *a, const void *b)
{
    const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;
    return (x->id > y->id) - (x->id < y->id);
}

static bool take_snapshot(struct group_table *table, struct snapshot *snapshot)
{
    struct group *group, *next;
    pthread_mutex_lock(&table->lock);
    snapshot->groups = calloc(table->count + 1, sizeof(struct group *));
    HASH_ITER(by_id, table->ids, group, next)
    {
        if (snapshot->groups && !group->pending) {
            group_acquire(group);
            snapshot->groups[snapshot->count++] = group;
        }
    }
    pthread_mutex_unlock(&table->lock);
    return snapshot->groups != NULL;
}

static void describe(const struct walrus_log *log, const struct group *group, struct walrus_group_info *info)
{
    *info = (struct walrus_group_info){.id = group->id, .created_ns = group->created_ns};
    info->consistency_inherited = !group_own_consistency(group, &info->consistency);
    if (info->consistency_inherited)
        info->consistency = log->options.consistency;
}

enum walrus_code groups_find(struct walrus_log *log, const char *name, struct walrus_group_info *info,
                             struct walrus_error *error)
{
    struct group *group = group_table_find(&log->groups, name);
    if (!group)
        return error_set(error, WALRUS_E_NOT_FOUND, 0, "there is no group '%s'", name);
    describe(log, group, info);
    group_release(group);
    return WALRUS_OK;
}

enum walrus_code groups_list(struct walrus_log *log, int (*visit)(const struct walrus_group_info *group, void *context),
                             void *context, struct walrus_error *error)
{
    struct snapshot snapshot = {0};
    if (!take_snapshot(&log->groups, &snapshot))
        return no_memory(error);
    qsort(snapshot.groups, snapshot.count, sizeof(struct group *), default_first);
    bool on = true;
    for (size_t i = 0; i < snapshot.count; i++) {
        struct group *group = snapshot.groups[i];
        struct walrus_group_info info;
        describe(log, group, &info);
        info.name = group->name;
        on = on && visit(&info, context) == 0;
        group_release(group);
    }
    free(snapshot.groups);
    return WALRUS_OK;
}
