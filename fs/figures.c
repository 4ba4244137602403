#include "figures.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "text.h"

static void add_number(struct text *text, const char *key, uint64_t value)
{
    text_printf(text, "%s %" PRIu64 "\n", key, value);
}

static void add_flag(struct text *text, const char *key, bool value)
{
    text_printf(text, "%s %s\n", key, value ? "yes" : "no");
}

static void add_info(struct text *text, const struct walrus_topic_info *info)
{
    char words[WALRUS_POLICY_TEXT_MAX];
    add_number(text, "id", info->id);
    add_number(text, "entries", info->next_sequence - info->first_sequence);
    add_number(text, "bytes", info->next_offset - info->first_offset);
    add_number(text, "first_sequence", info->first_sequence);
    add_number(text, "next_sequence", info->next_sequence);
    add_number(text, "first_offset", info->first_offset);
    add_number(text, "next_offset", info->next_offset);
    add_number(text, "durable_sequence", info->durable_sequence);
    add_number(text, "blocks", info->block_count);
    add_number(text, "disk_bytes", info->block_bytes);
    add_number(text, "created_ns", info->created_ns);
    add_number(text, "appended_ns", info->appended_ns);
    text_printf(text, "sync %s\n", walrus_sync_policy_text(&info->settings.sync, words));
    add_flag(text, "sync_inherited", info->sync_inherited);
    text_printf(text, "retention %s\n", walrus_retention_text(&info->settings.retention, words));
    add_flag(text, "retention_inherited", info->retention_inherited);
    text_printf(text, "framing %s\n", walrus_framing_text(info->settings.framing));
    add_number(text, "damages", info->damages);
    add_flag(text, "refuses_appends", info->refuses_appends);
}

static void add_group_key(struct text *text, const char *group, const char *key)
{
    text_printf(text, "group.");
    for (const unsigned char *at = (const unsigned char *)group; *at != '\0'; at++) {
        if (*at <= ' ' || *at == '%' || *at == '=') {
            text_printf(text, "%%%02X", *at);
        } else {
            text_append(text, at, 1);
        }
    }
    text_printf(text, ".%s ", key);
}

static int add_cursor(const struct walrus_cursor_info *cursor, void *context)
{
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {{"cursor", cursor->sequence},
                   {"durable", cursor->durable_sequence},
                   {"lag", cursor->lag_entries},
                   {"lag_bytes", cursor->lag_bytes},
                   {"taken", cursor->taken_entries},
                   {"overtaken", cursor->overtaken_entries},
                   {"checkpointed_ns", cursor->checkpointed_ns}};
    struct text *text = context;
    char words[WALRUS_POLICY_TEXT_MAX];
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        add_group_key(text, cursor->group, numbers[i].key);
        text_printf(text, "%" PRIu64 "\n", numbers[i].value);
    }
    add_group_key(text, cursor->group, "damaged");
    text_printf(text, "%s\n", cursor->damaged ? "yes" : "no");
    add_group_key(text, cursor->group, "consistency");
    text_printf(text, "%s\n", walrus_consistency_text(&cursor->consistency, words));
    return 0;
}

int figures_of_topic(struct walrus_topic *topic, struct text *text, struct walrus_error *error)
{
    struct walrus_topic_info info;
    if (walrus_topic_info(topic, &info, error) != WALRUS_OK) {
        return error->system_errno;
    }
    add_info(text, &info);
    if (walrus_cursor_list(topic, add_cursor, text, error) != WALRUS_OK) {
        return error->system_errno;
    }
    return text->failed ? ENOMEM : 0;
}

bool figures_next(const struct text *text, size_t *at, const char **key, size_t *key_length, const char **value,
                  size_t *value_length)
{
    if (*at >= text->length) {
        return false;
    }
    *key = text->bytes + *at;
    const char *end = memchr(*key, '\n', text->length - *at);
    const char *space = memchr(*key, ' ', (size_t)(end - *key));
    *key_length = (size_t)(space - *key);
    *value = space + 1;
    *value_length = (size_t)(end - *value);
    *at = (size_t)(end + 1 - text->bytes);
    return true;
}
