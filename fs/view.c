#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "open_file.h"

static uint64_t size_of_topic(const struct walrus_topic_info *info, uint64_t base_offset)
{
    return info->next_offset - base_offset;
}

/* A row's place is part of the inode numbers of its files: new ones go to the end. */
static const struct view views[] = {
    [VIEW_TOPICS] = {.name = "",
                     .shape = VIEW_TREE,
                     .file_mode = 07777,
                     .directory_mode = 07777,
                     .size = size_of_topic,
                     .kind = &file_kind_topic,
                     .choose = view_choose_topic,
                     .names = &view_names_topics},
    {.name = ".drain",
     .shape = VIEW_TREE,
     .file_mode = 0444,
     .directory_mode = 01555,
     .has_groups = true,
     .kind = &file_kind_drain,
     .choose = view_choose_drain,
     .names = &view_names_groups},
    {.name = ".batch", .shape = VIEW_FILE, .file_mode = 0666, .writable = true, .kind = &file_kind_batch},
    {.name = ".consume",
     .shape = VIEW_TREE,
     .file_mode = 0666,
     .directory_mode = 01555,
     .has_groups = true,
     .kind = &file_kind_take,
     .choose = view_choose_consume,
     .names = &view_names_groups},
    {.name = ".stat", .shape = VIEW_TREE, .file_mode = 0444, .directory_mode = 0555, .kind = &file_kind_stat},
    {.name = ".records", .shape = VIEW_TREE, .file_mode = 0444, .directory_mode = 0555, .kind = &file_kind_records},
    {.name = ".config",
     .shape = VIEW_TREE,
     .file_mode = 0666,
     .directory_mode = 0555,
     .writable = true,
     .kind = &file_kind_config},
    {.name = ".walrus", .shape = VIEW_DIRECTORY, .directory_mode = 0555},
    {.name = "version", .directory = ".walrus", .shape = VIEW_FILE, .file_mode = 0444, .kind = &file_kind_version},
    {.name = "options", .directory = ".walrus", .shape = VIEW_FILE, .file_mode = 0444, .kind = &file_kind_options},
    {.name = "stats.json", .directory = ".walrus", .shape = VIEW_FILE, .file_mode = 0444, .kind = &file_kind_stats},
    {.name = "metrics", .directory = ".walrus", .shape = VIEW_FILE, .file_mode = 0444, .kind = &file_kind_metrics},
    {.name = "errors", .directory = ".walrus", .shape = VIEW_FILE, .file_mode = 0444, .kind = &file_kind_errors},
    {.name = ".peek",
     .shape = VIEW_TREE,
     .file_mode = 0444,
     .directory_mode = 01555,
     .has_groups = true,
     .kind = &file_kind_peek,
     .names = &view_names_groups},
    {.name = ".cursor",
     .shape = VIEW_TREE,
     .file_mode = 0666,
     .directory_mode = 01555,
     .has_groups = true,
     .writable = true,
     .kind = &file_kind_cursor,
     .names = &view_names_groups},
    {.name = ".follow", .shape = VIEW_TREE, .file_mode = 0444, .directory_mode = 01555, .kind = &file_kind_follow},
};

#define VIEW_COUNT (sizeof views / sizeof views[0])

const struct view *view_by_number(unsigned number)
{
    return number < VIEW_COUNT ? &views[number] : NULL;
}

const struct view *view_of(const struct node *node)
{
    return &views[node->view];
}

bool view_holds_groups(const struct node *directory)
{
    return view_of(directory)->has_groups && directory->name[0] == '\0' && directory->group == NULL;
}

bool view_is_root(const struct node *node)
{
    return node->view == VIEW_TOPICS && node->name[0] == '\0';
}

static bool is_in(const struct view *view, const struct node *directory)
{
    if (view->directory == NULL) {
        return view_is_root(directory);
    }
    return view_of(directory)->shape == VIEW_DIRECTORY && strcmp(view->directory, view_of(directory)->name) == 0;
}

unsigned view_find(const struct node *directory, const char *name)
{
    for (unsigned number = 1; number < VIEW_COUNT; number++) {
        if (strcmp(views[number].name, name) == 0 && is_in(&views[number], directory)) {
            return number;
        }
    }
    return VIEW_NONE;
}

bool view_list(const struct node *directory, bool (*visit)(unsigned number, const struct view *view, void *context),
               void *context)
{
    for (unsigned number = 1; number < VIEW_COUNT; number++) {
        if (is_in(&views[number], directory) && !visit(number, &views[number], context)) {
            return false;
        }
    }
    return true;
}

int view_check_flags(int flags, bool writable)
{
    bool wants_to_change = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
    return wants_to_change && !writable ? EPERM : 0;
}
