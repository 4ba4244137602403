#include "crash_script.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

bool script_is_done(const struct script *script)
{
    return script->visits->finding.found || script->visits->states >= script->plan->states_max ||
           now_s() > script->plan->deadline_s;
}

static void name_finding(struct script *script, bool killed)
{
    struct finding *finding = &script->visits->finding;
    char reproduction[240];
    snprintf(reproduction, sizeof reproduction,
             "\n  while: %s; crash mode %s\n  again: --script %llu --operation %llu --crash %llu%s",
             script->model.in_flight, memory_crash_mode_name(memory_crash_mode_of(script->crash_seed)),
             (unsigned long long)script->plan->seed, (unsigned long long)script->operation,
             (unsigned long long)script->crash_seed, killed ? " --kill" : "");
    size_t used = strlen(finding->text);
    if (used + strlen(reproduction) >= sizeof finding->text)
        used = sizeof finding->text - strlen(reproduction) - 1;
    strcpy(finding->text + used, reproduction);
}

/* In the middle of whatever call is running. */
static void explore(struct memory_disk *disk, enum memory_disk_kind kind, void *context)
{
    struct script *script = context;
    const struct script_plan *plan = script->plan;
    (void)kind;
    if (!pthread_equal(pthread_self(), script->thread))
        return;
    script->operation++;
    if ((plan->only_operation && script->operation != plan->only_operation) || script_is_done(script))
        return;
    struct expected_log expected;
    bool killed = false;
    expect_from_model(&expected, &script->model);
    unsigned crashes = plan->only_crash ? !plan->only_kill : plan->crashes_per_operation;
    if (memory_disk_unsynced(disk) == 0 && crashes > 1)
        crashes = 1;
    for (unsigned i = 0; i < crashes && !script->visits->finding.found; i++) {
        script->crash_seed =
            plan->only_crash ? plan->only_crash : random_mix(random_mix(plan->seed, script->operation), i) | 1;
        visit_crash(script->visits, disk, &expected, script->crash_seed);
    }
    /* A failed sync may take from the running system what it had accepted: then a kill proves nothing. */
    if (!script->visits->finding.found && !script->after_cut &&
        memory_disk_fault_hits(disk, MEMORY_DISK_SYNC) + memory_disk_fault_hits(disk, MEMORY_DISK_SYNC_DIRECTORY) ==
            0 &&
        (plan->only_kill || (!plan->only_crash && random_mix(plan->seed, script->operation) % 3 == 0))) {
        expect_after_kill(&expected, &script->model);
        script->crash_seed =
            plan->only_crash ? plan->only_crash : random_mix(random_mix(plan->seed, script->operation), 999) | 1;
        killed = true;
        visit_kill(script->visits, disk, &expected, script->crash_seed);
    }
    if (script->visits->finding.found)
        name_finding(script, killed);
}

static void choose_options(struct script *script)
{
    static const uint32_t block_bytes[] = {4 << 10, 8 << 10, 16 << 10, 64 << 10};
    static const enum walrus_sync_mode modes[] = {WALRUS_SYNC_EACH, WALRUS_SYNC_NONE, WALRUS_SYNC_EVERY};
    struct walrus_options *options = &script->visits->options;
    struct random_source *random = &script->random;
    memset(options, 0, sizeof *options);
    options->data_dir = "memory";
    /* The interval never ends in a test: what is durable follows from the calls alone. */
    options->sync = (struct walrus_sync_policy){modes[random_below(random, 3)], 3600000};
    options->consistency.mode = random_percent(random, 50) ? WALRUS_STRICTLY_AT_ONCE : WALRUS_AT_LEAST_ONCE;
    options->consistency.interval_entries = 1 + (uint32_t)random_below(random, 6);
    options->retention.mode = random_percent(random, 50) ? WALRUS_RETAIN_CONSUMED : WALRUS_RETAIN_ALL;
    options->create = true;
    options->batch_entries_max = WALRUS_BATCH_ENTRIES_MAX;
    options->segment_bytes = (64u << 10) << random_below(random, 3);
    options->block_bytes_max = block_bytes[random_below(random, 4)];
    /* Marks while the log is open, now and then. */
    options->mark_bytes = random_percent(random, 70) ? random_between(random, 4, 200) << 10 : 0;
}

static void arm_fault(struct script *script, uint64_t within)
{
    static const enum memory_disk_kind kinds[] = {
        MEMORY_DISK_WRITE, MEMORY_DISK_REQUEST,        MEMORY_DISK_SYNC,      MEMORY_DISK_ALLOCATE,
        MEMORY_DISK_OPEN,  MEMORY_DISK_SYNC_DIRECTORY, MEMORY_DISK_ANY_CHANGE};
    static const enum memory_fault_mode modes[] = {MEMORY_FAULT_ONCE, MEMORY_FAULT_SHORT,
                                                   MEMORY_FAULT_SHORT_THEN_ERROR};
    struct random_source *random = &script->random;
    script->may_fail = true;
    if (random_percent(random, 25)) {
        memory_disk_knobs(script->disk)->capacity_bytes = random_between(random, 20, 200) << 10;
        return;
    }
    memory_disk_fail(script->disk, kinds[random_below(random, sizeof kinds / sizeof *kinds)],
                     1 + random_below(random, within), random_percent(random, 50) ? EIO : ENOSPC,
                     modes[random_below(random, 3)]);
}

void script_run(const struct script_plan *plan, struct crash_visits *visits, uint64_t *operations, uint64_t *calls)
{
    struct script script = {.plan = plan, .visits = visits, .thread = pthread_self()};
    script.random.state = random_mix(plan->seed, 5);
    model_init(&script.model, plan->seed);
    script.disk = memory_disk_create();
    struct memory_disk_knobs *knobs = memory_disk_knobs(script.disk);
    knobs->seed = plan->seed;
    knobs->atomic_sectors = plan->atomic_sectors;
    knobs->lies_sync = plan->lies_sync;
    knobs->lies_directory_sync = plan->lies_directory_sync;
    knobs->reorders = plan->reorders;
    knobs->on_operation = explore;
    knobs->on_operation_context = &script;
    choose_options(&script);
    size_t call_count = random_between(&script.random, 20, 60);
    bool with_fault = random_percent(&script.random, plan->fault_percent);

    if (script_open_log(&script)) {
        if (with_fault)
            arm_fault(&script, call_count);
        for (size_t i = random_below(&script.random, 4); i > 0 && !script.over; i--)
            script_change_group(&script);
        while (script.calls < call_count && !script.over && !script_is_done(&script))
            script_call(&script);
        script.model.in_flight = script.over ? script.model.in_flight : "nothing";
        explore(script.disk, MEMORY_DISK_ANY, &script);
    }
    if (!script.over)
        script_close_log(&script);
    if (!script_is_done(&script) && !script.over)
        explore(script.disk, MEMORY_DISK_ANY, &script);
    /* A script that is over holds handles whose calls may fail: only the memory is wanted back. */
    memory_disk_knobs(script.disk)->on_operation = NULL;
    script.may_fail = true;
    if (script.over)
        script_close_log(&script);
    *operations += script.operation;
    *calls += script.calls;
    model_fini(&script.model);
    memory_disk_destroy(script.disk);
}
