/* name.h - which names topics, namespaces and instance keys may have. */
#ifndef WALRUS_FORMAT_NAME_H
#define WALRUS_FORMAT_NAME_H

#include <stdbool.h>
#include <stddef.h>

#define NAME_COMPONENT_MAX 255u
#define NAME_MAX_BYTES 1023u

enum name_verdict { NAME_OK, NAME_INVALID, NAME_TOO_LONG };

/* One component: no '/', no control character, no leading '.' or '@'. */
enum name_verdict name_check_component(const char *name, size_t size);

/* A path of components. */
enum name_verdict name_check(const char *name);

#endif
