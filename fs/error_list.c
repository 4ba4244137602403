#include "error_list.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

void error_list_init(struct error_list *list)
{
    list->added = 0;
    pthread_mutex_init(&list->mutex, NULL);
}

void error_list_fini(struct error_list *list)
{
    pthread_mutex_destroy(&list->mutex);
}

static struct error_item *item_locked(struct error_list *list, uint64_t number)
{
    return &list->items[number % ERROR_LIST_LENGTH];
}

static bool is_same(const struct error_item *item, const struct error_item *other)
{
    return item->topic_id == other->topic_id && item->uid == other->uid && item->error_number == other->error_number &&
           strcmp(item->text, other->text) == 0;
}

void error_list_add(struct error_list *list, uint64_t time_ns, uint64_t topic_id, uid_t uid, int error_number,
                    const char *text)
{
    struct error_item item = {
        .time_ns = time_ns, .count = 1, .topic_id = topic_id, .uid = uid, .error_number = error_number};
    snprintf(item.text, sizeof item.text, "%s", text);
    /* One line each, whatever a name holds. */
    for (char *at = item.text; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ') {
            *at = '?';
        }
    }
    pthread_mutex_lock(&list->mutex);
    struct error_item *last = list->added > 0 ? item_locked(list, list->added - 1) : NULL;
    if (last != NULL && is_same(last, &item)) {
        last->count++;
        last->time_ns = time_ns;
    } else {
        *item_locked(list, list->added++) = item;
    }
    pthread_mutex_unlock(&list->mutex);
}

const char *error_number_name(int error_number)
{
    const char *name = strerrorname_np(error_number);
    return name != NULL ? name : "?";
}

static void write_item(const struct error_item *item, struct text *text)
{
    text_add_time(text, item->time_ns);
    text_printf(text, " %s uid=%u", error_number_name(item->error_number), (unsigned)item->uid);
    if (item->count > 1) {
        text_printf(text, " times=%" PRIu64, item->count);
    }
    text_printf(text, " %s\n", item->text);
}

void error_list_write(struct error_list *list, uid_t uid, bool all, struct text *text)
{
    pthread_mutex_lock(&list->mutex);
    uint64_t first = list->added > ERROR_LIST_LENGTH ? list->added - ERROR_LIST_LENGTH : 0;
    for (uint64_t i = first; i < list->added; i++) {
        const struct error_item *item = item_locked(list, i);
        if (all || item->uid == uid) {
            write_item(item, text);
        }
    }
    pthread_mutex_unlock(&list->mutex);
}

bool error_list_of_topic(struct error_list *list, uint64_t topic_id, struct error_item *item)
{
    bool found = false;
    pthread_mutex_lock(&list->mutex);
    uint64_t first = list->added > ERROR_LIST_LENGTH ? list->added - ERROR_LIST_LENGTH : 0;
    for (uint64_t i = list->added; i-- > first && !found;) {
        if (item_locked(list, i)->topic_id == topic_id) {
            *item = *item_locked(list, i);
            found = true;
        }
    }
    pthread_mutex_unlock(&list->mutex);
    return found;
}
