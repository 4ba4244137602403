/*
 * file_text.h - files whose text is made up when they are read: control files that tell something. The text is made
 * when the file is read from its start, and again each time that happens; in between it stays. st_size is 0, as in
 * /proc.
 */
#ifndef WALRUSFS_FILE_TEXT_H
#define WALRUSFS_FILE_TEXT_H

#include <stdbool.h>

struct fs;
struct open_file;
struct request;
struct text;

/* Makes the text; may wait. 0 or an errno. */
typedef int text_file_fill(struct request *request, const struct open_file *file, struct text *text);

/* For the `open` of a kind: the file's text comes from `fill`. 0 or ENOMEM. */
int text_file_open(struct open_file *file, text_file_fill *fill);

/* `read` and `close` of such a kind. */
bool text_file_read(struct request *request, bool may_wait);
void text_file_close(struct fs *fs, struct open_file *file);

#endif
