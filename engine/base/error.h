/*
 * error.h - filling a caller's struct walrus_error. `error` may be NULL everywhere: only the code is returned then.
 */
#ifndef WALRUS_BASE_ERROR_H
#define WALRUS_BASE_ERROR_H

#include <walrus/walrus_error.h>

/* walrus_code_name() */
const char *error_code_name(enum walrus_code code);

/* Sets everything and returns `code`. system_errno 0 picks the errno that walrus_error.h names for the code. */
__attribute__((format(printf, 4, 5))) enum walrus_code error_set(struct walrus_error *error, enum walrus_code code,
                                                                 int system_errno, const char *format, ...);

/* From the errno (positive or negated) of a failed system call: picks the code, appends the errno's text. */
__attribute__((format(printf, 3, 4))) enum walrus_code error_system(struct walrus_error *error, int system_errno,
                                                                    const char *format, ...);

/* Puts "prefix: " before the message, as an error travels outwards, and returns `code` unchanged. */
__attribute__((format(printf, 3, 4))) enum walrus_code error_prefix(struct walrus_error *error, enum walrus_code code,
                                                                    const char *format, ...);

/* Says where; WALRUS_NOWHERE for what is unknown. */
void error_place(struct walrus_error *error, uint64_t segment, uint64_t segment_offset, uint64_t sequence);

#endif
