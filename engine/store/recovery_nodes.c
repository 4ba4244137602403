/*
 * recovery_nodes.c - the topics and namespaces that recovery finds, by their numbers: a hash table with open
 * addressing, and a list in the order in which they were met. There may be a hundred thousand, so each is small.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "store/recovery.h"

#define SLOTS_MIN 64u

static const char no_name[1];

static size_t slot_of(const struct found_nodes *nodes, uint64_t id)
{
    size_t slot = (size_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (nodes->slot_count - 1);
    while (nodes->slots[slot] && nodes->slots[slot]->id != id)
        slot = (slot + 1) & (nodes->slot_count - 1);
    return slot;
}

static bool grow(struct found_nodes *nodes)
{
    size_t count = nodes->slot_count ? nodes->slot_count * 2 : SLOTS_MIN;
    struct found_node **slots = calloc(count, sizeof(struct found_node *));
    if (!slots)
        return false;
    free(nodes->slots);
    nodes->slots = slots;
    nodes->slot_count = count;
    for (struct found_node *node = nodes->first; node; node = node->next)
        slots[slot_of(nodes, node->id)] = node;
    return true;
}

struct found_node *recovery_find_node(const struct recovery *recovery, uint64_t id)
{
    const struct found_nodes *nodes = &recovery->nodes;
    return nodes->slot_count > 0 ? nodes->slots[slot_of(nodes, id)] : NULL;
}

struct found_node *recovery_node(struct recovery *recovery, uint64_t id)
{
    struct found_nodes *nodes = &recovery->nodes;
    struct found_node *node = recovery_find_node(recovery, id);
    if (node)
        return node;
    if (nodes->count * 2 >= nodes->slot_count && !grow(nodes))
        return NULL;
    node = calloc(1, sizeof(*node));
    if (!node)
        return NULL;
    node->id = id;
    node->cut_sequence = UINT64_MAX;
    node->record.name = no_name;
    nodes->slots[slot_of(nodes, id)] = node;
    nodes->count++;
    *(nodes->last ? &nodes->last->next : &nodes->first) = node;
    nodes->last = node;
    recovery->highest_id = max_u64(recovery->highest_id, id);
    return node;
}

bool recovery_name_node(struct found_node *node, const char *name)
{
    char *copy = strdup(name);
    if (!copy)
        return false;
    if (node->record.name != no_name)
        free((char *)(uintptr_t)node->record.name);
    node->record.name = copy;
    return true;
}

void recovery_free_nodes(struct recovery *recovery)
{
    struct found_node *node = recovery->nodes.first;
    while (node) {
        struct found_node *next = node->next;
        if (node->record.name != no_name)
            free((char *)(uintptr_t)node->record.name);
        free(node->blocks);
        free(node->cursors);
        free(node);
        node = next;
    }
    free(recovery->nodes.slots);
    recovery->nodes = (struct found_nodes){0};
}
