/*
 * memory_disk_crash.c - which unsynced changes a power cut (or a failed sync) lets through.
 *
 * Changes are walked from the oldest to the newest, and each unit of them (a sector of a write, a size, a page of a
 * punched range, a name) asks the plan for its fate. "An earlier write wins over a later one" is the case where the
 * later is lost.
 */
#include "memory_disk_state.h"

#include <stdlib.h>
#include <string.h>

enum fate { FATE_LOST, FATE_KEPT, FATE_TORN };

const char *memory_crash_mode_name(enum memory_crash_mode mode)
{
    static const char *const names[] = {"loses-all", "keeps-all", "random", "writes", "files",  "all-but-one",
                                        "only-one",  "only-last", "prefix", "suffix", "by-seed"};
    return (unsigned)mode < sizeof names / sizeof *names ? names[mode] : "?";
}

enum memory_crash_mode memory_crash_mode_of(uint64_t seed)
{
    static const struct {
        enum memory_crash_mode mode;
        unsigned percent;
    } shares[] = {
        {MEMORY_CRASH_LOSES_ALL, 7}, {MEMORY_CRASH_KEEPS_ALL, 7}, {MEMORY_CRASH_RANDOM, 30},
        {MEMORY_CRASH_WRITES, 14},   {MEMORY_CRASH_FILES, 7},     {MEMORY_CRASH_ALL_BUT_ONE, 10},
        {MEMORY_CRASH_ONLY_ONE, 5},  {MEMORY_CRASH_ONLY_LAST, 5}, {MEMORY_CRASH_PREFIX, 10},
        {MEMORY_CRASH_SUFFIX, 5},
    };
    unsigned drawn = (unsigned)(random_mix(seed, 7) % 100);
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        if (drawn < shares[i].percent)
            return shares[i].mode;
        drawn -= shares[i].percent;
    }
    return MEMORY_CRASH_RANDOM;
}

static size_t sectors_of(const struct change *change)
{
    if (change->kind != CHANGE_WRITE)
        return 1;
    uint64_t first = change->offset / MEMORY_SECTOR_BYTES;
    uint64_t last = (change->offset + change->length - 1) / MEMORY_SECTOR_BYTES;
    return (size_t)(last - first + 1);
}

size_t change_units(const struct change *newest)
{
    size_t units = 0;
    for (; newest; newest = newest->older)
        units += sectors_of(newest) + (newest->kind == CHANGE_WRITE);
    return units;
}

static uint64_t oldest_order(const struct change *newest, uint64_t so_far)
{
    for (; newest; newest = newest->older)
        so_far = newest->order < so_far ? newest->order : so_far;
    return so_far;
}

void crash_plan_make(struct crash_plan *plan, struct memory_disk *disk, uint64_t seed, enum memory_crash_mode mode)
{
    static const unsigned densities[] = {2, 10, 30, 50, 70, 90, 98};
    memset(plan, 0, sizeof *plan);
    plan->random.state = random_mix(seed, 11);
    plan->mode = mode == MEMORY_CRASH_BY_SEED ? memory_crash_mode_of(seed) : mode;
    plan->keep_percent = densities[random_below(&plan->random, sizeof densities / sizeof *densities)];
    plan->torn_percent = random_percent(&plan->random, 50) ? 0 : 15;
    plan->whole_sectors = random_percent(&plan->random, 50);
    plan->never_torn = disk->knobs.atomic_sectors;
    plan->whole_sectors |= plan->never_torn;
    plan->sizes_kept = random_percent(&plan->random, 60);

    uint64_t units = change_units(disk->name_changes);
    uint64_t oldest = oldest_order(disk->name_changes, disk->next_order);
    uint64_t newest = disk->name_changes ? disk->name_changes->order : 0;
    for (size_t i = 0; i < disk->inode_count; i++) {
        struct change *changes = disk->inodes[i].changes;
        if (!changes)
            continue;
        units += change_units(changes);
        oldest = oldest_order(changes, oldest);
        newest = changes->order > newest ? changes->order : newest;
    }
    plan->chosen_unit = units ? random_below(&plan->random, units) : 0;
    plan->chosen_order = newest;
    if ((plan->mode == MEMORY_CRASH_PREFIX || plan->mode == MEMORY_CRASH_SUFFIX) && newest >= oldest)
        plan->chosen_order = random_between(&plan->random, oldest, newest);
}

static enum fate fate_by_density(struct crash_plan *plan, bool tearable)
{
    if (tearable && random_percent(&plan->random, plan->torn_percent))
        return FATE_TORN;
    return random_percent(&plan->random, plan->keep_percent) ? FATE_KEPT : FATE_LOST;
}

static enum fate unit_fate(struct crash_plan *plan, const struct change *change, bool tearable)
{
    uint64_t unit = plan->unit++;
    tearable &= !plan->never_torn;
    enum fate otherwise = tearable && random_percent(&plan->random, 30) ? FATE_TORN : FATE_LOST;
    switch (plan->mode) {
    case MEMORY_CRASH_LOSES_ALL:
        return FATE_LOST;
    case MEMORY_CRASH_KEEPS_ALL:
        return FATE_KEPT;
    case MEMORY_CRASH_WRITES:
        return plan->keep_current_write ? FATE_KEPT : FATE_LOST;
    case MEMORY_CRASH_FILES:
        return plan->keep_current_file ? FATE_KEPT : FATE_LOST;
    case MEMORY_CRASH_ALL_BUT_ONE:
        return unit == plan->chosen_unit ? otherwise : FATE_KEPT;
    case MEMORY_CRASH_ONLY_ONE:
        return unit == plan->chosen_unit ? FATE_KEPT : FATE_LOST;
    case MEMORY_CRASH_ONLY_LAST:
        return change->order == plan->chosen_order ? FATE_KEPT : FATE_LOST;
    case MEMORY_CRASH_PREFIX:
        if (change->order == plan->chosen_order)
            return fate_by_density(plan, tearable);
        return change->order < plan->chosen_order ? FATE_KEPT : FATE_LOST;
    case MEMORY_CRASH_SUFFIX:
        return change->order >= plan->chosen_order ? FATE_KEPT : FATE_LOST;
    case MEMORY_CRASH_RANDOM:
    default:
        return fate_by_density(plan, tearable);
    }
}

static bool size_is_kept(struct crash_plan *plan, const struct change *change)
{
    enum fate fate = unit_fate(plan, change, false);
    return fate == FATE_KEPT || (plan->mode == MEMORY_CRASH_RANDOM && plan->sizes_kept);
}

static void copy_range(struct memory_image **to, const struct memory_image *from, uint64_t start, uint64_t end)
{
    uint8_t bytes[MEMORY_SECTOR_BYTES];
    if (end <= start)
        return;
    memory_image_read(from, bytes, (size_t)(end - start), start);
    memory_image_own(to);
    memory_image_write(*to, bytes, (size_t)(end - start), start);
}

/* `cache`: the file as the page cache has it once this write was made. */
static void crash_write(struct crash_plan *plan, const struct change *change, const struct memory_image *cache,
                        struct memory_image **left)
{
    uint64_t write_end = change->offset + change->length;
    for (uint64_t sector = change->offset / MEMORY_SECTOR_BYTES; sector * MEMORY_SECTOR_BYTES < write_end; sector++) {
        uint64_t start = sector * MEMORY_SECTOR_BYTES;
        uint64_t end = start + MEMORY_SECTOR_BYTES;
        enum fate fate = unit_fate(plan, change, true);
        if (fate == FATE_LOST)
            continue;
        if (!plan->whole_sectors) {
            start = start > change->offset ? start : change->offset;
            end = end < write_end ? end : write_end;
        }
        if (fate == FATE_TORN) {
            uint64_t edge = random_between(&plan->random, start, end);
            if (random_percent(&plan->random, 50))
                start = edge;
            else
                end = edge;
        }
        copy_range(left, cache, start, end);
    }
}

static void crash_punch(struct crash_plan *plan, const struct change *change, struct memory_image **left)
{
    uint64_t end = change->offset + change->length;
    uint64_t offset = change->offset;
    uint64_t limit = (uint64_t)(*left)->page_count * MEMORY_PAGE_BYTES;
    while (offset < end && offset < limit) {
        uint64_t page_end = (offset / MEMORY_PAGE_BYTES + 1) * MEMORY_PAGE_BYTES;
        page_end = page_end < end ? page_end : end;
        if (unit_fate(plan, change, false) == FATE_KEPT) {
            memory_image_own(left);
            memory_image_punch(*left, offset, page_end - offset);
        }
        offset = page_end;
    }
}

struct memory_image *crash_file(struct crash_plan *plan, const struct inode *inode)
{
    struct memory_image *left = memory_image_reference(inode->durable);
    if (!inode->changes)
        return left;
    plan->keep_current_file = random_percent(&plan->random, 50);
    if (plan->mode == MEMORY_CRASH_LOSES_ALL)
        return left;
    if (plan->mode == MEMORY_CRASH_KEEPS_ALL && !inode->diverged) {
        memory_image_release(left);
        return memory_image_reference(inode->shown);
    }
    struct memory_image *cache = memory_image_reference(inode->durable);
    size_t count;
    struct change **changes = change_array(inode->changes, &count);
    uint64_t size_bytes = left->size_bytes;
    for (size_t i = 0; i < count; i++) {
        const struct change *change = changes[i];
        uint64_t end = change->offset + change->length;
        plan->keep_current_write = random_percent(&plan->random, plan->keep_percent);
        switch (change->kind) {
        case CHANGE_WRITE:
            memory_image_own(&cache);
            memory_image_write(cache, change->bytes, change->length, change->offset);
            crash_write(plan, change, cache, &left);
            if (size_is_kept(plan, change) && end > size_bytes)
                size_bytes = end;
            break;
        case CHANGE_ALLOCATE:
            if (size_is_kept(plan, change)) {
                size_bytes = end > size_bytes ? end : size_bytes;
                memory_image_own(&left);
                memory_image_reserve(left, change->offset, change->length);
            }
            break;
        case CHANGE_TRUNCATE:
            memory_image_own(&cache);
            memory_image_resize(cache, change->offset);
            if (unit_fate(plan, change, false) == FATE_KEPT) {
                memory_image_own(&left);
                memory_image_resize(left, change->offset);
                size_bytes = change->offset;
            }
            break;
        case CHANGE_PUNCH:
            memory_image_own(&cache);
            memory_image_punch(cache, change->offset, change->length);
            crash_punch(plan, change, &left);
            break;
        default:
            break;
        }
    }
    free(changes);
    memory_image_release(cache);
    if (left->size_bytes != size_bytes || left->page_count > size_bytes / MEMORY_PAGE_BYTES) {
        memory_image_own(&left);
        memory_image_resize(left, size_bytes);
    }
    return left;
}

void crash_names(struct crash_plan *plan, struct change *newest, struct name_table *names)
{
    size_t count;
    struct change **changes = change_array(newest, &count);
    plan->keep_current_file = random_percent(&plan->random, 50);
    for (size_t i = 0; i < count; i++) {
        const struct change *change = changes[i];
        plan->keep_current_write = random_percent(&plan->random, plan->keep_percent);
        if (unit_fate(plan, change, false) != FATE_KEPT)
            continue;
        if (change->kind == CHANGE_UNLINK)
            names_remove(names, change->name, change->inode);
        else
            names_place(names, change->kind == CHANGE_RENAME ? change->new_name : change->name, change->inode);
    }
    free(changes);
}
