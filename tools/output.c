#include "output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void out_init(struct out *out, int fd)
{
    out->fd = fd;
    out->error = 0;
    out->queued = 0;
    out->written = 0;
    out->used = 0;
}

static bool write_all(struct out *out, const char *data, size_t length)
{
    while (length > 0 && out->error == 0) {
        ssize_t count = write(out->fd, data, length);

        if (count < 0) {
            if (errno == EINTR && cli_stop_signal() == 0)
                continue;
            out->error = errno;
            break;
        }
        data += count;
        length -= (size_t)count;
        out->written += (uint64_t)count;
        if (length > 0 && cli_stop_signal() != 0)
            out->error = EINTR; /* a signal cut this write short; the next one would block again */
    }
    return out->error == 0;
}

bool out_flush(struct out *out)
{
    size_t used = out->used;

    out->used = 0;
    return write_all(out, out->buffer, used);
}

bool out_write(struct out *out, const void *data, size_t length)
{
    out->queued += length;
    if (out->error != 0)
        return false;
    if (length > sizeof(out->buffer) - out->used) {
        if (!out_flush(out))
            return false;
        if (length >= sizeof(out->buffer))
            return write_all(out, data, length);
    }
    memcpy(out->buffer + out->used, data, length);
    out->used += length;
    return true;
}

bool out_text(struct out *out, const char *text)
{
    return out_write(out, text, strlen(text));
}

bool out_printf(struct out *out, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    int length;
    char *large;
    bool written;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof(text))
        return out_write(out, text, (size_t)length);
    va_start(arguments, format);
    length = vasprintf(&large, format, arguments);
    va_end(arguments);
    if (length < 0) {
        out->error = ENOMEM;
        return false;
    }
    written = out_write(out, large, (size_t)length);
    free(large);
    return written;
}

static int write_json(const char *data, size_t length, void *context)
{
    return out_write(context, data, length) ? 0 : -1;
}

bool out_json(struct out *out, json_t *object)
{
    if (object == NULL || json_dump_callback(object, write_json, out, JSON_COMPACT | JSON_REAL_PRECISION(9)) != 0) {
        if (out->error == 0)
            out->error = ENOMEM;
    } else {
        out_write(out, "\n", 1);
    }
    json_decref(object);
    return out->error == 0;
}

int out_finish(struct out *out, const struct cli *cli, int status)
{
    if (out_flush(out) || (out->error == EINTR && cli_stop_signal() != 0))
        return status;
    if (out->error == EPIPE)
        return status == CLI_OK ? CLI_BROKEN_PIPE : status;
    cli_error(cli, 0, "writing the output: %s", strerror(out->error));
    return status == CLI_OK ? CLI_IO : status;
}

json_t *json_u64(uint64_t value)
{
    return value > INT64_MAX ? json_null() : json_integer((json_int_t)value);
}

json_t *json_text(const void *data, size_t length)
{
    return json_stringn(length == 0 ? "" : data, length);
}

json_t *json_name(const char *name)
{
    json_t *text = json_string(name);
    char *escaped;
    char *next;

    if (text != NULL)
        return text;
    escaped = malloc(strlen(name) * 4 + 1);
    if (escaped == NULL)
        return NULL;
    next = escaped;
    for (const char *at = name; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x80)
            *next++ = *at;
        else
            next += sprintf(next, "\\x%02x", (unsigned char)*at);
    }
    *next = '\0';
    text = json_string(escaped);
    free(escaped);
    return text;
}

bool json_set_payload(json_t *object, const void *data, size_t length)
{
    json_t *text = json_text(data, length);
    char *encoded;

    if (text != NULL)
        return json_object_set_new_nocheck(object, "data", text) == 0;
    encoded = base64_encode(data, length);
    if (encoded == NULL)
        return false;
    text = json_string_nocheck(encoded);
    free(encoded);
    return text != NULL && json_object_set_new_nocheck(object, "base64", text) == 0;
}

char *base64_encode(const void *data, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *bytes = data;
    char *text = malloc((length + 2) / 3 * 4 + 1);
    char *next = text;

    if (text == NULL)
        return NULL;
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        uint32_t group = (uint32_t)bytes[i] << 16;

        group |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        group |= left > 2 ? bytes[i + 2] : 0;
        *next++ = digits[group >> 18];
        *next++ = digits[group >> 12 & 63];
        *next++ = left > 1 ? digits[group >> 6 & 63] : '=';
        *next++ = left > 2 ? digits[group & 63] : '=';
    }
    *next = '\0';
    return text;
}

const char *time_text(uint64_t time_ns, char text[TIME_TEXT_MAX])
{
    time_t seconds = (time_t)(time_ns / 1000000000u);
    struct tm broken_down;
    size_t length;

    if (time_ns == WALRUS_NOWHERE || gmtime_r(&seconds, &broken_down) == NULL)
        return strcpy(text, "-");
    length = strftime(text, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &broken_down);
    snprintf(text + length, TIME_TEXT_MAX - length, ".%09" PRIu64 "Z", time_ns % 1000000000u);
    return text;
}

bool out_escaped(struct out *out, const void *data, size_t length)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < length && out->error == 0; i++) {
        if (bytes[i] == '\n')
            out_text(out, "\\n");
        else if (bytes[i] == '\t')
            out_text(out, "\\t");
        else if (bytes[i] == '\\' || bytes[i] == '"')
            out_printf(out, "\\%c", bytes[i]);
        else if (bytes[i] < 0x20 || bytes[i] > 0x7e)
            out_printf(out, "\\x%02x", bytes[i]);
        else
            out_write(out, &bytes[i], 1);
    }
    return out->error == 0;
}
