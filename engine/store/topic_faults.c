#include "store/topic_faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/topic.h"

/* Places beyond are not counted: each read that meets one has said so. */
#define DAMAGED_MAX 4096u

void topic_faults_free(struct topic_faults *faults)
{
    if (!faults)
        return;
    free(faults->damaged);
    free(faults);
}

/* NULL when out of memory: then what is known stays as it is. */
static struct topic_faults *faults_locked(struct walrus_topic *topic)
{
    if (!topic->faults)
        topic->faults = calloc(1, sizeof(*topic->faults));
    return topic->faults;
}

static size_t place_of(const struct topic_faults *faults, uint64_t sequence)
{
    size_t low = 0, high = faults->damaged_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (faults->damaged[middle] < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool learn_locked(struct walrus_topic *topic, uint64_t sequence)
{
    struct topic_faults *faults = faults_locked(topic);
    if (!faults || faults->damaged_count == DAMAGED_MAX)
        return false;
    size_t at = place_of(faults, sequence);
    if (at < faults->damaged_count && faults->damaged[at] == sequence)
        return false;
    if (faults->damaged_count == faults->damaged_capacity) {
        size_t capacity = faults->damaged_capacity ? faults->damaged_capacity * 2 : 4;
        uint64_t *grown = realloc(faults->damaged, capacity * sizeof(*grown));
        if (!grown)
            return false;
        faults->damaged = grown;
        faults->damaged_capacity = capacity;
    }
    memmove(faults->damaged + at + 1, faults->damaged + at, (faults->damaged_count - at) * sizeof(*faults->damaged));
    faults->damaged[at] = sequence;
    faults->damaged_count++;
    return true;
}

bool topic_learn_damage(struct walrus_topic *topic, uint64_t sequence)
{
    pthread_mutex_lock(&topic->lock);
    bool is_new = learn_locked(topic, sequence);
    pthread_mutex_unlock(&topic->lock);
    return is_new;
}

/* What tells of the state of the topic or its files, and not of what the caller asked for. After a failed sync every
 * append is refused: why, the failure before has said. */
static bool is_fault(enum walrus_code code)
{
    return code == WALRUS_E_NO_SPACE || code == WALRUS_E_IO || code == WALRUS_E_DAMAGED || code == WALRUS_E_NO_MEMORY ||
           code == WALRUS_E_PERMISSION || code == WALRUS_E_READ_ONLY;
}

void topic_keep_fault(struct walrus_topic *topic, const struct walrus_error *error)
{
    if (!is_fault(error->code))
        return;
    pthread_mutex_lock(&topic->lock);
    struct topic_faults *faults = faults_locked(topic);
    if (faults) {
        faults->code = error->code;
        faults->system_errno = error->system_errno;
        faults->time_ns = clock_realtime_ns();
        snprintf(faults->message, sizeof(faults->message), "%s", error->message);
    }
    if (error->code == WALRUS_E_DAMAGED && error->sequence != WALRUS_NOWHERE && learn_locked(topic, error->sequence))
        topic->damages_read++;
    pthread_mutex_unlock(&topic->lock);
}

void topic_faults_fill_locked(const struct walrus_topic *topic, struct walrus_topic_info *info)
{
    const struct topic_faults *faults = topic->faults;
    info->damages = topic->damages + topic->damages_read;
    if (!faults)
        return;
    info->last_error = faults->code;
    info->last_errno = faults->system_errno;
    info->last_error_ns = faults->time_ns;
    memcpy(info->last_error_message, faults->message, sizeof(faults->message));
}
