/* api_names.c - topics and namespaces by name. */
#include <walrus/walrus.h>

#include <string.h>

#include "api/api_check.h"
#include "base/error.h"
#include "store/head.h"
#include "store/log.h"
#include "store/sync.h"
#include "store/topic_faults.h"

bool walrus_name_is_valid(const char *name)
{
    return name && name_check(name) == NAME_OK;
}

enum walrus_code walrus_lookup(struct walrus_log *log, const char *name, struct walrus_node *node,
                               struct walrus_error *error)
{
    if (!name || !node)
        return error_set(error, WALRUS_E_INVALID, 0, "no name given");
    return names_lookup(log, name, node, error);
}

enum walrus_code walrus_list(struct walrus_log *log, const char *name_space,
                             int (*visit)(const struct walrus_node *node, void *context), void *context,
                             struct walrus_error *error)
{
    if (!name_space || !visit)
        return error_set(error, WALRUS_E_INVALID, 0, "no namespace given");
    return names_list(log, name_space, visit, context, error);
}

enum walrus_code walrus_list_topics(struct walrus_log *log, int (*visit)(const struct walrus_node *node, void *context),
                                    void *context, struct walrus_error *error)
{
    if (!visit)
        return error_set(error, WALRUS_E_INVALID, 0, "no visitor given");
    return names_list(log, NULL, visit, context, error);
}

enum walrus_code walrus_namespace_create(struct walrus_log *log, const char *name,
                                         const struct walrus_attributes *attributes, struct walrus_error *error)
{
    enum walrus_code code = api_check_name(name, error);
    return code == WALRUS_OK ? names_create_namespace(log, name, attributes, error) : code;
}

enum walrus_code walrus_namespace_remove(struct walrus_log *log, const char *name, struct walrus_error *error)
{
    enum walrus_code code = api_check_name(name, error);
    return code == WALRUS_OK ? names_remove_namespace(log, name, error) : code;
}

enum walrus_code walrus_set_attributes(struct walrus_log *log, const char *name,
                                       const struct walrus_attributes *attributes, struct walrus_error *error)
{
    if (!name || !attributes)
        return error_set(error, WALRUS_E_INVALID, 0, "no name or no attributes given");
    return names_set_attributes(log, name, attributes, error);
}

#define ALL_SETTINGS ((unsigned)(WALRUS_SET_SYNC | WALRUS_SET_RETENTION | WALRUS_SET_FRAMING))

static enum walrus_code check_settings(const struct walrus_topic_settings *settings, unsigned which,
                                       struct walrus_error *error)
{
    enum walrus_code code = WALRUS_OK;
    if ((which & WALRUS_SET_FRAMING) && settings->framing > WALRUS_FRAMING_NUL)
        code = error_set(error, WALRUS_E_INVALID, 0, "framing out of range");
    if (code == WALRUS_OK && (which & WALRUS_SET_SYNC))
        code = api_check_sync(&settings->sync, true, error);
    if (code == WALRUS_OK && (which & WALRUS_SET_RETENTION))
        code = api_check_retention(&settings->retention, true, error);
    return code;
}

enum walrus_code walrus_topic_open(struct walrus_log *log, const char *name, unsigned flags,
                                   const struct walrus_topic_settings *settings, struct walrus_topic **topic,
                                   struct walrus_error *error)
{
    enum walrus_code code = api_check_name(name, error);
    if (code == WALRUS_OK && settings)
        code = check_settings(settings, ALL_SETTINGS, error);
    return code == WALRUS_OK ? names_open_topic(log, name, flags, settings, topic, error) : code;
}

enum walrus_code walrus_topic_configure(struct walrus_topic *topic, const struct walrus_topic_settings *settings,
                                        unsigned which, struct walrus_error *error)
{
    if (!settings || (which & ~ALL_SETTINGS) != 0)
        return error_set(error, WALRUS_E_INVALID, 0, "no settings given, or some that are not known");
    enum walrus_code code = check_settings(settings, which, error);
    return code == WALRUS_OK && which != 0 ? topic_configure(topic, settings, which, error) : code;
}

void walrus_topic_close(struct walrus_topic *topic)
{
    if (topic)
        topic_release(topic);
}

enum walrus_code walrus_topic_delete(struct walrus_log *log, const char *name, struct walrus_error *error)
{
    enum walrus_code code = api_check_name(name, error);
    return code == WALRUS_OK ? names_delete_topic(log, name, error) : code;
}

enum walrus_code walrus_topic_info(struct walrus_topic *topic, struct walrus_topic_info *info,
                                   struct walrus_error *error)
{
    (void)error;
    *info = (struct walrus_topic_info){
        .id = topic->id,
        .deleted = atomic_load(&topic->deleted),
        .refuses_appends = atomic_load(&topic->refuses),
        .created_ns = topic->created_ns,
    };
    info->settings.sync = topic_sync_policy(topic);
    info->sync_inherited = topic_own_sync(topic).mode == WALRUS_SYNC_INHERIT;
    pthread_mutex_lock(&topic->log->names.lock);
    info->settings.framing = topic->framing;
    info->settings.attributes = topic->attributes;
    info->settings.retention = topic->retention;
    pthread_mutex_unlock(&topic->log->names.lock);
    info->retention_inherited = info->settings.retention.mode == WALRUS_RETAIN_INHERIT;
    if (info->retention_inherited)
        info->settings.retention = topic->log->options.retention;
    pthread_mutex_lock(&topic->lock);
    info->first_sequence = topic->first_sequence;
    info->first_offset = topic->first_offset;
    info->next_sequence = topic->visible_sequence;
    info->next_offset = topic->visible_offset;
    info->durable_sequence = topic_durable_sequence_locked(topic);
    info->appended_ns = topic->visible_ns;
    info->block_count = topic->block_count;
    info->block_bytes = topic->block_bytes;
    topic_faults_fill_locked(topic, info);
    pthread_mutex_unlock(&topic->lock);
    if (info->durable_sequence > info->next_sequence)
        info->durable_sequence = info->next_sequence;
    return WALRUS_OK;
}

const char *walrus_topic_name(const struct walrus_topic *topic)
{
    return topic->name;
}

enum walrus_code walrus_topic_trim(struct walrus_topic *topic, uint64_t sequence, struct walrus_error *error)
{
    struct walrus_error own;
    error = error ? error : &own;
    return topic_note_fault(topic, topic_trim(topic, sequence, error), error);
}

enum walrus_code walrus_topic_sync(struct walrus_topic *topic, struct walrus_error *error)
{
    struct walrus_error own;
    error = error ? error : &own;
    return topic_note_fault(topic, topic_sync_all(topic, error), error);
}
