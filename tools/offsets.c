#include "offsets.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_SECOND 1000000000u

/* Reads "123" or "123.45" as ns. */
static const char *parse_seconds(const char *text, uint64_t *time_ns)
{
    char *end;
    unsigned long long seconds;
    uint64_t scale = NS_PER_SECOND / 10;

    if (!isdigit((unsigned char)text[0]))
        return NULL;
    errno = 0;
    seconds = strtoull(text, &end, 10);
    if (errno != 0 || seconds > INT64_MAX / NS_PER_SECOND)
        return NULL;
    *time_ns = seconds * NS_PER_SECOND;
    if (*end == '.') {
        for (end++; isdigit((unsigned char)*end); end++, scale /= 10)
            *time_ns += (uint64_t)(*end - '0') * scale;
    }
    return end;
}

static const char *parse_iso(const char *text, uint64_t *time_ns)
{
    static const char *const layouts[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"};

    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
        struct tm broken_down = {0};
        const char *end = strptime(text, layouts[i], &broken_down);
        uint64_t fraction_ns = 0;
        time_t seconds;

        if (end == NULL)
            continue;
        seconds = timegm(&broken_down);
        if (seconds < 0)
            return NULL;
        if (i == 0 && *end == '.' && isdigit((unsigned char)end[1])) {
            uint64_t scale = NS_PER_SECOND / 10;

            for (end++; isdigit((unsigned char)*end); end++, scale /= 10)
                fraction_ns += (uint64_t)(*end - '0') * scale;
        }
        *time_ns = (uint64_t)seconds * NS_PER_SECOND + fraction_ns;
        return *end == 'Z' ? end + 1 : end;
    }
    return NULL;
}

static const char *parse_count(const char *text, uint64_t *count)
{
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return NULL;
    errno = 0;
    *count = strtoull(text, &end, 10);
    return errno == 0 ? end : NULL;
}

/* Returns where the word ends (at ':' or the end of the text), or NULL. */
static const char *parse_offset(const char *text, struct offset *offset)
{
    static const struct {
        const char *word;
        enum offset_kind kind;
    } words[] = {{"start", OFFSET_START}, {"begin", OFFSET_START}, {"end", OFFSET_END}, {"stored", OFFSET_STORED}};
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    const char *end;

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t length = strlen(words[i].word);

        if (strncmp(text, words[i].word, length) == 0) {
            offset->kind = words[i].kind;
            return text + length;
        }
    }
    if (text[0] == '@') {
        offset->kind = OFFSET_TIME;
        return parse_seconds(text + 1, &offset->value);
    }
    if (text[0] == '+') {
        offset->kind = OFFSET_PLUS;
        return parse_count(text + 1, &offset->value);
    }
    if (text[0] == '-') {
        offset->kind = OFFSET_MINUS;
        end = parse_count(text + 1, &offset->value);
        for (size_t i = 0; end != NULL && i < sizeof(units) / sizeof(units[0]); i++) {
            if (*end != units[i].unit)
                continue;
            offset->kind = OFFSET_AGO;
            if (offset->value > INT64_MAX / NS_PER_SECOND / units[i].seconds)
                return NULL;
            offset->value *= units[i].seconds * NS_PER_SECOND;
            return end + 1;
        }
        return end;
    }
    if (strspn(text, "0123456789") == 4 && text[4] == '-') {
        offset->kind = OFFSET_TIME;
        return parse_iso(text, &offset->value);
    }
    offset->kind = OFFSET_SEQUENCE;
    return parse_count(text, &offset->value);
}

bool offset_parse(const char *text, struct offset *offset)
{
    const char *end = parse_offset(text, offset);

    return end != NULL && *end == '\0';
}

bool offset_range_parse(const char *text, struct offset_range *range)
{
    range->from = (struct offset){.kind = OFFSET_START};
    range->to = (struct offset){.kind = OFFSET_END};
    if (*text == '\0')
        return false;
    if (*text != ':') {
        text = parse_offset(text, &range->from);
        if (text == NULL)
            return false;
    }
    if (*text == ':' && text[1] != '\0')
        text = parse_offset(text + 1, &range->to);
    else if (*text == ':')
        text++;
    return text != NULL && *text == '\0';
}

/* Time of the first readable entry at or after `sequence`; UINT64_MAX when there is none. */
static enum walrus_code time_at(struct client_topic *topic, uint64_t sequence, struct client_entries *entries,
                                uint64_t *time_ns, struct walrus_error *error)
{
    struct walrus_position position = {0};
    struct walrus_read_limits limits = {.max_entries = 1};
    enum walrus_code code = client_seek_sequence(topic, sequence, &position, error);

    while (code == WALRUS_OK) {
        uint64_t skipped;

        code = client_read_entries(topic, &position, &limits, entries, error);
        if (code == WALRUS_E_DAMAGED) {
            code = client_skip_damage(topic, &position, &skipped, error);
            continue;
        }
        if (code == WALRUS_OK)
            *time_ns = entries->count > 0 ? entries->items[0].time_ns : UINT64_MAX;
        break;
    }
    return code;
}

/* The first entry not older than time_ns. Bisects: where the clock went backwards any such boundary will do. */
static enum walrus_code find_time(struct client_topic *topic, const struct walrus_topic_info *info, uint64_t time_ns,
                                  uint64_t *sequence, struct walrus_error *error)
{
    struct client_entries entries = {0};
    uint64_t low = info->first_sequence;
    uint64_t high = info->next_sequence;
    enum walrus_code code = WALRUS_OK;

    while (low < high && code == WALRUS_OK) {
        uint64_t middle = low + (high - low) / 2;
        uint64_t found_ns = 0;

        code = time_at(topic, middle, &entries, &found_ns, error);
        if (code == WALRUS_OK && found_ns < time_ns)
            low = middle + 1;
        else
            high = middle;
    }
    if (code == WALRUS_OK)
        *sequence = low;
    client_entries_free(&entries);
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
        return find_time(topic, info, offset->value, sequence, error);
    case OFFSET_AGO:
        clock_gettime(CLOCK_REALTIME, &now);
        now_ns = (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
        return find_time(topic, info, offset->value < now_ns ? now_ns - offset->value : 0, sequence, error);
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
