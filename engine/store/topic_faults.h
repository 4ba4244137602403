/*
 * topic_faults.h - what has gone wrong with a topic since the log was opened: the last failure that somebody was told
 * of, and the damaged places that reads have met. Kept apart from the topic, since most have none.
 */
#ifndef WALRUS_STORE_TOPIC_FAULTS_H
#define WALRUS_STORE_TOPIC_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <walrus/walrus.h>

struct walrus_topic;

struct topic_faults {
    enum walrus_code code;
    int system_errno;
    uint64_t time_ns;
    char message[sizeof(((struct walrus_topic_info *)0)->last_error_message)];
    uint64_t *damaged; /* sequences of the first entries of damaged places, by growing value */
    size_t damaged_count;
    size_t damaged_capacity;
};

void topic_faults_free(struct topic_faults *faults);

/*
 * Remembers a damaged place by its first entry; true when it was not known. Recovery tells what it met, so that a read
 * that meets it, too, does not count it again.
 */
bool topic_learn_damage(struct walrus_topic *topic, uint64_t sequence);

void topic_keep_fault(struct walrus_topic *topic, const struct walrus_error *error);

/* To be called with what a call on the topic is about to return; returns it. `error` was filled if it failed. */
static inline enum walrus_code topic_note_fault(struct walrus_topic *topic, enum walrus_code code,
                                                const struct walrus_error *error)
{
    if (code != WALRUS_OK)
        topic_keep_fault(topic, error);
    return code;
}

/* Needs the topic's lock. */
void topic_faults_fill_locked(const struct walrus_topic *topic, struct walrus_topic_info *info);

#endif
