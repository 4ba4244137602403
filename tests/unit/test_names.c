/* test_names.c - topics and namespaces: made, found, listed, changed, removed; by whom a name is taken, and for how
 * long. */
#include "temp_log.h"

#include "store/segment_set.h"

static enum walrus_code try_topic(struct temp_log *temp, const char *name, unsigned flags)
{
    struct walrus_topic *topic = NULL;
    enum walrus_code code = walrus_topic_open(temp->log, name, flags, NULL, &topic, &failure);
    walrus_topic_close(topic);
    return code;
}

static uint64_t id_of(struct temp_log *temp, const char *name)
{
    struct walrus_node node = {0};
    OK(walrus_lookup(temp->log, name, &node, &failure));
    return node.id;
}

/* The names of a listing, sorted, each followed by a space. */
struct listing {
    char text[8192];
    size_t count;
    char *names[1024];
};

static int note(const struct walrus_node *node, void *context)
{
    struct listing *listing = context;
    char line[1100];
    snprintf(line, sizeof(line), "%s%s ", node->name, node->kind == WALRUS_NODE_NAMESPACE ? "/" : "");
    listing->names[listing->count++] = strdup(line);
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static const char *sorted(struct listing *listing)
{
    qsort(listing->names, listing->count, sizeof(char *), by_text);
    listing->text[0] = '\0';
    for (size_t i = 0; i < listing->count; i++) {
        strcat(listing->text, listing->names[i]);
        free(listing->names[i]);
    }
    listing->count = 0;
    return listing->text;
}

#define assert_listed(temp, where, wanted)                                                                             \
    do {                                                                                                               \
        static struct listing listing_;                                                                                \
        OK(walrus_list((temp)->log, (where), note, &listing_, &failure));                                              \
        assert_string_equal(sorted(&listing_), (wanted));                                                              \
    } while (0)

#define assert_all_topics(temp, wanted)                                                                                \
    do {                                                                                                               \
        static struct listing listing_;                                                                                \
        OK(walrus_list_topics((temp)->log, note, &listing_, &failure));                                                \
        assert_string_equal(sorted(&listing_), (wanted));                                                              \
    } while (0)

static void names_are_made_and_found(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    FAILS(WALRUS_E_NOT_FOUND, try_topic(temp, "a", 0));
    OK(try_topic(temp, "a", WALRUS_CREATE));
    OK(try_topic(temp, "a", WALRUS_CREATE));
    OK(try_topic(temp, "a", 0));
    FAILS(WALRUS_E_EXISTS, try_topic(temp, "a", WALRUS_CREATE | WALRUS_EXCLUSIVE));
    FAILS(WALRUS_E_NOT_FOUND, try_topic(temp, "n/b", WALRUS_CREATE));
    FAILS(WALRUS_E_NOT_FOUND, try_topic(temp, "n/m/b", WALRUS_CREATE));
    OK(try_topic(temp, "n/m/b", WALRUS_CREATE | WALRUS_CREATE_PARENTS | WALRUS_EXCLUSIVE));
    FAILS(WALRUS_E_NOT_TOPIC, try_topic(temp, "n", 0));
    FAILS(WALRUS_E_NOT_TOPIC, try_topic(temp, "n/m", WALRUS_CREATE));
    FAILS(WALRUS_E_NOT_NAMESPACE, try_topic(temp, "a/b", WALRUS_CREATE));
    FAILS(WALRUS_E_NOT_NAMESPACE, try_topic(temp, "a/b/c", WALRUS_CREATE | WALRUS_CREATE_PARENTS));
    FAILS(WALRUS_E_EXISTS, walrus_namespace_create(temp->log, "a", NULL, &failure));
    FAILS(WALRUS_E_EXISTS, walrus_namespace_create(temp->log, "n", NULL, &failure));
    FAILS(WALRUS_E_NOT_FOUND, walrus_namespace_create(temp->log, "x/y", NULL, &failure));
    FAILS(WALRUS_E_NOT_NAMESPACE, walrus_namespace_create(temp->log, "a/y", NULL, &failure));
    OK(walrus_namespace_create(temp->log, "n/k", NULL, &failure));
    FAILS(WALRUS_E_NOT_EMPTY, walrus_namespace_remove(temp->log, "n", &failure));
    FAILS(WALRUS_E_NOT_EMPTY, walrus_namespace_remove(temp->log, "n/m", &failure));
    FAILS(WALRUS_E_NOT_NAMESPACE, walrus_namespace_remove(temp->log, "a", &failure));
    FAILS(WALRUS_E_NOT_FOUND, walrus_namespace_remove(temp->log, "x", &failure));
    FAILS(WALRUS_E_NOT_TOPIC, walrus_topic_delete(temp->log, "n", &failure));
    FAILS(WALRUS_E_NOT_FOUND, walrus_topic_delete(temp->log, "x", &failure));
    FAILS(WALRUS_E_NOT_FOUND, walrus_lookup(temp->log, "n/x", &(struct walrus_node){0}, &failure));
    assert_int_equal(failure.system_errno, ENOENT);
    for (int round = 0; round < 2; round++) {
        assert_listed(temp, "", "a n/ ");
        assert_listed(temp, "n", "k/ m/ ");
        assert_listed(temp, "n/m", "b ");
        assert_listed(temp, "n/k", "");
        assert_all_topics(temp, "a n/m/b ");
        assert_int_equal(log_info_of(temp).topic_count, 2);
        assert_int_equal(log_info_of(temp).namespace_count, 3);
        assert_int_equal(id_of(temp, ""), 1);
        temp_log_close(temp);
        temp_log_open(temp);
    }
    FAILS(WALRUS_E_NOT_FOUND, walrus_list(temp->log, "x", note, NULL, &failure));
    FAILS(WALRUS_E_NOT_NAMESPACE, walrus_list(temp->log, "a", note, NULL, &failure));
    OK(walrus_topic_delete(temp->log, "n/m/b", &failure));
    OK(walrus_namespace_remove(temp->log, "n/m", &failure));
    OK(walrus_namespace_remove(temp->log, "n/k", &failure));
    OK(walrus_namespace_remove(temp->log, "n", &failure));
    FAILS(WALRUS_E_NOT_FOUND, walrus_namespace_remove(temp->log, "n", &failure));
    OK(try_topic(temp, "n", WALRUS_CREATE)); /* a topic may take a namespace's name, once it is free */
    temp_log_close(temp);
    temp_log_open(temp);
    assert_listed(temp, "", "a n ");
    assert_int_equal(log_info_of(temp).recovered_damages, 0);
    temp_log_close(temp);
}

static void bad_names_are_refused(void **state)
{
    struct temp_log *temp = *state;
    char long_component[300], long_name[1100];
    memset(long_component, 'a', 256);
    long_component[256] = '\0';
    memset(long_name, 'b', 1024);
    for (size_t i = 200; i < 1024; i += 200)
        long_name[i] = '/';
    long_name[1024] = '\0';
    static const char *const bad[] = {"",     "/",  "/a",     "a/",   "a//b", ".",   "..",
                                      "a/..", ".a", "@drain", "a/@b", "a\nb", "\x7f"};
    temp_log_open(temp);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        FAILS(WALRUS_E_INVALID, try_topic(temp, bad[i], WALRUS_CREATE | WALRUS_CREATE_PARENTS));
        FAILS(WALRUS_E_INVALID, walrus_namespace_create(temp->log, bad[i], NULL, &failure));
        FAILS(WALRUS_E_INVALID, walrus_namespace_remove(temp->log, bad[i], &failure));
        FAILS(WALRUS_E_INVALID, walrus_topic_delete(temp->log, bad[i], &failure));
    }
    FAILS(WALRUS_E_NAME_TOO_LONG, try_topic(temp, long_component, WALRUS_CREATE));
    FAILS(WALRUS_E_NAME_TOO_LONG, try_topic(temp, long_name, WALRUS_CREATE | WALRUS_CREATE_PARENTS));
    assert_int_equal(failure.system_errno, ENAMETOOLONG);
    assert_int_equal(log_info_of(temp).topic_count + log_info_of(temp).namespace_count, 0);
    long_component[255] = '\0';
    long_name[1023] = '\0';
    OK(try_topic(temp, long_component, WALRUS_CREATE));
    struct walrus_topic *topic = line_topic(temp, long_name);
    append_keyed(topic, 10, 3);
    assert_string_equal(walrus_topic_name(topic), long_name);
    walrus_topic_close(topic);
    temp_log_close(temp);
    temp_log_open(temp);
    topic = line_topic(temp, long_name);
    assert_keyed(topic, 0, 3);
    walrus_topic_close(topic);
    OK(try_topic(temp, long_component, 0));
    temp_log_close(temp);
}

/* visit() may do anything, to what is being listed too. */
struct remover {
    struct temp_log *temp;
    int seen;
    int stop_at;
};

static int remove_all(const struct walrus_node *node, void *context)
{
    struct remover *remover = context;
    remover->seen++;
    OK(walrus_topic_delete(remover->temp->log, node->name, &failure));
    OK(try_topic(remover->temp, "another", WALRUS_CREATE));
    return remover->seen == remover->stop_at;
}

static void a_listing_is_a_snapshot(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    for (int i = 0; i < 10; i++) {
        char name[16];
        snprintf(name, sizeof(name), "t%d", i);
        OK(try_topic(temp, name, WALRUS_CREATE));
    }
    struct remover remover = {temp, 0, 4};
    OK(walrus_list(temp->log, "", remove_all, &remover, &failure));
    assert_int_equal(remover.seen, 4);
    remover = (struct remover){temp, 0, 0};
    OK(walrus_topic_delete(temp->log, "another", &failure));
    OK(walrus_list(temp->log, "", remove_all, &remover, &failure));
    assert_int_equal(remover.seen, 6);
    assert_listed(temp, "", "another ");
    temp_log_close(temp);
}

static void attributes_and_settings_persist(void **state)
{
    struct temp_log *temp = *state;
    const struct walrus_attributes made = {0751, 10, 20}, changed = {0600, 30, 40}, root = {01777, 50, 60};
    const struct walrus_topic_settings settings = {
        .attributes = made, .sync = {.mode = WALRUS_SYNC_EVERY, .interval_ms = 123}, .framing = WALRUS_FRAMING_NUL};
    struct walrus_topic *topic = NULL;
    struct walrus_node node;
    temp_log_open(temp);
    OK(walrus_topic_open(temp->log, "t", WALRUS_CREATE, &settings, &topic, &failure));
    OK(walrus_namespace_create(temp->log, "n", &made, &failure));
    uint64_t created_ns = info_of(topic).created_ns;
    assert_int_equal(info_of(topic).appended_ns, created_ns);
    walrus_topic_close(topic);
    for (int round = 0; round < 3; round++) {
        const struct walrus_attributes *wanted = round == 0 ? &made : &changed;
        OK(walrus_lookup(temp->log, "t", &node, &failure));
        assert_int_equal(node.kind, WALRUS_NODE_TOPIC);
        assert_memory_equal(&node.attributes, wanted, sizeof(*wanted));
        assert_int_equal(node.created_ns, created_ns);
        OK(walrus_lookup(temp->log, "n", &node, &failure));
        assert_int_equal(node.kind, WALRUS_NODE_NAMESPACE);
        assert_memory_equal(&node.attributes, wanted, sizeof(*wanted));
        if (round > 0) {
            OK(walrus_lookup(temp->log, "", &node, &failure));
            assert_memory_equal(&node.attributes, &root, sizeof(root));
        }
        topic =
            open_topic(temp, "t", WALRUS_FRAMING_LINE, WALRUS_SYNC_EACH); /* it exists: these settings say nothing */
        struct walrus_topic_info info = info_of(topic);
        assert_int_equal(info.settings.framing, WALRUS_FRAMING_NUL);
        assert_int_equal(info.settings.sync.mode, WALRUS_SYNC_EVERY);
        assert_int_equal(info.settings.sync.interval_ms, 123);
        assert_memory_equal(&info.settings.attributes, wanted, sizeof(*wanted));
        OK(walrus_set_attributes(temp->log, "t", &changed, &failure));
        OK(walrus_set_attributes(temp->log, "n", &changed, &failure));
        OK(walrus_set_attributes(temp->log, "", &root, &failure));
        walrus_topic_close(topic);
        temp_log_close(temp);
        temp_log_open(temp);
    }
    FAILS(WALRUS_E_NOT_FOUND, walrus_set_attributes(temp->log, "x", &changed, &failure));
    /* INHERIT is told as what it means. */
    topic = line_topic(temp, "inherits");
    assert_int_equal(info_of(topic).settings.sync.mode, temp->options.sync.mode);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static void a_deleted_topic_serves_its_handles(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *kept = line_topic(temp, "kept");
    append_keyed(kept, 1000, 20);
    struct walrus_topic *old = line_topic(temp, "t"), *other = line_topic(temp, "t");
    append_keyed(old, 100000, 20);
    uint64_t old_id = info_of(old).id;
    uint64_t full =
        file_disk_bytes(temp, "segment-0000000000000001") + file_disk_bytes(temp, "segment-0000000000000002");
    OK(walrus_topic_delete(temp->log, "t", &failure));
    FAILS(WALRUS_E_NOT_FOUND, try_topic(temp, "t", 0));
    FAILS(WALRUS_E_NOT_FOUND, walrus_topic_delete(temp->log, "t", &failure));
    assert_true(info_of(old).deleted);
    assert_keyed(old, 0, 20);
    FAILS(WALRUS_E_DELETED, walrus_append(old, "x", 1, 0, NULL, &failure));
    assert_int_equal(failure.system_errno, ESTALE);
    struct walrus_slice slices[2] = {{"x", 1}, {"y", 1}};
    FAILS(WALRUS_E_DELETED, walrus_append_batch(old, slices, 2, 0, NULL, &failure));

    /* The name is free at once. */
    struct walrus_topic *fresh = line_topic(temp, "t");
    assert_true(info_of(fresh).id > old_id);
    assert_int_equal(info_of(fresh).next_sequence, 0);
    append_keyed(fresh, 10, 2);
    assert_keyed(old, 0, 20);
    walrus_topic_close(old);
    assert_keyed(other, 0, 20);
    uint64_t before =
        file_disk_bytes(temp, "segment-0000000000000001") + file_disk_bytes(temp, "segment-0000000000000002");
    assert_true(before + 65536 > full);
    walrus_topic_close(other);
    EVENTUALLY(file_disk_bytes(temp, "segment-0000000000000001") + file_disk_bytes(temp, "segment-0000000000000002") +
                   1900000 <
               before);
    assert_keyed(kept, 0, 20);
    walrus_topic_close(kept);
    walrus_topic_close(fresh);
    temp_log_close(temp);

    temp_log_open(temp);
    assert_int_equal(log_info_of(temp).recovered_damages, 0);
    fresh = line_topic(temp, "t");
    assert_keyed(fresh, 0, 2);
    kept = line_topic(temp, "kept");
    assert_keyed(kept, 0, 20);
    walrus_topic_close(kept);
    walrus_topic_close(fresh);
    temp_log_close(temp);
}

/* A process that ends between the deletion and the freeing of the blocks: the next open frees them. */
static void delete_with_open_handle(struct temp_log *temp, void *context)
{
    (void)context;
    struct walrus_topic *topic = NULL;
    REQUIRE(walrus_topic_open(temp->log, "t", 0, NULL, &topic, &failure) == WALRUS_OK);
    REQUIRE(walrus_topic_delete(temp->log, "t", &failure) == WALRUS_OK);
}

static void a_deletion_survives_its_process(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "t");
    append_keyed(topic, 100000, 20);
    uint64_t id = info_of(topic).id;
    walrus_topic_close(topic);
    temp_log_close(temp);
    uint64_t before = file_disk_bytes(temp, "segment-0000000000000001");
    in_child(temp, delete_with_open_handle, NULL);
    temp_log_open(temp);
    FAILS(WALRUS_E_NOT_FOUND, try_topic(temp, "t", 0));
    assert_true(file_disk_bytes(temp, "segment-0000000000000001") + 1900000 < before);
    topic = line_topic(temp, "t");
    assert_true(info_of(topic).id > id);
    assert_int_equal(info_of(topic).next_sequence, 0);
    append_keyed(topic, 10, 1);
    walrus_topic_close(topic);
    temp_log_close(temp);
    temp_log_open(temp);
    topic = line_topic(temp, "t");
    assert_keyed(topic, 0, 1);
    walrus_topic_close(topic);
    temp_log_close(temp);
}

static size_t open_descriptors(void)
{
    size_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (directory && readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void emptied_segments_are_removed(void **state)
{
    struct temp_log *temp = *state;
    size_t before = open_descriptors();
    temp->options.segment_bytes = 65536;
    temp_log_open(temp);
    for (int i = 0; i < 30; i++) {
        struct walrus_topic *topic = line_topic(temp, "t");
        append_keyed(topic, 1000, 60);
        walrus_topic_close(topic);
        OK(walrus_topic_delete(temp->log, "t", &failure));
    }
    /* Each lane keeps the one that it fills. */
    EVENTUALLY(log_info_of(temp).segment_count <= SEGMENT_LANES);
    assert_int_equal(log_info_of(temp).block_count, 0);
    EVENTUALLY(log_info_of(temp).freed_bytes >= 30 * 60000);
    /* And lets go of the others, or their space would not return, and descriptors would run out. */
    EVENTUALLY(open_descriptors() <= before + SEGMENT_LANES + 8);
    temp_log_close(temp);
    temp_log_open(temp);
    assert_true(log_info_of(temp).segment_count <= SEGMENT_LANES);
    assert_int_equal(log_info_of(temp).recovered_damages, 0);
    temp_log_close(temp);
}

static void the_catalogue_is_rewritten_when_mostly_dead(void **state)
{
    struct temp_log *temp = *state;
    const struct walrus_attributes attributes = {0700, 7, 8};
    temp_log_open(temp);
    struct walrus_topic *topic = line_topic(temp, "a/b/kept");
    append_keyed(topic, 10, 5);
    struct walrus_cursor *cursor = NULL;
    OK(walrus_cursor_open(topic, NULL, NULL, &cursor, &failure));
    OK(walrus_cursor_set(cursor, 3, &failure));
    OK(walrus_cursor_close(cursor, &failure));
    uint64_t id = info_of(topic).id;
    walrus_topic_close(topic);
    for (int i = 0; i < 700; i++) {
        OK(walrus_set_attributes(temp->log, "a", &attributes, &failure));
        OK(walrus_set_attributes(temp->log, "a/b/kept", &attributes, &failure));
    }
    topic = open_topic(temp, "empty", WALRUS_FRAMING_NUL, WALRUS_SYNC_EACH);
    walrus_topic_close(topic);
    OK(try_topic(temp, "last", WALRUS_CREATE));
    uint64_t last_id = id_of(temp, "last");
    OK(walrus_topic_delete(temp->log, "last", &failure));
    temp_log_close(temp);
    uint64_t grown = file_size(temp, "catalog");
    for (int round = 0; round < 3; round++) {
        temp_log_open(temp);
        assert_all_topics(temp, "a/b/kept empty ");
        struct walrus_node node;
        OK(walrus_lookup(temp->log, "a", &node, &failure));
        assert_memory_equal(&node.attributes, &attributes, sizeof(attributes));
        topic = line_topic(temp, "a/b/kept");
        struct walrus_topic_info info = info_of(topic);
        assert_int_equal(info.id, id);
        assert_memory_equal(&info.settings.attributes, &attributes, sizeof(attributes));
        assert_keyed(topic, 0, 5);
        OK(walrus_cursor_open(topic, NULL, NULL, &cursor, &failure));
        uint64_t at = 0;
        OK(walrus_cursor_get(cursor, &at, &failure));
        assert_int_equal(at, 3);
        OK(walrus_cursor_close(cursor, &failure));
        walrus_topic_close(topic);
        topic = line_topic(temp, "empty");
        assert_int_equal(info_of(topic).settings.framing, WALRUS_FRAMING_NUL);
        assert_int_equal(info_of(topic).settings.sync.mode, WALRUS_SYNC_EACH);
        walrus_topic_close(topic);
        if (round == 2) { /* an id is never used again, whatever the rewrite forgot */
            OK(try_topic(temp, "new", WALRUS_CREATE));
            assert_true(id_of(temp, "new") > last_id);
        }
        temp_log_close(temp);
        assert_true(file_size(temp, "catalog") < grown / 10);
        assert_false(file_exists(temp, "catalog.new"));
    }
}

static void recreated_topics_are_new_ones(void **state)
{
    struct temp_log *temp = *state;
    uint64_t last_id = 0;
    for (int round = 0; round < 8; round++) {
        temp_log_open(temp);
        for (int again = 0; again < 3; again++) {
            struct walrus_topic *topic = line_topic(temp, "n/t");
            if (round + again > 0)
                assert_int_equal(info_of(topic).next_sequence, again == 0 ? 3 : 0);
            if (again > 0 || round == 0)
                assert_true(info_of(topic).id > last_id);
            last_id = info_of(topic).id;
            if (again == 0 && round > 0) {
                assert_keyed(topic, 0, 3);
                walrus_topic_close(topic);
                OK(walrus_topic_delete(temp->log, "n/t", &failure));
                continue;
            }
            append_keyed(topic, 10, 3);
            walrus_topic_close(topic);
            if (again < 2)
                OK(walrus_topic_delete(temp->log, "n/t", &failure));
        }
        temp_log_close(temp);
    }
}

#define MANY 20000

static int count_up(const struct walrus_node *node, void *context)
{
    (void)node;
    ++*(uint64_t *)context;
    return 0;
}

static void many_topics_are_normal(void **state)
{
    struct temp_log *temp = *state;
    char name[64];
    temp_log_open(temp);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "d%d/topic-%d", i % 100, i);
        OK(try_topic(temp, name, WALRUS_CREATE | WALRUS_CREATE_PARENTS | WALRUS_EXCLUSIVE));
    }
    for (int round = 0; round < 2; round++) {
        uint64_t all = 0, some = 0;
        OK(walrus_list_topics(temp->log, count_up, &all, &failure));
        OK(walrus_list(temp->log, "d7", count_up, &some, &failure));
        assert_int_equal(all, MANY);
        assert_int_equal(some, MANY / 100);
        assert_int_equal(log_info_of(temp).topic_count, MANY);
        assert_int_equal(log_info_of(temp).namespace_count, 100);
        for (int i = 0; i < MANY; i += 97) {
            snprintf(name, sizeof(name), "d%d/topic-%d", i % 100, i);
            OK(try_topic(temp, name, 0));
        }
        temp_log_close(temp);
        temp_log_open(temp);
    }
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(names_are_made_and_found),
        LOG_TEST(bad_names_are_refused),
        LOG_TEST(a_listing_is_a_snapshot),
        LOG_TEST(attributes_and_settings_persist),
        LOG_TEST(a_deleted_topic_serves_its_handles),
        LOG_TEST(a_deletion_survives_its_process),
        LOG_TEST(emptied_segments_are_removed),
        LOG_TEST(the_catalogue_is_rewritten_when_mostly_dead),
        LOG_TEST(recreated_topics_are_new_ones),
        LOG_TEST(many_topics_are_normal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
