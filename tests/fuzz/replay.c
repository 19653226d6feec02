/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A main() for fuzz targets without libFuzzer: runs the inputs it is given (files, or folders of
 * files), then mutations of them. The generator has a fixed seed, so that a failure happens
 * again; --seed takes another.
 *
 *   fuzz_NAME [--mutations N] [--seed N] FILE-OR-FOLDER...
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX (64 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	size_t len;
	uint8_t *data;
};

struct corpus {
	struct input *inputs;
	size_t count;
};

static void die(const char *what, const char *path)
{
	fprintf(stderr, "replay: %s: %s: %s\n", path, what, strerror(errno));
	exit(2);
}

/* xorshift64*: small, and the same everywhere. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

/*
 * Each input gets an allocation of exactly its size, so that AddressSanitizer
 * sees the first byte read beyond it.
 */
static void run_one(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	if (!copy)
		die("malloc", "input");
	memcpy(copy, data, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static void corpus_add(struct corpus *corpus, const uint8_t *data, size_t len)
{
	struct input *grown = realloc(corpus->inputs, (corpus->count + 1) * sizeof(*grown));
	uint8_t *copy = malloc(len ? len : 1);

	if (!grown || !copy)
		die("malloc", "corpus");
	memcpy(copy, data, len);
	grown[corpus->count] = (struct input){.len = len, .data = copy};
	corpus->inputs = grown;
	corpus->count++;
}

static void corpus_add_file(struct corpus *corpus, const char *path)
{
	static uint8_t buf[INPUT_MAX];
	FILE *file = fopen(path, "rb");
	size_t len;

	if (!file)
		die("open", path);
	len = fread(buf, 1, sizeof(buf), file);
	if (ferror(file))
		die("read", path);
	fclose(file);
	corpus_add(corpus, buf, len);
}

/* In the order of their names: readdir's order is not the same everywhere. */
static void corpus_add_path(struct corpus *corpus, const char *path)
{
	struct dirent **names;
	struct stat st;
	int count;

	if (stat(path, &st) < 0) {
		if (errno == ENOENT)
			return;
		die("stat", path);
	}
	if (!S_ISDIR(st.st_mode)) {
		corpus_add_file(corpus, path);
		return;
	}
	count = scandir(path, &names, NULL, alphasort);
	if (count < 0)
		die("scandir", path);
	for (int i = 0; i < count; i++) {
		char child[PATH_MAX];

		snprintf(child, sizeof(child), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			corpus_add_path(corpus, child);
		free(names[i]);
	}
	free(names);
}

/* Puts the tail of another input behind the head of this one. */
static size_t splice(uint8_t *buf, size_t len, const struct input *other, uint64_t *rng)
{
	size_t head = len ? next_random(rng) % (len + 1) : 0;
	size_t from = other->len ? next_random(rng) % other->len : 0;
	size_t tail = other->len - from;

	if (tail > INPUT_MAX - head)
		tail = INPUT_MAX - head;
	memcpy(buf + head, other->data + from, tail);
	return head + tail;
}

static size_t mutate_once(uint8_t *buf, size_t len, const struct corpus *corpus, uint64_t *rng)
{
	static const uint8_t odd[] = {0,   1,	0x7f, 0x80, 0xff, '/', '.',
				      '%', '"', '\\', '<',  '{',  '\n'};
	size_t at = len ? next_random(rng) % len : 0;

	switch (next_random(rng) % 6) {
	case 0: /* flip a bit */
		if (len)
			buf[at] ^= (uint8_t)(1u << (next_random(rng) % 8));
		return len;
	case 1: /* a byte that parsers care about */
		if (len)
			buf[at] = odd[next_random(rng) % sizeof(odd)];
		return len;
	case 2: /* cut off */
		return at;
	case 3: /* leave one out */
		if (!len)
			return 0;
		memmove(buf + at, buf + at + 1, len - at - 1);
		return len - 1;
	case 4: /* put one in */
		if (len == INPUT_MAX)
			return len;
		memmove(buf + at + 1, buf + at, len - at);
		buf[at] = (uint8_t)next_random(rng);
		return len + 1;
	default:
		return splice(buf, len, &corpus->inputs[next_random(rng) % corpus->count], rng);
	}
}

static void run_mutations(const struct corpus *corpus, unsigned long count, uint64_t seed)
{
	static uint8_t buf[INPUT_MAX];
	uint64_t rng = seed ? seed : 1;

	for (unsigned long i = 0; i < count; i++) {
		const struct input *input = &corpus->inputs[next_random(&rng) % corpus->count];
		size_t len = input->len;

		memcpy(buf, input->data, len);
		for (uint64_t steps = 1 + next_random(&rng) % 8; steps; steps--)
			len = mutate_once(buf, len, corpus, &rng);
		run_one(buf, len);
	}
}

static unsigned long number_arg(const char *name, const char *value)
{
	char *end;
	unsigned long number;

	errno = 0;
	number = value ? strtoul(value, &end, 0) : 0;
	if (!value || errno || end == value || *end) {
		fprintf(stderr, "replay: %s wants a number\n", name);
		exit(2);
	}
	return number;
}

int main(int argc, char **argv)
{
	unsigned long mutations = 0, seed = 20260101;
	struct corpus corpus = {0};

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--mutations") == 0) {
			mutations = number_arg(argv[i], i + 1 < argc ? argv[i + 1] : NULL);
			i++;
		} else if (strcmp(argv[i], "--seed") == 0) {
			seed = number_arg(argv[i], i + 1 < argc ? argv[i + 1] : NULL);
			i++;
		} else {
			corpus_add_path(&corpus, argv[i]);
		}
	}
	if (corpus.count == 0)
		corpus_add(&corpus, (const uint8_t *)"", 0);
	for (size_t i = 0; i < corpus.count; i++)
		run_one(corpus.inputs[i].data, corpus.inputs[i].len);
	run_mutations(&corpus, mutations, seed);

	printf("%zu inputs, %lu mutations, seed %lu\n", corpus.count, mutations, seed);
	for (size_t i = 0; i < corpus.count; i++)
		free(corpus.inputs[i].data);
	free(corpus.inputs);
	return 0;
}
