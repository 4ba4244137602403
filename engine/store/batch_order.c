#include "store/batch_order.h"

#include <utlist.h>

void batch_order_init(struct batch_order *order)
{
    atomic_init(&order->oldest, UINT64_MAX);
    pthread_mutex_init(&order->lock, NULL);
    pthread_cond_init(&order->settled, NULL);
}

void batch_order_fini(struct batch_order *order)
{
    pthread_cond_destroy(&order->settled);
    pthread_mutex_destroy(&order->lock);
}

static void tell_oldest_locked(struct batch_order *order)
{
    atomic_store(&order->oldest, order->first ? order->first->number : UINT64_MAX);
}

void batch_order_enter(struct batch_order *order, struct batch_ticket *ticket)
{
    pthread_mutex_lock(&order->lock);
    ticket->number = ++order->newest;
    DL_APPEND(order->first, ticket);
    tell_oldest_locked(order);
    pthread_mutex_unlock(&order->lock);
}

void batch_order_settle(struct batch_order *order, struct batch_ticket *ticket)
{
    pthread_mutex_lock(&order->lock);
    DL_DELETE(order->first, ticket);
    tell_oldest_locked(order);
    pthread_cond_broadcast(&order->settled);
    pthread_mutex_unlock(&order->lock);
}

static bool is_settled_locked(const struct batch_order *order, uint64_t number)
{
    const struct batch_ticket *ticket = order->first;
    while (ticket && ticket->number < number)
        ticket = ticket->next;
    return !ticket || ticket->number != number;
}

bool batch_order_is_settled(struct batch_order *order, uint64_t number)
{
    if (number < atomic_load(&order->oldest))
        return true;
    pthread_mutex_lock(&order->lock);
    bool settled = is_settled_locked(order, number);
    pthread_mutex_unlock(&order->lock);
    return settled;
}

void batch_order_wait(struct batch_order *order, uint64_t number)
{
    if (number < atomic_load(&order->oldest))
        return;
    pthread_mutex_lock(&order->lock);
    while (!is_settled_locked(order, number))
        pthread_cond_wait(&order->settled, &order->lock);
    pthread_mutex_unlock(&order->lock);
}
