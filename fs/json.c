#include "json.h"

#include <stdint.h>
#include <string.h>

/* Length of the character that begins here; 0: none does. */
static size_t character_length(const uint8_t *at, size_t left)
{
    static const struct {
        uint8_t mask, lead, length;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 1, 0}, {0xe0, 0xc0, 2, 0x80}, {0xf0, 0xe0, 3, 0x800}, {0xf8, 0xf0, 4, 0x10000}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if ((at[0] & forms[i].mask) != forms[i].lead) {
            continue;
        }
        if (left < forms[i].length) {
            return 0;
        }
        uint32_t value = at[0] & (uint8_t)~forms[i].mask;
        for (size_t k = 1; k < forms[i].length; k++) {
            if ((at[k] & 0xc0) != 0x80) {
                return 0;
            }
            value = value << 6 | (at[k] & 0x3f);
        }
        bool allowed = value >= forms[i].least && value <= 0x10ffff && (value < 0xd800 || value > 0xdfff);
        return allowed ? forms[i].length : 0;
    }
    return 0;
}

/* Length of the run of ASCII that begins here, eight bytes at a time. */
static size_t ascii_length(const uint8_t *at, size_t left)
{
    size_t done = 0;
    while (left - done >= 8) {
        uint64_t word;
        memcpy(&word, at + done, sizeof word);
        if ((word & UINT64_C(0x8080808080808080)) != 0) {
            break;
        }
        done += 8;
    }
    while (done < left && at[done] < 0x80) {
        done++;
    }
    return done;
}

bool json_is_text(const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    size_t left = length;
    while (left > 0) {
        size_t step = ascii_length(at, left);
        if (step == 0) {
            step = character_length(at, left);
        }
        if (step == 0) {
            return false;
        }
        at += step;
        left -= step;
    }
    return true;
}

static bool stands_for_itself(uint8_t byte)
{
    return byte >= 0x20 && byte != '"' && byte != '\\';
}

static void add_escape(struct text *text, uint8_t byte)
{
    static const char short_bytes[] = "\"\\\b\f\n\r\t";
    static const char short_letters[] = "\"\\bfnrt";
    const char *found = byte != '\0' ? strchr(short_bytes, byte) : NULL;
    if (found != NULL) {
        const char escape[2] = {'\\', short_letters[found - short_bytes]};
        text_append(text, escape, sizeof escape);
    } else {
        text_printf(text, "\\u%04x", byte);
    }
}

void json_add_escaped(struct text *text, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    const uint8_t *end = at + length;
    while (at < end) {
        const uint8_t *stop = at;
        while (stop < end && stands_for_itself(*stop)) {
            stop++;
        }
        text_append(text, at, (size_t)(stop - at));
        if (stop < end) {
            add_escape(text, *stop++);
        }
        at = stop;
    }
}

void json_add_base64(struct text *text, const void *bytes, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *at = bytes;
    char *next = text_reserve(text, (length + 2) / 3 * 4);
    if (next == NULL) {
        return;
    }
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        uint32_t group = (uint32_t)at[i] << 16;
        group |= left > 1 ? (uint32_t)at[i + 1] << 8 : 0;
        group |= left > 2 ? at[i + 2] : 0;
        *next++ = digits[group >> 18];
        *next++ = digits[group >> 12 & 63];
        *next++ = left > 1 ? digits[group >> 6 & 63] : '=';
        *next++ = left > 2 ? digits[group & 63] : '=';
    }
    text->length += (length + 2) / 3 * 4;
}

void json_add_name(struct text *text, const char *name)
{
    const uint8_t *at = (const uint8_t *)name;
    size_t left = strlen(name);
    text_append(text, "\"", 1);
    while (left > 0) {
        size_t step = character_length(at, left);
        if (step > 0) {
            json_add_escaped(text, at, step);
        } else {
            text_printf(text, "\\\\x%02x", at[0]);
            step = 1;
        }
        at += step;
        left -= step;
    }
    text_append(text, "\"", 1);
}
