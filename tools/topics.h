/* topics.h - walking over the topics of a log, and a topic's figures as JSON. */
#ifndef WALRUS_TOOLS_TOPICS_H
#define WALRUS_TOOLS_TOPICS_H

#include "output.h"

/*
 * Calls visit for every topic, sorted by name, until it returns something else than CLI_OK, which is returned. A
 * failure to list is printed.
 */
int topics_for_each(const struct cli *cli, struct client_log *log,
                    int (*visit)(const struct cli *cli, struct client_log *log, const char *name, void *context),
                    void *context);

/* Returns an exit code, having printed the reason. */
int topic_info_by_name(const struct cli *cli, struct client_log *log, const char *name, struct walrus_topic_info *info,
                       struct walrus_error *error);

/* NULL when out of memory. */
json_t *topic_info_json(const char *name, const struct walrus_topic_info *info);

#endif
