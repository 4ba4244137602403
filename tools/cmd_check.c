/* walrus check - verifies a log that nobody has open, and says where exactly it is damaged. */
#include <inttypes.h>
#include <unistd.h>

#include "commands.h"
#include "items.h"

struct check {
    struct cli *cli;
    bool verbose;
};

static struct out out;

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct check *check = state->input;

    (void)argument;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = check->cli;
        return 0;
    case 'v':
        check->verbose = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* What a crash may leave behind (recovery drops it and nothing acknowledged is in it), and what was trimmed. */
static bool is_note(enum walrus_verdict verdict)
{
    return verdict == WALRUS_VERDICT_TORN || verdict == WALRUS_VERDICT_UNCOMMITTED ||
           verdict == WALRUS_VERDICT_SUPERSEDED || verdict == WALRUS_VERDICT_TRIMMED;
}

static int visit(const struct walrus_item *item, void *context)
{
    const struct check *check = context;

    if (item->verdict == WALRUS_VERDICT_OK || (is_note(item->verdict) && !check->verbose))
        return 0;
    if (check->cli->json) {
        out_json(&out, item_json(item, false));
        return out.error != 0;
    }
    out_printf(&out, "%s: %s at %s:%" PRIu64 ", %" PRIu64 " bytes", item_verdict_name(item->verdict),
               item_kind_name(item->kind), item->file, item->file_offset, item->file_bytes);
    if (item->topic_name != NULL)
        out_printf(&out, ", topic '%s'", item->topic_name);
    else if (item->topic_id != 0)
        out_printf(&out, ", topic id %" PRIu64, item->topic_id);
    if (item->topic_id != 0 && item->sequence != WALRUS_NOWHERE)
        out_printf(&out, ", sequence %" PRIu64, item->sequence);
    if (item->note[0] != '\0')
        out_printf(&out, ": %s", item->note);
    out_text(&out, "\n");
    return out.error != 0;
}

static void print_summary(const struct check *check, const struct walrus_inspect_summary *summary, bool clean)
{
    if (check->cli->json) {
        out_json(&out, json_pack("{s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "type",
                                 "summary", "clean", (int)clean, "topics", json_u64(summary->topics), "segments",
                                 json_u64(summary->segments), "blocks", json_u64(summary->blocks), "entries",
                                 json_u64(summary->entries), "payload_bytes", json_u64(summary->payload_bytes),
                                 "cursors", json_u64(summary->cursors), "torn", json_u64(summary->torn), "uncommitted",
                                 json_u64(summary->uncommitted), "superseded", json_u64(summary->superseded), "trimmed",
                                 json_u64(summary->trimmed), "damaged", json_u64(summary->damaged), "missing",
                                 json_u64(summary->missing), "unknown", json_u64(summary->unknown)));
        return;
    }
    out_printf(&out,
               "%s: %" PRIu64 " topics, %" PRIu64 " segments, %" PRIu64 " blocks, %" PRIu64 " entries, %" PRIu64
               " payload bytes, %" PRIu64 " cursors\n",
               clean ? "clean" : "damaged", summary->topics, summary->segments, summary->blocks, summary->entries,
               summary->payload_bytes, summary->cursors);
    if (!clean)
        out_printf(&out, "damaged: %" PRIu64 " damaged, %" PRIu64 " missing, %" PRIu64 " unknown\n", summary->damaged,
                   summary->missing, summary->unknown);
    if (summary->torn + summary->uncommitted + summary->superseded > 0)
        out_printf(&out,
                   "notes: %" PRIu64 " torn, %" PRIu64 " uncommitted, %" PRIu64 " superseded: what a crash leaves, "
                   "nothing acknowledged%s\n",
                   summary->torn, summary->uncommitted, summary->superseded, check->verbose ? "" : " (-v lists them)");
    if (summary->trimmed > 0)
        out_printf(&out, "trimmed: %" PRIu64 " items before their topic's first retained entry\n", summary->trimmed);
}

int cmd_check(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"verbose", 'v', NULL, 0,
         "list also what a crash may leave (torn tails, uncommitted batches), and what was trimmed", 0},
        {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .doc =
            "Verifies every byte of a log that nobody has open. Repairs nothing. Exit code 0: clean; 65: damaged.\v"
            "Each finding is a line: what is wrong, with what, at which file and byte, of which topic and sequence.\n"
            "--json: one object per finding (type item, as `walrus dump --json`) and one of type summary: clean, "
            "topics, segments, blocks, entries, payload_bytes, cursors, torn, uncommitted, superseded, trimmed, "
            "damaged, missing, unknown.",
        .children = cli_children,
    };
    struct check check = {.cli = cli};
    struct walrus_options log_options;
    struct walrus_inspect_summary summary = {0};
    struct walrus_error error = {0};
    bool clean;
    int status;

    cli_parse(cli, &argp, argc, argv, &check);
    out_init(&out, STDOUT_FILENO);
    status = cli_options(cli, &log_options);
    if (status != CLI_OK)
        return status;
    if (walrus_inspect(log_options.data_dir, log_options.instance_key, 0, visit, &check, &summary, &error) !=
        WALRUS_OK) {
        out_flush(&out);
        return cli_fail(cli, &error, NULL);
    }
    clean = summary.damaged == 0 && summary.missing == 0 && summary.unknown == 0;
    print_summary(&check, &summary, clean);
    return out_finish(&out, cli, clean ? CLI_OK : CLI_DATA);
}
