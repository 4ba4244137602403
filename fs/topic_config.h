/*
 * topic_config.h - settings of a topic as lines of key=value: what .config shows and takes. Knows nothing of FUSE.
 *
 *   sync=each|every:<n>ms|none|log    log: as the log
 *   retention=consumed|all|bytes:<n>|age:<n>|log
 *   framing=line|write|nul
 *
 * Empty lines and lines that begin with # are passed over.
 */
#ifndef WALRUSFS_TOPIC_CONFIG_H
#define WALRUSFS_TOPIC_CONFIG_H

#include <stddef.h>

#include <walrus/walrus.h>

struct text;

/* Adds a line for each setting: what is the topic's own, or "log". */
void topic_config_write(const struct walrus_topic_info *info, struct text *text);

/*
 * Reads lines, the last of which may lack its newline. `which` (enum walrus_topic_setting) says which settings they
 * name; the last line of several for one counts. 0, or EINVAL with the reason in `reason`.
 */
int topic_config_parse(const char *lines, size_t length, struct walrus_topic_settings *settings, unsigned *which,
                       char *reason, size_t reason_size);

#endif
