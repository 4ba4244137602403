/*
 * What is outstanding, against a table with a line for each entry: whatever is asked gives the same answer.
 */
#include "temp_log.h"

#include "store/outstanding.h"

#define ENTRIES 400u
#define HOLDERS 4u
#define STEPS 60000u

struct line {
    struct holder *holder;
    uint64_t lease_end_ns;
    bool outstanding, available;
};

struct table {
    struct outstanding set;
    struct holder holders[HOLDERS];
    struct line lines[ENTRIES];
    uint64_t position; /* entries below were handed out */
    uint64_t now_ns;
    uint64_t random;
};

static uint64_t below(struct table *table, uint64_t limit)
{
    return random_next(&table->random) % limit;
}

/* ---- what must hold after each step ---- */

static uint64_t first_of(const struct table *table, bool only_available)
{
    for (uint64_t i = 0; i < table->position; i++)
        if (table->lines[i].outstanding && (!only_available || table->lines[i].available))
            return i;
    return UINT64_MAX;
}

struct seen {
    struct table *table;
    uint64_t at;
    size_t ranges;
};

static void compare_range(struct outstanding_range *range, void *context)
{
    struct seen *seen = context;
    assert_true(range->first < range->end);
    for (; seen->at < range->first; seen->at++)
        assert_false(seen->table->lines[seen->at].outstanding);
    for (; seen->at < range->end; seen->at++) {
        const struct line *line = &seen->table->lines[seen->at];
        assert_true(line->outstanding);
        assert_ptr_equal(line->holder, range->holder);
        assert_int_equal(line->available, range->available);
        assert_int_equal(line->lease_end_ns, range->lease_end_ns);
    }
    if (range->first_offset != OFFSET_UNKNOWN)
        assert_int_equal(range->first_offset, range->first * 10);
    if (range->end_offset != OFFSET_UNKNOWN)
        assert_int_equal(range->end_offset, range->end * 10);
    seen->ranges++;
}

static void compare(struct table *table)
{
    const struct outstanding *set = &table->set;
    struct seen seen = {.table = table};
    uint64_t held = 0, given_back = 0, next_lease = NO_LEASE;
    outstanding_each(set, compare_range, &seen);
    for (; seen.at < ENTRIES; seen.at++)
        assert_false(table->lines[seen.at].outstanding);
    assert_int_equal(seen.ranges, set->range_count);
    for (size_t i = 0; i < ENTRIES; i++) {
        const struct line *line = &table->lines[i];
        held += line->outstanding && line->holder;
        given_back += line->outstanding && !line->holder;
        if (line->outstanding && line->lease_end_ns < next_lease)
            next_lease = line->lease_end_ns;
    }
    assert_int_equal(set->held_entries, held);
    assert_int_equal(set->given_back_entries, given_back);
    assert_int_equal(outstanding_next_lease_end(set), next_lease);

    const struct outstanding_range *first = outstanding_first(set), *available = outstanding_first_available(set);
    assert_int_equal(first ? first->first : UINT64_MAX, first_of(table, false));
    assert_int_equal(available ? available->first : UINT64_MAX, first_of(table, true));
    for (size_t i = 0; i < HOLDERS; i++) {
        uint64_t listed = 0, has = 0;
        for (const struct outstanding_range *range = table->holders[i].first; range; range = range->next)
            listed += range->end - range->first;
        for (size_t j = 0; j < ENTRIES; j++)
            has += table->lines[j].outstanding && table->lines[j].holder == &table->holders[i];
        assert_int_equal(listed, has);
    }
}

/* Questions about a stretch. */
static void ask(struct table *table)
{
    uint64_t first = below(table, ENTRIES), end = first + 1 + below(table, 40);
    struct holder *holder = &table->holders[below(table, HOLDERS)];
    bool holds = true;
    uint64_t available_end = first, low = UINT64_MAX;
    for (uint64_t i = first; i < end; i++)
        holds = holds && i < ENTRIES && table->lines[i].outstanding && table->lines[i].holder == holder;
    while (available_end < end && available_end < ENTRIES && table->lines[available_end].outstanding &&
           table->lines[available_end].available)
        available_end++;
    for (uint64_t i = 0; i < ENTRIES && low == UINT64_MAX; i++)
        if (table->lines[i].outstanding && (i < first || i >= end))
            low = i;
    assert_int_equal(outstanding_holds(&table->set, holder, first, end), holds);
    assert_int_equal(outstanding_available_end(&table->set, first, end), available_end);
    /* What is acknowledged is outstanding without a gap. */
    bool whole = true;
    for (uint64_t i = first; i < end; i++)
        whole = whole && i < ENTRIES && table->lines[i].outstanding;
    if (whole)
        assert_int_equal(outstanding_low_without(&table->set, first, end, UINT64_MAX), low);
}

/* ---- steps ---- */

static void take_new(struct table *table)
{
    uint64_t count = 1 + below(table, 6);
    if (table->position + count > ENTRIES)
        return;
    struct holder *holder = &table->holders[below(table, HOLDERS)];
    uint64_t lease = below(table, 3) == 0 ? table->now_ns + 1 + below(table, 50) : NO_LEASE;
    struct outstanding_span span = {table->position, table->position + count, table->position * 10,
                                    (table->position + count) * 10};
    assert_true(outstanding_add(&table->set, &span, holder, lease));
    for (uint64_t i = 0; i < count; i++)
        table->lines[table->position + i] = (struct line){holder, lease, true, false};
    table->position += count;
}

static void change_hands(struct table *table, bool give_back)
{
    uint64_t first = below(table, ENTRIES), end = first + 1 + below(table, 30);
    struct holder *holder = give_back ? NULL : &table->holders[below(table, HOLDERS)];
    uint64_t lease = !give_back && below(table, 2) ? table->now_ns + 1 + below(table, 50) : NO_LEASE;
    assert_true(outstanding_cut(&table->set, first, end));
    outstanding_pass(&table->set, first, end, holder, lease);
    for (uint64_t i = first; i < end && i < ENTRIES; i++)
        if (table->lines[i].outstanding)
            table->lines[i] = (struct line){holder, lease, true, give_back};
}

static void finish(struct table *table)
{
    uint64_t first = below(table, ENTRIES), end = first + 1 + below(table, 60);
    assert_true(outstanding_cut(&table->set, first, end));
    outstanding_remove(&table->set, first, end);
    for (uint64_t i = first; i < end && i < ENTRIES; i++)
        table->lines[i] = (struct line){.lease_end_ns = NO_LEASE};
}

static void close_holder(struct table *table)
{
    struct holder *holder = &table->holders[below(table, HOLDERS)];
    bool had = false;
    for (size_t i = 0; i < ENTRIES; i++) {
        if (!table->lines[i].outstanding || table->lines[i].holder != holder)
            continue;
        had = true;
        table->lines[i] = (struct line){NULL, NO_LEASE, true, true};
    }
    assert_int_equal(outstanding_release(&table->set, holder), had);
    assert_null(holder->first);
}

static void forget(struct table *table)
{
    uint64_t sequence = below(table, ENTRIES / 4), forgotten = 0;
    for (uint64_t i = 0; i < sequence; i++) {
        if (!table->lines[i].outstanding || !table->lines[i].available)
            continue;
        table->lines[i] = (struct line){.lease_end_ns = NO_LEASE};
        forgotten++;
    }
    assert_int_equal(outstanding_forget_before(&table->set, sequence), forgotten);
}

static void pass_time(struct table *table)
{
    bool some = false;
    table->now_ns += below(table, 30);
    for (size_t i = 0; i < ENTRIES; i++) {
        if (!table->lines[i].outstanding || table->lines[i].lease_end_ns > table->now_ns)
            continue;
        table->lines[i].lease_end_ns = NO_LEASE;
        table->lines[i].available = true;
        some = true;
    }
    assert_int_equal(outstanding_expire(&table->set, table->now_ns), some);
}

static void start_over(struct table *table)
{
    outstanding_clear(&table->set);
    for (size_t i = 0; i < HOLDERS; i++)
        assert_null(table->holders[i].first);
    for (size_t i = 0; i < ENTRIES; i++)
        table->lines[i] = (struct line){.lease_end_ns = NO_LEASE};
    table->position = 0;
}

static void it_is_a_table_of_entries(void **state)
{
    (void)state;
    struct table *table = calloc(1, sizeof(*table));
    table->random = random_seed("it_is_a_table_of_entries");
    start_over(table);
    for (size_t i = 0; i < STEPS; i++) {
        uint64_t drawn = below(table, 100);
        if (drawn < 45)
            take_new(table);
        else if (drawn < 55)
            change_hands(table, false);
        else if (drawn < 68)
            change_hands(table, true);
        else if (drawn < 80)
            finish(table);
        else if (drawn < 84)
            close_holder(table);
        else if (drawn < 86)
            forget(table);
        else if (drawn < 98)
            pass_time(table);
        else if (table->position > ENTRIES - 10)
            start_over(table);
        compare(table);
        ask(table);
    }
    start_over(table);
    compare(table);
    free(table);
}

/* ---- memory ---- */

static void a_consumer_in_order_has_one_range(void **state)
{
    (void)state;
    struct outstanding set = {0};
    struct holder holder = {0};
    for (uint64_t i = 0; i < 100000; i++) {
        struct outstanding_span span = {i, i + 1, i * 10, (i + 1) * 10};
        assert_true(outstanding_add(&set, &span, &holder, NO_LEASE));
        if (i >= 50) {
            assert_true(outstanding_cut(&set, i - 50, i - 49));
            outstanding_remove(&set, i - 50, i - 49);
        }
        assert_int_equal(set.range_count, 1);
    }
    /* What is given back piece by piece joins, too. */
    for (uint64_t i = 99999; i >= 99960; i--) {
        assert_true(outstanding_cut(&set, i, i + 1));
        outstanding_pass(&set, i, i + 1, NULL, NO_LEASE);
        assert_int_equal(set.range_count, 2);
    }
    assert_true(outstanding_release(&set, &holder));
    assert_int_equal(set.range_count, 1);
    outstanding_clear(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_a_table_of_entries),
        cmocka_unit_test(a_consumer_in_order_has_one_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
