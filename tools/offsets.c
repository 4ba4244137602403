#include "offsets.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_SECOND 1000000000u

bool offset_parse(const char *text, struct offset *offset)
{
    const char *end = offset_text_parse(text, offset);

    return end != NULL && *end == '\0';
}

bool offset_range_parse(const char *text, struct offset_range *range)
{
    range->from = (struct offset){.kind = OFFSET_START};
    range->to = (struct offset){.kind = OFFSET_END};
    if (*text == '\0')
        return false;
    if (*text != ':') {
        text = offset_text_parse(text, &range->from);
        if (text == NULL)
            return false;
    }
    if (*text == ':' && text[1] != '\0')
        text = offset_text_parse(text + 1, &range->to);
    else if (*text == ':')
        text++;
    return text != NULL && *text == '\0';
}

/* The first entry not older than time_ns. */
static enum walrus_code find_time(struct client_topic *topic, uint64_t time_ns, uint64_t *sequence,
                                  struct walrus_error *error)
{
    struct walrus_position position = {0};
    enum walrus_code code = client_seek_time(topic, time_ns, &position, error);

    if (code == WALRUS_OK)
        *sequence = position.sequence;
    return code;
}

static enum walrus_code find_stored(struct client_topic *topic, const char *group, uint64_t *sequence,
                                    struct walrus_error *error)
{
    struct client_cursor *cursor;
    enum walrus_code code = client_cursor_open(topic, group, NULL, &cursor, error);

    if (code != WALRUS_OK)
        return code;
    code = client_cursor_get(cursor, sequence, error);
    if (code != WALRUS_OK) {
        client_cursor_close(cursor, NULL);
        return code;
    }
    return client_cursor_close(cursor, error);
}

static enum walrus_code resolve(struct client_topic *topic, const struct walrus_topic_info *info,
                                const struct offset *offset, const char *group, uint64_t base, uint64_t *sequence,
                                struct walrus_error *error)
{
    uint64_t entries = info->next_sequence - info->first_sequence;
    struct timespec now;
    uint64_t now_ns;

    switch (offset->kind) {
    case OFFSET_START:
        *sequence = info->first_sequence;
        return WALRUS_OK;
    case OFFSET_END:
        *sequence = info->next_sequence;
        return WALRUS_OK;
    case OFFSET_STORED:
        return find_stored(topic, group, sequence, error);
    case OFFSET_SEQUENCE:
        *sequence = offset->value;
        return WALRUS_OK;
    case OFFSET_PLUS:
        *sequence = offset->value < info->next_sequence - base ? base + offset->value : info->next_sequence;
        return WALRUS_OK;
    case OFFSET_MINUS:
        *sequence = offset->value < entries ? info->next_sequence - offset->value : info->first_sequence;
        return WALRUS_OK;
    case OFFSET_TIME:
        return find_time(topic, offset->value, sequence, error);
    case OFFSET_AGO:
        clock_gettime(CLOCK_REALTIME, &now);
        now_ns = (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
        return find_time(topic, offset->value < now_ns ? now_ns - offset->value : 0, sequence, error);
    }
    return WALRUS_OK;
}

int offset_range_resolve(const struct cli *cli, struct client_topic *topic, const struct offset_range *range,
                         uint64_t *from, uint64_t *to)
{
    struct walrus_topic_info info;
    struct walrus_error error = {0};

    if (client_topic_info(topic, &info, &error) != WALRUS_OK ||
        resolve(topic, &info, &range->from, range->group, info.first_sequence, from, &error) != WALRUS_OK)
        return cli_fail(cli, &error, NULL);
    if (*from < info.first_sequence || *from > info.next_sequence)
        return cli_error(cli, CLI_USAGE,
                         "sequence %" PRIu64 " is outside of '%s', which has %" PRIu64 " to %" PRIu64
                         " (`-o start` and `-o end` always work)",
                         *from, client_topic_name(topic), info.first_sequence, info.next_sequence);
    if (resolve(topic, &info, &range->to, range->group, *from, to, &error) != WALRUS_OK)
        return cli_fail(cli, &error, NULL);
    if (*to > info.next_sequence)
        *to = info.next_sequence;
    if (*to < *from)
        *to = *from;
    return CLI_OK;
}
