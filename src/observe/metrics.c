/* SPDX-License-Identifier: Apache-2.0 */
/* A sample in Prometheus' text format. */
#include "observe/metrics.h"

#include <inttypes.h>
#include <string.h>

#include "cogfs_version.h"

#define NAME_MAX_LEN 64

/* "oldest_dirty_s" is cogfs_oldest_dirty_seconds: Prometheus spells base units out. */
static const char *metric_name(const char *name, const char *end, char out[NAME_MAX_LEN])
{
	size_t len = strlen(name);
	const char *unit = "";

	if (len > 2 && strcmp(name + len - 2, "_s") == 0) {
		len -= 2;
		unit = "_seconds";
	}
	snprintf(out, NAME_MAX_LEN, "cogfs_%.*s%s%s", (int)len, name, unit, end);
	return out;
}

static void print_head(FILE *out, const char *name, const char *type, const char *text)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, text, name, type);
}

/* A label's value: backslash, quote and newline are escaped, other bytes are as they are. */
static void print_value(FILE *out, const char *value)
{
	for (const char *c = value; *c; c++) {
		if (*c == '\n')
			fputs("\\n", out);
		else if (*c == '\\' || *c == '"')
			fprintf(out, "\\%c", *c);
		else
			fputc(*c, out);
	}
}

static void print_label(FILE *out, const char *before, const char *label, const char *value)
{
	fprintf(out, "%s%s=\"", before, label);
	print_value(out, value);
	fputc('"', out);
}

static void print_info(const struct sample *s, FILE *out)
{
	print_head(out, "cogfs_info", "gauge", "always 1: who this is");
	fputs("cogfs_info", out);
	print_label(out, "{", "version", COGFS_VERSION);
	print_label(out, ",", "mountpoint", s->of->mountpoint);
	fputs("} 1\n", out);
}

static void print_counters(const struct sample *s, FILE *out)
{
	char name[NAME_MAX_LEN];

	for (unsigned int i = 0; i < COUNTER_COUNT; i++) {
		const struct counter_info *info = counter_info((enum counter_id)i);
		bool counter = info->kind == COUNTER_KIND_COUNTER;

		metric_name(info->name, counter ? "_total" : "", name);
		print_head(out, name, counter ? "counter" : "gauge", info->text);
		fprintf(out, "%s %" PRIu64 "\n", name, s->counters[i]);
	}
}

static void print_gauges(const struct sample *s, FILE *out)
{
	char name[NAME_MAX_LEN];

	for (unsigned int i = 0; i < GAUGE_COUNT; i++) {
		const struct gauge_info *info = gauge_info((enum gauge_id)i);

		metric_name(info->name, "", name);
		print_head(out, name, "gauge", info->text);
		fprintf(out, "%s %" PRIu64 "\n", name, info->value(s));
	}
}

/* --- tiers: one row a metric, one line a tier --- */

static uint64_t tier_bytes(const struct tier_sample *t)
{
	return t->stats->bytes;
}

static uint64_t tier_max_bytes(const struct tier_sample *t)
{
	return t->stats->max_bytes;
}

static uint64_t tier_objects(const struct tier_sample *t)
{
	return t->stats->objects;
}

static uint64_t tier_hits(const struct tier_sample *t)
{
	return t->hits;
}

static uint64_t tier_misses(const struct tier_sample *t)
{
	return t->misses;
}

static uint64_t tier_up(const struct tier_sample *t)
{
	return t->stats->state == 0;
}

static const struct {
	const char *name, *type, *text;
	bool bodies; /* only for tiers that hold bodies */
	uint64_t (*value)(const struct tier_sample *t);
} tier_metrics[] = {
	{"cogfs_tier_up", "gauge", "whether the tier answers", false, tier_up},
	{"cogfs_tier_bytes", "gauge", "bytes that the tier holds", true, tier_bytes},
	{"cogfs_tier_max_bytes", "gauge", "bytes that it may hold", true, tier_max_bytes},
	{"cogfs_tier_objects", "gauge", "objects that it holds", true, tier_objects},
	{"cogfs_tier_hits_total", "counter", "opens for reading that were served from it", false,
	 tier_hits},
	{"cogfs_tier_misses_total", "counter", "those that had to go on to a slower one", false,
	 tier_misses},
};

static void print_tiers(const struct sample *s, FILE *out)
{
	for (size_t m = 0; m < sizeof(tier_metrics) / sizeof(tier_metrics[0]); m++) {
		print_head(out, tier_metrics[m].name, tier_metrics[m].type, tier_metrics[m].text);
		for (unsigned int i = 0; i < s->cache.n_tiers; i++) {
			struct tier_sample t = sample_tier(s, i);

			if (tier_metrics[m].bodies && !t.bodies)
				continue;
			fputs(tier_metrics[m].name, out);
			print_label(out, "{", "tier", t.stats->name);
			print_label(out, ",", "type", t.stats->type);
			fprintf(out, "} %" PRIu64 "\n", tier_metrics[m].value(&t));
		}
	}
}

void metrics_print(const struct sample *s, FILE *out)
{
	print_info(s, out);
	print_counters(s, out);
	print_gauges(s, out);
	print_tiers(s, out);
}
