# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What only the tests need: real tools to run on the mount, a Python venv with
# pytest, and versitygw, the S3 server. All but the packages is kept below
# COGFS_TOOLS_DIR, with a stamp that names the versions.

VERSITYGW_VERSION=v1.8.0
VERSITYGW_MODULE=github.com/versity/versitygw/cmd/versitygw
GO_WANTED=1.21 # the first that fetches the toolchain a module asks for

TEST_PACKAGES=(
	acl attr curl e2fsprogs ffmpeg git procps psmisc python3 python3-venv
	rsync sqlite3 util-linux vim
)
PYTHON_PACKAGES=(
	"pytest>=8,<10" "pytest-timeout>=2.3,<3" "numpy>=1.26,<3" "boto3>=1.34,<2"
)

test_tools_provide() {
	install_packages "${TEST_PACKAGES[@]}"
	mkdir -p "$COGFS_TOOLS_DIR/bin" 2>/dev/null || true
	[ -w "$COGFS_TOOLS_DIR/bin" ] ||
		die "cannot write $COGFS_TOOLS_DIR: run as root, or set COGFS_TOOLS_DIR"
	venv_provide
	versitygw_provide
}

stamp_is() {
	[ "$(cat "$COGFS_TOOLS_DIR/$1.stamp" 2>/dev/null)" = "$2" ]
}

stamp_set() {
	printf '%s\n' "$2" >"$COGFS_TOOLS_DIR/$1.stamp"
}

# The system's own Python first: a version manager's may vanish with its user.
venv_python() {
	local python

	for python in /usr/bin/python3 python3; do
		if have "$python" && "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
			printf '%s\n' "$python"
			return 0
		fi
	done
	die "the tests need Python >= 3.9 with its venv module"
}

venv_provide() {
	local venv=$COGFS_TOOLS_DIR/venv python stamp

	python=$(venv_python)
	stamp="$("$python" -V) ${PYTHON_PACKAGES[*]}"
	if stamp_is venv "$stamp" && [ -x "$venv/bin/pytest" ]; then
		return 0
	fi
	say "making a Python venv in $venv"
	rm -rf "$venv"
	run_quietly "python -m venv" "$python" -m venv "$venv" || die "no venv, so no black-box tests"
	run_quietly "pip install" "$venv/bin/python" -m pip install --quiet "${PYTHON_PACKAGES[@]}" ||
		die "could not install ${PYTHON_PACKAGES[*]}"
	stamp_set venv "$stamp"
}

versitygw_provide() {
	local go

	if stamp_is versitygw "$VERSITYGW_VERSION" && [ -x "$COGFS_TOOLS_DIR/bin/versitygw" ]; then
		return 0
	fi
	go=$(go_find) || { go_install && go=$(go_find); } ||
		die "versitygw needs Go >= $GO_WANTED, and neither this machine nor its backports have it"
	say "building versitygw $VERSITYGW_VERSION"
	run_quietly "go install versitygw" versitygw_build "$go" || die "could not build versitygw"
	stamp_set versitygw "$VERSITYGW_VERSION"
}

# The module cache is thrown away: it is larger than what it leaves.
versitygw_build() {
	local work rc=0

	work=$(mktemp -d)
	env -u GOFLAGS GOTOOLCHAIN=auto GOBIN="$work/bin" GOPATH="$work/go" GOCACHE="$work/cache" \
		GOFLAGS="-buildvcs=false -modcacherw" CGO_ENABLED=0 \
		"$1" install -trimpath "$VERSITYGW_MODULE@$VERSITYGW_VERSION" &&
		install -m 755 "$work/bin/versitygw" "$COGFS_TOOLS_DIR/bin/" || rc=1
	rm -rf "$work"
	return $rc
}

go_find() {
	local go version

	for go in go /usr/local/go/bin/go /usr/lib/go-*/bin/go; do
		have "$go" || continue
		version=$(GOTOOLCHAIN=local "$go" env GOVERSION 2>/dev/null) || continue
		if dpkg --compare-versions "${version#go}" ge "$GO_WANTED"; then
			printf '%s\n' "$go"
			return 0
		fi
	done
	return 1
}

# Debian 12's own Go is 1.19: the backports of the same mirror have a newer
# one. They are read through private lists, so the system stays on its suite.
go_install() {
	local work codename rc=0

	[ "$(id -u)" = 0 ] || return 1
	if package_candidate golang-go ge "2:$GO_WANTED"; then
		install_packages golang-go
		return 0
	fi
	# shellcheck disable=SC1091
	codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
	work=$(mktemp -d)
	say "installing golang-go from $codename-backports"
	run_quietly "looking for Go" private_apt_setup "$work" deb "$codename" "$codename-backports" &&
		run_quietly "installing Go" private_apt "$work" install --no-install-recommends \
			-t "$codename-backports" golang-go || rc=1
	rm -rf "$work"
	return $rc
}
