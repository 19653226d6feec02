/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seed 003's and 004's keys as paths, and back.
 *
 * A path leads back to a key only where that key leads to the path again: what somebody wrote into
 * the tree by hand, and no key maps to, has none.
 */
#include "model/seedkey.h"

#include <errno.h>
#include <string.h>

#include "model/seedkey_internal.h"

#define PARTS_MAX 32
#define SHOWN 160 /* bytes of a key that a message shows */

enum artifact { KEYFRAMES, SEGMENTS, TRANSCRIPT, DESCRIPTIONS };

static const struct {
	const char *word, *dir; /* in keys, in paths */
	bool frames;		/* has a directory a video, with frames in it */
	unsigned int depth;	/* parts of a path */
} artifacts[] = {
	[KEYFRAMES] = {"keyframes", "keyframes", true, 4},
	[SEGMENTS] = {"segment_frames", "segments", true, 5},
	[TRANSCRIPT] = {"transcript", "transcripts", false, 3},
	[DESCRIPTIONS] = {"descriptions", "descriptions", false, 3},
};

#define N_ARTIFACTS (sizeof(artifacts) / sizeof(artifacts[0]))

static const char *const grammars[] = {[SEED_003] = "003", [SEED_004] = "004"};
static const char *const endings[] = {
	[SEED_PKL] = ".pkl", [SEED_JSON] = ".json", [SEED_MSGPACK] = ".msgpack"};

/* Names in the root that mean something else there. */
static const char *const root_names_003[] = {CONTROL_DIR, "default", "embeddings", NULL};
static const char *const root_names_004[] = {CONTROL_DIR, NULL};
static const char *const no_names[] = {NULL};

/* What describes a segment, in the order in which a derived key has it. */
enum { SEGMENT_ID, SEGMENT_START, SEGMENT_END, N_SEGMENT };
static const char *const segment_params[N_SEGMENT] = {"segment_id", "start_time", "end_time"};
static const char *const segment_words[N_SEGMENT] = {"segment_", "_start_", "_end_"};

/* A key of 003 in its pieces; an absent one has the length 0. */
struct video_key {
	struct seed_span profile, video, frame, segment[N_SEGMENT];
	enum artifact artifact;
};

struct parts {
	struct seed_span v[PARTS_MAX];
	size_t n;
};

/* --- names --- */

int seed_grammar_parse(const char *name, enum seed_grammar *ret, struct err *err)
{
	for (size_t i = 0; i < sizeof(grammars) / sizeof(grammars[0]); i++) {
		if (strcmp(name, grammars[i]) == 0) {
			*ret = (enum seed_grammar)i;
			return 0;
		}
	}
	return err_set(err, -EINVAL, "grammar %s is neither 003 nor 004", name);
}

int seed_format_parse(const char *name, enum seed_format *ret, struct err *err)
{
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		if (strcmp(name, endings[i] + 1) == 0) {
			*ret = (enum seed_format)i;
			return 0;
		}
	}
	return err_set(err, -EINVAL, "format %s is none of pkl, json, msgpack", name);
}

const char *seed_grammar_name(enum seed_grammar grammar)
{
	return grammars[grammar];
}

/* --- pieces --- */

/* False: there are too many for any key of a grammar. */
static bool split(const char *text, char at, struct parts *ret)
{
	ret->n = 0;
	for (;;) {
		const char *end = strchrnul(text, at);

		if (ret->n == PARTS_MAX)
			return false;
		ret->v[ret->n++] = (struct seed_span){text, (size_t)(end - text)};
		if (!*end)
			return true;
		text = end + 1;
	}
}

/* Takes prefix off v's front. */
static bool take_prefix(struct seed_span *v, const char *prefix)
{
	size_t n = strlen(prefix);

	if (v->len < n || memcmp(v->s, prefix, n) != 0)
		return false;
	v->s += n;
	v->len -= n;
	return true;
}

static bool take_suffix(struct seed_span *v, const char *suffix)
{
	size_t n = strlen(suffix);

	if (v->len < n || memcmp(v->s + v->len - n, suffix, n) != 0)
		return false;
	v->len -= n;
	return true;
}

static bool take_ending(struct seed_span *v, enum seed_format *ret)
{
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		if (take_suffix(v, endings[i])) {
			*ret = (enum seed_format)i;
			return v->len > 0;
		}
	}
	return false;
}

/* Up to the first word, which is taken off too. */
static bool take_until(struct seed_span *v, const char *word, struct seed_span *ret)
{
	const char *at = memmem(v->s, v->len, word, strlen(word));

	if (!at)
		return false;
	*ret = (struct seed_span){v->s, (size_t)(at - v->s)};
	v->len -= ret->len + strlen(word);
	v->s = at + strlen(word);
	return true;
}

/* --- 003: from a key --- */

/* NAME=VALUE. What a path shows of a segment is kept. False: it is no parameter, or said twice. */
static bool take_param(struct video_key *k, struct seed_span part)
{
	const char *is = memchr(part.s, '=', part.len);
	struct seed_span name = {part.s, is ? (size_t)(is - part.s) : 0};

	if (!name.len)
		return false;
	for (size_t i = 0; k->artifact == SEGMENTS && i < N_SEGMENT; i++) {
		if (!seed_is(name, segment_params[i]))
			continue;
		if (k->segment[i].len)
			return false;
		k->segment[i] = (struct seed_span){is + 1, part.len - name.len - 1};
	}
	return true;
}

/* What follows "video:VIDEO:ARTIFACT:". */
static bool parse_rest(struct video_key *k, const struct seed_span *rest, size_t n)
{
	if (artifacts[k->artifact].frames && n) {
		struct seed_span frame = rest[n - 1];

		if (take_prefix(&frame, "frame_") && frame.len &&
		    !memchr(frame.s, '=', frame.len)) {
			k->frame = frame;
			n--;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (!take_param(k, rest[i]))
			return false;
	for (size_t i = 0; k->artifact == SEGMENTS && i < N_SEGMENT; i++)
		if (!k->segment[i].len)
			return false;
	return true;
}

/* "video:VIDEO:ARTIFACT...", of which `from` is the first part. */
static bool parse_video(const struct parts *p, size_t from, struct video_key *ret)
{
	struct video_key k = {.profile = from ? p->v[0] : (struct seed_span){"", 0}};

	if (p->n < from + 3 || !seed_is(p->v[from], "video") || !p->v[from + 1].len ||
	    (from && !k.profile.len))
		return false;
	k.video = p->v[from + 1];
	for (size_t i = 0; i < N_ARTIFACTS; i++) {
		if (!seed_is(p->v[from + 2], artifacts[i].word))
			continue;
		k.artifact = (enum artifact)i;
		if (!parse_rest(&k, p->v + from + 3, p->n - from - 3))
			return false;
		*ret = k;
		return true;
	}
	return false;
}

/* Models may have colons in their names ("qwen2:7b"): the last part is the hash. */
static bool parse_embedding(const char *key, struct seed_span *ret_model,
			    struct seed_span *ret_hash)
{
	struct seed_span rest = {key, strlen(key)};
	const char *colon;

	if (!take_prefix(&rest, "embedding:"))
		return false;
	colon = memrchr(rest.s, ':', rest.len);
	if (!colon || colon == rest.s || !colon[1] ||
	    strspn(colon + 1, "0123456789abcdef") != strlen(colon + 1))
		return false;
	*ret_model = (struct seed_span){rest.s, (size_t)(colon - rest.s)};
	*ret_hash = (struct seed_span){colon + 1, strlen(colon + 1)};
	return true;
}

static void put_video_path(struct seed_text *t, const struct video_key *k, enum seed_format format)
{
	if (k->profile.len)
		seed_put_part(t, k->profile, root_names_003);
	else
		seed_puts(t, "default");
	seed_puts(t, "/");
	seed_puts(t, artifacts[k->artifact].dir);
	seed_puts(t, "/");
	if (!artifacts[k->artifact].frames) {
		seed_put_encoded(t, k->video, "");
		seed_puts(t, endings[format]);
		return;
	}
	seed_put_part(t, k->video, no_names);
	seed_puts(t, "/");
	for (size_t i = 0; k->artifact == SEGMENTS && i < N_SEGMENT; i++) {
		seed_puts(t, segment_words[i]);
		seed_put_encoded(t, k->segment[i], "_"); /* which is what stands between them */
	}
	if (k->artifact == SEGMENTS)
		seed_puts(t, "/");
	seed_puts(t, k->frame.len ? "frame_" : "metadata");
	seed_put_encoded(t, k->frame, "");
	seed_puts(t, k->frame.len ? ".jpg" : endings[format]);
}

static void put_misc(struct seed_text *t, const char *key)
{
	seed_puts(t, "misc/");
	seed_put_part(t, (struct seed_span){key, strlen(key)}, no_names);
}

static void put_path_003(struct seed_text *t, const char *key, enum seed_format format)
{
	struct seed_span model, hash;
	struct video_key k;
	struct parts p;

	if (parse_embedding(key, &model, &hash)) {
		seed_puts(t, "embeddings/");
		seed_put_part(t, model, no_names);
		seed_puts(t, "/");
		seed_put(t, hash.s, hash.len);
		seed_puts(t, endings[format]);
	} else if (split(key, ':', &p) && (parse_video(&p, 0, &k) || parse_video(&p, 1, &k))) {
		put_video_path(t, &k, format);
	} else {
		put_misc(t, key);
	}
}

/* --- 003: from a path --- */

/* "metadata.pkl" or "frame_N.jpg" */
static bool parse_file(struct seed_span name, struct video_key *k, enum seed_format *format)
{
	k->frame = name;
	if (take_prefix(&k->frame, "frame_") && take_suffix(&k->frame, ".jpg"))
		return k->frame.len > 0;
	k->frame.len = 0;
	return take_ending(&name, format) && seed_is(name, "metadata");
}

static bool parse_segment(struct seed_span name, struct video_key *k)
{
	if (!take_prefix(&name, segment_words[SEGMENT_ID]) ||
	    !take_until(&name, segment_words[SEGMENT_START], &k->segment[SEGMENT_ID]) ||
	    !take_until(&name, segment_words[SEGMENT_END], &k->segment[SEGMENT_START]))
		return false;
	k->segment[SEGMENT_END] = name;
	return true;
}

static bool parse_video_path(const struct parts *p, struct video_key *k, enum seed_format *format)
{
	size_t i = 0;

	while (i < N_ARTIFACTS &&
	       (p->n != artifacts[i].depth || !seed_is(p->v[1], artifacts[i].dir)))
		i++;
	if (i == N_ARTIFACTS)
		return false;
	*k = (struct video_key){.artifact = (enum artifact)i, .video = p->v[2]};
	if (!seed_is(p->v[0], "default"))
		k->profile = p->v[0];
	if (!artifacts[i].frames)
		return take_ending(&k->video, format);
	return parse_file(p->v[p->n - 1], k, format) &&
	       (i != SEGMENTS || parse_segment(p->v[3], k));
}

static bool put_video_key(struct seed_text *t, const struct video_key *k)
{
	bool good = seed_put_decoded(t, k->profile);

	seed_puts(t, k->profile.len ? ":video:" : "video:");
	good = good && seed_put_decoded(t, k->video);
	seed_puts(t, ":");
	seed_puts(t, artifacts[k->artifact].word);
	for (size_t i = 0; k->artifact == SEGMENTS && i < N_SEGMENT; i++) {
		seed_puts(t, ":");
		seed_puts(t, segment_params[i]);
		seed_puts(t, "=");
		good = good && seed_put_decoded(t, k->segment[i]);
	}
	if (k->frame.len)
		seed_puts(t, ":frame_");
	return good && seed_put_decoded(t, k->frame);
}

static bool put_key_003(struct seed_text *t, const char *path, enum seed_format *format)
{
	struct video_key k;
	struct parts p;

	if (!split(path, '/', &p))
		return false;
	if (p.n == 2 && seed_is(p.v[0], "misc"))
		return seed_put_decoded(t, p.v[1]);
	if (p.n == 3 && seed_is(p.v[0], "embeddings")) {
		seed_puts(t, "embedding:");
		if (!take_ending(&p.v[2], format) || !seed_put_decoded(t, p.v[1]))
			return false;
		seed_puts(t, ":");
		return seed_put_decoded(t, p.v[2]);
	}
	return parse_video_path(&p, &k, format) && put_video_key(t, &k);
}

/* --- 004 --- */

static void put_path_004(struct seed_text *t, const char *key)
{
	struct seed_span rest = {key, strlen(key)}, part;
	const char *const *reserved = root_names_004;

	if (*key == ':' || strstr(key, "::") || key[strlen(key) - 1] == ':') {
		put_misc(t, key);
		return;
	}
	while (take_until(&rest, ":", &part)) {
		seed_put_part(t, part, reserved);
		seed_puts(t, "/");
		reserved = no_names;
	}
	seed_put_part(t, rest, reserved);
}

static bool put_key_004(struct seed_text *t, const char *path)
{
	struct seed_span rest = {path, strlen(path)}, part;
	char whole[SEED_KEY_MAX + 1];
	struct seed_text key;

	/* Only a whole key has colons in a part. */
	seed_text_init(&key, whole, sizeof(whole));
	part = rest;
	if (take_prefix(&part, "misc/") && !memchr(part.s, '/', part.len) &&
	    seed_put_decoded(&key, part) && strchr(whole, ':')) {
		seed_puts(t, whole);
		return true;
	}
	while (take_until(&rest, "/", &part)) {
		if (!seed_put_decoded(t, part))
			return false;
		seed_puts(t, ":");
	}
	return seed_put_decoded(t, rest);
}

/* --- the calls --- */

int seed_path_of(enum seed_grammar grammar, enum seed_format format, const char *key,
		 char ret_path[KEY_MAX + 1], struct err *err)
{
	char path[KEY_MAX + 1];
	struct seed_text t;
	int r;

	if (!*key)
		return err_set(err, -EINVAL, "the key is empty");
	if (strlen(key) > SEED_KEY_MAX)
		return err_set(err, -ENAMETOOLONG, "key %.*s...: it has %zu bytes, at most %d",
			       SHOWN, key, strlen(key), SEED_KEY_MAX);
	seed_text_init(&t, path, sizeof(path));
	if (grammar == SEED_003)
		put_path_003(&t, key, format);
	else
		put_path_004(&t, key);
	r = t.cut ? -ENAMETOOLONG : key_check(path, t.len);
	if (r == -ENAMETOOLONG)
		return err_set(err, r,
			       "key %.*s: its path is longer than %d bytes, or a part than %d",
			       SHOWN, key, KEY_MAX, KEY_PART_MAX);
	if (r)
		return err_set(err, r, "key %.*s has no path", SHOWN, key);
	memcpy(ret_path, path, t.len + 1);
	return 0;
}

static bool try_key(enum seed_grammar grammar, const char *path, char ret_key[SEED_KEY_MAX + 1])
{
	char key[SEED_KEY_MAX + 1], again[KEY_MAX + 1];
	enum seed_format format = SEED_PKL;
	struct seed_text t;
	bool good;

	seed_text_init(&t, key, sizeof(key));
	good = grammar == SEED_003 ? put_key_003(&t, path, &format) : put_key_004(&t, path);
	if (!good || t.cut || seed_path_of(grammar, format, key, again, NULL) ||
	    strcmp(path, again) != 0)
		return false;
	memcpy(ret_key, key, t.len + 1);
	return true;
}

int seed_key_of(enum seed_grammar grammar, const char *path, char ret_key[SEED_KEY_MAX + 1],
		struct err *err)
{
	struct seed_span below = {path, strlen(path)};

	if (try_key(grammar, path, ret_key))
		return 0;
	if (grammar == SEED_003 && take_prefix(&below, "pipeline/") &&
	    try_key(grammar, below.s, ret_key))
		return 0;
	return err_set(err, -EINVAL, "path %.*s: no key of grammar %s has it", SHOWN, path,
		       grammars[grammar]);
}
