/*
 * config_file.h - a file of settings: lines `key = value` or `key`, empty lines, comments from a `#` at the start of a
 * line on.
 */
#ifndef WALRUSFS_CONFIG_FILE_H
#define WALRUSFS_CONFIG_FILE_H

struct config_line {
    const char *place; /* "FILE:LINE", for messages */
    const char *key;
    const char *value; /* or NULL */
};

/*
 * Calls `take` for each setting, until it returns something else than 0, which is returned. ENOENT when there is no
 * such file, and nothing is reported then; else an errno with the reason reported.
 */
int config_file_read(const char *path, int (*take)(const struct config_line *line, void *context), void *context);

#endif
