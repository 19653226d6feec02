/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cogfs stats: .cogfs/stats.json for people. All that is in it is shown, so that what a newer
 * daemon tells is shown too; names say the unit: *_bytes, *_s, *_ns.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/human.h"
#include "cli/mounts.h"
#include "util/counters.h"

#define VALUE_MAX 128

const struct cli_option cmd_stats_options[] = {
	{'j', false, "json", NULL, "print .cogfs/stats.json as it is"},
	{'a', true, "all", NULL, "show counters that are zero too"},
	{'t', true, "tenant", "NAME", "what this tenant has and may have"},
	{0},
};

/* What is to be shown. */
struct wanted {
	bool as_json, all;
	const char *tenant; /* NULL: everything */
};

static const char *counter_text(const char *name)
{
	static const struct {
		const char *name, *text;
	} rows[] = {
#define X(counter, kind, unit, prose) {#counter, prose},
		COUNTER_TABLE(X)
#undef X
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].name, name) == 0)
			return rows[i].text;
	return "";
}

static bool ends_in(const char *s, const char *end)
{
	size_t a = strlen(s), b = strlen(end);

	return a >= b && strcmp(s + a - b, end) == 0;
}

static const char *format_number(const char *name, json_int_t v, char buf[VALUE_MAX])
{
	if (v >= 0 && (ends_in(name, "bytes") || ends_in(name, "size")))
		return human_size((uint64_t)v, buf, VALUE_MAX);
	if (ends_in(name, "_s"))
		return human_seconds(v, buf, VALUE_MAX);
	if (ends_in(name, "_ns"))
		snprintf(buf, VALUE_MAX, "%.1f us", (double)v / 1000);
	else
		snprintf(buf, VALUE_MAX, "%" JSON_INTEGER_FORMAT, v);
	return buf;
}

/* As human_text prints it. */
static const char *format_text(const char *text, char buf[VALUE_MAX])
{
	snprintf(buf, VALUE_MAX, "%s", text);
	for (char *c = buf; *c; c++)
		*c = human_char(*c);
	return buf;
}

static const char *format_value(const char *name, const json_t *v, char buf[VALUE_MAX])
{
	switch (json_typeof(v)) {
	case JSON_INTEGER:
		return format_number(name, json_integer_value(v), buf);
	case JSON_REAL:
		snprintf(buf, VALUE_MAX, "%.3g", json_real_value(v));
		return buf;
	case JSON_STRING:
		return format_text(json_string_value(v), buf);
	case JSON_TRUE:
		return "yes";
	case JSON_FALSE:
		return "no";
	case JSON_NULL:
	case JSON_OBJECT:
	case JSON_ARRAY:
		break;
	}
	return "-";
}

static bool is_scalar(const json_t *v)
{
	return !json_is_object(v) && !json_is_array(v);
}

/* The unit stands behind the number, not in the name. */
static void print_name(const char *name, int width)
{
	size_t len = strlen(name);

	if (ends_in(name, "_bytes"))
		len -= 6;
	else if (ends_in(name, "_ns"))
		len -= 3;
	else if (ends_in(name, "_s"))
		len -= 2;
	for (size_t i = 0; i < len; i++)
		putchar(name[i] == '_' ? ' ' : name[i]);
	for (int i = (int)len; i < width; i++)
		putchar(' ');
}

static void print_counters(json_t *counters, bool all)
{
	char buf[VALUE_MAX];
	const char *name;
	json_t *v;

	json_object_foreach(counters, name, v)
	{
		if (!all && json_integer_value(v) == 0)
			continue;
		fputs("  ", stdout);
		print_name(name, 20);
		printf("%14s  %s\n", format_value(name, v, buf), counter_text(name));
	}
}

/* What is a value, one a line. */
static void print_values(json_t *object)
{
	char buf[VALUE_MAX];
	const char *name;
	json_t *v;

	json_object_foreach(object, name, v)
	{
		if (!is_scalar(v))
			continue;
		print_name(name, 22);
		printf(" %s\n", format_value(name, v, buf));
	}
}

/* One line a tier: its name, then its values. */
static void print_backends(json_t *backends)
{
	const char *tier, *name;
	char buf[VALUE_MAX];
	json_t *backend, *v;

	json_object_foreach(backends, tier, backend)
	{
		const char *before = " ";

		printf("  %-8s", format_text(tier, buf));
		json_object_foreach(backend, name, v)
		{
			if (!is_scalar(v))
				continue;
			fputs(before, stdout);
			print_name(name, 0);
			printf(" %s", format_value(name, v, buf));
			before = ", ";
		}
		putchar('\n');
	}
}

static void print_stats(json_t *stats, bool all)
{
	json_t *manager = json_object_get(stats, "manager");

	print_values(manager);
	puts("\ntiers");
	print_backends(json_object_get(stats, "backends"));
	puts("\nclasses");
	print_backends(json_object_get(stats, "classes"));
	if (json_object_size(json_object_get(stats, "key_types"))) {
		puts("\ntypes");
		print_backends(json_object_get(stats, "key_types"));
	}
	puts("\ncounters");
	print_counters(json_object_get(manager, "counters"), all);
}

/* What is asked for: all, or one tenant. NULL: there is none, or it is not the caller's */
static json_t *part_of(json_t *json, const char *tenant)
{
	return tenant ? json_object_get(json_object_get(json, "tenants"), tenant) : json;
}

static void show(json_t *part, const struct wanted *w)
{
	if (w->as_json) {
		json_dumpf(part, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (w->tenant) {
		print_values(part);
	} else {
		print_stats(part, w->all);
	}
}

static int stats(const char *path, const struct wanted *w)
{
	struct mount_place place;
	struct err err = {0};
	json_t *json = NULL, *part;
	int r = mount_place_find(path, &place, &err);

	if (r == 0) {
		r = client_stats(place.dir, &json, &err);
		mount_place_release(&place);
	}
	if (r < 0) {
		cli_error("stats: %s", err_text(&err, r));
		return CLI_FAILED;
	}
	part = part_of(json, w->tenant);
	if (!part) {
		cli_error("stats: no tenant \"%s\", or it is not yours", w->tenant);
		json_decref(json);
		return CLI_FAILED;
	}
	show(part, w);
	r = json_is_true(json_object_get(json_object_get(json, "manager"), "degraded"))
		    ? CLI_DEGRADED
		    : CLI_OK;
	json_decref(json);
	return r;
}

int cmd_stats(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_args args = {.verb = verb, .argc = argc, .argv = argv};
	struct wanted wanted = {0};
	int id;

	while ((id = cli_next(&args)) > 0) {
		if (id == 'j')
			wanted.as_json = true;
		else if (id == 'a')
			wanted.all = true;
		else
			wanted.tenant = args.value;
	}
	if (id < 0 || !cli_count(&args, 0, 1))
		return CLI_FAILED;
	return stats(args.rest[0], &wanted);
}
