#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# From a fresh machine to a mounted cache that shows itself: installs what is
# missing, builds, mounts for the user behind sudo, and runs a short demo.
#
#   sudo tools/run.sh [DIR]       mount at DIR (/var/cache/cogniverse)
#   sudo tools/run.sh --quiet     the same without the demo
#   sudo tools/run.sh --remove [DIR]
#                                 unmount it and uninstall; the cached data stays
#
# It may be run again: what is installed, built and mounted is left as it is.
# COGFS_RUN_PREFIX is where the program goes (/usr/local).

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=tools/lib/run-demo.sh
. tools/lib/run-demo.sh

: "${COGFS_BUILD_CACHE:=/var/cache/cogfs-build}"
: "${COGFS_RUN_PREFIX:=/usr/local}"
BUILD_DIR=$COGFS_BUILD_CACHE/program
COGFS=$COGFS_RUN_PREFIX/bin/cogfs
CACHE_DIR=/var/lib/cogfs

mount_dir=/var/cache/cogniverse
demo=1
remove=0

say() {
	printf '\n==> %s\n' "$*"
}

die() {
	printf 'run: error: %s\n' "$*" >&2
	exit 1
}

usage() {
	sed -n 's/^# \{0,1\}//; 3,/^set /{/^set /d; p}' "${BASH_SOURCE[0]}"
}

parse_arguments() {
	local arg

	for arg in "$@"; do
		case "$arg" in
		--quiet) demo=0 ;;
		--remove) remove=1 ;;
		-h | --help)
			usage
			exit 0
			;;
		-*) die "unknown option '$arg' (see --help)" ;;
		*) mount_dir=$(realpath -m -- "$arg") ;;
		esac
	done
}

need_root() {
	[ "$(id -u)" = 0 ] && return 0
	die "this installs and mounts, so it needs root: sudo tools/run.sh
Without root: README.md, \"Without root\"."
}

# The user behind sudo: the tree is theirs.
caller_uid() {
	printf '%s\n' "${SUDO_UID:-$(id -u)}"
}

caller_gid() {
	printf '%s\n' "${SUDO_GID:-$(id -g)}"
}

as_caller() {
	if [ "$(caller_uid)" = "$(id -u)" ]; then
		"$@"
	else
		setpriv --reuid "$(caller_uid)" --regid "$(caller_gid)" --init-groups -- "$@"
	fi
}

is_mounted() {
	findmnt -n -t fuse.cogfs -- "$mount_dir" >/dev/null 2>&1
}

check_mount_point() {
	[ -e "$mount_dir" ] || return 0
	[ -d "$mount_dir" ] || die "$mount_dir is not a directory"
	! mountpoint -q -- "$mount_dir" || die "something else is mounted at $mount_dir; unmount it, or take another place: sudo tools/run.sh DIR"
	if [ -n "$(find "$mount_dir" -mindepth 1 -maxdepth 1 -print -quit)" ]; then
		die "$mount_dir is not empty, and a mount would hide what is in it. Either take another place:
    sudo tools/run.sh /mnt/cogniverse
or bring its files into the cache:
    sudo mv $mount_dir $mount_dir.old
    sudo tools/run.sh
    cp -a $mount_dir.old/. $mount_dir/"
	fi
}

# A tree that was moved needs a new build directory; the user's own stays as it is.
build_program() {
	local log=$COGFS_BUILD_CACHE/program.log cmake_args=(-S . -B "$BUILD_DIR" -G Ninja)

	cmake_args+=(-DBUILD_TESTING=OFF "-DCMAKE_INSTALL_PREFIX=$COGFS_RUN_PREFIX")
	if [ -e "$BUILD_DIR/CMakeCache.txt" ] &&
		! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" "$BUILD_DIR/CMakeCache.txt"; then
		cmake_args+=(--fresh)
	fi
	mkdir -p "$COGFS_BUILD_CACHE"
	if ! { cmake "${cmake_args[@]}" && cmake --build "$BUILD_DIR" && cmake --install "$BUILD_DIR"; } >"$log" 2>&1; then
		tail -n 30 "$log" >&2
		die "the build failed; all of it is in $log"
	fi
}

provide_device() {
	[ -e /dev/fuse ] || modprobe fuse 2>/dev/null || true
	[ -e /dev/fuse ] || die "there is no /dev/fuse. In a container: README.md, \"In a container\"."
}

# A nightly updatedb would otherwise read the whole bucket's names.
spare_updatedb() {
	local conf=/etc/updatedb.conf

	[ -f "$conf" ] && ! grep -q 'fuse\.cogfs' "$conf" || return 0
	sed -i 's/^\(PRUNEFS *= *"[^"]*\)"/\1 fuse.cogfs"/' "$conf"
	echo "updatedb leaves cogfs out: fuse.cogfs was added to PRUNEFS in $conf"
}

mount_it() {
	mkdir -p -- "$mount_dir"
	"$COGFS" mount -o "uid=$(caller_uid),gid=$(caller_gid)" "$mount_dir" ||
		die "the mount failed; the log: journalctl -t cogfs"
}

how_to_go_on() {
	cat <<-END

	mounted     $mount_dir, owned by $(id -un "$(caller_uid)" 2>/dev/null || caller_uid)
	program     $COGFS, built in $BUILD_DIR
	data        $CACHE_DIR (journal, disk tier, and store/ as the cold tier)

	look        cogfs stats $mount_dir
	stop        sudo cogfs umount $mount_dir
	start       sudo cogfs mount -o uid=$(caller_uid),gid=$(caller_gid) $mount_dir
	a bucket    sudo AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... cogfs mount s3://BUCKET/PREFIX DIR
	uninstall   sudo tools/run.sh --remove      the data: sudo rm -r $CACHE_DIR
	END
}

# Other mounts are not ours to take away, only those at $mount_dir.
remove_it() {
	local users

	if is_mounted; then
		say "unmounting $mount_dir"
		"$COGFS" umount "$mount_dir" || die "$mount_dir stays mounted, and nothing was removed"
	fi
	users=$(find /proc -mindepth 2 -maxdepth 2 -path '/proc/[0-9]*/exe' -lname "$COGFS" 2>/dev/null || true)
	[ -z "$users" ] || die "$COGFS still serves a mount (findmnt -t fuse.cogfs): cogfs umount it first"
	if [ -e "$BUILD_DIR/install_manifest.txt" ]; then
		cmake --build "$BUILD_DIR" --target uninstall >/dev/null
		rm -rf "$BUILD_DIR" "$COGFS_BUILD_CACHE/program.log"
		echo "removed the program"
	fi
	cat <<-END
	What you cached is in $CACHE_DIR; away with it: sudo rm -r $CACHE_DIR
	What was built for it is in $COGFS_BUILD_CACHE; away with it: sudo rm -r $COGFS_BUILD_CACHE
	END
}

main() {
	parse_arguments "$@"
	need_root
	if [ "$remove" = 1 ]; then
		remove_it
		return 0
	fi
	if is_mounted; then
		echo "cogfs is mounted at $mount_dir already."
		how_to_go_on
		return 0
	fi
	check_mount_point
	say "dependencies"
	tools/deps.sh --run
	say "build"
	build_program
	"$COGFS" --version
	say "mount"
	provide_device
	spare_updatedb
	mount_it
	if [ "$demo" = 1 ]; then
		run_demo "$mount_dir"
	fi
	say "done"
	how_to_go_on
}

main "$@" </dev/null
