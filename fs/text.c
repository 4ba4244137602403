#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

char *text_reserve(struct text *text, size_t length)
{
    if (length > text->capacity - text->length) {
        size_t capacity = text->capacity > 0 ? text->capacity : 512;
        while (capacity - text->length < length) {
            capacity *= 2;
        }
        char *bytes = realloc(text->bytes, capacity);
        if (bytes == NULL) {
            text->failed = true;
            return NULL;
        }
        text->bytes = bytes;
        text->capacity = capacity;
    }
    return text->bytes + text->length;
}

void text_append(struct text *text, const void *bytes, size_t length)
{
    char *place = text_reserve(text, length);
    if (place != NULL && length > 0) {
        memcpy(place, bytes, length);
        text->length += length;
    }
}

/* Most of what is written fits, and is formatted once. */
#define FORMATTED_BYTES 256

void text_printf(struct text *text, const char *format, ...)
{
    va_list arguments;
    char *place = text_reserve(text, FORMATTED_BYTES);
    if (place == NULL) {
        return;
    }
    va_start(arguments, format);
    int length = vsnprintf(place, FORMATTED_BYTES, format, arguments);
    va_end(arguments);
    if (length >= FORMATTED_BYTES) {
        place = text_reserve(text, (size_t)length + 1);
        if (place == NULL) {
            return;
        }
        va_start(arguments, format);
        vsnprintf(place, (size_t)length + 1, format, arguments);
        va_end(arguments);
    }
    if (length < 0) {
        text->failed = true;
        return;
    }
    text->length += (size_t)length;
}

void text_add_number(struct text *text, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    text_append(text, digits + at, sizeof digits - at);
}

static void put_digits(char *end, unsigned value, int count)
{
    for (int i = 0; i < count; i++) {
        *--end = (char)('0' + value % 10);
        value /= 10;
    }
}

/* Not by strftime(3): entries are many. */
void text_add_time(struct text *text, uint64_t time_ns)
{
    char words[] = "0000-00-00T00:00:00.000000000Z";
    time_t seconds = (time_t)(time_ns / 1000000000u);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    put_digits(words + 4, (unsigned)parts.tm_year + 1900, 4);
    put_digits(words + 7, (unsigned)parts.tm_mon + 1, 2);
    put_digits(words + 10, (unsigned)parts.tm_mday, 2);
    put_digits(words + 13, (unsigned)parts.tm_hour, 2);
    put_digits(words + 16, (unsigned)parts.tm_min, 2);
    put_digits(words + 19, (unsigned)parts.tm_sec, 2);
    put_digits(words + 29, (unsigned)(time_ns % 1000000000u), 9);
    text_append(text, words, sizeof words - 1);
}

void text_clear(struct text *text)
{
    text->length = 0;
    text->failed = false;
}

void text_free(struct text *text)
{
    free(text->bytes);
    *text = (struct text){0};
}
