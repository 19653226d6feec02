# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Shared by the parts of tools/deps.sh: messages, the lock, and apt. apt is
# used in two ways: with the system's own configuration to install packages,
# and with private lists (private_apt) to look into a newer suite without the
# system ever hearing of it.

: "${COGFS_BUILD_CACHE:=/var/cache/cogfs-build}"
: "${COGFS_DEPS_PREFIX:=$COGFS_BUILD_CACHE/libfuse-3.18}"
: "${COGFS_TOOLS_DIR:=$COGFS_BUILD_CACHE/tools}"

export DEBIAN_FRONTEND=noninteractive

say() {
	printf 'deps: %s\n' "$*" >&2
}

die() {
	printf 'deps: error: %s\n' "$*" >&2
	exit 1
}

have() {
	command -v "$1" >/dev/null 2>&1
}

# Two runs at once would fight over apt and over the prefix: the second waits.
# Who may not write the cache directory installs nothing there either.
take_lock() {
	have apt-get || die "this machine has no apt-get: install the libraries named in CONTRIBUTING.md by hand"
	mkdir -p "$COGFS_BUILD_CACHE" 2>/dev/null || return 0
	if { exec 9>"$COGFS_BUILD_CACHE/lock"; } 2>/dev/null; then
		flock -w 1800 9 || die "another tools/deps.sh has held $COGFS_BUILD_CACHE/lock for half an hour"
	fi
}

# run_quietly WHAT CMD...: no output unless it fails, then the last lines.
run_quietly() {
	local what=$1 log

	shift
	log=$(mktemp)
	if ! "$@" >"$log" 2>&1 9>&-; then
		tail -n 25 "$log" >&2
		rm -f "$log"
		say "$what failed, see above"
		return 1
	fi
	rm -f "$log"
}

package_installed() {
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# missing_packages NAME...: those that are not installed, one a line.
missing_packages() {
	local name

	for name in "$@"; do
		package_installed "$name" || printf '%s\n' "$name"
	done
}

# package_candidate NAME OP VERSION: what the distribution itself offers.
package_candidate() {
	local candidate

	candidate=$(LC_ALL=C apt-cache policy "$1" 2>/dev/null | awk '$1 == "Candidate:" { print $2 }')
	[ -n "$candidate" ] && [ "$candidate" != "(none)" ] &&
		dpkg --compare-versions "$candidate" "$2" "$3"
}

apt_quiet() {
	apt-get -qq -y -o DPkg::Lock::Timeout=600 "$@"
}

install_packages() {
	local -a missing

	mapfile -t missing < <(missing_packages "$@")
	[ "${#missing[@]}" -gt 0 ] || return 0
	[ "$(id -u)" = 0 ] ||
		die "these packages are missing; as root: apt-get install ${missing[*]}"

	say "installing ${missing[*]}"
	run_quietly "apt-get update" apt_quiet update || die "no package lists, so nothing can be installed"
	run_quietly "apt-get install" apt_quiet install --no-install-recommends "${missing[@]}" ||
		die "could not install ${missing[*]}"
}

# The mirror this machine was told to use for its own suite, as "URI KEYRING",
# from deb822 files or one-line entries. Other vendors' archives have neither
# our suites nor our keyring, so only an entry with the system's codename will do.
system_mirror() {
	local codename keyring

	# shellcheck disable=SC1091
	codename=$(. /etc/os-release && printf '%s' "${UBUNTU_CODENAME:-${VERSION_CODENAME:-}}")
	[ -n "$codename" ] || return 1
	keyring=$(archive_keyring) || return 1
	{
		mirrors_deb822 "$codename"
		mirrors_one_line "$codename"
	} | awk -v ring="$keyring" 'NF && !done { print $1, ring; done = 1 }' | grep .
}

archive_keyring() {
	local ring

	for ring in /usr/share/keyrings/{debian,ubuntu}-archive-keyring.gpg; do
		if [ -r "$ring" ] && [[ $ring == *"$(distribution)"* ]]; then
			printf '%s\n' "$ring"
			return 0
		fi
	done
	return 1
}

distribution() {
	# shellcheck disable=SC1091
	(. /etc/os-release && case " $ID ${ID_LIKE:-} " in
		*" ubuntu "*) echo ubuntu ;;
		*) echo debian ;;
	esac)
}

mirrors_deb822() {
	local file

	for file in /etc/apt/sources.list.d/*.sources; do
		[ -r "$file" ] || continue # the glob itself, when there is none
		awk -v suite="$1" '
			function flush() { if (hit && uri != "") print uri; hit = 0; uri = "" }
			/^[ \t]*$/ { flush(); next }
			tolower($1) == "uris:" { uri = $2 }
			tolower($1) == "suites:" { for (i = 2; i <= NF; i++) if ($i == suite) hit = 1 }
			END { flush() }' "$file"
	done
}

mirrors_one_line() {
	{ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true; } |
		sed -n 's/^[[:space:]]*deb[[:space:]]\+\(\[[^]]*\][[:space:]]*\)\?//p' |
		awk -v suite="$1" '$2 == suite { print $1 }'
}

# private_apt_setup DIR TYPES SUITE...: a configuration of its own below DIR
# for private_apt. Signatures are checked against the distribution's keyring.
private_apt_setup() {
	local dir=$1 types=$2 mirror

	shift 2
	mirror=$(system_mirror) ||
		{ echo "the system's apt sources name no mirror of its own suite"; return 1; }
	mkdir -p "$dir/lists/partial" "$dir/archives/partial"
	cat >"$dir/private.sources" <<-END
		Types: $types
		URIs: ${mirror%% *}
		Suites: $*
		Components: main
		Signed-By: ${mirror#* }
	END
	private_apt "$dir" update
}

private_apt() {
	local dir=$1

	shift
	apt_quiet -o Dir::Etc::sourcelist="$dir/private.sources" \
		-o Dir::Etc::sourceparts=- \
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=- \
		-o Dir::State::lists="$dir/lists" \
		-o Dir::Cache::archives="$dir/archives" \
		-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
		-o APT::Update::Pre-Invoke= -o APT::Update::Post-Invoke= \
		-o APT::Update::Post-Invoke-Success= \
		-o APT::Sandbox::User=root \
		-o DPkg::Post-Invoke= "$@"
}
