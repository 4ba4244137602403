/*
 * figures.h - what there is to know of a topic, in lines of a key, a space and a value that goes on to the line's end.
 * One source for all who tell it (.stat, the xattrs user.walrus.*), so that names and figures are the same everywhere;
 * they are also those of `walrus topic info --json` and `walrus group describe --json`.
 *
 * Keys never change their meaning; new ones may come. Those of a group are group.<name>.<key>, where a byte of the name
 * that is a space or below, '%' or '=' stands as %XX.
 */
#ifndef WALRUSFS_FIGURES_H
#define WALRUSFS_FIGURES_H

#include <stdbool.h>
#include <stddef.h>

#include <walrus/walrus.h>

struct text;

/* Adds the lines. May wait for a lock that is held over I/O. 0 or an errno. */
int figures_of_topic(struct walrus_topic *topic, struct text *text, struct walrus_error *error);

/*
 * The next line of `text` from `*at` on (0 is the first), and moves *at behind it. False: no more. The pointers point
 * into the text.
 */
bool figures_next(const struct text *text, size_t *at, const char **key, size_t *key_length, const char **value,
                  size_t *value_length);

#endif
