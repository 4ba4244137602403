#include "format/name.h"

#include <string.h>

enum name_verdict name_check_component(const char *name, size_t size)
{
    if (size == 0 || name[0] == '.' || name[0] == '@')
        return NAME_INVALID;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c < 0x20 || c == 0x7f || c == '/')
            return NAME_INVALID;
    }
    return size > NAME_COMPONENT_MAX ? NAME_TOO_LONG : NAME_OK;
}

enum name_verdict name_check(const char *name)
{
    if (strlen(name) > NAME_MAX_BYTES)
        return NAME_TOO_LONG;
    for (;;) {
        size_t size = strcspn(name, "/");
        enum name_verdict verdict = name_check_component(name, size);
        if (verdict != NAME_OK || name[size] == '\0')
            return verdict;
        name += size + 1;
    }
}
