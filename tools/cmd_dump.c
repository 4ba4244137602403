/* walrus dump - what is in the files of a log, one line per item, in the order of the bytes. Works on a log in use. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "items.h"

struct dump {
    struct cli *cli;
    bool payload;
    const char *topic;
};

static struct out out;

enum { KEY_PAYLOAD = CLI_KEY_PRIVATE, KEY_TOPIC };

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct dump *dump = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = dump->cli;
        return 0;
    case KEY_PAYLOAD:
        dump->payload = true;
        return 0;
    case KEY_TOPIC:
        dump->topic = argument;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char *number_text(uint64_t number, char text[24])
{
    if (number == WALRUS_NOWHERE)
        return strcpy(text, "-");
    snprintf(text, 24, "%" PRIu64, number);
    return text;
}

static int visit(const struct walrus_item *item, void *context)
{
    const struct dump *dump = context;
    char numbers[4][24];
    char place[300];
    char time[TIME_TEXT_MAX];

    if (dump->topic != NULL && (item->topic_name == NULL || strcmp(item->topic_name, dump->topic) != 0))
        return 0;
    if (dump->cli->json) {
        out_json(&out, item_json(item, dump->payload));
        return out.error != 0;
    }
    snprintf(place, sizeof(place), "%s:%" PRIu64, item->file != NULL ? item->file : "-", item->file_offset);
    out_printf(&out, "%-7s %-11s %-32s %10" PRIu64 " topic=%s id=%" PRIu64 " block=%s seq=%s off=%s",
               item_kind_name(item->kind), item_verdict_name(item->verdict), place, item->file_bytes,
               item->topic_name != NULL ? item->topic_name : "-", item->topic_id,
               number_text(item->block_index, numbers[0]), number_text(item->sequence, numbers[1]),
               number_text(item->offset, numbers[2]));
    if (item->kind == WALRUS_ITEM_ENTRY)
        out_printf(&out, " len=%s batch=%d", number_text(item->payload_bytes, numbers[3]), (int)item->in_batch);
    if (item->time_ns != 0 && item->time_ns != WALRUS_NOWHERE)
        out_printf(&out, " time=%s", time_text(item->time_ns, time));
    if (item->note[0] != '\0')
        out_printf(&out, " # %s", item->note);
    if (dump->payload && item->kind == WALRUS_ITEM_ENTRY && item->payload != NULL) {
        out_text(&out, " \"");
        out_escaped(&out, item->payload, (size_t)item->payload_bytes);
        out_text(&out, "\"");
    }
    out_text(&out, "\n");
    return out.error != 0;
}

int cmd_dump(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"payload", KEY_PAYLOAD, NULL, 0, "show payloads too, in C style (--json: data or base64)", 0},
        {"topic", KEY_TOPIC, "TOPIC", 0, "only what belongs to TOPIC", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .doc =
            "Prints the structure of a log, one line per item: kind, verdict, file:byte, bytes, then name=value. Takes "
            "no lock: on a log in use the last items may look torn.\v"
            "--json: one object per item: " ITEM_JSON_HELP ".",
        .children = cli_children,
    };
    struct dump dump = {.cli = cli};
    struct walrus_options log_options;
    struct walrus_error error = {0};
    int status;

    cli_parse(cli, &argp, argc, argv, &dump);
    out_init(&out, STDOUT_FILENO);
    status = cli_options(cli, &log_options);
    if (status == CLI_OK && walrus_inspect(log_options.data_dir, log_options.instance_key, WALRUS_INSPECT_UNLOCKED,
                                           visit, &dump, NULL, &error) != WALRUS_OK)
        status = cli_fail(cli, &error, NULL);
    return out_finish(&out, cli, status);
}
