/* SPDX-License-Identifier: Apache-2.0 */
/* Talking to a running cogfs through the files below .cogfs/ in its mount. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <jansson.h>
#include <stdint.h>

#include "util/err.h"

/* Reads .cogfs/NAME within ms; malloc'ed. -ETIMEDOUT, -ENOTCONN, ... with a text. */
int client_read(const char *dir, const char *name, int ms, char **ret_text, struct err *err);
/* The same as JSON. The caller owns *ret_json. */
int client_stats(const char *dir, json_t **ret_json, struct err *err);

/* A line that is neither the last one nor an error: {"progress": {...}}. */
typedef void client_progress_fn(void *arg, const json_t *progress);

/*
 * Sends request and reads the answer to its end. *ret_done is the last line, the caller's. An
 * {"error": TEXT, "errno": N} becomes -N and its text.
 */
int client_request(const char *dir, const json_t *request, client_progress_fn *fn, void *arg,
		   json_t **ret_done, struct err *err);

/* A count in an answer; 0 where it is missing or makes no sense. */
uint64_t client_number(const json_t *object, const char *name);
/* One line of JSON on stdout. */
void client_print(const json_t *json);

#endif
