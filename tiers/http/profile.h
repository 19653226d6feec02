/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that the AWS tools share: ~/.aws/credentials and ~/.aws/config, or where
 * AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE point. Their text is hostile input (fuzzed).
 */
#ifndef TIERS_HTTP_PROFILE_H
#define TIERS_HTTP_PROFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"

/* Strings are malloc'ed or NULL where the files do not tell. */
struct aws_profile {
	char *access_key, *secret_key, *session_token;
	char *region, *endpoint_url;
	char *unsupported; /* a setting that names a source which we do not know */
	bool found;	   /* one of the files has the profile */
};

void aws_profile_release(struct aws_profile *profile); /* wipes; leaves an empty one */

enum aws_file { AWS_CREDENTIALS_FILE, AWS_CONFIG_FILE };
#define AWS_FILE_COUNT 2

/* malloc'ed path, or NULL where there is neither variable nor home (or no memory). */
char *aws_file_path(enum aws_file which);

/* AWS_PROFILE, AWS_DEFAULT_PROFILE, else "default". */
const char *aws_profile_name(void);

/*
 * Adds what text says about a profile. Fields that are set already stay: callers parse the
 * credentials file first, whose word counts. The two files spell sections differently ("[x]",
 * "[profile x]"). 0 or -ENOMEM.
 */
int aws_profile_parse(struct aws_profile *profile, enum aws_file which, const char *name,
		      const char *text, size_t len);

/* Reads both files; one that is missing is empty. -EACCES and the like with the path in err. */
int aws_profile_read(const char *name, struct aws_profile *ret, struct err *err);

#endif
