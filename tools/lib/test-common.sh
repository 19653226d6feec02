# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The parts of tools/test.sh: how a suite is run under each build, and how what
# passed and failed is counted.

passed=0
failed=0
failures=()
pytest_args=() # what the caller gives to pytest
second_try=0   # 1: a failure counts where it comes again, alone

die() {
	printf 'test: error: %s\n' "$*" >&2
	exit 2
}

step() {
	printf '\n==> %s (%d:%02d)\n' "$*" $((SECONDS / 60)) $((SECONDS % 60))
}

# count PASSED FAILED WHAT
count() {
	passed=$((passed + $1))
	failed=$((failed + $2))
	if [ "$2" -gt 0 ]; then
		failures+=("$3: $2")
	fi
}

# count_run WHAT CMD...: the command is one test.
count_run() {
	local what=$1

	shift
	if "$@"; then
		count 1 0 "$what"
	else
		count 0 1 "$what"
	fi
}

summary() {
	local line

	step "done"
	for line in ${failures[@]+"${failures[@]}"}; do
		printf 'failed in %s\n' "$line"
	done
	printf '%d passed, %d failed\n' "$passed" "$failed"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

# Containers often lack the device node, and sanitizers fill the disk with core
# dumps of a terabyte.
prepare_machine() {
	ulimit -c 0
	if [ "$(id -u)" = 0 ] && ! [ -e /dev/fuse ]; then
		modprobe fuse 2>/dev/null || true
		[ -e /dev/fuse ] || mknod -m 666 /dev/fuse c 10 229 2>/dev/null || true
	fi
}

# build PRESET [CMAKE-ARG...]; quiet unless it fails.
build() {
	local preset=$1 log=build/$1.log

	shift
	step "build $preset"
	mkdir -p build
	if cmake --preset "$preset" "$@" >"$log" 2>&1 && cmake --build --preset "$preset" >>"$log" 2>&1; then
		return 0
	fi
	grep -vE '^/[^ ]*(cc|clang|gcc)[^ ]* -' "$log" | grep -E -A 8 'FAILED|error:|Error' | head -n 80 ||
		tail -n 40 "$log"
	count 0 1 "build $preset ($log)"
	return 1
}

# Where the daemon's sanitizer reports go: its stderr is not ours. What is left
# there after a run is a failure, even if no test noticed.
sanitizer_environment() {
	local reports=$1

	export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:exitcode=99${reports:+:log_path=$reports/asan}"
	export UBSAN_OPTIONS="print_stacktrace=1:exitcode=99${reports:+:log_path=$reports/ubsan}"
	export TSAN_OPTIONS="second_deadlock_stack=1:die_after_fork=0:exitcode=99${reports:+:log_path=$reports/tsan}"
	export LSAN_OPTIONS="exitcode=99"
}

# TSan's shadow memory does not fit into the address space as 6.x kernels
# randomise it.
without_aslr() {
	if [ "$1" = tsan ] && setarch -R true 2>/dev/null; then
		shift
		setarch -R "$@"
	else
		shift
		"$@"
	fi
}

# run_ctest PRESET LABELS
run_ctest() {
	local preset=$1 log=build/$1/ctest.log numbers

	step "ctest $preset ($2)"
	sanitizer_environment ""
	without_aslr "$preset" ctest --preset "$preset" -L "$2" -j 2 \
		--repeat "until-pass:$((second_try + 1))" 2>&1 | tee "$log" |
		grep -vE '^ *(Start +[0-9]+:|Test project)' || true
	numbers=$(sed -n 's/.*tests passed, \([0-9]*\) tests\{0,1\} failed out of \([0-9]*\).*/\1 \2/p' "$log")
	if [ -n "$numbers" ]; then
		count $((${numbers#* } - ${numbers% *})) "${numbers% *}" "ctest $preset"
	else
		count 0 1 "ctest $preset: no test was run ($log)"
	fi
}

# run_blackbox PRESET PASSTHROUGH STORE
run_blackbox() {
	local preset=$1 mode=$2 store=$3 what="blackbox $1, passthrough $2, $3"
	local dir=$PWD/build/$1/blackbox-$2-$3 rc=0

	if ! [ -d tests/blackbox ]; then
		echo "no tests/blackbox in this tree"
		return 0
	fi
	[ "$(id -u)" = 0 ] || die "the black-box tests mount: run as root"
	step "$what"
	rm -rf "$dir" && mkdir -p "$dir/reports"
	sanitizer_environment "$dir/reports"
	run_pytest "$@" "$dir" junit.xml || rc=$?
	if [ "$rc" = 1 ] && [ "$second_try" = 1 ]; then
		echo "once more, alone, what failed:"
		rc=0
		run_pytest "$@" "$dir" again.xml --last-failed || rc=$?
		count_pytest "$what" 0 "$dir/junit.xml" passed
		count_pytest "$what" "$rc" "$dir/again.xml"
	else
		count_pytest "$what" "$rc" "$dir/junit.xml"
	fi
	count_reports "$what" "$dir/reports"
}

# run_pytest PRESET PASSTHROUGH STORE DIR RESULTS [ARG...]
run_pytest() {
	local preset=$1 mode=$2 store=$3 dir=$4 results=$5

	shift 5
	COGFS_BIN=$PWD/build/$preset/bin/cogfs COGFS_TEST_BUILD=$preset \
		COGFS_TEST_PASSTHROUGH=$mode COGFS_TEST_STORE=$store \
		without_aslr "$preset" "$COGFS_TOOLS_DIR/venv/bin/python" -B -m pytest tests/blackbox \
		-q -ra -o cache_dir="$dir/cache" --timeout=300 --junitxml="$dir/$results" "$@" \
		${pytest_args[@]+"${pytest_args[@]}"}
}

# count_pytest WHAT RC RESULTS [passed]: with the last word failures do not count.
# pytest's exit codes: 0 and 1 have results; 5 is "nothing selected", which is
# as intended when the caller chose.
count_pytest() {
	local what=$1 rc=$2 junit=$3 only=${4:-all} numbers

	if [ "$rc" = 5 ] && [ "${#pytest_args[@]}" -gt 0 ]; then
		return 0
	fi
	if [ "$rc" -gt 1 ] || ! [ -f "$junit" ]; then
		count 0 1 "$what (pytest's exit code is $rc)"
		return 0
	fi
	numbers=$("$COGFS_TOOLS_DIR/venv/bin/python" - "$junit" <<-'END'
		import sys, xml.etree.ElementTree as tree
		suites = list(tree.parse(sys.argv[1]).getroot().iter("testsuite"))
		def total(name): return sum(int(suite.get(name, 0)) for suite in suites)
		bad = total("failures") + total("errors")
		print(total("tests") - bad - total("skipped"), bad)
	END
	)
	if [ "$only" = passed ]; then
		numbers="${numbers% *} 0"
	fi
	count "${numbers% *}" "${numbers#* }" "$what"
}

# The first report is shown, as the rest is often the same one again.
count_reports() {
	local -a reports

	mapfile -t reports < <(find "$2" -type f -size +0 | sort)
	if [ "${#reports[@]}" -gt 0 ]; then
		head -n 60 "${reports[0]}"
		count 0 "${#reports[@]}" "$1: sanitizer reports in $2"
	fi
}
