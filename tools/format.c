#include "format.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

static const char escape_letters[] = "ntr0\\";
static const char escape_bytes[] = "\n\t\r\0\\";

static int hex_value(char digit)
{
    return isdigit((unsigned char)digit) ? digit - '0' : tolower((unsigned char)digit) - 'a' + 10;
}

bool format_check(const char *format, const char **bad)
{
    for (const char *at = format; *at != '\0'; at++) {
        *bad = at;
        if (*at == '%') {
            at++;
            if (*at == '\0' || strchr("tosSTR%", *at) == NULL)
                return false;
        } else if (*at == '\\') {
            at++;
            if (*at == 'x') {
                if (!isxdigit((unsigned char)at[1]) || !isxdigit((unsigned char)at[2]))
                    return false;
                at += 2;
            } else if (*at == '\0' || strchr(escape_letters, *at) == NULL) {
                return false;
            }
        }
    }
    return true;
}

static void print_token(struct out *out, const struct entry_printer *printer, const struct walrus_entry *entry,
                        char token)
{
    uint8_t length_be[4];

    switch (token) {
    case 't':
        out_text(out, printer->topic);
        break;
    case 'o':
        out_printf(out, "%" PRIu64, entry->sequence);
        break;
    case 's':
        out_write(out, entry->data, entry->length);
        break;
    case 'S':
        out_printf(out, "%zu", entry->length);
        break;
    case 'T':
        out_printf(out, "%" PRIu64, entry->time_ns / 1000000u);
        break;
    case 'R':
        for (int i = 0; i < 4; i++)
            length_be[i] = (uint8_t)(entry->length >> (24 - 8 * i));
        out_write(out, length_be, sizeof(length_be));
        break;
    default:
        out_write(out, &token, 1);
        break;
    }
}

static void print_format(struct out *out, const struct entry_printer *printer, const struct walrus_entry *entry)
{
    const char *at = printer->format;

    while (*at != '\0') {
        size_t literal = strcspn(at, "%\\");

        out_write(out, at, literal);
        at += literal;
        if (*at == '%') {
            print_token(out, printer, entry, at[1]);
            at += 2;
        } else if (*at == '\\' && at[1] == 'x') {
            char byte = (char)(hex_value(at[2]) << 4 | hex_value(at[3]));

            out_write(out, &byte, 1);
            at += 4;
        } else if (*at == '\\') {
            out_write(out, &escape_bytes[strchr(escape_letters, at[1]) - escape_letters], 1);
            at += 2;
        }
    }
}

static bool print_json(struct out *out, const struct walrus_entry *entry)
{
    json_t *object =
        json_pack("{s:o, s:o, s:o, s:o}", "sequence", json_u64(entry->sequence), "offset", json_u64(entry->offset),
                  "time_ns", json_u64(entry->time_ns), "length", json_u64(entry->length));

    if (object != NULL && !json_set_payload(object, entry->data, entry->length)) {
        json_decref(object);
        object = NULL;
    }
    return out_json(out, object);
}

bool print_entry(struct out *out, const struct entry_printer *printer, const struct walrus_entry *entry)
{
    if (printer->json)
        return print_json(out, entry);
    if (printer->format != NULL) {
        print_format(out, printer, entry);
        return out->error == 0;
    }
    out_write(out, entry->data, entry->length);
    if (printer->framing != WALRUS_FRAMING_WRITE)
        out_write(out, printer->framing == WALRUS_FRAMING_NUL ? "\0" : "\n", 1);
    return out->error == 0;
}
