#include "offset_text.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
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

const char *offset_text_parse(const char *text, struct offset *offset)
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
