/* block_sum.h - the counter that walrus_topic_info() answers from, against the blocks there are. */
#ifndef WALRUS_TESTS_BLOCK_SUM_H
#define WALRUS_TESTS_BLOCK_SUM_H

#include <stdbool.h>

#include "store/topic.h"

static inline bool block_bytes_add_up(struct walrus_topic *topic)
{
    uint64_t sum = 0;
    pthread_mutex_lock(&topic->lock);
    for (size_t i = 0; i < topic->block_count; i++)
        sum += topic->blocks[i]->bytes;
    bool same = sum == topic->block_bytes;
    pthread_mutex_unlock(&topic->lock);
    return same;
}

#endif
