/* cplusplus.cpp - the library from C++, as any standard from C++98 on compiles it, with the shared library. */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <walrus/walrus.h>
#include <walrus/walrus_inspect.h>

static void require(bool good, const char *what)
{
    if (!good) {
        std::fprintf(stderr, "failed: %s\n", what);
        std::exit(1);
    }
}

#define OK(call) require((call) == WALRUS_OK, #call)

extern "C" {
static int count_name(const struct walrus_node *node, void *context)
{
    *static_cast<std::string *>(context) += node->name;
    return 0;
}

static void count_wake(void *context)
{
    ++*static_cast<int *>(context);
}
}

int main()
{
    char version[32];
    std::sprintf(version, "%d.%d.%d", WALRUS_VERSION_MAJOR, WALRUS_VERSION_MINOR, WALRUS_VERSION_PATCH);
    require(std::strcmp(walrus_version(), version) == 0, "the library's version is the header's");

    char directory[] = "/tmp/walrus-cplusplus-XXXXXX";
    require(mkdtemp(directory) != NULL, "mkdtemp");
    struct walrus_error error;
    struct walrus_options options;
    OK(walrus_options_init(&options, &error));
    std::string data_dir = std::string(directory) + "/log";
    options.data_dir = data_dir.c_str();
    options.instance_key = NULL;
    options.sync.mode = WALRUS_SYNC_NONE;

    struct walrus_log *log = NULL;
    struct walrus_topic *topic = NULL;
    OK(walrus_open(&options, &log, &error));
    OK(walrus_topic_open(log, "a/b", WALRUS_CREATE | WALRUS_CREATE_PARENTS, NULL, &topic, &error));
    int wakes = 0;
    struct walrus_watch *watch = NULL;
    OK(walrus_watch_create(topic, count_wake, &wakes, &watch, &error));
    OK(walrus_append(topic, "one", 3, WALRUS_DURABLE, NULL, &error));
    require(wakes == 1, "the watch was woken");
    walrus_watch_destroy(watch);

    struct walrus_position position = walrus_position();
    struct walrus_entries entries = walrus_entries();
    struct walrus_read_limits limits = walrus_read_limits();
    OK(walrus_read_entries(topic, &position, &limits, &entries, &error));
    require(entries.count == 1 && entries.items[0].length == 3, "the entry is there");
    require(std::memcmp(entries.items[0].data, "one", 3) == 0, "the entry is the one");
    walrus_entries_free(&entries);

    struct walrus_topic_info info;
    OK(walrus_topic_info(topic, &info, &error));
    require(info.next_sequence == 1, "info");
    std::string names;
    OK(walrus_list_topics(log, count_name, &names, &error));
    require(names == "a/b", "list");
    require(walrus_topic_open(log, "none", 0, NULL, &topic, &error) == WALRUS_E_NOT_FOUND, "an error comes back");
    require(std::string(walrus_code_name(error.code)) == "not found", "a code has a name");
    walrus_topic_close(topic);
    OK(walrus_close(log, &error));
    struct walrus_inspect_summary summary;
    OK(walrus_inspect(options.data_dir, NULL, 0, NULL, NULL, &summary, &error));
    require(summary.entries == 1 && summary.damaged == 0, "inspect");
    std::string remove = std::string("rm -rf ") + directory;
    return std::system(remove.c_str()) == 0 ? 0 : 1;
}
