/* test_names_lost.c - names that the catalogue lost while other records or blocks tell of them: found once, they stay.
 */
#include "temp_log.h"

/* Zeroes the catalogue's record that holds this name, as a power cut does that took the record's sector alone. */
static void lose_record_of(struct temp_log *temp, const char *name)
{
    uint8_t bytes[65536];
    uint64_t size = file_size(temp, "catalog");
    assert_true(size > 64 && size <= sizeof(bytes));
    file_read(temp, "catalog", bytes, (size_t)size, 0);
    size_t length = strlen(name), lost = 0;
    for (size_t at = 64; at + 24 <= size;) {
        size_t record = (24 + (bytes[at + 4] | (size_t)bytes[at + 5] << 8) + 7) & ~(size_t)7;
        /* A record of creation begins its fields with the name. */
        if (bytes[at + 40] == 1 && bytes[at + 42] == length && memcmp(bytes + at + 44, name, length) == 0) {
            memset(bytes + at, 0, record);
            lost++;
        }
        at += record;
    }
    assert_int_equal(lost, 1);
    file_write(temp, "catalog", bytes, (size_t)size, 0);
}

static bool exists(struct temp_log *temp, const char *name)
{
    struct walrus_node node;
    return walrus_lookup(temp->log, name, &node, &failure) == WALRUS_OK;
}

static void a_namespace_that_a_topic_tells_of_outlives_the_topic(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic;
    OK(walrus_topic_open(temp->log, "space/topic", WALRUS_CREATE | WALRUS_CREATE_PARENTS, NULL, &topic, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
    lose_record_of(temp, "space");

    temp_log_open(temp);
    assert_true(exists(temp, "space"));
    OK(walrus_topic_delete(temp->log, "space/topic", &failure));
    temp_log_close(temp);
    temp_log_open(temp);
    assert_true(exists(temp, "space"));
    temp_log_close(temp);
}

static void a_topic_that_its_blocks_tell_of_is_on_record_again(void **state)
{
    struct temp_log *temp = *state;
    temp_log_open(temp);
    struct walrus_topic *topic;
    OK(walrus_topic_open(temp->log, "topic", WALRUS_CREATE, NULL, &topic, &failure));
    OK(walrus_append(topic, "entry", 5, 0, NULL, &failure));
    walrus_topic_close(topic);
    temp_log_close(temp);
    lose_record_of(temp, "topic");

    struct walrus_log_info info;
    temp_log_open(temp);
    OK(walrus_log_info(temp->log, &info, &failure));
    assert_int_equal(info.recovered_adopted, 1);
    assert_true(exists(temp, "topic"));
    temp_log_close(temp);
    temp_log_open(temp);
    OK(walrus_log_info(temp->log, &info, &failure));
    assert_int_equal(info.recovered_adopted, 0);
    assert_true(exists(temp, "topic"));
    temp_log_close(temp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(a_namespace_that_a_topic_tells_of_outlives_the_topic),
        LOG_TEST(a_topic_that_its_blocks_tell_of_is_on_record_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
