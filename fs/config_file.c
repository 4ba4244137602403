#include "config_file.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

/* Cuts white space off both ends, in place. */
static char *trim(char *text)
{
    while (isspace((unsigned char)*text)) {
        text++;
    }
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1])) {
        text[--length] = '\0';
    }
    return text;
}

/* Cuts a line up in place. False: it holds no setting. */
static bool parse_line(char *text, struct config_line *line)
{
    char *key = trim(text);
    if (*key == '\0' || *key == '#') {
        return false;
    }
    char *value = strchr(key, '=');
    line->value = NULL;
    if (value != NULL) {
        *value = '\0';
        line->value = trim(value + 1);
    }
    line->key = trim(key);
    return true;
}

int config_file_read(const char *path, int (*take)(const struct config_line *line, void *context), void *context)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        int status = errno;
        if (status != ENOENT) {
            report("%s: %s", path, strerror(status));
        }
        return status;
    }
    char *text = NULL;
    size_t capacity = 0;
    int status = 0;
    char place[PATH_MAX + 16];
    struct config_line line = {.place = place};
    for (unsigned number = 1; status == 0; number++) {
        errno = 0;
        ssize_t length = getline(&text, &capacity, file);
        if (length < 0) {
            status = errno; /* 0 at the end */
            if (status != 0) {
                report("%s: %s", path, strerror(status));
            }
            break;
        }
        snprintf(place, sizeof place, "%s:%u", path, number);
        if (strlen(text) != (size_t)length) {
            report("%s: a zero byte: this is no text", place);
            status = EINVAL;
        } else if (parse_line(text, &line)) {
            status = take(&line, context);
        }
    }
    free(text);
    fclose(file);
    return status;
}
