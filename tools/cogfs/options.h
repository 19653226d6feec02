/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text behind -o: comma-separated, '\' takes the next character as it is, '_' and '-' are one.
 * Some words are for the kernel, some are mount(8)'s own and mean nothing here, all others are the
 * configuration's, by their whole names ("network.retry.tries=5") or a short one
 * ("passthrough=off").
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "model/config.h"
#include "util/err.h"

struct mount_options {
	struct conf_override *overrides; /* names and values are ours */
	size_t n_overrides;
	char *fuse_opts;   /* for the kernel and libfuse, as given; NULL: none */
	char *fsname;	   /* NULL: not given */
	char *config_file; /* NULL: not given */
	bool strict, over;
	bool sloppy; /* set before: ignore what is unknown, as mount -s wants */
};

enum mount_option_kind {
	MOUNT_OPTION_IGNORED, /* mount(8)'s, or the default anyway */
	MOUNT_OPTION_KERNEL,  /* passed on */
	MOUNT_OPTION_CONFIG,  /* short for an option of the configuration */
	MOUNT_OPTION_OWN,     /* of the mount command itself */
};

struct mount_option_row {
	const char *name; /* with '_'; a '*' at the end: any that begins so. NULL ends the table */
	enum mount_option_kind kind;
	const char *config; /* the option of the configuration that it sets too, or NULL */
	const char *value; /* what it sets it to where no value is given; NULL: a value is needed */
	const char *text;  /* NULL: not worth a line in the help */
};

extern const struct mount_option_row mount_option_rows[];

/* Adds text's options to what o has; later ones win. 0, -EINVAL with a text, -ENOMEM. */
int mount_options_parse(struct mount_options *o, const char *text, struct err *err);
void mount_options_release(struct mount_options *o);

#endif
