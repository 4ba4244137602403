/* api_error.c - the names of codes. */
#include <walrus/walrus_error.h>

#include "base/error.h"

const char *walrus_code_name(enum walrus_code code)
{
    return error_code_name(code);
}
