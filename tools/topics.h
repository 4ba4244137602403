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

/* What is to be told of a topic: its figures, and those of the groups that have a cursor on it. */
struct topic_report {
    struct walrus_topic_info info;
    struct group_report {
        char name[WALRUS_NAME_COMPONENT_MAX + 1];
        struct walrus_cursor_info cursor; /* but for `group` */
    } * groups;
    size_t group_count;
    bool out_of_memory;
};

/* Returns an exit code, having printed the reason. Given back with topic_report_free(), also after a failure. */
int topic_report_by_name(const struct cli *cli, struct client_log *log, const char *name, struct topic_report *report);
void topic_report_free(struct topic_report *report);

/* Entries that the group which is furthest behind has yet to be done with; false: no group has a cursor here. */
bool topic_report_lag(const struct topic_report *report, uint64_t *lag);

/* As topic_info_json(), with `lag` and `groups`. */
json_t *topic_report_json(const char *name, const struct topic_report *report);

/* NULL when out of memory. */
json_t *topic_info_json(const char *name, const struct walrus_topic_info *info);

#endif
