# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# tools/run.sh's demo: artifacts of a pipeline go in, and each step shows the
# command that one would type. Uses COGFS, CACHE_DIR, say and as_caller.

# show CMD...: as the user would type it, and what it says.
show() {
	printf '\n$ %s\n' "${*/#"$COGFS"/cogfs}"
	as_caller "$@"
}

show_as_root() {
	printf '\n# %s\n' "${*/#"$COGFS"/cogfs}"
	"$@"
}

# The first hits of `cogfs stats`, and what reads cost the store.
show_hits() {
	printf '\n$ cogfs stats %s | grep ...\n' "$1"
	as_caller "$COGFS" stats "$1" |
		grep -E '^(hits|misses|hit rate|sets|dirty objects)|passthrough|store requests'
}

# run_demo DIR: the mount.
run_demo() {
	local mount_dir=$1 videos=$1/profile_demo/videos

	say "artifacts of a video go in"
	show tools/demo/artifacts.py write "$mount_dir" v1
	show ls -l "$videos/v1" "$videos/v1/keyframes"
	say "what the cache knows of a file"
	show getfattr --absolute-names -d "$videos/v1/embeddings/colpali.npz"
	say "a flush ends when the store has everything"
	show "$COGFS" flush "$mount_dir"
	show_as_root find "$CACHE_DIR/store/profile_demo" -type f
	printf '\nThe store shares its bodies with the disk tier, so they are on the disk once:\n'
	show_as_root du -shc "$CACHE_DIR/objects" "$CACHE_DIR/store"
	say "warm reads: the kernel reads the bodies by itself"
	show tools/demo/artifacts.py read "$mount_dir"
	show_hits "$mount_dir"
}
