/*
 * batch.c - an atomic batch over several topics: all of it is there, for readers and after a crash, or nothing of it.
 *
 *     cc batch.c $(pkg-config --cflags --libs walrus) -o batch
 *     ./batch data alice bob 25
 *
 * Moves an amount between two accounts, each a topic of its own, and puts the transfer into a journal. No reader, and
 * no crash, ever sees money that has left one account and not come to the other.
 *
 * What to copy: entries of one array, each with its topic, and one call.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <walrus/walrus.h>

static void give_up(const struct walrus_error *error)
{
    fprintf(stderr, "batch: %s\n", error->message);
    exit(1);
}

static struct walrus_topic *open_topic(struct walrus_log *log, const char *prefix, const char *name)
{
    struct walrus_topic *topic;
    struct walrus_error error;
    char whole[WALRUS_NAME_MAX + 1];
    snprintf(whole, sizeof(whole), "%s%s", prefix, name);
    if (walrus_topic_open(log, whole, WALRUS_CREATE | WALRUS_CREATE_PARENTS, NULL, &topic, &error) != WALRUS_OK)
        give_up(&error);
    return topic;
}

static void transfer(struct walrus_log *log, const char *from, const char *to, long amount)
{
    struct walrus_topic *payer = open_topic(log, "accounts/", from), *payee = open_topic(log, "accounts/", to);
    struct walrus_topic *journal = open_topic(log, "", "journal");
    struct walrus_receipt receipts[3];
    struct walrus_error error;
    char debit[32], credit[32], line[600];

    snprintf(debit, sizeof(debit), "%+ld", -amount);
    snprintf(credit, sizeof(credit), "%+ld", amount);
    snprintf(line, sizeof(line), "%s -> %s: %ld", from, to, amount);
    const struct walrus_batch_entry entries[3] = {
        {payer, debit, strlen(debit)},
        {payee, credit, strlen(credit)},
        {journal, line, strlen(line)},
    };
    /* WALRUS_DURABLE: on the disk when the call returns, whatever the topics say. */
    if (walrus_append_batch_topics(log, entries, 3, WALRUS_DURABLE, receipts, &error) != WALRUS_OK)
        give_up(&error); /* and nothing has happened */
    printf("transfer %" PRIu64 ": %s\n", receipts[2].sequence, line);
    walrus_topic_close(payer);
    walrus_topic_close(payee);
    walrus_topic_close(journal);
}

/* The sum of an account's entries. */
static long balance(struct walrus_log *log, const char *name)
{
    struct walrus_topic *account = open_topic(log, "accounts/", name);
    struct walrus_position position = {0};
    struct walrus_entries entries = {0};
    const struct walrus_read_limits limits = {.max_bytes = 1 << 20};
    struct walrus_error error;
    long sum = 0;
    do {
        if (walrus_read_entries(account, &position, &limits, &entries, &error) != WALRUS_OK)
            give_up(&error);
        for (size_t i = 0; i < entries.count; i++) {
            char text[32] = "";
            size_t length = entries.items[i].length < sizeof(text) ? entries.items[i].length : sizeof(text) - 1;
            memcpy(text, entries.items[i].data, length);
            sum += atol(text);
        }
    } while (entries.count > 0);
    walrus_entries_free(&entries);
    walrus_topic_close(account);
    return sum;
}

int main(int argc, char **argv)
{
    struct walrus_options options;
    struct walrus_error error;
    struct walrus_log *log;

    if (argc != 5) {
        fprintf(stderr, "usage: batch DIRECTORY FROM TO AMOUNT\n");
        return 64;
    }
    if (walrus_options_init(&options, &error) != WALRUS_OK)
        give_up(&error);
    options.data_dir = argv[1];
    if (walrus_open(&options, &log, &error) != WALRUS_OK)
        give_up(&error);
    transfer(log, argv[2], argv[3], atol(argv[4]));
    printf("%s has %ld, %s has %ld\n", argv[2], balance(log, argv[2]), argv[3], balance(log, argv[3]));
    if (walrus_close(log, &error) != WALRUS_OK)
        give_up(&error);
    return 0;
}
