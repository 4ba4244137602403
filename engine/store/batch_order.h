/*
 * batch_order.h - batches over several topics that wait for their sync, in the order in which they were written.
 *
 * Readers of all its topics must see such a batch at once, so nothing behind it in any of them may be shown before it
 * is: whoever wants to show something waits until the batches before it have settled, that is, have been shown or have
 * failed. A batch gets its number while it holds append_lock of all its topics, so two batches have the same order in
 * every topic that they share, and nobody waits in a circle.
 */
#ifndef WALRUS_STORE_BATCH_ORDER_H
#define WALRUS_STORE_BATCH_ORDER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* One batch, on its caller's stack. */
struct batch_ticket {
    uint64_t number; /* from 1 */
    struct batch_ticket *next, *prev;
};

struct batch_order {
    _Atomic uint64_t oldest; /* number of the oldest batch that has not settled; UINT64_MAX: none */
    pthread_mutex_t lock;
    pthread_cond_t settled;
    /* lock */
    uint64_t newest;
    struct batch_ticket *first; /* not settled, by growing number */
};

void batch_order_init(struct batch_order *order);
void batch_order_fini(struct batch_order *order);

void batch_order_enter(struct batch_order *order, struct batch_ticket *ticket);
void batch_order_settle(struct batch_order *order, struct batch_ticket *ticket);

/* 0 is the number of no batch, and settled. */
bool batch_order_is_settled(struct batch_order *order, uint64_t number);
void batch_order_wait(struct batch_order *order, uint64_t number);

#endif
