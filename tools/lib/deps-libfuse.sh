# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# libfuse >= 3.18 for passthrough. Debian 12 has 3.14 and Debian 13 has 3.17,
# so where the system's is older it is built, as a static library, from the
# newest suite's source package into a private prefix. The system keeps its
# own libfuse and its own apt configuration.

LIBFUSE_WANTED=3.18

# Part of the stamp: change it and every machine builds again.
LIBFUSE_RECIPE="recipe 1"

LIBFUSE_MESON_OPTIONS=(
	-Ddefault_library=static -Dbuildtype=release -Db_ndebug=false
	-Dtests=false -Dexamples=false -Dutils=false
	-Duseroot=false -Dinitscriptdir= -Denable-io-uring=true
)

# fuse3.pc of the static library names these two.
LIBFUSE_LINK_PACKAGES=(liburing-dev libnuma-dev)
LIBFUSE_BUILD_PACKAGES=(meson xz-utils)

libfuse_provide() {
	if pkg-config --atleast-version="$LIBFUSE_WANTED" fuse3 2>/dev/null; then
		return 0
	fi
	install_packages "${LIBFUSE_LINK_PACKAGES[@]}"
	if [ "$(cat "$COGFS_DEPS_PREFIX/.recipe" 2>/dev/null)" = "$LIBFUSE_RECIPE" ]; then
		return 0
	fi
	if package_candidate libfuse3-dev ge "$LIBFUSE_WANTED"; then
		install_packages libfuse3-dev
		return 0
	fi
	if libfuse_build; then
		return 0
	fi
	install_packages libfuse3-dev
	say "no libfuse >= $LIBFUSE_WANTED to be had: using the system's" \
		"$(pkg-config --modversion fuse3) (passthrough needs 3.17, io_uring 3.18)"
}

libfuse_build() {
	local work rc=0

	mkdir -p "$(dirname "$COGFS_DEPS_PREFIX")" 2>/dev/null
	if [ ! -w "$(dirname "$COGFS_DEPS_PREFIX")" ]; then
		say "cannot write $(dirname "$COGFS_DEPS_PREFIX"): run as root, or set COGFS_DEPS_PREFIX"
		return 1
	fi
	install_packages "${LIBFUSE_BUILD_PACKAGES[@]}"
	work=$(mktemp -d)
	libfuse_build_in "$work" || rc=1
	rm -rf "$work"
	return $rc
}

libfuse_build_in() {
	local work=$1 src version
	local -a tars

	run_quietly "looking for libfuse in a newer suite" \
		private_apt_setup "$work" deb-src "$(libfuse_suite)" || return 1
	mkdir "$work/src" && (
		cd "$work/src"
		run_quietly "fetching libfuse's source" private_apt "$work" source --download-only fuse3
	) || return 1

	tars=("$work"/src/fuse3_*.orig.tar.*[xg]z)
	[ -r "${tars[0]}" ] || { say "the source package has no original tarball"; return 1; }
	version=${tars[0]##*/fuse3_}
	version=${version%.orig.tar.*}
	dpkg --compare-versions "$version" ge "$LIBFUSE_WANTED" ||
		{ say "the newest suite only has libfuse $version"; return 1; }

	say "building libfuse $version into $COGFS_DEPS_PREFIX"
	src=$work/fuse
	mkdir "$src" && tar -xf "${tars[0]}" -C "$src" --strip-components=1 || return 1
	run_quietly "building libfuse" libfuse_compile "$src" "$work" || return 1
	libfuse_publish "$src" "$work"
}

# Where the newest packages of this distribution are.
libfuse_suite() {
	case "$(distribution)" in
	ubuntu) echo devel ;;
	*) echo sid ;;
	esac
}

# bindir and sysconfdir name the system's fusermount3 and fuse.conf: without
# its utils, libfuse only compiles these paths in.
libfuse_compile() {
	local src=$1 work=$2

	meson setup "$work/build" "$src" --prefix="$COGFS_DEPS_PREFIX" --libdir=lib \
		--bindir=/usr/bin --sysconfdir=/etc "${LIBFUSE_MESON_OPTIONS[@]}" &&
		meson compile -C "$work/build" &&
		DESTDIR="$work/stage" meson install -C "$work/build" --no-rebuild
}

# fuse_kernel.h is the protocol as this libfuse speaks it; the system's
# linux/fuse.h is older. The last rename makes the whole prefix appear at once.
libfuse_publish() {
	local src=$1 stage=$2/stage$COGFS_DEPS_PREFIX

	cp "$src/include/fuse_kernel.h" "$stage/include/fuse3/" &&
		printf '%s\n' "$LIBFUSE_RECIPE" >"$stage/.recipe" &&
		cp -a "$stage" "$COGFS_DEPS_PREFIX.new.$$" &&
		rm -rf "$COGFS_DEPS_PREFIX" &&
		mv "$COGFS_DEPS_PREFIX.new.$$" "$COGFS_DEPS_PREFIX"
}
