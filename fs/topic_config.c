#include "topic_config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

#define LINE_BYTES_MAX 256
#define AS_LOG "log"

void topic_config_write(const struct walrus_topic_info *info, struct text *text)
{
    char words[WALRUS_POLICY_TEXT_MAX];
    text_printf(text, "sync=%s\n",
                info->sync_inherited ? AS_LOG : walrus_sync_policy_text(&info->settings.sync, words));
    text_printf(text, "retention=%s\n",
                info->retention_inherited ? AS_LOG : walrus_retention_text(&info->settings.retention, words));
    text_printf(text, "framing=%s\n", walrus_framing_text(info->settings.framing));
}

/* Sets one setting. WALRUS_E_INVALID with a reason in `error`. */
static enum walrus_code set(const char *key, const char *value, struct walrus_topic_settings *settings, unsigned *which,
                            struct walrus_error *error)
{
    bool as_log = strcmp(value, AS_LOG) == 0;
    if (strcmp(key, "sync") == 0) {
        *which |= WALRUS_SET_SYNC;
        settings->sync = (struct walrus_sync_policy){.mode = WALRUS_SYNC_INHERIT};
        return as_log ? WALRUS_OK : walrus_sync_policy_parse(value, &settings->sync, error);
    }
    if (strcmp(key, "retention") == 0) {
        *which |= WALRUS_SET_RETENTION;
        settings->retention = (struct walrus_retention){.mode = WALRUS_RETAIN_INHERIT};
        return as_log ? WALRUS_OK : walrus_retention_parse(value, &settings->retention, error);
    }
    if (strcmp(key, "framing") == 0) {
        *which |= WALRUS_SET_FRAMING;
        return walrus_framing_parse(value, &settings->framing, error);
    }
    snprintf(error->message, sizeof error->message, "'%s' is none of: sync, retention, framing", key);
    return WALRUS_E_INVALID;
}

static int parse_line(const char *line, size_t length, struct walrus_topic_settings *settings, unsigned *which,
                      char *reason, size_t reason_size)
{
    char copy[LINE_BYTES_MAX + 1];
    struct walrus_error error;
    if (length == 0 || line[0] == '#') {
        return 0;
    }
    if (length > LINE_BYTES_MAX || memchr(line, '\0', length) != NULL) {
        snprintf(reason, reason_size, "not a line of key=value");
        return EINVAL;
    }
    memcpy(copy, line, length);
    copy[length] = '\0';
    char *value = strchr(copy, '=');
    if (value == NULL) {
        snprintf(reason, reason_size, "'%s' is not of the form key=value", copy);
        return EINVAL;
    }
    *value++ = '\0';
    if (set(copy, value, settings, which, &error) != WALRUS_OK) {
        snprintf(reason, reason_size, "%s", error.message);
        return EINVAL;
    }
    return 0;
}

int topic_config_parse(const char *lines, size_t length, struct walrus_topic_settings *settings, unsigned *which,
                       char *reason, size_t reason_size)
{
    int status = 0;
    const char *at = lines;
    const char *end = lines + length;
    *which = 0;
    while (at < end && status == 0) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline != NULL ? newline : end;
        status = parse_line(at, (size_t)(stop - at), settings, which, reason, reason_size);
        at = newline != NULL ? newline + 1 : end;
    }
    return status;
}
