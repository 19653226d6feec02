/* SPDX-License-Identifier: Apache-2.0 */
/* What --help and the manual share. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include <stddef.h>
#include <stdio.h>

#include "cli/cli.h"
#include "model/config_table.h"

#define HELP_WIDTH 96

struct help_status {
	int status;
	const char *text; /* NULL ends the table */
};

extern const struct help_status help_statuses[];

/* Words of text from column on, broken before HELP_WIDTH; further lines begin at indent. */
void help_wrap(FILE *out, const char *text, int column, int indent);
/* "-c, --config=FILE" */
void help_option_name(const struct cli_option *o, char *buf, size_t size);
/* "list_ttl=60s": an option of the configuration as it is written behind -o. */
void help_config_name(const struct conf_option *opt, char *buf, size_t size);

#endif
