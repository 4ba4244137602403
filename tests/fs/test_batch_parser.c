/*
 * The language of .batch, without a mount: whatever the pieces that a text arrives in, the same comes of it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../fs/batch_parser.h"
#include "support/random.h"

static const struct batch_limits limits = {.entry_count = 8, .total_bytes = 64, .entry_bytes = 48};
/* Which of two limits a text breaks first may depend on its pieces: here only one can be reached. */
static const struct batch_limits piece_limits = {.entry_count = 8, .total_bytes = 4096, .entry_bytes = 24};

/* What came of a text, as text. */
struct transcript {
    char text[8192];
    size_t length;
};

static void note(struct transcript *transcript, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void note(struct transcript *transcript, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(transcript->text + transcript->length, sizeof transcript->text - transcript->length, format,
                           arguments);
    va_end(arguments);
    assert_true(length >= 0 && (size_t)length < sizeof transcript->text - transcript->length);
    transcript->length += (size_t)length;
}

static void note_staged(struct transcript *transcript, const struct batch_parser *parser)
{
    note(transcript, "commit");
    size_t topic = SIZE_MAX;
    for (size_t i = 0; i < parser->entry_count; i++) {
        if (parser->entries[i].topic != topic) {
            topic = parser->entries[i].topic;
            assert_in_range(topic, 0, parser->topic_count - 1);
            note(transcript, " %s:", parser->topics[topic]);
        }
        note(transcript, " [");
        for (size_t k = 0; k < parser->entries[i].length; k++) {
            note(transcript, "%02x", parser->data[parser->entries[i].offset + k]);
        }
        note(transcript, "]");
    }
    note(transcript, "\n");
}

/* Feeds one piece; true while the parser has not failed. */
static bool feed(struct batch_parser *parser, struct transcript *transcript, const char *piece, size_t length)
{
    /* A copy of its own size: a read past its end is seen by the sanitizer. */
    char *copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    memcpy(copy, piece, length);
    const void *at = copy;
    bool alive = true;
    while (length > 0 && alive) {
        switch (batch_parser_feed(parser, &at, &length)) {
        case BATCH_MORE:
            assert_int_equal(length, 0);
            break;
        case BATCH_COMMIT:
            note_staged(transcript, parser);
            batch_parser_reset(parser);
            break;
        case BATCH_ABORT:
            note(transcript, "abort %zu\n", parser->aborted_count);
            break;
        case BATCH_FAILED:
            assert_int_equal(length, 0);
            note(transcript, "error %d %s\n", parser->failed_errno, parser->reason);
            alive = false;
            break;
        }
    }
    free(copy);
    return alive;
}

static void run(struct transcript *transcript, const struct batch_limits *parser_limits, const char *text,
                size_t length, struct random_source *random, size_t piece_max)
{
    struct batch_parser parser;
    batch_parser_init(&parser, parser_limits);
    *transcript = (struct transcript){0};
    size_t at = 0;
    bool alive = true;
    while (at < length && alive) {
        size_t piece = random == NULL ? length : 1 + (size_t)random_below(random, piece_max);
        piece = piece < length - at ? piece : length - at;
        alive = feed(&parser, transcript, text + at, piece);
        at += piece;
    }
    batch_parser_fini(&parser);
}

static void check(const char *text, size_t length, const char *wanted)
{
    struct transcript whole;
    run(&whole, &limits, text, length, NULL, 0);
    assert_string_equal(whole.text, wanted);
}

#define CHECK(text, wanted) check(text, sizeof(text) - 1, wanted)

static void test_language(void **state)
{
    (void)state;
    CHECK("a\tb\nCOMMIT\n", "commit a: [62]\n");
    CHECK("a\tb", "");
    CHECK("a\tb\n", "");
    CHECK("a\tb\nCOMMIT", "");
    CHECK("COMMIT\n", "commit\n");
    CHECK("a\t1\nn/b\t2\na\t3\na =0\n\nn/b\t4\nCOMMIT\nb\t5\nn/b\t6\nCOMMIT\n",
          "commit a: [31] n/b: [32] a: [33] [] n/b: [34]\ncommit b: [35] n/b: [36]\n");
    CHECK("a b\tc\td\nCOMMIT\n", "commit a b: [630964]\n");
    CHECK("COMMIT\tx\nABORT\n", "abort 1\n");
    CHECK("a =3\n\n\0\n\na\tx\nCOMMIT\na =0\n\nCOMMIT\n", "commit a: [0a000a] [78]\ncommit a: []\n");
    CHECK("a b =2\nxy\nCOMMIT\n", "commit a b: [7879]\n");
    CHECK("a =2\nxyz\n", "error 22 line 2: no newline after the bytes of an entry\n");
    CHECK("a\tb\n\n", "error 22 line 2: neither '<topic> TAB <payload>', '<topic> =<length>', COMMIT nor ABORT\n");
    CHECK("a =\n", "error 22 line 1: neither '<topic> TAB <payload>', '<topic> =<length>', COMMIT nor ABORT\n");
    CHECK(" =1\n", "error 22 line 1: neither '<topic> TAB <payload>', '<topic> =<length>', COMMIT nor ABORT\n");
    CHECK("a=1\n", "error 22 line 1: neither '<topic> TAB <payload>', '<topic> =<length>', COMMIT nor ABORT\n");
    CHECK(".a\tb\n", "error 22 line 1: '.a' is not a topic name\n");
    CHECK("a\0b\tc\n", "error 22 line 1: 'a' is not a topic name\n");
    CHECK("\tb\n", "error 22 line 1: '' is not a topic name\n");
    CHECK("a =49\n", "error 90 line 1: an entry of more than 48 bytes\n");
    CHECK("a =18446744073709551617\n", "error 90 line 1: an entry of more than 48 bytes\n");
    CHECK("a\t0123456789012345678901234567890123456789012345678\n",
          "error 90 line 1: an entry of more than 48 bytes\n");
    CHECK("a\t0123456789012345678901234567890123456789\na\t0123456789012345678901234\n",
          "error 27 line 2: a batch of more than 64 bytes\n");
    CHECK("a\t\na\t\na\t\na\t\na\t\na\t\na\t\na\t\nCOMMIT\n", "commit a: [] [] [] [] [] [] [] []\n");
    CHECK("a\t\na\t\na\t\na\t\na\t\na\t\na\t\na\t\na\t\n", "error 7 line 9: a batch of more than 8 entries\n");
}

static void test_long_heads(void **state)
{
    (void)state;
    struct transcript seen;
    char text[4096];
    memset(text, 'n', sizeof text);
    run(&seen, &limits, text, sizeof text, NULL, 0);
    assert_non_null(strstr(seen.text, "error 22 line 1: no TAB"));
    text[WALRUS_NAME_MAX + 1] = '\t';
    run(&seen, &limits, text, WALRUS_NAME_MAX + 2, NULL, 0);
    assert_non_null(strstr(seen.text, "error 36 line 1: "));
}

static void test_after_an_error(void **state)
{
    (void)state;
    struct batch_parser parser;
    struct transcript seen = {0};
    batch_parser_init(&parser, &limits);
    assert_true(feed(&parser, &seen, "a\tx\n", 4));
    assert_false(feed(&parser, &seen, "wrong\nCOMMIT\n", 13));
    assert_false(feed(&parser, &seen, "a\ty\nCOMMIT\n", 11));
    assert_false(feed(&parser, &seen, "x\nABORT\n", 8));
    assert_true(feed(&parser, &seen, "ABORT\n", 6));
    assert_true(feed(&parser, &seen, "a\tz\nCOMMIT\n", 11));
    assert_null(strstr(seen.text, "[78]"));
    assert_null(strstr(seen.text, "[79]"));
    assert_non_null(strstr(seen.text, "abort 0\ncommit a: [7a]\n"));
    assert_false(feed(&parser, &seen, "\n", 1));
    /* Lines go on being counted through all that. */
    assert_non_null(strstr(seen.text, "line 11: "));
    batch_parser_fini(&parser);
}

/* Texts made of what the language is made of, so that most go deep before they fail. */
static size_t random_text(struct random_source *random, char *text, size_t size)
{
    static const char *const parts[] = {"a\t",       "b\t",        "a =3\n",  "a =0\n", "\n",     "xyz",
                                        "xyz\n",     "COMMIT\n",   "ABORT\n", "\t",     "a/b\t",  "payload",
                                        "a =12\n",   "0123456789", "=",       " ",      "a\tv\n", "a\tw\n",
                                        "a =1\nx\n", "COMMIT\n",   "a\tv\n",  "a\tw\n"};
    size_t length = 0;
    size_t count = (size_t)random_below(random, 12);
    for (size_t i = 0; i < count; i++) {
        const char *part = parts[random_below(random, sizeof parts / sizeof parts[0])];
        size_t part_length = strlen(part);
        if (length + part_length > size) {
            break;
        }
        memcpy(text + length, part, part_length);
        length += part_length;
    }
    if (length > 0 && random_below(random, 8) == 0) {
        text[random_below(random, length)] = (char)random_below(random, 256);
    }
    return length;
}

static void test_pieces(void **state)
{
    (void)state;
    struct random_source random = {.state = 20260704};
    size_t commits = 0;
    for (unsigned i = 0; i < 30000; i++) {
        char text[512];
        struct transcript whole;
        struct transcript pieces;
        size_t length = random_text(&random, text, sizeof text);
        run(&whole, &piece_limits, text, length, NULL, 0);
        run(&pieces, &piece_limits, text, length, &random, i % 2 == 0 ? 1 : 7);
        commits += strstr(whole.text, "commit a") != NULL;
        assert_string_equal(whole.text, pieces.text);
    }
    print_message("%zu texts with a commit\n", commits);
    assert_true(commits > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_language),
        cmocka_unit_test(test_long_heads),
        cmocka_unit_test(test_after_an_error),
        cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
