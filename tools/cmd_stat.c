/* walrus stat - figures of a log and of each topic. */
#include <inttypes.h>
#include <unistd.h>

#include "commands.h"
#include "topics.h"

static struct out out;

static error_t parse(int key, char *argument, struct argp_state *state)
{
    (void)argument;
    if (key != ARGP_KEY_INIT)
        return ARGP_ERR_UNKNOWN;
    state->child_inputs[0] = state->input;
    return 0;
}

static enum walrus_code read_cursor(struct client_topic *topic, uint64_t *sequence, struct walrus_error *error)
{
    struct client_cursor *cursor;
    enum walrus_code code = client_cursor_open(topic, NULL, NULL, &cursor, error);

    if (code != WALRUS_OK)
        return code;
    code = client_cursor_get(cursor, sequence, error);
    if (code == WALRUS_OK)
        return client_cursor_close(cursor, error);
    client_cursor_close(cursor, NULL);
    return code;
}

static int stat_topic(const struct cli *cli, struct client_log *log, const char *name, void *context)
{
    struct client_topic *topic;
    struct walrus_topic_info info;
    struct walrus_error error = {0};
    uint64_t cursor;
    int status = cli_open_topic(cli, log, name, 0, NULL, &topic);

    (void)context;
    if (status != CLI_OK)
        return status;
    if (client_topic_info(topic, &info, &error) != WALRUS_OK || read_cursor(topic, &cursor, &error) != WALRUS_OK) {
        client_topic_close(topic);
        return cli_fail(cli, &error, NULL);
    }
    if (cli->json) {
        json_t *object = topic_info_json(name, &info);

        if (object != NULL) {
            json_object_set_new(object, "type", json_string("topic"));
            json_object_set_new(object, "cursor", json_u64(cursor));
            json_object_set_new(object, "lag", json_u64(info.next_sequence - cursor));
        }
        out_json(&out, object);
    } else {
        out_printf(&out,
                   "%10" PRIu64 " %14" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10" PRIu64
                   " %s%s\n",
                   info.next_sequence - info.first_sequence, info.next_offset - info.first_offset, info.first_sequence,
                   info.next_sequence, info.durable_sequence, cursor, info.next_sequence - cursor, name,
                   info.damages > 0 ? " (damaged)" : "");
    }
    client_topic_close(topic);
    return out.error == 0 ? CLI_OK : CLI_BROKEN_PIPE;
}

static const char *backend_text(const struct walrus_log_info *info)
{
    return info->backend == WALRUS_BACKEND_MMAP ? "mmap" : "fd";
}

static const char *io_uring_text(const struct walrus_log_info *info)
{
    if (!info->io_uring_active)
        return "no";
    return info->io_uring_writes && info->io_uring_reads ? "writes and reads"
           : info->io_uring_reads                        ? "reads"
                                                         : "writes";
}

static void print_log_json(const struct walrus_log_info *info)
{
    char sync[TIME_TEXT_MAX];
    char consistency[TIME_TEXT_MAX];
    char retention[TIME_TEXT_MAX];
    json_t *object = json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:s, s:s, s:s, s:o, s:o, s:s, s:o, s:b, s:b, s:b, s:o, s:o, s:o, s:o, s:o, "
        "s:o, s:o, s:o, "
        "s:o, s:o}",
        "type", "log", "topics", json_u64(info->topic_count), "namespaces", json_u64(info->namespace_count), "segments",
        json_u64(info->segment_count), "blocks", json_u64(info->block_count), "disk_bytes", json_u64(info->block_bytes),
        "sync", walrus_sync_policy_text(&info->sync, sync), "consistency",
        walrus_consistency_text(&info->consistency, consistency), "retention",
        walrus_retention_text(&info->retention, retention), "freed_blocks", json_u64(info->freed_blocks), "freed_bytes",
        json_u64(info->freed_bytes), "backend", backend_text(info), "backend_reason", json_name(info->backend_reason),
        "io_uring", (int)info->io_uring_active, "io_uring_writes", (int)info->io_uring_writes, "io_uring_reads",
        (int)info->io_uring_reads, "io_uring_reason", json_name(info->io_uring_reason), "clean_marks",
        json_u64(info->clean_marks), "recovery_ns", json_u64(info->recovery_ns), "recovery_walked_bytes",
        json_u64(info->recovery_walked_bytes), "recovered_torn_tails", json_u64(info->recovered_torn_tails),
        "recovered_batches_dropped", json_u64(info->recovered_batches_dropped), "recovered_damages",
        json_u64(info->recovered_damages), "recovered_adopted", json_u64(info->recovered_adopted), "damaged_cursors",
        json_u64(info->damaged_cursors), "recovery_note", json_name(info->recovery_note));

    out_json(&out, object);
}

static void print_log(const struct walrus_log_info *info)
{
    char text[TIME_TEXT_MAX];

    out_printf(&out, "topics         %" PRIu64 " (in %" PRIu64 " namespaces)\n", info->topic_count,
               info->namespace_count);
    out_printf(&out, "segments       %" PRIu64 "\n", info->segment_count);
    out_printf(&out, "blocks         %" PRIu64 "\n", info->block_count);
    out_printf(&out, "bytes on disk  %" PRIu64 "\n", info->block_bytes);
    out_printf(&out, "sync           %s\n", walrus_sync_policy_text(&info->sync, text));
    out_printf(&out, "consistency    %s\n", walrus_consistency_text(&info->consistency, text));
    out_printf(&out, "retention      %s; freed since open: %" PRIu64 " blocks, %" PRIu64 " bytes\n",
               walrus_retention_text(&info->retention, text), info->freed_blocks, info->freed_bytes);
    out_printf(&out, "backend        %s%s%s\n", backend_text(info), info->backend_reason[0] != '\0' ? ": " : "",
               info->backend_reason);
    out_printf(&out, "io_uring       %s%s%s\n", io_uring_text(info), info->io_uring_reason[0] != '\0' ? ": " : "",
               info->io_uring_reason);
    out_printf(&out,
               "recovery       %" PRIu64 " torn tails dropped, %" PRIu64 " unfinished batches dropped, %" PRIu64
               " damaged places, %" PRIu64 " topics adopted\n",
               info->recovered_torn_tails, info->recovered_batches_dropped, info->recovered_damages,
               info->recovered_adopted);
    out_printf(&out, "               took %.3f ms, walked %" PRIu64 " bytes; clean marks since: %" PRIu64 "\n",
               (double)info->recovery_ns / 1e6, info->recovery_walked_bytes, info->clean_marks);
    if (info->recovery_note[0] != '\0')
        out_printf(&out, "               %s\n", info->recovery_note);
    if (info->damaged_cursors > 0)
        out_printf(&out,
                   "cursors        %" PRIu64
                   " damaged, of topics that nobody knows: nothing is freed as consumed until "
                   "`walrus cursor rm --damaged`\n",
                   info->damaged_cursors);
    out_printf(&out, "\n%10s %14s %10s %10s %10s %10s %10s %s\n", "ENTRIES", "BYTES", "FIRST", "NEXT", "DURABLE",
               "CURSOR", "LAG", "TOPIC");
}

int cmd_stat(struct cli *cli, int argc, char **argv)
{
    static const struct argp argp = {
        .parser = parse,
        .doc =
            "Figures of the log, then a line per topic; CURSOR and LAG are those of the default group.\v"
            "--json: one object of type log (topics, namespaces, segments, blocks, disk_bytes, sync, consistency, "
            "retention, freed_blocks, freed_bytes, backend, backend_reason, io_uring, io_uring_writes, io_uring_reads, "
            "io_uring_reason, clean_marks, "
            "recovery_ns, "
            "recovery_walked_bytes, "
            "recovered_torn_tails, recovered_batches_dropped, recovered_damages, "
            "recovered_adopted, damaged_cursors, recovery_note), then one of type topic for each: as `topic info "
            "--json`, with cursor "
            "and lag.",
        .children = cli_children,
    };
    struct client_log *log = NULL;
    struct walrus_log_info info;
    struct walrus_error error = {0};
    int status;

    cli_parse(cli, &argp, argc, argv, cli);
    out_init(&out, STDOUT_FILENO);
    status = cli_open_log(cli, false, &log);
    if (status != CLI_OK)
        return status;
    if (client_log_info(log, &info, &error) != WALRUS_OK) {
        status = cli_fail(cli, &error, NULL);
    } else {
        if (cli->json)
            print_log_json(&info);
        else
            print_log(&info);
        status = topics_for_each(cli, log, stat_topic, NULL);
        if (status == CLI_BROKEN_PIPE)
            status = CLI_OK; /* out_finish() says what happened */
    }
    return cli_close_log(cli, log, out_finish(&out, cli, status));
}
