#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what the tests need, builds, and runs them. Needs root: the black-box
# tests mount.
#
#   tools/test.sh                    plain build, the black box with and without passthrough on
#                                    S3; ASan+UBSan on all but the black box
#   tools/test.sh --all              plain, ASan and TSan builds, each with every suite, both
#                                    passthrough modes and both stores
#   tools/test.sh --blackbox-only    the black-box part of the above
#   tools/test.sh -k EXPR            only the black-box tests that pytest's -k selects
#   tools/test.sh --no-deps          trust that tools/deps.sh --test has been run
#   tools/test.sh ... -- ARG...      ARG... go to pytest
#
# The last line is "N passed, N failed"; the exit code is 0 if nothing failed.

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=tools/lib/test-common.sh
. tools/lib/test-common.sh

: "${COGFS_TOOLS_DIR:=${COGFS_BUILD_CACHE:-/var/cache/cogfs-build}/tools}"
export COGFS_TOOLS_DIR
export VERSITYGW=$COGFS_TOOLS_DIR/bin/versitygw

all=0
blackbox_only=0
install_deps=1

usage() {
	sed -n 's/^# \{0,1\}//; 3,/^set /{/^set /d; p}' "${BASH_SOURCE[0]}"
}

parse_arguments() {
	while [ $# -gt 0 ]; do
		case "$1" in
		--all) all=1 ;;
		--blackbox-only) blackbox_only=1 ;;
		--no-deps) install_deps=0 ;;
		-k)
			[ $# -ge 2 ] || die "-k wants an expression"
			pytest_args+=(-k "$2")
			blackbox_only=1
			shift
			;;
		--)
			shift
			pytest_args+=("$@")
			return 0
			;;
		-h | --help)
			usage
			exit 0
			;;
		*) die "unknown option '$1' (see --help)" ;;
		esac
		shift
	done
}

# The fast suites of one build. Parsers have no threads: no fuzz corpus for TSan.
run_ctest_of() {
	local preset=$1 labels='unit|conformance|fuzz'

	if [ "$preset" = tsan ]; then
		labels='unit|conformance'
	fi
	run_ctest "$preset" "$labels"
}

# A build that fails counts as one failure, and the others are still tried. Machines that others
# use too make tests miss their deadlines: what fails is tried once more, and both show.
run_default() {
	second_try=1
	if build release -DCOGFS_WERROR=ON; then
		[ "$blackbox_only" = 1 ] || run_ctest_of release
		run_blackbox release on s3
		run_blackbox release off s3
	fi
	if [ "$blackbox_only" = 0 ] && build asan; then
		run_ctest_of asan
	fi
}

run_all() {
	local preset store mode

	for preset in release asan tsan; do
		build "$preset" -DCOGFS_WERROR=ON || continue
		[ "$blackbox_only" = 1 ] || run_ctest_of "$preset"
		for store in s3 dir; do
			for mode in on off; do
				run_blackbox "$preset" "$mode" "$store"
			done
		done
	done
}

main() {
	parse_arguments "$@"
	if [ "$install_deps" = 1 ]; then
		step "dependencies"
		tools/deps.sh --test || die "tools/deps.sh failed, so nothing was tested"
	fi
	prepare_machine
	if [ "$blackbox_only" = 0 ]; then
		step "lint"
		count_run lint tools/lint.sh
	fi
	if [ "$all" = 1 ]; then
		run_all
	else
		run_default
	fi
	summary
}

main "$@" </dev/null
