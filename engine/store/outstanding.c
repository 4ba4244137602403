#include "store/outstanding.h"

#include <stdlib.h>

#include "base/bytes.h"

/* ---- the tree ---- */

static bool is_available(const struct outstanding_range *node)
{
    return node && node->any_available;
}

static uint64_t next_lease_end(const struct outstanding_range *node)
{
    return node ? node->next_lease_end_ns : NO_LEASE;
}

/* What a node knows of its subtree. */
static void sum_up(struct outstanding_range *node)
{
    node->any_available = node->available || is_available(node->left) || is_available(node->right);
    uint64_t below = min_u64(next_lease_end(node->left), next_lease_end(node->right));
    node->next_lease_end_ns = min_u64(node->lease_end_ns, below);
}

/* Nodes before `sequence` and nodes from it on, by their first. */
static void split(struct outstanding_range *node, uint64_t sequence, struct outstanding_range **before,
                  struct outstanding_range **from)
{
    if (!node) {
        *before = *from = NULL;
    } else if (node->first < sequence) {
        split(node->right, sequence, &node->right, from);
        sum_up(node);
        *before = node;
    } else {
        split(node->left, sequence, before, &node->left);
        sum_up(node);
        *from = node;
    }
}

/* All of `a` lies before all of `b`. */
static struct outstanding_range *join(struct outstanding_range *a, struct outstanding_range *b)
{
    if (!a || !b)
        return a ? a : b;
    if (a->priority > b->priority) {
        a->right = join(a->right, b);
        sum_up(a);
        return a;
    }
    b->left = join(a, b->left);
    sum_up(b);
    return b;
}

static void insert(struct outstanding *set, struct outstanding_range *node)
{
    struct outstanding_range *before, *from;
    node->left = node->right = NULL;
    sum_up(node);
    split(set->root, node->first, &before, &from);
    set->root = join(join(before, node), from);
    set->range_count++;
}

/* Takes the node that begins at `first` out of the tree. */
static struct outstanding_range *extract(struct outstanding *set, uint64_t first)
{
    struct outstanding_range *before, *from, *node, *behind;
    split(set->root, first, &before, &from);
    split(from, first + 1, &node, &behind);
    set->root = join(before, behind);
    set->range_count--;
    return node;
}

static uint64_t next_random(struct outstanding *set)
{
    uint64_t z = (set->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* ---- ranges and their holders ---- */

static void link_holder(struct outstanding_range *range, struct holder *holder)
{
    range->holder = holder;
    range->prev = NULL;
    range->next = holder ? holder->first : NULL;
    if (range->next)
        range->next->prev = range;
    if (holder)
        holder->first = range;
}

static void unlink_holder(struct outstanding_range *range)
{
    if (!range->holder)
        return;
    if (range->next)
        range->next->prev = range->prev;
    if (range->prev)
        range->prev->next = range->next;
    else
        range->holder->first = range->next;
    range->holder = NULL;
}

static void count(struct outstanding *set, const struct outstanding_range *range, int sign)
{
    uint64_t entries = (range->end - range->first) * (uint64_t)(int64_t)sign;
    if (range->holder)
        set->held_entries += entries;
    else
        set->given_back_entries += entries;
}

static struct outstanding_range *make(struct outstanding *set, const struct outstanding_span *span)
{
    struct outstanding_range *range = calloc(1, sizeof(*range));
    if (!range)
        return NULL;
    range->first = span->first;
    range->end = span->end;
    range->first_offset = span->first_offset;
    range->end_offset = span->end_offset;
    range->lease_end_ns = NO_LEASE;
    range->priority = next_random(set);
    return range;
}

static bool same_kind(const struct outstanding_range *a, const struct outstanding_range *b)
{
    return a->end == b->first && a->holder == b->holder && a->available == b->available &&
           a->lease_end_ns == b->lease_end_ns;
}

/* Joins the range that ends at `sequence` with the one that begins there, if they are of a kind. */
static void join_at(struct outstanding *set, uint64_t sequence)
{
    if (sequence == 0)
        return;
    struct outstanding_range *before = outstanding_from(set, sequence - 1);
    if (!before || before->end != sequence)
        return;
    struct outstanding_range *behind = outstanding_from(set, sequence);
    if (!behind || !same_kind(before, behind))
        return;
    behind = extract(set, sequence);
    before->end = behind->end;
    before->end_offset = behind->end_offset;
    unlink_holder(behind);
    free(behind);
}

/* ---- finding ---- */

struct outstanding_range *outstanding_first(const struct outstanding *set)
{
    struct outstanding_range *node = set->root;
    while (node && node->left)
        node = node->left;
    return node;
}

struct outstanding_range *outstanding_from(const struct outstanding *set, uint64_t sequence)
{
    struct outstanding_range *node = set->root, *found = NULL;
    while (node) {
        if (node->end > sequence) {
            found = node;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return found;
}

struct outstanding_range *outstanding_first_available(const struct outstanding *set)
{
    struct outstanding_range *node = set->root;
    while (is_available(node)) {
        if (is_available(node->left))
            node = node->left;
        else if (node->available)
            return node;
        else
            node = node->right;
    }
    return NULL;
}

uint64_t outstanding_available_end(const struct outstanding *set, uint64_t first, uint64_t limit)
{
    uint64_t end = first;
    while (end < limit) {
        const struct outstanding_range *range = outstanding_from(set, end);
        if (!range || range->first > end || !range->available)
            break;
        end = range->end;
    }
    return min_u64(end, limit);
}

uint64_t outstanding_low_without(const struct outstanding *set, uint64_t first, uint64_t end, uint64_t otherwise)
{
    const struct outstanding_range *range = outstanding_first(set);
    if (range && range->first >= first && range->first < end) {
        range = outstanding_from(set, end);
        if (range && range->first < end)
            return end;
    }
    return range ? range->first : otherwise;
}

bool outstanding_holds(const struct outstanding *set, const struct holder *holder, uint64_t first, uint64_t end)
{
    while (first < end) {
        const struct outstanding_range *range = outstanding_from(set, first);
        if (!range || range->first > first || range->holder != holder)
            return false;
        first = range->end;
    }
    return true;
}

/* ---- changing ---- */

static void clear(struct outstanding_range *node)
{
    if (!node)
        return;
    clear(node->left);
    clear(node->right);
    unlink_holder(node);
    free(node);
}

void outstanding_clear(struct outstanding *set)
{
    clear(set->root);
    *set = (struct outstanding){.random = set->random};
}

bool outstanding_add(struct outstanding *set, const struct outstanding_span *span, struct holder *holder,
                     uint64_t lease_end_ns)
{
    struct outstanding_range *before = span->first > 0 ? outstanding_from(set, span->first - 1) : NULL;
    if (before && before->end == span->first && before->holder == holder && before->lease_end_ns == lease_end_ns &&
        !before->available) {
        before->end = span->end;
        before->end_offset = span->end_offset;
        set->held_entries += span->end - span->first;
        return true;
    }
    struct outstanding_range *range = make(set, span);
    if (!range)
        return false;
    range->lease_end_ns = lease_end_ns;
    link_holder(range, holder);
    count(set, range, 1);
    insert(set, range);
    return true;
}

static bool cut_at(struct outstanding *set, uint64_t sequence)
{
    struct outstanding_range *range = outstanding_from(set, sequence);
    if (!range || range->first >= sequence)
        return true;
    struct outstanding_range *rest =
        make(set, &(struct outstanding_span){sequence, range->end, OFFSET_UNKNOWN, range->end_offset});
    if (!rest)
        return false;
    rest->available = range->available;
    rest->lease_end_ns = range->lease_end_ns;
    link_holder(rest, range->holder);
    range->end = sequence;
    range->end_offset = OFFSET_UNKNOWN;
    insert(set, rest);
    return true;
}

bool outstanding_cut(struct outstanding *set, uint64_t first, uint64_t end)
{
    if (!cut_at(set, first))
        return false;
    if (!cut_at(set, end)) {
        join_at(set, first);
        return false;
    }
    return true;
}

void outstanding_pass(struct outstanding *set, uint64_t first, uint64_t end, struct holder *holder,
                      uint64_t lease_end_ns)
{
    for (uint64_t at = first; at < end;) {
        struct outstanding_range *range = outstanding_from(set, at);
        if (!range || range->first >= end)
            break;
        at = range->end;
        range = extract(set, range->first);
        count(set, range, -1);
        unlink_holder(range);
        range->available = holder == NULL;
        range->lease_end_ns = holder ? lease_end_ns : NO_LEASE;
        link_holder(range, holder);
        count(set, range, 1);
        insert(set, range);
        join_at(set, range->first);
    }
    join_at(set, end);
}

void outstanding_remove(struct outstanding *set, uint64_t first, uint64_t end)
{
    struct outstanding_range *range;
    while ((range = outstanding_from(set, first)) && range->first < end) {
        range = extract(set, range->first);
        count(set, range, -1);
        unlink_holder(range);
        free(range);
    }
}

bool outstanding_release(struct outstanding *set, struct holder *holder)
{
    bool had_some = holder->first != NULL;
    while (holder->first)
        outstanding_pass(set, holder->first->first, holder->first->end, NULL, NO_LEASE);
    return had_some;
}

uint64_t outstanding_forget_before(struct outstanding *set, uint64_t sequence)
{
    uint64_t forgotten = 0;
    struct outstanding_range *range;
    while ((range = outstanding_first_available(set)) && range->first < sequence) {
        range = extract(set, range->first);
        count(set, range, -1);
        forgotten += min_u64(range->end, sequence) - range->first;
        if (range->end <= sequence) {
            unlink_holder(range);
            free(range);
            continue;
        }
        range->first = sequence;
        range->first_offset = OFFSET_UNKNOWN;
        count(set, range, 1);
        insert(set, range);
    }
    return forgotten;
}

static void expire(struct outstanding_range *node, uint64_t now_ns)
{
    if (next_lease_end(node) > now_ns)
        return;
    expire(node->left, now_ns);
    expire(node->right, now_ns);
    if (node->lease_end_ns <= now_ns) {
        node->lease_end_ns = NO_LEASE;
        node->available = true;
    }
    sum_up(node);
}

bool outstanding_expire(struct outstanding *set, uint64_t now_ns)
{
    if (next_lease_end(set->root) > now_ns)
        return false;
    expire(set->root, now_ns);
    return true;
}

uint64_t outstanding_next_lease_end(const struct outstanding *set)
{
    return next_lease_end(set->root);
}

static void each(struct outstanding_range *node, void (*visit)(struct outstanding_range *range, void *context),
                 void *context)
{
    if (!node)
        return;
    each(node->left, visit, context);
    visit(node, context);
    each(node->right, visit, context);
}

void outstanding_each(const struct outstanding *set, void (*visit)(struct outstanding_range *range, void *context),
                      void *context)
{
    each(set->root, visit, context);
}
