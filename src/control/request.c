/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: from hostile text to a struct. */
#include "control/request.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "model/key.h"
#include "util/cleanup.h"

#define TIMEOUT_MAX_MS (366LL * 24 * 3600 * 1000)
#define SHOWN 60 /* bytes of a foreign text in a message */

static int parse_path(const json_t *value, struct control_request *ret, struct err *err)
{
	const char *path = json_string_value(value);
	int r;

	if (!path)
		return err_set(err, -EINVAL, "path: a string is wanted");
	r = *path ? key_check(path, json_string_length(value)) : 0;
	if (r)
		return err_set(err, r, "path: \"%.*s\" is no path below the mount", SHOWN, path);
	free(ret->path);
	ret->path = strdup(path);
	return ret->path ? 0 : err_set(err, -ENOMEM, "no memory");
}

static int parse_timeout(const json_t *value, struct control_request *ret, struct err *err)
{
	json_int_t ms = json_integer_value(value);

	if (!json_is_integer(value) || ms < 0 || ms > TIMEOUT_MAX_MS)
		return err_set(err, -EINVAL,
			       "timeout_ms: a whole number of milliseconds is wanted, a year at "
			       "most");
	ret->timeout_ms = ms;
	return 0;
}

static int parse_flag(const json_t *value, const char *name, bool *ret, struct err *err)
{
	if (!json_is_boolean(value))
		return err_set(err, -EINVAL, "%s: true or false is wanted", name);
	*ret = json_is_true(value);
	return 0;
}

static int parse_repair(const json_t *value, struct control_request *ret, struct err *err)
{
	return parse_flag(value, "repair", &ret->repair, err);
}

static int parse_cold(const json_t *value, struct control_request *ret, struct err *err)
{
	return parse_flag(value, "cold", &ret->cold, err);
}

static int parse_bytes(const json_t *value, struct control_request *ret, struct err *err)
{
	return parse_flag(value, "bytes", &ret->bytes, err);
}

static int parse_dry_run(const json_t *value, struct control_request *ret, struct err *err)
{
	return parse_flag(value, "dry_run", &ret->dry_run, err);
}

static int parse_copy(const json_t *value, struct control_request *ret, struct err *err)
{
	return parse_flag(value, "copy", &ret->copy, err);
}

static int parse_source(const json_t *value, struct control_request *ret, struct err *err)
{
	const char *source = json_string_value(value);

	if (!source || *source != '/')
		return err_set(err, -EINVAL, "source: an absolute path is wanted");
	free(ret->source);
	ret->source = strdup(source);
	return ret->source ? 0 : err_set(err, -ENOMEM, "no memory");
}

enum {
	FIELD_PATH = 1 << 0,
	FIELD_TIMEOUT = 1 << 1,
	FIELD_REPAIR = 1 << 2,
	FIELD_COLD = 1 << 3,
	FIELD_BYTES = 1 << 4,
	FIELD_SOURCE = 1 << 5,
	FIELD_DRY_RUN = 1 << 6,
	FIELD_COPY = 1 << 7,
};

static const struct {
	const char *name;
	unsigned int bit;
	int (*parse)(const json_t *value, struct control_request *ret, struct err *err);
} fields[] = {
	{"path", FIELD_PATH, parse_path},	   {"timeout_ms", FIELD_TIMEOUT, parse_timeout},
	{"repair", FIELD_REPAIR, parse_repair},	   {"cold", FIELD_COLD, parse_cold},
	{"bytes", FIELD_BYTES, parse_bytes},	   {"source", FIELD_SOURCE, parse_source},
	{"dry_run", FIELD_DRY_RUN, parse_dry_run}, {"copy", FIELD_COPY, parse_copy},
};

static const struct {
	const char *name;
	unsigned int fields; /* that it takes */
} verbs[CONTROL_VERBS] = {
	[CONTROL_STATS] = {"stats", 0},
	[CONTROL_VERSION] = {"version", 0},
	[CONTROL_ERRORS] = {"errors", 0},
	[CONTROL_FLUSH] = {"flush", FIELD_PATH | FIELD_TIMEOUT},
	[CONTROL_EXPLAIN] = {"explain", FIELD_PATH},
	[CONTROL_FSCK] = {"fsck", FIELD_REPAIR | FIELD_COLD | FIELD_BYTES},
	[CONTROL_IMPORT] = {"import", FIELD_PATH | FIELD_SOURCE | FIELD_DRY_RUN | FIELD_COPY},
};

static int parse_verb(const json_t *json, struct control_request *ret, struct err *err)
{
	const char *name = json_string_value(json_object_get(json, "verb"));

	if (!name)
		return err_set(err, -EINVAL, "\"verb\" is missing");
	for (unsigned int i = 0; i < CONTROL_VERBS; i++) {
		if (strcmp(verbs[i].name, name) != 0)
			continue;
		ret->verb = (enum control_verb)i;
		return 0;
	}
	return err_set(err, -EOPNOTSUPP, "there is no verb \"%.*s\"", SHOWN, name);
}

static int parse_field(const char *name, const json_t *value, struct control_request *ret,
		       struct err *err)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (strcmp(fields[i].name, name) == 0 && verbs[ret->verb].fields & fields[i].bit)
			return fields[i].parse(value, ret, err);
	return err_set(err, -EINVAL, "%s takes no \"%.*s\"", verbs[ret->verb].name, SHOWN, name);
}

static int parse_object(json_t *json, struct control_request *ret, struct err *err)
{
	const char *name;
	json_t *value;
	int r;

	if (!json_is_object(json))
		return err_set(err, -EINVAL, "a JSON object is wanted");
	r = parse_verb(json, ret, err);
	json_object_foreach(json, name, value)
	{
		if (!r && strcmp(name, "verb") != 0)
			r = parse_field(name, value, ret, err);
	}
	return r;
}

int control_request_parse(const char *text, struct control_request *ret, struct err *err)
{
	struct control_request req = {.timeout_ms = -1, .path = strdup("")};
	json_error_t wrong;
	json_t *json;
	int r;

	if (!req.path)
		return err_set(err, -ENOMEM, "no memory");
	json = json_loads(text, JSON_REJECT_DUPLICATES, &wrong);
	r = json ? parse_object(json, &req, err)
		 : err_set(err, -EINVAL, "this is no JSON: %s", wrong.text);
	json_decref(json);
	if (r)
		control_request_release(&req);
	else
		*ret = req;
	return r;
}

void control_request_release(struct control_request *req)
{
	free(STEAL_PTR(req->path));
	free(STEAL_PTR(req->source));
}
