/* SPDX-License-Identifier: Apache-2.0 */
/* Servers for tests of the S3 store, on 127.0.0.1; they end with the test, however it ends. */
#ifndef TESTS_S3_S3_SERVER_H
#define TESTS_S3_S3_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "tiers/stores.h"

#define S3_SERVER_SKIP 77 /* what a test program returns where its server is not there */
#define S3_TEST_BUCKET "cogfs-test"
#define S3_TEST_ACCESS_KEY "testaccess"
#define S3_TEST_SECRET_KEY "testsecret"

struct s3_server {
	pid_t pid;
	int hold;     /* the child's standard input, or -1 */
	char dir[64]; /* the gateway's files, "" = none */
	char endpoint[64];
};

/*
 * Both have the bucket S3_TEST_BUCKET. False where there is no such server here, after a line
 * on stderr that says what to set.
 */
bool s3_stub_start(struct s3_server *server);
/* With TLS, on a key and certificate for 127.0.0.1; the certificate is pem as well. */
bool s3_stub_start_tls(struct s3_server *server, const char *pem);
bool s3_gateway_start(struct s3_server *server);
void s3_server_stop(struct s3_server *server);

/* The keys above, the bucket above, no proxy; callers change what they test. */
struct s3_conf s3_server_conf(const struct s3_server *server);
/* Asserts that it works. */
struct tier *s3_server_tier(const struct s3_conf *conf);

/* --- the stub's control --- */
void stub_plan(const struct s3_server *server, const char *json);
void stub_reset(const struct s3_server *server);
void stub_age_uploads(const struct s3_server *server, unsigned int seconds);
/* malloc'ed JSON. */
char *stub_log(const struct s3_server *server);
/* How often text is in the log. */
unsigned int stub_log_count(const struct s3_server *server, const char *text);

#endif
