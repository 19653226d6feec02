/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys as the seed documents write them, and the paths that they have in the tree.
 *
 * Seed 003 joins with colons and lays its files out for people:
 *	[PROFILE:]video:VIDEO:keyframes[:PARAMETER...][:frame_N]
 *		PROFILE/keyframes/VIDEO/metadata.pkl, frame_N.jpg
 *	[PROFILE:]video:VIDEO:segment_frames:segment_id=I:start_time=S:end_time=E[:PARAMETER...]
 *	[:frame_N]
 *		PROFILE/segments/VIDEO/segment_I_start_S_end_E/metadata.pkl, frame_N.jpg
 *	[PROFILE:]video:VIDEO:transcript[:PARAMETER...], the same with descriptions
 *		PROFILE/transcripts/VIDEO.pkl, PROFILE/descriptions/VIDEO.pkl
 *	embedding:MODEL:HASH
 *		embeddings/MODEL/HASH.pkl
 * Without a profile it is default/; a key of no such form is misc/KEY. A PARAMETER is NAME=VALUE:
 * the path does not have it, and keys that differ only in it share a file, as in the seed.
 *
 * Seed 004 writes a:b:c for the path a/b/c; with an empty part it is misc/KEY.
 *
 * Nothing is stripped to make a name: '/', ':', '%' and control characters are percent-encoded, so
 * is the first byte of a name that means something else (".", "..", a profile "default"). So a path
 * leads back to its key, but for the parameters.
 */
#ifndef MODEL_SEEDKEY_H
#define MODEL_SEEDKEY_H

#include <stdbool.h>
#include <stddef.h>

#include "model/key.h"
#include "util/err.h"

#define SEED_KEY_MAX 1024 /* bytes; more do not fit into a record either */

enum seed_grammar { SEED_003, SEED_004 };
enum seed_format { SEED_PKL, SEED_JSON, SEED_MSGPACK }; /* what the value's file ends in */

/* "003", "pkl"; -EINVAL with what there is. */
int seed_grammar_parse(const char *name, enum seed_grammar *ret, struct err *err);
int seed_format_parse(const char *name, enum seed_format *ret, struct err *err);
const char *seed_grammar_name(enum seed_grammar grammar);

/* -EINVAL: the key is empty. -ENAMETOOLONG: it is too long, or a part of its path is. */
int seed_path_of(enum seed_grammar grammar, enum seed_format format, const char *key,
		 char ret_path[KEY_MAX + 1], struct err *err);
/*
 * The key without parameters, of a path below the cache's root or, in 003, below pipeline/. -EINVAL
 * where no key has this path. Input is hostile.
 */
int seed_key_of(enum seed_grammar grammar, const char *path, char ret_key[SEED_KEY_MAX + 1],
		struct err *err);

/* --- seedquery.c: keys that are hashes --- */

/* 003: embedding:MODEL:HASH, of which HASH is sha256("MODEL:TEXT") in 16 hex digits. */
int seed_embedding_key(const char *model, const char *text, char ret_key[SEED_KEY_MAX + 1],
		       struct err *err);
/*
 * search_results/HASH/STRATEGY.json. filters NULL, seed 001: HASH is sha256(query) in 8 digits.
 * Else filters is a JSON object; seed 002 names what its key is made of and not how. Here it is 16
 * digits of sha256, in Python's words, of
 *	json.dumps([query, filters, strategy], sort_keys=True, separators=(",", ":"),
 *		   ensure_ascii=False)
 */
int seed_query_path(const char *query, const char *strategy, const char *filters,
		    char ret_path[KEY_MAX + 1], struct err *err);

#endif
