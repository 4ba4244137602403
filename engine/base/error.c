#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int system_errno;
} codes[] = {
    [WALRUS_OK] = {"ok", 0},
    [WALRUS_E_INVALID] = {"invalid", EINVAL},
    [WALRUS_E_BUSY] = {"busy", EBUSY},
    [WALRUS_E_WOULD_BLOCK] = {"would block", EAGAIN},
    [WALRUS_E_NOT_FOUND] = {"not found", ENOENT},
    [WALRUS_E_EXISTS] = {"exists", EEXIST},
    [WALRUS_E_NOT_TOPIC] = {"not a topic", EISDIR},
    [WALRUS_E_NOT_NAMESPACE] = {"not a namespace", ENOTDIR},
    [WALRUS_E_NOT_EMPTY] = {"not empty", ENOTEMPTY},
    [WALRUS_E_TOO_MANY] = {"too many", E2BIG},
    [WALRUS_E_TOO_LARGE] = {"too large", EMSGSIZE},
    [WALRUS_E_NAME_TOO_LONG] = {"name too long", ENAMETOOLONG},
    [WALRUS_E_RANGE] = {"out of range", ERANGE},
    [WALRUS_E_NO_MEMORY] = {"no memory", ENOMEM},
    [WALRUS_E_NO_SPACE] = {"no space", ENOSPC},
    [WALRUS_E_IO] = {"i/o error", EIO},
    [WALRUS_E_DAMAGED] = {"damaged", EBADMSG},
    [WALRUS_E_VERSION] = {"unknown version", EPROTONOSUPPORT},
    [WALRUS_E_REFUSED] = {"refused", EIO},
    [WALRUS_E_DELETED] = {"deleted", ESTALE},
    [WALRUS_E_READ_ONLY] = {"read-only", EROFS},
    [WALRUS_E_PERMISSION] = {"permission denied", EACCES},
    [WALRUS_E_TIMED_OUT] = {"timed out", ETIMEDOUT},
};

const char *error_code_name(enum walrus_code code)
{
    if ((size_t)code >= sizeof(codes) / sizeof(codes[0]))
        return "unknown";
    return codes[code].name;
}

static void fill(struct walrus_error *error, enum walrus_code code, int system_errno)
{
    error->code = code;
    error->system_errno = system_errno ? system_errno : codes[code].system_errno;
    error->segment = WALRUS_NOWHERE;
    error->segment_offset = WALRUS_NOWHERE;
    error->sequence = WALRUS_NOWHERE;
}

enum walrus_code error_set(struct walrus_error *error, enum walrus_code code, int system_errno, const char *format, ...)
{
    if (error) {
        va_list args;
        fill(error, code, system_errno);
        va_start(args, format);
        vsnprintf(error->message, sizeof(error->message), format, args);
        va_end(args);
    }
    return code;
}

static enum walrus_code code_of_errno(int system_errno)
{
    switch (system_errno) {
    case ENOMEM:
        return WALRUS_E_NO_MEMORY;
    case ENOSPC:
    case EDQUOT:
        return WALRUS_E_NO_SPACE;
    case EACCES:
    case EPERM:
        return WALRUS_E_PERMISSION;
    case EROFS:
        return WALRUS_E_READ_ONLY;
    default:
        return WALRUS_E_IO;
    }
}

enum walrus_code error_system(struct walrus_error *error, int system_errno, const char *format, ...)
{
    if (system_errno < 0)
        system_errno = -system_errno;
    enum walrus_code code = code_of_errno(system_errno);
    if (error) {
        va_list args;
        fill(error, code, system_errno);
        va_start(args, format);
        int used = vsnprintf(error->message, sizeof(error->message), format, args);
        va_end(args);
        if (used >= 0 && (size_t)used < sizeof(error->message)) {
            char text[100];
            /* The GNU form: thread-safe, and may return a constant instead of filling the buffer. */
            snprintf(error->message + used, sizeof(error->message) - (size_t)used, ": %s",
                     strerror_r(system_errno, text, sizeof(text)));
        }
    }
    return code;
}

enum walrus_code error_prefix(struct walrus_error *error, enum walrus_code code, const char *format, ...)
{
    if (error && code != WALRUS_OK) {
        char inner[sizeof(error->message)];
        memcpy(inner, error->message, sizeof(inner));
        va_list args;
        va_start(args, format);
        int used = vsnprintf(error->message, sizeof(error->message), format, args);
        va_end(args);
        if (used >= 0 && (size_t)used < sizeof(error->message))
            snprintf(error->message + used, sizeof(error->message) - (size_t)used, ": %s", inner);
    }
    return code;
}

void error_place(struct walrus_error *error, uint64_t segment, uint64_t segment_offset, uint64_t sequence)
{
    if (!error)
        return;
    error->segment = segment;
    error->segment_offset = segment_offset;
    error->sequence = sequence;
}
