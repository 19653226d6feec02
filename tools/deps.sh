#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what cogfs needs on Debian 12, Debian 13 and Ubuntu. It may be run
# again and again: what is there already is left alone, and nothing is said.
#
#   tools/deps.sh            what the build and the unit tests need
#   tools/deps.sh --run      only what it takes to build the program and to use it
#   tools/deps.sh --test     also the test servers and the tools that tests use
#   tools/deps.sh --dev      also formatters, linters and a debugger
#   tools/deps.sh --bench    also what tools/bench compares against
#
# Everything that is not a distribution package stays outside the tree:
#
#   COGFS_DEPS_PREFIX        libfuse >= 3.18 (/var/cache/cogfs-build/libfuse-3.18)
#   COGFS_TOOLS_DIR          test servers, Python venv (/var/cache/cogfs-build/tools)

set -euo pipefail

# shellcheck source=tools/lib/deps-common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/deps-common.sh"
# shellcheck source=tools/lib/deps-libfuse.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/deps-libfuse.sh"
# shellcheck source=tools/lib/deps-test.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/deps-test.sh"

BUILD_PACKAGES=(
	ca-certificates cmake ninja-build gcc libc6-dev pkg-config
	libcurl4-openssl-dev libssl-dev libxxhash-dev libyaml-dev
	libexpat1-dev libjansson-dev libzstd-dev
	attr acl fuse3
)
UNIT_PACKAGES=(libcmocka-dev)
RUN_PACKAGES=(python3 util-linux)
DEV_PACKAGES=(clang clang-format clang-tidy libclang-rt-dev shellcheck gdb ccache)
BENCH_PACKAGES=(fio curl)

usage() {
	sed -n 's/^# \{0,1\}//; 3,/^set /{/^set /d; p}' "${BASH_SOURCE[0]}"
}

main() {
	local want_run=0 want_test=0 want_dev=0 want_bench=0 arg

	for arg in "$@"; do
		case "$arg" in
		--run) want_run=1 ;;
		--test) want_test=1 ;;
		--dev) want_dev=1 ;;
		--bench) want_bench=1 ;;
		-h | --help) usage; return 0 ;;
		*) die "unknown option '$arg' (see --help)" ;;
		esac
	done

	take_lock
	if [ "$want_run" = 1 ]; then
		install_packages "${BUILD_PACKAGES[@]}" "${RUN_PACKAGES[@]}"
	else
		install_packages "${BUILD_PACKAGES[@]}" "${UNIT_PACKAGES[@]}"
	fi
	libfuse_provide
	if [ "$want_test" = 1 ]; then
		test_tools_provide
	fi
	if [ "$want_dev" = 1 ]; then
		install_packages "${DEV_PACKAGES[@]}"
	fi
	if [ "$want_bench" = 1 ]; then
		install_packages "${BENCH_PACKAGES[@]}"
	fi
}

main "$@" </dev/null
