/* api_groups.c - consumer groups by name. */
#include <walrus/walrus.h>

#include <string.h>

#include "api/api_check.h"
#include "base/error.h"
#include "store/group_table.h"

static enum walrus_code check_name(const char *group, struct walrus_error *error)
{
    if (!group)
        return error_set(error, WALRUS_E_INVALID, 0, "no group given");
    switch (name_check_component(group, strlen(group))) {
    case NAME_OK:
        return WALRUS_OK;
    case NAME_TOO_LONG:
        return error_set(error, WALRUS_E_NAME_TOO_LONG, 0, "the group's name '%.40s...' is too long", group);
    default:
        return error_set(error, WALRUS_E_INVALID, 0,
                         "'%s' is not a valid name of a group (no '/', control characters, leading '.' or '@')", group);
    }
}

static enum walrus_code check(const char *group, const struct walrus_consistency *consistency,
                              struct walrus_error *error)
{
    enum walrus_code code = check_name(group, error);
    return code == WALRUS_OK && consistency ? api_check_consistency(consistency, error) : code;
}

enum walrus_code walrus_group_create(struct walrus_log *log, const char *group,
                                     const struct walrus_consistency *consistency, struct walrus_error *error)
{
    enum walrus_code code = check(group, consistency, error);
    return code == WALRUS_OK ? groups_create(log, group, consistency, error) : code;
}

enum walrus_code walrus_group_configure(struct walrus_log *log, const char *group,
                                        const struct walrus_consistency *consistency, struct walrus_error *error)
{
    enum walrus_code code = check(group, consistency, error);
    return code == WALRUS_OK ? groups_configure(log, group, consistency, error) : code;
}

enum walrus_code walrus_group_delete(struct walrus_log *log, const char *group, struct walrus_error *error)
{
    enum walrus_code code = check_name(group, error);
    if (code == WALRUS_OK && strcmp(group, DEFAULT_GROUP_NAME) == 0)
        return error_set(error, WALRUS_E_INVALID, 0, "the group '%s' is always there: delete its cursors instead",
                         DEFAULT_GROUP_NAME);
    return code == WALRUS_OK ? groups_delete(log, group, error) : code;
}

enum walrus_code walrus_group_find(struct walrus_log *log, const char *group, struct walrus_group_info *info,
                                   struct walrus_error *error)
{
    enum walrus_code code = check_name(group, error);
    return code == WALRUS_OK ? groups_find(log, group, info, error) : code;
}

enum walrus_code walrus_group_list(struct walrus_log *log,
                                   int (*visit)(const struct walrus_group_info *group, void *context), void *context,
                                   struct walrus_error *error)
{
    if (!visit)
        return error_set(error, WALRUS_E_INVALID, 0, "no visitor given");
    return groups_list(log, visit, context, error);
}
