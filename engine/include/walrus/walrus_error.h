/*
 * walrus_error.h - how every call of the library reports failure.
 *
 * A call returns an enum walrus_code, WALRUS_OK (0) or the reason, and, when the caller passed a struct walrus_error,
 * fills it whole on failure and leaves it untouched on success. Nothing is kept in a shared "last error".
 */
#ifndef WALRUS_ERROR_H
#define WALRUS_ERROR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum walrus_code {
    WALRUS_OK = 0,
    WALRUS_E_INVALID,       /* an argument is outside its contract; nothing was done                        EINVAL */
    WALRUS_E_BUSY,          /* another opener holds the log; the message names it                           EBUSY */
    WALRUS_E_WOULD_BLOCK,   /* WALRUS_NONBLOCK was given and the call would have waited; nothing was done   EAGAIN */
    WALRUS_E_NOT_FOUND,     /* no such log, topic, namespace or group                                       ENOENT */
    WALRUS_E_EXISTS,        /* the name is taken                                                            EEXIST */
    WALRUS_E_NOT_TOPIC,     /* the name is a namespace where a topic is needed                              EISDIR */
    WALRUS_E_NOT_NAMESPACE, /* the name is a topic where a namespace is needed                            ENOTDIR */
    WALRUS_E_NOT_EMPTY,     /* the namespace still has topics or namespaces                                 ENOTEMPTY */
    WALRUS_E_TOO_MANY,      /* more entries than a batch may have; nothing was written                      E2BIG */
    WALRUS_E_TOO_LARGE, /* an entry or a batch over its limit in bytes; nothing was written             EMSGSIZE, EFBIG
                         */
    WALRUS_E_NAME_TOO_LONG, /* a name over its limit                                                      ENAMETOOLONG
                             */
    WALRUS_E_RANGE,         /* a position outside the retained range                                        ERANGE */
    WALRUS_E_NO_MEMORY,     /*                                                                              ENOMEM */
    WALRUS_E_NO_SPACE, /* disk full or over quota; nothing acknowledged is lost                        ENOSPC, EDQUOT */
    WALRUS_E_IO,       /* the system reported an error; system_errno says which                        EIO, ... */
    WALRUS_E_DAMAGED,  /* bytes on disk are not what was written; the message says where               EBADMSG */
    WALRUS_E_VERSION, /* a format version or an incompatible feature this library does not know       EPROTONOSUPPORT */
    WALRUS_E_REFUSED, /* an earlier sync failed: the topic takes no appends until the log is reopened EIO */
    WALRUS_E_DELETED, /* the topic was deleted while this handle was open                             ESTALE */
    WALRUS_E_READ_ONLY,  /* the log was opened read-only                                                 EROFS */
    WALRUS_E_PERMISSION, /* the system refused access                                                    EACCES, EPERM
                          */
    WALRUS_E_TIMED_OUT   /* the time given to wait is over; nothing was done                             ETIMEDOUT */
};

/* Where in the files something was found; fields that do not apply hold WALRUS_NOWHERE. */
#define WALRUS_NOWHERE UINT64_MAX

struct walrus_error {
    enum walrus_code code;
    int system_errno;        /* never 0 on failure: the errno that fits best when no system call failed */
    uint64_t segment;        /* id of the segment file */
    uint64_t segment_offset; /* byte in that file */
    uint64_t sequence;       /* entry concerned */
    char message[400];       /* one line, no newline, outermost context first: "append to 'a': write segment 7: ..." */
};

/* Short constant name of a code, for example "damaged". Never NULL; thread-safe. */
const char *walrus_code_name(enum walrus_code code);

#ifdef __cplusplus
}
#endif
#endif
