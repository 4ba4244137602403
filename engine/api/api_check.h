/* api_check.h - argument checks that several calls share. */
#ifndef WALRUS_API_API_CHECK_H
#define WALRUS_API_API_CHECK_H

#include <walrus/walrus.h>

#include "base/error.h"
#include "format/name.h"

/* What walrus_open() asks of its options (api_log.c). */
enum walrus_code api_check_options(const struct walrus_options *options, struct walrus_error *error);

static inline enum walrus_code api_check_name(const char *name, struct walrus_error *error)
{
    if (!name)
        return error_set(error, WALRUS_E_INVALID, 0, "no name given");
    switch (name_check(name)) {
    case NAME_OK:
        return WALRUS_OK;
    case NAME_TOO_LONG:
        return error_set(error, WALRUS_E_NAME_TOO_LONG, 0, "name '%.40s...' is too long", name);
    default:
        return error_set(error, WALRUS_E_INVALID, 0,
                         "'%s' is not a valid name (components without '/', control characters, leading '.' or '@')",
                         name);
    }
}

static inline enum walrus_code api_check_sync(const struct walrus_sync_policy *sync, bool may_inherit,
                                              struct walrus_error *error)
{
    if (sync->mode > WALRUS_SYNC_NONE || (sync->mode == WALRUS_SYNC_INHERIT && !may_inherit) ||
        (sync->mode == WALRUS_SYNC_EVERY && (sync->interval_ms == 0 || sync->interval_ms > 3600000)))
        return error_set(error, WALRUS_E_INVALID, 0, "sync policy out of range");
    return WALRUS_OK;
}

static inline enum walrus_code api_check_retention(const struct walrus_retention *retention, bool may_inherit,
                                                   struct walrus_error *error)
{
    bool limited = retention->mode == WALRUS_RETAIN_BYTES || retention->mode == WALRUS_RETAIN_AGE;
    if (retention->mode > WALRUS_RETAIN_AGE || (retention->mode == WALRUS_RETAIN_INHERIT && !may_inherit) ||
        (limited && retention->limit == 0))
        return error_set(error, WALRUS_E_INVALID, 0, "retention out of range");
    return WALRUS_OK;
}

static inline enum walrus_code api_check_consistency(const struct walrus_consistency *consistency,
                                                     struct walrus_error *error)
{
    if (consistency->mode > WALRUS_AT_LEAST_ONCE ||
        (consistency->mode == WALRUS_AT_LEAST_ONCE && consistency->interval_entries == 0))
        return error_set(error, WALRUS_E_INVALID, 0, "read consistency out of range");
    return WALRUS_OK;
}

#endif
