/*
 * json.h - what the mount writes of JSON: strings, and bytes that are none. Knows nothing of FUSE.
 */
#ifndef WALRUSFS_JSON_H
#define WALRUSFS_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "text.h"

/* Well-formed UTF-8, which a JSON string can hold whatever it says. */
bool json_is_text(const void *bytes, size_t length);

/* Adds the inside of a JSON string: escaped, without the quotes. What is added in parts must be UTF-8 as a whole. */
void json_add_escaped(struct text *text, const void *bytes, size_t length);

/* Adds base64. All parts of one value but the last must be a multiple of 3 bytes long. */
void json_add_base64(struct text *text, const void *bytes, size_t length);

/* Adds a name as a string with its quotes; what is not UTF-8 in it stands as \xHH. */
void json_add_name(struct text *text, const char *name);

#endif
