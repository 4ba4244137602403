/* JSON that the mount writes: what is text, escapes, base64, parts of long payloads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../fs/json.h"

#define IS_TEXT(literal) json_is_text(literal, sizeof(literal) - 1)

static void text_is_utf8(void **state)
{
    (void)state;
    assert_true(IS_TEXT(""));
    assert_true(IS_TEXT("plain, and long enough for whole words"));
    assert_true(IS_TEXT("a zero \0 byte"));
    assert_true(IS_TEXT("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xef\xbf\xbf \xf0\x90\x80\x80 \xf4\x8f\xbf\xbf"));
    assert_true(IS_TEXT("\xed\x9f\xbf \xee\x80\x80"));
    static const char *const wrong[] = {"\x80",
                                        "\xbf",
                                        "\xc0\x80",
                                        "\xc1\xbf",
                                        "\xe0\x9f\xbf",
                                        "\xf0\x8f\xbf\xbf",
                                        "\xed\xa0\x80",
                                        "\xed\xbf\xbf",
                                        "\xf4\x90\x80\x80",
                                        "\xf5\x80\x80\x80",
                                        "\xff",
                                        "\xc2",
                                        "\xe2\x82",
                                        "\xf0\x9f\x98",
                                        "\xc2 ",
                                        "\xe2\x82 ",
                                        "\xf8\x88\x80\x80\x80",
                                        "12345678\x80",
                                        "1234567\xc3\xa9\xc3"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(json_is_text(wrong[i], strlen(wrong[i])));
    }
}

static void expect(struct text *text, const char *wanted)
{
    text_append(text, "", 1);
    assert_false(text->failed);
    assert_string_equal(text->bytes, wanted);
    text_free(text);
}

static void strings_are_escaped(void **state)
{
    (void)state;
    struct text text = {0};
    json_add_escaped(&text, "a\"b\\c\b\f\n\r\t\0\x01\x1f /\x7f\xc3\xa9", 18);
    expect(&text, "a\\\"b\\\\c\\b\\f\\n\\r\\t\\u0000\\u0001\\u001f /\x7f\xc3\xa9");
    json_add_name(&text, "caf\xc3\xa9 \xff\"");
    expect(&text, "\"caf\xc3\xa9 \\\\xff\\\"\"");
    json_add_name(&text, "");
    expect(&text, "\"\"");
}

static void bytes_are_base64(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"},
                                           {"\xff\xfe\xfd", "//79"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct text text = {0};
        json_add_base64(&text, pairs[i][0], strlen(pairs[i][0]));
        expect(&text, pairs[i][1]);
    }
}

static void times_are_utc(void **state)
{
    (void)state;
    struct text text = {0};
    text_add_time(&text, 0);
    expect(&text, "1970-01-01T00:00:00.000000000Z");
    text_add_time(&text, UINT64_C(1767225600000000042));
    expect(&text, "2026-01-01T00:00:00.000000042Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_utf8),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(bytes_are_base64),
        cmocka_unit_test(times_are_utc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
