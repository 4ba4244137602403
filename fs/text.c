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

void text_printf(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *place = length >= 0 ? text_reserve(text, (size_t)length + 1) : NULL;
    if (place == NULL) {
        text->failed = true;
        return;
    }
    va_start(arguments, format);
    vsnprintf(place, (size_t)length + 1, format, arguments);
    va_end(arguments);
    text->length += (size_t)length;
}

void text_add_time(struct text *text, uint64_t time_ns)
{
    time_t seconds = (time_t)(time_ns / 1000000000u);
    struct tm parts;
    char date[32];
    gmtime_r(&seconds, &parts);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    text_printf(text, "%s.%09uZ", date, (unsigned)(time_ns % 1000000000u));
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
