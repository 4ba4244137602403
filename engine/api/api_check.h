/* api_check.h - argument checks that several calls share. */
#ifndef WALRUS_API_API_CHECK_H
#define WALRUS_API_API_CHECK_H

#include "base/error.h"
#include "format/name.h"

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

#endif
