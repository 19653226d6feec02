#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The rules of form that a machine can check. There is no list of exceptions.
#
#   tools/lint.sh            lengths, SPDX lines, clang-format and shellcheck where installed
#   tools/lint.sh --tidy     also clang-tidy, with build/dev's flags (slow)

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

FILE_LINES=600
FUNCTION_LINES=60
COLUMNS_MAX=100
CLANG_FORMAT_MAJOR=14 # formats differ between major versions: Debian 12's decides

problems=0

# report RULE: one line of stdin is one finding.
report() {
	local line

	while IFS= read -r line; do
		printf '%s: %s\n' "$1" "$line"
		problems=$((problems + 1))
	done
}

# Tracked and new files that match the patterns; without git, all of them.
sources() {
	local -a names
	local pattern

	if names=("$@") && git rev-parse --git-dir >/dev/null 2>&1; then
		git ls-files -co --exclude-standard -- "${names[@]}"
	else
		for pattern in "${names[@]}"; do
			find . -name "$pattern" -not -path './build/*' -printf '%P\n'
		done
	fi | while IFS= read -r file; do
		if [ -f "$file" ]; then printf '%s\n' "$file"; fi
	done
}

check_file_length() {
	sources '*.c' '*.h' '*.py' '*.sh' | while IFS= read -r file; do
		awk -v max=$FILE_LINES -v file="$file" \
			'END { if (NR > max) print file ": " NR " lines, at most " max }' "$file"
	done
}

# In kernel style and in our shell alike, what opens a function is followed
# by its body up to a } in the first column.
check_function_length() {
	sources '*.c' '*.h' '*.sh' | while IFS= read -r file; do
		awk -v max=$FUNCTION_LINES -v file="$file" '
			/^\{/ || /^[a-z_0-9]+\(\) [{(]/ { start = NR }
			/^[})]/ && start {
				if (NR - start > max)
					print file ":" start ": function of " NR - start " lines, at most " max
				start = 0
			}' "$file"
	done
	sources '*.py' | check_python_function_length
}

check_python_function_length() {
	python3 -c '
import ast, sys
limit = int(sys.argv[1])
for path in sys.stdin.read().splitlines():
    for node in ast.walk(ast.parse(open(path, encoding="utf-8").read(), path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = node.end_lineno - node.lineno
            if lines > limit:
                print(f"{path}:{node.lineno}: {node.name}() has {lines} lines, at most {limit}")
' $FUNCTION_LINES
}

check_columns() {
	sources '*.c' '*.h' | while IFS= read -r file; do
		expand -t 8 "$file" | awk -v max=$COLUMNS_MAX -v file="$file" \
			'length($0) > max { print file ":" NR ": " length($0) " columns, at most " max }'
	done
}

# The first line, or the second one below a #!.
check_spdx() {
	sources '*.c' '*.h' '*.py' '*.sh' '*.cmake' '*CMakeLists.txt' .ci/run |
		while IFS= read -r file; do
			awk -v file="$file" '
				NR == 1 && /^#!/ { next }
				/SPDX-License-Identifier: Apache-2.0/ { found = 1 }
				{ exit }
				END { if (!found) print file ": does not begin with its SPDX line" }' "$file"
		done
}

check_whitespace() {
	sources '*.c' '*.h' '*.py' '*.sh' '*.cmake' '*CMakeLists.txt' '*.md' '*.yaml' |
		while IFS= read -r file; do
			grep -nHE '[[:space:]]+$' "$file" | sed 's/^\([^:]*:[0-9]*\):.*/\1: blank at the end of the line/' || true
		done
}

check_format() {
	sources '*.c' '*.h' | while IFS= read -r file; do
		if ! clang-format --dry-run -Werror "$file" >/dev/null 2>&1; then
			printf '%s: not as clang-format has it (clang-format -i %s)\n' "$file" "$file"
		fi
	done
}

clang_format_fits() {
	command -v clang-format >/dev/null || return 1
	if ! clang-format --version | grep -q "version $CLANG_FORMAT_MAJOR\."; then
		echo "lint: clang-format is not version $CLANG_FORMAT_MAJOR, so formats are not checked" >&2
		return 1
	fi
}

check_shell() {
	local -a files

	mapfile -t files < <(sources '*.sh' .ci/run)
	shellcheck --external-sources --format=gcc "${files[@]}" || true
}

check_tidy() {
	if ! [ -f build/dev/compile_commands.json ]; then
		echo "no build/dev/compile_commands.json: cmake --preset dev"
		return 0
	fi
	sources '*.c' | xargs -r -P "$(nproc)" -n 4 clang-tidy -p build/dev --quiet 2>/dev/null |
		grep -E '^/.*(warning|error):' | sed "s|^$PWD/||" | sort -u || true
}

main() {
	report length < <(check_file_length)
	report length < <(check_function_length)
	report columns < <(check_columns)
	report spdx < <(check_spdx)
	report whitespace < <(check_whitespace)
	if clang_format_fits; then
		report format < <(check_format)
	fi
	if command -v shellcheck >/dev/null; then
		report shellcheck < <(check_shell)
	fi
	if [ "${1:-}" = --tidy ]; then
		report tidy < <(check_tidy)
	fi
	if [ "$problems" -gt 0 ]; then
		echo "lint: $problems findings"
		return 1
	fi
	echo "lint: clean"
}

main "$@"
