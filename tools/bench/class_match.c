/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it costs to find the class of a path with 100 classes, each set of classes laid out to be
 * hard on another part of the tree, with paths that match, that match nothing and that are hostile.
 * Aim: under 300 ns a path, placeholders included.
 *
 *   cmake --preset release && ninja -C build/release cogfs_model
 *   B=build/release; cc -O2 -D_GNU_SOURCE -I$B/include/model -I$B/include/util \
 *      tools/bench/class_match.c -o $B/class_match $B/src/model/libcogfs_model.a \
 *      $B/src/util/libcogfs_util.a -lyaml -lxxhash -lpthread && $B/class_match
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/class.h"
#include "model/key.h"

#define CLASSES 100
#define ROUNDS 150 /* short ones, so that some are not disturbed */
#define TIMES 2000

struct layout {
	const char *name;
	const char *pattern; /* %02u: the class's number */
	const char *key;     /* likewise */
};

static const struct layout layouts[] = {
	{"seed 001: kinds below a tenant",
	 "tenant_{tenant}/kind%02u/{video_id}/frame_{timestamp}.jpg",
	 "tenant_acme/kind%02u/robot_soccer/frame_12.5.jpg"},
	{"seed 003: profile first",
	 "{profile}/kind%02u/{video_id}/"
	 "segment_{segment_id}_start_{start_time}_end_{end_time}/frame_{n}.jpg",
	 "colpali/kind%02u/robot_soccer/segment_0_start_0.0_end_6.0/frame_1.jpg"},
	{"literal first parts", "kind%02u/{video_id}/{item}.json", "kind%02u/v1/result.json"},
	{"one first part each, half literal", "kind%02u_{profile}/videos/{video_id}/**",
	 "kind%02u_x/videos/v1/a/b/c.json"},
	{"endings", "**/*.end%02u", "some/where/deep/down/file.end%02u"},
	{"endings of one part", "{profile}/{video_id}.end%02u", "some/file.end%02u"},
	{"wildcards in front of what differs", "{a}/{b}/{c}/{d}_kind%02u_{e}",
	 "p/video/x/left_kind%02u_right"},
	{"character classes", "{a:[a-z]+}/{b:[0-9]+}_%02u_{c:x|y|z}", "abcdef/123456_%02u_y"},
};

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct class_set *make_set(const struct layout *l)
{
	static char text[CLASSES][256];
	static char *lists[CLASSES][2];
	static struct conf_class classes[CLASSES];
	struct class_set *set;
	struct err err = {0};

	for (unsigned int i = 0; i < CLASSES; i++) {
		snprintf(text[i], sizeof(text[i]), l->pattern, i);
		lists[i][0] = text[i];
		classes[i] = (struct conf_class){.name = text[i],
						 .match = lists[i],
						 .next = i + 1 < CLASSES ? &classes[i + 1] : NULL};
	}
	if (class_set_new(classes, &set, &err) == 0)
		return set;
	fprintf(stderr, "%s\n", err.text);
	exit(1);
}

/* The best round's nanoseconds a match, over n keys in turn. */
static double measure(const struct class_set *set, char (*keys)[KEY_MAX + 1], unsigned int n,
		      unsigned int *ret_matched)
{
	double best = 1e18;
	size_t lens[CLASSES];

	for (unsigned int i = 0; i < n; i++)
		lens[i] = strlen(keys[i]);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		double start = now_ns(), each;
		struct class_hit hit;

		*ret_matched = 0;
		for (unsigned int i = 0; i < TIMES; i++)
			*ret_matched += class_match(set, keys[i % n], lens[i % n], &hit);
		each = (now_ns() - start) / TIMES;
		best = each < best ? each : best;
	}
	return best;
}

static void fill(char *key, const char *unit, size_t len)
{
	for (size_t i = 0; i < len; i++)
		key[i] = unit[i % strlen(unit)];
	key[len] = '\0';
}

int main(void)
{
	static char keys[CLASSES][KEY_MAX + 1], hostile[4][KEY_MAX + 1];
	static const char *const units[] = {"a/", "kind00_", "a", "kind/"};
	double worst = 0;

	printf("%-40s %10s %10s %10s\n", "100 classes", "match", "no match", "hostile");
	for (size_t l = 0; l < sizeof(layouts) / sizeof(layouts[0]); l++) {
		struct class_set *set = make_set(&layouts[l]);
		double match, miss, bad = 0;
		unsigned int n;

		for (unsigned int i = 0; i < CLASSES; i++)
			snprintf(keys[i], sizeof(keys[i]), layouts[l].key, i);
		match = measure(set, keys, CLASSES, &n);
		if (n != TIMES)
			return 1;
		for (unsigned int i = 0; i < CLASSES; i++)
			keys[i][strlen(keys[i]) - 1] ^= 1;
		miss = measure(set, keys, CLASSES, &n);
		for (unsigned int i = 0; i < 4; i++) {
			double each;

			fill(hostile[i], units[i], i == 2 ? KEY_PART_MAX : KEY_MAX - 1);
			each = measure(set, &hostile[i], 1, &n);
			bad = each > bad ? each : bad;
		}
		printf("%-40s %7.0f ns %7.0f ns %7.0f ns\n", layouts[l].name, match, miss, bad);
		worst = match > worst ? match : worst;
		class_set_free(set);
	}
	printf("worst match: %.0f ns a path\n", worst);
	return 0;
}
