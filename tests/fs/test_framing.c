/*
 * Framing without a mount: whatever the writes a stream is cut into, the same entries come of it; and a write that is
 * abandoned leaves no trace.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../fs/framing.h"
#include "support/random.h"

/* Entries as they come out, each followed by '|'. */
struct output {
    char text[65536];
    size_t length;
};

static void take(struct output *output, const struct framing *framing)
{
    for (size_t i = 0; i < framing->slice_count; i++) {
        assert_true(output->length + framing->slices[i].length + 1 < sizeof output->text);
        if (framing->slices[i].length > 0) {
            memcpy(output->text + output->length, framing->slices[i].data, framing->slices[i].length);
        }
        output->length += framing->slices[i].length;
        output->text[output->length++] = '|';
    }
    output->text[output->length] = '\0';
}

/* One write, from memory of its own size, so that a read past its end is seen by the sanitizer. */
static void write_piece(struct framing *framing, struct output *output, const char *piece, size_t length, int abandon)
{
    char *copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    memcpy(copy, piece, length);
    assert_int_equal(framing_prepare(framing, copy, length), 0);
    if (abandon) {
        framing_abandon(framing);
    } else {
        take(output, framing);
        framing_commit(framing);
    }
    free(copy);
}

static void end(struct framing *framing, struct output *output)
{
    assert_int_equal(framing_prepare_held(framing), 0);
    take(output, framing);
    framing_commit(framing);
    assert_int_equal(framing->held_length, 0);
    framing_fini(framing);
}

static void test_lines(void **state)
{
    (void)state;
    struct framing framing;
    struct output output = {0};
    framing_init(&framing, WALRUS_FRAMING_LINE);
    write_piece(&framing, &output, "one\ntwo\nthr", 11, 0);
    assert_string_equal(output.text, "one|two|");
    assert_int_equal(framing.held_length, 3);
    write_piece(&framing, &output, "ee", 2, 0);
    assert_string_equal(output.text, "one|two|");
    write_piece(&framing, &output, "\n\n\nfour\nrest", 12, 0);
    assert_string_equal(output.text, "one|two|three|||four|");
    end(&framing, &output);
    assert_string_equal(output.text, "one|two|three|||four|rest|");
}

static void test_other_modes(void **state)
{
    (void)state;
    struct framing framing;
    struct output output = {0};
    framing_init(&framing, WALRUS_FRAMING_NUL);
    write_piece(&framing, &output, "a\nb\0c", 5, 0);
    assert_string_equal(output.text, "a\nb|");
    end(&framing, &output);
    assert_string_equal(output.text, "a\nb|c|");
    output.length = 0;
    framing_init(&framing, WALRUS_FRAMING_WRITE);
    write_piece(&framing, &output, "a\nb", 3, 0);
    write_piece(&framing, &output, "c", 1, 0);
    end(&framing, &output);
    assert_string_equal(output.text, "a\nb|c|");
}

static void test_abandon(void **state)
{
    (void)state;
    struct framing framing;
    struct output output = {0};
    framing_init(&framing, WALRUS_FRAMING_LINE);
    write_piece(&framing, &output, "held", 4, 0);
    write_piece(&framing, &output, " lost\nlost\nlost", 15, 1);
    write_piece(&framing, &output, " lost", 5, 1);
    assert_int_equal(framing_prepare_held(&framing), 0);
    framing_abandon(&framing);
    write_piece(&framing, &output, " kept\n", 6, 0);
    assert_string_equal(output.text, "held kept|");
    write_piece(&framing, &output, "dropped", 7, 0);
    framing_drop_held(&framing);
    write_piece(&framing, &output, "x\n", 2, 0);
    end(&framing, &output);
    assert_string_equal(output.text, "held kept|x|");
}

static void test_any_pieces(void **state)
{
    (void)state;
    static struct output wanted;
    static struct output got;
    struct random_source random = {.state = 20260704};
    for (unsigned i = 0; i < 2000; i++) {
        char text[4096];
        size_t length = (size_t)random_below(&random, sizeof text);
        uint64_t line_length = random_between(&random, 1, 700);
        for (size_t k = 0; k < length; k++) {
            text[k] = random_below(&random, line_length) == 0 ? '\n' : (char)random_between(&random, 'a', 'z');
        }
        struct framing framing;
        wanted.length = 0;
        framing_init(&framing, WALRUS_FRAMING_LINE);
        write_piece(&framing, &wanted, text, length, 0);
        end(&framing, &wanted);

        got.length = 0;
        framing_init(&framing, WALRUS_FRAMING_LINE);
        uint64_t piece_max = random_between(&random, 1, 2000);
        for (size_t at = 0; at < length;) {
            size_t piece = (size_t)random_between(&random, 1, piece_max);
            piece = piece < length - at ? piece : length - at;
            if (random_percent(&random, 30)) {
                write_piece(&framing, &got, text + at, piece, 1);
            }
            write_piece(&framing, &got, text + at, piece, 0);
            at += piece;
        }
        end(&framing, &got);
        assert_int_equal(got.length, wanted.length);
        assert_memory_equal(got.text, wanted.text, wanted.length);
    }
}

static void test_entry_limit(void **state)
{
    (void)state;
    struct framing framing;
    framing_init(&framing, WALRUS_FRAMING_LINE);
    size_t length = (size_t)1 << 20;
    char *piece = malloc(length);
    assert_non_null(piece);
    memset(piece, 'x', length);
    framing.held_length = 0;
    /* As if a GiB were held: the next byte is too much, a newline is not, and nothing is changed by being refused. */
    assert_int_equal(framing_prepare(&framing, piece, length), 0);
    framing_commit(&framing);
    framing.held_length = (size_t)WALRUS_ENTRY_MAX;
    assert_int_equal(framing_prepare(&framing, piece, 1), EMSGSIZE);
    piece[1] = '\n';
    assert_int_equal(framing_prepare(&framing, piece, 2), EMSGSIZE);
    assert_int_equal(framing.held_length, WALRUS_ENTRY_MAX);
    assert_int_equal(framing.slice_count, 0);
    framing.held_length = length;
    framing_fini(&framing);
    free(piece);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),      cmocka_unit_test(test_other_modes), cmocka_unit_test(test_abandon),
        cmocka_unit_test(test_any_pieces), cmocka_unit_test(test_entry_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
