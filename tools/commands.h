/* commands.h - the subcommands. Each returns an exit code (enum cli_exit), having printed the reason. */
#ifndef WALRUS_TOOLS_COMMANDS_H
#define WALRUS_TOOLS_COMMANDS_H

#include "cli.h"

int cmd_topic_ls(struct cli *cli, int argc, char **argv);
int cmd_topic_create(struct cli *cli, int argc, char **argv);
int cmd_topic_info(struct cli *cli, int argc, char **argv);
int cmd_topic_config(struct cli *cli, int argc, char **argv);
int cmd_topic_rm(struct cli *cli, int argc, char **argv);
int cmd_produce(struct cli *cli, int argc, char **argv);
int cmd_cat(struct cli *cli, int argc, char **argv);
int cmd_consume(struct cli *cli, int argc, char **argv);
int cmd_peek(struct cli *cli, int argc, char **argv);
int cmd_tail(struct cli *cli, int argc, char **argv);
int cmd_group_ls(struct cli *cli, int argc, char **argv);
int cmd_group_create(struct cli *cli, int argc, char **argv);
int cmd_group_config(struct cli *cli, int argc, char **argv);
int cmd_group_rm(struct cli *cli, int argc, char **argv);
int cmd_group_describe(struct cli *cli, int argc, char **argv);
int cmd_cursor_get(struct cli *cli, int argc, char **argv);
int cmd_cursor_set(struct cli *cli, int argc, char **argv);
int cmd_cursor_rm(struct cli *cli, int argc, char **argv);
int cmd_batch(struct cli *cli, int argc, char **argv);
int cmd_trim(struct cli *cli, int argc, char **argv);
int cmd_check(struct cli *cli, int argc, char **argv);
int cmd_dump(struct cli *cli, int argc, char **argv);
int cmd_stat(struct cli *cli, int argc, char **argv);
int cmd_metrics(struct cli *cli, int argc, char **argv);
int cmd_mount(struct cli *cli, int argc, char **argv);
int cmd_umount(struct cli *cli, int argc, char **argv);
int cmd_bench(struct cli *cli, int argc, char **argv); /* argv[0] ends in writes, reads or batch */
int cmd_bench_mount(struct cli *cli, int argc, char **argv);
int cmd_bench_open(struct cli *cli, int argc, char **argv);
int cmd_bench_topics(struct cli *cli, int argc, char **argv);
int cmd_bench_scale(struct cli *cli, int argc, char **argv);

#endif
