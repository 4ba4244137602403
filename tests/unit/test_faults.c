/*
 * test_faults.c - every disk operation of every kind of call fails once, fails for good, comes back short: the caller
 * is told, nothing acknowledged is lost, nothing that failed appears.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault_rig.h"
#include "store/log.h"

static const struct walrus_consistency strict = {WALRUS_STRICTLY_AT_ONCE, 0};
static const struct walrus_consistency every_two = {WALRUS_AT_LEAST_ONCE, 2};

/* ---- the calls that are swept ------------------------------------------------------------------------------------ */

static void appends_each(struct rig *rig)
{
    for (unsigned i = 0; i < 8; i++)
        rig_append(rig, RIG_EACH, 200 + 900 * i, 0);
}

static void appends_none(struct rig *rig)
{
    for (unsigned i = 0; i < 8; i++)
        rig_append(rig, RIG_NONE, 200 + 900 * i, 0);
    rig_sync_topic(rig, RIG_NONE);
}

static void appends_with_many_segments(struct rig *rig)
{
    for (unsigned i = 0; i < 10; i++)
        rig_append(rig, RIG_EACH, 15000, 0);
}

static void batches_each(struct rig *rig)
{
    rig_batch(rig, RIG_EACH, 3, 100, 0);
    rig_batch(rig, RIG_EACH, 12, 1500, 0);
    rig_batch(rig, RIG_EACH, 2, 30000, 0);
    rig_append(rig, RIG_EACH, 10, 0);
}

static void batches_none(struct rig *rig)
{
    rig_batch(rig, RIG_NONE, 3, 100, 0);
    rig_batch(rig, RIG_NONE, 12, 1500, 0);
    rig_append(rig, RIG_NONE, 10, 0);
    rig_batch(rig, RIG_NONE, 2, 9000, WALRUS_DURABLE);
}

static void shared_batches(struct rig *rig)
{
    rig_shared(rig, 4, 100, 0);
    rig_shared(rig, 9, 3000, 0);
    rig_append(rig, RIG_EACH, 10, 0);
    rig_append(rig, RIG_NONE, 10, 0);
    rig_shared(rig, 2, 30000, 0);
    rig_append(rig, RIG_NONE, 10, 0);
}

/* Nobody syncs but on request: what one topic is asked for takes the other along. */
static void shared_batches_none(struct rig *rig)
{
    if (rig_delete(rig, RIG_EACH) != WALRUS_OK || rig_create(rig, RIG_NEW, WALRUS_SYNC_NONE) != WALRUS_OK)
        return;
    rig_shared(rig, 5, 700, 0);
    rig_append(rig, RIG_NEW, 10, 0);
    rig_sync_topic(rig, RIG_NONE);
    rig_shared(rig, 8, 2500, 0);
    rig_shared(rig, 3, 50, WALRUS_DURABLE);
    rig_shared(rig, 3, 5000, 0);
    rig_delete(rig, RIG_NONE);
    rig_append(rig, RIG_NEW, 10, 0);
}

static void checkpoints_strict(struct rig *rig)
{
    rig_append(rig, RIG_NONE, 500, 0);
    for (unsigned i = 0; i < 4; i++)
        rig_consume(rig, RIG_NONE, &strict);
    rig_consume(rig, RIG_EACH, &strict);
    rig_set_cursor(rig, RIG_EACH, 1);
}

static void checkpoints_at_least_once(struct rig *rig)
{
    for (unsigned i = 0; i < 5; i++)
        rig_consume(rig, RIG_NONE, &every_two);
    for (unsigned i = 0; i < 3; i++)
        rig_consume(rig, RIG_EACH, &every_two);
}

static void creation(struct rig *rig)
{
    if (rig_create(rig, RIG_NEW, WALRUS_SYNC_EACH) == WALRUS_OK)
        rig_append(rig, RIG_NEW, 100, 0);
}

static void deletion(struct rig *rig)
{
    rig_delete(rig, RIG_NONE);
    rig_append(rig, RIG_EACH, 100, 0);
}

static void deletion_and_creation(struct rig *rig)
{
    if (rig_delete(rig, RIG_NONE) == WALRUS_OK && rig_create(rig, RIG_NONE, WALRUS_SYNC_NONE) == WALRUS_OK)
        rig_append(rig, RIG_NONE, 100, WALRUS_DURABLE);
}

static void namespaces(struct rig *rig)
{
    if (rig_make_namespace(rig, "spare") == WALRUS_OK)
        rig_remove_namespace(rig, "spare");
    if (rig_make_namespace(rig, "deep") == WALRUS_OK)
        rig_make_namespace(rig, "deep/er");
}

static void whole_log_sync(struct rig *rig)
{
    rig_append(rig, RIG_NONE, 3000, 0);
    rig_sync(rig);
    rig_append(rig, RIG_NONE, 3000, 0);
    rig_sync(rig);
}

static void closing_and_opening(struct rig *rig)
{
    rig_append(rig, RIG_NONE, 3000, 0);
    rig_consume(rig, RIG_EACH, &every_two);
    if (rig_close(rig) == WALRUS_OK)
        rig_open(rig);
}

static void acknowledgement(struct rig *rig)
{
    rig_append(rig, RIG_NONE, 300, 0);
    rig_take(rig, RIG_NONE, 0, 3);
    rig_acknowledge(rig, RIG_NONE, 0, 1, 1); /* out of turn: nothing moves */
    rig_acknowledge(rig, RIG_NONE, 0, 0, 1);
    rig_take(rig, RIG_EACH, 0, 2);
    rig_acknowledge(rig, RIG_EACH, 0, 0, 2);
}

static void groups(struct rig *rig)
{
    if (rig_make_group(rig, 1) == WALRUS_OK) {
        rig_take(rig, RIG_EACH, 1, 2);
        rig_acknowledge(rig, RIG_EACH, 1, 0, 1);
    }
    rig_make_group(rig, 2);
    if (rig->model.groups[1].exists && rig_remove_group(rig, 1) == WALRUS_OK && rig_make_group(rig, 1) == WALRUS_OK)
        rig_take(rig, RIG_EACH, 1, 1); /* from the beginning */
}

static void trims(struct rig *rig)
{
    for (unsigned i = 0; i < 4; i++)
        rig_append(rig, RIG_NONE, 3000, 0);
    rig_consume(rig, RIG_NONE, &strict);
    rig_trim(rig, RIG_NONE, 2);
    rig_append(rig, RIG_NONE, 3000, 0);
    rig_trim(rig, RIG_NONE, rig->model.topics[RIG_NONE].count);
    rig_append(rig, RIG_NONE, 3000, 0);
    rig_trim(rig, RIG_EACH, 1);
}

static void retention(struct rig *rig)
{
    for (unsigned i = 0; i < 5; i++)
        rig_append(rig, RIG_NONE, 3000, 0);
    rig_retain(rig, RIG_NONE, 4000);
    for (unsigned i = 0; i < 5; i++)
        rig_append(rig, RIG_NONE, 3000, 0);
    rig_retain(rig, RIG_NONE, 2000);
    rig_retain(rig, RIG_NONE, 1000);
}

static const struct sweep {
    const char *name;
    void (*act)(struct rig *rig);
} sweeps[] = {
    {"append, sync each", appends_each},
    {"append, sync none", appends_none},
    {"append through segments", appends_with_many_segments},
    {"batch, sync each", batches_each},
    {"batch, sync none", batches_none},
    {"batch over topics, one syncs", shared_batches},
    {"batch over topics, sync none", shared_batches_none},
    {"strict checkpoints", checkpoints_strict},
    {"at-least-once checkpoints", checkpoints_at_least_once},
    {"take and acknowledge", acknowledgement},
    {"groups", groups},
    {"trim", trims},
    {"retention", retention},
    {"create", creation},
    {"delete", deletion},
    {"delete and create", deletion_and_creation},
    {"namespaces", namespaces},
    {"sync of the log", whole_log_sync},
    {"close and open", closing_and_opening},
};

static uint64_t count_sites(const struct sweep *sweep)
{
    struct rig rig;
    rig_setup(&rig);
    snprintf(rig.site, sizeof rig.site, "%s without faults", sweep->name);
    uint64_t before = memory_disk_operations(rig.disk, MEMORY_DISK_ANY);
    sweep->act(&rig);
    uint64_t sites = memory_disk_operations(rig.disk, MEMORY_DISK_ANY) - before;
    if (rig.failures)
        rig_complain(&rig, "a call failed");
    rig_check_live(&rig);
    rig_check_crashes(&rig, 20);
    rig_check_reopen(&rig);
    rig_teardown(&rig);
    return sites;
}

static void try_site(const struct sweep *sweep, uint64_t nth, int error, enum memory_fault_mode mode)
{
    static const char *const modes[] = {"once", "for good", "short", "short, then an error"};
    struct rig rig;
    rig_setup(&rig);
    memory_disk_knobs(rig.disk)->seed = nth;
    snprintf(rig.site, sizeof rig.site, "%s: operation %llu, errno %d, %s", sweep->name, (unsigned long long)nth, error,
             modes[mode]);
    rig.dies = mode == MEMORY_FAULT_FOR_GOOD;
    memory_disk_fail(rig.disk, MEMORY_DISK_ANY, nth, error, mode);
    sweep->act(&rig);
    memory_disk_clear_faults(rig.disk);
    if (mode == MEMORY_FAULT_SHORT && rig.failures)
        rig_complain(&rig, "a short transfer is no reason to fail");
    if (rig.log)
        rig_check_live(&rig);
    rig_check_crashes(&rig, 4);
    rig_check_reopen(&rig);
    rig_teardown(&rig);
}

static void sweep_all(int error, enum memory_fault_mode mode)
{
    for (size_t i = 0; i < sizeof sweeps / sizeof *sweeps; i++) {
        uint64_t sites = count_sites(&sweeps[i]);
        for (uint64_t nth = 1; nth <= sites; nth++)
            try_site(&sweeps[i], nth, error, mode);
    }
}

static void every_site_fails_once_with_eio(void **state)
{
    (void)state;
    sweep_all(EIO, MEMORY_FAULT_ONCE);
}

static void every_site_fails_once_with_enospc(void **state)
{
    (void)state;
    sweep_all(ENOSPC, MEMORY_FAULT_ONCE);
}

static void every_site_fails_for_good(void **state)
{
    (void)state;
    sweep_all(EIO, MEMORY_FAULT_FOR_GOOD);
}

static void every_site_comes_back_short(void **state)
{
    (void)state;
    sweep_all(EIO, MEMORY_FAULT_SHORT);
}

static void every_site_comes_back_short_and_then_fails(void **state)
{
    (void)state;
    sweep_all(ENOSPC, MEMORY_FAULT_SHORT_THEN_ERROR);
}

/* ---- a full disk ------------------------------------------------------------------------------------------------- */

static void fill_and_free(enum rig_topic topic, bool batches)
{
    struct rig rig;
    rig_setup(&rig);
    snprintf(rig.site, sizeof rig.site, "full disk, topic %s, %s", rig.model.topics[topic].name,
             batches ? "batches" : "appends");
    memory_disk_knobs(rig.disk)->capacity_bytes = memory_disk_used_bytes(rig.disk) + (100 << 10);
    enum walrus_code code = WALRUS_OK;
    for (unsigned i = 0; i < 500 && code == WALRUS_OK; i++)
        code = batches ? rig_batch(&rig, topic, 5, 900, 0) : rig_append(&rig, topic, 2500, 0);
    if (code != WALRUS_E_NO_SPACE || rig.error.system_errno != ENOSPC)
        rig_complain(&rig, "a full disk is %s, errno %d", walrus_code_name(code), rig.error.system_errno);
    for (unsigned i = 0; i < 5; i++) {
        if (rig_batch(&rig, topic, 20, 2000, 0) != WALRUS_E_NO_SPACE)
            rig_complain(&rig, "a full disk took a large batch");
    }
    rig_check_live(&rig);
    rig_check_crashes(&rig, 20);
    memory_disk_knobs(rig.disk)->capacity_bytes += 500 << 10;
    for (unsigned i = 0; i < 10; i++) {
        code = batches ? rig_batch(&rig, topic, 5, 900, 0) : rig_append(&rig, topic, 2500, 0);
        if (code != WALRUS_OK)
            rig_complain(&rig, "appends do not resume when space returns");
    }
    rig_check_live(&rig);
    rig_check_crashes(&rig, 20);
    rig_check_reopen(&rig);
    rig_teardown(&rig);
}

static void appends_resume_after_a_full_disk(void **state)
{
    (void)state;
    fill_and_free(RIG_EACH, false);
    fill_and_free(RIG_EACH, true);
    fill_and_free(RIG_NONE, false);
    fill_and_free(RIG_NONE, true);
}

static void a_full_disk_can_be_reopened_and_read_and_deleted_from(void **state)
{
    struct rig rig;
    (void)state;
    rig_setup(&rig);
    snprintf(rig.site, sizeof rig.site, "reopening on a full disk");
    memory_disk_knobs(rig.disk)->capacity_bytes = memory_disk_used_bytes(rig.disk) + (100 << 10);
    for (unsigned i = 0; i < 500; i++) {
        if (rig_append(&rig, RIG_EACH, 2500, 0) != WALRUS_OK)
            break;
    }
    rig_close(&rig);
    if (rig_open(&rig) != WALRUS_OK)
        rig_complain(&rig, "a full disk cannot be opened");
    rig_check_live(&rig);
    if (rig_consume(&rig, RIG_EACH, &strict) != WALRUS_OK)
        rig_complain(&rig, "a full disk cannot be consumed from");
    if (rig_delete(&rig, RIG_EACH) != WALRUS_OK)
        rig_complain(&rig, "nothing can be deleted from a full disk");
    if (rig_append(&rig, RIG_NONE, 20000, 0) != WALRUS_OK)
        rig_complain(&rig, "the space of a deleted topic does not return");
    rig_check_live(&rig);
    rig_check_reopen(&rig);
    rig_teardown(&rig);
}

/* ---- a failed sync ----------------------------------------------------------------------------------------------- */

static void a_failed_sync_poisons_the_topic_until_reopened(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct rig rig;
        struct walrus_topic_info info;
        rig_setup(&rig);
        snprintf(rig.site, sizeof rig.site, "failed sync, seed %llu", (unsigned long long)seed);
        memory_disk_knobs(rig.disk)->seed = seed;
        rig_append(&rig, RIG_EACH, 700, 0);
        memory_disk_fail(rig.disk, MEMORY_DISK_SYNC, 1, EIO, MEMORY_FAULT_ONCE);
        if (rig_append(&rig, RIG_EACH, 700, 0) != WALRUS_E_IO || rig.error.system_errno != EIO)
            rig_complain(&rig, "the append whose sync failed says ok, or something else than EIO");
        for (unsigned i = 0; i < 3; i++) {
            if (rig_append(&rig, RIG_EACH, 10, 0) != WALRUS_E_REFUSED)
                rig_complain(&rig, "an append after a failed sync is not refused");
            if (rig_batch(&rig, RIG_EACH, 2, 10, 0) != WALRUS_E_REFUSED)
                rig_complain(&rig, "a batch after a failed sync is not refused");
        }
        if (walrus_topic_info(rig.model.topics[RIG_EACH].handle, &info, NULL) != WALRUS_OK || !info.refuses_appends)
            rig_complain(&rig, "the topic does not say that it refuses appends");
        if (info.durable_sequence > rig.model.topics[RIG_EACH].count)
            rig_complain(&rig, "the topic claims what failed to be durable");
        rig_check_live(&rig);
        rig_check_crashes(&rig, 10);
        rig_check_reopen(&rig);
        rig_teardown(&rig);
    }
}

static void a_failed_explicit_sync_never_becomes_a_success(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct rig rig;
        rig_setup(&rig);
        snprintf(rig.site, sizeof rig.site, "failed explicit sync, seed %llu", (unsigned long long)seed);
        memory_disk_knobs(rig.disk)->seed = seed;
        rig_append(&rig, RIG_NONE, 700, 0);
        memory_disk_fail(rig.disk, MEMORY_DISK_SYNC, 1, EIO, MEMORY_FAULT_ONCE);
        if (rig_sync_topic(&rig, RIG_NONE) == WALRUS_OK)
            rig_complain(&rig, "a failed sync says ok");
        if (rig_sync_topic(&rig, RIG_NONE) == WALRUS_OK || rig_sync(&rig) == WALRUS_OK)
            rig_complain(&rig, "the sync after a failed one claims the data");
        if (rig_append(&rig, RIG_NONE, 10, 0) != WALRUS_E_REFUSED)
            rig_complain(&rig, "an append after a failed sync is not refused");
        rig_check_live(&rig);
        rig_check_crashes(&rig, 10);
        if (rig_close(&rig) == WALRUS_OK)
            rig_complain(&rig, "close says that all is durable");
        rig_check_reopen(&rig);
        rig_teardown(&rig);
    }
}

/* ---- reads and locks --------------------------------------------------------------------------------------------- */

static void a_read_error_is_not_the_end(void **state)
{
    struct rig rig;
    (void)state;
    rig_setup(&rig);
    snprintf(rig.site, sizeof rig.site, "read error");
    struct walrus_topic *topic = NULL;
    struct walrus_entries entries = {0};
    struct walrus_read_limits limits = {.max_bytes = 100000};
    struct walrus_error error = {0};
    assert_int_equal(walrus_topic_open(rig.log, "a", 0, NULL, &topic, &error), WALRUS_OK);
    memory_disk_fail(rig.disk, MEMORY_DISK_READ, 1, EIO, MEMORY_FAULT_ONCE);
    struct walrus_position position = {0};
    if (walrus_read_entries(topic, &position, &limits, &entries, &error) != WALRUS_E_IO)
        rig_complain(&rig, "a read error was not reported");
    if (position.sequence != 0)
        rig_complain(&rig, "a failed read moved the position");
    size_t got = 0;
    char buffer[100];
    memory_disk_fail(rig.disk, MEMORY_DISK_READ, 1, EIO, MEMORY_FAULT_ONCE);
    position = (struct walrus_position){0};
    if (walrus_read_stream(topic, &position, 0, buffer, sizeof buffer, &got, &error) != WALRUS_E_IO)
        rig_complain(&rig, "a read error in the stream was not reported");
    walrus_entries_free(&entries);
    walrus_topic_close(topic);
    rig_close(&rig);
    unsigned of_mark = 0; /* the two reads of the clean mark, which one can do without */
    for (uint64_t nth = 1; nth < 100; nth++) {
        snprintf(rig.site, sizeof rig.site, "read error %llu of an open", (unsigned long long)nth);
        uint64_t hits = memory_disk_fault_hits(rig.disk, MEMORY_DISK_READ);
        memory_disk_fail(rig.disk, MEMORY_DISK_READ, nth, EIO, MEMORY_FAULT_ONCE);
        enum walrus_code code = rig_open(&rig);
        memory_disk_clear_faults(rig.disk);
        bool hit = memory_disk_fault_hits(rig.disk, MEMORY_DISK_READ) > hits;
        if (hit && code != WALRUS_E_IO && (code != WALRUS_OK || ++of_mark > 2))
            rig_complain(&rig, "opening says %s", walrus_code_name(code));
        if (code == WALRUS_OK)
            rig_check_live(&rig);
        if (rig.log)
            rig_close(&rig);
        rig.log = NULL;
        if (!hit)
            break;
    }
    rig_check_reopen(&rig);
    rig_teardown(&rig);
}

static void an_interrupted_call_is_repeated(void **state)
{
    static const enum memory_disk_kind kinds[] = {MEMORY_DISK_READ, MEMORY_DISK_WRITE, MEMORY_DISK_REQUEST};
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct rig rig;
        rig_setup(&rig);
        snprintf(rig.site, sizeof rig.site, "EINTR in %s", memory_disk_kind_name(kinds[i]));
        memory_disk_fail(rig.disk, kinds[i], 1, EINTR, MEMORY_FAULT_ONCE);
        memory_disk_fail(rig.disk, kinds[i], 3, EINTR, MEMORY_FAULT_ONCE);
        appends_each(&rig);
        batches_each(&rig);
        checkpoints_strict(&rig);
        rig_check_live(&rig);
        if (rig.failures)
            rig_complain(&rig, "an interrupted call failed");
        rig_check_reopen(&rig);
        rig_teardown(&rig);
    }
}

static void a_second_opener_is_told_who_holds_the_log(void **state)
{
    struct rig rig;
    struct walrus_log *second = NULL;
    struct walrus_error error = {0};
    (void)state;
    rig_setup(&rig);
    assert_int_equal(log_open_on(memory_disk_open(rig.disk), &rig.options, &second, &error), WALRUS_E_BUSY);
    assert_non_null(strstr(error.message, "memory disk"));
    rig_check_reopen(&rig);
    rig_teardown(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_site_fails_once_with_eio),
        cmocka_unit_test(every_site_fails_once_with_enospc),
        cmocka_unit_test(every_site_fails_for_good),
        cmocka_unit_test(every_site_comes_back_short),
        cmocka_unit_test(every_site_comes_back_short_and_then_fails),
        cmocka_unit_test(appends_resume_after_a_full_disk),
        cmocka_unit_test(a_full_disk_can_be_reopened_and_read_and_deleted_from),
        cmocka_unit_test(a_failed_sync_poisons_the_topic_until_reopened),
        cmocka_unit_test(a_failed_explicit_sync_never_becomes_a_success),
        cmocka_unit_test(a_read_error_is_not_the_end),
        cmocka_unit_test(an_interrupted_call_is_repeated),
        cmocka_unit_test(a_second_opener_is_told_who_holds_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
